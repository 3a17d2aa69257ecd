"""Exercise 1: the gradient of broadcasting, a sum over the axes that were repeated."""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals, keeps_dtype, numbers


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
def cases(draw, added=(0, 1, 2), repeated=True, dtypes=(np.float64,)):
    """g of a broadcast shape, and the shape before. Axes differ in length, none of g is 1."""
    ndim = draw(st.integers(1, 3))
    sizes = draw(st.permutations([2, 3, 4, 5]))
    front = draw(st.sampled_from(added))
    kept = sizes[front : front + ndim] if front + ndim <= 4 else sizes[front:]
    shape = [n if not repeated or draw(st.booleans()) else 1 for n in kept]
    if repeated and 1 not in shape:
        shape[draw(st.integers(0, len(shape) - 1))] = 1
    g = numbers(draw, (*sizes[:front], *kept), draw(st.sampled_from(dtypes)))
    return Case({"g": g, "shape": list(shape)})


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


def _squeezed(g, shape):
    return g.sum(sum(_axes(g, shape), ()))


def _all(g, shape):
    return np.broadcast_to(g.sum(), tuple(shape)).astype(g.dtype)


EXERCISE = Exercise(
    number=1,
    function="unbroadcast",
    title="The gradient of broadcasting",
    lecture="The Transformer layer",
    section="LayerNorm, line by line",
    outputs=("summed",),
    properties=(
        Property("axes of length 1 that were repeated are summed", 3, cases(added=(0,)),
                 equals("summed", truth), "summed"),
        Property("axes that were added in front are summed", 3,
                 cases(added=(1, 2), repeated=False), equals("summed", truth), "summed"),
        Property("both at once", 2, cases(added=(1, 2)), equals("summed", truth), "summed"),
        Property("where nothing was repeated, g comes back", 1,
                 cases(added=(0,), repeated=False), equals("summed", truth)),
        Property("float32 stays float32, float64 stays float64", 1,
                 cases(dtypes=(np.float32, np.float64)), keeps_dtype(truth, "g")),
    ),
    mistakes=(
        summed("only the axes in front are summed: those of length 1 were repeated too", _only(0)),
        summed("only the axes of length 1 are summed: those in front were added", _only(1)),
        summed("it is the mean over the copies: each of them has a gradient of its own", _mean),
        summed("the first copy is taken: the others have a gradient too", _first),
        summed("the summed axes are gone: those of length 1 belong into the shape", _squeezed),
        summed("everything is summed", _all),
        summed("g is returned as it came", lambda g, shape: g),
    ),
)  # fmt: skip
