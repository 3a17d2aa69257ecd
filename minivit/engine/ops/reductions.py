"""Reductions: many numbers become one, so the gradient of one goes to many."""

import math

import numpy as np

from minivit.engine import numerics
from minivit.engine.numerics import NUMBERS
from minivit.engine.record import op


def _kept(x, axis):
    """The shape of a reduction over `axis` with the reduced axes kept as 1."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % (x.ndim or 1)
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def _terms(x, kept):
    """The number of terms of each result of a reduction."""
    return math.prod(n for n, k in zip(x.shape, kept, strict=True) if n != k)


@op(accepts=NUMBERS)
def sum(xp, x, /, axis=None, *, keepdims=False):
    """The sum over `axis` (all axes: None). Every term receives g."""
    shape, kept = x.shape, _kept(x, axis)
    y = numerics.total(x, axis, keepdims)
    return y, lambda g: xp.broadcast_to(g.reshape(kept), shape)


@op(accepts=NUMBERS)
def mean(xp, x, /, axis=None, *, keepdims=False):
    """The mean over `axis`. Each of n terms receives g / n."""
    shape, kept = x.shape, _kept(x, axis)
    n = _terms(x, kept)
    y = numerics.average(x, axis, keepdims)
    return y, lambda g: xp.broadcast_to(g.reshape(kept) / (n or 1), shape)


def _deviations(xp, x, axis, ddof):
    """h = x - mean, and the divisor of the sum of h^2: n - ddof, or 0 where that is negative (as in
    NumPy: the variance is infinite, or NaN of equal numbers)."""
    h = x - numerics.average(x, axis, True)
    if xp is np and h.size:
        h -= numerics.average(h, axis, True)  # what rounding left in the mean: |x| >> |h|
    n = _terms(x, _kept(x, axis)) - ddof
    return h, 0 if n < 0 else n


@op(accepts=NUMBERS)
def var(xp, x, /, axis=None, *, ddof=0, keepdims=False):
    """The variance over `axis`, divided by n - ddof. d/dx = 2 (x - mean) / (n - ddof)."""
    kept = _kept(x, axis)
    h, n = _deviations(xp, x, axis, ddof)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = numerics.total(h * h, axis, keepdims) / n
    return y, lambda g: h * (g.reshape(kept) * (2 / n if n else math.inf))


@op(accepts=NUMBERS)
def std(xp, x, /, axis=None, *, ddof=0, keepdims=False):
    """The standard deviation y over `axis`. d/dx = (x - mean) / (y (n - ddof)); 0 where y is 0."""
    kept = _kept(x, axis)
    h, n = _deviations(xp, x, axis, ddof)
    y = numerics.root_of_sum(xp, h, n, axis, keepdims)

    def vjp(g):
        spread = y.reshape(kept)
        return h / xp.where(spread == 0, math.inf, spread) * (g.reshape(kept) / (n or math.nan))

    return y, vjp


@op
def norm_(xp, x, /, axis=None, *, keepdims=False):
    """y, the root of the sum of squares over `axis`. d/dx = x / y; 0 where y is 0."""
    kept = _kept(x, axis)
    y = numerics.root_of_sum(xp, x, 1, axis, keepdims)

    def vjp(g):
        length = y.reshape(kept)
        return x / xp.where(length == 0, math.inf, length) * g.reshape(kept)

    return y, vjp


@op(accepts=NUMBERS)
def max(xp, x, /, axis=None, *, keepdims=False):
    """The largest over `axis`. Where several are largest, they share the gradient."""
    return _extreme(x, x.max(axis=axis, keepdims=keepdims), axis)


@op(accepts=NUMBERS)
def min(xp, x, /, axis=None, *, keepdims=False):
    """The smallest over `axis`. Where several are smallest, they share the gradient."""
    return _extreme(x, x.min(axis=axis, keepdims=keepdims), axis)


def _extreme(x, y, axis):
    kept = _kept(x, axis)

    def vjp(g):
        chosen = x == y.reshape(kept)
        n = chosen.sum(axis=axis, keepdims=True).astype(g.dtype)
        return chosen * (g.reshape(kept) / n)

    return y, vjp


@op(accepts=NUMBERS)
def prod(xp, x, /, axis=None, *, keepdims=False):
    """The product over `axis`. Each term receives g times the product of the others."""
    kept = _kept(x, axis)
    axes = [i for i, (n, k) in enumerate(zip(x.shape, kept, strict=True)) if n != k]

    def vjp(g):
        if not x.size:
            return xp.zeros(x.shape, dtype=g.dtype)
        rest = [i for i in range(x.ndim) if i not in axes]
        rows = x.transpose(rest + axes)
        shape, ones = rows.shape, xp.ones((*rows.shape[: len(rest)], 1), dtype=x.dtype)
        rows = rows.reshape(*ones.shape[:-1], _terms(x, kept))
        before = xp.cumprod(xp.concatenate([ones, rows[..., :-1]], axis=-1), axis=-1)
        after = xp.concatenate([ones, rows[..., :0:-1]], axis=-1)
        after = xp.cumprod(after, axis=-1)[..., ::-1]
        others = (before * after).reshape(shape).transpose(np.argsort(rest + axes).tolist())
        return g.reshape(kept) * others

    return x.prod(axis=axis, keepdims=keepdims), vjp


@op(accepts=NUMBERS)
def cumsum(xp, x, /, axis=None):
    """Running sum along `axis` (None: of all elements in order). x_i is in every sum from i on, so
    g is summed from the end."""
    y = numerics.running_sum(xp, x, axis)

    def vjp(g):
        along = 0 if axis is None else axis
        back = numerics.running_sum(xp, xp.flip(g, axis=along), along)
        return xp.flip(back, axis=along).reshape(x.shape)

    return y, vjp
