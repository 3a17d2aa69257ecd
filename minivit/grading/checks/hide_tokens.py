"""Exercise 4: what a model reads in masked pre-training, and where its loss is.

chosen = u < 15% where it may be hidden; of those 80% become the mask, 10% a random token, 10% stay
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property, compare
from minivit.grading.properties import leaves_nothing_behind

IGNORED = -100
MASKED, RANDOM, KEPT, NOT = (0.0, 0.03, 0.119), (0.121, 0.134), (0.136, 0.149), (0.151, 0.5, 0.99)


def rows(case, chosen=None, masked=None, random=None):
    """(2, N): what is read and the labels, by another rule where it is given."""
    ids, may_hide, u, drawn, mask = case.inputs.values()
    chosen = (u < 0.15) & may_hide if chosen is None else chosen(u, may_hide)
    masked = chosen & (masked or (lambda u: u < 0.12))(u)
    drawn_here = chosen & ~masked & (random or (lambda u: u < 0.135))(u)
    read = np.where(masked, mask, np.where(drawn_here, drawn, ids))
    return np.stack([read, np.where(chosen, ids, IGNORED)])


def truth(case):
    return {"rows": rows(case)}


@st.composite
def cases(draw, kinds=(MASKED, RANDOM, KEPT, NOT), all_may=True, same=False, most=7):
    """A sentence of N ids; each of `kinds` is what becomes of one token at least, the others are
    not chosen or of `kinds`. With `same` a random token is the one that stood there, and another
    token is the mask. `u` is near its limits, never on one."""
    N = draw(st.integers(len(kinds) + (not all_may), most))
    first = draw(st.sampled_from((0, 70_000)))  # ids of a large vocabulary are large
    ids = first + np.array(draw(st.lists(st.integers(0, 9), min_size=N, max_size=N)))
    drawn = first + np.array(draw(st.lists(st.integers(10, 19), min_size=N, max_size=N)))
    wanted = [*kinds, *(draw(st.sampled_from((*kinds, NOT))) for _ in range(N - len(kinds)))]
    u = np.array([draw(st.sampled_from(kind)) for kind in wanted])
    order = draw(st.permutations(range(N)))
    may_hide = np.ones(N, bool)
    if not all_may:  # one that would have been hidden, and perhaps others
        may_hide = np.array(draw(st.lists(st.booleans(), min_size=N, max_size=N)))
        may_hide[0], may_hide[1:3] = False, True
    if same:
        drawn, mask = ids.copy(), ids[0]
    else:
        mask = first + draw(st.integers(20, 30))
    u, may_hide = u[order], may_hide[order]
    return Case({"ids": ids, "may_hide": may_hide, "u": u, "random": drawn, "mask": int(mask)})


def row(index):
    """One row of the result is what it should be."""
    names = ("rows[0] (what is read)", "rows[1] (the labels)")

    def check(case, call):
        got, right = call(case)["rows"], rows(case)
        if not isinstance(got, np.ndarray) or got.shape != right.shape:
            return compare("rows", right, got)
        return compare(names[index], right[index], got[index])

    return check


def both(case, call):
    return compare("rows", rows(case), call(case)["rows"])


def _labels(wrong):
    def labels(case):
        read, right = rows(case)
        return np.stack([read, wrong(case, read, right)])

    return labels


def _random_anywhere(case):
    _, _, u, random, _ = case.inputs.values()
    read, labels = rows(case)
    return np.stack([np.where((u >= 0.12) & (u < 0.135), random, read), labels])


MISTAKES = {
    "there is a label only where the input has changed: the tokens that stay count too":
        _labels(lambda c, read, right: np.where(read == c.inputs["ids"], IGNORED, right)),
    "there is a label only where the mask stands: the other chosen tokens count too":
        _labels(lambda c, read, right: np.where(read == c.inputs["mask"], right, IGNORED)),
    "every token has a label: the loss is over the chosen ones only":
        _labels(lambda c, read, right: c.inputs["ids"]),
    "the labels are what is read, not what stood there":
        _labels(lambda c, read, right: np.where(right == IGNORED, IGNORED, read)),
    "the labels are where nothing was chosen":
        _labels(lambda c, read, right: np.where(right == IGNORED, c.inputs["ids"], IGNORED)),
    "every chosen token becomes the mask": lambda c: rows(c, masked=lambda u: u < 1),
    "80% of all tokens are hidden: it is 80% of those chosen":
        lambda c: rows(c, chosen=lambda u, may: (u < 0.8) & may, masked=lambda u: u < 0.8),
    "no token stays as it is: 10% of those chosen do": lambda c: rows(c, random=lambda u: u < 1),
    "tokens are chosen that may not be hidden": lambda c: rows(c, chosen=lambda u, may: u < 0.15),
    "a token that may not be hidden becomes a random one": _random_anywhere,
    "the two rows have changed places": lambda c: rows(c)[::-1],
}  # fmt: skip

FIRST_MAY_NOT = (MASKED, KEPT), (RANDOM, KEPT), (KEPT, MASKED)

EXERCISE = Exercise(
    number=4,
    function="hide_tokens",
    title="Hide tokens, and ask for them",
    lecture="Encoder, decoder, encoder-decoder",
    section="The encoder",
    outputs=("rows",),
    properties=(
        Property("80% of the chosen are read as the mask", 2, cases((MASKED, NOT)), row(0), "rows"),
        Property("10% are read as the random token", 1, cases((RANDOM, NOT)), row(0), "rows"),
        Property("10% are read as they are", 1, 
                 (cases((KEPT, NOT)), cases((KEPT,), most=1)), row(0), "rows"),
        Property("the labels: every chosen token as it was, else -100", 3, cases(), row(1), "rows"),
        Property("a random token may be the one that stood there: it counts", 1,
                 cases((RANDOM, NOT), same=True), row(1), "rows"),
        Property("what may not be hidden is never chosen", 1,
                 tuple(cases(kinds, all_may=False) for kinds in FIRST_MAY_NOT), both, "rows"),
        leaves_nothing_behind(truth, 1, (cases(), cases((NOT,)))),
    ),
    mistakes=tuple(Mistake("rows", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
