"""minivit data icons: make the icons in the cache, all that are openly licensed."""

import os
import signal
import subprocess
import sys

from minivit import files
from minivit.commands import shared
from minivit.engine.errors import DataError


def add_to(parsers):
    parser = parsers.add_parser(
        "data", help="make a larger data set, once, in the cache",
        description="Makes a data set, once, in ~/.cache/minivit, or in the folder $MINIVIT_DATA. "
        "The icons need npm, a network, and pip install resvg_py==0.5.0 pillow; what is damaged or "
        "missing is made anew.",
    )  # fmt: skip
    parser.add_argument(
        "set", choices=["icons"], help="300,000 icons with names (about 15 minutes)"
    )
    parser.add_argument(
        "--jobs", type=shared.number(1, kind=int), default=2, metavar="N", help="processes (2)"
    )
    parser.set_defaults(run=run)


def run(options):
    script = files.data_folder() / "make_icons.py"
    if not script.is_file():
        raise DataError(f"{script} is not here: install minivit anew, or take it from a checkout")
    into = files.cache_folder() / "icons"
    print(f"{script.name} writes into {into}", flush=True)
    command = [sys.executable, str(script), "--into", str(into), "--jobs", str(options.jobs)]
    if _run(command):
        raise DataError(
            f"the icons are not complete. Mend what is said above, then go on: minivit data icons. "
            f"Offline: copy {into} from a machine that has it"
        )
    return 0


def _run(command):
    """The exit status. Ctrl-C reaches this process alone, which ends the other and its children:
    each would show a traceback."""
    with subprocess.Popen(command, start_new_session=True) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            if hasattr(os, "killpg"):
                os.killpg(child.pid, signal.SIGTERM)
            else:  # Windows
                child.terminate()
            raise
