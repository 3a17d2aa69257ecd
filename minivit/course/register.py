"""The register of the lectures' figures and claims: what is made, what is missing, the verdicts."""

import contextlib
import importlib.resources
import io
import json
import operator
import os
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import numpy as np

from minivit import files
from minivit.engine.errors import MinivitError


class CourseError(MinivitError, ValueError):
    """A figure or claim that the course does not know, or one that says too little."""


_table = tomllib.loads(
    importlib.resources.files(__package__).joinpath("course.toml").read_text(encoding="utf-8")
)
FIGURES = _table["figures"]  # "F25" -> {"slide": ..., "shows": ..., "how": [...]}
CLAIMS = _table["claims"]  # "C09" -> what the slide says
OURS = _table["ours"]  # "O01" -> what we say ourselves
SLIDES = _table[
    "slides"
]  # in order: {"title": ..., "at": ["05: words of a heading"], "figures": ..}
LEAST = 14  # points of a figure's smallest text, were it ten inches wide: read from the last row
VERDICTS = {
    "holds": "holds here",
    "does not hold": "does not hold here",
    "not at this size": "cannot be shown at this size",
}


# -- where it goes ---------------------------------------------------------------------------------
def build_folder():
    """$MINIVIT_BUILD; else build/ in the repository that holds this folder; else build/ here."""
    if os.environ.get("MINIVIT_BUILD"):
        return Path(os.environ["MINIVIT_BUILD"]).expanduser().absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "minivit" / "course" / "course.toml").is_file():
            return folder / "build"
    return here / "build"


@contextlib.contextmanager
def _alone(path, patience=10.0):
    """One process at a time; a lock older than `patience` seconds was left by one that died."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(path.name + ".lock")
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except (FileExistsError, PermissionError):  # Windows says the second while it is removed
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > patience:
                    lock.unlink()
            time.sleep(0.01)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


# -- figures ---------------------------------------------------------------------------------------
def figure(id, fig, *, alt):
    """Save `fig` as build/figures/<id>.png, 200 dots per inch, and show it in a notebook.

    `alt` says in a sentence or two what a person who cannot see the figure should know; it goes
    into the file and the notebook. The figure is closed: a notebook would show it twice.
    """
    _known(id, FIGURES, "figure")
    plt = pyplot()
    if not isinstance(fig, plt.Figure):
        raise CourseError(f"{id}: fig: got {type(fig).__name__}, expected a matplotlib Figure")
    if not any(axes.has_data() or axes.texts or axes.patches for axes in fig.axes):
        raise CourseError(f"{id}: fig: the figure is empty; draw on its axes before saving it")
    if not isinstance(alt, str) or len(alt.split()) < 3:
        raise CourseError(
            f"{id}: alt: got {alt!r}, expected a sentence for those who cannot see the figure"
        )
    alt = " ".join(alt.split())
    legible(fig)
    png = io.BytesIO()
    about = {"Title": f"{id} {FIGURES[id]['slide']}", "Description": alt}
    fig.savefig(png, dpi=200, bbox_inches="tight", facecolor="white", metadata=about)
    files.write_whole(build_folder() / "figures" / f"{id}.png", png.getvalue())
    width = round(80 * fig.get_figwidth())  # on screen, in pixels; the file has 200 an inch
    plt.close(fig)
    if "IPython" in sys.modules:
        from IPython import display, get_ipython

        if get_ipython() is not None:  # none in a plain script
            display.display(
                {"image/png": png.getvalue(), "text/plain": f"{id}: {alt}"},
                metadata={"image/png": {"alt": alt, "width": width}},
                raw=True,
            )


def legible(fig):
    """Enlarge each text of `fig` to at least LEAST points in a figure of ten inches."""
    from matplotlib.text import Text

    for _ in range(5):  # what is larger may make the figure wider
        small, points = _small(fig)
        for text in small:
            text.set_fontsize(points)
        for axis in (axis for axes in fig.axes for axis in (axes.xaxis, axes.yaxis)):
            if not small.isdisjoint(axis.findobj(Text)):
                axis.set_tick_params(labelsize=points)  # for ticks that come with the next drawing
        if not small:
            break


def _small(fig):
    """(the texts that are too small, the points that they should have)."""
    from matplotlib.text import Text

    fig.draw_without_rendering()
    width = 1.01 * (fig.get_tightbbox().width + 0.2)  # the border; letters round at other dots
    points = LEAST * max(1, width / 10)
    texts = (t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip())
    return {t for t in texts if t.get_fontsize() < points - 1e-6}, points


def pyplot():
    try:
        import matplotlib.pyplot
    except ImportError as missing:
        raise ImportError(
            "figures need matplotlib, which is not installed: pip install 'minivit[lab]'"
        ) from missing
    return matplotlib.pyplot


def _known(id, table, kind):
    if not isinstance(id, str) or id not in table:
        ids = list(table)
        raise CourseError(f"{kind}: got {id!r}, expected one of {ids[0]!r} to {ids[-1]!r}")


# -- claims ----------------------------------------------------------------------------------------
def claim(id, verdict, *, numbers, seeds=()):
    """Record what we measured about a sentence of the slides in build/claims.json, and print it.

    `numbers` names each number (or list of numbers) that the verdict rests on. `seeds` are those of
    the runs: three or more where two means are compared, none where the numbers are exact.
    """
    if not (isinstance(id, str) and id in OURS):
        _known(id, CLAIMS, "claim")
    if not isinstance(verdict, str) or verdict not in VERDICTS:
        raise CourseError(f"{id}: verdict: got {verdict!r}, expected one of {list(VERDICTS)}")
    if not isinstance(numbers, dict) or not numbers:
        raise CourseError(f"{id}: numbers: got {numbers!r}, expected {{name: number, ...}}")
    entry = {
        "says": {**CLAIMS, **OURS}[id],
        "verdict": verdict,
        "numbers": {str(name): _plain(id, name, value) for name, value in numbers.items()},
        "seeds": checked_seeds(id, seeds),
    }
    path = build_folder() / "claims.json"
    with _alone(path):
        entries = {**claims(), id: entry}
        text = json.dumps(dict(sorted(entries.items())), indent=1, ensure_ascii=False)
        files.write_whole(path, text + "\n")
    print(f"{id} {VERDICTS[verdict]}: {entry['says']}\n    {evidence(entry)}")


def _plain(id, name, value):
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):  # a GPU's array does not convert by itself; rows of two lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise CourseError(
            f"{id}: numbers[{name!r}]: got {value!r}, expected a finite number or a list of them "
            "(of a Tensor: its .item())"
        )
    return array.tolist()


def checked_seeds(where, seeds):
    try:
        integers = [operator.index(seed) for seed in seeds]
    except TypeError:
        integers = [-1]
    if min(integers, default=0) < 0:
        raise CourseError(f"{where}: seeds: got {seeds!r}, expected integers >= 0: [0, 1, 2]")
    return integers


def evidence(entry):
    """An entry's numbers and seeds in one line."""

    def short(value):
        if isinstance(value, list):
            return "[" + ", ".join(map(short, value)) + "]"
        return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"

    said = ", ".join(f"{name} = {short(value)}" for name, value in entry["numbers"].items())
    runs = ", ".join(map(str, entry["seeds"]))
    return f"{said} (seeds {runs})" if runs else f"{said} (exact)"


# -- what there is ---------------------------------------------------------------------------------
def figures():
    """The figures made so far: {"F25": path}."""
    folder = build_folder() / "figures"
    return {id: folder / f"{id}.png" for id in FIGURES if (folder / f"{id}.png").is_file()}


def claims():
    """The verdicts given so far: {"C09": {"says", "verdict", "numbers", "seeds"}}."""
    path = build_folder() / "claims.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as broken:
        raise CourseError(f"{path} is not JSON ({broken}); delete it, it is made anew") from None


def verdicts():
    """Each claim as (id, what the slide or we say, verdict in words, numbers and seeds)."""
    given = claims()
    for id, says in {**CLAIMS, **OURS}.items():
        if id in given:
            yield id, says, VERDICTS[given[id]["verdict"]], evidence(given[id])
        else:
            yield id, says, "no verdict yet", ""


def report():
    """The closing list: each figure made or missing, each claim with its verdict."""
    made = figures()
    lines = [f"Figures: {len(made)} of {len(FIGURES)} made"]
    for id, row in FIGURES.items():
        lines.append(f"  {id}  {'made' if id in made else 'missing':8} {row['slide']}")
    given = [id for id in claims() if id in CLAIMS]
    lines.append(f"Claims: {len(given)} of {len(CLAIMS)} have a verdict, and ours")
    for id, says, verdict, _ in verdicts():
        lines.append(f"  {id}  {verdict:28} {textwrap.shorten(says, 60, placeholder=' ...')}")
    return "\n".join(lines)
