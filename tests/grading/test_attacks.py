"""A class in which most submissions mean harm: nothing is forged, lost, touched or left behind."""

import contextlib
import ctypes
import functools
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minivit.grading import judge
from minivit.grading.exercise import find
from minivit.grading.process import protection, runner
from minivit.grading.submission import Submission
from minivit.grading.teachers import classroom
from tests.grading.attacks import ATTACKS, QUICK, REAL, WORTH, submission

ROOT = Path(__file__).parents[2]
GRADING = Path(judge.__file__).parent
GRADING_SEED = 20_260
STEM = "16_chain_rule"
RIGHT = (ROOT / "exercises" / "source" / f"{STEM}.py").read_text(encoding="utf-8")
WRONG = RIGHT.replace("g[parent] += g[node]", "g[parent] = g[node]")
STUB = (ROOT / "exercises" / f"{STEM}.py").read_text(encoding="utf-8")
HONEST = {"ada": (RIGHT, 10), "ben": (WRONG, WORTH), "cleo": (STUB, 0)}
LINUX = sys.platform == "linux"


def kernel_protects():
    """True if the kernel has all that the sandbox asks of it. (The sandbox itself is not asked.)"""
    if not LINUX or os.uname().machine not in ("x86_64", "aarch64"):
        return False
    libc = ctypes.CDLL(None)
    return libc.syscall(444, None, ctypes.c_size_t(0), 1) > 0 and libc.prctl(21, 0, 0, 0, 0) == 0


pytestmark = pytest.mark.skipif(
    not kernel_protects(), reason="needs Linux with Landlock and seccomp; here a submission "
    "is not kept from everything (exercises/GRADING.md)",
)  # fmt: skip


def test_where_the_kernel_has_it_every_protection_holds():
    stopped, possible = protection.find()
    assert possible == [] and len(stopped) == len(protection.WORDS)


@contextlib.contextmanager
def victim():
    """A process that an attack may try to harm."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3000)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def server():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        yield listening


def constants(canary, out, submissions, pid, port):
    """The first lines of an attack: what it may touch."""
    code = [
        str(GRADING / "checks" / "chain_rule.py"),
        str(ROOT / "minivit" / "functions" / "activations.py"),
    ]
    packages = [str(ROOT), str(Path(find.__code__.co_filename).parents[3])]
    values = {
        "CANARY": str(canary), "OUT": str(out), "CLASS": str(submissions), "VICTIM": pid,
        "PORT": port, "CODE": code, "PACKAGES": packages + [p for p in sys.path if "site-p" in p],
    }  # fmt: skip
    return "".join(f"{name} = {value!r}\n" for name, value in values.items())


def snapshot(folder):
    """{path: (mode, time, content)} of all that lies in a folder."""
    return {
        str(p): (s.st_mode, s.st_mtime_ns, p.read_bytes() if stat.S_ISREG(s.st_mode) else None)
        for p in [folder, *sorted(folder.rglob("*"))]
        if (s := p.lstat())
    }


def descendants():
    """The living processes below this one: {pid: command}."""
    found, todo = {}, [os.getpid()]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            for pid in task.read_text().split():
                with contextlib.suppress(OSError):
                    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                    if state != "Z" and "resource_tracker" not in command:
                        found[int(pid)] = command
                        todo.append(pid)
    return found


@pytest.fixture
def lively():
    """Orphans become children of this process, so that none can hide."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.mark.timeout(600)
def test_a_class_of_attacks_of_each_sort(lively, monkeypatch, tmp_path):
    limits = functools.partial(runner.Limits, call=0.6, total=6)
    submissions, out = grade_a_class(QUICK, limits, monkeypatch, tmp_path)
    honest_ones_are_graded_the_same_without_them(submissions, out, tmp_path / "honest")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_class_of_all_attacks(lively, monkeypatch, tmp_path):
    assert len(ATTACKS) >= 170
    limits = functools.partial(runner.Limits, call=1.0, total=8)
    submissions, out = grade_a_class(ATTACKS, limits, monkeypatch, tmp_path)
    honest_ones_are_graded_the_same_without_them(submissions, out, tmp_path / "honest")
    four_processes_give_the_same(submissions, out, tmp_path / "four")


def grade_a_class(names, limits, monkeypatch, folder):
    """The honest and these attacks graded on two processes, then looked at from all sides."""
    parts = ("class", "out", "canaries", "tmp")
    submissions, out, canaries, scratch = (folder / part for part in parts)
    for each in (submissions, out, canaries, scratch):
        each.mkdir()
    (canaries / "canary").write_text("canary")
    monkeypatch.setattr(judge, "SHRINKING", 3)
    monkeypatch.setattr(judge, "Limits", limits)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("SECRET_TOKEN", "SECRET")
    attacks = {name: ATTACKS[name] for name in names}
    with victim() as process, server() as listening:
        head = constants(
            canaries / "canary", out, submissions, process.pid, listening.getsockname()[1]
        )
        texts = {student: text for student, (text, _) in HONEST.items()}
        texts |= {name: submission(body, head) for name, (body, _) in attacks.items()}
        for student, text in texts.items():
            (submissions / student).mkdir()
            (submissions / student / f"{STEM}.py").write_text(text, encoding="utf-8")
        watched, processes = (canaries, submissions), descendants()
        before = [snapshot(f) for f in watched]
        graded = classroom.grade(submissions, out, processes=2, progress=False)
        assert before == [snapshot(f) for f in watched]
        assert not descendants().keys() - processes.keys()
        assert process.poll() is None and not list(scratch.iterdir())
        with pytest.raises(BlockingIOError):
            listening.accept()
    earned = {student: sum(points.values()) for student, points in graded.items()}
    assert earned == {student: points for student, (_, points) in (HONEST | attacks).items()}
    for student in earned:
        has_a_report_that_nothing_in_it_alters(student, out / "students" / student)
    says_what_became_of_them(out / "students")
    return submissions, out


def has_a_report_that_nothing_in_it_alters(student, folder):
    verdict = judge.Verdict.read(folder / f"{STEM}.json")
    assert verdict.complete and not verdict.trouble, (student, verdict.trouble)
    assert "GOT THROUGH" not in verdict.printed, (student, verdict.printed)
    page = (folder / "report.html").read_text("utf-8")
    results = json.loads((folder / "results.json").read_text("utf-8"))
    assert "The backward pass" in page and len(page) < 50_000
    tags = {re.match("</?([a-z0-9]+)", tag)[1] for tag in re.findall("<[^!][^>]*>", page)}
    assert tags <= {
        "html", "meta", "title", "style", "h1", "h2", "p", "pre", "table", "tr", "th", "td", "a",
        "span",
    }, student  # fmt: skip
    assert re.findall('<a href="([^"]*)">', page) == [f"#e{find(STEM).number}"], student
    kinds = set(re.findall('<[^>]* class="([^"]*)">', page))
    assert kinds <= {"n", "pass", "fail", "note", "list", "heads"}, student
    for text in (page, *(t["output"] for t in results["tests"])):
        assert all(c == "\n" or c.isprintable() for c in text), student


def says_what_became_of_them(students):
    said = {
        "loops": "chain_rule did not end in time: an endless loop?",
        "sleeps": "chain_rule did not end in time",
        "ends with success": "chain_rule ended the Python process",
        "fills the disk": "chain_rule wrote too much into files",
        "returns objects": "g is an array of dtype object",
        "imports the library's own answer": "is replaced, not added to",
    }
    there = [student for student in said if (students / student).exists()]
    assert len(there) >= 4
    for student in there:
        assert said[student] in (students / student / "report.html").read_text("utf-8")


def honest_ones_are_graded_the_same_without_them(submissions, out, folder):
    again(HONEST, 1, submissions, out, folder)


def four_processes_give_the_same(submissions, out, folder):
    some = ["reads a file", "nests lists deeply", "ends with success", "prints without end"]
    students = [*HONEST, *some, "leaves hooks behind", "returns what equals everything"]
    again(students, 4, submissions, out, folder)


def again(students, processes, submissions, out, folder):
    """Grade some of the class once more: the same bytes."""
    for student in students:
        shutil.copytree(submissions / student, folder / "class" / student)
    classroom.grade(
        folder / "class", folder / "out", processes, seed=classroom.class_seed(out), progress=False
    )
    for student in students:
        for path in (folder / "out" / "students" / student).iterdir():
            assert path.read_bytes() == (out / "students" / student / path.name).read_bytes(), path
    lines = (out / "points.csv").read_text("utf-8").split("\n")
    assert set((folder / "out" / "points.csv").read_text("utf-8").split("\n")) <= set(lines)


def test_a_table_of_the_public_inputs_passes_no_grading():
    """Right where `minivit check` looks, wrong elsewhere."""
    exercise = find(STEM)
    judging = judge.Judge(exercise, None, seed=0)
    cases = [case for prop in exercise.properties for case, *_ in judging.cases(prop)]
    keys = {repr(list(case.inputs.values())) for case in cases}
    body = f"if repr([parents, slopes]) in {keys!r}:\n    return right(parents, slopes)"
    cells = [("a.py", 1, submission(body))]
    public, grading = (
        judge.judge(exercise, Submission("a.py", cells), seed=seed).points
        for seed in (0, GRADING_SEED)
    )
    assert (public, grading) == (10, WORTH)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in REAL]
)
def test_without_the_sandbox_the_attack_gets_through(name, lively, tmp_path):
    """Or the tests above would show nothing. All that it touches is in `tmp_path`."""
    for folder in ("out/students/ada", "out/students/ben", "class/ada", "proof/cwd"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "canary").write_text("canary")
    (tmp_path / "class" / "ada" / f"{STEM}.py").write_text(RIGHT, encoding="utf-8")
    with victim() as process, server() as listening:
        head = constants(
            tmp_path / "canary", tmp_path / "out", tmp_path / "class", process.pid,
            listening.getsockname()[1],
        )  # fmt: skip
        code = submission(ATTACKS[name][0], head) + "\nchain_rule([[], [0, 0]], [[], [1.0, 2.0]])\n"
        before = descendants().keys()
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path / "proof" / "cwd", timeout=60,
            capture_output=True, text=True,
            env=os.environ | {"SECRET_TOKEN": "SECRET", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        for pid in descendants().keys() - before:  # what the attack started
            os.kill(pid, signal.SIGKILL)
    assert "GOT THROUGH" in done.stdout, done.stderr
