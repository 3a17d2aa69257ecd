"""The compiled loops are as exact as NumPy's passes, and nobody gets them without asking."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit
from minivit import Tensor, functions
from minivit.attention import dot_product_attention
from minivit.engine import fused
from minivit.engine.errors import OptionError

try:
    import numba
except ImportError:
    numba = None
compiled = pytest.mark.skipif(numba is None, reason="needs the package numba")


@pytest.fixture
def loops():
    minivit.fused(True)
    yield fused._loops
    minivit.fused(False)


def passed(f, arrays, g):
    """The value, and the gradients of g on it."""
    arguments = [Tensor(a, requires_grad=True) for a in arrays]
    y = f(*arguments)
    y.backward(Tensor(g.astype(y.dtype)))
    return [y.numpy(), *(np.asarray(a.grad) for a in arguments)]


def worst(found, right):
    """The largest error, in units of the largest number of each array."""
    return [np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), 1e-30)
            for a, b in zip(found, right)]  # fmt: skip


def as_exact(f, arrays, shape):
    """Value and gradients in float32 lie as near to those in float64 with the loops as without."""
    g = np.random.default_rng(1).normal(size=shape)
    right, without = (passed(f, [a.astype(t) for a in arrays], g) for t in (np.float64, np.float32))
    minivit.fused(True)
    try:
        with_loops = passed(f, arrays, g)
    finally:
        minivit.fused(False)
    assert all(a.dtype == np.float32 for a in with_loops)
    for one, other in zip(worst(with_loops, right), worst(without, right)):
        assert one <= 2 * other + 1e-6


SIZES = st.tuples(st.integers(0, 70), st.integers(1, 140), st.integers(0, 2**32 - 1))


@compiled
@given(SIZES, st.sampled_from([1e-3, 1.0, 1e3]), st.sampled_from([0.0, 3.0, 1e3]))
def test_layer_norm(size, scale, shift):
    rows, D, seed = size
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, D)) * scale + shift * scale).astype(np.float32)
    gamma, beta = rng.normal(size=(2, D)).astype(np.float32)
    as_exact(functions.layer_norm, (x, gamma, beta), x.shape)


GATES = {
    "gelu": functions.gelu,
    "tanh": lambda x: functions.gelu(x, approximate="tanh"),
    "quick": lambda x: functions.gelu(x, approximate="quick"),
    "silu": functions.silu,
}


@compiled
@pytest.mark.parametrize("name", GATES)
def test_gates(name):
    x = np.concatenate([np.linspace(-15, 15, 100_001), [0, -0.0, 1e-30, -1e-40, 87, -88, 1e4]])
    as_exact(GATES[name], [x.astype(np.float32)], x.shape)


@compiled
@pytest.mark.parametrize("name", GATES)
def test_what_is_not_finite_stays_so(name, loops):
    x = np.float32([np.nan, np.inf, 3e38, -3e38, 1])
    y, dx = passed(GATES[name], [x], np.ones(5))
    assert np.isnan(y[0]) and np.isnan(dx[0])
    assert y[1] == np.inf and y[2] == np.float32(3e38) and y[3] == 0
    assert dx[1] == 1 and dx[2] == 1 and dx[3] == 0 and np.isfinite(y[4])


@compiled
@pytest.mark.parametrize("name", GATES)
def test_without_a_gradient_the_value_is_the_same(name, loops):
    x = np.random.default_rng(0).normal(size=(31, 17)).astype(np.float32)
    recorded = GATES[name](Tensor(x, requires_grad=True)).numpy()
    with minivit.no_grad():
        assert np.array_equal(GATES[name](Tensor(x)).numpy(), recorded)


@compiled
@given(SIZES, st.sampled_from(["all", "causal", "mask"]), st.sampled_from([1, 30]))
def test_attention(size, kind, scale):
    N, M, seed = size
    rng = np.random.default_rng(seed)
    N = min(max(N, 1), M)
    q, k, v = (rng.normal(size=(2, n, 32)).astype(np.float32) for n in (N, M, M))
    mask = rng.random((N, M)) < 0.5
    mask[:, :1] = True
    how = {"all": {}, "causal": {"causal": True}, "mask": {"mask": mask}}[kind]
    as_exact(lambda *a: dot_product_attention(*a, heads=2, **how), (q * scale, k, v), q.shape)


@compiled
def test_a_power_of_two(loops):
    t = np.linspace(-160, 126, 5_001, dtype=np.float32)
    found, right = np.array([loops.exp2(one) for one in t]), 2.0 ** t.astype(np.float64)
    assert (np.abs(found - right) <= 1.01 * np.spacing(right.astype(np.float32))).all()
    assert loops.exp2(np.float32(-np.inf)) == 0 and np.isnan(loops.exp2(np.float32(np.nan)))
    assert loops.exp2(np.float32(np.inf)) == np.float32(2.0**126)


@compiled
def test_a_softmax_says_where_it_needs_the_maximum(loops):
    S = np.float32([[0, 1, 2], [3, 3, 3]])
    assert loops.softmax(S, np.float32(1)) and np.allclose(S.sum(axis=1), 1)
    for bad in (-90, 90, np.nan, np.inf, -np.inf):
        assert not loops.softmax(np.float32([[bad, bad], [1, 1]]), np.float32(1))


@compiled
def test_a_net_learns_the_same(loops):
    from minivit.models.vit import ViT

    def losses():
        minivit.manual_seed(0)
        model = ViT(8, 4, 1, 10, 32, 2, heads=2)
        optimizer = minivit.optim.AdamW(model.parameters(), lr=1e-3)
        images = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype(np.float32)
        found = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = functions.cross_entropy_loss(model(Tensor(images)), np.arange(16) % 10)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    with_loops = losses()
    minivit.fused(False)
    assert np.allclose(with_loops, losses(), rtol=1e-5)


@compiled
def test_other_arrays_are_left_to_numpy(loops):
    x = np.ones((4, 4), np.float32)
    assert fused.loops(x) is loops
    for other in (x.astype(np.float64), x.T[:2], x[:, :2], [1.0], np.ma.array(x)):
        assert fused.loops(other) is None and fused.loops(x, other) is None


def test_nobody_gets_them_without_asking():
    assert fused._loops is None and fused.loops(np.ones(3, np.float32)) is None


@pytest.mark.parametrize("on", [1, "yes", None])
def test_a_switch_is_true_or_false(on):
    with pytest.raises(OptionError, match="expected True or False"):
        minivit.fused(on)


def test_without_numba_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("minivit.engine.loops.numba", None)
    with pytest.raises(OptionError, match=r"numba.*pip install 'numba"):
        minivit.fused(True)
    assert fused._loops is None


@pytest.mark.parametrize(
    "value, said", [("", "False"), ("0", "False"), ("yes", "MINIVIT_FUSED: got 'yes', expected 0")]
)
def test_the_environment_asks_for_a_whole_program(value, said):
    program = "import minivit.engine.fused as f; print(f._loops is not None)"
    run = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {"MINIVIT_FUSED": value},
        capture_output=True, text=True,
    )  # fmt: skip
    assert said in run.stdout + run.stderr
