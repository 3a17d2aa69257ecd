"""Calls a student's function in another process, and kills that process when it takes too long.

A call is answered in two steps, the value and then the gradients, so that an endless loop in a
backward pass leaves the forward pass its points. The same call is asked once: its answer is kept,
which makes a verdict the same twice however the function behaves, and a hang cost its time once.

That process is locked (`sandbox.py`), and still belongs to the student's code: it can write replies
of its own. They are values like others, which the judge compares with values that never leave it.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minivit.grading.exercise import CannotJudge
from minivit.grading.process import child

POLL = 0.1  # seconds between two looks at the clock and the scratch folder


@dataclass(frozen=True)
class Limits:
    """The limits of one submission. Seconds are the processor's, or four times as many asleep, so
    that a full machine changes no points: to wait for a processor costs nothing."""

    call: float = 1.5  # seconds for one forward or one backward pass; a quarter after a hang
    load: float = 5.0  # seconds for running the file, once per process
    cpu: int = 60  # seconds of processor time of one process
    total: float = 20.0  # seconds for all calls together; a right answer takes about 1
    memory: int = 1 << 30  # bytes of address space, beyond what Python and NumPy take
    disk: int = 16 << 20  # bytes in its scratch folder, and
    files: int = 100
    answers: int = 1 << 25  # bytes of all answers together, which are kept


@dataclass(frozen=True)
class Trouble:
    """Why there is no answer.

    `kind` is "todo" (a stub was reached), "load" (no function to call), "exception" (the student's
    code raised, or returned something that is no answer), "time" or "died".
    """

    kind: str
    text: str
    by_input: bool = False  # time: this input took it, not all of them together


@dataclass
class Answer:
    """The reply of the student's function to one input."""

    value: object = None  # y
    gradients: list | None = None  # what vjp(g) returned
    after: list | None = None  # the arguments, and g, as the function left them
    shared: list | None = None  # of each result: the argument whose memory it uses, by place
    again: list | None = None  # the first value, now; the value, then gradients of a second call
    kept: list | None = None  # of each result: does that of the second call use its memory?
    trouble: Trouble | None = None
    steps: int = 0  # 1 when there is a value, 2 when there are gradients, 3: `again`


@dataclass
class Student:
    """A student's function, in a process of its own. Use as a context manager."""

    cells: list  # (label, first line, text) of each piece of code, in order
    name: str
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self):
        self._process = None
        self._answers = {}
        self._unusable = None  # the Trouble that makes every further call pointless
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._first = None  # whose account this one has
        self._hung = False
        self._received = 0  # bytes
        self._asleep = 0.0  # seconds, and
        self._spent = 0.0  # seconds of processor time, of processes that have ended
        self.asked = 0  # calls that were not answered from memory
        self.printed = ""  # by the file itself, or in the first call that printed

    def fresh(self):
        """Another Student with the same code, who has been asked nothing yet. Both share one
        account of time."""
        other = type(self)(self.cells, self.name, self.limits)
        other._asleep, other._spent, other._first = self._asleep, self._spent, self
        return other

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()
        self._folder.cleanup()
        if self._first is not None:
            self._first._asleep, self._first._spent = self._asleep, self._spent

    def call(self, inputs, g=None, gradients=0, others=()):
        """`function(*inputs)`, then `vjp(g)` where there is a `g`: an Answer.

        Where `gradients` is not 0, the function must return (value, vjp). With `others`, a list of
        inputs, the function is called with each of them between the two, and both run once more.
        """
        key = repr([(a.dtype.str, a.shape, a.tobytes()) if isinstance(a, np.ndarray) else a
                    for a in [*inputs, g, *(a for other in others for a in other)]])  # fmt: skip
        if key not in self._answers:
            self._answers[key] = self._ask(list(inputs), g, gradients, list(others))
        return self._answers[key]

    def slow(self, seconds, since=(0.0, 0.0)):
        """True if all calls, or those `since` a `used()`, took longer than `seconds`."""
        asleep, busy = self.used()
        return asleep - since[0] > 4 * seconds or busy - since[1] > seconds

    def used(self):
        """(seconds asleep, seconds of processor time) so far, of all its processes."""
        busy = processor_seconds(self._process.pid) if self._process is not None else 0.0
        return self._asleep, self._spent + (busy or 0.0)

    def _ask(self, inputs, g, gradients, others):
        answer = Answer()
        self.asked += 1
        if self.slow(self.limits.total):
            self._give_up("time", f"all calls together took over {self.limits.total:g} s")
        if self._process is None and self._unusable is None:
            self._start()
        if self._unusable is not None:
            answer.trouble = self._unusable
            return answer
        self._send({"inputs": inputs, "g": g, "gradients": gradients, "others": others})
        steps = [("value", self.name), ("gradients", "vjp" if gradients else self.name)]
        for key, who in [*steps, ("again", self.name)] if others else steps:
            reply = self._reply(self.limits.call / 4 if self._hung else self.limits.call, who)
            if isinstance(reply, dict):
                self.printed = self.printed or str(reply.get("printed", ""))
                if "error" in reply:
                    reply = _trouble(reply["error"])
                elif not _fits(reply, key, len(inputs), gradients if g is not None else 0):
                    reply = self._die("died", f"the process of {who} sent something else")
            if isinstance(reply, Trouble):
                answer.trouble = reply
                return answer
            answer.steps += 1
            for part in ("value", "gradients", "after", "shared", "again", "kept"):
                setattr(answer, part, reply.get(part, getattr(answer, part)))
        return answer

    def _start(self):
        """A fresh interpreter that has run the student's file."""
        folder = str(Path(np.__file__).parents[1])  # -I hides a NumPy of the user's own site
        start = (
            f"import runpy, sys; sys.path.append({folder!r}); "
            f"runpy.run_path({child.__file__!r}, run_name='__main__')"
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", start, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder.name,
                env=_environment(),
                start_new_session=True,  # so that what it starts can be killed with it
            )
        except (OSError, ValueError) as error:
            raise CannotJudge(
                f"it cannot be judged here, because no process can be started: {error}"
            ) from error
        self._wanted, self._replies = queue.Queue(), queue.Queue()
        talk = (self._process, self._wanted, self._replies)
        self._talking = threading.Thread(target=_talk, args=talk, daemon=True)
        self._talking.start()
        limits = {"memory": self.limits.memory, "seconds": self.limits.cpu,
                  "disk": self.limits.disk + (1 << 20), "files": self.limits.files + 1}  # fmt: skip
        self._send({"cells": self.cells, "name": self.name, "limits": limits})
        if not isinstance(self._reply(self.limits.load, "the process"), dict):
            raise CannotJudge("it cannot be judged here, because the process for it does not start")
        self._hear_of_the_file()

    def _hear_of_the_file(self):
        """What became of the file, run from its first line: `printed`, and why it is unusable."""
        reply = self._reply(self.limits.load, "your file, run from its first line,")
        if isinstance(reply, dict):
            self.printed = self.printed or str(reply.get("printed", ""))
            reply = _trouble(reply["error"]) if reply.get("error") else None
        self._unusable = reply

    def _send(self, message):
        self._wanted.put(message)

    def _reply(self, seconds, who):
        """The next message, or the Trouble that came instead."""
        clock = Stopwatch(self._process.pid)
        self._wanted.put(READ)
        while True:
            try:
                reply, size = self._replies.get(timeout=POLL)
                self._asleep += clock.asleep()
                break
            except queue.Empty:
                if self._scratch_is_full():
                    break
                if clock.busy() >= seconds or clock.asleep() >= 4 * seconds:
                    self._hung = True
                    self._asleep += clock.asleep()
                    text = f"{who} did not end in time: an endless loop?"
                    return self._die("time", text, by_input=True)
        if self._scratch_is_full():
            return self._give_up("died", f"{who} wrote too much into files")
        if not isinstance(reply, dict):
            return self._die("died", f"{who} ended the Python process")
        self._received += size
        if self._received > self.limits.answers:
            return self._give_up("died", f"the answers of {who} are too large to keep")
        return reply

    def _scratch_is_full(self):
        """True if too much lies in the folder; the sandbox allows files in it, but no folders.

        Where the process has a file system of its own there, that one is asked what it holds.
        """
        with contextlib.suppress(OSError):
            inside = os.statvfs(f"/proc/{self._process.pid}/root{self._folder.name}")
            if inside.f_fsid != os.statvfs(self._folder.name).f_fsid:
                size = (inside.f_blocks - inside.f_bfree) * inside.f_frsize
                files = inside.f_files - inside.f_ffree - 1  # without the folder itself
                return size > self.limits.disk or files > self.limits.files
        size = 0
        for number, entry in enumerate(os.scandir(self._folder.name)):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                size += max(found.st_size, 512 * getattr(found, "st_blocks", 0))
            if size > self.limits.disk or number >= self.limits.files:
                return True
        return False

    def _give_up(self, kind, text):
        """End the process, and answer no further call."""
        self._unusable = self._die(kind, text)
        return self._unusable

    def _die(self, kind, text, by_input=False):
        self._stop()
        return Trouble(kind, text, by_input)

    def _stop(self):
        process, self._process = self._process, None
        if process is None:
            return
        self._wanted.put(STOP)
        self._spent += processor_seconds(process.pid) or 0.0
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        self._talking.join(1)
        if not self._talking.is_alive():  # else what the child started still holds the pipes
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()


class Stopwatch:
    """The seconds that a process has been busy and asleep, counted from now.

    On a full machine both are less than the time that we have waited: it also waits for a
    processor, and so do we, before we see its answer.
    """

    def __init__(self, pid):
        self.pid, self.start = pid, time.monotonic()
        self.used, self.queued = processor_seconds(pid), queued_seconds(pid)

    def busy(self):
        """Seconds of processor time; without /proc, seconds."""
        used = processor_seconds(self.pid)
        if used is None or self.used is None:
            return time.monotonic() - self.start
        return used - self.used

    def asleep(self):
        """Seconds in which it neither ran nor waited for a processor."""
        used = processor_seconds(self.pid)
        if used is None or self.used is None:
            return time.monotonic() - self.start
        return max(0.0, time.monotonic() - self.start - (used - self.used)
                   - max(0.0, queued_seconds(self.pid) - self.queued))  # fmt: skip


def processor_seconds(pid):
    """That a process has used since it began; None where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError, AttributeError):
        return None


def queued_seconds(pid):
    """In which a process, or a thread of this one, was ready and waited for a processor."""
    total = 0.0
    for path in (f"/proc/{pid}/schedstat", *_own_threads()):
        with contextlib.suppress(OSError, IndexError, ValueError), open(path) as file:
            total += int(file.read().split()[1]) / 1e9
    return total


def _own_threads():
    try:
        return [f"/proc/self/task/{task}/schedstat" for task in os.listdir("/proc/self/task")]
    except OSError:
        return []


READ, STOP = object(), object()


def _talk(process, wanted, replies):
    """Send each request that is `wanted`, and read a reply for each READ, but none before.

    (In a thread: a child that does not read its requests makes it wait, and not the judge.) Puts
    (message, bytes) into `replies`; the message is None if there will be no more.
    """
    for request in iter(wanted.get, STOP):
        if request is not READ:
            with contextlib.suppress(OSError):  # a process that is gone is found by the next READ
                child.send(process.stdin, request)
            continue
        stream = Counted(process.stdout)
        try:
            replies.put((child.receive(stream, trusted=False), stream.bytes))
        except Exception:  # the end, or bytes that are no message
            replies.put((None, stream.bytes))


class Counted:
    """A stream that counts the bytes that were read."""

    def __init__(self, stream):
        self.stream, self.bytes = stream, 0

    def read(self, count):
        data = self.stream.read(count)
        self.bytes += len(data)
        return data


def _fits(reply, key, inputs, gradients):
    """True if a reply has the parts of its step; a student's code may have written it."""
    if key == "value":
        return key in reply
    lengths = {"gradients": gradients, "after": inputs + 1, "shared": 1 + gradients}
    if key == "again":
        lengths = {"again": 2 + gradients, "kept": 1 + gradients}
    parts = lengths.items()
    return all(isinstance(reply.get(k), list) and len(reply[k]) == n for k, n in parts)


def _trouble(error):
    if isinstance(error, dict):
        return Trouble(str(error.get("kind")), str(error.get("text"))[: 2 * child.PRINTED])
    return Trouble("died", "the process sent something else")


def _environment():
    """No secrets of the judge's environment, one thread, and what Windows needs to start."""
    kept = {k: os.environ[k] for k in ("PATH", "SYSTEMROOT", "TEMP", "TMP") if k in os.environ}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return kept | dict.fromkeys(threads, "1")
