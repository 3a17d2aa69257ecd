"""What a long cell made is kept: a notebook that shows it ends with the same variables and output,
and computes nothing."""

import json
import subprocess
import sys

import pytest

from minivit.course import kept

pytest.importorskip("IPython")
CELLS = [
    "import numpy as np, io\n"
    "class Model:\n    def __init__(self): self.w = np.zeros(2)\n"
    "class Trainer:\n    def __init__(self, model): self.model = model\n"
    "    def run(self): self.model.w += 1\n"
    "def total(): return model.w.sum() + scale\n"
    "model = Model(); trainer = Trainer(model); scores = [1]; unused = 5; scale = 1",
    # binds, calls a method, and changes `model` by another name; `lost` cannot be pickled
    "long()\ntrainer.run()\nscores.append(2)\nscale, other, dead = 3, np.arange(3), [0] * 99\n"
    "lost = (i for i in ())\nprint('printed')",
    # defines what later cells call, of which it has made one
    "long()\ndef square(x): return x * x\n"
    "class Point:\n    x = 2\npoint = Point()\npoint.x = 4\n"
    "display({'text/plain': 'shown'}, raw=True)",
    "long()\nimport math\nother += 1\ndead = [i for i in scores]",  # imports: it runs everywhere
    "result = [total(), scores, other.tolist(), point.x, square(math.floor(3.5)), trainer.model is "
    "model, dead]",
]
RUN = """
import json, sys, time
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
from minivit.course import kept

notebook, folder, cells = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
shell, longs = InteractiveShell.instance(), []

def long():
    longs.append(1)
    start = time.process_time()
    while time.process_time() < start + 0.06: pass

shell.user_ns["long"] = long
kept.LONG = 0.05
if "kept" in sys.argv[4:]:
    kept.load_ipython_extension(shell)
else:  # in a cell, as `course.setup()` does it
    shell.user_ns["record"] = lambda: kept.record(notebook, folder)
    assert shell.run_cell("record()").success
for cell in cells:
    assert shell.run_cell(cell).success, cell
print("RESULT", json.dumps([shell.user_ns["result"], len(longs)]))
"""


def run(tmp_path, cells, *how):
    notebook = tmp_path / "notebook.ipynb"
    rows = [{"id": f"c{i}", "cell_type": "code", "source": c} for i, c in enumerate(CELLS)]
    notebook.write_text(json.dumps({"cells": rows}))
    command = [sys.executable, "-c", RUN, notebook, tmp_path / "kept", json.dumps(cells), *how]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert said.returncode == 0 and "Error" not in said.stdout, said.stdout + said.stderr
    before, _, result = said.stdout.partition("RESULT ")
    return before, *json.loads(result)


def test_a_notebook_with_kept_cells_ends_as_the_one_that_ran(tmp_path):
    _, result, longs = run(tmp_path, CELLS)
    assert (result[0], longs) == (5, 3)
    made = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert made == ["c1.kept", "c2.kept"]  # those that took long and import nothing
    about, variables = kept.unpacked((tmp_path / "kept/c1.kept").read_bytes())
    assert b"other" in variables
    assert not any(name in variables for name in (b"dead", b"unused", b"lost"))
    shows = {"output_type": "stream", "name": "stdout", "text": "printed\n"}
    content = kept.packed(about | {"outputs": [shows]}, variables)
    (tmp_path / "kept/c1.kept").write_bytes(content)
    magic = ["%%kept kept/c{}.kept  1 s\n" * (i in (1, 2)) for i in range(len(CELLS))]
    cells = [line.format(i) + cell for i, (line, cell) in enumerate(zip(magic, CELLS))]
    said, shown, longs = run(tmp_path, cells, "kept")
    assert (shown, longs) == (result, 1)
    assert "printed" in said and said.count("Kept: made ") == 2
    cells[1] += "\nscores.append(9)"  # a reader's own change is no kept result
    said, shown, longs = run(tmp_path, cells, "kept")
    assert (shown[1], longs) == ([1, 2, 9], 2)
    assert "another than the kept one" in said


@pytest.mark.parametrize(
    "code, read",
    [
        ("x = y", {"y"}),
        ("x = 1\nz = x", set()),
        ("x += 1", {"x"}),
        ("z = [m for m in ms]\nm", {"ms", "m"}),
        ("if a:\n    x = 1\nx", {"a", "x"}),
        ("def f():\n    return x\nx = 1", {"x"}),
        ("%time x", set()),
    ],
)
def test_what_a_cell_reads(code, read):
    assert kept.read_by([code]) == read
