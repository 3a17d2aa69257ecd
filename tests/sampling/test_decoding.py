"""Decoding on arrays is the layers of `transformer` once more: the same numbers, token by token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit import nn
from minivit.attention import KVCache
from minivit.engine import backend
from minivit.engine.errors import ShapeError
from minivit.engine.modes import no_grad
from minivit.engine.tensor import Tensor
from minivit.models.gpt import GPT
from minivit.sampling.decoding import Decoder
from minivit.transformer import ACTIVATIONS, TransformerLayer


@given(
    st.sampled_from(["pre", "post"]),
    st.sampled_from(list(ACTIVATIONS)),
    st.sampled_from([nn.LayerNorm, nn.RMSNorm]),
    st.booleans(),
    st.sampled_from([0.0, 0.5]),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_a_token_at_a_time_gives_what_the_layers_give_for_all(norm, f, ln, bias, scale, B, N, seed):
    backend.manual_seed(seed)
    how = dict(norm=norm, activation=f, layer_norm=ln, bias=bias, eps=1e-3, layer_scale=scale)
    layers, last = [TransformerLayer(12, 3, **how) for _ in range(2)], ln(12)
    rng = np.random.default_rng(seed)
    for layer in (*layers, last):
        for p in layer.parameters():
            p.data = rng.standard_normal(p.shape)
    x = rng.standard_normal((B, N, 12))
    with no_grad():
        h = Tensor(x)
        for layer in layers:
            h = layer(h, causal=True)
        wanted = last(h).numpy()
    decode = Decoder(layers, last, [KVCache(N) for _ in layers])
    for i in range(N):
        np.testing.assert_allclose(decode(x[:, i]), wanted[:, i], rtol=1e-10, atol=1e-10)


def test_scores_of_any_size_overflow_nothing():
    layer = TransformerLayer(8, 2)
    layer.attn.in_proj_weight.data *= 1000
    decode = Decoder([layer], nn.LayerNorm(8), [KVCache(3)])
    with np.errstate(over="raise", invalid="raise"):
        for x in np.eye(8, dtype=np.float32)[:3]:
            assert np.isfinite(decode(x[None] * 50)).all()


@pytest.mark.parametrize("steps", [1, 6])
def test_it_runs_where_the_model_is(device, steps):
    backend.manual_seed(0)
    with backend.use("cpu"):
        gpt = GPT(11, 8, width=12, layers=2, heads=3)
    start = np.array([[3, 4], [5, 6]])
    wanted = gpt.complete(start, steps, temperature=0)
    assert (gpt.to(device).complete(start, steps, temperature=0) == wanted).all()


@pytest.mark.parametrize("before", [0, 2])
def test_a_token_beyond_the_capacity_is_refused(before):
    layer, x = TransformerLayer(8, 2), np.ones((1, 8), np.float32)
    cache = KVCache(3)
    if before:
        with no_grad():
            layer(Tensor(np.ones((1, before, 8), np.float32)), causal=True, cache=cache)
    decode = Decoder([layer], nn.LayerNorm(8), [cache])
    assert decode.length == before
    for n in range(before, 3):
        decode(x)
        assert decode.length == n + 1
    with pytest.raises(ShapeError, match="3 tokens and 1 more exceed its capacity of 3"):
        decode(x)
    assert decode.length == 3
