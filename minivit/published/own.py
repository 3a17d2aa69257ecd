"""Models of this book: what `save` writes into a folder, `load` reads, bit for bit.

    minivit.save(model, "runs/digits", labels=names)     # returns the folder
    minivit.load("runs/digits").model

    config.json         the format, the class and its arguments (`model.config`), the preprocessing
    model.safetensors   {name: numbers}, as in `model.state_dict()`
    vocab.json ...      the tokenizer's files, where there is one

A file names classes of this library; the table CLASSES says where they are, and nothing else that a
file names is ever imported. A class of your own is handed in: `load(folder, classes=[MyNet])`.
"""

import contextlib
import importlib
import inspect
import json

import numpy as np

from minivit import files, nn
from minivit.engine import backend
from minivit.engine.errors import CheckpointError, DtypeError, MinivitError, OptionError, StateError
from minivit.published import Layout, companions, tables, weights
from minivit.published.weights.tensors import to_bytes

MODEL_TYPES = ("minivit",)  # "model_type" in config.json
FORMAT = 1  # raised when a reader of the format before would misunderstand
CLASSES = {  # where they are: which of them a file may name
    "nn": "Linear LayerNorm RMSNorm Embedding Dropout GELU Sequential",
    "convolution": "Conv2d",
    "attention": "MultiHeadAttention",
    "transformer": "MLP TransformerLayer",
    "models.bert": "BERT",
    "models.gpt": "GPT",
    "models.seq2seq": "Seq2Seq",
    "models.image_gpt": "ImageGPT",
    "models.vit": "MAPHead ViT",
    "models.resnet": "BatchNorm2d BasicBlock ResNet Bottleneck AttentionPool ModifiedResNet",
    "models.clip": "PatchEmbedding VisionTransformer TextTransformer BagOfWords CLIP",
    "models.clip_objectives": "WordPredictor Captioner",
    "published.sentences": "Pooling Dense Normalize SentenceHead",
    "published.clip_halves": "Tower",
}
# the families of published models that these belong to: what a command asks for
FAMILIES = {"ViT": "vit", "CLIP": "clip", "GPT": "gpt2", "ImageGPT": "image_gpt", "BERT": "bert",
            "Seq2Seq": "marian", "ResNet": "resnet"}  # fmt: skip
HEAD = "sentences.safetensors"
LARGEST = 10**6  # of an integer in a file, if no tensor is as long


# -- writing ---------------------------------------------------------------------------------------
def save(
    model, folder, tokenizer=None, preprocess=None, labels=None, sentences=None, dtype=None
):  # fmt: skip
    """Write a model, and what belongs to it, into `folder`; returns its path.

    All files change in one step: a crash leaves the old or the new ones. It may be the folder that
    `model` was loaded from. tokenizer, preprocess: as `load` returns them, or one of `minivit.text`
    and a `Preprocess`. labels: the names of the classes. sentences: a `SentenceHead`.
    dtype="float16" halves the file; the numbers are rounded, and loaded as float32. Changes
    of a model besides its arguments (a dropout rate, frozen parameters, training) are not kept.
    """
    folder = files.path_of("save: folder", folder)
    config, arrays = description(model, dtype)
    config |= {"preprocess": companions.described(preprocess), "labels": _labels(labels, model)}
    try:
        with files.writing_folder(folder) as new:
            config["tokenizer"] = companions.write_tokenizer(tokenizer, new)
            if sentences is not None:  # what follows a text encoder, with numbers of its own
                config["sentences"] = nn.described(sentences)
                (new / HEAD).write_bytes(to_bytes(sentences.state_dict()))
            write(new, config, arrays)
    except MinivitError:
        raise
    except OSError as reason:
        raise CheckpointError(f"save: {folder}: cannot be written ({reason.strerror})") from reason
    return folder


def write(folder, config, arrays):
    """The two files of a model, into a folder that nobody reads yet."""
    (folder / "model.safetensors").write_bytes(to_bytes(arrays))
    (folder / "config.json").write_text(text_of(config), encoding="utf-8")


def text_of(config):
    """config.json."""
    return json.dumps(config, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def description(model, dtype=None):
    """(what config.json says, {name: array}) of a model. A model that its class and `config` do not
    make again, such as one whose head was replaced by hand, is a StateError."""
    if not isinstance(model, nn.Module):
        raise DtypeError(f"save: model is a {type(model).__name__}, expected a minivit.nn.Module")
    if dtype not in (None, "float16"):
        raise OptionError(f"save: dtype is {dtype!r}, expected None (as it is) or 'float16'")
    config = {"model_type": "minivit", "format": FORMAT, "model": nn.described(model)}
    names = {}  # id of a tensor: its first name
    ties = {
        name: names[id(tensor)]
        for name, tensor in model._all_tensors("")
        if names.setdefault(id(tensor), name) != name
    }
    config |= {"ties": ties} if ties else {}
    arrays = model.state_dict()
    _check_rebuilt(model, config)
    if dtype:
        config["stored"] = dtype
        arrays = {name: _halved(name, a) for name, a in arrays.items()}
    return config, arrays


def _check_rebuilt(model, config):
    """Does the configuration make the tensors that the model has?"""
    types = [type(module) for module in model.modules()]
    state = backend.random_state()  # a class of one's own may draw weights, even empty ones
    try:
        with backend.use("cpu"), nn.empty():
            made = dict(_built(config, types).named_tensors())
    finally:
        backend.set_random_state(state)
    has = {name: t.shape for name, t in model.named_tensors()}
    expected = {name: t.shape for name, t in made.items()}
    if has != expected:
        differ = [
            f"{name}: {has.get(name, 'not there')}, by its config {expected.get(name, 'not there')}"
            for name in {**has, **expected}
            if has.get(name) != expected.get(name)
        ]
        kind = type(model).__name__
        raise StateError(
            f"save: the model is not what its config makes: it was changed after it was built. "
            f"Build one as it is now, such as {kind}(**model.config | {{...}}), and load the "
            "state_dict into it." + nn.listed("different", differ)
        )


def _halved(name, array):
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    if np.isinf(half).any() and not np.isinf(array).any():
        raise OptionError(f"save: {name}: over 65504, the largest float16; save it without dtype")
    return half


def _labels(labels, model=None):
    if labels is not None and not (
        isinstance(labels, (list, tuple)) and all(isinstance(label, str) for label in labels)
    ):
        raise DtypeError(f"save: labels: got {labels!r}, expected a list of strings")
    classes = getattr(model, "config", {}).get("classes")
    if labels is not None and isinstance(classes, int) and len(labels) != classes:
        raise OptionError(f"save: labels: got {len(labels)}, the model has {classes} classes")
    return None if labels is None else list(labels)


# -- reading: a family like the others, see published/__init__.py ----------------------------------
def recognises(names):
    return False  # only by config.json


def build(config, arrays, classes=()):
    """The empty model, and a table in which each name is its own."""
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"config.json: format is {config.get('format')!r}, this version of minivit reads "
            f"{FORMAT}; a newer version may read it: pip install --upgrade minivit"
        )
    stored = arrays.stored
    longest = max((n for t in stored.values() for n in t.shape), default=1)
    _bound(config.get("model"), len(stored), max(longest, LARGEST))
    with _understood():
        model = _built(config, classes)
    halves = config.get("stored") != "float16"
    table = {
        name: (name, _half) if halves and name in stored and stored[name].dtype == "F16" else name
        for name, _ in model.named_tensors()
    }
    return Layout("minivit", model, table)


def extras(folder, config, model):
    labels = config.get("labels")
    with _understood():
        return {
            "tokenizer": companions.read_tokenizer(folder, config.get("tokenizer")),
            "preprocess": companions.built(config.get("preprocess")),
            "labels": _labels(labels),
            "sentences": _head(folder, config),
        }


def _head(folder, config):
    """The `SentenceHead` that was saved, or None."""
    if config.get("sentences") is None:
        return None
    with nn.empty():
        head = _made(config["sentences"], ())
    arrays = weights.read(folder / HEAD)
    return tables.fill(head, arrays, {name: name for name, _ in head.named_tensors()}).eval()


def _half(array):
    return array.astype(np.float16)  # which the numbers were: reading widened them


def _built(config, classes):
    model = _made(config["model"], classes)
    if not isinstance(model, nn.Module):
        raise CheckpointError(f"config.json: model is {config['model']!r}, expected a class")
    for name, first in config.get("ties", {}).items():
        _tie(model, name, dict(model.named_tensors())[first])
    return model


def _made(value, classes):
    """The value of an argument in config.json; a dict with a "class" is a module."""
    if isinstance(value, list):
        return [_made(item, classes) for item in value]
    if not isinstance(value, dict):
        return value
    arguments = {key: _made(item, classes) for key, item in value.items() if key != "class"}
    if "class" not in value:
        return arguments
    cls = _class(value["class"], classes)
    signature = inspect.signature(cls)
    several = [p.name for p in signature.parameters.values() if p.kind is p.VAR_POSITIONAL]
    inputs = arguments.pop(several[0], []) if several else []
    try:
        signature.bind(*inputs, **arguments)
    except TypeError as reason:
        raise CheckpointError(f"config.json: {value['class']}: {reason}") from None
    return cls(*inputs, **arguments)


def _class(name, given):
    """The class of this library, or of those given, that has the name. (Of a class of one's own the
    name has its module in front: "__main__.MyNet".)"""
    for where, names in CLASSES.items():
        if name in names.split():
            return getattr(importlib.import_module(f"minivit.{where}"), name)
    short = str(name).rpartition(".")[2]
    for cls in given:
        if cls.__name__ == short:
            return cls
    raise CheckpointError(
        f"config.json: the class {name!r} is none of this library. If it is yours, hand it in: "
        f"load(folder, classes=[{short}])"
    )


@contextlib.contextmanager
def _understood():
    """A config.json is not trusted: what goes wrong with it inside of this block is its fault."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as reason:
        what = str(reason) if isinstance(reason, MinivitError) else repr(reason)
        raise CheckpointError(
            f"config.json: what it says does not fit together: {what}"
        ) from reason


def _bound(value, layers, most, key=""):
    """Refuse numbers that would only cost time and memory: more layers than the file has tensors,
    sizes that none of them has."""
    for name, item in value.items() if isinstance(value, dict) else enumerate(
        value if isinstance(value, list) else []
    ):  # fmt: skip
        _bound(item, layers, most, name if isinstance(name, str) else key)
    if isinstance(value, int):
        limit = layers if key.endswith(("layers", "blocks")) else most
        if not 0 <= value <= limit:
            raise CheckpointError(f"config.json: {key} is {value}, expected 0 to {limit}")


def _tie(module, name, tensor):
    """Let the tensor at a dotted name be `tensor`."""
    for child, value in module._children():
        if name == child and isinstance(value, type(tensor)):
            place, _, key = child.rpartition(".")
            if not place:
                setattr(module, child, tensor)
            else:
                held = getattr(module, place)
                held[key if isinstance(held, dict) else int(key)] = tensor
            return
        if isinstance(value, nn.Module) and name.startswith(f"{child}."):
            _tie(value, name.removeprefix(f"{child}."), tensor)
            return
    raise CheckpointError(f"config.json: ties: the model has no tensor {name}")
