"""The sandbox's protections that hold on this machine: by trying, as a submission would.

`minivit grade` prints the answer. The attempts first switch the audit hook off, as somebody who
means harm would, so that what is counted is what the kernel refuses.
"""

import inspect
import socket
import tempfile
from pathlib import Path

from minivit.grading.process import child
from minivit.grading.process.runner import Limits, Student


def attempts(outside, own, port, memory):
    """Runs as a submission: {what was tried: whether it was possible}."""
    import ctypes  # noqa: F401  (before the hook is off, as any import)
    import gc
    import os
    import socket
    import subprocess
    import sys

    import numpy as np

    for hook in gc.get_objects():
        if type(hook) is type(attempts) and hook.__qualname__ == "watch.<locals>.hook":
            hook.__defaults__ = (set(), set(), lambda *_: True)

    def read():
        for path in (outside, own):
            with open(path, "rb") as file:
                file.read()

    def write():
        with open(outside, "a") as file:
            file.write("!")

    def connect():
        socket.socket().connect(("127.0.0.1", port))

    def start():
        if hasattr(os, "fork"):
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        else:
            subprocess.run([sys.executable, "-c", ""])

    def signal():
        os.kill(os.getppid(), 0)

    def allocate():
        np.empty(memory, np.uint8)

    possible = {}
    for attempt in (read, write, connect, start, signal, allocate):
        try:
            attempt()
            possible[attempt.__name__] = True
        except BaseException:
            possible[attempt.__name__] = False
    return possible


WORDS = {
    "read": "read other files", "write": "change other files", "connect": "use the network",
    "start": "start processes", "signal": "signal other processes",
    "allocate": "take memory without end",
}  # fmt: skip


def find(limits=None):
    """(what a submission cannot do here, what it can), as two lists of words."""
    limits = limits or Limits()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as server:
        outside = Path(folder, "canary")
        outside.write_text("canary")
        server.bind(("127.0.0.1", 0))
        server.listen()
        inputs = [str(outside), child.__file__, server.getsockname()[1], 2 * limits.memory]
        cells = [("attempts", 1, inspect.getsource(attempts))]
        with Student(cells, "attempts", limits) as student:
            answer = student.call(inputs)
    if answer.trouble:
        raise RuntimeError(f"no submission can be run here: {answer.trouble.text}")
    ways = {True: [], False: []}
    for name, possible in answer.value.items():
        ways[possible].append(WORDS[name])
    return ways[False], ways[True]


def line(stopped, possible):
    """One sentence, or two, for the terminal."""
    text = f"A submission here cannot {', '.join([*stopped, 'run without end'])}."
    if possible:
        text += f" It CAN {', '.join(possible)}: grade code that you do not trust in a container"
        text += " (exercises/GRADING.md)."
    return text
