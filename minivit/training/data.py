"""The data sets: what is in them, how they are split, and batches that can be resumed.

    digits()          1,797 handwritten digits, 8x8, 17 grey levels
    mnist5k()         5,000 of MNIST's digits, 28x28
    emoji()           1,914 emoji in up to five drawing styles, 32x32, with names and keywords
    sentences()       20,000 English example sentences from WordNet
    translations()    emoji names in English, Spanish, German and French, taken apart into parts
    photo("chelsea")  a cat, 224x224; photo("coffee") a cup

These ship with minivit: no network needed. Larger ones: downloaded.py. Images are float32 in
[-1, 1], channels last: (N, H, W, C); labels are int64, on the host. Where each set comes from, and
under which licence: data/LICENSES.md.
"""

import gzip
import importlib
import json
import operator
from typing import NamedTuple

import numpy as np

from minivit import files, nn
from minivit.engine.errors import DataError, RangeError, ShapeError
from minivit.engine.record import function
from minivit.text.words import checked_names


class Split(NamedTuple):
    """Images (N, H, W, C) float32 in [-1, 1] and labels (N,) int64, to train and test on."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    name: str  # names the split, so that a number can say what it was measured on
    classes: tuple  # the name of label i


# -- images with labels ----------------------------------------------------------------------------
def digits(split_seed=0):
    """1,437 digits to train on, 360 to test on: `digits-v1`. Grey level k of 0..16 is k/8 - 1."""
    images, labels = _load_npz("digits.npz", (1797, 8, 8))
    return _split("digits", images / np.float32(8) - 1, labels, 360, split_seed)


def mnist5k(split_seed=0):
    """4,000 digits to train on and 1,000 to test on, 500 a class in all: `mnist5k-v1`."""
    images, labels = _load_npz("mnist5k.npz", (5000, 28, 28))
    return _split("mnist5k", to_unit(images), labels, 1000, split_seed)


def stratified(labels, test, seed=0):
    """Indices (train, test), each in random order: `test` examples, in proportion to the classes.

    A class's share is rounded down; what is missing goes to the largest remainders.
    """
    labels = np.asarray(labels)
    if not 0 < test < len(labels):
        raise ShapeError(f"test: got {test}, expected 1 to {len(labels) - 1} of the examples")
    kinds, counts = np.unique(labels, return_counts=True)
    share = counts * test / len(labels)
    quota = share.astype(int)
    quota[np.argsort(quota - share, kind="stable")[: test - quota.sum()]] += 1
    rng = np.random.default_rng(seed)
    draw, order = rng.permutation(len(labels)), rng.permutation(len(labels))
    is_test = np.zeros(len(labels), dtype=bool)
    for kind, n in zip(kinds, quota, strict=True):
        is_test[draw[labels[draw] == kind][:n]] = True
    return order[~is_test[order]], order[is_test[order]]


def _split(name, images, labels, test, seed):
    images, labels = images[..., None], labels.astype(np.int64)  # (N, H, W) -> (N, H, W, 1)
    a, b = stratified(labels, test, seed)
    name += "-v1" if seed == 0 else f"-v1-seed{seed}"
    return Split(images[a], labels[a], images[b], labels[b], name, tuple("0123456789"))


def to_unit(images):
    """Bytes 0..255 -> float32 in [-1, 1]."""
    return images / np.float32(127.5) - 1


# -- pictures with words ---------------------------------------------------------------------------
STYLES = ("noto", "twemoji", "fluent", "emojitwo", "noto-blob")


class Emoji(NamedTuple):
    """Concepts with names; `images[style]` is (n, 32, 32, 3), of the concepts `concepts[style]`."""

    images: dict  # style -> (n, 32, 32, 3) float32 in [-1, 1]
    concepts: dict  # style -> (n,) int64, ascending: which concept each image shows
    characters: tuple  # the emoji itself, one a concept
    labels: tuple  # its name, in lower-case English; no two are equal
    tags: tuple  # its keywords, a tuple of words each
    groups: np.ndarray  # (concepts,) int64
    group_names: tuple
    subgroups: np.ndarray  # (concepts,) int64
    subgroup_names: tuple
    held_out: np.ndarray  # (concepts,) bool: 15%, in proportion to the groups, for zero-shot tests
    lookalike: np.ndarray  # (concepts,) bool: hardly told apart from another concept at 32x32


def emoji(styles=STYLES):
    """Emoji drawn by up to five hands: image-text pairs, with a style to hold out: `emoji-v1`.

    `lookalike` marks clock faces, families and couples, men and women of what exists as a person,
    and flags that equal an earlier one: leave them out of hard retrieval, or say that they are in.
    """
    styles = checked_names("styles", styles, STYLES, DataError)
    concepts, *others = read_shipped("emoji.json.gz", lambda file: _told(_json(file), styles))
    images = {s: _load_atlas(f"emoji-{s}.png", len(concepts[s])) for s in styles}
    return Emoji(images, concepts, *others)


def _told(table, styles):
    """What Emoji has behind its images."""
    concepts = {s: np.array(table["styles"][s], dtype=np.int64) for s in styles}
    groups, subgroups = (np.array(table[k], np.int64) for k in ("groups", "subgroups"))
    held_out = np.zeros(len(groups), dtype=bool)
    held_out[stratified(groups, round(0.15 * len(groups)))[1]] = True
    lookalike = np.zeros(len(groups), dtype=bool)
    lookalike[table["lookalikes"]] = True
    tags = tuple(map(tuple, table["tags"]))
    return (concepts, tuple(table["characters"]), tuple(table["labels"]), tags, groups,
            tuple(table["group_names"]), subgroups, tuple(table["subgroup_names"]), held_out,
            lookalike)  # fmt: skip


def photo(name):
    """A colour photograph, (224, 224, 3) float32 in [-1, 1]: "chelsea" (a cat) or "coffee"."""
    if name not in ("chelsea", "coffee"):
        raise DataError(f"name: got {name!r}, expected 'chelsea' or 'coffee'")
    return _load_picture(f"photos/{name}.png", (224, 224))


# -- words -----------------------------------------------------------------------------------------
def sentences():
    """20,000 English sentences and phrases from WordNet, in a fixed random order, so that any slice
    is a fair sample: `wordnet-v1`."""
    name = "wordnet-sentences.txt.gz"
    return tuple(_expect(_load_text(name).splitlines(), 20_000, name))


class Phrase(NamedTuple):
    """One emoji's name in four languages, and the English name taken apart: modifiers and a head.

    "woman astronaut: light skin tone" has person "woman", tone "light" and head "astronaut"; "blue
    square" colour "blue" and head "square"; "flag: Spain" country "Spain" and head "flag";
    "ten-thirty" hour "ten" and head "thirty". A modifier that is not there is "".
    """

    emoji: str
    en: str
    es: str
    de: str
    fr: str
    group: str
    person: str
    colour: str
    tone: str
    country: str
    hour: str
    head: str


def translations():
    """Emoji names in English, Spanish, German and French, as a tuple of `Phrase`s: `cldr-v1`."""
    name = "translations.tsv.gz"
    lines = _expect(_load_text(name).splitlines(), 1 + 3944, name)
    head, *lines = (line.split("\t") for line in lines)
    if head != list(Phrase._fields):
        raise _damaged(name, f"its columns are {head}")
    if any(len(line) != len(head) for line in lines):
        raise _damaged(name, f"a line does not have {len(head)} columns")
    return tuple(map(Phrase._make, lines))


def hold_out(phrases, first="person", second="head", share=0.15, seed=0):
    """Hold out *combinations*: (train, test) lists of phrases, by two fields of them.

    Of the pairs that occur, up to `share` are held out, with every phrase that contains them, and
    only pairs of which each half remains in training with another partner: a test of recombining
    what is known, not of knowing new words. Phrases without both fields stay in training.
    """
    for field in (first, second):
        if field not in Phrase._fields:
            raise DataError(f"field: got {field!r}, expected one of {Phrase._fields}")
    pair = operator.attrgetter(first, second)
    pairs = sorted({pair(p) for p in phrases if all(pair(p))})
    partners = {}  # (0, "woman") -> its partners; (1, "astronaut") -> its partners
    for half in (h for p in pairs for h in enumerate(p)):
        partners[half] = partners.get(half, 0) + 1
    held_out = set()
    for i in np.random.default_rng(seed).permutation(len(pairs)):
        halves = list(enumerate(pairs[i]))
        if len(held_out) < round(share * len(pairs)) and all(partners[h] > 1 for h in halves):
            held_out.add(pairs[i])
            for h in halves:
                partners[h] -= 1
    train = [p for p in phrases if pair(p) not in held_out]
    return train, [p for p in phrases if pair(p) in held_out]


# -- batches ---------------------------------------------------------------------------------------
class Batches:
    """Batch number `step` of an endless, reshuffled walk over arrays of equal length.

        batches = Batches(images, labels, batch_size=64, seed=0)
        x, y = batches[step]  # a pure function of (seed, step): training resumes anywhere
        for x, y in batches:  # one epoch: the batches 0 ... len(batches) - 1

    Epoch e is shuffled by a generator seeded with (seed, e), and holds each example at most once;
    with `drop_last`, what is left over after the last full batch waits for another epoch.
    """

    @function
    def __init__(self, *arrays, batch_size, seed=0, shuffle=True, drop_last=True):
        nn.check_sizes(self, least=0, seed=seed)
        self.arrays = tuple(np.asarray(a) for a in arrays)
        lengths = [a.shape[0] if a.ndim else None for a in self.arrays]
        if not lengths or len(set(lengths)) > 1 or lengths[0] in (None, 0):
            raise ShapeError(
                f"arrays: got {[a.shape for a in self.arrays]}, expected one array or more, "
                "of one and the same length, not empty"
            )
        self.n = lengths[0]
        check_batch_size(batch_size, 1, self.n, "all examples")
        self.batch_size, self.seed, self.shuffle = batch_size, seed, shuffle
        self.drop_last = drop_last
        self._order = None, None  # the last epoch asked for, and its permutation

    def __len__(self):
        """Batches in an epoch."""
        full, rest = divmod(self.n, self.batch_size)
        return full + bool(rest and not self.drop_last)

    def indices(self, step):
        """The numbers of the examples in batch `step`: (B,) int64."""
        check_step(step)
        epoch, i = divmod(step, len(self))
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            order = rng.permutation(self.n) if self.shuffle else np.arange(self.n)
            self._order = epoch, order
        return self._order[1][i * self.batch_size : (i + 1) * self.batch_size]

    def __getitem__(self, step):
        rows = self.indices(step)
        return tuple(a[rows] for a in self.arrays)

    def __iter__(self):
        return self.epoch(0)

    def epoch(self, number):
        """The batches of epoch `number`, one after the other."""
        for i in range(len(self)):
            yield self[number * len(self) + i]


def check_batch_size(B, low, high, what):
    """Refuse what is no size of a batch; what: that there are `high` of."""
    if not nn.is_integer(B, low, high):
        raise ShapeError(f"batch_size: got {B!r}, expected an integer from {low} to {high}, {what}")


def check_step(step):
    """Refuse what numbers no batch."""
    if not nn.is_integer(step):
        raise RangeError(f"step: got {step!r}, expected an integer, 0 or more")


def shifted(images, by, rng, fill):
    """Images (B, H, W, ...), each moved by up to `by` pixels, at random; what comes in is fill."""
    B, H, W = images.shape[:3]
    wide = np.full((B, H + 2 * by, W + 2 * by, *images.shape[3:]), fill, images.dtype)
    wide[:, by : by + H, by : by + W] = images
    up, left = rng.integers(0, 2 * by + 1, (2, B, 1, 1))
    return wide[np.arange(B)[:, None, None], up + np.arange(H)[:, None], left + np.arange(W)]


def moved(images, dy, dx):
    """Each image (H, W, C) by dy[i] pixels down and dx[i] to the right; the edge is repeated."""
    for axis, shift in ((1, dy), (2, dx)):
        last = images.shape[axis] - 1
        source = np.arange(last + 1) - shift[:, None]  # (B, H): where each row comes from
        below = np.floor(source).astype(int)
        shape = (-1, last + 1, 1, 1) if axis == 1 else (-1, 1, last + 1, 1)
        part = (source - below).astype(images.dtype).reshape(shape)
        near = [np.clip(i, 0, last).reshape(shape) for i in (below, below + 1)]
        before, after = (np.take_along_axis(images, i, axis) for i in near)
        images = (1 - part) * before + part * after
    return images


class ByLength:
    """Which rows batch `step` holds: of about the same length, so that little of it is padding.

    Four batches' worth of rows, neighbours in length, are drawn at random, and `size` of these.
    """

    @function
    def __init__(self, lengths, size, seed=0):
        nn.check_sizes(self, least=0, seed=seed)
        self.lengths = np.asarray(lengths)
        if not nn.is_integer(size, 1, len(self.lengths) // 4):
            raise ShapeError(
                f"ByLength: size: got {size}, expected 1 to {len(self.lengths) // 4}, a fourth of "
                f"the {len(self.lengths)} rows"
            )
        self.size, self.seed = size, seed
        self.order = np.argsort(self.lengths, kind="stable")

    def rows(self, step):
        """(indices (size,), the generator that drew them)."""
        check_step(step)
        rng = np.random.default_rng([self.seed, step])
        start = rng.integers(len(self.order) - 4 * self.size + 1)
        return rng.permutation(self.order[start : start + 4 * self.size])[: self.size], rng


# -- files that ship -------------------------------------------------------------------------------
_MADE_BY = {
    "digits.npz": "make_digits.py", "mnist5k.npz": "make_mnist5k.py", "icon": "make_iconnet.py",
    "emoji": "make_emoji.py", "photos": "make_photos.py", "wordnet-": "make_text.py",
    "translations.tsv.gz": "make_translation.py",
}  # fmt: skip


def _script(name):
    return next(script for prefix, script in _MADE_BY.items() if name.startswith(prefix))


def _damaged(name, what):
    return DataError(
        f"{files.data_folder() / name} is damaged: {what}. Restore it (git checkout, or pip "
        f"install --force-reinstall minivit), or make it anew with data/{_script(name)}"
    )


def read_shipped(name, parse):
    """`parse` an open file that ships; whatever goes wrong names the file and its script."""
    try:
        file = open(files.data_folder() / name, "rb")
    except OSError as reason:
        raise DataError(
            f"{files.data_folder() / name} cannot be read ({reason.strerror}): it ships with "
            f"minivit, and data/{_script(name)} makes it"
        ) from reason
    try:
        with file:
            return parse(file)
    except Exception as reason:  # each format has its own: BadZipFile, zlib.error, EOFError ...
        raise _damaged(name, f"{type(reason).__name__}: {reason}") from reason


def _expect(found, length, name):
    if len(found) != length:
        raise _damaged(name, f"it holds {len(found)} lines, expected {length}")
    return found


def _load_npz(name, shape):
    def parse(file):
        with np.load(file, allow_pickle=False) as arrays:
            return arrays["images"], arrays["labels"]

    images, labels = read_shipped(name, parse)
    for array, expected in ((images, shape), (labels, shape[:1])):
        if array.shape != expected or array.dtype != np.uint8:
            raise _damaged(name, f"got {array.shape} {array.dtype}, expected {expected} uint8")
    return images, labels


def _load_text(name):
    return read_shipped(name, lambda file: gzip.decompress(file.read()).decode())


def _json(file):
    return json.loads(gzip.decompress(file.read()))


def _load_picture(name, size):
    try:
        image = importlib.import_module("PIL.Image")
    except ImportError as reason:
        raise ImportError(f"{name} is a PNG file, read by Pillow: pip install pillow") from reason
    pixels = read_shipped(name, lambda file: np.asarray(image.open(file).convert("RGB")))
    if pixels.shape[:2] != size:
        raise _damaged(name, f"it has {pixels.shape[:2]} pixels, expected {size}")
    return to_unit(pixels)


def _load_atlas(name, n, side=32, columns=48):
    """Tiles in reading order, `columns` a row -> (n, side, side, 3)."""
    rows = -(-n // columns)
    atlas = _load_picture(name, (rows * side, columns * side))
    tiles = atlas.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    return tiles.reshape(rows * columns, side, side, 3)[:n]
