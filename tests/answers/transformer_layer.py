"""Answers to exercise 3."""

RIGHT = {
    "A": """
import numpy as np

def ln(x):
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)

def transformer_layer(x, A, W_v, W_1, W_2, pre):
    att = lambda y: A @ y @ W_v
    mlp = lambda y: np.maximum(y @ W_1, 0) @ W_2
    if pre:
        y = x + att(ln(x))
        return y + mlp(ln(y))
    y = ln(x + att(x))
    return ln(y + mlp(y))
""",
    "B": """
import numpy as np
from math import sqrt

def transformer_layer(x, A, W_v, W_1, W_2, pre):
    N, D = x.shape
    halves = [
        lambda y: [sum(A[i, j] * (y[j] @ W_v) for j in range(N)) for i in range(N)],
        lambda y: [np.where(y[i] @ W_1 > 0, y[i] @ W_1, 0) @ W_2 for i in range(N)],
    ]
    for half in halves:
        read = [norm(row) for row in x] if pre else x
        given = half(np.array(read))
        x = np.array([a + b for a, b in zip(x, given)])
        if not pre:
            x = np.array([norm(row) for row in x])
    return x.astype(A.dtype)

def norm(row):
    mean = sum(row) / len(row)
    variance = sum((n - mean) ** 2 for n in row) / len(row)
    return (row - mean) / row.dtype.type(sqrt(variance + 1e-5))
""",
    "columns": """
import numpy as np
def transformer_layer(x, A, W_v, W_1, W_2, pre):
    X = x.T.copy()
    def LayerNorm(X):
        D = len(X)
        C = X - np.ones((D, D), X.dtype) @ X / D
        return C * ((C * C).sum(0) / D + 1e-5) ** -0.5
    def MhSa(X):
        return W_v.T @ X @ A.T
    def mlp(X):
        H = W_1.T @ X
        return W_2.T @ (H * (H > 0))
    if not pre:
        X = X + MhSa(X)
        X = LayerNorm(X)
        X = X + mlp(X)
        X = LayerNorm(X)
    else:
        X = X + MhSa(LayerNorm(X))
        X = X + mlp(LayerNorm(X))
    return np.ascontiguousarray(X.T)
""",
    "blind: loops over tokens": """
import numpy as np
import math
def transformer_layer(x, A, W_v, W_1, W_2, pre):
    def LN(Y):
        out = np.empty_like(Y)
        for i, row in enumerate(Y):
            mu = sum(row) / len(row)
            var = sum((r - mu) ** 2 for r in row) / len(row)
            out[i] = [(r - mu) / math.sqrt(var + 1e-5) for r in row]
        return out
    ident = lambda y: y
    before, after = (LN, ident) if pre else (ident, LN)
    for part in (lambda y: A @ y @ W_v, lambda y: (y @ W_1).clip(min=0) @ W_2):
        x = after(x + part(before(x)))
    return x.astype(A.dtype)
""",
}
# 10 points: post-LN: LayerNorm after each sum 3; pre-LN: LayerNorm before each half 3; where both
# halves give 0, the residual path is left 1; a token whose numbers are equal gives finite numbers
# 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind 1
WRONG = {
    ("out", "1e-5 is added to the deviation, not to the variance"): (
        2, "A: np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5) => "
        "(x.std(axis=-1, keepdims=True) + 1e-5)"),
    ("out", "pre-LN and post-LN have changed places"): (
        2, "A: if pre => if not pre",
        "B: if pre else x => if not pre else x\nif not pre: => if pre:"),
    ("out", "there is no residual path: each half is added to what came in"): (
        2, "A: y = x + att(ln(x)) => y = att(ln(x))\ny + mlp(ln(y)) => mlp(ln(y))\n"
        "ln(x + att(x)) => ln(att(x))\nln(y + mlp(y)) => ln(mlp(y))", "B: [a + b for => [b for"),
    ("out", "post-LN: LayerNorm takes the sum, not what a half gives"): (
        5, "A: ln(x + att(x)) => x + ln(att(x))\nln(y + mlp(y)) => y + ln(mlp(y))"),
    ("out", "post-LN: one LayerNorm is missing, the one between the halves"): (
        5, "A: ln(x + att(x)) => x + att(x)",
        "B: if not pre: => if not pre and half is halves[1]:"),
    ("out", "pre-LN: the residual path is not normalised, only what a half reads"): (
        5, "A: x + att(ln(x)) => ln(x) + att(ln(x))\ny + mlp(ln(y)) => ln(y) + mlp(ln(y))",
        "B: zip(x, given) => zip(read, given)"),
    ("out", "pre-LN: one LayerNorm too many at the end: only the whole model has one"): (
        5, "A: return y + mlp(ln(y)) => return ln(y + mlp(ln(y)))",
        "B: if not pre: => if not pre or half is halves[1]:"),
    ("out", "the MLP reads what came into the layer, not what attention has made of it"): (
        3, "A: y + mlp(ln(y)) => y + mlp(ln(x))\n"
        "ln(y + mlp(y)) => ln(y + mlp(x))"),
    ("out", "LayerNorm runs over the tokens, not over the numbers of each token"): (
        2, "A: x.mean(axis=-1 => x.mean(axis=0\nx.var(axis=-1 => x.var(axis=0"),
    ("out", "LayerNorm runs over all numbers at once: each token has its own"): (
        2, "A: x.mean(axis=-1, keepdims=True) => x.mean()\n"
        "x.var(axis=-1, keepdims=True) => x.var()"),
    ("out", "the MLP has no ReLU"): (
        3, "A: np.maximum(y @ W_1, 0) => (y @ W_1)",
        "B: np.where(y[i] @ W_1 > 0, y[i] @ W_1, 0) => (y[i] @ W_1)"),
    ("out", "A is turned: a row of A says what its token takes"): (
        3, "A: A @ y @ W_v => A.T @ y @ W_v", "B: A[i, j] => A[j, i]"),
}  # fmt: skip
