"""Exercise 6: cross-attention, where the sentences that are looked at have unequal lengths.

S = q k^T / √D,  A = softmax over the keys that are there,  out = A v
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


def attend(case, scale=None, there=None, weights=None):
    """Sentence by sentence, by another rule where it is given."""
    q, k, v, seen = case.inputs.values()
    if there is not None:
        seen = there(seen)
    D = q.shape[2]
    S = q @ k.swapaxes(1, 2) * (D**-0.5 if scale is None else scale(D))  # (B, N, M)
    hidden = ~np.broadcast_to(seen[:, None], S.shape)
    A = softmax(np.where(hidden, -np.inf, S)) if weights is None else weights(S, hidden)
    return np.where(np.isnan(A), 0, A) @ v


def truth(case):
    """Of what is there alone: padding plays no part."""
    q, k, v, there = case.inputs.values()
    out = np.zeros((*q.shape[:2], v.shape[2]))
    for b, seen in enumerate(there):
        out[b] = softmax(q[b] @ k[b][seen].T * q.shape[2] ** -0.5) @ v[b][seen]
    return {"out": out}


@st.composite
def cases(draw, sentences=(1,), padding=True, dtype=np.float64, large=0, noise=1,
          keys=(2, 3, 4), scaled=False, square=False):  # fmt: skip
    """q (B, N, D), k (B, M, D), v (B, M, C), there (B, M); N, M, D and C differ, or `square` and
    they are equal.

    `padding`: each sentence has 1 to M - 1 places that are there, and several have other ones.
    `large`: scores in the thousands, above 0 for one query and below for the next; the largest is
    in the padding, which stands in the middle. `noise`: how large the numbers in padding are.
    `scaled`: the scale is felt, since D > 1 and each query has two keys at least (of 3 or 4)."""
    M = draw(st.sampled_from(keys))
    shapes = st.permutations([n for n in (1, 2, 3, 4) if n != M])
    N, D, C = draw(shapes.filter(lambda shape: shape[1] > 1) if scaled else shapes)
    N += large and N == 1
    if square:
        N = D = C = M
    N = N if M > 1 else 1  # one query, one key: out equals v, and is another array
    B = draw(st.sampled_from(sentences))
    q = numbers(draw, (B, N, D), dtype)
    k, v = numbers(draw, (B, M, D), dtype), numbers(draw, (B, M, C), dtype)
    there = np.ones((B, M), bool)
    if padding:
        order = draw(st.permutations(range(M)))
        length = draw(st.integers(1 + scaled, M - 1))
        there[:] = np.isin(np.arange(M), order[:length])
        if B > 1:  # another row: no other place is there in one of them
            there[-1] = np.roll(there[0], 1)
        for b in range(B):  # padding is not like what is there
            k[b][~there[b]] += 1
            v[b][~there[b]] += 1
        k[~there] *= noise
        v[~there] *= noise
    if large:
        there[:] = (np.arange(M) == 0) | (np.arange(M) == M - 1)
        q[:], k[:, :, 0] = 0, np.where(there, 2 + np.arange(M) % 2, 4)
        q[:, ::2, 0], q[:, 1::2, 0] = 4 * large, -4 * large
    return Case({"q": q, "k": k, "v": v, "there": there})


MISTAKES = {
    "the scale is missing: 1/sqrt(D)": lambda c: attend(c, scale=lambda D: 1),
    "it is divided by D, not by its root": lambda c: attend(c, scale=lambda D: 1 / D),
    "the softmax runs over the queries, not over the keys":
        lambda c: attend(c, weights=lambda S, hidden: np.where(hidden, 0, softmax(S, 1))),
    "padding is looked at: `there` is not used":
        lambda c: attend(c, weights=lambda S, hidden: softmax(S)),
    "the mask is the wrong way round: only padding is looked at":
        lambda c: attend(c, there=lambda t: ~t),
    "the weights of padding are set to 0 after the softmax: the others do not sum to 1":
        lambda c: attend(c, weights=lambda S, hidden: np.where(hidden, 0, softmax(S))),
    "the scores of padding are set to 0, and their exponential is 1":
        lambda c: attend(c, weights=lambda S, hidden: softmax(np.where(hidden, 0, S))),
    "all sentences have the mask of the first":
        lambda c: attend(c, there=lambda t: np.repeat(t[:1], len(t), 0)),
}  # fmt: skip

SEVERAL = (cases(sentences=(2, 3)), cases(sentences=(2, 3), keys=(3, 4), scaled=True))

EXERCISE = Exercise(
    number=6,
    function="cross_attention",
    title="Cross-attention, and what is only padding",
    lecture="Encoder, decoder, encoder-decoder",
    section="The encoder-decoder",
    outputs=("out",),
    properties=(
        Property("no padding: each query looks at all keys", 2,
                 (cases(padding=False), cases((1, 3), padding=False, square=True)),
                 equals("out", truth), "out"),
        Property("padding is not looked at", 3, cases(), equals("out", truth), "out"),
        Property("each sentence has its own padding", 1, SEVERAL, equals("out", truth), "out"),
        Property("large numbers in padding change nothing", 1, cases(noise=1000),
                 equals("out", truth), "out"),
        Property("scores in the thousands give finite numbers", 1,
                 tuple(cases(dtype=kind, large=500, keys=(3, 4)) for kind in FLOATS),
                 equals("out", truth, single=1e-2), "out"),
        keeps_dtype(truth, "q", 1, tuple(cases(dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(), cases(padding=False),
                                         cases(padding=False, keys=(1,)))),
    ),
    mistakes=tuple(Mistake("out", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
