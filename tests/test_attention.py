"""Attention beyond its op cases: masks, blocks, large scores, the module, what it must not see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.attention import (
    KVCache,
    MultiHeadAttention,
    attention_weights,
    blocks,
    causal_mask,
    dot_product,
    kernel,
    split_heads,
)
from minivit.engine import backend
from minivit.engine.check import gradcheck
from minivit.engine.errors import DtypeError, OptionError, RangeError, ShapeError
from tests import strict
from tests.devices import DEVICES
from tests.memory import traced

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def the_same_numbers_in_any_order():
    global rng
    rng = np.random.default_rng(0)


@pytest.fixture(autouse=True, params=["at once", "in blocks"])
def both_kernels(request, monkeypatch):
    """Long sequences, and blocks that do not divide, have all properties of short ones."""
    if request.param == "in blocks":
        monkeypatch.setattr(dot_product, "LONG", 1)
        monkeypatch.setattr(blocks, "BLOCK", 3)
        monkeypatch.setattr(blocks, "DEVICE_BLOCK", 3)


AT_ONCE = pytest.mark.parametrize("both_kernels", ["at once"], indirect=True)


def send(array, device, **options):
    return mv.Tensor(array, device=device, **options)


# -- masks -----------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_the_causal_mask(device):
    host = lambda m: backend.to_numpy(m).astype(int).tolist()  # noqa: E731
    with mv.use(device):
        assert host(causal_mask(3)) == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
        assert host(causal_mask(2, 4)) == [[1, 1, 1, 0], [1, 1, 1, 1]]  # the last two of four
    assert host(causal_mask(1, 3, backend.module(device))) == [[1, 1, 1]]
    assert isinstance(mv.causal_mask(4), np.ndarray)


@AT_ONCE
@pytest.mark.parametrize("size", [-1, 4.0, "4", None, True])
def test_a_causal_mask_has_a_number_of_rows_and_columns(size):
    with pytest.raises(OptionError, match=r"causal_mask: N is .*, expected an integer, 0 or more"):
        mv.causal_mask(size)
    if size is not None:  # which stands for N
        with pytest.raises(OptionError, match="causal_mask: M is"):
            mv.causal_mask(4, size)


@ON_EVERY_DEVICE
def test_what_is_hidden_does_not_matter(device):
    """Changing a hidden key or value changes nothing, not by one bit; nor does NaN in its value."""
    with mv.use(device):
        q, k, v = (rng.standard_normal((2, 4, 6)) for _ in range(3))
        mask = np.ones((2, 1, 1, 4), bool)
        mask[1, ..., 2:] = False
        out = mv.dot_product_attention(*(send(x, device) for x in (q, k, v)), heads=2, mask=mask)
        k2, v2 = k.copy(), v.copy()
        k2[1, 2:], v2[1, 2:] = 7.0, -3.0
        again = mv.dot_product_attention(
            *(send(x, device) for x in (q, k2, v2)), heads=2, mask=mask
        )
        assert (out.numpy() == again.numpy()).all()
        x = rng.standard_normal((1, 5, 6))
        past = mv.dot_product_attention(*[send(x, device)] * 3, heads=3, causal=True).numpy()
        x2 = x.copy()
        x2[0, 3:] = 9.0
        future = mv.dot_product_attention(*[send(x2, device)] * 3, heads=3, causal=True).numpy()
        np.testing.assert_allclose(past[0, :3], future[0, :3], rtol=1e-12)


@given(st.integers(0, 99), st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans())
@ON_EVERY_DEVICE
def test_nothing_leaks_out_of_a_hidden_token(device, seed, what, causal):
    """NaN or infinity in the keys and values that no query sees: outputs and gradients are those of
    zeros there. A query that sees one is all that is spoilt."""
    r = np.random.default_rng(seed)
    q, k, v, g = r.standard_normal((4, 2, 5, 6))
    mask = r.random((2, 1, 5, 5)) < 0.6
    seen = (mask & np.tri(5, dtype=bool) if causal else mask)[:, 0]  # (B, N, M)
    bad = ~seen.any(axis=1)  # (B, M)
    bad &= r.random(bad.shape) < 0.8

    def run(filling):
        with mv.use(device):
            leaves = []
            for x in (q, k, v):
                x = np.where(bad[..., None] & (x is not q), filling, x)
                leaves.append(send(x, device, requires_grad=True))
            y = mv.dot_product_attention(*leaves, heads=2, mask=mask, causal=causal)
            y.backward(backend.to_device(g, device))
            return [y.numpy(), *(backend.to_numpy(t.grad) for t in leaves)]

    for a, b in zip(run(what), run(0.0), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@ON_EVERY_DEVICE
@pytest.mark.parametrize("N", [5, 70])
def test_the_past_does_not_see_a_future_that_is_not_a_number(device, N):
    with mv.use(device):
        x = rng.standard_normal((1, N, 12))
        clean = mv.self_attention(send(x, device), heads=2, causal=True).numpy()
        x[:, 3:] = np.nan
        y = mv.self_attention(send(x, device), heads=2, causal=True).numpy()
        np.testing.assert_allclose(y[:, :3], clean[:, :3], rtol=1e-12)
        assert np.isnan(y[:, 3:]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_of_any_size(dtype):
    """Scores whose exponentials would be infinite, or nothing, are tried again with a maximum."""
    q, k, v = rng.standard_normal((3, 1, 4, 6))
    k = np.abs(k)
    for score in (-60.0, 60.0):
        for size in (1e-30, 1e30):
            leaves = [
                mv.Tensor(a.astype(dtype), requires_grad=True)
                for a in (np.full_like(q, score / 4), k, v * size)
            ]
            y = mv.dot_product_attention(*leaves)
            expected = mv.dot_product_attention.composed(*(t.detach() for t in leaves))
            np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-4)


@ON_EVERY_DEVICE
def test_a_query_that_may_see_nothing_gets_zeros(device):
    with mv.use(device):
        x = send(rng.standard_normal((1, 3, 4)), device, requires_grad=True)
        mask = np.ones((3, 3), bool)
        mask[1] = False
        out = mv.dot_product_attention(x, x, x, heads=2, mask=mask)
        assert (out.numpy()[0, 1] == 0).all()
        out.backward(backend.to_device(np.ones((1, 3, 4)), device))
        assert np.isfinite(backend.to_numpy(x.grad)).all()
        A = attention_weights(x, x, 2, mask).numpy()
        np.testing.assert_allclose(A.sum(axis=-1), np.broadcast_to([1, 0, 1], (1, 2, 3)))


@ON_EVERY_DEVICE
def test_a_mask_of_tensors_and_one_already_there(device):
    with mv.use(device):
        x = send(rng.standard_normal((1, 3, 4)), device)
        mask = np.tri(3, dtype=bool)
        expected = mv.dot_product_attention(x, x, x, causal=True).numpy()
        for m in (mask, backend.to_device(mask, device), mv.Tensor(mask, device=device)):
            np.testing.assert_allclose(mv.dot_product_attention(x, x, x, mask=m).numpy(), expected)


# -- blocks and large scores -----------------------------------------------------------------------
@AT_ONCE
@pytest.mark.parametrize("N, M", [(1, 1), (5, 5), (8, 8), (3, 7), (7, 9)])
@pytest.mark.parametrize("block", [1, 2, 3, 64])
def test_causal_blocks(N, M, block, monkeypatch):
    """Blocks of any size give what one product gives, and the right gradient."""
    monkeypatch.setattr(kernel, "BLOCK", block)
    q, k, v = (rng.standard_normal((2, n, 4)) for n in (N, M, M))
    whole = mv.dot_product_attention(q, k, v, heads=2, mask=np.tri(N, M, M - N, dtype=bool))
    cut = mv.dot_product_attention(q, k, v, heads=2, causal=True)
    np.testing.assert_allclose(cut.numpy(), whole.numpy(), rtol=1e-12, atol=1e-14)
    f = lambda q, k, v: mv.dot_product_attention(q, k, v, heads=2, causal=True)  # noqa: E731
    assert gradcheck(f, q, k, v).kinks == 0


@st.composite
def long_attention(draw):
    """Operands, options and the size of a block: lengths that it does not divide, keys fewer than
    queries, heads, every mask that broadcasts, queries that see nothing, scores small and large."""
    B, H, d, block = (draw(st.integers(1, n)) for n in (2, 2, 3, 6))
    N, M = draw(st.integers(0, 13)), draw(st.integers(0, 13))
    r = np.random.default_rng(draw(st.integers(0, 10**6)))
    q, k, v = (r.standard_normal((B, n, H * d)) for n in (N, M, M))
    mask = None
    if draw(st.booleans()):
        full = [n if draw(st.booleans()) else 1 for n in (B, H, N, M)]
        mask = r.random(full[draw(st.integers(0, 2)) :]) < draw(st.sampled_from([0.2, 0.6, 0.9]))
    options = {"heads": H, "mask": mask, "causal": draw(st.booleans())}
    return (q * draw(st.sampled_from([0.1, 1.0, 100.0])), k, v), options, block


@AT_ONCE
@ON_EVERY_DEVICE
@given(long_attention(), st.sampled_from([np.float32, np.float64]))
def test_blocks_of_keys_give_the_textbooks_numbers(device, case, dtype):
    """Values and all gradients, to rounding."""
    operands, options, block = case
    with pytest.MonkeyPatch.context() as patch, mv.use(device):
        patch.setattr(dot_product, "LONG", 1)
        patch.setattr(blocks, "BLOCK", block)
        patch.setattr(blocks, "DEVICE_BLOCK", block)
        results = []
        for f, kind in (
            (mv.dot_product_attention, dtype),
            (mv.dot_product_attention.composed, np.float64),
        ):
            leaves = [
                send(x.astype(dtype).astype(kind), device, requires_grad=True) for x in operands
            ]
            out = f(*leaves, **options)
            assert out.dtype == kind
            out.backward(backend.to_device(np.cos(np.arange(out.size)).reshape(out.shape), device))
            results.append([out.numpy(), *(backend.to_numpy(t.grad) for t in leaves)])
    size = max(1, np.abs(operands[0]).max(initial=0) ** 2)  # of the scores, and of q in dk
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=200 * size * np.finfo(dtype).eps)


@AT_ONCE
def test_the_gradient_of_blocks():
    """Against central differences, whatever the textbook says."""

    @given(long_attention().filter(lambda c: np.abs(c[0][0]).max(initial=0) < 5))
    @settings(max_examples=15)
    def check(case):
        operands, options, block = case
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dot_product, "LONG", 1)
            patch.setattr(blocks, "BLOCK", block)
            assert (
                gradcheck(lambda *x: mv.dot_product_attention(*x, **options), *operands).kinks == 0
            )

    check()


@AT_ONCE
@pytest.mark.parametrize("causal", [False, True])
def test_long_attention_never_holds_all_scores(causal):
    """1,280 tokens and 2 heads have 13 MB of scores; a block has 256 KB."""
    x = mv.Tensor(rng.standard_normal((1, 1280, 3 * 32), dtype=np.float32), requires_grad=True)
    with traced() as memory:
        y = mv.self_attention(x, heads=2, causal=causal)
        y.backward(y.data)
        assert memory()[1] < 3.5e6


@AT_ONCE
def test_a_mask_that_repeats_is_never_written_out():
    x = mv.Tensor(rng.standard_normal((8, 1024, 16), dtype=np.float32))
    with traced() as memory:
        mv.dot_product_attention(x, x, x, heads=4, mask=np.arange(1024) < 1000)
        assert memory()[1] < 4e6  # (B, H, N, M) would be 34 MB


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@ON_EVERY_DEVICE
@pytest.mark.filterwarnings("error")
def test_large_scores(dtype, device):
    """exp would overflow; the result is the softmax's limit, and equals the twin's."""
    with mv.use(device):
        for size in (1e2, 1e4):
            for options in ({}, {"causal": True}, {"mask": np.tri(4, dtype=bool)}):
                q, k, v = (rng.standard_normal((1, 4, 6)).astype(dtype) for _ in range(3))
                results = []
                for f in (mv.dot_product_attention, mv.dot_product_attention.composed):
                    leaves = [send(x, device, requires_grad=True) for x in (q * dtype(size), k, v)]
                    out = f(*leaves, heads=2, **options)
                    out.backward(backend.to_device(np.ones((1, 4, 6), dtype), device))
                    grads = [backend.to_numpy(t.grad) for t in leaves]
                    results.append([out.numpy(), *grads])
                for a, b in zip(*results, strict=True):
                    assert np.isfinite(a).all()
                    eps = 100 * np.finfo(dtype).eps * size  # the gradient of k is (...) q
                    np.testing.assert_allclose(a, b, rtol=eps, atol=eps)


# -- the op ----------------------------------------------------------------------------------------
def test_self_attention_is_attention_of_the_three_parts():
    q, k, v = (rng.standard_normal((2, 3, 4)) for _ in range(3))
    together = mv.self_attention(np.concatenate([q, k, v], axis=2), heads=2, causal=True)
    np.testing.assert_allclose(
        together.numpy(), mv.dot_product_attention(q, k, v, heads=2, causal=True).numpy()
    )


def test_heads_own_columns():
    q, k, v = (rng.standard_normal((1, 3, 6)) for _ in range(3))
    both = mv.dot_product_attention(q, k, v, heads=2).numpy()
    for h in range(2):
        own = slice(3 * h, 3 * h + 3)
        alone = mv.dot_product_attention(q[..., own], k[..., own], v[..., own]).numpy()
        np.testing.assert_allclose(both[..., own], alone)
    assert split_heads(mv.Tensor(q), 2).shape == (1, 2, 3, 3)


def test_scores_on_the_device_are_not_looked_at():
    """A look at a maximum would wait for the GPU."""
    with mv.use("strict"):
        x = mv.Tensor(np.ones((1, 3, 4), np.float32), device="strict", requires_grad=True)
        strict.reset()
        mv.dot_product_attention(x, x, x, heads=2, causal=True).sum().backward()
        assert strict.stats.syncs == 0
        assert strict.stats.float64 == 0


one = np.ones((1, 2, 4))
WRONG = [
    (lambda: mv.dot_product_attention(one, one[0], one[0]), ShapeError, r"k \(2, 4\)"),
    (lambda: mv.dot_product_attention(one, one, one[:, :1]), ShapeError, r"v \(1, 1, 4\)"),
    (lambda: mv.dot_product_attention(one, one, one, heads=3), ShapeError, "width 4 .* 3 heads"),
    (lambda: mv.dot_product_attention(one, one, one, heads=0), ShapeError, "0 heads"),
    (
        lambda: mv.dot_product_attention(one, one, one, mask=np.ones((3, 2), bool)),
        ShapeError,
        r"mask has shape \(3, 2\), .* = \(1, 1, 2, 2\).*mask\[:, None, None, :\]",
    ),
    (lambda: mv.dot_product_attention(one, one, one, mask=one), DtypeError, "mask is float64"),
    (lambda: mv.self_attention(np.ones((1, 2, 6)), heads=4), ShapeError, "width 2 .* 4 heads"),
    (lambda: mv.self_attention(np.ones((1, 2, 7))), ShapeError, "self_attention"),
    (lambda: mv.self_attention(np.ones((2, 6))), ShapeError, "self_attention"),
    (lambda: MultiHeadAttention(6, 4), ShapeError, "embed_dim 6 does not divide into 4 heads"),
    (lambda: MultiHeadAttention(4, 2, dropout=1.0), OptionError, r"dropout is 1.0"),
]


@pytest.mark.parametrize("call, kind, says", WRONG, ids=[w[2][:30] for w in WRONG])
def test_bad_input_is_named(call, kind, says):
    with pytest.raises(kind, match=says):
        call()


def test_a_cache_refuses_what_does_not_belong_to_it():
    cache = KVCache(4)
    with pytest.raises(ShapeError, match="no tokens yet"):
        cache.select([0])
    k = np.ones((2, 1, 4), np.float32)
    cache.append(k, k, 2)
    for wrong in (np.ones((3, 1, 4)), np.ones((2, 1, 6)), np.ones((2, 4)), np.ones((2, 4, 4))):
        with pytest.raises(ShapeError, match="KVCache"):
            cache.append(wrong, wrong, 2)
    with pytest.raises(RangeError, match="rows"):
        cache.select([2])
    cache.select([1, 1, 0])
    K, V = cache.append_heads(*np.ones((2, 3, 2, 1, 2), np.float32))
    assert cache.length == 2 and K.shape == (3, 2, 2, 2) and V.shape == (3, 2, 2, 2)
    with pytest.raises(OptionError, match="capacity"):
        KVCache(0)


# -- the module ------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_multi_head_attention(device):
    with mv.use(device):
        attn = MultiHeadAttention(8, 2)
        x = send(rng.standard_normal((2, 3, 8)).astype(np.float32), device, requires_grad=True)
        out, A = attn(x, return_weights=True)
        assert out.shape == (2, 3, 8) and A.shape == (2, 2, 3, 3)
        assert out.dtype == A.dtype == np.float32
        np.testing.assert_allclose(A.numpy().sum(axis=-1), 1, rtol=1e-5)
        across = attn(x, send(rng.standard_normal((2, 5, 8)).astype(np.float32), device))
        assert across.shape == (2, 3, 8)
        np.testing.assert_allclose(attn(x, x).numpy(), out.numpy(), atol=1e-6)
        across.sum().backward()
        assert all(p.grad is not None for p in attn.parameters())
        assert mv.MhSa is MultiHeadAttention


@ON_EVERY_DEVICE
def test_attention_dropout_acts_in_training_only(device):
    with mv.use(device):
        attn = MultiHeadAttention(8, 2, dropout=0.5)
        x = send(rng.standard_normal((1, 4, 8)).astype(np.float32), device)
        assert (attn(x).numpy() != attn(x).numpy()).any()
        assert (attn(x, x).numpy() != attn(x, x).numpy()).any()
        attn(x, causal=True).sum().backward()
        attn.eval()
        plain = MultiHeadAttention(8, 2)
        plain.load_state_dict(attn.state_dict())
        np.testing.assert_allclose(attn(x).numpy(), plain(x).numpy(), atol=1e-6)


def test_without_biases():
    attn = MultiHeadAttention(4, 2, bias=False)
    assert sorted(n for n, _ in attn.named_parameters()) == ["in_proj_weight", "out_proj.weight"]
    assert attn(mv.Tensor(one.astype(np.float32)), mv.Tensor(one.astype(np.float32))).shape == (
        1,
        2,
        4,
    )
