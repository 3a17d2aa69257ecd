"""Finds each student's answers in what was handed in, and says what became of each other file.

Several files may answer one exercise: attempts, copies, a notebook beside a script. All are judged,
and the one that earns most counts. A file in a folder `source` never does: a fork of the course
has the published solutions there.
"""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from minivit.grading import submission
from minivit.grading.exercise import registry
from minivit.grading.process.child import printable
from minivit.grading.teachers import layouts, names
from minivit.grading.teachers.archives import LARGE, LARGEST_FILE, Listing

SHOWN = 5  # names that a note mentions
MOST_TRIED = 6  # different answers to one exercise that are judged, the latest ones
PACKAGE = "minivit/__init__.py"  # where it lies, a fork of the course does
COURSE = ("minivit", "tests", "lect", "benchmarks", "data", "examples", "docs")  # its folders
DEFINES = re.compile(rb"^(?:async +)?(?:def +(\w+) *\(|(\w+) *=(?!=))", re.MULTILINE)
PAGES = ("readme.md", "grading.md", "license", "ruff.toml", "requirements.txt")  # handed out


@dataclass
class Answer:
    """One file that answers an exercise."""

    name: str  # as it was handed in
    path: Path  # where it lies, under the exercise's own name
    when: float
    starter: bool = False


@dataclass
class HandedIn:
    """One student's answers, {stem: [Answer]}; what a person should look at; what is only said."""

    person: layouts.Person
    answers: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    remarks: list = field(default_factory=list)

    @property
    def files(self):
        """{stem: path} of the answers that are judged first."""
        return {stem: there[0].path for stem, there in self.answers.items()}


def submissions(folder, scratch, starters=None):
    """({student: HandedIn}, sentences about what belongs to nobody) of a folder or an archive of
    submissions; archives are unpacked into `scratch`. `starters`: {stem: digests}, see there."""
    exercises, scratch = list(registry().values()), Path(scratch)
    persons, others = layouts.people(folder, scratch, exercises)
    found = {
        name: one(person, scratch / f"{number}", starters or {})
        for number, (name, person) in enumerate(persons.items())
    }
    return found, [printable(other) for other in others]


def one(person, scratch, starters):
    """The HandedIn of one person."""
    exercises = list(registry().values())
    scratch.mkdir(parents=True, exist_ok=True)
    listing = Listing(scratch, lambda n: names.is_code(n) or names.read(n, exercises) is not None)
    for path, name in person.given:
        listing.add(path, name, "" if len(person.given) == 1 else f"{name}/")
    there = HandedIn(person, notes=list(listing.notes))
    fork = [f.name.removesuffix(PACKAGE) for f in listing.files if f.name.endswith(PACKAGE)][:1]
    chosen, others, more = {}, [], []
    for file in listing.files:
        name = names.read(file.name, exercises)
        if file.why and (name or names.is_archive(file.name)):
            there.notes.append(f"{file.name} {file.why}")
        elif file.why:
            others.append(f"{file.name} {file.why}")
        elif fork and _of_the_course(file.name, *fork, name):
            continue
        elif name and name.suffix not in ("", *names.READ):
            page = name.suffix == ".md"  # the exercise's own, handed out
            said = f"{file.name} is not read: hand in the .py file or the .ipynb notebook"
            (there.remarks if page else there.notes).append(said)
        elif name is None and not file.path:
            others.append(file.name)
        elif names.is_solution(file.name):
            there.notes.append(f"{file.name} does not count: it lies in a folder source")
        else:
            suffix = name.suffix if name else names.suffix(names.simple(file.name))
            defined = _defined(file.path, suffix, exercises)
            if name:
                chosen.setdefault(name.exercise.stem, []).append((file, suffix))
                more += [(file, e) for e in defined if e is not name.exercise]
                continue
            for e in defined:
                chosen.setdefault(e.stem, []).append((file, suffix))
            if defined:
                stems = ", ".join(e.stem for e in defined)
                there.remarks.append(f"{file.name} answers by what it defines: {stems}")
            else:
                others.append(file.name)
    if fork:
        there.remarks.append("a fork of the course: its own files were left out")
    for stem, pairs in chosen.items():
        pairs = [p for p in pairs if not names.is_copy(p[0].name)] or pairs
        there.answers[stem] = _answers(stem, pairs, scratch, starters.get(stem, ()), there)
    for file, e in more:
        if e.stem not in chosen:
            there.notes.append(
                f"{file.name} defines {e.function} too, and no file answers exercise"
                f" {e.number}: it is not judged, hand it in as {e.stem}.py"
            )
    _say_others(others, there)
    for said in (there.notes, there.remarks):
        said[:] = map(printable, dict.fromkeys(said))
    return there


def _of_the_course(name, root, exercise):
    """True if a file of a fork in `root` is the course's own."""
    if not name.startswith(root):
        return False
    folder, _, rest = name.removeprefix(root).partition("/")
    if not rest or folder == "exercises":
        return exercise is None and not names.is_code(name)
    return folder.startswith(COURSE) or (exercise is None and not names.is_code(name))


def _defined(path, suffix, exercises):
    """The exercises whose functions a file defines. (Its text is searched; nothing parses it.)"""
    try:
        if os.stat(path).st_size > LARGEST_FILE:
            return []
        text = code(path.read_bytes(), suffix or ".py").replace(b"\r", b"\n")
    except OSError:
        return []
    found = {name for pair in DEFINES.findall(text) for name in pair}
    return [e for e in exercises if e.function.encode() in found]


def _say_others(names_, there):
    """Of the files that answer nothing: loud what may be an answer, or if there is nothing else."""
    rest = [n for n in names_ if n.replace("\\", "/").rsplit("/", 1)[-1].lower() not in PAGES]
    loud = [n for n in rest if n.lower().endswith(names.READ) or not there.answers
            or names.is_unread_archive(n)]  # fmt: skip
    for wanted, to in ((loud, there.notes), ([n for n in rest if n not in loud], there.remarks)):
        if wanted:
            shown = [n.rsplit("/", 1)[-1] if n.count("/") > 3 else n for n in wanted[:SHOWN]]
            more = f" and {len(wanted) - SHOWN} more" if len(wanted) > SHOWN else ""
            to.append(f"not read, the name of no exercise: {', '.join(shown)}{more}")


def _answers(stem, pairs, scratch, starters, there):
    """The different answers among these files, starters last, the latest first."""
    found = {}
    for number, (file, suffix) in enumerate(pairs):
        try:
            suffix, made = _look(file.path, suffix)
        except OSError as error:
            there.notes.append(f"{file.name} cannot be read ({error.strerror})")
            continue
        if made is None and len(pairs) > 1:
            there.notes.append(f"{file.name} {LARGE}")
        path = file.path
        if path.name != stem + suffix:  # so that the judge reads it by its own name
            path = scratch / f"{stem}-{number}" / f"{stem}{suffix}"
            path.parent.mkdir(parents=True)
            try:
                os.symlink(os.path.abspath(file.path), path)
            except OSError:  # Windows
                shutil.copyfile(file.path, path)
        made = made or f"{number}"
        answer = Answer(file.name, path, file.when, made in starters)
        kept = found.setdefault(made, answer)
        if kept is not answer:
            there.remarks.append(f"{file.name} holds the same code as {kept.name}")
            found[made] = max(kept, answer, key=lambda a: a.when)
    ordered = sorted(found.values(), key=lambda a: (not a.starter, a.when), reverse=True)
    for answer in ordered[MOST_TRIED:]:
        there.notes.append(f"{answer.name} was not judged: {len(ordered)} files for one exercise")
    return ordered[:MOST_TRIED]


def _look(path, suffix):
    """(".py" or ".ipynb", digest of its code or None if it is too large to be read)"""
    if os.stat(path).st_size > LARGEST_FILE:
        return suffix or ".py", None
    with open(path, "rb") as file:
        content = file.read(LARGEST_FILE + 1)
    if suffix != ".ipynb":
        book = content.lstrip(b"\xef\xbb\xbf \n\r\t")[:1] == b"{" and b'"cells"' in content
        suffix = ".ipynb" if book else ".py"
    return suffix, digest(content, suffix)


def digest(content, suffix):
    """Of the code alone: a copy that differs in outputs, metadata or line ends is the same."""
    lines = [line.rstrip() for line in code(content, suffix).replace(b"\r\n", b"\n").split(b"\n")]
    return hashlib.sha256(suffix.encode() + b"\n".join(filter(None, lines))).hexdigest()


def code(content, suffix):
    """The code cells of a notebook one below the other; of another file all of it."""
    if suffix == ".ipynb":
        try:
            cells = json.loads(content.decode("utf-8-sig"), parse_int=str)["cells"]
            text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
            return text.encode("utf-8", "surrogatepass")
        except (ValueError, KeyError, TypeError, RecursionError):
            pass
    return content


def starters(exercises):
    """{stem: digests} of the files as they are handed out, in the folder `exercises`; of what is
    not there, nothing: a starter earns no points in any case."""
    found = {}
    for exercise in registry().values():
        paths = [Path(exercises, exercise.stem + suffix) for suffix in names.READ]
        if any(submission.read(p).trouble for p in paths if p.exists()):
            continue
        found[exercise.stem] = {digest(p.read_bytes(), p.suffix) for p in paths if p.exists()}
    return found
