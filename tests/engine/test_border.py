"""The border to NumPy and to Python: no gradient is lost without a word, nothing becomes an array
of objects, and what cannot be is refused by this library."""

import copy
import operator
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minivit as mv
from minivit.engine import backend
from minivit.engine.errors import (
    DeviceError,
    DtypeError,
    GraphError,
    MinivitError,
    RangeError,
    ShapeError,
)
from tests.clock import timed

NUMBERS = "bool int8 uint8 int32 int64 float16 float32 float64 complex64".split()
any_array = hnp.arrays(st.sampled_from(NUMBERS), hnp.array_shapes(min_dims=0, min_side=0))


def leaf(data, dtype=np.float64):
    return mv.Tensor(np.array(data, dtype), requires_grad=True)


# -- to NumPy --------------------------------------------------------------------------------------
@given(any_array, st.sampled_from([None, *NUMBERS]), st.sampled_from([None, True, False]))
def test_an_array_of_a_tensor_is_the_array_of_its_array(x, dtype, copy):
    """np.array(t, dtype=, copy=) is np.array(t.data, dtype=, copy=), errors included."""
    if x.dtype.kind == "c" and dtype is not None and not dtype.startswith("complex"):
        dtype = None
    t = mv.Tensor(x)
    with np.errstate(all="ignore"):
        try:
            expected = np.array(x, dtype=dtype, copy=copy)
        except ValueError:
            with pytest.raises(ValueError):
                np.array(t, dtype=dtype, copy=copy)
            return
        got = np.array(t, dtype=dtype, copy=copy)
    np.testing.assert_array_equal(got, expected, strict=True)
    assert type(got) is np.ndarray and np.shares_memory(got, x) == np.shares_memory(expected, x)
    np.testing.assert_array_equal(np.asarray(t), x, strict=True)


a, b = [1.0, 2.0], [3.0, 4.0]
LOSE = {
    "np.asarray(x)": lambda x: np.asarray(x),
    "np.array(x, dtype)": lambda x: np.array(x, np.float32),
    "np.asarray([x, y])": lambda x: np.asarray([x, x * 2]),
    "np.array([x[0], x[1]])": lambda x: np.array([x[0], x[1]]),
    "np.mean([x, y])": lambda x: np.mean([x, x]),
    "np.sum([numbers])": lambda x: np.sum([x[0], x[1]]),
    "np.r_": lambda x: np.r_[x],
    "np.r_ of two": lambda x: np.r_[x, x],
    "np.c_": lambda x: np.c_[x, x],
    "array[0] = t": lambda x: operator.setitem(np.zeros((2, 2)), 0, x),
    "array[0] = number": lambda x: operator.setitem(np.zeros(2), 0, x[0]),
    "float(x)": lambda x: float(x[0]),
    "int array[0] = number": lambda x: operator.setitem(np.zeros(2, int), 0, x[0]),
    "array[:] = [t, t]": lambda x: operator.setitem(np.zeros((2, 2)), slice(None), [x, x]),
    "tensor[0] = t": lambda x: operator.setitem(mv.Tensor(np.zeros((2, 2))), 0, x),
    "tensor[0] = number": lambda x: operator.setitem(mv.Tensor(np.zeros(2)), 0, x[0] * x[0]),
    "t += into an array": lambda x: operator.iadd(np.zeros(2), x),
    "Tensor(x)": lambda x: mv.Tensor(x),
    "Tensor([x, y])": lambda x: mv.Tensor([x, x]),
    "Parameter(x)": lambda x: mv.Parameter(x),
    "p.data = x": lambda x: setattr(mv.Tensor(np.zeros(2)), "data", x),
    "np.fromiter": lambda x: np.fromiter([x, x], dtype=np.dtype((float, 2))),
    "np.testing": lambda x: np.testing.assert_allclose(x, [1.0, 2.0]),
    "np.frombuffer": lambda x: np.frombuffer(x),
    "copy.copy": lambda x: copy.copy(x * 2.0),
    "copy.deepcopy": lambda x: copy.deepcopy(x * 2.0),
    "pickle": lambda x: pickle.dumps(x * 2.0),
    "deepcopy of a list": lambda x: copy.deepcopy([x, x.sum()]),
}
NOT_A_BUFFER = {"np.frombuffer"}


@pytest.mark.parametrize("name", LOSE)
def test_no_gradient_is_lost_without_a_word(name):
    x = leaf(a)
    with pytest.raises((MinivitError, TypeError, ValueError)) as caught:
        LOSE[name](x)
    error = caught.value
    if type(error) is ValueError:  # NumPy's own, raised from ours
        error = error.__cause__
    says = str(error)
    assert ("detach()" if isinstance(error, MinivitError) else "numpy()") in says or (
        name in NOT_A_BUFFER
    )


WITHOUT = sorted(set(LOSE) - {"t += into an array", "np.frombuffer", "np.testing", "Parameter(x)"})


@pytest.mark.parametrize("name", WITHOUT)
def test_the_same_works_where_there_is_none(name):
    LOSE[name](mv.Tensor(np.array(a)))
    with mv.no_grad():
        LOSE[name](leaf(a).detach())


def test_what_only_reads_works_where_there_is_none():
    x = mv.Tensor(np.array(a))
    np.testing.assert_allclose(x, a)
    assert np.mean([x, mv.Tensor(np.array(b))]) == 2.5
    c = np.zeros((2, 2))
    c[0] = x
    assert c[0].tolist() == a
    assert np.asarray(x) is x.data


def test_a_large_tensor_becomes_an_array_at_once():
    with timed() as seconds:
        array = np.asarray(mv.Tensor(np.zeros((400, 400))))
    assert array.dtype == np.float64 and seconds() < 0.1


def test_a_tensor_on_a_device_is_not_sent_to_the_host_silently():
    x = mv.Tensor(np.ones(2), device="strict")
    for f in (np.asarray, lambda x: np.mean([x, x]), lambda x: np.r_[x]):
        with pytest.raises(DeviceError, match=r"t\.numpy\(\)"):
            f(x)


# -- from NumPy ------------------------------------------------------------------------------------
def subclasses():
    class Odd(np.ndarray):
        pass

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it will be gone one day
        matrix = np.matrix(x)
    return {
        "matrix": matrix,
        "masked": np.ma.masked_greater(x, 3.0),
        "recarray": x.view(np.recarray),
        "Odd": x.view(Odd),
    }


@pytest.mark.parametrize("name", ["matrix", "masked", "recarray", "Odd"])
def test_subclasses_of_arrays_are_refused(name):
    x, t = subclasses()[name], mv.Tensor(np.ones((2, 2)), requires_grad=True)
    for f in (
        mv.Tensor, lambda x: t * x, lambda x: t + x, lambda x: mv.matmul(t, x), mv.softmax,
        lambda x: setattr(t, "data", x), lambda x: mv.where(x, t, t), lambda x: t.backward(x),
        lambda x: mv.embedding(t, x),
    ):  # fmt: skip
        with pytest.raises(DtypeError, match=r"whose operators are its own; pass"):
            f(x)
    if name != "masked":  # np.ma takes over: it asks for an array, and is refused one
        assert type(np.asarray(x)) is np.ndarray
    with pytest.raises((MinivitError, TypeError)):
        x * t


def test_a_memmap_stays_a_memmap(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(2, 3))
    x[:] = 2.0
    t = mv.Tensor(x)
    assert t.data is x
    w = leaf(np.ones((2, 3)), np.float32)
    (w * x + w * t).sum().backward()
    assert w.grad.tolist() == [[4.0] * 3] * 2
    p = mv.Tensor(np.zeros((2, 3), np.float32))
    p.data = x
    assert p.data is x
    assert mv.softmax(x).dtype == np.float32


@pytest.mark.parametrize(
    "data", [None, "text", ["a"], object(), {1: 2}, [[1.0], [1.0, 2.0]], np.array([None]),
             np.array(["2020"], "M8[D]"), b"bytes", {1.0}, lambda: 1]
)  # fmt: skip
def test_what_is_no_array_of_numbers(data):
    for f in (mv.Tensor, mv.exp, lambda d: mv.Tensor([1.0]) * d, mv.softmax):
        with pytest.raises(MinivitError):
            f(data)


def test_objects_with_an_array_of_their_own():
    class Other:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0], dtype)

    assert mv.Tensor(Other()).data.tolist() == [1.0, 2.0]
    torch = pytest.importorskip("torch")
    assert mv.Tensor(torch.ones(2, dtype=torch.float64)).dtype == np.float64


# -- Python's conversions --------------------------------------------------------------------------
def test_format():
    loss = (leaf([1.0, 2.0]) ** 2).mean()
    assert f"{loss:.3f}" == "2.500"
    assert f"{loss}" == str(loss) == repr(loss)
    assert f"{mv.Tensor([[3]]):>4d}" == "   3"
    assert f"{mv.Tensor([1.0, 2.0])}".startswith("Tensor([1. 2.]")
    with pytest.raises(ShapeError, match=r"got shape \(2,\), expected one element"):
        format(mv.Tensor([1.0, 2.0]), ".3f")
    assert "{:.1f}".format(mv.Tensor(2.0, device="strict")) == "2.0"


def test_index():
    n = mv.Tensor(np.array(2))
    assert list(range(n)) == [0, 1] and [5, 6, 7][n] == 7 and operator.index(n) == 2
    assert [5, 6, 7][mv.Tensor(np.array(1), device="strict")] == 6
    assert np.arange(4)[mv.Tensor([0, 2])].tolist() == [0, 2]
    for t in (mv.Tensor(2.0), mv.Tensor([2]), leaf(2.0), mv.Tensor(np.array(True))):
        with pytest.raises(DtypeError, match="where one integer is expected"):
            operator.index(t)


# -- data, requires_grad, items --------------------------------------------------------------------
def test_data_takes_arrays_and_tensors_of_its_shape():
    p = leaf([1.0, 2.0], np.float32)
    p.data = mv.Tensor(np.array([3.0, 4.0]))
    assert type(p.data) is np.ndarray and p.data.tolist() == [3.0, 4.0]
    p.data = np.array([5.0, 6.0], np.float16)
    assert p.dtype == np.float16
    scalar = leaf(1.0)
    scalar.data = scalar.data - 0.5  # NumPy makes a number of this
    assert type(scalar.data) is np.ndarray and scalar.data.shape == ()
    for wrong, kind in {
        (1.0, 2.0): DtypeError, 2.0: DtypeError, "ab": DtypeError, None: DtypeError,
    }.items():  # fmt: skip
        with pytest.raises(kind, match=r"data: got .*, expected an array or a Tensor"):
            p.data = wrong
    with pytest.raises(ShapeError, match=r"data: got shape \(3,\), the tensor has \(2,\)"):
        p.data = np.ones(3)
    assert p.data.tolist() == [5.0, 6.0]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_only_floating_point_requires_a_gradient(dtype):
    """In the constructor, the setter and data alike."""
    x = np.ones(2, dtype)
    if x.dtype.kind == "f":
        t = mv.Tensor(x, requires_grad=True)
        t.requires_grad = True
        return
    t, p = mv.Tensor(x), leaf([1.0, 2.0])
    with pytest.raises(DtypeError, match="requires_grad needs floating-point data"):
        mv.Tensor(x, requires_grad=True)
    with pytest.raises(DtypeError, match="requires_grad needs floating-point data"):
        t.requires_grad = True
    with pytest.raises(DtypeError, match="requires_grad needs floating-point data"):
        p.data = x
    assert not t.requires_grad and p.dtype == np.float64
    t.requires_grad = False
    p.requires_grad = False
    p.data = x


def test_a_result_is_not_frozen():
    x = leaf(a)
    y = x * 2
    with pytest.raises(GraphError, match=r"the result of 'multiply'.*detach\(\)"):
        y.requires_grad = False
    y.requires_grad = True
    (y * x).sum().backward()
    assert np.array_equal(x.grad, 4 * x.numpy())


def test_requires_grad_is_true_or_false():
    t = mv.Tensor([1.0])
    for wrong in ("no", None, 2, [True]):
        with pytest.raises(DtypeError, match="expected True or False"):
            t.requires_grad = wrong
    t.requires_grad = np.bool_(True)
    assert t.requires_grad is True


def test_items_are_written_or_refused_in_words():
    t = mv.Tensor(np.zeros((2, 3)))
    t[0] = mv.Tensor([1.0, 2.0, 3.0])
    t[mv.Tensor([1]), mv.Tensor(np.array(2))] = 5
    t[mv.Tensor(np.array([[False] * 3, [True, False, False]]))] = 7.0
    assert t.data.tolist() == [[1.0, 2.0, 3.0], [7.0, 0.0, 5.0]]
    for index, value, kind in (
        (5, 1.0, RangeError), ((0, 0, 0), 1.0, RangeError), (0, [1.0, 2.0], ShapeError),
        (0, "text", MinivitError), ("name", 1.0, MinivitError),
        (1.5, 1.0, MinivitError), (0, object(), DtypeError),
    ):  # fmt: skip
        with pytest.raises(kind):
            t[index] = value
    there = mv.Tensor(np.zeros(2), device="strict")
    with pytest.raises(MinivitError):
        there[0] = np.ones(1)


# -- copies ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))],
    ids=["copy", "deepcopy", "pickle"],
)  # fmt: skip
def test_a_leaf_is_copied_with_its_gradient(again):
    x = leaf([1.0, 2.0])
    (x * 3.0).sum().backward()
    y = again(x)
    assert type(y) is mv.Tensor and y.requires_grad and y.is_leaf
    assert y.data.tolist() == [1.0, 2.0] and y.grad.tolist() == [3.0, 3.0]
    (y * y).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and y.grad.tolist() == [5.0, 7.0]
    p = again(mv.Parameter(np.ones(2, np.float32)))
    assert type(p) is mv.Parameter and p.requires_grad

    class Named(mv.Tensor):
        pass

    named = Named(np.ones(2))
    named.name = "x"
    if again is not pickle:
        try:
            assert again(named).name == "x"
        except (pickle.PicklingError, AttributeError):
            pass  # a class of this function

    with mv.no_grad():
        assert again(x * 2.0).data.tolist() == [2.0, 4.0]
    assert again((x * 2.0).detach()).data.tolist() == [2.0, 4.0]


def test_a_copy_of_a_module_is_of_leaves():
    model = mv.nn.Linear(2, 2)
    twin = copy.deepcopy(model)
    twin(np.ones((1, 2), np.float32)).sum().backward()
    assert twin.weight.grad is not None and model.weight.grad is None
    assert backend.is_array(twin.weight.data)
