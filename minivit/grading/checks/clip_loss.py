"""Exercise 23: the loss of CLIP, from features of images and texts.

I_e = unit rows of I_f W_i,  T_e = unit rows of T_f W_t,  logits = I_e T_e^T e^t,
loss = (cross-entropy down the columns + cross-entropy along the rows) / 2
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


def unit(x, axis=1):
    return x / np.sqrt((x * x).sum(axis=axis, keepdims=True))


def cross_entropy(logits, axis):
    """The mean of -log softmax at the diagonal, softmaxed along `axis`."""
    z = logits - logits.max(axis=axis, keepdims=True)
    z = z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
    return -np.diagonal(z).mean()


def logits_of(case, normal=unit, scale=np.exp):
    I_f, T_f, W_i, W_t, t = case.inputs.values()
    I_e, T_e = normal(I_f @ W_i), normal(T_f @ W_t)
    return (I_e @ T_e.T) * scale(t)


def loss_of(case, both=lambda a, b: (a + b) / 2, **how):
    logits = logits_of(case, **how)
    return np.asarray(both(cross_entropy(logits, 0), cross_entropy(logits, 1)))


def truth(case):
    return {"loss": loss_of(case)}


@st.composite
def cases(draw, ts=(0.0, 0.5, -0.5), dtypes=(np.float64,), alike=False, square=False,
          one=False):  # fmt: skip
    """n pairs; widths d_i, d_t and d_e; no vector of length 0. `square`: all are 3.
    `alike`: both vectors of the first pair have one direction, so that the largest cosine is 1.
    `one`: n = 1."""
    n = 1 if one else draw(st.integers(2, 4))
    d_i, d_t = draw(st.sampled_from([(3, 4), (4, 3)] if n == 2 else [(5, 6), (6, 5)]))
    dtype, d_e = draw(st.sampled_from(dtypes)), 3 if n == 4 else 2
    if square:
        n = d_i = d_t = d_e = 3
    I_f, T_f = (numbers(draw, (n, d), dtype) for d in (d_i, d_t))
    W_i, W_t = (numbers(draw, (d, d_e), dtype) for d in (d_i, d_t))
    for x, W in ((I_f, W_i), (T_f, W_t)):
        rows = np.arange(n)
        x[rows, rows] += ((x @ W) ** 2).sum(axis=1) == 0
        W[:n, 0] += 7 * (((x @ W) ** 2).sum(axis=1) == 0).any()
        if (((x @ W) ** 2).sum(axis=1) == 0).any():
            x[:], W[:] = 0, 0
            x[rows, rows], W[rows, rows % d_e] = 1, 1
    if alike:
        I_f[0], T_f[0] = np.arange(d_i) == 0, np.arange(d_t) == 0
        W_i[0] = W_t[0] = np.arange(d_e) == 0
    t = np.asarray(draw(st.sampled_from(ts)), dtype)
    return Case({"I_f": I_f, "T_f": T_f, "W_i": W_i, "W_t": W_t, "t": t})


def _softmax_after(case):
    """Cosines softmaxed, the scale multiplied in behind."""
    p = logits_of(case, scale=lambda t: 1)
    t = case.inputs["t"]
    losses = [cross_entropy(p, axis) * np.exp(t) for axis in (0, 1)]
    return np.asarray(sum(losses) / 2)


def _not_projected_units(case):
    I_f, T_f, W_i, W_t, t = case.inputs.values()
    with np.errstate(all="ignore"):
        logits = (unit(I_f) @ W_i) @ (unit(T_f) @ W_t).T * np.exp(t)
    return np.asarray((cross_entropy(logits, 0) + cross_entropy(logits, 1)) / 2)


MISTAKES = {
    "the rows are not scaled to length 1": lambda c: loss_of(c, normal=lambda x: x),
    "the features are scaled to length 1 before the projection, not after it":
        _not_projected_units,
    "the square root is missing: divided by the squared length":
        lambda c: loss_of(c, normal=lambda x: x / (x * x).sum(axis=1, keepdims=True)),
    "the cosines are multiplied by t, not by exp(t)": lambda c: loss_of(c, scale=lambda t: t),
    "the cosines are divided by exp(t): it is one over the temperature":
        lambda c: loss_of(c, scale=lambda t: np.exp(-t)),
    "exp(t) is missing": lambda c: loss_of(c, scale=lambda t: 1),
    "exp(t) multiplies the loss: it belongs into the logits": _softmax_after,
    "only the images ask (axis=1): the texts ask as well": lambda c: loss_of(c, lambda a, b: b),
    "only the texts ask (axis=0): the images ask as well": lambda c: loss_of(c, lambda a, b: a),
    "the two halves are added: their mean belongs there": lambda c: loss_of(c, lambda a, b: a + b),
    "the sign is missing": lambda c: -loss_of(c),
    "it is the sum over the pairs, not their mean":
        lambda c: loss_of(c) * len(c.inputs["I_f"]),
}  # fmt: skip

EXERCISE = Exercise(
    number=23,
    function="clip_loss",
    title="The loss of CLIP",
    lecture="CLIP, line by line",
    section="The pseudocode, as printed",
    outputs=("loss",),
    properties=(
        Property("t = 0: exp(t) is 1", 3, cases(ts=(0.0,)), equals("loss", truth), "loss"),
        Property("any t", 4, (cases(ts=(0.5, -0.5, 1.5)), cases(square=True)),
                 equals("loss", truth), "loss"),
        Property("exp(t) = 100, the largest one allowed, in float32 too", 1,
                 tuple(cases(ts=(float(np.log(100)),), dtypes=(kind,), alike=True)
                       for kind in FLOATS) + (cases(one=True),), equals("loss", truth), "loss"),
        keeps_dtype(truth, "I_f", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases()),
    ),
    mistakes=tuple(Mistake("loss", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
