"""The CLIP lecture's figures of results, F35 and F37 to F40: functions of arrays, as in clip.py."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from minivit.course import COLORS, DASHES
from minivit.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    arrow,
    bare,
    picture,
    times_more,
)

RIGHT, WRONG = "✓", "✗"
HATCHES = ["", "//", "..", "xx"]  # told apart without colours


# -- F35 -------------------------------------------------------------------------------------------
def efficiency(curves, chance, ratios=()):
    """F35: accuracy against images seen. curves: {name: (images, accuracy (seeds, points))}; each
    seed a thin line, the mean a thick one; the last curve is the best one, the first one blue.

    ratios: (level, images of the better one, images of the other, words), an arrow each.
    """
    fig, axes = plt.subplots(figsize=(11, 6.6))
    for k, (name, (seen, accuracy)) in enumerate(curves.items()):
        for one in accuracy:
            axes.plot(seen, one, color=COLORS[k], linewidth=1, alpha=0.5, linestyle="-")
        mean = accuracy.mean(axis=0)
        axes.plot(seen, mean, color=COLORS[k], linestyle=DASHES[k], marker="os^D"[k % 4],
                  label=name)  # fmt: skip
        axes.annotate(name, (seen[-1], mean[-1]), (12, 0), textcoords="offset points", va="center",
                      color=COLORS[k], fontweight="bold")  # fmt: skip
    axes.hlines(chance, seen[0], seen[-1], color="grey", linewidth=1.5, linestyle=":")
    axes.annotate("chance", (seen[-1], chance), (12, 0), textcoords="offset points", va="center",
                  color="0.35")  # fmt: skip
    for k, (level, fewer, more, words) in enumerate(sorted(ratios)):
        arrow(axes, (more, level), (fewer, level), linewidth=2.5, zorder=3)
        axes.annotate(
            words, (np.sqrt(fewer * more), level), (0, 4 if k else -28), ha="center",
            va="bottom" if k else "top", textcoords="offset points", fontweight="bold",
            arrowprops=None if k else dict(arrowstyle="-", shrinkA=0, shrinkB=0),  # below the curve
        )  # fmt: skip
    axes.set(xscale="log", xlabel="images seen (log)", ylabel="zero-shot accuracy",
             title="three ways to learn from images and texts")  # fmt: skip
    axes.set_xticks(seen, [f"{n:,}" for n in seen])
    axes.set_xlim(seen[0] * 0.88, seen[-1] * 1.9)
    axes.spines["bottom"].set_bounds(seen[0] * 0.88, seen[-1])
    axes.minorticks_off()
    return fig


# -- F37 -------------------------------------------------------------------------------------------
def sorted_differences(panels):
    """F37: zero-shot minus probe, in points, a bar a data set, the largest on top; panels of
    (title, {data set: points}), of one scale."""
    rows = max(len(differences) for _, differences in panels)
    every = [v for _, differences in panels for v in differences.values()]
    low, high = min(0, *every), max(0, *every)
    room = 0.5 * (high - low)  # for a number, inside of the axis
    fig, grid = plt.subplots(1, len(panels), figsize=(6.8 * len(panels), 1.8 + 0.36 * rows))
    for axes, (title, differences) in zip(np.atleast_1d(grid), panels):
        names = sorted(differences, key=differences.get, reverse=True)
        values = [differences[n] for n in names]
        axes.barh(range(len(names)), values, color=[BLUE if v > 0 else ORANGE for v in values])
        reach = max(1.0, *np.abs(every))
        for i, v in enumerate(values):
            axes.text(v + 0.02 * reach * np.sign(v or 1), i, f"{v:+.1f}", va="center",
                      ha="left" if v >= 0 else "right", fontsize=19.4)  # fmt: skip
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), names, fontsize=19.4)
        axes.tick_params(axis="x", labelsize=19.4)
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(low - room * (low < 0), high + room)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("zero-shot minus probe (points)", fontsize=19.4)
        better = sum(v > 0 for v in values)
        axes.set_title(f"{title}:\nzero-shot better on {better} of {len(values)}", fontsize=19.4)
        axes.set_ylim(len(names) - 0.4, -0.6)
    return fig


# -- F38 -------------------------------------------------------------------------------------------
def compute_efficiency(panels):
    """F38: panels of (title, x label, y label, {family: [(name, flops, score, scores)]}); `scores`
    of single runs are drawn as small dots. An arrow leads from a model of the first family to what
    the second spends for the same score."""
    fig, grid = plt.subplots(1, len(panels), figsize=(6.2 * len(panels), 7))
    for axes, (title, x_label, y_label, families) in zip(np.atleast_1d(grid), panels):
        for k, (family, models) in enumerate(families.items()):
            models = sorted(models, key=lambda m: m[1])
            axes.plot([m[1] for m in models], [m[2] for m in models], marker="os"[k % 2],
                      color=COLORS[k], linestyle=DASHES[k], label=family)  # fmt: skip
            heights = [m[2] for m in models]
            for i, (name, flops, score, scores) in enumerate(models):
                axes.plot([flops] * len(scores), scores, ".", color=BLACK, ms=10, mec="white",
                          linestyle="none", zorder=3)  # fmt: skip
                y, offset, side = score, (-8, 8), "right"  # a name lies beside the line
                if k:
                    offset, side = (8, -18), "left"
                elif i > 0 and score < heights[i - 1]:
                    offset, side = (12, -6), "left"
                elif score == max(heights):
                    y, offset, side = max([score, *scores]), (0, 12), "center"
                axes.annotate(name, (flops, y), offset, fontsize=17.8, ha=side,
                              textcoords="offset points", color=COLORS[k])  # fmt: skip
        axes.set(xscale="log", xlabel=x_label, ylabel=y_label)
        times_more(axes, *([m[1:3] for m in models] for models in families.values()))
        spent = [m[1] for models in families.values() for m in models]
        few = max(spent) < 20 * min(spent)  # powers of ten alone would be too few
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_title(title, fontsize=17.8)
        axes.margins(x=0.55, y=0.13)
        axes.legend(loc="upper left")
    return fig


# -- F39 -------------------------------------------------------------------------------------------
def example_cards(cards):
    """F39: cards of (title, image, labels, probabilities, true, candidates): the labels that were
    ranked first, best first; `true` is the right label, `candidates` how many there were. A truth
    that is ranked lower stands last, behind dots."""
    columns = 2
    rows = -(-len(cards) // columns)
    fig, grid = plt.subplots(
        rows, 2 * columns, figsize=(12.6, 2.7 * rows), width_ratios=[1, 3] * columns,
        squeeze=False,
    )  # fmt: skip
    for place, (title, image, labels, p, true, candidates) in enumerate(cards):
        left, right = grid[place // columns, 2 * (place % columns) :][:2]
        order = np.argsort(-p)
        rank = int(np.flatnonzero(order == labels.index(true))[0]) + 1
        shown = list(order[:5]) if rank <= 5 else [*order[:3], None, order[rank - 1]]
        color = GREEN if rank == 1 else ORANGE
        left.imshow(picture(image), interpolation="none")
        bare(left)
        left.set_title(title.replace(" ", "\n"), fontsize=18.4)
        right.set_title(
            f"{textwrap.shorten(true, 34, placeholder=' …')}\n"
            f"{p[order[rank - 1]]:.1%}, ranked {rank} out of {candidates}",
            fontsize=18.4, color=color, loc="left",
        )  # fmt: skip
        for y, i in enumerate(shown):
            if i is None:
                right.text(0.02, y, "…", va="center", fontsize=18.4)
                continue
            t = labels[i] == true
            right.barh(y, p[i], 0.86, color=GREEN if t else ORANGE, alpha=0.4)
            name = textwrap.shorten(labels[i], 26, placeholder=" …")
            right.text(0.02, y, f"{RIGHT if t else WRONG} {name}", va="center", fontsize=18.4)
            right.text(1.38, y, f"{p[i]:.1%}", va="center", ha="right", fontsize=18.4)
        last = place // columns == rows - 1
        right.set(xlim=(0, 1.45), ylim=(4.5, -0.5), yticks=[], xticks=[0, 0.5, 1])
        right.spines["bottom"].set_bounds(0, 1)
        right.tick_params(labelsize=18.4, labelbottom=last)
        if last:
            right.set_xlabel("probability", fontsize=18.4, x=0.5 / 1.45)
    for axes in grid.flat[2 * len(cards) :]:
        bare(axes)
    return fig


# -- F40 -------------------------------------------------------------------------------------------
def prompts(accuracies, chance, title, published):
    """F40: accuracy for each way of asking, {way: {set: share}}; and the published gain, points."""
    fig, (axes, other) = plt.subplots(1, 2, figsize=(11, 6.8), width_ratios=[5.5, 1])
    sets = list(next(iter(accuracies.values())))
    width = 0.8 / len(accuracies)
    for k, (way, of) in enumerate(accuracies.items()):
        x = np.arange(len(sets)) + (k - (len(accuracies) - 1) / 2) * width
        axes.bar(x, [100 * of[s] for s in sets], width * 0.94, color=COLORS[k], label=way,
                 hatch=HATCHES[k % 4], edgecolor="white")  # fmt: skip
        for place, s in zip(x, sets):
            height = of[s] if not 0 <= chance[s] - of[s] < 0.06 else chance[s]  # clear of the line
            axes.text(
                place, 100 * height + 0.8, f"{100 * of[s]:.0f}", ha="center", va="bottom",
                bbox=dict(facecolor="white", edgecolor="none", pad=0.5),
            )  # fmt: skip
    for i, s in enumerate(sets):
        axes.hlines(100 * chance[s], i - 0.45, i + 0.45, color="black", linestyle=":", zorder=2.5,
                    label=None if i else "chance, or the largest class")  # fmt: skip
    axes.set_xticks(range(len(sets)), sets)
    top = max(v for of in accuracies.values() for v in of.values())
    axes.set(ylabel="zero-shot accuracy (%)", ylim=(0, 100 * top * 1.12))
    marks, labels = axes.get_legend_handles_labels()  # chance comes first
    fig.legend(marks[1:] + marks[:1], labels[1:] + labels[:1], loc="outside upper center", ncols=2)
    axes.set_title(title, fontsize=17)
    other.bar(0, published, 0.6, color="0.5")
    other.text(0, published, f"almost +{published:g}", ha="center", va="bottom")
    other.set(xticks=[0], xlim=(-1, 1), ylim=(0, 2 * published), ylabel="points over bare names")
    other.set_xticklabels(["prompts and\nensembles"])
    other.set_title("published", fontsize=17)
    return fig
