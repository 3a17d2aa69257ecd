"""Decoding: one new token through the layers, on arrays alone.

While a model writes, a step is one token a sequence: so little arithmetic that Python decides how
long it takes. Here are the layers of `transformer` once more, for that case only: no Tensor, no
graph, no gradient. A test holds both forms together.
"""

import math

from minivit.engine import backend, numerics
from minivit.engine.errors import ShapeError
from minivit.transformer import ACTIVATIONS


class Decoder:
    """Layers and the norm behind them, for the next token: x (B, D) -> (B, D), on x's device.

    layers: TransformerLayers without cross-attention; dropout is left out. caches: a KVCache for
    each, with the tokens before the first one that is decoded.
    """

    def __init__(self, layers, norm, caches):
        self.layers, self.norm, self.caches, self.memories = layers, norm, caches, None

    @property
    def length(self):
        """How many tokens there are so far."""
        return (self.memories or self.caches)[0].length

    def __call__(self, x):
        xp = backend.module_of([x], "Decoder")
        if self.memories is None:
            heads = [layer.attn.num_heads for layer in self.layers]
            self.memories = [Memory(xp, x, H, c) for H, c in zip(heads, self.caches, strict=True)]
            self.caches = None
        for layer, memory in zip(self.layers, self.memories):
            stages = (layer.ln_1, attend, layer.attn), (layer.ln_2, think, layer.mlp)
            for ln, f, module in stages:
                if layer.norm == "pre":
                    x = x + f(xp, module, normalise(xp, ln, x), memory)
                else:
                    x = normalise(xp, ln, x + f(xp, module, x, memory))
        return normalise(xp, self.norm, x)


class Memory:
    """The keys (B, H, d, capacity) and values (B, H, capacity, d) of a layer's tokens, laid out as
    one query reads them. What a KVCache holds is taken over."""

    def __init__(self, xp, x, H, cache):
        (B, D), n, capacity = x.shape, cache.length, cache.capacity
        self.length, self.capacity = n, capacity
        self.K = xp.empty((B, H, D // H, capacity), dtype=x.dtype)
        self.V = xp.empty((B, H, capacity, D // H), dtype=x.dtype)
        if n:
            k, v = (a.reshape(B, n, H, D // H) for a in cache.contents())
            self.K[:, :, :, :n], self.V[:, :, :n] = k.transpose(0, 2, 3, 1), v.swapaxes(1, 2)

    def append(self, k, v):
        """Add a token's key and value (B, H, d); returns all: (B, H, d, M) and (B, H, M, d)."""
        n = self.length
        if n == self.capacity:
            raise ShapeError(f"Decoder: one token more than its capacity of {n}")
        self.K[:, :, :, n], self.V[:, :, n] = k, v
        self.length = n + 1
        return self.K[:, :, :, : n + 1], self.V[:, :, : n + 1]


def attend(xp, attention, x, memory):
    """The new token's query against the keys of all tokens, itself included: (B, D) -> (B, D)."""
    (B, D), H = x.shape, attention.num_heads
    qkv = project(x, attention.in_proj_weight, attention.in_proj_bias).reshape(B, 3, H, D // H)
    K, V = memory.append(qkv[:, 1], qkv[:, 2])
    S = (qkv[:, 0, :, None] * (1 / math.sqrt(D // H))) @ K  # (B, H, 1, M)
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
    y = (W.data @ x.T).T.copy()  # in row-major order
    if b is not None:
        y += b.data
    return y


def normalise(xp, ln, x):
    """LayerNorm, or RMSNorm (which has no bias and subtracts no mean): (B, D) -> (B, D)."""
    D, beta = x.shape[1], getattr(ln, "bias", None)
    h = x if beta is None else x - x.sum(axis=1, keepdims=True) / D
    h = h / xp.sqrt(numerics.row_dot(xp, h, h) / D + ln.eps)[:, None]
    h *= ln.weight.data
    if beta is not None:
        h += beta.data
    return h
