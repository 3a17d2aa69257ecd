"""The history of lecture 3: models over the years, F08 to F10, from published numbers."""

import csv

import matplotlib.pyplot as plt

from minivit import files
from minivit.course.plots.drawing import BLUE, GREEN, ORANGE
from minivit.engine.errors import DataError


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
