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
# # Exercise 20: Positions for another resolution
#
# A ViT was trained on images of h x w patches and shall see images of h' x w' patches. Everything fits
# but the table of positions: it has one row a place. You interpolate it. (About 35 minutes.)
#
# - `position` has shape `(1 + h·w, D)`: row 0 belongs to the class token, the others to the places in
#   raster order. `old` is `[h, w]`, `new` is `[h', w']`; all four are at least 2.
# - The result has shape `(1 + h'·w', D)` and the dtype of `position`. Row 0 stays as it is.
# - Corner lies on corner: new row $i$ reads old row $i\,(h-1)/(h'-1)$, and columns likewise; between two
#   rows and two columns the four places around are weighted by how near they are (bilinear).
#
# Folded hints: [20_resize_positions.md](20_resize_positions.md). The lecture: "Scaling Vision
# Transformers", section "Other parts".

# %%
import numpy as np

from minivit.grading import TodoError


# %%
def resize_positions(position, old, new):
    """The table of positions for another grid, bilinear, corners on corners."""
    raise TodoError(
        "Exercise 20, resize_positions: interpolate rows and columns, and leave the class token "
        "alone. Read lecture 'Scaling Vision Transformers', section 'Other parts'."
    )
    return positions


# %% [markdown]
# ## Try it
#
# A grid of 2 x 2 with the numbers 0, 1, 10, 11, and one of 3 x 3. Before you run the cell: which number
# is in the middle?

# %%
table = np.array([[99.0], [0.0], [1.0], [10.0], [11.0]])
found = resize_positions(table, [2, 2], [3, 3])
print("class token", found[0], "grid", found[1:].reshape(3, 3), sep="\n")

# %% [markdown]
# ## Check it
#
# The same as `minivit check 20` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %%
from minivit.grading import check

check("resize_positions", globals())

# %% [markdown]
# ## Explain
#
# The class token's position is left as it is. Why? And why are positions interpolated at all, instead of
# being drawn anew and learnt while fine-tuning? Three to five sentences; a person reads them.

# %% [markdown]
# *Your answer.*

# %% [markdown]
# ## The lecture's figure, with your function
#
# How alike the positions of a 3 x 3 grid are, and those that your function makes of them for 5 x 5.

# %%
from minivit.grading import draw


def figure():
    """Two grids of tiles, 3 x 3 and 5 x 5: the cosine similarity of each position with all others."""
    from minivit.course.plots import vit as plots

    waves = np.sin(np.outer(np.arange(3), (0.5, 0.8, 1.1)) + np.arange(3))
    rows, columns = np.repeat(waves, 3, axis=0), np.tile(waves, (3, 1))
    position = np.concatenate([np.zeros((1, 6)), np.concatenate([rows, columns], axis=1)])
    groups = []
    for side in (3, 5):
        P = resize_positions(position, [3, 3], [side, side])[1:]
        P = P / np.linalg.norm(P, axis=1, keepdims=True)
        groups.append((f"{side} x {side} positions", (P @ P.T).reshape([side] * 4)))
    return plots.position_tiles(groups, limit=1.0)


draw(figure)
