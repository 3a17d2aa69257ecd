"""Exercise 14: how many numbers each part of a ViT learns, from the shapes alone.

projection  P²C·D + D,   tokens  D + (N + 1) D,   attention  L·4(D² + D),   MLPs  L(2DM + M + D),
LayerNorms  (2L + 1)·2D,   head  D·K + K
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property, compare
from minivit.grading.properties import equals, leaves_nothing_behind

NAMES = ("height", "width", "patch", "channels", "D", "M", "layers", "heads", "classes")


def counted(case, tokens=None, projection=None, attention=None, mlp=None, norms=None, head=None):
    """(6,) integers, some by another rule; 64 bits, for one part can have over 2^31 numbers."""
    values = [int(v) for v in case.inputs.values()]
    height, width, P, C, D, M, L, H, K = values
    N = (height // P) * (width // P)
    return np.array([
        projection(P, C, D) if projection else P * P * C * D + D,
        tokens(N, D) if tokens else D + (N + 1) * D,
        attention(L, D, H) if attention else 4 * L * (D * D + D),
        mlp(L, D, M) if mlp else L * (2 * D * M + M + D),
        norms(L, D) if norms else (2 * L + 1) * 2 * D,
        head(D, K) if head else (D * K + K if K else 0),
    ], np.int64)  # fmt: skip


def truth(case):
    return {"counts": counted(case)}


def part(i):
    """The check of one of the six numbers: a fault in one part costs the points of that part."""

    def check(case, call):
        expected, got = truth(case)["counts"], call(case)["counts"]
        if not isinstance(got, np.ndarray) or got.shape != expected.shape:
            return compare("counts", expected, got)
        return compare(f"counts[{i}]", expected[i : i + 1], got[i : i + 1])

    return check


@st.composite
def cases(draw, square=True, four=True, headless=False):
    """The settings of a ViT. `four`: M = 4 D; `headless`: no classes."""
    patch = draw(st.sampled_from((2, 4, 7)))
    rows = draw(st.integers(1, 5))
    columns = rows if square else rows + draw(st.integers(1, 3))
    H = draw(st.sampled_from((2, 3, 1)))
    D = H * draw(st.sampled_from((4, 8, 5)))
    M = 4 * D if four else D + draw(st.integers(0, 9))
    K = 0 if headless else draw(st.sampled_from((10, 17)))
    values = (rows * patch, columns * patch, patch, draw(st.sampled_from((1, 3))), D, M,
              draw(st.sampled_from((3, 5, 6))), H, K)  # fmt: skip
    return Case(dict(zip(NAMES, values)))


OBLONG = cases(), cases(square=False)
PUBLISHED = st.sampled_from([
    Case(dict(zip(NAMES, values))) for values in (
        (224, 224, 16, 3, 768, 3072, 12, 12, 1000),
        (224, 224, 32, 3, 1024, 4096, 24, 16, 1000),
        (224, 224, 14, 3, 1280, 5120, 32, 16, 1000),
    )
])  # fmt: skip


def _square(case):
    """Every side is the height."""
    return counted(Case({**case.inputs, "width": case.inputs["height"]}))


MISTAKES = {
    "the bias of the projection is missing: D numbers":
        lambda c: counted(c, projection=lambda P, C, D: P * P * C * D),
    "the channels are missing: a patch has P² numbers of each": lambda c: counted(
        c, projection=lambda P, C, D: P * P * D + D
    ),
    "D numbers are missing: the class token is learnt, and it has a position too":
        lambda c: counted(c, tokens=lambda N, D: D + N * D),
    "class token and its position are missing": lambda c: counted(
        c, tokens=lambda N, D: N * D
    ),
    "the image is taken for a square one": _square,
    "the matrix behind the heads is missing: each layer has four of D²":
        lambda c: counted(c, attention=lambda L, D, H: 3 * L * (D * D + D)),
    "the biases of attention are missing: D for each of four matrices":
        lambda c: counted(c, attention=lambda L, D, H: 4 * L * D * D),
    "each head is counted with the whole width: heads cut the same D into pieces":
        lambda c: counted(c, attention=lambda L, D, H: 4 * L * H * (D * D + D)),
    "the biases of the MLP are missing: M and D numbers":
        lambda c: counted(c, mlp=lambda L, D, M: 2 * L * D * M),
    "M is taken for 4 D": lambda c: counted(c, mlp=lambda L, D, M: L * (8 * D * D + 5 * D)),
    "gamma or beta is missing: a LayerNorm has both, 2 D numbers":
        lambda c: counted(c, norms=lambda L, D: (2 * L + 1) * D),
    "the LayerNorm behind the last layer is missing":
        lambda c: counted(c, norms=lambda L, D: 4 * L * D),
    "there is one LayerNorm a layer: there are two":
        lambda c: counted(c, norms=lambda L, D: (L + 1) * 2 * D),
    "the bias of the head is missing: one number a class":
        lambda c: counted(c, head=lambda D, K: D * K),
    "the parts of the layers are those of one layer":
        lambda c: counted(c, attention=lambda L, D, H: 4 * (D * D + D),
                          mlp=lambda L, D, M: 2 * D * M + M + D, norms=lambda L, D: 6 * D),
}  # fmt: skip

EXERCISE = Exercise(
    number=14,
    function="parameter_counts",
    title="Where the parameters are",
    lecture="Vision Transformer",
    section="How many numbers are learnt?",
    outputs=("counts",),
    properties=(
        Property("[0], the projection of patches", 1, OBLONG, part(0), "counts"),
        Property("[1], class token and positions", 2, OBLONG, part(1), "counts"),
        Property("[2], attention in all layers", 2, cases(), part(2), "counts"),
        Property("[3], the MLPs in all layers", 1, (cases(), cases(four=False)), part(3),
                 "counts"),
        Property("[4], all LayerNorms", 1, cases(), part(4), "counts"),
        Property("[5], the head, also of no classes", 1, (cases(), cases(headless=True)), part(5),
                 "counts"),
        Property("B/16, L/32 and H/14 as published", 1, PUBLISHED, equals("counts", truth),
                 "counts"),
        leaves_nothing_behind(truth, 1, (cases(), cases(headless=True))),
    ),
    mistakes=tuple(Mistake("counts", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
