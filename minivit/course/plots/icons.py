"""Figures of the long runs on icons: by family, by category set, and as pictures.

The numbers are those of `course.runs.iconnet.results()` and `icon_clip.results()`; each function
returns a Figure.
"""

import matplotlib.pyplot as plt
import numpy as np

from minivit.course import COLORS
from minivit.engine.errors import ShapeError


def by_family(marks, title):
    """A dot for each family that was never trained: accuracy against how many pictures it has; a
    line for all of them. marks: a part of a kept job, as runs.iconnet.marks makes it."""
    counts = np.array(marks["pictures by family"], float)
    right = np.array(marks["right by family"], float)
    fig, axes = plt.subplots(figsize=(10, 6))
    axes.plot(counts, right / counts, "o", color=COLORS[0], alpha=0.8)
    axes.axhline(marks["top-1"], color="black", linewidth=1.5)
    axes.annotate(f"all: {marks['top-1']:.1%}", (counts.min(), marks["top-1"]), xytext=(0, 6),
                  textcoords="offset points", fontsize=13)  # fmt: skip
    for i in np.argsort(-counts)[:8]:
        axes.annotate(marks["families"][i], (counts[i], right[i] / counts[i]), fontsize=11,
                      xytext=(6, -4), textcoords="offset points")  # fmt: skip
    axes.set(xscale="log", ylim=(0, 1), xlabel="test pictures of the family (log)",
             ylabel="top-1 accuracy", title=title)  # fmt: skip
    return fig


def suite(found):
    """Zero-shot on each set that has categories, beside the share of its largest category.
    found: {set: {"accuracy", "largest", "categories"}}, as runs.icon_clip.suite makes it."""
    if not found:
        raise ShapeError("suite: there is no set")
    names = sorted(found, key=lambda name: found[name]["accuracy"] - found[name]["largest"])
    fig, axes = plt.subplots(figsize=(10, 1.5 + 0.45 * len(names)), layout="constrained")
    for key, color, label in (
        ("accuracy", COLORS[0], "zero-shot"), ("largest", COLORS[1], "the largest category"),
    ):  # fmt: skip
        offset = 0.2 if key == "accuracy" else -0.2
        axes.barh(np.arange(len(names)) + offset, [found[n][key] for n in names], 0.4, color=color,
                  label=label)  # fmt: skip
    rows = [f"{name} ({found[name]['categories']})" for name in names]
    axes.set_yticks(range(len(names)), rows)
    axes.set(xlim=(0, 1), xlabel="accuracy (in brackets: how many categories)")
    axes.legend(loc="lower right")
    return fig


def neighbours(queries, found, titles):
    """A row for each query: its picture, and those nearest to it. queries (n, 32, 32) bytes; found
    (n, k, 32, 32) bytes; titles (n, 1 + k) words."""
    if len(queries) != len(found) or len(titles) != len(queries):
        raise ShapeError(
            f"neighbours: got {len(queries)} queries, {len(found)} rows found, {len(titles)} titles"
        )
    n, k = found.shape[:2]
    fig, axes = plt.subplots(n, k + 1, figsize=(1.6 * (k + 1), 1.8 * n), squeeze=False)
    for row, query, others, words in zip(axes, queries, found, titles):
        for panel, picture, word in zip(row, [query, *others], words):
            panel.imshow(picture, cmap="gray", vmin=0, vmax=255)
            panel.set_title(word, fontsize=9)
            panel.set_axis_off()
    return fig
