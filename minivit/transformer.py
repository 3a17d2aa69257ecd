"""The Transformer layer, in both orders.

post-LN, as on the recap slide            pre-LN, as in GPT-2, Image GPT, ViT and CLIP
    X <- X + MhSa[X]                          X <- X + MhSa[LayerNorm[X]]
    X <- LayerNorm[X]                         X <- X + mlp[LayerNorm[X]]
    X <- X + mlp[X]
    X <- LayerNorm[X]
"""

import numpy as np

from minivit import functions, nn
from minivit.attention import MultiHeadAttention
from minivit.engine.errors import ShapeError
from minivit.engine.record import function

ACTIVATIONS = {  # name: an op and its options
    "relu": (functions.relu, {}),
    "gelu": (functions.gelu, {"approximate": "none"}),
    "gelu_tanh": (functions.gelu, {"approximate": "tanh"}),
    "quick_gelu": (functions.gelu, {"approximate": "quick"}),
    "silu": (functions.silu, {}),
}


def activate(name, x):
    """The activation of that name at x, element by element."""
    f, options = ACTIVATIONS[name]
    return f(x, **options)


class MLP(nn.Module):
    """Two Linear layers with an activation between: D -> hidden -> D, each token on its own."""

    def __init__(self, width, hidden, activation="gelu", dropout=0.0, bias=True):
        nn.check_sizes(self, width=width, hidden=hidden)
        nn.check_choice(self, ACTIVATIONS, activation=activation)
        self.fc1, self.fc2 = nn.Linear(width, hidden, bias), nn.Linear(hidden, width, bias)
        self.activation, self.drop = activation, nn.Dropout(dropout)

    def forward(self, x):
        x = self.drop(activate(self.activation, self.fc1(x)))  # (B, N, D) -> (B, N, hidden)
        return self.fc2(x)  # -> (B, N, D)


class TransformerLayer(nn.Module):
    """Tokens exchange what they know (attention), then each is worked on by itself (mlp): (B, N, D)
    -> the same shape.

    norm: "pre" or "post". eps: the LayerNorms' (1e-6 ViT, 1e-5 GPT-2 and CLIP, 1e-12 BERT).
    cross_attention: the decoder's extra stage between the two: queries from here, keys and values
    from the *output* of the encoder (`memory`). layer_norm: nn.RMSNorm, and bias=False, for Image
    GPT. layer_scale: what each stage adds is multiplied by a learnt vector, at first by this number
    (LayerScale, Touvron et al. 2021, arXiv 2103.17239; DINOv2 has it); 0: it is not.
    """

    def __init__(
        self, width, heads, hidden=None, norm="pre", activation="gelu", eps=1e-5, dropout=0.0,
        cross_attention=False, layer_norm=nn.LayerNorm, bias=True, layer_scale=0.0,
    ):  # fmt: skip
        nn.check_choice(self, ("pre", "post"), norm=norm)
        self.norm = norm
        self.ln_1 = layer_norm(width, eps)
        self.attn = MultiHeadAttention(width, heads, bias, dropout)
        if cross_attention:
            self.ln_cross = layer_norm(width, eps)
            self.cross = MultiHeadAttention(width, heads, bias, dropout)
        self.ln_2 = layer_norm(width, eps)
        self.mlp = MLP(width, 4 * width if hidden is None else hidden, activation, dropout, bias)
        first = np.full(width, layer_scale, np.float32)
        self.scale_1 = nn.Parameter(first) if layer_scale else None
        self.scale_2 = nn.Parameter(first.copy()) if layer_scale else None
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x, mask=None, causal=False, cache=None, memory=None, memory_mask=None, keep=None
    ):
        """keep: a dict to be filled with what is on the way: "ln_1", "attention" (the weights, (B,
        H, N, N)), "attn" (what is added), "middle", "ln_2", "mlp" (what is added), "out"."""

        def attend(x):
            if keep is None:
                return self.attn(x, mask=mask, causal=causal, cache=cache)
            out, keep["attention"] = self.attn(
                x, mask=mask, causal=causal, cache=cache, return_weights=True
            )
            return out

        def attend_across(x):
            return self.cross(x, memory, mask=memory_mask)

        x = self._add(x, self.ln_1, attend, self.scale_1, keep, ("ln_1", "attn", "middle"))
        if memory is not None:
            names = ("ln_cross", "cross", "crossed")
            x = self._add(x, self.ln_cross, attend_across, None, keep, names)
        return self._add(x, self.ln_2, self.mlp, self.scale_2, keep, ("ln_2", "mlp", "out"))

    def _add(self, x, ln, f, scale, keep, names):
        """The residual path: x + f(x), normalised before f ("pre") or after the sum ("post")."""
        normed = ln(x) if self.norm == "pre" else x
        added = f(normed)
        added = self.drop(added if scale is None else added * scale)
        x = x + added
        if self.norm == "post":
            x = normed = ln(x)
        if keep is not None:
            keep.update(zip(names, (normed, added, x)))
        return x

    def attention_weights(self, x, mask=None, causal=False):
        """The attention weights of this layer's heads, given its input: (B, H, N, N)."""
        return self.attn.weights(self.ln_1(x) if self.norm == "pre" else x, None, mask, causal)


@function
def sinusoids(N, D, variant="interleaved"):
    """Positions as sines and cosines of geometric frequencies: (N, D), float32.

    "interleaved": sin at even, cos at odd columns (Vaswani et al. 2017, section 3.5). "halves": all
    sines, then all cosines (Marian). "tensor2tensor": halves, the last wavelength exactly 10000.
    """
    nn.check_sizes("sinusoids", N=N, D=D)
    nn.check_choice("sinusoids", ("interleaved", "halves", "tensor2tensor"), variant=variant)
    if D % 2:
        raise ShapeError(f"sinusoids: width {D} is odd; half of it are sines, half cosines")
    last = D // 2 - 1 if variant == "tensor2tensor" else D // 2
    angles = np.arange(N)[:, None] * 10000.0 ** (-np.arange(D // 2) / max(last, 1))
    table = np.stack([np.sin(angles), np.cos(angles)], axis=2 if variant == "interleaved" else 1)
    return table.reshape(N, D).astype(np.float32)
