"""Modes: recording is a matter of the thread, of the block, and of nothing else.

`op` (next chapter) asks here whether it is to record, and whether to watch for NaN. Each thread has
its own answer, so that an evaluation in one does not stop the training in another.
"""

import contextvars
from _thread import _local
from contextlib import ExitStack, contextmanager
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from types import coroutine

from minivit.engine import backend


class _Modes:
    """In how many blocks of each kind a thread is. Counts, so that blocks may nest and overlap."""

    __slots__ = ("no_grad", "detect_anomaly")

    def __init__(self):
        self.no_grad = self.detect_anomaly = 0


class _Thread(_local):
    def __init__(self):
        self.modes = _Modes()


_thread = _Thread()


class _mode:
    """A switch that is thrown inside of a `with` block or a decorated function, in this thread."""

    def __new__(cls, f=None):
        self = object.__new__(cls)
        self._entered = []  # the modes that were changed: one thread's, but the block may be shared
        return self if f is None else self(f)  # @no_grad is @no_grad()

    def __enter__(self):
        modes, name = _thread.modes, type(self).__name__
        setattr(modes, name, getattr(modes, name) + 1)
        self._entered.append(modes)
        return self

    def __exit__(self, *exc):
        modes, name = _thread.modes, type(self).__name__
        if modes in self._entered:
            self._entered.remove(modes)
        else:  # a generator that another thread has closed: it gives back where it took
            modes = self._entered.pop()
        setattr(modes, name, getattr(modes, name) - 1)

    def __call__(self, f):
        mode = type(self)
        if not callable(f) or isinstance(f, type) or isasyncgenfunction(f):
            raise TypeError(
                f"@{mode.__name__}() decorates functions, methods, generators and coroutines, got "
                f"{f!r}. Write `with {mode.__name__}():` around what is meant."
            )
        if isgeneratorfunction(f):

            @wraps(f)
            def inside(*args, **options):
                return (yield from _in_steps(mode, f(*args, **options)))

        elif iscoroutinefunction(f):

            @wraps(f)
            async def inside(*args, **options):
                return await coroutine(_in_steps)(mode, f(*args, **options))

        else:

            @wraps(f)
            def inside(*args, **options):
                with mode():
                    return f(*args, **options)

        return inside


def _in_steps(mode, steps):
    """A generator, or a coroutine, for which the switch is thrown while it runs, not while it
    waits: its caller's ops in between are the caller's."""
    resume, given = steps.send, None
    while True:
        try:
            with mode():
                out = resume(given)
        except StopIteration as end:
            return end.value
        try:
            resume, given = steps.send, (yield out)
        except GeneratorExit:
            with mode():
                steps.close()
            raise
        except BaseException as error:
            resume, given = steps.throw, error


class no_grad(_mode):
    """`with no_grad():` or `@no_grad()`: nothing is recorded, so nothing is kept.

    In this thread: what other threads compute is recorded as before. A generator or a coroutine
    that is decorated does not record in its own steps, and its caller does in between.
    """


class detect_anomaly(_mode):
    """`with detect_anomaly():` the first op whose result or gradient holds NaN or infinity is named
    (NonFiniteError), and so is one whose arrays were overwritten before its vjp ran (GraphError).
    In this thread, as `no_grad`. Slow; for finding out."""


@contextmanager
def recording():
    """Inside of this block ops are recorded, whatever `no_grad` is around it."""
    before, _thread.modes = _thread.modes, _Modes()
    _thread.modes.detect_anomaly = before.detect_anomaly
    try:
        yield
    finally:
        _thread.modes = before


def as_here(f):
    """f for another thread, where it finds what holds in this one now: `no_grad`, `detect_anomaly`,
    the device that `use` chose, np.errstate. (`pool.map(as_here(f), parts)`.)"""
    blocks = [mode for mode in (no_grad, detect_anomaly) if getattr(_thread.modes, mode.__name__)]
    device, context = backend.default_device(), contextvars.copy_context()

    def there(*args, **options):
        with ExitStack() as stack:
            stack.enter_context(backend.use(device))
            for mode in blocks:
                stack.enter_context(mode())
            return context.copy().run(f, *args, **options)

    return there
