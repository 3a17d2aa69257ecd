"""The command `minivit`.

minivit check 1             check your answer to exercise 1, in exercises/
minivit check 1 FILE        the answer in this .py file or notebook
minivit progress            points so far, over all exercises
minivit release --out DIR   the students' bundle: pages and starters, no solutions
        --nbgrader DIR      or a course folder for nbgrader
        --gradescope ZIP    or an autograder for Gradescope; --only 2: of one exercise
minivit grade DIR --out DIR points and reports of a folder of submissions

minivit classify PHOTO      what is in a photo, by labels of your own
minivit complete PHOTO      the rest of a picture, drawn by an Image GPT
minivit embed SENTENCE ...  sentences, or photos, as vectors
minivit info FILE           what is in a published checkpoint
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from minivit.commands import classify, complete, embed, info
from minivit.engine.errors import MinivitError

# each in its own file, which adds its arguments and runs it
COMMANDS = (classify, complete, embed, info)


def main(arguments=None):
    """Run one command. Exit status: 0 all went well, 1 a check failed, 2 none could be run (130:
    interrupted)."""
    parser = argparse.ArgumentParser(
        prog="minivit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="check your answer to an exercise")
    check.add_argument("exercise", help="its number or the name of its function")
    check.add_argument("file", nargs="?", help="a .py file or a notebook; the default is found")
    check.add_argument("--results", metavar="JSON", help="where the results are written")
    check.add_argument("--cells", help=argparse.SUPPRESS)  # how a notebook hands over its code
    check.set_defaults(run=run_check)
    progress = commands.add_parser("progress", help="points so far, over all exercises")
    progress.set_defaults(run=run_progress)
    bundle = commands.add_parser("release", help="write what a class needs")
    kind = bundle.add_mutually_exclusive_group(required=True)
    kind.add_argument("--out", metavar="DIR", help="the students' bundle, a new folder")
    kind.add_argument(
        "--nbgrader", metavar="DIR", help="a course folder for nbgrader, a new folder"
    )
    kind.add_argument(
        "--gradescope", metavar="ZIP", help="an autograder for Gradescope, a new file"
    )
    bundle.add_argument("--only", nargs="+", default=(), help="exercises of the autograder")
    bundle.add_argument("--seed", type=int, help="of grading, for --nbgrader and --gradescope")
    bundle.add_argument("--exercises", default=None, help="the folder of the exercises")
    bundle.set_defaults(run=run_release)
    grade = commands.add_parser("grade", help="grade a folder of submissions")
    grade.add_argument("folder", help="a folder or a zip file a student in it")
    grade.add_argument("--out", required=True, help="where the results go")
    grade.add_argument("--processes", type=int, default=None, help="default: one a core")
    grade.add_argument("--seed", type=int, help="makes the inputs; the default is public")
    grade.set_defaults(run=run_grade)
    for command in COMMANDS:
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        status = options.run(options)
        sys.stdout.flush()
        return status
    except (MinivitError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def graded(run):
    """A command that grades: it needs hypothesis, and says so where there is none."""

    def run_graded(options):
        try:
            import hypothesis  # noqa: F401
        except ImportError:
            print("The checks need the package hypothesis: pip install hypothesis", file=sys.stderr)
            return 2
        return run(options)

    return run_graded


@graded
def run_check(options):
    from minivit.grading import exercise, judge, report, submission

    chosen = exercise.find(options.exercise)
    if options.cells:
        answer = submission.Submission(**json.loads(Path(options.cells).read_text("utf-8")))
        results = options.results
    else:
        path = Path(options.file) if options.file else newest(chosen)
        if not path.exists() and not options.results:
            raise exercise.SubmissionError(f"there is no file {path}")
        answer = submission.read(path)
        results = options.results or report.results_path(path.parent, chosen)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder  # or it leaves one where we stand
        verdict = judge.judge(chosen, answer, results=results)
    print(report.report(verdict), end="")
    return 0 if verdict.passed == len(verdict.outcomes) else 1


@graded
def run_progress(options):
    from minivit.grading import exercise, judge, report

    exercises, verdicts = exercise.registry(), {}
    for number, each in exercises.items():
        path = report.results_path(home(), each)
        if path.exists():
            verdicts[number] = judge.Verdict.read(path)
    print(report.progress(exercises.values(), verdicts), end="")
    return 0


@graded
def run_release(options):
    from minivit.grading.teachers import classroom, gradescope, nbgrader

    if options.gradescope:
        count = gradescope.bundle(options.gradescope, options.only, options.seed)
        print(f"{options.gradescope}: an autograder for {count} exercise{'s' * (count > 1)}")
        return 0
    if options.nbgrader:
        names = nbgrader.course(options.exercises or home(), options.nbgrader, options.seed)
        print(f"{len(names)} assignments and nbgrader_config.py in {options.nbgrader}")
        return 0
    names = classroom.release(options.exercises or home(), options.out)
    print(f"{len(names)} files in {options.out}")
    return 0


@graded
def run_grade(options):
    from minivit.grading.process import protection
    from minivit.grading.teachers import classroom

    seed = classroom.GRADING_SEED if options.seed is None else options.seed
    print(protection.line(*protection.find()))
    points = classroom.grade(options.folder, options.out, options.processes, seed)
    print(f"{len(points)} submissions: points.csv, overview.html and students/ in {options.out}")
    return 0


def home():
    """The folder of the student's files: here, or `exercises` in here."""
    return Path("exercises") if Path("exercises").is_dir() else Path()


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


if __name__ == "__main__":
    sys.exit(main())
