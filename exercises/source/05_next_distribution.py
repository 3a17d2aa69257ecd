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
# # Exercise 5: What the next token is drawn from
#
# A decoder gives a logit for each token. The distribution made of them is a choice: how
# flat, and how much of the tail. (About 35 minutes.)
#
# - `logits` has shape `(V,)`, V the size of the vocabulary; `temperature` is a number above 0.
# - `top_k` is a whole number from 1 to V: only the k likeliest tokens are kept. V keeps all.
# - `top_p` is a number above 0: of what `top_k` has left, scaled to sum 1, the fewest tokens are
#   kept that hold probability `top_p` together. 1.0 keeps all.
# - The result has shape `(V,)` and the dtype of `logits`; the tokens that are not kept have 0, the
#   others sum to 1. Of equally likely tokens the one with the smaller id comes first.
# - The logits may be in the thousands.
#
# The equations and folded hints: [05_next_distribution.md](05_next_distribution.md). The lecture:
# "Encoder, decoder, encoder-decoder", section "The decoder".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "next_distribution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def next_distribution(logits, temperature, top_k, top_p):
    """(V,): the distribution that the next token is drawn from."""
    ### BEGIN SOLUTION
    # Task: divide by the temperature, cut off the tail, scale what is left
    z = logits / logits.dtype.type(temperature)
    p = np.exp(z - z.max())
    order = np.argsort(-p, kind="stable")  # the likeliest first
    p[order[top_k:]] = 0
    p = p / p.sum()
    if top_p < 1:
        ranked = p[order]
        before = np.cumsum(ranked) - ranked
        p[order[before >= top_p]] = 0  # the one that reaches top_p stays
        p = p / p.sum()
    ### END SOLUTION
    return p


# %% [markdown]
# ## Try it
#
# Five tokens. Before you run the cell: which of the three rows has the fewest tokens that are not
# 0?

# %%
logits = np.array([2.0, 1.0, 0.5, 0.0, -3.0])
for temperature, top_k, top_p in [(1.0, 5, 1.0), (1.0, 3, 1.0), (0.5, 5, 0.8)]:
    print(next_distribution(logits, temperature, top_k, top_p).round(3))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 5` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "next_distribution_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("next_distribution", globals())

# %% [markdown]
# ## Explain
#
# After some words the model is sure of the next one, after others it is not. What do top-k and
# top-p do in the two cases? And what does a temperature near 0 do to both? Three to five sentences;
# a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "next_distribution_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# top-k keeps k tokens in both cases: too many where the model is sure, so that nonsense is drawn
# now and then, and too few where many words would do. top-p keeps one or two where the model is
# sure and many where it is not. (1 point.) A temperature near 0 puts nearly everything on the
# likeliest token, so top-p keeps it alone, and whatever top-k keeps has no probability: both become
# greedy. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# One distribution four times. Before you run the cell: in which panels is a bar gone?

# %%
from minivit.grading import draw


def figure():
    """Four bar charts of what may follow "the cat sat on the": plain, with temperature 0.5, with
    top_k 2, with top_p 0.9."""
    from minivit.course.plots import transformer as plots

    words, logits = " mat floor table roof moon".split(), np.array([2.0, 1.5, 1.0, 0.0, -2.0])
    settings = {"as it is": (1, 5, 1.0), "temperature 0.5": (0.5, 5, 1.0),
                "top_k 2": (1, 2, 1.0), "top_p 0.9": (1, 5, 0.9)}  # fmt: skip
    return plots.distributions([
        (title, list(zip(words, next_distribution(logits, *how))))
        for title, how in settings.items()
    ])  # fmt: skip


draw(figure)
