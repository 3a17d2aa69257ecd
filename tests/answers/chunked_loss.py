"""Answers to exercise 25."""

RIGHT = {
    "A": """
import numpy as np

def chunked_loss(I_e, T_e, t, chunk):
    n = I_e.shape[0]
    m, s = None, None
    images, diagonal = [], []
    start = 0
    while start < n:
        stop = min(start + chunk, n)
        z = np.exp(t) * (I_e[start:stop] @ T_e.T)
        images.append(lse(z))
        diagonal.append(z[np.arange(stop - start), np.arange(start, stop)])
        top = z.max(axis=0)
        if m is None:
            m, s = top, np.exp(z - top).sum(axis=0)
        else:
            old, m = m, np.maximum(m, top)
            s = s * np.exp(old - m) + np.exp(z - m).sum(axis=0)
        start = stop
    texts = m + np.log(s)
    images, diagonal = np.concatenate(images), np.concatenate(diagonal)
    return ((images + texts) / 2 - diagonal).mean()

def lse(z):
    top = z.max(axis=1)
    return top + np.log(np.exp(z - top[:, None]).sum(axis=1))
""",
    "B": """
import math

def chunked_loss(I_e, T_e, t, chunk):
    scale, n = math.exp(t), len(I_e)
    best, mass, answer = [-math.inf] * n, [0.0] * n, 0.0
    for first in range(0, n, chunk):
        for i in range(first, min(n, first + chunk)):
            row = [scale * float(I_e[i] @ T_e[j]) for j in range(n)]
            top = max(row)
            answer += top + math.log(sum(math.exp(z - top) for z in row)) - 2 * row[i]
            for j in range(n):
                now = max(best[j], row[j])
                mass[j] = mass[j] * math.exp(best[j] - now) + math.exp(row[j] - now)
                best[j] = now
    answer += sum(b + math.log(s) for b, s in zip(best, mass))
    return I_e.dtype.type(answer / (2 * n))
""",
    "two passes": """
import numpy as np
def chunked_loss(I_e, T_e, t, chunk):
    def half(X, Y):
        out = []
        ends = range(chunk, len(X), chunk)
        for X_c, Y_c in zip(np.split(X, ends), np.split(Y, ends)):
            z = X_c @ Y.T * np.exp(t)
            right = (X_c * Y_c).sum(1) * np.exp(t)
            out.extend(np.logaddexp.reduce(z, axis=1) - right)
        return np.mean(out, dtype=X.dtype)
    return (half(I_e, T_e) + half(T_e, I_e)) / 2
""",
    "blind: logaddexp accumulates": """
import numpy as np
def pieces(n, size):
    while n > 0:
        yield slice(max(n - size, 0), n)
        n -= size
def chunked_loss(I_e, T_e, t, chunk):
    n = len(I_e); text = np.full(n, -np.inf, I_e.dtype); images = diag = 0
    scale = np.exp(t)
    for rows in pieces(n, chunk):
        z = I_e[rows] @ T_e.T * scale
        images = images + np.logaddexp.reduce(z, axis=1).sum()
        text = np.logaddexp(text, np.logaddexp.reduce(z, axis=0))
        diag = diag + np.einsum("nd,nd->", I_e[rows], T_e[rows]) * scale
    return np.asarray((images + text.sum()) / (2 * n) - diag / n).astype(I_e.dtype)
""",
}
# 10 points: one chunk holds all pairs 2; several chunks: each image meets each text 3; a last chunk
# that is smaller 2; exp(t) = 100: finite, wherever a text's largest logit is 1; float32 stays
# float32, float64 stays float64 1; a call leaves nothing behind 1
WRONG = {
    ("loss", "each chunk is a batch of its own: all texts and all images must meet"): (
        4, "A: I_e[start:stop] @ T_e.T => I_e[start:stop] @ T_e[start:stop].T\n"
        "np.arange(start, stop)] => np.arange(stop - start)]\n"
        "m, s = None, None => m, texts = None, []\nif m is None: => if True:\n"
        "m, s = top, np.exp(z - top).sum(axis=0) => texts.append(lse(z.T))\n"
        "texts = m + np.log(s) => texts = np.concatenate(texts)",
        "two passes: X_c @ Y.T => X_c @ Y_c.T"),
    ("loss", "the texts ask the last chunk only: what came before is lost"): (
        4, "A: if m is None: => if True:"),
    ("loss", "the texts ask their own chunk only"): (
        4, "B: for j in range(n): => for j in range(first, min(n, first + chunk)):"),
    ("loss", "a text's logarithms are averaged over the chunks: add the exponentials first"): (
        4, "A: m, s = None, None => m, texts = None, []\nif m is None: => if True:\n"
        "m, s = top, np.exp(z - top).sum(axis=0) => texts.append(lse(z.T))\n"
        "texts = m + np.log(s) => texts = np.mean(texts, axis=0)"),
    ("loss", "a text's logarithms are added over the chunks: add the exponentials first"): (
        4, "A: m, s = None, None => m, texts = None, 0\nif m is None: => if True:\n"
        "m, s = top, np.exp(z - top).sum(axis=0) => texts = texts + lse(z.T)\n"
        "texts = m + np.log(s) => pass"),
    ("loss", "the sum so far must be scaled by exp(old maximum - new maximum)"): (
        4, "A: s = s * np.exp(old - m) => s = s"),
    ("loss", "it is the mean of the chunks' means: a small chunk weighs as much as a large one"): (
        7, "two passes: out.extend(np.logaddexp.reduce(z, axis=1) - right) => "
        "out.append(np.mean(np.logaddexp.reduce(z, axis=1) - right))"),
    ("loss", "the images behind the last whole chunk are dropped"): (
        7, "A: n = I_e.shape[0] => n = max(len(I_e) // chunk * chunk, min(chunk, len(I_e)))\n"
        "I_e[start:stop] @ T_e.T => I_e[start:stop] @ T_e[:n].T"),
    ("loss", "the chunk's offset is missing: the right text of its row i is not text i"): (
        4, "A: np.arange(start, stop)] => np.arange(stop - start)]",
        "B: 2 * row[i] => 2 * row[i - first]"),
    ("loss", "the two halves are added: their mean belongs there"): (
        2, "A: (images + texts) / 2 - diagonal => (images + texts) - 2 * diagonal",
        "B: (2 * n) => n"),
    ("loss", "only the images ask: the texts ask as well"): (
        2, "A: (images + texts) / 2 => images", "two passes: half(T_e, I_e) => half(I_e, T_e)"),
    ("loss", "the products are multiplied by t, not by exp(t)"): (
        2, "A: np.exp(t) * ( => t * (", "B: math.exp(t) => float(t)"),
    ("loss", "it is the sum over the pairs, not their mean"): (
        2, "A: diagonal).mean() => diagonal).sum()", "B: answer / (2 * n) => answer / 2"),
}  # fmt: skip
