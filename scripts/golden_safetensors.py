"""Writes tests/golden/pytorch.safetensors by PyTorch and its safetensors package: a file of theirs for
tests/io/test_foreign.c to read. Element i of the tensor NAME is 3 i - 4 (i odd, for bool)."""

import os

import torch
from safetensors.torch import save_file

TYPES = {
    "bool": torch.bool,
    "u8": torch.uint8,
    "i32": torch.int32,
    "i64": torch.int64,
    "u32": torch.uint32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f32": torch.float32,
    "f64": torch.float64,
}


def numbers(dtype, count):
    index = torch.arange(count, dtype=torch.int64)
    if dtype == torch.bool:
        return index % 2 == 1
    first = 4 if dtype in (torch.uint8, torch.uint32) else -4
    return (3 * index + first).to(dtype)


def main():
    tensors = {f"all.{name}": numbers(dtype, 6).reshape(2, 3) for name, dtype in TYPES.items()}
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros(0, 4)
    tensors["caf\u00e9 \"\u20ac\"\\"] = torch.tensor([1.0])
    tensors["encoder.layers.0.weight"] = torch.full((2, 2), 5.0)
    tensors["encoder.layers.1.weight"] = torch.full((2, 2), 6.0)
    tensors["foreign.i8"] = torch.tensor([1, 2, 3], dtype=torch.int8)
    folder = os.path.join(os.path.dirname(__file__), "..", "tests", "golden")
    path = os.path.join(folder, "pytorch.safetensors")
    save_file(tensors, path, metadata={"format": "pt", "note": "zwei\nZeilen \"\u20ac\""})


if __name__ == "__main__":
    main()
