"""The teacher's side: a bundle for the students, and the points of a folder of submissions.

    minivit release --out bundle
    minivit grade submissions --out results

A submission is a folder or a zip file with any of the exercises' files (`01_layer_norm.py` or
`.ipynb`). Each exercise of each student is judged by itself and kept as JSON at once, so a run that
was interrupted goes on where it stopped. Grading has inputs of its own: another seed.

A student's code runs in a process of its own with limits on time and memory, and is judged on
arrays that crossed a pipe (`runner.py`). It can still read and write files and use the network:
grade code that you do not trust in a container.
"""

import csv
import hashlib
import html
import json
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path, PurePosixPath

from minivit.appendices.grading import judge, report, submission
from minivit.appendices.grading.exercise import SubmissionError, find, registry

GRADING_SEED = 20_260
LARGEST_FILE = 5_000_000  # bytes of one file in a zip


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
    from tqdm import tqdm

    out, exercises = Path(out), list(registry().values())
    with tempfile.TemporaryDirectory() as scratch:
        found = submissions(folder, Path(scratch))
        jobs = [
            (e.stem, str(files[e.stem]), str(out / "students" / student / f"{e.stem}.json"), seed)
            for student, files in found.items()
            for e in exercises
            if e.stem in files
        ]
        with ProcessPoolExecutor(processes or os.cpu_count()) as pool:
            running = [pool.submit(judge_one, *job) for job in jobs]
            for done in tqdm(as_completed(running), total=len(jobs), disable=not progress):
                done.result()
    results = {}
    for student, files in found.items():
        verdicts = {
            e.number: judge.Verdict.read(out / "students" / student / f"{e.stem}.json")
            for e in exercises
            if e.stem in files
        }
        results[student] = verdicts
        _write(out / "students" / student / "report.html", _page(student, exercises, verdicts))
        _write(
            out / "students" / student / "results.json",
            json.dumps(gradescope(exercises, verdicts), indent=1, ensure_ascii=False) + "\n",
        )
    _write_csv(out / "points.csv", exercises, results)
    _write(out / "overview.html", _overview(exercises, results))
    return {s: {n: v.points for n, v in verdicts.items()} for s, verdicts in results.items()}


def submissions(folder, scratch):
    """{student: {stem: path}} of the folders and zip files in `folder`; zips go to `scratch`."""
    folder, found = Path(folder), {}
    if not folder.is_dir():
        raise SubmissionError(f"there is no folder {folder}")
    stems = {e.stem for e in registry().values()}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.startswith("."):
            continue
        student = path.stem if path.suffix == ".zip" else path.name
        if student in found:
            raise SubmissionError(f"two submissions are called {student!r} in {folder}")
        if path.suffix == ".zip":
            found[student] = _newest(_unpacked(path, scratch / student), stems)
        elif path.is_dir():
            found[student] = _newest(path, stems)
    if not found:
        raise SubmissionError(f"{folder} holds no folders and no zip files, one a student")
    return found


def _newest(folder, stems):
    """{stem: file}: of a .py and a notebook the one without a stub left, or else the later one."""
    chosen = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.suffix not in (".py", ".ipynb"):
            continue
        if path.stem in stems:
            chosen.setdefault(path.stem, []).append(path)
    return {
        stem: max(
            paths, key=lambda p: (b"raise TodoError(" not in p.read_bytes(), p.stat().st_mtime)
        )
        for stem, paths in chosen.items()
    }


def _unpacked(path, folder):
    """The .py files and notebooks of a zip, by their bare names: a path cannot lead elsewhere."""
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = PurePosixPath(entry.filename.replace("\\", "/")).name
                if not name.endswith((".py", ".ipynb")) or entry.file_size > LARGEST_FILE:
                    continue
                with archive.open(entry) as file:
                    (folder / name).write_bytes(file.read(LARGEST_FILE))
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        pass  # a file that is no zip holds no answers: no points, and the report says so
    return folder


def judge_one(exercise, path, results, seed):
    """Judge one file, unless `results` holds a complete verdict on the same bytes and seed."""
    key = hashlib.sha256(Path(path).read_bytes() + str(seed).encode()).hexdigest()
    results, mark = Path(results), Path(results).with_suffix(".key")
    if results.exists() and mark.exists() and mark.read_text() == key:
        if judge.Verdict.read(results).complete:
            return
    mark.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        judge.judge(find(exercise), submission.read(path), seed=seed, results=results)
    _write(mark, key)


# -- what is written -------------------------------------------------------------------------------
def gradescope(exercises, verdicts):
    """The content of Gradescope's results.json: a test a property."""
    tests = []
    for e in exercises:
        verdict = verdicts.get(e.number) or judge.new_verdict(e, "")
        for o in verdict.outcomes:
            missing = e.number not in verdicts
            tests.append({
                "name": f"{e.number}. {e.title}: {o.title}", "score": o.points,
                "max_score": o.max_points, "status": "passed" if o.status == "pass" else "failed",
                "output": "not handed in" if missing else o.mistake or o.sentence,
            })  # fmt: skip
    return {"tests": tests, "visibility": "visible"}


def _page(student, exercises, verdicts):
    total = sum(v.points for v in verdicts.values())
    parts = [f"<p>{total:g} of {sum(e.points for e in exercises):g} points</p>"]
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
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<h1>{html.escape(title)}</h1>{''.join(parts)}\n"
    )


def _write_csv(path, exercises, results):
    part = path.with_name(path.name + ".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
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
