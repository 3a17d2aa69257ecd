"""`strict`, a test double of CuPy that needs no GPU: NumPy's arrays behind a wall.

    strict.install()                       # minivit.use("strict"), t.to("strict") work from here on
    strict.reset(); training_step()
    assert strict.stats.syncs <= 1         # and .launches, .uploads, .float64

The wall refuses what CuPy 14 refuses, with the same type of error: an implicit copy to the host,
host arrays among the operands, names and keywords that CuPy's wheel lacks (cupy_api.json), lists in
place of arrays, a ufunc's `where=`, `maximum.reduce`, `add.at` on int8. It also refuses four things
that CuPy lets pass, because they are slow or undefined there: NumPy's functions on device arrays,
host arrays as an index or a value (a silent upload), assignment to an index that occurs twice, and
pickling.

It shows that code that runs here keeps host and device apart and uses only names, keywords and
operators that both libraries have, with the results of NumPy bit for bit.

It cannot show CuPy's numbers (order of sums, atomics, TF32, denormals flushed to zero), its
dtype gaps, speed, memory, errors that arrive late, the silent wrap of an index out of bounds (here
it raises), contiguity. A launch is a call that made an array or wrote into one: CuPy's `var` is
several kernels, here it is one. Waits are counted where CuPy's source has them: copies to the
host, boolean masks, `nonzero` and its like. It never stands in for CuPy in the product, and only a
run on a GPU shows that a GPU works.
"""

import inspect
import json
import math
import numbers
from functools import cache
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace

import numpy as np

API = json.loads((Path(__file__).parent / "cupy_api.json").read_text())
stats = SimpleNamespace()


def reset():
    """Count from zero: kernel launches, waits for the device, copies to it, float64 results."""
    stats.launches = stats.syncs = stats.uploads = stats.float64 = 0


def install():
    """Make "strict" a device of minivit; returns the module that its ops receive as `xp`."""
    from minivit.engine import backend

    backend.add_device("strict", xp)
    return xp


# -- through the wall and back ---------------------------------------------------------------------
def _run(function, args, kwargs=(), writes=False):
    """Call NumPy on what is behind the device arrays; wrap what it returns, and count."""
    seen, kwargs = [], dict(kwargs)
    args = [_inside(a, seen) for a in args]
    kwargs = {key: _inside(a, seen) for key, a in kwargs.items()}
    with np.errstate(all="ignore"):  # a GPU never warns
        result = function(*args, **kwargs)
    return _outside(result, seen, writes or kwargs.get("out") is not None)


def _inside(value, seen):
    if isinstance(value, ndarray):
        seen.append(value)
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"Unsupported type {type(value)}: a host array of shape {value.shape} among device "
            "arrays; upload it once, with xp.asarray"
        )
    if isinstance(value, (list, tuple)):
        return type(value)(_inside(v, seen) for v in value)
    return value


def _outside(result, seen=(), writes=False):
    fresh = []
    result = _wrap(result, seen, fresh)
    stats.launches += bool(fresh) or writes or result is None
    stats.float64 += sum(a.dtype.char in "dD" for a in fresh)
    return result


def _wrap(result, seen, fresh):
    if isinstance(result, (list, tuple)):
        kind = list if isinstance(result, list) else tuple
        return kind(_wrap(r, seen, fresh) for r in result)
    if isinstance(result, np.generic):
        result = np.asarray(result)  # CuPy has no scalars: a 0-d array stays on the device
    if not isinstance(result, np.ndarray):
        return result
    if result.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {result.dtype}")
    for array in seen:
        if result is array._host:
            return array
        if _memory(result) is _memory(array._host):
            return ndarray(result, array if array.base is None else array.base)
    fresh.append(ndarray(result))
    return fresh[-1]


def _memory(array):
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


# -- arrays ----------------------------------------------------------------------------------------
class ndarray:
    """An array on a device that does not exist; `_host` is what only this file may touch."""

    __slots__ = ("_host", "base", "__weakref__")
    __array_ufunc__ = None  # NumPy's ufuncs refuse it, np.float32(2) * x comes to __rmul__
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, host, base=None):
        self._host, self.base = host, base

    def __getattr__(self, name):
        """NumPy's methods, as far as CuPy's arrays have them, with CuPy's keywords."""
        spec = API["ndarray"].get(name)
        if spec is None or name.startswith("__"):
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        if spec == "" or not hasattr(np.ndarray, name):
            raise AttributeError(f"cupy.ndarray.{name}: not portable, or not in this double")
        method = _method(name)
        return lambda *args, **kwargs: method.run(args, kwargs, self)

    @property
    def data(self):
        """The address of the memory; of cupy.cuda.MemoryPointer only the number."""
        return SimpleNamespace(ptr=self._host.__array_interface__["data"][0])

    def get(self):
        """A copy on the host, for which the host waits; so do item, float(x), print(x) ..."""
        stats.syncs += 1
        return self._host.copy()

    def __format__(self, spec):
        return format(self.get(), spec)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"np.{function.__name__} on a device array: use xp.{function.__name__}")

    def __reduce_ex__(self, protocol):
        raise TypeError("a pickled device array needs a GPU to be read again: pickle x.get()")

    def __deepcopy__(self, memo):
        return self.copy()

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        index, _ = _index(index)
        return _outside(self._host[index], [self])

    def __setitem__(self, index, value):
        index, arrays = _index(index)
        if isinstance(value, (list, tuple, np.ndarray)):
            whole = not arrays and np.ndim(value)
            raise (ValueError if whole else TypeError)(
                f"x[...] = {type(value)}: a host value for a device array; upload it, xp.asarray"
            )
        if any(a.dtype.kind in "iu" and a.size > 1 for a in arrays):
            written = np.arange(self.size).reshape(self.shape)[index]
            if np.unique(written).size < written.size:
                raise ValueError(
                    "x[index] = value, or x[index] += value, where an index occurs twice: which "
                    "value stays is undefined on a GPU. Use xp.add.at, or distinct indices."
                )
        self._host[index] = _inside(value, [])
        stats.launches += 1


def _index(index):
    """The index for NumPy, and the device arrays in it. `...` keeps x[0] of a vector a view."""
    items = index if isinstance(index, tuple) else (index,)
    for i in items:
        if isinstance(i, (list, tuple)):
            raise TypeError(f"x[{i}]: the list is uploaded, silently; keep ids on the device")
    arrays = [i for i in items if isinstance(i, ndarray)]
    stats.syncs += any(a.dtype == bool for a in arrays)  # how many are True decides the shape
    whole = () if any(i is Ellipsis for i in items) else (Ellipsis,)
    return tuple(_inside(i, []) for i in items) + whole, arrays


for _name in "shape strides dtype ndim size nbytes itemsize".split():
    setattr(ndarray, _name, property(attrgetter(f"_host.{_name}")))
for _name in "T mT real imag".split():  # views
    _view = lambda self, n=_name: _outside(getattr(self._host, n), [self])  # noqa: E731
    setattr(ndarray, _name, property(_view))
for _to in (float, int, complex, bool, str, repr):
    setattr(ndarray, f"__{_to.__name__}__", lambda self, to=_to: to(self.get()))
for _name in ("item", "tolist", "tobytes"):
    setattr(ndarray, _name, lambda self, n=_name: getattr(self.get(), n)())


@cache
def _method(name):
    return _Function(name, API["ndarray"][name], getattr(np.ndarray, name))


# -- functions -------------------------------------------------------------------------------------
_UPLOADS = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
_ARRAYS = {"a", "a1", "x", "m", "v", "ar", "arr", "ary", "array", "condition"}  # lists not taken
_NUMBERS = {"ndim", "shape"}  # of anything; a question about the host
_BOXED = {"allclose", "array_equal", "array_equiv", "count_nonzero"}  # Python's number in NumPy
_WAITS = set(
    "argwhere asarray_chkfinite bincount compress delete extract flatnonzero histogram histogram2d "
    "histogramdd intersect1d mask_indices nanmax nanmin nonzero place ravel_multi_index setdiff1d "
    "union1d unique unique_all unique_counts unique_inverse unique_values unravel_index".split()
)


def signature(spec):
    """The parameters that a text of cupy_api.json stands for."""
    if spec == "ufunc":
        spec = API["ufunc"]["__call__"]  # no `where`: CuPy calls it `_where`
    return inspect.signature(eval(f"lambda {spec[1:-1]}: None"))


class _Function:
    """A function of CuPy's, with CuPy's parameters; NumPy does the work."""

    def __init__(self, name, spec, function):
        self.name, self.function, self.signature = name, function, signature(spec)
        first = next(iter(self.signature.parameters), None)
        self.array_first = first in _ARRAYS and name not in _UPLOADS | _NUMBERS

    def check(self, args, kwargs):
        try:
            return self.signature.bind(*args, **kwargs).arguments
        except TypeError as problem:
            raise TypeError(f"cupy.{self.name}{self.signature}: {problem}") from None

    def __call__(self, *args, **kwargs):
        given = self.check(args, kwargs)
        first = next(iter(given.values()), None)
        if self.name in _UPLOADS and not _any_device(first):
            return self.upload(args, kwargs)
        if self.array_first:
            self.want_array(first)
        on_values = self.name == "where" and len(given) == 1
        on_values |= self.name == "repeat" and isinstance(given["repeats"], ndarray)
        stats.syncs += on_values or self.name in _WAITS
        return _run(self.numpy, args, kwargs)

    def want_array(self, first):
        if not isinstance(first, (ndarray, np.ndarray)):
            raise TypeError(f"cupy.{self.name} takes a device array first, got {type(first)}")

    def run(self, args, kwargs, *owner):
        """As a method, of `owner`."""
        self.check(args, kwargs)
        stats.syncs += self.name in _WAITS
        return _run(self.function, (*owner, *args), kwargs)

    def upload(self, args, kwargs):
        array = _wrap(np.array(self.function(*args, **kwargs)), (), [])
        stats.uploads += 1
        stats.float64 += array.dtype.char in "dD"
        return array

    def numpy(self, *args, **kwargs):
        result = self.function(*args, **kwargs)
        return np.asarray(result) if self.name in _BOXED else result


def _any_device(value):
    if isinstance(value, (list, tuple)):
        return any(map(_any_device, value))
    return isinstance(value, ndarray)


_INTS = {"int32", "int64", "uint32", "uint64"}
_AT = {  # cupy/_core/_routines_indexing.pyx, _scatter_op_single
    "add": _INTS | {"float16", "float32", "float64"},
    "subtract": {"int32", "uint32"},
    "maximum": _INTS | {"float32", "float64"},
    "minimum": _INTS | {"float32", "float64"},
    "bitwise_and": _INTS,
    "bitwise_or": _INTS,
    "bitwise_xor": _INTS,
}


class _Ufunc(_Function):
    def __call__(self, *args, **kwargs):
        if kwargs:
            self.check(args, kwargs)
        for a in args:
            if isinstance(a, (list, tuple, str)) or a is None:
                raise TypeError(f"Unsupported type {type(a)}")
        return _run(self.function, args, kwargs, writes=len(args) > self.function.nin)

    def at(self, a, indices, b=None):
        self._only("at", _AT)
        index, arrays = _index(indices)
        if arrays and a.dtype.name not in _AT[self.name]:
            raise TypeError(
                f"cupy.{self.name}.at only supports {sorted(_AT[self.name])}, got {a.dtype}"
            )
        _run(lambda a, b: self.function.at(a, index, b), (a, b))

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        self._only("reduce", ("add", "multiply"))
        self.want_array(array)
        return _run(self.function.reduce, (array, axis, dtype, out, keepdims), writes=True)

    def accumulate(self, array, axis=0, dtype=None, out=None):
        self._only("accumulate", ("add", "multiply"))
        self.want_array(array)
        return _run(self.function.accumulate, (array, axis, dtype, out), writes=True)

    def outer(self, A, B, **kwargs):
        return _run(self.function.outer, (A, B), kwargs)

    def _only(self, method, names):
        if self.name not in names:
            raise NotImplementedError(f"`cupy_{self.name}.{method}` is not supported yet")


class _Generator:
    """CuPy's random Generator: fewer methods than NumPy's, and never NumPy's numbers."""

    def __init__(self, seed=None):
        self._numpy = np.random.default_rng(None if seed is None else [seed, 0xC0DE])

    def __getattr__(self, name):
        spec = API["random.Generator"].get(name)
        if spec is None:
            raise AttributeError(f"'cupy.random.Generator' object has no attribute {name!r}")
        function = _Function(name, spec, getattr(self._numpy, name))
        return lambda *args, **kwargs: function.run(args, kwargs)


# -- the module that ops see -----------------------------------------------------------------------
class _Namespace:
    """`cupy`, or `cupy.linalg`: the names that CuPy's wheel has and NumPy has too."""

    def __init__(self, path, numpy):
        self.__name__ = f"strict.{path}".rstrip(".")
        self._path, self._numpy = path, numpy

    def __repr__(self):
        return f"<{self.__name__}, a test double of CuPy {API['versions']['cupy']}>"

    def __getattr__(self, name):
        full = f"{self._path}.{name}".lstrip(".")
        spec = API[self._path].get(name)
        numpys = getattr(self._numpy, name, self)
        plain = isinstance(numpys, (float, type(None))) or name in {"dtype", "finfo", "iinfo"}
        if isinstance(numpys, type) and issubclass(numpys, np.generic):
            plain = True
        if full in _OWN:
            value = _OWN[full]
        elif spec is None:
            raise AttributeError(f"module {f'cupy.{self._path}'.rstrip('.')!r} has no {name!r}")
        elif inspect.ismodule(numpys) and full in API:
            value = _Namespace(full, numpys)
        elif isinstance(numpys, np.ufunc):
            value = _Ufunc(name, spec, numpys)
        elif plain:
            value = numpys
        elif callable(numpys) and spec and self._path != "random":
            value = _Function(name, spec, numpys)
        else:
            raise AttributeError(f"cupy.{full}: not portable, or not in this double")
        setattr(self, name, value)
        return value


def _special(function):
    """cupyx.scipy.special.erf and erfc: minivit.engine.numerics asks the double for them here."""
    f = np.vectorize(function, otypes=[np.float64])
    return lambda x: _run(lambda host: f(host).astype(host.dtype), (x,))


_OWN = {
    "ndarray": ndarray,
    "erf": _special(math.erf),
    "erfc": _special(math.erfc),
    "random.default_rng": _Generator,
}
xp = _Namespace("", np)


def __getattr__(name):  # strict.exp is strict.xp.exp
    return getattr(xp, name)


# -- operators -------------------------------------------------------------------------------------
_BINARY = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "divmod": "divmod", "pow": "power",
    "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift", "lt": "less", "le": "less_equal",
    "eq": "equal", "ne": "not_equal", "gt": "greater", "ge": "greater_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _operator(name, kind):
    ufunc = getattr(xp, name)

    def operate(self, other):
        if isinstance(other, (list, tuple, str)):
            raise TypeError(f"Unsupported type {type(other)}")
        if not isinstance(other, (ndarray, np.ndarray, np.generic, numbers.Number)):
            return NotImplemented  # a Tensor, which knows what to do
        if kind == "in place":
            return ufunc(self, other, out=self)
        return ufunc(other, self) if kind == "reflected" else ufunc(self, other)

    return operate


for _short, _name in _BINARY.items():
    setattr(ndarray, f"__{_short}__", _operator(_name, "forward"))
    for _prefix, _kind in {"r": "reflected", "i": "in place"}.items():
        if f"__{_prefix}{_short}__" in API["ndarray"]:  # no __imatmul__: x @= y makes a new array
            setattr(ndarray, f"__{_prefix}{_short}__", _operator(_name, _kind))
for _short, _name in _UNARY.items():
    setattr(ndarray, f"__{_short}__", lambda self, name=_name: getattr(xp, name)(self))

reset()
