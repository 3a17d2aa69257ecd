"""Shared by the checks of the exercises: small inputs, and the properties of any function.

A check module gives the truth as a function of a case: `truth(case)` is {output: array}. Two
properties are the rules of the house, the same for every exercise and on every page:

    DTYPE   float32 stays float32, float64 stays float64 (or integers are integers)
    ALONE   a call leaves nothing behind: the arguments as they were, new arrays, no memory
"""

import math

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import DOUBLE, SINGLE, Case, Failure, Property, compare, same

DTYPE = "float32 stays float32, float64 stays float64"
ALONE = "a call leaves nothing behind: arguments as they were, new arrays, no memory of it"
FLOATS = (np.float32, np.float64)


def numbers(draw, shape, dtype=np.float64, most=4):
    """An array of whole numbers from -most to most; it shrinks to zeros.

    Drawn as bytes, one a number: a choice for the whole array is ten times as fast as one for each.
    """
    count = math.prod(shape)
    drawn = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.uint8)
    step = drawn % (2 * most + 1)  # 0, 1, 2, 3, 4 ... stand for 0, 1, -1, 2, -2 ...
    return np.where(step % 2, step // 2 + 1, -(step // 2.0)).astype(dtype).reshape(shape)


def softmax(S, axis=-1):
    """Scores to shares along an axis; the checks use nothing of the library that is asked for."""
    e = np.exp(S - S.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def equals(output, truth, tolerance=DOUBLE, single=SINGLE):
    """The output is what the derivation says; the first output does not need the backward pass.

    `single`: the tolerance where an input is float32.
    """

    def check(case, call):
        expected = truth(case.exact)
        first = output == next(iter(expected))
        answer = call(Case(case.inputs) if first else case)
        return compare(
            output, expected[output], answer[output], single if case.is_single else tolerance
        )

    return check


def idle(case, answer, truth):
    """A Failure where an output that depends on the numbers of x, the first two, has another shape,
    or is zero though it should not be. (An answer of zeros is the derivative of itself.)"""
    for name, right in list(truth(case).items())[:2]:
        got = answer[name]
        if not isinstance(got, np.ndarray) or got.shape != right.shape:
            return compare(name, right, got)
        if np.abs(right).max(initial=0) > 1e-3 and not got.any():
            return Failure(f"{name} is zero", name, right, got)
    return None


# -- the rules of the house ------------------------------------------------------------------------
def keeps_dtype(truth, of, points, cases):
    """Every output has the dtype of the argument `of`, and float64 its digits. (A number of
    Python's has no dtype.)"""

    def check(case, call):
        answer, dtype = call(case), case.inputs[of].dtype
        for name in truth(case):
            got = answer[name]
            if isinstance(got, np.ndarray) and got.dtype != dtype:
                return Failure(f"{name} is {got.dtype} where {of} is {dtype}")
        return _fewer_digits(case, call, truth) if dtype == np.float64 else None

    return Property(DTYPE, points, cases, check, works=True)


def _fewer_digits(case, call, truth):
    """A Failure where a result in float64 has the digits of float32. What is asked about has
    numbers that float32 rounds. A result that is wrong by more loses other points, and where it is
    next to nothing a wrong one may look right."""
    fine = Case({name: _nudged(x) for name, x in case.inputs.items()}, _nudged(case.g))
    before, after = truth(case), truth(fine)
    coarse, asked = call(case), call(fine)
    for name, right in after.items():
        got, other = asked[name], coarse[name]
        if not isinstance(got, np.ndarray) or not same(right, got, 1e-5):
            continue
        size = 1e-3 * np.abs(right).max(initial=1)
        there = np.abs(right) > size
        moved = there & (np.abs(right - before[name]) > 1e-9 * size)
        if (there & (right != np.float32(right))).any() and (got == np.float32(got)).all():
            return Failure(f"{name} is float64 with the digits of float32: it was float32 before")
        if moved.any() and np.array_equal(got, other):
            return Failure(
                f"{name} stays the same where the arguments change by less than float32 can say: "
                "on the way to it something was float32"
            )
    return None


def _nudged(x):
    """Floats in float64 moved by less than float32 can say."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        return x
    return x * (1 + 2.0**-27 / np.arange(3, 3 + x.size).reshape(x.shape))


def leaves_nothing_behind(truth, points, cases, dtype=None):
    """No argument is written to, no result uses an argument's memory, and neither another call nor
    a second vjp(g) changes anything. `dtype`: what the first output has whatever the inputs."""
    several = tuple(_with_others(c) for c in (cases if isinstance(cases, tuple) else (cases,)))

    def check(case, call):
        answer = call(case)
        names = list(truth(case))
        for name in names:
            answer[name]  # both passes must have run
        arguments = [*case.inputs, "g"]
        for name, before, after in zip(arguments, [*case.inputs.values(), case.g], answer.after):
            if not _equal(before, after):
                sentence = f"{name} was written to: other code still needs it"
                arrays = isinstance(before, np.ndarray) and isinstance(after, np.ndarray)
                return Failure(sentence, name, *((before, after) if arrays else ()))
        for name, place in zip(names, answer.shared):
            if isinstance(place, int) and 0 <= place < len(arguments):
                return Failure(
                    f"{name} is no new array: it uses the memory of {arguments[place]}, and changes"
                    " when that is changed"
                )
        return _remembers(names, call(Case(case.inputs, case.g)), answer) or _wrong_kind(
            names[0], answer, dtype
        )

    return Property(ALONE, points, several, check, examples=24, works=True)


@st.composite
def _with_others(draw, cases):
    """A case, and two others: one of its own shapes, where that can be had by turning its arrays
    round, and any other one."""
    case, other = draw(cases), draw(cases)
    turned = {k: v[::-1].copy() if isinstance(v, np.ndarray) and v.ndim else v
              for k, v in case.inputs.items()}  # fmt: skip
    return Case(case.inputs, case.g, (Case(turned), Case(other.inputs)))


def _equal(before, after):
    if isinstance(before, np.ndarray):
        return isinstance(after, np.ndarray) and np.array_equal(before, after)
    return before == after


def _remembers(names, alone, answer):
    """A Failure where a call knows of others. `alone`: the same call, asked by itself."""
    first = names[0]
    now, second, *again = answer.again
    for name, what, before, after in (
        (first, f"{first} has changed when the function was called with other numbers: it is an "
         "array that later calls use", alone[first], now),
        *((name, f"after a call with other numbers, vjp(g) gives another {name}: it reads what the "
           "later call has left behind", alone[name], answer[name]) for name in names[1:]),
        *((name, f"vjp(g), called a second time, gives another {name}", answer[name], twice)
          for name, twice in zip(names[1:], again)),
        (first, f"called a second time with the same input, {first} is another one: the result "
         "depends on earlier calls", alone[first], second),
    ):  # fmt: skip
        if not isinstance(before, np.ndarray):
            before, after = np.asarray(before), np.asarray(after)
        if before.dtype.kind in "fiu" and np.isfinite(before).all() and not same(before, after):
            return Failure(what, name, before, after if isinstance(after, np.ndarray) else None)
    for name, kept in zip(names, answer.kept):
        if kept is True:
            return Failure(
                f"{name} is no new array: a second call gives back the one of the first, which may "
                "have been changed since then"
            )
    return None


def _wrong_kind(name, answer, dtype):
    got = answer[name]
    if dtype is None or (isinstance(got, np.ndarray) and got.dtype == dtype):
        return None
    kind = got.dtype if isinstance(got, np.ndarray) else f"a {type(got).__name__}"
    return Failure(f"{name} is {kind}, expected {np.dtype(dtype)}")
