"""Hand-derived functions against their composed twins, and at the edges of their domain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit import functions
from minivit.attention import kernel
from minivit.engine import backend
from minivit.engine.check import gradcheck
from minivit.engine.errors import DtypeError, MinivitError, OptionError, ShapeError
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
    """Value and every gradient, float64, to 1e-10; causal attention in blocks of 2 queries too."""
    monkeypatch.setattr(kernel, "BLOCK", block)

    @given(CASES[name], st.integers(0, 99))
    def check(case, seed):
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
    (lambda: mv.dropout(np.ones(3, int)), DtypeError, r"dropout: got dtype int64"),
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
