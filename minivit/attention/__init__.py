"""Attention: every token looks at the others and takes a mean of what they offer.

    A = softmax(Q K^T / sqrt(d) + mask),   output = A V       (Vaswani et al. 2017, section 3.2)

Masks are boolean, True = may attend, and broadcast to (B, H, N, M): N queries, M keys. A query that
may attend to nothing gets zeros.
"""

from minivit.attention.dot_product import dot_product_attention, self_attention
from minivit.attention.multihead import KVCache, MhSa, MultiHeadAttention, SeparateProjections
from minivit.attention.textbook import attention_weights, causal_mask, split_heads
