"""A student's code as a list of cells: from a .py file, a notebook, or a running kernel.

Each cell is read by itself, so a broken one does not take down the function defined in another,
and of all cells only what the function needs is run (`child.choose`).
"""

import json
import os
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import asdict, dataclass
from pathlib import Path

from minivit.appendices.grading.exercise import SubmissionError


@dataclass
class Submission:
    """Cells of code, as (label, number of the first line, text); `trouble`: why there are none."""

    where: str
    cells: list
    trouble: str = ""


def read(path):
    """The Submission in a .py file (percent format or plain) or an .ipynb notebook."""
    path = Path(path)
    try:
        if path.suffix == ".ipynb":
            return Submission(path.name, _notebook_cells(path))
        with tokenize.open(path) as file:  # honours a coding line
            return Submission(path.name, _percent_cells(path.name, file.read()))
    except FileNotFoundError:
        return Submission(path.name, [], f"there is no file {path.name}")
    except OSError as error:
        return Submission(path.name, [], f"{path.name} cannot be read: {error.strerror}")
    except (SyntaxError, UnicodeDecodeError):
        return Submission(path.name, [], f"{path.name} is no text in UTF-8: save it as that")
    except SubmissionError as error:
        return Submission(path.name, [], str(error))


def _percent_cells(label, text):
    cells, first = [], 1
    for number, line in enumerate([*text.split("\n"), "# %%"], 1):
        if line.startswith("# %%") and number > first:
            cells.append((label, first, "\n".join(text.split("\n")[first - 1 : number - 1])))
            first = number
    return cells


def _notebook_cells(path):
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        found = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        texts = ["".join(c["source"]) for c in found]
    except (json.JSONDecodeError, KeyError, TypeError, RecursionError):
        raise SubmissionError(
            f"{path.name} is no notebook of format 4: open it in Jupyter and save it"
        ) from None
    return [(f"code cell {i}", 1, _python(text)) for i, text in enumerate(texts, 1)]


def _python(text):
    """Without IPython's own commands; every line keeps its number."""
    if text.startswith("%%"):
        return ""
    return "\n".join("pass" if l.startswith(("%", "!")) else l for l in text.split("\n"))


def from_namespace(namespace):
    """The Submission of a running notebook (all cells that were run, in order) or a script."""
    if "In" in namespace:
        texts = namespace["In"]
        return Submission("this notebook", [(f"In [{i}]", 1, text) for i, text in enumerate(texts)])
    if "__file__" in namespace:
        return read(namespace["__file__"])
    raise SubmissionError(
        "check is called in a notebook or a file, as check(name, globals()); "
        "from a terminal, use minivit check"
    )


def check(exercise, namespace):
    """Check a function that is defined in this notebook, print the report, give the points.

    `check("layer_norm", globals())` says the same as `minivit check 1`. The judge is another
    process, which shares nothing with this one.
    """
    from minivit.appendices.grading import judge, report

    answer = from_namespace(namespace)
    here = Path(namespace["__file__"]).parent if "__file__" in namespace else Path.cwd()
    home = str(Path(__file__).parents[3])  # where this minivit was imported from
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        cells, results = Path(folder, "cells.json"), Path(folder, "results.json")
        cells.write_text(json.dumps(asdict(answer)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "minivit.appendices.cli", "check", exercise]
            + ["--cells", str(cells), "--results", str(results)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )
        if done.returncode not in (0, 1):
            raise SubmissionError(f"the check did not run: {done.stderr.strip() or done.stdout}")
        verdict = judge.Verdict.read(results)
    verdict.write(report.results_path(here, verdict))
    print(done.stdout, end="")
    return verdict.points
