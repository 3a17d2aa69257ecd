"""An exercise: properties that an answer must have, and the mistakes people make.

Each module of `checks/` describes one exercise in a variable EXERCISE, and being there is all it
takes to be listed. Its text stands in one file, `exercises/source/NN_function.py`.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minivit.engine.errors import MinivitError


class TodoError(MinivitError, NotImplementedError):
    """A place of an exercise that is still to be written; names the task and where to read."""


class SubmissionError(MinivitError, ValueError):
    """A file or notebook that cannot be read as an answer to an exercise."""


class CannotJudge(SubmissionError):
    """This machine cannot run an answer, whatever the answer is: no verdict, and no points lost."""


@dataclass(frozen=True, eq=False)
class Case:
    """One input of the student's function: its arguments in order, and the cotangent."""

    inputs: dict  # name -> array, number or list
    g: np.ndarray | None = None
    others: tuple = ()  # Cases: the function is called with them before this one's vjp is

    @property
    def size(self):
        """The count of numbers in it."""
        return sum(map(_count, [*self.inputs.values(), self.g]))

    @property
    def exact(self):
        """The case with float64 for float32: what the truth is computed from."""
        wide = {name: _wide(value) for name, value in self.inputs.items()}
        return Case(wide, _wide(self.g), self.others)

    @property
    def is_single(self):
        """True if there are float32 numbers in it."""
        return any(getattr(v, "dtype", None) == np.float32 for v in [*self.inputs.values(), self.g])


def _wide(value):
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(np.float64) if is_float else value


def _count(value):
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    return np.size(value) if value is not None else 0


@dataclass(frozen=True, eq=False)
class Failure:
    """A fault of an answer, in a sentence, and the two values where there are two."""

    sentence: str
    name: str = ""
    expected: np.ndarray | None = None
    got: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Property:
    """Something that holds for every input.

    `check(case, call)` is None where it holds, a Failure where not; `call(case)` asks the
    student's function, and its result is indexed by the name of an output.

    No input that decides about points is left to luck: what a page promises about a rare one has a
    strategy that makes nothing else. Of several strategies each has its share of the examples.
    """

    title: str
    points: float
    cases: object  # a hypothesis strategy of Case, or a tuple of strategies
    check: Callable
    output: str = ""  # the output that is compared, and so whose mistakes can be named
    examples: int = 40
    works: bool = False  # not earned by results that are 0 for every input

    @property
    def strategies(self):
        return self.cases if isinstance(self.cases, tuple) else (self.cases,)


DOUBLE, SINGLE = 1e-9, 1e-3  # how much a result may differ, of its largest number


@dataclass(frozen=True, eq=False)
class Mistake:
    """A wrong answer that has a name: `wrong(case)` is the value people get for `output`."""

    output: str
    title: str
    wrong: Callable

    def value(self, case):
        with np.errstate(all="ignore"):
            return np.asarray(self.wrong(case))

    def gives(self, case, got):
        """True if `got` is the result of this mistake."""
        return same(self.value(case.exact), got, SINGLE if case.is_single else DOUBLE)


@dataclass(frozen=True, eq=False)
class Exercise:
    """One exercise. `outputs` names what the function returns, then what its vjp returns."""

    number: int
    function: str
    title: str
    lecture: str
    section: str
    outputs: tuple
    properties: tuple
    mistakes: tuple

    @property
    def stem(self):
        return f"{self.number:02d}_{self.function}"

    @property
    def points(self):
        return sum(p.points for p in self.properties)

    def todo(self, task):
        """The message of a stub: which task, and where to read."""
        return (
            f"Exercise {self.number}, {self.function}: {task}. "
            f"Read lecture '{self.lecture}', section '{self.section}'."
        )


def registry():
    """All exercises by number: one for each module of `checks/`."""
    from minivit.grading import checks

    names = [module.name for module in pkgutil.iter_modules(checks.__path__)]
    found = [importlib.import_module(f"{checks.__name__}.{name}").EXERCISE for name in names]
    return {exercise.number: exercise for exercise in sorted(found, key=lambda e: e.number)}


def find(name):
    """The exercise with this number or function name; or whose file, or function, this is."""
    exercises = registry()
    name = str(getattr(name, "__name__", name))
    name = Path(name).stem if name.endswith((".py", ".ipynb", ".md")) else name
    for exercise in exercises.values():
        if str(name) in (str(exercise.number), f"{exercise.number:02d}", exercise.function) or (
            str(name) == exercise.stem
        ):
            return exercise
    functions = [e.function for e in exercises.values()]
    near = difflib.get_close_matches(name, functions, 1, 0.5) or functions[1:2]
    raise SubmissionError(
        f"expected an exercise, got {name!r}: a number from 1 to {max(exercises)} or the name of a "
        f"function such as {near[0]}. All of them: minivit progress"
    )


# -- comparing -------------------------------------------------------------------------------------
def as_array(expected, got):
    """Accept a number of Python's beside NumPy's, where one number is expected."""
    if expected.ndim == 0 and isinstance(got, (int, float)) and not isinstance(got, bool):
        return np.asarray(got, float if expected.dtype.kind == "f" else None)
    return got


def same(expected, got, tolerance=DOUBLE):
    """Equal in shape, and in value up to `tolerance` of the largest expected number (whole numbers:
    exactly). float32 that comes is judged as float32: its dtype is another property's."""
    got = as_array(expected, got)
    if getattr(got, "dtype", None) == np.float32:
        tolerance = max(tolerance, SINGLE)
    if expected.dtype.kind in "iu":
        return (
            isinstance(got, np.ndarray) and got.dtype.kind in "iu" and np.array_equal(expected, got)
        )
    if not isinstance(got, np.ndarray) or got.shape != expected.shape or got.dtype.kind != "f":
        return False
    scale = 1 + np.abs(expected).max(initial=0)
    with np.errstate(all="ignore"):
        return bool((np.abs(got - expected) <= tolerance * scale).all())  # nan: False


def compare(name, expected, got, tolerance=DOUBLE):
    """None where `got` is `expected`, else the Failure that says in what they differ."""
    if same(expected, got, tolerance):
        return None
    got = as_array(expected, got)
    if not isinstance(got, np.ndarray):
        what = "None" if got is None else str(got)[:200]
        return Failure(f"{name} is {what}, expected an array of shape {expected.shape}")
    if got.dtype.kind not in ("iu" if expected.dtype.kind in "iu" else "f"):
        sentence = f"{name} has dtype {got.dtype}, expected {expected.dtype}"
    elif got.shape != expected.shape:
        sentence = f"{name} has shape {got.shape}, expected {expected.shape}"
    elif got.dtype.kind in "iu":
        sentence = f"{name} differs from what is expected"
    elif not np.isfinite(got).all():
        sentence = f"{name} is not finite"
    else:
        with np.errstate(all="ignore"):
            gap = np.abs(got - expected).max()
        sentence = f"{name} differs from what is expected, by {gap:.2g} at most"
    return Failure(sentence, name, expected, got)
