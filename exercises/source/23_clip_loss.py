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
# # Exercise 23: The loss of CLIP
#
# n images and n texts that belong together, as features. You write the loss of the slide's pseudocode
# without `l2_normalize` and `cross_entropy_loss`: in plain NumPy. (About 35 minutes.)
#
# - `I_f` has shape `(n, d_i)`, `T_f` shape `(n, d_t)`, `W_i` shape `(d_i, d_e)`, `W_t` shape
#   `(d_t, d_e)`; `t` is one number.
# - The result is one number, of the dtype of `I_f`.
# - exp(t) may be 100: subtract what you must before you take exponentials.
#
# The equations and folded hints: [23_clip_loss.md](23_clip_loss.md). The lecture: "CLIP, line by
# line", section "The pseudocode, as printed".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "clip_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def clip_loss(I_f, T_f, W_i, W_t, t):
    """The symmetric contrastive loss of n aligned pairs."""
    ### BEGIN SOLUTION
    # Task: project, scale to length 1, compare, and take both cross-entropies
    I_e, T_e = I_f @ W_i, T_f @ W_t
    I_e = I_e / np.sqrt((I_e * I_e).sum(axis=1, keepdims=True))
    T_e = T_e / np.sqrt((T_e * T_e).sum(axis=1, keepdims=True))
    logits = I_e @ T_e.T * np.exp(t)
    losses = []
    for axis in (0, 1):
        z = logits - logits.max(axis=axis, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
        losses.append(-np.diagonal(log_p).mean())
    loss = (losses[0] + losses[1]) / 2
    ### END SOLUTION
    return loss


# %% [markdown]
# ## Try it
#
# Two pairs whose vectors match exactly. Before you run the cell: what is the loss at exp(t) = 1, and
# at exp(t) = 100?

# %%
one = np.eye(2)
for scale in (1.0, 100.0):
    print(f"exp(t) = {scale:5}: loss {clip_loss(one, one, one, one, np.log(scale)):.4f}")

# %% [markdown]
# ## Check it
#
# The same as `minivit check 23` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "clip_loss_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("clip_loss", globals())

# %% [markdown]
# ## Explain
#
# Why are the rows scaled to length 1 before they are compared, and why is a factor exp(t) multiplied in
# again afterwards? What would be the smallest loss that n pairs can reach without that factor? Three to
# five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "clip_loss_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# With length 1 a product is a cosine: only directions count, and no image can make all its scores large
# by being long. (1 point.) But cosines lie between -1 and 1, so without a factor the best softmax is
# $e/(e + (n-1)e^{-1})$ and the loss stays above $\log(1 + (n-1)e^{-2})$; with exp(t) the model may be
# as sure as it likes. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# Four digits and four texts; your loss stands above each matrix. Which of the three is right
# about which text belongs to which image, and which one is sure?

# %%
from minivit.grading import draw


def figure():
    """Three matrices of logits, images by texts: pairs that belong together at exp(t) = 1 and at 20,
    and the same with two texts exchanged: the loss is smallest in the second."""
    from minivit.course.plots import clip as plots
    from minivit.training import data

    digits = data.digits()
    means = np.stack([digits.train_images[digits.train_labels == c].mean(axis=0) for c in range(4)])
    images = digits.test_images[[np.flatnonzero(digits.test_labels == c)[0] for c in range(4)]]
    T_f = (means - means.mean(axis=0)).reshape(4, -1)
    I_f = (images - means.mean(axis=0)).reshape(4, -1)
    unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (I_f, T_f)]
    panels = []
    for order, scale in (([0, 1, 2, 3], 1), ([0, 1, 2, 3], 20), ([1, 0, 2, 3], 20)):
        loss = clip_loss(I_f, T_f[order], np.eye(64), np.eye(64), np.asarray(np.log(scale)))
        panels.append((f"loss {float(loss):.2f}", scale * unit[0] @ unit[1][order].T))
    return plots.logits_matrices(panels, images, "zero one two three".split())


draw(figure)
