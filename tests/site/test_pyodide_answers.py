"""An answer that hangs costs an interpreter, and no other one; here Python stands for Pyodide."""

import subprocess
import sys

import pytest

from tests import answers
from tests.site import pyodide, pyodide_answers

CODE = """
import json
for number in json.loads({!r}):
    while number in (1, 4): pass
    if number == 9: raise MemoryError("too large")
    print("a line of something else")
    print(json.dumps([number, {{}}]), flush=True)
"""


@pytest.fixture
def python(monkeypatch):
    def start(script, numbers):
        command = [sys.executable, "-c", CODE.format(numbers)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)

    monkeypatch.setattr(pyodide, "start", start)
    monkeypatch.setattr(pyodide_answers, "HANGS", 0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="the clock of a process is in /proc")
def test_an_answer_that_hangs_is_named_and_the_others_are_judged(python):
    found = list(pyodide_answers.there([0, 1, 2, 3, 4]))
    assert found == [(0, {}), (1, None), (2, {}), (3, {}), (4, None)]


def test_what_goes_wrong_there_is_said(python):
    with pytest.raises(RuntimeError, match="too large"):
        list(pyodide_answers.there([0, 9, 2]))


def test_the_sample_has_a_right_and_a_wrong_answer_of_each_exercise():
    every = answers.everything()
    chosen = [every[n] for n in pyodide_answers.sample()]
    kinds = {(a.exercise.function, a.mistake is None) for a in every}
    assert len(chosen) == len(kinds) and kinds == {
        (a.exercise.function, a.mistake is None) for a in chosen
    }
