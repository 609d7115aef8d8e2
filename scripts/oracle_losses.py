#!/usr/bin/env python3
"""Makes tests/golden/oracle_losses.safetensors and oracle_metrics.safetensors (see oracle.py).

The losses are PyTorch's own where it has them, else the papers' formulas written out with loops.
The metrics are computed with numpy from their definitions.
"""
import numpy
import torch
import torch.nn.functional as F

from oracle import Oracle

oracle = Oracle("oracle_losses", 20240902)
normal, uniform, integers = oracle.normal, oracle.uniform, oracle.integers


def mean(losses, weights=None):
    """The weighted mean; weights stand over the leading axes."""
    if weights is None:
        return losses.mean()
    weights = weights.reshape(weights.shape + (1,) * (losses.dim() - weights.dim()))
    weights = weights.expand(losses.shape)
    return (losses * weights).sum() / weights.sum()


def long(labels):
    return labels.long()


def positive(*shape):
    return uniform(0.25, 2, *shape)


def signs(*shape):
    return (2.0 * integers(0, 2, *shape) - 1).astype(numpy.float32)


def regression():
    pair = lambda: [normal(4, 3, scale=1.5), normal(4, 3)]
    case = oracle.case
    case("mse", lambda x, v: F.mse_loss(*x), pair())
    case("squared_error", lambda x, v: mean((x[0] - x[1]) ** 2, x[2]), pair() + [positive(4)])
    case("l1", lambda x, v: F.l1_loss(*x), pair())
    case("l1_weights", lambda x, v: mean((x[0] - x[1]).abs(), x[2]), pair() + [positive(4, 3)])
    case("huber", lambda x, v: F.huber_loss(*x), pair())
    case("huber_delta", lambda x, v: mean(F.huber_loss(x[0], x[1], reduction="none", delta=0.6),
                                          x[2]), pair() + [positive(4)])
    case("smooth_l1", lambda x, v: F.smooth_l1_loss(*x), pair())
    case("smooth_l1_beta", lambda x, v: mean(
        F.smooth_l1_loss(x[0], x[1], reduction="none", beta=0.4), x[2]), pair() + [positive(4)])


def cross_entropy():
    case = oracle.case
    logits = lambda: normal(6, 4, scale=2)
    labels = numpy.array([0, 3, -1, 2, 2, 1], numpy.int32)
    # PyTorch has no gradient for class weights.
    fixed = lambda x: x[2].detach()
    ce = lambda x, w=None, **more: F.cross_entropy(x[0], long(x[1]), w, ignore_index=-1, **more)
    case("ce", lambda x, v: ce(x), [logits(), labels])
    case("ce_large", lambda x, v: ce(x), [60 * normal(6, 4), labels])
    case("ce_smooth", lambda x, v: ce(x, label_smoothing=0.2), [logits(), labels])
    case("ce_class", lambda x, v: ce(x, fixed(x)), [logits(), labels, positive(4)])
    case("ce_class_smooth", lambda x, v: ce(x, fixed(x), label_smoothing=0.3),
         [logits(), labels, positive(4)])
    other = numpy.array([0, 3, 0, 2, 2, 1], numpy.int32)
    case("ce_ignore_0", lambda x, v: F.cross_entropy(x[0], long(x[1]), ignore_index=0),
         [logits(), other])
    case("ce_ignore_2", lambda x, v: F.cross_entropy(x[0], long(x[1]), fixed(x), ignore_index=2,
                                                     label_smoothing=0.1),
         [logits(), other, positive(4)])

    def rows(x, v):
        losses = F.cross_entropy(x[0].reshape(6, 4), long(x[1]).reshape(6), ignore_index=-1,
                                 label_smoothing=0.25, reduction="none")
        weights = x[2].reshape(2, 1).expand(2, 3).reshape(6) * (x[1].reshape(6) >= 0)
        return (losses * weights).sum() / weights.sum()
    case("ce_rows", rows, [normal(2, 3, 4), labels.reshape(2, 3), positive(2)])

    def everything(x, v):
        losses = F.cross_entropy(x[0], long(x[1]), fixed(x), ignore_index=3, label_smoothing=0.25,
                                 reduction="none")
        weights = x[3] * (x[1] != 3)
        return (losses * weights).sum() / (weights * fixed(x)[long(x[1])]).sum()
    case("ce_all", everything, [logits(), other, positive(4), positive(6)])

    def shares(*shape):
        raw = uniform(0.1, 1, *shape)
        return (raw / raw.sum(-1, keepdims=True)).astype(numpy.float32)
    case("ce_dense", lambda x, v: F.cross_entropy(*x), [logits(), shares(6, 4)])
    case("ce_dense_class", lambda x, v: F.cross_entropy(x[0], x[1], fixed(x), label_smoothing=0.3),
         [logits(), shares(6, 4), positive(4)])
    case("ce_dense_weights", lambda x, v: mean(F.cross_entropy(
        x[0].reshape(6, 4), x[1].reshape(6, 4), reduction="none").reshape(2, 3), x[2]),
         [normal(2, 3, 4), shares(2, 3, 4), positive(2, 3)])


def binary():
    case, bce = oracle.case, F.binary_cross_entropy_with_logits
    case("bce", lambda x, v: bce(*x), [normal(4, 3, scale=2), uniform(0, 1, 4, 3)])
    extreme = numpy.array([[0, 0, 90], [-90, 90, -90], [300, -300, 1e-3]], numpy.float32)
    sides = numpy.array([[0, 1, 1], [0, 0, 1], [1, 0, 1]], numpy.float32)
    case("bce_extreme", lambda x, v: bce(*x), [extreme, sides])
    case("bce_extreme_pos", lambda x, v: bce(x[0], x[1], pos_weight=x[2].detach()),
         [extreme, sides, positive(3)])
    case("bce_all", lambda x, v: mean(bce(x[0], x[1], pos_weight=x[2].detach(), reduction="none"), x[3]),
         [normal(4, 3, scale=2), uniform(0, 1, 4, 3), positive(3), positive(4)])


def divergence():
    case = oracle.case
    logs = lambda *s: numpy.log(uniform(0.1, 0.9, *s)).astype(numpy.float32)
    case("kl", lambda x, v: F.kl_div(*x, reduction="batchmean"), [logs(4, 3), positive(4, 3)])
    zeros = numpy.array([[0.5, 0.5, 0], [1, 0, 0]], numpy.float32)
    case("kl_zeros", lambda x, v: F.kl_div(x[0], x[1].detach(), reduction="batchmean"),
         [logs(2, 3), zeros])
    case("kl_log", lambda x, v: F.kl_div(*x, reduction="batchmean", log_target=True),
         [logs(4, 3), logs(4, 3)])
    case("kl_rows", lambda x, v: mean(F.kl_div(x[0], x[1], reduction="none").sum(-1), x[2]),
         [logs(2, 3, 4), positive(2, 3, 4), positive(2)])


def hinge():
    case = oracle.case
    plain = lambda x, m: (m - x[1] * x[0]).clamp(min=0)
    case("hinge", lambda x, v: plain(x, 1).mean(), [normal(4, 3), signs(4, 3)])
    case("hinge_squared", lambda x, v: mean(plain(x, 0.5) ** 2, x[2]),
         [normal(4, 3), signs(4, 3), positive(4)])
    labels = integers(0, 4, 5)
    case("multi_margin", lambda x, v: F.multi_margin_loss(x[0], long(x[1])), [normal(5, 4), labels])

    def some(x, v):
        keep = [0, 2, 3, 4]
        losses = F.multi_margin_loss(x[0][keep], long(x[1])[keep], p=2, margin=0.5,
                                     reduction="none")
        return (losses * x[2][keep]).sum() / x[2][keep].sum()
    ignored = labels.copy()
    ignored[1] = -1
    case("multi_margin_squared", some, [normal(5, 4), ignored, positive(5)])


def similarity():
    case = oracle.case
    rows = lambda: normal(5, 3)
    # PyTorch has no gradient for the sides; they are numbers that nobody trains.
    side = lambda x: x.detach()
    case("cosine", lambda x, v: F.cosine_embedding_loss(x[0], x[1], side(x[2])),
         [rows(), rows(), signs(5)])
    case("cosine_margin", lambda x, v: mean(F.cosine_embedding_loss(
        x[0], x[1], side(x[2]), margin=0.3, reduction="none"), x[3]),
         [rows(), rows(), signs(5), positive(5)])

    def hadsell(x, margin, weights=None):
        losses = []
        for a, b, same in zip(x[0], x[1], x[2]):
            d = (a - b).norm()
            losses.append(same * d ** 2 / 2 + (1 - same) * (margin - d).clamp(min=0) ** 2 / 2)
        return mean(torch.stack(losses), weights)
    same = numpy.array([0, 1, 0, 1, 1], numpy.float32)
    near = rows()
    case("contrastive", lambda x, v: hadsell(x, 1), [near, near + 0.3 * rows(), same])
    case("contrastive_margin", lambda x, v: hadsell(x, 2.5, x[3]),
         [near, near + 0.5 * rows(), same, positive(5)])
    case("contrastive_equal", lambda x, v: hadsell([x[0], x[0].detach(), x[2].detach()], 1),
         [near[:2], near[:2], numpy.ones(2, numpy.float32)])
    case("triplet", lambda x, v: F.triplet_margin_loss(*x), [rows(), rows(), rows()])
    case("triplet_swap", lambda x, v: mean(F.triplet_margin_loss(
        x[0], x[1], x[2], margin=0.7, swap=True, reduction="none"), x[3]),
         [rows(), rows(), rows(), positive(5)])

    def nce(x, temperature, both, weights=None):
        logits = x[0] @ x[1].T / temperature
        place = torch.arange(len(logits))
        losses = F.cross_entropy(logits, place, reduction="none")
        if both:
            losses = (losses + F.cross_entropy(logits.T, place, reduction="none")) / 2
        return mean(losses, weights)
    case("info_nce", lambda x, v: nce(x, 1, False), [rows(), rows()])
    case("info_nce_symmetric", lambda x, v: nce(x, 0.5, True, x[2]),
         [rows(), rows(), positive(5)])


def ranking():
    case = oracle.case
    case("margin_ranking", lambda x, v: F.margin_ranking_loss(x[0], x[1], x[2]),
         [normal(6), normal(6), signs(6)])
    case("margin_ranking_margin", lambda x, v: mean(F.margin_ranking_loss(
        x[0], x[1], x[2], margin=0.4, reduction="none"), x[3]),
         [normal(6), normal(6), signs(6), positive(6)])

    def pairs(x, weights):
        total, weight = 0, 0
        for s, r, w in zip(x[0], x[1], weights):
            for i in range(len(s)):
                for j in range(len(s)):
                    if r[i] > r[j] >= 0:
                        total = total + w * torch.log1p(torch.exp(s[j] - s[i]))
                        weight = weight + w
        return total / weight

    def listnet(s, r):
        return -(r.softmax(0) * s.log_softmax(0)).sum()

    def listmle(s, r):
        order = torch.sort(r, descending=True, stable=True).indices
        s = s[order]
        return sum(torch.logsumexp(s[i:], 0) - s[i] for i in range(len(s)))

    def lists(one, x, weights):
        total, weight = 0, 0
        for s, r, w in zip(x[0], x[1], weights):
            there = r >= 0
            if there.any():
                total = total + w * one(s[there], r[there])
                weight = weight + w
        return total / weight
    relevance = numpy.array([[3, 0, 1, 1, 2], [0, 1, 0, 2, 0]], numpy.float32)
    padded = numpy.array([[2, -1, 1, 1, -1], [-1, -1, -1, -1, -1], [0, 1, 0, 2, 0]], numpy.float32)
    for name, one in [("listnet", listnet), ("listmle", listmle), ("pairwise", None)]:
        # The order is no function of relevance that has a slope.
        r = (lambda x: x) if name == "listnet" else (lambda x: x.detach())
        f = (lambda x, w, one=one: lists(one, x, w)) if one else pairs
        case(name, lambda x, v: f([x[0], r(x[1])], torch.ones(2)), [normal(2, 5), relevance])
        case(name + "_padded", lambda x, v: f([x[0], r(x[1])], x[2]),
             [normal(3, 5, scale=2), padded, positive(3)])


def ctc():
    case = oracle.case
    labels = numpy.array([[1, 2, 2, 3], [4, 4, 0, 0], [2, 1, 3, 2], [3, 0, 0, 0]], numpy.int32)
    times = numpy.array([7, 5, 4, 6], numpy.int32)
    counts = numpy.array([4, 2, 3, 1], numpy.int32)
    logits = lambda time=7: normal(4, time, 5, scale=1.5)

    def losses(x, blank=0, logs=None, **more):
        p = (x[0].log_softmax(-1) if logs is None else logs).transpose(0, 1)
        return F.ctc_loss(p, long(x[1]), long(x[2]), long(x[3]), blank=blank, reduction="none",
                          **more)
    case("ctc", lambda x, v: losses(x).mean(), [logits(), labels, times, counts])
    case("ctc_long", lambda x, v: losses(x).mean(),
         [logits(16), labels, times * 2, counts])
    case("ctc_per_label", lambda x, v: F.ctc_loss(
        x[0].log_softmax(-1).transpose(0, 1), long(x[1]), long(x[2]), long(x[3])),
         [logits(), labels, times, counts])
    case("ctc_weights", lambda x, v: mean(losses(x), x[4]),
         [logits(), labels, times, counts, positive(4)])
    last = numpy.where(labels == 0, 4, labels - 1).astype(numpy.int32)
    case("ctc_blank", lambda x, v: losses(x, blank=4).mean(),
         [logits(), last, times, counts])
    case("ctc_no_labels", lambda x, v: losses(x).mean(),
         [logits(), labels, times, numpy.array([0, 2, 0, 1], numpy.int32)])
    # Two 2s in a row need a blank between: 3 steps for 3 labels do not do.
    short = numpy.array([7, 2, 3, 3], numpy.int32)
    tight = numpy.array([[1, 2, 2, 3], [4, 4, 0, 0], [2, 2, 1, 0], [3, 1, 2, 0]], numpy.int32)
    fit = numpy.array([4, 2, 3, 3], numpy.int32)
    case("ctc_impossible", lambda x, v: losses(x, zero_infinity=True).mean(),
         [logits(), tight, short, fit])
    case("ctc_infinite", lambda x, v: losses(x).mean(), [logits(), tight, short, fit],
         differentiate=False)
    # PyTorch's gradient takes the logarithms to be normalised, so they are made in the case.
    case("ctc_logs", lambda x, v: losses(x, logs=x[0].log_softmax(-1)).mean(),
         [logits(), labels, times, counts])


def write_metrics():
    m = Oracle("oracle_metrics", 20240903)
    logits = m.normal(12, 5).round(1)  # some are equal
    labels = m.integers(-1, 5, 12)
    order = numpy.argsort(-logits, axis=1, kind="stable")
    for k in (1, 2, 4):
        count = sum(int(label in row[:k]) for row, label in zip(order, labels))
        m.case(f"top_{k}", lambda x, v: torch.tensor(count), [logits, labels], differentiate=False)
    predicted, truth = m.integers(0, 4, 40), m.integers(-1, 4, 40)
    predicted[predicted == 2] = 1  # class 2 is never predicted
    truth[truth == 2] = 0
    confusion = numpy.zeros((5, 5), numpy.int32)
    for p, t in zip(predicted, truth):
        if t >= 0:
            confusion[t, p] += 1
    assert confusion[2].sum() + confusion[:, 2].sum() == 0 and confusion[4].sum() == 0
    m.case("confusion", lambda x, v: torch.from_numpy(confusion), [predicted, truth],
           differentiate=False)
    p, t = predicted[truth >= 0], truth[truth >= 0]
    ratio = lambda a, b: a / b if b else 0.0
    scores = []
    for c in range(5):
        hit = numpy.sum((p == c) & (t == c))
        precision, recall = ratio(hit, numpy.sum(p == c)), ratio(hit, numpy.sum(t == c))
        scores.append([precision, recall, ratio(2 * precision * recall, precision + recall)])
    m.put("scores/class", numpy.array(scores))
    m.put("scores/macro", numpy.mean([scores[c] for c in sorted(set(p) | set(t))], axis=0))
    m.put("scores/accuracy", numpy.mean(p == t))
    points = m.uniform(0, 1, 50).round(1)  # many ties
    sides = (m.uniform(0, 1, 50) < 0.2 + 0.6 * points).astype(numpy.int32)

    def area(values):
        wins = [(a > b) + 0.5 * (a == b) for a in values[sides == 1] for b in values[sides == 0]]
        return numpy.mean(wins)
    m.put("auc/scores", points)
    m.put("auc/labels", sides)
    m.put("auc/area", area(points))
    bins = numpy.minimum((points * numpy.float32(4)).astype(int), 3)
    counts = numpy.zeros((2, 4), numpy.int32)
    for b, side in zip(bins, sides):
        counts[side, b] += 1
    m.case("score_counts", lambda x, v: torch.from_numpy(counts), [points, sides],
           differentiate=False)
    m.put("auc/binned", area(bins))
    m.write()


regression()
cross_entropy()
binary()
divergence()
hinge()
similarity()
ranking()
ctc()
oracle.write()
write_metrics()
