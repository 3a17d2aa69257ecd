"""Figures of the long runs on icons: by family, by category set, and as pictures.

The numbers are those of `course.runs.iconnet.results()` and `icon_clip.results()`; each function
returns a Figure.
"""

import matplotlib.pyplot as plt
import numpy as np

from minivit.course import COLORS
from minivit.course.plots import drawing
from minivit.engine.errors import ShapeError


def by_family(marks, title, least=20):
    """A dot for each family that was never trained, of `least` pictures: accuracy against how many
    it has; a line for all pictures. marks: a part of a kept job, as runs.iconnet.marks makes it."""
    shown = np.flatnonzero(np.array(marks["pictures by family"]) >= least)
    counts = np.array(marks["pictures by family"], float)[shown]
    right = np.array(marks["right by family"], float)[shown]
    names = [marks["families"][i] for i in shown]
    fig, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    axes.plot(counts, right / counts, "o", color=COLORS[0], alpha=0.8, clip_on=False)
    axes.axhline(marks["top-1"], color="black", linewidth=1.5)
    axes.annotate(f"all: {marks['top-1']:.1%}", (1, marks["top-1"]), (0, 6), ha="right",
                  xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                  fontsize=16)  # fmt: skip
    for i in np.argsort(-counts)[:4]:
        axes.annotate(names[i], (counts[i], right[i] / counts[i]), fontsize=16,
                      xytext=(9, -6), textcoords="offset points")  # fmt: skip
    axes.set(xscale="log", ylim=(0, 1), ylabel="top-1 accuracy", title=title,
             xlabel=f"test pictures of the family ({least} or more; log)")  # fmt: skip
    axes.set_xlim(right=5 * counts.max())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return fig


def suite(found, categories):
    """A row for each set that has categories, sorted by the first way's accuracy over chance.
    found: {way: {set: accuracy}}; categories: {set: how many}, whose inverse is chance."""
    first = next(iter(found.values()), {})
    if not first or any(of.keys() != categories.keys() for of in found.values()):
        sets = {way: len(of) for way, of in found.items()}
        raise ShapeError(f"suite: got {sets} sets, expected the {len(categories)} of categories")
    names = sorted(first, key=lambda name: first[name] * categories[name])
    fig, axes = plt.subplots(figsize=(11, 2 + 0.42 * len(names)), layout="constrained")
    rows = np.arange(len(names))
    axes.hlines(rows, 0, 1, color="0.9", linewidth=1, zorder=0)
    for (way, of), color, marker in zip(found.items(), COLORS, "os^D"):
        axes.plot([of[name] for name in names], rows, marker, color=color, markersize=10, label=way)
    axes.plot([1 / categories[name] for name in names], rows, "|", color="black", markersize=18,
              markeredgewidth=2, label="chance")  # fmt: skip
    axes.set_yticks(rows, [f"{name} ({categories[name]})" for name in names])
    axes.set(xlim=(0, 1), xlabel="accuracy (in brackets: how many categories)")
    fig.legend(loc="outside upper center", ncols=3)
    return fig


def neighbours(queries, found, titles):
    """A row for each query: its picture, framed, and those nearest to it, the nearest first.
    queries (n, 32, 32) bytes; found (n, k, 32, 32) bytes; titles (n, 1 + k) words; those that are
    not the query's stand in orange."""
    if len(queries) != len(found) or len(titles) != len(queries):
        raise ShapeError(
            f"neighbours: got {len(queries)} queries, {len(found)} rows found, {len(titles)} titles"
        )
    n, k = found.shape[:2]
    fig, axes = plt.subplots(n, k + 1, figsize=(1.55 * (k + 1), 1.8 * n), squeeze=False)
    for row, query, others, words in zip(axes, queries, found, titles):
        for panel, picture, word in zip(row, [query, *others], words):
            panel.imshow(picture, cmap="gray", vmin=0, vmax=255)
            color = "black" if word == words[0] else COLORS[1]
            panel.set_title(word, fontsize=15, color=color)
            drawing.bare(panel)
        drawing.framed(row[0], COLORS[0], 3)
    return fig
