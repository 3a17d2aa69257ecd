"""Answers to exercise 8."""

RIGHT = {
    "A": """
import numpy as np

def merge_pair(ids, left, right, new):
    waiting = list(ids)[::-1]
    out = []
    merges = 0
    while waiting:
        a = waiting.pop()
        b = waiting[-1] if waiting else None
        if a == left and b == right:
            waiting.pop()
            a = new
            merges += 1
        out.append(a)
    return np.array(out, dtype=np.int64)
""",
    "B": """
import numpy as np

def merge_pair(ids, left, right, new):
    pair = (ids[:-1] == left) & (ids[1:] == right)
    ids = ids.copy()
    keep = np.ones(len(ids), bool)
    last = -2
    for i in np.flatnonzero(pair):
        if i > last + 1:
            ids[i] = new
            keep[i + 1] = False
            last = i
    return ids[keep]
""",
    "generator": """
import numpy as np
from typing import Iterator
def go(ids, left, right, new) -> Iterator[int]:
    it = iter(ids); held = None
    for x in it:
        if held is not None and held == left and x == right:
            yield new; held = None
        else:
            if held is not None: yield held
            held = x
    if held is not None: yield held
def merge_pair(ids, left, right, new):
    return np.fromiter(go(ids.tolist(), left, right, new), dtype=np.int64)
""",
    "mask": """
import numpy as np
def merge_pair(ids, left, right, new):
    out = ids.copy(); keep = np.ones(len(ids), bool)
    i = 0
    while (i := i + 1) < len(ids):
        if keep[i - 1] and ids[i - 1] == left and ids[i] == right:
            out[i - 1] = new; keep[i] = False
    return out[keep]
""",
    "strings": """
import numpy as np
def merge_pair(ids, left, right, new):
    text = "".join(f"<{i}>" for i in ids).replace(f"<{left}><{right}>", f"<{new}>")
    return np.array([int(s) for s in text[1:-1].split("><")] if text else [], dtype=int)
""",
    "blind: vectorised with runs": """
import numpy as np
def merge_pair(ids, left, right, new):
    n = len(ids)
    if n < 2: return ids.copy()
    hit = (ids[:-1] == left) & (ids[1:] == right)
    if left == right:
        run = 0
        for i in range(n - 1):
            run = run + 1 if hit[i] else 0
            if run and run % 2 == 0: hit[i] = False
    out = ids.copy()
    out[:-1][hit] = new
    keep = np.ones(n, bool); keep[1:][hit] = False
    return out[keep]
""",
}
# 10 points: every place where left is followed by right 4; a pair of equal ids: from left to
# right, without overlap 3; what has just become new is not merged again 1; of ids without the
# pair, or of none at all, a copy comes back 1; a call leaves nothing behind: arguments as they
# were, new arrays, no memory of it 1
WRONG = {
    ("merged", "the last id is lost: nothing follows it, but it stays"): (
        1, "A: while waiting: => while len(waiting) > 1:"),
    ("merged", "only the first place is merged"): (
        2, "A: if a == left => if not merges and a == left",
        "B: in np.flatnonzero(pair): => in np.flatnonzero(pair)[:1]:"),
    ("merged", "the pair is read backwards: left stands before right"): (
        5, "A: a == left and b == right => a == right and b == left",
        "B: (ids[:-1] == left) & (ids[1:] == right) => (ids[:-1] == right) & (ids[1:] == left)"),
    ("merged", "the right id is still there"): (
        2, "A: out.append(a) => out += [a, right] if a is new else [a]",
        "B: keep[i + 1] = False => pass"),
    ("merged", "the pair counts in either order"): (
        5, "A: a == left and b == right => {a, b} == {left, right}"),
    ("merged", "each left id becomes new, whatever follows it"): (
        1, "B: return ids[keep] => return np.where(ids == left, new, ids)"),
    ("merged", "it is merged from right to left"): (
        7, "B: np.flatnonzero(pair) => np.flatnonzero(pair)[::-1]\n"
        "if i > last + 1: => if last < 0 or i < last - 1:"),
    ("merged", "pairs overlap: an id that was merged is gone"): (
        6, "B: if i > last + 1: => if True:\n"
        "keep[i + 1] = False => keep[i + 1] = pair[i + 1 :][:1].any()"),
    ("merged", "the second id of each pair is dropped, even where a pair begins with it"): (
        6, "B: if i > last + 1: => if True:"),
    ("merged", "what has just become new is merged again"): (
        9, "A: a = new => waiting.append(new)\n"
        "out.append(a) => out += [a] * int(a != left or b != right)"),
    ("merged", "nothing is merged"): (
        2, "A: if a == left and b == right: => if False:", "B: if i > last + 1: => if False:"),
}  # fmt: skip
