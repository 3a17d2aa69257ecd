"""Answers judged in Pyodide beside the native judge, by one interpreter as long as none hangs.

    python -m tests.site.pyodide_answers LOG     all of them; run again, it goes on where it stopped

LOG gets a line of JSON for each answer: its exercise, its name, and the two verdicts where they
differ.
"""

import collections
import json
import queue
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from minivit.grading import judge, submission
from minivit.grading.process.runner import processor_seconds
from tests import answers
from tests.site import pyodide

# Seconds of a processor without an answer: this one hangs, and a new interpreter takes the rest.
HANGS = 300


def there(numbers):
    """(number, its verdict as a dict) of each answer, as they come; None for one that hangs."""
    left = list(numbers)
    while left:
        running = pyodide.start("in_pyodide_answers.py", json.dumps(left))
        lines = queue.SimpleQueue()
        listen = threading.Thread(target=_listen, args=(running, lines), daemon=True)
        listen.start()
        try:
            while left and (line := _line(running, lines)):
                number, verdict = json.loads(line)
                left.remove(number)
                yield number, verdict
            if left:
                raise RuntimeError(running.stderr.read()[-3000:])
        except queue.Empty:
            yield left.pop(0), None
        finally:
            running.kill()
            listen.join()


def _line(running, lines):
    """The next line of the process; queue.Empty after HANGS."""
    used = lambda: processor_seconds(running.pid) or 0.0  # noqa: E731 (without /proc: no end)
    start = used()
    while True:
        try:
            return lines.get(timeout=1)
        except queue.Empty:
            if used() - start > HANGS:
                raise


def _listen(running, lines):
    for line in running.stdout:
        if line.startswith("["):
            lines.put(line)
    lines.put("")


def here(number):
    """The native judge's verdict, as a dict."""
    answer = answers.everything()[number]
    cells = submission.Submission("answer.py", [("answer.py", 1, answer.text)])
    return json.loads(json.dumps(asdict(judge.judge(answer.exercise, cells))))


def decided(verdict):
    """What must not depend on the platform: points, mistakes, and how each property ended."""
    outcomes = verdict["outcomes"] if verdict else ()
    return [(o["points"], o["status"], o["mistake"]) for o in outcomes]


def sample(each=1):
    """The numbers of `each` answers of every exercise that are right, and as many that are not."""
    seen, chosen = collections.Counter(), []
    for number, answer in enumerate(answers.everything()):
        kind = answer.exercise.function, answer.mistake is None
        seen[kind] += 1
        if seen[kind] <= each:
            chosen.append(number)
    return chosen


def main(log):
    log = Path(log)
    done = {tuple(json.loads(line)[:2]) for line in log.open()} if log.exists() else set()
    every = answers.everything()
    names = [(a.exercise.function, a.name) for a in every]
    with log.open("a") as out:
        for number, found in there([n for n, name in enumerate(names) if name not in done]):
            native = here(number)
            kind = "decided" if decided(found) != decided(native) else "words"
            both = () if found == native else (kind, found, native)
            out.write(json.dumps([*names[number], *both]) + "\n")
            out.flush()
    kinds = collections.Counter(json.loads(line)[2:3] == [] for line in log.open())
    print(f"{len(every)} answers: {kinds[True]} verdicts are the same to the word", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
