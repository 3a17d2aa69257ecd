"""Start a program on several ranks, on this machine or on those of a hosts file.

    python -m minivit.training.launch 4 train.py ...
    python -m minivit.training.launch 4 --hosts lab.txt train.py ...     # a line: "name slots=2"

The same as `mpiexec -n 4 python train.py`, but that Ctrl-C lets the ranks finish their step and
save: mpiexec kills them a quarter of a second after it. Machines of a hosts file need the same
environment and program under the same paths, names of their own, and ssh without a password.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from minivit.engine.errors import RankError


def mpiexec():
    """The one that belongs to this Python's MPI, else the first on the PATH."""
    beside = Path(sysconfig.get_path("scripts"), "mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if not found:
        raise RankError("there is no mpiexec: pip install 'minivit[mpi]'")
    return found


def command(ranks, program, hosts=None, options=()):
    """The command that starts `python *program` on so many ranks; options: more of mpiexec's."""
    if ranks < 1:
        raise RankError(f"ranks: got {ranks}, expected 1 or more")
    if hosts is not None and not Path(hosts).is_file():
        raise RankError(f"hosts: there is no file {hosts}; a line of it: `name slots=2`")
    root = hasattr(os, "getuid") and os.getuid() == 0
    return [
        mpiexec(), "-n", str(ranks), *(["--allow-run-as-root"] if root else []),
        *(["--hostfile", str(hosts)] if hosts else ["--oversubscribe"]), *options,
        sys.executable, *program,
    ]  # fmt: skip


def run(ranks, program, hosts=None, env=None, options=()):
    """Start it, hand Ctrl-C on so that it is agreed, and wait; returns its exit status."""
    process = subprocess.Popen(
        command(ranks, program, hosts, options), env={**os.environ, **(env or {})},
        start_new_session=True,  # the terminal's Ctrl-C reaches us alone
    )  # fmt: skip
    asked = 0
    while True:
        try:
            status = process.wait()
            return 130 if asked else status
        except KeyboardInterrupt:
            asked += 1
            process.send_signal(signal.SIGUSR1 if asked == 1 else signal.SIGTERM)


def of_arguments(program, arguments):
    """Start `program` with `arguments`, less the two among them that say where: --ranks N, --hosts
    FILE."""
    rest, where = list(arguments), {"--ranks": None, "--hosts": None}
    for name in [n for n in where if n in rest]:
        at = rest.index(name)
        where[name] = (rest[at + 1 :] or [""])[0]
        del rest[at : at + 2]
    if not (where["--ranks"] or "").isdecimal():
        raise RankError(f"--ranks: got {where['--ranks']!r}, expected how many processes")
    return run(int(where["--ranks"]), [*program, *rest], where["--hosts"])


def main(arguments):
    hosts = None
    if arguments[1:2] == ["--hosts"]:
        hosts = arguments[2]
        del arguments[1:3]
    if len(arguments) < 2 or not arguments[0].isdecimal():
        print(__doc__.strip())
        return 2
    try:
        return run(int(arguments[0]), arguments[1:], hosts)
    except RankError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
