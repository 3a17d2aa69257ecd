"""Chapter 1. Which arrays: NumPy or CuPy.

The arrays decide. An op receives `xp`, the module its operands belong to (`numpy`, or `cupy`),
found once by the engine; nothing is decided at import, and nothing else in this library imports
cupy. What the two modules spell differently stands here, once.

    minivit.use("cuda")             # new tensors are made on the GPU from here on
    with minivit.use("cpu"): ...    # and inside this block on the CPU
    model.to("cuda"); x.to("cpu")   # what exists moves only when told to
"""

import ctypes
import math
import os
import sys

import numpy as np

from minivit.errors import DeviceError, DtypeError, RangeError, ShapeError

# -- devices ---------------------------------------------------------------------------------------
MODULES = {"cpu": np}  # device -> the module whose arrays live there; "cuda" joins when first used
_DEVICES = {np.ndarray: "cpu"}  # array type -> device
_default = "cpu"  # a plain global: Jupyter loses a ContextVar between two cells


def add_device(device, module):
    """Let arrays of `module.ndarray` be the data of Tensors, under the name `device`."""
    MODULES[device] = module
    _DEVICES[module.ndarray] = device


def device_of(array):
    """The name of the device that holds `array`."""
    try:
        return _DEVICES[type(array)]
    except KeyError:
        for kind, device in _DEVICES.items():  # a subclass, such as np.memmap
            if isinstance(array, kind):
                return device
        raise DeviceError(
            f"expected an array of {list(_DEVICES.values())}, got {type(array)}"
        ) from None


def module_of(arrays, where):
    """The module that all `arrays` belong to; Python numbers belong to any.

    A mix is an error that names the op (`where`), the operands and the `.to` that mends it.
    """
    found = np
    first = None
    for a in arrays:
        kind = type(a)
        if kind is np.ndarray:
            device = "cpu"
        elif kind in (float, int, bool) or a is None:
            continue
        else:
            device = device_of(a)
        if first is None:
            first, found = device, MODULES[device]
        elif device != first:
            raise DeviceError(_mixed(arrays, where))
    return found


def _mixed(arrays, where):
    operands = [a for a in arrays if hasattr(a, "shape")]
    seen = ", ".join(f"{tuple(a.shape)} on {device_of(a)!r}" for a in operands)
    target = next(d for d in map(device_of, operands) if d != "cpu")
    return (
        f"{where}: the operands are on two devices: {seen}. "
        f"Move one: x.to({target!r}), or model.to('cpu')."
    )


def module(device=None):
    """The array module of `device` (default: the one chosen by `use`), made ready if need be."""
    device = device or _default
    if device == "cuda" and device not in MODULES:
        add_device("cuda", _load_cupy())
    if device not in MODULES:
        raise DeviceError(f"device: got {device!r}, expected 'cpu' or 'cuda'")
    return MODULES[device]


class use:
    """Choose where new tensors are made; as a `with` block, only inside of it."""

    def __init__(self, device):
        global _default
        module(device)  # refuses now what cannot work later
        self._before, _default = _default, device

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        global _default
        _default = self._before

    def __repr__(self):
        return f"new tensors are made on {_default!r}"


def default_device():
    """The device that `use` chose last."""
    return _default


def _load_cupy():
    """Import CuPy and prove that it works: a compiled kernel, a matrix product, a copy back."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()  # unlike is_available, says why there is none
        a = cupy.ones((2, 2), dtype="float32")
        if float((a @ (a + a)).sum()) != 16.0:
            raise RuntimeError("the GPU computed a wrong product")
    except Exception as reason:
        raise ImportError(
            "device 'cuda' cannot be used here; everything runs on 'cpu', the default.\n"
            f"  reason: {type(reason).__name__}: {reason}\n"
            "  A GPU needs three things: an NVIDIA driver (`nvidia-smi` answers), CuPy >= 14, and "
            "CUDA's libraries.\n"
            "  The last two come with: pip install 'minivit[cuda12]'  (or 'minivit[cuda13]'), "
            "whichever CUDA version `nvidia-smi` names."
        ) from reason
    return cupy


def to_device(array, device):
    """A copy of `array` on `device`; the array itself where it is there already."""
    here = device_of(array)
    if here == device:
        return array
    xp = module(device)
    return np.asarray(array) if xp is np and here == "cpu" else xp.asarray(to_numpy(array))


def to_numpy(array):
    """The array on the host: itself, or a copy from the GPU (which waits for it)."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


# -- random numbers --------------------------------------------------------------------------------
_seed = 0
_generators = {}  # module -> its random stream, made when first used (numpy.random loads slowly)


def manual_seed(seed):
    """Start every random stream anew: weights, shuffles and dropout follow from `seed`."""
    global _seed
    _seed = seed
    _generators.clear()


def _generator(xp):
    if xp not in _generators:
        _generators[xp] = xp.random.default_rng(_seed)
    return _generators[xp]


def host_generator():
    """The NumPy generator that draws weights and shuffles, whichever device they go to."""
    return _generator(np)


def random_state():
    """The host generator's state, as numbers that JSON can hold."""
    return host_generator().bit_generator.state


def set_random_state(state):
    """Continue the host generator's stream where `random_state` was taken."""
    host_generator().bit_generator.state = state


def uniform(xp, shape, dtype):
    """Numbers in [0, 1) drawn where they are used (a GPU has a stream of its own)."""
    return _generator(xp).random(shape, dtype=dtype)


# -- what NumPy and CuPy spell differently ---------------------------------------------------------
def checked_index(xp, ids, size, what, ignore=None):
    """Integer ids on `xp`'s device, each in [0, size) or equal to `ignore`; else a RangeError.

    A GPU wraps a wrong index silently, so ids are checked on the host, before they are sent. Keep
    labels and token ids in NumPy: ids that already are on a GPU cost a synchronisation here.
    """
    if not hasattr(ids, "dtype"):
        try:
            ids = np.asarray(ids)
        except ValueError:
            raise ShapeError(
                f"{what}: the rows have unequal lengths; pad them, and pass the padding mask"
            ) from None
    if ids.dtype.kind not in "iu":
        raise DtypeError(f"{what}: got dtype {ids.dtype}, expected integers. Try .astype(int).")
    host = to_numpy(ids)
    if host.size and (host.min() < 0 or host.max() >= size):
        bad = ((host < 0) | (host >= size)) & (host != ignore if ignore is not None else True)
        for place in np.argwhere(bad)[:1]:
            place = tuple(place.tolist())
            raise RangeError(
                f"{what}: got {int(host[place])} at index {place}, expected 0 <= id < {size}"
                + (f" (or {ignore}, which is ignored)." if ignore is not None else ".")
            )
    return ids if isinstance(ids, xp.ndarray) else xp.asarray(ids)


def scatter_add(xp, shape, index, g):
    """Zeros of `shape` with `g` added at `index`; an index that occurs twice receives both."""
    out = xp.zeros(shape, dtype=g.dtype)
    xp.add.at(out, index, g)
    return out


def scatter_rows(xp, rows, ids, g):
    """A (rows, D) table of zeros to which row `g[i]` is added at `ids[i]`.

    Small tables: a product with the one-hot matrix, which BLAS does 10x faster than `add.at`.
    """
    if rows <= 512:
        onehot = (ids[None, :] == xp.arange(rows, dtype=ids.dtype)[:, None]).astype(g.dtype)
        return onehot @ g  # (rows, n) @ (n, D)
    return scatter_add(xp, (rows, g.shape[1]), ids, g)


_vector_erf = np.vectorize(math.erf, otypes=[np.float64])


def erf(xp, x):
    """The error function. float64 on the CPU: math.erf, element by element, exact and slow (it is
    for checking); float32: Abramowitz and Stegun 7.1.26, |error| < 6e-7."""
    if xp is not np:
        return _device_erf(xp)(x)
    if x.dtype != np.float32:
        return _vector_erf(x) if x.size else x.astype(np.float64)
    a = np.abs(x)
    t = 1.0 / (1.0 + 0.3275911 * a)
    poly = 1.061405429 * t
    for c in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        poly += c
        poly *= t
    poly *= np.exp(-a * a)
    return np.copysign(1.0 - poly, x)


def _device_erf(xp):
    if xp.__name__ == "cupy":
        from cupyx.scipy.special import erf

        return erf
    return xp.erf  # the stand-in device of the tests brings its own


def row_dot(xp, a, b):
    """The dot product of each row of `a` with that of `b`: (..., D), (..., D) or (D,) -> (...).

    np.vecdot goes through BLAS, ten times faster than `(a * b).sum(-1)` over a short axis.
    """
    return np.vecdot(a, b) if xp is np else (a * b).sum(axis=-1)


def column_sum(xp, a):
    """The sum over all rows, (n, D) -> (D,), as a product with ones (twice as fast as sum(0))."""
    return xp.ones(a.shape[0], dtype=a.dtype) @ a


def keep_freed_memory():
    """Ask glibc to keep the arrays we free: else each activation is returned to the system and
    faulted in anew, page by page (a training step is 1.2 to 1.3 times slower). Elsewhere: nothing.
    """
    _mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD: arrays up to 32 MB come from the heap
    _mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD: the heap gives back only above 1 GB


def share_freed_memory():
    """Let all threads take arrays from one heap: a heap of its own gives back what it frees."""
    _mallopt(-8, 1)  # M_ARENA_MAX


def _mallopt(parameter, value):
    if sys.platform != "linux" or os.environ.get("MINIVIT_MALLOPT") == "0":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(parameter, value)


keep_freed_memory()
