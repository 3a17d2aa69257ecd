"""An op of one's own: a function of arrays that returns its value and its vjp."""

import numpy as np

import minivit


@minivit.op
def softplus(xp, x, /):
    """log(1 + e^x). d/dx = 1 / (1 + e^-x)."""
    y = xp.logaddexp(x, 0)
    return y, lambda g: g * xp.exp(x - y)  # the slope is e^x / (1 + e^x) = e^(x - y)


x = minivit.Tensor([-2.0, 0.0, 3.0], requires_grad=True)
softplus(x).sum().backward()
print("values", softplus(x).numpy().round(3))
print("slopes", x.grad.round(3))

checked = minivit.gradcheck(softplus, np.random.default_rng(0).standard_normal((3, 4)))
print(f"gradcheck: {checked.compared} slopes agree with differences of the function")
