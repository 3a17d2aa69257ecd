"""GRADING.md, word for word: its commands run in a copy of the repository, in an environment that
holds nothing before."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minivit.grading.exercise import find
from tests import answers
from tests.grading.attacks import ATTACKS
from tests.grading.exports import BOOK, STEM, write

ROOT = Path(__file__).parents[2]
ATTENTION = find("attention")
PAGE = (ROOT / "exercises" / "GRADING.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.S | re.M)


def copy(to):
    """The repository without what git does not keep."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, check=True)  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("lectures/", "data/")):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)
    (to / "data").mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "data" / "LICENSES.md", to / "data" / "LICENSES.md")


def test_the_page_has_the_commands_that_are_walked():
    assert len(COMMANDS) == 5
    assert "'minivit[" not in PAGE and "nbgrader formgrader" not in PAGE
    assert f"a class of {len(ATTACKS)} attacks" in PAGE


@pytest.mark.slow
@pytest.mark.timeout(3600)  # pip installs three times
@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("git"), reason="no bash, no git")
def test_the_page_walked_in_an_empty_environment(tmp_path):
    course, venv = tmp_path / "course", tmp_path / "venv"
    copy(course)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(venv),
        "HOME": str(tmp_path),
    }  # fmt: skip

    def walk(text, good=(0,)):
        done = subprocess.run(["bash", "-e", "-c", text], cwd=course, env=environment,
                              capture_output=True, text=True)  # fmt: skip
        if "No matching distribution" in done.stderr:
            pytest.skip("pip finds no packages here")
        assert done.returncode in good, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    right = answers.of(ATTENTION)[0].text
    write(course / "submissions", {
        f"jane_12_34_{STEM}.ipynb": BOOK, f"ann_13_35_{ATTENTION.stem}-1.py": right,
    })  # fmt: skip
    write(course, {
        "marks.csv": "student,exercise,explain,points,comment\njane,chain_rule,2,,clear\n",
        "times.csv": "student,handed in\nann,2026-11-04 12:00\n",
    })  # fmt: skip
    first, shared, second, third, fourth = COMMANDS
    assert "2 graded, 0 to look at, 0 failed" in walk(first)
    said = walk(shared.replace("ada cem", "jane").replace("ben dan", "ann"))
    assert said.count("2 graded, 0 to look at, 0 failed") == 3
    assert "2 graded, 1 to look at, 0 failed" in walk(second)  # Canvas has no time for jane
    with open(course / "results" / "points.csv", encoding="utf-8") as file:
        final = {row["student"]: float(row["final"]) for row in csv.DictReader(file)}
    assert final == {"jane": 12, "ann": pytest.approx(0.9 * ATTENTION.points)}
    assert (course / "results" / "canvas.csv").exists()
    assert (course / "bundle" / f"{STEM}.ipynb").exists() and (course / "grading.seed").exists()

    before, autograde = third.split("nbgrader autograde")
    walk(before)
    released = course / "course" / "release" / ATTENTION.stem / f"{ATTENTION.stem}.ipynb"
    book = json.loads(released.read_text("utf-8"))
    for cell in book["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == ATTENTION.function:
            cell["source"] = right
    write(course / "course" / "submitted" / "ann" / ATTENTION.stem, {
        f"{ATTENTION.stem}.ipynb": json.dumps(book),
    })  # fmt: skip
    walk("cd course\nnbgrader autograde" + autograde + "nbgrader export")
    with open(course / "course" / "grades.csv", encoding="utf-8") as file:
        (row,) = [r for r in csv.DictReader(file) if r["assignment"] == ATTENTION.stem]
    assert float(row["score"]) == ATTENTION.points
    assert "an autograder for 1 exercise" in walk(fourth)
