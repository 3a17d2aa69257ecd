"""The Image GPT lecture's figures of accuracy, F14 to F16: by layer, by size, before and after
fine-tuning. Curves come as one row a seed; a thin line is a seed, a thick one their mean.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from minivit.course.plots.drawing import BLACK, BLUE, ORANGE, SKY, note
from minivit.course.plots.image_gpt import KINDS
from minivit.course.plots.published import name_sources


# -- F14 -------------------------------------------------------------------------------------------
def probes_by_layer(panels, losses, sources):
    """F14: probe accuracy after every layer, and what the last layer loses. panels: [(title, {name:
    (seeds, L + 1)}, {name: best layer}, {line: accuracy})]; losses {label: (name, points of the
    last layer less the best one, (seeds,) or a published number)}."""
    fig = plt.figure(figsize=(13, 11.8))
    fig.suptitle("How well does a linear probe read the class from each layer?", fontsize=20)
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.8, 1])
    grid = upper.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, curves, best, lines) in zip(grid, panels):
        for name, values in curves.items():
            color, marker = KINDS[name]
            layers, mean = np.arange(values.shape[1]), values.mean(axis=0)
            axes.plot(layers, values.T, color=color, linewidth=1, linestyle="-", alpha=0.45)
            axes.plot(layers, mean, marker, color=color, linestyle="-", label=name)
            chosen = best[name], mean[best[name]]
            axes.plot(*chosen, "o", ms=20, mfc="none", mec=color, mew=2.5)
            axes.plot(*chosen, marker, color=color, zorder=4)  # not behind another curve's
        axes.plot([], [], "o", ms=16, mfc="none", mec=BLACK, mew=2, linestyle="none",
                  label="layer chosen by validation")  # fmt: skip
        for line, accuracy in lines.items():
            axes.axhline(accuracy, color="grey", linestyle="--", linewidth=1.5)
            under = len(curves) > 1 and accuracy < mean.min()  # a legend is above this line
            axes.text(layers[-1], accuracy, line, color="0.3", ha="right",
                      va="top" if under else "bottom", fontsize=18.5)  # fmt: skip
        axes.set_xticks(layers[:: 1 if len(layers) < 10 else 2])
        axes.set_xlabel("layer (0: the input; thin: a seed)", fontsize=18.5)
        axes.set_title(title, fontsize=18.5)
        low = len(curves) == 1  # else between the curves and an untrained model
        axes.legend(loc="lower right" if low else "upper center", fontsize=18.5,
                    bbox_to_anchor=(1, 0) if low else (0.5, 0.74))  # fmt: skip
    grid[0].set_ylabel("accuracy of a linear probe", fontsize=18.5)
    axes = lower.subplots()
    for y, (name, points) in enumerate(losses.values()):
        color, marker = KINDS[name] if np.ndim(points) else (BLACK, "D")
        seeds = np.size(points)
        beside = y + 0.22 * (
            np.arange(seeds) - (seeds - 1) / 2
        )  # equal ones do not hide each other
        axes.plot(np.atleast_1d(points), beside, marker, color=color, ms=12, linestyle="none")
        axes.text(1.01, y, f"{np.mean(points):+.1f}".replace("-", "−"), va="center", fontsize=18.5,
                  fontweight="bold", transform=axes.get_yaxis_transform())  # fmt: skip
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(losses)), losses, fontsize=18.5)
    axes.set_ylim(len(losses) - 0.4, -0.6)
    reach = 1.15 * max(np.abs(points).max() for _, points in losses.values())
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("← last layer worse        points        last layer better →", fontsize=18.5)
    axes.set_title("last layer less the chosen one (published: less the best)", fontsize=18.5)
    for axes in fig.axes:
        axes.tick_params(labelsize=18.5)
    note(fig, "Below: a dot a seed, bold their mean, or the published number. One layer is chosen "
         "for all seeds. BERT reads whole images here, without masks.")  # fmt: skip
    name_sources(fig, sources)
    return fig


# -- F15 -------------------------------------------------------------------------------------------
def sizes(counts, slide, ours, published, sources):
    """F15: parameters of the published sizes, ours {name: (parameters, accuracies (seeds,), bits
    (seeds,))}, and published [(label, parameters, accuracy in %)] with their sources."""
    fig = plt.figure(figsize=(11.5, 8.8))
    fig.suptitle("Image GPT's sizes: parameters, and how good the features are", fontsize=18)
    upper, lower = fig.subfigures(2, 1, height_ratios=[1, 1.7])
    bars = upper.subplots()
    names = list(counts)
    most = max(counts.values())
    bars.barh(range(len(names)), [counts[n] / 1e9 for n in names], color=SKY)
    for i, name in enumerate(names):
        far = counts[name] > most / 2
        bars.text(counts[name] / 1e9, i, f" {counts[name]:,} (slide: {slide[name]}) ", va="center",
                  ha="right" if far else "left")  # fmt: skip
    bars.set(xlabel="billion parameters, counted from the shapes")
    bars.set_yticks(range(len(names)), [f"iGPT-{n}" for n in names])
    bars.invert_yaxis()
    left, right = lower.subplots(1, 2)
    for name, color, marker in zip(ours, (SKY, BLUE, BLACK), "^os"):
        parameters, accuracies, bits = ours[name]
        label = f"{name}, {parameters / 1e3:,.0f}k"
        left.plot(bits, accuracies, marker, color=color, linestyle="none", label=label)
        left.plot(np.mean(bits), np.mean(accuracies), marker, color=color, ms=17, mfc="none", mew=2)
    left.invert_xaxis()
    left.set(xlabel="bits a pixel, held-out (better →)", ylabel="accuracy of a linear probe")
    left.set_title("ours, digits: a dot a seed; hollow: mean", fontsize=16.5)
    left.xaxis.set_major_locator(MaxNLocator(5))
    left.legend(loc="lower right")
    for label, parameters, accuracy in published:
        shift, side = (10, "left") if parameters < 3e9 else (-10, "right")
        right.plot(parameters, accuracy, "o", color=ORANGE, linestyle="none")
        right.annotate(label, (parameters, accuracy), (shift, -6), ha=side,
                       textcoords="offset points")  # fmt: skip
    right.set(xscale="log", xlabel="parameters (log)", ylabel="ImageNet top-1, probe (%)")
    right.set_xlim(4e7, 1.5e10), right.set_ylim(38, 76)
    right.set_title("published; 32²: images of 32 x 32", fontsize=16.5)
    note(fig, "Ours: of the layer that validation chooses, for each seed.")
    name_sources(fig, sources)
    return fig


# -- F16 -------------------------------------------------------------------------------------------
WAYS = {  # of reading a pre-trained model out: colour, marker
    "linear probe": (BLUE, "o"),
    "probe, 5 masks": (BLUE, "o"),
    "fine-tuned": (ORANGE, "s"),
    "tuned, 5 masks": (ORANGE, "s"),
}


def tuning(panels, sources):
    """F16: linear probe (blue) and fine-tuned (orange) after AR and after BERT, in the order of the
    paper's Figure 4; the same rows in each panel. panels: (title, {("AR" or "BERT", way of WAYS):
    values}); values: (seeds,) in %, a published number, one that is not reached, ("<", number),
    drawn hollow with an arrow, a range, ("to", low, high), a bar, or words without a number."""
    fig, grid = plt.subplots(1, len(panels), figsize=(13, 8), squeeze=False, sharey=True,
                             layout=ConstrainedLayoutEngine(w_pad=0.2))  # fmt: skip
    fig.suptitle("A linear probe and fine-tuning, after AR and after BERT pre-training",
                 fontsize=20)  # fmt: skip
    rows = [key for key in ((o, way) for o in ("AR", "BERT") for way in WAYS)
            if any(key in values for _, values in panels)]  # fmt: skip
    places = {key: i + 0.5 * (key[0] == "BERT") for i, key in enumerate(rows)}
    for axes, (title, found) in zip(grid[0], panels):
        seen = [_accuracy(axes, places[key], values, *WAYS[key[1]])
                for key, values in found.items() if not isinstance(values, str)]  # fmt: skip
        for key, values in found.items():
            if isinstance(values, str):
                axes.text(0.5, places[key], values, va="center", ha="center", fontsize=18.5,
                          color="0.3", bbox=dict(fc="white", ec="none", pad=1),
                          transform=axes.get_yaxis_transform())  # fmt: skip
        ends = np.concatenate(seen)
        low, high = 5 * ((ends.min() - 2) // 5), min(100, 5 * (ends.max() // 5 + 1))
        axes.set(xlim=(low - 0.5, high + 0.5), xticks=np.arange(low, high + 1, 10))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.hlines(places.values(), low, high, color="0.85", linewidth=1, zorder=0)
        axes.tick_params(axis="x", labelsize=18.5)
        axes.set_title(title, fontsize=18.5)
        axes.set_xlabel(f"accuracy (%)\naxis: {low:g} to {high:g}", fontsize=18.5)
    names = [f"{objective}: {way}" for objective, way in rows]
    grid[0, 0].set_yticks(list(places.values()), names, fontsize=18.5)
    grid[0, 0].set_ylim(max(places.values()) + 0.6, -0.6)
    note(
        fig,
        "Large: mean or published number. Black dots: seeds. Hollow, arrow: less than this. Bar: "
        "between these. "
        "Ours: the layer is chosen by validation for each seed; BERT reads with one mask, or five.",
    )
    name_sources(fig, sources)
    return fig


def _accuracy(axes, place, values, color, marker):
    """One row: a large mark, its number, and small dots if there are seeds. Returns the values."""
    if isinstance(values, tuple) and values[0] == "to":
        axes.plot(values[1:], [place] * 2, "-", color=color, linewidth=12, solid_capstyle="butt")
        axes.text(1.03, place, "{:.1f} to\n{:.1f}".format(*values[1:]), va="center", fontsize=18.5,
                  transform=axes.get_yaxis_transform())  # fmt: skip
        return np.array(values[1:])
    less = isinstance(values, tuple)
    values = np.atleast_1d(values[1] if less else values)
    mean = float(np.mean(values))
    axes.plot(mean, place, marker, color=color, ms=17, mfc="white" if less else color, mew=2)
    if less:
        axes.annotate("", (mean, place), (-42, 0), textcoords="offset points",
                      arrowprops=dict(arrowstyle="<-", color=color, linewidth=2, shrinkA=0,
                                      shrinkB=8))  # fmt: skip
    if len(values) > 1:
        axes.plot(values, [place] * len(values), ".", color=BLACK, ms=13, mec="white",
                  linestyle="none")  # fmt: skip
    axes.text(1.03, place, f"{'< ' if less else ''}{mean:.1f}", va="center", fontsize=18.5,
              transform=axes.get_yaxis_transform())  # fmt: skip
    return values
