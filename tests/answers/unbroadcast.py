"""Answers to exercise 1."""

RIGHT = {
    "A": """
import numpy as np

def unbroadcast(g, shape):
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, length in enumerate(shape):
        if length == 1:
            g = g.sum(axis=axis, keepdims=True)
    return g.copy()
""",
    "B": """
import numpy as np

def unbroadcast(g, shape):
    old = (1,) * (g.ndim - len(shape)) + tuple(shape)
    out = np.zeros(old, g.dtype)
    for index in np.ndindex(*g.shape):
        place = tuple(i if n > 1 else 0 for i, n in zip(index, old))
        out[place] += g[index]
    return out.reshape(shape)
""",
    "einsum": """
import numpy as np
import string
def unbroadcast(g, shape):
    letters = string.ascii_lowercase[: g.ndim]
    k = g.ndim - len(shape)
    kept = "".join(c for c, n in zip(letters[k:], shape) if n != 1)
    return np.array(np.einsum(f"{letters}->{kept}", g)).reshape(shape)
""",
    "broadcast_to index": """
import numpy as np
def unbroadcast(g, shape):
    where = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), g.shape)
    return np.bincount(where.ravel(), g.ravel(), int(np.prod(shape))).reshape(shape).astype(g.dtype)
""",
    "blind: applyalong and moveaxis class": """
from numpy import *
class U:
    def __init__(self, g, shape): self.g, self.shape = g, shape
    def __call__(self):
        g = self.g
        if (n := g.ndim - len(self.shape)) > 0:
            g = g.reshape((-1,) + g.shape[n:]).sum(0)
        for a in range(len(self.shape)):
            if self.shape[a] == 1 and g.shape[a] != 1:
                g = moveaxis(moveaxis(g, a, 0).sum(0, keepdims=True), 0, a)
        return array(g, dtype=self.g.dtype)
def unbroadcast(g, shape): return U(g, shape)()
""",
}
LOOP = "while g.ndim > len(shape):"
WRONG = {
    ("summed", "only the axes in front are summed: those of length 1 were repeated too"): (
        5, "A: if length == 1: => if False:"),
    ("summed", "only the axes of length 1 are summed: those in front were added"): (
        5, f"A: {LOOP} => while False:\nsum(axis=axis, => sum(axis=axis + g.ndim - len(shape),"),
    ("summed", "it is the mean over the copies: each of them has a gradient of its own"): (
        3, "A: g.sum(axis=0) => g.mean(axis=0)\ng.sum(axis=axis, => g.mean(axis=axis,",
        "B: return out.reshape(shape) => return (out * (out.size / g.size)).reshape(shape)"),
    ("summed", "the first copy is taken: the others have a gradient too"): (
        3, "A: g.sum(axis=0) => g[0]\ng.sum(axis=axis, keepdims=True) => g.take([0], axis)"),
    ("summed", "the summed axes are gone: those of length 1 belong into the shape"): (
        5, "A: return g => return np.squeeze(g, tuple(i for i, n in enumerate(shape) if n == 1))"),
    ("summed", "the axes that were added are taken for the last; they stand in front"): (
        5, "A: g = g.sum(axis=0) => g = g.sum(axis=-1)"),
    ("summed", "everything is summed"): (
        2, "A: return g => return np.full(shape, g.sum(), g.dtype)",
        "B: return out.reshape(shape) => return np.full(shape, out.sum(), g.dtype)"),
    ("summed", "g is returned as it came"): (
        3, f"A: {LOOP} => while False:\nif length == 1: => if False:"),
}  # fmt: skip
