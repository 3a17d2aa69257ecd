"""Activations: a number in, a number out."""

import math
from functools import partial

import numpy as np

from minivit.engine import fused, numerics, special
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
    e = xp.clip(x, -math.inf, 80, out=xp.empty_like(x))  # nothing overflows, and 1 is reached
    xp.exp(e, out=e)
    y = e / (e + 1)  # right to the last bits where it is tiny too
    return y, lambda g: g * (y * (1 - y))


@sigmoid.twin
def sigmoid_composed(x):
    return 1 / (1 + exp(-x))


@op
def silu(xp, x, /, *, differentiate=True):
    """x sigmoid(x) (also called swish)."""
    if loops := fused.loops(x):
        f = _compiled(loops, "silu")
    else:
        f = _gated(xp, xp.exp, lambda x, _: (-x, 1))
    return _with_slope(xp, x, f, differentiate)


@silu.twin
def silu_composed(x):
    return x * sigmoid_composed(x)


@op
def gelu(xp, x, /, approximate="none", *, differentiate=True):
    """x Phi(x), with Phi the normal distribution function (Hendrycks & Gimpel 2016).

    "none": exact, by erf (BERT and ViT in PyTorch's ports). "tanh": 0.5 x (1 + tanh(sqrt(2/pi)
    (x + 0.044715 x^3))) (GPT-2, Google's ViT). "quick": x sigmoid(1.702 x) (Image GPT, CLIP).
    They differ by up to 5e-4 and 2e-2: take the one a checkpoint was trained with.
    """
    if approximate not in ("none", "tanh", "quick"):
        raise OptionError(
            f"gelu: approximate is {approximate!r}, expected 'none', 'tanh' or 'quick'"
        )
    if loops := fused.loops(x):
        f = loops.gelu if approximate == "none" else _compiled(loops, approximate)
    elif approximate == "none":
        f = partial(_gelu_exact, xp)
    else:
        exp, unit = special.fast_exp(xp, x.dtype)
        u = _u_of_tanh if approximate == "tanh" else _u_of_quick
        f = _gated(xp, exp, partial(u, xp, unit))
    return _with_slope(xp, x, f, differentiate)


_TANH = math.sqrt(8 / math.pi)
# gates x sigmoid(u): (c, a) of u = c x + a x^3
_U = {"silu": (1, 0), "quick": (1.702, 0), "tanh": (_TANH, _TANH * 0.044715)}


def _compiled(loops, gate):
    """The loop of a gate of _U, as a function of x, y, slope."""
    return partial(loops.gated, *map(np.float32, _U[gate]))


def _with_slope(xp, x, f, differentiate):
    """y and its vjp, g dy/dx, from f(x, y, slope), which writes both, or only y. The slope is made
    here, while x and y are in the cache: nothing else is kept, and the way back is a product."""
    y = xp.empty_like(x)
    slope = xp.empty_like(x) if differentiate else None
    for piece in numerics.pieces(xp, *((x, y, slope) if differentiate else (x, y))):
        f(*piece)
    return y, lambda g: g * slope


def _gelu_exact(xp, x, y, slope=None):
    """y = x Phi(x) = max(x, 0) - |x| Phi(-|x|), with Phi the normal distribution function: no digit
    is lost on either side. dy/dx = Phi(x) + x phi(x), phi the density: with w = |x| phi(x) -
    Phi(-|x|) it is 1 + w where x > 0, else -w."""
    a = xp.minimum(xp.abs(x), 40)  # where Phi is 0; so no inf * 0
    tail, bell = special.normal_tail(xp, a)
    xp.maximum(x, 0, out=y)
    y -= a * tail
    if slope is not None:
        a *= 1 / math.sqrt(2 * math.pi)
        a *= bell
        a -= tail  # w
        positive = x > 0
        xp.multiply(a, 2, out=slope)
        slope += 1
        slope *= positive
        slope -= a


def _gated(xp, exp, minus_u):
    """f for y = x s with s = sigmoid(u(x)): dy/dx = s + x s (1 - s) du/dx, and x (1 - s) is x - y.

    exp(-u) may be infinite: then y is 0, as it should be.
    """

    def f(x, y, slope=None):
        with np.errstate(over="ignore"):
            t, du = minus_u(x, slope is not None)
            t = exp(t, out=t)
        t += 1  # 1 / s
        xp.divide(x, t, out=y)
        if slope is not None:
            xp.subtract(x, y, out=slope)
            slope /= t
            slope *= du
            slope += xp.divide(1, t, out=t)

    return f


def _u_of_tanh(xp, unit, x, differentiate):
    """-unit u with u = 2 sqrt(2/pi) (x + 0.044715 x^3), and du/dx: (1 + tanh(u/2)) / 2 is
    sigmoid(u). Below -22 and above 10 x is taken as that: sigmoid(u) is 0 or 1 there already."""
    c, a = _U["tanh"]
    x = xp.clip(x, -22, 10) if differentiate else x
    du = x * x  # never x**3: 700 times slower in float32
    du *= -a * unit
    du -= c * unit
    u = du * x
    if differentiate:
        du *= -3 / unit
        du -= 2 * c  # 3 a x^2 + c
    return u, du


def _u_of_quick(xp, unit, x, differentiate):
    c, _ = _U["quick"]
    return x * (-c * unit), c


@gelu.twin
def gelu_composed(x, approximate="none"):
    if approximate == "quick":
        return x * sigmoid_composed(1.702 * x)
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))
