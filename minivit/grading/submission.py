"""A student's code as a list of cells: from a .py file, a notebook, or a running kernel.

Each cell is read by itself, so a broken one does not take down the function defined in another,
and of all cells only what the function needs is run (`child.choose`).
"""

import ast
import io
import json
import os
import subprocess
import sys
import tempfile
import tokenize
from dataclasses import asdict, dataclass
from pathlib import Path

from minivit.grading import ipython, process
from minivit.grading.exercise import SubmissionError, find
from minivit.grading.process import child

LARGEST_FILE = 20 << 20  # bytes
LARGEST_CODE = 1 << 20  # characters: a notebook's outputs may be large, its code is not
OF_A_CELL = 40  # characters that a cell counts for, beside its text
MOST_PARTS = 1_000_000  # lists, dicts and their keys in a notebook: they take memory, not bytes


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
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise SubmissionError(
                f"{path.name} is larger than {LARGEST_FILE >> 20} MB: clear its outputs and save it"
            )
        if path.suffix == ".ipynb":
            cells = _notebook_cells(path.name, content)
        else:
            cells = _percent_cells(path.name, _text(content))
        if sum(len(text) + OF_A_CELL for _, _, text in cells) > LARGEST_CODE:
            raise SubmissionError(f"{path.name} holds more than {LARGEST_CODE >> 20} MB of code")
        plain = ipython.plain_cells([text for _, _, text in cells])
        cells = [(label, first, text) for (label, first, _), text in zip(cells, plain)]
    except FileNotFoundError:
        return Submission(path.name, [], f"there is no file {path.name}")
    except OSError as error:
        return Submission(path.name, [], f"{path.name} cannot be read: {error.strerror}")
    except (SyntaxError, UnicodeError):
        return Submission(path.name, [], f"{path.name} is no text in UTF-8: save it as that")
    except SubmissionError as error:
        return Submission(path.name, [], str(error))
    return Submission(path.name, cells)


def _text(content):
    """The text of a .py file, by its coding line where that names a plain table of characters."""
    encoding = tokenize.detect_encoding(io.BytesIO(content).readline)[0]
    if not encoding.startswith(("utf-8", "iso-8859", "latin", "cp125", "ascii", "us-ascii")):
        raise SyntaxError(encoding)
    return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def _percent_cells(label, text):
    if len(text) > LARGEST_CODE:  # said by `read`
        return [(label, 1, text)]
    lines = text.split("\n")
    starts = [i for i, line in enumerate(lines) if i == 0 or line.startswith(("# %%", "#%%"))]
    ends = [*starts[1:], len(lines)]
    texts = ["\n".join(lines[i:end]) for i, end in zip(starts, ends)]
    return [(label, i + 1, text) for i, text in zip(starts, texts)]


def _notebook_cells(name, content):
    try:
        texts = code_cells(content)
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, UnicodeError):
            raise
        raise SubmissionError(
            f"{name} is no notebook of format 4: open it in Jupyter and save it"
        ) from None
    return [(f"code cell {i}", 1, text) for i, text in enumerate(texts, 1) if text.strip()]


def code_cells(content):
    """The texts of a notebook's code cells, from its bytes; ValueError, KeyError, TypeError,
    AttributeError or RecursionError where they are no notebook."""
    if sum(map(content.count, (b"[", b"{", b":"))) > MOST_PARTS:
        raise ValueError
    notebook = json.loads(content.decode("utf-8-sig"), parse_int=_integer)
    if notebook.get("nbformat", 4) != 4:
        raise KeyError
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]


def _integer(digits):
    """Metadata may hold a number that Python refuses to read, of 5,000 digits; nobody reads it."""
    return int(digits) if len(digits) < 100 else 0


def from_namespace(namespace):
    """The Submission of a running notebook (all cells that were run, in order) or a script."""
    if not isinstance(namespace, dict):
        raise SubmissionError(
            f"expected globals() as the second argument, got {type(namespace).__name__}: "
            'check("attention", globals())'
        )
    if "In" in namespace:
        texts = [ipython.plain(text) for text in namespace["In"]]
        return Submission("this notebook", [(f"In [{i}]", 1, text) for i, text in enumerate(texts)])
    if "__file__" in namespace:
        return read(namespace["__file__"])
    raise SubmissionError(
        "check is called in a notebook or a file, as check(name, globals()); "
        "from a terminal, use minivit check"
    )


def saved_notebook(namespace, stem):
    """The file of a running notebook: where JupyterLab or VS Code says, or beside us; or None."""
    names = [namespace.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")]
    for path in [*(Path(n) for n in names if n), Path(f"{stem}.ipynb")]:
        if path.suffix == ".ipynb" and path.is_file():
            return path
    return None


def needed(submission, name):
    """The statements of a submission's function, as text without its layout."""
    statements = []
    for label, _, text in submission.cells:
        try:
            statements += [child.Statement(label, node) for node in ast.parse(text).body]
        except (SyntaxError, ValueError, RecursionError):
            continue
    return [ast.unparse(s.node) for s in child.choose(statements, name)]


def check(exercise, namespace=None):
    """Check a function that is defined in this notebook, print the report, give the points.

    `check("layer_norm", globals())` judges the function that this kernel has, as `minivit check 17`
    judges the one in the saved file; where the saved file would be worth something else, it says
    so. The judge is another process, which shares nothing with this one.
    """
    from minivit.grading import report

    chosen = find(exercise)
    answer = from_namespace(namespace)
    in_kernel = "In" in namespace
    if in_kernel and chosen.function not in namespace:
        print(
            f"There is no function {chosen.function} in this kernel yet: run the cells above first "
            "(in JupyterLab: Run > Run All Above Selected Cell)."
        )
        return 0
    here = Path(namespace["__file__"]).parent if "__file__" in namespace else Path.cwd()
    verdict, text = _judged(chosen, answer)
    verdict.write(report.results_path(here, verdict))
    if in_kernel:
        print(f"Judged: the function {chosen.function} that this kernel has, not the saved file.\n")
    print(text, end="")
    saved = saved_notebook(namespace, chosen.stem) if in_kernel else None
    if saved is not None:
        file = read(saved)
        if needed(file, chosen.function) != needed(answer, chosen.function):
            other, _ = _judged(chosen, file)
            if other.points != verdict.points:
                print(
                    f"\nCAREFUL: the saved {saved.name} would have {other.points:g} points, not "
                    f"{verdict.points:g}. It holds other code than this kernel has run: save it, "
                    "then restart the kernel, run all cells, and look again."
                )
    return verdict.points


def _judged(exercise, answer):
    """(Verdict, report) on a Submission, from a process of its own where there are processes."""
    from minivit.grading import judge, report

    if not process.PROCESSES:
        verdict = judge.judge(exercise, answer)
        return verdict, report.report(verdict)
    home = str(Path(__file__).parents[2])  # where this minivit was imported from
    path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        cells, results = Path(folder, "cells.json"), Path(folder, "results.json")
        cells.write_text(json.dumps(asdict(answer)), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "minivit.commands", "check", exercise.function]
            + ["--cells", str(cells), "--results", str(results)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )
        if done.returncode not in (0, 1):
            raise SubmissionError(f"the check did not run: {done.stderr.strip() or done.stdout}")
        return judge.Verdict.read(results), done.stdout
