"""op: how a function of arrays becomes a function of Tensors.

    @op
    def mul(x, y, /):
        return x * y, lambda g: (g * y, g * x)

An op is a pure function of arrays that returns `(value, vjp)`. It never mentions Tensor, graph,
`requires_grad` or broadcasting; the decorator finds the arrays, records, and says in words what
does not fit.
"""

from functools import partial, wraps
from inspect import CO_GENERATOR, Signature, signature
from types import MappingProxyType

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
from minivit.engine.modes import _thread
from minivit.engine.tensor import Tensor

OPS = {}  # name -> op: every operation there is; the tests walk this table


def op(f=None, *, accepts=numerics.FLOATS):
    """Lift `f(*arrays, options) -> (value, vjp)` from arrays to Tensors, and register it.

    Arguments before the `/` are operands: Tensors, arrays or numbers; the vjp returns one gradient
    for each (or None), a bare array where there is one operand. The others are options. A first
    argument called `xp` receives numpy or cupy, whichever the operands belong to. The vjp may
    return `g` itself, views of it, or fresh arrays, each once; it never writes into its operands
    or `g`.

    A keyword-only argument called `differentiate` receives whether anybody will ask for the vjp:
    for an op that makes what the vjp needs beside its value, where it costs less.

    Where a gradient costs something, a tuple of functions may stand for the vjp, one per operand:

        return x @ y, (lambda g: g @ y.mT, lambda g: x.mT @ g)

    Then only those are called (and kept, with the arrays in them) whose operand wants a gradient.

    accepts: the dtypes that f is written for (numerics: FLOATS, NUMBERS, EVERY_DTYPE). Operands of
    others are converted before f sees them: integers as NumPy promotes them beside float32, and
    float16 to float32, in which case a float32 result goes back to float16.
    """
    if f is None:
        return lambda f: op(f, accepts=accepts)
    code, defaults = f.__code__, f.__defaults__ or ()  # as inspect.signature says it, but at once
    takes_xp = code.co_varnames[:1] == ("xp",)
    takes_differentiate = "differentiate" in (f.__kwdefaults__ or ())
    positional = code.co_posonlyargcount
    operand_count = positional - takes_xp if positional else None  # None: any number (*xs)
    optional = defaults[: max(0, len(defaults) - code.co_argcount + positional)].count(None)
    name, flags = f.__name__.strip("_"), _flags(f)

    @wraps(f)
    def lifted(*args, **options):
        operands, extra = args[:operand_count], args[operand_count:] if positional else ()
        if optional and operand_count - optional <= len(operands) < operand_count:
            operands += (None,) * (operand_count - len(operands))  # linear(x, W): no bias
        parents = tuple([x if isinstance(x, Tensor) else None for x in operands])
        arrays = [x._array if isinstance(x, Tensor) else _constant(x, name) for x in operands]
        xp = backend.module_of(arrays, name)
        half = fits = False
        for a in arrays:  # a loop, for speed: this stands before every op
            if hasattr(a, "dtype"):
                fits = a.dtype.char in accepts
                if not fits:
                    break
        if extra or options:
            extra = [_option(x, name) for x in extra]
            options = {key: _option(x, name) for key, x in options.items()}
            if flags:
                _check_flags(flags, name, (None,) * positional + (*extra,), options)
        modes = _thread.modes
        wanted = () if modes.no_grad else [p is not None and p._requires_grad for p in parents]
        how = {"differentiate": True in wanted} if takes_differentiate else {}
        try:
            if not fits:
                arrays, half = numerics.converted(arrays, accepts, name)
                xp = backend.module_of(arrays, name)
            pair = f(*((xp,) if takes_xp else ()), *arrays, *extra, **how, **options)
        except MinivitError:
            raise
        except _RAW as error:
            raise _in_words(error, name, f, takes_xp, arrays, extra, options) from error
        if type(pair) is not tuple or len(pair) != 2:
            raise GraphError(_no_pair(pair, name))
        value, vjp = pair
        if type(value) is not xp.ndarray and not backend.is_array(value):
            if not isinstance(value, (np.generic, float, int)):
                raise GraphError(_no_pair(pair, name))
            value = xp.asarray(value)  # NumPy's sum of all elements
        if not callable(vjp) and type(vjp) is not tuple:
            raise GraphError(_no_pair(pair, name))
        if half and value.dtype.char == "f":
            value = value.astype(np.float16)
        if modes.detect_anomaly:
            _refuse_non_finite(value, f"{name}: its result")
        if True not in wanted or (value.dtype.kind != "f" and not _differentiable(value, name)):
            return Tensor._from_op(value, (), None, name)
        if type(vjp) is tuple:
            vjp = _each(vjp, wanted, name)
        if half and value.dtype.char == "e":
            vjp = numerics.in_float32(vjp)
        if modes.detect_anomaly:
            vjp = _watched(vjp, arrays, wanted, name)
        return Tensor._from_op(value, parents, vjp, name)

    if takes_xp or takes_differentiate:
        lifted.__signature__ = _AsCalled(f)
    OPS[name] = lifted
    # for code that has arrays, and no use for Tensors or gradients (sampling.decoding)
    lifted.on_arrays = partial(f, differentiate=False) if takes_differentiate else f

    def twin(composed):
        """Register the same function composed of smaller ops: the oracle of the tests."""
        lifted.composed = composed
        return composed

    lifted.twin, lifted.accepts = twin, accepts
    return lifted


class _AsCalled(Signature):
    """The call that works, for help() and editors: f's signature without what the engine fills in.
    It is worked out when somebody asks: there are many ops, and signatures take their time."""

    def __init__(self, f):
        self._f, self._return_annotation = f, Signature.empty

    @property
    def parameters(self):
        own = signature(self._f).parameters.items()
        return MappingProxyType({k: p for k, p in own if k not in ("xp", "differentiate")})

    def replace(self, **changes):  # what inspect asks of a method: the same without self
        return Signature(list(self.parameters.values())).replace(**changes)

    def __reduce__(self):
        return Signature, (list(self.parameters.values()),)


def _no_pair(returned, name):
    """The form of the result of an @op, beside the result that came."""
    kinds = [type(x).__name__ for x in returned] if type(returned) is tuple else type(returned)
    return (
        f"{name}: an op returns (value, vjp), an array and a function of its gradient, such as "
        f"`return x * 2, lambda g: g * 2`; got {kinds}"
    )


def _constant(x, name):
    """An operand that is no Tensor: an array, or a number that will not promote anything."""
    if x is None or type(x) in (float, int, bool) or backend.is_array(x):
        return x
    if isinstance(x, (np.generic, float, int)):
        x = x.item() if isinstance(x, np.generic) else x
        if isinstance(x, (float, int)):
            return x
    elif isinstance(x, np.ndarray) or hasattr(x, "__array_interface__"):
        return backend.to_array(x, name)
    raise DtypeError(f"{name}: got {type(x).__name__}, expected a Tensor, an array or a number")


def _option(x, name):
    """An argument that is not differentiated. A NumPy number becomes Python's (np.float64(2) would
    promote float32, 2.0 does not), a Tensor its array."""
    if isinstance(x, Tensor):
        if x._requires_grad:
            raise GraphError(
                f"{name}: an option is a Tensor that requires a gradient, but only the operands "
                "are differentiated. Pass it as an operand, or as .detach()."
            )
        return x._array
    if isinstance(x, np.generic):
        return x.item()
    return backend.to_array(x, name) if isinstance(x, np.ndarray) else x


def _flags(f):
    """{place or None: name} of the arguments that are True or False: their default is."""
    code, defaults = f.__code__, f.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    places = enumerate(zip(names[::-1], defaults[::-1]))
    found = {code.co_argcount - 1 - i: n for i, (n, value) in places if type(value) is bool}
    only = {name: name for name, value in (f.__kwdefaults__ or {}).items() if type(value) is bool}
    return found | only


def _check_flags(flags, name, args, options):
    """Refuse a flag that is neither True nor False: "no" would be taken for True."""
    for place, flag in flags.items():
        value = options.get(flag, False)
        if type(place) is int and place < len(args):
            value = args[place]
        if not isinstance(value, (bool, np.bool_)) and not (type(value) is int and value in (0, 1)):
            raise DtypeError(f"{name}: {flag} is {_kind(value)}, expected True or False")


_RAW = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def function(f):
    """A function that is made of ops, or a method, which says in words what it does not take, as
    ops do. It is for arguments that nobody foresaw: what is likely to go wrong has a sentence of
    its own, where it is checked."""
    name = f.__qualname__.rpartition("<locals>.")[2]
    is_method, name = "." in name, name.removesuffix(".__init__")
    flags = _flags(f)

    if f.__code__.co_flags & CO_GENERATOR:

        @wraps(f)
        def worded(*args, **options):
            if flags:
                _check_flags(flags, name, args, options)
            try:
                return (yield from f(*args, **options))
            except MinivitError:
                raise
            except _RAW as error:
                raise _in_words(error, name, f, False, args, (), options, is_method) from error

    else:

        @wraps(f)
        def worded(*args, **options):
            if flags:
                _check_flags(flags, name, args, options)
            try:
                return f(*args, **options)
            except MinivitError:
                raise
            except _RAW as error:
                raise _in_words(error, name, f, False, args, (), options, is_method) from error

    return worded


def _in_words(error, name, f, takes_xp, arrays, extra, options, is_method=False):
    """A refusal of NumPy or Python as an error of this library, which names the op."""
    if isinstance(error, FloatingPointError):  # np.errstate(...="raise")
        return NonFiniteError(f"{name}: {error}")
    if isinstance(error, TypeError):
        try:
            signature(f).bind(*[None] * takes_xp, *arrays, *extra, **options)
        except TypeError as wrong_call:
            return ArgumentError(
                f"{name}: {wrong_call}; it takes {_takes(f, takes_xp or is_method)}"
            )
    given = [_kind(a) for a in arrays[is_method:]]
    given = " and ".join(given + [f"{key}={_kind(a)}" for key, a in options.items()])
    if isinstance(error, (TypeError, AttributeError)):
        missing = "NoneType" in str(error)
        why = "expected a Tensor, an array or a number in place of None" if missing else error
        return DtypeError(f"{name}: got {given or 'nothing'}: {why}")
    kind = RangeError if isinstance(error, (LookupError, ArithmeticError)) else ShapeError
    shapes = " and ".join(str(a.shape) for a in arrays if hasattr(a, "shape"))
    return kind(f"{name}: got {f'shapes {shapes}' if shapes else given or 'nothing'}: {error}")


def _kind(x):
    """The kind of an argument, in a few letters."""
    if hasattr(x, "dtype"):
        return str(x.dtype)
    text = repr(x) if isinstance(x, (int, float, complex, str, bytes, tuple, type(None))) else ""
    return text if 0 < len(text) < 30 else type(x).__name__


def _takes(f, takes_xp):
    arguments = list(signature(f).parameters.values())[takes_xp:]
    arguments = [a for a in arguments if a.name != "differentiate"]
    return str(signature(f).replace(parameters=arguments))


def _differentiable(value, name):
    """Has this result a derivative? Only floating-point numbers have. Integers have none, and what
    is complex would need conjugates, of which no vjp here thinks."""
    if value.dtype.kind == "c":
        raise DtypeError(
            f"{name}: its result is {value.dtype}, and an operand requires a gradient; derivatives "
            "here are of real numbers. Use .detach(), or with minivit.no_grad()."
        )
    return value.dtype.kind == "f"


def _each(vjps, wanted, name):
    """One vjp of those of the single operands; of those that nobody asks for, nothing is kept. The
    last comes first: a bias's sum brings g into the cache for the products."""
    if len(vjps) != len(wanted):
        raise GraphError(f"{name}: returned {len(vjps)} vjps for {len(wanted)} operands")
    backwards = [f if w else None for f, w in zip(vjps, wanted, strict=True)][::-1]
    return lambda g: tuple([None if f is None else f(g) for f in backwards][::-1])


def _watched(vjp, arrays, wanted, name):
    """The same vjp, which refuses operands that changed since, and gradients that are not finite
    of operands that want one (x / 0.0 has a gradient of x alone)."""
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
        each = gradients if type(gradients) is tuple else (gradients,)
        for gp, is_wanted in zip(each, wanted, strict=False):  # their number: Node.pull
            if is_wanted and hasattr(gp, "dtype"):
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
