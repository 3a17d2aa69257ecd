"""Products: matmul, dot, einsum.

Nearly all of a Transformer's time is spent here, in BLAS. So every product must reach BLAS: a
stack of rows times one matrix is folded into a single 2-D product.
"""

import math

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import DtypeError, ShapeError
from minivit.engine.numerics import NUMBERS, shape_of
from minivit.engine.ops import getitem, multiply, reshape
from minivit.engine.record import function, op

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # of einsum, in order


@op(accepts=NUMBERS)
def matmul(x, y, /):
    """x @ y over the last two axes, broadcast over the others.

    dx = g y^T, dy = x^T g. A stack of rows times one matrix is folded into a single product.
    """
    if not getattr(x, "ndim", 0) or not getattr(y, "ndim", 0):
        raise ShapeError("matmul: got a 0-d operand; use * for a number")
    if x.shape[-1] != y.shape[max(-2, -y.ndim)]:
        raise ShapeError(
            f"matmul: shapes {x.shape} @ {y.shape} do not fit: the last axis of the first "
            f"({x.shape[-1]}) must be as long as the second-last of the second "
            f"({y.shape[max(-2, -y.ndim)]}). Is a transpose (.T, .mT) missing?"
        )
    if x.ndim == 1 or y.ndim == 1:
        return _vector_product(x, y)
    if y.ndim == 2 and x.ndim > 2:
        rows = math.prod(x.shape[:-1])
        x2, out = x.reshape(rows, x.shape[-1]), (*x.shape[:-1], y.shape[1])
        return backend.product(x2, y).reshape(out), (
            lambda g: backend.product(g.reshape(rows, g.shape[-1]), y.T).reshape(x.shape),
            lambda g: backend.product(x2.T, g.reshape(rows, g.shape[-1])),
        )
    if x.ndim == 2 and y.ndim == 2:
        return backend.product(x, y), (
            lambda g: backend.product(g, y.T),
            lambda g: backend.product(x.T, g),
        )
    return x @ y, (lambda g: g @ y.swapaxes(-1, -2), lambda g: x.swapaxes(-1, -2) @ g)


def _vector_product(x, y):
    """matmul where an operand is a vector: it is a matrix with one row or column."""
    X = x[None, :] if x.ndim == 1 else x
    Y = y[:, None] if y.ndim == 1 else y
    batch = np.broadcast_shapes(X.shape[:-2], Y.shape[:-2])
    shape = (*batch, X.shape[-2], Y.shape[-1])

    def dx(g):
        dX = g.reshape(shape) @ Y.swapaxes(-1, -2)
        return dX[..., 0, :] if x.ndim == 1 else dX

    def dy(g):
        dY = X.swapaxes(-1, -2) @ g.reshape(shape)
        return dY[..., 0] if y.ndim == 1 else dY

    return x @ y, (dx, dy)


@op(accepts=NUMBERS)
def dot_(xp, x, y, /):
    kept = tuple(i for i in range(y.ndim) if i != y.ndim - 2)
    rest = tuple(range(x.ndim - 1))

    def dx(g):  # the last axes of g came from y
        return xp.tensordot(g, y, axes=(tuple(range(x.ndim - 1, g.ndim)), kept))

    def dy(g):
        return xp.moveaxis(xp.tensordot(x, g, axes=(rest, rest)), 0, -2)

    return xp.tensordot(x, y, axes=(-1, -2)), (dx, dy)


@function
def dot(x, y):
    """np.dot: the last axis of x with the second-last of y (a product of numbers if 0-d)."""
    if len(shape_of(x)) == 0 or len(shape_of(y)) == 0:
        return multiply(x, y)
    return matmul(x, y) if len(shape_of(y)) <= 2 else dot_(x, y)


# -- einsum ----------------------------------------------------------------------------------------


@op(accepts=NUMBERS)
def einsum_(xp, *xs, terms, result):
    """sum of products over named axes: no letter twice in a term, axes of one letter equally long.

    The gradient of an operand is the einsum of g with the other operands; an axis that only it has
    was summed, so there g is repeated.
    """

    def of(i):
        t, shape = terms[i], xs[i].shape
        others, arrays = terms[:i] + terms[i + 1 :], xs[:i] + xs[i + 1 :]
        seen = "".join(k for k in t if k in result or any(k in o for o in others))
        subscripts = ",".join([result, *others]) + "->" + seen
        sides = [n if k in seen else 1 for k, n in zip(t, shape, strict=True)]

        def vjp(g):
            gx = xp.einsum(subscripts, g, *arrays, optimize=True)
            return xp.broadcast_to(gx.reshape(sides), shape)

        return vjp

    vjps = tuple([of(i) for i in range(len(xs))])
    return xp.einsum(",".join(terms) + "->" + result, *xs, optimize=True), vjps


@function
def einsum(subscripts, *operands, optimize="greedy"):
    """Sums of products over named axes: einsum("bhnd,bhmd->bhnm", q, k).

    All of np.einsum's forms: a letter twice in an operand is its diagonal, `...` are the axes that
    are not named, without `->` the letters that occur once are the result's, and operands with
    lists of integers may stand in place of the text. Axes of length 1 are repeated, as everywhere.
    `optimize` is NumPy's; here the order of the products is always chosen.
    """
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists((subscripts, *operands))
    if not all(hasattr(x, "shape") for x in operands):
        kinds = [type(x).__name__ for x in operands]
        raise DtypeError(f"einsum: got operands {kinds}, expected Tensors and arrays")
    terms, result = _subscripts(subscripts, [len(shape_of(x)) for x in operands])
    for i, x in enumerate(operands):
        if len(set(terms[i])) < len(terms[i]):
            operands, terms = _replaced(i, operands, terms, *_diagonal(x, terms[i], subscripts))
    sizes = {}
    for t, x in zip(terms, operands, strict=True):
        for k, n in zip(t, shape_of(x), strict=True):
            if sizes.setdefault(k, n) != n and 1 not in (sizes[k], n):
                raise ShapeError(
                    f"einsum: {subscripts!r} with shapes {[shape_of(x) for x in operands]}: an "
                    f"axis has the lengths {sizes[k]} and {n}"
                )
            sizes[k] = n if sizes[k] == 1 else sizes[k]
    for i, (t, x) in enumerate(zip(terms, operands, strict=True)):
        present = [k for k, n in zip(t, shape_of(x), strict=True) if n == sizes[k]]
        if len(present) < len(t):  # an axis of length 1 beside a longer one: not there at all
            x = reshape(x, tuple(sizes[k] for k in present))
            operands, terms = _replaced(i, operands, terms, x, "".join(present))
    return einsum_(*operands, terms=terms, result=result)


def _replaced(i, operands, terms, x, term):
    return (*operands[:i], x, *operands[i + 1 :]), [*terms[:i], term, *terms[i + 1 :]]


def _diagonal(x, term, text):
    """x read where its axes of one letter are equal: a letter a term, once."""
    letters = "".join(dict.fromkeys(term))
    sizes = dict(zip(term, x.shape, strict=True))
    if any(sizes[k] != n for k, n in zip(term, x.shape, strict=True)):
        raise ShapeError(f"einsum: {text!r}: the axes of a diagonal differ, shape {x.shape}")
    xp = backend.module_of([getattr(x, "_array", x)], "einsum")
    along = {
        k: xp.arange(sizes[k]).reshape([-1 if j == k else 1 for j in letters]) for k in letters
    }
    return getitem(x, tuple(along[k] for k in term)), letters


def _from_lists(arguments):
    """einsum(x, [0, 1], y, [1, 2], [0, 2]) as a text and its operands."""
    arguments = list(arguments)
    result = arguments.pop() if len(arguments) % 2 else None
    letters = list(LETTERS)  # the order in which axes stand that the result does not name

    def text(axes):
        return "".join("..." if k is Ellipsis else letters[k] for k in axes)

    subscripts = ",".join(text(axes) for axes in arguments[1::2])
    return subscripts + ("" if result is None else f"->{text(result)}"), tuple(arguments[::2])


def _subscripts(text, ndims):
    """The letters of each operand and of the result; each axis of a `...` receives a letter."""
    left, arrow, result = text.replace(" ", "").partition("->")
    terms = left.split(",")
    free = [k for k in LETTERS if k not in text]

    def refuse(why):
        raise ShapeError(f"einsum: {text!r} does not fit operands of {ndims} axes: {why}")

    if len(terms) != len(ndims):
        refuse(f"it names {len(terms)} operands, got {len(ndims)}")
    unnamed = [n - len(t.replace("...", "")) for t, n in zip(terms, ndims, strict=True)]
    if any(n < 0 or (n and "..." not in t) for t, n in zip(terms, unnamed, strict=True)):
        refuse("expected one letter per axis, or '...' for the others")
    dots = "".join(free[: max([n for t, n in zip(terms, unnamed, strict=True)], default=0)])
    if not arrow:
        single = sorted(k for k in set(left) - set(",.") if left.count(k) == 1)
        result = "..." * ("..." in left) + "".join(single)
    elif dots and "..." not in result:
        refuse("the result must have the '...' too")
    terms = [
        t.replace("...", dots[len(dots) - n :], 1) for t, n in zip(terms, unnamed, strict=True)
    ]
    result = result.replace("...", dots, 1)
    for k in "".join([*terms, result]):
        if k not in LETTERS:
            refuse(f"{k!r} is no letter")
    if len(set(result)) < len(result) or not set(result) <= set("".join(terms)):
        refuse("each letter of the result must be an operand's, once")
    return terms, result
