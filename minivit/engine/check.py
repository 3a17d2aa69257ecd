"""Doubt: is a hand-written derivative right?

    gradcheck(softmax, np.random.randn(3, 4))

compares the gradients that `backward` gives with differences of the function itself, in float64,
element by element. **The cotangent is random, never ones**: the rows of a softmax sum to 1, so the
gradient of `softmax(x).sum()` is 0 and a check of that passes whatever the vjp says.

For property-based checks of your own ops, the hypothesis strategies at the end draw arrays, shapes
that broadcast, axes and masks.
"""

from typing import NamedTuple

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import GradientError, RangeError
from minivit.engine.record import no_grad
from minivit.engine.tensor import Tensor


class Checked(NamedTuple):
    """How many elements were compared, and how many were left out because f has a kink there."""

    compared: int
    kinks: int


def gradcheck(
    f, *inputs, cotangent=None, seed=0, step=1e-5, rtol=1e-5, atol=1e-6, method="central"
):
    """Compare every element of every gradient of `f` with differences of `f`; GradientError if not
    equal within atol + rtol |expected|.

    inputs: arrays or Tensors; floating-point ones are differentiated (as float64 copies), others
        are handed through. f takes Tensors and returns one.
    cotangent: of f's shape; drawn from `seed` if not given.
    method: "central" differences (f(x + h) - f(x - h)) / 2h; "complex": Im f(x + ih) / h, exact to
        rounding, for f composed of analytic ops (no comparisons, no erf).
    Also refused: a backward pass that writes into its inputs or into the cotangent. Elements where
    f has a kink (one-sided slopes differ) are skipped and counted; all skipped is an error.
    """
    if method not in ("central", "complex"):
        raise RangeError(f"gradcheck: method is {method!r}, expected 'central' or 'complex'")
    arrays = [np.array(x.numpy() if isinstance(x, Tensor) else x) for x in inputs]
    floats = [a.dtype.kind == "f" for a in arrays]
    arrays = [a.astype(np.float64) if is_float else a for a, is_float in zip(arrays, floats)]

    def tensors(values, grad=False):
        return [
            Tensor(backend.to_device(v, backend.default_device()), requires_grad=grad)
            if is_float else v
            for v, is_float in zip(values, floats)
        ]  # fmt: skip

    given = tensors([a.copy() for a in arrays], grad=True)
    out = f(*given)
    if cotangent is None:
        cotangent = np.random.default_rng(seed).standard_normal(out.shape)
    g = backend.to_device(np.array(cotangent, np.float64), backend.default_device())
    out.backward(g)
    name = getattr(f, "__name__", repr(f))
    _refuse_written(name, given, arrays, floats, g, cotangent)

    def phi(values):  # the number whose gradient backward has computed
        with no_grad():
            y = f(*tensors(values)).numpy()
        return (y * cotangent).sum()

    here, compared, kinks = phi(arrays), 0, 0
    for k, (a, is_float) in enumerate(zip(arrays, floats)):
        if not is_float:
            continue
        got = np.zeros(a.shape) if given[k].grad is None else backend.to_numpy(given[k].grad)
        for place in np.ndindex(a.shape):
            slope = _complex_slope if method == "complex" else _central_slope
            expected, left, right = slope(phi, arrays, k, place, step, here)
            if abs(got[place] - expected) <= atol + rtol * max(
                abs(expected), abs(left), abs(right)
            ):
                compared += 1
            elif abs(right - left) > 1e-3 * (1 + abs(left) + abs(right)):
                kinks += 1
            else:
                raise GradientError(_says(name, k, place, expected, got[place], arrays, cotangent))
    if kinks and not compared:
        raise GradientError(f"{name}: nothing was compared; f has a kink at all {kinks} elements")
    return Checked(compared, kinks)


def _central_slope(phi, arrays, k, place, step, here):
    h = step * max(1.0, abs(arrays[k][place]))
    ahead, behind = (phi(_moved(arrays, k, place, d)) for d in (h, -h))
    return (ahead - behind) / (2 * h), (here - behind) / h, (ahead - here) / h


def _complex_slope(phi, arrays, k, place, step, here):
    slope = phi(_moved(arrays, k, place, 1e-20j)).imag / 1e-20
    return slope, slope, slope


def _moved(arrays, k, place, by):
    moved = arrays[k].astype(type(by) if isinstance(by, complex) else np.float64)
    moved[place] += by
    return [*arrays[:k], moved, *arrays[k + 1 :]]


def _refuse_written(name, given, arrays, floats, g, cotangent):
    for k, (t, a, is_float) in enumerate(zip(given, arrays, floats)):
        if is_float and not np.array_equal(t.numpy(), a, equal_nan=True):
            raise GradientError(f"{name}: argument {k} was written to by the forward or the vjp")
    if not np.array_equal(backend.to_numpy(g), cotangent):
        raise GradientError(f"{name}: the vjp wrote into the gradient that came in")


def _says(name, k, place, expected, got, arrays, cotangent):
    with np.printoptions(precision=6, threshold=50):
        inputs = "\n".join(f"  argument {i}: {a!r}" for i, a in enumerate(arrays))
        return (
            f"{name}: the gradient of argument {k} at {place} is {got:.8g}, but differences of the "
            f"function give {expected:.8g}\n{inputs}\n  cotangent: {np.asarray(cotangent)!r}"
        )


# -- hypothesis strategies -------------------------------------------------------------------------


def shapes(min_dims=1, max_dims=3, max_side=4):
    """Shapes without an axis of length 0, each length as likely as the others."""
    from hypothesis import strategies as st

    side = st.sampled_from(range(1, max_side + 1))
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
