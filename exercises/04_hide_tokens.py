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
# # Exercise 4: Hide tokens, and ask for them
#
# BERT learns by filling gaps. Of a sentence some tokens are chosen; of those most are replaced; the
# model is asked for the ones that stood there. You write what it reads, and what it is asked for.
# (About 25 minutes.)
#
# - `ids`, `u`, `random` and `may_hide` have shape `(N,)`, a number for each token; `mask` is an id.
# - A token is *chosen* where `may_hide` is True and `u`, drawn between 0 and 1, is below 0.15.
# - Of those chosen 80% become `mask`: where `u < 0.12`. The next 10%, `u < 0.135`, become the id in
#   `random`. The rest stays.
# - The result has shape `(2, N)`: what is read, and below it the labels: the id that stood there
#   for every chosen token, -100 for all others. (-100 means: no loss here.)
#
# The equations and folded hints: [04_hide_tokens.md](04_hide_tokens.md). The lecture: "Encoder,
# decoder, encoder-decoder", section "The encoder".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def hide_tokens(ids, may_hide, u, random, mask):
    """(2, N): what the model reads, and the labels: -100 where there is no loss."""
    raise TodoError(
        "Exercise 4, hide_tokens: choose, replace, and write the labels. Read lecture 'Encoder, "
        "decoder, encoder-decoder', section 'The encoder'."
    )
    return rows


# %% [markdown]
# ## Try it
#
# Five tokens, of which the first may not be hidden. Before you run the cell: which of them have a
# label?

# %%
ids = np.array([101, 7, 8, 9, 7])
u = np.array([0.01, 0.02, 0.13, 0.14, 0.9])
may_hide = np.array([False, True, True, True, True])
print(hide_tokens(ids, may_hide, u, np.array([3, 3, 3, 3, 3]), mask=103))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 4` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("hide_tokens", globals())

# %% [markdown]
# ## Explain
#
# Why do 20% of the chosen tokens not become the mask? And why is there no loss at the tokens that
# were not chosen? Three to five sentences; a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# The pixels of a handwritten digit as tokens, and which of them your function hides. (BERT hides
# words the same way.)

# %%
from minivit.grading import draw


def figure():
    """A digit, what an autoregressive model and a BERT see of it, what they are asked, and their
    attention masks."""
    from minivit.course.plots import image_gpt as plots
    from minivit.training import data

    image, rng = data.digits().test_images[1], np.random.default_rng(0)
    ids, n = image.ravel().astype(int), image.size
    labels = hide_tokens(ids, np.ones(n, bool), rng.random(n), rng.integers(0, 17, n), 17)[1]
    sees = {"AR": np.tri(n, dtype=bool), "BERT": np.ones((n, n), bool)}
    return plots.objectives(image, ids, 20, labels != -100, sees)


draw(figure)
