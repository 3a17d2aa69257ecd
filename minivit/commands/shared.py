"""Shared by the commands: options, how a result is shown or written, where the exercises are."""

import argparse
import errno
import functools
import io
import json
import math
import os
import shutil
import stat
import sys
from pathlib import Path

from minivit import files
from minivit.engine.errors import CheckpointError, DataError, TextError

ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}  # of photos


def add_json(parser):
    """The option --json: the result for programs."""
    parser.add_argument("--json", action="store_true", help="the result as JSON, for programs")


def show(options, facts, text):
    """Print `facts` (what JSON can hold) where --json was given, else `text`."""
    print(json.dumps(facts, indent=1, ensure_ascii=False) if options.json else text)


def add_model(parser, default, what):
    """The option --model: a name of the hub, or a file or folder here."""
    parser.add_argument("--model", default=default, metavar="NAME", help=f"a name or path; {what}")


def load(name, *families):
    """The published model, which must be of one of the families."""
    from minivit import published

    found = published.load(name)
    if found.family not in families:
        raise CheckpointError(
            f"--model {name}: a model of the family {found.family}; this needs "
            f"{' or '.join(families)}"
        )
    return found


def number(least, below=math.inf, kind=float):
    """For add_argument(type=...): a number from `least` on, less than `below`."""

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not least <= value < below:
            limits = f"from {least} on" if below == math.inf else f"from {least} to below {below}"
            what = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} {limits}")
        return value

    return parse


def text(argument):
    """For add_argument(type=...): text, of which each character can be encoded."""
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{argument!r} is not UTF-8 text") from None
    return argument


def place(argument):
    """For add_argument(type=...): the name of a file or a folder; an empty one would be this folder
    or, of an option, none."""
    if not argument:
        raise argparse.ArgumentTypeError("it is empty, expected a path ('.' is this folder)")
    return argument


def given(what):
    """The bytes of standard input, which "-" stands for; `what` was expected there."""
    content = sys.stdin.buffer.read()
    if not content:
        raise DataError(f"-: nothing came from standard input, expected {what}")
    return content


def lines(what):
    """The lines of standard input that are not empty."""
    try:
        return [line for line in given(what).decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as reason:
        raise TextError(f"standard input is not UTF-8 text ({reason})") from reason


def is_picture(path):
    """Does a path end like a picture's, and is no folder or device? One that is closed, or a link
    to nothing, is a picture: who reads it is told why not."""
    try:
        return path.suffix.lower() in ENDINGS and stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def photos_in(name):
    """The photos of a folder, by name; what is none is one itself."""
    if not os.path.isdir(name):
        return [name]
    found = sorted(str(p) for p in Path(name).iterdir() if is_picture(p))
    if not found:
        raise DataError(f"{name}: there is no photo in this folder: {', '.join(sorted(ENDINGS))}")
    return found


def seen(found, paths, size, unread):
    """The pictures that can be read, in batches: (their paths, what the model sees (B, H, W, C)).

    unread: takes {path: what is wrong} of the others. All of them: DataError.
    """
    import numpy as np
    from tqdm.auto import tqdm

    if found.preprocess is None:
        raise CheckpointError("the model is not shown pictures of three colours")
    with tqdm(None, "pictures", len(paths), disable=len(paths) < 2, leave=False) as bar:
        for i in range(0, len(paths), size):
            some, images = [], []
            for path in paths[i : i + size]:
                try:
                    images.append(found.preprocess(path))  # (1, H, W, C)
                    some.append(path)
                except DataError as reason:
                    unread[str(path)] = str(reason)
            if some:
                yield some, np.concatenate(images)
            bar.update(len(paths[i : i + size]))
    if unread.keys() >= set(map(str, paths)):
        first = unread[str(paths[0])]
        many = f"none of {len(paths)} pictures can be read. The first: "
        raise DataError(many * (len(paths) > 1) + first)


def check_out(path, *endings):
    """Refuse a name for --out before the long work."""
    path = Path(path)
    try:
        if path.suffix.lower() not in endings or not path.parent.is_dir():
            raise DataError(
                f"--out {path}: expected a name that ends in {' or '.join(endings)}, in a folder "
                "that is there"
            )
        if path.is_dir():
            raise DataError(f"--out {path}: that is a folder; expected the name of a file")
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        path.stat()
    except FileNotFoundError:
        pass  # it will be made
    except (OSError, ValueError) as reason:  # ValueError: a null character
        if isinstance(reason, DataError):
            raise
        why = getattr(reason, "strerror", None) or reason
        raise DataError(f"--out {path}: cannot be written ({why})") from reason


def write(path, content):
    """A file, whole or not at all: content(file, ending) writes it."""
    path, file = Path(path), io.BytesIO()
    content(file, path.suffix.lower()[1:])
    try:
        files.write_whole(path, file.getvalue())
    except OSError as reason:
        raise DataError(f"--out {path}: cannot be written ({reason.strerror})") from reason


def graded(run):
    """A command that grades: it needs hypothesis, and says so where there is none."""

    @functools.wraps(run)
    def run_graded(options):
        try:
            import hypothesis  # noqa: F401
        except ImportError:
            print("The checks need the package hypothesis: pip install hypothesis", file=sys.stderr)
            return 2
        return run(options)

    return run_graded


def add_exercise(parser):
    """The exercise of a command; one that is missing is asked for by `chosen`."""
    parser.add_argument("exercise", nargs="?", help="its number or the name of its function")


def chosen(options, command):
    """The exercise that was named."""
    from minivit.grading import exercise

    if options.exercise is None:
        raise exercise.SubmissionError(
            f"which exercise? For example: minivit {command} 1. All of them: minivit progress"
        )
    return exercise.find(options.exercise)


def columns(most):
    """How wide a text may be: `most`, or the terminal that it goes to; 40 at least."""
    if not sys.stdout.isatty():
        return most
    return max(40, min(most, shutil.get_terminal_size((most, 24)).columns))


def home():
    """The folder of the student's files: here, or `exercises` in here."""
    return Path("exercises") if Path("exercises").is_dir() else Path()
