"""The figures of lectures 1 to 3: functions of arrays and words that return a Figure."""

import csv

import matplotlib.pyplot as plt
import numpy as np

from minivit import files
from minivit.course import COLORS
from minivit.engine.errors import DataError, ShapeError

BLUE, ORANGE, GREEN, PINK = COLORS[:4]


def _bare(axes):
    """No ticks, no grid, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _columns(axes, X, words, title, color="black", limit=None):
    """X (D, N) as a heat map, a token a column; zero is white."""
    limit = limit or float(np.abs(X).max()) or 1.0
    axes.imshow(X, aspect="auto", cmap="PuOr", vmin=-limit, vmax=limit, interpolation="none")
    axes.set_title(title, fontsize=16, color=color)
    axes.set(yticks=[], xticks=range(len(words)))
    axes.set_xticklabels(words, rotation=90, fontsize=13)
    axes.grid(False)
    axes.spines[:].set(visible=True, color=color, linewidth=1.5)


def _weights(axes, A, keys, queries, title, transpose=False):
    """Attention weights A (queries, keys); transpose=True: A (keys, queries)."""
    axes.imshow(A, vmin=0, vmax=1, cmap="Blues", aspect="auto", interpolation="none")
    down, across = (keys, queries) if transpose else (queries, keys)
    axes.set(xticks=range(len(across)), yticks=range(len(down)))
    axes.set_xticklabels(across, rotation=90, fontsize=13)
    axes.set_yticklabels(down, fontsize=13)
    axes.set_title(title, fontsize=16)
    axes.grid(False)


# -- lecture 1 -------------------------------------------------------------------------------------
def layer_norm_steps(stages, words):
    """F02: X, centred, normed, scaled and shifted, each (D, N), and each column's statistics."""
    titles = ["X", "X − E[x]", "/ √(Var[x] + ε)", "* γ + β"]
    fig, panels = plt.subplots(3, 4, figsize=(14, 9), height_ratios=[2.2, 1, 1])
    limit = max(float(np.abs(Z).max()) for Z in stages)
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
            if j == 0:
                axes.set_ylabel(f"{name}\nof the column")
    for i in (1, 2):
        limits = [axes.get_ylim() for axes in panels[i]]
        for axes in panels[i]:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    panels[0, 0].set_ylabel("features")
    return fig


def layer_diagram(stages, words):
    """F01: the layer from its arrays: {"X": (D, N), "A": (H, N, N), "MhSa[X]", ... "out"}."""
    H = len(stages["A"])
    fig = plt.figure(figsize=(15, 10))
    upper, lower = fig.subfigures(2, 1)
    panels = upper.subplots(1, 6 + H, width_ratios=[1.4, 0.4, *[1.4] * H, 0.4, 1.4, 0.5, 1.4])
    shape = f"{stages['X'].shape[0]} x {stages['X'].shape[1]}"
    upper.suptitle("X ← X + MhSa[X]:  tokens look at each other", fontsize=20, color=BLUE)
    _columns(panels[0], stages["X"], words, f"X\n{shape}")
    _sign(panels[1], "→")
    for h in range(H):
        A = stages["A"][h]
        axes = panels[2 + h]
        _weights(axes, A, words, words, f"head {h + 1}: A\n{len(A)} x {len(A)}", transpose=True)
        axes.set_title(axes.get_title(), color=BLUE, fontsize=16)
        axes.set_yticks([])
        axes.set_ylabel("keys" if h == 0 else "", fontsize=14)
        axes.set_xlabel("queries", fontsize=14)
    _sign(panels[2 + H], "→")
    _columns(panels[3 + H], stages["MhSa[X]"], words, f"MhSa[X]\n{shape}", BLUE)
    _sign(panels[4 + H], "+X\n=")
    _columns(panels[5 + H], stages["X + MhSa[X]"], words, f"X + MhSa[X]\n{shape}")

    lower.suptitle(
        "LayerNorm;  xₙ ← xₙ + mlp[xₙ]:  each token for itself;  LayerNorm",
        fontsize=20, color=ORANGE,
    )  # fmt: skip
    panels = lower.subplots(1, 7, width_ratios=[1.4, 0.4, 1.4, 0.5, 1.4, 0.4, 1.4])
    _columns(panels[0], stages["LayerNorm"], words, f"LayerNorm[X]\n{shape}", GREEN)
    _sign(panels[1], "→")
    _columns(panels[2], stages["mlp[x_n]"], words, f"mlp[xₙ]\n{shape}", ORANGE)
    _sign(panels[3], "+xₙ\n=")
    _columns(panels[4], stages["x_n + mlp[x_n]"], words, f"xₙ + mlp[xₙ]\n{shape}")
    _sign(panels[5], "→")
    _columns(panels[6], stages["out"], words, f"LayerNorm[X]: out\n{shape}", GREEN)
    return fig


def _sign(axes, sign):
    axes.text(0.5, 0.5, sign, fontsize=24, ha="center", va="center", transform=axes.transAxes)
    _bare(axes)


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
    _smooth(axes, runs)
    axes.set(xlabel="step", ylabel="loss on training text (nats)")
    return fig


def _smooth(axes, runs):
    for label, values in runs.items():
        smooth = np.convolve(values, np.ones(20) / 20, mode="valid")
        axes.plot(np.arange(20, len(values) + 1), smooth, label=label)
    axes.legend()


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


def masked_words(examples, curve):
    """F03: sentences with a masked token, the model's first guesses with probabilities; the loss.

    examples: [(tokens with "[MASK]", the true token, [(guess, probability)])]; curve: {label:
    losses}.
    """
    n = len(examples)
    longest = max(p for _, _, guesses in examples for _, p in guesses)
    fig = plt.figure(figsize=(15, 9.5))
    left, right = fig.subfigures(1, 2, width_ratios=[2.2, 1])
    panels = left.subplots(n, 1, squeeze=False)[:, 0]
    for axes, (tokens, truth, guesses) in zip(panels, examples):
        names, p = zip(*guesses)
        bars = axes.barh(
            range(len(p)), p, color=[ORANGE if name == truth else BLUE for name in names]
        )
        axes.bar_label(bars, [f"{100 * x:.0f}%" for x in p], fontsize=13, padding=4)
        axes.set(yticks=range(len(p)), xlim=(0, 1.12 * longest), xticks=[])
        axes.set_yticklabels(names, fontsize=14)
        axes.invert_yaxis()
        axes.set_title(f"{_text(tokens)}   ({truth})", fontsize=15, loc="left")
    panels[-1].set_xlabel("probability of the masked token (orange: what stood there)")
    axes = right.subplots()
    _smooth(axes, curve)
    axes.set(xlabel="step", ylabel="loss on the chosen tokens (nats)")
    return fig


def _text(tokens):
    """WordPiece tokens as one reads them: "##" joined to the word before; no $ for matplotlib."""
    words = " ".join(t for t in tokens if t not in ("[CLS]", "[SEP]"))
    return words.replace(" ##", "").replace("$", r"\$")


def next_tokens(steps, columns=4):
    """F04: the distribution at every step of a generation.

    steps: [(text so far, [(token, probability)], drawn token)].
    """
    rows = -(-len(steps) // columns)
    fig, panels = plt.subplots(rows, columns, figsize=(4 * columns, 3.7 * rows), squeeze=False)
    for axes in panels.flat:
        axes.set_visible(False)
    for axes, (text, guesses, drawn) in zip(panels.flat, steps):
        names, p = zip(*guesses)
        axes.set_visible(True)
        bars = axes.barh(range(len(p)), p, color=[ORANGE if t == drawn else BLUE for t in names])
        axes.bar_label(bars, [f"{100 * x:.1f}%" for x in p], fontsize=12, padding=3)
        axes.set(yticks=range(len(p)), xlim=(0, 1.15), xticks=[0, 0.5, 1])
        axes.set_yticklabels([_shown(t) for t in names], fontsize=14)
        axes.tick_params(axis="x", labelsize=12)
        axes.invert_yaxis()
        axes.set_title(_last(text), fontsize=14, loc="right")
    for axes in panels[-1]:
        axes.set_xlabel("probability", fontsize=14)
    return fig


def _shown(token):
    return token.replace(" ", "␣").replace("$", r"\$")


def _last(text, length=30):
    text = text.replace("$", r"\$")
    return text if len(text) <= length else "…" + text[-length:]


def alignments(pairs):
    """F05: where each target token looked in the source.

    pairs: [(source tokens, target tokens, A (targets, sources))].
    """
    fig, panels = plt.subplots(1, len(pairs), figsize=(7.2 * len(pairs), 7), squeeze=False)
    for axes, (source, target, A) in zip(panels[0], pairs):
        if A.shape != (len(target), len(source)):
            raise ShapeError(
                f"alignments: A has shape {A.shape}, expected {(len(target), len(source))}"
            )
        _weights(axes, A, [_shown(t) for t in source], [_shown(t) for t in target], "")
        axes.set(xlabel="source: keys and values", ylabel="target written: queries")
    return fig


# -- lecture 3 -------------------------------------------------------------------------------------
def pipeline(text, steps, ids, vectors):
    """F06: string -> merges -> ids -> vectors.

    steps: for each piece of the text the lists of symbols after each merge; ids: (N,) the ids of
    all tokens; vectors (N, D).
    """
    fig = plt.figure(figsize=(15, 10))
    upper, lower = fig.subfigures(2, 1, height_ratios=[1.5, 1])
    axes = upper.subplots()
    _bare(axes)
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
                    at + width / 2, -y - 0.03, _shown(symbol), ha="center", va="center",
                    fontsize=16, family="monospace",
                )  # fmt: skip
                at += len(symbol) + 1.2
    axes.set(xlim=(-0.5, sum(widths)), ylim=(-deepest, 1))
    axes.set_title(f'"{text}":  each row one merge later; orange: the tokens', fontsize=18)

    left, right = lower.subfigures(1, 2, width_ratios=[1, 2])
    axes = left.subplots()
    _bare(axes)
    tokens = [symbol for word in steps for symbol in word[-1]]
    axes.set(xlim=(0, 1), ylim=(len(ids), -1))
    axes.set_title("tokens → ids", fontsize=18)
    for n, (token, id) in enumerate(zip(tokens, ids, strict=True)):
        axes.text(0.45, n, _shown(token), ha="right", va="center", family="monospace", fontsize=15)
        axes.text(0.55, n, f"→ {id}", va="center", fontsize=15, color=BLUE)
    axes = right.subplots()
    limit = float(np.abs(vectors).max())
    axes.imshow(vectors, aspect="auto", cmap="PuOr", vmin=-limit, vmax=limit, interpolation="none")
    axes.set_title(f"vectors: row id of the table, N x D = {len(ids)} x {vectors.shape[1]}")
    axes.set(yticks=range(len(ids)), xlabel="feature")
    axes.set_yticklabels([f"{id}" for id in ids], fontsize=14)
    axes.grid(False)
    return fig


def look_up(ids, table, one_hot, rows, title):
    """F07: one-hot (N, V) times the table (V, D) = rows of the table (N, D)."""
    fig = plt.figure(figsize=(15, 6.5))
    fig.suptitle(title, fontsize=18)
    panels = fig.subplots(1, 5, width_ratios=[2, 0.3, 1.2, 0.3, 1.2])
    panels[0].imshow(one_hot, cmap="Greys", aspect="auto", vmin=0, vmax=1, interpolation="none")
    panels[0].set_title(f"one-hot\nN x V = {one_hot.shape[0]} x {one_hot.shape[1]}", fontsize=16)
    panels[0].set(yticks=range(len(ids)), xlabel="token id")
    panels[0].set_yticklabels([f"id {i}" for i in ids], fontsize=14)
    panels[0].grid(False)
    _sign(panels[1], "×")
    limit = float(np.abs(table).max())
    colours = dict(cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", interpolation="none")
    panels[2].imshow(table, **colours)
    panels[2].set_title(f"the table\nV x D = {table.shape[0]} x {table.shape[1]}", fontsize=16)
    for i in ids:
        panels[2].annotate(
            "", (-0.5, i), (-2, i), arrowprops=dict(arrowstyle="->", color=ORANGE, linewidth=2)
        )
    panels[2].set(yticks=[], xlabel="feature")
    panels[2].grid(False)
    _sign(panels[3], "=")
    panels[4].imshow(rows, **colours)
    panels[4].set_title(
        f"rows of the table\nN x D = {rows.shape[0]} x {rows.shape[1]}", fontsize=16
    )
    panels[4].set(yticks=[], xlabel="feature")
    panels[4].grid(False)
    return fig


def published(name):
    """The rows of data/published/<name>.csv as dicts; each row must name its source."""
    path = files.data_folder() / "published" / f"{name}.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as reason:
        raise DataError(f"{path} cannot be read ({reason.strerror})") from reason
    for row in rows:
        if not row.get("source"):
            raise DataError(f"{path}: the row {row} names no source")
    return rows


def _when(row):
    """The middle of the month, or of the year where no month is known."""
    return int(row["year"]) + ((int(row["month"]) - 0.5) / 12 if row["month"] else 0.5)


def families(rows):
    """F08: models over the years, a lane for each family: encoder-decoder, encoder, decoder."""
    lanes = ["encoder-decoder", "encoder", "decoder"]
    markers = {"text": "o", "images": "s", "sound": "^"}
    fig, panels = plt.subplots(3, 1, figsize=(15, 9.5), sharex=True)
    for axes, lane, color in zip(panels, lanes, (GREEN, BLUE, ORANGE)):
        members = sorted((r for r in rows if r["family"] == lane), key=_when)
        for i, row in enumerate(members):
            x, y = _when(row), i % 4
            axes.plot(x, y, markers[row["domain"]], color=color, markersize=12)
            axes.text(x + 0.06, y, row["model"], fontsize=15, va="center")
        axes.set(yticks=[], ylim=(-0.7, 3.7))
        axes.set_ylabel(lane, color=color, fontsize=17)
    for domain, marker in markers.items():
        panels[0].plot([], [], marker, color="grey", markersize=12, label=domain, linestyle="none")
    panels[0].legend(loc="upper right", ncols=3, fontsize=14)
    years = range(2017, 2024)
    panels[-1].set(xticks=years, xlim=(2017, 2023.9), xlabel="year")
    return fig


STYLES = {  # family -> marker, colour
    "convolutional": ("o", BLUE),
    "transformer": ("s", ORANGE),
    "hybrid": ("^", GREEN),
}


def error_by_year(rows):
    """F09: ImageNet top-1 error by year, with the best so far; hollow: the paper's own number."""
    fig, axes = plt.subplots(figsize=(14, 8))
    ordered = sorted(rows, key=lambda row: (_when(row), -float(row["top1"])))
    points = [(_when(row), 100 - float(row["top1"]), row["model"]) for row in ordered]
    for (x, error, _), row in zip(points, ordered):
        hollow = row["measured_by"] != "timm"
        axes.plot(x, error, "o", color=BLUE, markersize=10, mfc="white" if hollow else BLUE)
    best = [p for i, p in enumerate(points) if p[1] < min([100, *(q[1] for q in points[:i])])]
    x, y, _ = zip(*best, (points[-1][0] + 0.4, best[-1][1], ""))
    axes.step(
        x,
        y,
        where="post",
        color=ORANGE,
        linestyle="-",
        label="best so far of those shown",
        zorder=0,
    )
    axes.plot([], [], "o", color=BLUE, label="measured in one program (timm)", linestyle="none")
    axes.plot(
        [], [], "o", color=BLUE, mfc="white", label="as published or on the slide", linestyle="none"
    )
    axes.set(xlabel="year of the paper", ylabel="ImageNet top-1 error (%)")
    axes.set(xticks=range(2012, 2025), xlim=(2011.6, 2024.6), ylim=(0, 42))
    for x, error, name in best:
        axes.text(x, error - 0.8, name, fontsize=13, rotation=30, ha="right", va="top")
    axes.legend(loc="upper right")
    return fig


def accuracy_by_family(rows):
    """F10: ImageNet top-1 accuracy by year, a marker for each family."""
    fig, axes = plt.subplots(figsize=(14, 9))
    for family, (marker, color) in STYLES.items():
        for row in (r for r in rows if r["family"] == family):
            hollow = row["measured_by"] != "timm"
            axes.plot(
                _when(row), float(row["top1"]), marker, color=color, markersize=10,
                mfc="white" if hollow else color,
            )  # fmt: skip
        axes.plot([], [], marker, color=color, label=family, linestyle="none")
    axes.plot([], [], "o", color="grey", mfc="white", label="as published", linestyle="none")
    axes.set(xlabel="year of the paper", ylabel="ImageNet top-1 accuracy (%)", ylim=(60, 93))
    axes.set(xticks=range(2012, 2025), xlim=(2012, 2024.6))
    _name_points(axes, [(_when(row), float(row["top1"]), row["model"]) for row in rows])
    axes.legend(loc="lower right")
    return fig


def _name_points(axes, points, size=12):
    """Write each name beside its point (x, y, name), where it covers neither point nor name."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    wide, tall = axes.figure.get_size_inches() * (0.88, 0.85)
    a, b = 0.0075 * size * (right - left) / wide, 0.0155 * size * (high - low) / tall  # a letter
    taken = [(x - a, y - b / 2, x + a, y + b / 2) for x, y, _ in points]
    for x, y, name in points:
        w = len(name) * a
        places = [
            (x + side * 1.5 * a - (w if side < 0 else 0), y + up * b / 2)
            for up in (0, 1, -1, 2, -2, 3, -3, 4, -4)
            for side in (1, -1)
        ]
        for u, v in places:
            box = (u, v - b / 2, u + w, v + b / 2)
            free = all(
                box[2] < t[0] or t[2] < box[0] or box[3] < t[1] or t[3] < box[1] for t in taken
            )
            if free and u > left:
                break
        taken.append(box)
        if abs(v - y) > b:
            axes.plot([x, u if u > x else u + w], [y, v], "-", color="grey", linewidth=0.8)
        axes.text(u, v, name, fontsize=size, va="center")
