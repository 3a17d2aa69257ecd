"""What of minivit runs in Pyodide, 32 bits, no processes, no threads: here in Node, for speed."""

import shutil

import pytest

from tests import answers
from tests.site import pyodide, pyodide_answers

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not shutil.which("node") or not shutil.which("npm"), reason="no Node.js"),
]
RUN_THERE = (  # the test files that pass there; of the others, most start processes or threads
    "tests/engine/test_edges.py",
    "tests/engine/test_indices.py",
)


@pytest.mark.slow
def test_they_pass_there():
    said = pyodide.run("in_pyodide_tests.py", *RUN_THERE)
    assert "STATUS 0" in said, said[-3000:]


EVERY = range(len(answers.everything()))


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(pyodide_answers.sample(), id="of each exercise two"),
        pytest.param(EVERY, id="all", marks=pytest.mark.slow),
    ],
)
def test_each_answer_has_the_native_verdict(numbers):
    found, different = dict(pyodide_answers.there(numbers)), []
    assert set(found) == set(numbers)
    for number, verdict in found.items():
        if verdict != (native := pyodide_answers.here(number)):
            answer = answers.everything()[number]
            different.append((answer.exercise.function, answer.name, verdict, native))
    assert different == []
