#!/usr/bin/env python3
"""Numbers in f32 and what PyTorch rounds them to in f16 and bf16, as a safetensors file.

Usage: golden_half.py [FILE]; tests/golden/half.safetensors is its output.
"""
import sys

import numpy
import torch
from safetensors.torch import save_file

random = numpy.random.Generator(numpy.random.PCG64(7))
patterns = random.integers(0, 2**32, 2000, dtype=numpy.uint32)
# Halfway cases of either type, and their neighbours.
near = random.integers(0, 2**16, 500, dtype=numpy.uint32) << 16 | 0x8000
half = random.integers(0x3880, 0x4780, 500, dtype=numpy.uint32) << 16 | 0x1000
patterns = numpy.concatenate([patterns, near, near - 1, near + 1, half, half - 1, half + 1])
numbers = patterns.view(numpy.float32)
wide = torch.from_numpy(numbers[numpy.isfinite(numbers)].copy())
save_file(
    {"f32": wide, "f16": wide.to(torch.float16), "bf16": wide.to(torch.bfloat16)},
    sys.argv[1] if len(sys.argv) > 1 else "tests/golden/half.safetensors",
)
