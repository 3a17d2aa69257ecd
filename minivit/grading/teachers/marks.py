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
import re
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
        """Late days that have begun; None where one of the two times is not known. A day ends when
        the clock shows the same time again, also where it was put forward or back."""
        if self.due is None or when is None:
            return None
        due, when = _aware(self.due), _aware(when)
        if when <= due:
            return 0
        clocks = _clock(when, self.due.tzinfo) - _clock(due, self.due.tzinfo)
        return max(1, math.ceil(clocks / datetime.timedelta(days=1)))

    def factor(self, days):
        return max(0.0, 1 - self.percent / 100 * (days or 0))


@dataclass
class Marks:
    """All that a teacher's files say, by student."""

    marks: dict = field(default_factory=dict)  # student -> {exercise number: Mark}
    times: dict = field(default_factory=dict)  # student -> datetime


def moment(text):
    """A time as people write it in ISO 8601: 2026-11-03, 2026-11-03 23:59, with or without zone."""
    text = text.strip()
    try:
        found = datetime.datetime.fromisoformat(re.sub(r"(?<=\d) (?=Z$|[+-]\d)", "", text))
        if not 1971 <= found.year <= 9000:
            raise ValueError
    except ValueError:
        raise SubmissionError(f"expected a time such as 2026-11-03T23:59, got {text!r}") from None
    if len(text) <= 10:  # a day: its end
        found += datetime.timedelta(days=1)
    return found


def _aware(when):
    return when if when.tzinfo else when.astimezone()


def _clock(when, zone):
    """What a clock shows there, or here where no zone was given."""
    return when.astimezone(zone).replace(tzinfo=None)


def read(people, marks=None, times=None):
    """The Marks in these two CSV files; a line that names no student or exercise, or says again
    what another line said, is an error."""
    found, said = Marks(), {}
    for line, row in _rows(marks, {"student", "exercise"}):
        student, exercise = _student(people, row["student"], line), _exercise(row["exercise"], line)
        _once(said, (student, exercise.number), line)
        found.marks.setdefault(student, {})[exercise.number] = Mark(
            _number(row.get("explain"), EXPLAIN, "explain", line) or 0.0,
            _number(row.get("points"), exercise.points, "points", line),
            (row.get("comment") or "").strip(),
        )
    for line, row in _rows(times, {"student", "handed in"}):
        student = _student(people, row["student"], line)
        _once(said, (student, "times"), line)
        if row["handed in"].strip():
            try:
                found.times[student] = moment(row["handed in"])
            except SubmissionError as error:
                raise SubmissionError(f"{line}: {error}") from None
    return found


def _once(said, what, line):
    if what in said:
        raise SubmissionError(f"{line}: the same student and exercise stand in {said[what]}")
    said[what] = line


def _rows(path, wanted):
    """(where, {column: text}) of each line of a CSV file; Excel's semicolons and mark are read."""
    if path is None:
        return
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise SubmissionError(f"{path} cannot be read as a CSV file in UTF-8: {error}") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text[:4].lower() == "sep=":  # Excel's own first line
        text = text.partition("\n")[2]
    head = text.split("\n", 1)[0]
    between = next((c for c in ";\t" if c in head), ",")
    rows = csv.DictReader(io.StringIO(text), delimiter=between)
    rows.fieldnames = [(name or "").strip().lower() for name in rows.fieldnames or ()]
    if missing := wanted - set(rows.fieldnames):
        raise SubmissionError(
            f"{path} has no column {', '.join(sorted(missing))} in its first line"
        )
    for row in _without_error(rows, path):
        if any(value for value in row.values() if isinstance(value, str)):
            yield f"{path}, line {rows.line_num}", {k: v or "" for k, v in row.items() if k}


def _without_error(rows, path):
    try:
        yield from rows
    except csv.Error as error:
        raise SubmissionError(f"{path}, after line {rows.line_num}: {error}") from None


def _student(people, text, where):
    """The student's name among `people`, {name: Person}."""
    wanted = {_plain(text.strip()), _plain(text.strip().removeprefix("'"))} - {""}
    found = [name for name in people if _plain(name) in wanted] or [
        name for name, person in people.items() if wanted & set(map(_plain, _known(person)))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise SubmissionError(f"{where}: {text!r} may be {' or '.join(found)}: write which one")
    raise SubmissionError(f"{where}: {text!r} is no student of this class")


def _known(person):
    """The names of a person; of a group those of each member."""
    for text in (person.name, person.id, person.email, person.sid):
        yield text
        if person.system == "Gradescope":
            yield from text.split(", ")


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
