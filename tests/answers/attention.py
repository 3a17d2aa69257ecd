"""Answers to exercise 2."""

RIGHT = {
    "A": """
import numpy as np

def attention(q, k, v, heads, causal):
    N, D = q.shape
    d = D // heads
    out = np.zeros_like(q)
    for h in range(heads):
        mine = slice(h * d, (h + 1) * d)
        S = q[:, mine] @ k[:, mine].T / np.sqrt(q.dtype.type(d))
        if causal:
            S[np.triu_indices(N, 1)] = -np.inf
        S = np.exp(S - S.max(1)[:, None])
        A = S / S.sum(1)[:, None]
        out[:, mine] = A @ v[:, mine]
    return out
""",
    "B": """
import math
import numpy as np

def softmax(row):
    e = [math.exp(s - max(row)) for s in row]
    return [x / sum(e) for x in e]

def attention(q, k, v, heads, causal):
    N, width = len(q), len(q[0]) // heads
    out = np.zeros(q.shape, q.dtype)
    for h in range(heads):
        a, b = h * width, (h + 1) * width
        for i in range(N):
            last = i + 1 if causal else N
            scores = [float(np.dot(q[i, a:b], k[j, a:b])) / math.sqrt(width) for j in range(last)]
            for j, weight in enumerate(softmax(scores)):
                out[i, a:b] += (weight * v[j, a:b]).astype(q.dtype)
    return out
""",
    "C": """
import numpy as np

def attention(q, k, v, heads, causal):
    N, D = q.shape
    Q = q.reshape(N, heads, -1)
    K = k.reshape(N, heads, -1)
    V = v.reshape(N, heads, -1)
    S = np.einsum("ihd,jhd->hij", Q, K) * q.dtype.type((D / heads) ** -0.5)
    mask = np.arange(N)[:, None] >= np.arange(N)
    S = np.where(mask | (not causal), S, -np.inf).astype(q.dtype)
    S = np.exp(S - S.max(axis=2, keepdims=True))
    A = S / S.sum(axis=2, keepdims=True)
    return np.einsum("hij,jhd->ihd", A, V).reshape(N, D)
""",
    "logsumexp": """
import numpy as np
def attention(q, k, v, heads, causal):
    N, D = q.shape; d = D // heads
    r = lambda a: np.moveaxis(a.reshape(N, heads, d), 1, 0)
    S = np.matmul(r(q) * d ** -0.5, np.transpose(r(k), (0, 2, 1)))
    if causal:
        i, j = np.indices((N, N)); S[:, i < j] = -np.inf
    L = np.logaddexp.reduce(S, axis=-1, keepdims=True)
    return np.moveaxis(np.exp(S - L) @ r(v), 0, 1).reshape(N, D).astype(q.dtype)
""",
    "blind: loops row by row": """
import numpy as np
def attention(q, k, v, heads, causal):
    N, D = q.shape
    out = np.empty(q.shape, q.dtype)
    for cols in np.split(np.arange(D), heads):
        for i in range(N):
            last = i + 1 if causal else N
            s = k[:last, cols] @ q[i, cols] / np.sqrt(len(cols))
            a = np.exp(s - s.max())
            out[i, cols] = (a / a.sum()) @ v[:last, cols]
    return out
""",
}
SCALE = "* q.dtype.type((D / heads) ** -0.5)"
MASKED = "S = np.where(mask | (not causal), S, -np.inf).astype(q.dtype)"
SUMS = "A = S / S.sum(axis=2, keepdims=True)"
# 10 points: one head: softmax(q kᵀ / √D) v 2; several heads, each with its own columns 3; causal:
# a query sees itself and what came before 2; scores in the thousands give finite numbers 1;
# float32 stays float32, float64 stays float64 1; a call leaves nothing behind: arguments as they
# were, new arrays, no memory of it 1
WRONG = {
    ("out", "the scale is missing: 1/sqrt(D/heads)"): (
        3, "A: / np.sqrt(q.dtype.type(d)) => * 1", "B: / math.sqrt(width) => * 1.0",
        f"C: {SCALE} => * 1"),
    ("out", "the scale is 1/sqrt(D), with the width of all heads"): (
        5, "A: dtype.type(d) => dtype.type(D)", "B: math.sqrt(width) => math.sqrt(width * heads)",
        "C: (D / heads) ** -0.5 => D ** -0.5"),
    ("out", "the scale is 1/(D/heads): the root is missing"): (
        3, "A: np.sqrt(q.dtype.type(d)) => d", "B: math.sqrt(width) => width",
        "C: ** -0.5 => ** -1.0"),
    ("out", "it is multiplied by sqrt(D/heads), not divided"): (
        3, "A: / np.sqrt => * np.sqrt", "B: / math.sqrt => * math.sqrt", "C: ** -0.5 => ** 0.5"),
    ("out", "the softmax runs over the queries, not over the keys"): (
        2, "A: S - S.max(1)[:, None] => S - S.max(0)\nS.sum(1)[:, None] => S.sum(0)",
        "C: max(axis=2 => max(axis=1\nsum(axis=2 => sum(axis=1"),
    ("out", "there is one head: the columns of each head belong to it alone"): (
        4, "A: d = D // heads => heads = 1; d = D", "B: N, width = => heads = 1; N, width ="),
    ("out", "the heads own every H-th column; head h owns columns h·D/H to (h+1)·D/H"): (
        4, "A: slice(h * d, (h + 1) * d) => slice(h, None, heads)",
        "C: Q = q.reshape(N, heads, -1) => Q = q.reshape(N, -1, heads).swapaxes(1, 2)\n"
        "K = k.reshape(N, heads, -1) => K = k.reshape(N, -1, heads).swapaxes(1, 2)\n"
        "V = v.reshape(N, heads, -1) => V = v.reshape(N, -1, heads).swapaxes(1, 2)\n"
        "hij,jhd->ihd => hij,jhd->idh"),
    ("out", "q is reshaped to (heads, N, D/heads) at once: this mixes tokens; split the last axis "
     "first"): (
        4, "C: Q = q.reshape(N, heads, -1) => Q = q.reshape(heads, N, -1).swapaxes(0, 1)\n"
        "K = k.reshape(N, heads, -1) => K = k.reshape(heads, N, -1).swapaxes(0, 1)\n"
        "V = v.reshape(N, heads, -1) => V = v.reshape(heads, N, -1).swapaxes(0, 1)\n"
        "hij,jhd->ihd => hij,jhd->hid"),
    ("out", "the mask hides the past: a query may see itself and what came before"): (
        7, "A: np.triu_indices(N, 1) => np.tril_indices(N, -1)", "C: >= => <="),
    ("out", "the mask is forgotten"): (
        7, "A: if causal: => if False:", "B: last = i + 1 if causal else N => last = N",
        "C: (not causal) => True"),
    ("out", "masked scores are 0, which the softmax takes for a score; they must be -infinity"): (
        7, "A: = -np.inf => = 0", "C: -np.inf => 0"),
    ("out", "the mask comes after the softmax: the rows do not sum to 1 any more"): (
        7, "A: if causal: => if False:\n"
        "A @ v[:, mine] => (np.tril(A) if causal else A) @ v[:, mine]",
        f"C: {MASKED} => pass\n{SUMS} => {SUMS} * (mask | (not causal))"),
    ("out", "the keys stand where the values belong"): (
        2, "A: A @ v[:, mine] => A @ k[:, mine]", "B: weight * v[j, a:b] => weight * k[j, a:b]",
        "C: A, V) => A, K)"),
}  # fmt: skip
