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
# # Exercise 1: The gradient of broadcasting
#
# NumPy adds a row to every row of a matrix without being asked: the row is *broadcast*, used many
# times. On the way back each of these uses sends a gradient, and the row's gradient is their sum. One
# function does that for every operation of the library. (About 25 minutes.)
#
# - `g` is the gradient with respect to the broadcast array.
# - `shape` is the shape that the array had before, a list of lengths.
# - The result has the shape `shape`, and the dtype of `g`.
#
# NumPy's rule: shapes are compared from the last axis on; missing axes in front are added with length
# 1, and an axis of length 1 is repeated. The equations and folded hints:
# [01_unbroadcast.md](01_unbroadcast.md).

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "unbroadcast", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unbroadcast(g, shape):
    """Sum `g` over the axes along which an array of `shape` was repeated."""
    ### BEGIN SOLUTION
    # Task: sum over the axes that broadcasting repeated
    added = g.ndim - len(shape)
    ones = [added + i for i, n in enumerate(shape) if n == 1]  # repeated, or not: a sum of one
    summed = g.sum(axis=(*range(added), *ones)).reshape(shape)
    ### END SOLUTION
    return summed


# %% [markdown]
# ## Try it
#
# A bias of shape (3,) was added to a matrix of shape (2, 3). Before you run the cell: what is the
# gradient of the bias? And for an array of shape (2, 1)?

# %%
g = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
print(unbroadcast(g, [3]))
print(unbroadcast(g, [2, 1]))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 1` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "unbroadcast_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("unbroadcast", globals())

# %% [markdown]
# ## Explain
#
# A student returns the mean over the copies instead of their sum, and his network still learns. Why
# does it, with which optimizers is the difference small, and what would show the mistake at once?
# Three to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "unbroadcast_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# The mean points in the same direction as the sum: it is smaller by the number of copies, as if that
# parameter had a smaller learning rate. Adam divides by the size of the gradients, so there it hardly
# shows. (1 point.) A gradient check with numbers shows it at once: change the parameter by a little
# and compare the change of the loss with the gradient; it is off by exactly the number of copies. (1
# point.)
# ### END SOLUTION
