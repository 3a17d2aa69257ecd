"""minivit check 1: the student's answer to an exercise, judged.

Exit status: 0 all checks pass, 1 one does not, 2 there is nothing to check.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

from minivit.commands.shared import add_exercise, chosen, columns, graded, home, place


def add_to(commands):
    parser = commands.add_parser("check", help="check your answer to an exercise")
    add_exercise(parser)
    parser.add_argument(
        "file", type=place, nargs="?", help="a .py file or a notebook; the default is found"
    )
    parser.add_argument(
        "--results", type=place, metavar="JSON", help="where the results are written"
    )
    parser.add_argument("--cells", help=argparse.SUPPRESS)  # how a notebook hands over its code
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading import exercise, judge, report, submission

    asked = chosen(options, "check")
    if options.cells:
        answer = submission.Submission(**json.loads(Path(options.cells).read_text("utf-8")))
        results = options.results
    else:
        own = options.exercise if Path(options.exercise).is_file() else None  # check 01_x.py
        path = Path(options.file or own or newest(asked))
        if not path.exists() and not options.results:
            raise exercise.SubmissionError(f"there is no file {path}")
        if path.is_dir() or path.suffix not in (".py", ".ipynb"):
            raise exercise.SubmissionError(f"{path}: expected a .py file or a notebook (.ipynb)")
        answer = submission.read(path)
        results = options.results or report.results_path(path.parent, asked)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder  # or it leaves one where we stand
        verdict = judge.judge(asked, answer, results=results)
    print(report.report(verdict, width=columns(report.WIDTH)), end="")
    return 0 if verdict.passed == len(verdict.outcomes) else 1


def newest(exercise):
    """The student's file: of .py and .ipynb, the one that has no stub left, or was saved last."""
    found = [p for s in (".py", ".ipynb") if (p := home() / f"{exercise.stem}{s}").exists()]
    if not found:
        from minivit.grading.exercise import SubmissionError

        raise SubmissionError(
            f"there is no {exercise.stem}.py or .ipynb in {home().resolve().name}/: go to the "
            f"folder of the exercises, or name your file: minivit check {exercise.number} FILE"
        )
    return max(found, key=lambda p: (b"raise TodoError(" not in p.read_bytes(), p.stat().st_mtime))
