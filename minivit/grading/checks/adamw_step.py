"""Exercise 19: one step of AdamW.

m' = b1 m + (1 - b1) g,  v' = b2 v + (1 - b2) g²,
w' = w - lr decay w - lr m' / (1 - b1^t) / (√(v' / (1 - b2^t)) + eps)
"""

import numpy as np
from hypothesis import strategies as st

from minivit.grading.exercise import Case, Exercise, Mistake, Property, compare
from minivit.grading.properties import (
    FLOATS,
    equals,
    keeps_dtype,
    leaves_nothing_behind,
    numbers,
)

PARTS = ("w", "m", "v")


def step(case, **other):
    """(3, ...): w', m', v', by another rule where it is given."""
    w, g, m, v, t, lr, b1, b2, eps, decay = case.inputs.values()
    if "gradient" in other:
        g = other["gradient"](g, w, decay)
    m = b1 * m + (1 - b1) * g
    v = other.get("second", lambda v, g: b2 * v + (1 - b2) * g**2)(v, g)
    c1, c2 = other.get("correct", lambda t: (1 - b1**t, 1 - b2**t))(t)
    root = other.get("root", lambda v: np.sqrt(v) + eps)(v / c2)
    shrunk = other.get("decayed", lambda w: w - lr * decay * w)(w)
    first = other.get("first", m)
    return np.stack([shrunk - other.get("sign", 1) * lr * first / c1 / root, m, v])


def truth(case):
    return {"new": step(case)}


@st.composite
def cases(draw, first=False, decay=0.0, eps=1e-8, still=False, dtype=np.float64):
    """A parameter of some shape. `first`: the first update, from m = v = 0. `still`: a gradient
    that has always been 0."""
    shape = draw(st.sampled_from([(3,), (2, 3), (1,), (2, 1, 2)]))
    w, g = numbers(draw, shape, dtype), numbers(draw, shape, dtype)
    m, v = numbers(draw, shape, dtype), np.abs(numbers(draw, shape, dtype)) + 1
    t = draw(st.sampled_from((2, 3, 10)))
    g.flat[0], w.flat[-1] = draw(st.sampled_from((2, 3, -2))), draw(st.sampled_from((3, 4, -2)))
    if first:
        m, v, t = 0 * m, 0 * v, 1
        g = np.where(g == 0, g.dtype.type(1), g)
    if still:
        g, m, v = 0 * g, 0 * m, 0 * v
    rates = draw(st.sampled_from([(0.9, 0.999), (0.8, 0.95), (0.5, 0.9)]))
    return Case({
        "w": w, "g": g, "m": m, "v": v.astype(dtype), "t": t,
        "lr": draw(st.sampled_from((0.1, 0.01))), "beta1": rates[0], "beta2": rates[1],
        "eps": eps, "decay": decay,
    })  # fmt: skip


def part(index):
    """One of the three parts is what it should be."""
    name = f"new[{index}] ({PARTS[index]})"

    def check(case, call):
        got, right = call(case)["new"], step(case.exact)
        if not isinstance(got, np.ndarray) or got.shape != right.shape:
            return compare("new", right, got)
        return compare(name, right[index], got[index])

    return check


def _rates(c):
    return [c.inputs[name] for name in ("lr", "beta1", "beta2", "eps", "decay")]


MISTAKES = {
    "m and v are not corrected: both began at 0": lambda c: step(c, correct=lambda t: (1, 1)),
    "the decay is added to the gradient: that is Adam with L2, not AdamW":
        lambda c: step(c, gradient=lambda g, w, decay: g + decay * w, decayed=lambda w: w),
    "the decay is not multiplied by the learning rate":
        lambda c: step(c, decayed=lambda w: w - c.inputs["decay"] * w),
    "eps stands under the root": lambda c: step(
        c, root=lambda v: np.sqrt(v + c.inputs["eps"])
    ),
    "v is the mean of g, not of its square": lambda c: step(
        c, second=lambda v, g: _rates(c)[2] * v + (1 - _rates(c)[2]) * g
    ),
    "the root of v is missing": lambda c: step(c, root=lambda v: v + c.inputs["eps"]),
    "the step goes up: a minus belongs there": lambda c: step(c, sign=-1),
    "the gradient takes the place of m in the step": lambda c: step(c, first=c.inputs["g"]),
    "v is corrected as m is, with beta1": lambda c: step(
        c, correct=lambda t: (1 - _rates(c)[1] ** t, 1 - _rates(c)[1] ** t)
    ),
    "the two means have changed places in the result": lambda c: step(c)[[0, 2, 1]],
}  # fmt: skip

LATER = (cases(), cases(eps=0.5))

EXERCISE = Exercise(
    number=19,
    function="adamw_step",
    title="One step of AdamW",
    lecture="Scaling Vision Transformers",
    section="What an optimizer holds",
    outputs=("new",),
    properties=(
        Property("m: a moving mean of the gradients", 1, cases(), part(1), "new"),
        Property("v: one of their squares", 1, cases(), part(2), "new"),
        Property("the first step: as long as lr, whatever the gradient", 2, cases(first=True),
                 equals("new", truth), "new"),
        Property("later steps", 2, LATER, equals("new", truth), "new"),
        Property("the decay shrinks w and touches no mean", 1, cases(decay=0.5),
                 equals("new", truth), "new"),
        Property("no gradient, no step", 1, cases(still=True), equals("new", truth), "new"),
        keeps_dtype(truth, "w", 1, tuple(cases(dtype=kind, decay=0.5) for kind in FLOATS)),
        leaves_nothing_behind(truth, 1, (cases(decay=0.5), cases(first=True))),
    ),
    mistakes=tuple(Mistake("new", title, wrong) for title, wrong in MISTAKES.items()),
)  # fmt: skip
