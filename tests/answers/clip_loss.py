"""Answers to exercise 23."""

RIGHT = {
    "A": """
import numpy as np

def clip_loss(I_f, T_f, W_i, W_t, t):
    I_e = normalize(I_f @ W_i)
    T_e = normalize(T_f @ W_t)
    logits = I_e @ T_e.T * np.exp(t)
    n = len(logits)
    texts = ask(logits.T, n)
    images = ask(logits, n)
    return 0.5 * (images + texts)

def normalize(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)

def ask(z, n):
    z = z - z.max(axis=1, keepdims=True)
    right = z[range(n), range(n)]
    return np.mean(np.log(np.exp(z).sum(axis=1)) - right)
""",
    "B": """
import numpy as np
from math import exp, sqrt, log

def clip_loss(I_f, T_f, W_i, W_t, t):
    n, total, a = len(I_f), 0.0, exp(t)
    u = [length_one(np.dot(row, W_i)) for row in I_f]
    v = [length_one(np.dot(row, W_t)) for row in T_f]
    for k in range(n):
        along = [a * np.dot(u[k], v[j]) for j in range(n)]
        down = [a * np.dot(u[i], v[k]) for i in range(n)]
        total += loss(along, k) + loss(down, k)
    return I_f.dtype.type(total / (2 * n))

def length_one(x):
    return x / sqrt(sum(float(i) ** 2 for i in x))

def loss(row, k):
    top = max(row)
    return top + log(sum(exp(z - top) for z in row)) - row[k]
""",
    "loops": """
import math
import numpy as np
def clip_loss(I_f, T_f, W_i, W_t, t):
    a, b = I_f @ W_i, T_f @ W_t
    n = len(a)
    long = lambda v: math.sqrt(float(v @ v))
    z = [[float(u @ v) / long(u) / long(v) * math.exp(t) for v in b] for u in a]
    lse = lambda row: max(row) + math.log(sum(math.exp(x - max(row)) for x in row))
    L = sum(lse(z[i]) + lse([r[i] for r in z]) - 2 * z[i][i] for i in range(n)) / (2 * n)
    return I_f.dtype.type(L)
""",
    "blind: logaddexp reduce": """
import numpy as np
def clip_loss(I_f, T_f, W_i, W_t, t):
    def embed(f, W):
        e = f @ W
        return e / np.linalg.norm(e, axis=1)[:, None]
    z = np.exp(t) * np.inner(embed(I_f, W_i), embed(T_f, W_t))
    return np.mean([np.logaddexp.reduce(z, axis=a) - z.diagonal() for a in (0, 1)], dtype=I_f.dtype)
""",
}
# 10 points: t = 0: exp(t) is 1 3; any t 4; exp(t) = 100, the largest one allowed, in float32 too
# 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind: arguments as
# they were, new arrays, no memory of it 1
WRONG = {
    ("loss", "the rows are not scaled to length 1"): (
        2, "A: return x / np.linalg.norm(x, axis=1, keepdims=True) => return x",
        "B: return x / sqrt(sum(float(i) ** 2 for i in x)) => return x"),
    ("loss", "the features are scaled to length 1 before the projection, not after it"): (
        2, "A: normalize(I_f @ W_i) => normalize(I_f) @ W_i\n"
        "normalize(T_f @ W_t) => normalize(T_f) @ W_t",
        "B: length_one(np.dot(row, W_i)) => np.dot(length_one(row), W_i)\n"
        "length_one(np.dot(row, W_t)) => np.dot(length_one(row), W_t)"),
    ("loss", "the square root is missing: divided by the squared length"): (
        2, "A: np.linalg.norm(x, axis=1, keepdims=True) => (x * x).sum(1, keepdims=True)",
        "B: sqrt(sum( => (sum("),
    ("loss", "the cosines are multiplied by t, not by exp(t)"): (
        2, "A: * np.exp(t) => * t", "B: 0.0, exp(t) => 0.0, float(t)"),
    ("loss", "the cosines are divided by exp(t): it is one over the temperature"): (
        5, "A: * np.exp(t) => / np.exp(t)", "B: 0.0, exp(t) => 0.0, exp(-t)"),
    ("loss", "exp(t) is missing"): (
        5, "A: * np.exp(t) => * 1", "B: 0.0, exp(t) => 0.0, 1"),
    ("loss", "exp(t) multiplies the loss: it belongs into the logits"): (
        5, "A: * np.exp(t) => * 1\n0.5 * (images + texts) => np.exp(t) * 0.5 * (images + texts)",
        "B: 0.0, exp(t) => 0.0, 1\ntotal / (2 * n) => exp(t) * total / (2 * n)"),
    ("loss", "only the images ask (axis=1): the texts ask as well"): (
        2, "A: 0.5 * (images + texts) => images",
        "B: loss(along, k) + loss(down, k) => 2 * loss(along, k)"),
    ("loss", "only the texts ask (axis=0): the images ask as well"): (
        2, "A: 0.5 * (images + texts) => texts",
        "B: loss(along, k) + loss(down, k) => 2 * loss(down, k)"),
    ("loss", "the two halves are added: their mean belongs there"): (
        2, "A: 0.5 * (images + texts) => images + texts", "B: / (2 * n) => / n"),
    ("loss", "the sign is missing"): (
        2, "A: 0.5 * ( => -0.5 * (", "B: total / => -total /"),
    ("loss", "it is the sum over the pairs, not their mean"): (
        2, "A: np.mean( => np.sum(", "B: / (2 * n) => / 2"),
}  # fmt: skip
