"""Exercise 12: a linear probe in closed form, ridge regression on frozen features.

    x_hat = (x - mean) / (std + 1e-5), a constant 100 behind,
    W = (X^T X + lambda I)^-1 X^T Y,  Y = +1 at the class, -1 elsewhere;  scores = x_hat W

Zhai et al. 2022; the code is big_vision's fewshot evaluator.
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


def scores(case, mean=None, std=None, constant=100.0, low=-1.0, ridge=None, statistics=None,
           own=False):  # fmt: skip
    """(m, classes), by other statistics, targets or penalties where they are given."""
    X, labels, Z, classes, strength = case.inputs.values()
    of = X if statistics is None else statistics(X, Z)
    mean = of.mean(axis=0) if mean is None else mean
    std = of.std(axis=0) + 1e-5 if std is None else std(of)
    rows = [(x - mean) / std for x in (X, Z)]
    if own:
        rows[1] = (Z - Z.mean(axis=0)) / (Z.std(axis=0) + 1e-5)
    wide = [np.concatenate([x, np.full((len(x), 1), constant)], axis=1) for x in rows]
    Y = np.where(labels[:, None] == np.arange(classes), 1.0, low)
    penalty = strength * np.eye(wide[0].shape[1]) if ridge is None else ridge(strength, wide[0])
    return wide[1] @ np.linalg.solve(wide[0].T @ wide[0] + penalty, wide[0].T @ Y)


def truth(case):
    return {"scores": scores(case).astype(case.inputs["train"].dtype)}


@st.composite
def cases(draw, dtypes=(np.float64,), strengths=(1.0, 10.0), absent=False,
          sizes=((6, 2, 3), (7, 3, 2), (6, 4, 3))):  # fmt: skip
    """n training rows, m test rows, D features, none of them constant. Every class occurs, or with
    `absent` one does not: the first, the last or another one."""
    n, m, D = draw(st.sampled_from(sizes))
    classes = draw(st.integers(3, 4) if absent else st.integers(2, 3))
    dtype = draw(st.sampled_from(dtypes))
    X, Z = numbers(draw, (n, D), dtype), numbers(draw, (m, D), dtype)
    X += np.arange(n)[:, None] * (1 + np.arange(D)) % 5
    missing = draw(st.integers(0, classes - 1)) if absent else None
    there = [c for c in range(classes) if c != missing]
    extra = draw(st.lists(st.sampled_from(there), min_size=n, max_size=n))
    labels = np.array([*there, *extra][:n])[draw(st.permutations(range(n)))]
    return Case({
        "train": X, "labels": labels, "test": Z, "classes": classes,
        "strength": draw(st.sampled_from(strengths)),
    })  # fmt: skip


MISTAKES = {
    "the features are not standardised":
        lambda c: scores(c, mean=0.0, std=lambda of: 1.0),
    "the mean is not subtracted": lambda c: scores(c, mean=0.0),
    "divided by the variance, not by the standard deviation":
        lambda c: scores(c, std=lambda of: of.var(axis=0) + 1e-5),
    "mean and deviation are those of the test rows: nothing may be learnt from them":
        lambda c: scores(c, statistics=lambda X, Z: Z),
    "mean and deviation are those of all rows: nothing may be learnt from the test rows":
        lambda c: scores(c, statistics=lambda X, Z: np.concatenate([X, Z])),
    "the test rows have a mean and deviation of their own: those of the training rows belong there":
        lambda c: scores(c, own=True),
    "1e-5 is not added to the deviation": lambda c: scores(c, std=lambda of: of.std(axis=0)),
    "the constant is 1, not 100": lambda c: scores(c, constant=1.0),
    "the constant is missing: there is no bias": lambda c: scores(c, constant=0.0),
    "the targets are 0 and 1; they are -1 and +1": lambda c: scores(c, low=0.0),
    "the penalty is missing": lambda c: scores(c, ridge=lambda s, X: 1e-12 * np.eye(X.shape[1])),
    "the penalty leaves out the constant: it stands on the whole diagonal":
        lambda c: scores(c, ridge=lambda s, X: s * np.diag(np.arange(X.shape[1]) < X.shape[1] - 1)),
    "the penalty is multiplied by the number of training rows":
        lambda c: scores(c, ridge=lambda s, X: len(X) * s * np.eye(X.shape[1])),
    "the penalty is added to every number, not to the diagonal":
        lambda c: scores(c, ridge=lambda s, X: np.full((X.shape[1],) * 2, s)),
}  # fmt: skip

ONE = (6, 1, 3), (5, 3, 1)  # one test row, one feature

EXERCISE = Exercise(
    number=12,
    function="ridge_probe",
    title="A linear probe in one step",
    lecture="Image GPT",
    section="Linear probes: how good is each layer?",
    outputs=("scores",),
    properties=(
        Property("the scores of the test rows", 6, (cases(), cases(sizes=((7, 7, 2), (7, 2, 2)))),
                 equals("scores", truth, 1e-8), "scores"),
        Property("a class without training rows has scores too", 1,
                 (cases(absent=True), *(cases(absent=True, sizes=(s,)) for s in ONE)),
                 equals("scores", truth, 1e-8)),
        Property("a strong penalty", 1,
                 (cases(strengths=(1024.0,)),
                  cases(strengths=(1024.0,), sizes=((3, 3, 3), (4, 4, 4)))),
                 equals("scores", truth, 1e-8)),
        keeps_dtype(truth, "train", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases()),
    ),
    mistakes=tuple(Mistake("scores", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
