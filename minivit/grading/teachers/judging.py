"""Judges many answers on several processes; one that goes wrong costs no other student a point.

Files that are the same byte for byte, as starters are, are judged once.

Each verdict is kept as JSON at once, with a key beside it (the file, the checks and the seed), so a
run that was interrupted goes on where it stopped. Where the *grading* went wrong (a full disk, a
process that was ended) there are no points but a failure, which the next run tries again.
"""

import contextlib
import errno
import hashlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from minivit.files import write_whole
from minivit.grading import judge, submission
from minivit.grading.exercise import find
from minivit.grading.process.runner import Limits

ROOM = 4 * Limits().disk  # bytes that must be free for temporary files, or nobody is judged


def judge_all(jobs, place, processes, progress):
    """`judge_one` for every job (exercise, file, results, seed) on so many processes; {results:
    why the grading failed}. A job that takes its process down is found by itself. `place` is a
    workshop: (folder, lock)."""
    from tqdm import tqdm

    same = {}
    for job in jobs:
        same.setdefault((Path(job[1]).name, key(job[0], job[1], job[3])), []).append(job)
    failed, left = {}, []
    start = (str(place[0]), place[1])

    def done(first, why):
        for job in same[first]:
            if said := why or _copied(same[first][0][2], job[2]):
                failed[job[2]] = said

    with (
        ProcessPoolExecutor(max(1, processes), initializer=_begin, initargs=start) as pool,
        _ending_with_us(),
    ):
        running = {pool.submit(judge_one, *many[0]): first for first, many in same.items()}
        for future in tqdm(as_completed(running), total=len(running), disable=not progress):
            if isinstance(future.exception(), BrokenProcessPool):
                left.append(running[future])
            else:
                done(running[future], future.result())
    for first in sorted(left):
        try:
            with (
                ProcessPoolExecutor(1, initializer=_begin, initargs=start) as pool,
                _ending_with_us(),
            ):
                done(first, pool.submit(judge_one, *same[first][0]).result())
        except BrokenProcessPool:
            done(first, "the process that judged it was ended")
    return failed


@contextlib.contextmanager
def _ending_with_us():
    """Control-C ends the processes that judge, at once; the kernel ends what they judge."""
    before = set(multiprocessing.active_children())
    try:
        yield
    except KeyboardInterrupt:
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
        raise


def _copied(results, to):
    """Give another student's file the verdict on the same file; "", or why that failed."""
    results, to = Path(results), Path(to)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if to.with_suffix(".key").read_text() == results.with_suffix(".key").read_text():
            if to == results or judge.Verdict.read(to).complete:
                return ""
    try:
        for suffix in (".json", ".key"):
            write_whole(to.with_suffix(suffix), results.with_suffix(suffix).read_bytes())
        return ""
    except OSError as error:
        forget(to)
        return f"{type(error).__name__}: {error.strerror or error}"


def _begin(folder, lock):
    """Start of each process: its temporary files lie in `folder`, and it ends with its parent."""
    tempfile.tempdir = folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C reaches the first process too
    if lock is not None and multiprocessing.get_start_method() == "fork":
        with contextlib.suppress(OSError):
            os.close(lock)  # or a process that is about to end would still hold it

    def end_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def judge_one(exercise, path, results, seed):
    """Judge one file, unless `results` holds a complete verdict on the same file, by the same
    checks and with the same seed. "", or why the grading failed."""
    results, mark = Path(results), Path(results).with_suffix(".key")
    try:
        mine = key(exercise, path, seed)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no verdict yet
            if mark.read_text() == mine and judge.Verdict.read(results).complete:
                return ""
        mark.unlink(missing_ok=True)
        _room()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
            judge.judge(find(exercise), submission.read(path), seed=seed, results=results)
        _room()
        write_whole(mark, mine)
        return ""
    except Exception as error:  # it must not cost the others their points
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"{type(error).__name__}: {why}"


def _room():
    if shutil.disk_usage(tempfile.gettempdir()).free < ROOM:
        raise OSError(errno.ENOSPC, f"less than {ROOM >> 20} MB are free for temporary files")


def key(exercise, path, seed):
    """A digest of all that a verdict depends on: the file, the checks and the seed."""
    checks = Path(__file__).parents[1] / "checks" / f"{find(exercise).function}.py"
    made = hashlib.sha256(checks.read_bytes() + str(seed).encode())
    try:
        size = os.stat(path).st_size
        made.update(str(size).encode())
        if size <= submission.LARGEST_FILE:  # of a larger one, the report says only that
            made.update(Path(path).read_bytes())
    except OSError as error:  # the report will say why
        made.update(str(error.errno).encode())
    return made.hexdigest()


def forget(results):
    """Let `results` be judged anew."""
    Path(results).with_suffix(".key").unlink(missing_ok=True)


def verdict(exercise, results):
    """(Verdict, why it is none or ""): what was judged. Where the sandbox has holes, a student's
    code may have written over it."""
    try:
        return judge.Verdict.read(results), ""
    except (OSError, ValueError, KeyError, TypeError):
        return None, "its result cannot be read"


def failure(exercise, name, why):
    """The Verdict of an answer whose grading failed: no points, and what a person has to do."""
    found = judge.new_verdict(exercise, name)
    found.trouble = f"{judge.FAILED}: {why}. Your teacher has to look at this."
    return found
