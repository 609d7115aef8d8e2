#!/usr/bin/env python3
"""Writes tests/golden/events.tfevents with TensorBoard's own writer and fixed times."""
import os
import sys

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

path = os.path.join(os.path.dirname(__file__), "..", "tests", "golden", "events.tfevents")
rows = [
    (2.5, 0, "loss/train", 0.5),
    (3.25, 1, "loss/train", -1.75),
    (1e9 + 0.125, 300, "größe", 1e-3),
    (1700000000.5, 1 << 40, "a" * 200, float("inf")),
]
with open(sys.argv[1] if len(sys.argv) > 1 else path, "wb") as file:
    writer = RecordWriter(file)
    writer.write(Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString())
    for time, step, tag, value in rows:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.write(Event(wall_time=time, step=step, summary=summary).SerializeToString())
    writer.flush()
