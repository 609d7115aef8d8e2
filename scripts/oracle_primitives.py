"""Primitives over the range of their options: tests/golden/oracle_primitives.safetensors.

Arrays are in Thalweg's layouts, channels last; see oracle.py for what this needs.
"""
import numpy
import torch
import torch.nn.functional as F

from oracle import Oracle


def first(x):
    """Channels before the spatial axes."""
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def pad_space(x, low, high):
    sizes = []
    for a, b in reversed(list(zip(low, high))):
        sizes += [a, b]
    return F.pad(x, sizes)


def dilate(x, steps):
    """Zeros between the neighbours of each spatial axis of (batch, channels, space...)."""
    for axis, step in enumerate(steps, 2):
        shape = list(x.shape)
        shape[axis] = (shape[axis] - 1) * step + 1
        index = torch.arange(x.shape[axis]) * step
        x = torch.zeros(shape, dtype=x.dtype).index_copy(axis, index, x)
    return x


def convolve(stride, low, high, dilation, base, groups):
    def function(x, v):
        axes = len(stride)
        w = x[1].permute(axes + 1, axes, *range(axes))
        padded = pad_space(dilate(first(x[0]), base), low, high)
        conv = [F.conv1d, F.conv2d, F.conv3d][axes - 1]
        return last(conv(padded, w, stride=stride, dilation=dilation, groups=groups))
    return function


def pool(kind, window, stride, low, high, dilation):
    """Windows as gathered elements; padding is -infinity for the maximum, else zero."""
    def function(x, v):
        y = first(x[0])
        sizes = []
        for a, b in reversed(list(zip(low, high))):
            sizes += [a, b]
        y = F.pad(y, sizes, value=-float("inf") if kind == "max" else 0)
        for axis, (k, s, d) in enumerate(zip(window, stride, dilation), 2):
            count = (y.shape[axis] - (k - 1) * d - 1) // s + 1
            index = (torch.arange(count)[:, None] * s + torch.arange(k)[None, :] * d).reshape(-1)
            y = y.index_select(axis, index).unflatten(axis, (count, k))
            y = y.amax(axis + 1) if kind == "max" else y.mean(axis + 1)
        return last(y)
    return function


def flipped(function):
    return lambda t: function(t.flip(1)).flip(1)


def exclusive(function, start):
    return lambda t: torch.cat([torch.full_like(t[:, :1], start), function(t)[:, :-1]], 1)


def main():
    o = Oracle("oracle_primitives", 21)
    a, b = o.uniform(-3, 3, 4, 5), o.uniform(0.7, 2, 4, 5)
    o.case("rem", lambda x, v: torch.fmod(x[0], x[1]), [a, b])
    o.case("atan2", lambda x, v: torch.atan2(x[0], x[1]), [a, o.uniform(-3, 3, 4, 5)])
    o.case("clamp", lambda x, v: torch.clamp(x[0], -1, 0.5), [a])
    o.case("clamp_to", lambda x, v: torch.clamp(x[0], x[1], x[2]),
           [a, o.uniform(-2, 0, 5), o.uniform(0.1, 2, 4, 1)])

    x = o.uniform(-2, 2, 3, 4, 2)
    zeros = x.copy()
    zeros[0, 1, 0] = zeros[1, 0, 1] = zeros[1, 3, 1] = 0
    o.case("sum", lambda t, v: t[0].sum((0, 2)), [x])
    o.case("prod", lambda t, v: t[0].prod(2).prod(0), [zeros])
    o.case("prod_axis", lambda t, v: t[0].prod(1, keepdim=True), [zeros])
    o.case("max", lambda t, v: t[0].amax((1, 2), keepdim=True), [x])
    o.case("min", lambda t, v: t[0].amin(-3), [x])
    o.case("arg", lambda t, v: [t[0].argmin(1), t[0].argmax(-1)], [x])

    o.case("cumulative_sum", lambda t, v: t[0].cumsum(1), [x])
    o.case("cumulative_sum_back", lambda t, v: flipped(lambda u: u.cumsum(1))(t[0]), [x])
    o.case("cumulative_sum_both",
           lambda t, v: flipped(exclusive(lambda u: u.cumsum(1), 0))(t[0]), [x])
    o.case("cumulative_prod", lambda t, v: t[0].cumprod(1), [zeros])
    o.case("cumulative_prod_before", lambda t, v: exclusive(lambda u: u.cumprod(1), 1)(t[0]),
           [zeros])
    o.case("cumulative_prod_back", lambda t, v: flipped(lambda u: u.cumprod(1))(t[0]), [zeros])
    o.case("cumulative_max", lambda t, v: t[0].cummax(1).values, [x])
    o.case("cumulative_min_back", lambda t, v: flipped(lambda u: u.cummin(1).values)(t[0]), [x])

    o.case("sort", lambda t, v: list(t[0].sort(dim=1, stable=True)), [x])
    o.case("sort_down", lambda t, v: list(t[0].sort(dim=-1, descending=True, stable=True)), [x])
    o.case("argsort", lambda t, v: t[0].argsort(dim=0, stable=True), [x])
    o.case("top_k", lambda t, v: list(t[0].topk(3)), [a])

    start = numpy.array([1, 0, 1], numpy.int32)
    o.case("dynamic_slice", lambda t, v: t[0][1:3, 0:3, 1:2], [x, start])

    def update(t, v):
        y = t[0].clone()
        y[1:3, 0:3, 1:2] = t[1]
        return y
    o.case("dynamic_update", update, [x, o.normal(2, 3, 1), start])
    o.case("slice_step", lambda t, v: t[0][:, 1:4:2], [x])
    o.case("slice_back", lambda t, v: t[0].flip(1)[:, ::2], [x])

    index = numpy.array([2, 0, 2, 1, 2], numpy.int32)
    once = numpy.array([3, 0], numpy.int32)
    base, rows, two = o.normal(4, 3), o.normal(5, 3), o.normal(2, 3)
    o.case("scatter_add", lambda t, v: t[0].index_add(0, t[1], t[2]), [base, index, rows])
    o.case("scatter_max", lambda t, v: t[0].index_reduce(0, t[1].long(), t[2], "amax"),
           [base, index, rows])
    o.case("scatter_set", lambda t, v: t[0].index_copy(0, t[1].long(), t[2]), [base, once, two])

    def conv(name, space, window, channels, out, **options):
        axes, groups = len(space), options.get("groups", 1)
        given = [options.get(key, (default,) * axes) for key, default in
                 (("stride", 1), ("low", 0), ("high", 0), ("dilation", 1), ("base", 1))]
        o.case(name, convolve(*given, groups),
               [o.normal(2, *space, channels), o.normal(*window, channels // groups, out)])

    conv("conv1", (7,), (3,), 2, 3, stride=(2,), low=(1,), high=(3,), dilation=(2,), base=(3,))
    conv("conv1_groups", (6,), (2,), 4, 6, groups=2, low=(0,), high=(1,))
    conv("conv2", (5, 6), (3, 2), 2, 3, stride=(2, 1), low=(1, 0), high=(2, 1), dilation=(1, 2))
    conv("conv2_base", (3, 4), (2, 3), 2, 2, base=(2, 3), stride=(1, 2), low=(2, 0), high=(0, 1))
    conv("conv2_depthwise", (5, 4), (3, 3), 3, 6, groups=3, low=(1, 1), high=(1, 1))
    conv("conv3", (3, 4, 3), (2, 3, 2), 2, 2, stride=(1, 2, 1), low=(0, 1, 2), high=(1, 1, 0),
         dilation=(2, 1, 1), base=(1, 1, 2))

    def windows(name, kind, space, *options):
        o.case(name, pool(kind, *options), [o.normal(2, *space, 3)])

    windows("max1", "max", (9,), (3,), (2,), (1,), (2,), (2,))
    windows("max2", "max", (6, 7), (2, 3), (2, 1), (0, 2), (1, 1), (3, 2))
    windows("max3", "max", (3, 4, 5), (2, 2, 2), (1, 2, 2), (1, 0, 1), (0, 0, 0), (1, 2, 1))
    windows("average1", "average", (8,), (3,), (3,), (0,), (2,), (1,))
    windows("average2", "average", (6, 7), (2, 3), (2, 2), (1, 2), (1, 0), (2, 2))
    windows("average3", "average", (3, 4, 5), (2, 3, 2), (1, 1, 2), (0, 1, 1), (1, 0, 0), (1, 1, 3))
    o.write()


main()
