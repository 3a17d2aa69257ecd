"""Exercise 25: the loss of CLIP, a chunk of images at a time; all n² logits never exist at once.

z = e^t I_e T_e^T in chunks of rows;  for each text j, a maximum m_j and a sum s_j of e^(z_ij - m_j)
that go from chunk to chunk:  s ← s e^(m - m') + Σ e^(z - m'),  m' = max(m, largest z)
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


def log_sum(z, axis):
    most = z.max(axis=axis, keepdims=True)
    return np.squeeze(most + np.log(np.exp(z - most).sum(axis=axis, keepdims=True)), axis)


def parts(case, scale=np.exp):
    """All logits (n, n), and the chunks as slices."""
    I_e, T_e, t, chunk = case.inputs.values()
    z = I_e @ T_e.T * scale(t)
    return z, [slice(b, b + chunk) for b in range(0, len(z), chunk)]


def loss(case, both=lambda rows, columns: (rows + columns) / 2, scale=np.exp):
    z, _ = parts(case, scale)
    right = np.diagonal(z).mean()
    return np.asarray(both(log_sum(z, 1).mean() - right, log_sum(z, 0).mean() - right))


def truth(case):
    return {"loss": loss(case)}


def by_chunk(case):
    """Each chunk is a batch of its own."""
    z, chunks = parts(case)
    losses, sizes = [], []
    for c in chunks:
        own = z[c, c]
        right = np.diagonal(own).mean()
        losses.append((log_sum(own, 1).mean() + log_sum(own, 0).mean()) / 2 - right)
        sizes.append(len(own))
    return np.asarray(np.average(losses, weights=sizes))


def columns_by(rule):
    """Another log-sum of a text over the images: `rule(z, chunks)` is (n,)."""

    def wrong(case):
        z, chunks = parts(case)
        right = np.diagonal(z).mean()
        return np.asarray((log_sum(z, 1).mean() + rule(z, chunks).mean()) / 2 - right)

    return wrong


def last_only(z, chunks):
    return log_sum(z[chunks[-1]], 0)


def own_only(z, chunks):
    return np.concatenate([log_sum(z[c, c], 0) for c in chunks])


def mean_of_logs(z, chunks):
    return np.mean([log_sum(z[c], 0) for c in chunks], axis=0)


def sum_of_logs(z, chunks):
    return np.sum([log_sum(z[c], 0) for c in chunks], axis=0)


def not_rescaled(z, chunks):
    """The sum so far stays as it is where the maximum grows."""
    most, total = np.full(len(z), -np.inf), np.zeros(len(z))
    for c in chunks:
        most = np.maximum(most, z[c].max(axis=0))
        total = total + np.exp(z[c] - most).sum(axis=0)
    return most + np.log(total)


def mean_of_chunks(case):
    """A small last chunk weighs as much as a large one."""
    z, chunks = parts(case)
    terms = (log_sum(z, 1) + log_sum(z, 0)) / 2 - np.diagonal(z)
    return np.asarray(np.mean([terms[c].mean() for c in chunks]))


def without_rest(case):
    """The images left over behind the last whole chunk are dropped, and their texts."""
    I_e, T_e, t, chunk = case.inputs.values()
    n = max(len(I_e) // chunk * chunk, min(chunk, len(I_e)))
    return loss(Case({"I_e": I_e[:n], "T_e": T_e[:n], "t": t, "chunk": chunk}))


def no_offset(case):
    """The right text of row i of a chunk is taken to be text i."""
    z, chunks = parts(case)
    right = np.concatenate([np.diagonal(z[c]) for c in chunks]).mean()
    return np.asarray((log_sum(z, 1).mean() + log_sum(z, 0).mean()) / 2 - right)


@st.composite
def cases(draw, sizes, dtype=np.float64, large=None):
    """n pairs and a chunk, (n, chunk) in `sizes`. A later chunk has a larger logit for some text.
    `large`: exp(t) is 100, and the largest logits are in the "first" or in the "last" rows, or
    "below": those of one text are all far below 0."""
    n, chunk = draw(st.sampled_from(sizes))
    d = draw(st.sampled_from((2, 3)))
    I_e, T_e = numbers(draw, (n, d), dtype, most=2), numbers(draw, (n, d), dtype, most=2)
    I_e += (np.arange(n)[:, None] % 3 * (np.arange(d) == 0)).astype(dtype)  # the images differ
    T_e[:, 0] = np.where(np.arange(n) % 2, 1, 2)
    T_e[0, 1] += 1
    if large == "below":
        I_e[:, 0], T_e[draw(st.integers(0, n - 1))] = 1 + abs(I_e[:, 0]), -9 * (np.arange(d) == 0)
    elif large:
        I_e[0 if large == "last" else n - 1] = np.where(np.arange(d) == 0, -9, 0)
        I_e[n - 1 if large == "last" else 0] = np.where(np.arange(d) == 0, 9, 0)
    t = np.asarray(np.log(100.0) if large else draw(st.sampled_from((0.0, 0.5, -0.5))), dtype)
    return Case({"I_e": I_e, "T_e": T_e, "t": t, "chunk": chunk})


MISTAKES = {
    "each chunk is a batch of its own: all texts and all images must meet": by_chunk,
    "the texts ask the last chunk only: what came before is lost": columns_by(last_only),
    "the texts ask their own chunk only": columns_by(own_only),
    "a text's logarithms are averaged over the chunks: add the exponentials first":
        columns_by(mean_of_logs),
    "a text's logarithms are added over the chunks: add the exponentials first":
        columns_by(sum_of_logs),
    "the sum so far must be scaled by exp(old maximum - new maximum)": columns_by(not_rescaled),
    "it is the mean of the chunks' means: a small chunk weighs as much as a large one":
        mean_of_chunks,
    "the images behind the last whole chunk are dropped": without_rest,
    "the chunk's offset is missing: the right text of its row i is not text i": no_offset,
    "the two halves are added: their mean belongs there":
        lambda c: loss(c, lambda rows, columns: rows + columns),
    "only the images ask: the texts ask as well": lambda c: loss(c, lambda rows, columns: rows),
    "the products are multiplied by t, not by exp(t)": lambda c: loss(c, scale=lambda t: t),
    "it is the sum over the pairs, not their mean": lambda c: loss(c) * len(c.inputs["I_e"]),
}  # fmt: skip

WHOLE = ((4, 2), (6, 3), (6, 2), (3, 1))
REST = ((5, 2), (5, 3), (7, 3), (4, 3))

EXERCISE = Exercise(
    number=25,
    function="chunked_loss",
    title="CLIP's loss in chunks",
    lecture="CLIP, line by line",
    section="Large batches on a small machine",
    outputs=("loss",),
    properties=(
        Property("one chunk holds all pairs", 2, 
                 (cases(((2, 2), (3, 5), (4, 4))), cases(((1, 1), (1, 3)))),
                 equals("loss", truth), "loss"),
        Property("several chunks: each image meets each text", 3, cases(WHOLE),
                 equals("loss", truth), "loss"),
        Property("a last chunk that is smaller", 2, cases(REST), equals("loss", truth), "loss"),
        Property("exp(t) = 100: finite, wherever a text's largest logit is", 1,
                 tuple(cases(WHOLE + REST, kind, where)
                       for kind in FLOATS for where in ("first", "last", "below")),
                 equals("loss", truth), "loss"),
        keeps_dtype(truth, "I_e", 1, tuple(cases(REST, kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(WHOLE), cases(REST))),
    ),
    mistakes=tuple(Mistake("loss", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
