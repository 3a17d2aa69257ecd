"""Finds each student's files among the submissions: folders and zip files that may hold anything.

Links are not followed and nothing is unpacked that is no exercise. What was left out is said in the
student's report, so that a file with a wrong name is not an answer that got lost.
"""

import calendar
import contextlib
import os
import stat
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from minivit.grading.exercise import SubmissionError
from minivit.grading.submission import LARGEST_FILE

SUFFIXES = (".py", ".ipynb")
MOST_FILES = 10_000  # looked at in one submission
LARGEST_TOTAL = 5 * LARGEST_FILE  # bytes that are unpacked from one zip file
SHOWN = 5  # names that a note mentions


@dataclass
class HandedIn:
    """One student's files, `{stem: path}`, and sentences about what was left out."""

    files: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)


def submissions(folder, scratch, stems):
    """({student: HandedIn}, names left out) of a folder; zip files are unpacked into `scratch`."""
    folder, found, others = Path(folder), {}, []
    if not folder.is_dir():
        raise SubmissionError(f"there is no folder {folder}")
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        zipped = path.suffix.lower() == ".zip" and path.is_file()
        if path.is_symlink() or not (zipped or path.is_dir()):
            others.append(path.name)
            continue
        student = path.stem if zipped else path.name
        if student in found:
            raise SubmissionError(f"two submissions are called {student!r} in {folder}")
        notes = []
        if zipped:
            place = scratch / str(len(found))
            unpack(path, place, stems, notes)
            path = place
        found[student] = HandedIn(choose(path, stems, notes), notes)
    if not found:
        raise SubmissionError(f"{folder} holds no folders and no zip files, one a student")
    return found, others


def choose(folder, stems, notes):
    """{stem: file}: of a .py and a notebook the one without a stub left, or else the later one."""
    candidates, others, seen = {}, [], 0
    for where, folders, names in os.walk(folder):  # does not follow links
        folders.sort()
        for name in sorted([*folders, *names]):
            seen += 1
            stem, suffix = os.path.splitext(name)
            path = Path(where, name)
            mode = path.lstat().st_mode
            if suffix not in SUFFIXES or seen > MOST_FILES:
                continue
            if stem not in stems:
                if stat.S_ISREG(mode):
                    others.append(name)
            elif stat.S_ISREG(mode):
                candidates.setdefault(stem, []).append(path)
            else:
                kind = "folder" if stat.S_ISDIR(mode) else "link"
                notes.append(f"{name} is a {kind}, not a file: hand in the file itself")
        if seen > MOST_FILES:
            notes.append(f"only the first {MOST_FILES} files were looked at")
            break
    notes += _no_exercise(others)
    return {stem: max(paths, key=_worked_on) for stem, paths in candidates.items()}


def _worked_on(path):
    """(no stub is left, when it was changed)"""
    try:
        with open(path, "rb") as file:
            return b"raise TodoError(" not in file.read(LARGEST_FILE), path.stat().st_mtime
    except OSError:
        return False, 0.0


def _no_exercise(names):
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"the name of no exercise: {', '.join(names[:SHOWN])}{more}"]


def unpack(path, folder, stems, notes):
    """The exercises in a zip file, each into a folder of its own: no name can lead elsewhere."""
    folder.mkdir(parents=True)
    others, total = [], 0
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES:
                notes.append(f"only the first {MOST_FILES} files were looked at")
            for number, entry in enumerate(entries[:MOST_FILES]):
                name = PurePosixPath(entry.filename.replace("\\", "/")).name
                stem, suffix = os.path.splitext(name)
                if suffix not in SUFFIXES:
                    continue
                if stem not in stems:
                    others.append(name)
                    continue
                trouble = _trouble_with(entry)
                if not trouble and total + entry.file_size > LARGEST_TOTAL:
                    trouble = "the zip file holds too much"
                if trouble:
                    notes.append(f"{name}: {trouble}")
                    continue
                try:
                    with archive.open(entry) as file:
                        content = file.read(LARGEST_FILE + 1)
                except Exception as error:  # zlib, lzma, struct: it is damaged
                    notes.append(f"{name} cannot be unpacked ({type(error).__name__})")
                    continue
                total += len(content)
                (folder / str(number)).mkdir()
                (folder / str(number) / name).write_bytes(content)
                with contextlib.suppress(ValueError, OverflowError, OSError):
                    when = calendar.timegm((*entry.date_time, 0, 0, 0))
                    os.utime(folder / str(number) / name, (when, when))
    except Exception as error:  # whatever a file that is no zip leads to
        notes.append(f"{path.name} is no zip file that can be read ({type(error).__name__})")
    notes += _no_exercise(others)


def _trouble_with(entry):
    if entry.is_dir():
        return "a folder, not a file: hand in the file itself"
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "a link, not a file: hand in the file itself"
    if entry.flag_bits & 1:
        return "locked with a password"
    if entry.file_size > LARGEST_FILE:
        return f"larger than {LARGEST_FILE >> 20} MB: clear its outputs and save it"
    return ""
