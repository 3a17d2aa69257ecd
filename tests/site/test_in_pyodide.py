"""What of minivit runs in Pyodide, 32 bits, no processes, no threads: here in Node, for speed."""

import json
import shutil

import pytest

from minivit.grading import judge, submission
from tests import answers
from tests.site import pyodide

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not shutil.which("node") or not shutil.which("npm"), reason="no Node.js"),
]
RUN_THERE = (  # the test files that pass there; of the others, most start processes or threads
    "tests/engine/test_tensor.py",
)


@pytest.mark.parametrize("file", RUN_THERE)
def test_it_passes_there(file):
    said = pyodide.run("in_pyodide_tests.py", file)
    assert "STATUS 0" in said, said[-3000:]


@pytest.mark.parametrize("part", range(24))
def test_each_answer_has_the_native_points_and_mistakes(part):
    numbers = range(part, len(answers.everything()), 24)
    said = pyodide.run("in_pyodide_answers.py", json.dumps(list(numbers)))
    there = json.loads(said.rpartition("FOUND ")[2])
    different = []
    for number, (points, mistakes) in zip(numbers, there, strict=True):
        answer = answers.everything()[number]
        cells = submission.Submission("answer.py", [("answer.py", 1, answer.text)])
        here = judge.judge(answer.exercise, cells)
        if (points, mistakes) != (here.points, [o.mistake for o in here.outcomes]):
            different.append((answer.exercise.function, answer.name, points, here.points))
    assert different == []
