"""Exercise 24: a classifier made of text, with several prompts a class.

w_c = unit(mean over prompts of unit(text vectors)),  p = softmax(scale · unit(images) w)
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
    softmax,
)


def unit(x):
    with np.errstate(all="ignore"):
        return x / np.sqrt((x * x).sum(axis=-1, keepdims=True))


def classify(case, weights=None, images=unit, scale=None, axis=1):
    I, T, s = case.inputs.values()
    w = weights(T) if weights else unit(unit(T).mean(axis=1))  # (classes, d)
    return softmax((s if scale is None else scale(s)) * images(I) @ w.T, axis)


def truth(case):
    return {"p": classify(case)}


SIZES = ((1, 4), (4, 5), (5, 4), (2, 4))


@st.composite
def cases(draw, prompts=(2, 3), dtypes=(np.float64,), scales=(2.0, 10.0), large=False,
          square=False, sizes=None):  # fmt: skip
    """Images (n, d), texts (classes, prompts, d); n, classes and prompts differ, or `square`:
    all four lengths are 3. `large`: the first image looks like the first class, the last one like
    none."""
    k = draw(st.sampled_from(prompts))
    n, classes = draw(st.sampled_from([(2, 4), (4, 5), (5, 4)] if large else sizes or SIZES))
    dtype, d = draw(st.sampled_from(dtypes)), draw(st.sampled_from([3, 6]))
    if square:
        n = classes = k = d = 3
    I, T = numbers(draw, (n, d), dtype), numbers(draw, (classes, k, d), dtype)
    I[:, 0] += (I == 0).all(axis=-1)
    T[..., 0] = np.abs(T[..., 0]) + 1 + np.arange(k) % 2  # no vector is 0, no mean of them either
    T[..., 1] += np.arange(classes)[:, None]  # classes differ
    if large:
        I[0], T[0], I[-1] = np.arange(d) == 0, np.arange(d) == 0, -(np.arange(d) == 0).astype(dtype)
    return Case({"images": I, "texts": T, "scale": draw(st.sampled_from(scales))})


MISTAKES = {
    "the prompts' vectors are averaged before they are scaled to length 1":
        lambda c: classify(c, lambda T: unit(T.mean(axis=1))),
    "the mean is not scaled to length 1 again":
        lambda c: classify(c, lambda T: unit(T).mean(axis=1)),
    "nothing of the texts is scaled to length 1": lambda c: classify(c, lambda T: T.mean(axis=1)),
    "only the first prompt of each class is used": lambda c: classify(c, lambda T: unit(T[:, 0])),
    "the prompts are added, not averaged, and not scaled to length 1":
        lambda c: classify(c, lambda T: unit(T).sum(axis=1)),
    "the images are not scaled to length 1": lambda c: classify(c, images=lambda I: I),
    "the scale is missing": lambda c: classify(c, scale=lambda s: 1),
    "it is divided by the scale: the scale is one over the temperature":
        lambda c: classify(c, scale=lambda s: 1 / s),
    "the scale's exponential is taken: it is exp(t) already":
        lambda c: classify(c, scale=np.exp),
    "the softmax runs over the images, not over the classes": lambda c: classify(c, axis=0),
}  # fmt: skip

EXERCISE = Exercise(
    number=24,
    function="zero_shot",
    title="A classifier made of text",
    lecture="CLIP, line by line",
    section="A classifier made of text",
    outputs=("p",),
    properties=(
        Property("one prompt a class", 2, cases(prompts=(1,)), equals("p", truth), "p"),
        Property("several prompts a class", 5, (cases(), cases(square=True)), equals("p", truth),
                 "p"),
        Property("a scale of 100 and more gives finite numbers", 1,
                 (cases(scales=(2000.0,), large=True),
                  cases(scales=(100.0, 2000.0), dtypes=(np.float32,), large=True),
                  *(cases(scales=(100.0,), sizes=[s]) for s in ((1, 4), (3, 1)))),
                 equals("p", truth)),
        keeps_dtype(truth, "images", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases()),
    ),
    mistakes=tuple(Mistake("p", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
