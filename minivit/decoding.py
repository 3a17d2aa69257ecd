"""Chapter 18. Decoding: one new token through the layers, on arrays alone.

While a model writes, a step is one token a sequence: so little arithmetic that Python decides how
long it takes. Here are the layers of chapter 14 once more, for that case only: no Tensor, no graph,
no gradient. What came before is in a KVCache for each layer; a test holds both forms together.
"""

import math

from minivit import backend
from minivit.transformer import ACTIVATIONS


class Decoder:
    """Layers and the norm behind them, for the next token: x (B, D) -> (B, D), on x's device.

    layers: TransformerLayers without cross-attention; dropout is left out. caches: a KVCache for
    each, with the tokens so far.
    """

    def __init__(self, layers, norm, caches):
        self.layers, self.norm, self.caches = layers, norm, caches

    def __call__(self, x):
        xp = backend.module_of([x], "Decoder")
        for layer, cache in zip(self.layers, self.caches, strict=True):
            stages = (layer.ln_1, attend, layer.attn, cache), (layer.ln_2, think, layer.mlp, None)
            for ln, f, module, memory in stages:
                if layer.norm == "pre":
                    x = x + f(xp, module, normalise(xp, ln, x), memory)
                else:
                    x = normalise(xp, ln, x + f(xp, module, x, memory))
        return normalise(xp, self.norm, x)


def attend(xp, attention, x, cache):
    """The new token's query against the keys of all tokens, itself included: (B, D) -> (B, D)."""
    (B, D), H = x.shape, attention.num_heads
    qkv = project(x, attention.in_proj_weight, attention.in_proj_bias).reshape(B, 3, D)
    K, V = cache.append(qkv[:, None, 1], qkv[:, None, 2])  # (B, M, D) each
    q, K, V = (a.reshape(B, -1, H, D // H).swapaxes(1, 2) for a in (qkv[:, 0], K, V))
    S = (q * (1 / math.sqrt(D // H))) @ K.swapaxes(2, 3)  # (B, H, 1, M)
    S -= S.max(axis=3, keepdims=True)
    xp.exp(S, out=S)
    o = S @ V / S.sum(axis=3, keepdims=True)  # (B, H, 1, d)
    return project(o.reshape(B, D), attention.out_proj.weight, attention.out_proj.bias)


def think(xp, mlp, x, _):
    """(B, D) -> (B, hidden) -> (B, D)."""
    f, options = ACTIVATIONS[mlp.activation]
    h, _ = f.__wrapped__(xp, project(x, mlp.fc1.weight, mlp.fc1.bias), **options)  # and its vjp
    return project(h, mlp.fc2.weight, mlp.fc2.bias)


def project(x, W, b):
    """x W^T + b, as (W x^T)^T: with few rows, BLAS is up to twice as fast in this order."""
    y = (W.data @ x.T).T
    if b is not None:
        y += b.data
    return y


def normalise(xp, ln, x):
    """LayerNorm, or RMSNorm (which has no bias and subtracts no mean): (B, D) -> (B, D)."""
    D, beta = x.shape[1], getattr(ln, "bias", None)
    h = x if beta is None else x - x.sum(axis=1, keepdims=True) / D
    h = h / xp.sqrt(backend.row_dot(xp, h, h) / D + ln.eps)[:, None]
    h *= ln.weight.data
    if beta is not None:
        h += beta.data
    return h
