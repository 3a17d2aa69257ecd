"""A notebook's cells judge the same in a kernel, in the saved file, and wherever that is graded."""

import json
import os
import sys
from pathlib import Path

import pytest

from minivit.grading import ipython, judge, submission
from minivit.grading.exercise import find
from minivit.grading.teachers import nbgrader
from tests import answers
from tests.grading import here

pytest.importorskip("IPython")
ROOT = Path(__file__).parents[2]
EXERCISE = find("unbroadcast")
RIGHT = answers.of(EXERCISE)[0].text
CELLS = {
    "%%time": "%%time\n" + RIGHT,
    "%%capture, then %%time": "%%capture out\n%%time\n" + RIGHT,
    "a question": RIGHT + "\nunbroadcast?",
    "a question in front": "?unbroadcast\n" + RIGHT,
    "a shell command": "files = !ls\n!echo hello\n" + RIGHT,
    "%timeit, indented": RIGHT + "\nfor i in range(2):\n    %timeit -n1 -r1 unbroadcast(1, [])\n",
    "%matplotlib": "%matplotlib inline\n" + RIGHT,
    "%time before a name": "%time three = 3\n" + RIGHT.replace("[0]", "[0]"),
    "an indented cell": "\n".join("    " + line for line in RIGHT.strip().split("\n")),
    "a prompt": ">>> import numpy as np\n" + RIGHT,
}
NOT_DEFINED = {"%%timeit": "%%timeit\n" + RIGHT, "%%bash": "%%bash\n" + RIGHT}


def notebook(*cells):
    cells = [{"cell_type": "code", "source": text, "metadata": {}, "outputs": [],
              "execution_count": None} for text in cells]  # fmt: skip
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 4, "metadata": {}})


def points(found):
    """The worth of a Submission."""
    text = "\n".join(text for _, _, text in found.cells)
    return 0 if found.trouble else here.points(EXERCISE, text)


@pytest.mark.parametrize("kind", CELLS)
def test_a_right_answer_among_commands_has_all_points(kind, tmp_path):
    path = tmp_path / "01_unbroadcast.ipynb"
    path.write_text(notebook(CELLS[kind]), encoding="utf-8")
    assert points(submission.read(path)) == 10
    path = tmp_path / "01_unbroadcast.py"  # as an editor with cells runs it
    path.write_text("# %%\n" + CELLS[kind], encoding="utf-8")
    assert points(submission.read(path)) == 10 or kind[0] in "%a"


@pytest.mark.parametrize("kind", NOT_DEFINED)
def test_what_a_kernel_does_not_define_is_not_there(kind, tmp_path):
    path = tmp_path / "01_unbroadcast.ipynb"
    path.write_text(notebook(NOT_DEFINED[kind]), encoding="utf-8")
    verdict = judge.judge(EXERCISE, submission.read(path))
    assert verdict.points == 0 and "no function unbroadcast" in verdict.outcomes[0].sentence


def test_a_running_kernel_keeps_what_ipython_made_of_a_cell():
    from IPython.core.inputtransformer2 import TransformerManager

    for text in CELLS.values():
        kept = TransformerManager().transform_cell(text)
        assert points(submission.from_namespace({"In": ["", kept]})) == 10


def test_nbgrader_and_gradescope_read_the_same(tmp_path):
    for text in (CELLS["%%time"], CELLS["%timeit, indented"]):
        assert nbgrader.verdict_on(notebook(text), "unbroadcast", 0).points == 10


def test_lines_keep_their_numbers_and_python_is_left_alone():
    assert ipython.plain("x = 1\n%time y = 2\nz = 3") == "x = 1\ny = 2\nz = 3\n"
    assert ipython.plain("%%time\nx = 1").splitlines()[:2] == ["", "x = 1"]
    for text in ("z = (10\n%3)", "def f(:\n", 's = """\n%time\n"""', ""):
        assert ipython.plain(text) == text


def test_without_ipython_a_cell_with_commands_is_refused_with_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython.core.inputtransformer2", None)
    path = tmp_path / "01_unbroadcast.ipynb"
    path.write_text(notebook(CELLS["a question"]), encoding="utf-8")
    assert "pip install ipython" in submission.read(path).trouble
    path.write_text(notebook(RIGHT), encoding="utf-8")
    assert points(submission.read(path)) == 10


# -- check in a kernel -----------------------------------------------------------------------------
def checked(namespace, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    found = submission.check("unbroadcast", namespace)
    return found, capsys.readouterr().out


def test_a_fresh_kernel_says_run_the_cells_above(tmp_path, monkeypatch, capsys):
    found, said = checked({"In": ["", "check(...)"]}, tmp_path, monkeypatch, capsys)
    assert found == 0 and "run the cells above first" in said


@pytest.mark.parametrize("saved,careful", [(RIGHT, False), ("", True), (None, False),
                                           ("# a comment\n" + RIGHT, False)])  # fmt: skip
def test_a_saved_file_that_is_worth_something_else_is_said(
    saved, careful, tmp_path, monkeypatch, capsys
):
    if saved is not None:
        (tmp_path / "01_unbroadcast.ipynb").write_text(notebook(saved), encoding="utf-8")
    namespace = {"In": ["", RIGHT], "unbroadcast": len}
    found, said = checked(namespace, tmp_path, monkeypatch, capsys)
    assert found == 10 and "that this kernel has, not the saved file" in said
    assert (
        "CAREFUL: the saved 01_unbroadcast.ipynb would have 0 points, not 10" in said
    ) == careful


def test_a_helper_in_a_cell_that_was_emptied_is_noticed(tmp_path, monkeypatch, capsys):
    helper = "def total(g, axis):\n    return g.sum(axis=axis)\n"
    answer = RIGHT.replace("g.sum(axis=0)", "total(g, 0)")
    path = tmp_path / "elsewhere.ipynb"
    path.write_text(notebook("", answer), encoding="utf-8")
    monkeypatch.setattr(os, "environ", os.environ | {})
    namespace = {"In": ["", helper, answer], "unbroadcast": len, "__vsc_ipynb_file__": str(path)}
    found, said = checked(namespace, tmp_path, monkeypatch, capsys)
    assert found == 10 and "CAREFUL: the saved elsewhere.ipynb" in said
