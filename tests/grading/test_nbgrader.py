"""The course folder for nbgrader: nbgrader itself reads it, and gives minivit's points."""

import csv
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from minivit import commands
from minivit.grading import starter
from minivit.grading.exercise import SubmissionError, find, registry
from minivit.grading.teachers import classroom, nbgrader
from tests import answers

EXERCISES = Path(__file__).parents[2] / "exercises"
WITHOUT = pytest.mark.skipif(
    find_spec("nbgrader") is None, reason="no nbgrader here: pip install -e '.[nbgrader]'"
)
CHAIN_RULE = find("chain_rule")
STEM = CHAIN_RULE.stem
FOUND = {a.name: a for a in answers.of(CHAIN_RULE)}
LOOP = "def chain_rule(parents, slopes):\n    while True: pass\n"
# all that a student's cell can do to the grading cell's process
CHEAT = """
import builtins, subprocess, sys, minivit.grading as grading
def check(*a, **k): return 10
grading.check = builtins.check = check
subprocess.run = lambda *a, **k: 1 / 0
get_ipython().display_formatter.format = lambda *a, **k: ({"text/plain": "10"}, {})
def chain_rule(parents, slopes):
    return 0
"""
CLASS = {  # student: (the cell of the solution, points of 10); None: as it was handed out
    "ada": (FOUND["B"].text, 10),
    "ben": (next(a for a in FOUND.values() if a.mistake).text, 2),
    "cleo": (None, 0),
    "dan": ("def chain_rule(:\n", 0),
    "eve": (LOOP, 0),
    "fay": (CHEAT, 0),
    "gus": (FOUND["C"].text + "\nprint('a debug print')\n1 / 0\n", 10),
}


def test_a_course_folder_holds_every_exercise(tmp_path, capsys):
    pytest.importorskip("jupytext")
    release = [
        "release",
        "--exercises",
        str(EXERCISES),
        "--nbgrader",
        str(tmp_path / "c"),
        "--seed",
        "77",
    ]
    assert (
        commands.main(release) == 0 and f"{len(registry())} assignments" in capsys.readouterr().out
    )
    for exercise in registry().values():
        folder = tmp_path / "c" / "source" / exercise.stem
        book = json.loads((folder / f"{exercise.stem}.ipynb").read_text("utf-8"))
        cells = [c["metadata"]["nbgrader"] for c in book["cells"] if "nbgrader" in c["metadata"]]
        graded = {c["grade_id"]: (c["points"], c["solution"]) for c in cells if c["grade"]}
        assert graded == {
            f"{exercise.function}_check": (exercise.points, False),
            f"{exercise.function}_explain": (2, True),  # the text that a person grades
        }
        assert (folder / f"{exercise.stem}.md").exists()
    assert commands.main(release) == 2 and "is not empty" in capsys.readouterr().err
    bundle = [
        "release",
        "--exercises",
        str(tmp_path),
        "--nbgrader",
        str(tmp_path / "d"),
        "--seed",
        "77",
    ]
    assert commands.main(bundle) == 2 and "no folder source/" in capsys.readouterr().err


def test_a_verdict_on_a_notebooks_text():
    pytest.importorskip("jupytext")
    source = (EXERCISES / "source" / f"{STEM}.py").read_text("utf-8")
    verdict = nbgrader.verdict_on(starter.nbgrader_source(source), "chain_rule", 77)
    assert verdict.points == 10
    with pytest.raises(SubmissionError, match="expected an exercise, got 'no_such'"):
        nbgrader.verdict_on(starter.nbgrader_source(source), "no_such", 77)


@pytest.mark.parametrize("source", ["assert True", 'check("merge_pair", globals()); 10', "10.0"])
def test_another_grading_cell_is_an_error_and_not_all_the_points(source):
    """nbgrader gives all points to a grading cell without outputs."""
    nbformat = pytest.importorskip("nbformat")
    (output,) = nbgrader.outputs(nbformat.v4.new_notebook(), source, 0)
    assert output.output_type == "error" and "Grade it by hand" in output.evalue


def run(*arguments, cwd):
    """`nbgrader ...`; its own programs are found beside this Python, as in an activated venv."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = os.environ | {"PATH": path, "PYTHONPATH": str(EXERCISES.parent), "HOME": str(cwd)}
    done = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=cwd, env=home,
                          capture_output=True, encoding="utf-8")  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr


def hand_in(course, classmates, stem=STEM):
    """Put each student's cell into the notebook that nbgrader released, and hand it in."""
    released = json.loads((course / "release" / stem / f"{stem}.ipynb").read_text("utf-8"))
    for student, (text, _) in classmates.items():
        book = json.loads(json.dumps(released))
        for cell in book["cells"]:
            grade_id = cell["metadata"].get("nbgrader", {}).get("grade_id")
            if grade_id == stem[3:] and text:
                cell["source"] = text
            if grade_id == f"{stem[3:]}_explain":
                cell["source"] = "Because." if student == "ada" else "*Your answer.*"
        to = course / "submitted" / student / stem / f"{stem}.ipynb"
        to.parent.mkdir(parents=True)
        to.write_text(json.dumps(book), encoding="utf-8")


@WITHOUT
@pytest.mark.slow
def test_nbgrader_gives_the_points_of_minivit_grade(tmp_path):
    course = tmp_path / "course"
    nbgrader.course(EXERCISES, course, 77)
    run("generate_assignment", STEM, cwd=course)
    release = (course / "release" / STEM / f"{STEM}.ipynb").read_text("utf-8")
    assert "TodoError(" in release and "g[parent] +=" not in release and "(1 point.)" not in release
    hand_in(course, CLASS)
    run("autograde", STEM, cwd=course)
    run("export", cwd=course)
    with open(course / "grades.csv", encoding="utf-8") as file:
        scores = {r["student_id"]: float(r["score"]) for r in csv.DictReader(file)}
    assert scores == {student: points for student, (_, points) in CLASS.items()}

    for student in CLASS:  # the same notebooks, without nbgrader
        (course / "plain" / student).mkdir(parents=True)
        book = course / "submitted" / student / STEM / f"{STEM}.ipynb"
        (course / "plain" / student / book.name).write_bytes(book.read_bytes())
    points = classroom.grade(course / "plain", tmp_path / "out", 1, 77, progress=False)
    assert {s: p[CHAIN_RULE.number] for s, p in points.items()} == scores

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as book:
        waiting = {s.student.id for s in book.assignment_submissions(STEM) if s.needs_manual_grade}
    assert waiting == {"ada"}  # the only one who explained something
    run("generate_feedback", STEM, cwd=course)
    page = (course / "feedback" / "ben" / STEM / f"{STEM}.html").read_text("utf-8")
    assert "known mistake: the gradient of a parent is replaced" in page
