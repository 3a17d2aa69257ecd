"""Numbers as files hold them, to arrays: float16 and bfloat16 become float32, a piece at a time."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

PIECE = 1 << 18  # numbers read, and widened, at a time: they stay in the cache


class Stored(NamedTuple):
    """A tensor in a file. dtype: as the file names it; read(): the array."""

    path: Path
    dtype: str
    shape: tuple
    read: object


def read_plain(file, dtype, shape, order="C"):
    """The next numbers of `file`, in memory of their own; too few of them: ValueError.

    dtype: NumPy's, or "bfloat16". Little-endian unless the dtype says otherwise.
    """
    count = math.prod(shape)
    kind = np.dtype("<u2") if dtype == "bfloat16" else np.dtype(dtype)
    if kind == np.float16 or dtype == "bfloat16":
        out = np.empty(count, np.float32)
        piece = np.empty(min(count, PIECE), kind)
        for i in range(0, count, PIECE):
            n = min(PIECE, count - i)
            _fill(file, piece[:n])
            if dtype == "bfloat16":  # the upper half of a float32
                bits = out[i : i + n].view(np.uint32)
                bits[...] = piece[:n]
                bits <<= 16
            else:
                out[i : i + n] = piece[:n]
    else:
        out = np.empty(count, kind)
        _fill(file, out)
        out = out.astype(kind.newbyteorder("="), copy=False)
    return out.reshape(shape, order=order)


def _fill(file, array):
    view, done = memoryview(array).cast("B") if array.size else b"", 0
    while done < len(view):
        n = file.readinto(view[done : done + (1 << 22)])
        if not n:
            raise ValueError(f"it ends {len(view) - done} bytes too early")
        done += n
