"""op: how a function of arrays becomes a function of Tensors.

    @op
    def mul(x, y, /):
        return x * y, lambda g: (g * y, g * x)

An op is a pure function of arrays that returns `(value, vjp)`. It never mentions Tensor, graph,
`requires_grad` or broadcasting; the decorator finds the arrays, records, and says in words what
does not fit.
"""

from contextlib import ContextDecorator
from functools import wraps
from inspect import Parameter as Argument
from inspect import signature

import numpy as np

from minivit.engine import backend, numerics
from minivit.engine.errors import (
    ArgumentError,
    DtypeError,
    GraphError,
    MinivitError,
    NonFiniteError,
    RangeError,
    ShapeError,
)
from minivit.engine.tensor import Tensor

OPS = {}  # name -> op: every operation there is; the tests walk this table
_recording = True
_anomaly = False


def op(f=None, *, accepts=numerics.FLOATS):
    """Lift `f(*arrays, options) -> (value, vjp)` from arrays to Tensors, and register it.

    Arguments before the `/` are operands: Tensors, arrays or numbers; the vjp returns one gradient
    for each (or None), a bare array where there is one operand. What follows are options. A first
    argument called `xp` receives numpy or cupy, whichever the operands belong to. The vjp may
    return `g` itself, views of it, or fresh arrays, each once; it never writes into its operands
    or `g`.

    accepts: the dtypes that f is written for (numerics: FLOATS, NUMBERS, EVERY_DTYPE). Operands of
    others are converted before f sees them: integers as NumPy promotes them beside float32, and
    float16 to float32, in which case a float32 result goes back to float16.
    """
    if f is None:
        return lambda f: op(f, accepts=accepts)
    arguments = list(signature(f).parameters.values())
    takes_xp = arguments[0].name == "xp"
    positional = [a for a in arguments if a.kind is Argument.POSITIONAL_ONLY]
    operand_count = len(positional) - takes_xp if positional else None  # None: any number (*xs)
    optional = [a.default for a in positional].count(None)
    name = f.__name__.strip("_")

    @wraps(f)
    def lifted(*args, **options):
        operands, extra = args[:operand_count], args[operand_count:] if positional else ()
        if optional and operand_count - optional <= len(operands) < operand_count:
            operands += (None,) * (operand_count - len(operands))  # linear(x, W): no bias
        parents = tuple([x if isinstance(x, Tensor) else None for x in operands])
        arrays = [x._data if isinstance(x, Tensor) else _constant(x, name) for x in operands]
        xp = backend.module_of(arrays, name)
        half, kinds = False, {a.dtype.char for a in arrays if hasattr(a, "dtype")}
        if extra or options:
            extra = [_option(x, name) for x in extra]
            options = {key: _option(x, name) for key, x in options.items()}
        try:
            if not kinds or not kinds <= accepts:
                arrays, half = numerics.converted(arrays, accepts, name)
                xp = backend.module_of(arrays, name)
            value, vjp = f(*((xp,) if takes_xp else ()), *arrays, *extra, **options)
        except MinivitError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise _in_words(error, name, f, takes_xp, arrays, extra, options) from error
        if isinstance(value, (np.generic, float, int)):  # NumPy's sum of all elements
            value = xp.asarray(value)
        if half and value.dtype.char == "f":
            value, vjp = value.astype(np.float16), numerics.in_float32(vjp)
        if _anomaly:
            _refuse_non_finite(value, f"{name}: its result")
        if not _recording or not any([p is not None and p.requires_grad for p in parents]):
            parents, vjp = (), None
        elif _anomaly:
            vjp = _watched(vjp, arrays, name)
        return Tensor._from_op(value, parents, vjp, name)

    OPS[name] = lifted
    lifted.on_arrays = f  # for code that has arrays, and no use for Tensors (sampling.decoding)

    def twin(composed):
        """Register the same function composed of smaller ops: the oracle of the tests."""
        lifted.composed = composed
        return composed

    lifted.twin = twin
    return lifted


def _constant(x, name):
    """An operand that is no Tensor: an array, or a number that will not promote anything."""
    if x is None or type(x) in (float, int, np.ndarray):
        return x
    if isinstance(x, np.generic):
        return x.item()
    if hasattr(x, "shape") or isinstance(x, (bool, float, int)):
        return x
    raise DtypeError(f"{name}: got {type(x).__name__}, expected a Tensor, an array or a number")


def _option(x, name):
    """An argument that is not differentiated. A NumPy number becomes Python's (np.float64(2) would
    promote float32, 2.0 does not), a Tensor its array."""
    if isinstance(x, Tensor):
        if x.requires_grad:
            raise GraphError(
                f"{name}: an option is a Tensor that requires a gradient, but only the operands "
                "are differentiated. Pass it as an operand, or as .detach()."
            )
        return x._data
    return x.item() if isinstance(x, np.generic) else x


def function(f):
    """A function that is made of ops and says in words, as they do, what it does not take."""
    name = f.__name__

    @wraps(f)
    def worded(*args, **options):
        try:
            return f(*args, **options)
        except MinivitError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise _in_words(error, name, f, False, args, (), options) from error

    return worded


def _in_words(error, name, f, takes_xp, arrays, extra, options):
    """What NumPy or Python refused, as an error of this library that names the op."""
    if isinstance(error, TypeError):
        try:
            signature(f).bind(*[None] * takes_xp, *arrays, *extra, **options)
        except TypeError as wrong_call:
            return ArgumentError(f"{name}: {wrong_call}; it takes {_takes(f, takes_xp)}")
    if isinstance(error, (TypeError, AttributeError)):
        kinds = [getattr(a, "dtype", type(a).__name__) for a in arrays]
        return DtypeError(f"{name}: got {' and '.join(map(str, kinds))}: {error}")
    kind = RangeError if isinstance(error, (LookupError, ArithmeticError)) else ShapeError
    shapes = " and ".join(str(a.shape) for a in arrays if hasattr(a, "shape"))
    return kind(f"{name}: got shapes {shapes}: {error}")


def _takes(f, takes_xp):
    arguments = list(signature(f).parameters.values())[takes_xp:]
    return str(signature(f).replace(parameters=arguments))


class _mode(ContextDecorator):
    """A switch that is thrown inside a `with` block or a decorated function."""

    def _recreate_cm(self):
        return type(self)()  # a decorated function may be called inside of itself

    def __enter__(self):
        self._before = globals()[self._switch]
        globals()[self._switch] = self._value

    def __exit__(self, *exc):
        globals()[self._switch] = self._before


class no_grad(_mode):
    """`with no_grad():` or `@no_grad()`: nothing is recorded, so nothing is kept."""

    _switch, _value = "_recording", False


class detect_anomaly(_mode):
    """`with detect_anomaly():` the first op whose result or gradient holds NaN or infinity is named
    (NonFiniteError), and so is one whose arrays were overwritten before its vjp ran (GraphError).
    Slow; for finding out."""

    _switch, _value = "_anomaly", True


def _watched(vjp, arrays, name):
    """The same vjp, which refuses operands that changed since and gradients that are not finite."""
    kept = [a for a in arrays if hasattr(a, "shape")]
    before = [backend.to_numpy(a).tobytes() for a in kept]

    def watched(g):
        for a, bytes_then in zip(kept, before, strict=True):
            if backend.to_numpy(a).tobytes() != bytes_then:
                raise GraphError(
                    f"{name}: an operand of shape {a.shape} was overwritten between the forward "
                    "pass and the backward pass. Write after backward, or into a copy."
                )
        gradients = vjp(g)
        for gp in gradients if type(gradients) is tuple else (gradients,):
            if gp is not None:
                _refuse_non_finite(gp, f"{name}: its gradient")
        return gradients

    return watched


def _refuse_non_finite(array, where):
    host = backend.to_numpy(array) if hasattr(array, "get") else np.asarray(array)
    if host.dtype.kind in "fc" and not np.isfinite(host).all():
        raise NonFiniteError(
            f"{where} (shape {host.shape}) has {int(np.isnan(host).sum())} NaN and "
            f"{int(np.isinf(host).sum())} infinite values"
        )
