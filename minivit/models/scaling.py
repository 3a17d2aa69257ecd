"""Scaling Vision Transformers (Zhai et al. 2022, arXiv 2106.04560): what it takes to scale up.

MAP, a head that attends instead of a class token; few-shot evaluation in closed form; power laws.
The optimizer (modified Adafactor) and the schedule are in minivit.optim.
"""

from typing import NamedTuple

import numpy as np

from minivit import nn, ops
from minivit.attention import dot_product_attention
from minivit.errors import RangeError
from minivit.patches import patchify
from minivit.transformer import MLP, TransformerLayer

# name: (layers, width, MLP width, heads); Table 2 of the paper
SIZES = {"g": (40, 1408, 6144, 16), "G": (48, 1664, 8192, 16)}


class MAPHead(nn.Module):
    """Multi-head attention pooling: one learned query looks at all tokens: (B, N, D) -> (B, D).

    a = MHA(query, X, X),  out = a + mlp(LayerNorm(a))      (no residual from the query to a)
    """

    def __init__(self, width, heads, hidden=None):
        self.heads = heads
        self.probe = nn.Parameter(nn.xavier_uniform(1, width)[None])  # (1, 1, D)
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width, hidden or 4 * width, "gelu_tanh")

    def forward(self, x):
        probe = ops.broadcast_to(self.probe, (x.shape[0], 1, x.shape[2]))
        q, k, v = self.q_proj(probe), self.k_proj(x), self.v_proj(x)
        a = self.out_proj(dot_product_attention(q, k, v, self.heads))  # (B, 1, D)
        return (a + self.mlp(self.norm(a)))[:, 0]


class ScalingViT(nn.Module):
    """A ViT without a class token: pool is "map", or "mean" of all tokens."""

    def __init__(
        self, image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4, hidden=None,
        pool="map",
    ):  # fmt: skip
        if pool not in ("map", "mean"):
            raise RangeError(f"ScalingViT: pool is {pool!r}, expected 'map' or 'mean'")
        self.patch, self.pool = patch, pool
        self.projection = nn.Linear(patch * patch * channels, width)
        self.position = nn.Parameter(nn.normal((1, (image // patch) ** 2, width), width**-0.5))
        self.layers = [
            TransformerLayer(width, heads, hidden, activation="gelu_tanh", eps=1e-6)
            for _ in range(layers)
        ]
        self.norm = nn.LayerNorm(width, eps=1e-6)
        if pool == "map":
            self.map = MAPHead(width, heads, hidden)
        self.head = nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.assign(nn.xavier_uniform(*module.weight.shape))
                module.bias.data[...] = 0
        self.head.weight.data[...] = 0

    def features(self, images):
        """(B, H, W, C) -> (B, D)."""
        x = self.projection(patchify(images, self.patch)) + self.position
        for layer in self.layers:
            x = layer(x)
        x = self.norm(x)
        return self.map(x) if self.pool == "map" else x.mean(axis=1)

    def forward(self, images):
        return self.head(self.features(images))


def few_shot(train, train_labels, test, test_labels, shots, seed=0, ridge=1024.0):
    """Accuracy of regularised least squares on frozen features, from `shots` examples a class.

    As in the paper's code: features whitened by the chosen examples' mean and deviation, a constant
    feature of 100, targets +1 and -1, W = (X^T X + ridge I)^-1 X^T Y. Nothing is tuned.
    """
    rng, classes = np.random.default_rng(seed), np.unique(train_labels)
    places = [np.flatnonzero(train_labels == c) for c in classes]
    if min(len(p) for p in places) < shots:
        raise RangeError(
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


def fit_power_law(x, error, shift=True):
    """The PowerLaw through points (x, error), all positive: least squares of the logarithms."""
    from scipy.optimize import least_squares

    x, error = np.asarray(x, float), np.asarray(error, float)
    if len(x) < 4 or (x <= 0).any() or (error <= 0).any():
        raise RangeError("fit_power_law: expected at least 4 points, all positive")

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


def count_parameters(name, patch=14, image=224, channels=3, classes=0):
    """The parameters of "g" or "G" with a MAP head, from shapes alone (classes=0: no head)."""
    if name not in SIZES:
        raise RangeError(f"count_parameters: got {name!r}, expected one of {list(SIZES)}")
    L, D, M, _ = SIZES[name]
    N = (image // patch) ** 2
    layer = 4 * D * D + 4 * D + 2 * D * M + M + D + 4 * D
    pool = D + 4 * D * D + 4 * D + 2 * D + 2 * D * M + M + D
    return patch**2 * channels * D + D + N * D + L * layer + 2 * D + pool + (D + 1) * classes
