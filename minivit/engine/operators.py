"""Python's operators and NumPy's own functions on Tensors.

`x * y`, `x.mean(axis=0)`, `np.exp(x)` and `np.concatenate([x, y])` all mean the ops of the last
chapters, so the CLIP pseudocode runs as it is printed, with `import numpy as np` at the top. A
function is called as NumPy's documentation says, by name or by position; an argument that has no
meaning here (out=, where=) is refused by its name.
"""

import operator
from functools import cache
from inspect import Parameter, signature

import numpy as np

from minivit.engine import backend, composed, ops, products
from minivit.engine.errors import ArgumentError
from minivit.engine.record import function
from minivit.engine.tensor import FUNCTIONS, UFUNCS, Tensor

# -- operators -------------------------------------------------------------------------------------


def _reflected(f):
    return lambda self, other: f(other, self)


def _plain(name, f=None):
    """A function without a derivative (a comparison, an argmax): it answers with arrays. Without f,
    the one of that name in the module (NumPy or CuPy) that holds the operands."""

    def plain(*xs, **options):
        xs, options = _arrays(xs), {key: _arrays(x) for key, x in options.items()}
        xp = backend.module_of([a for a in (*xs, *options.values()) if hasattr(a, "dtype")], name)
        return (f or getattr(xp, name))(*xs, **options)

    plain.__name__ = plain.__qualname__ = name  # errors begin with it
    return function(plain)


def _refused(call):
    def refuse(self, other):
        raise ArgumentError(
            f"{call.format('t')} has no derivative in minivit; use the array: "
            f"{call.format('t.numpy()')}, through which no gradient flows."
        )

    return refuse


def _arrays(x):
    """The arrays of Tensors, also inside of lists and tuples. A NumPy number becomes Python's,
    which does not promote and is on every device; in `number > t` it comes as an array ()."""
    if isinstance(x, (list, tuple)):
        return type(x)([_arrays(item) for item in x])
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and not x.ndim):
        return x.item()
    return x._array if isinstance(x, Tensor) else x


for _name, _op in {
    "add": ops.add,
    "sub": ops.subtract,
    "mul": ops.multiply,
    "truediv": ops.divide,
    "pow": ops.power,
    "matmul": products.matmul,
}.items():
    setattr(Tensor, f"__{_name}__", _op)
    setattr(Tensor, f"__r{_name}__", _reflected(_op))
for _name in "gt ge lt le eq ne and_ or_ xor".split():
    _f = _plain(_name.strip("_"), getattr(operator, _name))
    setattr(Tensor, f"__{_name.strip('_')}__", _f)
    if _name in ("and_", "or_", "xor"):
        setattr(Tensor, f"__r{_name.strip('_')}__", _reflected(_f))
for _name, _sign in {"floordiv": "//", "mod": "%", "lshift": "<<", "rshift": ">>"}.items():
    setattr(Tensor, f"__{_name}__", _refused(f"{{}} {_sign} x"))
    setattr(Tensor, f"__r{_name}__", _refused(f"x {_sign} {{}}"))
Tensor.__divmod__, Tensor.__rdivmod__ = _refused("divmod({}, x)"), _refused("divmod(x, {})")
Tensor.__round__ = lambda self, ndigits=0: self.round(ndigits)
Tensor.__invert__ = _plain("invert", operator.invert)
Tensor.__neg__, Tensor.__pos__, Tensor.__abs__ = ops.negative, composed.positive, ops.absolute
Tensor.__getitem__ = ops.getitem
Tensor.__hash__ = object.__hash__  # == compares elements; a Tensor as a key is itself

# -- NumPy's functions -----------------------------------------------------------------------------
_TEXTS = {  # those that are written in C say what they take since NumPy 2.4 only
    np.concatenate: lambda arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind": ...,
    np.dot: lambda a, b, out=None: ...,
    np.inner: lambda a, b, /: ...,
    np.vdot: lambda a, b, /: ...,
    np.where: lambda condition, x=None, y=None, /: ...,
}


def _numpys(theirs, ours, **renamed):
    """`ours`, called as NumPy's function `theirs`: what ours does not take must be left out, or be
    what it is anyway. `renamed`: NumPy's names for ours. dtype= converts before, as NumPy does."""
    name = theirs.__name__

    def call(*args, **options):
        numpys, first, taken = _signatures(theirs, ours)
        taken = taken | renamed.keys()
        plain = len(args) == 1 and options.keys() <= taken and not renamed
        if plain and not any(value is np._NoValue for value in options.values()):
            return ours(*args, **options)
        try:
            given = numpys.bind(*args, **options).arguments
        except TypeError as error:
            raise ArgumentError(f"np.{name}: {error}; it takes {numpys}") from None
        operands = given.pop(first)
        operands = operands if numpys.parameters[first].kind is Parameter.VAR_POSITIONAL else (
            operands,)  # fmt: skip
        given |= given.pop("kwargs", {})
        if isinstance(operands[0], Tensor) and given.get("dtype") is not None:
            operands = [ops.astype(x, given.pop("dtype")) for x in operands]
        for key, value in list(given.items()):
            usual = numpys.parameters.get(key)
            left_out = value is None and key not in taken
            if usual is not None and (left_out or _same(value, usual.default)):
                del given[key]
            elif key not in taken:
                raise ArgumentError(
                    f"np.{name}: {key}= is not supported for Tensors. Leave it out, or use the "
                    f"array, np.{name}(t.numpy(), {key}=...), through which no gradient flows."
                )
        for key, same in renamed.items():
            if {key, same} <= given.keys():
                raise ArgumentError(f"np.{name}: {key}= and {same}= are one argument; give one")
        given = {renamed.get(key, key): value for key, value in given.items()}
        return ours(*operands, **given)

    call.__name__, call.__doc__, call.ours = name, ours.__doc__, ours
    return call


@cache
def _signatures(theirs, ours):
    """NumPy's, its first argument, and the names of ours; at the first call: there are many
    functions, and signatures take their time."""
    numpys = signature(_TEXTS.get(theirs, theirs))
    return numpys, next(iter(numpys.parameters)), set(signature(ours).parameters)


def _same(value, usual):
    return value is usual or (isinstance(value, (str, bool, int)) and value == usual)


def _reshape(x, shape=None, order="C", copy=None, newshape=None):
    """The same numbers under another shape; -1 is worked out. newshape: its name in NumPy 2.0."""
    shape = newshape if shape is None else shape
    return ops.reshape(x, shape, order=order, copy=copy)


def _where(condition, x=None, y=None, /):
    """x where the condition holds, else y."""
    if x is None or y is None:
        raise ArgumentError("np.where: on Tensors it takes a condition, x and y")
    return ops.where(condition, x, y)


for _name in (
    "add subtract multiply divide negative power exp log sqrt tanh absolute maximum minimum"
).split():
    UFUNCS[getattr(np, _name)] = getattr(ops, _name)
UFUNCS |= {
    np.matmul: products.matmul, np.square: composed.square, np.positive: composed.positive
}  # fmt: skip
for _name in (
    "sum mean max min prod cumsum transpose swapaxes broadcast_to concatenate stack split pad flip "
    "clip"
).split():
    FUNCTIONS[getattr(np, _name)] = _numpys(getattr(np, _name), getattr(ops, _name))
for _name in (
    "squeeze expand_dims moveaxis ravel matrix_transpose flipud fliplr array_split hstack vstack "
    "take take_along_axis sort repeat tile roll diagonal trace tril triu ptp diff outer tensordot "
    "inner vdot"
).split():
    FUNCTIONS[getattr(np, _name)] = _numpys(getattr(np, _name), getattr(composed, _name))
FUNCTIONS |= {
    f: _numpys(f, ours)
    for f, ours in {
        np.reshape: _reshape,
        np.linalg.norm: composed.norm,
        np.copy: composed.positive,
        np.dot: lambda a, b: products.dot(a, b),
        np.einsum: products.einsum,
    }.items()
}
FUNCTIONS |= {f: _numpys(f, ours, correction="ddof") for f, ours in {
    np.var: ops.var, np.std: ops.std
}.items()}  # fmt: skip
FUNCTIONS[np.where] = _where

for _name in (
    "greater greater_equal less less_equal equal not_equal isfinite isnan isinf signbit sign floor "
    "ceil trunc rint logical_and logical_or logical_not logical_xor"
).split():
    UFUNCS[getattr(np, _name)] = _plain(_name)
for _name in (
    "argmax argmin argsort zeros_like ones_like full_like allclose array_equal isclose "
    "all any round nonzero argwhere count_nonzero searchsorted unique bincount result_type"
).split():
    FUNCTIONS[getattr(np, _name)] = _plain(_name)
FUNCTIONS |= {np.shape: lambda a: a.shape, np.ndim: lambda a: a.ndim}
FUNCTIONS[np.size] = lambda a, axis=None: np.size(np.broadcast_to(np.empty(()), a.shape), axis)

# -- methods ---------------------------------------------------------------------------------------


def _method(f):
    def method(self, *args, **options):
        return f(self, *args, **options)

    method.__name__, method.__doc__ = f.__name__, f.__doc__
    return method


for _name in "reshape transpose swapaxes astype to exp log sqrt tanh".split():
    setattr(Tensor, _name, getattr(ops, _name))
for _name in (
    "sum mean var std max min prod cumsum clip squeeze ravel repeat take sort diagonal trace dot "
    "argmax argmin argsort all any round nonzero expand_dims moveaxis"
).split():
    setattr(Tensor, _name, _method(FUNCTIONS[getattr(np, _name)]))
Tensor.flatten, Tensor.copy = composed.flatten, composed.positive
Tensor.tolist = lambda self: self.numpy().tolist()
Tensor.T = property(ops.transpose, doc="Axes reversed.")
Tensor.mT = property(composed.matrix_transpose, doc="The last two axes exchanged.")
