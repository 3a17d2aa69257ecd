"""Python's operators and NumPy's own functions on Tensors.

`x * y`, `x.mean(axis=0)`, `np.exp(x)` and `np.concatenate([x, y])` all mean the ops of the last two
chapters, so the CLIP pseudocode runs as it is printed, with `import numpy as np` at the top.
"""

import operator

import numpy as np

from minivit.engine import backend, ops, products
from minivit.engine.tensor import FUNCTIONS, UFUNCS, Tensor

# -- operators -------------------------------------------------------------------------------------


def _reflected(f):
    return lambda self, other: f(other, self)


def _plain(f):
    """A function without a derivative (a comparison, a shape): it answers with arrays."""
    return lambda *xs, **options: f(
        *(x._data if isinstance(x, Tensor) else x for x in xs), **options
    )


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
for _name in ("gt", "ge", "lt", "le", "eq", "ne"):
    setattr(Tensor, f"__{_name}__", _plain(getattr(operator, _name)))
Tensor.__neg__, Tensor.__abs__, Tensor.__getitem__ = ops.negative, ops.absolute, ops.getitem
Tensor.__pos__ = lambda self: self  # nothing is changed, so nothing needs a node
Tensor.__hash__ = object.__hash__  # == compares elements; a Tensor as a key is itself

# -- methods ---------------------------------------------------------------------------------------

for _name in (
    "sum mean var std max min prod cumsum reshape ravel squeeze expand_dims transpose swapaxes "
    "moveaxis astype clip to exp log sqrt tanh"
).split():
    setattr(Tensor, _name, getattr(ops, _name))
Tensor.flatten, Tensor.dot = ops.ravel, products.dot
Tensor.T = property(ops.transpose, doc="Axes reversed.")
Tensor.mT = property(lambda self: ops.swapaxes(self, -1, -2), doc="The last two axes exchanged.")

# -- NumPy's functions -----------------------------------------------------------------------------

for _name in (
    "add subtract multiply divide negative power exp log sqrt tanh absolute maximum minimum"
).split():
    UFUNCS[getattr(np, _name)] = getattr(ops, _name)
UFUNCS[np.matmul] = products.matmul
UFUNCS[np.square] = lambda x: ops.power(x, 2)
for _name in (
    "sum mean var std max min prod cumsum reshape ravel squeeze expand_dims transpose swapaxes "
    "moveaxis broadcast_to concatenate stack split pad flip where clip"
).split():
    FUNCTIONS[getattr(np, _name)] = getattr(ops, _name)
FUNCTIONS |= {np.dot: products.dot, np.einsum: products.einsum}


def _same_function(name):
    """The function of that name in the module (NumPy or CuPy) that holds the operand."""
    return _plain(lambda x, *xs, **options: getattr(
        backend.module_of([a for a in (x, *xs) if hasattr(a, "dtype")], name), name
    )(x, *xs, **options))  # fmt: skip


for _name in "greater greater_equal less less_equal equal not_equal isfinite isnan sign".split():
    UFUNCS[getattr(np, _name)] = _same_function(_name)
for _name in ("argmax", "argmin", "argsort"):
    setattr(Tensor, _name, _same_function(_name))
for _name in "argmax argmin argsort zeros_like ones_like allclose array_equal".split():
    FUNCTIONS[getattr(np, _name)] = _same_function(_name)
FUNCTIONS |= {np.shape: lambda x: x.shape, np.ndim: lambda x: x.ndim, np.size: lambda x: x.size}
