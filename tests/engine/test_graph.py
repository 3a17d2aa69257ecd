"""The walk back against the plain chain rule, on random graphs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import graph
from minivit.engine.errors import GraphError, ShapeError

# From values that are there already to a new one. Shapes are (2, 3), (3,) or (); what does not fit
# broadcasts.
STEPS = {
    "add": lambda a, b: a + b,
    "twice": lambda a, b: a * a,
    "mul": lambda a, b: a * b,
    "where": lambda a, b: mv.where(np.asarray(a.data > 0), a, b),
    "sum": lambda a, b: a.sum(axis=0) if a.ndim else a * 2.0,
    "tanh": lambda a, b: mv.tanh(a),
    "view": lambda a, b: mv.flip(a),
    "constant": lambda a, b: a.detach() * b,
    "copy": lambda a, b: a + 0.0,
}


SMOOTH = sorted(set(STEPS) - {"where", "constant"})  # differences see what these two do not say
EVERY = sorted(STEPS)
SHAPES = [(2, 3), (3,), ()]


@st.composite
def graphs(draw, names=EVERY):
    """(seed, steps): each step the name of an op and the places of its two operands."""
    steps = []
    for i in range(draw(st.integers(1, 12))):
        place = st.integers(0, 2 + i) | st.integers(i, 2 + i)  # often a new one
        steps.append((draw(st.sampled_from(names)), draw(place), draw(place)))
    return draw(st.integers(0, 999)), steps


def built(case, frozen=(), moved=None):
    """The leaves and the result; with `moved` (one array a leaf) the leaves are moved by that."""
    seed, steps = case
    rng = np.random.default_rng(seed)
    leaves = []
    for i, shape in enumerate(SHAPES):
        x = rng.standard_normal(shape) + (0 if moved is None else moved[i])
        leaves.append(mv.Tensor(np.asarray(x), requires_grad=i not in frozen))
    values = list(leaves)
    for name, i, j in steps:
        values.append(mv.tanh(STEPS[name](values[i], values[j])))
    return leaves, values[-1] * 1.0 + leaves[0].sum() * 0.5


def cotangent(out):
    return np.asarray(np.random.default_rng(1).standard_normal(out.shape))


@given(graphs(), st.sets(st.integers(1, 2)))
def test_walk_equals_the_chain_rule(case, frozen):
    """Bit for bit, for the leaves and for all that the walk yields."""
    leaves, out = built(case, frozen)
    g = cotangent(out)
    plain = graph.chain_rule(out.node, g)
    seen = {node: g.copy() for node, g, _ in out.walk_back(g)}
    inner = {node for node in plain if type(node) is graph.Node}
    assert set(seen) == inner
    assert all(np.array_equal(seen[node], plain[node]) for node in inner)
    for i, leaf in enumerate(leaves):
        if i in frozen or leaf not in plain:
            assert leaf.grad is None
        else:
            assert np.array_equal(leaf.grad, plain[leaf])


@given(graphs(SMOOTH))
def test_the_chain_rule_gives_the_slope_of_differences(case):
    """The oracle doubted: along a random direction of all leaves at once."""
    leaves, out = built(case)
    g, rng = cotangent(out), np.random.default_rng(2)
    gradients = graph.chain_rule(out.node, g)
    way = [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]
    slope = sum(
        (gradients[x] * d).sum() for x, d in zip(leaves, way, strict=True) if x in gradients
    )
    with mv.no_grad():
        ends = [
            (built(case, moved=[h * d for d in way])[1].numpy() * g).sum() for h in (1e-5, -1e-5)
        ]
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-6)


def test_the_plain_rule_leaves_the_graph_as_it_is():
    x = mv.Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = (mv.exp(x) * x).sum()
    first = graph.chain_rule(y.node, np.ones(()))
    second = graph.chain_rule(y.node, np.ones(()))
    assert x.grad is None
    assert np.array_equal(first[x], second[x])
    y.backward()
    assert np.array_equal(x.grad, first[x])


def test_only_axes_that_broadcasting_added_are_summed():
    x = mv.Tensor(np.ones(3), requires_grad=True)
    y = x * np.ones((2, 3))
    y.node.vjp = lambda g: (np.ones((2, 3)), None)
    y.backward(np.ones((2, 3)))
    assert x.grad.tolist() == [2.0] * 3
    for shape in [(5, 3), (2, 2, 3), (1, 3), (2, 4), (2, 1), ()]:
        y = x * np.ones((2, 3))
        y.node.vjp = lambda g, shape=shape: (np.ones(shape), None)
        with pytest.raises(ShapeError, match="multiply: the vjp returned a gradient of shape"):
            y.backward(np.ones((2, 3)))


def test_a_gradient_that_has_a_history_of_its_own_is_refused():
    """Second derivatives are not recorded, so a cotangent, or a `.grad`, that wants a gradient
    would lose it without a word."""
    x, g = (mv.Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    with pytest.raises(GraphError, match="requires a gradient"):
        (x * 2).backward(g)
    with pytest.raises(GraphError, match="requires a gradient"):
        x.grad = g * 1
    assert x.grad is None


def test_a_complex_gradient_of_a_real_operand_is_refused():
    @mv.op
    def doubled(x, /):
        return x * 2, lambda g: g * 2j

    with pytest.raises(GraphError, match="doubled: the vjp returned complex128, expected float64"):
        doubled(mv.Tensor(np.ones(3), requires_grad=True)).sum().backward()
