"""gradcheck is itself tested: by derivatives that are wrong in known ways."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import backend
from minivit.engine.check import arrays, axes, broadcastable, gradcheck, masks, shapes
from minivit.engine.errors import DtypeError, GradientError, GraphError, OptionError
from tests.engine.op_cases import CASES, OPS

# -- mutants ---------------------------------------------------------------------------------------
# Each takes (gradient, incoming g, operand's shape) and returns a wrong gradient, or None where it
# has nothing to change.


def zeroed(gradient, g, shape):
    return gradient * 0


def negated(gradient, g, shape):
    return -gradient


def scaled(gradient, g, shape):
    return gradient * 1.01


def passed_through(gradient, g, shape):
    return g.copy() if g.shape == gradient.shape else None


def reversed_first(gradient, g, shape):
    return np.flip(gradient, 0).copy() if gradient.ndim else None


def reversed_last(gradient, g, shape):
    return np.flip(gradient, -1).copy() if gradient.ndim else None


def transposed(gradient, g, shape):
    return gradient.swapaxes(-1, -2).reshape(gradient.shape).copy() if gradient.ndim > 1 else None


def unsummed(gradient, g, shape):
    """The gradient of one repetition alone, of an operand that broadcasting repeated."""
    if gradient.shape == shape:
        return None
    one = gradient[(0,) * (gradient.ndim - len(shape))]
    return one[tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)].copy()


def averaged(gradient, g, shape):
    """The same, but the mean of the repetitions."""
    if gradient.shape == shape:
        return None
    return gradient * (max(np.prod(shape, dtype=int), 1) / gradient.size)


MUTATIONS = [
    zeroed, negated, scaled, passed_through, reversed_first, reversed_last, transposed, unsummed,
    averaged,
]  # fmt: skip

# (op, operand, mutation) where the wrong formula is the right one, whatever the input.
EQUIVALENT = {
    ("add", 0, "passed_through"): "the derivative of x + y is 1",
    ("add", 1, "passed_through"): "the derivative of x + y is 1",
    ("subtract", 0, "passed_through"): "the derivative of x - y to x is 1",
    ("all_gather", 0, "passed_through"): "one process: the rows of all are its own",
    ("sum", 0, "passed_through"): "of the same shape: nothing was summed",
    ("mean", 0, "passed_through"): "of the same shape: the mean of one number",
    ("max", 0, "passed_through"): "of the same shape: the maximum of one number",
    ("min", 0, "passed_through"): "of the same shape: the minimum of one number",
    ("prod", 0, "passed_through"): "of the same shape: the product of one number",
    ("reshape", 0, "passed_through"): "of the same shape: nothing was moved",
    ("broadcast_to", 0, "passed_through"): "the gradient of a copy",
    ("astype", 0, "passed_through"): "only the dtype changes",
    ("moved", 0, "passed_through"): "only the device changes",
    ("concatenate", 0, "passed_through"): "of the same shape: the other arrays are empty",
    ("concatenate", 1, "passed_through"): "of the same shape: the other arrays are empty",
    ("concatenate", 2, "passed_through"): "of the same shape: the other arrays are empty",
    ("pad", 0, "passed_through"): "of the same shape: nothing was added",
    ("linear", 2, "passed_through"): "of the same shape: one row, and the bias is added to it",
    ("layer_norm", 2, "passed_through"): "of the same shape: one row, and beta is added to it",
    ("logsumexp", 0, "passed_through"): "of the same shape: the logarithm of one exponential",
    ("unfold", 0, "passed_through"): "of the same shape: windows of one pixel",
}


def mutant(case, mutate, operand, happened):
    """`case` with the gradient of one operand changed by `mutate`."""

    def f(*xs):
        out = case(*xs)
        if out.is_leaf:  # gradcheck takes differences, without a graph
            return out
        right = out.node.vjp

        def wrong(g):
            gradients = right(g)
            alone = not isinstance(gradients, tuple)
            gradients = [gradients] if alone else list(gradients)
            gradient = gradients[operand]
            gradient = np.asarray(gradient) if isinstance(gradient, np.generic) else gradient
            there, host = backend.device_of(gradient), backend.to_numpy(gradient)
            changed = mutate(host, backend.to_numpy(g), out.node.parents[operand].shape)
            if changed is not None:
                happened.append(operand)
                gradients[operand] = backend.to_device(np.asarray(changed), there)
            return gradients[0] if alone else tuple(gradients)

        out.node.vjp = wrong
        return out

    f.__name__ = f"{case.op} {mutate.__name__}"
    return f


def gradients(f, case):
    leaves = [mv.Tensor(x, requires_grad=True) for x in case.floats]
    out = f(*leaves)
    out.backward(np.random.default_rng(0).standard_normal(out.shape))
    return [np.zeros(t.shape) if t.grad is None else t.grad for t in leaves]


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_mutant_is_rejected(name):
    """Where a wrong vjp gives another gradient, gradcheck says so (the first five cases of each are
    tried); and it gives another one in some of 1,000 cases, but for those listed as equivalent."""
    tried, different, rejected = Counter(), Counter(), Counter()
    listed = {key for key in EQUIVALENT if key[0] == name}

    def survivors():
        return {key for key in tried if not different[key]}

    def attack(case):
        right = gradients(case, case)
        floats = [x for x in case.floats if x.size]  # of nothing, no gradient is wrong
        operands = [i for i, x in enumerate(case.operands) if any(x is f for f in floats)]
        for operand in operands:
            for mutate in MUTATIONS:
                happened = []
                wrong_f = mutant(case, mutate, operand, happened)
                wrong = gradients(wrong_f, case)
                if not happened:
                    continue
                key = (name, operand, mutate.__name__)
                tried[key] += 1
                if not any(
                    (np.abs(a - b) > 1e-4 * (1 + np.abs(a))).any() for a, b in zip(right, wrong)
                ):
                    continue
                different[key] += 1
                if different[key] > 5:
                    continue
                try:
                    gradcheck(wrong_f, *case.floats)
                except GradientError:
                    rejected[key] += 1

    for batch in range(10):  # mostly one is enough
        seed(batch)(settings(max_examples=100)(given(CASES[name])(attack)))()
        if survivors() == listed:
            break
    assert rejected == Counter({k: min(n, 5) for k, n in different.items()}), "accepted"
    assert survivors() == listed
    assert len(different) >= 3


# -- why the cotangent is random -------------------------------------------------------------------
@mv.op
def softmax_without_a_derivative(xp, x, /):
    e = xp.exp(x)
    return e / e.sum(axis=-1, keepdims=True), lambda g: g * 0


mv.OPS.pop("softmax_without_a_derivative")


def test_with_ones_as_cotangent_a_softmax_without_a_derivative_would_pass():
    """The rows of a softmax sum to 1, so the gradient of its sum is 0, as the wrong vjp says. The
    same hole for LayerNorm, whose rows sum to a constant."""
    x = np.random.default_rng(0).standard_normal((3, 4))
    assert gradcheck(softmax_without_a_derivative, x, cotangent=np.ones((3, 4))) == (12, 0)
    with pytest.raises(GradientError, match="softmax_without_a_derivative: the gradient of"):
        gradcheck(softmax_without_a_derivative, x)
    for number in range(20):
        with pytest.raises(GradientError):
            gradcheck(softmax_without_a_derivative, x, seed=number)


# -- what gradcheck says ---------------------------------------------------------------------------
def doubled(x):
    """x + x with the derivative 1."""
    out = x + x
    if not out.is_leaf:
        out.node.vjp = lambda g: (g, None)
    return out


def test_the_message_names_the_place_and_both_numbers():
    with pytest.raises(GradientError) as caught:
        gradcheck(doubled, np.array([[1.0, 2.0]]), cotangent=np.array([[1.0, 3.0]]))
    says = str(caught.value)
    assert "doubled: the gradient of argument 0 at (0, 0) is 1, but differences" in says
    assert "give 2" in says
    assert "argument 0: array([[1., 2.]])" in says
    assert "cotangent: array([[1., 3.]])" in says
    assert isinstance(caught.value, AssertionError)


def test_the_result_counts_what_was_compared():
    assert gradcheck(mv.multiply, np.ones((2, 3)), np.ones(3)) == (9, 0)
    assert gradcheck(lambda t: mv.embedding(t, [0, 0]), np.ones((3, 2))).compared == 6
    assert gradcheck(lambda x, n: x * n, np.ones(2), np.array([2, 3])) == (2, 0)  # integers: no
    assert gradcheck(mv.exp, mv.Tensor([1.0, 2.0])).compared == 2
    assert gradcheck(lambda x, y: x * 2.0, np.ones(2), np.ones(3)) == (5, 0)  # y is not used


def test_kinks_are_skipped_and_counted():
    assert gradcheck(mv.relu, np.array([-1.0, 0.0, 2.0])) == (2, 1)
    assert gradcheck(lambda x: mv.clip(x, 0, 1), np.array([0.0, 0.5, 1.0, 2.0])) == (2, 2)
    x = np.array([1.0, 3.0, 3.0])
    assert gradcheck(mv.max, x).compared + gradcheck(mv.max, x).kinks == 3


def test_a_kink_everywhere_is_an_error():
    with pytest.raises(GradientError, match="nothing was compared; f has a kink at all 3"):
        gradcheck(mv.relu, np.zeros(3))


def test_a_wrong_derivative_beside_a_kink_is_found():
    def wrong(x):
        out = mv.relu(x)
        if not out.is_leaf:
            out.node.vjp = lambda g: g * 0.9 * (x.data > 0)
        return out

    with pytest.raises(GradientError):
        gradcheck(wrong, np.array([0.0, 2.0]))


def test_writing_is_refused():
    def writes_operand(x):
        out = mv.exp(x)
        x.data[...] = 0
        return out

    def writes_g(x):
        out = mv.negative(x)

        def vjp(g):
            np.multiply(g, -1, out=g)
            return g

        if not out.is_leaf:
            out.node.vjp = vjp
        return out

    with pytest.raises(GradientError, match="argument 0 was written to"):
        gradcheck(writes_operand, np.ones(2))
    with pytest.raises(GradientError, match="wrote into the gradient that came in"):
        gradcheck(writes_g, np.ones(2))


def test_a_missing_gradient_is_found():
    with pytest.raises(GraphError, match="nothing to differentiate"):
        gradcheck(lambda x: x.detach() * 2, np.ones(2))
    with pytest.raises(GradientError):
        gradcheck(lambda x, y: x * y.detach(), np.ones(2), np.ones(2))


def test_the_method_is_named():
    with pytest.raises(OptionError, match="method is 'forward', expected 'central' or 'complex'"):
        gradcheck(mv.exp, np.ones(2), method="forward")


def test_a_curve_is_not_a_kink():
    """x^2 * 1e6 at 0: the slopes to either side differ by 20, and a wrong derivative is found."""

    def wrong(x):
        square = x * x
        if not square.is_leaf:
            square.node.vjp = lambda g: (g * x.data + 5.0, g * x.data)
        return square * 1e6

    with pytest.raises(GradientError):
        gradcheck(wrong, np.array([1e-7]))
    assert gradcheck(lambda x: x * x * 1e6, np.array([0.0, 1e-7])) == (2, 0)


def test_a_kink_beside_an_element_is_not_on_it():
    assert gradcheck(mv.relu, np.array([3e-6, -3e-6, 3e-7])) == (3, 0)


def test_a_function_that_draws_anew_is_refused():
    with pytest.raises(GradientError, match=r"called twice, it gives two results.*dropout"):
        gradcheck(lambda x: mv.dropout(x, p=0.5), np.ones((4, 5)))


def test_what_f_returns():
    for f in (lambda x: x.numpy(), lambda x: (x, x), lambda x: None):
        with pytest.raises(DtypeError, match=r"returned .*, expected a Tensor"):
            gradcheck(f, np.ones(2))


# -- modules ---------------------------------------------------------------------------------------
class Scaled(mv.Module):
    """W x + b whose gradient of one parameter can be made wrong."""

    def __init__(self, wrong=None):
        self.linear = mv.nn.Linear(3, 2)
        self.gain = mv.Parameter(np.array([1.5, 0.5], np.float32))
        self.wrong = wrong

    def forward(self, x):
        out = self.linear(x)
        if self.wrong is not None and not out.is_leaf:
            vjp, place = out.node.vjp, self.wrong
            out.node.vjp = lambda g: tuple(
                d * 2 if i == place and d is not None else d for i, d in enumerate(vjp(g))
            )
        return out * self.gain

    def features(self, x):
        return self.forward(x)


X = np.random.default_rng(0).standard_normal((4, 3))


def test_a_modules_parameters_are_differentiated():
    model = Scaled()
    assert gradcheck(model, X) == (12 + 6 + 2 + 2, 0)
    assert gradcheck(model.features, X) == (22, 0)  # a method too
    model.linear.weight.requires_grad = False
    assert gradcheck(model, X).compared == 16
    ids = np.array([[0, 2], [1, 0]])
    assert gradcheck(mv.nn.Embedding(3, 4), ids).compared == 12  # no argument is differentiated


@pytest.mark.parametrize("place, name", [(1, "linear.weight"), (2, "linear.bias")])
def test_a_doubled_gradient_of_a_parameter_is_found(place, name):
    for f in (Scaled(place), Scaled(place).features):
        with pytest.raises(GradientError, match=f"the gradient of parameter {name} at "):
            gradcheck(f, X)


def test_a_module_is_afterwards_as_it_was():
    model = Scaled()
    model.linear.bias.requires_grad = False
    model(mv.Tensor(X.astype(np.float32))).sum().backward()
    before = [(t.data, t.data.copy(), t.grad, t.requires_grad) for t in model.parameters()]
    gradcheck(model, X)
    with pytest.raises(GradientError):
        gradcheck(model, X, cotangent=np.full((4, 2), np.nan))
    with pytest.raises(ZeroDivisionError):
        model.forward = lambda x: 1 / 0
        gradcheck(model, X)
    for t, (array, values, grad, wanted) in zip(model.parameters(), before, strict=True):
        assert t.data is array and (array == values).all() and array.dtype == np.float32
        assert t.grad is grad and t.requires_grad == wanted


def test_the_complex_step_moves_parameters_too():
    class Product(mv.Module):
        def __init__(self):
            self.W = mv.Parameter(np.array([[1.0, 2.0], [0.5, -1.0]], np.float32))

        def forward(self, x):
            return mv.tanh(x @ self.W)

    exact = gradcheck(Product(), X[:, :2], method="complex", rtol=1e-12, atol=1e-12)
    assert exact == (8 + 4, 0)


def test_it_is_minivits():
    assert mv.gradcheck is gradcheck


# -- the complex step ------------------------------------------------------------------------------
ANALYTIC = (
    "add subtract multiply negative exp sqrt tanh sum mean cumsum reshape transpose broadcast_to "
    "concatenate flip getitem matmul dot einsum"
).split()


@pytest.mark.parametrize("name", ANALYTIC)
def test_the_complex_step_agrees_to_rounding(name):
    @given(CASES[name])
    @settings(max_examples=15)
    def check(case):
        exact = gradcheck(case, *case.floats, method="complex", rtol=1e-12, atol=1e-12)
        assert exact == gradcheck(case, *case.floats)

    check()


def test_the_complex_step_rejects_what_differences_cannot_see():
    def nearly(x):
        out = mv.exp(x)
        if not out.is_leaf:
            vjp = out.node.vjp
            out.node.vjp = lambda g: vjp(g) * (1 + 1e-8)
        return out

    assert gradcheck(nearly, np.ones(3)).compared == 3
    with pytest.raises(GradientError):
        gradcheck(nearly, np.ones(3), method="complex", rtol=1e-12, atol=1e-12)


# -- the strategies --------------------------------------------------------------------------------
@given(st.data())
def test_strategies_draw_what_they_say(data):
    shape = data.draw(shapes(min_dims=1, max_dims=3, max_side=4))
    assert 1 <= len(shape) <= 3
    assert all(1 <= n <= 4 for n in shape)
    x = data.draw(arrays(shape, low=-1, high=2))
    assert x.shape == shape and x.dtype == np.float64
    assert ((x >= -1) & (x <= 2) & (x * 64 == np.round(x * 64))).all()
    assert isinstance(data.draw(arrays(())), np.ndarray)
    axis = data.draw(axes(len(shape), none=False))
    assert -len(shape) <= axis < len(shape)
    assert data.draw(masks(shape)).dtype == bool
    several = data.draw(broadcastable(3))
    np.broadcast_shapes(*(a.shape for a in several))


def test_broadcastable_shapes_do_broadcast():
    """One pair in seven at least needs a sum over a repeated axis: what `unbroadcast` is for."""
    repeated = []

    @given(broadcastable(2))
    @settings(max_examples=200)
    def draw(pair):
        result = np.broadcast_shapes(*(a.shape for a in pair))
        repeated.append(any(np.prod(result) > a.size for a in pair))

    draw()
    assert np.mean(repeated) > 1 / 7
