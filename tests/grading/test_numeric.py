"""Students doubt a derivative themselves: small errors where it is right, large ones elsewhere."""

import numpy as np
import pytest

from minivit.grading import gradient_errors
from minivit.grading.exercise import SubmissionError

X = np.random.default_rng(1).normal(size=(2, 3))


@pytest.mark.parametrize("scale, right", [(1.0, True), (1.01, False), (-1.0, False), (0.0, False)])
def test_a_derivative_is_told_from_one_that_is_scaled(scale, right, capsys):
    errors = gradient_errors(lambda x, n: (x**n, lambda g: (scale * n * g * x ** (n - 1),)), X, 3)
    assert (errors[1] < 1e-7) is right and (errors[1] > 1e-3) is not right
    assert ("right" if right else "look again") in capsys.readouterr().out


def test_a_gradient_of_another_shape_and_one_without_a_tuple(capsys):
    assert gradient_errors(lambda x: (x.sum(), lambda g: g * np.ones(3)), X) == {1: np.inf}
    assert "expected (2, 3)" in capsys.readouterr().out
    assert gradient_errors(lambda x: (x.sum(), lambda g: g * np.ones((2, 3))), X)[1] < 1e-7


@pytest.mark.parametrize("function, inputs, what", [
    ("layer_norm", (), "expected a function first"),
    (lambda x: x, (np.ones(3),), "gave ndarray, expected \\(y, vjp\\)"),
    (lambda x: (x, x), (np.ones(3),), "gave tuple, expected \\(y, vjp\\)"),
    (lambda x, b: (x, lambda g: (g,)), (np.ones(3), np.ones(3)), "gave 1 gradients, expected 2"),
], ids=range(4))  # fmt: skip
def test_what_is_no_function_with_a_vjp_is_said(function, inputs, what):
    with pytest.raises(SubmissionError, match=what):
        gradient_errors(function, *inputs)
