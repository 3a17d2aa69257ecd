"""Attention as one op: the textbook's function, with the derivative of the last two chapters.

Short sequences are taken at once, and keep their exponentials for the way back, which saves making
them again. Long ones go in blocks: what would be kept grows with the square of the length, and from
about 2,000 tokens on it costs more time to read it back than to make it again.
"""

from minivit.attention import blocks, kernel, textbook
from minivit.attention.textbook import split_heads
from minivit.engine.errors import ShapeError
from minivit.engine.record import op

LONG = 1024 * 1024  # scores of a head, N M, from which on they are made in blocks


@op
def dot_product_attention(xp, q, k, v, /, heads=1, mask=None, causal=False, scale=None):
    """softmax(scale Q K^T) V for each head: q (B, N, D), k and v (B, M, D) -> (B, N, D).

    Head h owns columns h D/H to (h+1) D/H. scale: 1/sqrt(D/H) if not given.
    """
    if q.ndim != 3 or k.ndim != 3 or k.shape != v.shape or q.shape[::2] != k.shape[::2]:
        raise ShapeError(
            f"attention: q is {q.shape}, k {k.shape}, v {v.shape}; expected (B, N, D), (B, M, D), "
            "(B, M, D)"
        )
    o = xp.empty(q.shape, dtype=xp.result_type(q, k, v))
    q_k_v_o = [split_heads(x, heads) for x in (q, k, v, o)]
    vjp_heads = _attend(xp, *q_k_v_o, mask, causal, scale)

    def vjp(g):
        dq, dk, dv = xp.empty_like(q), xp.empty_like(k), xp.empty_like(v)
        vjp_heads(*[split_heads(x, heads) for x in (g, dq, dk, dv)])
        return dq, dk, dv

    return o, vjp


@op
def self_attention(xp, qkv, /, heads=1, mask=None, causal=False, scale=None):
    """`dot_product_attention` of tokens on each other, queries, keys and values side by side:
    (B, N, 3 D) -> (B, N, D). Reads and writes strided views: nothing is copied apart."""
    if qkv.ndim != 3 or qkv.shape[2] % 3:
        raise ShapeError(f"self_attention: got shape {qkv.shape}, expected (B, N, 3 D)")
    B, N, D = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3

    def parts(x):
        return [split_heads(x[:, :, i * D : (i + 1) * D], heads) for i in range(3)]

    o = xp.empty((B, N, D), dtype=qkv.dtype)
    vjp_heads = _attend(xp, *parts(qkv), split_heads(o, heads), mask, causal, scale)

    def vjp(g):
        dqkv = xp.empty_like(qkv)
        vjp_heads(split_heads(g, heads), *parts(dqkv))
        return dqkv

    return o, vjp


dot_product_attention.twin(textbook.dot_product_attention)
self_attention.twin(textbook.self_attention)


def _attend(xp, q, k, v, o, mask, causal, scale):
    """Attention on views (B, H, N, d): writes `o`, returns the vjp, which writes dq, dk, dv."""
    is_long = q.shape[2] * k.shape[2] >= LONG and o.size
    return (blocks if is_long else kernel).attend(xp, q, k, v, o, mask, causal, scale)
