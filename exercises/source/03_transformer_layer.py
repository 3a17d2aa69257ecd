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
# # Exercise 3: The slide's four lines
#
# A layer adds twice: what attention gives, and what the MLP gives. In 2017 LayerNorm stood *after*
# each sum (post-LN); GPT-2, ViT and CLIP have it *before* each half (pre-LN). You write both, in
# four lines each, with a token a row. (About 30 minutes.)
#
# - `x` has shape `(N, D)`. `A` has shape `(N, N)`: row i says how much token i takes of each token,
#   and sums to 1. It is given; attention is `A @ (x @ W_v)`, with `W_v` of shape `(D, D)`.
# - The MLP is ReLU: `W_1` has shape `(D, M)` and `W_2` `(M, D)`; there are no biases.
# - LayerNorm has neither gamma nor beta; 1e-5 is added to the variance, which is a mean of squares.
# - `pre` is True or False. The result has the shape and dtype of `x`.
#
# The equations and folded hints: [03_transformer_layer.md](03_transformer_layer.md). The lecture:
# "The Transformer layer", section "The slide's four lines".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "transformer_layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def transformer_layer(x, A, W_v, W_1, W_2, pre):
    """One layer: attention, then the MLP, each added to what came in."""

    ### BEGIN SOLUTION
    # Task: LayerNorm, attention and MLP, in the order that `pre` asks for
    def norm(y):
        c = y - y.mean(axis=1, keepdims=True)
        return c / np.sqrt((c * c).mean(axis=1, keepdims=True) + 1e-5)

    def mlp(y):
        return np.maximum(y @ W_1, 0) @ W_2

    if pre:
        x = x + A @ (norm(x) @ W_v)
        return x + mlp(norm(x))
    x = norm(x + A @ (x @ W_v))
    out = norm(x + mlp(x))
    ### END SOLUTION
    return out


# %% [markdown]
# ## Try it
#
# Twenty layers, one after the other, with the same small weights. Before you run the cell: what is
# the largest number that comes out of a post-LN layer? And what happens to it with pre-LN?

# %%
rng = np.random.default_rng(0)
W_v, W_1, W_2 = rng.normal(size=(8, 8)), rng.normal(size=(8, 32)), rng.normal(size=(32, 8))
for pre in (False, True):
    x, sizes = rng.normal(size=(4, 8)), []
    for _ in range(20):
        x = transformer_layer(x, np.full((4, 4), 0.25), W_v / 3, W_1 / 3, W_2 / 6, pre)
        sizes.append(np.abs(x).max().round(1))
    print("pre-LN " if pre else "post-LN", *sizes[::4])

# %% [markdown]
# ## Check it
#
# The same as `minivit check 3` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "transformer_layer_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("transformer_layer", globals())

# %% [markdown]
# ## Explain
#
# In which of the two does a gradient reach the first layer without going through any LayerNorm, and
# along which path? Why does a pre-LN model have one more LayerNorm behind its last layer? Three to
# five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "transformer_layer_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# In pre-LN: x goes from sum to sum, and the derivative of a sum is 1 for x, so the gradient reaches
# the first layer unchanged along the residual path; in post-LN it goes through two LayerNorms a
# layer. (1 point.) But nothing ever scales that path: each half adds to it, so the numbers grow
# with the depth, and what reads them at the end needs numbers of a known size. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# The whole layer, a token a column as in the lecture. Without the MLP's last matrix your function
# gives the middle of it.

# %%
from minivit.grading import draw


def figure():
    """The layer as heat maps, a token a column: X, the attention, their sum, LayerNorm, the MLP,
    the sum, LayerNorm."""
    from minivit.course.plots import transformer as plots

    rng = np.random.default_rng(0)
    x, W_v = rng.normal(size=(6, 8)), rng.normal(size=(8, 8)) / 3
    A = rng.dirichlet(np.full(6, 0.4), size=6)
    W_1, W_2 = rng.normal(size=(8, 32)) / 3, rng.normal(size=(32, 8)) / 6
    middle = transformer_layer(x, A, W_v, W_1, 0 * W_2, False)
    out = transformer_layer(x, A, W_v, W_1, W_2, False)
    given, thought = A @ x @ W_v, np.maximum(middle @ W_1, 0) @ W_2
    stages = {"X": x, "MhSa[X]": given, "X + MhSa[X]": x + given, "LayerNorm": middle,
              "mlp[x_n]": thought, "x_n + mlp[x_n]": middle + thought, "out": out}  # fmt: skip
    stages = {name: values.T for name, values in stages.items()}
    return plots.layer_diagram({**stages, "A": A.T[None]}, "the cat sat on a mat".split())


draw(figure)
