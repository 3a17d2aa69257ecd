"""Kinds of mistakes that any exercise can have, round a right answer of each: they lose points.
What is only unusual loses none."""

import re

import pytest

from minivit.grading.exercise import registry
from tests import answers
from tests.grading import here

EXERCISES = list(registry().values())
WRONG = {
    "axes of length 1 are gone": "return with_first(out, np.squeeze(first(out)))",
    "the same input gives the same array back": """
    key = repr([(a.dtype.str, a.shape, a.tobytes()) if isinstance(a, np.ndarray) else a
                for a in arguments])
    return memory.setdefault(key, out)""",
    "one array a shape, used again": """
    new = np.asarray(first(out))
    array = memory.setdefault((new.shape, new.dtype.str), np.empty_like(new))
    array[...] = new
    return with_first(out, array)""",
    "the result of a shape is kept": """
    key = tuple(a.shape if isinstance(a, np.ndarray) else len(a) if isinstance(a, list) else 0
                for a in arguments)
    return memory.setdefault(key, out)""",
    "the last row is the one before": """
    new = np.array(first(out))
    if new.ndim and len(new) > 1:
        new[-1] = new[-2]
    return with_first(out, new if new.ndim else 0 * new)""",
}
RIGHT = {
    "the memory's order is Fortran's": "return with_first(out, np.asarray(first(out), order='F'))",
    "it cannot be written to": """
    new = np.array(first(out))
    new.flags.writeable = False
    return with_first(out, new)""",
    "calls are counted": "memory['calls'] = memory.get('calls', 0) + 1\n    return out",
}
AROUND = """
import numpy as np
memory = {}

def first(out):
    return out[0] if SEVERAL else out

def with_first(out, new):
    return (new, out[1]) if SEVERAL else new

def NAME(*arguments):
    out = inner(*arguments)
    """
NUMBERS = ("clip_loss", "chunked_loss", "cross_entropy")  # nobody writes into a number
NO_SUCH = {("parameter_counts", "axes of length 1 are gone")} | {
    (name, kind)
    for name in NUMBERS
    for kind in ("axes of length 1 are gone", "the same input gives the same array back")
}


def around(exercise, code):
    """A right answer, whose result goes through the code."""
    text = re.sub(rf"\b{exercise.function}\b", "inner", answers.of(exercise)[0].text)
    start = AROUND.replace("NAME", exercise.function)
    return text + start.replace("SEVERAL", str(len(exercise.outputs) > 1)) + code.strip() + "\n"


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.function)
def test_a_mistake_of_any_function_loses_points(exercise, kind):
    if (exercise.function, kind) in NO_SUCH:
        pytest.skip("it is no mistake there")
    assert here.points(exercise, around(exercise, WRONG[kind])) < exercise.points


@pytest.mark.parametrize("kind", RIGHT)
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.function)
def test_what_is_only_unusual_loses_none(exercise, kind):
    assert here.points(exercise, around(exercise, RIGHT[kind])) == exercise.points
