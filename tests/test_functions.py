"""Hand-derived functions against their composed twins, and at the edges of their domain."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minivit as mv
from minivit import functions
from minivit.attention import kernel
from minivit.engine import backend
from minivit.engine.check import gradcheck
from minivit.engine.errors import DtypeError, MinivitError, OptionError, RangeError, ShapeError
from tests.devices import DEVICES
from tests.engine.op_cases import CASES, OPS

TWINS = sorted(name for name, op in OPS.items() if hasattr(op, "composed"))
ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


def test_every_function_that_could_be_composed_has_a_twin():
    assert set(TWINS) == set(
        "relu sigmoid silu gelu softmax log_softmax logsumexp cross_entropy_loss layer_norm "
        "rms_norm l2_normalize linear embedding dot_product_attention self_attention".split()
    )


@pytest.mark.parametrize(
    "name, block",
    [(name, kernel.BLOCK) for name in TWINS] + [(name, 2) for name in TWINS if "attention" in name],
)
@ON_EVERY_DEVICE
def test_a_function_equals_its_twin(name, device, block, monkeypatch):
    """Value and every gradient, float64, to 1e-10; causal attention in blocks of 2 queries too. (A
    twin need not know the softmax of nothing.)"""
    monkeypatch.setattr(kernel, "BLOCK", block)

    @given(CASES[name], st.integers(0, 99))
    def check(case, seed):
        assume(all(x.size for x in case.floats))
        with mv.use(device):
            results = []
            for f in (case, case.twin):
                leaves = [mv.Tensor(x, device=device, requires_grad=True) for x in case.floats]
                out = f(*leaves)
                assert out.device == device
                g = np.random.default_rng(seed).standard_normal(out.shape)
                out.backward(backend.to_device(g, device))
                results.append([out.numpy(), *(backend.to_numpy(t.grad) for t in leaves)])
        for a, b in zip(*results, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)

    check()


# -- large numbers ---------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@ON_EVERY_DEVICE
@pytest.mark.filterwarnings("error")
def test_nothing_overflows(dtype, device):
    """Scores of a thousand, a row of equal ones, -1e30 for what is hidden: finite."""
    with mv.use(device):
        data = np.array([[1e3, -1e3, 0], [-1e3, -1e3, -1e3], [1e4, 1e4, -1e30]], dtype)
        x = mv.Tensor(data, device=device, requires_grad=True)
        ones = backend.to_device(np.ones((3, 3), dtype), device)

        def checked(f):
            out = f(x)
            x.grad = None
            out.backward(ones if out.ndim else None)
            assert np.isfinite(out.numpy()).all()
            assert np.isfinite(backend.to_numpy(x.grad)).all()
            return out.numpy()

        np.testing.assert_allclose(checked(mv.softmax).sum(axis=1), 1, rtol=1e-6)
        checked(mv.log_softmax)
        assert checked(lambda x: mv.logsumexp(x).sum()) > 9e3
        assert checked(lambda x: mv.cross_entropy_loss(x, np.array([0, 1, 0]))) < 1
        assert checked(mv.sigmoid)[0].tolist() == [1.0, 0.0, 0.5]
        checked(lambda x: mv.silu(mv.clip(x, -1e4, 1e4)))
        for kind in ("none", "tanh", "quick"):
            checked(lambda x, kind=kind: mv.gelu(mv.clip(x, -1e3, 1e3), approximate=kind))
        checked(lambda x: mv.layer_norm(mv.clip(x, -1e4, 1e4), ones[0], ones[0]))
        checked(lambda x: mv.l2_normalize(mv.clip(x, -1e4, 1e4)))


def test_a_shift_of_the_logits_does_not_matter():
    x = np.random.default_rng(0).standard_normal((4, 5))
    for f in (mv.softmax, mv.log_softmax):
        np.testing.assert_allclose(f(x).numpy(), f(x + 700.0).numpy(), atol=1e-12)


# -- cross-entropy ---------------------------------------------------------------------------------
def test_cross_entropy_of_what_is_ignored():
    x = mv.Tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)
    loss = mv.cross_entropy_loss(x, np.array([-100, 2, -100]))
    loss.backward()
    assert loss.item() == pytest.approx(mv.cross_entropy_loss(x[1:2], np.array([2])).item())
    assert (x.grad[0] == 0).all() and (x.grad[2] == 0).all() and (x.grad[1] != 0).all()
    x.grad = None
    loss = mv.cross_entropy_loss(x, np.full(3, -100))
    loss.backward()
    assert loss.item() == 0.0 and (x.grad == 0).all()


def test_cross_entropy_knows_what_it_should_be():
    """Equal logits: log C. Its gradient sums to 0 over the classes."""
    assert mv.cross_entropy_loss(np.zeros((2, 10)), [3, 7]).item() == pytest.approx(np.log(10))
    x = mv.Tensor(np.random.default_rng(0).standard_normal((2, 5, 3)), requires_grad=True)
    mv.cross_entropy_loss(x, np.zeros((2, 3), int), axis=1, label_smoothing=0.2).backward()
    np.testing.assert_allclose(x.grad.sum(axis=1), 0, atol=1e-15)


# -- dropout ---------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_dropout_keeps_the_expectation(device):
    with mv.use(device):
        x = mv.Tensor(np.ones((200, 500), np.float32), device=device, requires_grad=True)
        y = mv.dropout(x, p=0.25)
        y.sum().backward()
        values = y.numpy()
        assert set(np.unique(values).tolist()) == {0.0, np.float32(1 / 0.75)}
        assert (values == 0).mean() == pytest.approx(0.25, abs=0.01)
        assert values.mean() == pytest.approx(1, abs=0.01)
        assert (backend.to_numpy(x.grad) == values).all()
        assert (mv.dropout(x, p=0.25).numpy() != values).any()
        assert (mv.dropout(x, p=0.25, training=False).numpy() == 1).all()


# -- embedding, norms: edges -----------------------------------------------------------------------
def test_a_row_that_was_read_twice_receives_both_gradients():
    table = mv.Tensor(np.zeros((3, 2)), requires_grad=True)
    mv.embedding(table, [1, 1, 0]).backward(np.array([[1.0, 2.0], [10.0, 20.0], [5.0, 5.0]]))
    assert table.grad.tolist() == [[5.0, 5.0], [11.0, 22.0], [0.0, 0.0]]


def test_an_infinite_gradient_reaches_the_row_that_was_read_and_no_other():
    table = mv.Tensor(np.ones((3, 2)), requires_grad=True)
    mv.embedding(table, [1, 1]).backward(np.array([[np.inf, 2.0], [1.0, np.nan]]))
    assert np.array_equal(table.grad, [[0, 0], [np.inf, np.nan], [0, 0]], equal_nan=True)


def test_layer_norm_of_equal_numbers_is_beta():
    out = mv.layer_norm(np.full((2, 4), 3.0), np.ones(4), np.arange(4.0))
    assert out.numpy().tolist() == [[0.0, 1.0, 2.0, 3.0]] * 2
    assert gradcheck(
        lambda x, g, b: mv.layer_norm(x, g, b, eps=1e-2), np.ones((2, 3)), np.ones(3), np.ones(3)
    ).kinks == 0  # fmt: skip


def test_a_zero_vector_stays_zero():
    x = mv.Tensor(np.zeros((1, 3)), requires_grad=True)
    y = mv.l2_normalize(x)
    y.backward(np.ones((1, 3)))
    assert (y.numpy() == 0).all() and np.isfinite(x.grad).all()


# -- at the edges of range -------------------------------------------------------------------------
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def value_and_gradient(f, x, device="cpu", g=None):
    x = mv.Tensor(x, device=device, requires_grad=True)
    y = f(x)
    y.backward(backend.to_device(np.ones(y.shape, y.dtype) if g is None else g, device))
    return y.numpy(), backend.to_numpy(x.grad)


@FLOATS
@ON_EVERY_DEVICE
@pytest.mark.filterwarnings("error")
def test_tails_are_not_rounded_away(dtype, device):
    """sigmoid(-20) is 2e-9, and what is made of it is no 0 either."""
    x = np.linspace(-60, -8, 40).astype(dtype)
    e = np.exp(x.astype(np.float64))
    eps = 200 * np.finfo(dtype).eps  # e^x of a rounded x
    y, dx = value_and_gradient(mv.sigmoid, x, device)
    np.testing.assert_allclose(y, e / (1 + e), rtol=eps)
    np.testing.assert_allclose(dx, e / (1 + e) ** 2, rtol=eps)
    y, dx = value_and_gradient(mv.silu, x, device)
    np.testing.assert_allclose(y, x * e / (1 + e), rtol=eps)
    np.testing.assert_allclose(dx, e / (1 + e) * (1 + x / (1 + e)), rtol=10 * eps)
    x = np.linspace(-9, -3, 40).astype(dtype)  # the limit: x phi(x) / x (1 - 1/x^2 + 3/x^4 ...)
    y, dx = value_and_gradient(mv.gelu, x, device)
    exact = [v * math.erfc(-v / math.sqrt(2)) / 2 for v in x.astype(float)]
    np.testing.assert_allclose(y, exact, rtol=eps)
    for kind in ("tanh", "quick"):
        y, dx = value_and_gradient(lambda x, k=kind: mv.gelu(x, approximate=k), x, device)
        assert (y < 0).all() and (dx < 0).all()


@FLOATS
@ON_EVERY_DEVICE
@pytest.mark.filterwarnings("error")
def test_activations_of_huge_numbers(dtype, device):
    huge = np.array([-1, 1], dtype) * dtype(1e30 if dtype == np.float32 else 1e200)
    for f in (
        mv.silu,
        mv.gelu,
        *(lambda x, k=k: mv.gelu(x, approximate=k) for k in ("tanh", "quick")),
    ):
        y, dx = value_and_gradient(f, huge, device)
        assert y.tolist() == [0, huge[1]] and dx.tolist() == [0, 1]


@given(st.integers(0, 99), st.sampled_from([-np.inf, np.inf, np.nan]), st.sampled_from([0.0, 0.2]))
@ON_EVERY_DEVICE
def test_an_ignored_row_may_hold_anything(device, seed, what, smoothing):
    r = np.random.default_rng(seed)
    x = r.standard_normal((6, 4))
    labels = np.where(r.random(6) < 0.5, -100, r.integers(0, 4, 6))
    x[labels == -100] = np.where(r.random(4) < 0.7, what, 1.0)
    f = lambda x, l: mv.cross_entropy_loss(x, l, label_smoothing=smoothing)  # noqa: E731
    kept = labels != -100
    loss, dx = value_and_gradient(lambda x: f(x, labels), x, device)
    assert (dx[~kept] == 0).all()
    expected, gradient = value_and_gradient(lambda x: f(x, labels[kept]), x[kept], device)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    np.testing.assert_allclose(dx[kept], gradient, rtol=1e-12)


@FLOATS
@given(st.floats(0, 80), st.floats(-1e3, 1e3))
def test_a_loss_near_zero_is_positive_and_right(dtype, margin, shift):
    x = np.array([[shift, shift + margin]], dtype)
    others = math.exp(float(x[0, 0]) - float(x[0, 1]))
    for f in (lambda x: mv.cross_entropy_loss(x, [1]), lambda x: -mv.log_softmax(x)[0, 1]):
        loss, dx = value_and_gradient(f, x)
        assert loss == pytest.approx(math.log1p(others), rel=50 * float(np.finfo(dtype).eps))
        assert loss >= 0
    _, dx = value_and_gradient(lambda x: mv.cross_entropy_loss(x, [1]), x)
    slope = others / (1 + others)
    np.testing.assert_allclose(dx, [[slope, -slope]], rtol=100 * np.finfo(dtype).eps)


@ON_EVERY_DEVICE
def test_logsumexp_at_infinity(device):
    low, high = -np.inf, np.inf
    y, _ = value_and_gradient(mv.logsumexp, np.array([[low] * 2, [low, 1], [1, high]]), device)
    assert y.tolist() == [low, 1, high]
    with np.errstate(invalid="ignore"):
        assert np.isnan(mv.softmax(np.array([low, low])).numpy()).all()
        assert np.isnan(mv.log_softmax(np.array([low, low])).numpy()).all()


@FLOATS
@ON_EVERY_DEVICE
def test_l2_normalize_at_every_length(dtype, device):
    """Unit vectors from 1e-30 to 1e30; below eps the length is a constant, and dx = g / eps."""
    x, g = np.random.default_rng(0).standard_normal((2, 3, 4))
    unit, gradient = value_and_gradient(mv.l2_normalize, x, g=g)
    for size in (1e-30, 1e30):
        f = lambda x: mv.l2_normalize(x, eps=1e-35)  # noqa: E731
        y, dx = value_and_gradient(f, (x * size).astype(dtype), device, g.astype(dtype))
        np.testing.assert_allclose(y, unit, rtol=1e-5)
        np.testing.assert_allclose(dx * size, gradient, rtol=1e-4, atol=1e-5)
    small = (x * 1e-14).astype(dtype)
    y, dx = value_and_gradient(mv.l2_normalize, small, device, g.astype(dtype))
    np.testing.assert_allclose(y, small.astype(float) * 1e12, rtol=1e-6)
    np.testing.assert_allclose(dx, g * 1e12, rtol=1e-6)


@FLOATS
@ON_EVERY_DEVICE
@pytest.mark.parametrize("blas", [True, False], ids=["", "no BLAS"])
def test_layer_norm_of_rows_far_from_zero(dtype, device, blas, monkeypatch):
    """A constant row is beta, with BERT's eps too; a large mean costs no digits."""
    monkeypatch.setattr(backend, "BLAS", blas and backend.BLAS)
    D, eps = 768, np.finfo(dtype).eps
    beta = np.linspace(-1, 1, D).astype(dtype)
    ones, send = np.ones(D, dtype), lambda a: backend.to_device(a, device)
    for value in (1000.1, -3e6, 1e-3):
        x = np.full((2, D), value, dtype)
        y = mv.layer_norm(mv.Tensor(x, device=device), send(ones), send(beta), eps=1e-12).numpy()
        np.testing.assert_allclose(y, [beta] * 2, atol=1e3 * eps)
    x = (1e4 + np.random.default_rng(0).standard_normal((3, D))).astype(dtype)
    exact = x.astype(np.longdouble)
    exact = (exact - exact.mean(axis=1, keepdims=True)) / exact.std(axis=1, keepdims=True)
    y = mv.layer_norm(mv.Tensor(x, device=device), send(ones), send(0 * ones), eps=1e-12).numpy()
    np.testing.assert_allclose(y, exact, atol=10 * eps)


@ON_EVERY_DEVICE
def test_axes_of_length_zero(device):
    """NumPy's and PyTorch's answers: an empty sum is 0, an empty softmax has no elements."""
    with mv.use(device):
        t = lambda *shape: mv.Tensor(np.ones(shape), device=device, requires_grad=True)  # noqa: E731
        calls = {
            (3, 2): lambda: mv.linear(t(3, 0), t(2, 0)),
            (0, 2): lambda: mv.linear(t(0, 4), t(2, 4), t(2)),
            (2, 0, 5): lambda: mv.linear(t(2, 0, 4), t(5, 4)),
            (3, 0): lambda: mv.softmax(t(3, 0)),
            (0, 3): lambda: mv.log_softmax(t(0, 3), axis=0),
            (4,): lambda: mv.logsumexp(t(4, 0)),
            (2, 0): lambda: mv.layer_norm(t(2, 0), t(0), t(0)),
            (0, 5): lambda: mv.layer_norm(t(0, 5), t(5), t(5)),
            (5, 0): lambda: mv.rms_norm(t(5, 0), t(0)),
            (6, 0): lambda: mv.l2_normalize(t(6, 0)),
            (): lambda: mv.cross_entropy_loss(t(0, 3), np.zeros(0, int)),
            (1, 0, 4): lambda: mv.dot_product_attention(t(1, 0, 4), t(1, 3, 4), t(1, 3, 4)),
            (1, 2, 4): lambda: mv.dot_product_attention(t(1, 2, 4), t(1, 0, 4), t(1, 0, 4)),
            (1, 2, 0): lambda: mv.self_attention(t(1, 2, 0), causal=True),
        }
        for shape, call in calls.items():
            y = call()
            assert y.shape == shape
            y.backward(backend.to_device(np.ones(shape), device))
        assert (calls[(3, 2)]().numpy() == 0).all()
        assert (calls[(1, 2, 4)]().numpy() == 0).all()
        assert (calls[(4,)]().numpy() == -np.inf).all()


def test_a_float64_bias_makes_the_result_float64():
    x, W = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    assert mv.linear(x, W, np.ones(4)).dtype == np.float64
    assert mv.layer_norm(x, W[0], np.ones(3)).dtype == np.float64


# -- errors ----------------------------------------------------------------------------------------
x34, v3, v4 = np.ones((3, 4)), np.ones(3), np.ones(4)
WRONG = [
    (
        lambda: mv.linear(x34, np.ones((2, 3))),
        ShapeError,
        r"x has shape \(3, 4\) .* \(2, 3\)",
    ),
    (lambda: mv.layer_norm(x34, v3, v4), ShapeError, r"x has 4 .*gamma \(3,\) and beta \(4,\)"),
    (lambda: mv.rms_norm(x34, v3), ShapeError, r"x has 4 features .*gamma \(3,\)"),
    (lambda: mv.gelu(x34, approximate="fast"), OptionError, "'fast', expected .*'quick'"),
    (lambda: mv.dropout(x34, p=1.0), OptionError, r"p is 1.0, expected 0 <= p < 1"),
    (lambda: mv.dropout(x34, p=-0.1), OptionError, r"p is -0.1"),
    (lambda: mv.dropout(np.ones(3, np.int64)), DtypeError, r"dropout: got dtype int64"),
    (
        lambda: mv.cross_entropy_loss(x34, [0, 0, 0], reduction="sum"),
        OptionError,
        "reduction is 'sum', not 'mean' or 'none'",
    ),
    (
        lambda: mv.cross_entropy_loss(x34, [0, 0, 0], label_smoothing=1.0),
        OptionError,
        "label_smoothing is 1.0",
    ),
    (lambda: mv.cross_entropy_loss(x34, [0] * 4), ShapeError, r"labels have shape \(4,\)"),
]


@pytest.mark.parametrize("call, kind, says", WRONG, ids=[w[2][:30] for w in WRONG])
def test_bad_input_is_named(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


@pytest.mark.parametrize("axis", [2, 3, 5, -3, -5])
def test_an_axis_that_is_not_there_is_refused(axis):
    x = mv.Tensor(np.ones((2, 3)))
    for f in (mv.softmax, functions.log_softmax, functions.logsumexp):
        with pytest.raises(MinivitError):
            f(x, axis=axis)
    with pytest.raises((MinivitError, IndexError)):
        mv.cross_entropy_loss(x, np.array([0, 1]), axis=axis)


JUNK = [None, "x", [1, 2], {}, object(), 1.5, -1, 7, True, math.nan, (1,), b"x"]
shape_with_empty = st.lists(st.integers(0, 3), max_size=3).map(tuple)
kinds = st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, bool])


@given(st.data())
def test_only_errors_of_this_library(data):
    """Every function, with an operand of any shape and dtype, and an option that makes no sense."""
    draw = data.draw
    x, y = (np.ones(draw(shape_with_empty)).astype(draw(kinds)) for _ in range(2))
    x = mv.Tensor(x, requires_grad=x.dtype.kind == "f")
    junk = draw(st.sampled_from(JUNK))
    labels = np.zeros(x.shape[:-1], int)
    calls = [
        lambda: mv.linear(x, y, y),
        lambda: mv.linear(x, junk),
        lambda: mv.layer_norm(x, y, y),
        lambda: mv.layer_norm(x, y, y, eps=junk),
        lambda: mv.rms_norm(x, y, eps=junk),
        lambda: mv.embedding(x, y),
        lambda: mv.embedding(x, junk),
        lambda: mv.gelu(x, approximate=junk),
        lambda: mv.dropout(x, p=junk),
        lambda: mv.l2_normalize(x, axis=junk),
        lambda: mv.l2_normalize(x, eps=junk),
        lambda: mv.cross_entropy_loss(x, y),
        lambda: mv.cross_entropy_loss(x, junk),
        lambda: mv.dot_product_attention(x, y, y),
        lambda: mv.self_attention(x, heads=junk),
        lambda: mv.self_attention(x, mask=junk),
        lambda: mv.self_attention(x, scale=junk),
        lambda: mv.attention.attention_weights(x, x, heads=junk),
        lambda: mv.attention.attention_weights(x, mv.Tensor(y), mask=junk),
        lambda: mv.causal_mask(junk),
        lambda: mv.MultiHeadAttention(4, junk),
        lambda: mv.MultiHeadAttention(junk, 2, dropout=junk),
        lambda: mv.attention.KVCache(3).append(y, junk, 1),
        lambda: mv.attention.KVCache(junk).append(y, y, 1),
    ]
    calls += [
        lambda o=o: mv.cross_entropy_loss(x, labels, **{o: junk})
        for o in ("axis", "ignore_index", "label_smoothing", "reduction")
    ]
    one = (mv.softmax, mv.log_softmax, mv.logsumexp, mv.sigmoid, mv.silu, mv.relu, mv.gelu)
    calls += [lambda f=f: f(x) for f in one] + [lambda f=f: f(junk) for f in one]
    calls += [lambda f=f: f(x, axis=junk) for f in one[:3]]
    with np.errstate(all="ignore"):
        for call in calls:
            try:
                out = call()
                if isinstance(out, mv.Tensor) and out.requires_grad:
                    out.backward(np.ones(out.shape, out.dtype))
            except MinivitError:
                pass


@pytest.mark.parametrize("axis", [2, 9, -3, -9])
def test_an_axis_that_is_not_there_is_named(axis):
    x = mv.Tensor(np.ones((2, 3)))
    by_option = (mv.softmax, mv.log_softmax, mv.logsumexp, mv.l2_normalize, mv.sum, mv.mean, mv.max,
                 mv.min, mv.prod, mv.std, mv.var, mv.flip, mv.cumsum)  # fmt: skip
    calls = [lambda f=f: f(x, axis=axis) for f in by_option]
    calls += [lambda: mv.swapaxes(x, 0, axis), lambda: mv.swapaxes(x, axis, 0)]
    calls += [lambda: mv.moveaxis(x, axis, 0), lambda: mv.split(x, 1, axis=axis)]
    calls += [lambda: mv.concatenate([x, x], axis=axis)]
    for call in calls:
        with pytest.raises(RangeError, match=f"axis {axis} is out of bounds"):
            call()


def test_nothing_to_join_is_told():
    for join in (mv.stack, mv.concatenate):
        with pytest.raises(ShapeError, match=f"{join.__name__}: got no tensors"):
            join([])
