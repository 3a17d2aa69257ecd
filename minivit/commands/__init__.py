"""The command `minivit`.

minivit check 1             check your answer to exercise 1, in exercises/
minivit check 1 FILE        the answer in this .py file or notebook
minivit watch               checks each exercise when its file is saved
minivit hint 1              one more hint; --again: those so far
minivit reset 1             the exercise as it was handed out; your file is kept
minivit build               a ViT and a tiny CLIP, trained with your functions in the library
minivit progress            points so far, over all exercises
minivit release --out DIR   the students' bundle: pages and starters, no solutions
        --nbgrader DIR      or a course folder for nbgrader
        --gradescope ZIP    or an autograder for Gradescope; --only 2: of one exercise
minivit grade DIR --out DIR points and reports of a folder of submissions

minivit classify PHOTO      what is in a photo, or in those of a folder, by labels of your own
minivit search WORDS DIR    the pictures of a folder, ranked by words
minivit complete PHOTO      the rest of a picture, drawn by an Image GPT
minivit embed SENTENCE ...  sentences, or photos, as vectors
minivit fill TEXT           what a BERT would write in the place of [MASK]
minivit info FILE           what is in a published checkpoint
minivit export MODEL DIR    a model in the layout of Hugging Face
minivit data icons          300,000 open icons with names, made in the cache

Each command is one file of this folder, and a name in COMMANDS:

    add_to(commands)    its arguments: commands.add_parser(...), set_defaults(run=run)
    run(options)        does it; returns the exit status. What cannot be done is a MinivitError
"""

import argparse
import contextlib
import functools
import os
import sys
import textwrap

import minivit
from minivit.commands import (
    build,
    check,
    classify,
    complete,
    data,
    embed,
    export,
    fill,
    grade,
    hint,
    info,
    progress,
    release,
    reset,
    search,
    watch,
)
from minivit.engine.errors import MinivitError

COMMANDS = (
    check, watch, hint, reset, build, progress, release, grade, classify, search,
    complete, embed, fill, info, export, data,
)  # fmt: skip
USAGE = __doc__.partition("\nEach command is")[0]


class _Help(argparse.HelpFormatter):
    """Names such as google/vit-base-patch16-224 are not cut at a hyphen."""

    def _split_lines(self, text, width):
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def main(arguments=None):
    """Run one command. Exit status: 0 all went well, 1 a check failed, 2 none could be run (130:
    interrupted)."""
    parser = argparse.ArgumentParser(
        prog="minivit", description=USAGE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"minivit {minivit.__version__}")
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", parser_class=functools.partial(
            argparse.ArgumentParser, formatter_class=_Help, allow_abbrev=False
        ),
    )  # fmt: skip
    for command in COMMANDS:
        command.add_to(commands)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `>&-`: nobody reads
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        getattr(sys, name).reconfigure(errors="backslashreplace")  # letters that a terminal lacks
    try:
        try:
            options = parser.parse_args(arguments)
            return options.run(options)
        finally:
            sys.stdout.flush()
    except (MinivitError, ImportError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # what reads, such as `head`, has seen enough
        _drop_output()
        return 0
    except MemoryError as error:
        print(f"not enough memory: {error}", file=sys.stderr)
    except OSError as error:  # a full disk, a folder that may not be written
        _drop_output()
        where = f"{error.filename}: " if error.filename else ""
        more = ": a folder is needed there, rename it" if isinstance(error, FileExistsError) else ""
        print(f"{where}{error.strerror or error}{more}", file=sys.stderr)
    return 2


def _drop_output():
    """Do not try to write again, at the end of the program, text that could not be written."""
    with contextlib.suppress(OSError, ValueError):  # not a file: in a test or a notebook
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
