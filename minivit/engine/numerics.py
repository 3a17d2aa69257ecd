"""Numerics: functions that NumPy and CuPy spell differently, or that are faster another way.

Each function stands here once, takes `xp` (numpy or cupy) first, and knows arrays alone.
"""

import math
from operator import index as as_integer

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minivit.engine import backend
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
            a = a.astype(np.int64, copy=False) if a.dtype == int else a  # int32 in a browser
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
    """The index of x[...] as a tuple that NumPy and CuPy read alike, and
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


_PLAIN = {int, type(None)}  # what stands between the colons of nearly every slice


def _index_part(part):
    if part is None or part is Ellipsis or isinstance(part, (bool, int)):
        return part
    if isinstance(part, slice):
        if {type(part.start), type(part.stop), type(part.step)} <= _PLAIN:
            return part
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
    labels and token ids in NumPy: ids that already are on a GPU cost a synchronisation here. The
    result is int64: uint8 could not be compared with the 257th row.
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
        with np.errstate(invalid="ignore"):
            out = onehot @ g  # (rows, n) @ (n, D)
        if xp is not np or np.isfinite(out).all():  # 0 * inf is NaN: in rows that nobody read
            return out
    return scatter_add(xp, (rows, g.shape[1]), ids, g)


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


def row_dot(xp, a, b):
    """The dot product of each row of `a` with that of `b`: (..., D), (..., D) or (D,) -> (...).

    np.vecdot goes through BLAS, ten times faster than `(a * b).sum(-1)` over a short axis; where
    there is none it adds one number after the other, and the rounding errors add up.
    """
    return np.vecdot(a, b) if xp is np and backend.BLAS else (a * b).sum(axis=-1)


def exponentials(xp, S):
    """e^(S - the largest of each row), in S's memory: the numerators of a softmax over the last
    axis, none of which overflows. A row of -inf gives zeros."""
    largest = S.max(axis=-1, keepdims=True)
    S -= xp.maximum(largest, xp.finfo(S.dtype).min)  # -inf - -inf would be NaN
    return xp.exp(S, out=S)


SMALL = 100**3  # multiplications of a product, up to which OpenBLAS has kernels of their own

# -- sums ------------------------------------------------------------------------------------------


def total(x, axis=None, keepdims=False):
    """x.sum(axis), as exact over any axis as NumPy's is over the last one.

    NumPy adds the rows of a long column one after the other, and the rounding errors add up: 100
    ulp after 100,000 rows in float32. Here they are added in groups of 16 (on a GPU: as it does).
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.size < 1024:
        return x.sum(axis=axis, keepdims=keepdims)
    if axis is None and (x.flags.c_contiguous or x.flags.f_contiguous):
        return x.sum(axis=axis, keepdims=keepdims)
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    y = x if axes else x.copy()
    for i in sorted(axes, reverse=True):
        if y.strides[i] == y.itemsize or y.shape[i] <= 32:
            y = y.sum(axis=i, keepdims=True)
        else:
            y = np.expand_dims(_sum_of_rows(np.moveaxis(y, i, 0)), i)
    return y if keepdims else y.reshape([n for i, n in enumerate(y.shape) if i not in axes])


def _sum_of_rows(x):
    while len(x) > 32:
        m = len(x) // 16
        groups, rest = x[: 16 * m], x[16 * m :]
        if x[0].size < 64:  # whichever way the inner loop is long
            x = groups.reshape(16, m, *x.shape[1:]).sum(axis=0)
        else:
            x = groups.reshape(m, 16, *x.shape[1:]).sum(axis=1)
        if len(rest):
            x[0] += rest.sum(axis=0)
    return x.sum(axis=0)


def root_of_sum(xp, h, n, axis, keepdims):
    """The root of (the sum of h^2) / n, also where h^2 leaves the range of the dtype."""
    with np.errstate(all="ignore"):
        y = xp.sqrt(total(h * h, axis, keepdims) / n)
    if xp is not np or not h.size or y.dtype.kind != "f":
        return y
    limits = np.finfo(y.dtype)
    if ((y > limits.tiny**0.25) & (y < limits.max**0.25)).all():
        return y  # nearly always
    unit = np.abs(h).max(axis=axis, keepdims=True)
    unit = np.where((unit > 0) & (unit < np.inf), unit, np.ones_like(unit))
    with np.errstate(divide="ignore", invalid="ignore"):
        y = xp.sqrt(total((h / unit) ** 2, axis, keepdims) / n)
    return y * unit.reshape(np.shape(y))


def average(x, axis=None, keepdims=False):
    """x.mean(axis), with the sums of `total`."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        return x.mean(axis=axis, keepdims=keepdims)
    y = total(x, axis, keepdims)
    if not y.size:
        return y
    with np.errstate(invalid="ignore"):  # the mean of nothing is NaN
        return y / (x.size // y.size)


def column_sum(xp, a, weights=None):
    """The sum over all rows, (n, D) -> (D,), each times its weight if there are any (n,): a product
    with them, or with ones, which is faster than sum(0). Some 256 rows at a time, and then their
    sums: rounding errors add up."""
    n, D = a.shape
    k = n // 256
    weights = xp.ones(n, dtype=a.dtype) if weights is None else weights
    if xp is not np or k < 2:
        return weights @ a
    m = n // k
    sums = (weights[: m * k].reshape(k, 1, m) @ a[: m * k].reshape(k, m, D))[:, 0]
    if m * k < n:
        sums[: n - m * k] += weights[m * k :, None] * a[m * k :]
    return _sum_of_rows(sums)


def outer(xp, columns, rows):
    """The sum of the columns (n,) times the rows (D,), (n, D), as a product of thin matrices: half
    the time that NumPy takes to repeat a number along a row. Two of each at least, for BLAS."""
    columns, rows = xp.stack(columns), xp.stack(rows)
    out = xp.empty((columns.shape[1], rows.shape[1]), dtype=xp.result_type(columns, rows))
    strip = max(1, SMALL // max(1, rows.size))  # of products that BLAS has a fast kernel for
    for i in range(0, len(out), strip if xp is np else max(1, len(out))):
        xp.matmul(columns[:, i : i + strip].T, rows, out=out[i : i + strip])
    return out


def pieces(xp, *arrays, size=1 << 17):
    """Arrays of one shape, the first `size` numbers of each, then the next: what is done to a piece
    finds it in the cache. Short arrays, a GPU's, and any that do not lie in a row: all at once."""
    if xp is not np or not all([a.flags.c_contiguous for a in arrays]):
        yield arrays
        return
    flat = [a.reshape(-1) for a in arrays]
    n = flat[0].size
    size = size if n > 2 * size else max(n, 1)
    for i in range(0, n, size):
        yield [a[i : i + size] for a in flat]


def running_sum(xp, x, axis=None):
    """xp.cumsum; float32 is added in float64, where a GPU has not to."""
    if xp is np and x.dtype == np.float32:
        return np.cumsum(x, axis=axis, dtype=np.float64).astype(np.float32)
    return xp.cumsum(x, axis=axis)


def plus(y, b):
    """y + b, in y's memory where its dtype is that of the sum."""
    if b.dtype != y.dtype:
        return y + b
    y += b
    return y
