"""Answers to exercise 6."""

RIGHT = {
    "A": """
import numpy as np

def cross_attention(q, k, v, there):
    B, N, D = q.shape
    out = np.zeros((B, N, v.shape[2]), q.dtype)
    for b in range(B):
        seen = there[b]
        keys = k[b, seen]
        values = v[b, seen]
        for n in range(N):
            s = keys @ q[b, n]
            s = s / q.dtype.type(D ** 0.5)
            e = np.exp(s - s.max())
            out[b, n] = e @ values / e.sum()
    return out
""",
    "B": """
import numpy as np

def cross_attention(q, k, v, there):
    S = np.einsum("bnd,bmd->bnm", q, k)
    S = S / np.sqrt(q.shape[-1]).astype(q.dtype)
    hidden = np.broadcast_to(~there[:, None], S.shape)
    S = np.ma.masked_array(S, hidden)
    S = S.filled(S.dtype.type(-1e30))
    E = np.exp(S - S.max(-1, keepdims=True))
    A = E / E.sum(-1, keepdims=True)
    return np.einsum("bnm,bmc->bnc", A, v)
""",
    "loop compress": """
import numpy as np
def cross_attention(q, k, v, there):
    out = np.empty((*q.shape[:2], v.shape[2]), q.dtype)
    for b, t in enumerate(there):
        for n, row in enumerate(q[b]):
            s = k[b][t] @ row / np.sqrt(q.shape[-1])
            a = np.exp(s - s.max()); a = a / a.sum()
            out[b, n] = a @ v[b][t]
    return out
""",
    "multiply after exp": """
import numpy as np
def cross_attention(q, k, v, there):
    S = q @ np.transpose(k, (0, 2, 1)) / np.sqrt(q.shape[-1]).astype(q.dtype)
    S = S + np.where(there, 0, -np.inf).astype(q.dtype)[:, None, :]
    S = S - np.nanmax(S, axis=-1)[..., None]
    e = np.exp(S)
    return (e @ v) / e.sum(-1)[..., None]
""",
    "blind: einsum masked max": """
import numpy as np
def cross_attention(q, k, v, there):
    m = there[:, None]
    S = np.einsum("bnd,bmd->bnm", q, k) / q.shape[-1] ** .5
    top = np.max(S, axis=2, keepdims=True, where=m, initial=-np.inf)
    W = np.exp(np.where(m, S - top, -np.inf))
    W /= W.sum(-1, keepdims=True)
    return np.einsum("bnm,bmc->bnc", W, np.where(there[..., None], v, 0)).astype(q.dtype)
""",
}
# 10 points: no padding: each query looks at all keys 2; padding is not looked at 3; each sentence
# has its own padding 1; large numbers in padding change nothing 1; scores in the thousands give
# finite numbers 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind:
# arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("out", "the scale is missing: 1/sqrt(D)"): (
        3, "A: / q.dtype.type(D ** 0.5) => * q.dtype.type(1)",
        "B: / np.sqrt(q.shape[-1]).astype(q.dtype) => * 1"),
    ("out", "it is divided by D, not by its root"): (
        3, "A: D ** 0.5 => D", "B: np.sqrt(q.shape[-1]).astype(q.dtype) => q.shape[-1]"),
    ("out", "the softmax runs over the queries, not over the keys"): (
        2, "B: E = np.exp(S - S.max(-1, keepdims=True)) => E = np.exp(S - S.max(1, keepdims=True))"
        " * ~hidden\nE.sum(-1, keepdims=True) => np.maximum(E.sum(1, keepdims=True), 1e-30)"),
    ("out", "padding is looked at: `there` is not used"): (
        4, "A: seen = there[b] => seen = slice(None)",
        "B: S = np.ma.masked_array(S, hidden) => S = np.ma.masked_array(S)"),
    ("out", "the mask is the wrong way round: only padding is looked at"): (
        2, "A: seen = there[b] => seen = ~there[b]\n"
        "s = keys @ q[b, n] => s = keys @ q[b, n] if seen.any() else np.zeros(1, q.dtype)\n"
        "e @ values / e.sum() => e @ values / e.sum() if seen.any() else 0"),
    ("out", "the weights of padding are set to 0 after the softmax: the others do not sum to 1"): (
        4, "B: S = np.ma.masked_array(S, hidden) => S = np.ma.masked_array(S)\n"
        "A = E / E.sum(-1, keepdims=True) => A = E / E.sum(-1, keepdims=True) * ~hidden"),
    ("out", "the scores of padding are set to 0, and their exponential is 1"): (
        4, "B: S.dtype.type(-1e30) => S.dtype.type(0)"),
    ("out", "all sentences have the mask of the first"): (
        9, "A: seen = there[b] => seen = there[0]", "B: ~there[:, None] => ~there[:1, None]"),
}  # fmt: skip
