"""Products: matmul, dot, einsum.

Nearly all of a Transformer's time is spent here, in BLAS. What decides is that BLAS is reached: a
stack of rows times one matrix is folded into a single 2-D product.
"""

import numpy as np

from minivit.engine.errors import ShapeError
from minivit.engine.ops import multiply
from minivit.engine.record import op


@op
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
        return _matvec(x, y)
    if y.ndim == 2 and x.ndim > 2:
        x2, out = x.reshape(-1, x.shape[-1]), (*x.shape[:-1], y.shape[1])

        def folded(g):
            g2 = g.reshape(-1, g.shape[-1])
            return (g2 @ y.T).reshape(x.shape), x2.T @ g2

        return (x2 @ y).reshape(out), folded
    return x @ y, lambda g: (g @ y.swapaxes(-1, -2), x.swapaxes(-1, -2) @ g)


def _matvec(x, y):
    """matmul where an operand is a vector: it is a matrix with one row or column."""
    X = x[None, :] if x.ndim == 1 else x
    Y = y[:, None] if y.ndim == 1 else y

    def vjp(g):
        g = g.reshape((X @ Y).shape) if x.ndim == y.ndim == 1 else g
        G = g[..., None, :] if x.ndim == 1 < y.ndim else g
        G = g[..., None] if y.ndim == 1 < x.ndim else G
        dx, dy = G @ Y.swapaxes(-1, -2), X.swapaxes(-1, -2) @ G
        dx = dx.sum(tuple(range(dx.ndim - 2)))[0] if x.ndim == 1 else dx
        return dx, dy.sum(tuple(range(dy.ndim - 2)))[:, 0] if y.ndim == 1 else dy

    return x @ y, vjp


@op
def dot_(xp, x, y, /):
    return xp.tensordot(x, y, axes=(-1, -2)), lambda g: _dot_vjp(xp, x, y, g)


def _dot_vjp(xp, x, y, g):
    rest = tuple(range(x.ndim - 1, g.ndim))  # the axes of g that came from y
    kept = tuple(i for i in range(y.ndim) if i != y.ndim - 2)
    dx = xp.tensordot(g, y, axes=(rest, kept))
    dy = xp.tensordot(x, g, axes=(tuple(range(x.ndim - 1)), tuple(range(x.ndim - 1))))
    return dx, xp.moveaxis(dy, 0, -2)


def dot(x, y):
    """np.dot: the last axis of x with the second-last of y (a product of numbers if 0-d)."""
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return multiply(x, y)
    return matmul(x, y) if y.ndim <= 2 else dot_(x, y)


@op
def einsum_(xp, *xs, subscripts):
    """sum of products over named axes. The gradient of an operand is the einsum of g with the
    other operands; an axis that only it has was summed, so there g is repeated."""
    terms, result = _subscripts(subscripts, xs)
    sizes = {k: n for t, x in zip(terms, xs, strict=True) for k, n in zip(t, x.shape, strict=True)}

    def vjp(g):
        gradients = []
        for i, (t, x) in enumerate(zip(terms, xs, strict=True)):
            others, arrays = terms[:i] + terms[i + 1 :], xs[:i] + xs[i + 1 :]
            seen = "".join(k for k in t if k in result or any(k in o for o in others))
            gx = xp.einsum(",".join([result, *others]) + "->" + seen, g, *arrays, optimize=True)
            gx = gx.reshape([sizes[k] if k in seen else 1 for k in t])
            gradients.append(xp.broadcast_to(gx, x.shape))
        return tuple(gradients)

    return xp.einsum(",".join(terms) + "->" + result, *xs, optimize=True), vjp


def _subscripts(text, xs):
    left, arrow, result = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow:
        result = "".join(sorted(k for k in set(left) - {","} if left.count(k) == 1))
    if len(terms) != len(xs) or any(
        len(t) != x.ndim or len(set(t)) != len(t) or "." in t
        for t, x in zip(terms, xs, strict=False)
    ):
        raise ShapeError(
            f"einsum: {text!r} does not fit operands of {[x.ndim for x in xs]} axes; expected one "
            "letter per axis, none twice in an operand, no '...'"
        )
    return terms, result


def einsum(subscripts, *tensors):
    """Sums of products over named axes: einsum("bhnd,bhmd->bhnm", q, k)."""
    return einsum_(*tensors, subscripts=subscripts)
