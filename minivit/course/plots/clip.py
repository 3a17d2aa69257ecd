"""The CLIP lecture's figures of the model, F30 to F34 and F36; clip_results.py has the others.

The data were computed before; here are only axes. Tests check what is in a figure: its arrays,
bars and words.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from minivit.course import COLORS
from minivit.course.plots.drawing import BLUE, GREEN, ORANGE, bare, framed, heat, note, picture
from minivit.engine.errors import ShapeError
from minivit.functions import softmax


# -- F30 -------------------------------------------------------------------------------------------
def logits_matrices(panels, images, names):
    """F30: (title, logits (n, n)) side by side, one row an image, one column a text; the diagonal,
    where image and text belong together, is framed. Text k is the name of image k."""
    n = len(images)
    fig, grid = plt.subplots(1, len(panels), figsize=(4.6 * len(panels), 5.9))
    for first, (axes, (title, logits)) in enumerate(zip(np.atleast_1d(grid), panels)):
        if logits.shape != (n, n):
            raise ShapeError(f"logits_matrices: got {logits.shape}, expected {(n, n)}")
        shown = axes.imshow(logits, interpolation="none")
        for i in range(n):
            axes.add_patch(
                Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=3)
            )
            inset = axes.inset_axes([-0.1, 1 - (i + 0.96) / n, 0.09, 0.92 / n])
            inset.imshow(picture(images[i]), interpolation="none")
            framed(inset)  # white pictures on white paper
        axes.set(xticks=range(0, n, 2), xticklabels=range(1, n + 1, 2), yticks=range(n))
        axes.set_yticklabels(
            [] if first else
            [f"{textwrap.shorten(w, 22, placeholder=' …')}  {i}" for i, w in enumerate(names, 1)]
        )  # fmt: skip
        axes.tick_params(length=0, labelsize=19.8)
        axes.tick_params(axis="y", pad=34)
        axes.grid(False)
        axes.set_xlabel("text", fontsize=19.8)
        bar = fig.colorbar(shown, ax=axes, location="top", pad=0.02, aspect=18, shrink=0.9)
        bar.set_label(title, fontsize=19.8, labelpad=12)
        bar.ax.tick_params(labelsize=19.8)
        bar.locator = MaxNLocator(4)
        bar.update_ticks()
    fig.suptitle(
        "logits: exp(t) · cosine, an image a row, a text a column; framed: what belongs together",
        fontsize=19.8,
    )
    return fig


# -- F31 -------------------------------------------------------------------------------------------
SIZE, LINE = 19.6, 24  # the printed code: points of a letter, and from line to line
WIDE, TALL = 13.5, 1.6  # the page in inches; a matrix in lines


def pseudocode(blocks, captions):
    """F31: the printed lines in blocks, and beside each what it made: (code, {name: array}).

    Numbers and rows of integers stand behind the line that begins with their name. Images I and
    texts T are drawn as pairs, a matrix (n, n) with its numbers and its diagonal framed.
    """
    n = len(captions)
    heights = [max(len(code.split("\n")), _drawn_lines(arrays, n)) for code, arrays in blocks]
    total = sum(heights) + 0.6 * len(blocks) + 0.7  # room for a note
    fig = plt.figure(figsize=(WIDE, total * LINE / 72))
    fig.set_layout_engine("none")  # each thing has its place in lines
    page = fig.add_axes([0, 0, 1, 1])
    bare(page)
    page.set(xlim=(0, WIDE), ylim=(total, 0))

    def place(x, y, w, h):
        return fig.add_axes([x / WIDE, 1 - (y + h) / total, w / WIDE, h / total])

    top = 0.0
    for (code, arrays), height in zip(blocks, heights):
        _printed(page, code, arrays, top)
        matrices = {k: v for k, v in arrays.items() if np.ndim(v) > 1 and k not in ("I", "T")}
        if "I" in arrays:
            _pairs(page, place, arrays["I"], arrays["T"], captions, top)
        for k, (name, value) in enumerate(matrices.items()):
            if value.shape == (n, n):
                axes = place(10.35, top + 1, 3.1, height - 2.2)
                _numbered(axes, value)
            else:
                row, column = divmod(k, 2)
                axes = place(8.5 + 2.6 * column, top + row * (TALL + 1.2) + 1, 2.35, TALL)
                heat(axes, value)
            axes.set_title(f"{name} {list(value.shape)}", fontsize=SIZE, pad=6)
        top += height + 0.6
    return fig


def _drawn_lines(arrays, n):
    """How many lines the arrays of a block need."""
    shapes = [np.shape(v) for name, v in arrays.items() if name not in ("I", "T")]
    if (n, n) in shapes:
        return n + 2.2
    pairs = n + 1 if "I" in arrays else 0
    return max(pairs, (TALL + 1.2) * -(-sum(len(s) > 1 for s in shapes) // 2))


def _printed(page, code, arrays, top):
    for i, text in enumerate(code.split("\n")):
        y, comment = top + i + 0.5, text.startswith("#")
        page.text(0.1, y, text, family="monospace", fontsize=SIZE, va="center",
                  color=BLUE if comment else "black")  # fmt: skip
        value = arrays.get(text.lstrip("# ").split(" ")[0])
        if value is not None and np.ndim(value) < 2:
            words = " ".join(map(str, value)) if np.ndim(value) else f"{value:.4f}"
            x = 0.1 + 0.602 * SIZE / 72 * len(text)  # each letter of DejaVu Sans Mono is 0.602 wide
            page.text(x, y, f" → {words}", fontsize=SIZE, va="center", color=GREEN)


def _pairs(page, place, images, texts, captions, top):
    """Each image beside its text, as both stand in the batch."""
    for x, name, value in ((9.8, "I", images), (12, "T", texts)):
        page.text(x, top + 0.5, f"{name} {list(value.shape)}", fontsize=SIZE, va="center",
                  ha="center")  # fmt: skip
    for i, (image, caption) in enumerate(zip(images, captions)):
        axes = place(9.8 - 0.165, top + 1.05 + i, 0.33, 0.95)
        axes.imshow(picture(image), interpolation="none")
        bare(axes)
        page.text(10.4, top + 1.5 + i, textwrap.shorten(caption, 20, placeholder=" …"),
                  fontsize=SIZE, va="center")  # fmt: skip


def _numbered(axes, value):
    heat(axes, value)
    axes.set_xlabel("text", fontsize=SIZE)
    axes.set_ylabel("image", fontsize=SIZE)
    limit = np.abs(value).max()
    for i, j in np.ndindex(*value.shape):
        axes.text(j, i, f"{value[i, j]:.0f}", ha="center", va="center", fontsize=SIZE,
                  color="white" if abs(value[i, j]) > 0.6 * limit else "black")  # fmt: skip
    for i in range(len(value)):
        axes.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, ec="black", lw=3))


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
        ylabel="cosine similarity", title="cosine: a number for each pair", ylim=(-1.5, 1.1),
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
    right.set(xlabel="probability", xlim=(0, 1.05), title="softmax of exp(t) times cosine")
    note(fig, f"Below each name: its cosine with one emoji. Softmax over these {len(names)} names.")
    right.legend(title="exp(t): entropy", loc="center right", bbox_to_anchor=(1, 0.4))
    return fig


# -- F33 -------------------------------------------------------------------------------------------
def text_encoder(title, steps, tokens, ids, counts, paper):
    """F33: a text on its way to ids, and what the text encoder's parameters are spent on.

    steps: (caption, symbols) rows, from letters to tokens; counts: {part: parameters}; title,
    paper: whose tokenizer is drawn above, whose encoder below.
    """
    fig = plt.figure(figsize=(11, 7.2))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.2, 1])
    axes = upper.subplots()
    bare(axes)
    axes.set(xlim=(0, 1), ylim=(len(steps) + 1.5, -0.5))
    axes.set_title(title, fontsize=18)
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
            axes.text(x + w * 0.47, y, symbol, ha="center", va="center", fontsize=15.8)
            x += w
    bars = lower.subplots()
    values = [n / 1e6 for n in counts.values()]
    bars.barh(range(len(values)), values, color=BLUE)
    for y, (v, n) in enumerate(zip(values, counts.values())):
        bars.text(v, y, f"  {n:,}", va="center")
    bars.set_yticks(range(len(values)), list(counts))
    bars.invert_yaxis()
    bars.set_title(paper, x=0.4)
    bars.set(xlabel="million parameters", xlim=(0, 1.3 * max(values)))
    return fig


# -- F34 -------------------------------------------------------------------------------------------
def image_encoders(rows):
    """F34: rows of dicts: name, parameters and flops (computed, of the image encoder), published
    parameters (millions) and GFLOPs, gpu_days (None: not known here)."""
    fig, panels = plt.subplots(1, 3, figsize=(13, 7.2), sharey=True, width_ratios=[1, 1, 0.95])
    y = np.arange(len(rows))
    colors = [ORANGE if r["name"].startswith("RN") else BLUE for r in rows]
    for axes, ours, theirs, unit in (
        (panels[0], [r["parameters"] / 1e6 for r in rows], "published parameters",
         "million parameters"),
        (panels[1], [r["flops"] / 1e9 for r in rows], "published GFLOPs",
         "GFLOPs, one image (log)"),
    ):  # fmt: skip
        axes.barh(y, ours, color=colors)
        axes.plot([r[theirs] for r in rows], y, "D", color="black", mfc="none", linestyle="none")
        _at_the_end(axes, [f"{v:,.1f}" for v in ours], np.fmax(ours, [r[theirs] for r in rows]), 10)
        axes.set_xlabel(unit, fontsize=18.6)
    panels[0].set_xlim(0, 640)
    panels[1].set(xscale="log", xlim=(4, 4000))
    axes = panels[2]
    days = np.array([r["gpu_days"] or np.nan for r in rows], float)
    axes.barh(y, days, facecolor="white", edgecolor="black", linewidth=1.5)
    _at_the_end(axes, [f"{d:,.0f}" for d in days], days, 6)
    least, most = np.nanmin(days), np.nanmax(days)
    if most > least:  # how many times as long the other one took
        at = int(np.nanargmin(days))
        axes.annotate("", (most, at + 0.62), (least, at + 0.62), arrowprops=dict(arrowstyle="<->"))
        axes.plot([most, most], [int(np.nanargmax(days)) + 0.4, at + 0.75], "k:", linewidth=1)
        axes.text((least + most) / 2, at + 0.75, f"x {most / least:.1f}", ha="center", va="top",
                  fontsize=18.6, fontweight="bold")  # fmt: skip
    axes.set(xlim=(0, 1.5 * most), xticks=[0, 5000, 10000], xticklabels=["0", "5,000", "10,000"])
    axes.set_xlabel("V100-days (published)", fontsize=18.6)
    panels[0].set_yticks(y, [r["name"] for r in rows], fontsize=18.6)
    panels[0].invert_yaxis()
    for axes in panels:
        axes.tick_params(axis="x", labelsize=18.6)
    kinds = [Patch(color=ORANGE, label="ResNet, computed"),
             Patch(color=BLUE, label="ViT, computed"),
             Line2D([], [], marker="D", color="black", mfc="none", linestyle="none",
                    label="published")]  # fmt: skip
    fig.legend(handles=kinds, loc="outside upper center", ncols=3, fontsize=18.6)
    return fig


def _at_the_end(axes, words, places, gap):
    """Words behind the bars; none where a place is not a number."""
    for i, (word, place) in enumerate(zip(words, places)):
        if np.isfinite(place):
            axes.annotate(word, (place, i), (gap, 0), textcoords="offset points", va="center",
                          fontsize=18.6)  # fmt: skip


# -- F36 -------------------------------------------------------------------------------------------
def zero_shot_classifier(image, names, prompts, text_vectors, image_vector, probabilities, true):
    """F36: class names become prompts, prompts vectors, the vectors a classifier's weights.

    text_vectors W (d_e, classes), drawn a row a class; image_vector (d_e,), probabilities
    (classes,); true: the right one.
    """
    k = len(names)
    fig = plt.figure(figsize=(12, 7.2))
    grid = fig.add_gridspec(2, 3, width_ratios=[2.5, 3, 2], height_ratios=[3, 1])
    axes = fig.add_subplot(grid[0, 0])
    bare(axes)
    axes.set(xlim=(0, 1), ylim=(k - 0.5, -0.5))
    axes.set_title("class names → prompts", fontsize=17.5)
    for i, (name, prompt) in enumerate(zip(names, prompts)):
        axes.text(0, i - 0.17, name, fontsize=17.5, va="center", fontweight="bold")
        axes.text(0.02, i + 0.2, f"→ {prompt}", fontsize=17.5, va="center", color=BLUE)
    weights = fig.add_subplot(grid[0, 1])
    heat(weights, text_vectors.T, np.quantile(np.abs(text_vectors), 0.98))
    weights.set_title(f"→ text encoder → Wᵀ, {k} x {text_vectors.shape[0]}", fontsize=17.5)
    weights.set_ylabel("a class a row", fontsize=17.5)
    bars = fig.add_subplot(grid[0, 2])
    colors = [ORANGE if i == true else BLUE for i in range(k)]
    bars.barh(range(k), probabilities, color=colors)
    for i, p in enumerate(probabilities):
        bars.text(p + 0.03, i, f"{p:.0%}", va="center", fontsize=17.5)
    bars.set(ylim=(k - 0.5, -0.5), xlim=(0, 1.35), yticks=[], xticks=[0, 0.5, 1])
    bars.set_xlabel("orange: true class", fontsize=17.5)
    bars.set_title("softmax(exp(t) I_e W)", fontsize=17.5)
    axes = fig.add_subplot(grid[1, 0])
    axes.imshow(picture(image), interpolation="none")
    bare(axes)
    axes.text(1.04, 0.5, "→ image\nencoder →", fontsize=17.5, va="center", transform=axes.transAxes)
    vector = fig.add_subplot(grid[1, 1])
    heat(vector, image_vector, np.quantile(np.abs(image_vector), 0.98))
    vector.set_title(f"I_e, {len(image_vector)} numbers", fontsize=17.5)
    words = fig.add_subplot(grid[1, 2])
    bare(words)
    words.text(0.5, 0.35, "I_e times each row,\n· exp(t), softmax", fontsize=17.5, ha="center",
               va="center", transform=words.transAxes)  # fmt: skip
    words.annotate("", (0.5, 1.12), (-0.06, 0.6), xycoords="axes fraction",
                   arrowprops=dict(arrowstyle="->", linewidth=2))  # fmt: skip
    return fig
