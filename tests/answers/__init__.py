"""Answers to the exercises as students write them: right ones, and each known mistake planted.

A module an exercise. RIGHT holds correct answers, written independently of each other and of the
solution. WRONG is {(output, title of the mistake): (points, edit, ...)}: an edit is
"A: old => new", which plants the mistake into the answer A; each edit is a submission of its own.
Several replacements of one edit stand on lines of their own.
"""

import importlib
from dataclasses import dataclass

from minivit.grading.exercise import registry


@dataclass(frozen=True)
class Answer:
    """A file that a student hands in, and what it deserves."""

    exercise: object
    name: str
    text: str
    points: float
    mistake: tuple | None = None  # (output, title), where one is planted


def planted(texts, edit):
    """The answer with a mistake: `edit` is "A: old => new" with one or more such lines."""
    name, _, changes = edit.partition(": ")
    text = texts[name]
    for change in changes.split("\n"):
        old, new = change.strip(" ").split(" => ")
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in answer {name}"
        text = text.replace(old, new)
    return text


def of(exercise):
    """All Answers of an exercise, right ones first."""
    module = importlib.import_module(f"{__name__}.{exercise.function}")
    found = [Answer(exercise, name, t, exercise.points) for name, t in module.RIGHT.items()]
    for mistake, (points, *edits) in module.WRONG.items():
        for edit in edits:
            text = planted(module.RIGHT, edit)
            found.append(
                Answer(exercise, f"{edit.partition(': ')[0]}: {mistake[1]}", text, points, mistake)
            )
    return found


def everything():
    return [answer for exercise in registry().values() for answer in of(exercise)]
