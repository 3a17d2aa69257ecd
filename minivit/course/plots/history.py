"""The history of lecture 3: models over the years, F08 to F10, from published numbers."""

import matplotlib.pyplot as plt
from matplotlib.transforms import Bbox

from minivit.course.plots.drawing import BLUE, GREEN, ORANGE
from minivit.course.plots.published import name_sources


def _when(row):
    """The middle of the month, or of the year where no month is known."""
    return int(row["year"]) + ((int(row["month"]) - 0.5) / 12 if row["month"] else 0.5)


def families(rows):
    """F08: models over the years, a lane for each family: encoder-decoder, encoder, decoder. An
    arrow leads from what a model was made from (`after`), if that is in its lane."""
    lanes = ["encoder-decoder", "encoder", "decoder"]
    markers = {"text": "o", "images": "s", "sound": "^"}
    fig, panels = plt.subplots(3, 1, figsize=(11, 7.6), sharex=True)
    for axes, lane, color in zip(panels, lanes, (GREEN, BLUE, ORANGE)):
        members = sorted((r for r in rows if r["family"] == lane), key=_when)
        places = {row["model"]: (_when(row), i % 5) for i, row in enumerate(members)}
        made = [row for row in members if row["after"] in places]
        downwards = [r for r in made if places[r["model"]][1] < places[r["after"]][1]]
        for row in members:
            (x, y), name = places[row["model"]], row["model"]
            axes.plot(x, y, markers[row["domain"]], color=color, markersize=12)
            if name in [r["after"] for r in downwards]:  # an arrow leaves to the right of it
                axes.text(x - 0.03, y + 0.5, name, va="center", ha="right")
            else:
                axes.text(x + 0.09, y, name, va="center")
        for row in made:
            bent = f"arc3,rad={-0.5 if row in downwards else -0.2}"
            axes.annotate(
                "", places[row["model"]], places[row["after"]],
                arrowprops=dict(arrowstyle="->", color=color, linewidth=1.5, shrinkA=7, shrinkB=7,
                                alpha=0.6, connectionstyle=bent),
            )  # fmt: skip
        axes.set(yticks=[], ylim=(-0.7, 4.6))
        axes.set_ylabel(lane, color=color, fontsize=18)
    for domain, marker in markers.items():
        panels[0].plot([], [], marker, color="grey", markersize=12, label=domain, linestyle="none")
    panels[0].legend(loc="upper left", ncols=3, columnspacing=0.8, handletextpad=0)
    years = range(2017, 2024)
    panels[-1].set(xticks=years, xlim=(2017, 2023.9), xlabel="year")
    name_sources(fig, "month and lineage of each model by its own paper or announcement, listed in "
                      "data/published/history_transformers.csv")  # fmt: skip
    return fig


STYLES = {  # family -> marker, colour
    "convolutional": ("o", BLUE),
    "transformer": ("s", ORANGE),
    "hybrid": ("^", GREEN),
}


def error_by_year(rows):
    """F09: ImageNet top-1 error by year, with the best so far; hollow: the paper's own number."""
    fig, axes = plt.subplots(figsize=(11, 7.2))
    ordered = sorted(rows, key=lambda row: (_when(row), -float(row["top1"])))
    points = [(_when(row), 100 - float(row["top1"]), row["model"]) for row in ordered]
    for (x, error, _), row in zip(points, ordered):
        hollow = row["measured_by"] != "timm"
        axes.plot(x, error, "o", color=BLUE, markersize=9, mfc="white" if hollow else BLUE)
    best = [p for i, p in enumerate(points) if p[1] < min([100, *(q[1] for q in points[:i])])]
    x, y, _ = zip(*best, (points[-1][0] + 0.4, best[-1][1], ""))
    axes.step(x, y, where="post", color=ORANGE, linestyle="-", label="best so far of those shown",
              zorder=0)  # fmt: skip
    axes.plot([], [], "o", color=BLUE, label="measured in one program (timm)", linestyle="none")
    axes.plot([], [], "o", color=BLUE, mfc="white", label="as published or on the slide",
              linestyle="none")  # fmt: skip
    axes.set(xlabel="year of the paper", ylabel="ImageNet top-1 error (%)")
    axes.set(xticks=range(2012, 2025, 2), xlim=(2010.9, 2024.2), ylim=(0, 44))
    name_sources(fig, rows)
    _on_a_staircase(axes, best)
    for x, y, name in points:
        if y > 2 * min(q[1] for q in points if q[0] <= x):  # far from all others: say who
            axes.text(x + 0.15, y, name.replace(", ", ",\n"), fontsize=15.6, va="center")
    axes.legend(loc="upper right")
    return fig


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
    fig, axes = plt.subplots(figsize=(11, 9.6))
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
    axes.set(xticks=range(2012, 2025, 2), xlim=(2011.6, 2026))
    name_sources(fig, rows)
    _name_points(
        axes, [(_when(row), float(row["top1"]), row["model"]) for row in sorted(rows, key=_when)]
    )
    axes.legend(loc="lower right")
    return fig


def _name_points(axes, points, size=15.6):
    """Write each name beside its point (x, y, name), where it covers neither point nor name; one
    that finds no place beside it stands above or below, with a thin line to its point."""
    axes.figure.canvas.draw()  # the axes have their final place
    taken = [Bbox.from_extents(*(spot - 9), *(spot + 9))
             for spot in axes.transData.transform([point[:2] for point in points])]  # fmt: skip
    frame = axes.get_window_extent()
    for x, y, name in points:
        text = axes.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=size,
                             va="center")  # fmt: skip
        for up, side in ((u * s, side) for u in range(0, 90, 6) for s in (1, -1) for side in "lr"):
            text.set_position(((-11, 11)[side == "l"], up))
            text.set_ha({"l": "left", "r": "right"}[side])
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and box.x0 > frame.x0:
                break
        taken.append(box)
        if abs(up) > 12:
            corner = axes.transData.inverted().transform(
                (box.x0 if side == "l" else box.x1, box.y0 if up > 0 else box.y1)
            )
            axes.plot(*zip((x, y), corner), "-", color="grey", linewidth=0.8, zorder=0)
