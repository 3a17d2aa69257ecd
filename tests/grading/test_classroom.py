"""A bundle for the students, and a small class graded: right, wrong, broken and hostile."""

import csv
import json
import re
import zipfile
from pathlib import Path

import pytest

from minivit import commands
from minivit.grading import judge
from minivit.grading.exercise import SubmissionError, registry
from minivit.grading.teachers import classroom, exports, handed_in, judging, layouts, pages
from minivit.grading.teachers.results import Result

EXERCISES = Path(__file__).parents[2] / "exercises"
STEM = "16_chain_rule"
RIGHT = (EXERCISES / "source" / f"{STEM}.py").read_text(encoding="utf-8")
WRONG = RIGHT.replace("g[parent] += g[node]", "g[parent] = g[node]")
STUB = (EXERCISES / f"{STEM}.py").read_text(encoding="utf-8")
RUINS = "def chain_rule(p, s):\n    import os, sys; os._exit(0)\n"
FORGES = """
def chain_rule(parents, slopes):
    import json, sys
    for name in ("results.json", "16_chain_rule.json"):  # in its own scratch folder
        with open(name, "w") as file:
            file.write(json.dumps({"points": 99}))
    sys.__stdout__.write('{"points": 99}')
    return 0
"""
CLASS = {  # student: (content, points of 10)
    "ada": (RIGHT, 10), "ben": (WRONG, 2), "cleo": (STUB, 0), "dan": ("def chain_rule(:\n", 0),
    "eve": (RUINS, 0), "fay": (FORGES, 0),
    "gus": (RIGHT.replace("    g = np", "<<<<<<< HEAD\n    g = np"), 0),
}  # fmt: skip


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    for student, (text, _) in CLASS.items():
        (folder / student).mkdir()
        (folder / student / f"{STEM}.py").write_text(text, encoding="utf-8")
    with zipfile.ZipFile(folder / "zoe.zip", "w") as archive:
        archive.writestr(f"../../{STEM}.py", RIGHT)  # a path that would lead elsewhere
        archive.writestr("notes.txt", "x")
    (folder / "bad.zip").write_bytes(b"no zip")
    (folder / "hal").mkdir()  # handed in nothing
    (folder / "ivy").mkdir()
    (folder / "ivy" / f"{STEM}.py").symlink_to(folder / "ada" / f"{STEM}.py")
    return folder


EXPECTED = {s: p for s, (_, p) in CLASS.items()} | {"zoe": 10, "bad": 0, "hal": 0, "ivy": 0}


@pytest.fixture(scope="module")
def graded(submissions, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    return out, classroom.grade(submissions, out, 2, 5, progress=False)


def test_everyone_gets_the_points_deserved(graded):
    out, points = graded
    assert {s: sum(p.values()) for s, p in points.items()} == EXPECTED
    with open(out / "points.csv", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {s: float(r["total"]) for s, r in rows.items()} == EXPECTED
    assert not (out.parent / f"{STEM}.py").exists()


def test_every_student_has_a_report_that_says_what_was_wrong(graded):
    out, _ = graded
    shown = {s: (out / "students" / s / "report.html").read_text("utf-8") for s in EXPECTED}
    assert "is replaced, not added to" in shown["ben"]
    assert "SyntaxError" in shown["dan"] and "SyntaxError" in shown["gus"]
    assert "ended the Python process" in shown["eve"]
    assert "Nothing was handed in for: 1 The gradient of broadcasting, 2 " in shown["hal"]
    assert "Public checks" not in "".join(shown.values())
    overview = (out / "overview.html").read_text("utf-8")
    assert f"{len(EXPECTED)} submissions" in overview and "What failed most" in overview


def test_gradescope_gets_a_test_a_property(graded):
    out, _ = graded
    for student, points in EXPECTED.items():
        found = json.loads((out / "students" / student / "results.json").read_text("utf-8"))
        assert sum(t["score"] for t in found["tests"]) == points
        assert sum(t["max_score"] for t in found["tests"]) == 10 * len(registry())
        assert {t["status"] for t in found["tests"]} <= {"passed", "failed"}


def test_on_one_process_the_verdicts_are_the_same(submissions, graded, tmp_path):
    few = ["ada", "ben", "dan"]
    classroom.grade(submissions, tmp_path, 1, 5, progress=False, only=few)
    for student in few:
        name = Path("students", student, f"{STEM}.json")
        assert (tmp_path / name).read_text() == (graded[0] / name).read_text()


def test_a_second_run_judges_only_what_changed(tmp_path, monkeypatch):
    (tmp_path / "in" / "ada").mkdir(parents=True)
    file = tmp_path / "in" / "ada" / f"{STEM}.py"
    job = (STEM, file, tmp_path / "out.json", 5)
    judged = []
    real = judge.judge
    monkeypatch.setattr(judge, "judge", lambda *a, **k: judged.append(a) or real(*a, **k))
    for text, expected in ((RIGHT, 1), (RIGHT, 1), (STUB, 2)):
        file.write_text(text, encoding="utf-8")
        judging.judge_one(*job)
        assert len(judged) == expected
    (tmp_path / "out.json").write_text(
        (tmp_path / "out.json").read_text().replace('"complete": true', '"complete": false')
    )
    judging.judge_one(*job)  # interrupted: again
    assert len(judged) == 3


def test_the_bundle_holds_no_solution(tmp_path):
    assert (
        commands.main(
            ["release", "--exercises", str(EXERCISES), "--out", str(tmp_path / "b"), "--seed", "7"]
        )
        == 0
    )
    names = {p.name for p in (tmp_path / "b").iterdir()}
    assert {f"{e.stem}{s}" for e in registry().values() for s in (".md", ".py", ".ipynb")} < names
    text = "".join(p.read_text("utf-8") for p in (tmp_path / "b").rglob("*") if p.is_file())
    readme = (tmp_path / "b" / "README.md").read_text("utf-8")
    assert "pip install" in readme and "`make " not in readme and "source/" not in readme
    setting = json.loads((tmp_path / "b" / ".lab" / "overrides.json").read_text("utf-8"))
    assert "Markdown Preview" in str(setting) and "--LabApp.app_settings_dir=.lab" in readme
    assert "BEGIN SOLUTION" not in text and "g[parent] += g[node] * slope" not in text


def test_bad_folders_are_refused(tmp_path, capsys):
    for call in (
        lambda: classroom.release(tmp_path, tmp_path / "b"),
        lambda: handed_in.submissions(tmp_path / "nowhere", tmp_path),
        lambda: handed_in.submissions(tmp_path, tmp_path),
        lambda: classroom.grade(tmp_path, tmp_path / "results"),
    ):
        with pytest.raises(SubmissionError, match=str(tmp_path)):
            call()
    assert commands.main(["grade", str(tmp_path / "no"), "--out", str(tmp_path / "o")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert (
        commands.main(["release", "--exercises", str(tmp_path), "--out", str(tmp_path / "x")]) == 2
    )
    assert "--exercises PATH/TO/exercises" in capsys.readouterr().err


def test_names_that_a_spreadsheet_would_run_are_quoted():
    assert exports.plain("=1+1") == "'=1+1" and exports.plain("ada") == "ada"


def test_the_overview_says_what_a_teacher_asks(graded):
    out, points = graded
    overview = (out / "overview.html").read_text("utf-8")
    parts = dict(re.findall(r"<h2>(.*?)</h2>(.*?)(?=<h2>|</html>)", overview, re.S))
    rows = {n: int(count) for n, count in re.findall(
        r'<td class="n">(\d+)</td><td><div.*?</td><td class="n">(\d+)</td>', parts["Points"]
    )}  # fmt: skip
    totals, handed_in = list(EXPECTED.values()), [p for p in points.values() if p]
    assert rows == {str(i): totals.count(i) for i in range(11)}  # a histogram
    assert f"{len(handed_in) - 2} of {len(handed_in)}" in parts["What failed most"]  # all but two
    assert "is replaced, not added to" in parts["Mistakes by name"]
    assert "nothing was handed in" in parts["To look at"] and "bad.zip" in parts["To look at"]
    students = re.findall(r'href="students/(\w+)/report.html"', parts["Students"])
    assert students == sorted(EXPECTED)
    assert all((out / "students" / s / "report.html").exists() for s in students)
    assert "<script" not in overview and "http" not in overview


def test_names_and_texts_of_students_become_no_part_of_a_page():
    verdict = judge.new_verdict(next(iter(registry().values())), "<b>.py")
    verdict.trouble = "<script>alert(1)</script> &amp; \u202e"
    exercises = list(registry().values())
    result = Result(handed_in.HandedIn(layouts.Person("<i>ada"), notes=["<u>left out"]))
    result.verdicts[1] = verdict
    nobody = Result(handed_in.HandedIn(layouts.Person("'\"")))
    for page in (
        pages.student("<i>ada", exercises, result),
        pages.overview(exercises, {"<i>ada": result, "'\"": nobody}, ["<b>x"]),
    ):
        assert not {"<b>", "<i>", "<u>", "<script>", "\u202e"} & {
            *re.findall("<[a-z]+>|\u202e", page)
        }
    nobody = pages.overview(exercises, {"ada": nobody})
    assert f"1 submission, 0 exercises of {len(exercises)}" in nobody
