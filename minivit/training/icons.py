"""Icons: 300,000 open drawings with names, and IconNet, the classification set in them.

    net = iconnet()                      # the part that ships: the 300 commonest classes
    net = iconnet("all")                 # all classes; needs `minivit data icons`, once
    images, labels = net.part("train")   # bytes (n, 32, 32): 255 is white
    batches = IconBatches(images, labels, batch_size=128)     # float32, moved a little
    everything = icons()                 # all icons, with their names; needs the download too

Pictures are kept in bytes, as large as they are; floats are made a batch at a time. Families of
sets (near-copies of each other) are in training, validation or test as a whole: a style that is
tested was never seen. How it is made, and what was left out: data/make_icons.py, make_iconnet.py.
"""

import functools
import gzip
import itertools
import json
import zlib
from typing import NamedTuple

import numpy as np

from minivit import nn
from minivit.engine.errors import DataError, DtypeError, OptionError, ShapeError
from minivit.engine.record import function
from minivit.text.words import checked_names, checked_text, one_or_many
from minivit.training import icon_cache
from minivit.training.data import Batches, read_shipped, shifted, to_unit

PARTS = ("train", "validation", "test")
LIST = ("classes", "families", "family of", "sets", "members", "shipped", "rows")
# Words behind a name that say how a thing is drawn, not which
STYLE = frozenset(
    "outline outlined filled fill solid bold duotone line linear lineal rounded round sharp thin "
    "light regular twotone broken flat color colour colored mini micro remix alt o f s l tone two "
    "mono monochrome 1 2 3 4 5 6 7 8 9 10 12 14 15 16 18 20 24 28 32 36 40 48".split()
)


def concept(name, prefixes=()):
    """The subject of an icon, by its name: "arrow-up-bold-24" -> "arrow-up". prefixes: what its set
    puts in front to name a style, as `ic` does ("baseline-home")."""
    words, prefixes = checked_text(name, "name").split("-"), one_or_many(prefixes, "prefixes")
    while len(words) > 1 and words[0] in prefixes:
        del words[0]
    while len(words) > 1 and words[-1] in STYLE:
        del words[-1]
    return "-".join(words)


def caption(name):
    """A name as words: "arrow-up" -> "arrow up"."""
    return checked_text(name, "name").replace("-", " ")


class IconNet(NamedTuple):
    """Pictures (n, 32, 32) of bytes, sorted by part, and what is known about each."""

    images: np.ndarray  # (n, 32, 32) uint8, 16 levels of grey
    labels: np.ndarray  # (n,) int64
    families: np.ndarray  # (n,) int64
    starts: tuple  # where each of PARTS begins, and the end
    classes: tuple  # concepts: "arrow-up"
    family_names: tuple

    def part(self, name):
        """(images, labels) of "train", "validation" or "test": views, no copies."""
        return self.images[self._rows(name)], self.labels[self._rows(name)]

    def families_of(self, name):
        """The family of each picture of a part, a number: `family_names` says which."""
        return self.families[self._rows(name)]

    def _rows(self, name):
        if not isinstance(name, str) or name not in PARTS:
            raise OptionError(f"part: got {name!r}, expected one of {PARTS}")
        return slice(*self.starts[PARTS.index(name) :][:2])


@functools.cache
def split():
    """The frozen list of IconNet, a dict: "classes"; "families" {family: part}; "sets" {set: its
    family, licence and author}; "members" {set: the places of its icons, and their classes};
    "shipped": how many of the commonest classes ship, "rows": which members."""

    def parse(file):
        table = json.loads(gzip.decompress(file.read()), object_hook=icon_cache.compact)
        if missing := set(LIST) - set(table):
            raise ValueError(f"it has no {missing}")
        return table

    return read_shipped("iconnet.json.gz", parse)


def members(table):
    """(set, place in the set, label, part, family) of each picture in the list: rows of int32,
    sorted by part, then set and place. Sets and families are numbers, in the order of the table."""
    sets, families = list(table["sets"].values()), list(table["families"])
    part = [PARTS.index(table["families"][about["family"]]) for about in sets]
    family = [families.index(about["family"]) for about in sets]
    listed = [table["members"][name] for name in table["sets"]]
    order = np.argsort(part, kind="stable")
    counts = [len(listed[i]["labels"]) for i in order]
    rows = np.empty((5, sum(counts)), np.int32)
    for row, of_set in ((0, range(len(sets))), (3, part), (4, family)):
        rows[row] = np.repeat(np.array(of_set, np.int32)[order], counts)
    np.concatenate([np.cumsum(listed[i]["gaps"]) for i in order], out=rows[1])
    np.concatenate([listed[i]["labels"] for i in order], out=rows[2])
    return rows


def iconnet(which="shipped"):
    """IconNet: "shipped" (the commonest classes, no network) or "all"."""
    if not isinstance(which, str) or which not in ("shipped", "all"):
        raise OptionError(f"iconnet: got {which!r}, expected 'shipped' or 'all'")
    table = split()
    classes, rows = table["classes"], members(table)
    if which == "shipped":
        rows = rows[:, np.cumsum(table["rows"])]
        classes = classes[: table["shipped"]]
        images = _shipped(rows.shape[1])
    else:
        images = _from_cache(table, rows)
    starts = (0, *np.cumsum(np.bincount(rows[3], minlength=3)).tolist())
    labels, families = rows[2].astype(np.int64), rows[4].astype(np.int64)
    return IconNet(images, labels, families, starts, tuple(classes), tuple(table["families"]))


def _shipped(n):
    def parse(file):
        images = np.load(file, allow_pickle=False)["images"]
        if images.shape != (n, 32, 32) or images.dtype != np.uint8:
            raise ValueError(f"got {images.shape} {images.dtype}, expected {(n, 32, 32)} uint8")
        return images

    return read_shipped("icons.npz", parse)


def _from_cache(table, rows):
    cache, names = icon_cache.about(), list(table["sets"])
    images = np.empty((rows.shape[1], 32, 32), np.uint8)
    edges = np.flatnonzero(np.diff(rows[0], prepend=-1, append=-1))  # a set's rows lie together
    for first, last in itertools.pairwise(edges):
        name = names[rows[0, first]]
        found = icon_cache.read_set(name, cache, rows[1, first:last], images[first:last])
        if not is_listed(name, found):
            raise DataError(
                f"{icon_cache.cache() / name}.npz holds other icons than the list of IconNet: "
                f"another version made it. {icon_cache.MEND}"
            )
    return images


def is_listed(name, names):
    """False if IconNet's list has the set with other icons than these names, which are lines."""
    listed = split()["sets"].get(name)
    return listed is None or zlib.crc32(names.encode()) == listed["crc32"]


# -- everything ------------------------------------------------------------------------------------
class Icons(NamedTuple):
    """All icons that may be changed and handed on, but for blank ones."""

    images: np.ndarray  # (n, 32, 32) uint8; with colour=True (n, 32, 32, 3)
    names: tuple  # as the set calls it: "arrow-up-bold-24"
    sets: np.ndarray  # (n,) int64: which of `about`
    places: np.ndarray  # (n,) int64: which icon of its set, as `categories` and IconNet count
    about: dict  # set: title, author, licence (SPDX), url, family, categories {title: places}


def icons(colour=False, sets=None):
    """All icons, or those of one set or several, read from the cache; 1 byte a pixel of memory
    (colour: 3; only the sets that have colours)."""
    table, families = icon_cache.about(), split()["family of"]
    chosen = list(table) if sets is None else checked_names("sets", sets, table)
    chosen = [name for name in chosen if table[name]["colour"] or not colour]
    kept = [np.delete(np.arange(table[n]["icons"]), table[n]["blank"]) for n in chosen]
    counts = [len(places) for places in kept]
    images = np.empty((sum(counts), 32, 32, 3)[: 4 if colour else 3], np.uint8)
    names, end = [], 0
    for name, places in zip(chosen, kept):
        out = images[end : end + len(places)]
        of_set = icon_cache.read_set(name, table, places, out, colour).split("\n")
        names += [of_set[place] for place in places]
        end += len(places)
    return Icons(
        images, tuple(names), np.repeat(np.arange(len(chosen)), counts),
        np.concatenate([*kept, np.zeros(0, np.int64)]),
        {name: table[name] | {"family": families.get(name, name)} for name in chosen},
    )  # fmt: skip


# -- batches ---------------------------------------------------------------------------------------
class IconBatches(Batches):
    """`Batches` of icons and labels: float32 (B, 32, 32, 1) in [-1, 1], each moved by up to `shift`
    pixels on white, as ever the same for a step; shift=0 moves none. images: bytes (n, 32, 32)."""

    @function
    def __init__(self, images, labels, batch_size, seed=0, shift=2, **options):
        nn.check_sizes(self, least=0, shift=shift)
        check_grey(type(self).__name__, images)
        super().__init__(images, labels, batch_size=batch_size, seed=seed, **options)
        self.shift = shift

    def __getitem__(self, step):
        images, labels = super().__getitem__(step)
        rng = np.random.default_rng([self.seed, step, 1])
        return as_input(shifted(images, self.shift, rng, fill=255)), labels


class OtherHands(IconBatches):
    """The same, as another hand might have drawn each: its lines thinner or thicker, 0.8 to 1.2
    times as high and as wide, and of ten one white on black."""

    def __getitem__(self, step):
        images, labels = Batches.__getitem__(self, step)
        rng = np.random.default_rng([self.seed, step, 2])
        images = stroked(images, rng.uniform(-0.6, 0.8, len(images)))
        images = scaled(images, *rng.uniform(0.8, 1.2, (2, len(images))))
        images = shifted(images, self.shift, rng, fill=255)
        inverted = rng.random(len(images)) < 0.1
        return as_input(np.where(inverted[:, None, None], 255 - images, images)), labels


def stroked(images, by):
    """Bytes (B, H, W), dark on white, with lines up to a pixel thicker on each side (by[i] = 1), or
    thinner (-1): mixed with the darkest, or the lightest, of each pixel and its four neighbours."""
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = [wide[:, 1:-1, 1:-1], wide[:, :-2, 1:-1], wide[:, 2:, 1:-1], wide[:, 1:-1, :-2],
              wide[:, 1:-1, 2:]]  # fmt: skip
    by = np.asarray(by, np.float32)[:, None, None]
    other = np.where(by > 0, np.min(around, axis=0), np.max(around, axis=0))
    return np.rint(images + np.abs(by) * (other - images.astype(np.float32))).astype(images.dtype)


def scaled(images, height, width):
    """Bytes (B, H, W), each height[i] times as high and width[i] times as wide about its middle, by
    the nearest pixel; white comes in."""
    B, H, W = images.shape
    places = []
    for size, factor in ((H, height), (W, width)):
        middle = (size - 1) / 2
        source = (np.arange(size) - middle) / np.asarray(factor)[:, None] + middle
        places.append(np.rint(source).astype(int))  # (B, size)
    y, x = places
    inside = ((y >= 0) & (y < H))[:, :, None] & ((x >= 0) & (x < W))[:, None, :]
    y, x = np.clip(y, 0, H - 1)[:, :, None], np.clip(x, 0, W - 1)[:, None, :]
    return np.where(inside, images[np.arange(B)[:, None, None], y, x], 255).astype(images.dtype)


def check_grey(owner, images):
    """Refuse what are no grey pictures in bytes."""
    dtype = getattr(images, "dtype", type(images).__name__)
    shape = np.shape(images) if dtype == np.uint8 else ""
    if len(shape) != 3:
        raise (ShapeError if shape else DtypeError)(
            f"{owner}: images: got {dtype} {shape}, expected grey pictures in bytes, uint8 (n, H, "
            "W). In colour, (n, H, W, 3): data.to_unit makes floats of them"
        )


def as_input(images, channels=1):
    """Bytes (B, 32, 32) -> float32 (B, 32, 32, channels) in [-1, 1]."""
    check_grey("as_input", images)
    return np.repeat(to_unit(images)[..., None], channels, axis=-1)
