"""Exercise 22: the loss of a classifier, softmax and cross-entropy in one, and its gradient.

loss = mean_i ( log sum_c e^z_ic  -  z_i,label(i) ),   d loss / dz = (softmax(z) - one-hot) / N
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


def truth(case):
    loss = {"loss": _loss(case)}
    return loss if case.g is None else loss | {"gz": _gradient(case)}


def _picked(case, values):
    z, labels = case.inputs.values()
    return values[np.arange(len(z)), labels]


def _logs(z, axis=1):
    m = z.max(axis=axis, keepdims=True)
    return z - m - np.log(np.exp(z - m).sum(axis=axis, keepdims=True))


def _loss(case):
    return np.asarray(-_picked(case, _logs(case.inputs["z"])).mean())


def _one_hot(case):
    z, labels = case.inputs.values()
    return (labels[:, None] == np.arange(z.shape[1])).astype(z.dtype)


def _gradient(case):
    z = case.inputs["z"]
    return case.g * (softmax(z) - _one_hot(case)) / len(z)


@st.composite
def cases(draw, dtype=np.float64, large=False, square=False, rows=(2, 3, 4)):
    """z (N, C), N ≠ C or `square`, labels (N,) of which not all are 0, and a cotangent that is
    not 1. `large`: the first row has thousands above 0, the last one thousands below."""
    N, C = draw(st.sampled_from(rows)), draw(st.integers(2, 5))
    C = N if square else C + (C == N)
    z = numbers(draw, (N, C), dtype)
    z[:, 0] += np.ptp(z, axis=1) == 0  # no row is constant
    if large:
        z *= 1000
        z[0] += 5000
        z[-1] -= 5000
    labels = np.array(draw(st.lists(st.integers(0, C - 1), min_size=N, max_size=N)))
    labels[-1] = max(labels[-1], int(not labels.any()))
    g = np.asarray(draw(st.sampled_from([2.0, -1.0, 0.5])), dtype)
    return Case({"z": z, "labels": labels}, g)


ORDINARY = (cases(), cases(square=True))
LARGE = tuple(cases(dtype=kind, large=True) for kind in FLOATS)
PROPERTIES = (
    Property("loss is the mean of -log softmax(z) at the labels", 3, ORDINARY,
             equals("loss", truth), "loss"),
    Property("gz is the gradient of z", 3, (*ORDINARY, cases(rows=(1,))),
             equals("gz", truth), "gz"),
    Property("logits in the thousands give a finite loss", 1, LARGE, equals("loss", truth)),
    Property("... and a finite gradient", 1, LARGE, equals("gz", truth)),
    keeps_dtype(truth, "z", 1, tuple(cases(dtype=kind) for kind in FLOATS)),
    leaves_nothing_behind(truth, 1, cases()),
)  # fmt: skip


def _z(case):
    return case.inputs["z"]


WRONG = {
    "loss": {
        "it is the sum over the rows, not their mean": lambda c: _loss(c) * len(_z(c)),
        "the sign is missing: a log-probability is negative": lambda c: -_loss(c),
        "the softmax runs over the rows (axis 0), not over the classes":
            lambda c: -_picked(c, _logs(_z(c), 0)).mean(),
        "the softmax runs over the whole array":
            lambda c: -_picked(c, _logs(_z(c).reshape(1, -1)).reshape(_z(c).shape)).mean(),
        "the log is missing: this is the mean probability of the labels, negated":
            lambda c: -_picked(c, softmax(_z(c))).mean(),
        "the softmax is missing: this is the mean logit of the labels, negated":
            lambda c: -_picked(c, _z(c)).mean(),
        "the logit of the label is not subtracted":
            lambda c: np.log(np.exp(_z(c)).sum(1)).mean(),
        "it is divided by all numbers of z, not by its rows":
            lambda c: _loss(c) / _z(c).shape[1],
        "the softmax is taken twice":
            lambda c: -_picked(c, _logs(softmax(_z(c)))).mean(),
    },
    "gz": {
        "1/N is missing: the loss is a mean": lambda c: _gradient(c) * len(_z(c)),
        "g is missing: the loss may be multiplied later on": lambda c: _gradient(c) / c.g,
        "the one-hot rows are missing": lambda c: c.g * softmax(_z(c)) / len(_z(c)),
        "the softmax is missing": lambda c: -c.g * _one_hot(c) / len(_z(c)),
        "it is negated": lambda c: -_gradient(c),
        "the softmax runs over the rows (axis 0), not over the classes":
            lambda c: c.g * (softmax(_z(c), 0) - _one_hot(c)) / len(_z(c)),
        "it is divided by all numbers of z, not by its rows":
            lambda c: _gradient(c) / _z(c).shape[1],
        "z stands where its softmax belongs":
            lambda c: c.g * (_z(c) - _one_hot(c)) / len(_z(c)),
        "the derivative of softmax is multiplied in once more":
            lambda c: _gradient(c) * softmax(_z(c)) * (1 - softmax(_z(c))),
    },
}  # fmt: skip

EXERCISE = Exercise(
    number=22,
    function="cross_entropy",
    title="Softmax and cross-entropy",
    lecture="CLIP, line by line",
    section="The pseudocode, as printed",
    outputs=("loss", "gz"),
    properties=PROPERTIES,
    mistakes=tuple(
        Mistake(output, title, wrong)
        for output, named in WRONG.items()
        for title, wrong in named.items()
    ),
)
