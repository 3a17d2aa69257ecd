"""A safetensors file, mapped into memory: 8 bytes of length, a JSON header, the numbers.

The safetensors package judges the header (its length, offsets, shapes, dtypes, overlaps and gaps);
a name given twice, which JSON allows, is refused here.
"""

import json
import mmap

import numpy as np

from minivit.published.weights.numbers import Stored, read_plain

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "bfloat16", "BOOL": "?", "I8": "i1",
    "U8": "u1", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
}  # fmt: skip
WIDEST = 16 << 20  # bytes of a header: a hundred times what published files have


def stored(path):
    """{name: Stored} of the file; what is wrong with it raises."""
    from safetensors import safe_open

    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = file.seek(0, 2)
        if length > min(WIDEST, size - 8):
            raise ValueError(f"its header claims {length} bytes, of {size} in the file")
        with safe_open(path, framework="numpy"):
            pass  # raises where the header is wrong
        file.seek(8)
        header = json.loads(file.read(length), object_pairs_hook=unique_names)
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    metadata = header.pop("__metadata__", {})
    found = {name: _entry(path, pages, 8 + length, **entry) for name, entry in header.items()}
    # safetensors' save_model keeps a tensor that has several names under one of them, and writes
    # down the others: {alias: name}
    return found | {a: found[n] for a, n in metadata.items() if n in found and a not in found}


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
