"""Whose file is whose: the folders that Canvas, Moodle, Gradescope and others export.

Canvas       doejane_12345_67890_02_attention-1.ipynb, doejane_LATE_12345_67890_…, all in one folder
Moodle       Jane Doe_1234567_assignsubmission_file_/ or, flat, …_assignsubmission_file_02_….py
Gradescope   submission_1234567/ beside submission_metadata.yml, which says who and when
Brightspace  12345-67890 - Jane Doe - Nov 3, 2026 1034 AM/, a folder an attempt
Blackboard   Week 3_jdoe_attempt_2026-11-03-22-15-00_02_….py, and a receipt …-15-00.txt
Teams        Submitted files/Jane Doe/, beside Working files/, which do not count
else         a folder or an archive a student (so GitHub Classroom), or ada_02_attention.py

The whole may be an archive, and may lie in one more folder or archive.
"""

import contextlib
import datetime
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from minivit.grading.exercise import SubmissionError
from minivit.grading.process.child import printable
from minivit.grading.teachers import archives, names

CANVAS = re.compile(
    r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+|[A-Za-z0-9]{5})_"
    r"(?:\d+_|(?=(?:text|link)\.html$))(?P<file>.+)",  # what was typed in, or a link, has no number
    re.IGNORECASE | re.DOTALL,
)
MOODLE = re.compile(
    r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)_?(?P<file>.*)", re.DOTALL
)
BRIGHTSPACE = re.compile(r"(?P<id>\d+-\d+) *- *(?P<name>.+?) *- *(?P<when>[^-]*\b\d{4}\b[^-]*)")
BLACKBOARD = re.compile(
    r"(?P<work>.+)_(?P<id>[^_]+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)",
    re.DOTALL,
)
SUBMITTED, WORKING = "Submitted files", "Working files"  # of Teams
METADATA = "submission_metadata.yml"
LARGEST_METADATA = 20 << 20  # bytes


@dataclass
class Person:
    """A person who handed in: the system's name, and the place of the files."""

    name: str
    system: str = ""
    id: str = ""  # of the system
    email: str = ""
    sid: str = ""  # the student number that Gradescope knows
    when: datetime.datetime | None = None  # by the system's clock
    late: str = ""  # what the system says about it, where it has no time
    given: list = field(default_factory=list)  # [(path, name)]: files and folders as exported


def people(folder, scratch, exercises):
    """({name: Person}, what belongs to nobody) in the export `folder`, or an archive of it."""
    folder, found, others, above = Path(folder), None, [], []
    if not (folder.is_dir() or (folder.is_file() and names.is_archive(folder.name))):
        raise SubmissionError(f"there is no folder {folder}, and no zip file of that name")
    there = folder
    for depth in range(archives.DEEPEST):
        said, packed = [], there.is_file()
        if packed:
            to = scratch / f"class{depth}"
            try:
                said = archives.extract_class(there, to)
            except Exception as error:  # whatever a file that is no archive leads to
                archives.raise_if_full(error)
                if found:  # then it is a student's, who will be told
                    break
                why = error if isinstance(error, archives.TooMuch) else type(error).__name__
                raise SubmissionError(f"{folder} cannot be unpacked ({why})") from error
            there = to
        teams = (there / SUBMITTED).is_dir()
        if teams:
            above += [f"{p.name} does not count: it lies beside {SUBMITTED}"
                      for p in _entries(there) if p.name not in (SUBMITTED, WORKING)]  # fmt: skip
            there = there / SUBMITTED
        deeper = _look(there, exercises)
        known = teams or any(person.system for person in deeper[0])
        one_more = folder.is_file() and not packed and deeper[0] and not _own(there, exercises)
        if depth == 0 or known or one_more:
            found, others = deeper, [*above, *said]
            others += [f"{WORKING} do not count: they were not handed in"] if teams else []
        holds = {p: p.is_dir() or names.is_archive(p.name) for p in _entries(there)}
        inside = [p for p in holds if holds[p] or names.read(p.name, exercises)]
        if known or len(inside) != 1 or not holds[inside[0]] or inside[0].is_symlink():
            break
        above += [_nobodys(p) for p in holds if p != inside[0]]
        there = inside[0]
    persons, more = found
    if not persons:
        raise SubmissionError(
            f"{folder} holds no submissions: expected a folder or an archive for each student, or "
            "what Canvas, Moodle, Gradescope, Brightspace or Blackboard exports"
        )
    return _by_name(persons), others + more


def _nobodys(path):
    return f"{path.name} is no student's: no folder, no archive"


def _own(folder, exercises):
    """True if exercises lie in this folder itself, and not of two people: it is one student's."""
    found = [names.read(p.name, exercises) for p in _entries(folder) if p.is_file()]
    return len({name.before for name in found if name}) == 1


def _entries(folder):
    return sorted(p for p in folder.iterdir() if not names.is_junk(p.name) and p.name[:1] != ".")


def _look(folder, exercises):
    """([Person], left out) of the entries of one folder."""
    entries = _entries(folder)
    if any(p.name == METADATA for p in entries):
        return _gradescope(folder, entries)
    canvas = [m for m in map(_canvas, entries) if m]
    canvas = len(canvas) == sum(p.is_file() for p in entries) > 1 or any(
        names.read(m["file"], exercises) or names.is_archive(m["file"]) for m in canvas
    )
    found, bare, others = {}, [], []
    for path in entries:
        person = _person(path, exercises, canvas)
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            others.append(f"{path.name} is a link, not a file")
        elif person is None and path.is_file() and names.read(path.name, exercises):
            bare.append(path)
        elif person is None:
            others.append(_nobodys(path))
        else:
            there = found.setdefault((person.system, person.id or person.name), person)
            there.late = there.late or person.late
            there.when = max(filter(None, (there.when, person.when)), default=None)
            there.given += [(path, _within(path, person))]
    if bare and not found:  # one student's own folder
        found[""] = Person(folder.name, given=[(p, p.name) for p in entries])
        return [*found.values()], []
    others += [f"{p.name} names no student" for p in bare]
    return [*found.values()], others


def _within(path, person):
    """The name of a file as the student gave it."""
    patterns = {"Canvas": CANVAS, "Moodle": MOODLE, "Blackboard": BLACKBOARD}
    pattern = patterns.get(person.system)
    found = pattern.fullmatch(path.name) if pattern else None
    if found and person.system == "Blackboard" and not found["file"]:
        return "receipt.txt"
    return (found and found["file"]) or path.name


def _canvas(path):
    return CANVAS.fullmatch(path.name) if path.is_file() else None


def _person(path, exercises, canvas):
    """The person that this entry of an export belongs to, by its name; None: nobody."""
    if m := MOODLE.fullmatch(path.name):
        return Person(m["name"], "Moodle", m["id"])
    if (m := BRIGHTSPACE.fullmatch(path.name)) and path.is_dir():
        when = _date(m["when"])
        late = "" if when else "the time of handing in cannot be read"
        return Person(m["name"], "Brightspace", m["id"].split("-")[0], when=when, late=late)
    if (m := BLACKBOARD.fullmatch(path.name)) and path.is_file():
        return Person(m["id"], "Blackboard", m["id"], when=_date(m["when"]))
    if canvas and (m := _canvas(path)):
        return Person(m["name"], "Canvas", m["id"], late="late by Canvas" if m["late"] else "")
    if path.is_dir():
        return Person(path.name)
    name = names.read(path.name, exercises)
    if name and name.before:
        return Person(name.before)
    if names.is_archive(path.name) or names.is_unread_archive(path.name):
        return Person(names.without_archive(path.name))
    return None


def _date(text):
    """ISO 8601 as Gradescope has it; Blackboard's digits; or as Brightspace writes it, the clock
    without a colon: Nov 3, 2026 1034 AM; 3 November 2026 1034."""
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(re.sub(r" (?=Z$|[+-]\d)", "", text))
    text = " ".join(re.sub(r"[^\w -]", "", text.replace("\u202f", " ")).split())
    text = re.sub(r"(?<= )(\d{3})(?=$| [AP]M)", r"0\1", text)
    days = ("%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y", "%Y-%m-%d")
    for form in ("%Y-%m-%d-%H-%M-%S", *(f"{d} {c}" for d in days for c in ("%I%M %p", "%H%M"))):
        with contextlib.suppress(ValueError):
            return datetime.datetime.strptime(text, form)
    return None


def _gradescope(folder, entries):
    """submission_metadata.yml: {submission_7: {":submitters": [{":name":, ":sid":, ":email":}],
    ":created_at":}}; the keys are Ruby's symbols."""
    try:
        import yaml
    except ImportError as error:
        raise SubmissionError(
            f"{METADATA} of Gradescope is read by the package PyYAML: pip install pyyaml"
        ) from error
    path, known = folder / METADATA, None
    with contextlib.suppress(OSError, ValueError, RecursionError, yaml.YAMLError):
        if path.stat().st_size <= LARGEST_METADATA:
            loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # texts: 0042 is no number
            known = yaml.load(path.read_text(encoding="utf-8"), loader)
    others = [] if isinstance(known, dict) else [f"{METADATA} cannot be read: no names, no times"]
    known = known if isinstance(known, dict) else {}
    found = []
    for path in entries:
        if path.is_symlink() or not path.is_dir():
            if path.name != METADATA:
                others.append(f"{path.name} is no folder of a submission")
            continue
        about = known.get(path.name)
        about = about if isinstance(about, dict) else {}
        who = [w for w in about.get(":submitters") or () if isinstance(w, dict)]
        value = lambda key, who=who: ", ".join(str(w[key]) for w in who if w.get(key))  # noqa: E731
        when = _date(str(about.get(":created_at")))
        found.append(Person(
            value(":name") or path.name, "Gradescope", path.name.removeprefix("submission_"),
            value(":email"), value(":sid"), given=[(path, path.name)],
            when=when, late="" if when or not who else "the time of handing in cannot be read",
        ))  # fmt: skip
        if not who:
            others.append(f"{path.name} stands not in {METADATA}: no name, no time")
    there = {path.name for path in entries}
    others += [f"{name} stands in {METADATA}, its folder is missing"
               for name in known if str(name) not in there]  # fmt: skip
    return found, others


def _by_name(persons):
    """{a name that a folder may have, and nobody else has: Person}"""
    counts = {}
    for person in persons:
        key = place(person.name).casefold()
        counts[key] = counts.get(key, 0) + 1
    found, taken = {}, set()
    for person in persons:
        name = place(person.name)
        if counts[name.casefold()] > 1 and person.id:
            name = f"{name} ({person.id})"
        free, number = name, 1
        while free.casefold() in taken:
            number += 1
            free = f"{name} ({number})"
        taken.add(free.casefold())
        found[free] = person
    return found


def place(name):
    """A name as that of a folder: nothing that leads elsewhere, or that a terminal would obey."""
    name = unicodedata.normalize("NFC", str(name))
    name = re.sub(r'[/\\<>:"|?*\0\n\t]', "_", printable(name)).strip(" ")
    name = re.sub(r"^\.+|\.+$", "_", name) or "_"
    while len(name.encode("utf-8", "backslashreplace")) > 120:
        name = name[:-1]
    return name
