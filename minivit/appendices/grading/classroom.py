"""The teacher's side: a bundle for the students, and the points of a folder of submissions.

    minivit release --out bundle
    minivit grade submissions --out results

A submission is a folder or a zip file with any of the exercises' files (`01_layer_norm.py` or
`.ipynb`; `handed_in.py`). Each exercise of each student is judged by itself and kept as JSON at
once, so a run that was interrupted goes on where it stopped. Grading has inputs of its own: another
seed.

A student's code runs locked in a process of its own (`sandbox.py`) and is judged on arrays that
crossed a pipe (`runner.py`).
"""

import csv
import hashlib
import html
import json
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from minivit.appendices.grading import child, gradescope, handed_in, judge, report, submission
from minivit.appendices.grading.exercise import SubmissionError, find, registry
from minivit.appendices.grading.judge import GRADING_SEED


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
    for name in names:
        shutil.copyfile(exercises / name, out / name)
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
            e.number: judge.Verdict.read(_verdict_path(out, student, e))
            for e in exercises
            if e.stem in there.files
        }
        results[student] = verdicts
        page = _page(student, exercises, verdicts, there.notes)
        _write(out / "students" / student / "report.html", page)
        _write(
            out / "students" / student / "results.json",
            json.dumps(gradescope.content(exercises, verdicts, there.notes), indent=1) + "\n",
        )
    _write_csv(out / "points.csv", exercises, results)
    _write(out / "overview.html", _overview(exercises, results))
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


def _failed(exercise, results, why):
    """Keep the points so far, and say that a person has to look."""
    exercise = find(exercise)
    try:
        verdict = judge.Verdict.read(results)
    except (OSError, ValueError, KeyError, TypeError):
        verdict = judge.new_verdict(exercise, exercise.stem)
    verdict.trouble = f"The grading itself failed: {why}. Your teacher has to look at this."
    verdict.complete = True
    verdict.write(results)


def judge_one(exercise, path, results, seed):
    """Judge one file, unless `results` holds a complete verdict on the same bytes and seed."""
    try:
        with open(path, "rb") as file:
            key = f"{hashlib.file_digest(file, 'sha256').hexdigest()} {seed}"
    except OSError:  # the report will say why
        key = ""
    results, mark = Path(results), Path(results).with_suffix(".key")
    if results.exists() and mark.exists() and mark.read_text() == key:
        if judge.Verdict.read(results).complete:
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


# -- what is written -------------------------------------------------------------------------------
def _page(student, exercises, verdicts, notes=()):
    total = sum(v.points for v in verdicts.values())
    parts = [f"<p>{total:g} of {sum(e.points for e in exercises):g} points</p>"]
    parts += [f"<p>{html.escape(child.printable(note))}</p>" for note in notes]
    for e in exercises:
        verdict = verdicts.get(e.number)
        text = report.report(verdict, public=False) if verdict else (
            f"Exercise {e.number}, {e.title}: nothing was handed in\n"
        )  # fmt: skip
        parts.append(f"<pre>{html.escape(text)}</pre>")
    return _html(student, parts)


def _overview(exercises, results):
    """How many points, and which property failed most."""
    totals = [sum(v.points for v in verdicts.values()) for verdicts in results.values()]
    most, failed, named = sum(e.points for e in exercises), Counter(), Counter()
    for verdicts in results.values():
        for v in verdicts.values():
            for o in v.outcomes:
                if o.status != "pass":
                    failed[f"{v.exercise}. {v.title}: {o.title}"] += 1
                if o.mistake:
                    named[f"{v.exercise}. {o.mistake}"] += 1
    steps = [Counter(min(9, int(10 * t / most)) for t in totals)[i] for i in range(10)]
    rows = [
        f"{most * i / 10:6.1f} to {most * (i + 1) / 10:6.1f}  {n:4}  {'#' * n}"
        for i, n in enumerate(steps)
    ]
    parts = [f"<p>{len(results)} submissions</p>", f"<pre>{chr(10).join(rows)}</pre>"]
    for title, counts in (("What failed most", failed), ("Mistakes by name", named)):
        lines = [f"{n:4}  {html.escape(what)}" for what, n in counts.most_common(20)]
        parts.append(f"<h2>{title}</h2><pre>{chr(10).join(lines)}</pre>")
    return _html("Overview", parts)


def _html(title, parts):
    title = child.printable(title)
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1>{''.join(parts)}\n"
    )


def _write_csv(path, exercises, results):
    part = path.with_name(path.name + ".part")
    with open(part, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file)
        rows.writerow(["student", *(e.stem for e in exercises), "total"])
        for student, verdicts in results.items():
            points = [verdicts[e.number].points if e.number in verdicts else 0 for e in exercises]
            rows.writerow([_plain(student), *points, sum(points)])
    os.replace(part, path)


def _plain(name):
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8", errors="backslashreplace")  # half characters too
    os.replace(part, path)
