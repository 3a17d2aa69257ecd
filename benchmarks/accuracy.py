"""Distance from exact: errors in ulp over hard inputs, minivit's beside PyTorch's.

The reference is the plain formula in mpmath with 160 digits, and of gradients its central
differences, so that nothing of our own derivations is believed. An ulp is the distance of two
neighbouring floating-point numbers at the exact value, never below the smallest normal number's;
where a result is a sum that may cancel, at the largest exact value of its row (of attention's
gradients, of all).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import minivit as mv

TABLE = Path(__file__).with_name("ACCURACY.md")
DIGITS = 160  # of the reference: 1 + erf(-13) has 38 zeros
BOUND, FACTOR = 2.0, 2.0  # ulp, or times PyTorch's error: what ours may be


@dataclass(frozen=True)
class Case:
    """One line of the table. inputs(dtype) -> arrays; exact, ours and torchs take them.

    rows: the unit is the ulp of the largest in a row, as sums cancel (of attention's gradients, of
    the largest of all). gradients: are they judged?
    """

    function: str
    what: str
    inputs: object
    exact: object
    ours: object
    torchs: object
    rows: bool = False
    gradients: bool = True
    keep: int = 1  # how many of the inputs are differentiated


@dataclass(frozen=True)
class Row:
    """Largest errors in ulp: of the value or of the gradients."""

    function: str
    what: str
    of: str
    dtype: str
    ours: float
    torchs: float

    @property
    def good(self):
        return self.ours <= max(BOUND, FACTOR * self.torchs)


# -- the exact functions: object arrays of mpmath's numbers ----------------------------------------
def _mp():
    import mpmath

    mpmath.mp.dps = DIGITS
    return mpmath


def elementwise(name):
    return lambda x: np.vectorize(getattr(_mp(), name), otypes=[object])(x)


exp, log, sqrt, erf, tanh = map(elementwise, ("exp", "log", "sqrt", "erf", "tanh"))


def exact_array(x):
    return np.vectorize(lambda v: _mp().mpf(float(v)), otypes=[object])(x)


def softmax(x):
    e = exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def logsumexp(x):
    return log(exp(x).sum(axis=-1))


def log_softmax(x):
    return x - logsumexp(x)[..., None]


def cross_entropy(labels, smoothing=0):
    def f(x):
        log_p, C = log_softmax(x), x.shape[-1]
        right = log_p[np.arange(len(labels)), labels]
        return -(1 - _mp().mpf(smoothing)) * right - _mp().mpf(smoothing) * log_p.sum(axis=-1) / C

    return f


def centred(x):
    return x - x.sum(axis=-1, keepdims=True) / x.shape[-1]


def layer_norm(eps):
    def f(x, gamma, beta):
        h = centred(x)
        var = (h * h).sum(axis=-1, keepdims=True) / x.shape[-1]
        return gamma * h / sqrt(var + _mp().mpf(eps)) + beta

    return f


def rms_norm(eps):
    def f(x, gamma):
        return gamma * x / sqrt((x * x).sum(axis=-1, keepdims=True) / x.shape[-1] + _mp().mpf(eps))

    return f


def l2_normalize(x):
    return x / np.maximum(sqrt((x * x).sum(axis=-1, keepdims=True)), _mp().mpf(1e-12))


def sigmoid(x):
    return 1 / (1 + exp(-x))


def gelu_exact(x):
    return x * (1 + erf(x / _mp().sqrt(2))) / 2


def gelu_tanh(x):
    mp = _mp()
    return x * (1 + tanh(mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3))) / 2


def gelu_quick(x):
    return x * sigmoid(_mp().mpf("1.702") * x)


def attention(mask=None):
    def f(q, k, v):
        A = exp(q @ k.swapaxes(-1, -2) / _mp().sqrt(q.shape[-1]))
        A = A if mask is None else A * mask
        return A @ v / A.sum(axis=-1, keepdims=True)

    return f


# -- the hard inputs -------------------------------------------------------------------------------
def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def line(*ends, n=160):
    return lambda dtype: (np.linspace(*ends, n).astype(dtype),)


def given(*arrays):
    return lambda dtype: tuple(np.asarray(a).astype(dtype) for a in arrays)


def standing_out(margins):
    """Rows in which one score is larger than the others by a margin."""
    x = draw(len(margins), 12) / 2
    x[:, 3] = 1 + np.array(margins) + x.max(axis=1)
    return x


def far(mean, rows=3, D=48):
    return mean + draw(rows, D, seed=2)


GAMMA, BETA = 1 + draw(48, seed=3) / 4, draw(48, seed=4) / 4
LABELS = np.array([3, 3, 3, 3, 3, 0])
MARGINS = standing_out([0, 6, 12, 16, 20, 20])
SCORES = {
    "spread of 1 to 100": draw(16, 12) * np.repeat([[1], [10], [40], [100]], 4, axis=0),
    "one stands out by 0 to 20": MARGINS,
    "shifted by 1000": MARGINS + 1000,
    "shifted by -80": MARGINS - 80,
    "2000 in a row": draw(1, 2000),
}
ROWS = {
    "spread 1, mean 0": far(0),
    "spread 1, mean 1000": far(1000),
    "a constant": np.full((2, 48), 1000.1),
    "spread 1e-4": far(0) * 1e-4,
    "1e15": far(0) * 1e15,
}


def cases():
    """Every line of the table."""
    import torch
    from torch.nn import functional as F

    def t(f, **options):
        return lambda *xs: f(*xs, **options)

    lines = [
        ("erf", line(-6, 6), erf, mv.erf, torch.erf),
        ("erf, near 0", line(-1e-3, 1e-3), erf, mv.erf, torch.erf),
        ("sigmoid", line(-110, 110), sigmoid, mv.sigmoid, torch.sigmoid),
        ("silu", line(-110, 110), lambda x: x * sigmoid(x), mv.silu, F.silu),
        ("gelu", line(-13, 13), gelu_exact, mv.gelu, F.gelu),
        ("gelu, near 0", line(-1, 1), gelu_exact, mv.gelu, F.gelu),
        (
            "gelu, tanh", line(-11, 11), gelu_tanh, t(mv.gelu, approximate="tanh"),
            t(F.gelu, approximate="tanh"),
        ),
        (
            "gelu, quick", line(-60, 60), gelu_quick, t(mv.gelu, approximate="quick"),
            lambda x: x * torch.sigmoid(1.702 * x),
        ),
    ]  # fmt: skip
    for function, inputs, *three in lines:
        name, _, what = function.partition(", ")
        span = inputs(float)[0]
        yield Case(name, f"{what} {span[0]:g} to {span[-1]:g}".strip(), inputs, *three)
    for what, x in SCORES.items():
        three = (
            ("softmax", softmax, mv.softmax, t(torch.softmax, dim=-1)),
            ("log_softmax", log_softmax, mv.log_softmax, t(torch.log_softmax, dim=-1)),
            ("logsumexp", logsumexp, mv.logsumexp, t(torch.logsumexp, dim=-1)),
        )
        for name, *f in three:
            yield Case(name, what, given(x), *f, gradients=x.size < 1000)
    for what, x in {"one stands out by 0 to 20": MARGINS, "shifted by -80": MARGINS - 80}.items():
        for s in (0.0, 0.1):
            yield Case(
                "cross_entropy", f"{what}, smoothing {s}", given(x), cross_entropy(LABELS, s),
                lambda x, s=s: mv.cross_entropy_loss(
                    x, LABELS, label_smoothing=s, reduction="none"
                ),
                lambda x, s=s: F.cross_entropy(
                    x, torch.tensor(LABELS), label_smoothing=s, reduction="none"
                ),
            )  # fmt: skip
    for what, x in ROWS.items():
        for eps in (1e-5, 1e-12):
            yield Case(
                "layer_norm", f"{what}, eps {eps:g}", given(x, GAMMA, BETA), layer_norm(eps),
                t(mv.layer_norm, eps=eps),
                lambda x, g, b, eps=eps: F.layer_norm(x, (48,), g, b, eps), rows=True,
            )  # fmt: skip
        yield Case(
            "rms_norm", what, given(x, GAMMA), rms_norm(1e-5), t(mv.rms_norm, eps=1e-5),
            lambda x, g: F.rms_norm(x, (48,), g, 1e-5), rows=True,
        )  # fmt: skip
        yield Case("var", what, given(x), lambda x: (centred(x) ** 2).sum(axis=-1) / x.shape[-1],
                   t(mv.var, axis=-1), t(torch.var, dim=-1, correction=0), rows=True)  # fmt: skip
    for size in (1.0, 1e-13, 1e-18, 1e15):
        yield Case("l2_normalize", f"length about {7 * size:.0e}", given(draw(3, 48) * size),
                   l2_normalize, mv.l2_normalize, F.normalize, rows=True)  # fmt: skip
    for shape, axis in (((3, 5000), -1), ((20000, 3), 0)):
        yield Case(
            "sum", f"{shape}, axis {axis}", given(draw(*shape)), lambda x, a=axis: x.sum(axis=a),
            t(mv.sum, axis=axis), t(torch.sum, dim=axis), rows=True, gradients=False,
        )  # fmt: skip
    # where every softmax is saturated, a gradient is a difference of equal numbers: not judged
    lower = np.tri(4, dtype=bool)
    for what, size in (
        ("scores about 1", 1.0),
        ("scores about 30", 6.0),
        ("scores about 300", 20.0),
    ):
        for mask, kind in ((None, ""), (lower, ", causal")):
            q, k, v = (draw(4, 4, 4, seed=i) for i in (5, 6, 7))
            causal = mask is not None
            yield Case(
                "attention", what + kind, given(q * size, k * size, v), attention(mask),
                t(mv.dot_product_attention, causal=causal),
                t(F.scaled_dot_product_attention, is_causal=causal), rows=True, keep=3,
                gradients=size < 20,
            )  # fmt: skip


# -- measuring -------------------------------------------------------------------------------------
def errors(computed, exact, dtype, rows):
    """In ulp, the largest."""
    exact = np.asarray(exact, dtype=object)
    scale = np.abs(exact)
    if rows and scale.ndim:
        axis = None if rows == "all" else -1
        scale = np.broadcast_to(scale.max(axis=axis, keepdims=True), scale.shape)
    scale = np.maximum(scale.astype(float), float(np.finfo(dtype).tiny))
    ulp = np.spacing(scale.astype(dtype)).astype(float)
    off = np.abs(exact_array(computed) - exact) if np.isfinite(computed).all() else np.inf
    return float(np.max(off / ulp))


def differences(f, inputs, g, keep):
    """The gradient of sum(g f(inputs)): central differences with a step of 1e-50."""
    step, found = _mp().mpf(10) ** -50, []
    for i in range(keep):
        slopes = np.empty(inputs[i].shape, dtype=object)
        for place in np.ndindex(slopes.shape):
            there, back = ([x.copy() for x in inputs] for _ in range(2))
            there[i][place] += step
            back[i][place] -= step
            slopes[place] = ((f(*there) - f(*back)) * g).sum() / (2 * step)
        found.append(slopes)
    return found


def measure(case, dtype):
    """The rows of one case: value, and gradients."""
    import torch

    arrays = case.inputs(dtype)
    exact_in = [exact_array(a) for a in arrays]
    exact = case.exact(*exact_in)
    g = draw(*np.shape(exact), seed=9).astype(dtype)
    xs = [mv.Tensor(a, requires_grad=True) for a in arrays]
    ts = [torch.tensor(a, requires_grad=True) for a in arrays]
    with np.errstate(over="ignore"):
        y, y_there = case.ours(*xs), case.torchs(*ts)
        y.backward(g)
        y_there.backward(torch.tensor(g))
    results = [("value", [exact], [y.numpy()], [y_there.detach().numpy()], case.rows)]
    if case.gradients:
        if arrays[0].ndim == 1:  # element by element: all slopes from two calls
            step = _mp().mpf(10) ** -50
            up, down = case.exact(exact_in[0] + step), case.exact(exact_in[0] - step)
            slopes = [(up - down) / (2 * step) * exact_array(g)]
        else:
            slopes = differences(case.exact, exact_in, exact_array(g), case.keep)
        results.append((
            "gradient", slopes, [x.grad for x in xs], [t.grad.numpy() for t in ts],
            "all" if case.function == "attention" else arrays[0].ndim > 1,
        ))  # fmt: skip
    for of, true, ours, theirs, rows in results:
        each = [
            max(errors(a, e, dtype, rows) for a, e in zip(side, true)) for side in (ours, theirs)
        ]
        yield Row(case.function, case.what, of, np.dtype(dtype).name, *each)


def rows(names=()):
    """Every row of the table, or of these functions alone."""
    for case in cases():
        if not names or case.function in names:
            for dtype in (np.float32, np.float64):
                yield from measure(case, dtype)


# -- the table -------------------------------------------------------------------------------------
def text(found):
    """ACCURACY.md."""
    import mpmath
    import torch

    missed = sum(not row.good for row in found)
    lines = [
        "# Accuracy",
        "",
        f"Made by `python -m benchmarks accuracy`: minivit {mv.__version__}, NumPy "
        f"{np.__version__}, PyTorch {torch.__version__}, mpmath {mpmath.__version__}.",
        "",
        *__doc__.split("\n\n", 1)[1].strip().split("\n"),
        "",
        f"Ours may be {BOUND:g} ulp, or {FACTOR:g} times PyTorch's error if that is more. "
        f"{len(found)} comparisons, {missed} beyond that. `inf`: not a number, or infinite, where "
        "the exact result is finite.",
        "",
        "| function | inputs | of the | dtype | minivit, ulp | PyTorch, ulp | |",
        "| --- | --- | --- | --- | ---: | ---: | --- |",
    ]
    for r in found:
        lines.append(
            f"| {r.function} | {r.what} | {r.of} | {r.dtype} | {r.ours:.3g} | {r.torchs:.3g} | "
            f"{'' if r.good else 'beyond'} |"
        )
    return "\n".join(lines) + "\n"


def write(names=()):
    """Measure, print what is beyond the bound, and keep the table (of all functions)."""
    from tqdm import tqdm

    found = list(tqdm(rows(names), unit="row", mininterval=10))
    table = text(found)
    print(table)
    if not names:
        TABLE.write_text(table, encoding="utf-8")
        print(f"written: {TABLE}")
    return sum(not row.good for row in found)
