"""The history of lecture 3: models over the years, F08 to F10, from published numbers."""

import matplotlib.pyplot as plt
import numpy as np

from minivit.course.plots.drawing import BLUE, GREEN, ORANGE
from minivit.course.plots.published import name_sources


def _when(row):
    """The middle of the month, or of the year where no month is known."""
    return int(row["year"]) + ((int(row["month"]) - 0.5) / 12 if row["month"] else 0.5)


LANES = {"encoder": (BLUE, 12.5), "encoder-decoder": (GREEN, 7), "decoder": (ORANGE, 1.5)}
HEIGHTS = {  # from the middle lane a branch up, one down
    "Transformer": 5, "T5": 6, "BART": 7, "DETR": 8, "TrOCR": 9, "Whisper": 5,
    "BERT": 10.6, "RoBERTa": 11.7, "DeBERTa": 10.6, "ViT": 13.4, "CLIP": 14.7, "MAE": 13.4,
    "Swin": 12.4, "BEiT": 11.2,
    "GPT": 3.4, "GPT-2": 2.5, "Image GPT": 1.5, "GPT-3": 0.5, "OPT": -0.5, "LLaMA": 3.4,
}  # fmt: skip
BENDS = {"MAE": -0.2, "Swin": -0.2, "LLaMA": 0.0, "DETR": -0.25}  # other than those of its lane


def families(rows):
    """F08: models over the years, a lane for each family: encoder, encoder-decoder, decoder. An
    arrow leads from what a model was built on (`after`)."""
    markers = {"text": "o", "images": "s", "sound": "^"}
    fig, axes = plt.subplots(figsize=(11, 8.6))
    places = {row["model"]: (_when(row), HEIGHTS[row["model"]]) for row in rows}
    for name, (color, middle) in LANES.items():
        axes.text(2016.05, middle, name, color=color, fontsize=18, rotation=90, ha="center",
                  va="center")  # fmt: skip
    made = [row for row in rows if row["after"]]
    for row in rows:
        (x, y), name = places[row["model"]], row["model"]
        axes.plot(x, y, markers[row["domain"]], color=LANES[row["family"]][0], markersize=12)
        after = {places[r["model"]][1] > y for r in made if r["after"] == name}
        if len(after) == 2:  # arrows leave to the right of it, up and down
            axes.text(x - 0.12, y + 0.3, name, va="center", ha="right")
        else:
            axes.text(x + 0.1, y, name, va="center")
    for row in made:
        (_, y), (_, start) = places[row["model"]], places[row["after"]]
        bent = BENDS.get(row["model"], 0.25 if y < start else -0.2 if y > start else 0)
        axes.annotate(
            "", places[row["model"]], places[row["after"]],
            arrowprops=dict(arrowstyle="->", color=LANES[row["family"]][0], linewidth=1.5,
                            shrinkA=7, shrinkB=8, alpha=0.6,
                            connectionstyle=f"arc3,rad={bent}"),
        )  # fmt: skip
    for y in (4.25, 9.75):
        axes.axhline(y, color="grey", linewidth=0.8)
    for domain, marker in markers.items():
        axes.plot([], [], marker, color="grey", markersize=12, label=domain, linestyle="none")
    axes.plot([], [], marker=r"$\rightarrow$", color="grey", markersize=22, linestyle="none",
              label="from A to B: B was built on A")  # fmt: skip
    fig.legend(loc="outside upper center", ncols=4, handletextpad=0.3, title_fontsize=18,
               title="Transformers, each with one that it was built on")  # fmt: skip
    axes.set(xticks=range(2017, 2024), xlim=(2016.3, 2023.9), xlabel="year", yticks=[])
    axes.set_ylim(-1.1, 15.3)
    name_sources(fig, "month and lineage by paper, announcement or slide, a row a model in "
                      "data/published/history_transformers.csv")  # fmt: skip
    return fig


STYLES = {  # family -> marker, colour
    "convolutional": ("o", BLUE),
    "transformer": ("s", ORANGE),
    "hybrid": ("^", GREEN),
}


def error_by_year(rows):
    """F09: ImageNet top-1 error by year, with the best so far; hollow: the paper's own number."""
    fig, axes = plt.subplots(figsize=(11, 7.6))
    axes.set_title("ImageNet, error on the validation set of 2012", fontsize=18)
    ordered = sorted(rows, key=lambda row: (_when(row), -float(row["top1"])))
    points = [(_when(row), 100 - float(row["top1"]), row["model"]) for row in ordered]
    for (x, error, _), row in zip(points, ordered):
        hollow = row["measured_by"] != "timm"
        axes.plot(x, error, "o", color=BLUE, markersize=9, mfc="white" if hollow else BLUE)
    best = [p for i, p in enumerate(points) if p[1] < min([100, *(q[1] for q in points[:i])])]
    x, y, _ = zip(*best, (points[-1][0] + 0.4, best[-1][1], ""))
    axes.step(x, y, where="post", color=ORANGE, linestyle="-", label="best so far of those shown",
              zorder=0)  # fmt: skip
    _two_kinds(axes, BLUE)
    axes.set(xlabel="year of the paper", ylabel="top-1 error (%)")
    axes.set(xticks=range(2012, 2025, 2), xlim=(2010.9, 2024.2), ylim=(0, 47))
    name_sources(fig, rows)
    _on_a_staircase(axes, best)
    for x, y, name in points:
        if y > 2 * min(q[1] for q in points if q[0] <= x):  # far from all others: say who
            axes.text(x + 0.15, y, name.replace(", ", ",\n"), fontsize=15.6, va="center")
    axes.legend(loc="upper right")
    return fig


def _two_kinds(axes, color):
    """What filled and hollow points are, for the legend."""
    for fill, said in ((color, "filled: public weights, run by the timm library"),
                       ("white", "hollow: the paper's own number")):  # fmt: skip
        axes.plot([], [], "o", color=color, mfc=fill, label=said, linestyle="none")


def _on_a_staircase(axes, best, drop=2.5):
    """Write the name of each point (x, y, name) of a falling line under it, ending there; one that
    would cover the name before is one line lower, with a thin line to its point."""
    low = 100.0
    for x, y, name in best:
        low = min(y - 1.0, low - drop)
        if y - low > 1.01:
            axes.plot([x, x], [low, y], "-", color="grey", linewidth=0.8, zorder=0)
        axes.text(x - 0.12, low, name, fontsize=15.6, ha="right", va="top")


def accuracy_by_family(rows):
    """F10: ImageNet top-1 accuracy by year, a marker for each family."""
    fig, axes = plt.subplots(figsize=(11, 9.4))
    axes.set_title("ImageNet, accuracy on the validation set of 2012", fontsize=18)
    for family, (marker, color) in STYLES.items():
        for row in (r for r in rows if r["family"] == family):
            hollow = row["measured_by"] != "timm"
            axes.plot(
                _when(row), float(row["top1"]), marker, color=color, markersize=10,
                mfc="white" if hollow else color,
            )  # fmt: skip
        axes.plot([], [], marker, color=color, label=family, linestyle="none")
    _two_kinds(axes, "grey")
    axes.set(xlabel="year of the paper", ylabel="top-1 accuracy (%)", ylim=(57, 93))
    axes.set(xticks=range(2012, 2025, 2), xlim=(2011.6, 2026))
    name_sources(fig, rows)
    _name_points(
        axes, [(_when(row), float(row["top1"]), row["model"]) for row in sorted(rows, key=_when)]
    )
    axes.legend(loc="lower right")
    return fig


def _name_points(axes, points, size=15.6, orders=150):
    """Write each name beside its point (x, y, name), where it covers neither point nor name; one
    that finds no place beside it stands higher or lower, with a thin line to its point that crosses
    neither. Whose turn is first decides where the last one ends: of many orders the best is drawn.
    """
    axes.figure.canvas.draw()  # the axes have their final place
    spots = axes.transData.transform([point[:2] for point in points])
    texts = [axes.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=size,
                           va="center") for x, y, name in points]  # fmt: skip
    boxes = [text.get_window_extent() for text in texts]
    sizes = [(box.width, box.height) for box in boxes]
    pixels = axes.figure.dpi / 72
    rng = np.random.default_rng(0)
    turns = [np.arange(len(points)), *(rng.permutation(len(points)) for _ in range(orders))]
    least = axes.get_window_extent().x0
    best = min((_placed(spots, sizes, turn, pixels, least) for turn in turns), key=lambda p: p[0])
    for k, (right, up, line) in best[1].items():
        texts[k].set_position((right, up))
        texts[k].set_ha("left" if right > 0 else "right")
        if len(line):
            axes.plot(*axes.transData.inverted().transform(line).T, "-", color="grey",
                      linewidth=0.8, zorder=0)  # fmt: skip


def _placed(spots, sizes, turns, pixels, least):
    """(how far the names are moved in all, {name: (right, up, line)}): each in its turn where it
    covers nothing; right and up in points, the line in pixels; none left of `least`."""
    taken = np.concatenate([spots - 9, spots + 9], axis=1)  # x0, y0, x1, y1
    moved, found = 0.0, {}
    for k in turns:
        (x, y), (width, height) = spots[k], sizes[k]
        for up, right in ((u * s, right) for u in range(0, 120, 6) for s in (1, -1)
                          for right in (11, -11)):  # fmt: skip
            left = x + right * pixels - width * (right < 0)
            low = y + up * pixels - height / 2
            line = np.zeros((0, 2))
            if abs(up) > 12:  # to the corner that is near
                corner = left + width * (right < 0), low + height * (up < 0)
                line = np.linspace((x, y), corner, 14)
            away = line[np.hypot(*(line - spots[k]).T) > 15]  # from the point itself
            parts = [[(left, low, left + width, low + height)], np.hstack([away - 1, away + 1])]
            parts = np.concatenate(parts)
            if left > least and not _overlap(parts, taken):
                break
        taken = np.concatenate([taken, parts])
        moved += abs(up) + 100 * _overlap(parts, taken[: -len(parts)])
        found[k] = right, up, line[[0, -1]] if len(line) else line
    return moved, found


def _overlap(some, others):
    """Whether one of some boxes (n, 4) has a part in common with one of the others (m, 4)."""
    a, b = some[:, None], others[None]
    return bool(((a[..., :2] < b[..., 2:]) & (b[..., :2] < a[..., 2:])).all(axis=-1).any())
