"""Answers to exercise 18."""

RIGHT = {
    "A": """
import numpy as np

def attention_gradient(q, k, v):
    root = q.dtype.type(np.sqrt(q.shape[1]))
    S = np.einsum("nd,md->nm", q, k) / root
    S = S - S.max(axis=1, keepdims=True)
    A = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    out = A @ v
    def vjp(g):
        gv = np.einsum("nm,nc->mc", A, g)
        gA = np.einsum("nc,mc->nm", g, v)
        mean = (out * g).sum(axis=1, keepdims=True)
        gS = A * (gA - mean)
        gS = gS / root
        gq = gS @ k
        gk = gS.T @ q
        return gq, gk, gv
    return out, vjp
""",
    "B": """
import numpy as np

def attention_gradient(q, k, v):
    N, M, D = len(q), len(k), q.shape[1]
    A = np.zeros((N, M), q.dtype)
    for i in range(N):
        row = k @ q[i] / q.dtype.type(D ** 0.5)
        row = np.exp(row - row.max())
        A[i] = row / row.sum()
    def vjp(g):
        gq, gk, gv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        for i in range(N):
            J = np.diag(A[i]) - np.outer(A[i], A[i])
            gs = J @ (v @ g[i])
            gs = gs / q.dtype.type(D ** 0.5)
            gq[i] = k.T @ gs
            gk += np.outer(gs, q[i])
            gv += np.outer(A[i], g[i])
        return gq, gk, gv
    return A @ v, vjp
""",
    "blind: flash style using out": """
import numpy as np
def attention_gradient(q, k, v):
    d = q.dtype.type(q.shape[-1]) ** q.dtype.type(0.5)
    S = np.einsum("nd,md->nm", q, k) / d
    lse = np.logaddexp.reduce(S, axis=1)[:, None]
    A = np.exp(S - lse)
    out = A @ v
    def vjp(g):
        delta = (out * g).sum(1, keepdims=True)
        gS = A * (np.einsum("nc,mc->nm", g, v) - delta) / d
        gv = np.einsum("nm,nc->mc", A, g)
        return np.einsum("nm,md->nd", gS, k), np.einsum("nm,nd->md", gS, q), gv
    return out, vjp
""",
}
FORWARD = "S = S - S.max(axis=1, keepdims=True)"
# 10 points: out is softmax(q kᵀ / √D) v 1; gv is the gradient of v 1; gq is the gradient of q 3;
# gk is the gradient of k 2; scores in the thousands give finite gradients 1; float32 stays
# float32, float64 stays float64 1; a call leaves nothing behind: arguments as they were, new
# arrays, no memory of it 1
WRONG = {
    ("out", "the scale is missing: 1/sqrt(D)"): (
        3, f"A: {FORWARD} => S = S * root; {FORWARD}"),
    ("out", "the softmax runs over the queries, not over the keys"): (
        2, "A: A = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True) => "
        "A = np.exp(S + 0) ; S = np.einsum('nd,md->nm', q, k) / root; "
        "S = S - S.max(0); A = np.exp(S) / np.exp(S).sum(0)"),
    ("out", "it is multiplied by sqrt(D), not divided"): (
        3, f"A: {FORWARD} => S = S * root * root; {FORWARD}"),
    ("gq", "the softmax is passed through as if it were no function"): (
        6, "A: gq = gS @ k => gq = gA / root @ k"),
    ("gq", "the sum over the keys is missing: each score reaches every weight of its row"): (
        6, "A: gq = gS @ k => gq = A * gA / root @ k",
        "B: gq[i] = k.T @ gs => gq[i] = k.T @ (A[i] * (v @ g[i])) / q.dtype.type(D ** 0.5)"),
    ("gq", "the derivative of softmax is taken for A (1 - A): that is its diagonal alone"): (
        6, "A: gq = gS @ k => gq = A * (1 - A) * gA / root @ k",
        "B: gq[i] = k.T @ gs => "
        "gq[i] = k.T @ (np.diag(J) * (v @ g[i])) / q.dtype.type(D ** 0.5)"),
    ("gq", "the sum runs over the queries, not over the keys"): (
        6, "A: gq = gS @ k => gq = A * (gA - (gA * A).sum(0)) / root @ k"),
    ("gq", "the scale is missing: it stands between q and the scores"): (
        6, "A: gq = gS @ k => gq = gS * root @ k",
        "B: gq[i] = k.T @ gs => gq[i] = k.T @ gs * q.dtype.type(D ** 0.5)"),
    ("gq", "it is negated"): (6, "A: gq = gS @ k => gq = -gS @ k", "B: k.T @ gs => -k.T @ gs"),
    ("gk", "the scale is missing: it stands between k and the scores"): (
        8, "A: gk = gS.T @ q => gk = root * gS.T @ q"),
    ("gk", "the sum over the keys is missing: each score reaches every weight of its row"): (
        8, "A: gk = gS.T @ q => gk = (A * gA).T @ q / root"),
    ("gk", "it is negated"): (8, "A: gk = gS.T @ q => gk = -gS.T @ q", "B: gk += => gk -="),
    ("gv", "the scores stand where their softmax belongs"): (
        9, f"A: {FORWARD} => raw = S; {FORWARD}\nnm,nc->mc\", A, g) => nm,nc->mc\", raw, g)"),
    ("gv", "it is divided by the number of queries: a sum belongs there"): (
        9, "A: nm,nc->mc\", A, g) => nm,nc->mc\", A, g) / q.dtype.type(len(q))",
        "B: gv += np.outer(A[i], g[i]) => gv += np.outer(A[i], g[i]) / q.dtype.type(N)"),
    ("gv", "it is negated"): (
        9, "A: nm,nc->mc\", A, g) => nm,nc->mc\", A, -g)", "B: gv += => gv -="),
}  # fmt: skip
