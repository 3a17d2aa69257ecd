"""The program `minivit`. Interrupted at any moment (Ctrl-C), it ends with a line and status 130.

It stands outside of the package, whose first import takes half a second: what happens in that time
has to be handled before it. `minivit.commands` has the commands.
"""

import os
import signal
import sys
import threading


def main():
    """Run the command that sys.argv names; returns the exit status."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else: ignored, by nohup
    try:
        if ours:
            signal.signal(signal.SIGINT, _leave)
        from minivit.commands import main as run

        if ours:
            sys.unraisablehook = _once_more
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to interrupt


def _leave(*_):
    """While modules are read nothing is open that has to be closed."""
    os.write(2, b"interrupted\n")
    os._exit(130)


def _once_more(lost):
    """Python drops an interrupt that falls into a callback of its own, such as the collection of
    garbage: it is raised again, a moment later."""
    if lost.exc_type is KeyboardInterrupt:
        threading.Timer(0.01, _interrupt).start()
    else:
        sys.__unraisablehook__(lost)


def _interrupt():
    """The main thread, so that it also wakes from a wait."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        signal.raise_signal(signal.SIGINT)
