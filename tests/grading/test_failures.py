"""Where the grading itself goes wrong: no points but a failure, said in every place; nothing of a
grading outlives it."""

import csv
import errno
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from minivit import commands
from minivit.grading import judge
from minivit.grading.exercise import find
from minivit.grading.process import runner
from minivit.grading.teachers import classroom, judging, workshop
from tests.grading.exports import PY, STEM, WRONG, write
from tests.grading.here import Pool

OTHER = find("vit_input").stem
ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def rows(out):
    with open(out / "points.csv", encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@LINUX
def test_a_full_disk_is_a_failure_and_no_points(tmp_path, monkeypatch, capsys):
    write(tmp_path / "class", {f"ada/{STEM}.py": PY, f"ben/{STEM}.py": WRONG})
    call = ["grade", str(tmp_path / "class"), "--out", str(tmp_path / "out"), "--seed", "5"]
    with monkeypatch.context() as patched:
        patched.setattr(judging, "_room", full)
        assert commands.main(call) == 1
    assert capsys.readouterr().out.endswith("0 graded, 2 to look at, 2 failed\n")
    found = rows(tmp_path / "out")
    assert {r["total"] for r in found.values()} == {"FAILED"} == {r[STEM] for r in found.values()}
    page = (tmp_path / "out" / "students" / "ada" / "report.html").read_text("utf-8")
    assert "The grading itself failed: OSError: No space left on device" in " ".join(page.split())
    assert commands.main(call) == 0  # there is room again
    assert capsys.readouterr().out.endswith("2 graded, 0 to look at, 0 failed\n")
    assert {name: r["total"] for name, r in rows(tmp_path / "out").items()} == {
        "ada": "10", "ben": "2",
    }  # fmt: skip


def test_results_that_cannot_be_written_are_a_sentence(tmp_path, capsys):
    write(tmp_path, {f"class/ada/{STEM}.py": PY, "a file": ""})
    call = ["grade", str(tmp_path / "class"), "--out", str(tmp_path / "a file" / "out")]
    assert commands.main([*call, "--seed", "5"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("the results cannot be written: Not a directory") and "Trace" not in said


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare(1)")
def test_results_on_a_small_disk(tmp_path):
    """A file system of 64 kB, in a mount of the test's own: a sentence, and nobody loses points."""
    write(tmp_path / "class", {f"s{i}/{STEM}.py": PY + "#" * i for i in range(4)})
    (tmp_path / "small").mkdir()
    script = (
        f"mount -t tmpfs -o size=64k none {tmp_path}/small && "
        f"head -c 50000 /dev/zero > {tmp_path}/small/x; "
        f"{sys.executable} -m minivit.commands grade {tmp_path}/class --seed 5 --processes 2 "
        f"--out {tmp_path}/small/out; echo status $?; rm {tmp_path}/small/x"
    )
    done = subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    if "status" not in done.stdout:
        pytest.skip(f"no mounts here: {done.stderr[-200:]}")
    assert "status 2" in done.stdout and "Traceback" not in done.stderr, done.stderr
    assert "the results cannot be written: No space left on device" in done.stderr


SLEEPS = "import time\ndef chain_rule(p, s):\n    time.sleep(60)\n"


@LINUX
def test_what_is_judged_ends_with_a_grading_that_is_killed(tmp_path):
    """kill -9; its temporary folders are removed at the next start."""
    write(tmp_path / "class", {f"ada/{STEM}.py": SLEEPS})
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    call = [sys.executable, "-m", "minivit.commands", "grade", str(tmp_path / "class"),
            "--out", str(tmp_path / "out"), "--seed", "5"]  # fmt: skip
    process = subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip

    def students():
        """Processes of submissions, by their folder."""
        found = set()
        for task in Path("/proc").glob("[0-9]*"):
            try:
                if str(tmp_path / "tmp") in os.readlink(task / "cwd"):
                    found.add(task.name)
            except OSError:
                pass
        return found

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        students() and list((tmp_path / "out").rglob(f"{STEM}.json"))
    ):
        time.sleep(0.05)
    assert students()
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while students() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not students()
    left = list((tmp_path / "tmp").glob(workshop.PREFIX + "*"))
    assert left
    time.sleep(0.5)
    subprocess.run([sys.executable, "-c", "from minivit.grading.teachers import workshop\n"
                    "workshop.sweep()"], env=environment, check=True)  # fmt: skip
    assert not any(folder.exists() for folder in left)


@LINUX
def heard():
    """An interrupt is heard also where a shell started the tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_control_c_ends_a_grading_at_once(tmp_path):
    """In a terminal it reaches all its processes; a student's has a session of its own."""
    write(tmp_path / "class", {f"s{i}/{STEM}.py": SLEEPS + f"# {i}\n" for i in range(9)})
    call = [sys.executable, "-m", "minivit.commands", "grade", str(tmp_path / "class"),
            "--out", str(tmp_path / "out"), "--seed", "5", "--processes", "2"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, start_new_session=True,
                               preexec_fn=heard)  # fmt: skip
    while process.poll() is None and not list((tmp_path / "out").rglob(f"{STEM}.json")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()[1].decode()
    assert process.returncode == 130 and said.endswith("interrupted\n") and "Trace" not in said
    begun = list((tmp_path / "out").rglob(f"{STEM}.json"))
    assert 1 <= len(begun) <= 4 and not list((tmp_path / "out").rglob("*.key"))
    assert not list(tmp_path.glob(workshop.PREFIX + "*"))


def test_the_folder_of_a_living_grading_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with workshop.workshop() as (folder, _):
        subprocess.run(
            [sys.executable, "-c", "from minivit.grading.teachers.workshop import sweep; sweep()"],
            env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}, check=True,
        )  # fmt: skip
        assert folder.is_dir()
    assert not folder.exists()


HOLDS = """
import mmap, os
def f(n):
    kept, held = [], 0
    try:
        for i in range(n):
            file = os.open(f"a{i}", os.O_RDWR | os.O_CREAT)
            held += os.write(file, bytes(1 << 20))
            kept.append(mmap.mmap(file, 1 << 20))
            os.close(file)
            os.remove(f"a{i}")
    except OSError:
        pass
    return held
"""


@LINUX
def test_files_take_no_more_than_is_said():
    """16 MB, and one that it may take to notice; removed and mapped files count."""
    with runner.Student([("a", 1, HOLDS)], "f") as student:
        answer = student.call([300])
    held = answer.value if answer.trouble is None else 0
    assert held <= runner.Limits().disk + (2 << 20), answer
    assert answer.trouble is None or "too much into files" in answer.trouble.text


BUSY = "while True: pass"
SLOW = """
import time
def f(x):
    start = time.process_time()
    while time.process_time() - start < 0.25:
        pass
    return x
"""


@LINUX
def test_a_full_machine_costs_nobody_points():
    """Busy processes beside it: a quarter of a second of work stays within a limit of a half."""
    many = 2 * len(os.sched_getaffinity(0))
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(many)]
    try:
        with runner.Student([("a", 1, SLOW)], "f", runner.Limits(call=0.5, total=1.5)) as student:
            start = time.monotonic()
            answers = [student.call([float(i)]) for i in range(3)]
            waited, (asleep, _) = time.monotonic() - start, student.used()
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert [a.value for a in answers] == [0.0, 1.0, 2.0]
    assert waited > 0.75 and asleep < waited


def test_one_student_again_and_all_by_force(tmp_path, monkeypatch):
    judged = []

    def judge_all(jobs, *rest):
        judged.append(sorted(Path(job[2]).parent.name for job in jobs))
        return {r: why for job in jobs if (why := judging.judge_one(*job)) for r in [job[2]]}

    monkeypatch.setattr(judging, "judge_all", judge_all)
    write(tmp_path / "class", {f"ada/{STEM}.py": PY, f"ben/{STEM}.py": WRONG})
    grade = functools.partial(
        classroom.grade, tmp_path / "class", tmp_path / "out", 1, 5, progress=False
    )
    first = grade()
    write(tmp_path / "class", {f"ben/{STEM}.py": PY})
    assert grade(only=["ada"], force=True) == first and judged == [["ada", "ben"], ["ada"]]
    assert grade(only=["Ben"])["ben"] != first["ben"]
    with pytest.raises(ValueError, match="'zoe' is no student"):
        grade(only=["zoe"])


def test_only_one_and_the_others_stay_whatever_became_of_their_files(tmp_path, monkeypatch):
    """A second attempt, a file that is gone, a folder that holds one student alone: rows and
    reports of the others are the same bytes."""
    monkeypatch.setattr(judging, "ProcessPoolExecutor", Pool)
    write(tmp_path / "class", {
        f"ada/{STEM}.py": WRONG, f"ben/{STEM}.py": PY, f"ben/{OTHER}.py": "x = 1\n",
        f"cleo/1/{STEM}.py": WRONG, f"cleo/2/{STEM}.py": PY, "dan/hw.rar": b"Rar!",
    })  # fmt: skip
    out = tmp_path / "out"

    def grade(folder, only=()):
        classroom.grade_class(tmp_path / folder, out, 1, 3, progress=False, only=only)
        names = ("ben", "cleo", "dan")
        pages = [(out / "students" / n / "report.html").read_bytes() for n in names]
        return {n: row for n, row in rows(out).items() if n != "ada"}, pages

    first = grade("class")
    assert [r["total"] for r in rows(out).values()] == ["2", "10", "10", "0"]
    assert grade("class", ["ada"]) == first
    write(tmp_path / "class", {f"ben/new/{STEM}.py": WRONG, f"cleo/1/{STEM}.py": "x = 1",
                               f"dan/{STEM}.py": PY})  # fmt: skip
    (tmp_path / "class" / "cleo" / "2" / f"{STEM}.py").unlink()
    write(tmp_path / "late", {f"ada/{STEM}.py": PY})
    assert grade("class", ["ada"]) == first
    assert grade("late", ["ada"]) == first and rows(out)["ada"]["total"] == "10"
    grade("class")
    assert [r["total"] for r in rows(out).values()] == ["2", "10", "0", "10"]


def test_of_two_people_of_one_name_each_keeps_the_own_results(tmp_path, monkeypatch):
    """A folder with one of them is no other class, and a third person is no one of them."""

    def quickly(exercise, answer, *, seed, results):
        verdict = judge.new_verdict(exercise, answer.where)
        right = "g[parent] += g[node]" in "".join(text for _, _, text in answer.cells)
        verdict.outcomes[0].points, verdict.complete = 10 if right else 2, True
        verdict.write(results)

    monkeypatch.setattr(judge, "judge", quickly)
    monkeypatch.setattr(judging, "ProcessPoolExecutor", Pool)
    out = tmp_path / "out"

    def grade(folder, files, only=()):
        write(tmp_path / folder, files)
        classroom.grade_class(tmp_path / folder, out, 1, 3, progress=False, only=only)
        return {(r["student"], r["id"]): r["total"] for r in rows(out).values()}

    first = {f"doejane_1_11_{STEM}.py": WRONG, f"doejane_2_12_{STEM}.py": PY,
             f"roejohn_3_13_{STEM}.py": PY}  # fmt: skip
    there = {("doejane (1)", "1"): "2", ("doejane (2)", "2"): "10", ("roejohn", "3"): "10"}
    assert grade("class", first) == there
    late = grade("late", {f"doejane_1_14_{STEM}.py": PY}, ["1"])
    assert late == there | {("doejane (1)", "1"): "10"}
    third = grade("third", {f"roejohn_4_15_{STEM}.py": WRONG}, ["4"])
    assert third == late | {("roejohn (4)", "4"): "2"}
    assert grade("class", {}) == there  # all: who has left the class does not come back
    assert grade("late", {}, ["1"]) == there | {("doejane (1)", "1"): "10"}
