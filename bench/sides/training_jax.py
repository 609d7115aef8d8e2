"""JAX's side of the training cases, as bench/bench_training.c's: one jitted step, its state donated.

usage: training_jax.py MODEL FILE THREADS
"""
import os
import sys

model, path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
# JAX makes as many threads as the process may use processors.
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

import jax
import jax.numpy as jnp
from safetensors.numpy import load_file

import serve

BATCHES, LOSSES, RATE, DECAY, EPSILON = 10, 5, 1e-3, (0.9, 0.999), 1e-8
BATCH = 64 if model == "practice" else 128
serve.say(f"case {model}")

weights = load_file(path)
labels = weights.pop("labels")
images = (weights.pop("images") / 255).astype("float32")
images = images[..., None] if model == "convnet" else images.reshape(len(images), -1)


def dense(w, name, x):
    return x @ w[f"{name}/weight"] + w[f"{name}/bias"]


def block(w, name, x):
    x = jax.lax.conv_general_dilated(x, w[f"{name}/weight"], (1, 1), "SAME",
                                     dimension_numbers=("NHWC", "HWIO", "NHWC"))
    x = jax.nn.relu(x + w[f"{name}/bias"])
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def practice(w, x):
    return jax.nn.relu(x @ w["w1"]) @ w["w2"]


def mlp(w, x):
    return dense(w, "fc3", jax.nn.relu(dense(w, "fc2", jax.nn.relu(dense(w, "fc1", x)))))


def convnet(w, x):
    x = block(w, "conv2", block(w, "conv1", x))
    return dense(w, "fc2", jax.nn.relu(dense(w, "fc1", x.reshape(len(x), -1))))


def loss_of(w, x, y):
    out = globals()[model](w, x)
    if model == "practice":
        return jnp.mean((out - jax.nn.one_hot(y, 10)) ** 2)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1))


def descend(state, x, y):
    loss, gradient = jax.value_and_grad(loss_of)(state, x, y)
    return loss, jax.tree.map(lambda w, g: w - 0.1 * g, state, gradient)


def adam(state, x, y):
    w, first, second, t = state
    loss, gradient = jax.value_and_grad(loss_of)(w, x, y)
    t = t + 1
    first = jax.tree.map(lambda m, g: DECAY[0] * m + (1 - DECAY[0]) * g, first, gradient)
    second = jax.tree.map(lambda v, g: DECAY[1] * v + (1 - DECAY[1]) * g * g, second, gradient)
    scales = [1 / (1 - decay**t) for decay in DECAY]
    w = jax.tree.map(lambda w, m, v: w - RATE * m * scales[0] /
                     (jnp.sqrt(v * scales[1]) + EPSILON), w, first, second)
    return loss, (w, first, second, t)


weights = jax.tree.map(jnp.asarray, weights)
if model == "practice":
    state, update = weights, descend
else:
    nothing = lambda: jax.tree.map(jnp.zeros_like, weights)
    state, update = (weights, nothing(), nothing(), jnp.float32(0)), adam
update = jax.jit(update, donate_argnums=0)
batches = [(jnp.asarray(images[i * BATCH : (i + 1) * BATCH]),
            jnp.asarray(labels[i * BATCH : (i + 1) * BATCH])) for i in range(BATCHES)]
count = 0


def step():
    global count, state
    loss, state = update(state, *batches[count % BATCHES])
    count += 1
    return float(loss)


for _ in range(LOSSES):
    serve.say(f"check {step():.8f}")
serve.say(f"version JAX {jax.__version__}")
serve.serve({model: step})
