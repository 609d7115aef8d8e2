"""What the cases of bench/compare share: sides, rounds, checks of their numbers, the floor."""
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# PyTorch's tuning guide: memory that is freed stays in the process. The others gain by it too, as all of them
# do by huge pages, which Thalweg asks for by itself.
TUNED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592",
         "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, cwd=ROOT, text=True,
                          stdout=subprocess.PIPE).stdout


class Side:
    """A program that speaks the protocol of bench/harness.h, until it is ready."""

    def __init__(self, name, command, environment=None):
        self.name, self.version, self.numbers = name, "", {}
        self.checks, self.operators, self.seconds = {}, {}, {}  # of each case
        self.loaded = self.first = None  # seconds from the start to the first case and result
        start, case = time.monotonic(), None
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if name.endswith("compile") else None,
            text=True, env={**os.environ, **(environment or {})})
        while True:
            word, *rest = self.read()
            if word == "ready":
                break
            if word == "case":
                case = rest[0]
                self.checks[case], self.operators[case], self.seconds[case] = [], [], []
                self.loaded = self.loaded or time.monotonic() - start
            elif word == "check":
                self.checks[case].append(float(rest[0]))
                self.first = self.first or time.monotonic() - start
            elif word == "operator":
                self.operators[case].append((rest[0], float(rest[1]), float(rest[2])))
            elif word == "version":
                self.version = " ".join(rest)
            else:
                self.numbers[word] = float(rest[0])

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        return line.split()

    def ask(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return float(self.read()[1])

    def time(self, case, seconds):
        self.seconds[case].append(self.ask("time", case, seconds))

    def end(self):
        self.process.stdin.close()
        self.process.wait()

    def median(self, case):
        return statistics.median(self.seconds[case])


def peers(script, arguments, threads, names, environment=None):
    """The sides of these names that start; only a compiler that fails may be left out."""
    python = run(ROOT / "bench" / "peers").strip()
    environment = {"OMP_NUM_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1",
                   **(TUNED if environment is None else environment)}
    sides = []
    for name in names:
        library, *mode = name.split()
        library = {"PyTorch": "torch", "JAX": "jax"}[library]
        program = ROOT / "bench" / "sides" / f"{script}_{library}.py"
        try:
            sides.append(Side(name, [python, program, *arguments, *mode], environment))
        except RuntimeError as error:
            if not name.endswith("compile"):
                raise
            print(f"left out: {error}")
    return sides


def compare_checks(sides, tolerance):
    """|a - b| <= tolerance max(1, |b|) for each number, written so that NaN fails."""
    ours, *others = sides
    for other in others:
        for case, numbers in ours.checks.items():
            theirs = other.checks[case]
            pairs = list(zip(numbers, theirs, strict=True))
            for i, (a, b) in enumerate(pairs):
                if not abs(a - b) <= tolerance * max(1, abs(b)):
                    sys.exit(f"{case}, number {i}: {ours.name} has {a}, {other.name} {b}; "
                             "nothing was timed")


def rounds(sides, case, count, seconds, floor=None):
    """Interleaved; the first is not counted, it warms up."""
    for side in sides:
        side.ask("time", case, seconds / 2)
    for _ in range(count):
        for side in sides:
            side.time(case, seconds)
        if floor:
            floor.measure(case, sides[0].operators[case])


class Floor:
    """Seconds below which no sequence of operators gets on this machine. What it can do is measured in the same
    rounds as the sides: on a shared host memory is twice as fast for some seconds as for others."""

    SECONDS = 0.04  # of each measurement, which is the fastest of its steps

    def __init__(self, bench, threads):
        self.side = Side("floor", [bench / "bench_floor", threads])
        self.sizes = sorted(int(name.partition(":")[2]) for name in self.side.operators if ":" in name)
        self.taken = {}  # of a case: for each of ours, the seconds of its rounds

    def copy_of(self, size):
        """The nearest measured size that is not larger, so that the floor is no excuse."""
        return f"copy:{max([at for at in self.sizes if at <= size] or self.sizes[:1])}"

    def measure(self, case, operators):
        taken = self.taken.setdefault(case, {})
        self.side.ask("best", "flops", self.SECONDS)  # until no other side's threads look for work
        for own in sorted({"flops", *(self.copy_of(size) for _, _, size in operators)}):
            taken.setdefault(own, []).append(self.side.ask("best", own, self.SECONDS))

    def rate(self, own, seconds):
        (_, flops, size), = self.side.operators[own]
        return (flops or size) / seconds

    def __str__(self):
        """Of all cases the fastest."""
        fastest = {}
        for taken in self.taken.values():
            for own, seconds in taken.items():
                fastest[own] = max(fastest.get(own, 0), self.rate(own, min(seconds)))
        largest = max((own for own in fastest if own != "flops"), key=lambda own: int(own[5:]))
        return (f"{fastest['flops'] / 1e9:.0f} GFLOP/s, {fastest[largest] / 1e9:.1f} GB/s at "
                f"{int(largest[5:]) >> 10} KiB")

    def seconds(self, case, operators):
        rates = {own: self.rate(own, min(seconds)) for own, seconds in self.taken[case].items()}
        return sum(max(flops / rates["flops"], size / rates[self.copy_of(size)])
                   for _, flops, size in operators)

    def below(self, case, sides):
        """The floor of a case, by the fastest of its rounds, checked: we aren't below it."""
        floor = self.seconds(case, sides[0].operators[case])
        if floor > sides[0].median(case):
            sys.exit(f"{case}: the floor, {floor * 1e3:.4f} ms, is above our time, "
                     f"{sides[0].median(case) * 1e3:.4f} ms: something else used the machine while "
                     "it was measured; run this again")
        return floor
