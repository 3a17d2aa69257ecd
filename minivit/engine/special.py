"""Special functions: erf, and exponentials, which are most of the time that is not products."""

import math

import numpy as np
from numpy.lib.introspect import opt_func_info

from minivit.engine import numerics

# -- exponentials ----------------------------------------------------------------------------------
# Where NumPy has machine code for it (AVX-512), 2^x of float32 takes half the time of e^x.
_found = opt_func_info(func_name="^exp2$", signature="^float32$")
_EXP2_IS_FAST = not _found["exp2"]["ff"]["current"].startswith("baseline") if _found else False


def fast_exp(xp, dtype):
    """(f, unit): f(x unit) = e^x. It pays where x is multiplied anyway, so that `unit` is free."""
    if xp is np and dtype == np.float32 and _EXP2_IS_FAST:
        return _exp2, 1 / math.log(2)
    return xp.exp, 1.0


def _exp2(x, out=None):
    """2^x. By e^x where a result is out of range or nearly: NumPy's exp2 takes up to 60 times as
    long for those."""
    if x.size and -125 < x.min() and x.max() < 127:
        return np.exp2(x, out=out)
    return np.exp(x * x.dtype.type(math.log(2)), out=out)


def exponentials(xp, S, exp=None):
    """e^(S - the largest of each row), in S's memory: the numerators of a softmax over the last
    axis, none of which overflows. A row of -inf gives zeros. exp: another function than xp.exp."""
    largest = S.max(axis=-1, keepdims=True)
    S -= xp.maximum(largest, xp.finfo(S.dtype).min)  # -inf - -inf would be NaN
    return (exp or xp.exp)(S, out=S)


# -- erf and the normal distribution ---------------------------------------------------------------
# float32: Phi(-a) = R(u) e^(-a^2/2), u = a / (a + 4), and erf(x) = x + x P(x^2) below 0.9;
# coefficients of least largest relative error (4e-8; R: up to a = 14.5), the highest power first
R = (-0.0336786283, 0.108477486, -0.0465517438, -0.210601144, 0.110138356, 0.86993968,
     -2.10617659, 2.40420061, -1.59576825, 0.5)  # fmt: skip
_P = (-6.09035801e-4, 5.01196241e-3, -2.67789086e-2, 0.112821408, -0.376125233, 0.128379154)
_vector_erf = np.vectorize(math.erf, otypes=[np.float64])
_vector_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def erf(xp, x):
    """The error function, 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x. float32 to 2 ulp;
    float64 on the CPU: math.erf, element by element, exact and slow (it is for checking)."""
    if xp is not np:
        return _device_special(xp, "erf")(x)
    if x.dtype != np.float32:
        return _vector_erf(x) if x.size else x.astype(np.float64)
    y = np.empty_like(x)
    for piece in numerics.pieces(np, x, y, size=1 << 15):
        _erf(*piece)
    return y


def normal_tail(xp, a):
    """Phi(-a) and e^(-a^2/2) for a from 0 to 40, Phi the normal distribution function. Phi(-a) has
    all its digits where 1 - Phi(a) has lost them."""
    e = a * a
    if xp is np and a.dtype == np.float32:
        exp, unit = fast_exp(xp, a.dtype)
        e *= -unit / 2
        e = exp(e, out=e)
        return _over_bell(a) * e, e
    e *= -0.5
    if xp is not np:
        tail = _device_special(xp, "erfc")(a * math.sqrt(0.5))
    else:
        tail = _vector_erfc(a * math.sqrt(0.5)) if a.size else a.astype(np.float64)
    return tail / 2, xp.exp(e, out=e)


def _erf(x, y):
    """Chosen by products with 0 and 1: np.where takes three times as long (a branch a number)."""
    x = np.clip(x, -4, 4)  # erf(4) rounds to 1
    a = np.abs(x)
    y[...] = _horner(_P, x * x)
    y *= x
    y += x
    y *= a < 0.9
    far = _over_bell(a * math.sqrt(2))  # 1 - erf(a) = 2 Phi(-a sqrt 2)
    far *= np.exp(-a * a)
    y += np.copysign(1 - 2 * far, x) * (a >= 0.9)


def _over_bell(a):
    """Phi(-a) / e^(-a^2/2)."""
    u = a + 4
    np.divide(a, u, out=u)
    return _horner(R, u)


def _horner(coefficients, x):
    first, *others = coefficients
    y = first * x
    for c in others[:-1]:
        y += c
        y *= x
    y += others[-1]
    return y


def _device_special(xp, name):
    if xp.__name__ == "cupy":
        from cupyx.scipy import special

        return getattr(special, name)
    return getattr(xp, name)  # the stand-in device of the tests brings its own
