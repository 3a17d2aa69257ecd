"""Files handed in may be broken or mean harm: a mark for what can be graded, and a reason."""

import functools
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.grading import judge, submission
from minivit.grading.exercise import find
from minivit.grading.process import child, protection, runner, sandbox
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


# -- the sandbox -----------------------------------------------------------------------------------
def test_the_system_calls_have_the_kernels_numbers():
    tables = {
        0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        1: Path("/usr/include/asm-generic/unistd.h"),
    }
    if not all(path.exists() for path in tables.values()):
        pytest.skip("the kernel's headers are not installed")
    rows = [sandbox.ALLOWED, sandbox.OWN_PROCESS, sandbox.IOCTL, sandbox.FCNTL, sandbox.OPENAT]
    rows = [row.split() for part in rows for row in part.replace("\n", " ").split(",")]
    for column, path in tables.items():
        found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text()))
        found |= {"newfstatat": found.get("newfstatat", found.get("fstatat"))}
        for name, *numbers in rows:
            assert found.get(name, "-") == numbers[column], name
    assert len({row[0] for row in rows}) == len(rows)


def test_what_the_kernel_does_not_refuse_python_does(tmp_path):
    """The audit hook alone, as on macOS and Windows."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path(sandbox.__file__).parent)!r})
import sandbox, socket, subprocess
os.chdir({str(tmp_path / "scratch")!r})
sandbox.watch([os.path.realpath(sys.base_prefix)], os.getcwd())
import colorsys
open("mine", "w").write("x"); os.rename("mine", "yours"); os.remove("yours"); open(os.devnull, "w")
for action in (
    lambda: open({str(tmp_path / "canary")!r}), lambda: open({str(tmp_path / "canary")!r}, "w"),
    lambda: os.remove({str(tmp_path / "canary")!r}), lambda: open({judge.__file__!r}),
    lambda: os.rename({str(tmp_path / "canary")!r}, "x"), lambda: os.mkdir("d"),
    lambda: socket.socket(), lambda: subprocess.run([sys.executable]), lambda: os.kill(1, 0),
):
    try: action()
    except PermissionError as error: print(error)
"""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "canary").write_text("canary")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("a submission may not") == 9, done.stdout + done.stderr
    assert "may not read minivit's own files" in done.stdout
    assert (tmp_path / "canary").read_text() == "canary"


def test_the_library_is_hidden_where_it_lies_beside_pythons_own(tmp_path):
    for name in ("lib/a.py", "lib/site/numpy/x.py", "lib/site/minivit/y.py", "lib/site/z.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    hidden = {str(tmp_path / "lib" / "site" / "minivit")}
    shown = dict(sandbox._without(str(tmp_path / "lib"), hidden))
    assert {os.path.relpath(path, tmp_path): whole for path, whole in shown.items()} == {
        "lib": False, "lib/a.py": True, "lib/site": False, "lib/site/numpy": True,
        "lib/site/z.py": True,
    }  # fmt: skip
    assert not list(sandbox._without(*hidden, hidden))


def test_the_terminal_says_what_holds_and_what_does_not():
    text = protection.line(["use the network"], ["read other files", "start processes"])
    assert text.startswith("A submission here cannot use the network, run without end. It CAN")
    assert "It CAN" not in protection.line(["use the network"], [])
    stopped, possible = protection.find()
    assert sorted(stopped + possible) == sorted(protection.WORDS.values())


def test_a_computation_is_not_hindered():
    """An honest answer may do these things in passing."""
    text = """
import decimal, functools, itertools, math, random, statistics, time
import numpy as np
def f(x):
    import numpy.fft, numpy.linalg, numpy.polynomial, collections.abc, json, re, asyncio
    with open("notes.txt", "w") as file:
        file.write(str(x))
    with open("notes.txt") as file:
        assert file.read()
    np.save("x.npy", x)
    rng = np.random.default_rng()
    time.sleep(0.001)
    q, r = np.linalg.qr(rng.normal(size=(50, 20)))
    return np.load("x.npy") @ np.fft.ifft(np.fft.fft(x)).real
"""
    with runner.Student([("a", 1, text)], "f") as student:
        answer = student.call([np.arange(4.0)])
    assert answer.trouble is None and abs(answer.value - 14) < 1e-9


@pytest.mark.skipif(sys.platform == "win32", reason="no rlimits")
def test_the_limits_of_a_submission():
    text = """
import resource
def f(name):
    return list(resource.getrlimit(getattr(resource, name)))
"""
    with runner.Student([("a", 1, text)], "f", runner.Limits(cpu=7)) as student:
        limits = {
            n: student.call([f"RLIMIT_{n}"]).value for n in ("CORE", "FSIZE", "NOFILE", "CPU")
        }
    assert limits == {
        "CORE": [0, 0], "FSIZE": [1 << 20, 1 << 20], "NOFILE": [64, 64], "CPU": [7, 7],
    }  # fmt: skip


# -- the wire --------------------------------------------------------------------------------------
@given(st.binary(max_size=300))
def test_no_bytes_end_the_reader(junk):
    for stream in (junk, len(junk).to_bytes(8, "big") + junk):
        try:
            child.receive(io.BytesIO(stream), trusted=False)
        except (ValueError, TypeError, KeyError, EOFError, OverflowError, RecursionError):
            pass


@given(st.text())
def test_text_of_a_submission_prints(text):
    shown = child.printable(text)
    assert all(c in "\n\t" or c.isprintable() for c in shown)
    assert shown == text or not all(c in "\n\t" or c.isprintable() for c in text)
    assert child.printable(shown) == shown


def test_a_call_that_waits_and_one_that_answers_too_much_have_an_end():
    slow = "import time\ndef f(x):\n    time.sleep(0.2)\n    return x\n"
    large = "import numpy as np\ndef f(x):\n    return np.zeros(1 << 17)\n"
    for text, limits, reason in (
        (slow, {"total": 0.1}, "all calls together took over 0.1 s"),
        (large, {"answers": 3 << 20}, "the answers of f are too large to keep"),
    ):
        with runner.Student([("a", 1, text)], "f", runner.Limits(**limits)) as student:
            answers = [student.call([float(i)]) for i in range(6)]
        assert answers[0].trouble is None and answers[-1].trouble.text == reason


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
