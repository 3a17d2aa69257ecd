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
# # Exercise 17: LayerNorm and its gradient
#
# A Transformer layer normalises each token. In the notation of the library, where a token is a row
# of $x$ and the last axis has length $D$,
#
# $$y = \gamma\, n + \beta, \qquad n = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad
# \mu = \frac1D \sum_i x_i, \qquad \sigma^2 = \frac1D \sum_i (x_i - \mu)^2 .$$
#
# You write both passes in plain NumPy. The function returns `y` and another function, `vjp`, that
# takes the gradient `g` of the loss with respect to `y` and returns the gradients with respect to
# `x`, `gamma` and `beta`. Derive them on paper first. (About 45 minutes.)
#
# - `x` and `g` have shape `(..., D)`: two axes or more. `gamma` and `beta` have shape `(D,)`.
# - The gradients have the shape and the dtype of what they belong to.
# - `x` and `g` belong to others: do not write into them.
#
# The equations and folded hints: [17_layer_norm.md](17_layer_norm.md). The lecture:
# "Vision Transformer", section "The layer: LayerNorm and its gradient".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def layer_norm(x, gamma, beta, eps=1e-5):
    """y = gamma (x - mean) / sqrt(var + eps) + beta over the last axis, and its vjp."""
    raise TodoError(
        "Exercise 17, layer_norm: write the forward pass. Read lecture 'Vision Transformer', "
        "section 'The layer: LayerNorm and its gradient'."
    )

    def vjp(g):
        raise TodoError(
            "Exercise 17, layer_norm: write the backward pass. Read lecture 'Vision Transformer',"
            " section 'The layer: LayerNorm and its gradient'."
        )
        return gx, ggamma, gbeta

    return y, vjp


# %% [markdown]
# ## Try it
#
# Two rows of three numbers. Before you run the cell: what are the mean and the variance of each
# row of `y`, and what is the sum of each row of the gradient of `x`?

# %%
x = np.array([[1.0, 2.0, 6.0], [0.0, -3.0, 3.0]])
y, vjp = layer_norm(x, np.ones(3), np.zeros(3))
print("y =", y.round(3), "mean", y.mean(-1).round(6), "variance", y.var(-1).round(6), sep="\n")
gx, ggamma, gbeta = vjp(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
print("gx =", gx.round(3), "sums of its rows", gx.sum(-1).round(6), sep="\n")

# %% [markdown]
# ## Doubt it
#
# Is the derivative right? Move each number of an argument a little both ways, and compare: the relative
# error is about 1e-8 where it is, and more than 1e-3 where a term is missing.

# %%
from minivit.grading import gradient_errors

rng = np.random.default_rng(0)
gradient_errors(layer_norm, rng.normal(size=(2, 4)), rng.normal(size=4), rng.normal(size=4), 1e-5)

# %% [markdown]
# ## Check it
#
# The same as `minivit check 17` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("layer_norm", globals())

# %% [markdown]
# ## Explain
#
# The rows of `gx` sum to zero, whatever `g` is. Why must that be so, seen from the forward pass?
# Then: what does this say about checking a gradient with `g` all ones? Three to five sentences;
# a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# LayerNorm in three steps, a token a column. The last two are your function.

# %%
from minivit.grading import draw


def figure():
    """Four heat maps of 8 x 6 numbers: X, centred, divided, scaled and shifted; below them the mean
    and the variance of each column."""
    from minivit.course.plots import transformer as plots

    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 8)) * rng.uniform(0.5, 2, (6, 1)) + rng.normal(size=(6, 1))
    gamma, beta = rng.uniform(0.5, 1.5, 8), rng.normal(size=8) / 2
    stages = [x, x - x.mean(axis=1, keepdims=True), layer_norm(x, np.ones(8), np.zeros(8))[0],
              layer_norm(x, gamma, beta)[0]]  # fmt: skip
    words = "the cat sat on a mat".split()
    return plots.layer_norm_steps([s.T for s in stages], words, gamma[:, None], beta[:, None])


draw(figure)
