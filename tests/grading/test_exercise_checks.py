"""Every exercise: the solution has all points, the starter none, each known mistake its name."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from minivit.grading import judge, starter, submission
from minivit.grading.exercise import registry
from minivit.grading.process.runner import Answer
from tests.grading import here

FOLDER = Path(__file__).parents[2] / "exercises"
OTHERS = [e for e in registry().values() if e.function != "layer_norm"]  # test_exercises.py
MISTAKES = [(e, m) for e in OTHERS for m in e.mistakes]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Little shrinking: which mistake it is, all inputs say."""
    monkeypatch.setattr(judge, "SHRINKING", 3)


def by_name(value):
    return getattr(value, "function", None) or getattr(value, "title", None)


def verdict_on(text, exercise):
    answer = submission.Submission("answer.py", [("answer.py", 1, text)])
    return judge.judge(exercise, answer)


class Mistaken:
    """A student's function that is right but for one output, and runs here: nothing is hostile."""

    printed, asked = "", 0

    def __init__(self, exercise, mistake):
        self.exercise, self.mistake = exercise, mistake

    def used(self):
        return 0.0, 0.0

    def slow(self, seconds, since):
        return False

    def call(self, inputs, g=None, gradients=0, others=()):
        names = self.names
        case = type(self.case)(dict(zip(names, inputs)), g)
        values = {}
        for name in self.exercise.outputs if g is not None else self.exercise.outputs[:1]:
            values[name] = self.truth(case)[name]
        if self.mistake.output in values:
            values[self.mistake.output] = self.mistake.value(case)
        first, *rest = values.values()
        shared, again = [None] * (1 + len(rest)), [first, first, *rest]
        steps = 3 if others else 2 if rest else 1
        kept = [False] * (1 + len(rest))
        return Answer(np.asarray(first), rest, [*inputs, g], shared, again, kept, None, steps)


def judging(exercise, mistake):
    """A Judge whose student makes this mistake."""
    import importlib

    student = Mistaken(exercise, mistake)
    module = f"minivit.grading.checks.{exercise.function}"
    student.truth = importlib.import_module(module).truth
    found = judge.Judge(exercise, student, seed=0)
    student.case = found.cases(exercise.properties[0])[0][0]
    student.names = list(student.case.inputs)
    return found


@pytest.mark.parametrize("exercise", OTHERS, ids=by_name)
def test_the_solution_has_all_points(exercise):
    text = (FOLDER / "source" / f"{exercise.stem}.py").read_text("utf-8")
    if exercise.number % 6 == 0:  # in a process of its own, as in grading
        verdict = verdict_on(text, exercise)
        assert verdict.points == verdict.max_points == exercise.points, verdict.outcomes
    assert here.points(exercise, text) == exercise.points


@pytest.mark.parametrize("exercise", OTHERS, ids=by_name)
def test_the_starter_has_no_point_and_names_its_task(exercise):
    source = (FOLDER / "source" / f"{exercise.stem}.py").read_text("utf-8")
    verdict = verdict_on(starter.script(source, exercise), exercise)
    assert verdict.points == 0
    assert all(o.status == "todo" for o in verdict.outcomes)
    assert f"Exercise {exercise.number}, {exercise.function}:" in verdict.outcomes[0].sentence
    assert exercise.section in verdict.outcomes[0].sentence


@pytest.mark.parametrize("exercise", OTHERS, ids=by_name)
def test_the_named_section_of_the_lecture_exists(exercise):
    lectures = (FOLDER.parent / "lectures" / "src").glob("*.py")
    texts = (p.read_text("utf-8") for p in lectures)
    text = next(t for t in texts if f"# # {exercise.lecture}" in t)
    assert f" {exercise.section} (" in text


@pytest.mark.parametrize("exercise, mistake", MISTAKES, ids=by_name)
def test_each_mistake_costs_points_and_is_named(exercise, mistake):
    """In at least one of the properties where it changes the result."""
    found = judging(exercise, mistake)
    outcomes = (found.outcome(p) for p in exercise.properties if p.output == mistake.output)
    assert any(o.status == "fail" and o.mistake == mistake.title for o in outcomes)


@pytest.mark.parametrize("exercise", OTHERS, ids=by_name)
def test_there_are_five_kinds_of_wrong(exercise):
    assert len(exercise.mistakes) >= 5
    assert len({(m.output, m.title) for m in exercise.mistakes}) == len(exercise.mistakes)


@pytest.mark.parametrize("exercise", OTHERS, ids=by_name)
def test_an_answer_of_zeros_earns_next_to_nothing(exercise):
    """Points only where zeros are right."""
    found = judging(exercise, exercise.mistakes[0])
    right = found.student.truth

    def zeros(inputs, g=None, gradients=0, others=()):
        case = type(found.student.case)(dict(zip(found.student.names, inputs)), g)
        first, *rest = (np.zeros_like(v) for v in right(case).values())
        rest = rest if g is not None else []
        again, kept = [first, first, *rest], [False] * (1 + len(rest))
        return Answer(first, rest, [*inputs, g], [None] * len(again), again, kept, None, 3)

    found.student.call = zeros
    assert [p.title for p in exercise.properties if found.first_failure(p) is None] == []


@pytest.mark.parametrize("exercise", registry().values(), ids=by_name)
def test_the_page_says_what_a_student_needs(exercise):
    page = (FOLDER / f"{exercise.stem}.md").read_text("utf-8")
    source = (FOLDER / "source" / f"{exercise.stem}.py").read_text("utf-8")
    flat = " ".join(page.split())
    assert page.startswith(f"# Exercise {exercise.number}: {exercise.title}\n")
    for part in ("**Goal.**", "**Where.** Lecture", "**Start.**", "## The equations", "## Hints"):
        assert part in page, part
    assert f'Lecture "{exercise.lecture}"' in flat and f'section "{exercise.section}"' in flat
    assert f"`minivit check {exercise.number}`" in flat
    minutes = re.search(r"About (\d+) minutes; 10 points, and 2 for the explanation", flat)[1]
    assert 20 <= int(minutes) <= 60
    readme = (FOLDER / "README.md").read_text("utf-8")
    row = f"| {exercise.number} | [{exercise.title}]({exercise.stem}.md) | {exercise.lecture} | "
    assert f"{row}{minutes} min |" in readme
    assert f"(About {minutes} minutes.)" in " ".join(source.replace("\n#", "\n").split())
    checked = page.split("## What is checked")[1].split("## ")[0]
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \|$", checked, re.M)
    assert [(t, float(n)) for t, n in rows] == [(p.title, p.points) for p in exercise.properties]
    assert exercise.points == 10
    hints = page.split("## Hints")[1]  # folded away
    assert hints.count("<details><summary>") == hints.count("</details>") >= 3
    assert not re.sub(r"<details>.*?</details>", "", hints, flags=re.S).strip()
    question = source.split("# ## Explain")[1].split("# %%")[0]
    assert "a person reads" in " ".join(question.replace("#", "").split())


def lengths(page, case):
    """{letter: length} of a case, by the table of shapes on the exercise's page."""
    table = page.split("## The equations")[1].split("## What is checked")[0]
    found = {n: v for n, v in case.inputs.items() if n in ("rows", "columns", "height", "width")}
    for names, cell in re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.M):
        names, shapes = re.findall(r"`(\w+)`", names), re.findall(r"`[(\[](.*?)[)\]]`", cell)
        for name, shape in zip(names, shapes * len(names) if len(shapes) == 1 else shapes):
            value = case.inputs.get(name)
            sizes = value if isinstance(value, list) else np.shape(value)
            letters = [letter.strip() for letter in shape.split(",") if letter.strip()]
            if len(letters) == len(sizes):
                found |= {a: n for a, n in zip(letters, sizes) if re.fullmatch(r"[\w']+", a)}
    return found


@pytest.mark.parametrize("exercise", registry().values(), ids=by_name)
def test_any_two_lengths_are_equal_in_some_inputs_and_differ_in_others(exercise):
    """No answer can exchange two axes unseen, nor tell them from one another by their lengths."""
    page = (FOLDER / f"{exercise.stem}.md").read_text("utf-8")
    seen = set()
    for prop in exercise.properties[:-1]:  # not the rules of the house
        for case, _ in judge.Judge(exercise, None, judge.PUBLIC).cases(prop):
            found = lengths(page, case)
            seen |= {(a, b, found[a] == found[b]) for a, b in combinations(sorted(found), 2)}
    pairs = {(a, b) for a, b, _ in seen}
    one = "unbroadcast hide_tokens next_distribution merge_pair chain_rule layer_norm adamw_step"
    assert pairs or exercise.function in one.split()
    assert {(a, b, same) for a, b in pairs for same in (True, False)} == seen
