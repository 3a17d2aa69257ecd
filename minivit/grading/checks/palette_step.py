"""Exercise 4: one round of k-means, from pixels and a palette to a better palette.

each pixel goes to its nearest centre; each centre to the mean of its pixels
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals, keeps_dtype, numbers


def distances(image, centres):
    """(H W, k): squared distances."""
    pixels = image.reshape(-1, image.shape[-1])
    return ((pixels[:, None] - centres) ** 2).sum(axis=2)


def step(case, nearest=None, centre=None, lost=None):
    """The new centres, by another rule where it is given."""
    image, centres = case.inputs.values()
    pixels = image.reshape(-1, image.shape[-1])
    mine = (nearest or (lambda i, c: distances(i, c).argmin(axis=1)))(image, centres)
    new = centres.copy()
    for j in range(len(centres)):
        chosen = pixels[mine == j]
        if len(chosen):
            new[j] = (centre or (lambda p: p.mean(axis=0)))(chosen)
        elif lost:
            new[j] = lost(pixels)
    return new


def truth(case):
    return {"centres": step(case).astype(case.inputs["image"].dtype)}


@st.composite
def cases(draw, dtypes=(np.float64,), empty=False, k=(2, 3)):
    """An image (H, W, 3), H ≠ W, and k centres, none of them twice; all have a pixel, or one has
    none."""
    (H, W), n = draw(st.sampled_from([(2, 3), (3, 2), (1, 4), (2, 4)])), draw(st.sampled_from(k))
    image = numbers(draw, (H, W, 3), draw(st.sampled_from(dtypes)))
    image[..., 0] += np.arange(H * W).reshape(H, W) * 2
    at = draw(st.permutations(range(H * W)))[:n]
    centres = image.reshape(-1, 3)[list(at)] + np.array([0.25, 0, -0.25], image.dtype)
    if empty:
        centres[-1] = 1000
    return Case({"image": image, "centres": centres})


def _by(measure):
    return lambda i, c: measure(i.reshape(-1, 3)[:, None] - c).argmin(axis=1)


def _one_by_one(case):
    """Centres moved while pixels are still being assigned."""
    image, centres = case.inputs.values()
    new, pixels = centres.copy(), image.reshape(-1, 3)
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
}  # fmt: skip

EXERCISE = Exercise(
    number=4,
    function="palette_step",
    title="A palette by k-means",
    lecture="Image GPT",
    section="Inputs: an image is a sequence of colours",
    outputs=("centres",),
    properties=(
        Property("each centre goes to the mean of its pixels", 6, cases(),
                 equals("centres", truth), "centres"),
        Property("a centre without pixels stays where it is", 2, cases(empty=True),
                 equals("centres", truth)),
        Property("one centre: the mean of the image", 1, cases(k=(1,)), equals("centres", truth)),
        Property("float32 stays float32, float64 stays float64", 1,
                 cases(dtypes=(np.float32, np.float64)), keeps_dtype(truth, "image")),
    ),
    mistakes=tuple(Mistake("centres", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
