"""minivit progress: points so far, over all exercises."""

import contextlib

from minivit.commands.shared import columns, graded, home


def add_to(commands):
    parser = commands.add_parser("progress", help="points so far, over all exercises")
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading import exercise, judge, report

    exercises, verdicts = exercise.registry(), {}
    for number, each in exercises.items():
        path = report.results_path(home(), each)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            verdicts[number] = judge.Verdict.read(path)  # none, or none that can be read: not tried
    print(report.progress(exercises.values(), verdicts, columns(report.WIDTH)), end="")
    if not verdicts:
        print(f"No results in {home().resolve()}: minivit check 1 writes the first.")
    return 0
