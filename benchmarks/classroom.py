"""A class of 300 or more, right, wrong, hostile and broken: graded, and every point compared.

    python -m benchmarks.classroom               # with nbgrader installed, that too in the same run
    python -m benchmarks.classroom --every 5     # a fifth of each kind, where there is little time

Right and wrong answers are those of tests/answers, with each of the known mistakes at least once;
the hostile ones are those of tests/grading/attacks.py. The right result of each stands beside it.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks import report
from minivit.grading import judge
from minivit.grading.exercise import find, registry
from minivit.grading.teachers import classroom, judging, nbgrader
from tests import answers
from tests.grading import attacks

ROOT = Path(__file__).parents[1]
EXERCISES = ROOT / "exercises"
SEED = 20_260  # of the inputs
judge_one = judging.judge_one


@dataclass
class Student:
    kind: str  # right, wrong, hostile, broken, stub
    name: str
    exercise: object
    content: bytes | None  # of the file; None: nothing is handed in
    points: float
    suffix: str = ".py"
    mistake: tuple | None = None


# -- the class -------------------------------------------------------------------------------------
def a_class(size, constants):
    """So many Students, or more where each mistake would not have its turn otherwise."""
    others = [*right(), *stubs(), *hostile(constants), *broken()]
    planted, first, again = wrong(), {}, []
    for student in planted:
        key = student.exercise.number, student.mistake
        again.append(student) if key in first else first.setdefault(key, student)
    chosen = [*first.values(), *again][: max(size - len(others), len(first))]
    return others + chosen


def right():
    found = [
        Student("right", a.name, a.exercise, a.text.encode(), a.points)
        for a in answers.everything() if not a.mistake
    ]  # fmt: skip
    for e in registry().values():
        source = (EXERCISES / "source" / f"{e.stem}.py").read_bytes()
        found.append(Student("right", "solution", e, source, e.points))
    return found


def wrong():
    return [
        Student("wrong", a.name, a.exercise, a.text.encode(), a.points, mistake=a.mistake)
        for a in answers.everything() if a.mistake
    ]  # fmt: skip


def stubs():
    """The starters as they were handed out, as notebooks."""
    paths = [(e, EXERCISES / f"{e.stem}.ipynb") for e in registry().values()]
    return [Student("stub", "starter", e, p.read_bytes(), 0, ".ipynb") for e, p in paths]


def hostile(constants):
    chain_rule = find("chain_rule")
    return [
        Student("hostile", name, chain_rule, attacks.submission(body, constants).encode(), points)
        for name, (body, points) in attacks.ATTACKS.items()
    ]


def broken():
    e = find("merge_pair")
    right = next(a.text for a in answers.of(e) if not a.mistake)
    cell = {"cell_type": "code", "source": right}
    bad = {"cell_type": "code", "source": "def broken(:\n"}
    texts = {
        "a syntax error": (right.replace("while waiting", "while waiting waiting"), 0),
        "merge conflict marks": (right.replace("    out =", "<<<<<<< HEAD\n    out ="), 0),
        "an empty file": ("", 0),
        "another function": (right.replace("def merge_pair", "def merge"), 0),
        "Latin-1": (("# Größe\n" + right).encode("latin-1"), 0),
        "binary": (bytes(range(256)), 0),
        "an unknown module": (right.replace("import numpy as", "from no_such import"), 0),
        "an error behind the answer": (right + "\n1 / 0\n", 10),
    }  # fmt: skip
    books = {
        "a notebook of format 3": ({"worksheets": [{"cells": [cell]}], "nbformat": 3}, 0),
        "a notebook cut short": (None, 0),
        "a broken cell beside the answer": ({"cells": [bad, cell], "nbformat": 4}, 10),
    }
    found = [
        Student("broken", name, e, text if isinstance(text, bytes) else text.encode(), points)
        for name, (text, points) in texts.items()
    ]
    for name, (book, points) in books.items():
        text = json.dumps(book) if book else '{"cells": [{"cell_ty'
        found.append(Student("broken", name, e, text.encode(), points, ".ipynb"))
    return [*found, Student("broken", "nothing handed in", e, None, 0)]


def hand_in(students, folder):
    for i, student in enumerate(students):
        (folder / f"{i:03d}").mkdir(parents=True)
        if student.content is not None:
            path = folder / f"{i:03d}" / f"{student.exercise.stem}{student.suffix}"
            path.write_bytes(student.content)


# -- grading it ------------------------------------------------------------------------------------
def timed(exercise, path, results, seed):
    """judge_one; how long it took is kept beside the results: seconds, and those of processors."""
    start = time.perf_counter(), busy()
    why = judge_one(exercise, path, results, seed)
    took = [time.perf_counter() - start[0], busy() - start[1]]
    Path(results).with_suffix(".seconds").write_text(json.dumps(took))
    return why


def busy():
    """Seconds of processor time of this process and of those that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def graded(students, folder, out, processes):
    """(seconds in all, [(student, points, mistakes named, took)])."""
    judging.judge_one = timed
    start = time.perf_counter()
    points = classroom.grade(folder, out, processes, SEED)
    total, found = time.perf_counter() - start, []
    for i, s in enumerate(students):
        place = out / "students" / f"{i:03d}" / f"{s.exercise.stem}.json"
        named, took = set(), (0.0, 0.0)
        if place.exists():
            pairs = zip(s.exercise.properties, judge.Verdict.read(place).outcomes)
            named = {(p.output, o.mistake) for p, o in pairs if o.mistake}
            clock = place.with_suffix(".seconds")  # of a file that another student has too: none
            took = json.loads(clock.read_text()) if clock.exists() else took
        found.append((s, sum(points[f"{i:03d}"].values()), named, took))
    return total, found


def table(found):
    """Lines of a table, a kind a row; and how many got other points than they deserve."""
    lines = [
        f"{'kind':10}{'submissions':>12}{'points right':>14}{'seconds, mean':>15}{'most':>7}"
        f"{'of a processor, mean':>22}{'most':>7}"
    ]
    for kind in ("right", "wrong", "hostile", "broken", "stub", "all"):
        rows = [row for row in found if kind in (row[0].kind, "all")]
        exact = sum(points == s.points for s, points, _, _ in rows)
        wall, cpu = zip(*(took for *_, took in rows))
        lines.append(
            f"{kind:10}{len(rows):12}{exact:14}{sum(wall) / len(wall):15.2f}{max(wall):7.2f}"
            f"{sum(cpu) / len(cpu):22.2f}{max(cpu):7.2f}"
        )
    return lines


def mistakes(found):
    planted = [(s, named) for s, _, named, _ in found if s.mistake]
    kinds = {(s.exercise.number, s.mistake) for s, _ in planted}
    hit = sum(s.mistake in named for s, named in planted)
    falsely = sum(bool(named) for s, _, named, _ in found if s.kind == "right")
    each = [len({k for k in kinds if k[0] == e}) for e in registry()]
    return [
        f"mistakes named: {hit} of {len(planted)} planted, of {len(kinds)} kinds, "
        f"{min(each)} to {max(each)} an exercise",
        f"right answers for which a mistake is named: {falsely}",
    ]


# -- nbgrader --------------------------------------------------------------------------------------
def beside_nbgrader(scratch, exercise="chain_rule"):
    """Lines: seconds a submission of one exercise, by nbgrader's kernel, by the judge in nbgrader,
    and by minivit grade; each alone on the machine, one process."""
    if find_spec("nbgrader") is None:
        return ['nbgrader is not installed here: pip install -e ".[nbgrader]"']
    e = find(exercise)
    texts = [a.text for a in answers.of(e)][:10]
    lines = [f"{len(texts)} submissions of exercise {e.number}, one process, seconds each:"]
    scores = {}
    for name in ("nbgrader, its own kernel", "nbgrader, minivit's judge"):
        course = scratch / name
        nbgrader.course(EXERCISES, course, SEED)
        if "kernel" in name:
            config = course / "nbgrader_config.py"
            text = config.read_text() + "del c.Autograde.autograde_preprocessors\n"
            config.write_text(text)
        run("generate_assignment", e.stem, cwd=course)
        released = json.loads((course / "release" / e.stem / f"{e.stem}.ipynb").read_text("utf-8"))
        for i, text in enumerate(texts):
            for cell in released["cells"]:
                if cell["metadata"].get("nbgrader", {}).get("grade_id") == e.function:
                    cell["source"] = text
            place = course / "submitted" / f"{i:03d}" / e.stem / f"{e.stem}.ipynb"
            place.parent.mkdir(parents=True)
            place.write_text(json.dumps(released), encoding="utf-8")
        start = time.perf_counter()
        run("autograde", e.stem, cwd=course)
        lines.append(f"  {name:28}{(time.perf_counter() - start) / len(texts):6.2f}")
        run("export", cwd=course)
        with open(course / "grades.csv", encoding="utf-8") as file:
            scores[name] = [float(r["score"]) for r in csv.DictReader(file)
                            if r["assignment"] == e.stem]  # fmt: skip
    for i in range(len(texts)):
        (scratch / "same" / f"{i:03d}").mkdir(parents=True)
        (scratch / "same" / f"{i:03d}" / f"{e.stem}.ipynb").write_bytes(
            (course / "submitted" / f"{i:03d}" / e.stem / f"{e.stem}.ipynb").read_bytes()
        )
    command = [sys.executable, "-m", "minivit.commands", "grade", scratch / "same",
               "--out", scratch / "same results", "--processes", "1"]  # fmt: skip
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    lines.append(f"  {'minivit grade':28}{(time.perf_counter() - start) / len(texts):6.2f}")
    with open(scratch / "same results" / "points.csv", encoding="utf-8") as file:
        scores["minivit grade"] = [float(row["total"]) for row in csv.DictReader(file)]
    same = len({tuple(s) for s in scores.values()}) == 1
    return [*lines, f"  the same points by all three: {'yes' if same else scores}"]


def run(*arguments, cwd):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=cwd, env=env, check=True,
                   capture_output=True)  # fmt: skip


# --------------------------------------------------------------------------------------------------
def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classroom",
                                     description=__doc__.split("\n")[0])  # fmt: skip
    parser.add_argument("--students", type=int, default=300, help="at least")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every Nth of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", metavar="DIR", help="keep submissions and results there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        (scratch / "canary").write_text("canary")
        constants = "".join(f"{k} = {v!r}\n" for k, v in {
            "CANARY": str(scratch / "canary"), "OUT": str(scratch / "out"),
            "CLASS": str(scratch / "class"), "VICTIM": victim.pid, "PORT": 9,
            "CODE": [], "PACKAGES": [str(ROOT)],
        }.items())  # fmt: skip
        students = a_class(options.students, constants)
        students.sort(key=lambda s: s.kind)  # a stable order: the Nth of each kind
        students = students[:: options.every]
        hand_in(students, scratch / "class")
        total, found = graded(students, scratch / "class", scratch / "out", options.processes)
        harmed = victim.poll() is not None or (scratch / "canary").read_text() != "canary"
        victim.kill()
        processor = sum(took[1] for *_, took in found)
        print(f"\n{len(students)} submissions on {options.processes} processes: {total:.0f} s, "
              f"{total / len(students):.2f} s each; {processor:.0f} s of a processor, "
              f"{processor / len(students):.2f} each; load {os.getloadavg()[1]:.0f}\n")  # fmt: skip
        print("\n".join([*table(found), "", *mistakes(found)]))
        print(f"the canary and the neighbour were harmed: {'yes' if harmed else 'no'}\n")
        print("\n".join(beside_nbgrader(scratch)))
        for s, points, _, _ in found:
            if points != s.points:
                print(f"POINTS {s.kind}, {s.exercise.stem}, {s.name}: {points}, not {s.points}")
        print("\n" + "; ".join(f"{k}: {v}" for k, v in report.machine().items()))
        if options.keep:
            shutil.copytree(scratch, options.keep, symlinks=True, dirs_exist_ok=True)
    return int(harmed or any(points != s.points for s, points, _, _ in found))


if __name__ == "__main__":
    sys.exit(main())
