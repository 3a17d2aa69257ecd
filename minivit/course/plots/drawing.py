"""Shared by the figures: pictures without ticks, heat maps, tables, smoothed curves."""

import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from minivit.course import COLORS
from minivit.engine.errors import ShapeError

BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK = COLORS
SIGNS = "colours of a matrix: purple +, orange −, white 0"
POINTS = 14.4  # of a note below a figure, were it ten inches wide


def picture(image):
    """(H, W, 1 or 3) in [-1, 1] -> (H, W, 3) in [0, 1], for imshow."""
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ShapeError(f"plots: got an image of shape {image.shape}, expected (H, W, 1 or 3)")
    return np.repeat(np.clip((image + 1) / 2, 0, 1), 4 - image.shape[2], axis=2)[:, :, :3]


def bare(axes):
    """No ticks, no grid, no frame: for pictures and words."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def framed(axes, color="grey", linewidth=0.8):
    """No ticks and no grid, a frame all round."""
    bare(axes)
    axes.spines[:].set(visible=True, color=color, linewidth=linewidth)


def heat(axes, values, limit=None, title=None, color="black", extent=None):
    """A matrix in colours, zero white; a vector is one row. limit: where the colours end."""
    values = np.atleast_2d(values)
    limit = limit or float(np.abs(values).max()) or 1.0
    colours = dict(cmap="PuOr", vmin=-limit, vmax=limit)
    axes.imshow(values, aspect="auto", interpolation="none", extent=extent, **colours)
    note(axes.figure, SIGNS)
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    if title:
        axes.set_title(title, fontsize=16, color=color)


def note(fig, words):
    """Write a line below the whole figure that holds `fig`; the same words stand there once."""
    fig = fig.figure  # of a part, the whole
    size = POINTS * max(1, fig.get_figwidth() / 10)
    letters = int(fig.get_figwidth() * 72 / (0.53 * size))
    line = textwrap.fill(words.replace("$", r"\$"), letters, break_on_hyphens=False)
    said = fig.get_supxlabel()
    if line not in said:
        lines = f"{said}\n{line}".strip()
        fig.supxlabel(lines, x=0.01, ha="left", fontsize=size, color="0.3")


def sign(axes, text, size=24):
    """An arrow, a plus or an equals sign between two panels."""
    axes.text(0.5, 0.5, text, fontsize=size, ha="center", va="center", transform=axes.transAxes)
    bare(axes)


def shown(token):
    """A token as matplotlib draws it: its blanks to be seen, no $ taken for a formula."""
    return token.replace(" ", "␣").replace("$", r"\$")


def sheet(images, columns, gap=1, value=1.0):
    """A contact sheet: (n, H, W, C) -> one picture, `columns` a row, gaps of `gap` pixels."""
    n, H, W, C = images.shape
    rows = -(-n // columns)
    out = np.full((rows * (H + gap) - gap, columns * (W + gap) - gap, C), value, images.dtype)
    for i, image in enumerate(images):
        y, x = (i // columns) * (H + gap), (i % columns) * (W + gap)
        out[y : y + H, x : x + W] = image
    return out


def smoothed(axes, runs, window=20):
    """Loss against step, the mean of `window` steps: {label: losses}."""
    for label, losses in runs.items():
        smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
        axes.plot(np.arange(window, len(losses) + 1), smooth, label=label)
    axes.legend()


def arrow(axes, start, end, linewidth, zorder):
    """From point to point of the data, up to both."""
    ends = dict(arrowstyle="->", linewidth=linewidth, shrinkA=0, shrinkB=0)
    axes.annotate("", end, start, zorder=zorder, arrowprops=ends)


def times_more(axes, points, others=()):
    """An arrow from each (x, y) to where the curve of others has its y, and how many times its x
    that is: more than the last one's, where none reaches so far up; no arrow from below them all.
    x is on a logarithmic axis."""
    others = sorted((y, x) for x, y in others)
    for x, y in points:
        if others and others[0][0] <= y:
            heights, places = zip(*others)
            there = np.exp(np.interp(y, heights, np.log(places)))
            more = "> " * bool(y > heights[-1])
            if there <= x:
                continue
            arrow(axes, (x, y), (there, y), linewidth=2, zorder=0)
            axes.annotate(f"x {more}{there / x:.1f}", (there, y), (8, 0), va="center",
                          textcoords="offset points", fontweight="bold")  # fmt: skip


def learning(histories, labels):
    """Loss against step on a logarithmic axis, a line for each run."""
    fig, axes = plt.subplots()
    smoothed(axes, dict(zip(labels, histories, strict=True)))
    axes.set(xlabel="step", ylabel="cross-entropy loss (nats)", yscale="log")
    return fig


TABLE = 13.6  # inches


def tables(parts):
    """F21: tables as a figure, one below the other: words and exact numbers.

    parts: [(title, header, rows, marked)]; marked: the (row, column) of the cells in bold.
    """
    for title, header, rows, _ in parts:
        if any(len(row) != len(header) for row in rows):
            raise ShapeError(f"tables: {title}: a row has more or fewer cells than {header}")
    heights = [1.1 + 0.38 * _lines(header) + 0.54 * len(rows) for _, header, rows, _ in parts]
    fig = plt.figure(figsize=(TABLE, sum(heights)))
    for part, given in zip(
        np.atleast_1d(fig.subfigures(len(parts), 1, height_ratios=heights)), parts
    ):
        _table(part.subplots(), *given)
    return fig


def _lines(header):
    return 1 + max(name.count("\n") for name in header)


def _table(axes, title, header, rows, marked):
    words = [[f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in rows]
    widths = [
        max(
            [_wide(line, "normal") for line in name.split("\n")]
            + [_wide(w, "bold") for w in column]
        )
        for name, *column in zip(header, *words)
    ]
    bare(axes)
    axes.set_title(title, fontsize=20, fontweight="bold")
    gap = (TABLE - sum(widths)) / len(widths)
    edges = np.cumsum([0, *(w + gap for w in widths)])
    axes.set(xlim=(0, edges[-1]), ylim=(len(rows) + 0.1, -0.5 - 0.65 * _lines(header)))
    for j, name in enumerate(header):
        side, x = ("left", 0.1) if j == 0 else ("right", edges[j + 1] - 0.1)
        axes.text(x, -0.45, name, ha=side, va="bottom", fontsize=19.5, color=BLUE)
        for i, row in enumerate(words):
            bold = (i, j) in marked
            axes.text(
                x, i + 0.35, row[j], ha=side, va="center", fontsize=19.5,
                color=ORANGE if bold else "black", fontweight="bold" if bold else "normal",
            )  # fmt: skip
    for y in [-0.3, *np.arange(1, len(rows)) - 0.15]:
        axes.axhline(y, color="black", linewidth=1.5 if y < 0 else 0.3)


def _wide(words, weight):
    """Inches of a table's cell."""
    if not words:
        return 0.0
    font = FontProperties(weight=weight)
    return TextPath((0, 0), words.replace("$", ""), size=19.5, prop=font).get_extents().width / 72


def show(fig, alt):
    """Show a figure that is not one of the forty, with its alt text, and close it."""
    from IPython import display, get_ipython

    png = io.BytesIO()
    fig.savefig(png, dpi=100, bbox_inches="tight", facecolor="white")
    plt.close(fig)
    if get_ipython() is not None:
        about = {"image/png": {"alt": alt, "width": round(80 * fig.get_figwidth())}}
        content = {"image/png": png.getvalue(), "text/plain": alt}
        display.display(content, metadata=about, raw=True)
