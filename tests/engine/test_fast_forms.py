"""Where a computation has a faster form for some sizes, dtypes or processors: all forms agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit.attention import dot_product, kernel
from minivit.engine import numerics, special

sides = st.integers(0, 6)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def value_and_gradient(f, x):
    x = mv.Tensor(x, requires_grad=True)
    y = f(x)
    y.backward(normal(*y.shape, seed=1))
    return y.numpy(), x.grad


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("long", [1, 1 << 20])
@pytest.mark.parametrize("spread", [1, 40])
def test_exponentials_to_base_2_or_e(fast, long, spread, monkeypatch):
    """float32, whichever of the two this processor has machine code for."""
    monkeypatch.setattr(special, "_EXP2_IS_FAST", fast)
    monkeypatch.setattr(dot_product, "LONG", long)
    x = normal(2, 5, 12) * np.float32(spread**0.5)
    for op, options in (
        (mv.self_attention, {"heads": 2}),
        (mv.self_attention, {"heads": 2, "causal": True}),
        (mv.gelu, {"approximate": "tanh"}),
        (mv.gelu, {"approximate": "quick"}),
    ):
        ours, exact = (
            value_and_gradient(lambda x, f=f, o=options: f(x, **o), a)
            for f, a in ((op, x), (op.composed, x.astype(np.float64)))
        )
        for a, b in zip(ours, exact, strict=True):
            assert a.dtype == np.float32
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5 * spread)


@pytest.mark.parametrize("few, small", [(0, 0), (0, 1 << 30), (1 << 30, 0), (1 << 30, 1 << 30)])
@pytest.mark.parametrize("causal", [False, True])
@given(N=st.integers(1, 5), more=st.integers(0, 3), size=st.sampled_from([1, 30, 3e3]))
def test_attention_of_few_and_many_keys(few, small, causal, N, more, size):
    """Divided before or after the values, keys as they lie or in rows; scores that need no maximum,
    and such that do; a value that is not a number, which only those see who may."""
    q, k, v = normal(1, N, 4), normal(1, N + more, 4, seed=1) * size, normal(1, N + more, 4, seed=2)
    v[0, -1, 0] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "FEW", few)
        patch.setattr(numerics, "SMALL", small)
        patch.setattr(kernel, "BLOCK", 2)
        out, dq = value_and_gradient(
            lambda q: mv.dot_product_attention(q, k, v, heads=2, causal=causal), q
        )
    seen = np.tri(N, N + more, more, dtype=bool) if causal else np.ones((N, N + more), bool)
    for h in (0, 1):
        part = slice(2 * h, 2 * h + 2)
        S = (q[0, :, part] @ k[0, :, part].T).astype(np.float64) / 2**0.5
        S = np.where(seen, S, -np.inf)
        A = np.exp(S - S.max(axis=1, keepdims=True))
        A /= A.sum(axis=1, keepdims=True)
        expected = np.stack([a[s] @ v[0, s][:, part] for a, s in zip(A, seen, strict=True)])
        np.testing.assert_allclose(out[0, :, part], expected, rtol=1e-3, atol=1e-3)
    if causal and N > 1:  # who does not see it has a gradient
        assert np.isfinite(dq[0, 0]).all()


@given(n=sides, D=sides, small=st.sampled_from([1, 8, 1 << 20]))
def test_outer_products_in_strips(n, D, small):
    c, r, r2 = normal(n), normal(D, seed=1), normal(D, seed=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numerics, "SMALL", small)
        out = numerics.outer(np, numerics.pair(np, c, 3), numerics.pair(np, r, r2))
    np.testing.assert_allclose(out, np.outer(c, r) + 3 * r2, rtol=1e-5, atol=1e-5)


@given(n=st.sampled_from([0, 1, 255, 512, 700, 1300]), D=sides)
def test_weighted_column_sums(n, D):
    a, w = normal(n, D), normal(n, seed=1)
    np.testing.assert_allclose(
        numerics.column_sum(np, a, w), (a * w[:, None]).sum(axis=0), rtol=1e-3, atol=1e-4
    )


@given(st.lists(st.sampled_from([0, 0.5, -3, 1e3, -1e5]), min_size=1, max_size=4))
def test_layer_norm_wherever_the_rows_lie(means):
    """Rows about 0, whose mean is part of the product, and rows far from it, which are moved."""
    x = normal(len(means), 9).astype(np.float64) + np.array(means)[:, None]
    gamma, beta, g = (normal(*s, seed=7).astype(np.float64) for s in ((9,), (9,), x.shape))
    results = []
    for f in (mv.layer_norm, mv.layer_norm.composed):
        leaves = [mv.Tensor(a, requires_grad=True) for a in (x, gamma, beta)]
        y = f(*leaves)
        y.backward(g)
        results.append([y.numpy(), *(t.grad for t in leaves)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
