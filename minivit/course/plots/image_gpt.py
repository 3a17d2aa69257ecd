"""The figures of the Image GPT lecture, each a function of arrays that returns a Figure.

Pictures are (H, W, C) in [-1, 1], as `Palette.decode` gives them. Curves come as one row a seed; a
thin line is a seed, a thick one their mean.
"""

import matplotlib.pyplot as plt
import numpy as np

from minivit.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    SKY,
    bare,
    framed,
    picture,
    sheet,
)
from minivit.engine.errors import ShapeError

KINDS = {  # one colour and one marker for each way of training, in every figure
    "AR": (BLUE, "o"),
    "BERT": (ORANGE, "s"),
    "supervised": (GREEN, "^"),
    "untrained": ("grey", "x"),
    "pre": (BLUE, "o"),
    "post": (ORANGE, "s"),
}


def _show(axes, image, title="", size=14):
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
    fig = plt.figure(figsize=(14, 9))
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
        _show(axes, image, title, 16)

    axes = middle.subplots()
    strip = colours[np.r_[ids[:shown], ids[-2:]]]
    places = np.r_[np.arange(shown), shown + 1, shown + 2]
    for place, color, i in zip(places, strip, np.r_[ids[:shown], ids[-2:]]):
        axes.add_patch(
            plt.Rectangle((place, 0), 0.94, 1, color=np.clip((color + 1) / 2, 0, 1), linewidth=0)
        )
        axes.text(place + 0.47, -0.14, f"{i}", ha="center", va="top", fontsize=16)
    axes.text(shown + 0.5, 0.4, "…", ha="center", fontsize=24)
    axes.set(xlim=(0, shown + 3), ylim=(-0.7, 1.1))
    axes.set_title(f"one sequence of {len(ids):,} palette ids, row by row", fontsize=16)
    bare(axes)

    axes = lower.subplots()
    columns = 64 if k > 64 else k
    table = np.ones((-(-k // columns) * columns, 3), colours.dtype)
    table[:k] = colours
    axes.imshow(picture(table.reshape(-1, columns, 3)), interpolation="none", aspect="auto")
    axes.set_title(f"the palette: {k} colours found by k-means, dark to bright", fontsize=16)
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
    fig = plt.figure(figsize=(14, 9.4))
    before = np.arange(n) < position
    rows = [
        ("autoregressive: predict each pixel from those before it", "AR", before, BLUE),
        ("BERT: predict hidden pixels from all that are seen", "BERT", ~hidden, ORANGE),
    ]
    for part, (title, name, seen, color) in zip(fig.subfigures(2, 1), rows):
        part.suptitle(title, fontsize=18, color=color, fontweight="bold")
        panels = part.subplots(1, 4, width_ratios=[1, 1, 1, 1.15])
        _show(panels[0], image, f"the image, {H} x {W}", 16)
        _veiled(panels[1], image, seen.reshape(H, W))
        panels[1].set_title(f"seen: {seen.sum()} of {n} pixels", fontsize=16)
        asked = np.arange(n) == position if name == "AR" else hidden
        _asked(panels[2], image, asked.reshape(H, W), color)
        one = name == "AR"
        panels[2].set_title(
            f"asked: {f'pixel {position}' if one else 'hidden pixels'}", fontsize=16
        )
        panels[2].set_xlabel(
            f"one of {n} questions,\nall asked in one pass" if one
            else f"{asked.sum()} questions,\nanother mask each time", fontsize=14,
        )  # fmt: skip
        panels[3].imshow(sees[name], cmap="Blues", vmin=0, vmax=1.4, interpolation="none")
        panels[3].set(xlabel="position looked at", ylabel="position that looks")
        panels[3].set_xticks([0, n - 1]), panels[3].set_yticks([0, n - 1])
        panels[3].set_title("attention mask", fontsize=16)
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
    """F13: pre-LN and post-LN. gradients {"pre": (seeds, L), "post": ...}: norm of the gradient of
    each layer's weights at the start; curves {..: (seeds, points)} at `rate`; final {..: {rate:
    (seeds,)}}: loss at the end."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(17, 5.8))
    for name in ("pre", "post"):
        color, marker = KINDS[name]
        label = f"{name}-LN"
        values = np.asarray(gradients[name])
        layers = np.arange(1, values.shape[1] + 1)
        left.plot(layers, values.T, color=color, linewidth=1, linestyle="-", alpha=0.4)
        left.plot(layers, values.mean(axis=0), marker, color=color, linestyle="-", label=label)
        values = np.asarray(curves[name])
        x = (np.arange(values.shape[1]) + 0.5) * steps / values.shape[1]
        middle.plot(x, values.T, color=color, linewidth=1, linestyle="-", alpha=0.4)
        style = "-" if name == "pre" else "--"
        middle.plot(x, values.mean(axis=0), color=color, linestyle=style, label=label)
        for r, ends in final[name].items():
            shift = 0.94 if name == "pre" else 1.06
            right.plot([r * shift] * len(ends), ends, marker, color=color, linestyle="none")
        right.plot([], [], marker, color=color, linestyle="none", label=label)
    left.set(xlabel="layer", ylabel="norm of the gradient", yscale="log", xticks=layers)
    left.set_title("gradient of each layer at the start", fontsize=16)
    middle.set(xlabel="step", ylabel="loss (nats a pixel)")
    middle.set_title(f"training at rate {rate:g}, no warm-up", fontsize=16)
    rates = sorted(final["pre"])
    right.set(xscale="log", xlabel="learning rate", ylabel=f"loss after {steps} steps")
    right.set_xticks(rates, [f"{r:g}" for r in rates])
    right.minorticks_off()
    right.set_title("a dot for each seed", fontsize=16)
    for axes in (left, middle, right):
        axes.legend(fontsize=15)
    return fig


# -- F14 -------------------------------------------------------------------------------------------
def probes_by_layer(curves, best, lines, here=None):
    """F14: probe accuracy after every layer. curves {"AR": (seeds, L + 1), "AR, at random places":
    ...}; best {"AR": layer, ...}; here {"AR": (L + 1,), ...}: this notebook's; lines {name:
    accuracy}: drawn across the panels whose name is a kind alone."""
    fig, panels = plt.subplots(1, len(curves), figsize=(5.4 * len(curves), 6), sharey=True)
    for axes, (name, values) in zip(np.atleast_1d(panels), curves.items()):
        color, marker = KINDS[name.partition(",")[0]]
        values = np.asarray(values)
        layers = np.arange(values.shape[1])
        axes.plot(layers, values.T, color=color, linewidth=1, linestyle="-", alpha=0.45)
        mean = values.mean(axis=0)
        axes.plot(
            layers, mean, marker, color=color, linestyle="-", label=f"mean of {len(values)} seeds"
        )
        axes.plot(
            best[name], mean[best[name]], "o", ms=20, mfc="none", mec=BLACK, mew=2,
            linestyle="none", label=f"best by validation: {best[name]}",
        )  # fmt: skip
        if here and name in here:
            axes.plot(layers, here[name], "d", color=BLACK, ms=6, linestyle=":", lw=1.5,
                      label="this notebook")  # fmt: skip
        for (line, accuracy), style in zip(lines.items() if name in KINDS else (), ("--", "-.")):
            axes.axhline(accuracy, color="grey", linestyle=style, linewidth=1.5)
            if name == next(n for n in curves if n in KINDS):
                axes.text(0.05, accuracy - 0.004, line, color="0.35", fontsize=14, va="top")
        axes.set(xlabel="layer (0: the input)", xticks=layers[:: 1 if len(layers) < 10 else 2])
        axes.set_title(name, fontsize=18, color=color)
        axes.legend(fontsize=13, loc="lower right", bbox_to_anchor=(1.0, 0.08))
    np.atleast_1d(panels)[0].set_ylabel("accuracy of a linear probe")
    return fig


# -- F15 -------------------------------------------------------------------------------------------
def sizes(counts, slide, ours, published):
    """F15: parameters of the published sizes, ours {name: (parameters, accuracies (seeds,), bits
    (seeds,))}, and published [(label, parameters, accuracy in %)]."""
    fig, (left, middle, right) = plt.subplots(1, 3, figsize=(18, 6))
    names = list(counts)
    left.bar(names, [counts[n] for n in names], color=SKY)
    for i, name in enumerate(names):
        left.text(i, counts[name] * 1.12, f"{counts[name]:,}", ha="center", fontsize=11.5)
        left.text(i, 1.35e7, f"slide\n{slide[name]}", ha="center", fontsize=14)
    left.set(yscale="log", ylabel="parameters", ylim=(1e7, 2e10))
    left.set_xticks(range(len(names)), [f"iGPT-{n}" for n in names])
    left.set_title("counted from the shapes", fontsize=16)
    for name, color, marker in zip(ours, (SKY, BLUE, BLACK), "^os"):
        parameters, accuracies, bits = ours[name]
        label = f"{name}, {parameters / 1e3:,.0f}k"
        middle.plot(bits, accuracies, marker, color=color, linestyle="none", label=label)
        middle.plot(
            np.mean(bits), np.mean(accuracies), marker, color=color, ms=17, mfc="none", mew=2
        )
    middle.invert_xaxis()
    middle.set(xlabel="bits a pixel, held-out digits (better →)", ylabel="probe, best layer")
    middle.set_title("ours: a dot a seed, large: mean", fontsize=16)
    middle.legend(fontsize=14)
    for label, parameters, accuracy in published:
        right.plot(parameters, accuracy, "o", color=ORANGE, linestyle="none")
        right.annotate(label, (parameters, accuracy), (9, -5) if parameters < 3e9 else (-9, -5),
            textcoords="offset points",
                       fontsize=13, ha="left" if parameters < 3e9 else "right")  # fmt: skip
    right.set(xscale="log", xlabel="parameters", ylabel="ImageNet top-1, linear probe (%)")
    right.set_xlim(4e7, 2e10), right.set_ylim(38, 76)
    right.set_title("published", fontsize=16)
    return fig


# -- F16 -------------------------------------------------------------------------------------------
def tuning_bars(groups, published=()):
    """F16: groups [(name, probe (seeds,), fine-tune (seeds,), probe + ensemble or None, fine-tune +
    ensemble or None)]; published [(label, probe %, fine-tune %)], in a panel of its own."""
    widths = [3, 1.1] if published else [1]
    fig, panels = plt.subplots(1, len(widths), figsize=(14, 6), width_ratios=widths, squeeze=False)
    axes = panels[0, 0]
    place, ticks, names = 0.0, [], []
    for name, *bars in groups:
        start = place
        styles = ((BLUE, ""), (ORANGE, ""), (BLUE, "//"), (ORANGE, "//"))
        order = [(bars[i], styles[i]) for i in (0, 2, 1, 3) if bars[i] is not None]
        for values, (color, hatch) in order:
            mean = float(np.mean(values))
            axes.bar(place, mean, 0.9, color=color, hatch=hatch, ec="white", alpha=0.85)
            axes.plot([place] * len(values), values, ".", color=BLACK, ms=8, linestyle="none")
            axes.text(place, max(values) + 0.008, f"{mean:.3f}", ha="center", fontsize=14)
            place += 1
        ticks.append((start + place - 1) / 2), names.append(name)
        place += 0.8
    for label, color, hatch in (
        ("linear probe", BLUE, ""), ("probe, masks ensembled", BLUE, "//"),
        ("fine-tuned", ORANGE, ""), ("fine-tuned, ensembled", ORANGE, "//"),
    ):  # fmt: skip
        axes.bar([0], [0], color=color, hatch=hatch, ec="white", alpha=0.85, label=label)
    lowest = min(min(v) for _, *bars in groups for v in bars if v is not None)
    axes.set_xticks(ticks, names)
    bottom = max(0.0, np.floor(10 * lowest - 0.5) / 10)
    axes.set(ylabel=f"test accuracy, digits (from {bottom:.1f})", ylim=(bottom, 1.12))
    axes.set_yticks([t for t in axes.get_yticks() if t <= 1.0 and t >= axes.get_ylim()[0]])
    axes.set_title("ours (dots: seeds)", fontsize=16)
    axes.legend(fontsize=13, ncols=2, loc="upper left")
    if published:
        axes = panels[0, 1]
        for i, (_, linear, tuned) in enumerate(published):
            for shift, value, color in ((-0.22, linear, BLUE), (0.22, tuned, ORANGE)):
                axes.bar(i + shift, value, 0.42, color=color, ec="white", alpha=0.85)
                axes.text(i + shift, value + 0.1, f"{value:.1f}", ha="center", fontsize=14)
        axes.set_xticks(range(len(published)), [label for label, *_ in published])
        axes.set(ylabel="accuracy in % (from 90)", ylim=(90, 101.5))
        axes.set_title("published", fontsize=16)
    return fig


# -- F17, F18 --------------------------------------------------------------------------------------
def completions(groups):
    """F17: groups [(title, originals (n, H, W, C), given rows, completions (m, n, H, W, C))]: below
    each original what the model was given, and m completions."""
    tall = [len(done) + 2 for *_, done in groups]
    fig = plt.figure(figsize=(15, 1.15 * sum(tall) + 0.6 * len(groups)))
    parts = np.atleast_1d(fig.subfigures(len(groups), 1, height_ratios=tall))
    for part, (title, originals, given, done) in zip(parts, groups):
        part.suptitle(title, fontsize=17)
        n, H, W, _ = originals.shape
        panels = part.subplots(len(done) + 2, n, squeeze=False,
                               gridspec_kw=dict(wspace=0.05, hspace=0.05))  # fmt: skip
        names = ["original", "given", *(f"drawn {i + 1}" for i in range(len(done)))]
        for row, name in zip(panels, names):
            row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=15)
        for i in range(n):
            _show(panels[0, i], originals[i])
            seen = np.zeros((H, W), bool)
            seen[:given] = True
            _veiled(panels[1, i], originals[i], seen)
            for row, images in zip(panels[2:], done):
                _show(row[i], images[i])
                row[i].axhline(given - 0.5, color=ORANGE, linewidth=1.5, linestyle="-")
    return fig


def samples(rows, columns=12):
    """F18: rows [(label, images (n, H, W, C))]: one or more lines of samples for each label."""
    lines = [-(-len(images) // columns) for _, images in rows]
    fig, panels = plt.subplots(
        len(rows), 1, figsize=(14, 1.12 * sum(lines) + 0.12 * len(rows)), height_ratios=lines,
        squeeze=False,
    )  # fmt: skip
    for axes, (label, images) in zip(panels[:, 0], rows):
        side = images.shape[1]
        axes.imshow(picture(sheet(images, columns, gap=max(1, side // 8))), interpolation="none")
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=16)
        bare(axes)
    return fig
