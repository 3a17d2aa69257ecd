"""The figures of the Image GPT lecture, each a function of arrays that returns a Figure.

Pictures are (H, W, C) in [-1, 1], as `Palette.decode` gives them. Curves come as one row a seed; a
thin line is a seed, a thick one their mean.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from minivit.course.plots import diagrams
from minivit.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    SKY,
    bare,
    framed,
    note,
    picture,
    sheet,
)
from minivit.course.plots.published import name_sources
from minivit.engine.errors import ShapeError

FRAME = 0.6  # a light grey around each sample, so that white on white has an edge
KINDS = {  # one colour and one marker for each way of training, in every figure
    "AR": (BLUE, "o"),
    "BERT": (ORANGE, "s"),
    "supervised": (GREEN, "^"),
    "untrained": ("grey", "x"),
    "pre": (BLUE, "o"),
    "post": (ORANGE, "s"),
}


def _show(axes, image, title="", size=17):
    axes.imshow(picture(image), interpolation="none")
    framed(axes)
    if title:
        axes.set_title(title, fontsize=size)


# -- F11 -------------------------------------------------------------------------------------------
def inputs(photo, small, quantised, ids, colours, shown=12):
    """F11: photograph (H, W, 3), reduced (h, w, 3), in the palette's colours (h, w, 3); ids (h w,);
    the palette's colours (k, 3). `shown`: how many ids the sequence begins with."""
    h, w = small.shape[:2]
    k = len(colours)
    fig = plt.figure(figsize=(11.5, 8.6))
    upper, middle, lower = fig.subfigures(3, 1, height_ratios=[3.2, 1.1, 1.9])
    for axes, image, title in zip(
        upper.subplots(1, 3),
        (photo, small, quantised),
        (
            f"a photograph, {photo.shape[0]} x {photo.shape[1]}\n24 bits a pixel",
            f"reduced to {h} x {w}\n24 bits a pixel",
            f"{h} x {w} in {k} colours\n{np.log2(k):.0f} bits a pixel",
        ),
    ):
        _show(axes, image, title)

    axes = middle.subplots()
    strip = colours[np.r_[ids[:shown], ids[-2:]]]
    places = np.r_[np.arange(shown), shown + 1, shown + 2]
    for place, color, i in zip(places, strip, np.r_[ids[:shown], ids[-2:]]):
        axes.add_patch(
            plt.Rectangle((place, 0), 0.94, 1, color=np.clip((color + 1) / 2, 0, 1), linewidth=0)
        )
        axes.text(place + 0.47, -0.14, f"{i}", ha="center", va="top", fontsize=16.2)
    axes.text(shown + 0.5, 0.4, "…", ha="center", fontsize=24)
    axes.set(xlim=(0, shown + 3), ylim=(-0.7, 1.1))
    axes.set_title(f"one sequence of {len(ids):,} palette ids, row by row", fontsize=17)
    bare(axes)

    axes = lower.subplots()
    columns = 64 if k > 64 else k
    table = np.ones((-(-k // columns) * columns, 3), colours.dtype)
    table[:k] = colours
    axes.imshow(picture(table.reshape(-1, columns, 3)), interpolation="none", aspect="auto")
    axes.set_title(f"the palette: {k} colours found by k-means, dark to bright", fontsize=17)
    axes.set(xticks=[], yticks=[])
    return fig


# -- F12 -------------------------------------------------------------------------------------------
def objectives(image, targets, position, hidden, sees):
    """F12: what each objective shows the model and asks of it, on one image.

    image (H, W, C); targets (n,) ids; position: the pixel that AR is asked for; hidden (n,) bool;
    sees: {"AR": (n, n), "BERT": (n, n)} bool, which position may look at which.
    """
    H, W = image.shape[:2]
    n = H * W
    if len(targets) != n or any(s.shape != (n, n) for s in sees.values()):
        raise ShapeError(f"objectives: {len(targets)} targets for {n} pixels")
    fig = plt.figure(figsize=(11.8, 9))
    before = np.arange(n) < position
    rows = [
        ("autoregressive: predict each pixel from those before it", "AR", before, BLUE),
        ("BERT: predict hidden pixels from all that are seen", "BERT", ~hidden, ORANGE),
    ]
    for part, (title, name, seen, color) in zip(fig.subfigures(2, 1), rows):
        part.suptitle(title, fontsize=19, color=color, fontweight="bold")
        panels = part.subplots(1, 4, width_ratios=[1, 1, 1, 1.15])
        _show(panels[0], image, f"image, {H} x {W}")
        _veiled(panels[1], image, seen.reshape(H, W))
        panels[1].set_title(f"seen: {seen.sum()} of {n}", fontsize=17)
        asked = np.arange(n) == position if name == "AR" else hidden
        _asked(panels[2], image, asked.reshape(H, W), color)
        one = name == "AR"
        panels[2].set_title(f"asked: {f'pixel {position}' if one else 'the rest'}", fontsize=17)
        panels[2].set_xlabel(
            f"one of {n} questions,\nall in one pass" if one
            else f"{asked.sum()} questions, a\nnew mask each time", fontsize=17,
        )  # fmt: skip
        panels[3].imshow(sees[name], cmap="Blues", vmin=0, vmax=1.4, interpolation="none")
        panels[3].set_xlabel("key", fontsize=17), panels[3].set_ylabel("query", fontsize=17)
        panels[3].set_xticks([0, n - 1]), panels[3].set_yticks([0, n - 1])
        panels[3].set_title("attention mask", fontsize=17)
        panels[3].tick_params(labelsize=17)
    return fig


def _veiled(axes, image, seen):
    shown = np.where(seen[:, :, None], picture(image), 1.0)
    axes.imshow(shown, interpolation="none")
    for y, x in np.argwhere(~seen):
        axes.add_patch(
            plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="////", ec="0.6", lw=0)
        )
    framed(axes)


def _asked(axes, image, asked, color):
    axes.imshow(np.where(asked[:, :, None], picture(image), 0.93), interpolation="none")
    for y, x in np.argwhere(asked):
        axes.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=color, lw=3))
    framed(axes)


# -- F13 -------------------------------------------------------------------------------------------
def norm_orders(gradients, curves, steps, final, rate):
    """F13: pre-LN and post-LN: their blocks, and what follows. gradients {"pre": (seeds, L),
    "post": ...}: norm of the gradient of each layer's weights at the start; curves {..: (seeds,
    points)} at `rate`; final {..: {rate: (seeds,)}}: loss at the end."""
    fig = plt.figure(figsize=(12.5, 11))
    blocks, measured = fig.subfigures(1, 2, width_ratios=[1.25, 1])
    diagrams.draw_two_orders(blocks.subplots())
    top, middle, low = measured.subplots(3, 1)
    for name in ("pre", "post"):
        color, marker = KINDS[name]
        label = f"{name}-LN"
        values = np.asarray(gradients[name])
        layers = np.arange(1, values.shape[1] + 1)
        top.plot(layers, values.T, color=color, linewidth=1, linestyle="-", alpha=0.4)
        top.plot(layers, values.mean(axis=0), marker, color=color, linestyle="-", label=label)
        values = np.asarray(curves[name])
        x = (np.arange(values.shape[1]) + 0.5) * steps / values.shape[1]
        middle.plot(x, values.T, color=color, linewidth=1, linestyle="-", alpha=0.4)
        style = "-" if name == "pre" else "--"
        middle.plot(x, values.mean(axis=0), color=color, linestyle=style, label=label)
        for r, ends in final[name].items():
            shift = 0.94 if name == "pre" else 1.06
            low.plot([r * shift] * len(ends), ends, marker, color=color, linestyle="none")
    top.set(
        xlabel="layer",
        ylabel="gradient's norm",
        yscale="log",
        xticks=layers[:: 1 + layers[-1] // 8],
    )
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 4)))
    top.yaxis.set_major_formatter("{x:g}")
    top.yaxis.set_minor_formatter("")
    top.set_title("at the start", fontsize=18)
    middle.set(xlabel="step", ylabel="loss (nats)")
    middle.set_title(f"training at rate {rate:g}, no warm-up", fontsize=18)
    rates = sorted(final["pre"])
    low.set(xscale="log", xlabel="learning rate", ylabel="loss (nats)")
    low.set_xticks(rates, [f"{r:g}" for r in rates])
    low.minorticks_off()
    low.margins(x=0.1)
    low.set_title(f"after {steps} steps, a dot a seed", fontsize=18)
    for axes in (top, middle, low):
        axes.tick_params(labelsize=17.5)
        axes.xaxis.label.set_size(17.5), axes.yaxis.label.set_size(17.5)
    handles = top.get_legend_handles_labels()
    measured.legend(*handles, loc="outside upper center", ncols=2, fontsize=17.5)
    return fig


# -- F14 -------------------------------------------------------------------------------------------
def probes_by_layer(panels, losses, sources):
    """F14: probe accuracy after every layer, and what the last layer loses. panels: [(title, {name:
    (seeds, L + 1)}, {name: best layer}, {line: accuracy})]; losses {label: points below the best,
    (seeds,) or a published number}."""
    fig = plt.figure(figsize=(13, 10.4))
    upper, lower = fig.subfigures(2, 1, height_ratios=[2.1, 1])
    grid = upper.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, curves, best, lines) in zip(grid, panels):
        for name, values in curves.items():
            color, marker = KINDS[name]
            layers, mean = np.arange(values.shape[1]), values.mean(axis=0)
            axes.plot(layers, values.T, color=color, linewidth=1, linestyle="-", alpha=0.45)
            axes.plot(layers, mean, marker, color=color, linestyle="-", label=name)
            axes.plot(best[name], mean[best[name]], "o", ms=20, mfc="none", mec=BLACK, mew=2)
        axes.plot([], [], "o", ms=16, mfc="none", mec=BLACK, mew=2, linestyle="none",
                  label="best on validation")  # fmt: skip
        for line, accuracy in lines.items():
            axes.axhline(accuracy, color="grey", linestyle="--", linewidth=1.5)
            axes.text(layers[-1], accuracy, line, color="0.3", ha="right", va="bottom",
                      fontsize=18.5)  # fmt: skip
        axes.set_xticks(layers[:: 1 if len(layers) < 10 else 2])
        axes.set_xlabel("layer (0: the input; thin: a seed)", fontsize=18.5)
        axes.set_title(title, fontsize=18.5)
        low = len(curves) == 1  # else between the curves and an untrained model
        axes.legend(loc="lower right" if low else "upper center", fontsize=18.5,
                    bbox_to_anchor=(1, 0) if low else (0.5, 0.74))  # fmt: skip
    grid[0].set_ylabel("accuracy of a linear probe", fontsize=18.5)
    axes = lower.subplots()
    for y, points in enumerate(losses.values()):
        color, marker = (BLUE, "o") if np.ndim(points) else (ORANGE, "D")
        axes.plot(np.atleast_1d(points), [y] * np.size(points), marker, color=color, ms=12,
                  linestyle="none")  # fmt: skip
        axes.text(1.01, y, f"{np.mean(points):+.1f}", va="center", fontsize=18.5,
                  fontweight="bold", transform=axes.get_yaxis_transform())  # fmt: skip
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(losses)), losses, fontsize=18.5)
    axes.set_ylim(len(losses) - 0.4, -0.6)
    reach = 1.15 * max(np.abs(points).max() for points in losses.values())
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("← last layer better      points      last layer worse than the best →",
                    fontsize=18.5)  # fmt: skip
    axes.set_title("accuracy of the best layer less that of the last (a dot a seed; bold: mean)",
                   fontsize=18.5)  # fmt: skip
    for axes in fig.axes:
        axes.tick_params(labelsize=18.5)
    name_sources(fig, sources)
    return fig


# -- F15 -------------------------------------------------------------------------------------------
def sizes(counts, slide, ours, published, sources):
    """F15: parameters of the published sizes, ours {name: (parameters, accuracies (seeds,), bits
    (seeds,))}, and published [(label, parameters, accuracy in %)] with their sources."""
    fig = plt.figure(figsize=(11.5, 8))
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
    left.set(xlabel="bits a pixel, held-out (better →)", ylabel="linear probe, best layer")
    left.set_title("ours: a dot a seed; hollow: mean", fontsize=16.5)
    left.xaxis.set_major_locator(MaxNLocator(5))
    left.legend(loc="lower right")
    for label, parameters, accuracy in published:
        shift, side = (10, "left") if parameters < 3e9 else (-10, "right")
        right.plot(parameters, accuracy, "o", color=ORANGE, linestyle="none")
        right.annotate(label, (parameters, accuracy), (shift, -6), ha=side,
                       textcoords="offset points")  # fmt: skip
    right.set(xscale="log", xlabel="parameters (log)", ylabel="ImageNet top-1, probe (%)")
    right.set_xlim(4e7, 1.5e10), right.set_ylim(38, 76)
    right.set_title("published", fontsize=16.5)
    name_sources(fig, sources)
    return fig


# -- F16 -------------------------------------------------------------------------------------------
WAYS = {  # of reading a pre-trained model out: colour, hatch
    "linear probe": (BLUE, ""),
    "probe, 5 masks": (BLUE, "//"),
    "fine-tuned": (ORANGE, ""),
    "tuned, 5 masks": (ORANGE, "//"),
}


def tuning_bars(panels, sources):
    """F16: linear probe (blue) and fine-tuned (orange) after AR and after BERT, with masks hatched,
    as the paper's Figure 4; the same rows in each panel. panels: (title, {("AR" or "BERT", way of
    WAYS): values}); values: (seeds,) in %, a published number, one that ends a range, ("<",
    number), drawn as an outline, or words where there is no number."""
    fig, grid = plt.subplots(1, len(panels), figsize=(13, 7.6), squeeze=False, sharey=True)
    rows = [key for key in ((o, way) for o in ("AR", "BERT") for way in WAYS)
            if any(key in bars for _, bars in panels)]  # fmt: skip
    places = {key: i + 0.5 * (key[0] == "BERT") for i, key in enumerate(rows)}
    for axes, (title, bars) in zip(grid[0], panels):
        seen = []
        for key, values in bars.items():
            place, (color, hatch) = places[key], WAYS[key[1]]
            if isinstance(values, str):
                axes.text(0.04, place, values, va="center", fontsize=18.5, color="0.3",
                          transform=axes.get_yaxis_transform())  # fmt: skip
                continue
            most = isinstance(values, tuple)
            values = np.atleast_1d(values[1] if most else values)
            mean = float(np.mean(values))
            axes.barh(place, mean, 0.85, color="white" if most else color, hatch=hatch,
                      ec=color if most else "white", linestyle="--" if most else "-",
                      linewidth=2 if most else 1)  # fmt: skip
            if len(values) > 1:
                axes.plot(values, [place] * len(values), ".", color=BLACK, ms=11,
                          linestyle="none")  # fmt: skip
            axes.text(1, place, f"{'< ' if most else ''}{mean:.1f}", ha="right", va="center",
                      fontsize=18.5, transform=axes.get_yaxis_transform())  # fmt: skip
            seen.extend(values)
        low, high = min(seen), max(seen)
        axes.set(xlim=(low - 0.35 * (high - low), high + 0.9 * (high - low)))
        axes.tick_params(axis="x", labelsize=18.5)
        axes.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        axes.set_title(title, fontsize=18.5)
        axes.set_xlabel("accuracy (%)", fontsize=18.5)
    names = [f"{objective}: {way}" for objective, way in rows]
    grid[0, 0].set_yticks(list(places.values()), names, fontsize=18.5)
    grid[0, 0].invert_yaxis()
    note(fig, "All axes are cut off on the left. Dots: seeds. Dashed: no more than this.")
    name_sources(fig, sources)
    return fig


# -- F17, F18 --------------------------------------------------------------------------------------
def completions(groups):
    """F17: groups [(title, originals (n, H, W, C), given rows, completions (m, n, H, W, C))]: below
    each original what the model was given, and m completions."""
    tall = [len(done) + 2 for *_, done in groups]
    fig = plt.figure(figsize=(11.5, 0.95 * sum(tall) + 0.6 * len(groups)))
    parts = np.atleast_1d(fig.subfigures(len(groups), 1, height_ratios=tall))
    for part, (title, originals, given, done) in zip(parts, groups):
        part.suptitle(title, fontsize=17)
        n, H, W, _ = originals.shape
        panels = part.subplots(len(done) + 2, n, squeeze=False,
                               gridspec_kw=dict(wspace=0.05, hspace=0.05))  # fmt: skip
        names = ["original", "given", *(f"drawn {i + 1}" for i in range(len(done)))]
        for row, name in zip(panels, names):
            row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=16.5)
        for i in range(n):
            _show(panels[0, i], originals[i])
            seen = np.zeros((H, W), bool)
            seen[:given] = True
            _veiled(panels[1, i], originals[i], seen)
            for row, images in zip(panels[2:], done):
                _show(row[i], images[i])
                row[i].axhline(given - 0.5, color=ORANGE, linewidth=1.5, linestyle="-")
    return fig


def samples(rows, columns=6):
    """F18: rows [(label, {title: images (n, H, W, C)})]: for each label a contact sheet of each of
    the same titles."""
    titles = list(rows[0][1])
    lines = -(-max(len(images) for images in rows[0][1].values()) // columns)
    fig, panels = plt.subplots(
        len(rows), len(titles), figsize=(12, 0.95 * lines * len(rows) + 0.8), squeeze=False
    )
    for y, (line, (label, sheets)) in enumerate(zip(panels, rows)):
        for axes, title in zip(line, titles):
            images = sheets[title]
            gap = max(1, images.shape[1] // 8)
            tiles = sheet(images, columns, gap, value=FRAME)
            tiles = np.pad(tiles, ((gap, gap), (gap, gap), (0, 0)), constant_values=FRAME)
            axes.imshow(picture(tiles), interpolation="none")
            bare(axes)
            if y == 0:
                axes.set_title(title, fontsize=18.5)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=18.5, labelpad=12)
    return fig
