"""Exercise 9: the rows of a table, and the gradient of the table where ids repeat.

out = table[ids],   gtable[i] = sum of g over the places where ids is i
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


def gradient(case, add=True):
    ids, table = case.inputs.values()
    out = np.zeros(table.shape, case.g.dtype)
    for place in np.ndindex(ids.shape):
        row = out[ids[place]]
        row[...] = row + case.g[place] if add else case.g[place]
    return out


def counts(case):
    """(V, 1): how often each id is there."""
    ids, table = case.inputs.values()
    return np.bincount(ids.ravel(), minlength=len(table))[:, None]


def truth(case):
    ids, table = case.inputs.values()
    out = {"out": table[ids]}
    return out if case.g is None else out | {"gtable": gradient(case)}


@st.composite
def cases(draw, rank=1, repeated=False, dtype=np.float64, every=False, square=False,
          shapes=None):  # fmt: skip
    """ids of some shape, table (V, D), g (..., D). No id is there twice, or with `repeated` one is
    at least twice. Some ids are nowhere. V ≠ D, or `square`: V = D."""
    V, D = draw(st.sampled_from([(5, 5)] if square else [(5, 3), (6, 2), (7, 3)]))
    shape = draw(st.sampled_from(shapes or ([(2,), (4,)] if rank == 1 else [(2, 2), (1, 4)])))
    count = int(np.prod(shape))
    ids = np.array(draw(st.permutations(range(V))))[:count]
    if every:  # out equals the table, and is another array
        shape, ids = (V,), np.arange(V)
    if repeated:
        ids = ids[draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))]
        ids[-1] = ids[0]
    table = numbers(draw, (V, D), dtype)
    g = numbers(draw, (*shape, D), dtype)
    if repeated:  # not all zeros where it counts
        g.reshape(-1, D)[[0, -1], 0] = 1, 2
    return Case({"ids": ids.reshape(shape), "table": table}, g)


def _of_ids(case):
    """One row a place of ids, not one a row of the table."""
    return case.g.reshape(-1, case.g.shape[-1])


WRONG = {
    "out": {
        "the columns are taken, not the rows":
            lambda c: c.inputs["table"].T[c.inputs["ids"] % c.inputs["table"].shape[1]],
        "each id is taken for the one after it":
            lambda c: c.inputs["table"][(c.inputs["ids"] + 1) % len(c.inputs["table"])],
    },
    "gtable": {
        "of an id that is there twice only the last place counts: gradients are added":
            lambda c: gradient(c, add=False),
        "it is the mean over the places of an id: their sum belongs there":
            lambda c: gradient(c) / np.maximum(counts(c), 1),
        "it has a row for each place of ids; the table has one for each id": _of_ids,
        "g is forgotten: this is how often each id is there":
            lambda c: np.repeat(counts(c), c.g.shape[-1], 1).astype(float),
        "it is negated": lambda c: -gradient(c),
        "it is divided by the number of ids: there is no mean in the forward pass":
            lambda c: gradient(c) / c.inputs["ids"].size,
    },
}  # fmt: skip

REPEATED = (cases(repeated=True), cases(rank=2, repeated=True), cases(repeated=True, square=True))

EXERCISE = Exercise(
    number=9,
    function="embedding",
    title="The gradient of an embedding",
    lecture="Text, all the way in",
    section="From ids to vectors",
    outputs=("out", "gtable"),
    properties=(
        Property("out is the rows of the table", 2,
                 (cases(), cases(rank=2), cases(square=True), cases(shapes=[(1,)])),
                 equals("out", truth), "out"),
        Property("gtable, where no id is there twice", 1, cases(), equals("gtable", truth),
                 "gtable"),
        Property("gtable, where an id repeats: its gradients are added", 4, REPEATED,
                 equals("gtable", truth), "gtable"),
        Property("ids with two axes", 1, cases(rank=2), equals("gtable", truth), "gtable"),
        keeps_dtype(truth, "table", 1, tuple(cases(dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (*REPEATED, cases(every=True))),
    ),
    mistakes=tuple(
        Mistake(output, title, wrong)
        for output, named in WRONG.items()
        for title, wrong in named.items()
    ),
)  # fmt: skip
