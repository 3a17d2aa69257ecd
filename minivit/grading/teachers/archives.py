"""Lists what lies in a submission: folders and archives, in each other, that may hold anything.

Links are not followed, and of an archive only what is wanted is unpacked, each into a folder of its
own, so that no name leads elsewhere. All is bounded: files looked at, bytes, depth, and the memory
that an archive's own table takes.
"""

import bz2
import calendar
import contextlib
import errno
import gzip
import os
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from minivit.grading.submission import LARGEST_FILE
from minivit.grading.teachers import names

MOST_FILES = 10_000  # looked at in one submission
LARGEST_TOTAL = 5 * LARGEST_FILE  # bytes that are unpacked from one submission
LARGEST_TABLE = 2 << 20  # bytes of a zip file's table of contents: 10,000 files have 1 MB
MOST_OF_CLASS = 200_000  # files in the archive of a whole class
LARGEST_OF_CLASS = 8 << 30  # bytes that are unpacked from it
LARGEST_CLASS_TABLE = 32 << 20  # bytes: 200,000 files with names of 110
DEEPEST = 3  # archives in archives
FOLDERS_DEEP = 64
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # others may take 4 GB
LARGE = f"is larger than {LARGEST_FILE >> 20} MB: clear its outputs and save it"


@dataclass
class File:
    """A file that was handed in: its name in there, where its content lies, and its own date."""

    name: str
    path: Path | None = None
    when: float = 0.0  # seconds since 1970
    why: str = ""  # it is not read


class TooMuch(Exception):
    """An archive whose table or content is larger than what is looked at."""


class Listing:
    """Collects the files of one submission. `wanted(name, size)`: is the content needed?"""

    def __init__(self, scratch, wanted):
        self.scratch, self.wanted = Path(scratch), wanted
        self.files, self.notes = [], []
        self.seen, self.left, self.made = 0, LARGEST_TOTAL, 0

    def add(self, path, name, above=""):
        """A file or a folder on this machine, by the name that it was handed in under; the names of
        what lies in it begin with `above`."""
        todo = [(Path(path), name, 0)]
        while todo:
            path, name, depth = todo.pop()
            if names.is_junk(name):
                continue
            try:
                found = path.lstat()
            except OSError as error:
                self._leave_out(name, f"cannot be read ({error.strerror})")
                continue
            if not self._count():
                return
            if stat.S_ISDIR(found.st_mode):
                self._folder(name)
                if depth >= FOLDERS_DEEP:
                    self._leave_out(name, f"lies more than {FOLDERS_DEEP} folders deep")
                    continue
                try:
                    inside = sorted(os.listdir(path), reverse=True)[-MOST_FILES:]
                except OSError as error:
                    self._leave_out(name, f"cannot be read ({error.strerror})")
                    continue
                below = f"{name}/" if depth else above
                todo += [(path / part, below + part, depth + 1) for part in inside]
            elif not stat.S_ISREG(found.st_mode):
                self._leave_out(name, "is a link, not a file: hand in the file itself")
            elif self._is_archive(path, name):
                self._unpack(path, name, f"{name}/" if depth else above, 1)
            else:
                self.files.append(File(name, path, found.st_mtime))

    def _count(self):
        """True if one more is to be read."""
        self.seen += 1
        if self.seen == MOST_FILES + 1:
            self.notes.append(f"only the first {MOST_FILES} files were looked at")
        return self.seen <= MOST_FILES

    def _is_archive(self, path, name):
        """By its name, or, where that says something else, by its first bytes."""
        odd = self.wanted(name, 0) or names.is_unread_archive(name)
        return names.is_archive(name) or (odd and kind(path) == "zip")

    def _folder(self, name):
        if name.lower().endswith(names.READ):
            self._leave_out(name, "is a folder, not a file: hand in the file itself")

    def _leave_out(self, name, why):
        self.files.append(File(name, None, 0.0, why))

    def _unpack(self, path, name, above, depth):
        if depth > DEEPEST:
            self._leave_out(name, f"lies in more than {DEEPEST} archives: hand in the file itself")
            return
        found, before = kind(path) or ("zip" if ".zip" in name.lower() else "tar"), self.seen
        try:
            if found == "zip":
                self._zip(path, above, depth)
            else:
                self._tar(path, above, depth, OPENERS[found])
            if self.seen == before:
                self.notes.append(f"{name} holds no file")
        except TooMuch as error:
            self.notes.append(f"{name} {error}")
        except Exception as error:  # whatever a file that is no archive leads to
            raise_if_full(error)
            said = "zip" if found == "zip" else "tar"
            why = type(error).__name__
            self.notes.append(f"{name} is no {said} file that can be read ({why})")

    # -- zip ---------------------------------------------------------------------------------------
    def _zip(self, path, above, depth):
        with small_zip(path, LARGEST_TABLE, MOST_FILES) as archive:
            for entry in archive.infolist():
                inner = above + unzipped_name(entry)
                if names.is_junk(inner):
                    continue
                if not self._count():
                    return
                self._zipped(archive, entry, inner, depth)

    def _zipped(self, archive, entry, name, depth):
        if entry.is_dir():
            self._folder(name.rstrip("/\\"))
            return
        if stat.S_ISLNK(entry.external_attr >> 16):
            self._leave_out(name, "is a link, not a file: hand in the file itself")
        elif not self.wanted(name, entry.file_size) and not names.is_archive(name):
            self.files.append(File(name))
        elif entry.flag_bits & 1:
            self._leave_out(name, "is locked with a password")
        elif entry.compress_type not in PACKED:
            self._leave_out(name, "is packed in a way that is not read: make an ordinary zip file")
        else:
            when = 0.0
            with contextlib.suppress(ValueError, OverflowError):
                when = float(calendar.timegm((*entry.date_time, 0, 0, 0)))
            self._take(name, when, entry.file_size, lambda: archive.open(entry), depth)

    def _take(self, name, when, size, opened, depth):
        """Unpack one wanted file, or an archive in the archive."""
        if size > LARGEST_FILE:
            self._leave_out(name, LARGE)
            return
        if size > self.left:
            self._leave_out(name, "is not unpacked: the archive holds too much")
            return
        try:
            with opened() as file:
                content = file.read(LARGEST_FILE + 1)
        except TooMuch:
            raise
        except Exception as error:  # zlib, struct: it is damaged
            self._leave_out(name, f"cannot be unpacked ({type(error).__name__})")
            return
        self.left -= len(content)
        self.made += 1
        path = self.scratch / f"{self.made}" / "unpacked"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        if self._is_archive(path, name):
            self._unpack(path, name, f"{name}/", depth + 1)
        else:
            self.files.append(File(name, path, when))

    # -- tar ---------------------------------------------------------------------------------------
    def _tar(self, path, above, depth, opener):
        with opener(path, "rb") as raw, tarfile.open(fileobj=Bounded(raw), mode="r|") as archive:
            for entry in archive:
                inner = above + entry.name
                if names.is_junk(inner):
                    continue
                if not self._count():
                    return
                if entry.isdir():
                    self._folder(inner)
                elif not entry.isreg():
                    self._leave_out(inner, "is a link, not a file: hand in the file itself")
                elif not self.wanted(inner, entry.size) and not names.is_archive(inner):
                    self.files.append(File(inner))
                else:
                    opened = lambda entry=entry: archive.extractfile(entry)  # noqa: E731
                    self._take(inner, float(entry.mtime), entry.size, opened, depth)


def unzipped_name(entry):
    """The name of a file in a zip. Macs write it as UTF-8 without saying so."""
    if not entry.flag_bits & 0x800:
        with contextlib.suppress(UnicodeError):
            return entry.filename.encode("cp437").decode("utf-8")
    return entry.filename


FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}


def raise_if_full(error):
    """Raise what is this machine's trouble and not the student's."""
    if isinstance(error, OSError) and error.errno in FULL:
        raise error


OPENERS = {"gz": gzip.open, "bz2": bz2.open, "tar": open}


def kind(path):
    """The kind of an archive by its first bytes: "zip", "gz", "bz2", "tar"; "" for other things."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        head = file.read(262)
        starts = {b"PK\3\4": "zip", b"PK\5\6": "zip", b"\x1f\x8b": "gz", b"BZh": "bz2"}
        found = [what for start, what in starts.items() if head.startswith(start)]
        return found[0] if found else "tar" if head[257:] == b"ustar" else ""
    return ""


@contextlib.contextmanager
def small_zip(path, largest, most):
    """A zip file whose table of contents has at most `largest` bytes, which is enough for `most`
    files: the module reads it whole, and makes an object of 400 bytes of each entry."""
    with open(path, "rb") as raw:
        small = SmallReads(raw, largest, most)
        with zipfile.ZipFile(small) as archive:
            small.largest = None  # from here on, what is read is content
            yield archive


class SmallReads:
    """A file of which nobody reads more than `largest` bytes at once."""

    def __init__(self, file, largest, most):
        self.file, self.largest, self.most = file, largest, most

    def read(self, count=-1):
        if self.largest is None:
            return self.file.read(count)
        limit = self.largest + 1
        data = self.file.read(limit if count < 0 else min(count, limit))
        if len(data) > self.largest:
            raise TooMuch(f"holds far more than {self.most} files, and was not looked at")
        return data

    def __getattr__(self, name):
        return getattr(self.file, name)


class Bounded:
    """A stream that ends with an error after so many bytes."""

    def __init__(self, file):
        self.file, self.left = file, 2 * LARGEST_TOTAL

    def read(self, count=-1):
        data = self.file.read(min(count, 1 << 20) if count >= 0 else 1 << 20)
        self.left -= len(data)
        if self.left < 0:
            raise TooMuch(f"holds more than {2 * LARGEST_TOTAL >> 20} MB, and was not looked at")
        return data


def short(name, most=200):
    """A name that a file system takes: of a long one the middle is left out."""
    while len(name.encode()) > most:
        name = name[: len(name) // 2 - 1] + name[len(name) // 2 + 1 :]
    return name


def extract_class(path, folder, most=MOST_OF_CLASS, total=LARGEST_OF_CLASS):
    """Unpack the archive of a whole class into `folder`: its files under their own names, without
    links; sentences about what was left out. (A teacher's system wrote it: larger bounds.)"""
    notes = []
    Path(folder).mkdir(parents=True, exist_ok=True)

    def place(name):
        parts = [p for p in name.replace("\\", "/").split("/") if p not in ("", ".", "..")]
        parts = [short(os.fsencode(p.replace("\0", "")).decode("utf-8", "replace")) for p in parts]
        return Path(folder, *parts) if parts else None

    def count(size=0):
        nonlocal most, total
        most, total = most - 1, total - size
        if most < 0 or total < 0:
            raise TooMuch("holds too much for a class")

    def save(name, when, size, opened):
        nonlocal total
        to = place(name)
        if to is None or names.is_junk(name):
            return
        begun = False
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            with opened() as file, open(to, "xb") as out:
                begun = True
                for part in iter(lambda: file.read(1 << 20), b""):
                    out.write(part)
                    total -= max(0, out.tell() - size) and len(part)
            with contextlib.suppress(OSError, OverflowError, ValueError):
                os.utime(to, (when, when))
        except Exception as error:  # zlib, struct: it is damaged
            raise_if_full(error)
            if begun:  # a part of an answer is none
                to.unlink()
            notes.append(f"{name} cannot be unpacked ({type(error).__name__})")

    if kind(path) == "zip" or ".zip" in path.name.lower():
        with small_zip(path, LARGEST_CLASS_TABLE, most) as archive:
            for entry in archive.infolist():
                count(0 if entry.is_dir() else entry.file_size)
                if stat.S_ISLNK(entry.external_attr >> 16):
                    notes.append(f"{unzipped_name(entry)} is a link, not a file")
                elif not entry.is_dir():
                    when = 0.0
                    with contextlib.suppress(ValueError, OverflowError):
                        when = float(calendar.timegm((*entry.date_time, 0, 0, 0)))
                    opened = lambda e=entry: archive.open(e)  # noqa: E731
                    save(unzipped_name(entry), when, entry.file_size, opened)
    else:
        with tarfile.open(path, "r:*") as archive:
            for entry in archive:
                count(entry.size if entry.isreg() else 0)
                if entry.isreg() or entry.islnk():  # a hard link: the same file once more
                    size, opened = entry.size, lambda e=entry: archive.extractfile(e)
                    save(entry.name, float(entry.mtime), size, opened)
                elif not entry.isdir():
                    notes.append(f"{entry.name} is a link, not a file")
    return notes
