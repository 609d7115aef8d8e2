"""PyTorch's side of the cases of bench/bench_operators.c.

usage: operators_torch.py THREADS CASE... eager|compile
"""
import sys

import torch
import torch.nn.functional as F

import serve

threads, names, mode = int(sys.argv[1]), sys.argv[2:-1], sys.argv[-1]
torch.set_num_threads(threads)


def silu(a, b):
    return F.silu(a + b)


def gelu(x):
    return F.gelu(x)


def tanh(x):
    for _ in range(3):
        x = torch.tanh(1.5 * x + 0.1)
    return x.sum()


def softmax(x):
    return torch.softmax(x, -1)


def compiled(function):
    return torch.compile(function, dynamic=False) if mode == "compile" else function


def tensor(shape, salt, scale):
    count = torch.Size(shape).numel()
    return torch.from_numpy(serve.number(count, salt, scale)).reshape(shape)


def expression(word, extent):
    """A function that does a step and gives its results."""
    if word == "dot":
        b, m, k, n = extent
        lead = () if b == 1 else (b,)
        x, w = tensor((*lead, m, k), 0, 1), tensor((*lead, k, n), 77, 1)
        out = torch.empty((*lead, m, n))
        return lambda: (torch.matmul(x, w, out=out),)
    function = compiled(globals()[word])
    if word == "softmax":
        x, dy = tensor(extent, 0, 4).requires_grad_(), tensor(extent, 77, 4)

        def both():
            with torch.enable_grad():
                y = function(x)
                return y.detach(), torch.autograd.grad(y, x, dy)[0]
        return both
    operands = [tensor(extent, 77 * i, 4) for i in range(2 if word == "silu" else 1)]
    return lambda: (function(*operands),)


steps = {}
with torch.no_grad():
    for name in names:
        word, _, shape = name.partition(":")
        steps[name] = expression(word, [int(extent) for extent in shape.split("x")])
        serve.say(f"case {name}")
        for result in steps[name]():
            serve.probe(result)
    serve.say(f"version PyTorch {torch.__version__} {mode}")
    serve.serve(steps)
