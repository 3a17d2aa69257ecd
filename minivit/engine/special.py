"""Special functions: erf, and exponentials, which are most of the time that is not products."""

import math

import numpy as np
from numpy.lib.introspect import opt_func_info

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


# -- erf -------------------------------------------------------------------------------------------
# float32: erf(x) = x + x P(x^2) below 0.9, and erfc(a) = t Q(t) e^(-a^2) with t = 1 / (1 + 0.4 a)
# from there on; coefficients of least largest relative error (4e-8), the highest power first.
_Q = (-0.116153782, 0.243293905, 8.62833307e-3, 0.212830095, 0.198853986, 0.226680733, 0.225627798)
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
    return _in_pieces(x, _erf)


def erfc(xp, x):
    """1 - erf(x), right also where erf rounds to 1 and the difference is nothing."""
    if xp is not np:
        return _device_special(xp, "erfc")(x)
    if x.dtype != np.float32:
        return _vector_erfc(x) if x.size else x.astype(np.float64)
    return _in_pieces(x, _erfc)


def _in_pieces(x, f, size=32768):
    """f(x) in pieces that stay in the cache: twice as fast as all at once. f chooses by products
    with 0 and 1, which take a third of the time of np.where (a branch for each number)."""
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    for i in range(0, flat.size, size):
        out[i : i + size] = f(np.clip(flat[i : i + size], -12, 12))  # from 10.1 on erfc is 0
    return out.reshape(x.shape)


def _erf(x):
    a = np.abs(x)
    return _near(x) * (a < 0.9) + np.copysign(1 - _far(a), x) * (a >= 0.9)


def _erfc(x):
    a = np.abs(x)
    y = _far(a)
    y += (x < 0) * (2 - 2 * y)  # 2 - y where x < 0
    return (1 - _near(x)) * (a < 0.9) + y * (a >= 0.9)


def _near(x):
    """erf(x), for |x| < 0.9."""
    y = _horner(_P, x * x)
    y *= x
    y += x
    return y


def _far(a):
    """erfc(a), for a >= 0.9."""
    t = 1 / (1 + np.float32(0.4) * a)
    y = _horner(_Q, t)
    y *= t
    y *= np.exp(-a * a)
    return y


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
