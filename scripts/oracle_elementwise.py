"""Dense layers, products, elementwise functions and the softmax: oracle_elementwise.safetensors.

See oracle.py for what this needs.
"""
import torch

from oracle import Oracle

o = Oracle("oracle_elementwise", 311)
X = o.normal(3, 5)
POSITIVE = o.uniform(0.2, 3, 3, 5)
OTHER = o.uniform(0.3, 2, 5)
EDGES = o.uniform(-1.5, 1.5, 3, 5)

for name in ("neg", "abs", "exp", "expm1", "sin", "cos", "tanh", "sigmoid", "erf", "square", "relu"):
    o.case(name, lambda x, v, f=getattr(torch, name): f(x[0]), [X])
for name in ("log", "log1p", "sqrt", "rsqrt"):
    o.case(name, lambda x, v, f=getattr(torch, name): f(x[0]), [POSITIVE])
for name in ("sign", "floor", "ceil", "round"):
    o.case(name, lambda x, v, f=getattr(torch, name): f(x[0]), [EDGES * 2], differentiate=False)
# The second operand broadcasts.
for name in ("add", "sub", "mul", "div"):
    o.case(name, lambda x, v, f=getattr(torch, name): f(x[0], x[1]), [X, OTHER])
for name, f in (("max", torch.maximum), ("min", torch.minimum), ("pow", torch.pow)):
    o.case(name, lambda x, v, f=f: f(x[0], x[1]), [POSITIVE, OTHER])
o.case("select", lambda x, v: torch.where(x[0] > 0, x[0] * 2, x[1]), [X, OTHER])
o.case("softmax", lambda x, v: torch.softmax(x[0], -1), [X * 3])
o.case("softmax_large", lambda x, v: torch.softmax(x[0], -1), [X * 300])
o.case("mean_axis", lambda x, v: x[0].mean(0), [X])
o.case("take", lambda x, v: x[0][x[1].long()], [X, o.integers(0, 3, 2, 3)])
o.case("take_along", lambda x, v: torch.gather(x[0], 1, x[1].long()), [X, o.integers(0, 5, 3, 2)])
o.case("matmul", lambda x, v: x[0] @ x[1], [o.normal(2, 3, 4), o.normal(2, 4, 5)])
o.case("dot", lambda x, v: torch.einsum("abc,dca->bad", x[0], x[1]).permute(1, 0, 2),
       [o.normal(2, 3, 4), o.normal(5, 4, 2)])


def dense(x, v, bias=True, relu=False):
    y = x[0] @ v["d/weight"]
    if bias:
        y = y + v["d/bias"]
    return torch.relu(y) if relu else y


WEIGHT = {"d/weight": o.normal(5, 4), "d/bias": o.normal(4)}
o.case("dense", dense, [X], WEIGHT)
o.case("dense_time", dense, [o.normal(2, 3, 5)], WEIGHT)
o.case("dense_relu", lambda x, v: dense(x, v, relu=True), [X], WEIGHT)
o.case("dense_no_bias", lambda x, v: dense(x, v, bias=False), [X],
       {"d/weight": WEIGHT["d/weight"]})
o.write()
