"""Parameter: what is learnt, and the numbers that it begins with.

Weights are drawn on the host by `manual_seed`'s generator, whatever device they end up on.
"""

import contextlib
import math
import threading

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.record import function
from minivit.engine.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module owns and an optimizer changes. order="F": columns side by side."""

    __slots__ = ()

    @function
    def __init__(self, data, order="K"):
        if _thread.empty:
            data = _placeholder(np.shape(data))
        elif order != "K":
            data = np.asarray(data, order=order)
        super().__init__(data, requires_grad=True, device=backend.default_device())

    def assign(self, values):
        """Overwrite the values in place; `values` may be on the host."""
        if _thread.empty:
            return
        if np.shape(values) != self.shape:
            raise ShapeError(f"assign: got shape {np.shape(values)}, expected {self.shape}")
        self.data[...] = backend.to_device(np.asarray(values, self.dtype), self.device)
        self.touch()


class Buffer(Tensor):
    """A Tensor that belongs to a Module's state but is not learnt (running statistics)."""

    __slots__ = ()

    def __init__(self, data):
        super().__init__(data, device=backend.default_device())


# -- initialisation --------------------------------------------------------------------------------
class _Thread(threading.local):
    empty = False


_thread = _Thread()


@contextlib.contextmanager
def empty():
    """Models made inside of this block have no weights yet: nothing is drawn, nothing takes memory.
    A Parameter has its shape and one number behind it, until its `data` is set (a published file
    read). In this thread: what other threads make has its weights.
    """
    before, _thread.empty = _thread.empty, True
    try:
        yield
    finally:
        _thread.empty = before


def _placeholder(shape):
    return np.lib.stride_tricks.as_strided(np.zeros((), np.float32), shape, (0,) * len(shape))


@function
def normal(shape, std):
    """float32 numbers from N(0, std^2)."""
    if _thread.empty:
        return _placeholder(shape)
    return (backend.host_generator().standard_normal(shape) * std).astype(np.float32)


@function
def truncated_normal(shape, std):
    """float32 numbers from N(0, std^2), drawn again until within 2 std (BERT, ViT ports)."""
    if _thread.empty:
        return _placeholder(shape)
    x = backend.host_generator().standard_normal(shape)
    while (far := np.abs(x) > 2).any():
        x[far] = backend.host_generator().standard_normal(int(far.sum()))
    return (x * std).astype(np.float32)


@function
def uniform(shape, bound):
    """float32 numbers from [-bound, bound)."""
    if _thread.empty:
        return _placeholder(shape)
    return backend.host_generator().uniform(-bound, bound, shape).astype(np.float32)


@function
def xavier_uniform(out_features, in_features):
    """Glorot & Bengio 2010: U(-a, a) with a = sqrt(6 / (in + out))."""
    return uniform((out_features, in_features), math.sqrt(6 / (in_features + out_features)))


def is_integer(x, least=0, most=math.inf):
    """Is x an integer, Python's or NumPy's, from `least` to `most`? True is none."""
    is_one = isinstance(x, (int, np.integer)) and not isinstance(x, bool)
    return is_one and least <= x <= most


def check_sizes(owner, least=1, **sizes):
    """Refuse sizes that are no integers, `least` or more; the error names `owner`'s argument."""
    for name, size in sizes.items():
        if not is_integer(size, least):
            raise OptionError(
                f"{_name(owner)}: {name} is {size!r}, expected an integer, {least} or more"
            )


def check_choice(owner, choices, **options):
    """Refuse an option that is not among the `choices`."""
    for name, option in options.items():
        if not isinstance(option, str) or option not in choices:
            known = ", ".join(map(repr, choices))
            raise OptionError(f"{_name(owner)}: {name} is {option!r}, expected one of {known}")


def check_share(owner, **shares):
    """Refuse what is no share of something that stays."""
    _check_numbers(owner, 0, 1, "0 <= p < 1", shares)


def check_eps(owner, **small):
    """Refuse what is no number to be added under a root."""
    _check_numbers(owner, 0, math.inf, "a number, 0 or more", small)


def _check_numbers(owner, low, high, expected, numbers):
    for name, x in numbers.items():
        number = isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)
        if not number or not low <= x < high:
            raise OptionError(f"{_name(owner)}: {name} is {x!r}, expected {expected}")


def _name(owner):
    return owner if isinstance(owner, str) else type(owner).__name__
