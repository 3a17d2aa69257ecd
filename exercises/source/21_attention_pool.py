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
# # Exercise 21: One question to all tokens
#
# A class token goes through all layers with the patches. Zhai et al. ask only at the end: one
# learnt query, here called probe, looks at the tokens, with several heads. (Their head has an MLP
# behind it, which is left out here.) (About 35 minutes.)
#
# - `x` has shape `(N, W)`: the tokens of one image, of width W. `W_k` and `W_v` have shape `(W,
#   D)`.
# - `probe` has shape `(D,)`: the query. It is not projected.
# - `heads` is H: head h has the numbers from h D/H to (h + 1) D/H of the probe, of each key and of
#   each value.
# - The result has shape `(D,)`, the heads side by side, and the dtype of `x`. The scores may be in
#   the thousands.
#
# The equations and folded hints: [21_attention_pool.md](21_attention_pool.md). The lecture:
# "Scaling Vision Transformers", section "Other parts".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "attention_pool", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_pool(x, probe, W_k, W_v, heads):
    """(D,): what one learnt query takes from all tokens."""
    ### BEGIN SOLUTION
    # Task: project, score, softmax over the tokens, average, head by head
    N, D = len(x), len(probe)
    q = probe.reshape(heads, -1)  # (H, D/H)
    k = (x @ W_k).reshape(N, heads, -1)  # (N, H, D/H)
    v = (x @ W_v).reshape(N, heads, -1)
    S = (q * k).sum(axis=2) * (D // heads) ** -0.5  # (N, H)
    e = np.exp(S - S.max(axis=0))
    A = e / e.sum(axis=0)
    out = (A[:, :, None] * v).sum(axis=0).reshape(D)
    ### END SOLUTION
    return out


# %% [markdown]
# ## Try it
#
# Three tokens; the probe asks for the first number, and the value is the second one. Before you run
# the cell: near which number is the result?

# %%
x = np.array([[0.0, 1.0], [9.0, 2.0], [0.0, 4.0]])
print(attention_pool(x, np.array([5.0]), np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]), 1))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 21` in a terminal: it looks for the smallest input on which something
# is wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "attention_pool_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("attention_pool", globals())

# %% [markdown]
# ## Explain
#
# What does this head compute where the probe is 0? And the tokens of the image are put in another
# order: what happens to the result, and where must the model have learnt about places then? Three
# to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "attention_pool_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# All scores are 0, so all weights are 1/N and the result is the mean of the values: mean pooling is
# a special case. (1 point.) Nothing happens, for softmax and sum do not depend on the order. So
# what a token's place means must be in the token itself, from the positions that were added at the
# beginning. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# Sixteen patches of a digit. A token here is how bright its patch is, and which one it is; the values are
# the places alone, so that what your function gives are the weights. The probe asks for bright ones.

# %%
from minivit.grading import draw


def figure():
    """A digit four times, and where a probe of 0, 1, 4 and 20 looks: everywhere alike, then more and
    more at the brightest patches."""
    from minivit.course.plots import vit as plots
    from minivit.training import data

    image = data.digits().test_images[0]  # (8, 8, 1)
    bright = image.reshape(4, 2, 4, 2).mean(axis=(1, 3)).reshape(16, 1)
    x, places = np.concatenate([bright, np.eye(16)], axis=1), np.eye(17)
    W_k, W_v = places[:, :1] * np.ones(16), places[:, 1:]
    strengths = (0.0, 1.0, 4.0, 20.0)
    weights = [attention_pool(x, np.full(16, s / 4), W_k, W_v, 1) for s in strengths]
    return plots.rollout([image] * 4, weights, (4, 4), [f"probe {s:g}" for s in strengths])


draw(figure)
