"""Run a long run by its name: `python -m minivit.course.runs NAME`; without a name, list them.

--ranks 2: each batch of each training is divided among so many processes; --hosts FILE: on these
machines (minivit.training.launch)."""

import importlib
import pkgutil
import sys

from minivit.course import runs
from minivit.course.runs import results
from minivit.engine.errors import MinivitError
from minivit.training import launch

HELPERS = ("results", "plans", "verdicts", "judged", "icon_exam")  # of the runs; not runs
HELP = {"-h", "--help"}


def names():
    """The long runs that there are: modules with PARTS, and a main that takes arguments."""
    there = (module.name for module in pkgutil.iter_modules(runs.__path__))
    return [name for name in there if name not in (*HELPERS, "__main__")]


def main(arguments):
    if not arguments or arguments[0] not in names():
        print("usage: python -m minivit.course.runs NAME [--help]\nlong runs:")
        for name in names():
            about = importlib.import_module(f"minivit.course.runs.{name}").__doc__
            print(f"  {name:14} {about.strip().splitlines()[0]}")
        print(f"Their results go to {results.folder() / 'results'}")
        if HELP >= {*arguments[:1]}:
            return 0
        print(f"there is no long run {arguments[0]!r}", file=sys.stderr)
        return 2
    run = importlib.import_module(f"minivit.course.runs.{arguments[0]}")
    try:
        if "--ranks" in arguments and not HELP & {*arguments}:
            return launch.of_arguments(["-m", "minivit.course.runs"], arguments)
        return run.main(arguments[1:])
    except (MinivitError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(stop or "interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
