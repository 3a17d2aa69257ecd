"""Exercise 11: an image as the sequence that Image GPT reads, and the one that it predicts.

id of a pixel = its nearest palette colour, in raster order;  reads: begin and all ids but the last
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Failure, Mistake, Property, compare
from minivit.grading.properties import leaves_nothing_behind, numbers


def nearest(image, palette):
    """(H, W): squared distances decide; of two at the same distance the first."""
    return ((image[:, :, None] - palette) ** 2).sum(axis=-1).argmin(axis=-1)


def sequence(case, ids=nearest, order=np.ravel, reads=None):
    """(2, H W): what is read and what is predicted, by another rule where it is given."""
    image, palette, begin = case.inputs.values()
    predicted = order(ids(image, palette))
    read = reads(predicted, begin) if reads else shifted(predicted, begin)
    return np.stack([read, predicted])


def shifted(ids, begin):
    return np.concatenate([[begin], ids[:-1]])


def truth(case):
    return {"ids": sequence(case)}


@st.composite
def cases(draw, shapes=((2, 3), (3, 2), (3, 4)), kind="plain", channel=None):
    """An image (H, W, C) and a palette of 3 to 5 colours. No pixel is as near to two of
    them, but with kind "tie" each lies in the middle of two, and with "twice" each colour is there
    twice. `begin` is any number."""
    (H, W), C = (
        draw(st.sampled_from(shapes)),
        draw(st.sampled_from((1, 3, 4))) if channel is None else channel + 1,
    )
    k = draw(st.integers(3, 5))
    palette = numbers(draw, (k, C))
    far = draw(st.integers(0, C - 1)) if channel is None else channel
    palette[:, far] += 9 * np.arange(k)[draw(st.permutations(range(k)))]
    places = st.lists(st.integers(0, k - 1), min_size=H * W, max_size=H * W)
    at, other = draw(places), draw(places)
    image = palette[at].reshape(H, W, C)
    if kind == "tie":
        image = (image + palette[other].reshape(H, W, C)) / 2
    elif kind == "twice":
        palette = palette[np.repeat(np.arange(k), 2)]
    else:
        exact, image = image, image + numbers(draw, (H, W, C), most=3)
        d = np.sort(((image[:, :, None] - palette) ** 2).sum(axis=-1), axis=-1)
        image = np.where(d[..., :1] == d[..., 1:2], exact, image)
    begin = draw(st.sampled_from((0, len(palette), 1, 511, -1)))
    return Case({"image": image, "palette": palette, "begin": begin})


def row(index):
    """One row of the result is what it should be."""
    names = ("ids[0] (what is read)", "ids[1] (what is predicted)")

    def check(case, call):
        got, right = call(case)["ids"], truth(case)["ids"]
        if not isinstance(got, np.ndarray) or got.shape != right.shape:
            return compare("ids", right, got)
        return compare(names[index], right[index], got[index])

    return check


def reads_what_it_predicted_before(case, call):
    """The first row follows from the second, whatever that holds."""
    got, right = call(case)["ids"], truth(case)["ids"]
    if not isinstance(got, np.ndarray) or got.shape != right.shape or got.dtype.kind not in "iu":
        return compare("ids", right, got)
    wanted = shifted(got[1], case.inputs["begin"])
    if np.array_equal(got[0], wanted):
        return None
    sentence = "ids[0] is not `begin`, followed by all of your ids[1] but the last"
    return Failure(sentence, "ids[0]", wanted, got[0])


def _by(measure, last=False):
    def ids(image, palette):
        d = measure(image[:, :, None] - palette)
        return d.shape[-1] - 1 - d[..., ::-1].argmin(axis=-1) if last else d.argmin(axis=-1)

    return ids


def _snake(ids):
    ids = ids.copy()
    ids[1::2] = ids[1::2, ::-1]
    return ids.ravel()


def squared(d):
    return (d**2).sum(axis=-1)


MISTAKES = {
    "the pixels are read column by column: raster order is row by row":
        lambda c: sequence(c, order=lambda ids: ids.T.ravel()),
    "every second row is read from right to left: raster order starts each row on the left":
        lambda c: sequence(c, order=_snake),
    "the rows are read from the bottom to the top": lambda c: sequence(
        c, order=lambda ids: ids[::-1].ravel()
    ),
    "distances are not squared before they are summed: signs cancel":
        lambda c: sequence(c, _by(lambda d: np.abs(d.sum(axis=-1)))),
    "only the first channel is compared": lambda c: sequence(c, _by(lambda d: d[..., 0] ** 2)),
    "each pixel gets the farthest colour": lambda c: sequence(c, _by(lambda d: -squared(d))),
    "of two colours at the same distance the last is taken": lambda c: sequence(
        c, _by(squared, last=True)
    ),
    "both rows are the same: the model would read what it has to predict":
        lambda c: sequence(c, reads=lambda ids, begin: ids),
    "it is shifted the other way: the model would read what comes after":
        lambda c: sequence(c, reads=lambda ids, begin: np.append(ids[1:], begin)),
    "the ids go round: the last one stands in front, where `begin` belongs":
        lambda c: sequence(c, reads=lambda ids, begin: np.roll(ids, 1)),
    "the row begins with the number of colours, not with `begin`": lambda c: sequence(
        c, reads=lambda ids, begin: shifted(ids, len(c.inputs["palette"]))
    ),
    "the two rows have changed places": lambda c: sequence(c)[::-1],
}  # fmt: skip

EXERCISE = Exercise(
    number=11,
    function="pixel_sequence",
    title="An image as a sequence",
    lecture="Image GPT",
    section="Inputs: an image is a sequence of colours",
    outputs=("ids",),
    properties=(
        Property("one row of pixels: the nearest colours", 3,
                 (cases(shapes=((1, 3), (1, 5))), cases(shapes=((1, 1),))),
                 row(1), "ids"),
        Property("several rows, in raster order", 2,
                 (cases(), cases(channel=3), cases(shapes=((2, 2), (3, 3)))), row(1), "ids"),
        Property("what is read is what was predicted, one place later", 3, cases(),
                 reads_what_it_predicted_before, "ids"),
        Property("two colours at the same distance: the first", 1,
                 (cases(kind="tie"), cases(kind="twice")), row(1), "ids"),
        leaves_nothing_behind(truth, 1, (cases(), cases(shapes=((1, 3), (1, 5))))),
    ),
    mistakes=tuple(Mistake("ids", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
