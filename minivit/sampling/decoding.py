"""Decoding: one new token through the layers, on arrays alone.

While a model writes, a step is one token a sequence: so little arithmetic that Python decides how
long it takes. Here are the layers of `transformer` once more, for that case only: no Tensor, no
graph, no gradient. A test holds both forms together.
"""

import math
from functools import partial

from minivit.engine import backend, numerics, special
from minivit.transformer import ACTIVATIONS


class Decoder:
    """Layers and the norm behind them, for the next token: x (B, D) -> (B, D), on x's device.

    layers: TransformerLayers without cross-attention; dropout is left out. caches: a KVCache for
    each, with the tokens before the first one that is decoded.
    """

    def __init__(self, layers, norm, caches):
        self.layers, self.norm, self.caches = layers, norm, caches

    @property
    def length(self):
        """The number of tokens so far."""
        return self.caches[0].length

    def __call__(self, x):
        xp = backend.module_of([x], "Decoder")
        for layer, cache in zip(self.layers, self.caches, strict=True):
            stages = (
                (layer.ln_1, layer.scale_1, partial(attention, attn=layer.attn, cache=cache)),
                (layer.ln_2, layer.scale_2, partial(mlp, module=layer.mlp)),
            )
            for ln, scale, f in stages:
                y = f(xp, normalised(xp, ln, x) if layer.norm == "pre" else x)
                x = x + (y if scale is None else y * scale.data)
                x = x if layer.norm == "pre" else normalised(xp, ln, x)
        return normalised(xp, self.norm, x)


def attention(xp, x, attn, cache):
    """The new token's query against the keys of all tokens, itself included: (B, D) -> (B, D)."""
    (B, D), H = x.shape, attn.num_heads
    qkv = linear(x, attn.in_proj_weight, attn.in_proj_bias).reshape(B, 3, H, 1, D // H)
    K, V = cache.append_heads(qkv[:, 1], qkv[:, 2])  # (B, H, d, M), (B, H, M, d)
    e = special.exponentials(xp, (qkv[:, 0] * (1 / math.sqrt(D // H))) @ K)  # (B, H, 1, M)
    o = e @ V / e.sum(axis=3, keepdims=True)  # (B, H, 1, d)
    return linear(o.reshape(B, D), attn.out_proj.weight, attn.out_proj.bias)


def mlp(xp, x, module):
    """(B, D) -> (B, hidden) -> (B, D)."""
    f, options = ACTIVATIONS[module.activation]
    h, _ = f.on_arrays(xp, linear(x, module.fc1.weight, module.fc1.bias), **options)
    return linear(h, module.fc2.weight, module.fc2.bias)


def linear(x, W, b=None):
    """x W^T + b."""
    y = backend.product_of_rows(x, W.data)
    if b is not None:
        y += b.data
    return y


def normalised(xp, ln, x):
    """LayerNorm, or RMSNorm (which has no bias and subtracts no mean): (B, D) -> (B, D)."""
    D, beta = x.shape[1], getattr(ln, "bias", None)
    h = x if beta is None else x - x.sum(axis=1, keepdims=True) / D
    h = h / xp.sqrt(numerics.row_dot(xp, h, h) / D + ln.eps)[:, None]
    h *= ln.weight.data
    if beta is not None:
        h += beta.data
    return h
