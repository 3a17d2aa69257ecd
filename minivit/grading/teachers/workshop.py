"""A temporary folder that outlives no grading: what a killed one left, the next one removes.

The folder holds a file that its grading keeps locked. The kernel gives the lock back however that
process ends.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is swept there
    fcntl = None

PREFIX = "minivit-grading-"


@contextlib.contextmanager
def workshop():
    """(folder, descriptor of its lock or None); the folder is removed in the end."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        if fcntl is None:
            yield Path(folder), None
            return
        with open(Path(folder, "lock.new"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.rename(Path(folder, "lock.new"), Path(folder, "lock"))  # only now may it be swept
            yield Path(folder), lock.fileno()


def sweep():
    """Remove the folders of gradings that are no more."""
    if fcntl is None:
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            with open(folder / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held: that grading lives
                shutil.rmtree(folder, ignore_errors=True)
