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
# # Exercise 6: Cross-attention, and what is only padding
#
# A translator's decoder asks the source sentence. Sentences of a batch have unequal lengths, so the
# short ones are filled up, and nobody may look there. (About 35 minutes.)
#
# - `q` has shape `(B, N, D)`: N queries for each of B sentences. `k` has shape `(B, M, D)`, `v`
#   shape `(B, M, C)`: one head.
# - `there` has shape `(B, M)`, True where the source has a token, False in padding. In each
#   sentence one place at least is True.
# - The result has shape `(B, N, C)` and the dtype of `q`.
# - The scores may be in the thousands, and so may the numbers that stand in padding.
#
# The equations and folded hints: [06_cross_attention.md](06_cross_attention.md). The lecture:
# "Encoder, decoder, encoder-decoder", section "The encoder-decoder".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def cross_attention(q, k, v, there):
    """softmax(q k^T / sqrt(D)) v over the places of each sentence that are there."""
    raise TodoError(
        "Exercise 6, cross_attention: score, hide the padding, softmax, average. Read lecture "
        "'Encoder, decoder, encoder-decoder', section 'The encoder-decoder'."
    )
    return out


# %% [markdown]
# ## Try it
#
# Two sentences with the same keys; the second has two tokens and one place of padding, where a 100
# stands. Before you run the cell: what are the two results?

# %%
q = np.zeros((2, 1, 2))
k = np.zeros((2, 3, 2))
v = np.array([[[1.0], [2.0], [100.0]]] * 2)
there = np.array([[True, True, True], [True, True, False]])
print(cross_attention(q, k, v, there).ravel())

# %% [markdown]
# ## Check it
#
# The same as `minivit check 6` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("cross_attention", globals())

# %% [markdown]
# ## Explain
#
# A classmate sets the weights of padding to 0 after the softmax. What is wrong with it, and on
# which sentences of the batch does it show? And why does cross-attention have no causal mask? Three
# to five sentences; a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# Two sentences of different length in one batch; the shorter one is padded. Values that are the
# identity let through the weights alone.

# %%
from minivit.grading import draw


def figure():
    """Two attention maps, a row a word of the translation, a column a word of the source."""
    from minivit.course.plots import transformer as plots

    sources = [" the cat sleeps".split(" ")[1:], " we saw a small house".split(" ")[1:]]
    targets = [" die Katze schläft".split(" ")[1:], " wir sahen ein kleines Haus".split(" ")[1:]]
    k = 3 * np.eye(5) + np.random.default_rng(0).normal(size=(2, 5, 5)) / 2
    there = np.arange(5) < np.array([[len(s)] for s in sources])
    A = cross_attention(k + 0.3 * np.roll(k, 1, axis=1), k, np.stack([np.eye(5)] * 2), there)
    return plots.alignments([
        ([f" {w}" for w in s], [f" {w}" for w in t], a[: len(t), : len(s)])
        for s, t, a in zip(sources, targets, A)
    ])  # fmt: skip


draw(figure)
