"""The teacher's side: a bundle for the students, and the points of a folder of submissions.

    minivit release --out bundle
    minivit grade submissions --out results

A student's code runs locked in a process of its own (`sandbox.py`) and is judged on arrays that
crossed a pipe (`runner.py`). Grading has inputs of its own, made by a seed that the teacher keeps.
"""

import contextlib
import os
import secrets
import shutil
import sys
from pathlib import Path

from minivit.files import exercises_folder, write_whole
from minivit.grading import judge
from minivit.grading.exercise import SubmissionError, registry
from minivit.grading.process.child import printable
from minivit.grading.teachers import (
    exports,
    gradescope,
    handed_in,
    judging,
    kept,
    marks,
    pages,
    similar,
    workshop,
)
from minivit.grading.teachers.results import Result

SEED_FILE = "grading.seed"


# -- release ---------------------------------------------------------------------------------------
def release(exercises, out):
    """Copy pages and starters from the folder `exercises` to `out`, but no source; their names."""
    exercises, out = Path(exercises), Path(out)
    if not (exercises / "README.md").is_file():
        raise SubmissionError(
            f"{exercises} is not the folder of the exercises: go to the repository of the course, "
            "or name its folder, with --exercises PATH/TO/exercises"
        )
    if out.exists() and any(out.iterdir()):
        raise SubmissionError(f"{out} is not empty: name another folder")
    stems = [e.stem for e in registry().values()]
    names = ["README.md", *(f"{s}{suffix}" for s in stems for suffix in (".md", ".py", ".ipynb"))]
    out.mkdir(parents=True, exist_ok=True)
    (out / ".handed_out").mkdir()  # what `minivit reset` brings back
    (out / ".lab").mkdir()  # what `jupyter lab` is told about pages
    names.append(".lab/overrides.json")
    for name in names:
        shutil.copyfile(exercises / name, out / name)
        if name.endswith((".py", ".ipynb")):
            shutil.copyfile(exercises / name, out / ".handed_out" / name)
    paragraphs = (exercises / "README.md").read_text("utf-8").split("\n\n")
    readme = "\n\n".join(p for p in paragraphs if "`make " not in p)  # there is no Makefile
    write_whole(out / "README.md", readme)
    return names


def class_seed(folder=".", seed=None):
    """The seed of this class's grading: `seed`, or the one in folder/grading.seed, which is made
    where there is none. A student who knows it can try the inputs of grading."""
    if seed is not None:
        return seed
    path = Path(folder, SEED_FILE)
    if not path.exists():
        write_whole(path, f"{secrets.randbelow(10**12)}\n")
        with contextlib.suppress(OSError):
            path.chmod(0o600)
    try:
        return int(path.read_text()[:40])
    except (OSError, ValueError) as error:
        raise SubmissionError(
            f"{path} holds no number: remove it, or give the seed as --seed"
        ) from error


# -- grade -----------------------------------------------------------------------------------------
def grade(folder, out, processes=None, seed=None, progress=True, **options):
    """Judge every submission in `folder`; writes students/, points.csv, overview.html into `out`.

    Returns {student: {exercise number: points}}; see `grade_class` for the options.
    """
    results = grade_class(folder, out, processes, seed, progress, **options)
    return {name: {n: r.judged(n) for n in r.verdicts} for name, r in results.items()}


def grade_class(
    folder, out, processes=None, seed=None, progress=True,
    *, only=(), force=False, marked=None, times=None, rule=None, exercises=None,
):  # fmt: skip
    """{student: Result} of a folder or an archive of submissions.

    `only`: students to judge, the others keep what they have; `force`: judge anew what is kept;
    `marked`, `times`: CSV files (`marks.py`); `rule`: a marks.Rule for late days; `exercises`: the
    folder of what was handed out, so that a starter is known for one.
    """
    folder, out = Path(folder), Path(out)
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise SubmissionError(f"the results would lie among the submissions: {out}")
    try:
        with workshop.workshop() as place:
            known = handed_in.starters(exercises or exercises_folder())
            found, others = handed_in.submissions(folder, place[0] / "handed in", known)
            out.mkdir(parents=True, exist_ok=True)
            seed = class_seed(out, seed)
            if only:
                found = kept.as_kept(found, kept.students(out, {}))
            chosen = marks.choose({name: there.person for name, there in found.items()}, only)
            if only:
                others_ = kept.students(out, found)
                found |= {name: there for name, there in others_.items() if name not in chosen}
            else:
                kept.forget_others(out, found)
            people = {name: there.person for name, there in found.items()}
            added = marks.read(people, marked, times)
            results = {
                name: Result(
                    there, marks=added.marks.get(name, {}), rule=rule or marks.Rule(),
                    when=added.times.get(name, there.person.when),
                )
                for name, there in found.items()
            }  # fmt: skip
            _judge(out, results, chosen, seed, place, processes or _cores(), progress, force)
            alike = _alike(results, exercises)
        _write(out, results, others, alike)
    except OSError as error:
        raise SubmissionError(
            f"the results cannot be written: {error.strerror or error}"
            f" ({printable(str(error.filename or out))}); what was judged is kept: run it again"
        ) from error
    if progress:
        for other in others:
            say(f"left out: {other}")
    return results


def _cores():
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _judge(out, results, chosen, seed, place, processes, progress, force):
    """Judge all answers of the chosen students; of several to one exercise the best one counts."""
    jobs, exercises = [], {e.stem: e for e in registry().values()}
    for name in chosen:
        for stem, answers in results[name].there.answers.items():
            for answer, to in _tried(out, name, stem, answers):
                if force:
                    judging.forget(to)
                jobs.append((stem, str(answer.path), str(to), seed))
    failed = judging.judge_all(jobs, place, processes, progress)
    for name, result in results.items():
        if name not in chosen:
            kept.restore(Path(out, "students", name), result)
            continue
        for stem, answers in result.there.answers.items():
            _choose(exercises[stem], result, _tried(out, name, stem, answers), failed)
            if (number := exercises[stem].number) in result.verdicts:
                with contextlib.suppress(OSError):
                    result.verdicts[number].write(Path(out, "students", name, f"{stem}.json"))
        kept.write(Path(out, "students", name), result)


def _tried(out, name, stem, answers):
    """[(Answer, where its verdict is kept)]; a starter beside other answers is not judged."""
    answers = [a for a in answers if not a.starter] or answers[:1]
    place = Path(out, "students", name)
    if len(answers) == 1:
        return [(answers[0], place / f"{stem}.json")]
    return [(a, place / "tried" / f"{stem}.{i}.json") for i, a in enumerate(answers, 1)]


def _choose(exercise, result, tried, failed):
    """Put the verdict of the best answer, or a failure, into `result`, and say what became of the
    other files."""
    verdicts = []
    for answer, to in tried:
        verdict, why = judging.verdict(exercise, to)
        why = failed.get(str(to)) or why
        if why:
            judging.forget(to)
            verdict = judging.failure(exercise, answer.path.name, why)
            result.failed[exercise.number] = why
        verdicts.append((verdict, answer))

    def rank(pair):
        verdict, answer = pair
        todo = sum(o.status == "todo" for o in verdict.outcomes)
        return verdict.points, not verdict.trouble, -todo, answer.when

    best = max(verdicts, key=rank)
    if best[0].points == exercise.points:
        result.failed.pop(exercise.number, None)  # no other file could give more
    elif exercise.number in result.failed:
        best = next(p for p in verdicts if p[0].trouble.startswith(judge.FAILED))
    result.verdicts[exercise.number], result.counted[exercise.number] = best
    _say_which(exercise, result, verdicts, best[1])


def _say_which(exercise, result, verdicts, best):
    answers = result.there.answers[exercise.stem]
    if len(answers) < 2:
        return
    points = {id(answer): verdict.points for verdict, answer in verdicts}
    rest = [
        f"{a.name} gives {points[id(a)]:g}" if id(a) in points
        else f"{a.name} is as it was handed out" for a in answers if a is not best
    ]  # fmt: skip
    sentence = (
        f"{exercise.stem}: {len(answers)} files; {best.name} counts with {points[id(best)]:g} "
        f"points, {', '.join(rest)}"
    )
    said = result.there.notes if len(verdicts) > 1 else result.there.remarks
    said.append(printable(sentence))


def _alike(results, exercises):
    """[(share, exercise number, who, who)] of answers that are alike, the course's own included."""
    home, rows = Path(exercises or exercises_folder()), []
    for e in registry().values():
        answers = {name: similar.of_file(r.counted[e.number].path)
                   for name, r in results.items() if e.number in r.counted
                   and r.verdicts[e.number].points > 0}  # fmt: skip
        source, starter = home / "source" / f"{e.stem}.py", home / f"{e.stem}.py"
        if source.exists() and answers:
            answers["the published solution"] = similar.of_file(source)
        common = similar.of_file(starter) if starter.exists() else ()
        rows += [(share, e.number, a, b) for share, a, b in similar.pairs(answers, common)]
    return sorted(rows, key=lambda row: (-row[0], row[1:]))


def _write(out, results, others, alike):
    exercises = list(registry().values())
    for name, result in results.items():
        place = out / "students" / name
        write_page(place / "report.html", pages.student(name, exercises, result))
        notes = [*result.there.notes, *result.there.remarks]
        content = gradescope.content(exercises, result.verdicts, notes)
        write_page(place / "results.json", gradescope.text(content))
    exports.points(out / "points.csv", exercises, results)
    exports.systems(out, exercises, results)
    exports.feedback(out, results)
    rows = [["alike", "exercise", "answer", "answer"]]
    exports.write(out / "alike.csv", rows + [[round(s, 3), n, a, b] for s, n, a, b in alike])
    write_page(out / "overview.html", pages.overview(exercises, results, others, alike))


def write_page(path, text):
    write_whole(path, text.encode("utf-8", "backslashreplace"))  # half characters too


def last_line(results):
    """The outcome of the grading, and the exit status: 0, or 1 where some of it failed."""
    look = sum(bool(r.to_look_at()) for r in results.values())
    failed = sum(r.any_failed for r in results.values())
    graded = len(results) - failed
    return f"{graded} graded, {look} to look at, {failed} failed", 1 if failed else 0


def say(text, file=None):
    """Print a line that may hold the names of files: nothing in it that a terminal would obey, or
    cannot show."""
    file = file or sys.stdout
    encoding = getattr(file, "encoding", None) or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding), file=file)
