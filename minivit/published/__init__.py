"""The models that others trained, read into the ones of this book.

    clip = minivit.load("openai/clip-vit-base-patch32")        # downloaded once, then kept
    vit = minivit.load("google/vit-base-patch16-224", path="Downloads/vit")  # lies there
    gpt = minivit.load("Downloads/gpt2")                       # a folder, or a file

A family is one file here: which files it recognises, the empty model, and the table from the
published names to ours. The names in a family's file:

    MODEL_TYPES = ("vit",)            "model_type" in config.json
    recognises(names) -> bool         by tensor names, where there is no config.json
    build(config, arrays) -> Layout   the empty model and its table; config is {} if there is none
    extras(folder, config, model)     {"tokenizer": ..., "preprocess": ..., "labels": ...}: what
                                      there is of them; folder holds the other files
"""

import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from minivit import files, nn
from minivit.engine import backend
from minivit.engine.errors import CheckpointError, DtypeError, OptionError, ShapeError, StateError
from minivit.published import refused, tables, weights

# files of this folder
FAMILIES = ("vit", "clip", "clip_halves", "gpt2", "image_gpt", "bert", "marian", "own")
CONFIGS = ("config.json", "open_clip_config.json")


class Layout(NamedTuple):
    """A family's reading of a file before any weight is read."""

    name: str  # whose names these are: "Hugging Face", "OpenAI", "google-research"
    model: nn.Module  # made under nn.empty()
    table: dict  # {our name: (their names, transform)}, see tables.py
    ignore: tuple = ()  # names of the file without use, such as "*.attn.bias"
    preprocess: Any = None  # where these names say it


@dataclass
class Pretrained:
    """A published model, ready to use. An attribute is None where a family has none."""

    model: nn.Module
    family: str
    layout: str
    config: dict = field(repr=False)
    tokenizer: Any = None  # of a text, .encode gives ids; called with texts, most give a batch
    preprocess: Any = None  # preprocess(picture) gives the model's input (1, H, W, C)
    labels: list | None = field(default=None, repr=False)  # the names of the classes
    sentences: Any = None  # what makes one vector of a text's states: sentences.embed uses it


def load(source, path=None, classes=()):
    """The `Pretrained` model that `source` names: one that ships, such as "emoji"; a folder that
    `save` or a Trainer wrote; a published folder or file; or a name of the hub, such as
    "openai/imagegpt-small". path: where the files of that name lie; else they are downloaded.
    classes: those of your own that a model of yours is made of.

    The parameters are the file's own pages, copied when first written to; the file stays as it is,
    and must stay where it is while the model lives. A file that is broken: CheckpointError; one
    whose tensors do not fit: StateError.
    """
    _check_classes(classes)
    file = find(source, path)
    folder = file if file.is_dir() else file.parent
    config = read_config(folder)
    arrays = named_as_published(weights.read(file), config)
    family = family_of(config, arrays)
    try:
        layout = empty(family, config, arrays, classes)
        tables.fill(layout.model, arrays, layout.table, layout.ignore)
    except StateError as reason:
        raise StateError(f"{file}: {reason}") from reason
    layout.model.eval().to(backend.default_device())
    extras = family.extras(folder, config, layout.model)
    if layout.preprocess is not None:
        extras["preprocess"] = layout.preprocess
    return Pretrained(
        layout.model, name_of(family, layout.model), layout.name, config,
        **extras,
    )  # fmt: skip


def _check_classes(classes):
    if not isinstance(classes, (list, tuple, set)) or not all(
        isinstance(cls, type) and issubclass(cls, nn.Module) for cls in classes
    ):
        raise DtypeError(f"load: classes is {classes!r}, expected a list of Modules: [MyNet]")


def shipped():
    """{name: folder} of the small models that come with this library; "./emoji" is another one."""
    return {path.parent.name: path.parent for path in files.data_folder().glob("models/*/*.json")}


def find(source, path=None):
    """The file or folder that `load` reads, downloaded where it is not here."""
    files.path_of("load: source", source)
    if path is None and str(source) in shipped():
        return shipped()[str(source)]
    from minivit.published import hub, sentences

    found = Path(source) if path is None else files.path_of("load: path", path)
    if path is None and not _exists(found):
        found = hub.fetch(str(source))
    if not _exists(found):
        raise CheckpointError(f"{found}: there is no such file or folder")
    if found.is_dir():
        steps = [path.parent for path in found.glob("step-*/model.safetensors")]
        if steps and not (found / CONFIGS[0]).exists():  # a Trainer's folder: the newest
            found = max(steps, key=lambda path: (len(path.name), path.name))
        files.finish(found)
        found = sentences.transformer_in(found)
    return found


def _exists(path):
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def named_as_published(arrays, config):
    """The tensors of a file under the names that its family knows."""
    return arrays if config.get("model_type") == "minivit" else weights.plain(arrays)


def empty(family, config, arrays, classes=()):
    """The `Layout` of a file: its model has shapes, and no weights yet."""
    with backend.use("cpu"), nn.empty():
        if not classes:
            try:
                return family.build(config, arrays)
            except ShapeError as reason:  # such as 5 heads of a width of 32
                raise CheckpointError(f"config.json does not fit the tensors: {reason}") from reason
        if name_of(family) != "own":
            raise OptionError("load: classes are for models of your own, not for published ones")
        return family.build(config, arrays, classes)


def read_config(folder):
    """The configuration beside the weights, a dict; {} where there is none. (A config.json without
    model_type, such as timm's, gives way to an open_clip_config.json.)"""
    found = [read_json(folder / name) for name in CONFIGS if (folder / name).is_file()]
    return next((config for config in found if "model_type" in config), (found or [{}])[-1])


def read_json(path, largest=100_000_000, kind=dict, name=None):
    """The object (or the list: `kind`) in a JSON file; a file without one, or over `largest` bytes:
    CheckpointError. name: what an error calls the file."""
    name = name or path.name
    try:
        if path.stat().st_size > largest:
            raise ValueError(f"it has over {largest} bytes")
        content = json.loads(files.fetched(path, name))
        if not isinstance(content, kind):
            raise ValueError("it is not " + ("an object {...}" if kind is dict else "a list [...]"))
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as reason:
        raise CheckpointError(f"{name}: cannot be read ({reason})") from reason
    return content


def family_of(config, names):
    """The family's module, by model_type or else by the names of the tensors."""
    families = [importlib.import_module(f"{__name__}.{name}") for name in FAMILIES]
    if config.get("quantization_config"):
        raise CheckpointError(
            "config.json has a quantization_config: the weights are codes of few bits, which are "
            "not read. Save the model in float32, float16 or bfloat16"
        )
    if "model_type" in config:
        kind = config["model_type"]
        if isinstance(kind, str) and kind in refused.REFUSED:
            raise CheckpointError(f"config.json: {kind} is not read: {refused.REFUSED[kind]}")
        found = [f for f in families if kind in f.MODEL_TYPES]
        known = sorted(t for f in families for t in f.MODEL_TYPES)
        what = f"config.json: model_type is {kind!r}, expected one of {known}"
    else:
        found = [f for f in families if f.recognises(names)]
        if "model_cfg" in config and not found:  # OpenCLIP's: it says what is not built here
            found = [f for f in families if "clip" in f.MODEL_TYPES]
        shown = ", ".join(sorted(names)[:4])
        said = {key: config[key] for key in ("architecture", "architectures") if key in config}
        told = f"config.json has {said or 'no model_type'}" if config else "no config.json"
        what = f"{told}, and no family has tensors with these names: {shown} ..."
    if not found:
        raise CheckpointError(f"{what}. Families: {', '.join(FAMILIES)}.")
    return found[0]


def name_of(family, model=None):
    """Its file's name, such as "image_gpt"; with a model of our own format, the family of published
    models that it belongs to, if any."""
    name = family.__name__.rpartition(".")[2]
    if model is not None and name == "own":
        return family.FAMILIES.get(type(model).__name__, type(model).__name__)
    return name
