"""The choice of arrays: NumPy or CuPy.

The arrays decide. An op receives `xp`, the module its operands belong to (`numpy`, or `cupy`),
found once by the engine; nothing is decided at import, and nothing else in this library imports
cupy. The next chapters hold the functions that the two modules spell differently, once.

    minivit.use("cuda")             # new tensors are made on the GPU from here on
    with minivit.use("cpu"): ...    # and inside this block on the CPU
    model.to("cuda"); x.to("cpu")   # what exists moves only when told to
"""

import operator
import sys
from _thread import _local  # threading.local; threading itself is not needed yet
from contextlib import contextmanager

import numpy as np

from minivit.engine.errors import DeviceError, DtypeError, OptionError, ShapeError

# -- devices ---------------------------------------------------------------------------------------
MODULES = {"cpu": np}  # device -> the module whose arrays live there; "cuda" joins when first used
_DEVICES = {np.ndarray: "cpu"}  # array type -> device


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


def is_array(x):
    """Is x an array as the ops take it: NumPy's, mapped from a file or not, or a device's?"""
    return type(x) in _DEVICES or type(x) is np.memmap


def to_array(data, where):
    """Numbers, lists, and arrays of other libraries as a NumPy array.

    Subclasses of np.ndarray are refused, for `*` and `sum` mean something else there (np.matrix,
    masked arrays); an np.memmap is an array like others.
    """
    if is_array(data):
        return data
    if isinstance(data, np.ndarray):
        kind = type(data).__name__
        how = ".filled(0), and a mask of its own" if hasattr(data, "filled") else "np.asarray(it)"
        raise DtypeError(f"{where}: got a {kind}, whose operators are its own; pass {how}")
    try:
        return np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{where}: {error}") from error


def to_dtype(dtype, where):
    """np.dtype(dtype), of numbers."""
    try:
        dtype = np.dtype(dtype)
    except TypeError as error:
        raise DtypeError(f"{where}: dtype: {error}") from error
    if dtype.kind not in "biufc":
        raise DtypeError(f"{where}: dtype: got {dtype}, expected one of numbers")
    return dtype


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
    device = default_device() if device is None else device
    if not isinstance(device, str):
        raise DeviceError(f"device: got {device!r}, expected 'cpu' or 'cuda'")
    if device == "cuda" and device not in MODULES:
        add_device("cuda", _load_cupy())
    if device not in MODULES:
        raise DeviceError(f"device: got {device!r}, expected 'cpu' or 'cuda'")
    return MODULES[device]


# Which device `use` chose: the calls that hold, the last one first of all. Lists of a thread, not
# a ContextVar, which Jupyter loses between two cells; a thread without a choice follows
# the main one.
_mains = []


class _Thread(_local):
    def __init__(self):
        threading = sys.modules.get("threading")  # without it there is one thread
        self.is_main = not threading or threading.current_thread() is threading.main_thread()
        self.uses = _mains if self.is_main else []
        self.streams = None  # random streams of its own: {module: stream}, and their seed


_thread = _Thread()


class use:
    """Choose where new tensors are made; as a `with` block, only inside of it.

    A thread's choice holds in this thread alone, but for the main thread's, which holds in all
    threads that have chosen nothing themselves.
    """

    def __init__(self, device):
        if device is None:
            raise DeviceError("use: device: got None, expected 'cpu' or 'cuda'")
        module(device)  # refuses now what cannot work later
        self.device, self._blocks, self._uses = device, 0, _thread.uses
        if len(self._uses) > 1 and not any(u._blocks for u in self._uses[-2:]):
            del self._uses[-2]  # two for good: of these, nobody comes back to the first
        self._uses.append(self)

    def __enter__(self):
        if not self._blocks and self in self._uses:
            self._uses.remove(self)  # not for good
        self._uses.append(self)
        self._blocks += 1
        return self

    def __exit__(self, *exc):
        """Out of this block, and out of what was chosen for good inside of it; blocks may end in
        any order."""
        uses = self._uses
        here = len(uses) - 1 - uses[::-1].index(self)
        uses[here:] = [u for u in uses[here + 1 :] if u._blocks]
        self._blocks -= 1

    def __repr__(self):
        return f"new tensors are made on {default_device()!r}"


def default_device():
    """The device that `use` chose last."""
    uses = _thread.uses or _mains
    return uses[-1].device if uses else "cpu"


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
    if isinstance(device, str) and here == device:
        return array
    xp = module(device)
    return np.asarray(array) if xp is np and here == "cpu" else xp.asarray(to_numpy(array))


def to_numpy(array):
    """The array on the host: itself, or a copy from the GPU (which waits for it)."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())


# -- products --------------------------------------------------------------------------------------
BLAS = sys.platform != "emscripten"  # NumPy in a browser has none


def product_without_blas(x, y):
    """x @ y of two matrices, where NumPy has no BLAS: einsum's loops are the faster ones there."""
    return np.einsum("mk,kn->mn", x, y) if isinstance(x, np.ndarray) else x @ y


product = operator.matmul if BLAS else product_without_blas  # of two matrices


def product_of_rows(x, W):
    """x W^T: (rows, in), (out, in) -> (rows, out). A few rows with a large W are multiplied as
    (W x^T)^T, in which BLAS reads W as it lies: 0.7 of the time for 2 to 32 rows, 0.9 for 100."""
    few = 100 if W.size >= 1 << 18 else 32 if W.size >= 1 << 15 else 1
    if 1 < len(x) <= few and BLAS and isinstance(x, np.ndarray):
        return (W @ x.T).T.copy()  # in row-major order
    return product(x, W.T)


# -- random numbers --------------------------------------------------------------------------------
_seed = 0
_generators = {}  # module -> its random stream, made when first used (numpy.random loads slowly)


def manual_seed(seed):
    """Start every random stream anew: weights, shuffles and dropout follow from `seed`."""
    global _seed
    if isinstance(seed, np.generic):
        seed = seed.item()
    if type(seed) is not int or seed < 0:
        raise OptionError(f"manual_seed: got {seed!r}, expected an integer, 0 or more")
    _seed = seed
    _generators.clear()


def _generator(xp):
    streams, seed = _thread.streams or (_generators, _seed)
    if xp not in streams:
        streams[xp] = xp.random.default_rng(seed)
    return streams[xp]


def host_generator():
    """The NumPy generator that draws weights and shuffles, whichever device they go to."""
    return _generator(np)


def random_state():
    """The host generator's state, as numbers that JSON can hold."""
    return host_generator().bit_generator.state


def set_random_state(state):
    """Continue the host generator's stream where `random_state` was taken."""
    host_generator().bit_generator.state = state


@contextmanager
def streams(seed):
    """Inside of this block random numbers come from new streams; afterwards from the old ones, as
    if nothing had been drawn."""
    global _seed
    before = _seed, _generators.copy()
    _seed = seed
    _generators.clear()
    try:
        yield
    finally:
        _seed = before[0]
        _generators.clear()
        _generators.update(before[1])


def uniform(xp, shape, dtype):
    """Numbers in [0, 1) drawn where they are used (a GPU has a stream of its own)."""
    return _generator(xp).random(shape, dtype=dtype)


def random_start(xp):
    """The state of this thread's random streams, for `random_from`.

    On the host the stream goes on; a thread besides the main one, which shares it with others, and
    a GPU, whose stream cannot be copied, begin one from a seed that the host draws.
    """
    if xp is np and (_thread.is_main or _thread.streams):
        state = random_state()
        return state, state["state"]["state"] % 2**32
    seed = int(host_generator().integers(2**32))
    if _thread.is_main or _thread.streams:
        return random_state(), seed
    return np.random.default_rng(seed).bit_generator.state, seed


@contextmanager
def random_from(start, go_on=False):
    """Inside of this block this thread draws what it drew after `random_start`; go_on: and
    afterwards what follows."""
    state, seed = start
    host = np.random.default_rng(0)
    host.bit_generator.state = state
    before, _thread.streams = _thread.streams, ({np: host}, seed)
    try:
        yield
    finally:
        _thread.streams = before
    if go_on and (_thread.is_main or before):
        set_random_state(host.bit_generator.state)
