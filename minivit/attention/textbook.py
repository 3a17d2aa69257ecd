"""The textbook: scores, mask, softmax, values, each a line.

The next chapter computes the same without ever keeping A, and is held to these lines by the tests.
Here one can look at A, and drop some of it.
"""

import math
from numbers import Real

import numpy as np

from minivit import functions, nn
from minivit.engine import backend, ops
from minivit.engine.errors import DtypeError, OptionError, ShapeError
from minivit.engine.ops import where
from minivit.engine.record import function


def dot_product_attention(q, k, v, heads=1, mask=None, causal=False, scale=None, dropout=0.0):
    """softmax(scale Q K^T) V for each head: q (B, N, D), k and v (B, M, D) -> (B, N, D).

    Head h owns columns h D/H to (h+1) D/H. scale: 1/sqrt(D/H) if not given.
    """
    A = attention_weights(q, k, heads, mask, causal, scale)  # (B, H, N, M)
    A = functions.dropout(A, p=dropout) if dropout else A
    o = A @ split_heads(v, heads)  # (B, H, N, M) @ (B, H, M, d) -> (B, H, N, d)
    return o.swapaxes(1, 2).reshape(q.shape)


def self_attention(qkv, heads=1, mask=None, causal=False, scale=None, dropout=0.0):
    """`dot_product_attention` of tokens on each other, queries, keys and values side by side:
    (B, N, 3 D) -> (B, N, D)."""
    q, k, v = ops.split(qkv, 3, axis=2)
    return dot_product_attention(q, k, v, heads, mask, causal, scale, dropout)


@function
def attention_weights(q, k, heads=1, mask=None, causal=False, scale=None):
    """A = softmax(scale Q K^T): (B, H, N, M). Rows sum to 1, or are 0 where nothing may be seen."""
    q, k = split_heads(q, heads), split_heads(k, heads)
    S = (q @ k.mT) * float(scale_of(scale, q.shape[-1]))
    mask = full_mask(backend.MODULES[S.device], mask, causal, S.shape)
    if mask is None:
        return functions.softmax(S)
    lowest = float(np.finfo(S.dtype).min) / 2  # -inf alone in a row would make it NaN
    return where(mask, functions.softmax(where(mask, S, lowest)), 0.0)


@function
def split_heads(x, heads):
    """(B, N, D) -> (B, H, N, D/H), a view: of an array or a Tensor."""
    if x.ndim != 3:
        raise ShapeError(f"attention: got shape {x.shape}, expected (B, N, D)")
    B, N, D = x.shape
    if heads < 1 or D % heads:
        raise ShapeError(f"attention: width {D} does not divide into {heads} heads")
    return x.reshape(B, N, heads, D // heads).swapaxes(1, 2)


def scale_of(scale, d):
    """The factor of the scores: 1 / sqrt(d) where no other scale is given, so that scores of d
    independent products of spread 1 have spread 1 too."""
    if scale is not None and not isinstance(scale, Real):
        raise OptionError(f"attention: scale is {scale!r}, expected a number or None")
    if scale is None:
        scale = 1 / math.sqrt(d) if d else 1.0
    return scale


@function
def causal_mask(N, M=None, xp=None):
    """(N, M) boolean: query i may see keys up to i. With M > N the queries are the last N.

    An array of the default device, or of the module `xp`.
    """
    M = N if M is None else M
    if xp is None:  # a reader's call, not one of this room
        nn.check_sizes("causal_mask", least=0, N=N, M=M)
    return (xp or backend.module()).tri(N, M, M - N, dtype=bool)


def full_mask(xp, mask, causal, shape):
    """The mask and `causal` as one boolean array of `xp` that ends in (N, M), a view where it
    repeats, or None: all. shape: (B, H, N, M), to which the mask must broadcast."""
    N, M = shape[2:]
    if mask is None:
        return causal_mask(N, M, xp) if causal else None
    mask = mask.data if hasattr(mask, "requires_grad") else mask
    if getattr(mask, "dtype", None) != "bool":
        raise DtypeError(
            f"attention: the mask is {getattr(mask, 'dtype', type(mask).__name__)}; expected "
            "booleans, True = may attend (PyTorch's key_padding_mask is the opposite: ~mask)"
        )
    if mask.ndim > 4 or any(m not in (1, s) for m, s in zip(mask.shape[::-1], shape[::-1])):
        raise ShapeError(
            f"attention: the mask has shape {mask.shape}, which does not broadcast to (B, H, "
            f"N, M) = {shape}. A padding mask (B, M) is mask[:, None, None, :]."
        )
    mask = mask if isinstance(mask, xp.ndarray) else xp.asarray(mask)
    mask = xp.broadcast_to(mask, (*mask.shape[:-2], N, M))
    return mask & causal_mask(N, M, xp) if causal else mask
