"""Exercise 18: the backward pass of attention, one head.

S = q k^T / √D,  A = softmax(S),  out = A v
gv = A^T g,  gA = g v^T,  gS = A (gA - sum over keys of gA A),  gq = gS k / √D,  gk = gS^T q / √D
"""

from types import SimpleNamespace

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

OUTPUTS = ("out", "gq", "gk", "gv")


def symbols(case):
    """Everything in the derivation by its letter."""
    q, k, v = case.inputs.values()
    p = SimpleNamespace(q=q, k=k, v=v, scale=q.shape[1] ** -0.5)
    p.S = q @ k.T * p.scale
    p.A = softmax(p.S)
    p.out = p.A @ v
    p.g = np.zeros_like(p.out) if case.g is None else case.g
    p.gA = p.g @ v.T
    p.gS = p.A * (p.gA - (p.gA * p.A).sum(axis=1, keepdims=True))
    p.gq, p.gk, p.gv = p.gS @ k * p.scale, p.gS.T @ q * p.scale, p.A.T @ p.g
    return p


def truth(case):
    p = symbols(case)
    return {name: getattr(p, name) for name in (OUTPUTS[:1] if case.g is None else OUTPUTS)}


@st.composite
def cases(draw, dtype=np.float64, large=0, square=False, one=None):
    """q (N, D), k (M, D), v (M, C), g (N, C); N, M, D and C differ, or `square` and are equal.
    `one`: the place of the one of them that is 1. `large`: scores of several hundred at least,
    where exp overflows; the last query has scores of 0."""
    sizes = [draw(st.integers(2, 4))] * 4 if square else draw(st.permutations([2, 3, 4, 5]))
    N, M, D, C = [1 if i == one else n for i, n in enumerate(sizes)]
    q, k, v = (
        numbers(draw, (N, D), dtype),
        numbers(draw, (M, D), dtype),
        numbers(draw, (M, C), dtype),
    )
    g = numbers(draw, (N, C), dtype)
    if large:
        q[[0, -1]], q[0, 0], k[0, 0] = 0, 4, 4
        q *= large
    return Case({"q": q, "k": k, "v": v}, g)


def through_softmax(p, gS):
    return gS @ p.k * p.scale


WRONG = {
    "out": {
        "the scale is missing: 1/sqrt(D)": lambda p: softmax(p.S / p.scale) @ p.v,
        "the softmax runs over the queries, not over the keys": lambda p: softmax(p.S, 0) @ p.v,
        "it is multiplied by sqrt(D), not divided": lambda p: softmax(p.S / p.scale**2) @ p.v,
    },
    "gq": {
        "the softmax is passed through as if it were no function": lambda p: p.gA @ p.k * p.scale,
        "the sum over the keys is missing: each score reaches every weight of its row":
            lambda p: through_softmax(p, p.A * p.gA),
        "the derivative of softmax is taken for A (1 - A): that is its diagonal alone":
            lambda p: through_softmax(p, p.A * (1 - p.A) * p.gA),
        "the sum runs over the queries, not over the keys":
            lambda p: through_softmax(p, p.A * (p.gA - (p.gA * p.A).sum(0, keepdims=True))),
        "the scale is missing: it stands between q and the scores": lambda p: p.gq / p.scale,
        "it is negated": lambda p: -p.gq,
    },
    "gk": {
        "the scale is missing: it stands between k and the scores": lambda p: p.gk / p.scale,
        "the sum over the keys is missing: each score reaches every weight of its row":
            lambda p: (p.A * p.gA).T @ p.q * p.scale,
        "it is negated": lambda p: -p.gk,
    },
    "gv": {
        "the scores stand where their softmax belongs": lambda p: p.S.T @ p.g,
        "it is divided by the number of queries: a sum belongs there":
            lambda p: p.gv / len(p.q),
        "it is negated": lambda p: -p.gv,
    },
}  # fmt: skip

ORDINARY = (cases(), cases(square=True))
ONE = tuple(cases(one=i) for i in range(4))
LARGE = tuple(cases(dtype=kind, large=100 if kind == np.float32 else 1000) for kind in FLOATS)

EXERCISE = Exercise(
    number=18,
    function="attention_gradient",
    title="The backward pass of attention",
    lecture="Vision Transformer",
    section="The layer: LayerNorm and its gradient",
    outputs=OUTPUTS,
    properties=(
        Property("out is softmax(q kᵀ / √D) v", 1, ORDINARY + ONE, equals("out", truth), "out"),
        Property("gv is the gradient of v", 1, ORDINARY + ONE, equals("gv", truth), "gv"),
        Property("gq is the gradient of q", 3, ORDINARY, equals("gq", truth), "gq"),
        Property("gk is the gradient of k", 2, ORDINARY, equals("gk", truth), "gk"),
        Property("scores in the thousands give finite gradients", 1, LARGE,
                 equals("gq", truth, single=1e-2)),
        keeps_dtype(truth, "q", 1, tuple(cases(dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases()),
    ),
    mistakes=tuple(
        Mistake(output, title, lambda case, wrong=wrong: wrong(symbols(case)))
        for output, named in WRONG.items()
        for title, wrong in named.items()
    ),
)  # fmt: skip
