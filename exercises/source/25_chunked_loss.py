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
# # Exercise 25: CLIP's loss in chunks
#
# CLIP was trained with 32,768 pairs a batch: a billion logits, 4 GB. The loss can be had with a few
# rows of them at a time, and it is exactly the same number. (About 40 minutes.)
#
# - `I_e` and `T_e` have shape `(n, d)`: the vectors of n images and of their n texts, which are
#   taken as they are. `t` is one number; the logits are `I_e @ T_e.T * np.exp(t)`.
# - `chunk` is how many rows of the logits may exist at once. It may be larger than n, and it need
#   not divide n.
# - The result is one number, of the dtype of `I_e`: the loss of exercise 23.
# - exp(t) may be 100: subtract what you must before you take exponentials.
#
# The equations and folded hints: [25_chunked_loss.md](25_chunked_loss.md). The lecture: "CLIP, line
# by line", section "Large batches on a small machine".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "chunked_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def chunked_loss(I_e, T_e, t, chunk):
    """The symmetric contrastive loss of n pairs, with (chunk, n) logits at a time."""
    ### BEGIN SOLUTION
    # Task: go through the chunks; finish the images' half at once, and keep two numbers a text
    n = len(I_e)
    rows = right = 0.0
    most = np.full(n, -np.inf, I_e.dtype)
    total = np.zeros(n, I_e.dtype)
    for begin in range(0, n, chunk):
        z = I_e[begin : begin + chunk] @ T_e.T * np.exp(t)  # (chunk, n)
        top = z.max(axis=1)
        rows += (top + np.log(np.exp(z - top[:, None]).sum(axis=1))).sum()
        right += np.diagonal(z, begin).sum()
        new = np.maximum(most, z.max(axis=0))
        total = total * np.exp(most - new) + np.exp(z - new).sum(axis=0)
        most = new
    columns = (most + np.log(total)).sum()
    loss = ((rows + columns) / 2 - right) / n
    ### END SOLUTION
    return loss


# %% [markdown]
# ## Try it
#
# 600 pairs, and the most memory that the loss needed at once. Before you run the cell: 600 x 600
# numbers of 8 bytes are 2.9 MB; what do you expect with a chunk of 20?

# %%
import tracemalloc


def with_memory(*inputs):
    """(the loss, the most bytes that it held at once)"""
    tracemalloc.start()
    try:
        return float(chunked_loss(*inputs)), tracemalloc.get_traced_memory()[1]
    finally:  # also after an error: counting makes everything slower
        tracemalloc.stop()


rng = np.random.default_rng(0)
I_e, T_e = rng.normal(size=(2, 600, 8)) / 8**0.5
for chunk in (600, 100, 20):
    loss, memory = with_memory(I_e, T_e, np.log(10.0), chunk)
    print(f"chunk {chunk:3}: loss {loss:.6f}, {memory / 1e6:.1f} MB")

# %% [markdown]
# ## Check it
#
# The same as `minivit check 25` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "chunked_loss_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("chunked_loss", globals())

# %% [markdown]
# ## Explain
#
# Someone computes the loss of each chunk of images with the texts of that chunk, and takes the mean.
# How many wrong texts does an image then meet, and is the task easier or harder? Why can the images'
# half be finished inside a chunk, but not the texts' half? Three to five sentences; a person reads
# them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "chunked_loss_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# chunk - 1 instead of n - 1: the right one is found more easily among fewer, so the loss is smaller
# and teaches less; at random it is log(chunk), not log(n). (1 point.) A chunk holds whole rows, so
# an image meets all its texts there; a column has one piece in each chunk, so its sum is complete
# only after the last one. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# The most memory that your loss needs, for batches of several sizes. The loss at once needs n times as
# much for n times the batch; with chunks of 16 images it does not.

# %%
from minivit.grading import draw


def figure():
    """Memory against the pairs of a batch, logarithmic axes: all at once it grows with the square,
    in chunks of 16 as the batch does."""
    from minivit.course.plots import transformer as plots

    rng, sizes = np.random.default_rng(0), (200, 400, 800, 1600)
    memory = {"all at once": [], "chunks of 16": []}
    for n in sizes:
        I_e, T_e = rng.normal(size=(2, n, 8))
        for most, chunk in zip(memory.values(), (n, 16)):
            most.append(with_memory(I_e, T_e, 0.0, chunk)[1])
    fig = plots.memory_by_length(sizes, memory)
    fig.axes[0].set_xlabel("pairs, N")
    return fig


draw(figure)
