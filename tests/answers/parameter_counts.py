"""Answers to exercise 14."""

RIGHT = {
    "A": """
import numpy as np

def parameter_counts(height, width, patch, channels, D, M, layers, heads, classes):
    def linear(a, b):
        return a * b + b
    rows, columns = height // patch, width // patch
    positions = rows * columns + 1
    return np.array([
        linear(patch**2 * channels, D),
        D * (positions + 1),
        layers * 4 * linear(D, D),
        layers * (linear(D, M) + linear(M, D)),
        layers * 4 * D + 2 * D,
        linear(D, classes),
    ])
""",
    "B": """
import numpy as np

def parameter_counts(height, width, patch, channels, D, M, layers, heads, classes):
    shapes = [[(patch, patch, channels, D), (D,)],
              [(1, D), (height // patch * (width // patch) + 1, D)], [], [], [(D,), (D,)],
              [(D, classes), (classes,)]]
    for layer in range(layers):
        shapes[2] += [(D, heads, D // heads)] * 3 + [(heads, D // heads)] * 3 + [(D, D), (D,)]
        shapes[3] += [(D, M), (M,), (M, D), (D,)]
        shapes[4] += [(2, D), (2, D)]
    counts = np.zeros(6, dtype=np.int64)
    for part, arrays in enumerate(shapes):
        for shape in arrays:
            counts[part] += np.prod(shape, dtype=int)
    return counts
""",
    "loops": """
import numpy as np
def parameter_counts(height, width, patch, channels, D, M, layers, heads, classes):
    n = len(range(0, height, patch)) * len(range(0, width, patch))
    out = [(patch * patch * channels + 1) * D, (n + 2) * D, 0, 0, 2 * D, (D + 1) * classes]
    for _ in range(layers):
        out[2] += 4 * D * (D + 1)
        out[3] += M * (D + 1) + D * (M + 1)
        out[4] += 2 * 2 * D
    return np.asarray(out, int)
""",
    "blind: dict  class int32 keep int64": """
import numpy as np
from dataclasses import dataclass
@dataclass
class Linear:
    a: int
    b: int
    @property
    def size(self) -> int: return (self.a + 1) * self.b
def parameter_counts(height, width, patch, channels, D, M, layers, heads, classes):
    per_layer = dict(attention=[Linear(D, D)] * 4, mlp=[Linear(D, M), Linear(M, D)])
    rows, rest = divmod(height, patch); columns = width // patch
    counts = np.zeros(6, dtype="int64")
    counts[0] = Linear(patch * patch * channels, D).size
    counts[1] = D + D * (1 + rows * columns)
    for _ in range(layers):
        counts[2] += sum(l.size for l in per_layer["attention"])
        counts[3] += sum(l.size for l in per_layer["mlp"])
        counts[4] += 4 * D
    counts[4] += 2 * D
    if classes > 0: counts[5] = Linear(D, classes).size
    return counts
""",
}
# 10 points: the projection of patches 1; class token and positions 2; attention 2; MLPs 1;
# LayerNorms 1; the head 1; B/16, L/32 and H/14 as published 1; a call leaves nothing behind 1
WRONG = {
    ("counts", "the bias of the projection is missing: D numbers"): (
        8, "A: linear(patch**2 * channels, D) => patch**2 * channels * D",
        "B: channels, D), (D,)] => channels, D)]"),
    ("counts", "the channels are missing: a patch has P² numbers of each"): (
        8, "A: patch**2 * channels => patch**2",
        "B: (patch, patch, channels, D) => (patch, patch, D)"),
    ("counts", "D numbers are missing: the class token is learnt, and it has a position too"): (
        7, "A: rows * columns + 1 => rows * columns", "A: D * (positions + 1) => D * positions",
        "B: [(1, D), (height => [(height"),
    ("counts", "class token and its position are missing"): (
        7, "A: D * (positions + 1) => D * (positions - 1)", "B: (width // patch) + 1, D) => "
        "(width // patch) - 1, D)"),
    ("counts", "the image is taken for a square one"): (
        8, "A: width // patch => height // patch", "B: (width // patch) => (height // patch)"),
    ("counts", "the matrix behind the heads is missing: each layer has four of D²"): (
        7, "A: 4 * linear(D, D) => 3 * linear(D, D)", "B: * 3 + [(D, D), (D,)] => * 3"),
    ("counts", "the biases of attention are missing: D for each of four matrices"): (
        7, "A: 4 * linear(D, D) => 4 * D * D",
        "B: [(heads, D // heads)] * 3 + [(D, D), (D,)] => [(D, D)]"),
    ("counts", "each head is counted with the whole width: heads cut the same D into pieces"): (
        7, "A: layers * 4 * linear => layers * heads * 4 * linear",
        "B: [(D, heads, D // heads)] * 3 + [(heads, D // heads)] * 3 + [(D, D), (D,)] => "
        "[(D, D), (D,)] * 4 * heads"),
    ("counts", "the biases of the MLP are missing: M and D numbers"): (
        8, "A: (linear(D, M) + linear(M, D)) => 2 * D * M",
        "B: [(D, M), (M,), (M, D), (D,)] => [(D, M), (M, D)]"),
    ("counts", "M is taken for 4 D"): (
        9, "A: (linear(D, M) + linear(M, D)) => (linear(D, 4 * D) + linear(4 * D, D))",
        "B: [(D, M), (M,), (M, D), (D,)] => [(D, 4 * D), (4 * D,), (4 * D, D), (D,)]"),
    ("counts", "gamma or beta is missing: a LayerNorm has both, 2 D numbers"): (
        8, "A: layers * 4 * D + 2 * D => layers * 2 * D + D", "B: [(D,), (D,)], => [(D,)],\n"
        "[(2, D), (2, D)] => [(1, D), (1, D)]"),
    ("counts", "the LayerNorm behind the last layer is missing"): (
        8, "A: layers * 4 * D + 2 * D => layers * 4 * D", "B: [(D,), (D,)], => [],"),
    ("counts", "there is one LayerNorm a layer: there are two"): (
        8, "A: layers * 4 * D + 2 * D => layers * 2 * D + 2 * D",
        "B: [(2, D), (2, D)] => [(2, D)]"),
    ("counts", "the bias of the head is missing: one number a class"): (
        8, "A: linear(D, classes) => D * classes",
        "B: [(D, classes), (classes,)] => [(D, classes)]"),
    ("counts", "the parts of the layers are those of one layer"): (
        5, "A: layers * 4 * linear => 4 * linear\nlayers * (linear => (linear\n"
        "layers * 4 * D + 2 * D => 4 * D + 2 * D", "B: range(layers) => range(1)"),
}  # fmt: skip
