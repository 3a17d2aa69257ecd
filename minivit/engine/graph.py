"""The graph: how a gradient gets back.

Before there is a Tensor, there is what it will stand on: a record of what was computed from what.
An op leaves a node: its operands' nodes, and a vjp, a function that pulls a gradient of the result
back to gradients of the operands. The way back is the chain rule, newest node first: `chain_rule`
below is all of it. `walk` after it does the same as an engine must do it: it frees, it sums in
place, and it refuses what would give a wrong number.

Nodes hold no arrays: an array lives only as long as its Tensor (next chapter), or a vjp that needs
it. "How gradients flow" is here, without calculus; "what each derivative is" is in ops.py and
functions/, without a graph.
"""

from operator import attrgetter

import numpy as np

from minivit.engine import backend, numerics, writes
from minivit.engine.errors import GraphError, ShapeError


class Node:
    """The way of a gradient from an op's result back to its operands.

    parents: for each operand its node, itself if it is a leaf, or None if it is no Tensor.
    """

    __slots__ = ("parents", "vjp", "op", "made", "shape", "dtype")
    requires_grad = _requires_grad = True

    def __init__(self, tensor, operands, vjp, op):
        self.made, self.shape, self.dtype = tensor.made, tensor._array.shape, tensor._array.dtype
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
            [
                None if gp is None or p is None or not p._requires_grad else _fit(gp, p, self)
                for gp, p in zip(gradients, self.parents)
            ]
        )


# -- the idea --------------------------------------------------------------------------------------


def chain_rule(start, g):
    """From `start`, whose gradient is g: {node or leaf: its gradient}, by the chain rule.

    A node is newer than its parents, so when its turn comes, all that it fed into has had its own:
    its gradient is complete, and can be sent on.
    """
    gradients = {start: g}
    for node in newest_first(start):
        if node.vjp and node in gradients:
            for parent, gp in zip(node.parents, node.pull(gradients[node]), strict=True):
                if gp is not None:  # somebody wants it
                    gradients[parent] = gradients[parent] + gp if parent in gradients else gp
    return gradients


def newest_first(start, since=0):
    """Every node between here and the leaves through which a gradient flows, the leaves too; what
    was made before `since` counts as a leaf."""
    found, todo = {id(start): start}, [start]
    while todo:
        node = todo.pop()
        if node.vjp is _freed:
            raise GraphError(
                f"backward: the graph behind {node.op!r} was freed by an earlier backward "
                "pass. Compute the result again before differentiating it again."
            )
        for parent in node.parents:
            if parent is not None and parent._requires_grad and id(parent) not in found:
                found[id(parent)] = parent
                if parent.made >= since:
                    todo.append(parent)
    return sorted(found.values(), key=attrgetter("made"), reverse=True)


# -- the same, as an engine does it ----------------------------------------------------------------


def walk(start, g):
    """`chain_rule`, one node at a time: yields (node, its gradient, gradients of its parents). At
    the end every leaf's `.grad` is written, and the graph is gone.

    An engine's additions, and their reasons: each node is freed when it is done, so the memory of a
    training step falls on the way back; a third gradient is summed in place, which saves an array;
    leaves are written last, so an error on the way leaves every `.grad` as it was; and arrays that
    were overwritten since are refused, for their vjps would give wrong numbers.
    """
    leaves = yield from steps_back(start, g)
    before = [leaf.grad for leaf, _ in leaves]  # somebody may have reshaped it, or moved the leaf
    before = [
        None if b is None else leaf.as_gradient(b, "backward: what stands in .grad")
        for b, (leaf, _) in zip(before, leaves, strict=True)
    ]
    for b, (leaf, g) in zip(before, leaves, strict=True):
        leaf.grad = g if b is None else _added(b, g)


def steps_back(start, g, since=0):
    """The steps of `walk`; returns [(leaf, its gradient)], newest first. A Tensor that was made
    before `since` counts as a leaf."""
    nodes = newest_first(start, since)[::-1]
    pending, leaves, checked = {id(start): _Sum(g, ours=False)}, [], 0
    while nodes:
        if checked != writes.last:  # at first, and where somebody writes between two steps
            _refuse_overwritten(nodes)
            checked = writes.last
        node = nodes.pop()
        total = pending.pop(id(node), None)
        if total is None:
            continue
        if node.vjp is None or node.made < since:
            leaves.append((node, total.g if total.ours else total.g.copy()))
            continue
        gradients = node.pull(total.g)
        for parent, gp in zip(node.parents, gradients, strict=True):
            if gp is None:
                continue
            if id(parent) in pending:
                pending[id(parent)].add(gp)
            else:
                pending[id(parent)] = _Sum(gp, ours=gp is not total.g and gp.base is None)
        yield node, total.g, gradients
        node.vjp, node.parents = _freed, ()  # what only the vjp kept is free from here on
    return leaves


class _Sum:
    """The gradients of one node so far. ours: the array is nobody else's."""

    __slots__ = ("g", "ours", "is_new")

    def __init__(self, g, ours):
        self.g, self.ours, self.is_new = g, ours, False

    def add(self, g):
        """The first gradient is kept as it came, and may be seen by a loop over `walk_back`; the
        second makes a new array; from the third on, that one is written into."""
        if self.is_new:
            self.g += g
        else:
            self.g, self.ours, self.is_new = _added(self.g, g), True, True


def _added(a, b):
    total = a + b
    return np.asarray(total) if isinstance(total, np.generic) else total  # arrays of shape ()


def _refuse_overwritten(nodes):
    """A GraphError if memory was written in place that a vjp needs as it was."""
    oldest = min([node.made for node in nodes if node.vjp], default=writes.last)
    if writes.last <= oldest:
        return  # nearly always
    newer = writes.since(oldest)
    for node in nodes:
        for array in writes.kept_by(node.vjp) if node.made < writes.last else ():
            if writes.over(array, newer) > node.made:
                raise GraphError(
                    f"backward: an array of shape {array.shape} that {node.op!r} needs for its "
                    "gradient was overwritten after use. Write after backward, or into a copy."
                )


def _freed(g):
    raise GraphError("this vjp was freed by an earlier backward pass")


# -- shapes ----------------------------------------------------------------------------------------


def unbroadcast(g, shape):
    """Sum `g` over the axes along which an operand of `shape` was repeated by broadcasting.

    Broadcasting copies; the gradient of a copy is a sum. This is the only place it is undone.
    """
    added = g.ndim - len(shape)
    axes = [i for i in range(g.ndim) if i < added or shape[i - added] == 1 != g.shape[i]]
    return numerics.total(g, tuple(axes), keepdims=True).reshape(shape) if axes else g


def _fit(g, parent, node):
    """The gradient of `parent` in its shape and dtype: summed where broadcasting repeated it."""
    if type(g) is np.ndarray and g.dtype == parent.dtype and g.shape == parent.shape:
        return g  # nearly always
    if not backend.is_array(g) and not isinstance(g, np.generic):
        raise GraphError(
            f"{node.op}: the vjp returned a {type(g).__name__} for an operand of shape "
            f"{parent.shape}, expected an array"
        )
    if g.shape != parent.shape:
        if not _repeated(g.shape, parent.shape, node.shape):
            raise ShapeError(
                f"{node.op}: the vjp returned a gradient of shape {g.shape} for an operand of "
                f"shape {parent.shape}"
            )
        g = unbroadcast(g, parent.shape)
    if g.dtype != parent.dtype:
        if g.dtype.kind == "c":
            raise GraphError(f"{node.op}: the vjp returned {g.dtype}, expected {parent.dtype}")
        g = g.astype(parent.dtype)
    return g if not isinstance(g, np.generic) else np.asarray(g)


def _repeated(many, one, result):
    """Is `many` the shape `one` after broadcasting: with first axes of the result, and axes of
    length 1 repeated?"""
    added = len(many) - len(one)
    return (
        added >= 0
        and many[:added] == result[:added]
        and all(n in (1, m) for m, n in zip(many[added:], one, strict=True))
    )
