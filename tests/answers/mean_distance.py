"""Answers to exercise 15."""

RIGHT = {
    "A": """
import math
import numpy as np

def mean_distance(A, rows, columns, patch):
    N = rows * columns
    result = []
    for head in A:
        total = 0.0
        for i in range(N):
            weight = far = 0.0
            for j in range(N):
                down = i // columns - j // columns
                across = i % columns - j % columns
                a = float(head[i + 1, j + 1])
                weight += a
                far += a * math.hypot(down, across) * patch
            total += far / weight
        result.append(total / N)
    return np.array(result, A.dtype)
""",
    "B": """
import numpy as np

def mean_distance(A, rows, columns, patch):
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    place = (x + 1j * y).ravel()
    apart = np.abs(place[:, None] - place[None])
    apart = patch * apart.astype(A.dtype)
    W = A[:, 1:, 1:]
    sums = W.sum(-1)
    return (np.einsum("hij,ij->hi", W, apart) / sums).mean(-1)
""",
    "complex": """
import numpy as np
def mean_distance(A, rows, columns, patch):
    z = np.add.outer(np.arange(rows), 1j * np.arange(columns)).ravel()
    d = np.abs(np.subtract.outer(z, z)) * patch
    a = A[:, 1:, 1:]
    return (np.einsum('hij,ij->hi', a, d) / a.sum(-1)).mean(-1).astype(A.dtype)
""",
    "blind: meshgrid hypot einsum": """
from numpy import *
def mean_distance(A, rows, columns, patch):
    r, c = (m.ravel() for m in meshgrid(arange(rows), arange(columns), indexing="ij"))
    d = patch * hypot(subtract.outer(r, r), subtract.outer(c, c))
    P = A[:, 1:, 1:]
    return (einsum("hij,ij->hi", P, d) / einsum("hij->hi", P)).mean(1).astype(A.dtype)
""",
}
# 10 points: patches in one line 2; patches on a grid 3; what goes to the class token does not
# count 2; each head has its own 1; float32 stays float32, float64 stays float64 1; a call leaves
# nothing behind: arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("distance", "rows without the class token do not sum to 1, and are not scaled"): (
        2, "A: far / weight => far", "B: sums = W.sum(-1) => sums = 1"),
    ("distance", "the last token is left out: the class token stands in front"): (
        2, "A: head[i + 1, j + 1] => head[i, j]", "B: A[:, 1:, 1:] => A[:, :-1, :-1]"),
    ("distance", "rows and columns of the grid have changed places"): (
        4, "A: i // columns - j // columns => i // rows - j // rows\n"
        "i % columns - j % columns => i % rows - j % rows"),
    ("distance", "it is in patches, not in pixels"): (
        2, "A: across) * patch => across)", "B: apart = patch * => apart = 1 *"),
    ("distance", "it is the squared distance"): (
        2, "A: math.hypot(down, across) * patch => (down ** 2 + across ** 2) * patch ** 2"),
    ("distance", "distances along rows and columns are added: the straight line is shorter"): (
        4, "A: math.hypot(down, across) => (abs(down) + abs(across))"),
    ("distance", "it is a sum over the patches, not their mean"): (
        2, "A: total / N => total", "B: .mean(-1) => .sum(-1)"),
    ("distance", "the weights of a column are used: a query is a row"): (
        2, "A: head[i + 1, j + 1] => head[j + 1, i + 1]",
        "B: A[:, 1:, 1:] => A[:, 1:, 1:].swapaxes(1, 2)"),
    ("distance", "the attention is not used: this is the mean distance of two patches"): (
        1, "A: float(head[i + 1, j + 1]) => 1.0", "B: A[:, 1:, 1:] => 0 * A[:, 1:, 1:] + 1"),
}  # fmt: skip
