"""Judges many answers on several processes; one that goes wrong costs no other student a point.

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

    failed, left = {}, []
    start = (str(place[0]), place[1])
    with ProcessPoolExecutor(max(1, processes), initializer=_begin, initargs=start) as pool:
        running = {pool.submit(judge_one, *job): job for job in jobs}
        for done in tqdm(as_completed(running), total=len(jobs), disable=not progress):
            if isinstance(done.exception(), BrokenProcessPool):
                left.append(running[done])
            elif done.result():
                failed[running[done][2]] = done.result()
    for job in sorted(left):
        try:
            with ProcessPoolExecutor(1, initializer=_begin, initargs=start) as pool:
                why = pool.submit(judge_one, *job).result()
        except BrokenProcessPool:
            why = "the process that judged it was ended"
        if why:
            failed[job[2]] = why
    return failed


def _begin(folder, lock):
    """Start of each process: its temporary files lie in `folder`, and it ends with its parent."""
    tempfile.tempdir = folder
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
        key = _key(exercise, path, seed)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # no verdict yet
            if mark.read_text() == key and judge.Verdict.read(results).complete:
                return ""
        mark.unlink(missing_ok=True)
        _room()
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
            judge.judge(find(exercise), submission.read(path), seed=seed, results=results)
        _room()
        write_whole(mark, key)
        return ""
    except Exception as error:  # it must not cost the others their points
        with contextlib.suppress(OSError):
            mark.unlink(missing_ok=True)
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"{type(error).__name__}: {why}"


def _room():
    if shutil.disk_usage(tempfile.gettempdir()).free < ROOM:
        raise OSError(errno.ENOSPC, f"less than {ROOM >> 20} MB are free for temporary files")


def _key(exercise, path, seed):
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
    found.trouble = f"The grading itself failed: {why}. Your teacher has to look at this."
    return found
