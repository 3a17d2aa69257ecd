"""The graph: how a gradient gets back.

An op leaves a node: its operands' nodes, and a vjp, a function that pulls a gradient of the result
back to gradients of the operands. The way back is a walk: newest node first, each vjp once, the
gradients that reach one node by several ways summed.

Nodes hold no arrays: an array lives only as long as its Tensor (next chapter), or a vjp that needs
it. "How gradients flow" is here, without calculus; "what each derivative is" is in ops.py and
functions/, without a graph.
"""

from operator import attrgetter
from weakref import ref

import numpy as np

from minivit.engine.errors import GraphError, ShapeError


class Node:
    """How a gradient gets back from an op's result to its operands.

    parents: for each operand its node, itself if it is a leaf, or None if it is no Tensor.
    """

    __slots__ = ("tensor", "parents", "vjp", "op", "made", "shape", "dtype")
    requires_grad = True

    def __init__(self, tensor, operands, vjp, op):
        self.tensor, self.made = ref(tensor), tensor.made
        self.shape, self.dtype = tensor._data.shape, tensor._data.dtype
        self.parents = tuple([None if x is None else x.node or x for x in operands])
        self.vjp, self.op = vjp, op

    def pull(self, g):
        """The gradients of the parents, each an array of its parent's shape and dtype, or None."""
        gradients = self.vjp(g)
        if type(gradients) is not tuple:
            gradients = (gradients,)
        if len(gradients) != len(self.parents):
            raise GraphError(
                f"{self.op}: the vjp returned {len(gradients)} gradients for "
                f"{len(self.parents)} operands"
            )
        return tuple(
            None if gp is None or p is None or not p.requires_grad else _fit(gp, p, self.op)
            for gp, p in zip(gradients, self.parents, strict=True)
        )


def walk(start, g):
    """From `start`, whose gradient is g, back to the leaves: yields (node, its gradient, gradients
    of its parents). At the end every leaf's `.grad` is written, and the graph is gone."""
    nodes = _reachable(start)
    nodes.sort(key=attrgetter("made"))  # the newest comes last
    _refuse_overwritten(nodes)
    pending = {id(start): (g, False, False)}  # id: gradient so far, is it nobody else's, a sum
    leaves = []
    while nodes:
        node = nodes.pop()
        g, ours, _ = pending.pop(id(node), (None, False, False))
        if g is None:
            continue
        if node.vjp is None:
            leaves.append((node, g if ours else g.copy()))
            continue
        gradients = node.pull(g)
        for parent, gp in zip(node.parents, gradients, strict=True):
            if gp is not None:
                _accumulate(pending, id(parent), gp, fresh=gp is not g and gp.base is None)
        yield node, g, gradients
        node.vjp, node.parents = _freed, ()  # what only the vjp kept is free from here on
    for leaf, g in leaves:
        leaf.grad = g if leaf.grad is None else _sum(leaf.grad, g)


def _reachable(start):
    """Every node between here and the leaves through which a gradient flows, the leaves too."""
    found, todo = {id(start): start}, [start]
    while todo:
        node = todo.pop()
        if node.vjp is _freed:
            raise GraphError(
                f"backward: the graph behind {node.op!r} was freed by an earlier backward "
                "pass. Compute the result again before differentiating it again."
            )
        for parent in node.parents:
            if parent is not None and parent.requires_grad and id(parent) not in found:
                found[id(parent)] = parent
                todo.append(parent)
    return list(found.values())


def _refuse_overwritten(nodes):
    """A GraphError if an array was written in place that a vjp needs as it was."""
    nodes, written = [node for node in nodes if node.vjp], {}
    for node in nodes:
        for x in (node, *node.parents):
            t = x.tensor() if type(x) is Node else x  # None: its Tensor is gone, nobody can write
            if t is not None and t.written > node.made:
                written[id(t)] = t
    for t in written.values():
        for node in nodes:
            if t.written > node.made and _holds(node.vjp, t._data):
                raise GraphError(
                    f"backward: an array of shape {t.shape} that {node.op!r} needs for its "
                    "gradient was overwritten after use. Write after backward, or into a copy."
                )


def _freed(g):
    raise GraphError("this vjp was freed by an earlier backward pass")


def _accumulate(pending, key, g, fresh):
    """Sum the gradients of one tensor: the first by reference, the third in place."""
    before, _, is_sum = pending.get(key, (None, False, False))
    if before is None:
        pending[key] = g, fresh, False
    elif is_sum:
        before += g
    else:  # a new array: who watches walk_back has seen the first gradient, and may keep it
        pending[key] = _sum(before, g), True, True


def _sum(a, b):
    total = a + b
    return np.asarray(total) if isinstance(total, np.generic) else total  # arrays of shape ()


def unbroadcast(g, shape):
    """Sum `g` over the axes along which an operand of `shape` was repeated by broadcasting.

    Broadcasting copies; the gradient of a copy is a sum. This is the only place it is undone.
    """
    added = g.ndim - len(shape)
    axes = [i for i in range(g.ndim) if i < added or shape[i - added] == 1 != g.shape[i]]
    return g.sum(axis=tuple(axes), keepdims=True).reshape(shape) if axes else g


def _fit(g, parent, name):
    if g.shape != parent.shape:
        summed = unbroadcast(g, parent.shape) if g.ndim >= len(parent.shape) else g
        if summed.shape != parent.shape:
            raise ShapeError(
                f"{name}: the vjp returned a gradient of shape {g.shape} for an operand of shape "
                f"{parent.shape}"
            )
        g = summed
    if g.dtype != parent.dtype:
        g = g.astype(parent.dtype)
    return g if not isinstance(g, np.generic) else np.asarray(g)


def _holds(thing, array):
    """Does a vjp (its closure, and the functions and tuples in it) keep this array or a view?"""
    if hasattr(thing, "shape"):
        if isinstance(array, np.ndarray) and isinstance(thing, np.ndarray):
            return np.may_share_memory(thing, array)
        memory = (array, array if array.base is None else array.base)
        return any(a is b for a in (thing, getattr(thing, "base", None)) for b in memory)
    if isinstance(thing, (tuple, list)):
        return any(_holds(t, array) for t in thing)
    cells = getattr(thing, "__closure__", None) or ()
    return any(_holds(c.cell_contents, array) for c in cells)
