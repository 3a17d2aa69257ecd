"""Looks for the smallest input on which a property fails, and names the mistake behind it.

Hypothesis makes the inputs, here; the student's function runs elsewhere (`runner.py`). Its phases
are generate and shrink, seeded, so the same submission gets the same verdict twice.
"""

import contextlib
import json
import random
from dataclasses import asdict, dataclass, field
from pathlib import Path

import hypothesis
import numpy as np
from hypothesis import Phase

from minivit import files
from minivit.grading.exercise import Case, Failure, same
from minivit.grading.process.runner import Limits, Student, Trouble

SHRINKING = 100  # inputs tried after the first failing one, and
LARGEST_SHOWN = 200  # numbers of an array in a report
MOST_CALLS = 2000  # calls of the student's function in that time
DRAWN = {}  # seed, strategy, examples -> its cases: the same for every submission
PATIENCE = 5.0  # seconds for the calls of a property, as in Limits; one of about 60 takes 0.4 ms


@dataclass
class Outcome:
    """What became of one property: "waiting", "pass", "fail" or "todo", and why, as text."""

    title: str
    points: float
    max_points: float
    status: str = "waiting"
    sentence: str = ""
    inputs: dict = field(default_factory=dict)  # name -> the smallest failing input, as Python
    name: str = ""  # of the output that is wrong
    expected: str = ""
    got: str = ""
    mistake: str = ""


@dataclass
class Verdict:
    """All outcomes of one submission; written as JSON while it grows."""

    exercise: int
    function: str
    title: str
    where: str
    outcomes: list
    complete: bool = False
    trouble: str = ""
    printed: str = ""

    points = property(lambda self: sum(o.points for o in self.outcomes))
    max_points = property(lambda self: sum(o.max_points for o in self.outcomes))
    passed = property(lambda self: sum(o.status == "pass" for o in self.outcomes))

    def write(self, path):
        """Replace the file at `path` in one step."""
        numbers = {name: getattr(self, name) for name in ("points", "max_points", "passed")}
        text = json.dumps(asdict(self) | numbers, indent=1) + "\n"
        files.write_whole(path, text, durable=False)  # after a power failure it is judged again

    @classmethod
    def read(cls, path):
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        fields = {name: found[name] for name in cls.__dataclass_fields__}
        return cls(**fields | {"outcomes": [Outcome(**o) for o in found["outcomes"]]})


def new_verdict(exercise, where):
    """A verdict with no points yet."""
    outcomes = [Outcome(p.title, 0, p.points) for p in exercise.properties]
    return Verdict(exercise.number, exercise.function, exercise.title, where, outcomes)


def judge(exercise, submission, *, seed=0, limits=None, results=None):
    """The Verdict on the cells of `submission`. `results`, a path or a function of the verdict, is
    written (called) at once and then after each property.

    Another `seed` makes other inputs: public checks use 0, grading its own.
    """
    verdict = new_verdict(exercise, submission.where)

    def save():
        if callable(results):
            results(verdict)
        elif results is not None:
            verdict.write(results)

    save()
    verdict.trouble = submission.trouble
    with Student(submission.cells, exercise.function, limits or Limits()) as student:
        judging = Judge(exercise, student, seed)
        for i, prop in enumerate(exercise.properties):
            if not verdict.trouble:
                verdict.outcomes[i] = judging.outcome(prop)
                save()
        verdict.printed = student.printed
    verdict.complete = True
    save()
    return verdict


class Asked:
    """An answer of the student's function, indexed by the names of the exercise's outputs."""

    def __init__(self, exercise, answer):
        self._names, self._answer = exercise.outputs, answer

    def __getitem__(self, name):
        answer, index = self._answer, self._names.index(name)
        if answer.steps <= min(index, 1):
            raise Unanswered(answer.trouble, answer.steps)
        return answer.value if index == 0 else answer.gradients[index - 1]

    @property
    def after(self):
        return self._answer.after


class Unanswered(Exception):
    """There is no such output: `trouble` says why."""

    def __init__(self, trouble, steps):
        super().__init__(trouble.text)
        self.trouble, self.steps = trouble, steps


class Final(BaseException):
    """Ends a search at once. (Hypothesis replays an Exception, and a hang again is a hang.)"""

    def __init__(self, trouble):
        super().__init__(trouble.text)
        self.trouble = trouble


class Enough(BaseException):
    """Ends shrinking: the smallest failing input so far will do."""


class Judge:
    """The properties of one exercise, asked of one student's function."""

    def __init__(self, exercise, student, seed):
        self.exercise, self.student, self.seed = exercise, student, seed
        self.named = set()  # (output, mistake) of the properties so far
        self.crashes = {}  # strategy, steps answered -> smallest case where the function raises
        self.since = (0.0, 0.0)  # what the student's function had used before this property

    def outcome(self, prop):
        """The Outcome of one property."""
        outcome = Outcome(prop.title, 0, prop.points, "fail")
        self.since = self.student.used()
        try:
            with np.errstate(all="ignore"):
                found = self.smallest_failure(prop)
        except Final as final:
            outcome.status = "todo" if final.trouble.kind == "todo" else "fail"
            outcome.sentence = final.trouble.text
            return outcome
        except Exception as error:  # a check met a value that it did not reckon with
            outcome.sentence = f"what came cannot be judged: {type(error).__name__}: {error}"[:300]
            return outcome
        if found is None:
            outcome.points, outcome.status = prop.points, "pass"
            return outcome
        case, failure, outcome.mistake = found
        outcome.sentence = failure.sentence
        if (prop.output, outcome.mistake) in self.named:
            return outcome  # an earlier property shows it with an input
        values = case.inputs if case.g is None else case.inputs | {"g": case.g}
        outcome.inputs = {name: show(value) for name, value in values.items()}
        if failure.expected is not None:
            outcome.name = failure.name
            outcome.expected, outcome.got = show_both(failure.expected, failure.got)
        if outcome.mistake:
            self.named.add((prop.output, outcome.mistake))
        return outcome

    def smallest_failure(self, prop):
        """(case, Failure, known mistake or "") for the smallest case found on which the property
        fails, or None. A mistake that an earlier property showed is not made small again."""
        for case in self.cases(prop):
            failure, steps = self.examine(prop, case)
            if failure:
                break
            if self.student.slow(PATIENCE, self.since):
                raise Final(Trouble("time", f"too slow: the calls took over {PATIENCE:g} s"))
        else:
            return None
        if steps is None:  # a wrong value: stay with wrong values
            again = self.named_mistake(prop, case) if self.named else ""
            if (prop.output, again) in self.named:
                return case, failure, again
            smallest = self.shrink(prop, lambda case: self.examine(prop, case), None)
        else:  # no value: the same input for each property that meets it
            key = (prop.cases, steps)
            if key not in self.crashes:
                self.crashes[key] = self.shrink(prop, lambda case: self.examine(prop, case), steps)
            smallest = self.crashes[key]
        smaller = self.examine(prop, smallest)[0] if smallest else None
        if smaller:
            case, failure = smallest, smaller
        known = self.named_mistake(prop, case) if failure.expected is not None else ""
        return case, failure, known

    def cases(self, prop):
        """The inputs of a property; properties with one strategy see the same."""
        key = (self.seed, prop.cases, prop.examples)
        if key not in DRAWN:
            DRAWN[key] = cases = []
            with contextlib.suppress(hypothesis.errors.NoSuchExample):
                self.search(prop, lambda case: cases.append(case))
            for case in cases:  # no check may change what the next submission is asked
                for array in [*case.inputs.values(), case.g]:
                    if isinstance(array, np.ndarray):
                        array.flags.writeable = False
        return DRAWN[key]

    def search(self, prop, condition):
        settings = hypothesis.settings(
            max_examples=prop.examples,
            phases=[Phase.generate, Phase.shrink],
            database=None,
            deadline=None,
        )
        draws = random.Random(self.seed)
        hypothesis.find(prop.cases, lambda c: bool(condition(c)), settings=settings, random=draws)

    def shrink(self, prop, examine, kind):
        """The smallest case found whose failure is of this kind; None if there was none."""
        smallest = None
        left = SHRINKING
        asked = self.student.asked

        def fails(case):
            nonlocal smallest, left
            failure, steps = examine(case)
            if smallest is not None:
                left -= 1
                many = self.student.asked - asked > MOST_CALLS
                if left < 0 or many or self.student.slow(PATIENCE, self.since):
                    raise Enough
            if failure and steps == kind:
                smallest = case
                return True
            return False

        with contextlib.suppress(Enough, hypothesis.errors.NoSuchExample):
            self.search(prop, fails)
        return smallest

    def examine(self, prop, case):
        """(Failure or None, None), or (Failure, steps answered) where the function gave nothing."""
        try:
            return prop.check(case, self.call), None
        except Unanswered as unanswered:
            if unanswered.trouble.kind != "exception":
                raise Final(unanswered.trouble) from None
            return Failure(unanswered.trouble.text), unanswered.steps

    def call(self, case):
        gradients = len(self.exercise.outputs) - 1
        answer = self.student.call(list(case.inputs.values()), case.g, gradients)
        return Asked(self.exercise, answer)

    def named_mistake(self, prop, smallest):
        """The mistake that gives what the function gave, on every case where it gave something."""
        known = [m for m in self.exercise.mistakes if m.output == prop.output]
        forward = prop.output == self.exercise.outputs[0]  # the backward pass may hang: no matter
        tried = []
        for case in [smallest, *self.cases(prop)] if known else []:
            with contextlib.suppress(Unanswered):
                asked = self.call(Case(case.inputs) if forward else case)
                tried.append((case, asked[prop.output]))
        for mistake in known:
            if tried and all(same(mistake.value(case), got) for case, got in tried):
                return mistake.title
        return ""


# -- values as Python ------------------------------------------------------------------------------
def show(value, precision=6):
    """A value that can be pasted into Python."""
    if not isinstance(value, np.ndarray):
        return repr(value)[:200]
    if value.size > LARGEST_SHOWN:
        return f"an array of shape {value.shape}, dtype {value.dtype}"
    text = np.array2string(
        value, separator=", ", precision=precision, floatmode="maxprec", prefix="np.array("
    )
    kind = "" if value.dtype == np.float64 else f", dtype=np.{value.dtype}"
    return f"np.array({text}{kind})"


def show_both(expected, got):
    """Two values with as many digits as show that they differ."""
    for precision in (4, 6, 9, 17):
        texts = show(expected, precision), show(got, precision)
        if texts[0] != texts[1]:
            break
    return texts
