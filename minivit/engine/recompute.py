"""Recomputation: memory for time (Chen et al. 2016, arXiv 1604.06174; PyTorch calls it
checkpointing).

    y = recompute(layer)(x)     # layer(x), of which only x is kept

A layer keeps what its derivative needs, and a deep model keeps that of all its layers at once. But
all of it can be made again from the layer's input. So the layer runs forward, its graph is
forgotten, and when the gradient comes back, the layer runs once more: a third more work, and the
memory of one layer in place of all.
"""

from functools import wraps

from minivit.engine import backend, graph, writes
from minivit.engine.errors import ArgumentError, GraphError
from minivit.engine.modes import _thread, as_here, recording
from minivit.engine.tensor import Tensor


def recompute(f):
    """f, a layer or another function of Tensors with one Tensor as its result, which keeps only
    what goes in and runs again in the backward pass: the same values, and the same gradients up to
    the order of sums.

    Dropout draws the same numbers twice (on a GPU: others than without `recompute`), and the
    modules of a layer are in the mode, training or not, that they were in. A gradient reaches
    everything that f stands on: its arguments, its parameters, and what a function has from
    outside. f may not change anything: it runs twice.

    In a model, `layer.recomputed = True` does this to a layer whenever it is called.
    """
    if not callable(f):
        raise ArgumentError(f"recompute: got {type(f).__name__}, expected a layer or a function")

    @wraps(f, updated=())
    def recomputed(*inputs, **options):
        if _thread.modes.no_grad:
            return f(*inputs, **options)
        began = next(writes.clock)
        xp = backend.module_of([x._array for x in inputs if isinstance(x, Tensor)], "recompute")
        start = backend.random_start(xp)
        with backend.random_from(start, go_on=True):
            y = f(*inputs, **options)
        if not isinstance(y, Tensor):
            raise ArgumentError(
                f"recompute: the result is a {type(y).__name__}, expected one Tensor; stack several"
            )
        if y.node is None or y.node.made < began:  # nothing was made here
            return y
        from_outside = [x for x in graph.newest_first(y.node, began) if x.made < began]
        again = as_here(_in_the_same_mode(f))

        def vjp(g):
            now = next(writes.clock)
            with recording(), backend.random_from(start):
                y = again(*inputs, **options)
            same = y.shape == shape and y.node is not None
            leaves = _last(graph.steps_back(y.node, g, now)) if same else ()
            found = {id(x): gx for x, gx in leaves if x.made < now}
            if not same or not found.keys() <= ids:
                raise GraphError(
                    f"recompute: {name} did not compute the same the second time (first: shape "
                    f"{shape}, now {y.shape}). Does it write into its arguments, count its calls, "
                    "or draw random numbers of its own?"
                )
            return tuple(found.get(id(x)) for x in from_outside)

        name, shape = getattr(f, "__name__", type(f).__name__), y.shape
        ids = {id(x) for x in from_outside}
        result = Tensor._from_op(y._array, (), vjp, "recompute")
        result.node.parents = tuple(from_outside)
        return result

    return recomputed


def _last(steps):
    """Take all steps; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _in_the_same_mode(f):
    """f with its modules, if it has any, in training or evaluation as they are now."""
    module = getattr(f, "__self__", f)
    if not hasattr(module, "modules"):
        return f
    modes = [(m, m.training) for m in module.modules()]

    def as_then(*inputs, **options):
        before = [(m, m.training) for m, _ in modes]
        try:
            for m, mode in modes:
                m.training = mode
            return f(*inputs, **options)
        finally:
            for m, mode in before:
                m.training = mode

    return as_then
