"""Exercise 17: the forward and backward pass of LayerNorm.

    y = γ n + β,  n = (x - μ) s,  s = 1/√(σ² + ε),  μ and σ² over the last axis

Ba, Kiros and Hinton, Layer Normalization, 2016.
"""

from types import SimpleNamespace

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Failure, Mistake, Property, compare
from minivit.grading.properties import (
    FLOATS,
    equals,
    idle,
    keeps_dtype,
    leaves_nothing_behind,
    numbers,
)


def symbols(case):
    """Everything in the derivation by its letter, and the outputs y, gx, ggamma, gbeta."""
    x, gamma, beta, eps = case.inputs.values()
    g = np.zeros_like(x) if case.g is None else case.g
    p = SimpleNamespace(x=x, gamma=gamma, beta=beta, eps=eps, g=g, D=x.shape[-1])
    p.rest = tuple(range(x.ndim - 1))  # every axis but the last
    p.c = x - mean(x)
    p.var = mean(p.c**2)
    p.s = 1 / np.sqrt(p.var + eps)
    p.n = p.c * p.s
    p.h = p.g * gamma
    p.y = p.n * gamma + beta
    p.gx = p.s * (p.h - mean(p.h) - p.n * mean(p.h * p.n))
    p.ggamma = (p.g * p.n).sum(p.rest)
    p.gbeta = p.g.sum(p.rest)
    return p


def mean(a, axis=-1):
    return a.mean(axis, keepdims=True)


# -- inputs: small whole numbers; no two axes of one length, or all --------------------------------
SHAPES = {
    rank: st.lists(st.integers(1, 4), min_size=rank, max_size=rank, unique=True)
    .map(tuple)
    .filter(lambda shape: shape[-1] >= 3)
    for rank in (2, 3, 4)
}


@st.composite
def cases(draw, rank=2, dtype=np.float64, epsilons=(1e-5, 0.1, 0.5), constant=False, square=False):
    """x (..., D) with D ≥ 3, γ and β (D,), ε, g as x; rows all equal numbers where `constant`."""
    shape = (draw(st.integers(3, 4)),) * rank if square else draw(SHAPES[rank])
    if constant:
        x = np.repeat(numbers(draw, (*shape[:-1], 1), dtype), shape[-1], -1)
    else:
        x = numbers(draw, shape, dtype)
        x[..., -1] += np.ptp(x, axis=-1) == 0  # no row is constant
    gamma, beta = (numbers(draw, shape[-1:], dtype) for _ in "γβ")
    g, eps = numbers(draw, shape, dtype), draw(st.sampled_from(epsilons))
    return Case({"x": x, "gamma": gamma, "beta": beta, "eps": eps}, g)


# -- properties ------------------------------------------------------------------------------------
OUTPUTS = ("y", "gx", "ggamma", "gbeta")


def truth(case):
    outputs = OUTPUTS[:1] if case.g is None else OUTPUTS
    return {name: getattr(symbols(case), name) for name in outputs}


def equals_where_variance_is_zero(case, call):
    """y and gx; the other gradients do not notice."""
    answer, expected = call(case), symbols(case)
    return compare("y", expected.y, answer["y"]) or compare("gx", expected.gx, answer["gx"])


def derivative_of_own_forward(case, call, step=1e-4):
    """Central differences of the student's y, one number of the input at a time."""
    answer = call(case)
    wrong = idle(case, answer, truth)
    if wrong:
        return wrong
    for argument, output in zip(case.inputs, OUTPUTS[1:], strict=False):
        array = case.inputs[argument]
        slope = np.zeros_like(array)
        for i in np.ndindex(array.shape):
            moved = []
            for sign in (1, -1):
                nearby = array.copy()
                nearby[i] += sign * step
                y = call(Case({**case.inputs, argument: nearby}))["y"]
                if not isinstance(y, np.ndarray) or y.shape != case.g.shape:
                    return compare("y", case.g, y)
                moved.append((y * case.g).sum())
            slope[i] = (moved[0] - moved[1]) / (2 * step)
        wrong = compare(output, slope, answer[output], tolerance=1e-5)
        if wrong:
            sentence = f"{output} is not the slope of g · y that central differences of your y show"
            return Failure(sentence, output, slope, answer[output])
    return None


ORDINARY = (cases(rank=3), cases(rank=2), cases(rank=4), cases(square=True))

PROPERTIES = (
    Property("y is LayerNorm of x", 1, ORDINARY, equals("y", truth), "y"),
    Property("gx is the gradient of x", 3, ORDINARY, equals("gx", truth), "gx"),
    Property("ggamma is the gradient of gamma", 1, ORDINARY, equals("ggamma", truth), "ggamma"),
    Property("gbeta is the gradient of beta", 1, ORDINARY, equals("gbeta", truth), "gbeta"),
    Property("vjp is the derivative of your own y (central differences)", 1,
             cases(epsilons=(0.1, 0.5)), derivative_of_own_forward, examples=15),
    Property("rows of equal numbers, variance 0, come out right", 1,
             (cases(constant=True), cases(rank=3, constant=True)), equals_where_variance_is_zero),
    keeps_dtype(truth, "x", 1, tuple(cases(dtype=kind) for kind in FLOATS)),
    leaves_nothing_behind(truth, 1, (cases(), cases(rank=3))),
)  # fmt: skip


# -- mistakes --------------------------------------------------------------------------------------
def outside(p):
    """1/(σ + ε)"""
    return 1 / (np.sqrt(p.var) + p.eps)


def sample(p):
    """1/√(σ² + ε) with the sum of squares divided by D - 1"""
    return 1 / np.sqrt(p.var * p.D / (p.D - 1) + p.eps)


def full(p, s, h=None, divide=None):
    """The backward pass with another `s`, another gradient of n, or other divisors."""
    h = p.h if h is None else h
    n, divide = p.c * s, divide or (p.D, p.D)
    first, second = (t.sum(-1, keepdims=True) for t in (h, h * n))
    return s * (h - first / divide[0] - n * second / divide[1])


def along(p, axis):
    """n with statistics over another axis"""
    c = p.x - mean(p.x, axis)
    return c / np.sqrt(mean(c**2, axis) + p.eps)


WRONG = {
    "y": {
        "eps stands outside of the square root": lambda p: p.c * outside(p) * p.gamma + p.beta,
        "the variance is divided by D - 1, not by D": lambda p: p.c * sample(p) * p.gamma + p.beta,
        "eps is forgotten": lambda p: p.c / np.sqrt(p.var) * p.gamma + p.beta,
        "gamma is forgotten": lambda p: p.n + p.beta,
        "beta is forgotten": lambda p: p.n * p.gamma,
        "gamma and beta have changed places": lambda p: p.n * p.beta + p.gamma,
        "divided by the variance, not by its square root":
            lambda p: p.c / (p.var + p.eps) * p.gamma + p.beta,
        "the mean is not subtracted": lambda p: p.x * p.s * p.gamma + p.beta,
        "mean and variance are taken over the first axis, not the last":
            lambda p: along(p, 0) * p.gamma + p.beta,
        "mean and variance are taken over the tokens, not over the width":
            lambda p: along(p, -2) * p.gamma + p.beta,
        "mean and variance are taken over the whole array":
            lambda p: along(p, None) * p.gamma + p.beta,
    },
    "gx": {
        "the statistics are treated as constants: the mean and the variance depend on x as well":
            lambda p: p.s * p.h,
        "the variance is treated as a constant: it depends on x as well":
            lambda p: p.s * (p.h - mean(p.h)),
        "the mean is treated as a constant: it depends on x as well":
            lambda p: p.s * (p.h - p.n * mean(p.h * p.n)),
        "gamma is forgotten: n is multiplied by it on its way to y":
            lambda p: full(p, p.s, p.g),
        "gamma is multiplied in after the means: it belongs inside of them":
            lambda p: p.gamma * full(p, p.s, p.g),
        "eps stands outside of the square root": lambda p: full(p, outside(p)),
        "eps stands outside of the square root, as in such a forward pass":
            lambda p: outside(p) * (p.h - mean(p.h)
                - p.c * outside(p) * mean(p.h * p.c) / np.sqrt(p.var)),
        "eps is forgotten": lambda p: full(p, 1 / np.sqrt(p.var)),
        "the variance is divided by D - 1, not by D": lambda p: full(p, sample(p)),
        "the variance is divided by D - 1, not by D, as in such a forward pass":
            lambda p: full(p, sample(p), divide=(p.D, p.D - 1)),
        "the sums over the width are divided by D - 1, not by D":
            lambda p: full(p, p.s, divide=(p.D - 1, p.D - 1)),
        "there are sums where means belong: 1/D is missing":
            lambda p: full(p, p.s, divide=(1, 1)),
        "the term of the variance has the wrong sign":
            lambda p: p.s * (p.h - mean(p.h) + p.n * mean(p.h * p.n)),
        "the factor 1/sqrt(var + eps) is missing":
            lambda p: p.h - mean(p.h) - p.n * mean(p.h * p.n),
        "divided by the variance, not by its square root": lambda p: p.s * p.gx,
        "multiplied by sqrt(var + eps), not divided by it": lambda p: p.gx / p.s**2,
        "the means are taken over the tokens, not over the width":
            lambda p: p.s * (p.h - mean(p.h, -2) - p.n * mean(p.h * p.n, -2)),
        "x - mean stands where the normalised x belongs":
            lambda p: p.s * (p.h - mean(p.h) - p.c * mean(p.h * p.c)),
        "it is negated": lambda p: -p.gx,
    },
    "ggamma": {
        "the sum over the tokens is missing": lambda p: p.g * p.n,
        "the sum runs over the width, not over the tokens": lambda p: (p.g * p.n).sum(-1),
        "only the first axis is summed: all but the last belong in the sum":
            lambda p: (p.g * p.n).sum(0),
        "everything is summed: the last axis stays": lambda p: (p.g * p.n).sum(),
        "it is a mean where a sum belongs": lambda p: (p.g * p.n).mean(p.rest),
        "the summed axes are kept: keepdims": lambda p: (p.g * p.n).sum(p.rest, keepdims=True),
        "x stands where the normalised x belongs": lambda p: (p.g * p.x).sum(p.rest),
        "y stands where the normalised x belongs": lambda p: (p.g * p.y).sum(p.rest),
        "x - mean stands where the normalised x belongs": lambda p: (p.g * p.c).sum(p.rest),
        "it is multiplied by gamma: y is linear in gamma": lambda p: (p.h * p.n).sum(p.rest),
        "the normalised x is forgotten: this is the gradient of beta": lambda p: p.gbeta,
        "eps is forgotten": lambda p: (p.g * p.c / np.sqrt(p.var)).sum(p.rest),
        "eps stands outside of the square root": lambda p: (p.g * p.c * outside(p)).sum(p.rest),
        "the variance is divided by D - 1, not by D":
            lambda p: (p.g * p.c * sample(p)).sum(p.rest),
        "it is negated": lambda p: -p.ggamma,
    },
    "gbeta": {
        "the sum over the tokens is missing": lambda p: p.g,
        "the sum runs over the width, not over the tokens": lambda p: p.g.sum(-1),
        "only the first axis is summed: all but the last belong in the sum": lambda p: p.g.sum(0),
        "everything is summed: the last axis stays": lambda p: p.g.sum(),
        "it is a mean where a sum belongs": lambda p: p.g.mean(p.rest),
        "the summed axes are kept: keepdims": lambda p: p.g.sum(p.rest, keepdims=True),
        "it is multiplied by gamma: beta is added after that": lambda p: p.h.sum(p.rest),
        "it is multiplied by beta: y is linear in beta": lambda p: (p.g * p.beta).sum(p.rest),
        "this is the gradient of gamma": lambda p: p.ggamma,
        "it is negated": lambda p: -p.gbeta,
    },
}  # fmt: skip


EXERCISE = Exercise(
    number=17,
    function="layer_norm",
    title="LayerNorm and its gradient",
    lecture="Vision Transformer",
    section="The layer: LayerNorm and its gradient",
    outputs=OUTPUTS,
    properties=PROPERTIES,
    mistakes=tuple(
        Mistake(output, title, lambda case, wrong=wrong: wrong(symbols(case)))
        for output, named in WRONG.items()
        for title, wrong in named.items()
    ),
)
