"""A student's function that runs here, not in a process of its own: for answers that we wrote.

A verdict takes milliseconds, so that a test can ask many answers with many seeds. Pool does the
same for the processes that judge: the inputs that one submission was asked are there for the next.
"""

import contextlib
import io
import signal
import threading
from concurrent.futures import Future

import numpy as np

from minivit.grading import judge
from minivit.grading.process import child
from minivit.grading.process.runner import Answer, Trouble

LONGEST = 0.5  # seconds of processor time of a call


class Hang(BaseException):
    """A call took too long."""


class Here:
    """A `runner.Student` without its process. `text` is one of our own answers."""

    printed, asked = "", 0

    def __init__(self, text, name):
        with contextlib.redirect_stderr(io.StringIO()), child_modules():
            self.submission = child.Submission([("answer.py", 1, text)], name)
        self.name, self.answers = name, {}

    def used(self):
        return 0.0, 0.0

    def slow(self, seconds, since=()):
        return False

    def call(self, inputs, g=None, gradients=0, others=()):
        key = repr([(a.dtype.str, a.shape, a.tobytes()) if isinstance(a, np.ndarray) else a
                    for a in [*inputs, g, *(a for other in others for a in other)]])  # fmt: skip
        if key not in self.answers:
            self.answers[key] = self.ask(inputs, g, gradients, others)
        return self.answers[key]

    def ask(self, inputs, g, gradients, others):
        answer = Answer()
        failed = self.submission.loaded()
        if failed:
            answer.trouble = Trouble(failed["kind"], failed["text"])
            return answer

        def reply(message):
            if "error" in message:
                answer.trouble = Trouble(message["error"]["kind"], message["error"]["text"])
                return
            answer.steps += 1
            for part, value in message.items():
                setattr(answer, part, plain(value))

        request = {"inputs": plain(inputs), "g": plain(g), "gradients": gradients,
                   "others": plain(list(others))}  # fmt: skip
        try:
            with clock(), np.errstate(all="ignore"):
                self.submission.run(request, reply)
        except Hang:
            answer.trouble = Trouble("exception", "it did not end in time")
        if answer.trouble and answer.trouble.text.startswith("Hang"):
            answer.trouble = Trouble("exception", "it did not end in time")
        return answer


class Pool:
    """A ProcessPoolExecutor for `judging`, without processes."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


def plain(value):
    """As it is after the pipe: copies, tuples as lists, NumPy's numbers as arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = np.asarray(value)
        return value.copy() if value.dtype.kind in "biufc" else child.Other(f"{value.dtype}")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return child.Other(type(value).__name__)


@contextlib.contextmanager
def clock():
    """Ends a call that computes for too long. (In the main thread; elsewhere nothing does.)"""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_):
        raise Hang

    before = signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def child_modules():
    """`import minivit.grading` of a starter finds this library; nothing is blocked."""
    yield


def passed(exercise, text, seed=0):
    """For each property of the exercise whether the answer has it."""
    judging = judge.Judge(exercise, Here(text, exercise.function), seed)
    return [holds(judging, prop) for prop in exercise.properties]


def holds(judging, prop):
    try:
        with np.errstate(all="ignore"):
            return judging.first_failure(prop) is None
    except (judge.Final, ValueError, TypeError, IndexError):
        return False


def points(exercise, text, seed=0):
    """The points of an answer, as `judge.judge` gives them."""
    each = passed(exercise, text, seed)
    return sum(p.points for p, good in zip(exercise.properties, each) if good)


class Drawn(judge.Judge):
    """Asks only what its seed has drawn."""

    def cases(self, prop):
        count = judge.share(prop) // 2
        return [c for strategy in prop.strategies for c in judge.drawn(strategy, self.seed, count)]


def by_luck(exercise, text, seeds):
    """{title: seeds} of the properties that hold for the public inputs but not for a seed's: only
    these can make the points depend on the seed."""
    public = passed(exercise, text)
    student, found = Here(text, exercise.function), {}
    for seed in seeds:
        judging = Drawn(exercise, student, seed)
        student.answers.clear()
        for prop, good in zip(exercise.properties, public):
            if good and not holds(judging, prop):
                found.setdefault(prop.title, []).append(seed)
    return found
