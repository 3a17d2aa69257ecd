"""Tensor: an array that remembers how it was made.

This chapter knows no operation. An op (next chapter) hands it a value, the operands, and the vjp
that `graph` needs.
"""

from itertools import count

import numpy as np

from minivit.engine import backend, graph
from minivit.engine.errors import DeviceError, DtypeError, GraphError, ShapeError

UFUNCS = {}  # np.exp -> exp: the NumPy functions that work on Tensors (filled by ops.py)
FUNCTIONS = {}  # np.concatenate -> concatenate
_clock = count(1)  # a node is always younger than its parents


class Tensor:
    """An array (`data`), and, where `requires_grad`, how a gradient gets back to what made it.

    A *leaf* was made by the user and keeps its gradient in `.grad`; what an op made has a `node`.
    Python numbers and lists become float32 (integers int64); arrays keep their dtype and are not
    copied. float32 with float64 gives float64, as in NumPy; a Python or NumPy scalar never
    promotes.
    """

    __slots__ = ("_data", "grad", "requires_grad", "node", "made", "written", "__weakref__")
    parents, vjp = (), None  # a leaf stands in the graph for itself

    def __init__(self, data, *, dtype=None, device=None, requires_grad=False):
        if isinstance(data, Tensor):
            data = data._data
        if not hasattr(data, "__array_ufunc__"):  # a number or a list
            data = np.asarray(data)
            if dtype is None and data.dtype == np.float64:
                dtype = np.float32
            device = device or backend.default_device()
        if dtype is not None and data.dtype != dtype:
            data = data.astype(dtype)
        data = backend.to_device(data, device or backend.device_of(data))
        if data.dtype.kind not in "biufc":
            raise DtypeError(f"Tensor: got data of dtype {data.dtype}, expected numbers")
        if requires_grad and data.dtype.kind not in "fc":
            raise DtypeError(
                f"Tensor: requires_grad needs floating-point data, got {data.dtype}; a derivative "
                "with respect to integers does not exist. Convert first: .astype(np.float32)."
            )
        self._data, self.requires_grad, self.grad = data, requires_grad, None
        self.node, self.made, self.written = None, next(_clock), 0

    @classmethod
    def _from_op(cls, value, operands, vjp, name):
        """The result of an op on Tensors (None: no Tensor); vjp None: nothing is recorded."""
        self = object.__new__(Tensor)
        self._data, self.requires_grad, self.grad = value, vjp is not None, None
        self.made, self.written = next(_clock), 0
        self.node = None if vjp is None else graph.Node(self, operands, vjp, name)
        return self

    # -- the array ---------------------------------------------------------------------------------
    @property
    def data(self):
        """The array itself. `t.data -= step` is noticed by a pending backward; a write through a
        name (`a = t.data; a[0] = 1`) only under `detect_anomaly`."""
        return self._data

    @data.setter
    def data(self, array):
        if array is self._data:  # `t.data -= step` wrote in place
            self.touch()
        elif self.shape != array.shape:
            raise ShapeError(f"data: got shape {array.shape}, the tensor has {self.shape}")
        self._data = array

    def __setitem__(self, index, value):
        if self.requires_grad:
            raise GraphError(
                "t[...] = value on a tensor that requires a gradient: the write has no derivative. "
                "Use minivit.where; or, between two passes, write into t.data."
            )
        self._data[index] = value._data if isinstance(value, Tensor) else value
        self.touch()

    def touch(self):
        """Say that the array was written in place: a graph that still needs it will refuse."""
        self.written = next(_clock)

    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    dtype = property(lambda self: self._data.dtype)
    device = property(lambda self: backend.device_of(self._data))
    is_leaf = property(lambda self: self.node is None)
    op = property(lambda self: self.node and self.node.op)

    def numpy(self):
        """The values on the host (no gradient flows through)."""
        return backend.to_numpy(self._data)

    def detach(self):
        """The same array without its history."""
        return Tensor(self._data)

    def item(self):
        """The value of a tensor with one element, as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item: got shape {self.shape}, expected one element")
        return self._data.item()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

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
            how = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
            how += f" with {', '.join(options)}=" if options else ""
            raise TypeError(
                f"{how} has no derivative in minivit; "
                "use the array: np.f(t.numpy()), through which no gradient flows."
            )
        return UFUNCS[ufunc](*inputs)

    def __array_function__(self, function, types, args, options):
        if function not in FUNCTIONS:
            raise TypeError(
                f"np.{function.__name__} has no derivative in minivit; "
                "use the array: np.f(t.numpy()), through which no gradient flows."
            )
        return FUNCTIONS[function](*args, **options)

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
        if not self.requires_grad:
            raise GraphError(
                "backward: nothing to differentiate; no operand of this tensor had "
                "requires_grad=True (or it was made under no_grad)."
            )
        xp = backend.MODULES[self.device]
        if gradient is None:
            if self.size != 1:
                raise GraphError(
                    f"backward: the tensor has shape {self.shape}, so it needs a cotangent: "
                    "backward(gradient) with an array of that shape, or make it one number first, "
                    "such as loss.mean().backward()."
                )
            return xp.ones(self.shape, dtype=self.dtype)
        g = gradient._data if isinstance(gradient, Tensor) else gradient
        if not isinstance(g, xp.ndarray):
            raise DeviceError(
                f"backward: the gradient is {type(g).__name__}, the tensor an array on "
                f"{self.device!r}. Pass minivit.Tensor(gradient, device={self.device!r})."
            )
        if g.shape != self.shape:
            raise ShapeError(f"backward: the gradient has shape {g.shape}, the tensor {self.shape}")
        return g.astype(self.dtype, copy=False)
