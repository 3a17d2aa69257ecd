"""The autograder for Gradescope: set up and run as there, and it gives minivit's points."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from minivit import commands
from minivit.grading.exercise import find, registry
from minivit.grading.teachers import classroom, gradescope
from tests import answers

ROOT = Path(__file__).parents[2]
CHAIN_RULE, MERGE = find("chain_rule"), find("merge_pair")
LOOP = "def chain_rule(parents, slopes):\n    while True: pass\n"


def files(exercise, name=None):
    """{file: text} of a student with this answer; without a name, the first wrong one."""
    found = answers.of(exercise)
    chosen = next(a for a in found if (a.name == name if name else a.mistake))
    return {f"{exercise.stem}.py": chosen.text}


CLASS = {  # student: (files, points of 20 in exercises 8 and 16)
    "ada": (files(CHAIN_RULE, "A") | files(MERGE, "B"), 20),
    "ben": (files(CHAIN_RULE), 2),
    "cleo": ({f"{CHAIN_RULE.stem}.py": "def chain_rule(:"} | files(MERGE, "A"), 10),
    "dan": ({}, 0),
    "eve": ({f"{CHAIN_RULE.stem}.py": LOOP} | files(MERGE), 2),
}
# The documented format: https://gradescope-autograders.readthedocs.io/en/latest/specs/
VISIBILITY = {"hidden", "after_due_date", "after_published", "visible"}
TEXT = {"text", "html", "simple_format", "md", "ansi"}
TOP = {"score": (int, float), "execution_time": int, "output": str, "output_format": TEXT,
       "test_output_format": TEXT, "test_name_format": TEXT, "visibility": VISIBILITY,
       "stdout_visibility": VISIBILITY, "extra_data": dict, "tests": list,
       "leaderboard": list}  # fmt: skip
TEST = {"score": (int, float), "max_score": (int, float), "status": {"passed", "failed"},
        "name": str, "name_format": TEXT, "number": str, "output": str, "output_format": TEXT,
        "tags": list, "visibility": VISIBILITY, "extra_data": dict}  # fmt: skip


def valid(text):
    """The object in a results.json, each of its parts of the documented kind."""
    found = json.loads(text)
    for part, kinds in [(found, TOP), *((test, TEST) for test in found["tests"])]:
        for key, value in part.items():
            kind = kinds[key]
            assert value in kind if isinstance(kind, set) else isinstance(value, kind), (key, value)
    assert found["tests"] and all("score" in t and "max_score" in t for t in found["tests"])
    return found


def points(found):
    return sum(t["score"] for t in found["tests"])


def put(folder, texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def test_the_zip_holds_what_gradescope_wants(tmp_path, capsys):
    to = tmp_path / "a.zip"
    assert commands.main(["release", "--gradescope", str(to), "--only", "2", "--seed", "77"]) == 0
    assert "an autograder for 1 exercise\n" in capsys.readouterr().out
    with zipfile.ZipFile(to) as archive:
        modes = {i.filename: i.external_attr >> 16 for i in archive.infolist()}
        run = archive.read("run_autograder").decode()
        needed = archive.read("requirements.txt").decode()
    assert modes["setup.sh"] == modes["run_autograder"] == 0o755
    assert run.startswith("#!/usr/bin/env bash\n") and "results.json 77 2\n" in run
    assert {line.split("==")[0] for line in needed.splitlines()} - {"ipython"} == {
        "numpy",
        "hypothesis",
    }
    assert "minivit/grading/teachers/gradescope.py" in modes
    assert not any(name.startswith("exercises") for name in modes)  # no solutions
    assert to.stat().st_size < 1_000_000
    again = tmp_path / "b.zip"
    gradescope.bundle(again, ["attention"], 77)
    assert again.read_bytes() == to.read_bytes()
    assert commands.main(["release", "--gradescope", str(to)]) == 2
    assert "is there already" in capsys.readouterr().err
    for form in ("--out", "--nbgrader"):  # these have all exercises
        assert commands.main(["release", form, str(tmp_path / "d"), "--only", "2"]) == 2
        assert "--only is for --gradescope" in capsys.readouterr().err
    bad = ["release", "--gradescope", str(tmp_path / "c.zip"), "--only", "no_such"]
    assert commands.main(bad) == 2 and "expected an exercise" in capsys.readouterr().err


@pytest.mark.parametrize("student", ["ada", "cleo", "dan"])
def test_results_are_valid_from_the_start_and_after_each_check(student, tmp_path, monkeypatch):
    seen, replace = [], os.replace
    to = tmp_path / "results" / "results.json"

    def watched(part, path):
        replace(part, path)
        seen.append(valid(to.read_text()))

    monkeypatch.setattr(os, "replace", watched)
    texts, expected = CLASS[student]
    put(tmp_path / "submission", texts)
    gradescope.grade(tmp_path / "submission", to, [MERGE, CHAIN_RULE], 77)
    scores = [points(found) for found in seen]
    assert scores[0] == 0 and scores == sorted(scores) and scores[-1] == expected
    assert all(len(found["tests"]) == 11 for found in seen)
    outputs = {t["output"] for t in seen[-1]["tests"]}
    assert ("not handed in" in outputs) == (student == "dan")
    assert "not judged yet" not in outputs and (student != "ada" or outputs == {""})


def test_a_run_that_is_killed_keeps_the_points_so_far(tmp_path):
    put(tmp_path / "submission", files(MERGE, "A") | {f"{CHAIN_RULE.stem}.py": LOOP})
    to = tmp_path / "results.json"
    numbers = [str(exercise.number) for exercise in (MERGE, CHAIN_RULE)]
    command = [sys.executable, "-m", "minivit.grading.teachers.gradescope",
               tmp_path / "submission", to, "77", *numbers]  # fmt: skip
    running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (to.exists() and points(valid(to.read_text())) == 10):
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    found = valid(to.read_text())
    assert points(found) == 10  # exercise 8; the loop in 16 was being waited for
    assert any(t["output"] == "not judged yet" for t in found["tests"])


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_set_up_and_run_as_on_gradescope(tmp_path):
    """The zip, unpacked, in an environment that its own setup.sh makes."""
    gradescope.bundle(tmp_path / "autograder.zip", [MERGE.function, CHAIN_RULE.function], 77)
    home = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(home / "source")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"AUTOGRADER": str(home)}
    setup = subprocess.run(["bash", home / "source" / "setup.sh"], env=env, cwd="/",
                           capture_output=True, encoding="utf-8")  # fmt: skip
    if "No matching distribution" in setup.stderr:
        pytest.skip("pip finds no packages here")
    assert setup.returncode == 0, setup.stderr
    shutil.copy(home / "source" / "run_autograder", home)
    scores = {}
    for student, (texts, _) in CLASS.items():
        for folder in ("submission", "results"):
            shutil.rmtree(home / folder, ignore_errors=True)
        put(home / "submission", texts)
        put(tmp_path / "class" / student, texts)
        subprocess.run(["bash", home / "run_autograder"], env=env, check=True, cwd="/")
        scores[student] = points(valid((home / "results" / "results.json").read_text()))
    assert scores == {student: expected for student, (_, expected) in CLASS.items()}
    graded = classroom.grade(tmp_path / "class", tmp_path / "out", processes=1, progress=False)
    assert {s: sum(p.values()) for s, p in graded.items()} == scores


def test_the_results_of_a_class_have_the_same_format(tmp_path):
    put(tmp_path / "class" / "ben", CLASS["ben"][0])
    classroom.grade(tmp_path / "class", tmp_path / "out", processes=1, progress=False)
    found = valid((tmp_path / "out" / "students" / "ben" / "results.json").read_text())
    assert points(found) == 2 and len(found["tests"]) == sum(
        len(e.properties) for e in registry().values()
    )
