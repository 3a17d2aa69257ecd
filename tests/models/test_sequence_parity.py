"""The layers of the recap against PyTorch's, weights copied: values and every gradient, float64."""

import numpy as np
import pytest

from minivit import Tensor
from minivit.attention import MultiHeadAttention
from minivit.transformer import TransformerLayer

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

B, N, M, D, H, F = 3, 5, 7, 12, 3, 20
TOLERANCE = dict(rtol=1e-10, atol=1e-10)

# our names -> PyTorch's, in an encoder layer and in a decoder layer
ENCODER = {"ln_1": "norm1", "ln_2": "norm2", "attn": "self_attn"}
DECODER = {"ln_1": "norm1", "ln_cross": "norm2", "ln_2": "norm3", "attn": "self_attn",
           "cross": "multihead_attn"}  # fmt: skip
MLP = {"mlp.fc1": "linear1", "mlp.fc2": "linear2"}


def arrays(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def copied(ours, theirs, names):
    """Random float64 weights in both (no bias 0, no gain 1); pairs (name, our p, their p)."""
    rng, pairs = np.random.default_rng(1), []
    state = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        prefix = next((k for k in names if name.startswith(k + ".")), None)
        name_there = name if prefix is None else names[prefix] + name.removeprefix(prefix)
        values = rng.standard_normal(p.shape) * 0.5
        p.data = values.copy()
        with torch.no_grad():
            state[name_there].copy_(torch.from_numpy(values))
        pairs.append((name, p, state.pop(name_there)))
    assert not state, f"parameters of PyTorch's layer that were not compared: {list(state)}"
    return pairs


def compare(out, out_there, inputs, inputs_there, pairs):
    """The same values; and for a random cotangent the same gradient of every input and weight."""
    np.testing.assert_allclose(out.numpy(), out_there.detach().numpy(), **TOLERANCE)
    (g,) = arrays(2, out.shape)
    out.backward(g)
    out_there.backward(torch.from_numpy(g))
    for x, x_there in zip(inputs, inputs_there):
        np.testing.assert_allclose(x.grad, x_there.grad.numpy(), **TOLERANCE)
    for name, p, p_there in pairs:
        np.testing.assert_allclose(p.grad, p_there.grad.numpy(), err_msg=name, **TOLERANCE)


def both(*values):
    ours = [Tensor(x, requires_grad=True) for x in values]
    return ours, [torch.tensor(x, requires_grad=True) for x in values]


PADDING = np.arange(M) < np.array([7, 4, 1])[:, None]  # (B, M), True = a real token
MASKS = {
    "none": (None, {}),
    "padding": (PADDING[:, None, None, :], {"key_padding_mask": torch.from_numpy(~PADDING)}),
    "pairs": (
        np.tri(N, M, 1, dtype=bool),
        {"attn_mask": torch.from_numpy(~np.tri(N, M, 1, dtype=bool))},
    ),
    "both": (
        np.tri(N, M, 1, dtype=bool) & PADDING[:, None, None, :],
        {
            "attn_mask": torch.from_numpy(~np.tri(N, M, 1, dtype=bool)),
            "key_padding_mask": torch.from_numpy(~PADDING),
        },
    ),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("masked", MASKS)
def test_cross_attention_with_masks(masked, bias):
    """nn.MultiheadAttention: queries (B, N, D), keys and values (B, M, D)."""
    mask, how = MASKS[masked]
    ours = MultiHeadAttention(D, H, bias=bias)
    theirs = torch.nn.MultiheadAttention(D, H, bias=bias, batch_first=True, dtype=torch.float64)
    pairs = copied(ours, theirs, {})
    (x, memory), (x_there, memory_there) = both(*arrays(0, (B, N, D), (B, M, D)))
    out, A = ours(x, memory, mask=mask, return_weights=True)
    out_there, A_there = theirs(
        x_there, memory_there, memory_there, average_attn_weights=False, **how
    )
    np.testing.assert_allclose(A.numpy(), A_there.detach().numpy(), **TOLERANCE)
    compare(out, out_there, (x, memory), (x_there, memory_there), pairs)


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention(causal):
    ours = MultiHeadAttention(D, H)
    theirs = torch.nn.MultiheadAttention(D, H, batch_first=True, dtype=torch.float64)
    pairs = copied(ours, theirs, {})
    (x,), (x_there,) = both(*arrays(0, (B, M, D)))
    upper = torch.from_numpy(~np.tri(M, dtype=bool)) if causal else None
    out_there, _ = theirs(x_there, x_there, x_there, attn_mask=upper)
    compare(ours(x, causal=causal), out_there, [x], [x_there], pairs)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("padded", [False, True])
def test_encoder_layer(norm, activation, padded):
    ours = TransformerLayer(D, H, F, norm, activation)
    theirs = torch.nn.TransformerEncoderLayer(
        D, H, F, dropout=0.0, activation=activation, batch_first=True, norm_first=norm == "pre",
        dtype=torch.float64,
    )  # fmt: skip
    pairs = copied(ours, theirs, ENCODER | MLP)
    (x,), (x_there,) = both(*arrays(0, (B, M, D)))
    hidden = torch.from_numpy(~PADDING) if padded else None
    out = ours(x, mask=PADDING[:, None, None, :] if padded else None)
    compare(out, theirs(x_there, src_key_padding_mask=hidden), [x], [x_there], pairs)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("padded", [False, True])
def test_decoder_layer(norm, padded):
    ours = TransformerLayer(D, H, F, norm, "relu", cross_attention=True)
    theirs = torch.nn.TransformerDecoderLayer(
        D, H, F, dropout=0.0, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    pairs = copied(ours, theirs, DECODER | MLP)
    (x, memory), (x_there, memory_there) = both(*arrays(0, (B, N, D), (B, M, D)))
    out = ours(
        x, causal=True, memory=memory, memory_mask=PADDING[:, None, None, :] if padded else None
    )
    out_there = theirs(
        x_there,
        memory_there,
        tgt_mask=torch.from_numpy(~np.tri(N, dtype=bool)),
        memory_key_padding_mask=torch.from_numpy(~PADDING) if padded else None,
    )
    compare(out, out_there, (x, memory), (x_there, memory_there), pairs)


def test_the_comparison_sees_an_epsilon():
    """Not vacuous: LayerNorm's epsilon off by a factor of ten is noticed."""
    ours = TransformerLayer(D, H, F, "post", "relu", eps=1e-4)
    theirs = torch.nn.TransformerEncoderLayer(
        D, H, F, dropout=0.0, batch_first=True, dtype=torch.float64
    )
    copied(ours, theirs, ENCODER | MLP)
    (x,) = arrays(0, (B, M, D))
    with pytest.raises(AssertionError, match="Mismatched elements"):
        np.testing.assert_allclose(
            ours(Tensor(x)).numpy(), theirs(torch.from_numpy(x)).detach().numpy(), **TOLERANCE
        )
