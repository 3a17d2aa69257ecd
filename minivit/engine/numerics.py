"""What NumPy and CuPy spell differently, and what is faster another way.

Each function stands here once, takes `xp` (numpy or cupy) first, and knows arrays alone.
"""

import math
from operator import index as as_integer

import numpy as np

from minivit.engine.backend import device_of, module, to_numpy
from minivit.engine.errors import DeviceError, DtypeError, RangeError, ShapeError

# -- the dtypes of operands ------------------------------------------------------------------------
FLOATS = frozenset("fdgFDG")  # float32, float64, and what is wider; complex
NUMBERS = FLOATS | frozenset("?bhilqBHILQ")  # and booleans and integers: NumPy's own rules hold
EVERY_DTYPE = NUMBERS | {"e"}  # and float16: the op only moves numbers


def converted(arrays, accepts, name):
    """The operands as an op takes them, and whether its result goes back to float16.

    Integers become what NumPy makes of them beside float32 (uint8: float32, int64: float64; its
    own choice for uint8 alone would be float16), float16 becomes float32: 11 bits are too few for
    sums, and their squares soon are infinite or 0. Where all operands are Python's numbers, the
    first is made an array.
    """
    out, dtypes = [], []
    for a in arrays:
        if a is not None and not out and not any(hasattr(x, "dtype") for x in arrays):
            a = module().asarray(a, dtype=np.float32 if isinstance(a, float) else None)
        if hasattr(a, "dtype"):
            dtypes.append(a.dtype)
            if a.dtype.char not in EVERY_DTYPE:
                raise DtypeError(f"{name}: got an array of dtype {a.dtype}, expected numbers")
            if a.dtype.char not in accepts:
                a = a.astype(np.result_type(a.dtype, np.float32))
        elif a is not None:
            dtypes.append(a)
        out.append(a)
    return out, np.result_type(*dtypes) == np.float16


def in_float32(vjp):
    """The vjp (or one for each operand) of an op that computed in float32 for float16 operands."""
    if type(vjp) is tuple:
        return tuple([in_float32(f) for f in vjp])
    return lambda g: vjp(g.astype(np.float32))


# -- indices and ids -------------------------------------------------------------------------------


def index_parts(xp, shape, index):
    """What stands between the brackets of x[...] as a tuple that NumPy and CuPy read alike, and
    whether an element may be read twice (only integer arrays can do that).

    Any sequence inside an index, empty or not, is an array of integers (or booleans); Tensors are
    their arrays; the integers are widened. Everything is tried on the host, because a GPU wraps a
    wrong index silently.
    """
    parts = index if isinstance(index, tuple) else (index,)
    parts = [_index_part(p) for p in parts]
    arrays = [p for p in parts if hasattr(p, "dtype")]
    if arrays and xp is not np:
        on_host = tuple([to_numpy(p) if hasattr(p, "dtype") else p for p in parts])
        np.broadcast_to(np.empty((), bool), shape)[on_host]
        parts = [xp.asarray(p) if hasattr(p, "dtype") else p for p in parts]
    return tuple(parts), any(a.dtype != bool for a in arrays)


def _index_part(part):
    if part is None or part is Ellipsis or isinstance(part, (bool, int)):
        return part
    if isinstance(part, slice):
        return slice(*[None if p is None else as_integer(_bare(p)) for p in _ends(part)])
    part = _bare(part)
    if isinstance(part, np.generic):
        part = part.item()
        return part if isinstance(part, bool) else as_integer(part)
    if not hasattr(part, "dtype"):
        if not isinstance(part, (list, tuple, range)):
            return as_integer(part)
        part = np.asarray([_bare(p) for p in part])
        part = part if part.size else part.astype(np.int64)
    if part.dtype == bool:
        return part
    if part.dtype.kind not in "iu":
        raise IndexError(f"an index of dtype {part.dtype}; expected integers or booleans")
    return part.astype(np.int64)


def shape_of(x):
    """The shape of a Tensor, an array on any device, a number or a list."""
    return x.shape if hasattr(x, "shape") else np.shape(x)


def _ends(part):
    return part.start, part.stop, part.step


def _bare(x):
    """The array of a Tensor (a later chapter); anything else as it is, with what is in it."""
    if isinstance(x, (list, tuple)):
        return [_bare(item) for item in x]
    return getattr(x, "_array", x)


def checked_index(xp, ids, size, what, ignore=None):
    """Integer ids on `xp`'s device, each in [0, size) or equal to `ignore`; else a RangeError.

    A GPU wraps a wrong index silently, so ids are checked on the host, before they are sent. Keep
    labels and token ids in NumPy: ids that already are on a GPU cost a synchronisation here. What
    comes back is int64: uint8 could not be compared with the 257th row.
    """
    if not hasattr(ids, "dtype"):
        try:
            ids = np.asarray(ids)
        except ValueError:
            raise ShapeError(
                f"{what}: the rows have unequal lengths; pad them, and pass the padding mask"
            ) from None
        ids = ids if ids.size else ids.astype(np.int64)
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
    ids = ids.astype(np.int64, copy=False)
    if isinstance(ids, xp.ndarray):
        return ids
    if not isinstance(ids, np.ndarray):
        raise DeviceError(
            f"{what}: the ids are on {device_of(ids)!r}, what they choose from on the host. Keep "
            "ids in NumPy: they are checked there, and sent along."
        )
    return xp.asarray(ids)


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
        onehot = (ids[None, :] == xp.arange(rows)[:, None]).astype(g.dtype)
        return onehot @ g  # (rows, n) @ (n, D)
    return scatter_add(xp, (rows, g.shape[1]), ids, g)


_vector_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(xp, x):
    """The error function. float64 on the CPU: math.erf, element by element, exact and slow (it is
    for checking); float32: Abramowitz and Stegun 7.1.26, |error| < 6e-7."""
    if xp is not np:
        return _device_erf(xp)(x)
    if x.dtype != np.float32:
        return _vector_erf(x) if x.size else x.astype(np.float64)
    a = np.abs(x)
    t = 1.0 / (1.0 + 0.3275911 * a)
    poly = 1.061405429 * t
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        poly += c
        poly *= t
    poly *= np.exp(-a * a)
    return np.copysign(1.0 - poly, x)


def _device_erf(xp):
    if xp.__name__ == "cupy":
        from cupyx.scipy.special import erf

        return erf
    return xp.erf  # the stand-in device of the tests brings its own


def row_dot(xp, a, b):
    """The dot product of each row of `a` with that of `b`: (..., D), (..., D) or (D,) -> (...).

    np.vecdot goes through BLAS, ten times faster than `(a * b).sum(-1)` over a short axis.
    """
    return np.vecdot(a, b) if xp is np else (a * b).sum(axis=-1)


# -- sums ------------------------------------------------------------------------------------------


def total(xp, x, axis=None, keepdims=False):
    return x.sum(axis=axis, keepdims=keepdims)


def average(xp, x, axis=None, keepdims=False):
    return x.mean(axis=axis, keepdims=keepdims)


def running_sum(xp, x, axis=None):
    return xp.cumsum(x, axis=axis)


def column_sum(xp, a):
    """The sum over all rows, (n, D) -> (D,), as a product with ones (twice as fast as sum(0))."""
    return xp.ones(a.shape[0], dtype=a.dtype) @ a
