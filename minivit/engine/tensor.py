"""Tensor: an array that remembers how it was made.

This chapter knows no operation. An op (next chapter) hands it a value, the operands, and the vjp
that `graph` needs.
"""

import operator

import numpy as np

from minivit.engine import backend, graph, numerics, writes
from minivit.engine.errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    GraphError,
    MinivitError,
    RangeError,
    ShapeError,
)

UFUNCS = {}  # np.exp -> exp: the NumPy functions that work on Tensors (filled by ops.py)
FUNCTIONS = {}  # np.concatenate -> concatenate


class Tensor:
    """An array (`data`), and, where `requires_grad`, how a gradient gets back to what made it.

    A *leaf* was made by the user and keeps its gradient in `.grad`; what an op made has a `node`.
    Python numbers and lists become float32 (integers int64); arrays keep their dtype and are not
    copied. float32 with float64 gives float64, as in NumPy; a Python or NumPy scalar never
    promotes. Only floating-point data can require a gradient.
    """

    __slots__ = ("_array", "_grad", "_requires_grad", "node", "made", "written", "__weakref__")
    parents, vjp = (), None  # a leaf stands in the graph for itself

    def __init__(self, data, *, dtype=None, device=None, requires_grad=False):
        data = _array_of(data, "Tensor") if isinstance(data, Tensor) else data
        if not backend.is_array(data):  # a number or a list, or somebody else's array
            keeps_dtype = hasattr(data, "shape") and not isinstance(data, np.generic)
            data = backend.to_array(data, "Tensor")
            if dtype is None and not keeps_dtype:
                dtype = {np.dtype(float): np.float32, np.dtype(int): np.int64}.get(data.dtype)
            device = backend.default_device() if device is None else device
        if data.dtype.kind not in "biufc":
            raise DtypeError(f"Tensor: got data of dtype {data.dtype}, expected numbers")
        if dtype is not None:
            data = data.astype(backend.to_dtype(dtype, "Tensor"), copy=False)
        data = data if device is None else backend.to_device(data, device)
        self._array, self._requires_grad, self._grad = data, False, None
        self.node, self.made, self.written = None, next(writes.clock), None
        self.requires_grad = requires_grad

    @classmethod
    def _from_op(cls, value, operands, vjp, name):
        """The result of an op on Tensors (None: no Tensor); vjp None: nothing is recorded."""
        self = object.__new__(Tensor)
        self._array, self._requires_grad, self._grad = value, vjp is not None, None
        self.made, self.written = next(writes.clock), None
        self.node = None if vjp is None else graph.Node(self, operands, vjp, name)
        return self

    # -- the array ---------------------------------------------------------------------------------
    @property
    def data(self):
        """The array itself. `t.data -= step` is noticed by a pending backward; a write through a
        name (`a = t.data; a[0] = 1`) only under `detect_anomaly`."""
        return self._array

    @data.setter
    def data(self, array):
        if array is self._array:  # `t.data -= step` wrote in place
            self.touch()
            return
        array = _array_of(array, "data")
        if self.shape != array.shape:
            raise ShapeError(f"data: got shape {array.shape}, the tensor has {self.shape}")
        if self._requires_grad:
            _refuse_integers(array.dtype)
        self._array = array

    requires_grad = property(operator.attrgetter("_requires_grad"), doc="Is a gradient wanted?")

    @requires_grad.setter
    def requires_grad(self, wanted):
        if not isinstance(wanted, (bool, np.bool_)):
            raise DtypeError(f"requires_grad: got {wanted!r}, expected True or False")
        if wanted:
            _refuse_integers(self._array.dtype)
        elif self.node is not None:
            raise GraphError(
                f"requires_grad = False of the result of {self.op!r}: the gradients of what it was "
                "made from would be lost. Go on with t.detach(), or freeze the leaves."
            )
        self._requires_grad = bool(wanted)

    grad = property(
        operator.attrgetter("_grad"), doc="The gradient that `backward` adds to: an array, or None."
    )

    @grad.setter
    def grad(self, g):
        self._grad = None if g is None else self.as_gradient(g, "grad: a gradient")

    def as_gradient(self, g, where, kinds="f"):
        """g as an array of this Tensor's shape, dtype and device, or the error that it is not."""
        w = self._array
        if type(g) is type(w) and g.dtype is w.dtype and g.shape == w.shape and w.dtype.kind == "f":
            return g  # nearly always
        if isinstance(g, Tensor):
            g = _array_of(g, where)
        if isinstance(g, (int, float, np.generic)):
            g = backend.MODULES[self.device].asarray(g)
        if not backend.is_array(g):
            if not hasattr(g, "__array_interface__"):
                raise DtypeError(
                    f"{where}: got {type(g).__name__}, expected an array of shape {self.shape}"
                )
            g = backend.to_array(g, where)
        if backend.device_of(g) != self.device:
            raise DeviceError(
                f"{where}: got an array on {backend.device_of(g)!r}, the tensor is on "
                f"{self.device!r}. Pass minivit.Tensor(gradient, device={self.device!r})."
            )
        if g.shape != self.shape:
            raise ShapeError(f"{where}: got shape {g.shape}, the tensor has {self.shape}")
        if g.dtype.kind not in kinds or self.dtype.kind != "f":
            raise DtypeError(
                f"{where}: got {g.dtype}, the tensor is {self.dtype}; expected floating point"
            )
        return g.astype(self.dtype, copy=False)

    def __setitem__(self, index, value):
        if self._requires_grad or (isinstance(value, Tensor) and value._requires_grad):
            raise GraphError(
                "t[...] = value, where t or the value requires a gradient: the write has no "
                "derivative. Use minivit.where or minivit.stack; or write into t.data, between two "
                "passes, what is to be a constant: value.detach()."
            )
        xp = backend.MODULES[self.device]
        try:
            parts, _ = numerics.index_parts(xp, self.shape, index)
            self._array[parts] = self._values(xp, value)
        except MinivitError:
            raise
        except (IndexError, OverflowError) as error:
            raise RangeError(f"t[index] = value: {error}") from error
        except ValueError as error:
            raise ShapeError(f"t[index] = value: {error}") from error
        except TypeError as error:
            raise DtypeError(f"t[index] = value: {error}") from error
        self.touch()

    def _values(self, xp, value):
        """The numbers to be written, of a kind that this Tensor holds, on its device."""
        if isinstance(value, (bool, int, float)):
            return value
        value = value._array if isinstance(value, Tensor) else value
        listed = not hasattr(value, "dtype")
        value = backend.to_array(value, "t[index] = value")
        if value.dtype.kind not in "biufc" or (value.dtype.kind == "c" != self.dtype.kind):
            raise DtypeError(f"t[index] = value: got {value.dtype}, the tensor is {self.dtype}")
        if not isinstance(value, xp.ndarray) and not listed and value.ndim:
            raise DeviceError(
                f"t[index] = value: the value is on {backend.device_of(value)!r}, the tensor on "
                f"{self.device!r}. Move it: minivit.Tensor(value, device={self.device!r})."
            )
        return value if isinstance(value, xp.ndarray) else xp.asarray(backend.to_numpy(value))

    def touch(self):
        """Say that the array was written in place: a graph that needs that memory will refuse."""
        if self.written is None or self.written.array() is not self._array:
            self.written = writes.to(self._array)
        self.written.note()

    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    dtype = property(lambda self: self._array.dtype)
    device = property(lambda self: backend.device_of(self._array))
    is_leaf = property(lambda self: self.node is None)
    op = property(lambda self: self.node and self.node.op)

    def numpy(self):
        """The values on the host (no gradient flows through)."""
        return backend.to_numpy(self._array)

    def detach(self):
        """The same array without its history."""
        return Tensor(self._array)

    def item(self):
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item: got shape {self.shape}, expected one element")
        return self._array.item()

    def __float__(self):
        return float(self._number("float"))

    def __int__(self):
        return int(self._number("int"))

    def _number(self, kind):
        """float(t) is also what NumPy calls in `array[0] = t`, where a gradient would be lost."""
        if self._requires_grad:
            raise GraphError(
                f"{kind}(t), or array[i] = t, of a Tensor that requires a gradient, which no "
                "number carries. Say so: t.item() or t.detach(); minivit.stack makes one Tensor "
                "of several."
            )
        return self.item()

    def __bool__(self):
        return bool(self.item())

    def __index__(self):
        if self._array.dtype.kind not in "iu" or self.ndim:
            raise DtypeError(
                f"got a Tensor of {self.dtype} and shape {self.shape} where one integer is expected"
            )
        return self.item()

    def __format__(self, spec):
        if isinstance(spec, str) and not spec:
            return str(self)
        number = self.item()
        try:
            return format(number, spec)
        except (ValueError, TypeError) as error:
            raise DtypeError(f"format: a Tensor of {self.dtype}: {error}") from error

    def __len__(self):
        if not self.ndim:
            raise TypeError("len() of a 0-d Tensor")
        return self.shape[0]

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __repr__(self):
        values = np.array2string(self.numpy(), precision=4, threshold=20, prefix="Tensor(")
        facts = [str(self.dtype)] + ([self.device] if self.device != "cpu" else [])
        if self.requires_grad:
            facts.append(f"op={self.op}" if self.op else "requires_grad")
        return f"Tensor({values}, shape={self.shape}, {', '.join(facts)})"

    # -- NumPy's functions on Tensors --------------------------------------------------------------
    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if method != "__call__" or ufunc not in UFUNCS or options:
            how = "" if method == "__call__" else f".{method}"
            raise _without_derivative(ufunc, how, options)
        return UFUNCS[ufunc](*inputs)

    def __array_function__(self, function, types, args, options):
        if function not in FUNCTIONS:
            raise _without_derivative(function)
        return FUNCTIONS[function](*args, **options)

    def __array__(self, dtype=None, copy=None):
        """np.asarray(t), and what NumPy does to lists of Tensors: the array itself, if no gradient
        is lost by that and nothing has to come from a GPU."""
        if self._requires_grad:
            raise GraphError(
                f"a Tensor of shape {self.shape} that requires a gradient was to become an array, "
                "through which no gradient flows. Say so: t.detach() or t.numpy(). Of a list of "
                "Tensors, minivit.stack makes a Tensor; an array cannot hold one."
            )
        if self.device != "cpu":
            raise DeviceError(
                f"a Tensor of shape {self.shape} on {self.device!r} was to become an array on the "
                "host. Say so, with t.numpy(): it waits for the device."
            )
        return np.array(self._array, dtype=dtype, copy=copy)

    # -- copies ------------------------------------------------------------------------------------
    def __getstate__(self):
        """All that copy, deepcopy and pickle take along: a leaf has no more than this."""
        if self.node is not None:
            raise GraphError(
                f"copy: the result of {self.op!r} cannot be copied or pickled: its graph leads to "
                "Tensors that are not. Copy t.detach(), or compute it under minivit.no_grad()."
            )
        return getattr(self, "__dict__", None), {
            "_array": self._array, "_grad": self._grad, "_requires_grad": self._requires_grad
        }  # fmt: skip

    def __setstate__(self, state):
        own, slots = state
        self._array, self._grad = slots["_array"], slots["_grad"]
        self._requires_grad = slots["_requires_grad"]
        self.node, self.made, self.written = None, next(writes.clock), None
        if own:
            vars(self).update(own)

    # -- the way back ------------------------------------------------------------------------------
    def backward(self, gradient=None):
        """Add d(self)/d(leaf), contracted with `gradient`, to `.grad` of every leaf.

        gradient: the cotangent, of self's shape; may be left out where self is one number.
        The graph is freed on the way: a second call is a GraphError. An error on the way leaves
        every `.grad` as it was.
        """
        for _ in self.walk_back(gradient):
            pass

    def walk_back(self, gradient=None):
        """`backward`, one node at a time: yields (node, its gradient, gradients of its parents)."""
        yield from graph.walk(self.node or self, self._seed(gradient))

    def _seed(self, gradient):
        if not self._requires_grad:
            raise GraphError(
                "backward: nothing to differentiate; no operand of this tensor had "
                "requires_grad=True (or it was made under no_grad)."
            )
        if gradient is None:
            if self.size != 1:
                raise GraphError(
                    f"backward: the tensor has shape {self.shape}, so it needs a cotangent: "
                    "backward(gradient) with an array of that shape, or make it one number first, "
                    "such as loss.mean().backward()."
                )
            return backend.MODULES[self.device].ones(self.shape, dtype=self.dtype)
        return self.as_gradient(gradient, "backward: the gradient", "biuf")


def _refuse_integers(dtype):
    """The one rule of requires_grad: floating-point numbers."""
    if dtype.kind != "f":
        raise DtypeError(
            f"requires_grad needs floating-point data, got {dtype}: here a derivative is one of "
            "real numbers. Convert first: .astype(np.float32)."
        )


def _array_of(data, where):
    """The array of a Tensor that loses no gradient by that, or what is an array already."""
    if isinstance(data, Tensor):
        if data._requires_grad:
            raise GraphError(
                f"{where}: got a Tensor that requires a gradient, and only its array would be "
                "kept. Say so: t.detach() or t.data."
            )
        return data._array
    if isinstance(data, np.generic) or hasattr(data, "shape"):
        return data if backend.is_array(data) else backend.to_array(data, where)
    raise DtypeError(f"{where}: got {type(data).__name__}, expected an array or a Tensor")


def _without_derivative(function, how="", options=()):
    """The refusal of a NumPy function that is not among those above, with a call that works."""
    module = getattr(function, "__module__", None) or "numpy"
    name = f"{module.replace('numpy', 'np', 1)}.{function.__name__}{how}"
    given = f" with {', '.join(options)}=" if options else ""
    return ArgumentError(
        f"{name}{given} has no derivative in minivit; use the array: {name}(t.numpy()), through "
        "which no gradient flows (nor does it through t.detach())."
    )
