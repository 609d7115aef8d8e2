#!/usr/bin/env python3
"""Makes tests/golden/oracle_optimizers.safetensors: steps of optimisers, and schedules.

For each optimiser CASE of tests/oracle/test_optimizers.c

    CASE/in/x, CASE/in/y    the data
    CASE/before/PATH        the two parameters
    CASE/after/PATH         the parameter after each of 20 steps, (20, shape...)

in float64 by torch.optim. LAMB and Lion follow their papers here, having no class there. For each
schedule S, schedule_S/rate holds 50 values of PyTorch's lr_scheduler for a rate of 0.5. Needs
torch, numpy and safetensors: run bench/peers, then this script with the Python that it prints.

The loss is that of least squares:
    mean over (i, k) of (x @ a + b - y)^2, x (6, 4), a (4, 3), b (3).
"""
import warnings

import numpy
import torch
from torch.optim import lr_scheduler

from oracle import Oracle

STEPS, LONG = 20, 50
warnings.filterwarnings("ignore")


class Lamb(torch.optim.Optimizer):
    """You et al. 2020, Large Batch Optimization for Deep Learning, algorithm 2, phi(z) = z."""

    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0):
        super().__init__(parameters, dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for x in group["params"]:
                s = self.state[x]
                t = s["t"] = s.get("t", 0) + 1
                m = s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * x.grad
                v = s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * x.grad ** 2
                r = (m / (1 - beta1 ** t)) / ((v / (1 - beta2 ** t)).sqrt() + group["eps"])
                u = r + group["weight_decay"] * x
                size, length = x.norm(), u.norm()
                ratio = size / length if size > 0 and length > 0 else 1.0
                x -= group["lr"] * ratio * u


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, Symbolic Discovery of Optimization Algorithms, algorithm 2."""

    def __init__(self, parameters, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(parameters, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for x in group["params"]:
                s = self.state[x]
                m = s.get("m", torch.zeros_like(x))
                c = beta1 * m + (1 - beta1) * x.grad
                x -= group["lr"] * (torch.sign(c) + group["weight_decay"] * x)
                s["m"] = beta2 * m + (1 - beta2) * x.grad


O = torch.optim
CASES = {
    "sgd": lambda p: O.SGD(p, lr=0.1),
    "sgd_decay": lambda p: O.SGD(p, lr=0.1, weight_decay=0.1),
    "momentum": lambda p: O.SGD(p, lr=0.05, momentum=0.9),
    "momentum_dampening": lambda p: O.SGD(p, lr=0.1, momentum=0.8, dampening=0.5),
    "nesterov": lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "nesterov_decay": lambda p: O.SGD(p, lr=0.05, momentum=0.7, nesterov=True, weight_decay=0.1),
    "adagrad": lambda p: O.Adagrad(p, lr=0.2),
    "adagrad_options": lambda p: O.Adagrad(p, lr=0.2, weight_decay=0.1, eps=0.01,
                                           initial_accumulator_value=0.25),
    "rmsprop": lambda p: O.RMSprop(p, lr=0.02),
    "rmsprop_momentum": lambda p: O.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.5, weight_decay=0.1),
    "rmsprop_centered": lambda p: O.RMSprop(p, lr=0.02, alpha=0.95, eps=0.01, centered=True),
    "rmsprop_all": lambda p: O.RMSprop(p, lr=0.02, alpha=0.9, eps=0.01, centered=True,
                                       momentum=0.5),
    "adam": lambda p: O.Adam(p, lr=0.1),
    "adam_options": lambda p: O.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=0.01, weight_decay=0.1),
    "adam_amsgrad": lambda p: O.Adam(p, lr=0.3, betas=(0.9, 0.8), amsgrad=True),
    "adamw": lambda p: O.AdamW(p, lr=0.1, weight_decay=0.1),
    "adamw_amsgrad": lambda p: O.AdamW(p, lr=0.3, betas=(0.5, 0.7), weight_decay=0.1,
                                       amsgrad=True),
    "adafactor": lambda p: O.Adafactor(p, lr=0.3, eps=(2.0 ** -23, 1e-3)),
    "adafactor_options": lambda p: O.Adafactor(p, lr=0.05, beta2_decay=-0.5, eps=(0.05, 0.7), d=1.5,
                                               weight_decay=0.1),
    "lamb": lambda p: Lamb(p, lr=0.1),
    "lamb_options": lambda p: Lamb(p, lr=0.1, betas=(0.8, 0.95), eps=0.01, weight_decay=0.1),
    "lion": lambda p: Lion(p, lr=0.05),
    "lion_options": lambda p: Lion(p, lr=0.05, betas=(0.8, 0.9), weight_decay=0.2),
    "clip_value": lambda p: O.SGD(p, lr=0.1),
    "clip_norm": lambda p: O.Adam(p, lr=0.1, eps=0.1),
    "groups": lambda p: O.AdamW([{"params": [p[0]]},
                                 {"params": [p[1]], "lr": 0.025, "weight_decay": 0.0}],
                                lr=0.1, weight_decay=0.2),
    "frozen": lambda p: O.Adam([p[0]], lr=0.1),
    "scheduled": lambda p: O.AdamW(p, lr=0.2, weight_decay=0.1),
}


def sequence(optimizer, warmup, then):
    """The warm-up of the header: 1 / (warmup + 1) at t = 0, 1 at t = warmup."""
    first = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [first, then(optimizer)], milestones=[warmup])


L = lr_scheduler
SCHEDULES = {
    "step": lambda o: L.StepLR(o, step_size=7, gamma=0.5),
    "milestones": lambda o: L.MultiStepLR(o, milestones=[5, 20, 21], gamma=0.25),
    "exponential": lambda o: L.ExponentialLR(o, gamma=0.9),
    "linear": lambda o: L.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=40),
    "polynomial": lambda o: L.PolynomialLR(o, total_iters=40, power=2.0),
    "cosine": lambda o: L.CosineAnnealingLR(o, T_max=LONG, eta_min=0.05),
    "one_cycle": lambda o: L.OneCycleLR(o, max_lr=0.5, total_steps=LONG),
    "one_cycle_options": lambda o: L.OneCycleLR(o, max_lr=0.5, total_steps=LONG, pct_start=0.2,
                                                div_factor=10, final_div_factor=100),
    "inverse_root": lambda o: L.LambdaLR(o, lambda t: ((8 + 1) / (t + 1)) ** 0.5
                                         if t >= 8 else (t + 1) / (8 + 1)),
    "warm_constant": lambda o: L.LinearLR(o, start_factor=0.25, total_iters=10),
    "warm_cosine": lambda o: sequence(o, 10, lambda p: L.CosineAnnealingLR(p, T_max=LONG - 10)),
    "warm_step": lambda o: sequence(o, 10, lambda p: L.StepLR(p, step_size=6, gamma=0.5)),
    "warm_exponential": lambda o: sequence(o, 4, lambda p: L.ExponentialLR(p, gamma=0.9)),
}


def run(oracle, name, make):
    a0, b0 = oracle.normal(4, 3), oracle.normal(3)
    x, y = oracle.normal(6, 4), oracle.normal(6, 3)
    a, b = (torch.from_numpy(z.copy()).double().requires_grad_() for z in (a0, b0))
    tx, ty = torch.from_numpy(x).double(), torch.from_numpy(y).double()
    optimizer = make([a, b])
    scheduler = None
    if name == "scheduled":
        scheduler = sequence(optimizer, 5,
                             lambda p: lr_scheduler.CosineAnnealingLR(p, T_max=15, eta_min=0.02))
    after = {"a": [], "b": []}
    for _ in range(STEPS):
        optimizer.zero_grad()
        ((tx @ a + b - ty) ** 2).mean().backward()
        if name == "clip_value":
            torch.nn.utils.clip_grad_value_([a, b], 0.25)
        if name == "clip_norm":  # without PyTorch's 1e-6 in the divisor
            norm = (a.grad.square().sum() + b.grad.square().sum()).sqrt()
            for z in (a, b):
                z.grad *= 0.5 / max(norm.item(), 0.5)
        optimizer.step()
        if scheduler:
            scheduler.step()
        after["a"].append(a.detach().numpy().copy())
        after["b"].append(b.detach().numpy().copy())
    for path, array in (("x", x), ("y", y)):
        oracle.put(f"{name}/in/{path}", array)
    oracle.put(f"{name}/before/a", a0)
    oracle.put(f"{name}/before/b", b0)
    for path, arrays in after.items():
        oracle.put(f"{name}/after/{path}", numpy.stack(arrays))


def rates(make):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler, out = make(optimizer), []
    for _ in range(LONG):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(out) < LONG:
            scheduler.step()
    return out


oracle = Oracle("oracle_optimizers", 20240701)
for name, make in CASES.items():
    run(oracle, name, make)
for name, make in SCHEDULES.items():
    oracle.put(f"schedule_{name}/rate", numpy.array(rates(make)))
oracle.write()
