"""Exercise 20: the positions of a ViT for images of another size, by bilinear interpolation.

new row i reads old row i (h - 1) / (h' - 1), columns likewise; the class token's position stays
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


def corners(n, m):
    """The positions of m new places among n old ones, first on first and last on last."""
    return np.linspace(0, n - 1, m)


def halves(n, m):
    """The other convention: the middles of pixels, clipped at the border."""
    return np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1)


def weights(at, n):
    """Row i: the weights of the n old values at the place at[i] between them."""
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))


def resized(case, places=corners, rule=weights, grid=None, token=True, read="hw", write="ij"):
    position, old, new = case.inputs.values()
    (h, w), (h2, w2) = old, new
    front, grid = position[:1], position[1:].reshape(*((w, h) if read == "wh" else (h, w)), -1)
    if read == "wh":
        grid = grid.swapaxes(0, 1)
    rows, columns = rule(places(h, h2), h), rule(places(w, w2), w)
    out = np.einsum("ih,hwd,jw->ijd", rows, grid, columns)
    out = (out if write == "ij" else out.swapaxes(0, 1)).reshape(h2 * w2, -1)
    return np.concatenate([front, out]) if token else out


def truth(case):
    return {"positions": resized(case).astype(case.inputs["position"].dtype)}


GRIDS = {
    "larger": ([(2, 3), (3, 2), (2, 2)], [(3, 5), (5, 3), (4, 4), (4, 7)]),
    "smaller": ([(4, 5), (5, 4), (3, 7)], [(2, 3), (3, 2), (2, 2)]),
    "other": ([(2, 4), (2, 5)], [(3, 2), (4, 2), (5, 2), (5, 3)]),  # one side grows, one shrinks
}


@st.composite
def cases(draw, kind="larger", dtypes=(np.float64,)):
    """Positions (1 + h w, D) of a grid (h, w), and the new one: of a kind of GRIDS, or the same."""
    olds, news = GRIDS.get(kind) or (GRIDS["larger"][0], None)
    old = draw(st.sampled_from(olds))
    new = draw(st.sampled_from(news)) if news else old
    D = draw(st.integers(1, 3))
    position = numbers(draw, (1 + old[0] * old[1], D), draw(st.sampled_from(dtypes)))
    position[1:, 0] += np.arange(old[0] * old[1]) ** 2 % 7  # not all alike
    return Case({"position": position, "old": list(old), "new": list(new)})


def _with_token(case):
    """The class token's position treated as a place of the grid (the last place is lost)."""
    position, old, new = case.inputs.values()
    shifted = np.concatenate([position[:1], position[:-1]])
    return resized(Case({"position": shifted, "old": old, "new": new}))


def _one_axis(case):
    """A line of h w places, stretched: what np.interp does with the flattened table."""
    position, _, new = case.inputs.values()
    at = corners(len(position) - 1, new[0] * new[1])
    return np.concatenate([position[:1], weights(at, len(position) - 1) @ position[1:]])


def _nearest(at, n):
    return (np.floor(at + 0.5)[:, None] == np.arange(n)).astype(float)


MISTAKES = {
    "the middles of pixels are laid on each other, not the corners":
        lambda c: resized(c, halves),
    "the nearest old position is taken: interpolate between them":
        lambda c: resized(c, rule=_nearest),
    "new place i reads old place i h/h', so that the last one never reads the last":
        lambda c: resized(c, lambda n, m: np.minimum(np.arange(m) * n / m, n - 1)),
    "the table is read column by column: places are in raster order":
        lambda c: resized(c, read="wh"),
    "the new places are written column by column: they are in raster order":
        lambda c: resized(c, write="ji"),
    "the class token's position is taken for the first place of the grid": _with_token,
    "the class token's position is missing": lambda c: resized(c, token=False),
    "the places are stretched as one line: rows and columns are two axes": _one_axis,
}  # fmt: skip

EXERCISE = Exercise(
    number=20,
    function="resize_positions",
    title="Positions for another resolution",
    lecture="Scaling Vision Transformers",
    section="Other parts",
    outputs=("positions",),
    properties=(
        Property("the positions of another grid, larger or smaller", 6,
                 tuple(cases(kind=kind) for kind in GRIDS), equals("positions", truth),
                 "positions"),
        Property("the same grid gives the same positions, as a copy", 2, cases(kind="same"),
                 equals("positions", truth)),
        keeps_dtype(truth, "position", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(), cases(kind="same"))),
    ),
    mistakes=tuple(Mistake("positions", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
