"""Weights that others published, read without trusting them.

    arrays = weights.read("model.safetensors")    # or an .npz, or a folder, shards too
    arrays["visual.proj"]                         # a NumPy array, read when it is asked for

No pickle is ever loaded: it could run any program. Which format a file has, its content says.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from minivit import files
from minivit.engine.errors import CheckpointError
from minivit.published.weights import npz, tensors

INDEX = "model.safetensors.index.json"
WHOLE = ("model.safetensors", "open_clip_model.safetensors")  # names in published folders
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib"}
SAVE = "s.save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')"
LOAD = "w = torch.load('{}', map_location='cpu', weights_only=True); w = w.get('state_dict', w)"
LONGEST = 200  # characters of the name of a shard; file systems allow 255 bytes
# before every name: DataParallel's, torch.compile's, Lightning's, transformers' of a model of timm,
# sentence-transformers', and what people call the one module of theirs
WRAPPERS = ("module.", "_orig_mod.", "model.", "timm_model.", "0.auto_model.", "auto_model.",
            "base_model.", "net.", "network.", "backbone.", "encoder.", "clip.", "student.",
            "teacher.", "ema.", "model_ema.")  # fmt: skip
WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")  # anywhere in it
# one matrix, or its bias, has two names, and a file may keep either of them
TIED = (
    ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
    ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ("roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
    ("lm_head.bias", "lm_head.decoder.bias"),
    ("distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"),
    ("model.shared.weight", "lm_head.weight"),
    ("model.shared.weight", "model.encoder.embed_tokens.weight"),
    ("model.shared.weight", "model.decoder.embed_tokens.weight"),
)  # fmt: skip
LOAD_SCRIPT = "w = torch.jit.load('{}', map_location='cpu').state_dict()"


class Arrays(Mapping):
    """{name: NumPy array} of a file, each read when it is asked for.

    stored: {name: Stored}, what is known of them without reading; format: "safetensors" or "npz".
    """

    def __init__(self, stored, format):
        self.stored, self.format = stored, format

    def __getitem__(self, name):
        entry = self.stored[name]
        with _named(entry.path):
            return entry.read()

    def __contains__(self, name):  # Mapping's own would read it
        return name in self.stored

    def __iter__(self):
        return iter(self.stored)

    def __len__(self):
        return len(self.stored)


class _named:
    """Any error in a file that is not trusted becomes a CheckpointError that names it."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        pass

    def __exit__(self, kind, reason, trace):
        passed_on = CheckpointError, MemoryError  # too little memory is not the file's fault
        if isinstance(reason, Exception) and not isinstance(reason, passed_on):
            what = str(reason) or kind.__name__
            raise CheckpointError(f"{self.path.name}: cannot be read ({what})") from reason


def read(path):
    """The `Arrays` of a safetensors or .npz file, or of a folder with one of them or with shards.

    float32 tensors of a safetensors file are its own pages, copied when first written to: while
    they live, the file must not be overwritten in place. float16 and bfloat16 become float32. A
    file that cannot be read, or must not be: CheckpointError.
    """
    path = Path(path)
    return _read_folder(path) if path.is_dir() else _read_file(path)


def plain(arrays):
    """The same under the names that the published model itself has: without those of wrappers, and
    with both names of what is tied."""
    stored = arrays.stored
    while at := next((w for w in WRAPPERS if stored and all(n.startswith(w) for n in stored)), ""):
        stored = {name.removeprefix(at): entry for name, entry in stored.items()}
    for part in WITHIN:
        inner = {name.replace(part, ""): entry for name, entry in stored.items()}
        stored = inner if len(inner) == len(stored) else stored
    for name, other in TIED:
        here = any(n.startswith(name.partition(".")[0] + ".") for n in stored)
        if here and name not in stored and other in stored:
            stored = {**stored, name: stored[other]}
    return Arrays(stored, arrays.format)


def _read_file(path):
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: not a file")  # a pipe would keep us waiting
        with open(path, "rb") as file:
            start = file.read(len(files.POINTER))
    except CheckpointError:
        raise
    except OSError as reason:
        if path.suffix in PICKLES:
            raise CheckpointError(_refusal(path)) from reason
        raise CheckpointError(f"{path}: cannot be read ({reason.strerror})") from reason
    with _named(path):
        if start == files.POINTER:
            raise ValueError(files.NOT_FETCHED)
        if start[8:9] == b"{":  # after the length of the header, its JSON
            return Arrays(tensors.stored(path), "safetensors")
        if start[:2] == b"PK":
            names = npz.names(path)
            if any(name.endswith(".pkl") for name in names):  # what torch.save writes
                raise CheckpointError(_refusal(path, names))
            return Arrays(npz.stored(path), "npz")
        if path.suffix in PICKLES or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5"):
            raise CheckpointError(_refusal(path))
        raise ValueError(
            f"neither a safetensors file nor an .npz, which are the formats read: it starts with "
            f"{start[:8]!r}"
        )


def _refusal(path, names=()):
    script = any(name.endswith("constants.pkl") for name in names)  # TorchScript, as OpenAI's CLIP
    return (
        f"{path.name}: a pickle can run any program, so none is loaded. Convert it where PyTorch "
        f"and safetensors are installed:\n  {conversion(path.name, script)}"
    )


def conversion(name, script=False):
    """The command that makes model.safetensors of a pickle; script: of a TorchScript archive."""
    load = (LOAD_SCRIPT if script else LOAD).format(name)
    return f'python -c "import torch, safetensors.torch as s; {load}; {SAVE}"'


def _read_folder(folder):
    if (folder / INDEX).exists():
        return _read_shards(folder)
    for name in WHOLE:
        if (folder / name).exists():
            return _read_file(folder / name)
    files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".npz", *PICKLES})
    readable = [p for p in files if p.suffix not in PICKLES]
    if len(readable) == 1 or (files and not readable):
        return _read_file((readable or files)[0])
    if readable:
        found = f"several: {', '.join(p.name for p in readable)}; name one"
    else:
        there = sorted(p.name for p in folder.iterdir())
        found = f"none, but {', '.join(there[:6])}{' ...' * (len(there) > 6)}" if there else "none"
    raise CheckpointError(
        f"{folder}: expected {WHOLE[0]}, {INDEX} or one .safetensors or .npz file, found {found}"
    )


def _read_shards(folder):
    stored, table = {}, _index(folder)
    for shard in shards(folder):
        here = _read_file(folder / shard).stored
        if set(here) != {name for name, place in table.items() if place == shard}:
            raise CheckpointError(f"{shard}: its tensors are not those that {INDEX} lists for it")
        stored.update(here)
    return Arrays(stored, "safetensors")


def shards(folder):
    """The names of the files that the index in `folder` lists."""
    return sorted(set(_index(folder).values()))


def _index(folder):
    """{name of a tensor: name of its file}."""
    with _named(folder / INDEX):
        text = files.fetched(folder / INDEX)
        table = json.loads(text, object_pairs_hook=tensors.unique_names)["weight_map"]
        for shard in table.values():
            plain = Path(shard).name == shard and "\\" not in shard and shard.isprintable()
            if not plain or len(shard) > LONGEST:
                raise ValueError(f"{shard[:LONGEST]!r} is not the name of a file in this folder")
        return table
