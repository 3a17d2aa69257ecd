"""Answers to exercise 21."""

RIGHT = {
    "A": """
import numpy as np

def attention_pool(x, probe, W_k, W_v, heads):
    D = len(probe)
    d = D // heads
    out = np.zeros(D, x.dtype)
    for h in range(heads):
        own = slice(h * d, (h + 1) * d)
        keys = x @ W_k[:, own]
        values = x @ W_v[:, own]
        s = keys @ probe[own]
        s = s / x.dtype.type(d ** 0.5)
        e = np.exp(s - s.max())
        a = e / e.sum()
        out[own] = a @ values
    return out
""",
    "B": """
import numpy as np

def softmax(S):
    E = np.exp(S - S.max(-1, keepdims=True))
    return E / E.sum(-1, keepdims=True)

def attention_pool(x, probe, W_k, W_v, heads):
    N, D = x.shape[0], probe.shape[0]
    split = lambda y: np.stack(np.split(y, heads, axis=-1))
    K = split(x @ W_k)
    V = split(x @ W_v)
    Q = split(probe)
    S = np.einsum("hd,hnd->hn", Q, K)
    S = S / np.sqrt(D // heads).astype(x.dtype)
    A = softmax(S)
    return np.concatenate([a @ values for a, values in zip(A, V)])
""",
    "blind: einopslike": """
import numpy as np
def attention_pool(x, probe, W_k, W_v, heads):
    N = x.shape[0]; D = probe.size; d = D // heads
    K, V = (np.tensordot(x, W, 1).reshape(N, heads, d) for W in (W_k, W_v))
    S = (K * probe.reshape(heads, d)).sum(2) * (1 / np.sqrt(d)).astype(x.dtype)
    E = np.exp(S - S.max(axis=0))
    return ((E / E.sum(axis=0))[..., None] * V).sum(axis=0).ravel()
""",
}
# 10 points: one head 3; heads 3; one token: its value 1; scores in the thousands give finite
# numbers 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind:
# arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("out", "the scale is missing: 1/sqrt(D/heads)"): (
        4, "A: / x.dtype.type(d ** 0.5) => * x.dtype.type(1)",
        "B: / np.sqrt(D // heads).astype(x.dtype) => * 1"),
    ("out", "it is divided by sqrt(D), not by the root of a head's width"): (
        7, "A: d ** 0.5 => D ** 0.5", "B: np.sqrt(D // heads) => np.sqrt(D)"),
    ("out", "this is the mean of the values: the probe is not asked"): (
        3, "A: a = e / e.sum() => a = np.ones_like(e) / e.dtype.type(len(e))",
        "B: A = softmax(S) => A = softmax(0 * S)"),
    ("out", "the scores are not normalised: their softmax belongs there"): (
        2, "A: a = e / e.sum() => a = s", "B: A = softmax(S) => A = S"),
    ("out", "this is the sum of the values, weighted by exp: the weights must sum to 1"): (
        2, "A: a = e / e.sum() => a = np.exp(s)", "B: A = softmax(S) => A = np.exp(S)"),
    ("out", "keys and values have changed places"): (
        2, "A: x @ W_k[ => x @ W_x[\nx @ W_v[ => x @ W_k[\nx @ W_x[ => x @ W_v[",
        "B: x @ W_k) => x @ W_x)\nx @ W_v) => x @ W_k)\nx @ W_x) => x @ W_v)"),
    ("out", "the values are the keys: W_v is not used"): (
        2, "A: x @ W_v[:, own] => keys", "B: V = split(x @ W_v) => V = K"),
    ("out", "a head takes every H-th number: its numbers stand side by side"): (
        6, "A: slice(h * d, (h + 1) * d) => slice(h, None, heads)"),
    ("out", "all heads share one softmax"): (
        5, "B: A = softmax(S) => A = softmax(S.ravel()).reshape(S.shape)"),
}  # fmt: skip
