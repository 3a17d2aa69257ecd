"""Exercise 2: attention with heads, scale and mask, on one sequence.

A = softmax(Q_h K_h^T / √(D/H), masked),  head h = A V_h,  heads side by side
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


def attend(case, scale=None, split=None, join=None, mask=None, axis=-1, values="v"):
    """The answer, or a wrong one: another scale, way to split heads, mask or axis."""
    q, k, v, heads, causal = case.inputs.values()
    N, D = q.shape
    d = D // heads
    split = split or (lambda x: x.reshape(len(x), heads, d).swapaxes(0, 1))
    Q, K, V = split(q), split(k), split(v if values == "v" else k)
    S = Q @ K.swapaxes(1, 2) * (d**-0.5 if scale is None else scale(D, heads))
    allowed = np.tri(N, dtype=bool) if mask is None else mask(N)
    if causal:
        S = np.where(allowed, S, -np.inf)
    out = softmax(S, axis) @ V
    return join(out) if join else out.swapaxes(0, 1).reshape(N, D)


def truth(case):
    return {"out": attend(case)}


@st.composite
def cases(draw, heads=(2, 3), causal=False, dtype=np.float64, large=0,
          lengths=(2, 3, 4, 5), square=False, low=False):  # fmt: skip
    """q, k, v (N, D): N tokens, D = heads · d, N ≠ D and neither equal to heads; or `square`, and N
    is one of them.

    `large`: scores of several hundred at least, where exp overflows; the last query has scores of
    0, and the first one the largest score where causal attention does not look. `low`: all scores
    are thousands below 0.
    """
    H = draw(st.sampled_from(heads))
    d = draw(st.integers(1 if H > 1 else 2, 3))
    N = draw(st.sampled_from([n for n in lengths if n not in (H, H * d)]))
    if square:
        N = draw(st.sampled_from([n for n in (H, H * d) if n > 1]))
    q, k, v = (numbers(draw, (N, H * d), dtype) for _ in "qkv")
    if large:
        q[[0, -1]], q[0, 0], k[0, 0], k[-1, 0] = 0, 4, 1, 4
        q *= large
    if low:
        q[:], k[:] = 0, abs(k) + 2
        q[:, ::d] = -500 * d
    return Case({"q": q, "k": k, "v": v, "heads": H, "causal": causal})


def _interleaved(case):
    H = case.inputs["heads"]
    return attend(
        case,
        split=lambda x: x.reshape(len(x), -1, H).transpose(2, 0, 1),
        join=lambda o: o.transpose(1, 2, 0).reshape(o.shape[1], -1),
    )


def _reshaped(case):
    H = case.inputs["heads"]
    q = case.inputs["q"]
    return attend(
        case,
        split=lambda x: x.reshape(H, len(x), -1),
        join=lambda o: o.reshape(q.shape),
    )


def _one_head(case):
    return attend(Case({**case.inputs, "heads": 1}))


def _scores_zeroed(case):
    q, k, v, heads, causal = case.inputs.values()
    N, D = q.shape
    split = lambda x: x.reshape(N, heads, -1).swapaxes(0, 1)  # noqa: E731
    S = split(q) @ split(k).swapaxes(1, 2) / np.sqrt(D // heads)
    S = S * np.tri(N) if causal else S
    e = np.exp(S - S.max(axis=-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True) @ split(v)).swapaxes(0, 1).reshape(N, D)


def _masked_after(case):
    q, k, v, heads, causal = case.inputs.values()
    N, D = q.shape
    split = lambda x: x.reshape(N, heads, -1).swapaxes(0, 1)  # noqa: E731
    S = split(q) @ split(k).swapaxes(1, 2) / np.sqrt(D // heads)
    e = np.exp(S - S.max(axis=-1, keepdims=True))
    A = e / e.sum(-1, keepdims=True)
    return ((A * np.tri(N) if causal else A) @ split(v)).swapaxes(0, 1).reshape(N, D)


MISTAKES = {
    "the scale is missing: 1/sqrt(D/heads)": lambda c: attend(c, lambda D, H: 1),
    "the scale is 1/sqrt(D), with the width of all heads":
        lambda c: attend(c, lambda D, H: D**-0.5),
    "the scale is 1/(D/heads): the root is missing": lambda c: attend(c, lambda D, H: H / D),
    "it is multiplied by sqrt(D/heads), not divided":
        lambda c: attend(c, lambda D, H: (D / H) ** 0.5),
    "the softmax runs over the queries, not over the keys": lambda c: attend(c, axis=-2),
    "there is one head: the columns of each head belong to it alone": _one_head,
    "the heads own every H-th column; head h owns columns h·D/H to (h+1)·D/H": _interleaved,
    "q is reshaped to (heads, N, D/heads) at once: this mixes tokens; split the last axis first":
        _reshaped,
    "the mask hides the past: a query may see itself and what came before":
        lambda c: attend(c, mask=lambda N: np.tri(N, dtype=bool).T),
    "the mask is forgotten": lambda c: attend(c, mask=lambda N: np.ones((N, N), bool)),
    "masked scores are 0, which the softmax takes for a score; they must be -infinity":
        _scores_zeroed,
    "the mask comes after the softmax: the rows do not sum to 1 any more": _masked_after,
    "the keys stand where the values belong": lambda c: attend(c, values="k"),
}  # fmt: skip

ONE = cases(heads=(2,), lengths=(1,))  # a token alone: out equals v, and is another array

EXERCISE = Exercise(
    number=2,
    function="attention",
    title="Attention: scale, heads, mask",
    lecture="The Transformer layer",
    section="Attention",
    outputs=("out",),
    properties=(
        Property("one head: softmax(q kᵀ / √D) v", 2,
                 (cases(heads=(1,)), cases(heads=(1,), square=True)), equals("out", truth), "out"),
        Property("several heads, each with its own columns", 3, (cases(), cases(square=True), ONE),
                 equals("out", truth), "out"),
        Property("causal: a query sees itself and what came before", 2,
                 (cases(heads=(1,), causal=True), cases(causal=True)), equals("out", truth), "out"),
        Property("scores in the thousands give finite numbers", 1,
                 tuple(cases(causal=causal, dtype=kind, large=100 if kind == np.float32 else 1000)
                       for causal in (False, True) for kind in FLOATS)
                 + tuple(cases(causal=True, dtype=kind, low=True) for kind in FLOATS),
                 equals("out", truth, single=1e-2)),
        keeps_dtype(truth, "q", 1, tuple(cases(causal=causal, dtype=kind)
                                         for causal in (False, True) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(), cases(causal=True), ONE)),
    ),
    mistakes=tuple(Mistake("out", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
