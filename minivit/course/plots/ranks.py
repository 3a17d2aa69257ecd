"""The figure of training on many machines: a step in time, speed-up, links, memory."""

import matplotlib.pyplot as plt
import numpy as np

from minivit.course import COLORS, DASHES
from minivit.course.plots.drawing import BLUE, GREEN, ORANGE
from minivit.engine.errors import ShapeError

PARTS = (("computes", BLUE), ("all-reduce", ORANGE), ("its step", GREEN))


def many_ranks(timelines, plans, measured, links, memory):
    """timelines: {model: (ranks, 3)}: the seconds at which a rank has computed, summed, stepped.

    plans: {model: {link: {ranks: speed-up}}}; measured: {model: speed-up of two ranks}; links:
    {link: {model: speed-up of two ranks}}; memory: {pairs: (bytes whole, bytes of a shard)}.
    """
    fig, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(13, 11))
    _timeline(a, timelines)
    _speed_up(b, plans, measured)
    _links(c, links)
    _memory(d, memory)
    for axes in (a, b, c, d):
        axes.tick_params(labelsize=18)
        axes.xaxis.label.set_size(18)
        axes.yaxis.label.set_size(18)
        axes.title.set_size(20)
    return fig


def _timeline(axes, timelines):
    """Two bars a model, one a rank, as shares of the slower rank's step."""
    rows, names = [], []
    for model, marks in timelines.items():
        marks = np.asarray(marks, float)
        if marks.ndim != 2 or marks.shape[1] != 3:
            raise ShapeError(f"many_ranks: {model}: marks {marks.shape}, expected (ranks, 3)")
        for rank, line in enumerate(np.diff(marks / marks.max(), prepend=0, axis=1)):
            rows.append(line)
            names.append(f"{model}, rank {rank}")
    left = np.zeros(len(rows))
    for part, (name, color) in enumerate(PARTS):
        width = np.array([100 * row[part] for row in rows])
        axes.barh(range(len(rows)), width, left=left, color=color, label=name)
        left += width
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set(xlabel="share of a step (%)", title="a step of two ranks", xlim=(70, 100))
    axes.legend(
        ncols=3, loc="upper center", bbox_to_anchor=(0.4, -0.2), fontsize=18, columnspacing=0.8,
        handlelength=1,
    )  # fmt: skip


def _speed_up(axes, plans, measured):
    """Dots: measured. Lines: the cost model, a dash a link."""
    for color, (model, of_links) in zip(COLORS, plans.items()):
        for dash, plan in zip(DASHES, of_links.values()):
            axes.plot(
                list(plan), list(plan.values()), dash, color=color,
                label=model if dash == DASHES[0] else None,
            )  # fmt: skip
        axes.plot(2, measured[model], "o", color=color)
    counts = list(plan)
    axes.plot(counts, counts, ":", color="grey", linewidth=1.5)
    axes.set(xscale="log", yscale="log", xlabel="ranks", ylabel="times as fast as one")
    axes.set_title(", ".join(f"{k}: {w}" for k, w in zip(("solid", "dashed"), of_links)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(counts, [str(n) for n in counts])
        axis.set_ticks([], minor=True)
    axes.set_ylim(0.4, None)
    axes.legend(loc="upper left", fontsize=18)


def _links(axes, links):
    """Groups of bars, a group a link."""
    models = list(next(iter(links.values())))
    wide = 0.88 / len(models)
    for i, (model, color) in enumerate(zip(models, COLORS)):
        x = np.arange(len(links)) + (i - (len(models) - 1) / 2) * wide
        values = [of_models[model] for of_models in links.values()]
        bars = axes.bar(x, values, wide * 0.92, color=color, label=model)
        axes.bar_label(bars, [f"{v:.1f}" for v in values], fontsize=18)
    axes.axhline(1, color="black", linewidth=1.5, linestyle="--")
    axes.set_xticks(range(len(links)), [name for name in links])
    axes.set(ylabel="times as fast as one", title="two ranks, by link", ylim=(0, 2.4))


def _memory(axes, memory):
    """The contrastive loss, forward and backward, on one rank of two."""
    n = list(memory)
    for (label, color, side), bytes_ in zip(
        (("whole", BLUE, "bottom"), ("a shard of two", ORANGE, "top")),
        np.array(list(memory.values())).T,
    ):
        axes.plot(n, bytes_ / 2**20, marker="o", color=color, label=label)
        axes.annotate(
            f"{bytes_[-1] / 2**20:.0f} MB", (n[-1], bytes_[-1] / 2**20), fontsize=18, color=color,
            xytext=(0, 12 if side == "bottom" else -22), textcoords="offset points",
            ha="center" if side == "top" else "right", va=side,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="pairs in the batch", ylabel="memory (MB)")
    axes.set_xticks(n, [f"{k:,}" for k in n])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_title("the contrastive loss")
    axes.set_xlim(n[0] / 1.15, n[-1] * 1.3)
    axes.margins(y=0.15)
    axes.legend(loc="upper left", fontsize=18)
