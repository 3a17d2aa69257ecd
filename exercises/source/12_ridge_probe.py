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


# %% nbgrader={"grade": false, "grade_id": "ridge_probe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ridge_probe(train, labels, test, classes, strength):
    """Scores of the test rows by regularised least squares on the training rows."""
    ### BEGIN SOLUTION
    # Task: standardise, solve, and score the test rows
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-5
    X, Z = (
        np.concatenate([(x - mean) / std, np.full((len(x), 1), 100.0)], axis=1)
        for x in (train, test)
    )
    Y = np.where(labels[:, None] == np.arange(classes), 1.0, -1.0)
    W = np.linalg.solve(X.T @ X + strength * np.eye(X.shape[1]), X.T @ Y)
    scores = (Z @ W).astype(train.dtype)
    ### END SOLUTION
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

# %% nbgrader={"grade": true, "grade_id": "ridge_probe_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("ridge_probe", globals())

# %% [markdown]
# ## Explain
#
# Why may mean and standard deviation not be taken over the training and test rows together? The test
# labels are not used by that. Three to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "ridge_probe_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# The score is to say how the classifier does on rows that it has never met, one at a time. With the
# test rows in the statistics, what is said of one of them depends on which others are there. (1 point.)
# With few examples the test rows also are most of the data, so the features would be centred for them:
# the result looks better than it will be in use. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# Digits from their 64 pixels. To the left the number of labelled examples grows, to the right the
# penalty. Which penalty would you take for 4 examples a class, and which for 64?

# %%
from minivit.grading import draw


def figure():
    """Test error on logarithmic axes: against examples a class for three penalties, where all fall;
    and against the penalty for 4, 16 and 64 examples, each has its smallest error at 100."""
    from minivit.course.plots import scaling as plots
    from minivit.training import data

    digits = data.digits()
    train, test = (x.reshape(len(x), -1) for x in (digits.train_images, digits.test_images))
    places = [np.flatnonzero(digits.train_labels == c) for c in range(10)]

    def error(n, strength):
        rows = np.concatenate([p[:n] for p in places])
        scores = ridge_probe(train[rows], digits.train_labels[rows], test, 10, strength)
        return (scores.argmax(axis=1) != digits.test_labels).mean()

    shots, strengths = (1, 2, 4, 8, 16, 32, 64), (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
    by_shots = {f"penalty {s:g}": (shots, [error(n, s) for n in shots]) for s in (0.1, 10, 1000)}
    by_penalty = {f"{n} a class": (strengths, [error(n, s) for s in strengths])
                  for n in (4, 16, 64)}  # fmt: skip
    return plots.power_laws([("More examples", "examples a class", by_shots, None, None),
                             ("A stronger penalty", "penalty", by_penalty, None, None)])  # fmt: skip


draw(figure)
