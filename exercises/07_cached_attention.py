# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 7: Attention with a KV cache
#
# A decoder that writes its hundredth token has computed the keys and values of the first 99
# already. They are kept in a cache. You write the attention of the new tokens. (About 35 minutes.)
#
# - `q`, `k`, `v` have shape `(n, D)`: the n new tokens, in their order. Usually n is 1.
# - `keys` and `values` have shape `(M, D)`: the M tokens before them. M is 0 at the beginning.
# - `heads` is H: head h has the numbers from h D/H to (h + 1) D/H of each row.
# - A new token sees all old ones, itself, and the new ones before it.
# - The result has shape `(n, D)` and the dtype of `q`: what the last n rows of the whole attention
#   would be. The scores may be in the thousands.
#
# The equations and folded hints: [07_cached_attention.md](07_cached_attention.md). The lecture:
# "Encoder, decoder, encoder-decoder", section "The decoder".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def cached_attention(q, k, v, keys, values, heads):
    """The last n rows of causal attention over M + n tokens."""
    raise TodoError(
        "Exercise 7, cached_attention: put old and new together, then attend head by head. Read "
        "lecture 'Encoder, decoder, encoder-decoder', section 'The decoder'."
    )
    return out


# %% [markdown]
# ## Try it
#
# Four tokens at once, and then one after the other. Before you run the cell: which rows should be
# equal?

# %%
rng = np.random.default_rng(0)
q, k, v = rng.normal(size=(3, 4, 6))
nothing = np.zeros((0, 6))
full = cached_attention(q, k, v, nothing, nothing, heads=2)
steps = [
    cached_attention(q[i : i + 1], k[i : i + 1], v[i : i + 1], k[:i], v[:i], 2) for i in range(4)
]
print("largest difference:", np.abs(np.concatenate(steps) - full).max())

# %% [markdown]
# ## Check it
#
# The same as `minivit check 7` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("cached_attention", globals())

# %% [markdown]
# ## Explain
#
# How much work is the attention of token number 1000 with a cache, and how much without, counted in
# scores? And why can an encoder like BERT not use such a cache? Three to five sentences; a person
# reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# Left: all words at once, without a mask. Right: your function, a word at a time with its cache.
# Values that are the identity let through the weights alone.

# %%
from minivit.grading import draw


def figure():
    """Two attention maps of six words, keys down, queries across: without a mask, and a word at a
    time with a cache, which is causal."""
    from minivit.course.plots import transformer as plots

    q, k = 2 * np.random.default_rng(1).normal(size=(2, 6, 6))
    v, e = np.eye(6), np.exp(q @ k.T / 6**0.5)
    rows = [cached_attention(q[[i]], k[[i]], v[[i]], k[:i], v[:i], 1)[0] for i in range(6)]
    words = "the cat sat on a mat".split()
    return plots.attention_pair((e / e.sum(axis=1, keepdims=True)).T, np.stack(rows, 1), words)


draw(figure)
