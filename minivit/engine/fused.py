"""Compiled loops, for those who want the last fifth of the time: `pip install '.[fast]'`.

An op on NumPy arrays goes through memory once for each of its sums and products; a loop that numba
compiles goes through it once. `minivit.fused(True)`, or MINIVIT_FUSED=1 around a program, asks for
them. The numbers are the same to rounding, not to the last bit, so they are off where nobody asks.
"""

import importlib
import os

import numpy as np

from minivit.engine.errors import OptionError

_loops = None  # the module of the loops, where they are on


def fused(on):
    """Switch the compiled loops on or off, for all threads of the program."""
    global _loops
    if not isinstance(on, bool):
        raise OptionError(f"fused: got {on!r}, expected True or False")
    found = importlib.import_module("minivit.engine.loops") if on else None
    if on and found.numba is None:
        raise OptionError(
            "fused: numba compiles the loops, and it cannot be imported; "
            "pip install 'numba>=0.61' installs it"
        )
    _loops = found


def loops(*arrays):
    """The module of the loops, if they are on and made for these arrays: float32, of NumPy, each
    in one piece. Else None, and the op does it with NumPy."""
    if _loops is None:
        return None
    for a in arrays:
        if type(a) is not np.ndarray or a.dtype != np.float32 or not a.flags.c_contiguous:
            return None
    return _loops


_asked = os.environ.get("MINIVIT_FUSED") or "0"
if _asked not in ("0", "1"):
    raise OptionError(f"MINIVIT_FUSED: got {_asked!r}, expected 0 or 1")
fused(_asked == "1")
