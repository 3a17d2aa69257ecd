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


# %% nbgrader={"grade": false, "grade_id": "cached_attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cached_attention(q, k, v, keys, values, heads):
    """The last n rows of causal attention over M + n tokens."""
    ### BEGIN SOLUTION
    # Task: put old and new together, then attend head by head
    k, v = np.concatenate([keys, k]), np.concatenate([values, v])  # (M + n, D)
    n, N, D = len(q), len(k), q.shape[1]
    q, k, v = (x.reshape(len(x), heads, -1).swapaxes(0, 1) for x in (q, k, v))  # (H, ., D/H)
    S = q @ k.swapaxes(1, 2) * (D // heads) ** -0.5  # (H, n, N)
    S = np.where(np.tri(n, N, N - n, dtype=bool), S, -np.inf)
    e = np.exp(S - S.max(axis=2, keepdims=True))
    out = e / e.sum(axis=2, keepdims=True) @ v  # (H, n, D/H)
    out = out.swapaxes(0, 1).reshape(n, D)
    ### END SOLUTION
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

# %% nbgrader={"grade": true, "grade_id": "cached_attention_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("cached_attention", globals())

# %% [markdown]
# ## Explain
#
# How much work is the attention of token number 1000 with a cache, and how much without, counted in
# scores? And why can an encoder like BERT not use such a cache? Three to five sentences; a person
# reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "cached_attention_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# With a cache one row of scores is computed, 1000 of them; without it the whole triangle of about
# 500,000 is computed again, of which only the last row is new. (1 point.) In an encoder each token
# sees the later ones, so a new token changes the states of all old ones, and with them their keys
# and values in the next layer: what was kept would be wrong. (1 point.)
# ### END SOLUTION

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
