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
from minivit.grading.exercise import CannotJudge, Case, Failure
from minivit.grading.process import student_class
from minivit.grading.process.runner import Limits, Trouble
from minivit.grading.report import show_both, shown

SHRINKING = 100  # inputs tried after the first failing one, and
MOST_CALLS = 2000  # calls of the student's function in that time
FAILED = "The grading itself failed"  # how the trouble of a verdict begins that is none
DRAWN = {}  # strategy, seed, examples -> its cases
PUBLIC = 0  # the seed of the checks that students run
FEWEST = 15  # inputs of a strategy
HANGS = 2  # inputs that are tried for a smaller one that hangs
PATIENCE = 5.0  # seconds for the calls of a property, as in Limits; one of about 60 takes 0.4 ms


@dataclass
class Outcome:
    """The outcome of one property: "waiting", "pass", "fail" or "todo", and why, as text."""

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


def judge(exercise, submission, *, seed=PUBLIC, limits=None, results=None, student=None):
    """The Verdict on the cells of `submission`. `results`, a path or a function of the verdict, is
    written (called) at once and then after each property.

    Another `seed` adds other inputs: grading has its own. `student`: the class that calls the
    function, where it is not the one of this platform.
    """
    verdict = new_verdict(exercise, submission.where)

    def save():
        if callable(results):
            results(verdict)
        elif results is not None:
            verdict.write(results)

    save()
    verdict.trouble = submission.trouble
    student = student or student_class()
    with student(submission.cells, exercise.function, limits or Limits()) as asked:
        judging = Judge(exercise, asked, seed)
        for i, prop in enumerate(exercise.properties):
            if not verdict.trouble:
                verdict.outcomes[i] = judging.outcome(prop)
                save()
        verdict.printed = asked.printed
    verdict.complete = True
    save()
    return verdict


class Asked:
    """An answer of the student's function, indexed by the names of the exercise's outputs."""

    def __init__(self, exercise, answer):
        self._names, self._answer = exercise.outputs, answer

    def __getitem__(self, name):
        index = self._names.index(name)
        answer = self._having(min(index, 1) + 1)
        return answer.value if index == 0 else answer.gradients[index - 1]

    def _having(self, steps):
        if self._answer.steps < steps:
            raise Unanswered(self._answer.trouble, self._answer.steps)
        return self._answer

    after = property(lambda self: self._having(2).after)
    shared = property(lambda self: self._having(2).shared)
    again = property(lambda self: self._having(3).again)
    kept = property(lambda self: self._having(3).kept)


class Unanswered(Exception):
    """There is no such output: `trouble` says why."""

    def __init__(self, trouble, steps):
        super().__init__(trouble.text)
        self.trouble, self.steps = trouble, steps


class Final(BaseException):
    """Ends a search at once. (Hypothesis replays an Exception, and a hang again is a hang.)"""

    def __init__(self, trouble, case=None):
        super().__init__(trouble.text)
        self.trouble, self.case = trouble, case


class Enough(BaseException):
    """Ends shrinking: the smallest failing input so far will do."""


class Judge:
    """The properties of one exercise, asked of one student's function."""

    def __init__(self, exercise, student, seed):
        self.exercise, self.student, self.seed = exercise, student, seed
        self.named = set()  # (output, mistake) of the properties so far
        self.passed = []  # properties
        self.unnamed = set()  # outputs that are wrong where no mistake explains it
        self.said = set()  # sentences of them
        self.crashes = {}  # strategies, steps answered -> smallest case where the function raises
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
            if final.case is not None and outcome.sentence not in self.said:
                outcome.inputs = shown(self.smaller_hang(prop, final.case))
            self.said.add(outcome.sentence)
            return outcome
        except CannotJudge:
            raise
        except Exception as error:  # a check met a value that it did not reckon with
            outcome.sentence = f"what came cannot be judged: {type(error).__name__}: {error}"[:300]
            return outcome
        if found is None:
            outcome.points, outcome.status = prop.points, "pass"
            self.passed.append(prop)
            return outcome
        case, failure, outcome.mistake = found
        outcome.sentence = failure.sentence
        if (prop.output, outcome.mistake) in self.named:
            return outcome  # an earlier property shows it with an input
        if not outcome.mistake and outcome.sentence not in self.said and self.alone(prop, case):
            outcome.sentence += (
                ". As the first call of a fresh process this input comes out right: the result "
                "depends on earlier calls (a global, a mutable default, an array that is reused)"
            )
        self.said.add(failure.sentence)
        outcome.inputs = shown(case)
        if failure.expected is not None:
            outcome.name = failure.name
            outcome.expected, outcome.got = show_both(failure.expected, failure.got)
        if outcome.mistake:
            self.named.add((prop.output, outcome.mistake))
        return outcome

    def first_failure(self, prop):
        """(case, Failure, steps) of the first input on which the property fails, or None."""
        works = not prop.works
        for case, _ in self.cases(prop):
            failure, steps = self.examine(prop, case)
            if failure:
                return case, failure, steps
            if self.student.slow(PATIENCE, self.since):
                raise Final(Trouble("time", f"too slow: the calls took over {PATIENCE:g} s"))
            works = works or np.any(self.call(case)[self.exercise.outputs[0]])
        return None if works else (case, Failure(f"{self.exercise.outputs[0]} is always 0"), None)

    def smallest_failure(self, prop):
        """(case, Failure, known mistake or "") for the smallest case found on which the property
        fails, or None. A mistake that an earlier property showed is not made small again."""
        first = self.first_failure(prop)
        if first is None:
            return None
        case, failure, steps = first
        if steps is None:  # a wrong value: stay with wrong values
            again = self.named_mistake(prop, case) if self.named else ""
            if (prop.output, again) in self.named:
                return case, failure, again
            smallest = self.shrink(prop, steps)
        else:  # no value: the same input for each property that meets it
            key = (prop.cases, steps)
            if key not in self.crashes:
                self.crashes[key] = self.shrink(prop, steps)
            smallest = self.crashes[key]
        smaller = self.examine(prop, smallest)[0] if smallest else None
        if smaller:
            case, failure = smallest, smaller
        if failure.expected is None or prop.output in self.unnamed:
            return case, failure, ""  # a mistake that looks like it on special inputs is not it
        known = self.named_mistake(prop, case)
        if not known and np.isfinite(failure.got).all():
            self.unnamed.add(prop.output)
        return case, failure, known

    def cases(self, prop):
        """The inputs of a property, each with its (strategy, seed).

        Those of the public checks are always among them, and half as many of the seed's own: what a
        student can see to be wrong is wrong in grading too, whatever its seed.
        """
        found = []
        for strategy in prop.strategies:
            found += drawn(strategy, PUBLIC, share(prop))
            if self.seed != PUBLIC:
                found += drawn(strategy, self.seed, share(prop) // 2)
        return found

    def shrink(self, prop, kind):
        """The smallest case found whose failure is of this kind (the steps answered); or None.

        Shapes first: of all inputs the one with the fewest numbers. From that on, hypothesis."""
        failing = []
        for case, source in self.cases(prop):
            failure, steps = self.examine(prop, case)
            if failure and steps == kind:
                failing.append((case.size, len(failing), case, source))
            if self.student.slow(PATIENCE, self.since):
                break
        if not failing:
            return None
        most, _, smallest, source = min(failing)
        left, asked = SHRINKING, self.student.asked
        shrinking = False

        def fails(case):
            nonlocal smallest, left, shrinking
            if case.size > most:
                return False
            failure, steps = self.examine(prop, case)
            left -= shrinking
            many = self.student.asked - asked > MOST_CALLS
            if left < 0 or many or self.student.slow(PATIENCE, self.since):
                raise Enough
            if failure and steps == kind:
                smallest, shrinking = case, True
                return True
            return False

        with contextlib.suppress(Enough, hypothesis.errors.NoSuchExample):
            search(*source, share(prop), fails)
        return smallest

    def examine(self, prop, case):
        """(Failure or None, None), or (Failure, steps answered) where the function gave nothing."""
        try:
            return prop.check(case, self.call), None
        except Unanswered as unanswered:
            trouble = unanswered.trouble
            if trouble.kind != "exception":
                raise Final(trouble, case if trouble.by_input else None) from None
            return Failure(trouble.text), unanswered.steps

    def call(self, case):
        gradients = len(self.exercise.outputs) - 1
        others = {"others": [list(o.inputs.values()) for o in case.others]} if case.others else {}
        answer = self.student.call(list(case.inputs.values()), case.g, gradients, **others)
        return Asked(self.exercise, answer)

    def smaller_hang(self, prop, case):
        """An input with fewer numbers that hangs too, of a few that are tried: each costs time."""
        sizes = sorted((c.size, i, c) for i, (c, _) in enumerate(self.cases(prop)))
        for size, _, other in sizes[:HANGS]:
            if size < case.size:
                try:
                    self.examine(prop, other)
                except Final as final:
                    if final.trouble.by_input:
                        return other
        return case

    def alone(self, prop, case):
        """True if the property holds for this case when nothing has been asked before."""
        if not hasattr(self.student, "fresh"):
            return False
        with self.student.fresh() as student:
            try:
                failure = Judge(self.exercise, student, self.seed).examine(prop, case)[0]
            except Final:
                return False
        return failure is None

    def named_mistake(self, prop, smallest):
        """The mistake that gives what the function gave, on every case where it gave something.

        On the inputs of this property and of those that passed; where several do, the one that does
        so on all inputs of the properties with this output. If that leaves more than one there is
        no difference to name, and if it leaves none, what they have in common is not the mistake.
        """
        known = [m for m in self.exercise.mistakes if m.output == prop.output]
        tried = self.answers(prop, [smallest, *(c for c, _ in self.cases(prop))]) if known else []
        if not tried:
            return ""
        known = [m for m in known if all(m.gives(case, got) for case, got in tried)]
        several = len(known) > 1
        for other in self.exercise.properties if several else self.passed if known else ():
            if other.output == prop.output and other is not prop:
                tried = self.answers(prop, [c for c, _ in self.cases(other)])
                known = [m for m in known if all(m.gives(c, got) for c, got in tried)]
        return known[0].title if known else ""

    def answers(self, prop, cases):
        """[(case, what the function gave)], without the cases where it gave nothing."""
        forward = prop.output == self.exercise.outputs[0]  # the backward pass may hang: no matter
        tried = []
        for case in cases:
            with contextlib.suppress(Unanswered):
                asked = self.call(Case(case.inputs) if forward else case)
                tried.append((case, asked[prop.output]))
        return tried


def drawn(strategy, seed, examples):
    """[(case, (strategy, seed))], the same for every submission."""
    key = (strategy, seed, examples)
    if key not in DRAWN:
        DRAWN[key] = cases = []
        with contextlib.suppress(hypothesis.errors.NoSuchExample):
            search(*key, cases.append)
        for case in cases:  # no check may change what the next submission is asked
            for each in (case, *case.others):
                for array in [*each.inputs.values(), each.g]:
                    if isinstance(array, np.ndarray):
                        array.flags.writeable = False
    return [(case, (strategy, seed)) for case in DRAWN[key]]


def search(strategy, seed, examples, condition):
    settings = hypothesis.settings(
        max_examples=examples,
        phases=[Phase.generate, Phase.shrink],
        database=None,
        deadline=None,
    )
    draws = random.Random(seed)
    hypothesis.find(strategy, lambda c: bool(condition(c)), settings=settings, random=draws)


def share(prop):
    """The number of inputs that each strategy of a property makes."""
    return max(FEWEST, prop.examples // len(prop.strategies))
