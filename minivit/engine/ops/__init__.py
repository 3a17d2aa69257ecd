"""The primitives, each forward beside its hand-written derivative.

In every vjp, `g` is the gradient that comes in (of the result y's shape) and what goes out is one
gradient per operand. Names and arguments are NumPy's; what NumPy takes and an op here does not is
refused by name. Where operands were broadcast, the engine sums the gradient back
(`graph.unbroadcast`); no op thinks of it. `accepts` says which dtypes an op takes as they are:
NUMBERS, by NumPy's own rules; EVERY_DTYPE, where numbers are only moved. All else is computed in
floating point (`record.op`).

Complex numbers are there for the complex step (`check`), so each op continues its formula: `var`,
`std`, `norm` and `vdot` of complex numbers have x^2 where NumPy has |x|^2.
"""

from minivit.engine.ops.arithmetic import (
    absolute,
    add,
    clip,
    divide,
    erf,
    exp,
    log,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sqrt,
    subtract,
    tanh,
    where,
)
from minivit.engine.ops.movement import (
    astype,
    broadcast_to,
    concatenate,
    flip,
    getitem,
    pad,
    reshape,
    split,
    stack,
    swapaxes,
    to,
    transpose,
)
from minivit.engine.ops.reductions import cumsum, max, mean, min, norm_, prod, std, sum, var
