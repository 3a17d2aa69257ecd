"""The figures of lectures 1 and 2: the layer, F01 and F02, and the three systems, F03 to F05."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator

from minivit.course import DASHES
from minivit.course.plots.drawing import (
    BLUE,
    GREEN,
    ORANGE,
    bare,
    heat,
    note,
    shown,
    sign,
    smoothed,
)
from minivit.engine.errors import ShapeError


def _columns(axes, X, words, title, color="black", limit=None):
    """X (D, N) as a heat map, a token a column."""
    heat(axes, X, limit)
    axes.set_title(title, fontsize=17.5, color=color)
    axes.set_xticks(range(len(words)), words, rotation=90, fontsize=17.5)
    axes.spines[:].set(visible=True, color=color, linewidth=1.5)


def _weights(axes, A, keys, queries, title, transpose=False):
    """Attention weights A (queries, keys); transpose=True: A (keys, queries)."""
    axes.imshow(A, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="none")
    down, across = (keys, queries) if transpose else (queries, keys)
    axes.set(xticks=range(len(across)), yticks=range(len(down)))
    axes.set_xticklabels(across, rotation=90, fontsize=17)
    axes.set_yticklabels(down, fontsize=17)
    axes.set_title(title, fontsize=17)
    axes.grid(False)


# -- lecture 1 -------------------------------------------------------------------------------------
def layer_norm_steps(stages, words, gamma, beta):
    """F02: X, centred, normed, scaled and shifted, each (D, N), and each column's statistics; gamma
    and beta (D, 1) stand between the last two."""
    titles = ["X", "X − E[x]", "/ √(Var[x] + ε)", "* γ + β"]
    fig, grid = plt.subplots(3, 6, figsize=(12.4, 10.4), height_ratios=[2.2, 1, 1],
                             width_ratios=[1, 1, 1, 0.16, 0.16, 1])  # fmt: skip
    fig.suptitle("LayerNorm, line by line: each column, a token, gets mean 0 and variance 1;\n"
                 "then γ and β scale and shift each feature", fontsize=18)  # fmt: skip
    limit = max(float(np.abs(Z).max()) for Z in (*stages, gamma, beta))
    panels, between = grid[:, [0, 1, 2, 5]], grid[:, 3:5]
    for axes, Z, name in zip(between[0], (gamma, beta), "γβ"):
        _columns(axes, Z, [" "], f"{name}\n{len(Z)}", ORANGE, limit)
        axes.tick_params(bottom=False)
    for axes in between[1:].flat:
        bare(axes)
    for j, (Z, title) in enumerate(zip(stages, titles)):
        _columns(
            panels[0, j], Z, words, f"{title}\nD x N = {Z.shape[0]} x {Z.shape[1]}", limit=limit
        )
        for i, (name, values, color) in enumerate(
            [("mean", Z.mean(axis=0), BLUE), ("variance", Z.var(axis=0), ORANGE)], 1
        ):
            axes = panels[i, j]
            axes.bar(range(len(words)), values, color=color)
            axes.axhline(0 if i == 1 else 1, color="black", linewidth=1, linestyle="--")
            axes.set(xticks=[])
            axes.tick_params(labelsize=17.5)
            if np.allclose(values, 0, atol=1e-4):
                axes.text(0.5, 0.5, "all 0", ha="center", va="bottom", fontsize=17.5,
                          transform=axes.transAxes)  # fmt: skip
            if j == 0:
                axes.set_ylabel(f"{name}\nof the column", fontsize=17.5)
    for i in (1, 2):
        limits = [axes.get_ylim() for axes in panels[i]]
        for axes in panels[i]:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    panels[0, 0].set_ylabel("features", fontsize=17.5)
    return fig


def layer_diagram(stages, words):
    """F01: the layer from its arrays: {"X": (D, N), "A": (H, N, N), "MhSa[X]", ... "out"}."""
    H = len(stages["A"])
    fig = plt.figure(figsize=(12, 12))
    upper, lower = fig.subfigures(2, 1)
    panels = _under_a_band(upper, [1.4, 1, *[1.4] * H, 0.3, 1.4, 0.4, 1.4])
    shape = f"{stages['X'].shape[0]} x {stages['X'].shape[1]}"
    limit = max(float(np.abs(Z).max()) for name, Z in stages.items() if name != "A")
    upper.suptitle("X ← X + MhSa[X]:  tokens look at each other", fontsize=19, color=BLUE)
    _columns(panels[0], stages["X"], words, f"X\n{shape}", limit=limit)
    bare(panels[1])
    panels[1].text(0, 0.5, "→", va="center", fontsize=22, transform=panels[1].transAxes)
    for i, word in enumerate(words):  # the rows of A
        panels[1].text(1, 1 - (i + 0.5) / len(words), word, ha="right", va="center", fontsize=17,
                       transform=panels[1].transAxes)  # fmt: skip
    for h in range(H):
        A = stages["A"][h]
        axes = panels[2 + h]
        _weights(axes, A, words, words, f"head {h + 1}: A\n{len(A)} x {len(A)}", transpose=True)
        axes.title.set_color(BLUE)
        axes.spines[:].set(visible=True, color=BLUE, linewidth=1.5)
        axes.set_yticks([])
        axes.set_xlabel("queries", fontsize=17)
    sign(panels[2 + H], "→")
    _columns(panels[3 + H], stages["MhSa[X]"], words, f"MhSa[X]\n{shape}", BLUE, limit=limit)
    sign(panels[4 + H], "+X\n=")
    _columns(panels[5 + H], stages["X + MhSa[X]"], words, f"X + MhSa[X]\n{shape}", limit=limit)
    _residual(upper, panels[0], panels[5 + H], "the residual path: X as it is", 0.5)

    lower.suptitle(
        "LayerNorm;  xₙ ← xₙ + mlp[xₙ]:  each token for itself;  LayerNorm",
        fontsize=19, color=ORANGE,
    )  # fmt: skip
    panels = _under_a_band(lower, [1.4, 0.4, 1.4, 0.5, 1.4, 0.4, 1.4])
    _columns(panels[0], stages["LayerNorm"], words, f"LayerNorm[X]\n{shape}", GREEN, limit=limit)
    sign(panels[1], "→")
    _columns(panels[2], stages["mlp[x_n]"], words, f"mlp[xₙ]\n{shape}", ORANGE, limit=limit)
    sign(panels[3], "+xₙ\n=")
    _columns(panels[4], stages["x_n + mlp[x_n]"], words, f"xₙ + mlp[xₙ]\n{shape}", limit=limit)
    _residual(lower, panels[0], panels[4], "the residual path: xₙ as it is", 0.36)
    note(fig, "A: what a query takes from each key (a row), white 0, dark blue 1; columns add up "
              "to 1. Random weights: who looks at whom means nothing yet.")  # fmt: skip
    sign(panels[5], "→")
    _columns(panels[6], stages["out"], words, f"LayerNorm[X]: out\n{shape}", GREEN, limit=limit)
    return fig


def _under_a_band(part, widths):
    """A row of panels, and above it an empty band in which a residual path has room."""
    rows = part.add_gridspec(2, len(widths), width_ratios=widths, height_ratios=[0.2, 1])
    bare(part.add_subplot(rows[0, :]))
    return [part.add_subplot(rows[1, i]) for i in range(len(widths))]


def _residual(part, start, end, words, middle):
    """An arrow above the panels, from one to another: what is added unchanged. middle: of the words
    above it, in shares of the width."""
    part.add_artist(
        ConnectionPatch(
            (0.5, 1.26), (0.5, 1.26), start.transAxes, end.transAxes, arrowstyle="->",
            connectionstyle="bar,armA=-16,armB=-16,fraction=0", linewidth=2.5, color="black",
            mutation_scale=22,
        )
    )  # fmt: skip
    part.axes[0].text(middle, 1, words, ha="center", va="top", fontsize=17,
                      transform=part.axes[0].transAxes)  # fmt: skip


def attention_pair(A, A_causal, words):
    """Two attention maps (keys, queries), without and with a causal mask."""
    fig, panels = plt.subplots(1, 2, figsize=(13, 6))
    _weights(panels[0], A, words, words, "no mask", transpose=True)
    _weights(panels[1], A_causal, words, words, "causal mask: only the past", transpose=True)
    for axes in panels:
        axes.set(xlabel="query", ylabel="key")
    return fig


# -- lecture 2 -------------------------------------------------------------------------------------
def losses(runs):
    """Loss against step, smoothed over 20 steps: {label: losses}."""
    fig, axes = plt.subplots()
    smoothed(axes, runs)
    axes.set(xlabel="step", ylabel="loss on training text (nats)")
    return fig


def memory_by_length(lengths, memory):
    """memory: {name: bytes, one a length}. Dotted lines: what grows with N, and with its square."""
    fig, axes = plt.subplots()
    for name, most in memory.items():
        axes.plot(lengths, np.array(most) / 2**20, marker="o", label=name)
        axes.annotate(
            f"{most[-1] / 2**20:.0f} MB", (lengths[-1], most[-1] / 2**20), xytext=(10, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
    least = min(most[0] for most in memory.values()) / 2**20
    x = np.array(lengths) / lengths[0]
    for power, words in ((1, "grows with N"), (2, "grows with N²")):
        axes.plot(lengths, least / 4 * x**power, ":", color="grey", linewidth=1.5)
        axes.text(lengths[-1], least / 4 * x[-1] ** power, f"  {words}", color="grey", va="center")
    axes.set(xscale="log", yscale="log", xlabel="tokens, N", ylabel="memory (MB)")
    axes.set_xticks(lengths, [f"{n:,}" for n in lengths])
    axes.set_xticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(lengths[0] / 1.2, lengths[-1] * 2.6)
    axes.legend(loc="upper left")
    return fig


def accuracy_climbs(climbs, baselines):
    """Accuracy against step: {label: [(step, accuracy)]}; baselines {label: accuracy}, dashed."""
    fig, axes = plt.subplots()
    for label, points in climbs.items():
        axes.plot(*np.transpose(points), marker="o", label=label)
    for label, accuracy in baselines.items():
        axes.axhline(accuracy, color="black", linestyle="--", linewidth=1.5)
        axes.text(points[-1][0], accuracy, label, ha="right", va="bottom", fontsize=14)
    axes.set(xlabel="step", ylabel="accuracy on masked held-out tokens", ylim=(0, None))
    axes.legend(loc="upper left")
    return fig


def masked_words(examples, shares, curve, words, levels):
    """F03: texts with a masked token, the model's first guesses, and what stood there; how often
    the true word is ranked where, beside a baseline; the loss.

    examples: [(tokens with "[MASK]", the true token, its rank, [(guess, probability)])], the true
    token among the guesses; shares: {who ranks: {ranks: share}}; curve: (steps, losses) of each
    seed; words: the title; levels: {name: loss}.
    """
    rows = -(-len(examples) // 2)
    fig = plt.figure(figsize=(13, 5.1 + 3.3 * rows))
    fig.suptitle(words, fontsize=18.5)
    upper, lower = fig.subfigures(2, 1, height_ratios=[3.5 * rows, 4.2])
    longest = max(100 * p for *_, guesses in examples for _, p in guesses)
    step = 5 if longest < 30 else 20
    for part, example in zip(upper.subfigures(rows, 2).ravel(), examples):
        part.suptitle(_text(example[0]), fontsize=18.5, x=0.02, ha="left")
        axes = part.subplots()
        _guesses(axes, *example[1:])
        axes.set(xlim=(0, 3.2 * longest), xticks=np.arange(0, longest + step, step))
        axes.set_xlabel("the model's probability (%)", fontsize=18.5)
    left, right = lower.subplots(1, 2)
    _shares(left, shares)
    for (steps, losses), dash in zip(curve, DASHES):
        right.plot(steps, losses, linestyle=dash, color=BLUE)
    for name, height in levels.items():
        right.axhline(height, color="black", linestyle=":", linewidth=2)
        right.text(steps[-1], height, name, ha="right", va="bottom", fontsize=18.5)
    right.set_title(f"training, {len(curve)} seeds", fontsize=18.5)
    right.set_xlabel("step", fontsize=18.5)
    right.set_ylabel("loss (nats)", fontsize=18.5)
    right.set_ylim(0, 1.25 * max(levels.values()))
    right.set_xlim(left=0)
    right.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 5, 10]))
    right.yaxis.set_major_locator(plt.MultipleLocator(2))
    for axes in (left, right):
        axes.tick_params(labelsize=18.5)
    return fig


def _guesses(axes, truth, rank, guesses):
    """Bars of probability, and which of them is the true word's."""
    for y, (name, p) in enumerate(guesses):
        right = name == truth
        axes.barh(y, 100 * p, color=ORANGE if right else BLUE, hatch="//" * right, ec="white")
        said = f"{_percent(p)}" + (f"  ◄ true (rank {rank:,})" if right else "")
        axes.annotate(said, (100 * p, y), (6, 0), textcoords="offset points", fontsize=18.5,
                      va="center", fontweight="bold" if right else "normal")  # fmt: skip
    names = [name for name, _ in guesses]
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelsize=18.5)
    axes.get_yticklabels()[names.index(truth)].set_fontweight("bold")
    axes.invert_yaxis()


def _shares(axes, shares):
    """Bars side by side: how often the true word has which ranks, a colour for each who ranks."""
    for i, ((name, of_ranks), color) in enumerate(zip(shares.items(), (BLUE, "0.65"))):
        y = np.arange(len(of_ranks)) + 0.4 * (i - 0.5)
        bars = axes.barh(y, [100 * share for share in of_ranks.values()], 0.38, color=color,
                         label=name)  # fmt: skip
        axes.bar_label(bars, [f"{share:.0%}" for share in of_ranks.values()], fontsize=18.5,
                       padding=4)  # fmt: skip
    axes.set_yticks(range(len(of_ranks)), of_ranks)
    axes.invert_yaxis()
    axes.set_title("rank of the true word", fontsize=18.5)
    axes.set_xlabel("share of the texts (%)", fontsize=18.5)
    most = 100 * max(max(of_ranks.values()) for of_ranks in shares.values())
    axes.set_xlim(0, 2.2 * most)  # room for the legend beside the bars
    axes.set_xticks(np.arange(0, most + 20, 20))
    axes.legend(fontsize=18.5, loc="upper right")


def _text(tokens):
    """WordPiece tokens as one reads them: "##" joined to the word before; no $ for matplotlib."""
    return " ".join(tokens).replace(" ##", "").replace("$", r"\$")


def next_tokens(steps, words):
    """F04: the distribution at every step of a generation, each below the one before.

    steps: [(text so far, [(token, probability)], drawn token, its rank)]; words: the title. An
    arrow leads from the token that was drawn to the text that it ends in the next step.
    """
    fig, panels = plt.subplots(len(steps), 2, figsize=(13, 1.5 + 1.28 * len(steps)),
                               width_ratios=[1, 1.3], squeeze=False)  # fmt: skip
    fig.suptitle(words, fontsize=18.5)
    longest = max(p for _, guesses, *_ in steps for _, p in guesses)
    texts = [*(text for text, *_ in steps), steps[-1][0] + steps[-1][2]]
    places = [*((left, 1) for left in panels[:, 0]), (panels[-1, 0], 0)]  # (panel, height) of each
    for left in panels[:, 0]:
        bare(left)
    _so_far(*places[0], texts[0], None)
    for i, ((left, axes), (text, guesses, drawn, rank)) in enumerate(zip(panels, steps)):
        names, p = zip(*guesses)
        here = names.index(drawn)
        bars = axes.barh(range(len(p)), p, color=[ORANGE if n == drawn else BLUE for n in names])
        said = [_percent(x) for x in p]
        if rank > len(p):  # between it and the others are some that are not drawn
            said[here] += f"  (rank {rank:,})"
        axes.bar_label(bars, said, fontsize=18.5, padding=4)
        axes.set(yticks=range(len(p)), ylim=(len(p) - 0.5, -0.5), xticks=[])
        axes.set_xlim(0, 1.2 * longest)
        tick = axes.set_yticklabels(map(shown, names), fontsize=18.5)[here]
        tick.set(color=ORANGE, fontweight="bold")
        line = dict(color=ORANGE, linewidth=2.5)
        corner = 0.97, 1 - (here + 0.5) / len(p)
        left.annotate(
            "", corner, (0, corner[1]), left.transAxes, textcoords=(tick, left.transAxes),
            arrowprops=dict(arrowstyle="-", shrinkA=4, shrinkB=0, **line),
        )  # fmt: skip
        below, height = places[i + 1]
        _so_far(below, height, texts[i + 1], text)
        fig.add_artist(
            ConnectionPatch(
                corner, (0.9, height), left.transAxes, below.transAxes, arrowstyle="->",
                connectionstyle="angle,angleA=90,angleB=0,rad=6", mutation_scale=22, **line,
            )
        )  # fmt: skip
    axes.set_xlabel("probability of the next token", fontsize=18.5)
    return fig


def distributions(panels):
    """Bars of what may come next, panels: [(title, [(token, probability)])], all on one scale."""
    fig, rows = plt.subplots(2, -(-len(panels) // 2), figsize=(11, 6.5), sharex=True, squeeze=False)
    for axes, (title, guesses) in zip(rows.ravel(), panels):
        names, p = zip(*guesses)
        bars = axes.barh(range(len(p)), p, color=BLUE)
        axes.bar_label(bars, [_percent(x) if x else "0" for x in p], padding=4)
        axes.set_yticks(range(len(p)), map(shown, names))
        axes.set(title=title, ylim=(len(p) - 0.5, -0.5), xticks=[])
        axes.margins(x=0.2)
    return fig


def _so_far(axes, height, text, before):
    """A text, and what is new in it, after the text `before`, in orange."""
    at = dict(ha="right", va="center", fontsize=18.5)
    if before is None:
        axes.text(0.88, height, text.replace("$", r"\$"), transform=axes.transAxes, **at)
        return
    new = axes.text(0.88, height, shown(text[len(before) :]), color=ORANGE, fontweight="bold",
                    transform=axes.transAxes, **at)  # fmt: skip
    axes.annotate(_last(before), (0, 0.5), xycoords=new, **at)


def _percent(p):
    return f"{100 * p:.1f}%" if p >= 0.001 else "< 0.1%"


def _last(text, length=30):
    text = text.replace("$", r"\$")
    return text if len(text) <= length else "…" + text[-length:]


def alignments(pairs):
    """F05: where each word of the target looked in the source.

    pairs: [(source tokens, target tokens, A (targets, sources))]. The tokens of a word are drawn as
    one: its attention is the mean of its queries, what it gets is the sum of its keys.
    """
    fig, panels = plt.subplots(1, len(pairs), figsize=(6 * len(pairs), 7.8), squeeze=False)
    fig.suptitle("Cross-attention: where each word that is written looks in the source\n"
                 "(a row adds up to 100%; 20% and more as numbers)", fontsize=17)  # fmt: skip
    for axes, (source, target, A) in zip(panels[0], pairs):
        if A.shape != (len(target), len(source)):
            raise ShapeError(
                f"alignments: A has shape {A.shape}, expected {(len(target), len(source))}"
            )
        (sources, keys), (targets, queries) = _whole_words(source), _whole_words(target)
        A = np.add.reduceat(A, keys, axis=1)
        counts = np.diff([*queries, len(target)])[:, None]
        A = np.add.reduceat(A, queries, axis=0) / counts
        _weights(axes, A, sources, targets, "")
        for i, j in zip(*np.nonzero(A >= 0.2)):
            axes.text(j, i, f"{100 * A[i, j]:.0f}", ha="center", va="center", fontsize=16.9,
                      color="white" if A[i, j] > 0.55 else "black")  # fmt: skip
        axes.tick_params(labelsize=17)
        axes.set_xlabel("source, encoder: keys K, values V", fontsize=17, labelpad=14)
    panels[0, 0].set_ylabel("target, decoder: queries Q", fontsize=17)
    return fig


def _whole_words(tokens):
    """(words, where each begins): a token without a blank in front goes on with the word before."""
    begins = [
        i for i, t in enumerate(tokens) if i == 0 or t.startswith(" ") or not t[:1].isalpha()
        or t == "END"
    ]  # fmt: skip
    ends = [*begins[1:], len(tokens)]
    words = ["".join(tokens[a:b]).strip().replace("$", r"\$") for a, b in zip(begins, ends)]
    return words, begins
