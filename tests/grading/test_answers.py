"""Answers as students write them: right ones have all points, each planted mistake its name."""

import ast
from pathlib import Path

import pytest

from minivit.grading import judge, report, submission
from minivit.grading.exercise import registry
from tests import answers
from tests.clock import pace
from tests.grading import here
from tests.grading.test_exercises import run_cli

GRADING_SEED = 20_260
SEED = 3  # the inputs of test_judging.py
EXERCISES = list(registry().values())
RIGHT = [a for e in EXERCISES for a in answers.of(e) if a.mistake is None]
FOLDER = Path(__file__).parents[2] / "exercises"


def judged(answer, seed=0):
    """(points, {(output, mistake)}) of an answer, in a process of its own as in grading."""
    cells = submission.Submission("answer.py", [("answer.py", 1, answer.text)])
    verdict = judge.judge(answer.exercise, cells, seed=seed)
    pairs = zip(answer.exercise.properties, verdict.outcomes)
    return verdict.points, {(p.output, o.mistake) for p, o in pairs if o.mistake}


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.function)
def test_there_are_two_right_answers_and_each_mistake_is_planted(exercise):
    found = answers.of(exercise)
    right = [a.text for a in found if a.mistake is None]
    source = (FOLDER / "source" / f"{exercise.stem}.py").read_text("utf-8")
    assert len({ast.dump(ast.parse(text)) for text in [*right, source]}) >= 3
    assert {a.mistake for a in found if a.mistake} == {
        (m.output, m.title) for m in exercise.mistakes
    }
    wrong = [ast.dump(ast.parse(a.text)) for a in found if a.mistake]
    assert len(set(wrong)) == len(wrong) >= 5 and not {*wrong} & {ast.dump(ast.parse(t))
                                                                  for t in right}  # fmt: skip
    assert all(a.points < exercise.points for a in found if a.mistake)


NAMES = [f"{a.exercise.function} {a.name}" for a in RIGHT]


@pytest.mark.parametrize("answer", RIGHT, ids=NAMES)
def test_a_right_answer_has_all_points(answer):
    assert here.points(answer.exercise, answer.text, SEED) == answer.exercise.points


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("answer", RIGHT, ids=NAMES)
def test_a_right_answer_has_all_points_with_twenty_seeds(answer):
    for seed in range(20):
        assert here.points(answer.exercise, answer.text, seed) == answer.exercise.points


# by default three in processes of their own, as in grading; all of them at night
@pytest.mark.parametrize(
    "answer",
    [pytest.param(a, marks=[] if i % 16 == 1 else pytest.mark.slow) for i, a in enumerate(RIGHT)],
    ids=NAMES,
)
def test_a_right_answer_has_all_points_and_no_mistake(answer):
    assert judged(answer, GRADING_SEED) == (answer.exercise.points, set())


@pytest.mark.parametrize(
    "exercise",
    [pytest.param(e, marks=[] if e.number % 8 == 2 else pytest.mark.slow) for e in EXERCISES],
    ids=lambda e: e.function,
)
def test_a_right_answer_is_checked_in_three_seconds_of_processor_time(exercise, tmp_path):
    path, before = FOLDER / "source" / f"{exercise.stem}.py", pace()
    status, out, err, spent = run_cli("check", exercise.number, path, "--results",
                                      tmp_path / "results.json", cwd=tmp_path)  # fmt: skip
    assert status == 0 and err == "" and "points: 10/10" in out
    assert spent / max(before, pace()) <= 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.function)
def test_every_planted_answer_has_its_points_and_each_mistake_its_name(exercise):
    """With the inputs of grading; with those of the students, the names."""
    wrong = [a for a in answers.of(exercise) if a.mistake]
    verdicts = [[judged(a, seed) for seed in (0, GRADING_SEED)] for a in wrong]
    points = [(a.name, a.points, v[1][0]) for a, v in zip(wrong, verdicts)]
    assert [p for p in points if p[1] != p[2]] == []
    missed = [a.name for a, v in zip(wrong, verdicts) for _, named in v if a.mistake not in named]
    assert missed == []


def test_a_mistake_is_shown_once_with_an_input_and_then_referred_to():
    exercise = next(e for e in EXERCISES if e.function == "attention")
    answer = next(a for a in answers.of(exercise) if a.mistake and a.points == 2)
    cells = submission.Submission("answer.py", [("answer.py", 1, answer.text)])
    verdict = judge.judge(exercise, cells)
    assert [bool(o.inputs) for o in verdict.outcomes[:3]] == [True, False, False]
    assert [o.mistake for o in verdict.outcomes[:3]] == [answer.mistake[1]] * 3
    shown = report.report(verdict)
    assert shown.count("the same mistake as in 1") == 2 and shown.count("known mistake") == 1


def test_the_class_of_the_benchmark_has_every_kind():
    from benchmarks import classroom as benchmark

    students = benchmark.a_class(300, "")
    kinds = {k: sum(s.kind == k for s in students) for k in ("right", "wrong", "hostile", "broken")}
    assert len(students) >= 300 and min(kinds.values()) >= 12 and kinds["hostile"] >= 30
    planted = {(s.exercise.number, s.mistake) for s in students if s.mistake}
    assert len(planted) == sum(len(e.mistakes) for e in EXERCISES)
    assert all(0 <= s.points <= s.exercise.points for s in students)


@pytest.mark.slow
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.function)
def test_points_are_those_of_the_table(exercise):
    for answer in answers.of(exercise):
        assert here.points(exercise, answer.text, GRADING_SEED) == answer.points, answer.name
