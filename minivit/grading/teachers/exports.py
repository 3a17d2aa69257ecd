"""Files to give back: points.csv for a spreadsheet, a CSV as each system imports it, feedback.zip.

Canvas      Gradebook > Import: the ID is the user's; a row of points possible comes first
Moodle      the assignment's "Upload grading worksheet" (mod/assign/feedback/offline/
            importgradeslib.php reads Identifier, Grade, Last modified (grade), Feedback comments);
            feedback.zip goes to "Upload multiple feedback files in a zip"
Gradescope  a table by SID and Email, for its gradebook

A grading that failed leaves its field empty there, so that nothing is overwritten; points.csv says
FAILED. Text never begins as a formula does, and a file that holds more than ASCII begins with the
mark by which Excel knows UTF-8.
"""

import csv
import io
import zipfile
from pathlib import Path

from minivit.files import write_whole, writing_whole
from minivit.grading.process.child import printable

FAILED = "FAILED"


def plain(name):
    """A text that no spreadsheet takes for a formula."""
    start = name.lstrip(" \n\x0b\x0c\xa0\ufeff")[:1]
    return f"'{name}" if start and start in "=+-@\t\r|%\uff1d\uff0b\uff0d\uff20" else name


def write(path, rows, mark=True):
    """A CSV file; `mark`: with the mark that Excel needs where there is more than ASCII."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(
        [[plain(printable(c)) if isinstance(c, str) else c for c in row] for row in rows]
    )
    text = file.getvalue().encode("utf-8", "backslashreplace")
    write_whole(path, (b"" if text.isascii() or not mark else b"\xef\xbb\xbf") + text)


def number(value):
    return int(value) if value == int(value) else value


def points(path, exercises, results):
    """A row a student: points of each exercise, or nothing where nothing was handed in; FAILED
    where the grading failed."""
    heads = ["explain", "late days", "final", "to look at", "system", "id", "email"]
    rows = [["student", *(e.stem for e in exercises), "total", *heads]]
    for name, r in results.items():
        cells = [_cell(r, e.number) for e in exercises]
        whole = not r.any_failed
        late = "" if r.late_days is None else r.late_days
        p, look = r.person, " ".join("; ".join(r.to_look_at()).split())
        rows.append([
            name, *cells, number(r.total) if whole else FAILED, number(r.explain), late,
            number(r.final) if whole else FAILED, look, p.system, p.id,
            p.email,
        ])  # fmt: skip
    write(path, rows)


def _cell(result, number_):
    if result.is_failed(number_):
        return FAILED
    if number_ in result.verdicts or number_ in result.marks:
        return number(result.judged(number_))
    return ""


def systems(out, exercises, results):
    """The files of those systems that somebody's submission came from; their names."""
    written = []
    for system, rows in (("Canvas", canvas), ("Moodle", moodle), ("Gradescope", gradescope)):
        theirs = {n: r for n, r in results.items() if r.person.system == system}
        if theirs:
            has = {number for r in theirs.values() for number in (*r.verdicts, *r.marks)}
            there = [e for e in exercises if e.number in has]
            path = Path(out, f"{system.lower()}.csv")
            write(path, rows(there, theirs), mark=False)
            written.append(path.name)
    return written


def _with_explain(result, exercise):
    if result.is_failed(exercise.number) or _cell(result, exercise.number) == "":
        return ""
    mark = result.marks.get(exercise.number)
    points_ = result.judged(exercise.number) + (mark.explain if mark else 0)
    return number(round(points_ * result.rule.factor(result.late_days), 4))


def canvas(exercises, results):
    own = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    rows = [[*own, *(f"{e.stem} {e.title}" for e in exercises)]]
    rows.append(["Points Possible", "", "", "", "", *(number(e.points + 2) for e in exercises)])
    for r in results.values():
        rows.append([r.person.name, r.person.id, "", "", "",
                     *(_with_explain(r, e) for e in exercises)])  # fmt: skip
    return rows


def moodle(exercises, results):
    rows = [["Identifier", "Full name", "Grade", "Maximum Grade", "Last modified (grade)",
             "Feedback comments"]]  # fmt: skip
    most = number(sum(e.points + 2 for e in exercises))
    for r in results.values():
        said = "; ".join(f"{e.stem}: {_cell(r, e.number)}" for e in exercises
                         if _cell(r, e.number) != "")  # fmt: skip
        grade = "" if r.any_failed else number(r.final)
        rows.append([f"Participant {r.person.id}", r.person.name, grade, most, "", said])
    return rows


def gradescope(exercises, results):
    rows = [["Name", "SID", "Email", "Total Score", "Max Points", "Submission ID",
             "Submission Time", *(e.stem for e in exercises)]]  # fmt: skip
    most = number(sum(e.points + 2 for e in exercises))
    for r in results.values():
        p = r.person
        names, sids, emails = (t.split(", ") for t in (p.name, p.sid, p.email))
        for i, name in enumerate(names):  # a group: a row each
            sid, email = (t[i] if len(t) == len(names) else "" for t in (sids, emails))
            rows.append([name, sid, email, "" if r.any_failed else number(r.final), most, p.id,
                         str(r.when or ""), *(_with_explain(r, e) for e in exercises)])  # fmt: skip
    return rows


def feedback(out, results):
    """feedback.zip: each report under the name that the student's files came back with."""
    with writing_whole(Path(out, "feedback.zip")) as half:
        with zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as archive:
            taken = set()
            for name, r in results.items():
                page = Path(out, "students", name, "report.html")
                to = _given(name, r.person)
                to = to if to not in taken else f"{name}/report.html"
                taken.add(to)
                entry = zipfile.ZipInfo(to.encode("utf-8", "backslashreplace").decode())
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, page.read_bytes())


def _given(name, person):
    first, inner = person.given[0] if person.given else (Path(name), "")
    if person.system == "Canvas":  # student_user_submission_file: all but the last names the place
        return first.name[: len(first.name) - len(inner)] + "report.html"
    if person.system == "Moodle" and inner != first.name:  # a file among those of all
        return first.name[: len(first.name) - len(inner)].rstrip("_") + "_/report.html"
    if person.system and person.system != "Blackboard":
        return f"{first.name}/report.html"
    return f"{name}/report.html"
