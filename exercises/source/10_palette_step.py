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
# # Exercise 10: A palette by k-means
#
# Image GPT needs few colours: a palette of k of them, found by k-means. You write one round. (About 30
# minutes.)
#
# - `image` has shape `(H, W, C)`, `centres` shape `(k, C)`: the palette so far.
# - Each pixel goes to its nearest centre (the sum of squared differences of the channels; of two at the
#   same distance the first). Then each centre goes to the mean of its pixels; one without pixels stays.
# - The result has the shape of `centres` and the dtype of `image`. Do not write into the arguments.
#
# Folded hints: [10_palette_step.md](10_palette_step.md). The lecture: "Image GPT", section "Completing
# and drawing images".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "palette_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def palette_step(image, centres):
    """One round of k-means: the new centres."""
    ### BEGIN SOLUTION
    # Task: assign each pixel to a centre, then move the centres
    pixels = image.reshape(-1, image.shape[-1])  # (H W, C)
    nearest = ((pixels[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)  # (H W,)
    centres = centres.astype(image.dtype)
    for j in range(len(centres)):
        if (nearest == j).any():
            centres[j] = pixels[nearest == j].mean(axis=0)
    ### END SOLUTION
    return centres


# %% [markdown]
# ## Try it
#
# A grey image with the values 0, 1, 8 and 9, and two centres. Before you run the cell: where are they
# after one round, and after two?

# %%
image = np.array([[[0.0], [1.0]], [[8.0], [9.0]]])
centres = np.array([[0.0], [2.0]])
for round in (1, 2, 3):
    centres = palette_step(image, centres)
    print("round", round, centres.ravel())

# %% [markdown]
# ## Check it
#
# The same as `minivit check 10` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "palette_step_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("palette_step", globals())

# %% [markdown]
# ## Explain
#
# Why can the sum of squared distances never grow from one round to the next? And does k-means therefore
# end at the best palette? Three to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "palette_step_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# The first step gives each pixel the centre at the smallest distance, the second each group the point
# with the smallest sum of squares, which is its mean: neither can make the sum larger. (1 point.) It
# falls or stays, so it comes to rest, but it may rest at a poor palette, for instance with two centres
# in one cloud and one between two others; where it ends depends on where it starts. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# A photograph in eight colours, after ten rounds of your function.

# %%
from minivit.grading import draw


def figure():
    """A photograph, reduced to 28 x 28, and in eight colours; the ids of its pixels; the palette."""
    from minivit.course.plots import image_gpt as plots
    from minivit.training import data

    photo = data.photo("chelsea")
    small = photo.reshape(28, 8, 28, 8, 3).mean(axis=(1, 3))
    colours = small.reshape(-1, 3)[::98]
    for _ in range(10):
        colours = palette_step(small, colours)
    colours = colours[colours.sum(axis=1).argsort()]
    ids = ((small.reshape(-1, 1, 3) - colours) ** 2).sum(axis=2).argmin(axis=1)
    return plots.inputs(photo, small, colours[ids].reshape(small.shape), ids, colours)


draw(figure)
