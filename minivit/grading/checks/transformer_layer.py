"""Exercise 3: the layer of the slide, with LayerNorm after each sum or before each half.

post-LN  x = LN(x + A x W_v),    x = LN(x + mlp(x))
pre-LN   x = x + A LN(x) W_v,    x = x + mlp(LN(x))
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


def norm(x, axis=1, outside=False):
    c = x - x.mean(axis=axis, keepdims=True)
    variance = (c * c).mean(axis=axis, keepdims=True)
    return c / (np.sqrt(variance) + 1e-5 if outside else np.sqrt(variance + 1e-5))


def relu(x):
    return np.maximum(x, 0)


def after(x, half, ln):
    return ln(x + half(x))


def before(x, half, ln):
    return x + half(ln(x))


def layer(case, post=after, pre=before, ln=norm, bend=relu, turned=False, last=lambda x: x):
    """The answer, or a wrong one: other steps, another norm, no bend, A turned, a last step."""
    x, A, W_v, W_1, W_2, first = case.inputs.values()
    step = pre if first else post
    x = step(x, lambda y: (A.T if turned else A) @ y @ W_v, ln)
    x = step(x, lambda y: bend(y @ W_1) @ W_2, ln)
    return last(x) if first else x


def mlp_of_input(case):
    """The MLP reads what came into the layer."""
    x, A, W_v, W_1, W_2, first = case.inputs.values()
    mlp = relu((norm(x) if first else x) @ W_1) @ W_2
    return x + A @ norm(x) @ W_v + mlp if first else norm(norm(x + A @ x @ W_v) + mlp)


def no_norm_between(case):
    """post-LN: one LayerNorm, at the end of the layer."""
    x, A, W_v, W_1, W_2, first = case.inputs.values()
    if first:
        return layer(case)
    x = x + A @ x @ W_v
    return norm(x + relu(x @ W_1) @ W_2)


def truth(case):
    return {"out": layer(case)}


@st.composite
def cases(draw, pre=(False,), dtype=np.float64, idle=False, flat=False, square=False,
          one=False):  # fmt: skip
    """x (N, D), A (N, N) whose rows sum to 1, W_v (D, D), W_1 (D, M), W_2 (M, D); N ≠ D ≠ M, or
    `square`: N = D = M.
    `idle`: both halves give 0. `flat`: the numbers of one token are equal. `one`: N = 1."""
    sizes = [(n, n, n) for n in (3, 4)] if square else [(3, 2, 5), (2, 3, 4), (2, 4, 3), (4, 3, 2)]
    N, D, M = (1, 3, 2) if one else draw(st.sampled_from(sizes))
    x, W_v = numbers(draw, (N, D), dtype), numbers(draw, (D, D), dtype, most=2)
    W_1, W_2 = numbers(draw, (D, M), dtype, most=2), numbers(draw, (M, D), dtype, most=2)
    A = (numbers(draw, (N, N), dtype) + 5) * (1 + np.arange(N, dtype=dtype))
    A /= A.sum(axis=1, keepdims=True)
    x += (np.arange(N)[:, None] * np.arange(D)).astype(dtype)  # the tokens differ
    W_v[0], W_1[0], W_2[0, 0] = 1, np.where(np.arange(M) % 2, 1, -1), 2
    if idle:
        W_v[:], W_2[:] = 0, 0
    if flat:
        x[draw(st.integers(0, N - 1))] = draw(st.integers(-3, 3))
    first = draw(st.sampled_from(pre))
    return Case({"x": x, "A": A, "W_v": W_v, "W_1": W_1, "W_2": W_2, "pre": first})


MISTAKES = {
    "pre-LN and post-LN have changed places": lambda c: layer(c, post=before, pre=after),
    "there is no residual path: each half is added to what came in":
        lambda c: layer(c, lambda x, half, ln: ln(half(x)), lambda x, half, ln: half(ln(x))),
    "post-LN: LayerNorm takes the sum, not what a half gives":
        lambda c: layer(c, post=lambda x, half, ln: x + ln(half(x))),
    "post-LN: one LayerNorm is missing, the one between the halves": no_norm_between,
    "pre-LN: the residual path is not normalised, only what a half reads":
        lambda c: layer(c, pre=lambda x, half, ln: ln(x) + half(ln(x))),
    "pre-LN: one LayerNorm too many at the end: only the whole model has one":
        lambda c: layer(c, last=norm),
    "the MLP reads what came into the layer, not what attention has made of it": mlp_of_input,
    "LayerNorm runs over the tokens, not over the numbers of each token":
        lambda c: layer(c, ln=lambda x: norm(x, axis=0)),
    "LayerNorm runs over all numbers at once: each token has its own":
        lambda c: layer(c, ln=lambda x: norm(x, axis=(0, 1))),
    "1e-5 is added to the deviation, not to the variance":
        lambda c: layer(c, ln=lambda x: norm(x, outside=True)),
    "the MLP has no ReLU": lambda c: layer(c, bend=lambda x: x),
    "A is turned: a row of A says what its token takes": lambda c: layer(c, turned=True),
}  # fmt: skip

BOTH = (False, True)

EXERCISE = Exercise(
    number=3,
    function="transformer_layer",
    title="The slide's four lines",
    lecture="The Transformer layer",
    section="The slide's four lines",
    outputs=("out",),
    properties=(
        Property("post-LN: LayerNorm after each sum", 3, (cases(), cases(square=True)),
                 equals("out", truth), "out"),
        Property("pre-LN: LayerNorm before each half", 3,
                 (cases(pre=(True,)), cases(pre=(True,), square=True)), equals("out", truth),
                 "out"),
        Property("where both halves give 0, the residual path is left", 1,
                 tuple(cases(pre=(p,), idle=True, one=one) for p in BOTH for one in BOTH),
                 equals("out", truth), "out"),
        Property("a token whose numbers are equal gives finite numbers", 1,
                 tuple(cases(pre=(p,), flat=True) for p in BOTH), equals("out", truth), "out"),
        keeps_dtype(truth, "x", 1, tuple(cases(pre=(p,), dtype=kind)
                                         for p in BOTH for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, tuple(cases(pre=(p,)) for p in BOTH)),
    ),
    mistakes=tuple(Mistake("out", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
