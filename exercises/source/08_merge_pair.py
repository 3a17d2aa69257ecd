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
# # Exercise 8: One merge of byte-pair encoding
#
# A BPE tokenizer knows a list of merges: "an e followed by an r becomes er". Encoding a text is nothing
# but doing them in order. You write one. (About 25 minutes.)
#
# - `ids` is an array of integers, of any length, also 0. `left`, `right` and `new` are integers.
# - Wherever `left` is followed by `right`, the two become `new`: from left to right, and an id that has
#   been merged is gone. (With `left` = `right` = 7, the ids 7 7 7 become `new` 7.)
# - The result is a new array of integers; `ids` stays as it is.
#
# Folded hints: [08_merge_pair.md](08_merge_pair.md). The lecture: "Text, all the way in", section
# "Text that nobody foresaw".

# %%
import numpy as np

from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "merge_pair", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge_pair(ids, left, right, new):
    """ids with each (left, right) replaced by new, from left to right."""
    ### BEGIN SOLUTION
    # Task: go through the ids from left to right, and merge
    out, i = [], 0
    while i < len(ids):
        if i + 1 < len(ids) and ids[i] == left and ids[i + 1] == right:
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    merged = np.array(out, dtype=int)
    ### END SOLUTION
    return merged


# %% [markdown]
# ## Try it
#
# Before you run the cell: what do the three lines print?

# %%
print(merge_pair(np.array([1, 2, 1, 2, 3]), 1, 2, 9))
print(merge_pair(np.array([7, 7, 7]), 7, 7, 9))
print(merge_pair(np.array([2, 1]), 1, 2, 9))

# %% [markdown]
# ## Check it
#
# The same as `minivit check 8` in a terminal: it looks for the smallest input on which something is
# wrong. The result is the number of points.

# %% nbgrader={"grade": true, "grade_id": "merge_pair_check", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from minivit.grading import check

check("merge_pair", globals())

# %% [markdown]
# ## Explain
#
# The merges of a tokenizer have to be done in the order in which they were learnt. Give an example of
# three letters and two merges where another order gives other tokens, and say which of the two a
# tokenizer must give, and why. Three to five sentences; a person reads them.

# %% [markdown] nbgrader={"grade": true, "grade_id": "merge_pair_explain", "locked": false, "points": 2, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# With the merges (a, b) and then (b, c), the letters a b c become ab c; in the other order they become a
# bc. (1 point.) It must give ab c: the frequencies that made (b, c) the second merge were counted after
# all (a, b) had been merged, so the model has been trained on such sequences, and two ways to write one
# word would be two different inputs. (1 point.)
# ### END SOLUTION

# %% [markdown]
# ## The lecture's figure, with your function
#
# Four merges, each of the pair that is most frequent then, learnt on one word.

# %%
from minivit.grading import draw


def figure():
    """A word, letter by letter, and below it after each of four merges; its token ids; the rows of
    a table that they fetch."""
    from collections import Counter

    from minivit.course.plots import text as plots

    letters = sorted(set("abracadabra"))
    names, ids = dict(enumerate(letters)), np.array([letters.index(c) for c in "abracadabra"])
    steps = [[names[i] for i in ids]]
    for new in range(len(names), len(names) + 4):
        left, right = Counter(zip(ids.tolist(), ids[1:].tolist())).most_common(1)[0][0]
        ids = merge_pair(ids, left, right, new)
        names[new] = names[left] + names[right]
        steps.append([names[i] for i in ids.tolist()])
    table = np.random.default_rng(0).normal(size=(len(names), 12))
    return plots.pipeline("abracadabra", [steps], ids.tolist(), table[ids])


draw(figure)
