"""Every op on operands that are not floating point, and on float16: NumPy's answer, or the answer
of the same numbers as floating point, or a refusal in words; never wrong numbers."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings

import minivit as mv
from minivit.engine import backend
from minivit.engine.errors import MinivitError
from minivit.engine.numerics import FLOATS
from tests.devices import DEVICES
from tests.engine.op_cases import CASES, OPS

EVERY_OP = pytest.mark.parametrize("name", sorted(CASES))
ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)
INTEGERS = [np.dtype(c) for c in "?bBHlL"]
REFUSED = {"dropout"}  # whatever the values


def integers(x, dtype):
    """The numbers of a case as integers, the largest that the dtype has among them."""
    if dtype.kind == "b":
        return np.asarray(x > 0)
    x = np.round(np.abs(x) if dtype.kind == "u" else x)
    return np.asarray(x, dtype)


@EVERY_OP
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_integers(name, dtype):
    device = "strict" if dtype == np.uint8 else "cpu"
    numpys_own = OPS[name].accepts is not FLOATS

    @settings(max_examples=6)
    @given(CASES[name])
    def check(case):
        xs = [integers(x, dtype) for x in case.floats]
        known = case.filled(xs) if numpys_own else case.filled([x.astype(float) for x in xs])
        with mv.use("cpu"):
            try:
                expected = case.expected(*known, *case.args, **case.options)
            except (TypeError, ValueError, OverflowError, ZeroDivisionError):
                expected = None
        with mv.use(device):
            try:
                out = case(*[mv.Tensor(x, device=device) for x in xs])
            except MinivitError as refusal:
                assert expected is None or name in REFUSED, refusal
                assert str(refusal).startswith(f"{name}: ")
                return
        assert not out.requires_grad
        assert out.dtype != np.float16
        if expected is not None:
            if name == "l2_normalize":  # a zero vector stays zero
                expected = np.nan_to_num(expected)
            rtol = 1e-5 if out.dtype == np.float32 else 1e-9
            np.testing.assert_allclose(out.numpy(), expected, rtol=rtol, atol=rtol)

    with warnings.catch_warnings():
        check()


EXTREMES = {
    "min": (lambda x: x.min(), np.min), "max": (lambda x: x.max(), np.max),
    "minimum": (lambda x: mv.minimum(x, x[::-1]), lambda x: np.minimum(x, x[::-1])),
    "maximum": (lambda x: mv.maximum(x, x[::-1]), lambda x: np.maximum(x, x[::-1])),
    "clip": (lambda x: x.clip(1, 100), lambda x: x.clip(1, 100)),
    "sum": (lambda x: x.sum(), np.sum), "mean": (lambda x: x.mean(), np.mean),
    "where": (lambda x: mv.where(x > 1, x, 0), lambda x: np.where(x > 1, x, 0)),
    "softmax": (mv.softmax, lambda x: np.eye(4)[2]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("dtype", INTEGERS[1:], ids=str)
@ON_EVERY_DEVICE
def test_the_smallest_and_largest_integers(name, dtype, device):
    ours, numpys = EXTREMES[name]
    limits = np.iinfo(dtype)
    x = np.array([limits.min, 7, limits.max, 0], dtype)
    with mv.use(device):
        out = ours(mv.Tensor(x, device=device))
    np.testing.assert_allclose(out.numpy(), numpys(x), rtol=1e-6)


@EVERY_OP
@ON_EVERY_DEVICE
def test_float16_is_computed_in_float32(name, device):
    """Value and gradients are those of the same numbers in float64, rounded once to 11 bits; the
    result is float16, and so is each gradient."""
    if name in ("astype", "dropout"):
        pytest.skip("another dtype, or other random numbers")

    @settings(max_examples=12)
    @given(CASES[name])
    def check(case):
        halves = [x.astype(np.float16) for x in case.floats]
        leaves = {}
        with mv.use(device):
            for dtype in (np.float16, np.float64):
                leaves[dtype] = [
                    mv.Tensor(x.astype(dtype), device=device, requires_grad=True) for x in halves
                ]
            out, exact = case(*leaves[np.float16]), case(*leaves[np.float64])
            assert out.dtype == np.float16
            near(out.numpy(), exact.numpy())
            g = np.random.default_rng(0).standard_normal(out.shape).astype(np.float16)
            out.backward(backend.to_device(g, device))
            exact.backward(backend.to_device(g.astype(float), device))
        for a, b in zip(leaves[np.float16], leaves[np.float64], strict=True):
            assert a.grad.dtype == np.float16
            near(backend.to_numpy(a.grad), backend.to_numpy(b.grad))

    check()


def near(half, exact):
    atol = 2e-3 * (1 + np.abs(exact).max(initial=0))
    np.testing.assert_allclose(half, exact, rtol=2e-3, atol=atol)


@ON_EVERY_DEVICE
def test_float16_where_its_squares_would_be_infinite_or_zero(device):
    rng = np.random.default_rng(0)
    with mv.use(device):
        one = mv.Tensor(np.ones(64, np.float16), device=device)
        for scale in (1000.0, 1e-3):
            x = (rng.standard_normal((4, 64)) * scale).astype(np.float16)
            for f in (
                lambda t: mv.layer_norm(t, one.astype(t.dtype), one.astype(t.dtype), eps=1e-12),
                lambda t: mv.rms_norm(t, one.astype(t.dtype), eps=1e-12),
                mv.l2_normalize, lambda t: t.std(axis=1), lambda t: t.mean(axis=1),
                mv.softmax, lambda t: t / t,
                lambda t: np.linalg.norm(t, axis=1),
            ):  # fmt: skip
                a = mv.Tensor(x, device=device, requires_grad=True)
                b = mv.Tensor(x.astype(float), device=device, requires_grad=True)
                y, z = f(a), f(b)
                assert y.dtype == np.float16
                np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=4e-3, atol=1e-4)


LIMITS = [np.array([np.iinfo(d).min, 7, np.iinfo(d).max], d) for d in "bBhHiIlL"]


@pytest.mark.parametrize("x", [*LIMITS, np.array([True, False, True])], ids=lambda x: x.dtype)
def test_what_numpy_converts_to_floating_point(x):
    """A power with a floating-point exponent, and each norm: numbers that the integers of that
    dtype do not hold."""
    t, exact = mv.Tensor(x), x.astype(np.longdouble)
    for n in (0.0, 1.0, 2.0, 3.0, 0.5):
        with np.errstate(invalid="ignore"):  # the root of a negative number
            np.testing.assert_allclose((t**n).numpy(), exact**n, rtol=1e-12)
    for norm_ord in (None, 1, 2, np.inf, -np.inf):
        np.testing.assert_allclose(
            np.linalg.norm(t, ord=norm_ord).numpy(), np.linalg.norm(exact, ord=norm_ord), rtol=1e-6
        )


def test_what_is_no_number_is_refused():
    t = mv.Tensor([1.0])
    for wrong in (np.array(["a"]), np.array([None]), np.array(["2020-01-01"], "M8[D]")):
        for f in (mv.add, mv.matmul, mv.maximum):
            with pytest.raises(MinivitError, match="expected numbers"):
                f(t, wrong)
