"""Attention: every token looks at the others and takes a mean of what they offer.

    A = softmax(Q K^T / sqrt(d) + mask),   output = A V       (Vaswani et al. 2017, section 3.2)

Masks are boolean, True = may attend, and broadcast to (B, H, N, M): N queries, M keys. A query that
may attend to nothing gets zeros.
"""

import math

import numpy as np

from minivit import functions, nn
from minivit.engine import backend, numerics, ops
from minivit.engine.errors import DtypeError, RangeError, ShapeError
from minivit.engine.ops import where
from minivit.engine.record import no_grad, op


def causal_mask(xp, N, M=None):
    """(N, M) boolean: query i may see keys up to i. With M > N the queries are the last N."""
    M = N if M is None else M
    return xp.tri(N, M, M - N, dtype=bool)


@op
def dot_product_attention(xp, q, k, v, /, heads=1, mask=None, causal=False, scale=None):
    """softmax(scale Q K^T) V for each head: q (B, N, D), k (B, M, D), v (B, M, D) -> (B, N, D).

    Head h owns columns h D/H to (h+1) D/H. scale: 1/sqrt(D/H) if not given. Derivation: with
    P = softmax(S) and o = P v,  dv = P^T g,  dP = g v^T,  dS = P (dP - rowsum(dP P)), and
    rowsum(dP P) = rowsum(g o), which needs no (N, M) array.
    """
    if q.ndim != 3 or k.ndim != 3 or k.shape != v.shape or q.shape[::2] != k.shape[::2]:
        raise ShapeError(
            f"attention: q is {q.shape}, k {k.shape}, v {v.shape}; expected (B, N, D), (B, M, D), "
            "(B, M, D)"
        )
    (B, N, D), M = q.shape, k.shape[1]
    mask = _checked_mask(xp, mask, (B, heads, N, M))
    split = _head_splitter(D, heads)
    out = xp.empty((B, N, D), dtype=xp.result_type(q, k, v))
    vjp_heads = _attend(xp, split(q), split(k), split(v), split(out), mask, causal, scale)

    def vjp(g):
        dq, dk, dv = xp.empty_like(q), xp.empty_like(k), xp.empty_like(v)
        vjp_heads(split(g), split(dq), split(dk), split(dv))
        return dq, dk, dv

    return out, vjp


@op
def self_attention(xp, qkv, /, heads=1, mask=None, causal=False, scale=None):
    """`dot_product_attention` of tokens on each other, queries, keys and values side by side:
    (B, N, 3 D) -> (B, N, D). Reads and writes strided views: nothing is copied apart."""
    if qkv.ndim != 3 or qkv.shape[2] % 3:
        raise ShapeError(f"self_attention: got shape {qkv.shape}, expected (B, N, 3 D)")
    B, N, D = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    mask = _checked_mask(xp, mask, (B, heads, N, N))
    split = _head_splitter(D, heads)
    q, k, v = (split(qkv[:, :, i * D : (i + 1) * D]) for i in range(3))
    out = xp.empty((B, N, D), dtype=qkv.dtype)
    vjp_heads = _attend(xp, q, k, v, split(out), mask, causal, scale)

    def vjp(g):
        dqkv = xp.empty_like(qkv)
        vjp_heads(split(g), *(split(dqkv[:, :, i * D : (i + 1) * D]) for i in range(3)))
        return dqkv

    return out, vjp


BLOCK = 64  # queries that causal attention takes at a time


def _attend(xp, q, k, v, out, mask, causal, scale):
    """Attention on views (B, H, N, d): writes `out`, returns the vjp, which writes dq, dk, dv.

    Causal: a block of queries needs only the keys up to its last one, so nearly half of the work is
    never done. (A GPU prefers one large product to a few small ones.)
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    N, M = q.shape[2], k.shape[2]
    if causal and (mask is not None or M < N or xp.__name__ != "numpy"):
        mask = _and_causal(xp, mask, N, M)
        causal = False
    blocks = []
    for i in range(0, max(N, 1), BLOCK if causal else max(N, 1)):
        j = min(i + BLOCK, N) if causal else N
        rows, seen = slice(i, j), slice(M - N + j if causal else M)
        corner = causal_mask(xp, j - i) if causal and j - i > 1 else mask  # hides the last keys
        views = (x[:, :, s] for x, s in ((q, rows), (k, seen), (v, seen), (out, rows)))
        blocks.append((rows, seen, _attend_block(xp, *views, corner, scale)))

    def vjp(g, dq, dk, dv):
        for rows, seen, vjp_block in reversed(blocks):  # the last block sees, and writes, all keys
            views = (x[:, :, s] for x, s in ((g, rows), (dq, rows), (dk, seen), (dv, seen)))
            vjp_block(*views, add=rows.stop < N)

    return vjp


def _attend_block(xp, q, k, v, out, mask, scale):
    """One block: a mask with fewer keys than k belongs to the last ones.

    The softmax is kept unnormalised: e = exp(S) and its row sums l; o = (e v) / l touches (N, d)
    numbers where dividing e would touch (N, M). Products write into the strided views.
    """
    # scale q (N, d), not the scores (N, M); the vjp does it again, which is cheaper than keeping it
    e, l = _exponentials(xp, q * scale, k, mask)  # (B, H, N, M), (B, H, N, 1)
    xp.matmul(e, v, out=out)
    out /= l

    def vjp(g, dq, dk, dv, add):
        gl = g / l
        ds = gl @ v.swapaxes(-1, -2)  # (B, H, N, M)
        ds -= numerics.row_dot(xp, gl, out)[..., None]
        ds *= e
        xp.matmul(ds, k, out=dq)
        dq *= scale
        for e_or_ds, g_or_q, total in ((e, gl, dv), (ds, q * scale, dk)):
            if add:
                total += e_or_ds.swapaxes(-1, -2) @ g_or_q
            else:
                xp.matmul(e_or_ds.swapaxes(-1, -2), g_or_q, out=total)

    return vjp


def _exponentials(xp, qs, k, mask):
    """e = exp(S), 0 where masked, and its row sums l, as a product with ones, through BLAS.

    The row maximum is subtracted first only if a sum says that it must be (or on a GPU, where
    looking at the sums would cost a synchronisation); what is made of e and l is the same.
    """
    ones = xp.ones(k.shape[2], dtype=k.dtype)
    if mask is not None:
        hidden = slice(-mask.shape[-1], None) if mask.ndim and mask.shape[-1] > 1 else slice(None)
    if xp.__name__ == "numpy":
        e = qs @ k.swapaxes(-1, -2)
        with np.errstate(over="ignore", invalid="ignore"):
            np.exp(e, out=e)
            if mask is not None:
                e[..., hidden] *= mask.astype(e.dtype)
            l = (e @ ones)[..., None]
        if not l.size or (l.min() > 1e-20 and l.max() < 1e20):
            return e, l
    e = qs @ k.swapaxes(-1, -2)
    if mask is not None:
        e[..., hidden] = xp.where(mask, e[..., hidden], -xp.inf)
    m = e.max(axis=-1, keepdims=True)
    e -= xp.where(m == -xp.inf, 0, m)
    xp.exp(e, out=e)
    l = (e @ ones)[..., None]
    l += l == 0  # a query that may see nothing: 0 / 1
    return e, l


def _head_splitter(D, heads):
    if heads < 1 or D % heads:
        raise ShapeError(f"attention: width {D} does not divide into {heads} heads")
    return lambda x: x.reshape(x.shape[0], x.shape[1], heads, D // heads).swapaxes(1, 2)


def _checked_mask(xp, mask, shape):
    """The mask as a boolean array of `xp` that broadcasts to (B, H, N, M), or None."""
    if mask is not None:
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
    return mask


def _and_causal(xp, mask, N, M):
    lower = causal_mask(xp, N, M)
    return lower if mask is None else mask & lower


@dot_product_attention.twin
def dot_product_attention_composed(
    q, k, v, heads=1, mask=None, causal=False, scale=None, dropout=0.0
):
    """The textbook: scores, mask, softmax, values."""
    A = attention_weights(q, k, heads, mask, causal, scale)
    A = functions.dropout(A, p=dropout) if dropout else A
    o = A @ split_heads(v, heads)  # (B, H, N, M) @ (B, H, M, d) -> (B, H, N, d)
    return o.swapaxes(1, 2).reshape(q.shape)


@self_attention.twin
def self_attention_composed(qkv, heads=1, mask=None, causal=False, scale=None, dropout=0.0):
    q, k, v = ops.split(qkv, 3, axis=2)
    return dot_product_attention_composed(q, k, v, heads, mask, causal, scale, dropout)


def split_heads(x, heads):
    """(B, N, D) -> (B, H, N, D/H)."""
    B, N, D = x.shape
    return x.reshape(B, N, heads, D // heads).swapaxes(1, 2)


def attention_weights(q, k, heads=1, mask=None, causal=False, scale=None):
    """A = softmax(scale Q K^T): (B, H, N, M). Rows sum to 1, or are 0 where nothing may be seen."""
    q, k = split_heads(q, heads), split_heads(k, heads)
    S = (q @ k.mT) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    xp = backend.MODULES[S.device]
    mask = _checked_mask(xp, mask, S.shape)
    mask = _and_causal(xp, mask, *S.shape[2:]) if causal else mask
    if mask is None:
        return functions.softmax(S)
    return where(mask, functions.softmax(where(mask, S, -1e30)), 0.0)


class KVCache:
    """The keys and values of the tokens so far, so that a new token costs one query, not N.

    For generation, without gradients. With it, `causal=True` means: the queries are the last ones.
    """

    def __init__(self, capacity):
        self.capacity, self.length = capacity, 0
        self._k = self._v = None

    def append(self, k, v):
        """Add keys and values, arrays (B, n, D); returns all so far, (B, length, D) each."""
        (B, n, D), start = k.shape, self.length
        if start + n > self.capacity:
            raise ShapeError(
                f"KVCache: {start} tokens and {n} more exceed its capacity of {self.capacity}"
            )
        if self._k is None:
            xp = backend.module_of([k, v], "KVCache")
            self._k = xp.empty((B, self.capacity, D), dtype=k.dtype)
            self._v = xp.empty((B, self.capacity, D), dtype=v.dtype)
        self.length += n
        self._k[:, start : self.length] = k
        self._v[:, start : self.length] = v
        return self.contents()

    def contents(self):
        """All keys and values so far, (B, length, D) each."""
        return self._k[:, : self.length], self._v[:, : self.length]

    def select(self, rows):
        """Keep the sequences `rows`, in that order (beam search)."""
        rows = backend.to_device(np.asarray(rows), backend.device_of(self._k))
        self._k, self._v = self._k[rows], self._v[rows]


class MultiHeadAttention(nn.Module):
    """Multi-head attention with its four projections; names as in PyTorch's MultiheadAttention.

        MhSa[X] = W_o (head_1 .. head_H),  head = softmax(Q K^T / sqrt(D/H)) V

    attn(x) is self-attention, attn(x, memory) cross-attention: queries from x (B, N, D), keys and
    values from memory (B, M, D). attn(x, return_weights=True) gives (output, A (B, H, N, M)).
    """

    def __init__(self, embed_dim, num_heads, bias=True, dropout=0.0):
        if embed_dim % num_heads:
            raise ShapeError(
                f"MultiHeadAttention: embed_dim {embed_dim} does not divide into {num_heads} heads"
            )
        if not 0 <= dropout < 1:
            raise RangeError(f"MultiHeadAttention: dropout is {dropout}, expected 0 <= p < 1")
        D = embed_dim
        self.num_heads, self.dropout = num_heads, dropout
        W = nn.xavier_uniform(3 * D, D)  # rows: W_q, W_k, W_v; columns in memory side by side:
        self.in_proj_weight = nn.Parameter(W, order="F")  # x W^T of few rows is faster
        self.in_proj_bias = nn.Parameter(nn.uniform((3 * D,), 0.0)) if bias else None
        self.out_proj = nn.Linear(D, D, bias)
        if bias:
            self.out_proj.bias.data[...] = 0

    def forward(self, x, memory=None, mask=None, causal=False, cache=None, return_weights=False):
        how = dict(heads=self.num_heads, mask=mask, causal=causal)
        if self.training and self.dropout:
            qkv = self.project(x, x if memory is None else memory)
            out = dot_product_attention_composed(*qkv, **how, dropout=self.dropout)
        elif memory is None and cache is None:
            qkv = functions.linear(x, self.in_proj_weight, self.in_proj_bias)  # (B, N, 3 D)
            out = self_attention(qkv, **how)
        else:
            q, k, v = self.project(x, x if memory is None else memory)
            if cache is not None:
                k, v = cache.append(k.data, v.data)
            out = dot_product_attention(q, k, v, **how)
        out = self.out_proj(out)
        return (out, self.weights(x, memory, mask, causal)) if return_weights else out

    def project(self, x, memory):
        """Queries of x, keys and values of memory: (B, N, D), (B, M, D), (B, M, D)."""
        D = x.shape[-1]
        W, b = self.in_proj_weight, self.in_proj_bias
        if memory is x:
            return ops.split(functions.linear(x, W, b), 3, axis=2)
        q = functions.linear(x, W[:D], None if b is None else b[:D])
        kv = functions.linear(memory, W[D:], None if b is None else b[D:])
        return q, kv[..., :D], kv[..., D:]

    @no_grad()
    def weights(self, x, memory=None, mask=None, causal=False):
        """The attention weights A alone, (B, H, N, M)."""
        q, k, _ = self.project(x, x if memory is None else memory)
        return attention_weights(q, k, self.num_heads, mask, causal)


MhSa = MultiHeadAttention  # the slides' name for multi-head self-attention
