"""Marks by hand: points for "Explain", overrides, hand-in times, and a rule for late days.

    student,exercise,explain,points,comment        --marks marks.csv
    ada,attention,2,,"clear"
    ben,attention,1,9.5,"a slip of the grid: see me"

    student,handed in                               --times times.csv
    ada,2026-11-03 23:50

A student is named as in points.csv, or by the identifier or address that the system knows.
"""

import csv
import datetime
import io
import math
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from minivit.grading.exercise import SubmissionError, find

EXPLAIN = 2.0  # points for the answer under "Explain", of each exercise


@dataclass
class Mark:
    """A person's part in the points of one exercise."""

    explain: float = 0.0
    points: float | None = None  # in place of the judge's
    comment: str = ""


@dataclass(frozen=True)
class Rule:
    """The price of a late day: `percent` of the points for each day that has begun after `due`."""

    due: datetime.datetime | None = None
    percent: float = 0.0

    def days(self, when):
        """Late days that have begun; None where one of the two times is not known."""
        if self.due is None or when is None:
            return None
        return max(0, math.ceil((_aware(when) - _aware(self.due)) / datetime.timedelta(days=1)))

    def factor(self, days):
        return max(0.0, 1 - self.percent / 100 * (days or 0))


@dataclass
class Marks:
    """All that a teacher's files say, by student."""

    marks: dict = field(default_factory=dict)  # student -> {exercise number: Mark}
    times: dict = field(default_factory=dict)  # student -> datetime


def moment(text):
    """A time as people write it in ISO 8601: 2026-11-03, 2026-11-03 23:59, with or without zone."""
    try:
        found = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        raise SubmissionError(f"expected a time such as 2026-11-03T23:59, got {text!r}") from None
    if len(text.strip()) <= 10:  # a day: its end
        found += datetime.timedelta(days=1)
    return found


def _aware(when):
    return when if when.tzinfo else when.astimezone()


def read(people, marks=None, times=None):
    """The Marks in these two CSV files; a line that names no student or exercise is an error."""
    found = Marks()
    for line, row in _rows(marks, {"student", "exercise"}):
        student = _student(people, row["student"], line)
        number = _exercise(row["exercise"], line).number
        most = _exercise(row["exercise"], line).points
        found.marks.setdefault(student, {})[number] = Mark(
            _number(row.get("explain"), EXPLAIN, "explain", line) or 0.0,
            _number(row.get("points"), most, "points", line),
            (row.get("comment") or "").strip(),
        )
    for line, row in _rows(times, {"student", "handed in"}):
        found.times[_student(people, row["student"], line)] = moment(row["handed in"])
    return found


def _rows(path, wanted):
    """(where, {column: text}) of each line of a CSV file; Excel's semicolons and mark are read."""
    if path is None:
        return
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise SubmissionError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    head = text.split("\n", 1)[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head else ",")
    rows.fieldnames = [(name or "").strip().lower() for name in rows.fieldnames or ()]
    if missing := wanted - set(rows.fieldnames):
        raise SubmissionError(
            f"{path} has no column {', '.join(sorted(missing))} in its first line"
        )
    for row in rows:
        if any(value for value in row.values() if isinstance(value, str)):
            yield f"{path}, line {rows.line_num}", {k: v or "" for k, v in row.items() if k}


def _student(people, text, where):
    """The student's name among `people`, {name: Person}."""
    wanted = _plain(text.strip().removeprefix("'"))
    for name, person in people.items():
        known = {name, person.name, person.id, person.email, person.sid} - {""}
        if wanted in map(_plain, known):
            return name
    raise SubmissionError(f"{where}: {text!r} is no student of this class")


def _plain(name):
    """Without case, and one way of writing accents: macOS has another one."""
    return unicodedata.normalize("NFC", name).casefold()


def choose(people, only):
    """The names of the students that `only` names; all of them if it names none."""
    return {_student(people, text, "--only") for text in only} if only else set(people)


def _exercise(text, where):
    try:
        return find(text.strip())
    except SubmissionError as error:
        raise SubmissionError(f"{where}: {error}") from None


def _number(text, most, column, where):
    text = (text or "").strip().replace(",", ".")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise SubmissionError(
            f"{where}: {column} is {text!r}, expected a number from 0 to {most:g}"
        )
    return value
