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
# # Exercise 11: An image as a sequence
#
# Image GPT is a GPT whose words are colours. You turn an image into the two rows of numbers that it is
# trained on: what it reads, and what it has to predict at each place. (About 25 minutes.)
#
# - `image` has shape `(H, W, C)`, `palette` shape `(k, C)`. `begin` is an integer, the id of the token
#   that stands in front of every image.
# - The id of a pixel is the row of the nearest palette colour (the sum of squared differences of the
#   channels; of two at the same distance the first).
# - Pixels come in raster order: from left to right, then from top to bottom.
# - The result is an array of integers of shape `(2, H·W)`. Row 1 is what is predicted: the ids of all
#   pixels. Row 0 is what is read: `begin`, then all ids but the last.
#
# Folded hints: [11_pixel_sequence.md](11_pixel_sequence.md). The lecture: "Image GPT", section "Inputs:
# an image is a sequence of colours".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def pixel_sequence(image, palette, begin):
    """(2, H W): the ids that are read and those that are predicted."""
    raise TodoError(
        "Exercise 11, pixel_sequence: find the nearest colours, put them in raster order, and "
        "shift. Read lecture 'Image GPT', section 'Inputs: an image is a sequence of colours'."
    )
    return ids


# %% [markdown]
# ## Try it
#
# A grey image of 2 x 3 pixels, and a palette of black, grey and white. Before you run the cell: what are
# the two rows?

# %%
image = np.array([[0.1, 0.9, 0.4], [0.8, 0.2, 0.0]])[:, :, None]
palette = np.array([[0.0], [0.5], [1.0]])
print(pixel_sequence(image, palette, 3))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 11` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("pixel_sequence", globals())

# %% [markdown]
# ## Explain
#
# Raster order is a choice. Would a model trained on the pixels column by column learn something else,
# and could one order be better than another? And what would go wrong if row 0 were not shifted? Three to
# five sentences; a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# A photograph as your sequence of ids, and painted again from it.

# %%
from minivit.grading import draw


def figure():
    """A photograph, reduced to 28 x 28, and in eight colours; the ids of its pixels; the palette."""
    from minivit.course.plots import image_gpt as plots
    from minivit.images.palette import Palette
    from minivit.training import data

    photo = data.photo("chelsea")
    small = photo.reshape(28, 8, 28, 8, 3).mean(axis=(1, 3))
    colours = np.asarray(Palette.fit(small[None], 8).colours)
    ids = pixel_sequence(small, colours, len(colours))[1]
    return plots.inputs(photo, small, colours[ids].reshape(small.shape), ids, colours)


draw(figure)
