"""Activations: a number in, a number out."""

import math

import numpy as np

from minivit.engine import numerics
from minivit.engine.errors import OptionError
from minivit.engine.numerics import NUMBERS
from minivit.engine.ops import erf, exp, maximum, tanh
from minivit.engine.record import op


@op(accepts=NUMBERS)
def relu(xp, x, /):
    """max(x, 0). The derivative at 0 is taken as 0."""
    return xp.maximum(x, 0), lambda g: g * (x > 0)


@relu.twin
def relu_composed(x):
    return maximum(x, 0.0)


@op
def sigmoid(xp, x, /):
    """y = 1 / (1 + e^-x). dy/dx = y (1 - y)."""
    y = _sigmoid(xp, x, xp.empty_like(x))
    return y, lambda g: g * (y * (1 - y))


@sigmoid.twin
def sigmoid_composed(x):
    return 1 / (1 + exp(-x))


def _sigmoid(xp, x, e):
    """s = e / (1 + e) with e = e^x, in e's memory: right to the last bits where s is tiny too.
    Nothing overflows: from x = 80 on, s is 1 in float32 and in float64."""
    xp.clip(x, -math.inf, 80, out=e)  # np.minimum with a number takes three times as long
    xp.exp(e, out=e)
    e /= e + 1
    return e


@op
def silu(xp, x, /):
    """x sigmoid(x) (also called swish)."""
    return _gated(xp, x, lambda x: x, lambda y, s: 1)


@silu.twin
def silu_composed(x):
    return x * sigmoid_composed(x)


@op
def gelu(xp, x, /, approximate="none"):
    """x Phi(x), with Phi the normal distribution function (Hendrycks & Gimpel 2016).

    "none": exact, by erf (BERT and ViT in PyTorch's ports). "tanh": 0.5 x (1 + tanh(sqrt(2/pi)
    (x + 0.044715 x^3))) (GPT-2, Google's ViT). "quick": x sigmoid(1.702 x) (Image GPT, CLIP).
    They differ by up to 5e-4 and 2e-2: take the one a checkpoint was trained with.
    """
    if approximate not in ("none", "tanh", "quick"):
        raise OptionError(
            f"gelu: approximate is {approximate!r}, expected 'none', 'tanh' or 'quick'"
        )
    if approximate == "none":
        return _gelu_exact(xp, x)
    if approximate == "quick":
        return _gated(xp, x, lambda x: x * 1.702, lambda y, s: 1.702)
    return _gelu_tanh(xp, x)


def _gelu_exact(xp, x):
    """y = x Phi(x), Phi(x) = erfc(-x / sqrt 2) / 2. dy/dx = Phi(x) + x phi(x), phi the density."""
    Phi = numerics.erfc(xp, x * -math.sqrt(0.5))
    Phi *= 0.5

    def vjp(g):
        with np.errstate(over="ignore"):  # e^-inf is 0
            slope = xp.exp(x * x * -0.5)
        slope *= x
        slope *= 1 / math.sqrt(2 * math.pi)
        slope += Phi
        slope *= g
        return slope

    return x * Phi, vjp


def _gelu_tanh(xp, x):
    """x sigmoid(u) with u = 2 sqrt(2/pi) (x + 0.044715 x^3): (1 + tanh(u/2)) / 2 is sigmoid(u)."""
    c, a = math.sqrt(8 / math.pi), math.sqrt(8 / math.pi) * 0.044715

    def u(x):
        u = x * x  # never x**3: 700 times slower in float32
        u *= a
        u += c
        u *= x
        return u

    def du_dx(y, s):  # c + 3 a x^2
        x = xp.empty_like(s)
        xp.clip(s, xp.finfo(s.dtype).tiny, 1, out=x)
        xp.divide(y, x, out=x)  # 0 where s is 0
        xp.clip(x, -math.inf, 16, out=x)  # where 1 - s is 0, and x * x could be infinite
        x *= x
        x *= 3 * a
        x += c
        return x

    with np.errstate(over="ignore"):  # sigmoid(inf) is 1
        return _gated(xp, x, u, du_dx)


def _gated(xp, x, u, du_dx):
    """y = x s with s = sigmoid(u(x)), and dy/dx = s + y (1 - s) du/dx.

    y is kept by the next layer anyway, so x, which is y / s, is not kept: du_dx gets y and s.
    """
    s, y = xp.empty_like(x), xp.empty_like(x)
    for x_, s_, y_ in numerics.pieces(xp, x, s, y):
        _sigmoid(xp, u(x_), s_)
        xp.multiply(x_, s_, out=y_)

    def vjp(g):
        dx = xp.empty_like(y)
        for y_, s_, g_, slope in numerics.pieces(xp, y, s, g, dx):
            xp.subtract(1, s_, out=slope)
            slope *= du_dx(y_, s_)
            slope *= y_
            slope += s_
            slope *= g_
        return dx

    return y, vjp


@gelu.twin
def gelu_composed(x, approximate="none"):
    if approximate == "quick":
        return x * sigmoid_composed(1.702 * x)
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
