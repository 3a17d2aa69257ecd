"""Companions of a model in our own format: its tokenizer, and its preprocessing of pictures.

Each is a dict in config.json, {"class": its name, ...}; a tokenizer's vocabulary lies in files of
the form that is usual for it. The tables here say which names a file may give.
"""

import importlib
import json
from dataclasses import MISSING, asdict, fields

import numpy as np

from minivit.engine.errors import CheckpointError, DtypeError
from minivit.images.palette import Palette
from minivit.published import preprocess, resizing, tables
from minivit.published.image_gpt import Pixels
from minivit.published.preprocess import Preprocess
from minivit.text import BPE, WordPiece
from minivit.text.base import read_lines

TOKENIZERS = {  # where they are
    "BPE": "text",
    "CLIPTokenizer": "text",
    "WordPiece": "text",
    "Pieces": "published.vocabularies",
    "BytePairs": "published.vocabularies",
    "SentencePieces": "published.vocabularies",
    "XlmPieces": "published.vocabularies",
}
SETTINGS = ("context_length", "longest")  # what some tokenizers have besides


# -- tokenizers ------------------------------------------------------------------------------------
def write_tokenizer(tokenizer, folder):
    """Write a tokenizer's files; returns what config.json says of it. None: there is none."""
    if tokenizer is None:
        return None
    name = type(tokenizer).__name__
    if tokenizer_class(name) is not type(tokenizer):
        raise DtypeError(
            f"save: tokenizer is a {name}, expected None or one of {', '.join(TOKENIZERS)}"
        )
    said = {"class": name}
    if isinstance(tokenizer, BPE):
        tokenizer.save(folder)
        said["special_tokens"] = list(tokenizer.special_tokens)
    elif isinstance(tokenizer, WordPiece):
        tokenizer.save(folder / "vocab.txt")
        said |= {"lower": tokenizer.lower, "max_chars": tokenizer.max_chars}
    else:  # SentencePiece: a file that only its package writes
        (folder / tokenizer.path.name).write_bytes(tokenizer.path.read_bytes())
        if name == "SentencePieces":
            ids = json.dumps(tokenizer.ids, ensure_ascii=False)
            (folder / "vocab.json").write_text(ids, encoding="utf-8")
    return said | {key: getattr(tokenizer, key) for key in SETTINGS if hasattr(tokenizer, key)}


def read_tokenizer(folder, said):
    """The tokenizer that config.json describes, or None."""
    if said is None:
        return None
    cls = tokenizer_class(said["class"])
    if cls is None:
        raise CheckpointError(
            f"config.json: the tokenizer is a {said['class']!r}, expected one of "
            f"{', '.join(TOKENIZERS)}"
        )
    if issubclass(cls, BPE):
        tokenizer = cls.load(folder, special_tokens=said["special_tokens"])
    elif issubclass(cls, WordPiece):
        if type(said["lower"]) is not bool:
            raise CheckpointError(f"config.json: lower is {said['lower']!r}, not true or false")
        longest = tables.integer(said, "max_chars", 1 << 20)
        tokenizer = cls(read_lines(folder / "vocab.txt"), said["lower"], longest)
    else:
        file = "source.spm" if said["class"] == "SentencePieces" else "sentencepiece.bpe.model"
        if not (folder / file).is_file():
            raise CheckpointError(f"{folder / file}: there is no such file")
        tokenizer = cls(folder if said["class"] == "SentencePieces" else folder / file)
    for key in SETTINGS:
        if hasattr(tokenizer, key):
            tables.integer(said, key, 1 << 20)
            setattr(tokenizer, key, said[key])
    return tokenizer


def tokenizer_class(name):
    if not isinstance(name, str) or name not in TOKENIZERS:
        return None
    return getattr(importlib.import_module(f"minivit.{TOKENIZERS[name]}"), name)


# -- pictures --------------------------------------------------------------------------------------
def described(given):
    """The entry in config.json of a `Preprocess`, or of an Image GPT's `Pixels`."""
    if given is None:
        return None
    if type(given) is Preprocess:
        return {"class": "Preprocess"} | asdict(given)
    if type(given) is Pixels:
        colours, pictures = given.palette.colours.tolist(), described(given.preprocess)
        return {"class": "Pixels", "side": given.side, "preprocess": pictures, "colours": colours}
    raise DtypeError(
        f"save: preprocess is a {type(given).__name__}, expected None, a published Preprocess or "
        "Image GPT's Pixels"
    )


def built(said):
    """The same from config.json."""
    if said is None:
        return None
    if said["class"] == "Pixels":
        colours = np.asarray(said["colours"], np.float32)
        if colours.ndim != 2 or not len(colours) or not np.isfinite(colours).all():
            raise CheckpointError("config.json: colours are not a list of colours")
        side = tables.integer(said, "side", preprocess.MOST)
        return Pixels(Palette(colours), side, built(said["preprocess"]))
    if said["class"] != "Preprocess":
        raise CheckpointError(
            f"config.json: preprocess is a {said['class']!r}, expected a Preprocess or Pixels"
        )
    return _preprocess({key: value for key, value in said.items() if key != "class"})


def _preprocess(said):
    """A `Preprocess` of its fields; those with a default may be missing, as in older files."""
    defaults = {f.name: f.default for f in fields(Preprocess) if f.default is not MISSING}
    if strange := said.keys() - {f.name for f in fields(Preprocess)}:
        raise CheckpointError(f"config.json: preprocess: {sorted(strange)} are not known here")
    said = defaults | said
    if said["shortest"] is not None:
        tables.integer(said, "shortest", preprocess.MOST)
    if said["resample"] not in (*preprocess.FILTERS, preprocess.TWO_BY_TWO):
        raise CheckpointError(f"config.json: resample is {said['resample']!r}, not a filter")
    if said["resizer"] not in preprocess.RESIZERS or (
        said["resizer"] == "torchvision" and said["resample"] not in resizing.FILTERS
    ):
        raise CheckpointError(
            f"config.json: resizer is {said['resizer']!r} with {said['resample']!r}, expected "
            f"'pillow', or 'torchvision' with one of {', '.join(resizing.FILTERS)}"
        )
    for key, default in defaults.items():
        if isinstance(default, bool) and type(said[key]) is not bool:
            raise CheckpointError(f"config.json: {key} is {said[key]!r}, expected true or false")
    for key in ("mean", "std"):
        said[key] = preprocess._numbers(said, key, defaults[key])
    (said["scale"],) = preprocess._numbers(said, "scale", (1.0,))
    for key in ("size", "squashed"):
        if said[key] is not None:
            height, width = said[key]
            said[key] = preprocess._sides({"height": height, "width": width})
    room = said["squashed"] or (said["shortest"],) * 2 if said["shortest"] else said["squashed"]
    if room and any(n > m for n, m in zip(said["size"], room)):
        raise CheckpointError(f"config.json: the crop {said['size']} does not fit {room}")
    return Preprocess(**said)
