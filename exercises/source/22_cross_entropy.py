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
# # Exercise 22: Softmax and cross-entropy
#
# A classifier gives a row of numbers $z_i$ (logits) for each image, one a class. Its loss is
#
# $$L = \frac1N\sum_i -\log p_{i,\,y_i}, \qquad p_{ic} = \frac{e^{z_{ic}}}{\sum_{c'} e^{z_{ic'}}} .$$
#
# You write both passes in plain NumPy, as one function: taken together they are simpler, and safer,
# than softmax and logarithm one after the other. (About 30 minutes.)
#
# - `z` has shape `(N, C)`, `labels` shape `(N,)` with integers from 0 to C - 1.
# - The loss is one number. `vjp(g)` takes the gradient `g` of what comes after (one number) and
#   returns the gradient of `z`, with its shape and dtype.
# - `z` may hold numbers in the thousands. `z` belongs to others: do not write into it.
#
# The equations and folded hints: [22_cross_entropy.md](22_cross_entropy.md). The lecture:
# "CLIP, line by line", section "The pseudocode, as printed".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "cross_entropy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cross_entropy(z, labels):
    """The mean of -log softmax(z)[label] over the rows, and its vjp."""
    ### BEGIN SOLUTION
    # Task: write the forward pass
    rows = np.arange(len(z))
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    sums = e.sum(axis=1, keepdims=True)
    loss = (np.log(sums[:, 0]) - shifted[rows, labels]).mean()
    ### END SOLUTION

    def vjp(g):
        ### BEGIN SOLUTION
        # Task: write the backward pass
        gz = e / sums
        gz[rows, labels] -= 1
        gz = (gz * (g / len(z))).astype(z.dtype)
        ### END SOLUTION
        return (gz,)

    return loss, vjp


# %% [markdown]
# ## Try it
#
# Two rows of three logits. Before you run the cell: which of the two rows has the larger loss, and
# what is the sum of each row of the gradient?

# %%
z = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
loss, vjp = cross_entropy(z, np.array([0, 1]))
print("loss =", loss)
(gz,) = vjp(1.0)
print("gz =", gz.round(3), "sums of its rows", gz.sum(axis=1).round(6), sep="\n")

# %% [markdown]
# ## Doubt it
#
# Is the derivative right? Move each number of an argument a little both ways, and compare: the relative
# error is about 1e-8 where it is, and more than 1e-3 where a term is missing.

# %%
from minivit.grading import gradient_errors

rng = np.random.default_rng(0)
gradient_errors(cross_entropy, rng.normal(size=(3, 4)), np.array([1, 0, 3]))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 22` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "cross_entropy_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("cross_entropy", globals())

# %% [markdown]
# ## Explain
#
# Add 5 to all logits of one row. What happens to the loss and to its gradient, and why does that let
# you subtract the largest logit of each row before the exponential? Why would you not subtract the
# largest number of the whole array? Three to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "cross_entropy_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Numerator and denominator of $p$ are both multiplied by $e^5$, so $p$, the loss and the gradient stay
# as they are: subtracting any number from a row is free. After subtracting the largest the exponentials
# are at most 1 and one of them is 1, so nothing overflows and the sum is not 0. (1 point.) With the
# largest number of the array, a row whose logits are all a thousand below it would have exponentials of
# 0, and its logarithm would be minus infinity. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# A matrix that learns the ten digits from your loss and your gradient, at two rates.

# %%
from minivit.grading import draw


def figure():
    """Loss against step for two rates; both fall."""
    from minivit.course.plots import drawing as plots
    from minivit.training import data

    digits = data.digits()
    x, labels = digits.train_images.reshape(len(digits.train_labels), -1), digits.train_labels
    histories = []
    for rate in (0.1, 0.5):
        W, losses = np.zeros((64, 10)), []
        for _ in range(60):
            loss, vjp = cross_entropy(x @ W, labels)
            gz = vjp(1.0)
            W = W - rate * x.T @ (gz[0] if isinstance(gz, (tuple, list)) else gz)
            losses.append(float(loss))
        histories.append(losses)
    return plots.learning(histories, ["rate 0.1", "rate 0.5"])


draw(figure)
