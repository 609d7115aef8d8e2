#!/usr/bin/env bash
# PyTorch's safetensors package reads our files, and we read its files: every type, odd names, metadata.
set -euo pipefail

python=${THALWEG_PEERS:-$HOME/.cache/thalweg/peers}/bin/python
[[ -x $python ]] || python=python3
if ! "$python" -c 'from importlib.util import find_spec as f; exit(not (f("torch") and f("safetensors")))'; then
    echo "skipped: no Python with torch and safetensors (see THALWEG_PEERS)"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" - "$work" "$BUILD/tests/io_foreign" <<'END'
import subprocess
import sys
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

work, tool = sys.argv[1:]
odd = "caf\u00e9 \"\u20ac\"\\"
types = {"bool": torch.bool, "u8": torch.uint8, "i32": torch.int32, "i64": torch.int64,
         "u32": torch.uint32, "f16": torch.float16, "bf16": torch.bfloat16,
         "f32": torch.float32, "f64": torch.float64}

subprocess.run([tool, "write", work + "/ours"], check=True)
path = work + "/ours/step-000000.safetensors"
ours = load_file(path)
assert set(ours) == {"all/" + name for name in types} | {"empty", odd}, sorted(ours)
for name, dtype in types.items():
    index = torch.arange(6).reshape(2, 3)
    want = index % 2 == 1 if dtype == torch.bool else 3 * index + (4 if name[0] == "u" else -4)
    have = ours["all/" + name]
    assert have.dtype == dtype and have.shape == (2, 3), (name, have)
    assert torch.equal(have.to(torch.float64), want.to(torch.float64)), (name, have)
assert ours["empty"].shape == (0, 4) and ours[odd].shape == () and ours[odd].item() == 2.5
with safe_open(path, "pt") as file:
    metadata = file.metadata()
assert metadata["note." + odd] == "zwei\nZeilen \"\u20ac\"", metadata
assert metadata["version"] == "1" and metadata["step"] == "0", metadata
assert metadata["seed"] == str(2**64 - 1) and float(metadata["best"]) == 0.1, metadata

torch.manual_seed(1)
model = torch.nn.TransformerEncoderLayer(16, 4, 32)
theirs = {name: value.clone() for name, value in model.state_dict().items()}
theirs |= {name: torch.randn(3, 5).to(dtype) for name, dtype in types.items() if name[0] in "fb"}
theirs[odd] = torch.arange(7)
save_file(theirs, work + "/theirs.safetensors", metadata={"format": "pt"})
subprocess.run([tool, "copy", work + "/theirs.safetensors", work + "/copy.safetensors"], check=True)
copy = load_file(work + "/copy.safetensors")
assert set(theirs) == set(copy)
for name, want in theirs.items():
    have = copy[name]
    assert have.dtype == want.dtype and torch.equal(have, want), name
print(len(copy), "tensors of PyTorch's came back as they were")
END
