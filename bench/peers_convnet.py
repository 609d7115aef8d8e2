"""PyTorch's side of `bench/compare convnet-train`; see bench/bench_convnet.c for the protocol.

usage: peers_convnet.py FILE THREADS STEPS eager|compile
"""
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

path, threads, steps, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
BATCH, LOSSES = 128, 5
torch.set_num_threads(threads)

data = load_file(path)
labels = data.pop("labels").long()
images = data.pop("images").to(torch.float32).div(255).unsqueeze(1)
images = images.contiguous(memory_format=torch.channels_last)


class Net(torch.nn.Module):
    """The convnet of models/convnet.c from the weights of the file, channels last."""

    def __init__(self, weights):
        super().__init__()
        last = torch.channels_last
        for name, value in weights.items():
            if name.startswith("conv") and name.endswith("weight"):  # HWIO to OIHW
                value = value.permute(3, 2, 0, 1).contiguous(memory_format=last)
            self.register_parameter(name.replace("/", "_"), torch.nn.Parameter(value))

    def forward(self, x):
        x = F.max_pool2d(F.relu(F.conv2d(x, self.conv1_weight, self.conv1_bias, padding=1)), 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, self.conv2_weight, self.conv2_bias, padding=1)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # features in the file's order; no copy, channels are last
        x = F.relu(torch.addmm(self.fc1_bias, x, self.fc1_weight))
        return torch.addmm(self.fc2_bias, x, self.fc2_weight)


net = Net(data)
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)


def loss_of(x, y):
    return F.cross_entropy(net(x), y)


if mode == "compile":
    loss_of = torch.compile(loss_of)


def step(i):
    at = i * BATCH % images.shape[0]
    x, y = images[at : at + BATCH], labels[at : at + BATCH]
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(x, y)
    loss.backward()
    optimizer.step()
    return loss.item()


count = 0
for count in range(LOSSES):
    print(f"loss {step(count):.8f}", flush=True)
print(f"version PyTorch {torch.__version__} {mode}", flush=True)
for _ in sys.stdin:
    times = []
    for _ in range(steps):
        count += 1
        start = time.perf_counter()
        step(count)
        times.append(time.perf_counter() - start)
    print(f"step_seconds {statistics.median(times):.9f}", flush=True)
