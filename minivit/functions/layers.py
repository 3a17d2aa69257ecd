"""Layers as functions: of weights and inputs, and of chance while they train."""

from math import prod

import numpy as np

from minivit.engine import backend, numerics
from minivit.engine.errors import DtypeError, OptionError, ShapeError
from minivit.engine.numerics import NUMBERS, column_sum, plus
from minivit.engine.record import op


@op
def linear(xp, x, W, b=None, /):
    """y = x W^T + b; W is (out, in), as in PyTorch. One 2-D product for all tokens of a batch.

    dx = g W, dW = g^T x, db = sum of g over the rows.
    """
    if W.ndim != 2 or not x.ndim or x.shape[-1] != W.shape[1]:
        raise ShapeError(
            f"linear: x has shape {x.shape} and the weight {W.shape}; expected (..., in) and "
            "(out, in)"
        )
    if b is not None and b.shape != W.shape[:1]:
        raise ShapeError(f"linear: the bias has shape {b.shape}, the weight {W.shape} (out, in)")
    rows, out = prod(x.shape[:-1]), W.shape[0]
    x2 = x.reshape(rows, x.shape[-1])  # (B, N, in) -> (B N, in)
    y = backend.product_of_rows(x2, W)
    if b is not None:
        y = plus(y, b)
    return y.reshape(*x.shape[:-1], out), (
        lambda g: backend.product(g.reshape(rows, out), W).reshape(x.shape),
        lambda g: backend.product(g.reshape(rows, out).T, x2),
        lambda g: column_sum(xp, g.reshape(rows, out)),
    )


@linear.twin
def linear_composed(x, W, b=None):
    y = x @ W.T
    return y if b is None else y + b


@op(accepts=NUMBERS)
def embedding(xp, table, /, ids):
    """Row `ids` of the table (V, D): a product with one-hot rows, without the zeros.

    The gradient of a row is the sum of the gradients of every place where it was read.
    """
    if table.ndim != 2:
        raise ShapeError(f"embedding: the table has shape {table.shape}, expected (V, D)")
    V, D = table.shape
    ids = numerics.checked_index(xp, ids, V, "embedding: ids")

    def vjp(g):
        return numerics.scatter_rows(xp, V, ids.reshape(-1), g.reshape(ids.size, D))

    return table[ids], vjp


@embedding.twin
def embedding_composed(table, ids):
    onehot = np.asarray(ids)[..., None] == np.arange(table.shape[0])
    return backend.to_device(onehot.astype(table.dtype), table.device) @ table


@op(accepts=NUMBERS)
def dropout(xp, x, /, p=0.5, training=True):
    """Each element zeroed with probability p, the others divided by 1 - p (Srivastava et al. 2014).

    The expectation stays; outside of training nothing happens. g passes where x passed.
    """
    if not 0 <= p < 1:
        raise OptionError(f"dropout: p is {p}, expected 0 <= p < 1")
    if x.dtype.kind != "f":
        raise DtypeError(f"dropout: got dtype {x.dtype}, expected floating point")
    if not training or p == 0:
        return x, lambda g: g
    scale = (backend.uniform(xp, x.shape, x.dtype) >= p) * x.dtype.type(1 / (1 - p))
    return x * scale, lambda g: g * scale
