#!/usr/bin/env python3
"""Makes the golden files of tests/oracle/test_convnet.c with PyTorch.

Writes tests/golden/convnet_tiny.safetensors (initial weights in Thalweg's names and layouts, and
160 images with labels) and tests/golden/convnet_tiny_losses.txt (the losses of ten Adam steps on
ten batches of 16). Needs torch, numpy and safetensors: run bench/peers, then this script with the
Python that it prints. Each array of numbers follows from the seed alone.
"""
import pathlib

import numpy
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

SEED, CLASSES, BATCH, STEPS = 20240611, 10, 16, 10
GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"


def pictures(random, count):
    """One pattern of waves for each class, at a random strength, under noise."""
    y, x = numpy.mgrid[0:28, 0:28] / 28.0
    labels = random.integers(0, CLASSES, count).astype(numpy.int32)
    images = numpy.empty((count, 28, 28), numpy.uint8)
    for i, label in enumerate(labels):
        wave = numpy.sin(2 * numpy.pi * ((1 + label % 4) * x + (1 + label // 4) * y))
        noise = random.normal(0, 20, (28, 28))
        images[i] = numpy.clip(127 + random.uniform(40, 110) * wave + noise, 0, 255)
    return images, labels


def weights(random):
    """He normal weights and small non-zero biases, so that a lost bias shows."""
    shapes = {"conv1": (3, 3, 1, 4), "conv2": (3, 3, 4, 8), "fc1": (7 * 7 * 8, 16), "fc2": (16, 10)}
    out = {}
    for name, shape in shapes.items():
        deviation = (2.0 / numpy.prod(shape[:-1])) ** 0.5
        out[name + "/weight"] = random.normal(0, deviation, shape).astype(numpy.float32)
        out[name + "/bias"] = random.normal(0, 0.1, shape[-1:]).astype(numpy.float32)
    return out


def loss_of(p, images, labels):
    x = torch.from_numpy(images).to(p["fc1/bias"].dtype).div(255).unsqueeze(1)
    for name in ("conv1", "conv2"):
        kernel = p[name + "/weight"].permute(3, 2, 0, 1)  # HWIO to OIHW
        x = F.max_pool2d(F.relu(F.conv2d(x, kernel, p[name + "/bias"], padding=1)), 2)
    x = x.permute(0, 2, 3, 1).flatten(1)  # features in the order of NHWC
    x = F.relu(x @ p["fc1/weight"] + p["fc1/bias"])
    return F.cross_entropy(x @ p["fc2/weight"] + p["fc2/bias"], torch.from_numpy(labels).long())


def train(start, images, labels, dtype):
    p = {name: torch.tensor(array, dtype=dtype, requires_grad=True) for name, array in start.items()}
    optimizer = torch.optim.Adam(p.values(), lr=1e-3)
    losses = []
    for step in range(STEPS):
        part = slice(step * BATCH, (step + 1) * BATCH)
        optimizer.zero_grad()
        loss = loss_of(p, images[part], labels[part])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def main():
    torch.set_num_threads(1)
    random = numpy.random.Generator(numpy.random.PCG64(SEED))
    images, labels = pictures(random, BATCH * STEPS)
    start = weights(random)
    losses = train(start, images, labels, torch.float32)
    exact = train(start, images, labels, torch.float64)
    apart = max(abs(a - b) for a, b in zip(losses, exact))
    assert apart < 1e-5, f"float32 is {apart} away from float64: too rough to compare with"
    GOLDEN.mkdir(exist_ok=True)
    save_file({**start, "images": images, "labels": labels}, GOLDEN / "convnet_tiny.safetensors")
    text = "".join(f"{loss:.8f}\n" for loss in losses)
    (GOLDEN / "convnet_tiny_losses.txt").write_text(text)
    print(text + f"at most {apart:.1e} from the same in float64")


if __name__ == "__main__":
    main()
