"""minivit watch: checks an exercise each time its file is saved. Ctrl-C ends it."""

import subprocess
import sys
import time

from minivit.commands.shared import graded, home

POLL = 0.5  # seconds between two looks


def add_to(commands):
    parser = commands.add_parser("watch", help="check each exercise when its file is saved")
    parser.add_argument("exercise", nargs="?", help="only this one: its number or function")
    parser.add_argument("--once", action="store_true", help="end after the first check")
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading import exercise

    known = exercise.registry().values()
    chosen = [exercise.find(options.exercise)] if options.exercise else list(known)
    before = times(chosen)
    if not before:
        what = chosen[0].stem if options.exercise else "01_unbroadcast"
        raise exercise.SubmissionError(
            f"nothing to watch: there is no file like {what}.py in {home().resolve()}; go to the "
            "folder of the exercises"
        )
    count = f"{len(chosen)} exercise{'s' * (len(chosen) > 1)}"
    print(f"Watching {count} in {home().resolve()}; save a file to check it.")
    sys.stdout.flush()
    while True:
        time.sleep(POLL)
        now = times(chosen)
        for path in [p for p, t in now.items() if t != before.get(p)]:
            # in a process of its own: a right answer must not depend on what was checked before
            command = [sys.executable, "-m", "minivit.commands", "check", path.stem, str(path)]
            subprocess.run(command, check=False)
            if options.once:
                return 0
        before = now


def times(exercises):
    """{file: when it was saved} of the students' files that are there."""
    paths = [home() / f"{e.stem}{s}" for e in exercises for s in (".py", ".ipynb")]
    found = {}
    for path in paths:
        try:
            found[path] = path.stat().st_mtime_ns
        except OSError:  # not there, or just being replaced
            continue
    return found
