"""Block diagrams: the layer in both orders, the encoder-decoder, CLIP's two encoders."""

import itertools

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from minivit.course.plots.drawing import BLUE, GREEN, ORANGE, PINK, bare, heat

PALE = {BLUE: "#E3EEF6", ORANGE: "#FBE3CF", GREEN: "#DDF1EA", PINK: "#F7E8F0", "grey": "#EEEEEE"}


def _canvas(width, height, figsize):
    fig, axes = plt.subplots(figsize=figsize)
    bare(axes)
    axes.set(xlim=(0, width), ylim=(0, height))
    return fig, axes


def _box(axes, x, y, words, color, width=2.4, height=0.7):
    """A box with its middle at (x, y)."""
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.05",
            facecolor=PALE[color], edgecolor=color, linewidth=2,
        )
    )  # fmt: skip
    axes.text(x, y, words.strip(), ha="center", va="center", fontsize=17.5)


def _arrow(axes, *points, color="black", words="", at=(0.1, 0.0)):
    """A line through the points with a head at its end; words beside its last corner."""
    for a, b in itertools.pairwise(points[:-1]):
        axes.plot(*zip(a, b), color=color, linestyle="-", linewidth=2)
    axes.annotate(
        "", points[-1], points[-2],
        arrowprops=dict(arrowstyle="->", color=color, linewidth=2, mutation_scale=20),
    )  # fmt: skip
    if words:
        x, y = points[-2]
        axes.text(x + at[0], y + at[1], words, color=color, fontsize=16)


def _plus(axes, x, y):
    axes.text(x, y, "+", ha="center", va="center", fontsize=18,
              bbox=dict(boxstyle="circle,pad=0.12", fc="white", ec="black", lw=2))  # fmt: skip


def _column(axes, x, y, stages, side=-1):
    """Boxes from (x, y) upwards, joined by arrows; "+" is where a residual path comes in, and "("
    where it leaves, to the left (side -1) or the right. Returns {box: y}."""
    places, left = {}, None
    for words, color in stages:
        if words == "(":
            left = y + 0.15
            continue
        step = 0.75 if words == "+" else 1.1
        _arrow(axes, (x, y), (x, y + step - (0.24 if words == "+" else 0.4)))
        y += step
        if words == "+":
            _plus(axes, x, y)
            out = x + side * 1.75
            _arrow(axes, (x, left), (out, left), (out, y), (x + side * 0.24, y), color=PINK)
        else:
            _box(axes, x, y, words, color)
            y += 0.4
            places[words] = y - 0.4
            continue
        y += 0.22
    _arrow(axes, (x, y), (x, y + 0.5))
    return places


def two_orders():
    """The layer in both orders, alone."""
    fig, axes = plt.subplots(figsize=(10, 10.2))
    draw_two_orders(axes)
    return fig


def draw_two_orders(axes):
    """The layer with LayerNorm behind each half, and in front of it: what is on the residual path
    (pink) is normed twice, or not at all."""
    bare(axes)
    axes.set(xlim=(0.5, 9), ylim=(0, 9.9))
    half = {"attention": BLUE, "mlp": ORANGE}
    post, pre = [], []
    for name, color in half.items():
        post += [("(", ""), (name, color), ("+", ""), (f"LayerNorm{' ' * len(post)}", GREEN)]
        pre += [("(", ""), (f"LayerNorm{' ' * len(pre)}", GREEN), (name, color), ("+", "")]
    for x, title, stages in (
        (2.6, "original:\npost-LN", post),
        (7.2, "GPT-2, Image\nGPT: pre-LN", pre),
    ):
        _column(axes, x, 0.6, stages)
        axes.text(x, 0.2, "X", ha="center", fontsize=18)
        axes.text(x, 9.2, title, ha="center", fontsize=18, fontweight="bold")


def encoder_decoder():
    """One layer of each: the decoder's extra stage takes its queries from the decoder, keys and
    values from the encoder's output."""
    fig, axes = _canvas(11, 13.6, (11.5, 13.2))
    encoder = [("(", ""), ("self-attention", BLUE), ("+", ""), ("LayerNorm", GREEN), ("(", ""),
               ("mlp", ORANGE), ("+", ""), ("LayerNorm ", GREEN)]  # fmt: skip
    decoder = [("(", ""), ("causal\nself-attention", BLUE), ("+", ""), ("LayerNorm", GREEN),
               ("(", ""), ("cross-attention", BLUE), ("+", ""), ("LayerNorm ", GREEN), ("(", ""),
               ("mlp", ORANGE), ("+", ""), ("LayerNorm  ", GREEN)]  # fmt: skip
    top = _column(axes, 2.6, 0.6, encoder)["LayerNorm "] + 0.9
    places = _column(axes, 8.0, 0.6, decoder, side=1)
    y = places["cross-attention"]
    _arrow(axes, (2.6, top), (5.3, top), (5.3, y), (6.75, y), color=BLUE)
    axes.text(5.4, y + 0.15, "K, V", color=BLUE, fontsize=17.5, fontweight="bold")
    axes.text(8.1, y - 0.7, "Q", color=BLUE, fontsize=17.5, fontweight="bold")
    for x, words in ((2.6, "source: all tokens at once"), (8.0, "target so far")):
        axes.text(x, 0.3, words, ha="center", fontsize=17.5)
    axes.text(2.6, top + 0.2, "the encoder's output", ha="center", fontsize=17.5)
    axes.text(8.0, 13.2, "next token", ha="center", fontsize=17.5)
    return fig


def clip_overview(logits, names, probabilities, asked):
    """CLIP's Figure 1: two encoders and the (n, n) logits of n pairs, whose diagonal is to be the
    largest; and the same encoders as a classifier: the softmax of the row of image `asked`."""
    fig, axes = _canvas(19, 7.4, (12.5, 6.4))
    _box(axes, 2.0, 6.1, "n texts", "grey"), _box(axes, 5.2, 6.1, "text encoder", BLUE, 2.8)
    _box(axes, 2.0, 2.9, "n images", "grey"), _box(axes, 5.2, 2.9, "image encoder", ORANGE, 2.8)
    for y in (6.1, 2.9):
        _arrow(axes, (3.25, y), (3.75, y))
    n = len(names)
    left, top, side = 8.3, 5.5, 3.9 / n
    heat(axes, logits, extent=(left, left + n * side, top - n * side, top))
    for i in range(n):
        at = left + (i + 0.5) * side, top - (i + 0.5) * side
        axes.text(at[0], 6.1, f"$T_{i + 1}$", ha="center", va="center", fontsize=17.5, color=BLUE)
        axes.text(left - 0.4, at[1], f"$I_{i + 1}$", ha="center", va="center", fontsize=17.5,
                  color=ORANGE)  # fmt: skip
        axes.add_patch(
            plt.Rectangle((left + i * side, top - (i + 1) * side), side, side, fill=False, lw=3)
        )
        axes.text(15.9, at[1], names[i], ha="right", va="center", fontsize=17.5)
        axes.barh(at[1], 2.0 * probabilities[i], 0.4, left=16.0,
                  color=GREEN if i == asked else "#BBBBBB")  # fmt: skip
        axes.text(16.1 + 2.0 * probabilities[i], at[1], f"{probabilities[i]:.0%}", va="center",
                  fontsize=17.5)  # fmt: skip
    _arrow(axes, (6.7, 6.1), (left, 6.1))
    _arrow(axes, (6.7, 2.9), (7.5, 2.9), (7.5, 3.5), (7.8, 3.5))
    axes.text(left + n * side / 2, 0.4, "training: each row and each\ncolumn picks its own",
              ha="center", fontsize=17.5)  # fmt: skip
    axes.text(15.4, 0.3, f"zero-shot: softmax of\nrow $I_{asked + 1}$, names as texts",
              ha="center", fontsize=17.5)  # fmt: skip
    axes.set(xlim=(0.5, 19), ylim=(0, 7.2), aspect="auto")
    return fig
