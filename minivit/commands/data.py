"""minivit data icons: make the icons in the cache, all that are openly licensed."""

import subprocess
import sys

from minivit import files
from minivit.commands import shared
from minivit.engine.errors import DataError


def add_to(parsers):
    parser = parsers.add_parser("data", help="make a larger data set, once, in the cache")
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
    if subprocess.run(command).returncode:
        raise DataError(
            f"the icons are not complete. Mend what is said above, then go on: minivit data icons. "
            f"Offline: copy {into} from a machine that has it"
        )
    return 0
