"""Softmax, its logarithm, and cross-entropy: scores made shares, and what a wrong share costs."""

from math import prod
from operator import index as as_integer

import numpy as np

from minivit.engine import backend, numerics
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.numerics import row_dot
from minivit.engine.ops import exp, log
from minivit.engine.record import op

IGNORED = -100  # a label that cross_entropy_loss leaves out
SMALL = 30.0  # scores up to here need no maximum: no share of a few is below 1e-30


def mean_over(terms):
    """Mark a loss(model, *batch) as the mean over so many things, terms(*batch): the tokens that
    are no padding, say. Whoever cuts a batch (ranks, threads, accumulation) then weighs its parts
    by them; a loss without a mark is a mean over the examples, or over the labels that count."""

    def mark(loss):
        loss.terms = terms
        return loss

    return mark


def _exponentials(xp, x):
    """Of scores x (n, C), with m the largest of each row: z = x - m, e = e^z, their sums l (n,),
    log l, and m. Subtracting m changes no share e / l, and nothing can overflow.

    log l is log1p of the sum without the largest e, which is 1: where one score stands out, that
    sum is small, and 1 + it would round it away. m is 0 where it is infinite.
    """
    n, C = x.shape
    if not C:
        nothing = xp.zeros(n, dtype=x.dtype)
        return x, x, nothing, nothing - xp.inf, nothing
    rows, largest = xp.arange(n), x.argmax(axis=1)
    m = x[rows, largest]
    m = xp.where(xp.isfinite(m), m, xp.zeros_like(m))
    with np.errstate(over="ignore"):  # beside a score of inf, whose share is NaN anyway
        z = x - m[:, None]
        e = xp.exp(z)
    one = e[rows, largest]  # not where a whole row is -inf, or a score is inf or NaN
    e[rows, largest] = 0
    others = e.sum(axis=1)
    e[rows, largest] = one
    l = others + one
    with np.errstate(divide="ignore"):
        return z, e, l, xp.where(one == 1, xp.log1p(others), xp.log(l)), m


def _shares(xp, x):
    """e / l of scores x (n, C). Of few small scores neither the maximum is wanted, nor the careful
    sum: it is a product with ones."""
    if xp is np and 0 < x.shape[1] <= 1024 and x.size and -SMALL < x.min() and x.max() < SMALL:
        e = np.exp(x)
        e /= (e @ np.ones(x.shape[1], dtype=x.dtype))[:, None]
        return e
    _, e, l, _, _ = _exponentials(xp, x)
    with np.errstate(invalid="ignore"):  # a row of -inf has no shares: NaN
        return e / l[:, None]


def _rows(xp, x, axis):
    """x with `axis` last and the other axes as one: (..., C, ...) -> (n, C)."""
    if not x.ndim:
        raise ShapeError("softmax of a number: expected at least one axis, over which it sums")
    axis = as_integer(axis)
    x = _moved(xp, x, axis, -1)
    return x.reshape(prod(x.shape[:-1]), x.shape[-1])


def _unrows(xp, y, shape, axis):
    """`_rows` undone: (n, C) -> `shape`."""
    last = shape[axis]
    rest = [side for i, side in enumerate(shape) if i != axis % len(shape)]
    return _moved(xp, y.reshape(*rest, last), -1, axis)


def _moved(xp, x, axis, to):
    """xp.moveaxis, which takes its time where there is nothing to move."""
    return x if {axis, to} <= {-1, x.ndim - 1} else xp.moveaxis(x, axis, to)


@op
def softmax(xp, x, /, axis=-1):
    """y_i = e^x_i / sum_j e^x_j. dx = y (g - sum_j g_j y_j): the rows of y sum to 1, so what g has
    in common along the axis does not matter."""
    y = _shares(xp, _rows(xp, x, axis))

    def vjp(g):
        g = _rows(xp, g, axis)
        dx = g - row_dot(xp, g, y)[:, None]
        dx *= y
        return _unrows(xp, dx, x.shape, axis)

    return _unrows(xp, y, x.shape, axis), vjp


@softmax.twin
def softmax_composed(x, axis=-1):
    e = exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@op
def log_softmax(xp, x, /, axis=-1):
    """y_i = x_i - log sum_j e^x_j. dx = g - softmax(x) sum_j g_j."""
    z, e, l, log_l, _ = _exponentials(xp, _rows(xp, x, axis))
    with np.errstate(invalid="ignore"):
        y = z - log_l[:, None]

    def vjp(g):
        g = _rows(xp, g, axis)
        with np.errstate(divide="ignore", invalid="ignore"):  # as above; and of no scores at all
            dx = g - e * (g.sum(axis=1) / l)[:, None]
        return _unrows(xp, dx, x.shape, axis)

    return _unrows(xp, y, x.shape, axis), vjp


@log_softmax.twin
def log_softmax_composed(x, axis=-1):
    return x - logsumexp_composed(x, axis=axis, keepdims=True)


@op
def logsumexp(xp, x, /, axis=-1, keepdims=False):
    """y = log sum_j e^x_j, a smooth maximum. dx = g softmax(x)."""
    _, e, l, log_l, m = _exponentials(xp, _rows(xp, x, axis))
    kept = tuple(1 if i == axis % x.ndim else side for i, side in enumerate(x.shape))
    y = (m + log_l).reshape(kept)

    def vjp(g):
        with np.errstate(divide="ignore", invalid="ignore"):  # a row of -inf, or of nothing
            dx = e * (g.reshape(-1) / l)[:, None]
        return _unrows(xp, dx, x.shape, axis)

    return y if keepdims else y.squeeze(axis), vjp


@logsumexp.twin
def logsumexp_composed(x, axis=-1, keepdims=False):
    m = x.max(axis=axis, keepdims=True)
    y = log(exp(x - m).sum(axis=axis, keepdims=True)) + m
    return y if keepdims else y.sum(axis=axis)


@op
def cross_entropy_loss(
    xp, logits, /, labels, axis=-1, ignore_index=IGNORED, label_smoothing=0.0, reduction="mean"
):
    """-log softmax(logits)[label], averaged over the labels that are not `ignore_index`.

    `axis` is the axis that is softmaxed: it holds the classes; `labels` has the other axes.
    label_smoothing s: the target is (1 - s) one-hot + s / C. reduction "none": a loss per label.
    dlogits = (softmax - target) / n. Labels are integers in [0, C), checked on the host.
    """
    x, axis, ignore_index = _rows(xp, logits, axis), as_integer(axis), as_integer(ignore_index)
    C = x.shape[1]
    if not C and x.shape[0]:
        raise ShapeError(f"cross_entropy_loss: logits of shape {logits.shape} have no classes")
    labels = numerics.checked_index(xp, labels, C, "cross_entropy_loss: labels", ignore_index)
    rest = tuple(side for i, side in enumerate(logits.shape) if i != axis % logits.ndim)
    if labels.shape != rest:
        raise ShapeError(
            f"cross_entropy_loss: labels have shape {labels.shape}, expected {rest}: the logits' "
            f"{logits.shape} without the class axis {axis}"
        )
    if reduction not in ("mean", "none"):
        raise OptionError(f"cross_entropy_loss: reduction is {reduction!r}, not 'mean' or 'none'")
    if not 0 <= label_smoothing < 1:
        raise OptionError(
            f"cross_entropy_loss: label_smoothing is {label_smoothing}, expected 0 <= s < 1"
        )
    s, rows, labels = label_smoothing, xp.arange(x.shape[0]), labels.reshape(-1)
    counted = labels != ignore_index
    label = xp.where(counted, labels, 0)
    n = xp.maximum(counted.sum(), 1).astype(x.dtype) if reduction == "mean" else 1
    z, e, l, log_l, _ = _exponentials(xp, x)
    with np.errstate(invalid="ignore"):  # of a row that is ignored
        log_p = z[rows, label] - log_l  # of the right class
        loss = -log_p if not s else s * (log_l - z.sum(axis=1) / max(C, 1)) - (1 - s) * log_p
    loss = xp.where(counted, loss, 0)  # chosen, not multiplied: 0 * NaN is NaN

    def vjp(g):
        g = xp.broadcast_to(g.reshape(-1) / n, rows.shape)  # of each row's loss
        with np.errstate(divide="ignore", invalid="ignore"):
            dx = e * (g / l)[:, None]
            dx[rows, label] = (xp.expm1(log_p) + s) * g  # p - (1 - s): p - 1 may be tiny
            if s:
                dx -= (s / max(C, 1)) * g[:, None]
        xp.copyto(dx, 0, where=~counted[:, None])  # chosen, not multiplied: 0 * NaN is NaN
        return _unrows(xp, dx, logits.shape, axis)

    return (loss.sum() / n if reduction == "mean" else loss.reshape(rest)), vjp


@cross_entropy_loss.twin
def cross_entropy_loss_composed(
    logits, labels, axis=-1, ignore_index=IGNORED, label_smoothing=0.0, reduction="mean"
):
    labels = np.asarray(labels)
    C = logits.shape[axis]
    ids = np.arange(C).reshape([-1 if i == axis % logits.ndim else 1 for i in range(logits.ndim)])
    onehot = np.expand_dims(labels, axis) == ids
    keep = np.expand_dims(labels != ignore_index, axis)
    target = keep * ((1 - label_smoothing) * onehot + label_smoothing / C)
    log_p = log_softmax_composed(logits, axis)
    target = backend.to_device(target.astype(log_p.dtype), log_p.device)
    loss = -(log_p * target).sum(axis=axis)
    return loss if reduction == "none" else loss.sum() / float(keep.sum() or 1)
