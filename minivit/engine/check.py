"""Doubt: is a hand-written derivative right?

    gradcheck(softmax, np.random.randn(3, 4))

compares the gradients that `backward` gives with differences of the function itself, in float64,
element by element. A formula derived on paper is believed only after this: every op of the library
and each of its layers passes it, for random shapes.

**The cotangent is random, never ones**: the rows of a softmax sum to 1, so the gradient of
`softmax(x).sum()` is 0, and a check of that passes whatever the vjp says.

For property-based checks of your own ops, the hypothesis strategies at the end draw arrays, shapes
that broadcast, axes and masks.
"""

from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import DtypeError, GradientError, OptionError
from minivit.engine.modes import no_grad
from minivit.engine.tensor import Tensor


class Checked(NamedTuple):
    """The number of elements compared, and of those left out because f has a kink there."""

    compared: int
    kinks: int


def gradcheck(
    f, *inputs, cotangent=None, seed=0, step=1e-5, rtol=1e-5, atol=1e-6, method="central"
):
    """Compare every element of every gradient of `f` with differences of `f`; GradientError if not
    equal within atol + rtol |expected|.

    f: takes Tensors and returns one: a function, a Module or a method of one. A Module's parameters
        are differentiated too, but for frozen ones; it is as it was afterwards.
    inputs: arrays or Tensors; floating-point ones are differentiated (as float64 copies), others
        are handed through.
    cotangent: of f's shape; drawn from `seed` if not given.
    method: "central" differences (f(x + h) - f(x - h)) / 2h; "complex": Im f(x + ih) / h, exact to
        rounding, for f composed of analytic ops (no comparisons, no erf).
    Also refused: a backward pass that writes into its inputs or into the cotangent, and an f that
    gives another result when it is called again. Elements where f has a kink (one-sided slopes
    differ, however small the step) are skipped and counted; all skipped is an error.
    """
    if not isinstance(method, str) or method not in ("central", "complex"):
        raise OptionError(f"gradcheck: method is {method!r}, expected 'central' or 'complex'")
    if not callable(f):
        raise DtypeError(f"gradcheck: got {type(f).__name__}, expected a function or a Module")
    for option, value in {"step": step, "rtol": rtol, "atol": atol}.items():
        if type(value) not in (float, int) or not 0 < value < np.inf:
            raise OptionError(f"gradcheck: {option} is {value!r}, expected a positive number")
    if type(seed) is not int or seed < 0:
        raise OptionError(f"gradcheck: seed is {seed!r}, expected an integer, 0 or more")
    if cotangent is not None:
        cotangent = backend.to_array(cotangent, "gradcheck: cotangent")
        if cotangent.dtype.kind not in "biuf":
            raise DtypeError(
                f"gradcheck: the cotangent is {cotangent.dtype}, expected real numbers"
            )
        cotangent = backend.to_numpy(cotangent)
    module = f if hasattr(f, "named_parameters") else getattr(f, "__self__", None)
    with _in_float64(module) as parameters:
        places = [*map(_Input, range(len(inputs)), inputs)]
        places += [_Parameter(name, p) for name, p in parameters]
        return _compare(f, places, len(inputs), cotangent, seed, (step, rtol, atol), method)


def _compare(f, places, n_inputs, cotangent, seed, tolerances, method):
    step, rtol, atol = tolerances
    name = getattr(f, "__name__", type(f).__name__)

    def call(grad=False):
        y = f(*[place.given(grad) for place in places[:n_inputs]])
        if not isinstance(y, Tensor):
            raise DtypeError(f"gradcheck: {name} returned {type(y).__name__}, expected a Tensor")
        return y

    out = call(grad=True)
    if cotangent is None:
        cotangent = np.random.default_rng(seed).standard_normal(out.shape)
    g = backend.to_device(np.array(cotangent, np.float64), out.device)
    out.backward(g)
    wanted = [place for place in places if place.wanted]
    for place in wanted:
        place.take_gradient(name)
    if not np.array_equal(backend.to_numpy(g), cotangent):
        raise GradientError(f"{name}: the vjp wrote into the gradient that came in")

    def phi():  # the number whose gradient backward has computed
        with no_grad():
            return (call().numpy() * cotangent).sum()

    here = phi()
    first = (out.numpy() * cotangent).sum()
    if not np.allclose(here, first, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise GradientError(
            f"{name}: called twice, it gives two results: {first:.8g} and {here:.8g} "
            "(dropout? then eval(), or a fixed seed)"
        )
    slope = _complex_slope if method == "complex" else _central_slope
    compared = kinks = 0
    for place in wanted:
        for at in np.ndindex(place.array.shape):
            got, seen = place.gradient[at], []
            for h in (
                step,
                step / 10,
                step / 100,
            ):  # a kink close by: try closer
                seen.append(slope(phi, place, at, h * max(1.0, abs(place.array[at])), here))
                expected, left, right = seen[-1]
                if abs(got - expected) <= atol + rtol * max(abs(expected), abs(left), abs(right)):
                    compared += 1
                    break
            else:
                if not _is_kink(seen, here, step / 100):
                    raise GradientError(_says(name, place, at, seen[0][0], got, places, cotangent))
                kinks += 1
    if kinks and not compared:
        raise GradientError(f"{name}: nothing was compared; f has a kink at all {kinks} elements")
    return Checked(compared, kinks)


def _is_kink(seen, here, h):
    """Do the slopes to the left and to the right stay apart as the step shrinks? (Where f is curved
    they approach each other as fast as it does.)"""
    (_, left, right), apart = seen[-1], [abs(right - left) for _, left, right in seen]
    beyond_rounding = 1e-3 * (1 + abs(left) + abs(right)) + 1e-14 * abs(here) / h
    return apart[-1] > beyond_rounding and apart[-1] > apart[0] / 2


def _central_slope(phi, place, at, h, here):
    ahead, behind = (place.moved(phi, at, d) for d in (h, -h))
    return (ahead - behind) / (2 * h), (here - behind) / h, (ahead - here) / h


def _complex_slope(phi, place, at, h, here):
    slope = place.moved(phi, at, 1e-20j).imag / 1e-20
    return slope, slope, slope


class _Place:
    """An array that f depends on. `array`: its values; `put` lets the next call see others."""

    def moved(self, phi, at, by):
        """phi where one element of the array is moved."""
        moved = self.array.astype(complex if isinstance(by, complex) else np.float64)
        moved[at] += by
        self.put(moved)
        try:
            return phi()
        finally:
            self.put(self.array)

    def take_gradient(self, name):
        """Read what backward wrote, and see that the values are as they were."""
        if not np.array_equal(self.tensor.numpy(), self.array, equal_nan=True):
            raise GradientError(f"{name}: {self.name} was written to by the forward or the vjp")
        grad = self.tensor.grad
        self.gradient = np.zeros(self.array.shape) if grad is None else backend.to_numpy(grad)


class _Input(_Place):
    """An argument: differentiated if it is of floating-point numbers, handed through if not."""

    def __init__(self, k, x):
        self.name, self.original = f"argument {k}", x
        self.array = np.array(
            x.numpy() if isinstance(x, Tensor) else backend.to_array(x, self.name)
        )
        self.wanted = self.array.dtype.kind == "f"
        if self.wanted:
            self.array = self.array.astype(np.float64)
        self.values = self.array

    def put(self, values):
        self.values = values

    def given(self, grad):
        if not self.wanted:
            return self.original
        there = backend.to_device(self.values.copy(), backend.default_device())
        self.tensor = Tensor(there, requires_grad=grad)
        return self.tensor


class _Parameter(_Place):
    """A parameter of a Module, in float64 for the time being."""

    wanted = True

    def __init__(self, name, p):
        self.name, self.tensor = f"parameter {name}", p
        self.array = p.numpy().copy()

    def put(self, values):
        self.tensor.data = backend.to_device(values, self.tensor.device)

    def take_gradient(self, name):
        super().take_gradient(name)
        self.tensor.requires_grad = False  # from here on it is moved, by complex steps too


@contextmanager
def _in_float64(module):
    """The (name, parameter) pairs of a Module that want gradients. Inside of the block, all that is
    its own is float64; after it, all is as it was."""
    if not hasattr(module, "named_parameters"):
        yield []
        return
    own = [t for _, t in module.named_tensors()]
    before = [(t, t.data, t.grad, t.requires_grad) for t in own]
    try:
        for t in own:
            if t.dtype.kind == "f":
                t.data, t.grad = t.data.astype(np.float64), None
        yield [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    finally:
        for t, data, grad, wanted in before:
            t.requires_grad = False
            t.data, t.grad, t.requires_grad = data, grad, wanted


def _says(name, place, at, expected, got, places, cotangent):
    with np.printoptions(precision=6, threshold=50):
        inputs = "\n".join(f"  {p.name}: {p.array!r}" for p in places if type(p) is _Input)
        return (
            f"{name}: the gradient of {place.name} at {at} is {got:.8g}, but differences of the "
            f"function give {expected:.8g}\n{inputs}\n  cotangent: {np.asarray(cotangent)!r}"
        )


# -- hypothesis strategies -------------------------------------------------------------------------


def shapes(min_dims=1, max_dims=3, max_side=4, min_side=1):
    """Shapes, each length as likely as the others; axes of length 0 with min_side=0."""
    from hypothesis import strategies as st

    side = st.sampled_from(range(min_side, max_side + 1))
    dims = st.sampled_from(range(min_dims, max_dims + 1))
    return dims.flatmap(lambda n: st.tuples(*[side] * n))


def arrays(shape, low=-3.0, high=3.0):
    """float64 arrays of a shape (or of a strategy for shapes), elements on a grid of 1/64: short to
    print, exact in float32, never closer to each other than a difference can tell."""
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp

    steps = st.integers(int(np.ceil(low * 64)), int(high * 64))
    numbers = hnp.arrays(np.int64, shape, elements=steps, fill=st.nothing())  # each one drawn
    return numbers.map(lambda a: np.asarray(a / 64.0))


def broadcastable(n, **options):
    """A tuple of `n` arrays whose shapes broadcast: some sides are 1, some first axes missing."""
    from hypothesis import strategies as st

    def narrowed(shape):
        sides = st.tuples(*(st.sampled_from((side, side, 1)) for side in shape))
        missing = st.sampled_from((0, 0, *range(len(shape) + 1)))
        return st.builds(lambda sides, missing: sides[missing:], sides, missing)

    def of(shape):
        return st.tuples(*[narrowed(shape).flatmap(lambda s: arrays(s, **options))] * n)

    return shapes(max_side=3).flatmap(of)


def axes(ndim, none=True):
    """An axis of an `ndim`-dimensional array, counted from either end; None too if `none`."""
    from hypothesis import strategies as st

    axis = st.integers(-ndim, ndim - 1)
    return st.none() | axis if none else axis


def masks(shape):
    """Boolean masks: True = may attend. Rows that hide everything occur."""
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp

    return hnp.arrays(bool, shape, elements=st.booleans(), fill=st.nothing())
