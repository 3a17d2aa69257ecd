"""The student's report: one line a property, the smallest failing input, and the points."""

import textwrap
from pathlib import Path

import numpy as np

from minivit.grading.exercise import registry

WIDTH = 96
LARGEST_SHOWN = 200  # numbers of an array in a report, and
LONGEST_SHOWN = 600  # letters of anything else
MARKS = {"pass": "pass", "fail": "FAIL", "todo": "todo", "waiting": "-"}


def results_path(folder, exercise):
    """The place of results: `runs/NN_function.json` beside the student's file."""
    number = getattr(exercise, "number", None) or exercise.exercise
    return Path(folder, "runs", f"{number:02d}_{exercise.function}.json")


def report(verdict, public=True, width=WIDTH):
    """The text for one verdict; where it is not `public`, it is the grade. Sentences end at
    `width`; an input is one piece, to be pasted."""

    def wrapped(text, first="", rest=""):
        return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest)

    head, where = f"Exercise {verdict.exercise}, {verdict.title}:", str(verdict.where)
    one = len(f"{head} {where}") <= width
    lines = [f"{head} {where}", ""] if one else [*wrapped(head), f"    {where}", ""]
    if verdict.trouble:
        lines += [*wrapped(verdict.trouble), ""]
    said = {}  # text or mistake -> number of the first property that failed with it
    for number, o in enumerate(verdict.outcomes, 1):
        points = f"{o.points:g}/{o.max_points:g}"
        mark = f"{MARKS[o.status]:5}{number}  "
        lines += wrapped(f"{o.title}  ({points})", mark, " " * len(mark))
        if o.status == "todo" or not o.sentence:
            continue
        if o.sentence in said:
            lines += [f"        the same as in {said[o.sentence]}"]
            continue
        if o.mistake and not o.inputs:
            lines += [f"        the same mistake as in {said[o.mistake]}"]
            continue
        said[o.sentence] = number
        said.setdefault(o.mistake, number)
        lines += _details(o, wrapped)
    todo = {o.sentence for o in verdict.outcomes if o.status == "todo"}
    lines += [""] + [line for text in sorted(todo) for line in [*wrapped(text), ""]]
    if verdict.printed.strip():
        lines += ["Your code printed (this costs nothing):"]
        printed = verdict.printed.strip().split("\n")[:5]
        lines += [f"    {line[: width - 4]}" for line in printed] + [""]
    what, more = ("Public checks", " Grading runs more inputs than these.") if public else (
        "Checks", ""
    )  # fmt: skip
    lines += wrapped(
        f"{what} passed: {verdict.passed}/{len(verdict.outcomes)}, "
        f"points: {verdict.points:g}/{verdict.max_points:g}.{more}"
    )
    if public and verdict.passed == len(verdict.outcomes):
        lines += ["", *wrapped(what_next(verdict))]
    return "\n".join(lines) + "\n"


def what_next(verdict):
    """The next step after the last check has passed."""
    left = [e for number, e in registry().items() if number > verdict.exercise]
    explain = (
        "The question under Explain is still yours to answer: 2 points, and a person reads it."
    )
    after = f"Next: exercise {left[0].number}, {left[0].title} ({left[0].stem}.md)." if left else (
        "That was the last exercise: `minivit build` trains the digits' model with your functions."
    )  # fmt: skip
    return f"{explain} {after}"


def _details(outcome, wrapped):
    lines, inside = [], " " * 8
    for part in outcome.sentence.split("\n"):
        lines += wrapped(part, inside, inside)
    if outcome.mistake:
        lines += wrapped(f"known mistake: {outcome.mistake}", inside, inside)
    if outcome.inputs:
        lines += wrapped("the smallest input found that shows it:", inside, inside)
        lines += [_assign(name, text, 12) for name, text in outcome.inputs.items()]
    if outcome.expected:
        lines += [
            f"        expected {outcome.name}:",
            _indent(outcome.expected, 12),
            f"        got {outcome.name}:",
            _indent(outcome.got, 12),
        ]
    return lines


def _indent(text, by):
    return textwrap.indent(text, " " * by)


def _assign(name, text, by):
    """`name = text`, where the further lines of an array stay under its first."""
    head = " " * by + f"{name} = "
    return head + text.replace("\n", "\n" + " " * len(head))


def progress(exercises, verdicts, width=WIDTH):
    """A line for each exercise: points and checks where it was tried (a Verdict), else dashes."""
    room = min(44, width - 19)  # for names
    lines = [f"{'Exercise':{room}}{'Points':>9}{'Checks':>9}"]
    total = 0
    for exercise in exercises:
        verdict = verdicts.get(exercise.number)
        points, checks = "-", "-"
        if verdict is not None:
            total += verdict.points
            points = f"{verdict.points:g}"
            checks = f"{verdict.passed}/{len(verdict.outcomes)}"
        name = f"{exercise.number:>2}  {exercise.title}"
        name = name if len(name) <= room else name[: room - 1] + "…"
        lines.append(f"{name:{room}}{points + '/' + format(exercise.points, 'g'):>9}{checks:>9}")
    full = f"{total:g}/{sum(e.points for e in exercises):g}"
    lines.append(f"{'all':{room}}{full:>9}")
    return "\n".join(lines) + "\n"


# -- values as Python ------------------------------------------------------------------------------
def shown(case):
    """The inputs of a case as text; those of calls in between as x_2, x_3 ..."""
    values = case.inputs if case.g is None else case.inputs | {"g": case.g}
    for number, other in enumerate(case.others, 2):
        values = values | {f"{name}_{number}": value for name, value in other.inputs.items()}
    return {name: show(value) for name, value in values.items()}


def show(value, precision=6):
    """A value that can be pasted into Python."""
    if not isinstance(value, np.ndarray):
        return repr(value)[:LONGEST_SHOWN]
    if value.size > LARGEST_SHOWN:
        return f"an array of shape {value.shape}, dtype {value.dtype}"
    text = np.array2string(
        value, separator=", ", precision=precision, floatmode="maxprec", prefix="np.array("
    )
    without = np.array(value.tolist()).dtype  # int32 in a browser, where int64 is it elsewhere
    kind = "" if without == value.dtype else f", dtype=np.{value.dtype}"
    return f"np.array({text}{kind})"


def show_both(expected, got):
    """Two values with as many digits as show that they differ."""
    for precision in (4, 6, 9, 17):
        texts = show(expected, precision), show(got, precision)
        if texts[0] != texts[1]:
            break
    return texts
