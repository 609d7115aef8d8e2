#!/usr/bin/env python3
"""Makes tests/golden/oracle_attention.safetensors: attention, rotary positions, recurrent cells,
embedding, gated units and tensor functions by PyTorch (see oracle.py)."""
import math

import numpy
import torch
import torch.nn.functional as F

from oracle import Oracle

o = Oracle("oracle_attention", 20240917)


def heads_first(x):
    return x.transpose(1, 2)


def attend(q, k, v, **options):
    y = F.scaled_dot_product_attention(heads_first(q), heads_first(k), heads_first(v), **options)
    return heads_first(y)


def attention_cases():
    def qkv(batch, time, source, heads, kv_heads, width):
        return [o.normal(batch, time, heads, width), o.normal(batch, source, kv_heads, width),
                o.normal(batch, source, kv_heads, width)]

    def case(name, inputs, **options):
        o.case(name, lambda x, v: attend(*x[:3], **options), inputs)

    case("attention", qkv(2, 3, 4, 2, 2, 4))
    case("attention_causal", qkv(2, 4, 4, 2, 2, 3), is_causal=True)
    case("attention_causal_long_source", qkv(1, 3, 5, 2, 2, 3), is_causal=True)
    case("attention_causal_short_source", qkv(1, 5, 3, 2, 2, 3), is_causal=True)
    case("attention_scale", qkv(1, 3, 3, 2, 2, 4), scale=0.25)
    case("attention_grouped", qkv(2, 3, 4, 6, 2, 3), enable_gqa=True)
    case("attention_grouped_causal", qkv(1, 4, 4, 4, 1, 3), enable_gqa=True, is_causal=True)

    mask = o.random.random((2, 2, 3, 4)) < 0.6
    mask[..., 0] = True
    o.case("attention_mask", lambda x, v: attend(*x[:3], attn_mask=x[3]),
           qkv(2, 3, 4, 2, 2, 3) + [mask])
    padding = numpy.array([[[[True, True, True, False]]], [[[True, False, False, False]]]])
    o.case("attention_mask_broadcast", lambda x, v: attend(*x[:3], attn_mask=x[3]),
           qkv(2, 3, 4, 2, 2, 3) + [padding])

    def masked_causal(x, v):
        return attend(*x[:3], attn_mask=x[3] & torch.ones(4, 4).tril().bool(), enable_gqa=True)

    mask = o.random.random((4, 4, 4)) < 0.6
    mask[..., 0] = True
    o.case("attention_mask_causal", masked_causal, qkv(2, 4, 4, 4, 2, 3) + [mask])
    # A query without a key gives zeros and no gradient.
    mask = numpy.ones((3, 4), bool)
    mask[1] = False

    def one_row_empty(x, v):
        y = attend(*x[:3], attn_mask=torch.ones(3, 4).bool())
        return y * torch.tensor([1, 0, 1.0]).double()[None, :, None, None]

    o.case("attention_mask_empty_row", one_row_empty, qkv(1, 3, 4, 2, 2, 3) + [mask])


def rotate(x, positions, base=10000.0, interleaved=False):
    """By complex numbers, unlike the implementation."""
    width = x.shape[-1]
    frequency = base ** (-torch.arange(0, width, 2).double() / width)
    angle = positions.double()[..., None] * frequency  # (batch?, time, width / 2)
    turn = torch.polar(torch.ones_like(angle), angle)
    turn = turn[..., :, None, :] if angle.dim() == 3 else turn[None, :, None, :]
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else x.chunk(2, -1)
    z = torch.complex(a, b) * turn
    if interleaved:
        return torch.stack([z.real, z.imag], -1).flatten(-2)
    return torch.cat([z.real, z.imag], -1)


def rotary_cases():
    x = o.normal(2, 5, 2, 6)
    o.case("rotary", lambda x, v: rotate(x[0], torch.arange(5)), [x])
    o.case("rotary_interleaved", lambda x, v: rotate(x[0], torch.arange(5), interleaved=True), [x])
    o.case("rotary_positions", lambda x, v: rotate(x[0], x[1], base=500.0),
           [x, o.integers(0, 40, 5)])
    o.case("rotary_positions_batch", lambda x, v: rotate(x[0], x[1], interleaved=True),
           [x, o.integers(0, 40, 2, 5)])


def projections(width, inner, kv_inner, source_width=None, bias=True):
    out = {}
    source_width = source_width or width
    for name, shape in {"query": (width, inner), "key": (source_width, kv_inner),
                        "value": (source_width, kv_inner), "out": (inner, width)}.items():
        out[f"mha/{name}/weight"] = o.normal(*shape, scale=0.5)
        if bias:
            out[f"mha/{name}/bias"] = o.normal(shape[1], scale=0.2)
    return out


def multi_head(x, v, heads, kv_heads=None, source=None, turn=None, **options):
    def linear(y, name):
        y = y @ v[f"mha/{name}/weight"]
        return y + v[f"mha/{name}/bias"] if f"mha/{name}/bias" in v else y

    source = x if source is None else source
    q = linear(x, "query").unflatten(-1, (heads, -1))
    k = linear(source, "key").unflatten(-1, (kv_heads or heads, -1))
    w = linear(source, "value").unflatten(-1, (kv_heads or heads, -1))
    if turn:
        q, k = turn(q), turn(k)
    return linear(attend(q, k, w, enable_gqa=True, **options).flatten(2), "out")


def multi_head_module(x, v):
    """nn.MultiheadAttention itself."""
    module = torch.nn.MultiheadAttention(6, 3, batch_first=True).double()
    names = ["mha/query", "mha/key", "mha/value"]
    state = {"in_proj_weight": torch.cat([v[n + "/weight"].T for n in names]),
             "in_proj_bias": torch.cat([v[n + "/bias"] for n in names]),
             "out_proj.weight": v["mha/out/weight"].T, "out_proj.bias": v["mha/out/bias"]}
    return torch.func.functional_call(module, state, (x[0], x[0], x[0]),
                                      {"need_weights": False})[0]


def multi_head_cases():
    x = o.normal(2, 4, 6)
    o.case("multi_head", multi_head_module, [x], projections(6, 6, 6))
    o.case("multi_head_causal_no_bias", lambda x, v: multi_head(x[0], v, 2, is_causal=True), [x],
           projections(6, 6, 6, bias=False))
    o.case("multi_head_grouped_rotary",
           lambda x, v: multi_head(x[0], v, 4, 2, is_causal=True,
                                   turn=lambda y: rotate(y, x[1], 100.0, True)),
           [x, o.integers(0, 9, 4)], projections(6, 16, 8))
    mask = o.random.random((2, 1, 4, 3)) < 0.6
    mask[..., 1] = True
    o.case("multi_head_source_mask",
           lambda x, v: multi_head(x[0], v, 2, source=x[1], attn_mask=x[2]),
           [x, o.normal(2, 3, 5), mask], projections(6, 6, 6, 5))
    # Dropout at a rate that drops nothing: the path that has the probabilities at hand.
    o.case("multi_head_dropout",
           lambda x, v: multi_head(x[0], v, 4, 2, attn_mask=x[1] & torch.ones(4, 4).tril().bool(),
                                   scale=0.3),
           [x, numpy.array([True, True, False, True])], projections(6, 8, 4))


def cell_variables(name, gates, features, units, bias=True):
    out = {f"{name}/input/weight": o.normal(features, gates * units, scale=0.6),
           f"{name}/hidden/weight": o.normal(units, gates * units, scale=0.6)}
    if bias:
        for part in ("input", "hidden"):
            out[f"{name}/{part}/bias"] = o.normal(gates * units, scale=0.3)
    return out


def recurrent(kind, x, v, units, states, bias=True):
    """nn.LSTM or nn.GRU on (batch, time, in), or their cell on (batch, in); `states` as it takes."""
    cell = x.dim() == 2
    suffix = "" if cell else "_l0"
    name = kind.lower()
    state = {f"weight_ih{suffix}": v[f"{name}/input/weight"].T,
             f"weight_hh{suffix}": v[f"{name}/hidden/weight"].T}
    if bias:
        state |= {f"bias_ih{suffix}": v[f"{name}/input/bias"],
                  f"bias_hh{suffix}": v[f"{name}/hidden/bias"]}
    options = {} if cell else {"batch_first": True}
    module = getattr(torch.nn, kind + "Cell" if cell else kind)
    module = module(x.shape[-1], units, bias=bias, **options).double()
    return torch.func.functional_call(module, state, (x, states))


def recurrent_cases():
    batch, time, features, units = 2, 5, 3, 4
    x, h, c = o.normal(batch, features), o.normal(batch, units), o.normal(batch, units)
    o.case("lstm_cell", lambda x, v: list(recurrent("LSTM", x[0], v, units, (x[1], x[2]))),
           [x, h, c], cell_variables("lstm", 4, features, units))
    o.case("lstm_cell_from_zeros", lambda x, v: list(recurrent("LSTM", x[0], v, units, None, False)),
           [x], cell_variables("lstm", 4, features, units, False))
    o.case("gru_cell", lambda x, v: recurrent("GRU", x[0], v, units, x[1]), [x, h],
           cell_variables("gru", 3, features, units))
    o.case("gru_cell_from_zeros", lambda x, v: recurrent("GRU", x[0], v, units, None, False), [x],
           cell_variables("gru", 3, features, units, False))

    def lstm(x, v, states=None, backwards=False):
        y, (h, c) = recurrent("LSTM", x.flip(1) if backwards else x, v, units, states)
        return [y.flip(1) if backwards else y, h[0], c[0]]

    def gru(x, v, states=None, backwards=False):
        y, h = recurrent("GRU", x.flip(1) if backwards else x, v, units, states)
        return [y.flip(1) if backwards else y, h[0]]

    x = o.normal(batch, time, features)
    o.case("lstm", lambda x, v: lstm(x[0], v), [x], cell_variables("lstm", 4, features, units))
    o.case("lstm_states_backwards",
           lambda x, v: lstm(x[0], v, (x[1][None], x[2][None]), True), [x, h, c],
           cell_variables("lstm", 4, features, units))
    o.case("gru", lambda x, v: gru(x[0], v), [x], cell_variables("gru", 3, features, units))
    o.case("gru_states_backwards", lambda x, v: gru(x[0], v, x[1][None], True), [x, h],
           cell_variables("gru", 3, features, units))
    # More steps than one concatenation joins.
    o.case("gru_long", lambda x, v: gru(x[0], v), [o.normal(1, 70, 2)],
           cell_variables("gru", 3, 2, units))


def embedding_cases():
    table = {"words/weight": o.normal(6, 3)}
    indices = o.integers(0, 6, 2, 4)
    o.case("embedding", lambda x, v: F.embedding(x[0], v["words/weight"]), [indices], table)
    indices, table = indices.copy(), {"words/weight": table["words/weight"].copy()}
    indices[0, 1] = indices[1, 2] = 2
    table["words/weight"][2] = 0
    o.case("embedding_padding",
           lambda x, v: F.embedding(x[0], v["words/weight"], padding_idx=2), [indices], table)


def glu_cases():
    x = o.normal(2, 3, 8)
    gates = {"glu": torch.sigmoid, "geglu": F.gelu, "swiglu": F.silu, "reglu": F.relu}
    o.case("glu", lambda x, v: F.glu(x[0], -1), [x])
    for name in ("geglu", "swiglu", "reglu"):
        def gated(x, v, gate=gates[name]):
            a, b = x[0].chunk(2, -1)
            return a * gate(b)
        o.case(name, gated, [x])


EINSUMS = {
    "einsum_matmul": ("ij,jk->ik", [(2, 3), (3, 4)]),
    "einsum_implicit": ("ij,jk", [(2, 3), (3, 4)]),
    "einsum_implicit_order": ("ba", [(2, 3)]),
    "einsum_batch": ("bij,bjk->bki", [(2, 3, 4), (2, 4, 2)]),
    "einsum_attention": ("bthw, bshw -> bhts", [(2, 3, 2, 2), (2, 4, 2, 2)]),
    "einsum_trace": ("ii", [(4, 4)]),
    "einsum_diagonal": ("iji->ij", [(3, 2, 3)]),
    "einsum_diagonal_of_three": ("iii->i", [(3, 3, 3)]),
    "einsum_two_diagonals": ("ijij,jk->ik", [(2, 3, 2, 3), (3, 4)]),
    "einsum_sums": ("ijk,lj->k", [(2, 3, 4), (2, 3)]),
    "einsum_outer": ("i,j,k->kji", [(2,), (3,), (4,)]),
    "einsum_elementwise": ("ij,ij->ji", [(2, 3), (2, 3)]),
    "einsum_chain": ("ab,bc,cd,de->ea", [(2, 3), (3, 2), (2, 4), (4, 3)]),
    "einsum_bilinear": ("bn,anm,bm->ba", [(2, 3), (4, 3, 2), (2, 2)]),
    "einsum_scalar": ("i,i->", [(5,), (5,)]),
    "einsum_sums_of_both": ("i,jk->", [(2,), (3, 2)]),
    "einsum_capitals": ("aB,Bc", [(2, 3), (3, 4)]),
}


def function_cases():
    for name, (equation, shapes) in EINSUMS.items():
        o.case(name, lambda x, v: torch.einsum(equation, *x), [o.normal(*s) for s in shapes])

    x = o.normal(2, 3, 4)
    o.case("logsumexp", lambda x, v: torch.logsumexp(x[0], -1), [x])
    o.case("logsumexp_axis_keep", lambda x, v: torch.logsumexp(x[0], 1, keepdim=True), [x])
    o.case("logsumexp_large", lambda x, v: torch.logsumexp(x[0], 0), [x * 400])
    infinite = numpy.array([[1, -numpy.inf, 2], [-numpy.inf, -numpy.inf, -numpy.inf]], numpy.float32)
    o.case("logsumexp_infinite", lambda x, v: torch.logsumexp(x[0], -1), [infinite[:1]])
    o.case("logsumexp_all_infinite", lambda x, v: torch.logsumexp(x[0], -1), [infinite],
           differentiate=False)
    o.case("softmax_axis", lambda x, v: torch.softmax(x[0], 0), [x])
    o.case("log_softmax", lambda x, v: torch.log_softmax(x[0], -1), [x])
    o.case("log_softmax_axis", lambda x, v: torch.log_softmax(x[0], 1), [x])
    o.case("one_hot", lambda x, v: F.one_hot(x[0].long(), 4).double() * v["scale"],
           [o.integers(0, 4, 2, 3)], {"scale": o.normal(4)})

    o.case("norm_1", lambda x, v: torch.linalg.vector_norm(x[0], 1, 1), [x])
    o.case("norm_2", lambda x, v: torch.linalg.vector_norm(x[0], 2, -1, keepdim=True), [x])
    o.case("norm_infinity", lambda x, v: torch.linalg.vector_norm(x[0], math.inf, 0), [x])
    zero = o.normal(3, 4)
    zero[1] = 0
    for p, name in ((1, "1"), (2, "2"), (math.inf, "infinity")):
        o.case(f"norm_{name}_of_zero", lambda x, v: torch.linalg.vector_norm(x[0], p, -1), [zero])
    o.case("normalize", lambda x, v: F.normalize(x[0], 2, 1), [x])
    o.case("normalize_1_epsilon", lambda x, v: F.normalize(x[0], 1, -1, 2.5), [x])
    o.case("variance", lambda x, v: torch.var(x[0], -1, correction=0), [x])
    o.case("variance_unbiased_keep", lambda x, v: torch.var(x[0], 1, correction=1, keepdim=True),
           [x])
    o.case("standard_deviation", lambda x, v: torch.std(x[0], 0, correction=0), [x])
    o.case("standard_deviation_of_equals", lambda x, v: torch.std(x[0], -1, correction=1), [zero])
    o.case("cosine_similarity", lambda x, v: F.cosine_similarity(x[0], x[1], -1),
           [o.normal(2, 3, 4), o.normal(3, 4)])
    # By the formula: PyTorch's own function leaves epsilon out of the gradient.
    def similar(a, b):
        lengths = [torch.linalg.vector_norm(x, 2, 1).clamp_min(2.0) for x in (a, b)]
        return (a * b).sum(1) / (lengths[0] * lengths[1])

    pair = [o.normal(2, 3, 4), o.normal(2, 3, 4)]
    assert torch.allclose(similar(*map(torch.tensor, pair)),
                          F.cosine_similarity(*map(torch.tensor, pair), 1, 2.0))
    o.case("cosine_similarity_axis_epsilon", lambda x, v: similar(*x), pair)

    def clipped(x, limit):
        norm = torch.linalg.vector_norm(x)
        return x * (limit / norm) if norm > limit else x * 1

    o.case("clip_by_norm_over", lambda x, v: clipped(x[0], 1.5), [x])
    o.case("clip_by_norm_under", lambda x, v: clipped(x[0], 100), [x])
    o.case("clip_by_norm_of_zero", lambda x, v: clipped(x[0], 1), [numpy.zeros((2, 2), numpy.float32)])


attention_cases()
rotary_cases()
multi_head_cases()
recurrent_cases()
embedding_cases()
glu_cases()
function_cases()
o.write()
