"""Files handed in may be broken or mean harm: a mark for what can be graded, and a reason."""

import functools
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.grading import judge, submission
from minivit.grading.exercise import find
from minivit.grading.teachers import archives, classroom, handed_in, judging

ROOT = Path(__file__).parents[2]
STEM, OTHER = "16_chain_rule", "01_unbroadcast"
RIGHT = (ROOT / "exercises" / "source" / f"{STEM}.py").read_text(encoding="utf-8")
STUB = (ROOT / "exercises" / f"{STEM}.py").read_text(encoding="utf-8")


def notebook(*cells, **more):
    cells = [{"cell_type": "code", "source": text} for text in cells]
    return json.dumps({"cells": cells, "nbformat": 4, "metadata": {}} | more)


def handed(folder, tmp_path, name="ada"):
    found, _ = handed_in.submissions(folder, tmp_path / "scratch")
    return found[name]


# -- folders ---------------------------------------------------------------------------------------
def test_links_folders_pipes_and_wrong_names_are_left_out_and_said(tmp_path):
    ada, ben = tmp_path / "class" / "ada", tmp_path / "class" / "ben"
    ben.mkdir(parents=True)
    (ben / f"{STEM}.py").write_text(RIGHT, encoding="utf-8")
    (ada / "17_layer_norm.py").mkdir(parents=True)
    (ada / "Chain Rule (1).py").write_text("x")
    (ada / "linked").symlink_to(ben)
    (ada / f"{STEM}.py").symlink_to(ben / f"{STEM}.py")
    if hasattr(os, "mkfifo"):
        os.mkfifo(ada / "22_cross_entropy.py")
    (tmp_path / "class" / "cleo").symlink_to(ben)
    (tmp_path / "class" / "dan.tar.gz").write_bytes(b"x")
    (tmp_path / "class" / "notes.txt").write_bytes(b"x")
    found, others = handed_in.submissions(tmp_path / "class", tmp_path / "scratch")
    assert list(found) == ["ada", "ben", "dan"]
    assert "cleo is a link" in others[0] and "notes.txt is no student's" in others[1]
    assert "dan.tar.gz is no tar file that can be read" in found["dan"].notes[0]
    assert found["ada"].files == {} and list(found["ben"].files) == [STEM]
    notes = " ".join(found["ada"].notes)
    assert f"{STEM}.py is a link, not a file" in notes
    assert "17_layer_norm.py is a folder, not a file" in notes
    assert "the name of no exercise: Chain Rule (1).py" in notes


def test_of_many_files_only_so_many_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_FILES", 5)
    for i in range(9):
        (tmp_path / "class" / "ada" / f"a{i}").mkdir(parents=True)
    assert "only the first 5 files" in handed(tmp_path / "class", tmp_path).notes[0]


# -- zip files -------------------------------------------------------------------------------------
def zipped(folder, *entries, name="ada.zip"):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries:
            archive.writestr(entry, content)
    return folder


def entry(name, mode=stat.S_IFREG | 0o644, date=(2026, 1, 1, 0, 0, 0)):
    info = zipfile.ZipInfo(name, date)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


@pytest.mark.parametrize(
    "name", ["../../NAME", "/ABSOLUTE/NAME", "C:\\x\\NAME", "..\\..\\NAME", "a/NAME"]
)
def test_no_path_in_a_zip_leads_elsewhere(name, tmp_path):
    name = name.replace("/ABSOLUTE", str(tmp_path)).replace("NAME", f"{STEM}.py")
    there = handed(zipped(tmp_path / "class", (name, RIGHT)), tmp_path)
    assert there.files[STEM].is_relative_to(tmp_path / "scratch")
    assert there.files[STEM].read_text("utf-8") == RIGHT
    assert {p.name for p in tmp_path.iterdir()} == {"class", "scratch"}


def test_a_zip_with_links_folders_and_bombs_gives_what_it_honestly_holds(tmp_path):
    zeros = bytes(handed_in.LARGEST_FILE + 1)
    folder = zipped(
        tmp_path / "class",
        (entry("17_layer_norm.py", stat.S_IFLNK | 0o777), "/etc/passwd"),
        (entry("02_attention.py/", stat.S_IFDIR | 0o755), ""),
        (entry("22_cross_entropy.ipynb"), zeros),
        (entry("essay.py"), "x"),
        (entry(f"{STEM}.py"), RIGHT),
    )
    there = handed(folder, tmp_path)
    assert list(there.files) == [STEM]
    notes = "\n".join(there.notes)
    assert "17_layer_norm.py is a link" in notes and "02_attention.py is a folder" in notes
    assert "22_cross_entropy.ipynb is larger than 20 MB: clear its outputs" in notes
    assert "the name of no exercise: essay.py" in notes
    unpacked = (tmp_path / "scratch").rglob("unpacked")
    assert sum(p.stat().st_size for p in unpacked) == len(RIGHT.encode()) + len("x")


def test_a_zip_of_many_large_files_is_unpacked_up_to_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_TOTAL", 250_000)
    entries = [(f"{i}/{STEM}.py", "#" * 100_000) for i in range(9)]
    there = handed(zipped(tmp_path / "class", *entries), tmp_path)
    assert len(list((tmp_path / "scratch").rglob("unpacked"))) == 2
    assert sum("the archive holds too much" in note for note in there.notes) == 7


def test_of_two_files_in_a_zip_the_later_one_is_judged_first_whatever_their_order(tmp_path):
    new, old = entry(f"{STEM}.py", date=(2026, 5, 5, 0, 0, 0)), entry(f"x/{STEM}.ipynb")
    for i, entries in enumerate(([(new, RIGHT), (old, "old")], [(old, "old"), (new, RIGHT)])):
        there = handed(zipped(tmp_path / str(i) / "class", *entries), tmp_path / str(i))
        assert there.files[STEM].suffix == ".py"


def _damage(content, position):
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


def test_a_damaged_zip_says_so_and_gives_the_rest(tmp_path):
    content = zipped(tmp_path / "a", (f"{OTHER}.py", "x = 1\n" * 999), (f"{STEM}.py", RIGHT))
    content = (content / "ada.zip").read_bytes()
    folder = tmp_path / "class"
    folder.mkdir()
    (folder / "ada.zip").write_bytes(_damage(content, 60))  # in the first file's data
    (folder / "bad.zip").write_bytes(b"no zip")
    (folder / "cut.zip").write_bytes(content[:-30])
    found, _ = handed_in.submissions(folder, tmp_path / "scratch")
    assert list(found["ada"].files) == [STEM]
    assert f"{OTHER}.py cannot be unpacked" in found["ada"].notes[0]
    for student in ("bad", "cut"):
        assert not found[student].files
        assert "is no zip file that can be read" in found[student].notes[0]


def test_a_locked_zip_says_so(tmp_path):
    folder = zipped(tmp_path / "class", (f"{STEM}.py", RIGHT))
    content = bytearray((folder / "ada.zip").read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag of a password, in the table at the end
    (folder / "ada.zip").write_bytes(bytes(content))
    assert handed(folder, tmp_path).notes == [f"{STEM}.py is locked with a password"]


@given(st.binary(max_size=200), st.integers(0, 10**6))
def test_no_zip_ends_the_grading(tmp_path_factory, junk, position):
    folder = zipped(tmp_path_factory.mktemp("zip"), (f"{STEM}.py", RIGHT))
    content = (folder / "ada.zip").read_bytes()
    (folder / "ada.zip").write_bytes(_damage(content, position % len(content)) + junk)
    handed(folder, folder)


# -- files -----------------------------------------------------------------------------------------
BROKEN = {  # name: (file name, content, what the report says, points)
    "syntax": ("py", "def chain_rule(:\n", "SyntaxError", 0),
    "in another cell": ("py", "# %%\ndef other(:\n\n" + RIGHT, "", 10),
    "merge": ("py", RIGHT.replace("    g = np", "<<<<<<< HEAD\n    g = np"), "left its marks", 0),
    "empty": ("py", "", "the file is empty", 0),
    "only text": ("py", "I have done it!", "SyntaxError", 0),
    "stub": ("py", STUB, "go from the last node to the first", 0),
    "latin": ("py", "# résumé\n".encode("latin-1") + RIGHT.encode(), "is no text in UTF-8", 0),
    "latin, said": ("py", "# coding: latin-1\n# é\n".encode("latin-1") + RIGHT.encode(), "", 10),
    "utf-16": ("py", RIGHT.encode("utf-16"), "is no text in UTF-8", 0),
    "mark of order": ("py", b"\xef\xbb\xbf" + RIGHT.encode(), "", 10),
    "Windows": ("py", RIGHT.replace("\n", "\r\n"), "", 10),
    "old Mac": ("py", RIGHT.replace("\n", "\r"), "", 10),
    "no such coding": ("py", "# coding: no_such\n" + RIGHT, "is no text in UTF-8", 0),
    "slow coding": ("py", "# coding: punycode\n" + RIGHT, "is no text in UTF-8", 0),
    "junk": ("py", bytes(range(256)) * 9, "is no text in UTF-8", 0),
    "zeros": ("py", bytes(5000), "null bytes", 0),
    "looks the same": (
        "py",
        RIGHT.replace("def chain_rule", "def \u0441hain_rule"),
        "no function chain_rule is defined",
        0,
    ),
    "is the same": ("py", RIGHT.replace("def chain_rule", "def \uff43hain_rule"), "", 10),
    "backwards": (
        "py",
        "def chain_rule(p, s):\n    raise KeyError  # \u202e ssap\n",
        "raise KeyError # \\u202e ssap",
        0,
    ),
    "tabs and spaces": ("py", "def chain_rule(p, s):\n\tg = 0\n        return g\n", "TabError", 0),
    "many cells": ("py", "# %%\n" * 5_000 + RIGHT, "", 10),
    "deep": ("py", "x = " + "(" * 5000 + "\n" + "# %%\n" + RIGHT, "", 10),
    "much code": ("py", "#" * (2 << 20), "holds more than 1 MB of code", 0),
    "notebook": ("ipynb", notebook("1 +", RIGHT, "%%bash\nrm x", "!ls\n%time"), "", 10),
    "lists of lines": ("ipynb", notebook(RIGHT.splitlines(keepends=True)), "", 10),
    "notebook 3": ("ipynb", json.dumps({"worksheets": [], "nbformat": 3}), "no notebook of", 0),
    "notebook 5": ("ipynb", notebook(RIGHT, nbformat=5), "no notebook of format 4", 0),
    "no JSON": ("ipynb", "{", "no notebook of format 4", 0),
    "deep JSON": ("ipynb", "[" * 100_000, "no notebook of format 4", 0),
    "a list": ("ipynb", "[]", "no notebook of format 4", 0),
    "odd cells": ("ipynb", '{"cells": [1]}', "no notebook of format 4", 0),
    "odd source": ("ipynb", '{"cells": [{"cell_type": "code", "source": 1}]}', "no notebook of", 0),
    "half characters": ("ipynb", notebook("'\ud800'", RIGHT), "", 10),
    "conflict": ("ipynb", "<<<<<<< HEAD\n" + notebook(RIGHT), "no notebook of format 4", 0),
    "large": ("ipynb", None, "is larger than 20 MB: clear its outputs and save it", 0),
}


def test_a_broken_file_has_its_points_and_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(judge, "SHRINKING", 3)
    folder = tmp_path / "class"
    for name, (suffix, content, _, _) in BROKEN.items():
        (folder / name).mkdir(parents=True)
        path = folder / name / f"{STEM}.{suffix}"
        if content is None:  # a file with a hole: 100 MB
            with open(path, "wb") as file:
                file.truncate(100 << 20)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    points = classroom.grade(folder, tmp_path / "out", processes=1, progress=False)
    assert {name: sum(p.values()) for name, p in points.items()} == {
        name: points for name, (_, _, _, points) in BROKEN.items()
    }
    for name, (_, _, reason, _) in BROKEN.items():
        page = (tmp_path / "out" / "students" / name / "report.html").read_text("utf-8")
        assert reason in " ".join(page.split()), name


# -- the grading machine ---------------------------------------------------------------------------
def test_a_grading_that_fails_costs_nobody_else_a_point(tmp_path, monkeypatch):
    real = judge.judge

    def judging(exercise, answer, **options):
        text = "".join(text for _, _, text in answer.cells)
        if "KILL" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        assert "RAISE" not in text
        return real(exercise, answer, **options)

    if sys.platform != "linux":
        pytest.skip("the patch reaches forked processes only")
    monkeypatch.setattr(judge, "judge", judging)
    for student, text in {"ada": "", "ben": "# KILL\n", "cleo": "# RAISE\n", "dan": ""}.items():
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / f"{STEM}.py").write_text(text + RIGHT, encoding="utf-8")
    points = classroom.grade(tmp_path / "class", tmp_path / "out", processes=2, progress=False)
    assert [sum(p.values()) for p in points.values()] == [10, 0, 0, 10]
    for student, why in (("ben", "the process that judged it was ended"), ("cleo", "Assertion")):
        page = (tmp_path / "out" / "students" / student / "report.html").read_text("utf-8")
        assert "The grading itself failed: " + why in " ".join(page.split())
    monkeypatch.setattr(judge, "judge", real)  # mended: those two are judged again
    points = classroom.grade(tmp_path / "class", tmp_path / "out", processes=2, progress=False)
    assert [sum(p.values()) for p in points.values()] == [10, 10, 10, 10]


def test_a_verdict_that_cannot_be_read_is_made_anew(tmp_path):
    (tmp_path / "a.py").write_text(STUB, encoding="utf-8")
    job = (STEM, tmp_path / "a.py", tmp_path / "a.json", 1)
    judging.judge_one(*job)
    right = (tmp_path / "a.json").read_bytes()
    for wrong in (b"", b"{}", b"[1]", right[:50]):
        (tmp_path / "a.json").write_bytes(wrong)
        assert "cannot be read" in judging.verdict(find(STEM), tmp_path / "a.json")[1]
        judging.judge_one(*job)
        assert (tmp_path / "a.json").read_bytes() == right


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_grading_that_was_killed_goes_on_and_gives_the_same(tmp_path):
    wrong = RIGHT.replace("g[parent] += g[node]", "g[parent] = g[node]")
    many = 8  # of which two processes have three or four when they end
    for i in range(many):
        (tmp_path / "class" / f"s{i}").mkdir(parents=True)
        text = f"# {i}\n" + (RIGHT if i % 2 else wrong)
        (tmp_path / "class" / f"s{i}" / f"{STEM}.py").write_text(text, encoding="utf-8")

    def command(out):
        return [sys.executable, "-m", "minivit.commands", "grade", str(tmp_path / "class"),
                "--out", str(tmp_path / out), "--processes", "2", "--seed", "7"]  # fmt: skip

    def done():
        return {p: p.stat().st_mtime_ns for p in (tmp_path / "killed").rglob("*.key")}

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command("killed"), env=environment, stderr=subprocess.DEVNULL)
    while len(done()) < 2:
        time.sleep(0.02)
    process.kill()
    process.wait()
    kept = {}
    while kept != done():  # its processes see that it is gone
        kept = done()
        time.sleep(1)
    assert 2 <= len(kept) < many and not (tmp_path / "killed" / "points.csv").exists()
    for out in ("killed", "whole"):
        run = subprocess.run(command(out), env=environment, check=True, capture_output=True)
        assert run.stdout.startswith(b"A submission here cannot ")
    assert kept.items() <= done().items()  # what was judged was not judged again
    for path in (tmp_path / "whole").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "killed" / path.relative_to(
                tmp_path / "whole")).read_bytes()  # fmt: skip
    assert not list((tmp_path / "killed").rglob("*.part"))


def test_a_value_that_no_check_reckoned_with_costs_its_property_only(monkeypatch):
    exercise = find(STEM)
    verdict = submission.Submission("a.py", [("a.py", 1, RIGHT)])

    def check(case, call):
        return call(case)["g"] + "x"

    odd = functools.partial(type(exercise.properties[0]), "odd", 3, exercise.properties[0].cases)
    changed = type(exercise)(**vars(exercise) | {"properties": (odd(check), *exercise.properties)})
    outcomes = judge.judge(changed, verdict).outcomes
    assert "what came cannot be judged: " in outcomes[0].sentence
    assert [o.status for o in outcomes] == ["fail"] + ["pass"] * len(exercise.properties)
