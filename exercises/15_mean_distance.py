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
# # Exercise 15: How far a head looks
#
# Does a head look at its neighbours, as a convolution does, or over the whole image? The mean
# attention distance says it, a number for each head. (About 30 minutes.)
#
# - `A` has shape `(H, N + 1, N + 1)`: the attention weights of H heads. Row i says where token i
#   looks; each row sums to 1. Token 0 is the class token, the others are the N patches in raster
#   order.
# - `rows` and `columns` are the sides of the grid of patches, N = rows · columns; `patch` is the
#   side of a patch in pixels.
# - The class token has no place in the image: its row and its column are left out, and what remains
#   of each row is scaled to sum to 1.
# - The result has shape `(H,)` and the dtype of `A`: the distance between the centres of two
#   patches in pixels, weighted by the attention, then the mean over the patches that look.
#
# The equations and folded hints: [15_mean_distance.md](15_mean_distance.md). The lecture: "Vision
# Transformer", section "Looking inside".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def mean_distance(A, rows, columns, patch):
    """(H,): the mean distance from a patch to those it looks at, in pixels."""
    raise TodoError(
        "Exercise 15, mean_distance: distances between patches, weights that sum to 1, two means."
        " Read lecture 'Vision Transformer', section 'Looking inside'."
    )
    return distance


# %% [markdown]
# ## Try it
#
# A grid of 2 by 3 patches of 4 pixels. One head looks everywhere alike, the other only at itself.
# Before you run the cell: what are the two distances, and which one can you say without a
# computation?

# %%
everywhere, itself = np.full((7, 7), 1 / 7), np.eye(7)
print(mean_distance(np.stack([everywhere, itself]), rows=2, columns=3, patch=4))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 15` in a terminal: it looks for the smallest input on which something
# is wrong. The result is the number of points.

# %%
from minivit.grading import check

check("mean_distance", globals())

# %% [markdown]
# ## Explain
#
# A model was trained on 32 x 32 images and is used on 64 x 64 ones with patches of the same size. A
# head looks everywhere alike in both. What happens to its distance? And what does a small distance
# in the first layers say about what those heads could be replaced by? Three to five sentences; a
# person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# How far the heads of a ViT look, before 40 steps of training and after them. So few change little:
# the lecture has a model that was trained for long.

# %%
from minivit.grading import draw


def figure():
    """A dot for each head at each of two layers: how far it looks on average, in pixels."""
    import minivit
    from minivit.course.plots import vit as plots
    from minivit.models.vit import ViT
    from minivit.optim import AdamW
    from minivit.training import data, inspect
    from minivit.training.trainer import Trainer

    minivit.manual_seed(0)
    digits = data.digits()
    model = ViT(image=8, patch=2, channels=1, classes=10, width=32, layers=2, heads=4)

    def far():
        arrays = inspect.trace(model, minivit.Tensor(digits.test_images[:20]))
        maps = [arrays[f"{i}.attention"] for i in (1, 2)]
        return np.mean([[mean_distance(A[i], 4, 4, 2) for A in maps] for i in range(20)], axis=0)

    before = far()
    batches = data.Batches(digits.train_images, digits.train_labels, batch_size=32, seed=0)
    Trainer(model, AdamW(model.parameters(), lr=3e-3), batches).run(40, progress=False)
    uniform = mean_distance(np.full((1, 17, 17), 1 / 17), 4, 4, 2)[0]
    return plots.attention_distance([("a ViT on digits", far()[None], before[None], uniform)])


draw(figure)
