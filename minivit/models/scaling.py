"""Scaling Vision Transformers (Zhai et al. 2022, arXiv 2106.04560): what it takes to scale up.

Few-shot evaluation in closed form, power laws, the two largest sizes. MAP, the head that attends
instead of a class token, is in minivit.models.vit; the optimizer (modified Adafactor) and the
schedule are in minivit.optim.
"""

from typing import NamedTuple

import numpy as np

from minivit import nn
from minivit.engine.errors import OptionError
from minivit.engine.record import function
from minivit.models.vit import ViT

# name: (layers, width, MLP width, heads); Table 2 of the paper
SIZES = {"g": (40, 1408, 6144, 16), "G": (48, 1664, 8192, 16)}


@function
def few_shot(train, train_labels, test, test_labels, shots, seed=0, ridge=1024.0):
    """Accuracy of regularised least squares on frozen features, from `shots` examples a class.

    As in the paper's code: features whitened by the chosen examples' mean and deviation, a constant
    feature of 100, targets +1 and -1, W = (X^T X + ridge I)^-1 X^T Y. Nothing is tuned.
    """
    rng, classes = np.random.default_rng(seed), np.unique(train_labels)
    places = [np.flatnonzero(train_labels == c) for c in classes]
    if min(len(p) for p in places) < shots:
        raise OptionError(
            f"few_shot: {shots} shots, but a class has {min(len(p) for p in places)} examples"
        )
    chosen = np.concatenate([rng.choice(p, shots, replace=False) for p in places])
    X, Y = train[chosen].astype(np.float64), train_labels[chosen][:, None] == classes
    mean, std = X.mean(axis=0), X.std(axis=0) + 1e-5

    def prepared(features):
        return np.concatenate([(features - mean) / std, np.full((len(features), 1), 100.0)], axis=1)

    X = prepared(X)
    W = np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ (2.0 * Y - 1))
    return float((classes[(prepared(test) @ W).argmax(axis=1)] == test_labels).mean())


class PowerLaw(NamedTuple):
    """error = a (x + d)^-b + c: falls as a power, saturates at c, starts late by d."""

    a: float
    b: float
    c: float
    d: float

    def __call__(self, x):
        return self.a * (np.asarray(x, float) + self.d) ** -self.b + self.c


@function
def fit_power_law(x, error, shift=True):
    """The PowerLaw through points (x, error), all positive: least squares of the logarithms."""
    from scipy.optimize import least_squares

    x, error = np.asarray(x, float), np.asarray(error, float)
    if len(x) < 4 or (x <= 0).any() or (error <= 0).any():
        raise OptionError("fit_power_law: expected at least 4 points, all positive")

    def law(p):  # all four positive by construction
        return PowerLaw(np.exp(p[0]), np.exp(p[1]), np.exp(p[2]), np.exp(p[3]) if shift else 0.0)

    starts = [
        [np.log(error[0] * x[0] ** b), np.log(b), np.log(floor), np.log(x.min() * 0.1)]
        for b in (0.2, 0.5, 1.0)
        for floor in (error.min() * 0.5, error.min() * 0.01)
    ]
    fits = [
        least_squares(lambda p: np.log(law(p)(x)) - np.log(error), s, max_nfev=2000) for s in starts
    ]
    return law(min(fits, key=lambda f: f.cost).x)


@function
def count_parameters(name, patch=14, image=224, channels=3, classes=0):
    """The parameters of "g" or "G" with a MAP head, without allocating them (classes=0: no head).
    The paper's images of 518 pixels are 37 patches of 14."""
    if name not in SIZES:
        raise OptionError(f"count_parameters: got {name!r}, expected one of {list(SIZES)}")
    layers, width, hidden, heads = SIZES[name]
    with nn.empty():
        net = ViT(image, patch, channels, classes, width, layers, heads, hidden, pool="map")
    return net.count_parameters()
