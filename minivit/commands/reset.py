"""minivit reset 1: an exercise as it was handed out; what you wrote is kept under another name."""

import os
import re

from minivit import files
from minivit.commands.shared import add_exercise, chosen, graded, home


def add_to(commands):
    parser = commands.add_parser("reset", help="begin an exercise anew; your file is kept")
    add_exercise(parser)
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading import exercise

    asked = chosen(options, "reset")
    found = [p for s in (".py", ".ipynb") if (p := home() / f"{asked.stem}{s}").exists()]
    originals = {path: _original(path, exercise) for path in found}
    if not found:
        raise exercise.SubmissionError(
            f"there is no {asked.stem}.py or .ipynb in {home().resolve()}: go to the folder of the "
            "exercises, or unpack the file once more"
        )
    for path, text in originals.items():
        if path.read_bytes() == text.encode("utf-8"):
            print(f"{path} is as it was handed out")
            continue
        kept = _free(path)
        os.replace(path, kept)
        files.write_whole(path, text)
        print(f"{path} is as it was handed out; what you had is in {kept.name}")
    return 0


def _original(path, exercise):
    """The starter: from the solution's source, or from the folder `.handed_out` of a bundle."""
    from minivit.grading import starter

    chosen = exercise.find(path.stem)
    source, kept = path.parent / "source" / f"{path.stem}.py", path.parent / ".handed_out"
    if source.exists():
        make = starter.notebook if path.suffix == ".ipynb" else starter.script
        return make(source.read_text("utf-8"), chosen)
    if (kept / path.name).exists():
        return (kept / path.name).read_text("utf-8")
    raise exercise.SubmissionError(
        f"neither source/{source.name} nor .handed_out/{path.name} is here: unpack {path.name} of "
        "the exercises once more"
    )


def _free(path):
    """A name beside it that no file has: 01_unbroadcast.mine-1.py"""
    mine = re.compile(re.escape(path.stem) + r"\.mine-(\d+)" + re.escape(path.suffix))
    numbers = [int(m[1]) for p in path.parent.iterdir() if (m := mine.fullmatch(p.name))]
    return path.with_name(f"{path.stem}.mine-{max(numbers, default=0) + 1}{path.suffix}")
