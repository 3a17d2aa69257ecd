"""The teacher's side: a bundle for the students, and the points of a folder of submissions.

    minivit release --out bundle
    minivit grade submissions --out results

A submission is a folder or a zip file with any of the exercises' files (`07_layer_norm.py` or
`.ipynb`; `handed_in.py`). Each exercise of each student is judged by itself and kept as JSON at
once, so a run that was interrupted goes on where it stopped. Grading has inputs of its own: another
seed.

A student's code runs locked in a process of its own (`sandbox.py`) and is judged on arrays that
crossed a pipe (`runner.py`).
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from minivit import files
from minivit.grading import judge, submission
from minivit.grading.exercise import SubmissionError, find, registry
from minivit.grading.judge import GRADING_SEED
from minivit.grading.teachers import gradescope, handed_in, pages


# -- release ---------------------------------------------------------------------------------------
def release(exercises, out):
    """Copy pages and starters from the folder `exercises` to `out`, but no source; their names."""
    exercises, out = Path(exercises), Path(out)
    if not (exercises / "README.md").is_file():
        raise SubmissionError(f"{exercises} is not the folder of the exercises")
    if out.exists() and any(out.iterdir()):
        raise SubmissionError(f"{out} is not empty: name another folder")
    stems = [e.stem for e in registry().values()]
    names = ["README.md", *(f"{s}{suffix}" for s in stems for suffix in (".md", ".py", ".ipynb"))]
    out.mkdir(parents=True, exist_ok=True)
    (out / ".handed_out").mkdir()  # what `minivit reset` brings back
    for name in names:
        shutil.copyfile(exercises / name, out / name)
        if not name.endswith(".md"):
            shutil.copyfile(exercises / name, out / ".handed_out" / name)
    return names


# -- grade -----------------------------------------------------------------------------------------
def grade(folder, out, processes=None, seed=GRADING_SEED, progress=True):
    """Judge every submission in `folder`; writes students/, points.csv, overview.html into `out`.

    Returns {student: {exercise number: points}}.
    """
    out, exercises = Path(out), list(registry().values())
    if Path(folder).resolve() in (out.resolve(), *out.resolve().parents):
        raise SubmissionError(f"the results would lie among the submissions: {out}")
    with tempfile.TemporaryDirectory() as scratch:
        found, others = handed_in.submissions(folder, Path(scratch), {e.stem for e in exercises})
        if others and progress:
            print(f"left out, neither folders nor zip files: {', '.join(others)}")
        jobs = [
            (e.stem, str(there.files[e.stem]), str(_verdict_path(out, student, e)), seed)
            for student, there in found.items()
            for e in exercises
            if e.stem in there.files
        ]
        judge_all(jobs, processes or os.cpu_count(), progress)
    results = {}
    for student, there in found.items():
        verdicts = {
            e.number: _verdict(e, _verdict_path(out, student, e))
            for e in exercises
            if e.stem in there.files
        }
        results[student] = verdicts
        page = pages.student(student, exercises, verdicts, there.notes)
        _write(out / "students" / student / "report.html", page)
        _write(
            out / "students" / student / "results.json",
            json.dumps(gradescope.content(exercises, verdicts, there.notes), indent=1) + "\n",
        )
    pages.write_csv(out / "points.csv", exercises, results)
    notes = {student: there.notes for student, there in found.items()}
    _write(out / "overview.html", pages.overview(exercises, results, notes))
    return {s: {n: v.points for n, v in verdicts.items()} for s, verdicts in results.items()}


def _verdict_path(out, student, exercise):
    return out / "students" / student / f"{exercise.stem}.json"


def judge_all(jobs, processes, progress):
    """`judge_one` for every job, on so many processes. One that takes its process down (a student's
    code may, where the sandbox has holes) is found by itself, and costs no other."""
    from tqdm import tqdm

    left = []
    with ProcessPoolExecutor(processes, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        running = {pool.submit(judge_one, *job): job for job in jobs}
        for done in tqdm(as_completed(running), total=len(jobs), disable=not progress):
            if isinstance(done.exception(), BrokenProcessPool):
                left.append(running[done])
            else:
                done.result()
    for job in sorted(left):
        try:
            with ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),)) as pool:
                pool.submit(judge_one, *job).result()
        except BrokenProcessPool:
            _failed(job[0], job[2], "the process that judged it was ended")


def _end_with(parent):
    """End this process when its parent is gone: a grading that was killed leaves none behind."""

    def wait():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _verdict(exercise, path):
    """What was judged; where the sandbox has holes, a student's code may have written over it."""
    try:
        return judge.Verdict.read(path)
    except (OSError, ValueError, KeyError, TypeError):
        _failed(exercise.stem, path, "its result cannot be read")
        return judge.Verdict.read(path)


def _failed(exercise, results, why):
    """Keep the points so far, and say that a person has to look; the next run tries again."""
    exercise = find(exercise)
    Path(results).with_suffix(".key").unlink(missing_ok=True)
    try:
        verdict = judge.Verdict.read(results)
    except (OSError, ValueError, KeyError, TypeError):
        verdict = judge.new_verdict(exercise, exercise.stem)
    verdict.trouble = f"The grading itself failed: {why}. Your teacher has to look at this."
    verdict.complete = True
    verdict.write(results)


def judge_one(exercise, path, results, seed):
    """Judge one file, unless `results` holds a complete verdict on the same file, by the same
    checks and with the same seed."""
    checks = Path(__file__).parents[1] / "checks" / f"{find(exercise).function}.py"
    try:
        key = f"{_digest(path)} {_digest(checks)} {seed}"
    except OSError:  # the report will say why
        key = ""
    results, mark = Path(results), Path(results).with_suffix(".key")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not there, or no verdict
        if mark.read_text() == key and judge.Verdict.read(results).complete:
            return
    mark.unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
            judge.judge(find(exercise), submission.read(path), seed=seed, results=results)
    except Exception as error:  # none is known; it must not cost the others their points
        _failed(exercise, results, f"{type(error).__name__}: {error}")
        return
    _write(mark, key)


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path, text):
    content = text.encode("utf-8", errors="backslashreplace")  # half characters too
    files.write_whole(path, content, durable=False)  # after a power failure it is graded again
