"""What NumPy and CuPy spell differently, and what is faster another way.

Each function stands here once, takes `xp` (numpy or cupy) first, and knows arrays alone.
"""

import math

import numpy as np

from minivit.engine.backend import to_numpy
from minivit.engine.errors import DtypeError, RangeError, ShapeError


def checked_index(xp, ids, size, what, ignore=None):
    """Integer ids on `xp`'s device, each in [0, size) or equal to `ignore`; else a RangeError.

    A GPU wraps a wrong index silently, so ids are checked on the host, before they are sent. Keep
    labels and token ids in NumPy: ids that already are on a GPU cost a synchronisation here.
    """
    if not hasattr(ids, "dtype"):
        try:
            ids = np.asarray(ids)
        except ValueError:
            raise ShapeError(
                f"{what}: the rows have unequal lengths; pad them, and pass the padding mask"
            ) from None
    if ids.dtype.kind not in "iu":
        raise DtypeError(f"{what}: got dtype {ids.dtype}, expected integers. Try .astype(int).")
    host = to_numpy(ids)
    if host.size and (host.min() < 0 or host.max() >= size):
        bad = ((host < 0) | (host >= size)) & (host != ignore if ignore is not None else True)
        for place in np.argwhere(bad)[:1]:
            place = tuple(place.tolist())
            raise RangeError(
                f"{what}: got {int(host[place])} at index {place}, expected 0 <= id < {size}"
                + (f" (or {ignore}, which is ignored)." if ignore is not None else ".")
            )
    return ids if isinstance(ids, xp.ndarray) else xp.asarray(ids)


def scatter_add(xp, shape, index, g):
    """Zeros of `shape` with `g` added at `index`; an index that occurs twice receives both."""
    out = xp.zeros(shape, dtype=g.dtype)
    xp.add.at(out, index, g)
    return out


def scatter_rows(xp, rows, ids, g):
    """A (rows, D) table of zeros to which row `g[i]` is added at `ids[i]`.

    Small tables: a product with the one-hot matrix, which BLAS does 10x faster than `add.at`.
    """
    if rows <= 512:
        onehot = (ids[None, :] == xp.arange(rows, dtype=ids.dtype)[:, None]).astype(g.dtype)
        return onehot @ g  # (rows, n) @ (n, D)
    return scatter_add(xp, (rows, g.shape[1]), ids, g)


# float32: erf(x) = x + x P(x^2) below 0.9, and erfc(a) = t Q(t) e^(-a^2) with t = 1 / (1 + 0.4 a)
# from there on; coefficients of least largest relative error (4e-8), the highest power first.
_P = (-6.09035801e-4, 5.01196241e-3, -2.67789086e-2, 0.112821408, -0.376125233, 0.128379154)
_Q = (-0.116153782, 0.243293905, 8.62833307e-3, 0.212830095, 0.198853986, 0.226680733, 0.225627798)
_vector_erf = np.vectorize(math.erf, otypes=[np.float64])
_vector_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def erf(xp, x):
    """The error function, 2/sqrt(pi) times the integral of e^(-t^2) from 0 to x. float32 to 2 ulp;
    float64 on the CPU: math.erf, element by element, exact and slow (it is for checking)."""
    if xp is not np:
        return _device_special(xp, "erf")(x)
    if x.dtype != np.float32:
        return _vector_erf(x) if x.size else x.astype(np.float64)
    return _in_pieces(
        x, lambda x, near, far: np.where(np.abs(x) < 0.9, near, np.copysign(1 - far, x))
    )


def erfc(xp, x):
    """1 - erf(x), right also where erf rounds to 1 and the difference is nothing."""
    if xp is not np:
        return _device_special(xp, "erfc")(x)
    if x.dtype != np.float32:
        return _vector_erfc(x) if x.size else x.astype(np.float64)
    return _in_pieces(
        x, lambda x, near, far: np.where(x < 0.9, np.where(x > -0.9, 1 - near, 2 - far), far)
    )


def _in_pieces(x, choose, size=32768):
    """choose(x, erf(x) as it is near 0, erfc(|x|) as it is far from it), in pieces that stay in the
    cache: twice as fast as all at once."""
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    for i in range(0, flat.size, size):
        piece = np.clip(flat[i : i + size], -12, 12)  # from 10.1 on erfc is 0
        a = np.abs(piece)
        near, far = _horner(_P, a * a), 1 / (1 + np.float32(0.4) * a)
        near *= piece
        near += piece
        far *= _horner(_Q, far)
        far *= np.exp(-a * a)
        out[i : i + size] = choose(piece, near, far)
    return out.reshape(x.shape)


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


def row_dot(xp, a, b):
    """The dot product of each row of `a` with that of `b`: (..., D), (..., D) or (D,) -> (...).

    np.vecdot goes through BLAS, ten times faster than `(a * b).sum(-1)` over a short axis.
    """
    return np.vecdot(a, b) if xp is np else (a * b).sum(axis=-1)


def column_sum(xp, a):
    """The sum over all rows, (n, D) -> (D,), as a product with ones (twice as fast as sum(0))."""
    return xp.ones(a.shape[0], dtype=a.dtype) @ a


def plus(y, b):
    """y + b, in y's memory where its dtype is that of the sum."""
    if b.dtype != y.dtype:
        return y + b
    y += b
    return y
