"""The primitives, each forward beside its hand-written derivative.

In every vjp, `g` is the gradient that comes in (of the result y's shape) and what goes out is one
gradient per operand. Names and arguments are NumPy's. Where operands were broadcast, the engine
sums the gradient back (`graph.unbroadcast`); no op below thinks of it.
"""

from itertools import pairwise
from math import prod

import numpy as np

from minivit.engine import backend, numerics
from minivit.engine.errors import DtypeError, ShapeError
from minivit.engine.record import op
from minivit.engine.tensor import Tensor

# -- arithmetic ------------------------------------------------------------------------------------


@op
def add(x, y, /):
    """x + y. Both receive g."""
    return x + y, lambda g: (g, g)


@op
def subtract(x, y, /):
    """x - y."""
    return x - y, lambda g: (g, -g)


@op
def multiply(x, y, /):
    """x * y. Each receives g times the other."""
    return x * y, lambda g: (g * y, g * x)


@op
def divide(x, y, /):
    """x / y. d/dy = -x / y^2."""
    return x / y, lambda g: (g / y, -g * x / (y * y))


@op
def negative(x, /):
    """-x."""
    return -x, lambda g: -g


@op
def power(xp, x, n, /):
    """x ** n. d/dx = n x^(n-1); d/dn = x^n log x, for x > 0."""
    if isinstance(n, (int, float)):
        return _power(x, n), lambda g: (g * (n * _power(x, n - 1) if n else 0), None)
    y = x**n
    return y, lambda g: (g * (n * x ** (n - 1)), g * (y * xp.log(xp.asarray(x, y.dtype))))


def _power(x, n):
    if n in (1, 2, 3):  # float32 x**3 is 700 times slower than x * x * x
        return prod([x] * int(n - 1), start=x)
    return x**n


# -- elementwise functions -------------------------------------------------------------------------


@op
def exp(xp, x, /):
    """e^x, its own derivative."""
    y = xp.exp(x)
    return y, lambda g: g * y


@op
def log(xp, x, /):
    """Natural logarithm. d/dx = 1/x."""
    return xp.log(x), lambda g: g / x


@op
def sqrt(xp, x, /):
    """Square root. d/dx = 1 / (2 sqrt x)."""
    y = xp.sqrt(x)
    return y, lambda g: g / (2 * y)


@op
def tanh(xp, x, /):
    """Hyperbolic tangent. d/dx = 1 - tanh^2."""
    y = xp.tanh(x)
    return y, lambda g: g * (1 - y * y)


@op
def erf(xp, x, /):
    """Error function. d/dx = 2/sqrt(pi) e^(-x^2)."""
    return numerics.erf(xp, x), lambda g: g * (1.1283791670955126 * xp.exp(-x * x))


@op
def absolute(xp, x, /):
    """|x|. The derivative at 0 is taken as 0."""
    return xp.abs(x), lambda g: g * xp.sign(x)


@op
def maximum(xp, x, y, /):
    """The larger of two. Where they are equal, each receives half."""

    def vjp(g):
        won = ((x > y).astype(g.dtype) + (x >= y)) / 2  # 1, a half or 0
        return g * won, g * (1 - won)

    return xp.maximum(x, y), vjp


def minimum(x, y):
    """The smaller of two."""
    return -maximum(-x, -y)


@op
def clip(xp, x, /, lo, hi):
    """x kept within [lo, hi]; None is no bound. Where it was cut, no gradient passes."""
    low, high = -np.inf if lo is None else lo, np.inf if hi is None else hi
    return xp.clip(x, low, high), lambda g: g * ((x >= low) & (x <= high))


@op
def where(xp, condition, x, y, /):
    """x where the boolean `condition` holds, else y."""
    if not hasattr(condition, "dtype") or condition.dtype != bool:
        raise DtypeError(
            f"where: the condition is {getattr(condition, 'dtype', type(condition).__name__)}, "
            "expected a boolean array, such as x > 0"
        )
    value = xp.where(condition, x, y)
    return value, lambda g: (None, xp.where(condition, g, 0), xp.where(condition, 0, g))


@op
def astype(x, /, dtype):
    """x in another floating-point dtype; the gradient comes back in x's."""
    return x.astype(dtype), lambda g: g


# -- reductions ------------------------------------------------------------------------------------


def _kept(x, axis):
    """The shape of a reduction over `axis` with the reduced axes kept as 1."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % (x.ndim or 1)
    return tuple(1 if i in axes else n for i, n in enumerate(x.shape))


@op
def sum(xp, x, /, axis=None, keepdims=False):
    """The sum over `axis` (all axes: None). Every term receives g."""
    shape, kept = x.shape, _kept(x, axis)
    return x.sum(axis=axis, keepdims=keepdims), lambda g: xp.broadcast_to(g.reshape(kept), shape)


@op
def mean(xp, x, /, axis=None, keepdims=False):
    """The mean over `axis`. Each of n terms receives g / n."""
    shape, kept = x.shape, _kept(x, axis)
    n = x.size // (prod(kept) or 1)
    y = x.mean(axis=axis, keepdims=keepdims)
    return y, lambda g: xp.broadcast_to(g.reshape(kept) / n, shape)


@op
def var(x, /, axis=None, ddof=0, keepdims=False):
    """The variance over `axis`, divided by n - ddof. d/dx = 2 (x - mean) / (n - ddof)."""
    kept = _kept(x, axis)
    n = x.size // (prod(kept) or 1)
    h = x - x.mean(axis=axis, keepdims=True)
    y = (h * h).sum(axis=axis, keepdims=keepdims) / (n - ddof)
    return y, lambda g: h * (g.reshape(kept) * (2 / (n - ddof)))


@op
def max(x, /, axis=None, keepdims=False):
    """The largest over `axis`. Where several are largest, they share the gradient."""
    kept = _kept(x, axis)
    y = x.max(axis=axis, keepdims=keepdims)

    def vjp(g):
        won = x == y.reshape(kept)
        return won * (g.reshape(kept) / won.sum(axis=axis, keepdims=True).astype(g.dtype))

    return y, vjp


def min(x, axis=None, keepdims=False):
    """The smallest over `axis`."""
    return -max(-x, axis=axis, keepdims=keepdims)


@op
def cumsum(xp, x, /, axis):
    """Running sum along `axis`. x_i is in every sum from i on, so g is summed from the end."""
    return xp.cumsum(x, axis=axis), lambda g: xp.flip(
        xp.cumsum(xp.flip(g, axis=axis), axis=axis), axis=axis
    )


# -- movement: the same numbers in other places ----------------------------------------------------


@op
def reshape(x, /, *shape):
    """The same numbers in row-major order under another shape; -1 is worked out."""
    before = x.shape
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    return x.reshape(shape), lambda g: g.reshape(before)


@op
def transpose(x, /, *axes):
    """Axes in the order `axes`; reversed if none are given."""
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    axes = [a % x.ndim for a in axes] if axes else list(reversed(range(x.ndim)))
    return x.transpose(axes), lambda g: g.transpose([axes.index(i) for i in range(len(axes))])


def swapaxes(x, a, b):
    """Two axes exchanged."""
    axes = list(range(x.ndim))
    axes[a], axes[b] = axes[b], axes[a]
    return transpose(x, axes)


@op
def broadcast_to(xp, x, /, shape):
    """x repeated along new axes and axes of length 1. The engine sums g back."""
    return xp.broadcast_to(x, shape), lambda g: g


@op
def concatenate_(xp, *xs, axis=0):
    """Arrays joined along an axis; g is cut at the joints."""
    cuts = np.cumsum([x.shape[axis] for x in xs])[:-1].tolist()
    return xp.concatenate(xs, axis=axis), lambda g: tuple(xp.split(g, cuts, axis=axis))


def concatenate(tensors, axis=0):
    """Tensors joined along `axis`."""
    return concatenate_(*tensors, axis=axis)


def stack(tensors, axis=0):
    """Tensors joined along a new axis."""
    axis = axis % (tensors[0].ndim + 1)
    return concatenate([reshape(t, *t.shape[:axis], 1, *t.shape[axis:]) for t in tensors], axis)


def split(x, sections, axis=0):
    """A list of pieces along `axis`: `sections` equal ones, or cut before the given indices."""
    n = x.shape[axis]
    if isinstance(sections, int):
        if n % sections:
            raise ShapeError(f"split: axis {axis} has length {n}, not divisible by {sections}")
        sections = range(n // sections, n, n // sections)
    cuts = [0, *sections, n]
    before = (slice(None),) * (axis % x.ndim)
    return [x[(*before, slice(a, b))] for a, b in pairwise(cuts)]


@op
def pad(xp, x, /, width, value=0.0):
    """`value` added around x; width as in np.pad: ((before, after), ...) for each axis."""
    width = np.broadcast_to(np.asarray(width), (x.ndim, 2)).tolist()
    inside = tuple(slice(a, a + n) for (a, _), n in zip(width, x.shape, strict=True))
    return xp.pad(x, width, constant_values=value), lambda g: g[inside]


@op
def flip(xp, x, /, axis=None):
    """The order along `axis` reversed."""
    return xp.flip(x, axis=axis), lambda g: xp.flip(g, axis=axis)


@op
def getitem(xp, x, /, index):
    """x[index]: slices, None, ..., integers, boolean masks and integer arrays.

    A place that was read twice receives both gradients.
    """
    shape, parts = x.shape, index if isinstance(index, tuple) else (index,)
    parts = tuple(p._data if isinstance(p, Tensor) else p for p in parts)
    parts = tuple(p.item() if isinstance(p, np.generic) else p for p in parts)
    parts = tuple(np.asarray(p) if isinstance(p, list) else p for p in parts)
    arrays = [p for p in parts if hasattr(p, "shape")]
    if arrays and xp is not np:  # a GPU wraps a wrong index silently: try it on the host first
        on_host = tuple(backend.to_numpy(p) if hasattr(p, "shape") else p for p in parts)
        np.broadcast_to(np.empty((), bool), shape)[on_host]
        parts = tuple(xp.asarray(p) if isinstance(p, np.ndarray) else p for p in parts)

    def vjp(g):
        if arrays:
            return numerics.scatter_add(xp, shape, parts, g)
        out = xp.zeros(shape, dtype=g.dtype)
        out[parts] = g
        return out

    return x[parts], vjp


@op
def moved_(x, /, device):
    here = backend.device_of(x)
    return backend.to_device(x, device), lambda g: backend.to_device(g, here)


def to(x, device):
    """x on "cpu" or "cuda"; itself if it is there. The gradient travels back."""
    return x if device == x.device else moved_(x, device)
