"""The figures of the Vision Transformer lecture, F19 to F26."""

import matplotlib.pyplot as plt
import numpy as np

from minivit.course.plots.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    bare,
    framed,
    heat,
    note,
    picture,
    sign,
)


def _matrix(axes, values, title, color="black", limit=None, size=17):
    """An array (N, D), a token a row; the colours end where 99% of the numbers do."""
    heat(axes, values, limit or float(np.quantile(np.abs(values), 0.99)), None, color)
    axes.set_title(title, fontsize=size, color=color)
    framed(axes, color, 1.5)


# -- F19 -------------------------------------------------------------------------------------------
def five_steps(image, patches, weight, projected, class_token, position, tokens, shown=8, rows=24):
    """F19: the five steps on one image, from their arrays.

    image (H, W, C), patches (N, P P C), weight (D, P P C), projected (N, D), class_token (1, D),
    position (N + 1, D), tokens (N + 1, D). shown: how many patches are drawn, the last one among
    them; rows: how many of the matrices' rows, from the top.
    """
    H, W, C = image.shape
    N, D = projected.shape
    P = int(np.sqrt(patches.shape[1] // C))
    fig = plt.figure(figsize=(12.4, 9.8))
    fig.suptitle("ViT: from an image to the input of layer 1, in five steps", fontsize=19)
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.15, 1])

    left, right = upper.subfigures(1, 2, width_ratios=[1, 1.9])
    axes = left.subplots()
    axes.imshow(picture(image), extent=(0, W, H, 0))
    for x in range(0, W + 1, P):
        axes.axvline(x, color="white", linewidth=1.2)
    for y in range(0, H + 1, P):
        axes.axhline(y, color="white", linewidth=1.2)
    axes.set_title(f"1. {H}x{W} pixels in\npatches of P x P = {P}x{P}", fontsize=17.8)
    bare(axes)

    title = f"2. a sequence of N = HW/P² = {N} patches,\neach of {P}·{P}·{C} = {P * P * C} numbers"
    right.suptitle(title, fontsize=17.8)
    columns = -(-shown // 2)
    grid = right.subplots(2, columns + 1, width_ratios=[1] * columns + [0.35])
    order = [*range(shown - 1), N - 1]
    for place, n in enumerate(order):
        axes = grid[place // columns, place % columns]
        axes.imshow(picture(patches[n].reshape(P, P, C)), interpolation="none")
        skipped = place == shown - 2 and N > shown
        axes.set_xlabel(f"n = {n + 1}" + ("  …" if skipped else ""), fontsize=17.8)
        bare(axes)
    for axes in grid[:, -1]:
        bare(axes)
    grid[0, -1].text(0.1, 0.5, "→", fontsize=26, va="center", transform=grid[0, -1].transAxes)
    if columns * 2 > shown:
        bare(grid[1, columns - 1])
    widths = [1.7, 0.4, 1.5, 0.4, 1.4, 0.8, 1.5, 0.4, 1.5, 0.4, 1.5]
    panels = lower.subplots(1, 11, width_ratios=widths)
    with_class = np.concatenate([class_token, projected])
    scale = float(np.quantile(np.abs(projected), 0.99))
    for axes, mark in zip(panels[1::2], "×=→+="):
        sign(axes, mark, 28)
    for axes, array, title, color, limit in (
        (panels[0], patches, f"patches\nN x P²C\n{N} x {P * P * C}", "black", None),
        (panels[2], weight.T, f"3. E\nP²C x D\n{P * P * C} x {D}", BLUE, None),
        (panels[4], projected, f"\nN x D\n{N} x {D}", "black", scale),
        (panels[6], with_class, f"5. [class]\n(N+1) x D\n{N + 1} x {D}", ORANGE, scale),
        (panels[8], position, f"4. position\n(N+1) x D\n{N + 1} x {D}", GREEN, None),
        (panels[10], tokens, f"to layer 1\n(N+1) x D\n{N + 1} x {D}", "black", scale),
    ):
        _matrix(axes, array[:rows], title, color, limit)
        if len(array) > rows:
            axes.set_xlabel(f"rows 1–{rows}", fontsize=17)
    panels[6].annotate(
        "[class]", (0, 0), (-0.28, 0.9), xycoords="data", textcoords="axes fraction", fontsize=17,
        color=ORANGE, ha="right", arrowprops=dict(arrowstyle="->", color=ORANGE, linewidth=2),
    )  # fmt: skip
    note(
        fig,
        "Steps as on the slide; [class] is put in front before the positions are added. Patches, "
        "the projection E and the positions have colours of their own scales.",
    )
    return fig


# -- F20 -------------------------------------------------------------------------------------------
def forward_pass(arrays, weight, head, classes, true=None):
    """F20: `inspect.trace` of one image, drawn: above the whole pass, below the inside of layer 1.

    weight: the projection's, (D, P P C); head: its weight, (classes, D); classes: a name a class;
    true: the label, marked among the probabilities.
    """
    probabilities = arrays["probabilities"][0]
    layers = sum(name.endswith(".out") for name in arrays)
    N1, D = arrays["tokens"].shape[1:]
    fig = plt.figure(figsize=(14, 8.8))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.1, 1])

    upper.suptitle("the whole forward pass, one image", fontsize=21, fontweight="bold")
    widths = [1, 0.3, 0.7, 0.3, 0.9, 0.5, 1.2, 0.4, 1, 0.3, 1, 0.3, 0.6, 0.5, 0.6, 0.3, 1.15]
    panels = upper.subplots(1, 17, width_ratios=widths)
    for axes, mark in zip(panels[1::2], "→×→→→→×→"):
        sign(axes, mark)
    panels[0].imshow(picture(arrays["image"][0]), interpolation="none")
    panels[0].set_title(f"image\n{_shape(arrays['image'][0])}", fontsize=20.2)
    bare(panels[0])
    for axes, array, name, color in (
        (panels[2], arrays["patches"][0], "patches", "black"),
        (panels[4], weight.T, "E", BLUE),
        (panels[6], arrays["tokens"][0], "+[class]\n+position", "black"),
        (panels[8], arrays["1.out"][0], "layer 1", "black"),
        (panels[10], arrays[f"{layers}.out"][0], f"… layer {layers}", "black"),
    ):
        _matrix(axes, array, f"{name}\n{_shape(array)}", color, size=20.2)
    panels[4].set_box_aspect(0.4)  # few rows
    _matrix(panels[12], arrays["class"].T, f"LN[class]\n{D}", ORANGE, size=20.2)
    _matrix(panels[14], head.T, f"head\n{_shape(head.T)}", BLUE, size=20.2)
    bars = panels[16]
    colors = [ORANGE if i == true else BLUE for i in range(len(classes))]
    bars.barh(range(len(classes)), probabilities, color=colors)
    bars.set(xlim=(0, 1.05), xticks=[0, 1])
    named = range(0, len(classes), 1 if len(classes) < 8 else 3)  # more would touch each other
    bars.set_yticks(named, [classes[i] for i in named], fontsize=20.2)
    bars.tick_params(axis="x", labelsize=20.2)
    bars.invert_yaxis()
    bars.set_title(f"softmax of\n{len(classes)} logits", fontsize=20.2, loc="right")

    lower.suptitle(
        "inside of layer 1, and the residual path around each half", fontsize=21, fontweight="bold"
    )
    panels = lower.subplots(1, 15, width_ratios=[1.1, 0.3] * 7 + [1.1])
    for axes, mark in zip(panels[1::2], "→→→+→→+"):
        sign(axes, mark)
    for axes, stage, name, color in (
        (panels[0], "tokens", "X", "black"),
        (panels[2], "1.ln_1", "LN[X]", GREEN),
        (panels[6], "1.attn", "MhSa", BLUE),
        (panels[8], "1.middle", "X", "black"),
        (panels[10], "1.ln_2", "LN[X]", GREEN),
        (panels[12], "1.mlp", "mlp", ORANGE),
        (panels[14], "1.out", "X", "black"),
    ):
        _matrix(axes, arrays[stage][0], f"{name}\n{N1} x {D}", color, size=20.2)
    axes = panels[4]
    axes.imshow(arrays["1.attention"][0, 0], vmin=0, interpolation="none", aspect="auto")
    axes.set_title(f"A of head 1\n{N1} x {N1}", fontsize=20.2, color=BLUE)
    framed(axes, BLUE, 1.5)
    panels[0].set_xlabel(" ", fontsize=14)  # room below
    for start, plus in ((panels[0], panels[7]), (panels[8], panels[13])):
        _around(start, plus)
    marked = "; orange bar: the true class" * (true is not None)
    note(fig, f"A: the brighter, the more attention{marked}")
    return fig


def _around(start, plus):
    """The residual path: from below one panel to the plus sign, around what lies between."""
    for arrow, places in (
        (dict(arrowstyle="-", connectionstyle="arc,angleA=-90,angleB=-90,armA=14,armB=14"),
         ((0.5, 0), plus.transAxes, (0.5, 0), start.transAxes)),
        (dict(arrowstyle="->"), ((0.5, 0.4), plus.transAxes, (0.5, 0), plus.transAxes)),
    ):  # fmt: skip
        end, of_end, begin, of_begin = places
        plus.annotate("", end, begin, xycoords=of_end, textcoords=of_begin,
                      arrowprops=dict(linewidth=2.5, shrinkA=0, shrinkB=0, **arrow))  # fmt: skip


def _shape(array):
    return " x ".join(map(str, array.shape))


# -- F24 -------------------------------------------------------------------------------------------
def filters(rows, shown=10):
    """F24: principal components as pictures, a row for each of `rows`: (title, pictures, share).

    pictures (k, P, P, C), share (k,) of the variance. Each picture is stretched to its own range
    about grey: only its pattern means something.
    """
    fig = plt.figure(figsize=(11, 1.85 * len(rows)))
    for part, (title, pictures, share) in zip(np.atleast_1d(fig.subfigures(len(rows), 1)), rows):
        part.suptitle(title, fontsize=17, x=0.01, ha="left")
        for k, axes in enumerate(part.subplots(1, shown)):
            bare(axes)
            if k < len(pictures):
                stretched = pictures[k] / np.abs(pictures[k]).max()
                axes.imshow(picture(stretched), interpolation="none")
                axes.set_xlabel("< 1%" if share[k] < 0.005 else f"{share[k]:.0%}", fontsize=16)
    note(fig, "Below each component: its share of the variance.")
    return fig


# -- F25 -------------------------------------------------------------------------------------------
def position_tiles(groups, limit=0.6):
    """F25: a tile a patch: the cosine similarity of its position with all positions.

    groups: [(title, similarity (rows, columns, rows, columns))], side by side. limit: the cosine at
    which the colours end (a position with itself has 1).
    """
    widths = [1] * (len(groups) - 1) + [1.2]  # the last has the colour bar
    fig = plt.figure(figsize=(5.4 * sum(widths), 6.2))
    parts = np.atleast_1d(fig.subfigures(1, len(groups), width_ratios=widths))
    for part, (title, similarity) in zip(parts, groups):
        rows, columns = similarity.shape[:2]
        part.suptitle(title, fontsize=17)
        part.supxlabel("column of the patch", fontsize=17)
        part.supylabel("row of the patch", fontsize=17)
        gaps = dict(wspace=0.08, hspace=0.08)
        tiles = part.subplots(rows, columns, squeeze=False, gridspec_kw=gaps)
        for (r, c), axes in np.ndenumerate(tiles):
            image = axes.imshow(
                similarity[r, c], vmin=-limit, vmax=limit, cmap="cividis", interpolation="none"
            )
            bare(axes)
            axes.plot(c, r, "+", color="black", markersize=44 / max(rows, columns), mew=1.5)
            if c == 0:
                axes.set_ylabel(r + 1, fontsize=16.5, rotation=0, va="center", labelpad=10)
            if r == rows - 1:
                axes.set_xlabel(c + 1, fontsize=16.5)
    bar = parts[-1].colorbar(image, ax=parts[-1].get_axes(), shrink=0.8, pad=0.03, extend="both")
    bar.set_label("cosine similarity", fontsize=17)
    bar.ax.tick_params(labelsize=17)
    note(fig, "A tile: how similar its patch's position (+) is to the positions of all patches.")
    return fig


# -- F26 -------------------------------------------------------------------------------------------
def attention_distance(groups):
    """F26: a dot for each head at each layer: how far it looks, on average, in pixels.

    groups: [(title, trained, untrained, uniform)], side by side; trained and untrained: (seeds,
    layers, heads); uniform: the distance of a head that looks everywhere alike.
    """
    fig, panels = plt.subplots(1, len(groups), figsize=(5.6 * len(groups), 6.2), squeeze=False,
                               sharey=True)  # fmt: skip
    for axes, (title, trained, untrained, uniform) in zip(panels[0], groups):
        layers = np.arange(1, trained.shape[1] + 1)
        for values, place, style, label in (
            (untrained, -0.14, dict(mfc="none", color="grey"), "one head, before training"),
            (trained, 0.14, dict(color=BLUE, alpha=0.7), "one head, trained"),
        ):
            x = np.broadcast_to(layers[:, None] + place, values.shape).reshape(-1)
            axes.plot(x, values.reshape(-1), "o", linestyle="none", label=label, **style)
        axes.plot(
            layers + 0.14, trained.mean(axis=(0, 2)), "-", color=BLUE, label="mean of the trained"
        )
        axes.axhline(
            uniform, color=ORANGE, linestyle="--", label="a head that looks everywhere alike"
        )
        axes.set(xticks=layers, xlabel="layer")
        axes.set_title(title, fontsize=17, pad=14)
    _, top = panels[0, 0].get_ylim()
    panels[0, 0].set(ylabel="mean attention distance (pixels)", ylim=(0, 1.05 * top))
    fig.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


# -- beside the forty ------------------------------------------------------------------------------
def rollout(images, weights, grid, titles):
    """Images (n, H, W, C), and which patches their class tokens were made of: weights (n, N)."""
    n = len(images)
    fig, panels = plt.subplots(2, n, figsize=(2.1 * n, 5), squeeze=False)
    for k in range(n):
        panels[0, k].imshow(picture(images[k]), interpolation="none")
        panels[0, k].set_title(titles[k], fontsize=14)
        panels[1, k].imshow(weights[k].reshape(grid), vmin=0, interpolation="none")
        bare(panels[0, k]), bare(panels[1, k])
    return fig
