"""PyTorch's side of the training cases, as bench/bench_training.c's.

usage: training_torch.py MODEL FILE THREADS eager|compile
"""
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import serve

model, path, threads, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
BATCHES, LOSSES = 10, 5
BATCH = 64 if model == "practice" else 128
torch.set_num_threads(threads)
serve.say(f"case {model}")

data = load_file(path)
labels = data.pop("labels").long()
images = data.pop("images").to(torch.float32).div(255)
if model == "convnet":
    images = images.unsqueeze(1).contiguous(memory_format=torch.channels_last)
else:
    images = images.flatten(1)


class Net(torch.nn.Module):
    """A model of models/ from the weights of the file; images channels last."""

    def __init__(self, weights):
        super().__init__()
        last = torch.channels_last
        for name, value in weights.items():
            if name.startswith("conv") and name.endswith("weight"):  # HWIO to OIHW
                value = value.permute(3, 2, 0, 1).contiguous(memory_format=last)
            self.register_parameter(name.replace("/", "_"), torch.nn.Parameter(value))

    def dense(self, name, x):
        return torch.addmm(getattr(self, f"{name}_bias"), x, getattr(self, f"{name}_weight"))

    def practice(self, x):
        return F.relu(x @ self.w1) @ self.w2

    def mlp(self, x):
        return self.dense("fc3", F.relu(self.dense("fc2", F.relu(self.dense("fc1", x)))))

    def convnet(self, x):
        x = F.max_pool2d(F.relu(F.conv2d(x, self.conv1_weight, self.conv1_bias, padding=1)), 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, self.conv2_weight, self.conv2_bias, padding=1)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # features in the file's order; no copy, channels are last
        return self.dense("fc2", F.relu(self.dense("fc1", x)))


net = Net(data)
forward = getattr(net, model)
if model == "practice":
    labels = F.one_hot(labels, 10).to(torch.float32)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=True)
else:
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)


def loss_of(x, y):
    return F.mse_loss(forward(x), y) if model == "practice" else F.cross_entropy(forward(x), y)


if mode == "compile":
    loss_of = torch.compile(loss_of)
count = 0


def step():
    global count
    at = count % BATCHES * BATCH
    count += 1
    x, y = images[at : at + BATCH], labels[at : at + BATCH]
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(x, y)
    loss.backward()
    optimizer.step()
    return loss.item()


for _ in range(LOSSES):
    serve.say(f"check {step():.8f}")
serve.say(f"version PyTorch {torch.__version__} {mode}")
serve.serve({model: step})
