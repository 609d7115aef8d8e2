"""What the oracle scripts share: cases computed by PyTorch in float64, stored in float32.

A script makes an Oracle, adds cases and writes one file that tests/support/oracle.h describes. Each
script needs torch, numpy and safetensors: run bench/peers, then the script with the Python that it
prints. Every array of numbers follows from the seed alone.
"""
import pathlib

import numpy
import torch
from safetensors.numpy import save_file

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"


class Oracle:
    """Cases of one file. `random` is the only source of numbers."""

    def __init__(self, name, seed):
        torch.set_num_threads(1)
        self.path = GOLDEN / f"{name}.safetensors"
        self.random = numpy.random.Generator(numpy.random.PCG64(seed))
        self.arrays = {}

    def normal(self, *shape, scale=1.0):
        return self.random.normal(0, scale, shape).astype(numpy.float32)

    def uniform(self, low, high, *shape):
        return self.random.uniform(low, high, shape).astype(numpy.float32)

    def integers(self, low, high, *shape):
        """From low to high - 1."""
        return self.random.integers(low, high, shape).astype(numpy.int32)

    def put(self, path, array):
        array = numpy.asarray(array)
        assert path not in self.arrays, path
        if array.dtype == numpy.float64:
            array = array.astype(numpy.float32)
        if array.dtype == numpy.int64:
            array = array.astype(numpy.int32)
        self.arrays[path] = numpy.ascontiguousarray(array).reshape(array.shape)

    def case(self, name, function, inputs, variables=None, differentiate=True):
        """function(inputs, variables) -> a tensor, or a list, or (list, {path: after}).

        Inputs and variables are numpy arrays in Thalweg's layouts; the function gets them as
        tensors, floats in float64, and moves axes as PyTorch wants them.
        """
        def leaf(array):
            tensor = torch.from_numpy(numpy.array(array))
            if tensor.is_floating_point():
                tensor = tensor.double().requires_grad_(differentiate)
            return tensor

        x = [leaf(array) for array in inputs]
        v = {path: leaf(array) for path, array in (variables or {}).items()}
        result, after = function(x, v), {}
        if isinstance(result, tuple):
            result, after = result
        result = result if isinstance(result, list) else [result]
        total = 0
        for i, array in enumerate(inputs):
            self.put(f"{name}/in/{i}", array)
        for path, array in (variables or {}).items():
            self.put(f"{name}/variable/{path}", array)
        for i, y in enumerate(result):
            self.put(f"{name}/out/{i}", y.detach().numpy())
            if differentiate and y.requires_grad:
                weight = self.random.uniform(-1, 1, tuple(y.shape)).astype(numpy.float32)
                self.put(f"{name}/weight/{i}", weight)
                total = total + (y * torch.from_numpy(numpy.asarray(weight)).double()).sum()
        if torch.is_tensor(total):
            total.backward()
            for i, tensor in enumerate(x):
                if tensor.grad is not None:
                    self.put(f"{name}/d_in/{i}", tensor.grad.numpy())
            for path, tensor in v.items():
                if tensor.grad is not None:
                    self.put(f"{name}/d_variable/{path}", tensor.grad.numpy())
        for path, tensor in after.items():
            self.put(f"{name}/after/{path}", tensor.detach().numpy())

    def write(self):
        save_file(self.arrays, self.path)
        cases = sorted({path.split("/")[0] for path in self.arrays})
        print(f"{self.path.name}: {len(cases)} cases, {self.path.stat().st_size} bytes")
