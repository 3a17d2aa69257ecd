"""Appendix. Weights that others published: safetensors files, read without trusting them.

    arrays = weights.read("model.safetensors")    # {name: array}; a folder of shards too

The safetensors package checks the header (its length, offsets, shapes, dtypes); names given twice
and shards outside of the folder are checked here. No pickle is ever loaded.
"""

import json
from pathlib import Path

import numpy as np

from minivit.errors import CheckpointError

INDEX = "model.safetensors.index.json"
CONVERT = (
    'python -c "import torch, safetensors.torch as s; s.save_file({{k: v.clone().contiguous() '
    "for k, v in torch.load('{0}', weights_only=True).items()}}, 'model.safetensors')\""
)
PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl"}
WIDEST = 100_000_000  # bytes of a header: the limit of the format


def read(path):
    """{name: NumPy array} of a safetensors file, or of a folder with model.safetensors or its
    shards. float16 and bfloat16 become float32. What cannot be read: CheckpointError."""
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"{path.name}: a pickle can run any program, so none is loaded. Convert it where "
            f"PyTorch is installed: {CONVERT.format(path.name)}"
        )
    return _read_file(path)


def _read_folder(folder):
    if not (folder / INDEX).exists():
        return _read_file(folder / "model.safetensors")
    try:
        table = json.loads((folder / INDEX).read_bytes())["weight_map"]
        shards = sorted(set(table.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as reason:
        raise CheckpointError(f"{INDEX}: not an index of shards ({reason!r})") from reason
    arrays = {}
    for shard in shards:
        if not isinstance(shard, str) or Path(shard).name != shard or "\\" in shard:
            raise CheckpointError(f"{INDEX}: {shard!r} is not the name of a file in this folder")
        here = _read_file(folder / shard)
        if set(here) != {name for name, place in table.items() if place == shard}:
            raise CheckpointError(f"{shard}: its tensors are not those that {INDEX} lists for it")
        arrays.update(here)
    return arrays


def _read_file(path):
    from safetensors import SafetensorError, safe_open

    try:
        header = _header(path)
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            return {
                name: _bfloat16(path, header, name)
                if header[name]["dtype"] == "BF16"
                else _widened(file.get_tensor(name))
                for name in names
            }
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SafetensorError
    ) as reason:  # fmt: skip
        raise CheckpointError(f"{path.name}: cannot be read ({reason})") from reason


def _header(path):
    """The JSON before the tensors, in which no name may come twice."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(WIDEST, path.stat().st_size - 8):
            raise ValueError(f"its header claims {length} bytes, more than the file has")
        return json.loads(file.read(length), object_pairs_hook=_once)


def _once(pairs):
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name comes twice in its header")
    return table


def _bfloat16(path, header, name):
    """NumPy has no bfloat16: it is the upper half of a float32."""
    entry, start = header[name], None
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little") + entry["data_offsets"][0]
    count = int(np.prod(entry["shape"], dtype=object))
    halves = np.fromfile(path, "<u2", count, offset=start)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _widened(array):
    return array.astype(np.float32) if array.dtype == np.float16 else array
