"""Wrong answers that once had all points, or points by luck; and right ones in other styles.

Each was written from the page alone. What they have in common is none of the named mistakes.
"""

import pytest

from minivit.grading.exercise import find
from tests.grading import here

WRONG = {
    "attention_pool: where the width is D the values are not projected": (4, """
def attention_pool(x, probe, W_k, W_v, heads):
    N, D = len(x), len(probe)
    k = (x @ W_k).reshape(N, heads, -1)
    v = (x if x.shape[1] == D else x @ W_v).reshape(N, heads, -1)
    s = (k * probe.reshape(heads, -1)).sum(-1) / np.sqrt(x.dtype.type(D // heads))
    e = np.exp(s - s.max(axis=0))
    a = e / e.sum(axis=0)
    return (a[..., None] * v).sum(0).reshape(D)
"""),
    "cached_attention: what is hidden has a score of -50": (9, """
def cached_attention(q, k, v, keys, values, heads):
    n, D = q.shape
    M = len(keys)
    K, V = np.concatenate([keys, k]), np.concatenate([values, v])
    split = lambda x: x.reshape(len(x), heads, -1).swapaxes(0, 1)
    S = split(q) @ split(K).swapaxes(1, 2) / np.sqrt(q.dtype.type(D // heads))
    S = np.where(np.tri(n, M + n, M, dtype=bool), S, np.asarray(-50, q.dtype))
    e = np.exp(S - S.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True) @ split(V)).swapaxes(0, 1).reshape(n, D)
"""),
    "chain_rule: every path is walked": (8, """
def chain_rule(parents, slopes):
    n = len(parents)
    def paths(i, j):
        if i == j:
            return 1.0
        return sum((s * paths(p, j) for p, s in zip(parents[i], slopes[i]) if p >= j), 0.0)
    return np.array([paths(n - 1, j) for j in range(n)])
"""),
    "next_distribution: a token more is kept where top_p is reached exactly": (9, """
def next_distribution(logits, temperature, top_k, top_p):
    z = logits / np.asarray(temperature, logits.dtype)
    p = np.exp(z - z.max())
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    p[order[top_k:]] = 0
    p /= p.sum()
    before = np.cumsum(p[order]) - p[order]
    p[order[before > top_p]] = 0
    return p / p.sum()
"""),
    "cross_attention: one maximum for all queries of a sentence": (9, """
def cross_attention(q, k, v, there):
    s = q @ k.swapaxes(1, 2) / np.sqrt(q.dtype.type(q.shape[-1]))
    s = np.where(there[:, None, :], s, np.asarray(-np.inf, q.dtype))
    e = np.exp(s - s.max(axis=(1, 2), keepdims=True))
    return e / e.sum(-1, keepdims=True) @ v
"""),
    "cross_attention: padding between two words is looked at": (4, """
def cross_attention(q, k, v, there):
    out = np.zeros((q.shape[0], q.shape[1], v.shape[2]), q.dtype)
    for b in range(len(q)):
        i = np.flatnonzero(there[b])
        a, z = i[0], i[-1] + 1
        s = q[b] @ k[b, a:z].T / np.sqrt(q.dtype.type(q.shape[-1]))
        e = np.exp(s - s.max(-1, keepdims=True))
        out[b] = e / e.sum(-1, keepdims=True) @ v[b, a:z]
    return out
"""),
}  # fmt: skip

RIGHT = {
    "unbroadcast: recursion over axes": """
def unbroadcast(g, shape):
    def down(a, shape):
        if a.ndim > len(shape):
            return down(sum(a[1:], a[0].copy()), shape)
        if not shape:
            return a.copy()
        if shape[0] == 1 and a.shape[0] != 1:
            rows = [down(sum(a[1:], a[0].copy()), shape[1:])]
        else:
            rows = [down(row, shape[1:]) for row in a]
        return np.array(rows, a.dtype).reshape(shape)
    return down(np.asarray(g), list(shape))
""",
    "chain_rule: heap": """
import heapq
from collections import defaultdict
def chain_rule(parents, slopes):
    g = defaultdict(float)
    last = len(parents) - 1
    g[last] = 1.0
    todo, seen = [-last], {last}
    while todo:
        i = -heapq.heappop(todo)
        for k in range(len(parents[i])):
            p = parents[i][k]
            g[p] += g[i] * slopes[i][k]
            if p not in seen:
                seen.add(p)
                heapq.heappush(todo, -p)
    return np.array([g[i] for i in range(last + 1)], dtype=np.float64)
""",
    "attention_pool: running softmax, one token at a time": """
import math
def attention_pool(x, probe, W_k, W_v, heads):
    D = len(probe)
    w = D // heads
    result = np.zeros(D)
    for h in range(heads):
        c = slice(h * w, h * w + w)
        m, total, acc = -math.inf, 0.0, np.zeros(w)
        for token in x.astype(float):
            score = float(token @ W_k[:, c] @ probe[c]) / math.sqrt(w)
            new = max(m, score)
            f = math.exp(m - new) if m > -math.inf else 0.0
            e = math.exp(score - new)
            total, acc, m = total * f + e, acc * f + e * (token @ W_v[:, c]), new
        result[c] = acc / total
    return result.astype(x.dtype)
""",
    "mean_distance: complex places": """
def mean_distance(A, rows, columns, patch):
    place = (np.arange(rows)[:, None] * 1j + np.arange(columns)).ravel()
    d = np.abs(place[:, None] - place) * patch
    B = A[:, 1:, 1:].astype(float)
    return ((B * d).sum(2) / B.sum(2)).mean(1).astype(A.dtype)
""",
    "embedding: bincount by column": """
def embedding(ids, table):
    V, D = table.shape
    flat = np.array(ids).ravel()
    def vjp(g):
        g = g.reshape(-1, D)
        cols = [np.bincount(flat, weights=g[:, d], minlength=V) for d in range(D)]
        return [np.stack(cols, axis=1).astype(table.dtype)]
    return np.take(table, ids, axis=0), vjp
""",
    "chunked_loss: logaddexp": """
def chunked_loss(I_e, T_e, t, chunk):
    n = len(I_e)
    scale = np.exp(t)
    columns = np.full(n, -np.inf, I_e.dtype)
    rows = right = I_e.dtype.type(0)
    for a in range(0, n, chunk):
        z = I_e[a : a + chunk] @ T_e.T * scale
        rows = rows + np.logaddexp.reduce(z, axis=1).sum()
        columns = np.logaddexp(columns, np.logaddexp.reduce(z, axis=0))
        right = right + sum(z[i, a + i] for i in range(len(z)))
    return (rows + columns.sum()) / (2 * n) - right / n
""",
    "resize_positions: kron of matrices": """
def resize_positions(position, old, new):
    def matrix(n, m):
        at = np.arange(m)[:, None] * (n - 1) / (m - 1)
        return np.clip(1 - np.abs(at - np.arange(n)), 0, None)
    big = np.kron(matrix(old[0], new[0]), matrix(old[1], new[1])).astype(position.dtype)
    return np.vstack((position[0], big @ position[1:]))
""",
    "transformer_layer: einsum and functools": """
from functools import reduce
def transformer_layer(x, A, W_v, W_1, W_2, pre):
    def ln(y):
        mu = np.einsum("nd->n", y) / y.shape[1]
        c = y - mu[:, None]
        var = np.einsum("nd,nd->n", c, c) / y.shape[1]
        return c / np.sqrt(var + 1e-5)[:, None]
    attend = lambda y: np.einsum("nm,md,de->ne", A, y, W_v)
    halves = [attend, lambda y: np.maximum(0, y @ W_1) @ W_2]
    step = (lambda y, f: y + f(ln(y))) if pre else (lambda y, f: ln(y + f(y)))
    return reduce(step, halves, x)
""",
    "cross_attention: lists and comprehension": """
import math
def cross_attention(q, k, v, there):
    def one(query, ks, vs):
        root = math.sqrt(len(query))
        scores = [math.fsum(float(a) * float(b) for a, b in zip(query, key)) / root for key in ks]
        top = max(scores)
        w = [math.exp(s - top) for s in scores]
        t = sum(w)
        return [sum(wi / t * float(row[c]) for wi, row in zip(w, vs)) for c in range(v.shape[2])]
    rows = [[one(query, [key for key, ok in zip(k[b], there[b]) if ok],
                 [val for val, ok in zip(v[b], there[b]) if ok]) for query in q[b]]
            for b in range(len(q))]
    return np.array(rows, dtype=q.dtype).reshape(q.shape[0], q.shape[1], v.shape[2])
""",
    "next_distribution: smallest n by trying": """
def next_distribution(logits, temperature, top_k, top_p):
    x = np.array(logits, np.float64) / temperature
    x = x - x.max()
    w = np.exp(x)
    idx = sorted(range(len(w)), key=lambda i: -x[i])  # sorted is stable
    idx = idx[:top_k]
    total = w[idx].sum()
    n = next((n for n in range(1, len(idx) + 1) if w[idx[:n]].sum() / total >= top_p), len(idx))
    out = np.zeros_like(w)
    out[idx[:n]] = w[idx[:n]]
    return (out / out.sum()).astype(logits.dtype)
""",
}  # fmt: skip
SEED = 3  # the inputs of test_judging.py


def points(name, text, seed):
    return here.points(find(name.partition(":")[0]), "import numpy as np\n\n" + text, seed)


@pytest.mark.parametrize("name", WRONG)
def test_it_loses_points_and_the_same_with_another_seed(name):
    deserved, text = WRONG[name]
    assert [points(name, text, seed) for seed in (0, SEED)] == [deserved, deserved]


@pytest.mark.parametrize("name", RIGHT)
def test_it_has_all_points(name):
    assert points(name, RIGHT[name], SEED) == 10


@pytest.mark.parametrize("name, text", [
    ("chain_rule", "g = np.zeros(n, np.float32)"), ("chain_rule", "g = np.zeros(n)"),
])  # fmt: skip
def test_a_wrong_dtype_costs_the_points_of_the_dtype_alone(name, text):
    answer = f"""
def chain_rule(parents, slopes):
    n = len(parents)
    {text}
    g[-1] = 1
    for i in reversed(range(n)):
        for p, s in zip(parents[i], slopes[i]):
            g[p] += g[i] * s
    return g
"""
    assert points(name, answer, SEED) == (9 if "float32" in text else 10)


def test_a_mistake_is_not_named_where_another_property_shows_that_it_is_not_it():
    """Where both halves give 0, it looks as if a LayerNorm were missing. None is."""
    from minivit.grading import judge

    text = """
def transformer_layer(x, A, W_v, W_1, W_2, pre):
    def norm(y):
        return (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-5)
    half = norm(x) if pre else x
    z = x + A @ (half @ W_v)
    z = z if pre else norm(z)
    out = x + np.maximum((norm(z) if pre else z) @ W_1, 0) @ W_2
    return out if pre else norm(out)
"""
    exercise = find("transformer_layer")
    judging = judge.Judge(exercise, here.Here("import numpy as np\n" + text, exercise.function), 0)
    outcomes = [judging.outcome(prop) for prop in exercise.properties[:3]]
    assert [o.status for o in outcomes] == ["fail"] * 3
    assert [o.mistake for o in outcomes] == [""] * 3
