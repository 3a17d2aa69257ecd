"""NumPy's functions that are made of the ops before.

None has a derivative of its own: each is a few of the ops, so its gradient is theirs. Names and
arguments are NumPy's.
"""

from math import prod
from operator import index as as_integer

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from minivit.engine import backend, ops
from minivit.engine.errors import ArgumentError, DtypeError, ShapeError
from minivit.engine.numerics import shape_of
from minivit.engine.products import matmul
from minivit.engine.record import function

# -- shapes ----------------------------------------------------------------------------------------


@function
def squeeze(x, axis=None):
    """x without its axes of length 1, or without those that are named."""
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    if axis is not None and any(x.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: axis {axis} of shape {x.shape} is longer than 1")
    return ops.reshape(x, tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes))


@function
def expand_dims(x, axis):
    """x with new axes of length 1, at these places of the result."""
    axis = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = normalize_axis_tuple(axis, x.ndim + len(axis))
    sides = iter(x.shape)
    return ops.reshape(x, tuple(1 if i in axes else next(sides) for i in range(x.ndim + len(axes))))


@function
def moveaxis(x, source, destination):
    """Axes moved to other places; the others stay in order."""
    source, destination = (normalize_axis_tuple(a, x.ndim) for a in (source, destination))
    if len(source) != len(destination):
        raise ShapeError(f"moveaxis: {len(source)} axes to {len(destination)} places")
    order = [i for i in range(x.ndim) if i not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return ops.transpose(x, tuple(order))


def ravel(x, order="C"):
    """All elements in one row."""
    return ops.reshape(x, -1, order=order)


def flatten(x, order="C"):
    """All elements in one row, copied."""
    return ops.reshape(x, -1, order=order, copy=True)


def matrix_transpose(x):
    """The last two axes exchanged."""
    return ops.swapaxes(x, -1, -2)


def flipud(m):
    """The order along the first axis reversed."""
    return ops.flip(m, axis=0)


def fliplr(m):
    """The order along the second axis reversed."""
    return ops.flip(m, axis=1)


# -- pieces ----------------------------------------------------------------------------------------


@function
def array_split(x, indices_or_sections, axis=0):
    """`split` into pieces that need not be equally long: the first ones have one more."""
    if len(shape_of(indices_or_sections)) == 0:
        n = x.shape[axis]
        indices_or_sections = [len(p) for p in np.array_split(np.arange(n), indices_or_sections)]
        indices_or_sections = np.cumsum(indices_or_sections)[:-1].tolist()
    return ops.split(x, indices_or_sections, axis)


@function
def hstack(tensors):
    """Tensors joined along their second axis, vectors along their only one."""
    tensors = [t if len(shape_of(t)) else ops.reshape(t, 1) for t in tensors]
    return ops.concatenate(tensors, axis=0 if len(shape_of(tensors[0])) == 1 else 1)


@function
def vstack(tensors):
    """Tensors joined along their first axis; vectors are rows."""
    tensors = [t if len(shape_of(t)) > 1 else ops.reshape(t, 1, -1) for t in tensors]
    return ops.concatenate(tensors, axis=0)


# -- elements, chosen and repeated -----------------------------------------------------------------


@function
def take(x, indices, axis=None):
    """x[indices] along an axis (None: of all elements in a row)."""
    if (indices if hasattr(indices, "dtype") else np.asarray(indices)).dtype == bool:
        raise DtypeError("take: the indices are booleans, expected integers; a mask is x[mask]")
    if axis is None:
        return ops.getitem(ravel(x), indices)
    before = (slice(None),) * normalize_axis_index(axis, x.ndim)
    return ops.getitem(x, (*before, indices if len(shape_of(indices)) else as_integer(indices)))


@function
def take_along_axis(x, indices, axis=-1):
    """y[i, j] = x[i, indices[i, j]], for the last axis; for any other alike."""
    if axis is None:
        x, axis = ravel(x), 0
    xp = backend.module_of([_array(x)], "take_along_axis")
    axis, index = normalize_axis_index(axis, x.ndim), []
    if len(shape_of(indices)) != x.ndim:
        raise ShapeError(
            f"take_along_axis: x has {x.ndim} axes, the indices have {len(shape_of(indices))}"
        )
    for i, n in enumerate(x.shape):
        grid = xp.arange(n).reshape([-1 if j == i else 1 for j in range(x.ndim)])
        index.append(_array(indices) if i == axis else grid)
    return ops.getitem(x, tuple(index))


@function
def sort(x, axis=-1):
    """x in rising order along an axis. Each number keeps its gradient."""
    x = ravel(x) if axis is None else x
    axis = -1 if axis is None else axis
    return take_along_axis(x, _array(x).argsort(axis=axis), axis)


@function
def repeat(x, repeats, axis=None):
    """Each element (along an axis: each slice) so many times in a row."""
    x, axis = (ravel(x), 0) if axis is None else (x, axis)
    repeats = _array(repeats)
    repeats = backend.to_numpy(repeats) if backend.is_array(repeats) else np.asarray(repeats)
    if repeats.dtype.kind not in "iu":
        raise DtypeError(f"repeat: the repeats are {repeats.dtype}, expected integers")
    return take(x, np.repeat(np.arange(x.shape[axis]), repeats.astype(np.intp)), axis)


@function
def tile(x, reps):
    """x laid side by side, reps times along each axis."""
    reps = tuple(map(as_integer, reps if len(shape_of(reps)) else (reps,)))
    ndim = max(x.ndim, len(reps))
    reps, sides = (1,) * (ndim - len(reps)) + reps, (1,) * (ndim - x.ndim) + x.shape
    apart = ops.reshape(x, tuple(n for side in sides for n in (1, side)))
    pairs = list(zip(reps, sides, strict=True))
    copies = ops.broadcast_to(apart, tuple(n for pair in pairs for n in pair))
    return ops.reshape(copies, tuple(r * n for r, n in pairs), copy=set(reps) <= {1})


@function
def roll(x, shift, axis=None):
    """The elements moved along an axis; what leaves at the end comes in at the front."""
    if axis is None:
        return ops.reshape(roll(ravel(x), shift, 0), x.shape)
    shifts, axes = np.broadcast_arrays(shift, axis)
    for by, along in zip(shifts.ravel().tolist(), axes.ravel().tolist(), strict=True):
        n = x.shape[along]
        x = take(x, (np.arange(n) - by) % (n or 1), along)
    return x


@function
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The diagonal of two axes, as the last axis of the result."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    (rows, columns), offset = x.shape[-2:], as_integer(offset)
    n = max(min(rows, rows + offset, columns, columns - offset), 0)
    i = np.arange(n)
    return ops.getitem(x, (Ellipsis, i + max(-offset, 0), i + max(offset, 0)))


def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of a diagonal."""
    return ops.sum(diagonal(x, offset, axis1, axis2), axis=-1)


@function
def tril(x, k=0):
    """x with zeros above its k-th diagonal."""
    return _masked(x, np.tri(*x.shape[-2:], k=as_integer(k), dtype=bool))


@function
def triu(x, k=0):
    """x with zeros below its k-th diagonal."""
    return _masked(x, ~np.tri(*x.shape[-2:], k=as_integer(k) - 1, dtype=bool))


def _masked(x, kept):
    xp = backend.module_of([_array(x)], "where")
    return ops.where(xp.asarray(kept), x, False)  # promotes nothing


# -- sums and products -----------------------------------------------------------------------------


def square(x):
    """x * x."""
    return ops.multiply(x, x)


@function
def positive(x):
    """+x: the same numbers."""
    return ops.astype(x, x.dtype)


@function
def ptp(x, axis=None, *, keepdims=False):
    """The largest less the smallest."""
    return ops.max(x, axis=axis, keepdims=keepdims) - ops.min(x, axis=axis, keepdims=keepdims)


@function
def diff(x, n=1, axis=-1):
    """Each number less the one before, n times."""
    axis = normalize_axis_index(axis, x.ndim)
    if n < 0:
        raise ShapeError(f"diff: n is {n}, expected 0 or more")
    before = (slice(None),) * axis
    for _ in range(n):
        x = x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
    return x


@function
def norm(x, ord=None, axis=None, *, keepdims=False):
    """np.linalg.norm, with ord 2 (the root of the sum of squares), 1 or infinity, of vectors (one
    axis); without ord or with "fro" over all the axes that are named."""
    if x.dtype.kind in "biu":  # |-128| is no int8
        x = ops.astype(x, np.result_type(x.dtype, np.float32))
    vector = (x.ndim if axis is None else np.size(axis)) == 1
    if ord is None or (ord == 2 and vector) or (ord == "fro" and not vector):
        return ops.norm_(x, axis=axis, keepdims=keepdims)
    if not vector or ord not in (1, np.inf, -np.inf):
        raise ArgumentError(
            f"norm: ord is {ord!r} of {'a vector' if vector else 'a matrix'}; supported are 1, 2, "
            "inf and -inf of vectors, 'fro' of matrices, None"
        )
    reduce = {1: ops.sum, np.inf: ops.max, -np.inf: ops.min}[ord]
    return reduce(ops.absolute(x), axis=axis, keepdims=keepdims)


@function
def outer(a, b):
    """a_i b_j, of all elements."""
    return ops.multiply(ops.reshape(a, -1, 1), ops.reshape(b, 1, -1))


@function
def tensordot(a, b, axes=2):
    """Sums of products over pairs of axes (of an integer n: the last n of a, the first n of b)."""
    if len(shape_of(axes)) == 0:
        of_a, of_b = range(a.ndim - axes, a.ndim), range(axes)
    else:
        of_a, of_b = ([i] if len(shape_of(i)) == 0 else i for i in axes)
    of_a, of_b = normalize_axis_tuple(of_a, a.ndim), normalize_axis_tuple(of_b, b.ndim)
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ShapeError(f"tensordot: shapes {a.shape} and {b.shape} do not fit over {axes}")
    rest_a = [i for i in range(a.ndim) if i not in of_a]
    rest_b = [i for i in range(b.ndim) if i not in of_b]
    outside = [a.shape[i] for i in rest_a] + [b.shape[i] for i in rest_b]
    inside = prod(a.shape[i] for i in of_a)
    rows = prod(a.shape[i] for i in rest_a)
    A = ops.reshape(ops.transpose(a, (*rest_a, *of_a)), (rows, inside))
    columns = prod(b.shape[i] for i in rest_b)
    B = ops.reshape(ops.transpose(b, (*of_b, *rest_b)), (inside, columns))
    return ops.reshape(matmul(A, B), tuple(outside))


@function
def inner(a, b):
    """Sums of products over the last axes."""
    if len(shape_of(a)) == 0 or len(shape_of(b)) == 0:
        return ops.multiply(a, b)
    return tensordot(a, b, axes=(-1, -1))


@function
def vdot(a, b):
    """The sum of the products of all elements."""
    return matmul(ops.reshape(a, -1), ops.reshape(b, -1))


def _array(x):
    return getattr(x, "_array", x)
