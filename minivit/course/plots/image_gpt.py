"""The Image GPT lecture's figures, F11 to F13, F17 and F18; image_gpt_results.py has the others.

Pictures are (H, W, C) in [-1, 1], as `Palette.decode` gives them. Curves come as one row a seed; a
thin line is a seed, a thick one their mean.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator

from minivit.course.plots import diagrams
from minivit.course.plots.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    bare,
    framed,
    note,
    picture,
    sheet,
)
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
        panels[1].set_xlabel("hatched: not seen", fontsize=17)
        asked = np.arange(n) == position if name == "AR" else hidden
        _asked(panels[2], image, asked.reshape(H, W), color)
        one = name == "AR"
        panels[2].set_title(f"asked: {f'pixel {position}' if one else 'the rest'}", fontsize=17)
        panels[2].set_xlabel(
            f"one of {n} questions,\nall in one pass" if one
            else f"{asked.sum()} questions, a\nnew mask each time", fontsize=17,
        )  # fmt: skip
        panels[3].imshow(sees[name], cmap="Blues", vmin=0, vmax=1.4, interpolation="none")
        panels[3].set_xlabel("key; blue: may look", fontsize=17)
        panels[3].set_ylabel("query", fontsize=17)
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
        middle.plot(x, values.mean(axis=0), color=color, linestyle="-", label=label)
        for r, ends in final[name].items():
            beside = (0.86 if name == "pre" else 1.16) * 1.06 ** (np.arange(len(ends)) - 1)
            low.plot(r * beside, ends, marker, color=color, linestyle="none")
    top.set(
        xlabel="layer",
        ylabel="norm",
        yscale="log",
        xticks=layers[:: 1 + layers[-1] // 8],
    )
    top.yaxis.set_major_locator(LogLocator(subs=(1, 2, 4)))
    top.yaxis.set_major_formatter("{x:g}")
    top.yaxis.set_minor_formatter("")
    top.set_title("gradient of a layer, before step 1", fontsize=18)
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
    note(fig, "Blocks: pink is the residual path. Curves: thin a seed, thick their mean.")
    return fig


# -- F17, F18 --------------------------------------------------------------------------------------
def completions(groups):
    """F17: groups [(title, originals (n, H, W, C), given rows, completions (m, n, H, W, C))]: below
    each original what the model was given, and m completions."""
    tall = [len(done) + 2 for *_, done in groups]
    fig = plt.figure(figsize=(11.5, 0.95 * sum(tall) + 0.6 * len(groups) + 0.8))
    fig.suptitle("Lower halves, drawn pixel by pixel: all below the orange line is the model's",
                 fontsize=17.5)  # fmt: skip
    parts = np.atleast_1d(fig.subfigures(len(groups), 1, height_ratios=tall))
    for part, (title, originals, given, done) in zip(parts, groups):
        part.suptitle(title, fontsize=17, fontweight="bold")
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


def samples(rows, words, columns=6):
    """F18: rows [(label, {title: images (n, H, W, C)})]: for each label a contact sheet of each of
    the same titles; words: the title of all."""
    titles = list(rows[0][1])
    lines = -(-max(len(images) for images in rows[0][1].values()) // columns)
    fig, panels = plt.subplots(
        len(rows), len(titles), figsize=(12.5, 0.95 * lines * len(rows) + 1.6), squeeze=False
    )
    fig.suptitle(words, fontsize=18.5)
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
