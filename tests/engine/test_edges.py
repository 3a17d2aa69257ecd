"""Python's calls without a derivative, writes by an index, and the ends of a dtype's range."""

import operator
import threading
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import nn
from minivit.engine import backend
from minivit.engine.errors import ArgumentError, DtypeError, MinivitError, ShapeError
from tests.devices import DEVICES
from tests.engine.op_cases import CASES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)
OPERATORS = [operator.floordiv, operator.mod, divmod, operator.lshift, operator.rshift]


@pytest.mark.parametrize("f", OPERATORS, ids=lambda f: f.__name__)
@given(data=st.data())
@settings(max_examples=10)
def test_an_operator_without_a_derivative_is_refused_in_words(f, data):
    """On either side, beside a number, an array or a Tensor, of any dtype."""
    t = mv.Tensor(np.array([1, 2], data.draw(st.sampled_from("fdiB"))))
    other = data.draw(st.sampled_from([2, 2.5, np.ones(2), np.float32(2), t]))
    a, b = data.draw(st.permutations([t, other]))
    with pytest.raises(ArgumentError, match=r"no derivative in minivit"):
        f(a, b)


def test_round_answers_as_numpy():
    t = mv.Tensor([1.26, 2.5])
    assert round(t).tolist() == [1.0, 2.0]
    assert round(t, 1).tolist() == np.round(t.numpy(), 1).tolist()


# -- t[index] = value ------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_what_is_written_by_an_index_is_what_is_read_by_it(device):
    """Every form of an index that an op reads; each place once, for twice is undefined on a GPU."""

    @given(CASES["getitem"])
    @settings(max_examples=60)
    def check(case):
        (x,), (index,) = case.operands, case.args
        read = np.arange(x.size).reshape(x.shape)[index]
        if np.unique(read).size < read.size:
            return
        expected = x.copy()
        expected[index] = -1.5
        with mv.use(device):
            t = mv.Tensor(backend.to_device(x.copy(), device))
            t[index] = -1.5
            np.testing.assert_array_equal(t.numpy(), expected)
            t[index] = mv.Tensor(backend.to_device(np.full(read.shape, 2.5), device))
            expected[index] = 2.5
            np.testing.assert_array_equal(t.numpy(), expected)

    check()


@pytest.mark.parametrize("index", [(slice(None), (0, 1)), (0, (1,)), [], ((0, 2), [0, 1])], ids=str)
def test_a_sequence_inside_an_index_is_an_array_when_writing_too(index):
    t = mv.Tensor(np.zeros((3, 2), np.float32))
    t[index] = 1.0
    assert t.numpy().sum() == t[index].size
    assert (t[index].numpy() == 1).all()


@pytest.mark.parametrize("value", ["x", None, object, 1j, [1, 2, 3], {}, ["a", "b"]], ids=str)
@pytest.mark.parametrize("index", [0, slice(0, 1), ..., (0, [0, 1])], ids=repr)
def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(index, value):
    t = mv.Tensor(np.zeros((3, 2), np.float32))
    with pytest.raises((DtypeError, ShapeError), match=r"t\[index\] = value: "):
        t[index] = value
    assert not t.numpy().any()


# -- where a dtype ends ----------------------------------------------------------------------------
@given(
    st.integers(-36, 37),
    st.lists(st.integers(-64, 64), min_size=2, max_size=6).filter(lambda x: len({*x}) > 1),
)
@settings(max_examples=50)
def test_std_and_norm_at_the_ends_of_float32(exponent, numbers):
    """The squares leave the range long before the result does."""
    x = (np.array(numbers) / 64 * 10.0**exponent).astype(np.float32)
    for ours, exact in [
        (lambda t: t.std(), np.std(x.astype(float))),
        (lambda t: np.linalg.norm(t), np.linalg.norm(x.astype(float))),
    ]:
        t = mv.Tensor(x, requires_grad=True)
        y = ours(t)
        np.testing.assert_allclose(float(y.data), exact, rtol=1e-5)
        y.backward()
        assert np.isfinite(t.grad).all()
        assert np.abs(t.grad).max() <= 1.001


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)], ids=str)
@pytest.mark.parametrize("f", [np.mean, np.var, np.std, np.sum, np.linalg.norm, mv.softmax,
                               mv.log_softmax, mv.logsumexp], ids=lambda f: f.__name__)  # fmt: skip
def test_nothing_warns_over_axes_of_length_zero(f, shape):
    x = mv.Tensor(np.zeros(shape, np.float32), requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = f(x)
        y.backward(np.ones(y.shape, np.float32))
    assert x.grad.shape == shape


def test_logits_without_classes_are_refused():
    with pytest.raises(ShapeError, match=r"cross_entropy_loss: logits of shape \(2, 0\) have no"):
        mv.cross_entropy_loss(np.zeros((2, 0)), [-100, -100])


# -- small doors -----------------------------------------------------------------------------------
def test_empty_is_a_matter_of_the_thread():
    made = []
    with nn.empty():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(2, 3)))
        thread.start()
        thread.join()
        assert nn.Linear(2, 3).weight.data.strides == (0, 0)
    assert made[0].weight.data.strides != (0, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Linear(2, 3).train("x"), lambda: nn.Linear(2, 3).train(None),
        lambda: nn.Linear(2, 3)(None), lambda: nn.Linear(2, 3)("x"), lambda: mv.use(None),
    ],
)  # fmt: skip
def test_small_doors(call):
    with pytest.raises(MinivitError, match="expected"):
        call()
    assert mv.default_device() == "cpu"
