"""Modules: weights with names, and the layers made of one function each."""

from minivit.nn.config import build, described
from minivit.nn.layers import GELU, Dropout, Embedding, LayerNorm, Linear, RMSNorm, Sequential
from minivit.nn.module import Module, listed
from minivit.nn.parameter import (
    Buffer,
    Parameter,
    check_choice,
    check_eps,
    check_share,
    check_sizes,
    empty,
    is_integer,
    normal,
    truncated_normal,
    uniform,
    xavier_uniform,
)

__all__ = [
    "GELU", "Buffer", "Dropout", "Embedding", "LayerNorm", "Linear", "Module", "Parameter",
    "RMSNorm", "Sequential", "build", "check_choice", "check_eps", "check_share", "check_sizes",
    "described", "empty", "is_integer", "listed", "normal", "truncated_normal", "uniform",
    "xavier_uniform",
]  # fmt: skip
