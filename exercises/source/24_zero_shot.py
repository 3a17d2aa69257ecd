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
# # Exercise 24: A classifier made of text
#
# CLIP can tell classes apart that it was never given a label for: a class is a vector of its name,
# better of several prompts with its name. You build the classifier and use it, in plain NumPy. (About
# 25 minutes.)
#
# - `images` has shape `(n, d)`: image vectors, of any length.
# - `texts` has shape `(classes, prompts, d)`: text vectors, of any length.
# - `scale` is exp(t), one number.
# - The result are probabilities, shape `(n, classes)`, with the dtype of `images`.
#
# Each prompt's vector is scaled to length 1; a class is their mean, scaled to length 1 again. The
# equations and folded hints: [24_zero_shot.md](24_zero_shot.md). The lecture: "CLIP, line by line",
# section "A classifier made of text".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "zero_shot", "locked": false, "schema_version": 3, "solution": true, "task": false}
def zero_shot(images, texts, scale):
    """Probabilities of classes that are given as vectors of prompts."""

    ### BEGIN SOLUTION
    # Task: make one vector a class, compare it with each image, and softmax
    def unit(x):
        return x / np.sqrt((x * x).sum(axis=-1, keepdims=True))

    weights = unit(unit(texts).mean(axis=1))
    z = scale * (unit(images) @ weights.T)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    ### END SOLUTION
    return p


# %% [markdown]
# ## Try it
#
# One image that points to the right, three classes with one prompt each. Before you run the cell: which
# class wins, and is the length of a vector of any importance?

# %%
image = np.array([[2.0, 0.0]])
texts = np.array([[[9.0, 9.0]], [[1.0, 0.0]], [[0.0, 5.0]]])
print(zero_shot(image, texts, 10.0).round(3))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 24` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "zero_shot_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("zero_shot", globals())

# %% [markdown]
# ## Explain
#
# You have ten classes, and an eleventh one comes. What has to be trained again? And in which case would
# you rather take labelled images and a linear probe? Three to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "zero_shot_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Nothing is trained again: the eleventh class is one more vector, made of its name. (1 point.) Where
# there is no word for the class, where the word means something else in the captions that were seen, or
# where the images are unlike all that was trained on (as with our digits), labels say more than names.
# (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# A digit and five classes. In the place of text vectors stand the means of ten images a class, so
# that no text encoder is needed.

# %%
from minivit.grading import draw


def figure():
    """Class names, prompts, the matrix of their vectors, a digit, and its probabilities."""
    from minivit.course.plots import clip as plots
    from minivit.training import data

    digits = data.digits()
    vectors = digits.train_images.reshape(len(digits.train_labels), -1)
    classes = [vectors[digits.train_labels == c][:40].reshape(4, 10, -1) for c in range(5)]
    texts = np.stack([c.mean(axis=1) for c in classes]) - vectors.mean(axis=0)
    n = int(np.flatnonzero(digits.test_labels == 3)[0])
    image = digits.test_images[n].reshape(1, -1) - vectors.mean(axis=0)
    p = zero_shot(image, texts, 5.0)[0]
    W = texts.mean(axis=1).T
    names = "zero one two three four".split()
    prompts = [f"the digit {name}" for name in names]
    return plots.zero_shot_classifier(digits.test_images[n], names, prompts, W, image[0], p, 3)


draw(figure)
