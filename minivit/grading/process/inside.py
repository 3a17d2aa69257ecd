"""A student's function in this interpreter: for a platform without processes, such as a browser.

For public checks only, since nothing holds the code here but a clock. Requests and replies still
pass through the wire of `child.py`, so points, mistakes and messages are those of `runner.Student`.
"""

import contextlib
import io
import sys
import time
import warnings

import numpy as np

from minivit.grading.process import PROCESSES, child
from minivit.grading.process.runner import Student, Trouble

SLOWER = 10  # times, that plain Python in a browser may be: so much more time has a call
clock = time.process_time if PROCESSES else time.perf_counter  # a browser counts only the latter


class Late(BaseException):
    """A call took too long."""


class Inside(Student):
    """What `Student` is, without its process."""

    def used(self):
        return 0.0, self._spent / SLOWER

    def _start(self):
        self._kept, self._labels = child.Printed(), {label for label, _, _ in self.cells}
        self._alone = Alone()
        with self._at_work(self.limits.load):
            self._process = child.Submission(self.cells, self.name)
            self._replies = [wired({"error": self._process.loaded(), "printed": self._kept.take()})]
        self._hear_of_the_file()

    def _send(self, request):
        self._replies = []
        request = child.receive(io.BytesIO(sent(request)))
        with self._at_work(self.limits.call / 4 if self._hung else self.limits.call):
            self._process.run(request, self._keep)

    def _keep(self, reply):
        if not self._late:
            self._replies.append(wired({**reply, "printed": self._kept.take()}))
        self._deadline = clock() + self._seconds  # of the next step

    def _reply(self, seconds, who):
        if self._replies:
            reply, size = self._replies.pop(0)
            self._received += size
            if self._received > self.limits.answers:
                return self._give_up("died", f"the answers of {who} are too large to keep")
            if isinstance(reply, dict):
                return reply
        if self._late:
            self._hung = True
            text = f"{who} did not end in time: an endless loop?"
            return self._die("time", text, by_input=True)
        return self._die("died", f"{who} ended the Python process")

    def _die(self, kind, text, by_input=False):
        self._process = None  # the next call runs the file again
        return Trouble(kind, text, by_input)

    def _stop(self):
        self._process = None

    @contextlib.contextmanager
    def _at_work(self, seconds):
        """Inside of this the student's code runs; what it prints is kept, and what it does to this
        interpreter is undone."""
        start, tracing, state = clock(), sys.gettrace(), np.random.get_state()  # noqa: NPY002
        self._seconds, self._late = SLOWER * seconds, False
        self._deadline = start + self._seconds
        with (
            self._alone,
            contextlib.redirect_stdout(self._kept),
            contextlib.redirect_stderr(self._kept),
            np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("default", RuntimeWarning)
            warnings.showwarning = self._warn
            sys.settrace(self._watch)
            try:
                yield
            finally:
                sys.settrace(tracing)
                np.random.set_state(state)  # noqa: NPY002
                self._spent += clock() - start

    def _warn(self, message, category, filename, lineno, file=None, line=None):
        self._kept.write(warnings.formatwarning(message, category, filename, lineno, line=""))

    def _watch(self, frame, event, argument):
        """Called at each line of the student's code: ends what takes too long."""
        if frame.f_code.co_filename not in self._labels:
            return None
        if clock() > self._deadline:
            self._late = True
            raise Late
        return self._watch


class Alone:
    """Inside of this, minivit is what the child has for it, and other libraries are not there.

    What is hidden is found anew each time, for the judge may have imported more; what the student's
    code has in its place is kept from one time to the next.
    """

    def __init__(self):
        self._modules = None

    def __enter__(self):
        self._outside = _take(), sys.path[:], sys.meta_path[:]
        if self._modules is None:
            child.stand_in()
        else:
            self._put(self._modules, self._path, self._finders)

    def __exit__(self, *_):
        self._modules, self._path, self._finders = _take(), sys.path[:], sys.meta_path[:]
        self._put(*self._outside)

    def _put(self, modules, path, finders):
        sys.modules.update(modules)
        sys.path[:], sys.meta_path[:] = path, finders


HIDDEN = (*child.BLOCKED, "submission")


def _take():
    """What is to be hidden, out of sys.modules."""
    named = [name for name in sys.modules if name.startswith(HIDDEN)]  # called often: quick first
    return {name: sys.modules.pop(name) for name in named if name.partition(".")[0] in HIDDEN}


def sent(message):
    """The bytes of a message."""
    stream = io.BytesIO()
    child.send(stream, message)
    return stream.getvalue()


def wired(message):
    """(a reply as the judge receives it, bytes); None for one that it would refuse."""
    body = sent(message)
    try:
        return child.receive(io.BytesIO(body), trusted=False), len(body)
    except (ValueError, EOFError, TypeError, KeyError):
        return None, len(body)
