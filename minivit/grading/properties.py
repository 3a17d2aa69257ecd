"""What the checks of most exercises share: small inputs, and properties of any function.

A check module gives the truth as a function of a case: `truth(case)` is {output: array}.
"""

import math

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Failure, compare

SMALL = st.integers(-4, 4)


def numbers(draw, shape, dtype=np.float64, values=SMALL):
    """An array of small whole numbers, which shrink to zeros."""
    count = math.prod(shape)
    return np.array(draw(st.lists(values, min_size=count, max_size=count)), dtype).reshape(shape)


def equals(output, truth, tolerance=1e-7):
    """The output is what the derivation says; the first output does not need the backward pass."""

    def check(case, call):
        expected = truth(case)
        first = output == next(iter(expected))
        answer = call(Case(case.inputs) if first else case)
        return compare(output, expected[output], answer[output], tolerance)

    return check


def idle(case, answer, truth):
    """A Failure where the first output has another shape, or is zero though it should not be.
    Without it an answer of zeros would have the points of the properties below."""
    name, right = next(iter(truth(case).items()))
    got = answer[name]
    if not isinstance(got, np.ndarray) or got.shape != right.shape:
        return compare(name, right, got)
    if np.abs(right).max(initial=0) > 1e-3 and not got.any():
        return Failure(f"{name} is zero", name, right, got)
    return None


def leaves_inputs_alone(truth):
    """Nothing is written into the arguments (or the cotangent). Needs a vjp."""

    def check(case, call):
        answer = call(case)
        for name in truth(case):
            answer[name]  # both passes must have run
        names = [*case.inputs, "g"]
        for name, before, after in zip(names, [*case.inputs.values(), case.g], answer.after):
            if not np.array_equal(before, after):
                sentence = f"{name} was written to: other code still needs it"
                return Failure(sentence, name, before, after)
        return idle(case, answer, truth)

    return check


def keeps_dtype(truth, of):
    """Every output has the dtype of the argument `of`."""

    def check(case, call):
        answer, dtype = call(case), case.inputs[of].dtype
        for name in truth(case):
            got = answer[name]
            if isinstance(got, np.ndarray) and got.dtype != dtype:
                return Failure(f"{name} is {got.dtype} where {of} is {dtype}")
        return idle(case, answer, truth)

    return check
