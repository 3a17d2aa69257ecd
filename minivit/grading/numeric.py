"""A derivative doubted by its reader: the vjp of an exercise beside differences of its function.

gradient_errors(layer_norm, x, gamma, beta, 1e-5)
"""

import numpy as np

from minivit.grading.exercise import SubmissionError


def gradient_errors(function, *inputs, seed=0, step=1e-6):
    """Print and return, for each gradient, its relative error: {number of the argument: error}.

    `function(*inputs)` returns (y, vjp). With a random g, each number of each array of floats is
    moved by `step` both ways: (L(x + step) - L(x - step)) / (2 step), L = sum of g y. The error is
    |vjp - difference| / (|vjp| + |difference|), in lengths: about 1e-8 where the derivative is
    right, more than 1e-3 where it is not.
    """
    if not callable(function):
        raise SubmissionError(
            f"gradient_errors: expected a function first, and then its arguments; got {function!r}"
        )
    inputs = [np.array(x, float) if _floats(x) else x for x in inputs]
    answer, places = function(*inputs), [i for i, x in enumerate(inputs) if _floats(x)]
    if not isinstance(answer, (tuple, list)) or len(answer) != 2 or not callable(answer[1]):
        raise SubmissionError(
            f"gradient_errors: {function.__name__} gave {type(answer).__name__}, expected (y, vjp)"
        )
    y, vjp = answer
    g = np.random.default_rng(seed).normal(size=np.shape(y))
    found = vjp(g if np.ndim(y) else g.reshape(()))
    found = [found] if isinstance(found, np.ndarray) else list(found)
    if len(found) != len(places):
        raise SubmissionError(
            f"gradient_errors: vjp(g) gave {len(found)} gradients, expected {len(places)}: one for "
            "each argument that is an array of floats"
        )
    errors = {}
    for gradient, place in zip(found, places):
        right = np.zeros(inputs[place].shape)
        for index in np.ndindex(right.shape):
            ends = []
            for sign in (1, -1):
                moved = inputs[place].copy()
                moved[index] += sign * step
                ends.append((g * function(*inputs[:place], moved, *inputs[place + 1 :])[0]).sum())
            right[index] = (ends[0] - ends[1]) / (2 * step)
        if np.shape(gradient) != right.shape:
            print(f"argument {place + 1}: shape {np.shape(gradient)}, expected {right.shape}")
            errors[place + 1] = np.inf
            continue
        size = np.linalg.norm(gradient) + np.linalg.norm(right)
        errors[place + 1] = float(np.linalg.norm(gradient - right) / size) if size else 0.0
        verdict = "right" if errors[place + 1] < 1e-5 else "look again"
        print(f"argument {place + 1}: relative error {errors[place + 1]:.1e}, {verdict}")
    return errors


def _floats(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"
