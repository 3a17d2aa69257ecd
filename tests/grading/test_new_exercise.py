"""A new exercise takes one source file and one checks file (and its page): made, handed out,
checked and graded as exercises/GRADING.md says, in a copy of the library."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = '''"""Exercise 99: twice a number."""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property
from minivit.grading.properties import equals, keeps_dtype, leaves_nothing_behind, numbers


def truth(case):
    return {"y": 2 * case.inputs["x"]}


@st.composite
def cases(draw, dtype=np.float64):
    return Case({"x": numbers(draw, (3,), dtype) + dtype(5)})


EXERCISE = Exercise(
    number=99, function="twice", title="Twice", lecture="CLIP, line by line", section="Pairs",
    outputs=("y",),
    properties=(
        Property("twice x", 8, cases(), equals("y", truth), "y"),
        keeps_dtype(truth, "x", 1, cases()),
        leaves_nothing_behind(truth, 1, cases()),
    ),
    mistakes=(Mistake("y", "it is squared", lambda c: c.inputs["x"] ** 2),),
)
'''
SOURCE = """# %% [markdown]
# # Exercise 99: Twice

# %%
from minivit.grading import TodoError


# %% nbgrader={"grade": false, "grade_id": "twice", "locked": false, "schema_version": 3, "solution": true, "task": false}
def twice(x):
    ### BEGIN SOLUTION
    # Task: double it
    y = 2 * x
    ### END SOLUTION
    return y
"""  # noqa: E501
STEPS = """
import sys
from minivit import commands
from minivit.grading import starter
sys.argv = ["starter", "exercises"]
starter.main()
run = lambda *words: print("status", commands.main([*map(str, words)]), flush=True)
run("check", 99, "exercises/99_twice.py")
run("release", "--out", "bundle", "--exercises", "exercises", "--seed", 1)
right = open("exercises/source/99_twice.py").read()
for name, text in {"ada": right, "ben": right.replace("2 * x", "x ** 2")}.items():
    open(f"handed_in/{name}/99_twice.py", "w").write(text)
run("check", 99, "handed_in/ben/99_twice.py")
run("grade", "handed_in", "--out", "results", "--exercises", "exercises", "--seed", 1,
    "--processes", 1)
"""


@pytest.mark.slow  # five seconds: four interpreters
def test_two_files_make_an_exercise(tmp_path):
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "minivit", tmp_path / "minivit", ignore=without)
    for path in (tmp_path / "minivit" / "grading" / "checks").glob("[a-z]*.py"):
        path.unlink()  # the other exercises only take time
    (tmp_path / "exercises" / "source").mkdir(parents=True)
    for name in ("README.md", ".lab/overrides.json"):
        (tmp_path / "exercises" / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "exercises" / name, tmp_path / "exercises" / name)
    (tmp_path / "minivit" / "grading" / "checks" / "twice.py").write_text(CHECKS, encoding="utf-8")
    folder = tmp_path / "exercises"
    (folder / "source" / "99_twice.py").write_text(SOURCE, encoding="utf-8")
    (folder / "99_twice.md").write_text("# Exercise 99: Twice\n", encoding="utf-8")
    for student in ("ada", "ben"):
        (tmp_path / "handed_in" / student).mkdir(parents=True)
    here = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", STEPS], cwd=tmp_path, capture_output=True,
                          encoding="utf-8", env=here)  # fmt: skip
    said = done.stdout + done.stderr
    assert [line for line in said.splitlines() if line.startswith("status")] == [
        "status 1", "status 0", "status 1", "status 0"
    ], said  # fmt: skip
    assert "Exercise 99, twice: double it. Read lecture 'CLIP, line by line'" in " ".join(
        said.split()
    )
    assert "known mistake: it is squared" in said
    cells = json.loads((tmp_path / "bundle" / "99_twice.ipynb").read_text("utf-8"))["cells"]
    assert "TodoError(" in "".join(cells[-1]["source"])
    assert "2 * x" not in "".join(cells[-1]["source"])
    with open(tmp_path / "results" / "points.csv", encoding="utf-8") as file:
        points = {row["student"]: row["99_twice"] for row in csv.DictReader(file)}
    assert float(points["ada"]) == 10 and float(points["ben"]) == 2
