"""Seconds of processor time that mean the same on a slow machine, or beside others that are busy.

Two processes on one core take each other's caches: the same work then takes up to three times its
processor time. So a fixed piece of work is timed beside what a test is about, and what that takes
longer than on an idle machine is taken off.
"""

import contextlib
import time

import numpy as np

IDLE = 0.022  # seconds that `_work` takes on an idle core of an Intel Xeon of 2023


def pace():
    """How many times as long as there the same work takes here and now; at least 1."""
    start = time.process_time()
    _work()
    return max(1.0, (time.process_time() - start) / IDLE)


def _work():
    """Python, NumPy, and memory: about what an exercise's check does."""
    words = {str(n): n for n in range(30_000)}
    sum(words[str(n)] for n in range(0, 30_000, 2))
    x = np.linspace(0, 1, 300_000)
    for _ in range(5):
        x = np.exp(-x * x)
    np.sort(x.reshape(300, 1000), axis=0)


@contextlib.contextmanager
def timed():
    """`with timed() as seconds: ...`, and then seconds(): of the block, at the pace before and
    after it."""
    spent, before, start = [], pace(), time.process_time()
    yield lambda: spent[0]
    took = time.process_time() - start
    spent.append(took / max(before, pace()))
