"""A safetensors file, mapped into memory: 8 bytes of length, a JSON header, the numbers.

The header must tell the truth: its tensors lie end to end and fill the file, each with as many
bytes as its shape and dtype take, and no name comes twice.
"""

import io
import json
import math
import mmap

import numpy as np

from minivit.published.weights.numbers import Stored, read_plain

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "BOOL": "?", "I8": "i1",
    "U8": "u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
}  # fmt: skip
NAMES = {np.dtype(ours): name for name, ours in DTYPES.items() if name != "BF16"}
UNREAD = {"F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8}  # bytes of what is only skipped
BYTES = {name: kind.itemsize for kind, name in NAMES.items()} | {"BF16": 2} | UNREAD
WIDEST = 16 << 20  # bytes of a header: a hundred times what published files have


def stored(path):
    """{name: Stored} of the file; what is wrong with it raises."""
    with open(path, "rb") as file:
        header, metadata, start = _header(file)
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    found = {name: _entry(path, pages, start, **entry) for name, entry in header.items()}
    # safetensors' save_model keeps a tensor that has several names under one of them, and writes
    # down the others: {alias: name}
    return found | {a: found[n] for a, n in metadata.items() if n in found and a not in found}


def from_bytes(content):
    """{name: array} of the bytes of a file; what is wrong with them raises ValueError."""
    header, _, start = _header(io.BytesIO(content))
    found = {}
    for name, entry in header.items():
        if entry["dtype"] not in NAMES.values():
            raise ValueError(f"{name}: no array of NumPy holds numbers of {entry['dtype']}")
        kind, shape = np.dtype(DTYPES[entry["dtype"]]), entry["shape"]
        offset = start + entry["data_offsets"][0]
        found[name] = np.frombuffer(content, kind, math.prod(shape), offset).reshape(shape).copy()
    return found


def to_bytes(arrays, metadata=None):
    """The bytes of a file with these arrays, and a header of {text: text}."""
    header, at = {} if metadata is None else {"__metadata__": metadata}, 0
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))  # so all are aligned
    for name in order:
        a = arrays[name]
        place = [at, at := at + a.nbytes]
        dtype = NAMES[a.dtype.newbyteorder("<")]
        header[name] = {"dtype": dtype, "shape": list(a.shape), "data_offsets": place}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    numbers = [
        arrays[n].astype(arrays[n].dtype.newbyteorder("<"), copy=False).tobytes() for n in order
    ]
    return b"".join([len(text).to_bytes(8, "little"), text, *numbers])


def _header(file):
    """(entries by name, metadata, where the numbers start) of a file."""
    length = int.from_bytes(file.read(8), "little")
    size = file.seek(0, 2) - 8 - length
    if length > WIDEST or size < 0:
        raise ValueError(f"its header claims {length} bytes, of {size + 8 + length} in the file")
    file.seek(8)
    header = json.loads(file.read(length), object_pairs_hook=unique_names)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are not texts with names")
    for name, entry in header.items():
        if not _is_entry(entry):
            raise ValueError(f"the header's entry {name!r} is none: {str(entry)[:200]}")
    at = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = entry["data_offsets"]
        if start != at or end - start != math.prod(entry["shape"]) * BYTES[entry["dtype"]]:
            raise ValueError(
                f"{name!r}, {entry['dtype']} of shape {entry['shape']}, cannot have the bytes "
                f"{start} to {end}: the tensor before it ends at {at}"
            )
        at = end
    if at != size:
        raise ValueError(f"its tensors take {at} bytes, and {size} are there")
    return header, metadata, 8 + length


def _is_entry(entry):
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        return False
    shape, offsets = entry["shape"], entry["data_offsets"]
    return (
        isinstance(entry["dtype"], str) and entry["dtype"] in BYTES
        and isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
        and isinstance(offsets, list) and len(offsets) == 2
        and all(type(n) is int for n in offsets)
    )  # fmt: skip


def _entry(path, pages, start, dtype, shape, data_offsets):
    offset = start + data_offsets[0]

    def read():
        if dtype not in DTYPES:
            raise ValueError(f"dtype {dtype} cannot be read, only {', '.join(DTYPES)}")
        kind = np.dtype(DTYPES[dtype].replace("bfloat16", "<u2"))
        if dtype in ("F16", "BF16") or offset % kind.itemsize:
            with open(path, "rb") as file:
                file.seek(offset)
                return read_plain(file, DTYPES[dtype], shape)
        count = (data_offsets[1] - data_offsets[0]) // kind.itemsize
        return np.frombuffer(pages, kind, count, offset).reshape(shape)

    return Stored(path, dtype, tuple(shape), read)


def unique_names(pairs):
    """A JSON object in which no name may come twice."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name comes twice in it")
    return table
