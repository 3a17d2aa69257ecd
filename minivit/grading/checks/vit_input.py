"""Exercise 13: from an image to the first tokens of a ViT, in five steps.

patches in raster order, P·P·C numbers each -> linear -> [class] in front -> + positions
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import (
    FLOATS,
    equals,
    keeps_dtype,
    leaves_nothing_behind,
    numbers,
)


def tokens(case, patches=None, join=None):
    """The tokens, with another way to cut patches or to put things together."""
    images, weight, bias, cls, position, P = case.inputs.values()
    rows = (patches or cut)(images, P) @ weight.T + bias  # (B, N, D)
    if join:
        return join(rows, cls, position)
    front = np.broadcast_to(cls, (len(images), 1, len(cls)))
    return np.concatenate([front, rows], axis=1) + position


def cut(images, P, order=(0, 1, 3, 2, 4, 5)):
    """(B, H, W, C) -> (B, N, P P C)."""
    B, H, W, C = images.shape
    x = images.reshape(B, H // P, P, W // P, P, C).transpose(order)
    return x.reshape(B, -1, P * P * C)


def truth(case):
    return {"tokens": tokens(case)}


@st.composite
def cases(draw, grids=((1, 2), (2, 1), (2, 3), (3, 2)), dtypes=(np.float64,), batch=(1, 2),
          square=False):  # fmt: skip
    """B images of h·P x w·P pixels with C channels; D differs from the other lengths, or `square`:
    D is the numbers of a patch or the tokens, B is D."""
    P, B = draw(st.sampled_from((1, 2, 3))), draw(st.sampled_from(batch))
    (h, w), C = draw(st.sampled_from(grids[: 2 if P == 3 else None])), draw(st.sampled_from((1, 3)))
    others = (P * P * C, h * w + 1)
    if square:
        B = D = draw(st.sampled_from([n for n in others if n < 6] or [P]))
    else:
        D = draw(st.sampled_from([n for n in (2, 4, 5) if n not in (B, h * w, *others)]))
    dtype = draw(st.sampled_from(dtypes))
    shapes = ((B, h * P, w * P, C), (D, P * P * C), (D,), (D,), (h * w + 1, D))
    arrays = [numbers(draw, shape, dtype) for shape in shapes]
    return Case(dict(zip(("images", "weight", "bias", "cls", "position"), arrays)) | {"patch": P})


def _end(rows, cls, position):
    front = np.broadcast_to(cls, (len(rows), 1, len(cls)))
    return np.concatenate([rows, front], axis=1) + position


def _positions_of_patches_only(rows, cls, position):
    front = np.broadcast_to(cls, (len(rows), 1, len(cls)))
    return np.concatenate([front, rows + position[1:]], axis=1)


def _class_projected(case):
    found = tokens(case)
    found[:, 0] += case.inputs["bias"]
    return found


def _no_class(rows, cls, position):
    return rows + position[1:]


MISTAKES = {
    "the patches are in column order: the first row of patches comes first":
        lambda c: tokens(c, lambda x, P: cut(x, P, (0, 3, 1, 2, 4, 5))),
    "inside of a patch the pixels are in column order":
        lambda c: tokens(c, lambda x, P: cut(x, P, (0, 1, 3, 4, 2, 5))),
    "inside of a patch the channels come first: each pixel keeps its channels together":
        lambda c: tokens(c, lambda x, P: cut(x, P, (0, 1, 3, 5, 2, 4))),
    "the image is reshaped at once, which cuts rows of pixels, not patches":
        lambda c: tokens(c, lambda x, P: x.reshape(len(x), -1, P * P * x.shape[3])),
    "the class token stands at the end; it belongs in front": lambda c: tokens(c, join=_end),
    "the class token is missing": lambda c: tokens(c, join=_no_class),
    "the class token has no position: there are N + 1 of them":
        lambda c: tokens(c, join=_positions_of_patches_only),
    "the positions are missing":
        lambda c: tokens(Case({**c.inputs, "position": 0 * c.inputs["position"]})),
    "the bias is missing": lambda c: tokens(Case({**c.inputs, "bias": 0 * c.inputs["bias"]})),
    "the bias is added to the class token too: only the patches pass the linear layer":
        _class_projected,
}  # fmt: skip

EXERCISE = Exercise(
    number=13,
    function="vit_input",
    title="Patches, positions, class token",
    lecture="Vision Transformer",
    section="Five steps from an image to a sequence",
    outputs=("tokens",),
    properties=(
        Property("one patch a row: one image", 3, cases(grids=((2, 1), (3, 1)), batch=(1,)),
                 equals("tokens", truth), "tokens"),
        Property("several images, patches in raster order", 5,
                 (cases(), cases(grids=((1, 1), (2, 2)), square=True)), equals("tokens", truth),
                 "tokens"),
        keeps_dtype(truth, "images", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, cases()),
    ),
    mistakes=tuple(Mistake("tokens", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
