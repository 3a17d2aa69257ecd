"""The figures of the CLIP lecture, F30 to F40: functions of arrays that return a Figure.

The data were computed before; here are only axes. Tests check what is in a figure: its arrays,
bars and words.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator

from minivit.course import COLORS, DASHES
from minivit.course.plots.drawing import BLUE, GREEN, ORANGE, bare, heat, picture, times_more
from minivit.engine.errors import ShapeError
from minivit.functions import softmax

RIGHT, WRONG = "✓", "✗"


# -- F30 -------------------------------------------------------------------------------------------
def logits_matrices(panels, images, names):
    """F30: (title, logits (n, n)) side by side, one row an image, one column a text; the diagonal,
    where image and text belong together, is framed."""
    n = len(images)
    fig, grid = plt.subplots(1, len(panels), figsize=(4 * len(panels), 7.2))
    for axes, (title, logits) in zip(np.atleast_1d(grid), panels):
        if logits.shape != (n, n):
            raise ShapeError(f"logits_matrices: got {logits.shape}, expected {(n, n)}")
        shown = axes.imshow(logits, interpolation="none")
        for i in range(n):
            axes.add_patch(
                Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=3)
            )
            inset = axes.inset_axes([-0.085, 1 - (i + 1) / n, 0.08, 1 / n])
            inset.imshow(picture(images[i]), interpolation="none")
            bare(inset)
        axes.set(yticks=[])
        axes.set_xticks(range(n), [textwrap.shorten(w, 22, placeholder=" …") for w in names],
                        rotation=90, fontsize=17)  # fmt: skip
        axes.grid(False)
        bar = fig.colorbar(shown, ax=axes, location="top", pad=0.02, aspect=18, shrink=0.9)
        bar.set_label(f"{title}\nlogit: exp(t) · cosine", fontsize=17)
        bar.locator = MaxNLocator(4)
        bar.update_ticks()
    return fig


# -- F31 -------------------------------------------------------------------------------------------
def pseudocode(steps, captions):
    """F31: the printed lines, and beside each what it made: steps of (code, {name: array}).

    A step without arrays is a comment. Images (n, h, w, c) are drawn as pictures, texts T as their
    captions, a matrix (n, n) as a square with its numbers and its diagonal framed.
    """
    n = len(captions)
    heights = [
        0.5 if not arrays else 3.6 if any(np.shape(v) == (n, n) for v in arrays.values())
        else 2.6 if "T" in arrays else 1.2 if any(map(np.ndim, arrays.values())) else 0.8
        for _, arrays in steps
    ]  # fmt: skip
    fig = plt.figure(figsize=(12, 0.95 * sum(heights)))
    grid = fig.add_gridspec(len(steps), 3, height_ratios=heights, width_ratios=[2.75, 1.2, 1.2])
    for row, (code, arrays) in enumerate(steps):
        axes = fig.add_subplot(grid[row, 0])
        bare(axes)
        axes.text(
            0, 0.5, code, family="monospace", fontsize=17, va="center", transform=axes.transAxes,
            color=BLUE if not arrays else "black",
        )  # fmt: skip
        square = any(np.shape(v) == (n, n) for v in arrays.values())
        for place, (name, value) in enumerate(arrays.items(), 1):
            axes = fig.add_subplot(grid[row, 1:] if square else grid[row, place])
            _drawn(axes, name, np.asarray(value), captions)
            beside = square and np.ndim(value) == 0  # left of the matrix
            where = dict(x=-0.03, y=0.48) if beside else {}
            axes.set_title(f"{name} {list(np.shape(value))}", fontsize=17, pad=4, **where)
            if beside:
                axes.texts[0].set_x(-0.03)
    return fig


def _drawn(axes, name, value, captions):
    n = len(captions)
    if value.ndim == 4:
        axes.imshow(picture(np.concatenate(list(value), axis=1)), interpolation="none")
        bare(axes)
    elif name == "T":
        bare(axes)
        axes.set_ylim(n - 0.5, -0.5)
        for i, caption in enumerate(captions):
            axes.text(0, i, textwrap.shorten(caption, 20, placeholder=" …"), fontsize=17,
                      va="center")  # fmt: skip
    elif value.shape == (n, n):
        heat(axes, value)
        axes.set(aspect="equal")
        axes.set_xlabel("text", fontsize=17)
        axes.set_ylabel("image", fontsize=17)
        limit = np.abs(value).max()
        for i, j in np.ndindex(n, n):
            axes.text(j, i, f"{value[i, j]:.0f}", ha="center", va="center", fontsize=17,
                      color="white" if abs(value[i, j]) > 0.6 * limit else "black")  # fmt: skip
        for i in range(n):
            axes.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, ec="black", lw=3))
    elif value.ndim:
        heat(axes, value)
        if value.ndim == 1:
            for i, v in enumerate(value):
                axes.text(i, 0, f"{v}", ha="center", va="center", fontsize=17,
                          color="white" if v > 0.6 * value.max() else "black")  # fmt: skip
    else:
        bare(axes)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.text(0.5, 0.35, f"{value:.3f}", ha="center", va="center", fontsize=17)


# -- F32 -------------------------------------------------------------------------------------------
def cosine_and_temperature(measured, similarities, names, scales):
    """F32: the cosine of an angle, with `measured` {label: (degrees, cosine) pairs} upon it; and
    softmax of exp(t) · similarities for each of `scales`."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 6.4), width_ratios=[1, 1.15])
    angles = np.linspace(0, 180, 181)
    left.plot(angles, np.cos(np.radians(angles)), color=BLUE)
    for (label, points), color, marker in zip(measured.items(), (ORANGE, GREEN), "os"):
        left.plot(*np.transpose(points), marker, color=color, label=label, alpha=0.6,
                  linestyle="none")  # fmt: skip
    left.axhline(0, color="grey", linewidth=1)
    left.set(
        xticks=range(0, 181, 45), xlabel="angle of image and text (degrees)",
        ylabel="cosine similarity", title="one number for each pair", ylim=(-1.75, 1.1),
        yticks=[-1, -0.5, 0, 0.5, 1],
    )  # fmt: skip
    left.legend(loc="lower left", handletextpad=0)
    y = np.arange(len(similarities))
    for k, scale in enumerate(scales):
        p = softmax(scale * similarities).numpy()
        entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
        right.barh(
            y + (k - (len(scales) - 1) / 2) * 0.8 / len(scales), p, 0.8 / len(scales),
            color=COLORS[k], label=f"{scale:.3g}: {entropy:.2f} nats",
        )  # fmt: skip
    labels = [f"{name}\n{s:.2f}" for name, s in zip(names, similarities)]
    right.set_yticks(y, labels)
    right.invert_yaxis()
    right.set(xlabel="softmax", xlim=(0, 1.05), title="the same cosines, scaled by exp(t)")
    right.legend(title="exp(t): entropy", loc="center right", bbox_to_anchor=(1, 0.4))
    return fig


# -- F33 -------------------------------------------------------------------------------------------
def text_encoder(text, steps, tokens, ids, counts, title):
    """F33: a text on its way to ids, and what the text encoder's parameters are spent on.

    steps: (caption, symbols) rows, from letters to tokens; counts: {part: parameters}.
    """
    fig = plt.figure(figsize=(11, 8.4))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.25, 1])
    axes = upper.subplots()
    bare(axes)
    axes.set(xlim=(0, 1), ylim=(len(steps) + 2.2, -0.6))
    axes.set_title(f"“{text}”", fontsize=18)
    rows = [*steps, ("[SOS] ... [EOS]", tokens), ("ids", [str(i) for i in ids])]
    for y, (caption, symbols) in enumerate(rows):
        axes.text(0, y, caption, va="center", color=BLUE)
        total = sum(len(s) + 2 for s in symbols)
        unit = min(0.0135, 0.78 / total)
        x = 0.21
        for symbol in symbols:
            w = (len(symbol) + 2) * unit
            marked = symbol in ("[SOS]", "[EOS]")
            axes.add_patch(
                Rectangle((x, y - 0.36), w * 0.94, 0.72, facecolor="#fbe3d0" if marked else "white",
                          edgecolor=ORANGE if marked else "grey")
            )  # fmt: skip
            axes.text(x + w * 0.47, y, symbol, ha="center", va="center", fontsize=15.6)
            x += w
    bars = lower.subplots()
    values = [n / 1e6 for n in counts.values()]
    bars.barh(range(len(values)), values, color=BLUE)
    for y, (v, n) in enumerate(zip(values, counts.values())):
        bars.text(v, y, f"  {n:,}", va="center")
    bars.set_yticks(range(len(values)), list(counts))
    bars.invert_yaxis()
    bars.set_title(title, x=0.4)
    bars.set(xlabel="million parameters", xlim=(0, 1.3 * max(values)))
    return fig


# -- F34 -------------------------------------------------------------------------------------------
def image_encoders(rows):
    """F34: rows of dicts: name, parameters and flops (computed, of the image encoder), published
    parameters (millions) and GFLOPs, gpu_days (None: not known here)."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(11.5, 7.5), sharey=True)
    y = np.arange(len(rows))
    colors = [ORANGE if r["name"].startswith("RN") else BLUE for r in rows]
    for axes, ours, theirs, unit in (
        (left, [r["parameters"] / 1e6 for r in rows], "published parameters",
         "image encoder: million parameters"),
        (right, [r["flops"] / 1e9 for r in rows], "published GFLOPs",
         "GFLOPs, one image (log)"),
    ):  # fmt: skip
        axes.barh(y, ours, color=colors, label="computed from our shapes")
        axes.plot([r[theirs] for r in rows], y, "D", color="black", mfc="none", linestyle="none",
                  label="published (open_clip's profile)")  # fmt: skip
        for i, (v, r) in enumerate(zip(ours, rows)):
            days = f",\n{r['gpu_days']:,} V100-days" if r["gpu_days"] and axes is right else ""
            axes.annotate(f"{v:,.1f}{days}", (max(v, r[theirs]), i), (10, 0), va="center",
                          fontsize=16.5, textcoords="offset points")  # fmt: skip
        axes.set_xlabel(unit, fontsize=17)
    left.set_xlim(0, 580)
    right.set(xscale="log", xlim=(4, 60000))
    left.set_yticks(y, [r["name"] for r in rows], fontsize=16.5)
    left.invert_yaxis()
    fig.legend(
        *left.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=16.5
    )
    return fig


# -- F35 -------------------------------------------------------------------------------------------
def efficiency(curves, chance, target=None):
    """F35: accuracy against images seen. curves: {name: (images, accuracy (seeds, points))};
    each seed a thin line, the mean a thick one."""
    fig, axes = plt.subplots(figsize=(10.5, 6.6))
    for k, (name, (seen, accuracy)) in enumerate(curves.items()):
        for one in accuracy:
            axes.plot(seen, one, color=COLORS[k], linewidth=1, alpha=0.5, linestyle="-")
        axes.plot(seen, accuracy.mean(axis=0), color=COLORS[k], linestyle=DASHES[k], marker="o",
                  label=name)  # fmt: skip
    axes.axhline(chance, color="grey", linewidth=1.5, linestyle=":")
    axes.text(seen[-1], chance, "chance", va="bottom", ha="right", color="0.35")
    if target is not None:
        axes.axhline(target, color="black", linewidth=1)
        axes.text(seen[0], target, " images are counted at this level", va="bottom")  # fmt: skip
    axes.set(xscale="log", xlabel="images seen (log)", ylabel="zero-shot accuracy")
    axes.set_xticks(seen, [f"{n:,}" for n in seen])
    axes.minorticks_off()
    axes.legend(bbox_to_anchor=(0, 1), loc="upper left")
    return fig


# -- F36 -------------------------------------------------------------------------------------------
def zero_shot_classifier(image, names, prompts, text_vectors, image_vector, probabilities, true):
    """F36: class names become prompts, prompts vectors, the vectors a classifier's weights.

    text_vectors (d_e, classes), image_vector (d_e,), probabilities (classes,); true: the right one.
    """
    k = len(names)
    fig = plt.figure(figsize=(11.5, 7))
    grid = fig.add_gridspec(2, 3, width_ratios=[2.5, 3, 2], height_ratios=[3, 1])
    axes = fig.add_subplot(grid[0, 0])
    bare(axes)
    axes.set(xlim=(0, 1), ylim=(k - 0.5, -0.5))
    axes.set_title("class names → prompts", fontsize=17)
    for i, (name, prompt) in enumerate(zip(names, prompts)):
        axes.text(0, i - 0.15, name, fontsize=17, va="center", fontweight="bold")
        axes.text(0.02, i + 0.2, f"→ {prompt}", fontsize=17, va="center", color=BLUE)
    axes = fig.add_subplot(grid[0, 1])
    heat(axes, text_vectors.T, np.quantile(np.abs(text_vectors), 0.98))
    axes.set_title(f"text encoder → W, {k} x {text_vectors.shape[0]}", fontsize=17)
    axes.set_ylabel("one row a class", fontsize=17)
    bars = fig.add_subplot(grid[0, 2])
    colors = [ORANGE if i == true else BLUE for i in range(k)]
    bars.barh(range(k), probabilities, color=colors)
    for i, p in enumerate(probabilities):
        bars.text(p + 0.03, i, f"{p:.0%}", va="center", fontsize=17)
    bars.set(ylim=(k - 0.5, -0.5), xlim=(0, 1.35), yticks=[], xticks=[0, 0.5, 1])
    bars.set_title("softmax(exp(t) W·I_e)", fontsize=17)
    axes = fig.add_subplot(grid[1, 0])
    axes.imshow(picture(image), interpolation="none")
    bare(axes)
    axes.text(1.04, 0.5, "→ image\nencoder →", fontsize=17, va="center", transform=axes.transAxes)
    axes = fig.add_subplot(grid[1, 1])
    heat(axes, image_vector, np.quantile(np.abs(image_vector), 0.98))
    axes.set_title(f"I_e, {len(image_vector)} numbers", fontsize=17)
    return fig


# -- F37 -------------------------------------------------------------------------------------------
def sorted_differences(panels):
    """F37: zero-shot minus probe, in points, a bar a data set, the largest on top; panels of
    (title, {data set: points})."""
    rows = max(len(differences) for _, differences in panels)
    fig, grid = plt.subplots(1, len(panels), figsize=(6.2 * len(panels), 1 + 0.34 * rows))
    for axes, (title, differences) in zip(np.atleast_1d(grid), panels):
        names = sorted(differences, key=differences.get, reverse=True)
        values = [differences[n] for n in names]
        axes.barh(range(len(names)), values, color=[BLUE if v > 0 else ORANGE for v in values])
        reach = max(1.0, *np.abs(values))
        for i, v in enumerate(values):
            axes.text(v + 0.02 * reach * np.sign(v or 1), i, f"{v:+.1f}", va="center",
                      ha="left" if v >= 0 else "right", fontsize=17.4)  # fmt: skip
        axes.axvline(0, color="black", linewidth=1)
        axes.set_yticks(range(len(names)), names, fontsize=17.4)
        axes.tick_params(axis="x", labelsize=17.4)
        low, high = min(0, *values), max(0, *values)
        room = 0.5 * (high - low)  # for the numbers
        axes.set_xlim(low - room * (low < 0), high + room * (0.6, 1)[high > 0])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("zero-shot minus probe (points)", fontsize=17.4)
        axes.set_title(title, fontsize=17.4)
        axes.set_ylim(len(names) - 0.4, -0.6)
    return fig


# -- F38 -------------------------------------------------------------------------------------------
def compute_efficiency(panels):
    """F38: panels of (title, x label, y label, {family: [(name, flops, score, scores)]}); `scores`
    of single runs are drawn as small dots. A line leads from a model of the first family to what
    the second spends for the same score."""
    fig, grid = plt.subplots(1, len(panels), figsize=(5.7 * len(panels), 6.2))
    for axes, (title, x_label, y_label, families) in zip(np.atleast_1d(grid), panels):
        for k, (family, models) in enumerate(families.items()):
            models = sorted(models, key=lambda m: m[1])
            axes.plot([m[1] for m in models], [m[2] for m in models], marker="os"[k % 2],
                      color=COLORS[k], linestyle=DASHES[k], label=family)  # fmt: skip
            for name, flops, score, scores in models:
                axes.plot([flops] * len(scores), scores, ".", color=COLORS[k], alpha=0.5,
                          linestyle="none", markersize=7)  # fmt: skip
                axes.annotate(name, (flops, score), (8, -18) if k else (-8, 8), fontsize=16,
                              textcoords="offset points", color=COLORS[k],
                              ha="left" if k else "right")  # fmt: skip
        axes.set(xscale="log", xlabel=x_label, ylabel=y_label)
        times_more(axes, *([m[1:3] for m in models] for models in families.values()))
        spent = [m[1] for models in families.values() for m in models]
        few = max(spent) < 20 * min(spent)  # powers of ten alone would be too few
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_title(title, fontsize=16)
        axes.margins(x=0.4, y=0.18)
        axes.legend(loc="lower right")
    return fig


# -- F39 -------------------------------------------------------------------------------------------
def example_cards(cards):
    """F39: cards of (title, image, labels, probabilities, true, candidates): the labels that were
    ranked first, best first; `true` is the right label, `candidates` how many there were."""
    columns = 2
    rows = -(-len(cards) // columns)
    fig = plt.figure(figsize=(6 * columns, 3.7 * rows))
    for part, (title, image, labels, p, true, candidates) in zip(
        np.atleast_1d(fig.subfigures(rows, columns).ravel()), cards, strict=False
    ):
        order = np.argsort(-p)
        rank = int(np.flatnonzero(order == labels.index(true))[0]) + 1
        shown = list(order[:5]) if rank <= 5 else [*order[:4], order[rank - 1]]
        part.suptitle(
            f"{title}: {true}\n{p[order[rank - 1]]:.1%}, ranked {rank} out of {candidates}",
            fontsize=17,
            color=GREEN if rank == 1 else ORANGE,
        )
        left, right = part.subplots(1, 2, width_ratios=[1, 2.6])
        left.imshow(picture(image), interpolation="none")
        bare(left)
        is_true = [labels[i] == true for i in shown]
        right.barh(range(len(shown)), [p[i] for i in shown], 0.26,
                   color=[GREEN if t else ORANGE for t in is_true])  # fmt: skip
        for y, (i, t) in enumerate(zip(shown, is_true)):
            name = textwrap.shorten(labels[i], 28, placeholder=" …")
            right.text(0.02, y - 0.42, f"{RIGHT if t else WRONG} {name}  {p[i]:.1%}",
                       va="center", fontsize=17)  # fmt: skip
        right.set(xlim=(0, 1), ylim=(len(shown) - 0.6, -0.8), yticks=[], xticks=[0, 0.5, 1])
        right.tick_params(labelsize=17)
    return fig


# -- F40 -------------------------------------------------------------------------------------------
def prompts(accuracies, chance, published):
    """F40: accuracy for each way of asking, {way: {set: share}}; published: a sentence."""
    fig, axes = plt.subplots(figsize=(11, 7))
    sets = list(next(iter(accuracies.values())))
    width = 0.8 / len(accuracies)
    for k, (way, of) in enumerate(accuracies.items()):
        x = np.arange(len(sets)) + (k - (len(accuracies) - 1) / 2) * width
        axes.bar(x, [100 * of[s] for s in sets], width * 0.94, color=COLORS[k], label=way)
        for place, s in zip(x, sets):
            axes.text(
                place, 100 * of[s] + 0.4, f"{100 * of[s]:.0f}", ha="center", va="bottom",
                bbox=dict(facecolor="white", edgecolor="none", pad=0.5),
            )  # fmt: skip
    for i, s in enumerate(sets):
        axes.hlines(100 * chance[s], i - 0.45, i + 0.45, color="black", linestyle=":", zorder=2.5,
                    label=None if i else "chance, or the largest class")  # fmt: skip
    axes.set_xticks(range(len(sets)), sets)
    top = max(v for of in accuracies.values() for v in of.values())
    axes.set(ylabel="zero-shot accuracy (%)", ylim=(0, 100 * top * 1.5))
    axes.legend(loc="upper right")
    axes.set_title(published, fontsize=16)
    return fig
