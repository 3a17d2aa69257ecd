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
# # Exercise 9: The gradient of an embedding
#
# The first layer of every model of text is a table: id 7 becomes row 7. Forward that is one line. Back
# again is where ids that occur twice show whether you have understood what a gradient is. (About 25
# minutes.)
#
# - `table` has shape `(V, D)`. `ids` holds integers from 0 to V - 1, in an array of one axis or two.
# - `out` has shape `(*ids.shape, D)`: the row of each id.
# - `vjp(g)` takes the gradient of `out` and returns a tuple with one gradient: that of `table`, with its
#   shape and dtype. (`ids` has no gradient.)
#
# The equations and folded hints: [09_embedding.md](09_embedding.md). The lecture: "Text, all the way
# in", section "From ids to vectors".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def embedding(ids, table):
    """The rows of the table, and the vjp of that."""
    raise TodoError(
        "Exercise 9, embedding: write the forward pass. Read lecture 'Text, all the way in', "
        "section 'From ids to vectors'."
    )

    def vjp(g):
        raise TodoError(
            "Exercise 9, embedding: write the backward pass. Read lecture 'Text, all the way in',"
            " section 'From ids to vectors'."
        )
        return (gtable,)

    return out, vjp


# %% [markdown]
# ## Try it
#
# A table of three rows, and the id 2 twice. Before you run the cell: which rows of the gradient are not
# zero, and what is in row 2?

# %%
out, vjp = embedding(np.array([2, 0, 2]), np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
print("out =", out, sep="\n")
(gtable,) = vjp(np.array([[1.0, 0.0], [5.0, 5.0], [10.0, 0.0]]))
print("gtable =", gtable, sep="\n")

# %% [markdown]
# ## Doubt it
#
# Is the derivative right? Move each number of an argument a little both ways, and compare: the relative
# error is about 1e-8 where it is, and more than 1e-3 where a term is missing.

# %%
from minivit.grading import gradient_errors

rng = np.random.default_rng(0)
gradient_errors(embedding, np.array([2, 0, 2]), rng.normal(size=(4, 3)))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 9` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("embedding", globals())

# %% [markdown]
# ## Explain
#
# `gtable[ids] += g` runs without an error. What does NumPy do with an id that is there twice, and why?
# And how would the same layer look as a product of matrices, with one-hot rows; where does the sum come
# from then? Three to five sentences; a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# The same rows twice: as a product with one-hot vectors, and as your function fetches them.

# %%
from minivit.grading import draw


def figure():
    """One-hot vectors times a table are rows of the table: three heat maps."""
    from minivit.course.plots import text as plots

    words, ids = "the cat and the dog".split(), np.array([3, 1, 5, 3, 0])
    table = np.random.default_rng(0).normal(size=(7, 8))
    rows = embedding(ids, table)[0]
    return plots.look_up(words, ids.tolist(), table, np.eye(7)[ids], rows, "rows of the table")


draw(figure)
