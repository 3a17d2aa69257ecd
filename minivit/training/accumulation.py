"""Accumulation: the step of a large batch, a piece at a time.

A mean is a weighted sum. Of a batch that is cut into pieces, of which n_i labels count,

    L = sum_i n_i / n L_i,     so     dL/dw = sum_i n_i / n dL_i/dw

with L_i the mean over piece i alone: each is weighted, differentiated and forgotten, and the
gradients add up in `.grad`. Only one piece's graph is held at a time.

It holds for means over examples, over labels, or over what `mean_over` says. In a contrastive loss
all examples meet: a CLIP cuts its encoders instead, `model.loss(I, T, chunk=64)`. BatchNorm sees
the pieces.
"""

from itertools import pairwise
from math import isfinite

from minivit.engine import backend
from minivit.engine.errors import OptionError, ShapeError
from minivit.functions import IGNORED


def cut(batch, pieces, loss=None, where="accumulation"):
    """A batch, arrays with the examples along axis 0, as [(piece, its share of the mean), ...]."""
    if not (type(pieces) is int and pieces >= 1):
        raise OptionError(f"{where}: pieces is {pieces!r}, expected an integer, 1 or more")
    n = len(batch[0])
    if any(len(a) != n for a in batch):
        raise ShapeError(f"{where}: arrays of {[len(a) for a in batch]} examples")
    ends = [n * i // pieces for i in range(pieces + 1)]
    cuts = [slice(i, j) for i, j in pairwise(ends) if i < j]
    parts = [[a[c] for a in batch] for c in cuts]
    counts = [counted(loss, part) for part in parts]
    if not sum(counts):  # nothing counts: the loss is 0, whatever the weights
        counts = [1] * len(parts)
    return [(part, count / sum(counts)) for part, count in zip(parts, counts, strict=True)]


def counted(loss, batch):
    """The number of terms in the mean of a loss: as `mean_over` says; else the labels, if the last
    array is one of integers, less those that cross_entropy_loss leaves out (-100); else the
    examples."""
    if hasattr(loss, "terms"):
        return int(loss.terms(*batch))
    labels = batch[-1]
    if labels.dtype.kind not in "iu":
        return len(labels)
    labels = getattr(labels, "data", labels) if hasattr(labels, "requires_grad") else labels
    return int((backend.to_numpy(labels) != IGNORED).sum())


def backward(loss, model, batch, pieces=1):
    """`loss(model, *batch).backward()`, piece by piece; returns the loss, a number. Where a piece's
    is not finite, that one, and nothing more is differentiated."""
    total = 0.0
    for part, share in [(batch, 1)] if pieces == 1 else cut(batch, pieces, loss):
        value = loss(model, *part)
        value = value if share == 1 else value * share
        number = value.item()
        if not isfinite(number):
            return number
        value.backward()
        total += number
    return total
