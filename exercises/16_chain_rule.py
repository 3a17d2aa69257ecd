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
# # Exercise 16: The backward pass
#
# A network is a graph of nodes, each computed from earlier ones. Here a node is a number. You write what
# `backward()` does: the derivative of the last node with respect to every node. (About 30 minutes.)
#
# - Nodes are numbered in the order in which they were computed: a node's parents have smaller numbers.
# - `parents[i]` is the list of node i's parents, empty for an input; a parent may be in it twice.
# - `slopes[i]` is a list of the same length: the derivative of node i with respect to each of them.
# - 40 nodes can have 10⁸ paths from the last to the first: a node sends once, not once a path.
# - The result is an array of shape `(number of nodes,)`, float64.
#
# Folded hints: [16_chain_rule.md](16_chain_rule.md). The lecture: "Vision Transformer", section "Back
# through three nodes".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def chain_rule(parents, slopes):
    """The derivative of the last node with respect to every node."""
    raise TodoError(
        "Exercise 16, chain_rule: go from the last node to the first, and send each node's "
        "gradient to its parents. Read lecture 'Vision Transformer', section 'Back through three "
        "nodes'."
    )
    return g


# %% [markdown]
# ## Try it
#
# Node 0 is x = 3, node 1 is x·x (its parents are 0 and 0), node 2 is node 1 plus x. Before you run the
# cell: what is the derivative of x² + x at 3?

# %%
print(chain_rule([[], [0, 0], [1, 0]], [[], [3.0, 3.0], [1.0, 1.0]]))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 16` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("chain_rule", globals())

# %% [markdown]
# ## Explain
#
# Why is the graph walked from the last node to the first, and may a node be visited before all of its
# children have been? What would go wrong? Three to five sentences; a person reads them.

# %% [markdown]
# *Your answer.*
