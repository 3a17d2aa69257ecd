"""The files of each student, kept beside the verdicts: `--only ada` leaves the others as they were.

Their files may have changed since, or are not there at all: a folder may hold ada's alone.
"""

import contextlib
import datetime
import json
from pathlib import Path

from minivit.files import write_whole
from minivit.grading import judge
from minivit.grading.exercise import registry
from minivit.grading.teachers import judging
from minivit.grading.teachers.handed_in import Answer, HandedIn
from minivit.grading.teachers.layouts import Person

FILE = "handed_in.json"


def write(folder, result):
    """Keep in one student's folder the person, the files, which of them counted, and the notes."""
    there, person = result.there, result.person
    given = [[path.name, name] for path, name in person.given]
    kept = {
        "person": vars(person) | {"when": person.when and person.when.isoformat(), "given": given},
        "notes": there.notes,
        "remarks": there.remarks,
        "answers": {
            stem: [[a.name, a.path.name, a.when, a.starter] for a in answers]
            for stem, answers in there.answers.items()
        },
        "counted": {number: answer.name for number, answer in result.counted.items()},
    }
    text = json.dumps(kept, indent=1).encode("utf-8", "backslashreplace")
    write_whole(Path(folder, FILE), text)


def read(folder):
    """(HandedIn, {number: name of the file that counted}) of one student, or None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(Path(folder, FILE).read_bytes())
        about = found["person"]
        about["given"] = [(Path(path), name) for path, name in about["given"]]
        about["when"] = about["when"] and datetime.datetime.fromisoformat(about["when"])
        answers = {
            stem: [Answer(name, Path(path), when, starter) for name, path, when, starter in many]
            for stem, many in found["answers"].items()
        }
        there = HandedIn(Person(**about), answers, found["notes"], found["remarks"])
        return there, {int(number): name for number, name in found["counted"].items()}
    return None


def students(out, now):
    """{name: HandedIn} of all whose results lie in `out`. Where a file of that name is there `now`,
    in {name: HandedIn}, it is where it lies now."""
    found = {p.parent.name: read(p.parent) for p in sorted(Path(out).glob(f"students/*/{FILE}"))}
    found = {name: kept[0] for name, kept in found.items() if kept}
    for name in found.keys() & now.keys():
        for stem, answers in found[name].answers.items():
            places = {a.name: a.path for a in now[name].answers.get(stem, ())}
            for answer in answers:
                answer.path = places.get(answer.name, answer.path)
    return found


def as_kept(found, kept):
    """{name: HandedIn} of `found` under the names that the same people have in `kept`: a folder
    that holds few of a class has fewer people of one name."""
    known = {(t.person.system, t.person.id): name for name, t in kept.items() if t.person.id}
    named = {}
    for name, there in found.items():
        person = there.person
        other = name in kept and kept[name].person.id != person.id
        new = f"{name} ({person.id})" if other and person.id else name
        named[known.get((person.system, person.id), new)] = there
    return named


def forget_others(out, results):
    """After a grading of all, who is not among them is of this class no more."""
    for path in Path(out).glob(f"students/*/{FILE}"):
        if path.parent.name not in results:
            path.unlink()


def restore(folder, result):
    """Put into `result` the verdicts that the folder of this student holds."""
    kept = read(folder)
    for e in (e for e in registry().values() if e.stem in result.there.answers):
        verdict, _ = judging.verdict(e, Path(folder, f"{e.stem}.json"))
        if verdict is None:
            continue
        result.verdicts[e.number] = verdict
        if verdict.trouble.startswith(judge.FAILED):
            result.failed[e.number] = verdict.trouble
        for answer in result.there.answers[e.stem]:
            if kept and kept[1].get(e.number) == answer.name:
                result.counted[e.number] = answer
