"""The figures of the scaling lecture, F22, F23 and F27 to F29: functions of arrays that
return a Figure.

The data were computed before; here are only axes. Tests check what is in a figure: its points,
bars and words.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from minivit.course import COLORS, DASHES
from minivit.course.plots.drawing import note
from minivit.engine.errors import ShapeError

MARKERS = "os^Dv"
GAINED = "points gained over no decay"


# -- F23 -------------------------------------------------------------------------------------------
def bias(nets, baselines, published, sets):
    """F23. Left: nets and baselines {name: (training images, [accuracies, one a seed, of each])},
    mean and standard deviation; baselines thin. Right: published, {net: [(images, accuracy in
    %)]}; sets {images: name}."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 7.2))
    for k, (name, (images, values)) in enumerate({**nets, **baselines}.items()):
        values = [100 * _by_seed([of_one], 1)[0] for of_one in values]
        left.errorbar(
            images, [np.mean(v) for v in values], [np.std(v, ddof=1) for v in values],
            color=COLORS[k], label=name,
            linestyle=DASHES[k], marker=MARKERS[k], capsize=6 if name in nets else 0,
            linewidth=2.5 if name in nets else 1.2,
        )  # fmt: skip
    left.set(xscale="log", xlabel="training images (log)", ylabel="test accuracy (%)")
    places = sorted({n for images, _ in nets.values() for n in images})
    left.set_xticks(places, [f"{n:,}" for n in places])
    left.minorticks_off()
    left.set_title("ours: MNIST, trained from the start")
    low, high = left.get_ylim()
    left.set_ylim(low - 0.35 * (high - low), high)  # room for the legend
    left.legend(loc="lower right")
    for k, (name, points) in enumerate(published.items()):
        x, y = zip(*points)
        kind = list(nets).index("ResNet" if name.startswith("ResNet") else "ViT")
        right.plot(x, y, color=COLORS[kind], linestyle=DASHES[k], marker="Dovs^"[k], label=name,
                   fillstyle="none", markersize=8 + 2 * k, markeredgewidth=2)  # fmt: skip
    right.set(xscale="log", xlabel="images of the pre-training (log)")
    right.set(ylabel="ImageNet top-1 accuracy (%)", title="published: pre-trained, fine-tuned")
    right.set_xticks(list(sets), [f"{name}\n{n / 1e6:.3g}M" for n, name in sets.items()])
    right.minorticks_off()
    right.margins(x=0.2)
    right.legend(loc="lower right")
    note(
        fig,
        "Pixels shuffled: those of all images stand in one other order, so near ones are far apart."
        f" Bars: standard deviation over {_counts(nets)} seeds.",
    )
    return fig


def _counts(nets):
    """How many seeds a point has: "3", or "3 to 10"."""
    every = [len(of_one) for _, values in nets.values() for of_one in values]
    return " to ".join(str(n) for n in sorted({min(every), max(every)}))


# -- F27 -------------------------------------------------------------------------------------------
def power_laws(panels):
    """F27: errors on log-log axes. panels: [(title, x label, curves, fit, frontier)]; curves
    {label: (x, errors)}, errors (n,) or (n, seeds); fit None or (x, lower, middle, upper, words);
    frontier None or (x, errors), drawn in steps: the best so far."""
    rows, columns = -(-len(panels) // 2), min(len(panels), 2)
    fig, axes = plt.subplots(rows, columns, figsize=(2 + 4.5 * columns, 5 * rows), squeeze=False)
    for panel in axes.ravel()[len(panels) :]:
        panel.remove()
    for panel, (title, label, curves, fit, frontier) in zip(axes.ravel(), panels):
        for k, (name, (x, errors)) in enumerate(curves.items()):
            errors = np.asarray(errors, float)
            if errors.ndim == 2:
                for i, one in enumerate(errors.T):
                    panel.plot(x, one, ".", color=COLORS[k], alpha=0.5, linestyle="none",
                               label=None if i or fit else f"{name}, one seed")  # fmt: skip
                name = None if fit else f"{name}, mean of {errors.shape[1]} seeds"
                errors = errors.mean(axis=1)
            panel.plot(
                x, errors, color=COLORS[k], marker=MARKERS[k], label=name,
                linestyle="none" if len(curves) == 1 else DASHES[k],
            )  # fmt: skip
        if frontier:
            panel.step(
                *frontier, where="post", color="black", linewidth=1.5, label="the best so far"
            )
        if fit:
            x, lower, middle, upper, words = fit
            panel.plot(x, middle, "-", color="black", linewidth=1.5, label=words)
            if np.any(np.asarray(upper) > lower):
                panel.fill_between(
                    x, lower, upper, color="grey", alpha=0.25, linewidth=0,
                    label="90% of fits, seeds redrawn",
                )  # fmt: skip
        panel.set(xscale="log", yscale="log", xlabel=label, ylabel="test error", title=title)
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        panel.yaxis.set_major_formatter("{x:.3g}")
        panel.yaxis.set_minor_formatter("")
        places = np.unique(np.concatenate([np.ravel(x) for x, _ in curves.values()]))
        if places.max() < 30 * places.min():  # less than two powers of ten to write down
            few = places[:: -(-len(places) // 4)]
            panel.set_xticks(few, [f"{n / 1e6:,.0f} M" if n > 1e6 else f"{n:,}" for n in few])
        errors = np.concatenate([np.ravel(e) for _, e in curves.values()])
        if errors.max() < 3 * errors.min():  # hardly one power of ten
            panel.yaxis.set_major_locator(MaxNLocator(5))
        panel.xaxis.set_minor_formatter("")
        if len(curves) > 3 or fit:  # a long legend: below the curves
            panel.set_ylim(bottom=panel.get_ylim()[0] / 2.7)
            columns = 2 if len(curves) > 3 else 1
            panel.legend(loc="lower left", ncols=columns, handlelength=1.4, columnspacing=1)
        else:
            panel.legend(loc="upper right", frameon=True)
    return fig


# -- F28 -------------------------------------------------------------------------------------------
def head_decay(decays, tasks, upstream, judged, paper=None):
    """F28. Gained points of accuracy over no decay, against decay on the head: tasks [(title,
    {label: accuracies (decays, seeds)})], one scale for all, mean and standard deviation. Below,
    upstream's own accuracy: (title, (decays, seeds)); and what the verdict rests on: judged (title,
    {task: (gained points, one a seed, (low, high))}). decays[0] is 0; paper: the published one."""
    fig, (axes, (last, rule)) = plt.subplots(2, 2, figsize=(12, 10.4))
    x = np.arange(len(decays))  # evenly spaced: 0 has no place on a logarithmic axis
    for panel, (title, curves) in zip(axes, tasks):
        panel.axhline(0, color="black", linewidth=1)
        for k, (name, values) in enumerate(curves.items()):
            values = _by_seed(values, len(decays))
            shift = 0.1 * (k - (len(curves) - 1) / 2)  # beside each other
            name = f"{name} ({100 * np.mean(values[0]):.0f}%)"
            _mean(panel, x + shift, 100 * (values - values[0]), k, name)
        panel.set(title=title, ylabel=GAINED)
        panel.sharey(axes[0])
        title = "examples a class, and\naccuracy without decay"
        panel.legend(loc="lower left", title=title, alignment="left")
    for unused in axes[len(tasks) :]:
        unused.remove()
    title, values = upstream
    _mean(last, x, 100 * _by_seed(values, len(decays)), len(COLORS) - 1, None)
    last.set(title=title, ylabel="test accuracy (%)", ylim=(0, None))
    for panel in (*axes[: len(tasks)], last):
        panel.set_xticks(x, [f"{d:g}" + "\n(paper's)" * (d == paper) for d in decays])
        panel.set_xlabel("weight decay of the head")
    title, gains = judged
    rule.plot([0, 0], [-0.4, len(gains)], "-", color="black", linewidth=1)
    for y, (points, (low, high)) in enumerate(gains.values()):
        mean = float(np.mean(points))
        rule.plot(points, np.full(len(points), y), "o", color="black", alpha=0.5, markersize=8,
                  linestyle="none", label=None if y else "one seed")  # fmt: skip
        rule.errorbar(mean, y + 0.25, xerr=[[mean - low], [high - mean]], fmt="D", capsize=6,
                      color=COLORS[2], markersize=10,
                      label=None if y else f"mean of {len(points)}, 95% interval")  # fmt: skip
        words = f"{mean:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−")
        box = dict(facecolor="white", edgecolor="none", pad=1)
        rule.text(mean, y + 0.46, words, ha="center", va="top", bbox=box)
    rule.set_yticks(range(len(gains)), gains)
    rule.set(ylim=(len(gains) - 0.3, -1.3), title=title, xlabel=GAINED)
    rule.legend(loc="upper left")
    seeds = _by_seed(upstream[1], len(decays)).shape[1]
    note(fig, f"Curves: mean of {seeds} seeds; their bars: standard deviation.")
    return fig


def _mean(axes, x, values, k, label):
    """Mean and standard deviation over the seeds; values (x, seeds)."""
    axes.errorbar(
        x, values.mean(axis=1), values.std(axis=1, ddof=1), color=COLORS[k], label=label,
        linestyle=DASHES[k % 4], marker=MARKERS[k % len(MARKERS)], capsize=4,
    )  # fmt: skip


# -- F29 -------------------------------------------------------------------------------------------
def variants(groups, held):
    """F29. Accuracy, a dot a seed and a bar for the mean, groups: [(title, {name: accuracies
    (seeds,)})], and held: {optimizer: bytes for each parameter}. Panels whose accuracies differ by
    points have one scale; one where they differ by tens of points has its own."""
    rows = -(-(len(groups) + 1) // 2)
    fig, panels = plt.subplots(rows, 2, figsize=(11, 2.4 * rows + 0.4), squeeze=False)
    *panels, last = panels.ravel()[: len(groups) + 1]
    for unused in fig.axes[len(groups) + 1 :]:
        unused.remove()
    every = [100 * np.concatenate(list(map(np.ravel, bars.values()))) for _, bars in groups]
    near = [values for values in every if np.ptp(values) < 12]
    for panel, (title, bars), values in zip(panels, groups, every):
        for i, (_, of_one) in enumerate(bars.items()):
            mean = 100 * float(np.mean(of_one))
            panel.vlines(mean, i - 0.3, i + 0.3, color=COLORS[0], linewidth=5, zorder=3)
            beside = 0.22 * (np.arange(len(of_one)) % 3 - 1) * (len(of_one) > 3)  # many: in 3 rows
            panel.plot(100 * np.asarray(of_one), i + beside, "o", color="black",
                       markersize=7, alpha=0.6, linestyle="none")  # fmt: skip
            panel.text(1.02, i, f"{mean:.1f}      ", va="center",
                       transform=panel.get_yaxis_transform())  # fmt: skip
        _names(panel, bars)
        panel.set(xlabel="test accuracy on MNIST (%)", title=title)
        alike = np.concatenate(near) if np.ptp(values) < 12 else values
        room = 0.05 * np.ptp(alike) + 0.1
        panel.set_xlim(alike.min() - room, alike.max() + room)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for i, (_, size) in enumerate(held.items()):
        last.barh(i, size, color=COLORS[0], alpha=0.85)
        last.text(1.02, i, f"{size:.2f}      ", va="center",
                  transform=last.get_yaxis_transform())  # fmt: skip
    _names(last, held)
    last.set(xlabel="bytes held for each parameter", title="memory of the optimizer")
    last.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    note(fig, "A dot: one seed; blue line and number: their mean.")
    return fig


def _names(panel, names):
    """From top to bottom."""
    panel.set_yticks(range(len(names)), list(names))
    panel.set_ylim(len(names) - 0.4, -0.6)


# -- beside the forty ------------------------------------------------------------------------------
def schedules(curves):
    """The factor on the learning rate against the step, {name: factors}."""
    fig, axes = plt.subplots(figsize=(10, 4))
    for k, (name, factors) in enumerate(curves.items()):
        axes.plot(factors, color=COLORS[k], linestyle=DASHES[k], label=name)
    axes.set(xlabel="step", ylabel="factor on the rate")
    axes.legend()
    return fig


def _by_seed(values, n):
    values = np.asarray(values, float)
    if values.ndim != 2 or len(values) != n:
        raise ShapeError(f"plots_scaling: got {values.shape}, expected ({n}, seeds)")
    return values
