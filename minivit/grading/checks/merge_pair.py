"""Exercise 3: one merge of byte-pair encoding, everywhere in a sequence of ids.

from left to right, without overlap: ... left right ... -> ... new ...
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals


def merged(case, order=1, most=None, same=None, keep=()):
    """The ids after the merge, or with another direction, count or condition."""
    ids, left, right, new = case.inputs.values()
    ids, out, i, done = list(ids[::order]), [], 0, 0
    first, second = (left, right)[::order]
    while i < len(ids):
        pair = i + 1 < len(ids) and (
            same(ids[i], ids[i + 1]) if same else (ids[i], ids[i + 1]) == (first, second)
        )
        if pair and (most is None or done < most):
            out += [new, *keep]
            i, done = i + 2, done + 1
        else:
            out.append(ids[i])
            i += 1
    return np.array(out[::order], int)


def truth(case):
    return {"merged": merged(case)}


@st.composite
def cases(draw, repeats=False, there=True):
    """Ids below 4, left and right among them, new = 9."""
    left, right = draw(st.sampled_from([(0, 0), (1, 1)] if repeats else [(0, 1), (2, 1), (1, 3)]))
    ids = draw(st.lists(st.integers(0, 3), min_size=0 if not there else 1, max_size=8))
    if there:
        at = draw(st.integers(0, len(ids)))
        ids[at:at] = [left, right] * draw(st.integers(1, 3)) + [left] * draw(st.integers(0, 1))
    else:
        ids = [i for i in ids if i != right]
    return Case({"ids": np.array(ids, int), "left": left, "right": right, "new": 9})


def _overlapping(case):
    """Every place where the pair begins becomes new, whatever its second id was used for."""
    ids, left, right, new = case.inputs.values()
    begins = np.append((ids[:-1] == left) & (ids[1:] == right), False)
    ends = np.insert(begins[:-1], 0, False)
    return np.where(begins, new, ids)[begins | ~ends]


def _second_dropped(case):
    """As above, but the second id is dropped even where a pair begins with it."""
    ids, left, right, new = case.inputs.values()
    begins = np.append((ids[:-1] == left) & (ids[1:] == right), False)
    return np.where(begins, new, ids)[~np.insert(begins[:-1], 0, False)]


def _swapped(case):
    left, right = case.inputs["right"], case.inputs["left"]
    return merged(Case({**case.inputs, "left": left, "right": right}))


def _not_removed(case):
    """new is written over the left id, the right one stays."""
    return merged(case, keep=(case.inputs["right"],))


def _either_order(case):
    pair = {case.inputs["left"], case.inputs["right"]}
    return merged(case, same=lambda a, b: {a, b} == pair)


def _every_left(case):
    ids, left, _, new = case.inputs.values()
    return np.where(ids == left, new, ids)


MISTAKES = {
    "only the first place is merged": lambda c: merged(c, most=1),
    "the pair is read backwards: left stands before right": _swapped,
    "the right id is still there": _not_removed,
    "the pair counts in either order": _either_order,
    "each left id becomes new, whatever follows it": _every_left,
    "it is merged from right to left": lambda c: merged(c, order=-1),
    "pairs overlap: an id that was merged is gone": _overlapping,
    "the second id of each pair is dropped, even where a pair begins with it": _second_dropped,
    "nothing is merged": lambda c: c.inputs["ids"],
}

EXERCISE = Exercise(
    number=3,
    function="merge_pair",
    title="One merge of byte-pair encoding",
    lecture="Text, all the way in",
    section="Byte-pair encoding",
    outputs=("merged",),
    properties=(
        Property("every place where left is followed by right", 5, cases(), equals("merged", truth),
                 "merged"),
        Property("a pair of equal ids: from left to right, without overlap", 4,
                 cases(repeats=True), equals("merged", truth), "merged"),
        Property("ids without the pair, or none at all, come back", 1, cases(there=False),
                 equals("merged", truth)),
    ),
    mistakes=tuple(Mistake("merged", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
