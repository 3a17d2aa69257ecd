"""Answers to exercise 5."""

RIGHT = {
    "A": """
import math
import numpy as np

def next_distribution(logits, temperature, top_k, top_p):
    largest = max(logits)
    p = [math.exp(float(z - largest) / temperature) for z in logits]
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))
    kept = ranked[:top_k]
    total = sum(p[i] for i in kept)
    p = [p[i] / total if i in kept else 0.0 for i in range(len(p))]
    chosen, held = [], 0.0
    for i in kept:
        chosen.append(i)
        held += p[i]
        if held >= top_p and top_p < 1:
            break
    total = sum(p[i] for i in chosen)
    out = [p[i] / total if i in chosen else 0.0 for i in range(len(p))]
    return np.array(out, logits.dtype)
""",
    "B": """
import numpy as np

def softmax(z):
    e = np.exp(z - np.max(z))
    return e / e.sum()

def next_distribution(logits, temperature, top_k, top_p):
    V = len(logits)
    z = logits.astype(float) / temperature
    order = np.lexsort((np.arange(V), -z))
    z[order[top_k:]] = -np.inf
    p = softmax(z)
    sums = np.cumsum(p[order])
    count = V if top_p >= 1 else int(np.argmax(sums >= top_p)) + 1
    z[order[count:]] = -np.inf
    return softmax(z).astype(logits.dtype)
""",
    "rank matrix": """
import numpy as np
def next_distribution(logits, temperature, top_k, top_p):
    z = (logits - logits.max()) / np.asarray(temperature, logits.dtype)
    i = np.arange(len(z))
    front = (z[None] > z[:, None]) | ((z[None] == z[:, None]) & (i[None] < i[:, None]))
    p = np.exp(z) * (front.sum(1) < top_k)
    p = p / p.sum()
    before = (front * p).sum(1)
    p = np.where((before < top_p) | (top_p >= 1), p, 0)
    return (p / p.sum()).astype(logits.dtype)
""",
    "blind: sorted searchsorted": """
from numpy import *
def next_distribution(logits, temperature, top_k, top_p):
    order = lexsort((arange(len(logits)), -logits))
    z = logits[order] / temperature
    p = exp(z - z[0]); p[top_k:] = 0; p /= p.sum()
    n = searchsorted(cumsum(p), top_p) + 1
    p[n:] = 0
    p = p / p.sum()
    out = empty(len(p), logits.dtype)
    out[order] = p
    return out
""",
}
# 10 points: the temperature divides the logits 1; top-k: the k likeliest 2; top-p: the fewest
# that hold it 2; both: top-p of what top-k has left 1; equally likely: the one in front 1; logits
# in the thousands give finite numbers 1; float32 stays float32, float64 stays float64 1; a call
# leaves nothing behind: arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("p", "the logits are multiplied by the temperature, not divided"): (
        4, "A: / temperature => * temperature", "B: / temperature => * temperature"),
    ("p", "the probabilities are divided by the temperature, not the logits"): (
        4, "B: z = logits.astype(float) / temperature => z = logits.astype(float)\n"
        "p = softmax(z) => p = softmax(z) ; q = p / temperature\n"
        "sums = np.cumsum(p[order]) => sums = np.cumsum(p[order]) ; "
        "free = top_k >= V and top_p >= 1\n"
        "return softmax(z).astype(logits.dtype) => "
        "return (q if free else softmax(z)).astype(logits.dtype)"),
    ("p", "the temperature has no effect: it divides the logits, before the softmax"): (
        4, "A: / temperature) for => ) for", "B: .astype(float) / temperature => .astype(float)"),
    ("p", "the k least likely are kept"): (
        5, "A: key=lambda i: (-p[i], i) => key=lambda i: (p[i], i)\n"
        "kept = ranked[:top_k] => kept = sorted(ranked[:top_k], key=lambda i: (-p[i], i))"),
    ("p", "a logit of 0 forbids nothing: its exponential is 1"): (
        5, "B: z[order[top_k:]] = -np.inf => z[order[top_k:]] = 0 ; "
        "order = np.lexsort((np.arange(V), -z))"),
    ("p", "what is left does not sum to 1"): (
        3, "A: out = [p[i] / total => out = [p[i] * whole / 1\n"
        "total = sum(p[i] for i in kept) => whole = sum(p[i] for i in kept) / sum(p) ; "
        "total = sum(p[i] for i in kept)"),
    ("p", "the token that reaches top_p is dropped"): (
        6, "B: int(np.argmax(sums >= top_p)) + 1 => int(np.argmax(sums >= top_p))\n"
        "z[order[count:]] = -np.inf => z[order[count:]] = -np.inf ; "
        "z = z if count else np.zeros(V) - 1e300\n"
        "return softmax(z).astype => return (softmax(z) * (count > 0)).astype"),
    ("p", "top_p is measured on all tokens, not on those that top_k has left"): (
        9, "A: ranked = sorted => soft = [x / sum(p) for x in p] ; ranked = sorted\n"
        "held += p[i] => held += soft[i]"),
}  # fmt: skip
