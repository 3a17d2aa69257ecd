"""The figures of lecture 3: text to vectors, F06 and F07."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from minivit.course.plots.drawing import BLUE, ORANGE, bare, heat, shown, sign


# -- lecture 3 -------------------------------------------------------------------------------------
def pipeline(text, steps, ids, vectors):
    """F06: string -> merges -> ids -> vectors.

    steps: for each piece of the text the lists of symbols after each merge; ids: (N,) the ids of
    all tokens; vectors (N, D).
    """
    fig = plt.figure(figsize=(11, 7.7))
    fig.suptitle("A text on its way in: string → merges → tokens → ids → vectors", fontsize=18)
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.5, 1])
    axes = upper.subplots()
    bare(axes)
    widths = [max(sum(len(s) + 1.2 for s in row) for row in word) + 1.5 for word in steps]
    deepest = max(len(word) for word in steps)
    for word, x in zip(steps, np.cumsum([0, *widths])):
        for y, symbols in enumerate(word):
            at = x
            for symbol in symbols:
                width = len(symbol) + 0.9
                last = y == len(word) - 1
                box = plt.Rectangle(
                    (at, -y - 0.4), width, 0.75, facecolor="#FBE3CF" if last else "#E3EEF6",
                    edgecolor=ORANGE if last else BLUE, linewidth=2 if last else 1,
                )  # fmt: skip
                axes.add_patch(box)
                axes.text(
                    at + width / 2, -y - 0.03, _blank(symbol), ha="center", va="center",
                    fontsize=16, family="monospace",
                )  # fmt: skip
                at += len(symbol) + 1.2
    axes.set(xlim=(-0.5, sum(widths)), ylim=(-deepest, 1))
    blank = "; ␣: a blank" if any("Ġ" in s for word in steps for s in word[0]) else ""
    axes.set_title(f'"{text}": each row one merge later; orange: the tokens{blank}', fontsize=17)

    left, right = lower.subfigures(1, 2, width_ratios=[1, 2])
    axes = left.subplots()
    bare(axes)
    tokens = [symbol for word in steps for symbol in word[-1]]
    axes.set(xlim=(0, 1), ylim=(len(ids), -1))
    axes.set_title("tokens → ids", fontsize=18)
    for n, (token, id) in enumerate(zip(tokens, ids, strict=True)):
        axes.text(0.45, n, _blank(token), ha="right", va="center", family="monospace", fontsize=16)
        axes.text(0.55, n, f"→ {id}", va="center", fontsize=16, color=BLUE)
    axes = right.subplots()
    heat(axes, vectors)
    axes.set_title(f"vectors: rows of the table, {len(ids)} x {vectors.shape[1]}", fontsize=18)
    axes.set(yticks=range(len(ids)), xlabel="feature")
    axes.set_yticklabels([f"{id}" for id in ids], fontsize=16)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return fig


def _blank(symbol):
    """A symbol of byte-level BPE, which writes a blank as Ġ; all figures draw it as ␣."""
    return shown(symbol.replace("Ġ", " "))


def look_up(words, ids, table, one_hot, rows, title):
    """F07: one-hot (N, V) times the table (V, D) = rows of the table (N, D)."""
    names = [f"{word} → {id}" for word, id in zip(words, ids, strict=True)]
    fig = plt.figure(figsize=(11, 6.5))
    fig.suptitle(title, fontsize=18)
    panels = fig.subplots(1, 5, width_ratios=[1.6, 0.35, 1.2, 0.3, 1.2])
    panels[0].imshow(one_hot, cmap="Greys", aspect="auto", vmin=0, vmax=1, interpolation="none")
    panels[0].set_title(f"one-hot\nN x V = {one_hot.shape[0]} x {one_hot.shape[1]}", fontsize=16)
    panels[0].set(yticks=range(len(ids)), xlabel="token id")
    panels[0].set_yticklabels(names, fontsize=16)
    panels[0].grid(False)
    sign(panels[1], "×")
    limit = float(np.abs(table).max())
    heat(panels[2], table, limit)
    panels[2].set_title(f"the table\nV x D = {table.shape[0]} x {table.shape[1]}", fontsize=16)
    for i in sorted(set(ids)):
        arrow = dict(arrowstyle="->", color=ORANGE, linewidth=2)
        panels[2].annotate(
            f"{i}", (-0.5, i), (-3, i), arrowprops=arrow, color=ORANGE, fontsize=16, va="center"
        )
        panels[2].add_patch(
            plt.Rectangle((-0.5, i - 0.5), table.shape[1], 1, fill=False, ec=ORANGE, lw=2)
        )
    panels[2].set_xlabel("feature")
    sign(panels[3], "=")
    heat(panels[4], rows, limit)
    panels[4].set_title(
        f"rows of the table\nN x D = {rows.shape[0]} x {rows.shape[1]}", fontsize=16
    )
    panels[4].set(yticks=range(len(ids)), xlabel="feature")
    panels[4].set_yticklabels([f"{i}" for i in ids], fontsize=16, color=ORANGE)
    for axes in (panels[2], panels[4]):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return fig
