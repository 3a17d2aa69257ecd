"""Answers to exercise 16."""

RIGHT = {
    "A": """
import numpy as np

def chain_rule(parents, slopes):
    n = len(parents)
    children = [[] for _ in range(n)]
    for i in range(n):
        for p, s in zip(parents[i], slopes[i]):
            children[p].append((i, s))
    grad = [0.0] * n
    grad[n - 1] = 1.0
    for i in range(n - 2, -1, -1):
        grad[i] = sum(grad[c] * s for c, s in children[i])
    return np.array(grad, dtype=float)
""",
    "B": """
import numpy as np

def chain_rule(parents, slopes):
    # J[i, p]: the derivative of i with respect to p; paths of any length are summed by a solve
    n = len(parents)
    J = np.zeros((n, n))
    for i in range(n):
        for p, s in zip(parents[i], slopes[i]):
            J[i, p] += s
    start = np.zeros(n)
    start[-1] = 1
    return np.linalg.solve((np.eye(n) - J).T, start)
""",
    "C": """
import numpy as np

def chain_rule(parents, slopes):
    g = np.zeros(len(parents))
    g[len(g) - 1] += 1.0
    node = len(parents) - 1
    while node >= 0:
        here = g[node]
        for k in range(len(parents[node])):
            g[parents[node][k]] += here * slopes[node][k]
        node -= 1
    return g
""",
    "recursive": """
import numpy as np
from functools import lru_cache
def chain_rule(parents, slopes):
    n = len(parents)
    @lru_cache(None)
    def g(j):
        if j == n - 1: return 1.0
        return sum(g(i) * s for i in range(j + 1, n)
                   for p, s in zip(parents[i], slopes[i]) if p == j)
    return np.array([g(j) for j in range(n)], float)
""",
    "matrix": """
import numpy as np
def chain_rule(parents, slopes):
    n = len(parents); J = np.zeros((n, n))
    for i, (ps, ss) in enumerate(zip(parents, slopes)):
        np.add.at(J[i], np.array(ps, int), ss)
    return np.linalg.solve(np.eye(n) - J.T, np.eye(n)[-1])
""",
    "blind: matrix solve": """
import numpy as np
def chain_rule(parents, slopes):
    n = len(parents); J = np.zeros((n, n))
    for i in range(n): np.add.at(J[i], np.array(parents[i], int), slopes[i])
    e = np.zeros(n); e[n - 1:] = 1
    return np.linalg.solve(np.eye(n) - J.T, e) if n else e
""",
}
# 10 points: a chain: one parent each 1; a node with several children gets a sum 3; a node waits
# for all of its children 2; a node that uses the same parent twice 2; a node that the last one
# does not depend on has gradient 0 1; a call leaves nothing behind: arguments as they were, new
# arrays, no memory of it 1
WRONG = {
    ("g", "the gradient of a parent is replaced, not added to: it may have several children"): (
        2, "C: [k]] += => [k]] ="),
    ("g", "the nodes are visited from the first to the last"): (
        1, "C: node = len(parents) - 1 => node = 0\nwhile node >= 0: => while node < len(g):\n"
        "node -= 1 => node += 1"),
    ("g", "the gradient of the node itself is left out: the slopes of a path are multiplied"): (
        1, "C: here = g[node] => here = 1.0"),
    ("g", "slopes are added along a path; they are multiplied"): (
        1, "C: here * slopes => here + slopes", "A: grad[c] * s for => grad[c] + s for"),
    ("g", "the last node begins with 0; its gradient is 1"): (
        0, "C: += 1.0 => += 0.0", "A: grad[n - 1] = 1.0 => pass", "B: start[-1] = 1 => pass"),
    ("g", "the walk ends at the first input that it meets: inputs may stand behind other nodes"): (
        7, "C: while node >= 0: => while node >= 0 and parents[node]:"),
    ("g", "only nodes without parents keep their gradient"): (
        1, "C: here = g[node] => here = g[node]; g[node] = 0.0 if parents[node] else here",
        "A: np.array(grad, => np.array([0 if p else x for p, x in zip(parents, grad)],",
        "B: return np.linalg.solve((np.eye(n) - J).T, start) => "
        "return np.linalg.solve((np.eye(n) - J).T, start) * [not p for p in parents]"),
    ("g", "a parent that is used twice by one node sends one slope only"): (
        8, "B: J[i, p] += s => J[i, p] = s", "C: for k in range(len(parents[node])): => "
        "for k in {p: i for i, p in enumerate(parents[node])}.values():"),
    ("g", "a node is visited before all of its children have been: breadth first from the last"): (
        6, "C: node = len(parents) - 1 => order, node = [len(g) - 1], len(g) - 1\n"
        "while node >= 0: => for node in order:\n"
        "here = g[node] => here = g[node]; order += [p for p in parents[node] if p not in order]\n"
        "node -= 1 => pass"),
}  # fmt: skip
