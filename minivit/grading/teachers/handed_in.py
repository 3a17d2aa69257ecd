"""Finds each student's answers in what was handed in, and says what became of each other file.

Several files may answer one exercise: attempts, copies, a notebook beside a script. All are judged,
and the one that earns most counts. A file in a folder `source` never does: a fork of the course
has the published solutions there.
"""

import hashlib
import io
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
ATTEMPT = re.compile(r"(version|revision|attempt|versuch|v|week|woche)?[\W_]*\d", re.IGNORECASE)
QUIET = (".md", ".txt", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".csv", ".json", ".log", ".toml",
         ".cfg", ".ini", ".yml", ".yaml", ".npy", ".npz", ".pt", ".css", ".js")  # fmt: skip
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
    listing = Listing(scratch, lambda name, size: _wanted(name, size, exercises))
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
            page = name.suffix == ".md" and not _defined(file.path, ".py", [name.exercise])
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
        if not person.system:
            _say_several(stem, [file.name for file, _ in pairs], person, exercises, there)
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


def _wanted(name, size, exercises):
    """True if the content of a file in an archive is to be looked at."""
    small = size <= submission.LARGEST_CODE and names.suffix(names.simple(name)) == ""
    return small or names.is_code(name) or names.read(name, exercises) is not None


def _say_several(stem, files, person, exercises, there):
    """Where one student's files may be those of several: a class in a folder or an archive of its
    own is graded by its name."""
    above = [name.replace("\\", "/").split("/")[:-1] for name in files]
    while all(above) and len({parts[0] for parts in above}) == 1:
        above = [parts[1:] for parts in above]
    found = {parts[0] if parts else "" for parts in above}
    attempts = all(map(ATTEMPT.match, found))
    if found == {""}:
        found = {n.before if (n := names.read(name, exercises)) else "" for name in files}
    if len(found) > 1 and all(found) and not attempts:
        shown = sorted(found)
        more = f" and {len(shown) - 2} more" if len(shown) > 2 else ""
        there.notes.append(
            f"{', '.join(shown[:2])}{more} each hold {stem}: if they are several students, grade "
            f"{person.given[0][0].name} by itself"
        )


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
        content = path.read_bytes()
        text = code(content, _kind(content, suffix)).replace(b"\r", b"\n")
    except OSError:
        return []
    found, known = set(), {e.function.encode(): e for e in exercises}
    for match in DEFINES.finditer(text):  # one by one: there may be millions
        found.update(known.keys() & set(match.groups()))
    return [e for name, e in known.items() if name in found]


def _say_others(names_, there):
    """Of the files that answer nothing: loud what may be an answer, or if there is nothing else."""
    rest = [n for n in names_ if n.replace("\\", "/").rsplit("/", 1)[-1].lower() not in PAGES]
    quiet = [n for n in rest if there.answers and names.suffix(names.simple(n)) in ("", *QUIET)]
    loud = [n for n in rest if n not in quiet]
    for wanted, to in ((loud, there.notes), (quiet, there.remarks)):
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
    suffix = _kind(content, suffix)
    return suffix, digest(content, suffix)


def _kind(content, suffix):
    """ ".py" or ".ipynb", by what is in a file; its name may say something else."""
    book = content.lstrip(b"\xef\xbb\xbf \n\r\t")[:1] == b"{" and b'"cells"' in content
    return ".ipynb" if book or suffix == ".ipynb" else ".py"


def digest(content, suffix):
    """Of the code alone: a copy that differs in outputs, metadata or line ends is the same."""
    made = hashlib.sha256(suffix.encode())
    for line in io.BytesIO(code(content, suffix)):  # one by one: there may be millions
        if line := line.rstrip():
            made.update(line + b"\n")
    return made.hexdigest()


def code(content, suffix):
    """The code cells of a notebook one below the other; of another file all of it."""
    if suffix == ".ipynb":
        try:
            return "\n".join(submission.code_cells(content)).encode("utf-8", "surrogatepass")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
