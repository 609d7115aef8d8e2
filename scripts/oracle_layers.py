#!/usr/bin/env python3
"""Makes tests/golden/oracle_layers.safetensors, the numbers of tests/oracle/test_layers.c."""
import torch
import torch.nn.functional as F

from oracle import Oracle

SEED = 20250107
oracle = Oracle("oracle_layers", SEED)
normal, uniform = oracle.normal, oracle.uniform


def first(x):
    """(batch, space..., channels) -> (batch, channels, space...)"""
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def weight(w):
    """(space..., a, b) -> (b, a, space...)"""
    return w.movedim((-1, -2), (0, 1)).contiguous()


def activations():
    functions = {
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "softplus": F.softplus,
        "mish": F.mish,
        "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
        "elu": lambda x: F.elu(x, 1.3),
        "selu": F.selu,
        "relu6": F.relu6,
        "hard_tanh": F.hardtanh,
        "hard_sigmoid": F.hardsigmoid,
        "hard_swish": F.hardswish,
    }
    for name, function in functions.items():
        oracle.case(name, lambda x, v, f=function: f(x[0]), [uniform(-7, 7, 4, 6)])
    oracle.case("prelu", lambda x, v: last(F.prelu(first(x[0]), v["act/slope"])),
                [normal(2, 3, 4)], {"act/slope": normal(4)})


def convolution(name, space, window, channels, filters, groups=1, bias=True, relu=False, **opts):
    rank = len(window)
    conv = [F.conv1d, F.conv2d, F.conv3d][rank - 1]

    def function(x, v):
        y = conv(first(x[0]), weight(v["c/weight"]), v.get("c/bias"), groups=groups, **opts)
        return last(F.relu(y) if relu else y)

    variables = {"c/weight": normal(*window, channels // groups, filters)}
    if bias:
        variables["c/bias"] = normal(filters)
    oracle.case(name, function, [normal(2, *space, channels)], variables)


def transposed(name, space, window, channels, filters, groups=1, bias=True, crop=None, **opts):
    """crop: (before, after) of each axis, cut off PyTorch's result instead of its padding."""
    rank = len(window)
    conv = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][rank - 1]

    def function(x, v):
        y = last(conv(first(x[0]), weight(v["c/weight"]), v.get("c/bias"), groups=groups, **opts))
        for axis, (low, high) in enumerate(crop or []):
            y = y.narrow(axis + 1, low, y.shape[axis + 1] - low - high)
        return y

    variables = {"c/weight": normal(*window, filters // groups, channels)}
    if bias:
        variables["c/bias"] = normal(filters)
    oracle.case(name, function, [normal(2, *space, channels)], variables)


def convolutions():
    convolution("conv1d", [7], [3], 2, 3, stride=2, padding=2, dilation=2)
    convolution("conv2d", [5, 4], [3, 2], 2, 3, stride=(2, 1), padding=(1, 1), relu=True)
    convolution("conv2d_same", [4, 5], [2, 3], 1, 2, padding="same", bias=False)
    convolution("conv3d", [3, 4, 3], [2, 3, 2], 2, 4, groups=2, stride=(1, 2, 1), padding=(1, 1, 0))
    convolution("depthwise1d", [6], [3], 3, 3, groups=3, padding=1)
    convolution("depthwise2d", [4, 5], [3, 2], 2, 6, groups=2, stride=2, padding=1, relu=True)
    transposed("transpose1d", [4], [3], 2, 3)
    transposed("transpose1d_dilated", [4], [3], 2, 2, stride=2, dilation=2, padding=3,
               output_padding=1, bias=False)
    transposed("transpose2d", [3, 2], [3, 4], 2, 4, groups=2, stride=(2, 3), padding=1,
               output_padding=(1, 2))
    transposed("transpose2d_crop", [3, 3], [4, 3], 2, 1, stride=2, crop=[(2, 0), (0, 1)])
    transposed("transpose2d_same", [3, 3], [3, 1], 1, 2, stride=(2, 3), crop=[(0, 1), (0, 0)],
               output_padding=(0, 2))
    transposed("transpose3d", [2, 2, 3], [2, 3, 1], 1, 2, stride=(2, 1, 2), padding=(0, 1, 0),
               output_padding=(1, 0, 0))


def pools():
    def case(name, function, *shape):
        oracle.case(name, lambda x, v: last(function(first(x[0]))), [normal(*shape)])

    case("max_pool1d", lambda x: F.max_pool1d(x, 3, 2, 1), 2, 6, 2)
    case("max_pool2d", lambda x: F.max_pool2d(x, (3, 2), (2, 1), (1, 0)), 2, 5, 4, 2)
    case("max_pool3d", lambda x: F.max_pool3d(x, 2), 1, 2, 4, 2, 2)
    case("average_pool1d", lambda x: F.avg_pool1d(x, 3, 1, 1), 2, 5, 2)
    case("average_pool2d", lambda x: F.avg_pool2d(x, (3, 2), 2, (1, 0)), 2, 5, 4, 2)
    case("average_pool2d_exclude",
         lambda x: F.avg_pool2d(x, (3, 2), (2, 1), (1, 1), count_include_pad=False), 2, 5, 3, 2)
    case("average_pool3d_exclude",
         lambda x: F.avg_pool3d(x, 2, 2, (1, 0, 1), count_include_pad=False), 1, 2, 4, 2, 2)
    for rank, shape in (1, [2, 5, 3]), (2, [2, 3, 4, 2]), (3, [1, 2, 3, 2, 2]):
        space = tuple(range(1, rank + 1))
        for kind, function in ("average", torch.mean), ("max", torch.amax):
            oracle.case(f"global_{kind}{rank}d", lambda x, v, f=function, s=space: f(x[0], dim=s),
                        [normal(*shape)])
    average = [F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d]
    greatest = [F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d]
    for name, shape, extent in (("1d", [2, 7, 2], [3]), ("2d", [2, 5, 7, 2], [3, 4]),
                                ("2d_even", [1, 4, 6, 2], [2, 3]), ("2d_wide", [1, 3, 4, 2], [5, 4]),
                                ("3d", [1, 3, 4, 5, 1], [2, 2, 3])):
        for kind, functions in ("average", average), ("max", greatest):
            function = functions[len(extent) - 1]
            case(f"adaptive_{kind}{name}", lambda x, f=function, e=tuple(extent): f(x, e), *shape)


def affine(channels, scale=True, bias=True):
    variables = {}
    if scale:
        variables["n/scale"] = normal(channels)
    if bias:
        variables["n/bias"] = normal(channels)
    return variables


def norms():
    def layer(name, shape, scale=True, bias=True, eps=1e-5):
        c = shape[-1:]
        oracle.case(name, lambda x, v: F.layer_norm(x[0], c, v.get("n/scale"), v.get("n/bias"), eps),
                    [normal(*shape)], affine(c[0], scale, bias))

    def rms(name, shape, scale=True, eps=1e-5):
        c = shape[-1:]
        oracle.case(name, lambda x, v: F.rms_norm(x[0], c, v.get("n/scale"), eps),
                    [normal(*shape)], affine(c[0], scale, False))

    def group(name, shape, groups, scale=True, bias=True, eps=1e-5):
        ones = torch.ones(shape[-1], dtype=torch.float64)  # PyTorch wants a weight where a bias is
        oracle.case(name, lambda x, v: last(
            F.group_norm(first(x[0]), groups, v.get("n/scale", ones), v.get("n/bias"), eps)),
                    [normal(*shape)], affine(shape[-1], scale, bias))

    def instance(name, shape, scale=True, bias=True, eps=1e-5):
        oracle.case(name, lambda x, v: last(F.instance_norm(
            first(x[0]), weight=v.get("n/scale"), bias=v.get("n/bias"), eps=eps)),
                    [normal(*shape)], affine(shape[-1], scale, bias))

    layer("layer_norm", [3, 5])
    layer("layer_norm_wide", [2, 2, 3, 4], bias=False, eps=0.1)
    layer("layer_norm_bias", [2, 4], scale=False)
    layer("layer_norm_bare", [2, 3, 4], scale=False, bias=False)
    rms("rms_norm", [2, 3, 4])
    rms("rms_norm_bare", [3, 5], scale=False, eps=0.1)
    rms("rms_norm_exact", [2, 4], eps=0)
    group("group_norm", [2, 2, 3, 4], 2)
    group("group_norm1d", [2, 3, 6], 3, bias=False, eps=0.1)
    group("group_norm_flat", [3, 4], 2, scale=False)
    instance("instance_norm", [2, 3, 2, 3])
    instance("instance_norm1d", [2, 4, 2], scale=False, bias=False, eps=0.1)


def batch_norms():
    def case(name, shape, training=True, scale=True, bias=True, momentum=0.1, eps=1e-5):
        c = shape[-1]

        def function(x, v):
            mean, variance = v["n/mean"].detach().clone(), v["n/variance"].detach().clone()
            y = last(F.batch_norm(first(x[0]), mean, variance, v.get("n/scale"), v.get("n/bias"),
                                  training, momentum, eps))
            return [y], {"n/mean": mean, "n/variance": variance}

        variables = affine(c, scale, bias)
        variables["n/mean"] = normal(c)
        variables["n/variance"] = uniform(0.5, 2, c)
        oracle.case(name, function, [normal(*shape)], variables)

    case("batch_norm", [3, 2, 2, 3])
    case("batch_norm_flat", [5, 3], momentum=0.3, eps=0.1)
    case("batch_norm1d", [2, 3, 2], scale=False)
    case("batch_norm3d", [2, 2, 1, 2, 2], scale=False, bias=False)
    case("batch_norm_eval", [3, 2, 2, 3], training=False)
    case("batch_norm_eval_bare", [2, 3], training=False, scale=False, bias=False, eps=0.1)
    case("batch_norm_frozen", [2, 2, 3], training=False, bias=False)


def resizes():
    def case(name, shape, extent, **opts):
        oracle.case(name, lambda x, v: last(F.interpolate(first(x[0]), tuple(extent), **opts)),
                    [normal(*shape)])

    case("nearest1d", [2, 5, 2], [8], mode="nearest")
    case("nearest2d", [1, 4, 3, 2], [3, 7], mode="nearest")
    case("nearest3d", [1, 2, 3, 2, 2], [4, 2, 2], mode="nearest")
    for name, shape, extent in (("up", [1, 3, 4, 2], [7, 6]), ("down", [1, 7, 5, 2], [3, 4]),
                                ("one", [1, 3, 1, 2], [1, 3])):
        for corners in False, True:
            case(f"bilinear_{name}{'_corners' if corners else ''}", shape, extent, mode="bilinear",
                 align_corners=corners)


activations()
convolutions()
pools()
norms()
batch_norms()
resizes()
oracle.write()
