"""Exercise 15: how far the heads of a ViT look, in pixels: mean attention distance.

d = sum over patches j of A_ij |place of i - place of j| / sum over j of A_ij, the mean over i
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import (
    FLOATS,
    equals,
    keeps_dtype,
    leaves_nothing_behind,
    numbers,
)


def between(rows, columns, length=lambda d: np.sqrt((d**2).sum(axis=-1))):
    """(N, N): distances of patches, in patches."""
    place = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1)
    return length((place[:, None] - place).astype(float))


def distance(case, grid=None, scaled=True, of=None, length=None):
    """(H,), by another rule where it is given. `of`: the weights among patches."""
    A, rows, columns, patch = case.inputs.values()
    A = (of or (lambda A: A[:, 1:, 1:]))(A)
    d = between(*(grid or (lambda r, c: (r, c)))(rows, columns), *([length] if length else []))
    far = (A * d * patch).sum(axis=2)
    return (far / A.sum(axis=2) if scaled else far).mean(axis=1)


def truth(case):
    return {"distance": distance(case)}


@st.composite
def cases(draw, grids=((1, 3), (4, 1)), heads=(1,), dtype=np.float64, outside=False):
    """A (H, N + 1, N + 1), rows that sum to 1, on a grid. `outside`: what a
    patch gives to the class token differs much from patch to patch."""
    rows, columns = draw(st.sampled_from(grids))
    H, N = draw(st.sampled_from(heads)), rows * columns
    A = np.abs(numbers(draw, (H, N + 1, N + 1))) + 1
    if outside:
        A[:, 1:, 0] *= 5 * np.arange(N)
    A = A / A.sum(axis=2, keepdims=True)
    patch = draw(st.sampled_from((2, 4, 14)))
    return Case({"A": A.astype(dtype), "rows": rows, "columns": columns, "patch": patch})


def _whole(A):
    """The last token left out, not the class token."""
    return A[:, :-1, :-1]


MISTAKES = {
    "rows without the class token do not sum to 1, and are not scaled":
        lambda c: distance(c, scaled=False),
    "the last token is left out: the class token stands in front":
        lambda c: distance(c, of=_whole),
    "rows and columns of the grid have changed places":
        lambda c: distance(c, grid=lambda rows, columns: (columns, rows)),
    "it is in patches, not in pixels": lambda c: distance(c) / c.inputs["patch"],
    "it is the squared distance": lambda c: distance(c, length=lambda d: (d**2).sum(axis=-1))
    * c.inputs["patch"],
    "distances along rows and columns are added: the straight line is shorter":
        lambda c: distance(c, length=lambda d: np.abs(d).sum(axis=-1)),
    "it is a sum over the patches, not their mean":
        lambda c: distance(c) * c.inputs["rows"] * c.inputs["columns"],
    "the weights of a column are used: a query is a row":
        lambda c: distance(c, of=lambda A: A[:, 1:, 1:].swapaxes(1, 2)),
    "the attention is not used: this is the mean distance of two patches":
        lambda c: distance(c, of=lambda A: np.ones_like(A[:, 1:, 1:])),
}  # fmt: skip

GRIDS = ((2, 3), (3, 2), (1, 4))
SQUARE = ((2, 2), (3, 3))

EXERCISE = Exercise(
    number=15,
    function="mean_distance",
    title="How far a head looks",
    lecture="Vision Transformer",
    section="Looking inside",
    outputs=("distance",),
    properties=(
        Property("patches in one line", 2, cases(), equals("distance", truth), "distance"),
        Property("patches on a grid", 3, (cases(grids=GRIDS[:2]), cases(grids=SQUARE)),
                 equals("distance", truth), "distance"),
        Property("what goes to the class token does not count", 2,
                 cases(grids=GRIDS, outside=True), equals("distance", truth), "distance"),
        Property("each head has its own", 1, cases(grids=GRIDS, heads=(2, 3)),
                 equals("distance", truth), "distance"),
        keeps_dtype(truth, "A", 1, tuple(cases(dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases(grids=GRIDS)),
    ),
    mistakes=tuple(Mistake("distance", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
