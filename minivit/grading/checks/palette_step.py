"""Exercise 10: one round of k-means, from pixels and a palette to a better palette.

each pixel goes to its nearest centre; each centre to the mean of its pixels
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


def distances(image, centres):
    """(H W, k): squared distances."""
    pixels = image.reshape(-1, image.shape[-1])
    return ((pixels[:, None] - centres) ** 2).sum(axis=2)


def step(case, nearest=None, centre=None, lost=None, fewest=1):
    """The new centres, by another rule where it is given."""
    image, centres = case.inputs.values()
    pixels = image.reshape(-1, image.shape[-1])
    mine = (nearest or (lambda i, c: distances(i, c).argmin(axis=1)))(image, centres)
    new = centres.copy()
    for j in range(len(centres)):
        chosen = pixels[mine == j]
        if len(chosen) >= fewest:
            new[j] = (centre or (lambda p: p.mean(axis=0)))(chosen)
        elif lost:
            new[j] = lost(pixels)
    return new


def truth(case):
    return {"centres": step(case).astype(case.inputs["image"].dtype)}


SHAPES = ((2, 3), (3, 2), (1, 4), (2, 4))


@st.composite
def cases(draw, k=(2, 3), dtypes=(np.float64,), kind="plain", apart=12, channel=None,
          shapes=SHAPES):  # fmt: skip
    """An image (H, W, C) and k centres, each with a pixel of its own. No pixel is as near
    to two of them, but with kind "tie" one is, and with "twice" two centres are the same; with
    "empty" the last centre has no pixel, and with "lone" the only pixel is not the centre."""
    (H, W), C = (
        draw(st.sampled_from(shapes)),
        draw(st.sampled_from((1, 3, 4))) if channel is None else channel + 1,
    )
    n, dtype = draw(st.sampled_from(k)), draw(st.sampled_from(dtypes))
    image = numbers(draw, (H * W, C), dtype)
    centres = numbers(draw, (n, C), dtype)
    far = draw(st.integers(0, C - 1)) if channel is None else channel
    centres[:, far] += apart * np.arange(n)[draw(st.permutations(range(n)))]
    if len(np.unique(centres, axis=0)) < n:
        centres[:, 0] += 12 * np.arange(n)
    own = draw(st.permutations(range(H * W)))
    image[own[:n]] = centres
    if kind == "lone":
        image[own[0]] += 1
    if kind == "tie":
        image[own[n]] = (centres[0] + centres[1]) / 2
    if kind == "twice":
        centres[-1] = centres[0]
        image[own[n - 1]] = centres[0] + (np.arange(C) == 0)
    if kind == "empty":
        image[own[n - 1]] = centres[0]
        centres[-1] += 1000
    d = np.sort(((image[:, None] - centres) ** 2).sum(axis=2), axis=1)
    if kind in ("plain", "empty"):
        image[(d[:, :1] == d[:, 1:2]).any(axis=1)] = centres[0]
    return Case({"image": image.reshape(H, W, C), "centres": centres})


def _by(measure):
    return lambda i, c: measure(i.reshape(-1, i.shape[2])[:, None] - c).argmin(axis=1)


def _last(image, centres):
    d = distances(image, centres)
    return d.shape[1] - 1 - d[:, ::-1].argmin(axis=1)


def _one_by_one(case):
    """Centres moved while pixels are still being assigned."""
    image, centres = case.inputs.values()
    new, pixels = centres.copy(), image.reshape(-1, image.shape[2])
    for j in range(len(new)):
        chosen = pixels[distances(image, new).argmin(axis=1) == j]
        new[j] = chosen.mean(axis=0) if len(chosen) else new[j]
    return new


MISTAKES = {
    "distances are not squared before they are summed: signs cancel":
        lambda c: step(c, _by(lambda d: np.abs(d.sum(axis=2)))),
    "only the first channel is compared": lambda c: step(c, _by(lambda d: d[..., 0] ** 2)),
    "each pixel goes to the farthest centre": lambda c: step(
        c, lambda i, m: distances(i, m).argmax(axis=1)
    ),
    "the centre is the median of its pixels, not their mean":
        lambda c: step(c, centre=lambda p: np.median(p, axis=0)),
    "the centre is the sum of its pixels, not their mean":
        lambda c: step(c, centre=lambda p: p.sum(axis=0)),
    "the mean is divided by all pixels, not by those of the centre":
        lambda c: step(c, centre=lambda p: p.sum(axis=0) / c.inputs["image"][..., 0].size),
    "the mean runs over the channels too": lambda c: step(c, centre=lambda p: p.mean()),
    "the centre becomes the first of its pixels": lambda c: step(c, centre=lambda p: p[0]),
    "a centre moves before all pixels have been assigned": _one_by_one,
    "of two centres at the same distance the last is taken": lambda c: step(c, _last),
    "a centre with one pixel stays where it is: it goes there": lambda c: step(c, fewest=2),
    "a centre without pixels goes to 0; it stays where it is":
        lambda c: step(c, lost=lambda p: 0.0),
}  # fmt: skip

FOURTH = cases(channel=3)  # centres that differ most in the last of four channels

EXERCISE = Exercise(
    number=10,
    function="palette_step",
    title="A palette by k-means",
    lecture="Image GPT",
    section="Completing and drawing images",
    outputs=("centres",),
    properties=(
        Property("each centre goes to the mean of its pixels", 5,
                 (cases(), cases(apart=3), FOURTH, cases(shapes=((2, 2), (3, 3)))),
                 equals("centres", truth), "centres"),
        Property("two centres at the same distance: the first", 1,
                 (cases(k=(2,), kind="tie"), cases(k=(3,), kind="twice")),
                 equals("centres", truth), "centres"),
        Property("a centre without pixels stays where it is", 1, cases(k=(2,), kind="empty"),
                 equals("centres", truth), "centres"),
        Property("one centre: the mean of the image", 1,
                 (cases(k=(1,)), cases(k=(1,), kind="lone", shapes=((1, 1),))),
                 equals("centres", truth), "centres"),
        keeps_dtype(truth, "image", 1, tuple(cases(dtypes=(kind,)) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(), cases(kind="empty"))),
    ),
    mistakes=tuple(Mistake("centres", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
