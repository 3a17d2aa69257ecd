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
# # Exercise 19: One step of AdamW
#
# AdamW keeps two numbers for each parameter: a moving mean of its gradients and one of their
# squares. You write one update. (About 25 minutes.)
#
# - `w`, `g`, `m`, `v` have the same shape: the parameter, its gradient, and the two means so far.
# - `t` is the number of this update, 1 at the first; `lr`, `beta1`, `beta2`, `eps`, `decay` are
#   numbers.
# - The result has shape `(3, ...)`: the new w, the new m, the new v, stacked. It has the dtype of
#   `w`.
#
# The equations and folded hints: [19_adamw_step.md](19_adamw_step.md). The lecture: "Scaling Vision
# Transformers", section "What an optimizer holds".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "adamw_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    """(3, ...): the parameter and its two means after this update."""
    ### BEGIN SOLUTION
    # Task: two means, two corrections, one step
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    direction = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
    new = np.stack([w - lr * decay * w - lr * direction, m, v])
    ### END SOLUTION
    return new


# %% [markdown]
# ## Try it
#
# Two parameters, one with a gradient a million times as large. Before you run the cell: how far
# does each of them go in the first step?

# %%
w, g, zero = np.array([1.0, 1.0]), np.array([1e-3, 1e3]), np.zeros(2)
new = adamw_step(w, g, zero, zero, t=1, lr=0.1, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0)
print("w from", w, "to", new[0])

# %% [markdown]
# ## Check it
#
# The same as `minivit check 19` in a terminal: it looks for the smallest input on which something
# is wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "adamw_step_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("adamw_step", globals())

# %% [markdown]
# ## Explain
#
# What would the first step be without the two corrections, for beta1 = 0.9 and beta2 = 0.999? And
# why is it not the same to add decay · w to the gradient, as L2 regularisation does? Three to five
# sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "adamw_step_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# m would be 0.1 g and the root of v about 0.03 |g|, so the step would be three times lr, and for
# some hundred steps after that too large by less and less; the corrections undo that both means
# began at 0. (1 point.) What is added to the gradient is divided by the root of v with it: a weight
# with large gradients would hardly shrink, one with small gradients much. AdamW shrinks all by the
# same share, lr times decay. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# A linear classifier of digits, trained with your step. A large `eps` hides the root of v: what
# is left is a running mean of the gradient, and it wants another rate.

# %%
from minivit.grading import draw


def figure():
    """Loss against step, a logarithmic axis: AdamW falls fast; with a large eps
    the same rate is far too small, and a hundred times as much about right."""
    from minivit.course.plots import drawing as plots
    from minivit.training import data

    digits = data.digits()
    x, labels = digits.train_images.reshape(len(digits.train_images), -1), digits.train_labels
    runs = {"eps 1e-8, lr 0.01": (0.01, 1e-8), "eps 1, lr 0.01": (0.01, 1.0)}
    runs["eps 1, lr 1"] = (1.0, 1.0)
    histories = []
    for lr, eps in runs.values():
        w, m, v, losses = *np.zeros((3, 64, 10)), []
        for t in range(1, 301):
            p = np.exp(x @ w)
            p /= p.sum(axis=1, keepdims=True)
            losses.append(-np.log(p[np.arange(len(x)), labels]).mean())
            g = x.T @ (p - np.eye(10)[labels]) / len(x)
            w, m, v = adamw_step(w, g, m, v, t, lr, 0.9, 0.999, eps, 0.0)
        histories.append(losses)
    return plots.learning(histories, list(runs))


draw(figure)
