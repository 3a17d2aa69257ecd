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
# # Exercise 13: Patches, positions, class token
#
# A ViT never sees an image: it sees a sequence of vectors. You make that sequence, in the five steps of
# the lecture, in plain NumPy. (About 30 minutes.)
#
# - `images` has shape `(B, H, W, C)`; `patch` is the side P, which divides H and W.
# - `weight` has shape `(D, P·P·C)` and `bias` shape `(D,)`: the linear layer. `cls` has shape `(D,)`,
#   `position` shape `(N + 1, D)` with N = HW/P².
# - The result has shape `(B, N + 1, D)` and the dtype of `images`.
#
# Patches come in raster order: from left to right, then from top to bottom. So do the pixels inside of
# a patch, each with its channels together. Folded hints: [13_vit_input.md](13_vit_input.md). The
# lecture: "Vision Transformer", section "Five steps from an image to a sequence".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "vit_input", "locked": false, "schema_version": 3, "solution": true, "task": false}
def vit_input(images, weight, bias, cls, position, patch):
    """The tokens that enter the first layer of a ViT."""
    ### BEGIN SOLUTION
    # Task: cut patches, project them, put the class token in front, add positions
    B, H, W, C = images.shape
    x = images.reshape(B, H // patch, patch, W // patch, patch, C).swapaxes(2, 3)
    x = x.reshape(B, -1, patch * patch * C) @ weight.T + bias
    front = np.broadcast_to(cls, (B, 1, len(cls)))
    tokens = np.concatenate([front, x], axis=1) + position
    ### END SOLUTION
    return tokens


# %% [markdown]
# ## Try it
#
# An image of 2 x 4 pixels with the numbers 0 to 7, patches of 2 x 2, and a "linear layer" that copies.
# Before you run the cell: which four numbers are in the first patch?

# %%
image = np.arange(8.0).reshape(1, 2, 4, 1)
zeros = np.zeros(4)
print(vit_input(image, np.eye(4), zeros, zeros - 1, np.zeros((3, 4)), 2))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 13` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "vit_input_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("vit_input", globals())

# %% [markdown]
# ## Explain
#
# The linear layer of step 3 equals a convolution. With which kernel, which stride, how many output
# channels? And what could the model learn from an image if step 4 were left out? Three to five
# sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "vit_input_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# A kernel of P x P with stride P and D output channels: its weights are the rows of `weight`, reshaped
# to P x P x C, and each patch is one place of the result. (1 point.) Without positions the layers treat the
# patches as a set: every shuffling of them gives the same class, so the model could only learn which
# patches there are, not where. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# The five steps on a handwritten digit, with random weights; the tokens at the end are yours.

# %%
from minivit.grading import draw


def figure():
    """A digit cut into 16 patches; the matrix that projects them; class token and positions; the
    tokens that enter the first layer."""
    from minivit.course.plots import vit as plots
    from minivit.training import data

    image, rng = data.digits().test_images[:1], np.random.default_rng(0)
    patches = image.reshape(4, 2, 4, 2).swapaxes(1, 2).reshape(16, 4)
    weight, cls, position = rng.normal(size=(8, 4)), rng.normal(size=8), rng.normal(size=(17, 8))
    tokens = vit_input(image, weight, np.zeros(8), cls, position, 2)[0]
    projected = patches @ weight.T
    return plots.five_steps(image[0], patches, weight, projected, cls[None], position, tokens)


draw(figure)
