"""Numerics: functions that NumPy and CuPy spell differently, or that are faster another way.

Each function stands here once, takes `xp` (numpy or cupy) first, and knows arrays alone.
"""

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


def row_dot(xp, a, b):
    """The dot product of each row of `a` with that of `b`: (..., D), (..., D) or (D,) -> (...).

    np.vecdot goes through BLAS, ten times faster than `(a * b).sum(-1)` over a short axis; where
    there is none it adds one number after the other, and the rounding errors add up.
    """
    return np.vecdot(a, b) if xp is np and backend.BLAS else (a * b).sum(axis=-1)


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
    with them, or with ones, which is faster than sum(0). 256 to 511 rows at a time, and then their
    sums: rounding errors add up."""
    n, D = a.shape
    k = 1 << (n // 256).bit_length() >> 1 if xp is np else 1
    if k <= 1:
        return (xp.ones(n, dtype=a.dtype) if weights is None else weights) @ a
    m = n // k
    rows = a[: m * k].reshape(k, m, D)
    if weights is None:
        sums = np.ones(m, dtype=a.dtype) @ rows
    else:
        sums = (weights[: m * k].reshape(k, 1, m) @ rows)[:, 0]
    if m * k < n:
        sums[0] += column_sum(xp, a[m * k :], None if weights is None else weights[m * k :])
    return _sum_of_rows(sums)


def outer(xp, columns, rows):
    """c r + c' r' of two columns and two rows, (2, n) and (2, D) -> (n, D). A product of thin
    matrices: half the time of repeating numbers along a row."""
    n, most = columns.shape[1], max(1, SMALL // max(1, rows.size))
    if xp is not np or n <= most:
        return columns.T @ rows
    out = np.empty((n, rows.shape[1]), dtype=np.result_type(columns, rows))
    for i in range(0, n, most):
        np.matmul(columns[:, i : i + most].T, rows, out=out[i : i + most])
    return out


def pair(xp, a, b):
    """(2, n): a vector, and another or a number, for `outer`."""
    both = xp.empty((2, len(a)), dtype=xp.result_type(a, b))
    both[0], both[1] = a, b
    return both


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
