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
# # Exercise 2: Attention: scale, heads, mask
#
# Each token asks (query), is asked (key) and offers something (value). With $H$ heads, head $h$ owns
# columns $hd$ to $(h+1)d$ of all three, $d = D/H$, and
#
# $$A_h = \text{softmax}\Big(\frac{Q_h K_h^T}{\sqrt d}\Big), \qquad
# \text{out} = [\,A_1 V_1 \;\dots\; A_H V_H\,] .$$
#
# You write the forward pass in plain NumPy. (About 40 minutes.)
#
# - `q`, `k` and `v` have shape `(N, D)`: N tokens. `heads` divides D.
# - Where `causal` is true, token i sees tokens 0 to i only.
# - The scores may be in the thousands. The result has the shape and dtype of `q`.
#
# The equations and folded hints: [02_attention.md](02_attention.md). The lecture: "The Transformer
# layer", section "Attention".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def attention(q, k, v, heads, causal):
    """softmax(Q K^T / sqrt(D / heads)) V for each head, the heads side by side."""
    raise TodoError(
        "Exercise 2, attention: split the heads, attend, and put them together again. Read "
        "lecture 'The Transformer layer', section 'Attention'."
    )
    return out


# %% [markdown]
# ## Try it
#
# Three tokens, two columns, one head. Before you run the cell: what does the first token get when it
# may see only itself?

# %%
q = k = np.array([[4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
v = np.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
print("everybody sees everybody", attention(q, k, v, 1, False).round(3), sep="\n")
print("causal", attention(q, k, v, 1, True).round(3), sep="\n")

# %% [markdown]
# ## Check it
#
# The same as `minivit check 2` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("attention", globals())

# %% [markdown]
# ## Explain
#
# Why is the score divided by the square root of d, not by d and not by nothing? Suppose that the
# numbers of queries and keys are independent with mean 0 and variance 1. Three to five sentences; a
# person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# Values that are the identity let through the weights alone. Before you run the cell: in which
# corner of the right map is nothing?

# %%
from minivit.grading import draw


def figure():
    """Two attention maps of six words, keys down, queries across: without a mask and causal."""
    from minivit.course.plots import transformer as plots

    q, k = 2 * np.random.default_rng(1).normal(size=(2, 6, 6))
    maps = [attention(q, k, np.eye(6), 1, causal).T for causal in (False, True)]
    return plots.attention_pair(*maps, "the cat sat on a mat".split())


draw(figure)
