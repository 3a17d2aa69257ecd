"""Layers made of one function each.

Names, arguments and initialisation are PyTorch's: `weight` of a Linear is (out, in).
"""

import math

import numpy as np

from minivit import functions
from minivit.nn.config import build
from minivit.nn.module import Module
from minivit.nn.parameter import (
    Parameter,
    check_choice,
    check_eps,
    check_share,
    check_sizes,
    normal,
    uniform,
)


class Linear(Module):
    """y = x W^T + b on the last axis: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features, out_features, bias=True):
        check_sizes(self, in_features=in_features, out_features=out_features)
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(uniform((out_features, in_features), bound))
        self.bias = Parameter(uniform((out_features,), bound)) if bias else None

    def forward(self, x):
        return functions.linear(x, self.weight, self.bias)


class LayerNorm(Module):
    """y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias over the last axis."""

    def __init__(self, normalized_shape, eps=1e-5):
        check_sizes(self, normalized_shape=normalized_shape)
        check_eps(self, eps=eps)
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape, np.float32))
        self.bias = Parameter(np.zeros(normalized_shape, np.float32))

    def forward(self, x):
        return functions.layer_norm(x, self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axis."""

    def __init__(self, normalized_shape, eps=1e-5):
        check_sizes(self, normalized_shape=normalized_shape)
        check_eps(self, eps=eps)
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape, np.float32))

    def forward(self, x):
        return functions.rms_norm(x, self.weight, eps=self.eps)


class Embedding(Module):
    """A table of num_embeddings vectors: ids (...) -> (..., embedding_dim)."""

    def __init__(self, num_embeddings, embedding_dim):
        check_sizes(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.weight = Parameter(normal((num_embeddings, embedding_dim), 1.0))

    def forward(self, ids):
        return functions.embedding(self.weight, ids)


class Dropout(Module):
    """Zero each element with probability p, in training only."""

    def __init__(self, p=0.5):
        check_share(self, p=p)
        self.p = p

    def forward(self, x):
        return functions.dropout(x, p=self.p) if self.training and self.p else x


class GELU(Module):
    """x Phi(x); approximate: "none", "tanh" or "quick"."""

    def __init__(self, approximate="none"):
        check_choice(self, ("none", "tanh", "quick"), approximate=approximate)
        self.approximate = approximate

    def forward(self, x):
        return functions.gelu(x, approximate=self.approximate)


class Sequential(Module):
    """One module after the other."""

    def __init__(self, *modules):
        self.modules_ = [build(module) for module in modules]

    def _children(self):
        yield from ((str(i), m) for i, m in enumerate(self.modules_))

    def forward(self, x):
        for module in self.modules_:
            x = module(x)
        return x
