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
import hashlib
import io
import json
import zlib
from typing import NamedTuple

import numpy as np

from minivit import files, nn
from minivit.engine.errors import DataError, DtypeError, OptionError, ShapeError
from minivit.engine.record import function
from minivit.training.data import Batches, read_shipped, shifted, to_unit

PARTS = ("train", "validation", "test")
COMMAND = "minivit data icons"
# Words behind a name that say how a thing is drawn, not which
STYLE = frozenset(
    "outline outlined filled fill solid bold duotone line linear lineal rounded round sharp thin "
    "light regular twotone broken flat color colour colored mini micro remix alt o f s l tone two "
    "mono monochrome 1 2 3 4 5 6 7 8 9 10 12 14 15 16 18 20 24 28 32 36 40 48".split()
)


def concept(name, prefixes=()):
    """The subject of an icon, by its name: "arrow-up-bold-24" -> "arrow-up". prefixes: what its set
    puts in front to name a style, as `ic` does ("baseline-home")."""
    words = name.split("-")
    while len(words) > 1 and words[0] in prefixes:
        del words[0]
    while len(words) > 1 and words[-1] in STYLE:
        del words[-1]
    return "-".join(words)


def caption(name):
    """A name as words: "arrow-up" -> "arrow up"."""
    return name.replace("-", " ")


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
        if name not in PARTS:
            raise OptionError(f"part: got {name!r}, expected one of {PARTS}")
        return slice(*self.starts[PARTS.index(name) :][:2])


@functools.cache
def split():
    """The frozen list of IconNet, a dict: "classes"; "families" {family: part}; "sets" {set: its
    family, licence and author}; "members" {set: the places of its icons, and their classes};
    "shipped": how many of the commonest classes ship, "rows": which members."""
    return read_shipped("iconnet.json.gz", lambda content: json.loads(gzip.decompress(content)))


def members(table):
    """(set, place in the set, label, part, family) of each picture in the list: arrays, sorted by
    part, then set and place. Sets and families are numbers, in the order of the table."""
    family = {name: i for i, name in enumerate(table["families"])}
    rows = []
    for i, (name, about) in enumerate(table["sets"].items()):
        places = np.cumsum(table["members"][name]["gaps"])
        part = PARTS.index(table["families"][about["family"]])
        n = len(places)
        ones = np.ones(n, np.int64)
        rows.append([i * ones, places, table["members"][name]["labels"], part * ones,
                     family[about["family"]] * ones])  # fmt: skip
    rows = np.concatenate([np.array(r, np.int64).reshape(5, -1) for r in rows], axis=1)
    return rows[:, np.argsort(rows[3], kind="stable")]


def iconnet(which="shipped"):
    """IconNet: "shipped" (the commonest classes, no network) or "all"."""
    if which not in ("shipped", "all"):
        raise OptionError(f"iconnet: got {which!r}, expected 'shipped' or 'all'")
    table = split()
    sets, places, labels, parts, families = members(table)
    classes = table["classes"]
    if which == "shipped":
        kept = np.cumsum(table["rows"])
        labels, parts, families = labels[kept], parts[kept], families[kept]
        classes = classes[: table["shipped"]]
        images = read_shipped("icons.npz", lambda content: _arrays(content)["images"])
        if images.shape != (len(kept), 32, 32):
            raise DataError(
                f"icons.npz holds {images.shape}, expected {(len(kept), 32, 32)}: restore it "
                "(git checkout), or make it anew with data/make_iconnet.py"
            )
    else:
        images, cache = np.empty((len(labels), 32, 32), np.uint8), about()
        for i, (name, listed) in enumerate(table["sets"].items()):
            here = sets == i
            if here.any():
                names, of_set, _ = read_set(name, table=cache)
                if zlib.crc32("\n".join(names).encode()) != listed["crc32"]:
                    raise DataError(
                        f"{_folder() / name}.npz holds other icons than the list of IconNet: "
                        f"another version made it. Delete that folder, then: {COMMAND}"
                    )
                images[here] = of_set[places[here]]
    starts = (0, *np.cumsum(np.bincount(parts, minlength=3)).tolist())
    return IconNet(images, labels, families, starts, tuple(classes), tuple(table["families"]))


# -- everything ------------------------------------------------------------------------------------
class Icons(NamedTuple):
    """All icons that may be changed and handed on, but for blank ones."""

    images: np.ndarray  # (n, 32, 32) uint8; with colour=True (n, 32, 32, 3)
    names: tuple  # as the set calls it: "arrow-up-bold-24"
    sets: np.ndarray  # (n,) int64: which of `about`
    places: np.ndarray  # (n,) int64: which icon of its set, as `categories` and IconNet count
    about: dict  # set: title, author, licence (SPDX), url, family, categories {title: places}


def icons(colour=False, sets=None):
    """All icons, or those of some sets, read from the cache; 1 byte a pixel of memory (colour: 3;
    only the sets that have colours)."""
    table, families = about(), split()["family of"]
    chosen = list(table) if sets is None else list(sets)
    chosen = [name for name in chosen if table_of(table, name)["colour"] or not colour]
    counts = [table[name]["icons"] - len(table[name]["blank"]) for name in chosen]
    images = np.empty((sum(counts), 32, 32, 3)[: 4 if colour else 3], np.uint8)
    names, places, end = [], [], 0
    for name, count in zip(chosen, counts):
        some, grey, coloured = read_set(name, colour, table)
        kept = np.setdiff1d(np.arange(len(some)), table[name]["blank"])
        np.take(
            coloured if colour else grey, kept, axis=0, out=images[end : end + count], mode="clip"
        )
        names += [some[place] for place in kept]
        places.append(kept)
        end += count
    return Icons(
        images, tuple(names), np.repeat(np.arange(len(chosen)), counts),
        np.concatenate(places or [np.zeros(0, np.int64)]),
        {name: table[name] | {"family": families.get(name, name)} for name in chosen},
    )  # fmt: skip


def table_of(table, name):
    if name not in table:
        raise OptionError(f"sets: got {name!r}, expected some of {list(table)}")
    return table[name]


def _folder():
    return files.cache_folder() / "icons"


def about():
    """The cache's entry of each set: {set: title, icons, licence, author, categories ...}."""
    path = _folder() / "sets.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["sets"]
    except OSError as reason:
        begun = len(list(_folder().glob("*.npz")))
        what = f"are not complete: {begun} sets, and no" if begun else "are not here: there is no"
        raise DataError(
            f"the icons {what} {path}. `{COMMAND}` makes them, or goes on (it needs npm, resvg_py "
            f"and, once, a network). Offline: copy the folder {_folder()} from a machine that has "
            'it, or use what ships: iconnet("shipped")'
        ) from reason
    except (ValueError, KeyError, TypeError) as reason:
        raise DataError(f"{path} is damaged ({reason}). Delete it, then: {COMMAND}") from reason


def read_set(name, colour=False, table=None):
    """(names, grey pictures, those in colour or None) of a set; what is wrong with its file, and
    the command that mends it."""
    path, table = _folder() / f"{name}.npz", about() if table is None else table
    try:
        if (expected := table.get(name)) is None:
            raise ValueError("sets.json does not have this set: another version made it")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise ValueError(f"its SHA-256 is not that in sets.json; it has {len(content)} bytes")
        arrays = _arrays(content)
        names = arrays["names"].tobytes().decode().split("\n")
        return names, arrays["images"], arrays["colour"] if colour else None
    except Exception as reason:  # missing, cut, or no archive
        raise DataError(f"{path} cannot be used ({reason}). Mend it: {COMMAND}") from reason


def _arrays(content):
    return np.load(io.BytesIO(content), allow_pickle=False)


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
