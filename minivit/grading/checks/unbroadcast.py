"""Exercise 1: the gradient of broadcasting, a sum over the axes that were repeated."""

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


def truth(case):
    g, shape = case.inputs.values()
    axes, kept = _axes(g, shape)
    return {"summed": np.asarray(g.sum(axes + kept, keepdims=True)).reshape(shape)}


def _axes(g, shape):
    """The axes that broadcasting added in front, and those of length 1 that it repeated."""
    added = g.ndim - len(shape)
    kept = (i for i in range(added, g.ndim) if shape[i - added] == 1 < g.shape[i])
    return tuple(range(added)), tuple(kept)


@st.composite
def cases(draw, added=(0, 1, 2), repeated=True, equal=False, dtypes=(np.float64,), ndims=(0, 3)):
    """g of a broadcast shape, and the shape before. Axes differ in length, or with `equal` all have
    the same and some were repeated, others not."""
    front = draw(st.sampled_from(added))
    least = 2 if equal else 1 if repeated or not (front or ndims[1] == 0) else 0
    ndim = draw(st.integers(max(least, ndims[0]), min(3 - (front == 2), ndims[1])))
    lengths = draw(st.permutations([2, 3, 4, 5]))[: front + ndim]
    if equal:
        lengths = [draw(st.integers(2, 3))] * (front + ndim)
    ones = (
        draw(st.lists(st.booleans(), min_size=ndim, max_size=ndim)) if repeated else [False] * ndim
    )
    if repeated and not any(ones):
        ones[draw(st.integers(0, ndim - 1))] = True
    if equal and all(ones):
        ones[draw(st.integers(0, ndim - 1))] = False
    shape = [1 if one else n for one, n in zip(ones, lengths[front:])]
    g = numbers(draw, lengths, draw(st.sampled_from(dtypes)))
    return Case({"g": g, "shape": shape})


@st.composite
def cases_with_ones(draw):
    """As above, and one axis has length 1 in g too: nothing was repeated along it."""
    case = draw(cases())
    g, shape = case.inputs.values()
    at = draw(st.integers(0, len(shape)))
    g = np.expand_dims(g, g.ndim - len(shape) + at)
    return Case({"g": g, "shape": [*shape[:at], 1, *shape[at:]]})


def summed(title, wrong):
    return Mistake("summed", title, lambda case: wrong(*case.inputs.values()))


def _only(which):
    def wrong(g, shape):
        axes = _axes(g, shape)[which]
        return g.sum(axes, keepdims=which == 1) if axes else g

    return wrong


def _mean(g, shape):
    added, kept = _axes(g, shape)
    return g.mean(added + kept, keepdims=True).reshape(shape) if added + kept else g


def _first(g, shape):
    added, kept = _axes(g, shape)
    index = [0] * len(added) + [
        slice(0, 1) if len(added) + i in kept else slice(None) for i in range(len(shape))
    ]
    return g[tuple(index)]


def _last_axes(g, shape):
    """The axes that were added are taken to be the last ones."""
    g = g.sum(tuple(range(len(shape), g.ndim)))
    return g.sum(tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def _squeezed(g, shape):
    return g.sum(sum(_axes(g, shape), ()))


def _all(g, shape):
    return np.broadcast_to(g.sum(), tuple(shape)).astype(g.dtype)


NUMBER = cases(added=(1, 2), repeated=False, ndims=(0, 0))  # one number, for all places
ALONE = cases(added=(0,), repeated=False, ndims=(0, 0))

EXERCISE = Exercise(
    number=1,
    function="unbroadcast",
    title="The gradient of broadcasting",
    lecture="The Transformer layer",
    section="LayerNorm, line by line",
    outputs=("summed",),
    properties=(
        Property("axes of length 1 that were repeated are summed", 2, cases(added=(0,)),
                 equals("summed", truth), "summed"),
        Property("axes that were added in front are summed", 2,
                 (cases(added=(1, 2), repeated=False), NUMBER), equals("summed", truth), "summed"),
        Property("both at once", 2, (cases(added=(1, 2)), cases_with_ones()),
                 equals("summed", truth), "summed"),
        Property("axes of one length, of which some were repeated", 1,
                 (cases(equal=True, added=(0,)), cases(equal=True)),
                 equals("summed", truth), "summed"),
        Property("where nothing was repeated, a copy of g comes back", 1,
                 (cases(added=(0,), repeated=False), ALONE), equals("summed", truth)),
        keeps_dtype(truth, "g", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(), cases(added=(0,), repeated=False), ALONE)),
    ),
    mistakes=(
        summed("only the axes in front are summed: those of length 1 were repeated too", _only(0)),
        summed("only the axes of length 1 are summed: those in front were added", _only(1)),
        summed("it is the mean over the copies: each of them has a gradient of its own", _mean),
        summed("the first copy is taken: the others have a gradient too", _first),
        summed("the summed axes are gone: those of length 1 belong into the shape", _squeezed),
        summed("the axes that were added are taken for the last; they stand in front", _last_axes),
        summed("everything is summed", _all),
        summed("g is returned as it came", lambda g, shape: g),
    ),
)  # fmt: skip
