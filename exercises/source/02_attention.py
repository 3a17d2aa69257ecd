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


# %% nbgrader={"grade": false, "grade_id": "attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention(q, k, v, heads, causal):
    """softmax(Q K^T / sqrt(D / heads)) V for each head, the heads side by side."""
    ### BEGIN SOLUTION
    # Task: split the heads, attend, and put them together again
    N, D = q.shape
    Q, K, V = (x.reshape(N, heads, D // heads).swapaxes(0, 1) for x in (q, k, v))
    S = Q @ K.swapaxes(1, 2) / (D // heads) ** 0.5
    if causal:
        S = np.where(np.tri(N, dtype=bool), S, -np.inf).astype(q.dtype)
    e = np.exp(S - S.max(axis=-1, keepdims=True))
    A = e / e.sum(axis=-1, keepdims=True)
    out = (A @ V).swapaxes(0, 1).reshape(N, D)
    ### END SOLUTION
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

# %% nbgrader={"grade": true, "grade_id": "attention_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("attention", globals())

# %% [markdown]
# ## Explain
#
# Why is the score divided by the square root of d, not by d and not by nothing? Suppose that the
# numbers of queries and keys are independent with mean 0 and variance 1. Three to five sentences; a
# person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "attention_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# A score is a sum of d products, each with mean 0 and variance 1, so its variance is d and its typical
# size $\sqrt d$: divided by that, scores are about 1 whatever the width. (1 point.) Without it, at
# d = 64 they are about 8, the softmax puts nearly everything on one token, and its gradient is nearly
# 0; divided by d they would be about 1/8, and the softmax would be nearly flat. (1 point.)
# ### END SOLUTION

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
