"""MultiHeadAttention: attention with its projections, and the cache that makes generation cheap."""

from minivit import functions, nn
from minivit.attention import textbook
from minivit.attention.dot_product import dot_product_attention, self_attention
from minivit.attention.textbook import attention_weights, split_heads
from minivit.engine import backend, numerics, ops
from minivit.engine.errors import ShapeError
from minivit.engine.modes import no_grad
from minivit.engine.record import function


class KVCache:
    """The keys and values of the tokens so far, so that a new token costs one query, not N.

    For generation, without gradients; `causal=True` then means: the queries are the last ones. They
    lie as one query reads them: keys (B, H, d, capacity), values (B, H, capacity, d), d = D/H.
    """

    @function
    def __init__(self, capacity):
        nn.check_sizes(self, capacity=capacity)
        self.capacity, self.length = capacity, 0
        self._k = self._v = None

    def append(self, k, v, heads):
        """Add keys and values, arrays (B, n, D); returns all so far, (B, length, D) each."""
        shapes = [tuple(getattr(a, "shape", ())) for a in (k, v)]
        if len(shapes[0]) != 3 or shapes[0] != shapes[1]:
            raise ShapeError(
                f"KVCache: keys are {shapes[0]}, values {shapes[1]}; expected (B, n, D)"
            )
        (B, _, D), start = k.shape, self.length
        k_heads, v_heads = (split_heads(a, heads) for a in (k, v))  # (B, H, n, d)
        K, V = self.append_heads(k_heads, v_heads)
        if not start:
            return k, v
        K, V = K.transpose(0, 3, 1, 2), V.swapaxes(1, 2)  # (B, M, H, d) each
        return K.reshape(B, self.length, D), V.reshape(B, self.length, D)

    def append_heads(self, k, v):
        """Add keys and values (B, H, n, d); returns all as they lie, (B, H, d, M), (B, H, M, d)."""
        (B, H, n, d), start = k.shape, self.length
        if start + n > self.capacity:
            raise ShapeError(
                f"KVCache: {start} tokens and {n} more exceed its capacity of {self.capacity}"
            )
        if self._k is None:
            xp = backend.module_of([k, v], "KVCache")
            self._k = xp.empty((B, H, d, self.capacity), dtype=k.dtype)
            self._v = xp.empty((B, H, self.capacity, d), dtype=v.dtype)
        elif self._k.shape[:3] != (B, H, d):
            raise ShapeError(
                f"KVCache: got keys with (B, H, d) = {(B, H, d)}, but holds {self._k.shape[:3]}"
            )
        self.length = start + n
        self._k[:, :, :, start : self.length] = k.swapaxes(2, 3)
        self._v[:, :, start : self.length] = v
        return self._k[:, :, :, : self.length], self._v[:, :, : self.length]

    def select(self, rows):
        """Keep the sequences `rows`, in that order (beam search)."""
        if self._k is None:
            raise ShapeError("KVCache.select: there are no tokens yet")
        xp = backend.module_of([self._k], "KVCache.select")
        rows = numerics.checked_index(xp, rows, len(self._k), "KVCache.select: rows")
        self._k, self._v = self._k[rows], self._v[rows]


class SeparateProjections(nn.Module):
    """Attention's projections of queries, keys and values as three Linear layers, as published
    weights of pooling heads have them: `q_proj`, `k_proj`, `v_proj`."""

    def __init__(self, width, heads):
        nn.check_sizes(self, width=width, heads=heads)
        if width % heads:
            raise ShapeError(
                f"{type(self).__name__}: width {width} does not divide into {heads} heads"
            )
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)

    def attend(self, x, memory):
        """Queries from x (B, N, D), keys and values from memory (B, M, D) -> (B, N, D)."""
        q, k, v = self.q_proj(x), self.k_proj(memory), self.v_proj(memory)
        return dot_product_attention(q, k, v, self.heads)


class MultiHeadAttention(nn.Module):
    """Multi-head attention with its four projections; names as in PyTorch's MultiheadAttention.

        MhSa[X] = W_o (head_1 .. head_H),  head = softmax(Q K^T / sqrt(D/H)) V

    attn(x) is self-attention, attn(x, memory) cross-attention: queries from x (B, N, D), keys and
    values from memory (B, M, D). attn(x, return_weights=True) gives (output, A (B, H, N, M)).

    Initial weights are PyTorch's: Xavier of the three matrices as one (3 D, D), standard deviation
    sqrt(1 / 2D), 0.088 at D = 64; biases 0. ViT's own code (big_vision, by Flax) draws
    three (D, D) matrices, sqrt(1 / D) = 0.125, and so starts with scores twice as large.
    """

    def __init__(self, embed_dim, num_heads, bias=True, dropout=0.0):
        nn.check_sizes(self, embed_dim=embed_dim, num_heads=num_heads)
        nn.check_share(self, dropout=dropout)
        if embed_dim % num_heads:
            raise ShapeError(
                f"MultiHeadAttention: embed_dim {embed_dim} does not divide into {num_heads} heads"
            )
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
        dropping = self.training and self.dropout
        if memory is None and cache is None and not dropping:
            qkv = functions.linear(x, self.in_proj_weight, self.in_proj_bias)  # (B, N, 3 D)
            out = self_attention(qkv, **how)
        else:
            q, k, v = self.project(x, x if memory is None else memory)
            if cache is not None:
                k, v = cache.append(k.data, v.data, self.num_heads)
            if dropping:
                out = textbook.dot_product_attention(q, k, v, **how, dropout=self.dropout)
            else:
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
