"""Answers to exercise 7."""

RIGHT = {
    "A": """
import numpy as np

def cached_attention(q, k, v, keys, values, heads):
    n, D = q.shape
    M, d = len(keys), D // heads
    out = np.empty_like(q)
    all_k = np.vstack([keys, k])
    all_v = np.vstack([values, v])
    for i in range(n):
        end = M + i + 1
        for h in range(heads):
            own = slice(h * d, (h + 1) * d)
            s = all_k[:end, own] @ q[i, own]
            s = s / q.dtype.type(d ** 0.5)
            e = np.exp(s - s.max())
            out[i, own] = e @ all_v[:end, own] / e.sum()
    return out
""",
    "B": """
import numpy as np

def cached_attention(q, k, v, keys, values, heads):
    n, D = q.shape
    M = len(keys)
    K = np.append(keys, k, axis=0).reshape(M + n, heads, D // heads)
    V = np.append(values, v, axis=0).reshape(M + n, heads, D // heads)
    Q = q.reshape(n, heads, D // heads)
    S = np.einsum("ihd,jhd->hij", Q, K)
    S = S / np.sqrt(D // heads).astype(q.dtype)
    place = np.arange(M + n)
    may = place <= place[M:, None]
    S = np.where(may, S, -np.inf)
    E = np.exp(S - S.max(-1, keepdims=True))
    out = np.einsum("hij,jhd->ihd", E / E.sum(-1, keepdims=True), V)
    return out.reshape(n, D)
""",
    "token by token": """
import numpy as np
def cached_attention(q, k, v, keys, values, heads):
    K, V = list(keys), list(values)
    out = []
    for a, b, c in zip(q, k, v):
        K.append(b); V.append(c)
        row = []
        parts = np.split(np.array(K), heads, axis=1), np.split(np.array(V), heads, 1)
        for Q, KK, VV in zip(np.split(a, heads), *parts):
            s = KK @ Q / np.sqrt(len(Q))
            e = np.exp(s - max(s)); row.append(e @ VV / e.sum())
        out.append(np.concatenate(row))
    return np.array(out, dtype=q.dtype)
""",
    "two parts": """
import numpy as np
def cached_attention(q, k, v, keys, values, heads):
    n, D = q.shape; d = D // heads
    h = lambda a: a.reshape(-1, heads, d).transpose(1, 0, 2)
    old = np.einsum('hid,hjd->hij', h(q), h(keys))
    new = np.einsum('hid,hjd->hij', h(q), h(k)) + np.triu(np.full((n, n), -np.inf), 1)
    S = np.concatenate([old, new], -1) / d ** .5
    S = np.exp(S - S.max(-1, keepdims=True)); S /= S.sum(-1, keepdims=True)
    M = len(keys)
    o = S[..., :M] @ h(values) + S[..., M:] @ h(v)
    return o.transpose(1, 0, 2).reshape(n, D).astype(q.dtype)
""",
    "blind: token by token per head": """
import numpy as np
def cached_attention(q, k, v, keys, values, heads):
    K, V = list(keys), list(values)
    out = []
    for qi, ki, vi in zip(q, k, v):
        K.append(ki); V.append(vi)
        row = []
        for h in np.split(np.arange(len(qi)), heads):
            s = np.array(K)[:, h] @ qi[h] / len(h) ** 0.5
            w = np.exp(s - s.max())
            row.append(w @ np.array(V)[:, h] / w.sum())
        out.append(np.concatenate(row))
    return np.array(out, dtype=q.dtype)
""",
}
STRIDED = "slice(h * d, (h + 1) * d) => slice(h, None, heads)"
# 10 points: one new token: the last row of the full pass 3; several new tokens: none sees a later
# one 2; an empty cache: attention with a causal mask 1; heads 1; scores in the thousands give
# finite numbers 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind:
# arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("out", "the scale is missing: 1/sqrt(D/heads)"): (
        3, "A: / q.dtype.type(d ** 0.5) => * q.dtype.type(1)",
        "B: / np.sqrt(D // heads).astype(q.dtype) => * 1"),
    ("out", "it is divided by sqrt(D), not by the root of a head's width"): (
        9, "A: d ** 0.5 => D ** 0.5", "B: np.sqrt(D // heads) => np.sqrt(D)"),
    ("out", "the old tokens are not looked at"): (
        3, "A: M, d = len(keys), D // heads => M, d = 0, D // heads\n"
        "np.vstack([keys, k]) => k\nnp.vstack([values, v]) => v"),
    ("out", "new tokens see later ones: there is no causal mask among them"): (
        5, "A: end = M + i + 1 => end = M + n", "B: may = place <= => may = 0 * place <="),
    ("out", "the mask counts from the first old token: a new one sees too few"): (
        3, "A: end = M + i + 1 => end = i + 1", "B: place[M:, None] => place[:n, None]"),
    ("out", "a new token does not see itself"): (
        2, "A: end = M + i + 1 => end = M + i or M + n"),
    ("out", "the new tokens stand in front of the old ones, and the mask does not"): (
        6, "A: np.vstack([keys, k]) => np.vstack([k, keys])\n"
        "np.vstack([values, v]) => np.vstack([v, values])",
        "B: np.append(keys, k, axis=0) => np.append(k, keys, axis=0)\n"
        "np.append(values, v, axis=0) => np.append(v, values, axis=0)"),
    ("out", "a head takes every H-th number: its numbers stand side by side"): (
        8, f"A: {STRIDED}"),
}  # fmt: skip
