"""An integer is an integer, in whatever form it comes: NumPy's functions on Tensors take what
NumPy takes, and refuse numbers with a fraction in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit.engine.check import arrays
from minivit.engine.errors import MinivitError

# f(x, n): n is 0 or 1, which all of them can have for x of shape (2, 3, 4)
CALLS = {
    "sum": lambda x, n: np.sum(x, axis=n),
    "max": lambda x, n: np.max(x, axis=n),
    "mean, axes": lambda x, n: np.mean(x, axis=(n, 2)),
    "var": lambda x, n: np.var(x, axis=n, keepdims=True),
    "std, ddof": lambda x, n: np.std(x, axis=1, ddof=n),
    "argmax": lambda x, n: np.argmax(x, axis=n),
    "cumsum": lambda x, n: np.cumsum(x, axis=n),
    "sort": lambda x, n: np.sort(x, axis=n),
    "flip": lambda x, n: np.flip(x, axis=n),
    "norm": lambda x, n: np.linalg.norm(x, axis=n),
    "norm, a tuple": lambda x, n: np.linalg.norm(x, 2, axis=(n,)),
    "concatenate": lambda x, n: np.concatenate([x, x], axis=n),
    "stack": lambda x, n: np.stack([x, x], axis=n),
    "split": lambda x, n: np.split(x, [n], axis=2)[1],
    "swapaxes": lambda x, n: np.swapaxes(x, n, 2),
    "moveaxis": lambda x, n: np.moveaxis(x, n, -1),
    "expand_dims": lambda x, n: np.expand_dims(x, n),
    "transpose": lambda x, n: np.transpose(x, (n, 2, 1 - int(n))),
    "repeat": lambda x, n: np.repeat(x, n, axis=1),
    "tile": lambda x, n: np.tile(x, n),
    "tile, several": lambda x, n: np.tile(x, (2, n)),
    "roll": lambda x, n: np.roll(x, n, axis=2),
    "take": lambda x, n: np.take(x, n, axis=1),
    "pad": lambda x, n: np.pad(x, n),
    "diagonal": lambda x, n: np.diagonal(x, n, 1, 2),
    "trace": lambda x, n: np.trace(x, n, 1, 2),
    "tril": lambda x, n: np.tril(x, n),
    "diff": lambda x, n: np.diff(x, n),
    "x[n]": lambda x, n: x[n],
    "x[:, n:]": lambda x, n: x[:, n:],
}
FORMS = [int, np.int8, np.uint8, np.uint64, np.int64, np.array, lambda n: np.array(n, np.uint8)]
ARRAYS = "repeat roll split"  # where an array is one number for each element, or more than one


@pytest.mark.parametrize("name", sorted(CALLS))
def test_every_form_of_an_integer(name):
    @given(arrays((2, 3, 4)), st.sampled_from([0, 1]), st.sampled_from(FORMS))
    def check(x, n, form):
        got, wanted = CALLS[name](mv.Tensor(x), form(n)), CALLS[name](x, n)
        got = got.numpy() if isinstance(got, mv.Tensor) else got
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)

    check()


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("n", [1.5, np.float32(1), "1", 1j], ids=repr)
def test_another_number_is_refused_in_words(name, n):
    if name == "std, ddof" and not isinstance(n, (str, complex)):
        return  # any real number
    if name == "transpose":
        return  # of its 1 - n, Python has something to say first
    with pytest.raises(MinivitError):
        CALLS[name](mv.Tensor(np.ones((2, 3, 4))), n)


@given(st.sampled_from([(2, 1, 0), (0, 2, 1)]), st.sampled_from([tuple, list, np.array]))
def test_the_order_of_axes_as_any_sequence(order, form):
    x = np.arange(24.0).reshape(2, 3, 4)
    for got in (mv.Tensor(x).transpose(form(order)), np.transpose(mv.Tensor(x), form(order))):
        np.testing.assert_array_equal(got.numpy(), x.transpose(order))


# -- what NumPy says at the ends -------------------------------------------------------------------
@given(arrays((2, 3)), st.integers(0, 8), st.sampled_from([None, 0, 1, (0, 1)]))
@pytest.mark.filterwarnings("ignore")
def test_a_variance_with_no_degree_of_freedom_is_numpys(x, ddof, axis):
    """Infinite where ddof >= n, NaN of equal numbers."""
    for f in (np.var, np.std):
        got = f(mv.Tensor(x), axis=axis, ddof=ddof)
        np.testing.assert_allclose(got.numpy(), f(x, axis=axis, ddof=ddof), rtol=1e-12, atol=1e-7)


@pytest.mark.parametrize("f", [np.var, np.std])
def test_a_number_is_not_given_under_two_names(f):
    with pytest.raises(MinivitError, match="correction= and ddof= are one argument"):
        f(mv.Tensor(np.ones(3)), ddof=1, correction=1)


@given(st.sampled_from("?bBhHiIlLqQfd"), st.integers(-2, 3))
def test_a_triangle_keeps_its_dtype(dtype, k):
    x = np.ones((2, 3), dtype)
    for f in (np.tril, np.triu):
        np.testing.assert_array_equal(f(mv.Tensor(x), k).numpy(), f(x, k), strict=True)


@given(arrays((2, 3)), st.integers(-1070, 1000), st.sampled_from([np.linalg.norm, np.std]))
def test_gradients_of_lengths_do_not_depend_on_the_unit(x, exponent, f):
    """Norm and spread of 2^n x grow with 2^n, so their gradients stay, down to the smallest
    numbers; numbers below 2^-1022 have fewer digits."""
    unit = 2.0**exponent
    leaf, scaled = (mv.Tensor(a, requires_grad=True) for a in (x, x * unit))
    f(leaf).backward()
    f(scaled).backward()
    digits = 1e-9 if exponent > -1000 else 0.3
    assert np.isfinite(scaled.grad).all()
    if exponent > -1060 and np.ptp(x):
        np.testing.assert_allclose(scaled.grad, leaf.grad, rtol=digits, atol=digits)


@pytest.mark.parametrize("value", [2**70, -1, 256, float("inf")], ids=repr)
def test_a_number_that_the_dtype_cannot_hold_is_refused_in_words(value):
    t = mv.Tensor(np.zeros(3, np.uint8))
    with np.errstate(all="ignore"), pytest.raises(MinivitError):
        t[0] = value


DTYPE_TAKERS = {  # f(x, dtype)
    "Tensor": lambda x, dtype: mv.Tensor(x.numpy(), dtype=dtype),
    "astype": lambda x, dtype: x.astype(dtype),
    "np.astype": lambda x, dtype: np.astype(x, dtype) if hasattr(np, "astype") else x.astype(dtype),
    "sum": lambda x, dtype: np.sum(x, dtype=dtype),
    "mean": lambda x, dtype: np.mean(x, dtype=dtype),
    "cumsum": lambda x, dtype: np.cumsum(x, dtype=dtype),
    "concatenate": lambda x, dtype: np.concatenate([x, x], dtype=dtype, casting="unsafe"),
    "stack": lambda x, dtype: np.stack([x, x], dtype=dtype, casting="unsafe"),
    "add": lambda x, dtype: np.add(x, x, dtype=dtype),
    "exp": lambda x, dtype: np.exp(x, dtype=dtype),
}
NO_NUMBERS = ("U3", str, bytes, "S2", object, "M8[s]", "m8[D]", "V4", [("a", float)], "nope", 3)


@pytest.mark.parametrize("name", DTYPE_TAKERS)
def test_no_dtype_but_one_of_numbers_is_taken(name):
    x = mv.Tensor(np.ones((2, 3)), requires_grad=True)
    for dtype in NO_NUMBERS:
        with pytest.raises(MinivitError):
            DTYPE_TAKERS[name](x, dtype)


FLAGS = {  # f(flag)
    "keepdims": lambda x, flag: np.sum(x, keepdims=flag),
    "causal": lambda x, flag: mv.self_attention(x, 1, causal=flag),
    "causal, by its place": lambda x, flag: mv.self_attention(x, 1, None, flag),
    "causal, textbook": lambda x, flag: mv.attention.textbook.self_attention(x, causal=flag),
    "causal, a module": lambda x, flag: mv.MultiHeadAttention(6, 2)(x, causal=flag),
    "training": lambda x, flag: mv.dropout(x, 0.5, training=flag),
    "bias": lambda x, flag: mv.nn.Linear(6, 2, flag),
    "nesterov": lambda x, flag: mv.optim.SGD([mv.nn.Parameter(np.ones(2))], nesterov=flag),
    "train": lambda x, flag: mv.nn.Linear(6, 2).train(flag),
}


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("flag", ["no", "", None, 0.5, 2, [False], np.zeros(3), mv.Tensor([True])],
                         ids=lambda flag: type(flag).__name__ + str(np.size(flag)))  # fmt: skip
def test_a_flag_is_true_or_false(name, flag):
    x = mv.Tensor(np.ones((1, 3, 6), np.float32))
    with pytest.raises(MinivitError):
        FLAGS[name](x, flag)


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_may_be_a_bool_of_python_or_numpy(name):
    x = mv.Tensor(np.ones((1, 3, 6), np.float32))
    for flag in (False, np.False_):
        FLAGS[name](x, flag)
