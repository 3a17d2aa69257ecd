"""A gradient check of one's own layer, of its input and parameters; and a mistake that it finds."""

import numpy as np

import minivit
from minivit import nn
from minivit.engine.errors import GradientError


@minivit.op
def wrong_scale(x, gamma, /):
    """x gamma, with a mistake: the gradient of gamma is twice what it should be."""
    return x * gamma, lambda g: (g * gamma, 2 * g * x)


class GatedLayer(nn.Module):
    """y = silu(x W_a) * (x W_b) * gamma."""

    def __init__(self, width, scale=minivit.multiply):
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)
        self.gamma = nn.Parameter(np.ones(width, np.float32))
        self.scale = scale

    def forward(self, x):
        return self.scale(minivit.silu(self.a(x)) * self.b(x), self.gamma)


x = np.random.default_rng(0).standard_normal((2, 3, 4))
checked = minivit.gradcheck(GatedLayer(4), x)
print(f"right: {checked.compared} gradients agree, of the input and of every parameter")

try:
    minivit.gradcheck(GatedLayer(4, wrong_scale), x)
except GradientError as error:
    print("wrong:", str(error).splitlines()[0])
