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
# # Exercise 18: The backward pass of attention
#
# In exercise 2 tokens met; now their gradients do. One head, in plain NumPy, both passes:
#
# $$S = \frac{q\,k^T}{\sqrt D}, \qquad A = \text{softmax}(S)\ \text{(each row sums to 1)}, \qquad
# \texttt{out} = A\,v .$$
#
# The function returns `out` and another function, `vjp`, that takes the gradient `g` of the loss with
# respect to `out` and returns the gradients of `q`, `k` and `v`. (About 45 minutes.)
#
# - `q` has shape `(N, D)`, `k` shape `(M, D)`, `v` shape `(M, C)`, `g` the shape of `out`, `(N, C)`.
# - The gradients have the shape and the dtype of what they belong to.
# - The scores may be in the thousands.
#
# The equations and folded hints: [18_attention_gradient.md](18_attention_gradient.md). The lecture:
# "Vision Transformer", section "The layer: LayerNorm and its gradient".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "attention_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def attention_gradient(q, k, v):
    """softmax(q k^T / sqrt(D)) v, and its vjp."""
    ### BEGIN SOLUTION
    # Task: write the forward pass
    scale = q.shape[1] ** -0.5
    S = q @ k.T * scale  # (N, M)
    e = np.exp(S - S.max(axis=1, keepdims=True))
    A = e / e.sum(axis=1, keepdims=True)
    out = A @ v
    ### END SOLUTION

    def vjp(g):
        ### BEGIN SOLUTION
        # Task: write the backward pass
        gA = g @ v.T  # (N, M)
        gS = A * (gA - (gA * A).sum(axis=1, keepdims=True))
        gq, gk, gv = gS @ k * scale, gS.T @ q * scale, A.T @ g
        ### END SOLUTION
        return gq, gk, gv

    return out, vjp


# %% [markdown]
# ## Try it
#
# Two queries, three keys. Before you run the cell: what is the sum of each row of the gradient of the
# scores, and what does that say about the gradient of `q` where all keys are the same?

# %%
q, k = np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
v = np.array([[1.0], [2.0], [6.0]])
out, vjp = attention_gradient(q, k, v)
gq, gk, gv = vjp(np.array([[1.0], [-1.0]]))
print("out =", out, "gq =", gq.round(6), "gv =", gv.round(3), sep="\n")

# %% [markdown]
# ## Doubt it
#
# Is the derivative right? Move each number of an argument a little both ways, and compare: the relative
# error is about 1e-8 where it is, and more than 1e-3 where a term is missing.

# %%
from minivit.grading import gradient_errors

rng = np.random.default_rng(0)
gradient_errors(
    attention_gradient, rng.normal(size=(2, 3)), rng.normal(size=(4, 3)), rng.normal(size=(4, 5))
)

# %% [markdown]
# ## Check it
#
# The same as `minivit check 18` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "attention_gradient_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("attention_gradient", globals())

# %% [markdown]
# ## Explain
#
# A row of attention weights is nearly one-hot. What is the gradient of its scores then, whatever `g`
# is? What follows for a model whose scores are large from the start? Three to five sentences; a person
# reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "attention_gradient_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Each gradient of a score is multiplied by its weight A, which is nearly 0 for all keys but one; for that
# one the difference to the weighted mean of gA is nearly 0, since the mean is its own gA. So the gradient
# of the whole row is nearly 0. (1 point.) Such a model learns nothing through q and k: the tokens keep
# looking where they happen to look. That is why the scores are divided by the square root of D. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# Six queries and six keys learn where to look by your gradient alone: a value is to come out at the
# other end. To the left the weights before, to the right after 300 steps.

# %%
from minivit.grading import draw


def figure():
    """Attention weights of six tokens before and after 300 steps of gradient descent: at first all
    over, in the end along the diagonal that leads from the first token to the last."""
    from minivit.course.plots import transformer as plots

    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(6, 8)), rng.normal(size=(6, 8)), np.eye(6)
    maps = []
    for _ in range(300):
        out, vjp = attention_gradient(q, k, v)  # values are one-hot: what comes out are the weights
        maps.append(out)
        gq, gk, _ = vjp(out - v[::-1])  # of half the squared distance to the values turned round
        q, k = q - 2 * gq, k - 2 * gk
    fig = plots.attention_pair(maps[0].T, maps[-1].T, list("abcdef"))
    for axes, title in zip(fig.axes, ("at first", "after 300 steps")):
        axes.set_title(title)
    return fig


draw(figure)
