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
# The test files that pass there. Left out: what starts processes or threads, what takes an hour
# there, and engine/test_numpy_functions.py, which gives the arguments of a newer NumPy than 2.0.
RUN_THERE = (
    *(f"tests/engine/test_{name}.py" for name in (
        "argument_forms", "border", "edges", "graph", "indices", "operand_dtypes", "operators",
        "tensor", "writes",
    )),
    *(f"tests/test_{name}.py" for name in ("attention", "functions", "nn", "optim")),
)  # fmt: skip


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
    """Points, statuses and mistakes; the smallest input may be another, for shrinking ends by the
    clock, and so may a warning of NumPy, for this is another one."""
    found, different = dict(pyodide_answers.there(numbers)), []
    assert set(found) == set(numbers)
    for number, verdict in found.items():
        decided = pyodide_answers.decided(verdict)
        if decided != (native := pyodide_answers.decided(pyodide_answers.here(number))):
            answer = answers.everything()[number]
            different.append((answer.exercise.function, answer.name, decided, native))
    assert different == []
