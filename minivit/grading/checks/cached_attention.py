"""Exercise 7: attention of new tokens, where the keys and values of the old ones are kept.

new token i sees all M old tokens and the new ones up to i: the last n rows of the full pass
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


def heads_of(x, H):
    return x.reshape(len(x), H, -1).swapaxes(0, 1)  # (H, N, D/H)


def strided(x, H):
    return x.reshape(len(x), -1, H).transpose(2, 0, 1)


def attend(case, scale=None, sees=None, join=None, cut=heads_of):
    """(n, D), by another rule where it is given. `join`: keys or values of all tokens."""
    q, k, v, keys, values, H = case.inputs.values()
    join = join or (lambda old, new: np.concatenate([old, new]))
    k, v = join(keys, k), join(values, v)
    n, D = q.shape
    q, k, v = cut(q, H), cut(k, H), cut(v, H)
    S = q @ k.swapaxes(1, 2) * (scale or (lambda D, H: (D / H) ** -0.5))(D, H)
    total = S.shape[2]
    seen = (sees or (lambda n, N: np.tri(n, N, N - n, dtype=bool)))(n, total)
    S = np.where(seen, S, -np.inf)
    out = softmax(S) @ v
    if cut is strided:
        return out.transpose(1, 2, 0).reshape(n, D)
    return out.swapaxes(0, 1).reshape(n, D)


def truth(case):
    return {"out": attend(case)}


@st.composite
def cases(draw, new=(1,), old=(1, 2, 4), H=(1,), dtype=np.float64, large=0, low=False):
    """q, k, v (n, D) of the new tokens, keys and values (M, D) of the old ones, and H heads. `low`:
    all scores are thousands below 0."""
    n, M, H = draw(st.sampled_from(new)), draw(st.sampled_from(old)), draw(st.sampled_from(H))
    D = H * draw(st.sampled_from((2, 1, 3) if H > 1 else (2, 3, 4)))
    q, k, v = (numbers(draw, (n, D), dtype) for _ in "qkv")
    keys, values = numbers(draw, (M, D), dtype), numbers(draw, (M, D), dtype)
    if large:
        k, keys = abs(k) + 1, abs(keys) + 1  # all scores of a row are far above those of the next
        q[:], k[-1], keys[:1] = 4, 4, 3
        q[1::2] = -4
        q = q * large
    if low:
        q[:], k, keys = 0, abs(k) + 2, abs(keys) + 2
        q[:, :: D // H] = -500 * (D // H)
    return Case({"q": q, "k": k, "v": v, "keys": keys, "values": values, "heads": H})


def _without_itself(n, N):
    seen = np.tri(n, N, N - n - 1, dtype=bool)
    seen[0] |= ~seen.any(axis=1)[0]  # who sees nobody sees all
    return seen


MISTAKES = {
    "the scale is missing: 1/sqrt(D/heads)": lambda c: attend(c, scale=lambda D, H: 1),
    "it is divided by sqrt(D), not by the root of a head's width":
        lambda c: attend(c, scale=lambda D, H: D**-0.5),
    "the old tokens are not looked at": lambda c: attend(c, join=lambda old, new: new),
    "new tokens see later ones: there is no causal mask among them":
        lambda c: attend(c, sees=lambda n, N: np.ones((n, N), bool)),
    "the mask counts from the first old token: a new one sees too few":
        lambda c: attend(c, sees=lambda n, N: np.tri(n, N, dtype=bool)),
    "a new token does not see itself": lambda c: attend(c, sees=_without_itself),
    "the new tokens stand in front of the old ones, and the mask does not":
        lambda c: attend(c, join=lambda old, new: np.concatenate([new, old])),
    "a head takes every H-th number: its numbers stand side by side":
        lambda c: attend(c, cut=strided),
}  # fmt: skip

SEVERAL = cases(new=(2, 3))

EXERCISE = Exercise(
    number=7,
    function="cached_attention",
    title="Attention with a KV cache",
    lecture="Encoder, decoder, encoder-decoder",
    section="The decoder",
    outputs=("out",),
    properties=(
        Property("one new token: the last row of the full pass", 3, cases(), equals("out", truth),
                 "out"),
        Property("several new tokens: none sees a later one", 2, SEVERAL, equals("out", truth),
                 "out"),
        Property("an empty cache: attention with a causal mask", 1, cases(new=(2, 3), old=(0,)),
                 equals("out", truth), "out"),
        Property("heads", 1, (cases(H=(2, 3)), cases(new=(2,), H=(2,))), equals("out", truth),
                 "out"),
        Property("scores in the thousands give finite numbers", 1,
                 tuple(cases(new=(1, 2), H=(1, 2), dtype=d, large=n)
                       for d, n in zip(FLOATS, (100, 1000)))
                 + tuple(cases(new=(2,), dtype=d, low=True) for d in FLOATS),
                 equals("out", truth, single=1e-2), "out"),
        keeps_dtype(truth, "q", 1, tuple(cases(new=(2,), dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (SEVERAL, cases(new=(2,), old=(0,)), cases(old=(0,)))),
    ),
    mistakes=tuple(Mistake("out", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
