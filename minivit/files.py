"""Files: one is written whole or not at all, a folder too, and what ships is found.

A writer gets a place beside the one that it wants. Its file takes that place in the end, in one
step: a reader, or a crash, meets the old content or the new, never a part. A program that
still reads the old file (or has mapped it into memory) keeps the old one.
"""

import contextlib
import errno
import os
import secrets
import shutil
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None

from minivit.engine.errors import CheckpointError, DtypeError, OptionError

READY = ".ready"  # inside a folder: files that are complete, and not all in their places yet
POINTER = b"version https://git-lfs.github.com/spec/"  # what such a file begins with
NOT_FETCHED = (
    "it is a pointer of Git LFS, not the file itself: `git lfs pull` in that repository fetches it"
)


def write_whole(path, content, durable=True):
    """Write `content`, bytes or a text (as UTF-8), in one step. Folders on the way are made.

    durable: also a power failure leaves the old file or the new; it waits for the disk. Without it
    that holds for a crash of the program.
    """
    with writing_whole(path, durable) as half:
        half.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def writing_whole(path, durable=True):
    """The same for a writer that wants a path. After an error the old file is as it was, and
    nothing stands beside it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = _beside(path)
    try:
        yield half
        if durable:
            _flush(half)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_folder(folder):
    """A new folder to write files into. In the end `folder` has them all, in one step; other files
    that it had before stay."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, expected a folder", str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    half = _beside(folder / "new" if folder.is_dir() else folder)  # on the same disk
    half.mkdir()
    try:
        yield half
        for path in half.iterdir():
            _flush(path)
        if folder.is_dir():
            finish(folder)
            os.replace(half, folder / READY)  # from here on the new files count
            finish(folder)
        else:
            os.replace(half, folder)
    finally:
        shutil.rmtree(half, ignore_errors=True)


def finish(folder):
    """Move the files of a `writing_folder` that was interrupted at its end into their places. Call
    it before several files of a folder are read that belong together."""
    ready = Path(folder, READY)
    if ready.is_dir():
        for path in ready.iterdir():
            os.replace(path, Path(folder, path.name))
        ready.rmdir()


@contextlib.contextmanager
def held(path, wait=True):
    """Hold the lock that the file `path` stands for (made if it is missing); yields True. Without
    `wait`, yields False where another holder has it. The kernel gives a lock back however its
    process ends."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as lock:
        if fcntl is None:
            yield True
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _beside(path):
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")


def _flush(path):
    """Wait until the disk has the file."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def path_of(name, given):
    """`given` as a Path; the error names the argument: "save: folder"."""
    if not isinstance(given, (str, os.PathLike)):
        raise DtypeError(f"{name} is a {type(given).__name__}, expected a path")
    if not str(given):
        raise OptionError(f"{name} is empty, expected a path ('.' is the folder that you are in)")
    if "\0" in str(given):
        raise OptionError(f"{name} is {str(given)!r}: no path has a null character")
    return Path(given)


def fetched(path, name=None):
    """The bytes of a file that others published. A pointer that Git LFS left in its place, as a
    clone without LFS has, is a CheckpointError. name: what that calls the file."""
    content = Path(path).read_bytes()
    if content.startswith(POINTER):
        raise CheckpointError(f"{name or Path(path).name}: cannot be read ({NOT_FETCHED})")
    return content


# -- what ships, and what is downloaded ------------------------------------------------------------
def data_folder():
    """The folder of the data sets, small models and kept results: in the installed package, or
    beside it in a checkout."""
    return _shipped("data")


def exercises_folder():
    """The folder of the exercises' pages and starters, likewise."""
    return _shipped("exercises")


def _shipped(name):
    installed = Path(__file__).parent / name
    return installed if installed.is_dir() else Path(__file__).parents[1] / name


def cache_folder():
    """The folder of downloads: $MINIVIT_DATA, or ~/.cache/minivit."""
    return Path(os.environ.get("MINIVIT_DATA") or Path.home() / ".cache" / "minivit")
