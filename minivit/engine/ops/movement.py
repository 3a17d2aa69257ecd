"""Movement: the same numbers in other places. The gradients are moved back."""

from itertools import pairwise
from operator import index as as_integer

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from minivit.engine import backend, numerics
from minivit.engine.errors import ArgumentError, DtypeError, ShapeError
from minivit.engine.numerics import EVERY_DTYPE, shape_of
from minivit.engine.record import function, op
from minivit.engine.tensor import Tensor


@op(accepts=EVERY_DTYPE)
def reshape(x, /, *shape, order="C", copy=None):
    """The same numbers under another shape; -1 is worked out. order: "C", the last axis runs
    fastest, or "F", the first."""
    if order not in ("C", "F"):
        raise ArgumentError(f"reshape: order is {order!r}, expected 'C' or 'F'")
    before, shape = x.shape, _one_or_many(shape)
    if order == "C":
        y = x.reshape(shape)
        return (y.copy() if copy else y), lambda g: g.reshape(before)
    y = x.T.reshape(tuple(reversed(shape))).T
    return (y.copy() if copy else y), lambda g: g.T.reshape(before[::-1]).T


def _one_or_many(numbers):
    """(2, 3) for f(2, 3), f((2, 3)) and f([2, 3]); (6,) for f(6)."""
    if len(numbers) == 1 and not isinstance(numbers[0], int):
        numbers = numbers[0] if hasattr(numbers[0], "__len__") else (as_integer(numbers[0]),)
    return tuple([as_integer(n) for n in numbers])


@op(accepts=EVERY_DTYPE)
def transpose(x, /, *order, axes=None):
    """Axes in the order `axes`; reversed if none are given."""
    if order and axes is not None:
        raise ArgumentError("transpose: the order of the axes is given twice")
    order = axes if not order or order[0] is None else _one_or_many(order)
    if order is None:
        return x.T, lambda g: g.T
    order = normalize_axis_tuple(order, x.ndim)
    return x.transpose(order), lambda g: g.transpose([order.index(i) for i in range(len(order))])


@function
def swapaxes(x, axis1, axis2):
    """Two axes exchanged."""
    (i,), (j,) = normalize_axis_tuple(axis1, x.ndim), normalize_axis_tuple(axis2, x.ndim)
    axes = list(range(x.ndim))
    axes[i], axes[j] = j, i
    return transpose(x, axes)


@op(accepts=EVERY_DTYPE)
def broadcast_to(xp, x, /, shape):
    """x repeated along new axes and axes of length 1. The engine sums g back."""
    return xp.broadcast_to(x, shape), lambda g: g


@op(accepts=EVERY_DTYPE)
def concatenate_(xp, *xs, axis=0):
    """Arrays joined along an axis; g is cut at the joints."""
    y = xp.concatenate(xs, axis=axis)  # first: what does not fit is said here
    cuts = np.cumsum([x.shape[axis] for x in xs])[:-1].tolist()
    return y, lambda g: tuple(xp.split(g, cuts, axis=axis))


@function
def concatenate(tensors, axis=0):
    """Tensors joined along `axis`; None: all their elements in a row."""
    if not len(tensors):
        raise ShapeError("concatenate: got no tensors, expected one or more")
    if axis is None:
        return concatenate_(*[reshape(t, -1) for t in tensors])
    return concatenate_(*tensors, axis=axis)


@function
def stack(tensors, axis=0):
    """Tensors of one shape joined along a new axis."""
    if not len(tensors):
        raise ShapeError("stack: got no tensors, expected one or more")
    (axis,) = normalize_axis_tuple(axis, len(shape_of(tensors[0])) + 1)
    if len({shape_of(t) for t in tensors}) != 1:
        raise ShapeError(f"stack: shapes {[shape_of(t) for t in tensors]}, expected equal ones")
    joined = [reshape(t, *shape_of(t)[:axis], 1, *shape_of(t)[axis:]) for t in tensors]
    return concatenate(joined, axis)


@function
def split(x, indices_or_sections, axis=0):
    """A list of pieces along `axis`: so many equal ones, or cut before the given indices."""
    (axis,) = normalize_axis_tuple(axis, x.ndim)
    n = x.shape[axis]
    if len(shape_of(indices_or_sections)) == 0:
        sections = as_integer(indices_or_sections)
        if sections < 1 or n % sections:
            raise ShapeError(f"split: axis {axis} has length {n}, not divisible by {sections}")
        indices_or_sections = [n // sections * i for i in range(1, sections)]
    cuts = [0, *map(as_integer, indices_or_sections), n]
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(a, b))) for a, b in pairwise(cuts)]


@op(accepts=EVERY_DTYPE)
def pad(xp, x, /, pad_width, mode="constant", *, constant_values=0):
    """`constant_values` added around x; pad_width: ((before, after), ...) for each axis."""
    if mode != "constant":
        raise ArgumentError(f"pad: mode is {mode!r}; only 'constant' is supported here")
    width = np.asarray(pad_width)
    if width.dtype.kind not in "iu":
        raise DtypeError(f"pad: pad_width is {pad_width!r}, expected integers")
    width = np.broadcast_to(width, (x.ndim, 2)).tolist()
    inside = tuple(slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True))
    return xp.pad(x, width, constant_values=constant_values), lambda g: g[inside]


@op(accepts=EVERY_DTYPE)
def flip(xp, x, /, axis=None):
    """The order along `axis` reversed."""
    return xp.flip(x, axis=axis), lambda g: xp.flip(g, axis=axis)


@op(accepts=EVERY_DTYPE)
def getitem(xp, x, /, index):
    """x[index]: slices, None, ..., integers, boolean masks and integer arrays (or sequences).

    A place that was read twice receives both gradients.
    """
    shape = x.shape
    parts, repeats = numerics.index_parts(xp, shape, index)

    def vjp(g):
        if repeats:
            return numerics.scatter_add(xp, shape, parts, g)
        out = xp.zeros(shape, dtype=g.dtype)
        out[parts] = g
        return out

    return x[parts], vjp


@op(accepts=EVERY_DTYPE)
def astype(x, /, dtype, copy=True):
    """x in another dtype; the gradient comes back in x's."""
    return x.astype(backend.to_dtype(dtype, "astype"), copy=copy), lambda g: g


@op(accepts=EVERY_DTYPE)
def moved_(x, /, device):
    here = backend.device_of(x)
    return backend.to_device(x, device), lambda g: backend.to_device(g, here)


@function
def to(x, device):
    """x on "cpu" or "cuda"; itself if it is there. The gradient travels back."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    return x if isinstance(device, str) and device == x.device else moved_(x, device)
