#!/usr/bin/env bash
# TensorBoard's own reader on what a training logs, where the tensorboard package is.
set -euo pipefail
python="${THALWEG_PEERS:-$HOME/.cache/thalweg/peers}/bin/python"
if ! "$python" -c 'import tensorboard' 2>/dev/null; then
    echo "skipped: no Python with tensorboard at $python (THALWEG_PEERS names a folder with bin/python)"
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
awk -v OFS=, 'BEGIN { print "a,b,c,d,kind"; for (i = 0; i < 60; i++) print i % 3, i % 5, i % 7, 1, i % 3 }' >"$scratch/rows.csv"
"$THALWEG" train tests/cli/iris.c --data "$scratch/rows.csv" --val 0.2 --batch 16 --epochs 4 --threads 1 --out "$scratch/log" >/dev/null
PYTHONWARNINGS=ignore "$python" - "$scratch/log" <<'PYTHON'
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = sys.argv[1]
log = EventAccumulator(folder, size_guidance={"scalars": 0})
log.Reload()
lines = [json.loads(line) for line in open(folder + "/log.jsonl")]

def expect(tag, kind, key):
    # Scalars arrive as tensors or as simple values, by the reader's version.
    if tag in log.Tags()["scalars"]:
        seen = [(e.step, e.value) for e in log.Scalars(tag)]
    else:
        from tensorboard.util.tensor_util import make_ndarray
        seen = [(e.step, float(make_ndarray(e.tensor_proto))) for e in log.Tensors(tag)]
    wanted = [(line["step"], line[key]) for line in lines if line["kind"] == kind]
    assert len(seen) == len(wanted) > 0, (tag, len(seen), len(wanted))
    for (step, value), (step_there, value_there) in zip(seen, wanted):
        assert step == step_there, (tag, step, step_there)
        assert abs(value - value_there) <= 1e-6 * max(1, abs(value_there)), (tag, value, value_there)

expect("loss/train", "step", "loss")
expect("accuracy/train", "epoch", "accuracy")
expect("loss/validation", "epoch", "val_loss")
expect("accuracy/validation", "epoch", "val_accuracy")
expect("rate", "epoch", "rate")
print("TensorBoard reads", len(log.Tags()["scalars"]) or len(log.Tags()["tensors"]), "charts,", len(lines), "lines")
PYTHON
# The stored golden file is what the package's writer makes today.
"$python" scripts/golden_events.py "$scratch/events"
cmp "$scratch/events" tests/golden/events.tfevents
