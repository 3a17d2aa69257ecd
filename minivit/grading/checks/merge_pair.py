"""Exercise 8: one merge of byte-pair encoding, everywhere in a sequence of ids.

from left to right, without overlap: ... left right ... -> ... new ...
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals, leaves_nothing_behind


def merged(case, order=1, most=None, same=None, keep=(), again=False):
    """The ids after the merge, or with another direction, count or condition."""
    ids, left, right, new = case.inputs.values()
    ids, out, i, done = list(ids[::order]), [], 0, 0
    first, second = (left, right)[::order]
    while i < len(ids):
        pair = i + 1 < len(ids) and (
            same(ids[i], ids[i + 1]) if same else (ids[i], ids[i + 1]) == (first, second)
        )
        if pair and (most is None or done < most):
            i, done = i + 2, done + 1
            if again:
                i -= 1
                ids[i] = new
            else:
                out += [new, *keep]
        else:
            out.append(ids[i])
            i += 1
    return np.array(out[::order], int)


def truth(case):
    return {"merged": merged(case)}


IDS = (1, 2, 3, 0, 11, 12, 111, 256, 300, 70000, -1)  # 1 and 11 and 111: as text they run together
PLAIN = (23, 45, 67, 89)  # nothing is read out of these but what they are


@st.composite
def cases(draw, kind="places"):
    """ids, a pair in them and `new`, which may be among the ids. Kinds: "places", two ids that
    differ; "equal", one id twice; "none", ids without the pair; and what has just been made would
    be a pair with its neighbour: "new is left", "new is right", "all are one". Where the ids
    themselves are asked about, they are odd ones too; elsewhere not, so that no luck decides."""
    odd = kind in ("places", "as text", "equal", "two runs")
    left, right, new, other = draw(st.permutations(IDS if odd else PLAIN))[:4]
    if kind == "as text":  # as decimals 11 2 ends and 1 22 begins with this pair
        left, right, new, other = 1, 2, draw(st.sampled_from((3, 70_000))), 0
    if kind in ("equal", "two runs", "all are one"):
        right = left
    if kind in ("new is left", "all are one"):
        new = left
    if kind == "new is right":
        new = right
    ids = draw(st.lists(st.sampled_from([other, left, new, right]), max_size=6))
    pairs = {
        "places": [left, right] * draw(st.integers(1, 3)),
        "equal": [left] * draw(st.integers(2, 6)),
        "two runs": [left, left, other, left, left],
        "as text": [11, 2, 1, 22, 11, 22, 1, 2],
        "none": [],
        "new is left": [left, right, right],
        "new is right": [left, left, right],
        "all are one": [left] * draw(st.integers(4, 6)),
    }[kind]
    at = draw(st.integers(0, len(ids)))
    ids[at:at] = pairs
    if kind == "none":
        ids = [i for i in ids if i != right]
    return Case({"ids": np.array(ids, int), "left": left, "right": right, "new": new})


NOTHING = st.just(Case({"ids": np.array([], int), "left": 1, "right": 2, "new": 3}))


def _last_lost(case):
    ids = case.inputs["ids"]
    without = merged(Case({**case.inputs, "ids": ids[:-1]}))
    return merged(case)[: len(without)]  # the last pair, where it was merged, is still there


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
    "the last id is lost: nothing follows it, but it stays": _last_lost,
    "it is merged from right to left": lambda c: merged(c, order=-1),
    "pairs overlap: an id that was merged is gone": _overlapping,
    "the second id of each pair is dropped, even where a pair begins with it": _second_dropped,
    "what has just become new is merged again": lambda c: merged(c, again=True),
    "nothing is merged": lambda c: c.inputs["ids"],
}

EXERCISE = Exercise(
    number=8,
    function="merge_pair",
    title="One merge of byte-pair encoding",
    lecture="Text, all the way in",
    section="Text that nobody foresaw",
    outputs=("merged",),
    properties=(
        Property("every place where left is followed by right", 4,
                 (cases(), cases(kind="as text")), equals("merged", truth),
                 "merged"),
        Property("a pair of equal ids: from left to right, without overlap", 3,
                 (cases(kind="equal"), cases(kind="two runs")), equals("merged", truth), "merged"),
        Property("what has just become new is not merged again", 1,
                 tuple(cases(kind=k) for k in ("new is left", "new is right", "all are one")),
                 equals("merged", truth), "merged"),
        Property("of ids without the pair, or of none at all, a copy comes back", 1,
                 (cases(kind="none"), NOTHING), equals("merged", truth)),
        leaves_nothing_behind(truth, 1, (cases(), cases(kind="equal"), cases(kind="none"))),
    ),
    mistakes=tuple(Mistake("merged", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
