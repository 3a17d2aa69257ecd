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
# # Exercise 12: A linear probe in one step
#
# How good are the features of a frozen network? Take a few labelled examples, fit a linear classifier,
# look at the test rows. With least squares there are no steps and no rate: one solution of linear
# equations. (About 35 minutes.)
#
# - `train` has shape `(n, D)`, `labels` shape `(n,)` with integers below `classes`, `test` shape
#   `(m, D)`: features, and `strength` is the penalty $\lambda$.
# - The result are scores, shape `(m, classes)`, with the dtype of `train`; the largest one of a row
#   would be the answer.
# - Mean and standard deviation (plus 1e-5) are those of the training rows. Behind the standardised
#   features stands a constant of 100, which serves as a bias that the penalty hardly touches.
#
# The equations and folded hints: [12_ridge_probe.md](12_ridge_probe.md). The lecture: "Image GPT",
# section "Linear probes: how good is each layer?".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def ridge_probe(train, labels, test, classes, strength):
    """Scores of the test rows by regularised least squares on the training rows."""
    raise TodoError(
        "Exercise 12, ridge_probe: standardise, solve, and score the test rows. Read lecture "
        "'Image GPT', section 'Linear probes: how good is each layer?'."
    )
    return scores


# %% [markdown]
# ## Try it
#
# Four training rows of one feature, two classes, and test rows on a line. Before you run the cell: where
# do the two scores cross?

# %%
train, labels = np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1])
test = np.array([[0.0], [2.0], [3.0], [4.0], [6.0]])
print(ridge_probe(train, labels, test, 2, 1.0).round(3))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 12` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("ridge_probe", globals())

# %% [markdown]
# ## Explain
#
# Why may mean and standard deviation not be taken over the training and test rows together? The test
# labels are not used by that. Three to five sentences; a person reads them.

# %% [markdown]
# *Your answer.*
