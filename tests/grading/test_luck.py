"""The same answer has the same points for every seed."""

import pytest

from minivit.grading import judge
from minivit.grading.exercise import find, registry
from tests import answers
from tests.grading import here

BY_NAME = [e.function for e in registry().values()]
FEW = [a for name in BY_NAME for a in answers.of(find(name)) if a.mistake][::41]
SEED = 3  # the inputs of test_judging.py


@pytest.fixture(autouse=True)
def forgotten():
    """The inputs of other seeds than the tests' two are not kept."""
    yield
    for key in [key for key in judge.DRAWN if key[1] not in (judge.PUBLIC, SEED)]:
        del judge.DRAWN[key]


@pytest.mark.parametrize("answer", FEW, ids=lambda a: f"{a.exercise.function} {a.name}")
def test_points_do_not_depend_on_the_seed_for_a_few(answer):
    assert here.points(answer.exercise, answer.text) == answer.points
    assert here.by_luck(answer.exercise, answer.text, [SEED]) == {}


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", BY_NAME)
def test_points_do_not_depend_on_the_seed(name):
    """Of all answers, right and wrong, over 50 seeds."""
    exercise = find(name)
    for answer in answers.of(exercise):
        assert here.points(exercise, answer.text) == answer.points, answer.name
        assert here.by_luck(exercise, answer.text, range(1, 50)) == {}, answer.name


@pytest.mark.parametrize("name", BY_NAME)
def test_what_the_public_checks_ask_is_asked_with_every_seed(name):
    """What a student can see to be wrong is wrong in grading."""
    prop = find(name).properties[0]
    public, graded = ([case for case, _ in judge.Judge(find(name), None, seed).cases(prop)]
                      for seed in (judge.PUBLIC, SEED))  # fmt: skip
    assert {id(case) for case in public} < {id(case) for case in graded}
