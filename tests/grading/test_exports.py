"""A class as each system exports it: right answers earn all points, or somebody is told why not."""

import csv
import io
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit.grading import submission
from minivit.grading.exercise import SubmissionError, registry
from minivit.grading.teachers import archives, classroom, handed_in, judging, layouts, names
from tests.clock import timed
from tests.grading.exports import (
    BOOK,
    FILES,
    NAMED,
    PY,
    STEM,
    STUB,
    WRONG,
    tarred,
    write,
    zipped,
)  # fmt: skip
from tests.grading.here import Pool
from tests.memory import traced

SEED = 3  # the inputs of test_judging.py


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Every form, a folder a student."""
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    for name, files in FILES.items():
        write(folder / name, files)
    for name, (files, _) in NAMED.items():
        write(folder / name, files)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "ProcessPoolExecutor", Pool)
        return out, classroom.grade_class(folder, out, 1, SEED, progress=False)


def test_each_form_of_a_right_answer_has_all_points(graded):
    _, results = graded
    assert sum(map(len, FILES.values())) + len(NAMED) >= 40 and len(FILES) >= 12
    assert {name: results[name].total for name in FILES} == dict.fromkeys(FILES, 10)


def test_what_is_not_read_is_named(graded):
    _, results = graded
    for name, (_, sentence) in NAMED.items():
        assert results[name].total == 0
        assert sentence in " ".join(results[name].to_look_at()), (name, results[name].to_look_at())


def test_nothing_else_is_to_look_at(graded):
    """Junk of a Mac, pictures and copies are no noise; several answers are said."""
    _, results = graded
    said = {name for name in FILES if results[name].to_look_at()}
    assert said == {"beside a wrong one", "two attempts", "beside an emptied one", "a fork"}
    (sentence,) = results["two attempts"].there.notes
    assert "2 files; 2/" in sentence and "counts with 10 points" in sentence
    assert sentence.endswith(f"1/{STEM}.py gives 2")
    (remark,) = results["beside a later starter"].there.remarks
    assert "is as it was handed out" in remark


CANVAS = {
    f"doejane_12345_67890_{STEM}.ipynb": BOOK, f"doejane_12345_67891_{STEM}-1.ipynb": STUB,
    f"roejohn_LATE_12346_67892_{STEM}.py": PY, "poeann_12347_67893_hw.zip": zipped({
        f"{STEM}.py": PY}), "coesam_12348_67894_essay.pdf": b"%PDF",
    f"anon_ab3De_67895_{STEM}.py": WRONG, f"doejane_22345_67896_{STEM}.py": PY,
}  # fmt: skip
MOODLE = {
    f"Jane Doe_1001_assignsubmission_file_/{STEM}.py": PY,
    f"Zoë Óg_1002_assignsubmission_file_/sub/{STEM}.ipynb": BOOK,
    "Sam Coe_1003_assignsubmission_onlinetext_/onlinetext.html": "<p>done</p>",
    f"Ann Poe_1004_assignsubmission_file_{STEM}.py": PY,
}
GRADESCOPE = {
    "submission_metadata.yml": """---
submission_11:
  :submitters:
  - :name: Jane Doe
    :sid: '0042'
    :email: jane@example.org
  :created_at: 2026-11-03 22:15:00.000000000 Z
  :score: 0.0
submission_12:
  :submitters:
  - :name: Ann Poe
    :sid: '0043'
    :email: ann@example.org
  - :name: "=1+1"
    :sid: '0044'
    :email: sam@example.org
  :created_at: 2026-11-05 22:15:00.000000000 Z
submission_14:
  :submitters: []
""",
    f"submission_11/{STEM}.py": PY, f"submission_12/{STEM} (1).ipynb": BOOK,
    f"submission_13/{STEM}.py": PY,
}  # fmt: skip
BRIGHTSPACE = {
    f"12345-67890 - Jane Doe - Nov 3, 2026 1034 PM/{STEM}.py": PY,
    f"12346-67890 - Ann Poe - Nov 3, 2026 934 AM/{STEM}.ipynb": STUB,
    f"12346-67891 - Ann Poe - Nov 4, 2026 1134 AM/{STEM}.ipynb": BOOK,
    "index.html": "<html>",
}
GITHUB = {
    f"attention-janedoe/{STEM}.py": PY, f"attention-annpoe/exercises/{STEM}.py": PY,
    "attention-samcoe/README.md": "x", "attention-annpoe/.git/HEAD": "ref",
}  # fmt: skip
FLAT = {f"ada_{STEM}.py": PY, f"ben-{STEM}.ipynb": BOOK, f"ada_{STEM}-1.py": WRONG}
EXPECTED = {
    "Canvas": (CANVAS, {"doejane (12345)": 10, "roejohn": 10, "poeann": 10, "coesam": 0,
                        "anon": 2, "doejane (22345)": 10}),
    "Moodle": (MOODLE, {"Jane Doe": 10, "Zoë Óg": 10, "Sam Coe": 0, "Ann Poe": 10}),
    "Gradescope": (GRADESCOPE, {"Jane Doe": 10, "Ann Poe, =1+1": 10, "submission_13": 10}),
    "Brightspace": (BRIGHTSPACE, {"Jane Doe": 10, "Ann Poe": 10}),
    "": (GITHUB, {"attention-janedoe": 10, "attention-annpoe": 10, "attention-samcoe": 0}),
    "flat": (FLAT, {"ada": 10, "ben": 10}),
}  # fmt: skip


@pytest.mark.parametrize("system", EXPECTED)
def test_the_export_of_a_system(system, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "ProcessPoolExecutor", Pool)
    files, expected = EXPECTED[system]
    write(tmp_path / "export", files)
    out = tmp_path / "out"
    rule = classroom.marks.Rule(classroom.marks.moment("2026-11-03T23:59+00:00"), 10)
    results = classroom.grade_class(tmp_path / "export", out, 1, SEED, False, rule=rule)
    assert {name: r.total for name, r in results.items()} == expected
    for name, points in expected.items():
        assert points == 10 or results[name].to_look_at() or "anon" in name
    if system in ("Canvas", "Moodle", "Gradescope"):
        raw = (out / f"{system.lower()}.csv").read_bytes()
        rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8"))))
        check_rows(system, rows)
    with zipfile.ZipFile(out / "feedback.zip") as archive:
        given = archive.namelist()
    assert len(given) == len(set(given)) == len(expected)
    if system == "Moodle":
        assert "Jane Doe_1001_assignsubmission_file_/report.html" in given
    if system == "Canvas":
        assert "roejohn_LATE_12346_67892_report.html" in given
    if system == "Gradescope":
        assert "submission_11/report.html" in given


def check_rows(system, rows):
    if system == "Canvas":
        assert rows[0]["Student"] == "Points Possible"
        assert {r["ID"]: r[f"{STEM} The backward pass"] for r in rows[1:]} == {
            "12345": "10", "12346": "10", "12347": "10", "12348": "", "ab3De": "2", "22345": "10",
        }  # fmt: skip
    elif system == "Moodle":
        assert {r["Identifier"]: r["Grade"] for r in rows} == {
            "Participant 1001": "10", "Participant 1002": "10", "Participant 1003": "0",
            "Participant 1004": "10",
        }  # fmt: skip
        assert "Last modified (grade)" in rows[0]  # or Moodle refuses the file
    else:
        scores = {r["SID"]: r["Total Score"] for r in rows}
        assert scores == {"0042": "10", "0043": "8", "0044": "8", "": "10"}  # two days late
        assert "'=1+1" in {r["Name"] for r in rows}


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_the_export_may_be_an_archive(pack, tmp_path):
    """And may lie in a folder of its own in there."""
    suffix = "zip" if pack is zipped else "tar.gz"
    for i, (system, (files, expected)) in enumerate(EXPECTED.items()):
        for inner in ("", "assignment_7_export/"):
            path = tmp_path / f"{i}{len(inner)}.{suffix}"
            path.write_bytes(pack({inner + name: text for name, text in files.items()}))
            found, _ = handed_in.submissions(path, tmp_path / path.stem)
            assert set(found) == set(expected), (system, inner)
            count = sum(bool(there.answers) for there in found.values())
            assert count == sum(points > 0 for points in expected.values())


# -- names -----------------------------------------------------------------------------------------
BEFORE = st.sampled_from(["", "doejane_123_456_", "Ada ", "ada-", "LATE_", "week3_", "x.", "(1) "])
AFTER = st.sampled_from(["", "-1", " (2)", "-Copy1", "_final", "-v2", " copy", "_ada", ".1"])
SUFFIX = st.sampled_from([".py", ".ipynb", ".PY", ".IPYNB", ".py.txt", ".ipynb.json", ".ipynb.txt"])


@given(st.sampled_from(list(registry().values())), BEFORE, AFTER, SUFFIX, st.booleans())
def test_a_name_as_systems_leave_it_is_known(exercise, before, after, suffix, upper):
    stem = exercise.stem.upper() if upper else exercise.stem
    found = names.read(f"a/{before}{stem}{after}{suffix}", list(registry().values()))
    assert found and found.exercise is exercise
    assert found.suffix == (".ipynb" if "ipynb" in suffix.lower() else ".py")


@given(st.text(max_size=40))
def test_no_name_ends_the_reading(name):
    exercises = list(registry().values())
    names.read(name, exercises)
    place = layouts.place(name)
    assert place and "/" not in place and place not in (".", "..") and len(place) <= 120
    assert place.isprintable()


# -- odd sizes -------------------------------------------------------------------------------------
def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


def many_entries(path, count):
    """A zip file of so many empty files, written as bytes: the real module takes minutes."""
    entry = b"PK\1\2" + bytes(24) + b"\1\0" + bytes(16) + b"a"
    table = entry * count
    end = b"PK\5\6" + bytes(4) + b"\xff\xff\xff\xff" + len(table).to_bytes(4, "little") + bytes(6)
    path.write_bytes(table + end)


def test_odd_sizes_cost_neither_time_nor_memory(tmp_path):
    folder = tmp_path / "class"
    for name in ("sparse", "table", "right", "deep", "wide"):
        (folder / name).mkdir(parents=True)
    sparse(folder / "sparse" / f"{STEM}.py", 60 << 30)
    many_entries(folder / "table" / "a.zip", 1_500_000)
    write(folder / "right", {f"{STEM}.py": PY})
    (folder / "deep" / ("a/" * 200)).mkdir(parents=True)
    for i in range(archives.MOST_FILES // 10):
        (folder / "wide" / f"f{i}").touch()
    sparse(folder / "wide" / "bomb.tar", 3 * archives.LARGEST_TOTAL)
    with timed() as seconds, traced() as memory:
        found, _ = handed_in.submissions(folder, tmp_path / "scratch")
        peak = memory()[1]
    assert found["right"].answers
    (answer,) = found["sparse"].answers[STEM]
    assert "larger than 20 MB" in submission.read(answer.path).trouble
    assert "far more than 10000 files" in " ".join(found["table"].notes)
    assert "folders deep" in " ".join([*found["deep"].notes, *found["deep"].remarks])
    assert peak < 120 << 20 and seconds() < 60


def test_an_archive_that_may_be_a_class_is_bounded_too(tmp_path):
    """A folder with one archive: it may be the class, and it may be what one student handed in."""
    (tmp_path / "class").mkdir()
    many_entries(tmp_path / "class" / "ada.zip", 1_500_000)
    with traced() as memory:
        found, _ = handed_in.submissions(tmp_path / "class", tmp_path / "scratch")
        assert memory()[1] < 120 << 20
    assert "far more than 10000 files" in " ".join(found["ada"].notes)
    with pytest.raises(SubmissionError, match=r"cannot be unpacked .*far more than 200000 files"):
        handed_in.submissions(tmp_path / "class" / "ada.zip", tmp_path / "scratch2")


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.REGTYPE])
def test_each_entry_of_a_class_is_counted(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(12):
            entry = tarfile.TarInfo(f"{number}")
            entry.type, entry.linkname = kind, "x"
            archive.addfile(entry)
    archives.extract_class(tmp_path / "a.tar", tmp_path / "enough", most=12)
    with pytest.raises(archives.TooMuch):
        archives.extract_class(tmp_path / "a.tar", tmp_path / "less", most=11)


def test_a_terminal_shows_no_names_as_they_are(tmp_path):
    """Escape sequences, and bytes that are no UTF-8, under an encoding that refuses."""
    folder = tmp_path / "class"
    write(folder / "a\x1b[31mred\x07", {f"{STEM}.py": PY})
    write(folder, {"Zoë.txt": "", "b\x1b]0;title\x07.txt": ""})
    (folder / os.fsdecode(b"f\xff\xfe")).mkdir()
    (folder / os.fsdecode(b"f\xff\xfe") / f"{STEM}.py").write_text(PY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", "grade", folder, "--out", tmp_path / "out",
         "--seed", "5"],
        env=os.environ | {"PYTHONIOENCODING": "ascii:strict"}, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert b"\x1b[31m" not in text and b"\x1b]0" not in text
    assert b"2 graded, 0 to look at, 0 failed" in done.stdout
    assert "students" in {p.name for p in Path(tmp_path, "out").iterdir()}
    assert re.search(rb"Zo\\xeb", done.stdout)


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10**6))
def test_no_archive_ends_the_grading(tmp_path_factory, junk, position):
    folder = tmp_path_factory.mktemp("tar")
    for name, pack in (("a.tar.gz", tarred), ("b.zip", zipped)):
        content = bytearray(pack({f"{STEM}.py": PY}))
        content[position % len(content)] ^= 0xFF
        (folder / "class" / name[0]).mkdir(parents=True, exist_ok=True)
        (folder / "class" / name[0] / name).write_bytes(bytes(content) + junk)
    handed_in.submissions(folder / "class", folder / "scratch")
