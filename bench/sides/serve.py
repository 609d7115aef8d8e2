"""The protocol of bench/harness.h, for the peers' side."""
import statistics
import sys
import time

import numpy as np

LEAST_STEPS = 3


def say(*words):
    print(*words, flush=True)


def number(count, salt, scale):
    """Made-up data in [-scale, scale), the same as harness_number's."""
    bits = (np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(salt)) >> 8
    return (bits.astype(np.float32) / np.float32(1 << 23) - np.float32(1)) * np.float32(scale)


def probe(values):
    """What sides compare of an array: five elements, spread over it."""
    values = np.asarray(values).reshape(-1)
    for i in range(5):
        say(f"check {float(values[(values.size - 1) * i // 4]):.8g}")


def time_steps(step, limit):
    seconds, begin = [], time.perf_counter()
    start = begin
    while len(seconds) < LEAST_STEPS or start - begin < limit:
        step()
        end = time.perf_counter()
        seconds.append(end - start)
        start = end
    return statistics.median(seconds)


def peak_bytes():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024


def serve(cases):
    """cases: a function that does a step, by name."""
    say("ready")
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "memory":
            say("peak_bytes", peak_bytes())
        else:
            say(f"seconds {time_steps(cases[rest[0]], float(rest[1])):.9f}")
