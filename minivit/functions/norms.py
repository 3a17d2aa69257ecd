"""Normalisation: LayerNorm, RMSNorm, vectors of unit length."""

import math
from math import prod
from numbers import Real

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minivit.engine import fused
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.numerics import column_sum, outer, pair, plus, row_dot
from minivit.engine.ops import maximum
from minivit.engine.record import op


@op
def layer_norm(xp, x, gamma, beta, /, eps=1e-5):
    """y = gamma h + beta, h = (x - E[x]) r, r = 1 / sqrt(Var[x] + eps) over the last axis (Ba et
    al. 2016).

    On the slide a token is a column and the statistics are column-wise; here a token is a row. The
    variance is divided by D. Mean and variance depend on x too; with t = g gamma:
    dx = r (t - mean(t) - h mean(t h)), dgamma = sum of g h, dbeta = sum of g over the rows.

    h is never made: y = x (r gamma) + (beta - mean r gamma), a product and a sum of whole arrays.
    """
    shape, D = _features("layer_norm", x, eps, gamma=gamma, beta=beta)
    x = x.reshape(prod(shape[:-1]), D)
    if loops := fused.loops(x, gamma, beta):
        return _compiled(loops, shape, x, gamma, beta, eps)
    average = xp.full(D, 1 / max(D, 1), dtype=x.dtype)
    mean = row_dot(xp, x, average)  # (rows,)
    square = mean * mean
    var = row_dot(xp, x, x) / max(D, 1) - square
    if xp is not np or not (square <= var).all():  # digits would be lost: move the rows to 0
        x = x - mean[:, None]
        x -= row_dot(xp, x, average)[:, None]  # of the mean's rounding error
        mean, var = xp.zeros_like(mean), row_dot(xp, x, x) / max(D, 1)
    r = 1 / xp.sqrt(var + eps)
    r_0, gamma_0 = pair(xp, r, 0), pair(xp, gamma, 0)
    y = outer(xp, r_0, gamma_0)
    y *= x
    y = plus(y, outer(xp, pair(xp, -mean * r, 1), pair(xp, gamma, beta)))

    def vjp(g):
        g = g.reshape(x.shape)
        t = g * x
        dgamma = column_sum(xp, t, r) - column_sum(xp, g, mean * r)
        mean_tx, mean_t = t @ (gamma / D), g @ (gamma / D)  # of t = g gamma, by gemv
        a = r * (r * (r * (mean_tx - mean * mean_t)))  # r^2 mean(t h)
        dx = outer(xp, r_0, gamma_0)
        dx *= g
        dx -= xp.multiply(x, a[:, None], out=t)
        dx += (mean * a - r * mean_t)[:, None]
        return dx.reshape(shape), dgamma, column_sum(xp, g)

    return y.reshape(shape), vjp


def _compiled(loops, shape, x, gamma, beta, eps):
    """layer_norm of x (rows, D) by compiled loops."""
    y, (mean, rest, r) = np.empty_like(x), np.empty((3, len(x)), x.dtype)
    loops.layer_norm(x, gamma, beta, x.dtype.type(eps), y, mean, rest, r)

    def vjp(g):
        dx, (dgamma, dbeta) = np.empty_like(x), np.zeros((2, x.shape[1]))
        g = np.ascontiguousarray(g).reshape(x.shape)
        loops.layer_norm_back(g, x, gamma, mean, rest, r, dx, dgamma, dbeta)
        return dx.reshape(shape), dgamma.astype(x.dtype), dbeta.astype(x.dtype)

    return y.reshape(shape), vjp


@layer_norm.twin
def layer_norm_composed(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(axis=-1, keepdims=True)
    return gamma * centred / (x.var(axis=-1, keepdims=True) + eps).sqrt() + beta


@op
def rms_norm(xp, x, gamma, /, eps=1e-5):
    """y = gamma h, h = x r, r = 1 / sqrt(mean(x^2) + eps): LayerNorm without the mean (Zhang &
    Sennrich 2019; the norm of Image GPT's code). With t = g gamma: dx = r (t - h mean(t h)),
    dgamma = sum of g h over the rows."""
    shape, D = _features("rms_norm", x, eps, gamma=gamma)
    n = max(D, 1)
    r = (1 / xp.sqrt(row_dot(xp, x, x) / n + eps))[..., None]
    h = x * r

    def vjp(g):
        t = g * gamma
        dx = r * (t - h * (row_dot(xp, t, h) / n)[..., None])
        return dx, column_sum(xp, (g * h).reshape(prod(shape[:-1]), D))

    return h * gamma, vjp


@rms_norm.twin
def rms_norm_composed(x, gamma, eps=1e-5):
    return gamma * x / ((x * x).mean(axis=-1, keepdims=True) + eps).sqrt()


@op
def l2_normalize(xp, x, /, axis=-1, eps=1e-12):
    """y = x / max(|x|, eps), unit length along `axis` (a zero vector stays zero).

    dx = (g - y (g . y)) / |x|; where |x| < eps, the length is a constant, and dx = g / eps.
    """
    _check_eps("l2_normalize", eps)
    (axis,) = normalize_axis_tuple(axis, x.ndim)
    if not x.shape[axis]:
        return x, lambda g: g
    largest = xp.abs(x).max(axis=axis, keepdims=True)
    scaled = x / xp.where(largest > 0, largest, 1)  # so that no square overflows or is lost
    length = largest * xp.sqrt((scaled * scaled).sum(axis=axis, keepdims=True))
    is_longer = length > eps
    length = xp.maximum(length, eps)
    y = x / length

    def vjp(g):
        along = y * (g * y).sum(axis=axis, keepdims=True)
        return (g - xp.where(is_longer, along, 0)) / length

    return y, vjp


@l2_normalize.twin
def l2_normalize_composed(x, axis=-1, eps=1e-12):
    return x / maximum((x * x).sum(axis=axis, keepdims=True).sqrt(), eps)


def _features(name, x, eps, **parameters):
    """x's shape and the length D of its last axis, which all parameters must have."""
    _check_eps(name, eps)
    if not x.ndim:
        raise ShapeError(f"{name}: got a number, expected (..., D)")
    D = x.shape[-1]
    if any(p.shape != (D,) for p in parameters.values()):
        shapes = " and ".join(f"{key} {p.shape}" for key, p in parameters.items())
        raise ShapeError(
            f"{name}: x has {D} features (shape {x.shape}), but {shapes}; expected ({D},)"
        )
    return x.shape, D


def _check_eps(name, eps):
    if not isinstance(eps, Real) or not 0 <= eps < math.inf:
        raise OptionError(f"{name}: eps is {eps!r}, expected a number, 0 or more")
