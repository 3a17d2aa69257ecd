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
# # Exercise 14: Where the parameters are
#
# "ViT-B has 86M parameters." Which part of it has them? You count from the settings alone, part by
# part; no model is built. (About 25 minutes.)
#
# - All arguments are integers: the sides of the images `height` and `width`, the side `patch` of a
#   patch, `channels`, the width `D`, the MLP's width `M`, the number of `layers`, of `heads` and of
#   `classes`. `patch` divides both sides.
# - The result has shape `(6,)`, integers, in this order: the projection of patches; class token and
#   positions; attention in all layers; the MLPs in all layers; all LayerNorms; the head.
# - Each matrix has a bias. A LayerNorm has gamma and beta; there is one behind the last layer too.
# - With 0 classes there is no head.
#
# The equations and folded hints: [14_parameter_counts.md](14_parameter_counts.md). The lecture:
# "Vision Transformer", section "How many numbers are learnt?".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def parameter_counts(height, width, patch, channels, D, M, layers, heads, classes):
    """(6,): projection, tokens, attention, MLPs, LayerNorms, head."""
    raise TodoError(
        "Exercise 14, parameter_counts: count the numbers that each of the six parts learns. Read"
        " lecture 'Vision Transformer', section 'How many numbers are learnt?'."
    )
    return np.array([projection, tokens, attention, mlps, norms, head])


# %% [markdown]
# ## Try it
#
# Before you run the cell: which of the six is the largest? And what becomes smaller, what larger,
# when the patches of ViT-L are 32 x 32 and not 16 x 16?

# %%
for name, patch, settings in (
    ("B/16", 16, (768, 3072, 12, 12)),
    ("L/16", 16, (1024, 4096, 24, 16)),
    ("L/32", 32, (1024, 4096, 24, 16)),
    ("H/14", 14, (1280, 5120, 32, 16)),
):
    counts = parameter_counts(224, 224, patch, 3, *settings, 1000)
    print(name, *(f"{n:>12,}" for n in counts), f"   {counts.sum():,}")

# %% [markdown]
# ## Check it
#
# The same as `minivit check 14` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("parameter_counts", globals())

# %% [markdown]
# ## Explain
#
# An image of 448 x 448 instead of 224 x 224: which of the six counts change, and about how much more
# work is attention's N x N part? So what do parameters say about the time of a step? Three to five
# sentences; a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# The slide's table of models, counted by your function.

# %%
from minivit.grading import draw


def figure():
    """A table: layers, width, MLP, heads and the parameters of B/16, L/16, L/32 and H/14."""
    from minivit.course.plots import drawing as plots

    models = {"B/16": (16, 768, 3072, 12, 12), "L/16": (16, 1024, 4096, 24, 16),
              "L/32": (32, 1024, 4096, 24, 16), "H/14": (14, 1280, 5120, 32, 16)}  # fmt: skip
    rows = []
    for name, (P, *how) in models.items():
        counts = parameter_counts(224, 224, P, 3, *how, 1000)
        rows.append((name, *how, *(f"{n / 1e6:.1f}M" for n in (*counts[2:4], counts.sum()))))
    header = ["Model", "D", "MLP", "Layers", "Heads", "attention", "MLPs", "all"]
    return plots.tables([("Parameters", header, rows, set())])


draw(figure)
