"""Exercise 5: the distribution that the next token is drawn from: temperature, top-k, top-p.

p = softmax(logits / T); only the k likeliest; of those the fewest that hold probability top_p
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import (
    FLOATS,
    equals,
    keeps_dtype,
    leaves_nothing_behind,
    softmax,
)


def first(p, k):
    """The k likeliest, as booleans; of equal ones those in front."""
    keep = np.zeros(len(p), bool)
    keep[np.argsort(-p, kind="stable")[:k]] = True
    return keep


def holding(p, limit, short=0):
    """The fewest that hold `limit`, as booleans; `short`: so many less."""
    order = np.argsort(-p, kind="stable")
    sums = np.cumsum(p[order])
    count = 1 + int((sums[:-1] < limit * (1 - 1e-12)).sum())
    return first(p, count - short)


def scaled(p):
    return p / p.sum()


def right(case):
    z, T, k, limit = case.inputs.values()
    p = softmax(z / T)
    p = scaled(np.where(first(p, k), p, 0))
    return scaled(np.where(holding(p, limit), p, 0)) if limit < 1 else p


def truth(case):
    return {"p": right(case)}


@st.composite
def cases(draw, hot=False, k=False, p=False, equal=False, large=0, spread=1, dtype=np.float64,
          exact=False, sizes=(3, 4, 5, 6)):  # fmt: skip
    """Logits (V,) and what to take of them: a temperature that is not 1 if `hot`, a k below V if
    `k`, a top_p below 1 if `p`, in the middle between two sums of probabilities. The logits differ;
    `equal`: two do not, and the border runs between them. `large` is added to the logits, and
    `spread` is how far they are apart. `exact`: half of the tokens hold top_p, and no more."""
    V = draw(st.sampled_from(sizes))
    z = np.array(draw(st.permutations(range(V))), float) / 2
    z[z.argmax()] += draw(st.integers(0, 1))
    T = draw(st.sampled_from((0.7, 2.0, 0.3))) if hot else 1.0
    kept = draw(st.integers(2 if p else 1, V - 1)) if k else V
    if equal:
        down = np.argsort(-z)
        if not k:
            kept = V
        place = kept - 1 if k else draw(st.integers(0, V - 2))
        z[down[place]] = z[down[place + 1]]
    z = spread * z + large
    limit = 1.0
    if p:
        q = softmax(z / T)
        q = np.sort(scaled(np.where(first(q, kept), q, 0)))[::-1][:kept]
        last = place if equal and not k else draw(st.integers(0, kept - 2))
        # near the next sum where top-k cuts too: measured on all tokens, one more would be kept
        share = 0.9 if k else draw(st.sampled_from((0.4, 0.6)))
        limit = round(float(q[:last].sum() + q[last] * share), 6)
    if exact:  # of 2 or 4 that are equally likely: every sum is a float
        z, limit = np.full(draw(st.sampled_from((2, 4))), z[0]), 0.5
        kept = len(z)
    return Case({"logits": z.astype(dtype), "temperature": T, "top_k": kept, "top_p": limit})


def _cut(change):
    """The mistake with p after the temperature and the settings."""

    def wrong(case):
        z, T, k, limit = case.inputs.values()
        return change(softmax(z / T), k, limit)

    return wrong


def _not_scaled(p, k, limit):
    p = np.where(first(p, k), p, 0)
    return np.where(holding(scaled(p), limit), p, 0) if limit < 1 else p


def _one_short(p, k, limit):
    p = scaled(np.where(first(p, k), p, 0))
    if limit < 1:
        p = np.where(holding(p, limit, short=1), p, 0)
    return p / p.sum() if p.any() else p


def _on_all(p, k, limit):
    keep = holding(p, limit) if limit < 1 else np.ones(len(p), bool)
    return scaled(np.where(keep & first(p, k), p, 0))


def _least(p, k, limit):
    p = scaled(np.where(first(-p, k), p, 0))
    return scaled(np.where(holding(p, limit), p, 0)) if limit < 1 else p


def _zero_logits(case):
    z, T, k, limit = case.inputs.values()
    p = softmax(np.where(first(z, k), z / T, 0))
    return scaled(np.where(holding(p, limit), p, 0)) if limit < 1 else p


def _by_temperature(change):
    def wrong(case):
        z, T, k, limit = case.inputs.values()
        p = change(z, T)
        p = np.where(first(p, k), p, 0) if k < len(p) else p
        p = scaled(p) if k < len(p) else p
        return scaled(np.where(holding(p, limit), p, 0)) if limit < 1 else p

    return wrong


MISTAKES = {
    "the logits are multiplied by the temperature, not divided":
        _by_temperature(lambda z, T: softmax(z * T)),
    "the probabilities are divided by the temperature, not the logits":
        _by_temperature(lambda z, T: softmax(z) / T),
    "the temperature has no effect: it divides the logits, before the softmax":
        _by_temperature(lambda z, T: softmax(z)),
    "the k least likely are kept": _cut(_least),
    "a logit of 0 forbids nothing: its exponential is 1": _zero_logits,
    "what is left does not sum to 1": _cut(_not_scaled),
    "the token that reaches top_p is dropped": _cut(_one_short),
    "top_p is measured on all tokens, not on those that top_k has left": _cut(_on_all),
}  # fmt: skip

EXERCISE = Exercise(
    number=5,
    function="next_distribution",
    title="What the next token is drawn from",
    lecture="Encoder, decoder, encoder-decoder",
    section="The decoder",
    outputs=("p",),
    properties=(
        Property("the temperature divides the logits", 1,
                 (cases(hot=True), cases(hot=True, sizes=(1,))), equals("p", truth), "p"),
        Property("top-k: the k likeliest", 2, (cases(k=True), cases(k=True, hot=True)),
                 equals("p", truth), "p"),
        Property("top-p: the fewest that hold it", 2, (cases(p=True), cases(p=True, hot=True)),
                 equals("p", truth), "p"),
        Property("both: top-p of what top-k has left", 1, cases(k=True, p=True),
                 equals("p", truth), "p"),
        Property("equally likely: the one in front", 1,
                 (cases(k=True, equal=True), cases(p=True, equal=True), cases(exact=True)),
                 equals("p", truth), "p"),
        Property("logits in the thousands give finite numbers", 1,
                 (cases(large=2000, hot=True), cases(large=-2000, k=True), cases(spread=1000)),
                 equals("p", truth), "p"),
        keeps_dtype(truth, "logits", 1,
                    tuple(cases(k=True, hot=True, dtype=kind) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(k=True, p=True), cases())),
    ),
    mistakes=tuple(Mistake("p", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
