"""JAX's side of the cases of bench/bench_operators.c; all jitted.

usage: operators_jax.py THREADS CASE... jit
"""
import math
import os
import sys

threads, names = int(sys.argv[1]), sys.argv[2:-1]
# JAX makes as many threads as the process may use processors.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

import jax
import jax.numpy as jnp

import serve


def silu(a, b):
    return (jax.nn.silu(a + b),)


def gelu(x):
    return (jax.nn.gelu(x, approximate=False),)


def tanh(x):
    for _ in range(3):
        x = jnp.tanh(1.5 * x + 0.1)
    return (x.sum(),)


def softmax(x, dy):
    y, back = jax.vjp(jax.nn.softmax, x)
    return y, back(dy)[0]


def expression(word, extent):
    operands = [jnp.asarray(serve.number(math.prod(extent), 77 * i, 4)).reshape(extent)
                for i in range(2 if word in ("silu", "softmax") else 1)]
    function = jax.jit(globals()[word])
    return lambda: jax.block_until_ready(function(*operands))


steps = {}
for name in names:
    word, _, shape = name.partition(":")
    steps[name] = expression(word, [int(extent) for extent in shape.split("x")])
    serve.say(f"case {name}")
    for result in steps[name]():
        serve.probe(result)
serve.say(f"version JAX {jax.__version__}")
serve.serve(steps)
