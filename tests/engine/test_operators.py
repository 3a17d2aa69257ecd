"""The methods of a Tensor: NumPy's of the same name, with gradients where there are any."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import backend
from minivit.engine.check import arrays, gradcheck, shapes
from minivit.engine.errors import MinivitError
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)
drawn = shapes(min_dims=0, max_dims=3, max_side=3).flatmap(arrays)


def axes_of(ndim):
    """An axis or several, each from either end; some that are not there."""
    axis = st.integers(-ndim - 1, ndim)
    return axis | st.lists(axis, max_size=3).map(tuple)


def agree(f, g, x):
    """f(Tensor) is g(array), its gradient is right; or both refuse."""
    try:
        expected = g(x)
    except (ValueError, IndexError, TypeError):
        with pytest.raises(MinivitError):
            f(mv.Tensor(x))
        return
    out = f(mv.Tensor(x, device=mv.default_device()))
    np.testing.assert_array_equal(out.numpy(), expected, strict=True)
    gradcheck(f, x)


@ON_EVERY_DEVICE
@given(data=st.data(), x=drawn)
def test_methods_that_move_axes(device, data, x):
    a, b = data.draw(axes_of(x.ndim)), data.draw(axes_of(x.ndim))
    with mv.use(device):
        if x.ndim:  # NumPy lets axis 0 of no axes pass
            agree(lambda t: t.squeeze(a), lambda t: t.squeeze(a), x)
        agree(lambda t: t.squeeze(), lambda t: t.squeeze(), x)
        agree(lambda t: t.expand_dims(a), lambda t: np.expand_dims(t, a), x)
        agree(lambda t: t.moveaxis(a, b), lambda t: np.moveaxis(t, a, b), x)
        agree(lambda t: t.ravel(), lambda t: t.ravel(), x)
        agree(lambda t: t.flatten(order="F"), lambda t: t.flatten(order="F"), x)
        agree(lambda t: +t, lambda t: +t, x)


@ON_EVERY_DEVICE
@given(data=st.data(), x=drawn)
def test_methods_that_answer_with_places(device, data, x):
    """argmax and its kin have no derivative: they answer with arrays, as comparisons do."""
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.none())
    with mv.use(device):
        t = mv.Tensor(x, device=device, requires_grad=True)
        for name in ("argmax", "argmin"):
            for out in (getattr(t, name)(axis=axis), getattr(np, name)(t, axis=axis)):
                assert not isinstance(out, mv.Tensor)
                out = out if isinstance(out, np.generic) else backend.to_numpy(out)
                np.testing.assert_array_equal(out, getattr(x, name)(axis=axis))


@given(drawn)
def test_numpys_functions_of_the_same_names(x):
    agree(lambda t: np.squeeze(t), np.squeeze, x)
    agree(lambda t: np.expand_dims(t, 0), lambda t: np.expand_dims(t, 0), x)
    agree(lambda t: np.ravel(t), np.ravel, x)
    if x.ndim > 1:
        agree(lambda t: np.moveaxis(t, 0, -1), lambda t: np.moveaxis(t, 0, -1), x)
    if x.size > 1:
        y = x + np.arange(x.size).reshape(x.shape)
        np.testing.assert_allclose(mv.Tensor(y).std().numpy(), y.std())
        gradcheck(np.std, y)
