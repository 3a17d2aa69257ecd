"""Exercise 21: attention pooling, the reading-out of Zhai et al.: one query that is learnt.

k = x W_k,  v = x W_v,  out = softmax(probe k^T / √(D/H)) v, head by head
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


def pool(case, scale=None, weights=softmax, projected=None, strided=False):
    """(D,), by another rule where it is given. `projected`: keys and values."""
    x, probe, W_k, W_v, H = case.inputs.values()
    D = len(probe)
    k, v = projected(x, W_k, W_v) if projected else (x @ W_k, x @ W_v)

    def heads(y):  # (..., D) -> (..., H, D/H)
        parts = y.reshape(*y.shape[:-1], D // H, H) if strided else y.reshape(*y.shape[:-1], H, -1)
        return parts.swapaxes(-1, -2) if strided else parts

    S = np.einsum("hd,nhd->hn", heads(probe), heads(k))
    A = weights(S * (scale or (lambda D, H: (D / H) ** -0.5))(D, H))  # (H, N)
    out = np.einsum("hn,nhd->hd", A, heads(v))
    return (out.T if strided else out).reshape(D)


def truth(case):
    return {"out": pool(case)}


@st.composite
def cases(draw, H=(1,), dtype=np.float64, large=0, tokens=(2, 3, 5), widths=(2, 3),
          square=False):  # fmt: skip
    """x (N, W), probe (D,), W_k and W_v (W, D), and H heads. W is not D, or with `square` it is."""
    H, N = draw(st.sampled_from(H)), draw(st.sampled_from(tokens))
    D = H * draw(st.sampled_from((2, 1, 3) if square and H > 1 else widths))
    W = D + (0 if square else draw(st.sampled_from((-1, 1) if D > 1 else (1,))))
    x, probe = numbers(draw, (N, W), dtype, most=2), numbers(draw, (D,), dtype, most=2)
    W_k, W_v = numbers(draw, (W, D), dtype, most=1), numbers(draw, (W, D), dtype, most=2)
    if large:
        x[:, 0], W_k[:] = np.arange(N), 0
        W_k[0], probe[:] = 1, 4
        probe[D // 2 * (H > 1) :] = -4  # the scores of one head are far above those of the other
        probe = probe * large
    return Case({"x": x, "probe": probe, "W_k": W_k, "W_v": W_v, "heads": H})


MISTAKES = {
    "the scale is missing: 1/sqrt(D/heads)": lambda c: pool(c, scale=lambda D, H: 1),
    "it is divided by sqrt(D), not by the root of a head's width":
        lambda c: pool(c, scale=lambda D, H: D**-0.5),
    "this is the mean of the values: the probe is not asked":
        lambda c: pool(c, weights=lambda S: np.ones_like(S) / S.shape[1]),
    "the scores are not normalised: their softmax belongs there":
        lambda c: pool(c, weights=lambda S: S),
    "this is the sum of the values, weighted by exp: the weights must sum to 1":
        lambda c: pool(c, weights=lambda S: np.exp(S)),
    "keys and values have changed places":
        lambda c: pool(c, projected=lambda x, k, v: (x @ v, x @ k)),
    "the values are the keys: W_v is not used":
        lambda c: pool(c, projected=lambda x, k, v: (x @ k, x @ k)),
    "a head takes every H-th number: its numbers stand side by side":
        lambda c: pool(c, strided=True),
    "all heads share one softmax": lambda c: pool(
        c, weights=lambda S: softmax(S.ravel()).reshape(S.shape)
    ),
}  # fmt: skip

EXERCISE = Exercise(
    number=21,
    function="attention_pool",
    title="One question to all tokens",
    lecture="Scaling Vision Transformers",
    section="Other parts",
    outputs=("out",),
    properties=(
        Property("one head", 3, (cases(), cases(square=True)), equals("out", truth), "out"),
        Property("heads", 3, (cases(H=(2, 3)), cases(H=(2, 3), square=True)), equals("out", truth),
                 "out"),
        Property("one token: its value", 1,
                 (cases(H=(1, 2), tokens=(1,)), cases(tokens=(1,), widths=(1,))),
                 equals("out", truth), "out"),
        Property("scores in the thousands give finite numbers", 1,
                 tuple(cases((1, 2), d, large=n) for d, n in zip(FLOATS, (100, 1000))),
                 equals("out", truth, single=1e-2), "out"),
        keeps_dtype(truth, "x", 1, tuple(cases(H=(1, 2), dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases(H=(1, 2))),
    ),
    mistakes=tuple(Mistake("out", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
