"""Answers to exercise 4."""

RIGHT = {
    "A": """
import numpy as np

def hide_tokens(ids, may_hide, u, random, mask):
    read, labels = [], []
    for n in range(len(ids)):
        token = int(ids[n])
        if not may_hide[n] or u[n] >= 0.15:
            read.append(token)
            labels.append(-100)
            continue
        labels.append(token)
        if u[n] < 0.12:
            read.append(mask)
        elif u[n] < 0.135:
            read.append(int(random[n]))
        else:
            read.append(token)
    return np.array([read, labels])
""",
    "B": """
import numpy as np

def hide_tokens(ids, may_hide, u, random, mask):
    chosen = np.logical_and(u < 0.15, may_hide)
    share = u / 0.15
    read = np.select([share < 0.8, share < 0.9], [np.full_like(ids, mask), random], ids)
    read = np.where(chosen, read, ids)
    labels = np.full(len(ids), -100)
    labels[chosen] = ids[chosen]
    return np.stack((read, labels))
""",
    "digitize": """
import numpy as np
LIMITS = np.array([0.12, 0.135, 0.15])
def hide_tokens(ids, may_hide, u, random, mask):
    kind = np.where(may_hide, np.digitize(u, LIMITS), 3)
    table = np.stack([np.full_like(ids, mask), random, ids, ids])
    read = np.take_along_axis(table, kind[None], 0)[0]
    return np.r_[read[None], np.where(kind < 3, ids, -100)[None]]
""",
    "arithmetic": """
import numpy as np
def hide_tokens(ids, may_hide, u, random, mask):
    u = u + 10.0 * ~may_hide
    m = (u < .12).astype(int); r = (u < .135).astype(int) - m; c = (u < .15).astype(int)
    out = np.empty((2, len(ids)), dtype=int)
    out[0] = m * mask + r * random + (1 - m - r) * ids
    out[1] = c * ids - 100 * (1 - c)
    return out
""",
    "blind: vectorize": """
import numpy as np
@np.vectorize
def one(i, ok, x, r, mask):
    return (mask if x < .12 else r if x < .135 else i) if ok and x < .15 else i
@np.vectorize
def label(i, ok, x): return i if ok and x < .15 else -100
def hide_tokens(ids, may_hide, u, random, mask):
    return np.stack((one(ids, may_hide, u, random, mask), label(ids, may_hide, u)))
""",
}
# 10 points: 80% of the chosen are read as the mask 2; 10% are read as the random token 1; 10% are
# read as they are 1; the labels: every chosen token as it was, else -100 3; a random token may be
# the one that stood there: it counts 1; what may not be hidden is never chosen 1; a call leaves
# nothing behind: arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("rows", "there is a label only where the input has changed: the tokens that stay count too"): (
        5, "A: return np.array([read, labels]) => "
        "return np.array([read, [t if t != r else -100 for t, r in zip(ids, read)]])",
        "B: labels[chosen] = ids[chosen] => labels[read != ids] = ids[read != ids]"),
    ("rows", "there is a label only where the mask stands: the other chosen tokens count too"): (
        5, "B: labels[chosen] = ids[chosen] => labels[read == mask] = ids[read == mask]"),
    ("rows", "every token has a label: the loss is over the chosen ones only"): (
        5, "A: labels.append(-100) => labels.append(token)",
        "B: labels[chosen] = ids[chosen] => labels = ids + 0"),
    ("rows", "the labels are what is read, not what stood there"): (
        6, "B: labels[chosen] = ids[chosen] => labels[chosen] = read[chosen]"),
    ("rows", "the labels are where nothing was chosen"): (
        5, "B: labels[chosen] = ids[chosen] => labels[~chosen] = ids[~chosen]"),
    ("rows", "every chosen token becomes the mask"): (
        7, "A: if u[n] < 0.12: => if True:", "B: share < 0.8 => share < 9"),
    ("rows", "80% of all tokens are hidden: it is 80% of those chosen"): (
        1, "A: u[n] >= 0.15 => u[n] >= 0.8\nif u[n] < 0.12 => if u[n] < 0.8"),
    ("rows", "no token stays as it is: 10% of those chosen do"): (
        8, "A: u[n] < 0.135 => u[n] < 0.15", "B: share < 0.9 => share < 1"),
    ("rows", "tokens are chosen that may not be hidden"): (
        9, "A: not may_hide[n] or u[n] => u[n]",
        "B: np.logical_and(u < 0.15, may_hide) => u < 0.15"),
    ("rows", "a token that may not be hidden becomes a random one"): (
        9, "B: np.where(chosen, read, ids) => "
        "np.where(chosen | (share >= 0.8) & (share < 0.9), read, ids)"),
    ("rows", "the two rows have changed places"): (
        1, "A: [read, labels]) => [labels, read])", "B: (read, labels)) => (labels, read))"),
}  # fmt: skip
