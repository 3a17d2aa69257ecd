"""Common to the files of Hugging Face: config.json, and tensors by name and shape."""

import math

import numpy as np

from minivit.engine.errors import CheckpointError, StateError
from minivit.published.tables import integer

ACTIVATIONS = {  # their name: ours
    "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh", "quick_gelu": "quick_gelu",
    "relu": "relu", "silu": "silu", "swish": "silu",
}  # fmt: skip


def activation(config, key, default):
    """Our name of the activation that config[key] names."""
    name = config.get(key, default)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise CheckpointError(
            f"config.json: {key} is {name!r}, expected one of {sorted(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def epsilon(config, key, default):
    """config[key], a number from 0 to 1: what a norm adds to the variance."""
    value = config.get(key, default)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not 0 <= value <= 1:
        raise CheckpointError(f"config.json: {key} is {value!r}, expected a number from 0 to 1")
    return float(value)


def demand(config, **expected):
    """Refuse a configuration that asks for what is not built here."""
    for key, value in expected.items():
        if config.get(key) not in (None, value):
            raise CheckpointError(
                f"config.json: {key} is {config[key]!r}; this family is built with {value!r} alone"
            )


def need(config, what):
    """Refuse tensors without the config.json that says `what`."""
    if not config:
        raise CheckpointError(
            f"there is no config.json beside the tensors, which says {what}: put it there, from "
            "where the tensors are"
        )


def heads(config, key, width, layers=0, sizes=()):
    """config[key], which no tensor tells; without it, what `sizes` (L, D, H, ...) says of L, D."""
    known = {(L, D): H for L, D, H, *_ in sizes}.get((layers, width))
    if key not in config and known is None:
        raise CheckpointError(
            f"no config.json beside the weights, or none with {key}: how many heads a layer has, "
            "no tensor tells"
        )
    return integer(config, key, width, known)


def shape(arrays, name, dims=2):
    """The shape of a tensor that must be in the file, with as many axes as `dims`."""
    if name not in arrays:
        others = ", ".join(sorted(arrays)[:3])
        raise StateError(f"the file has no tensor {name}, but {others} ...")
    found = getattr(arrays, "stored", arrays)[name].shape  # of a file: known without reading it
    if len(found) != dims or 0 in found:
        raise StateError(f"{name}: the file has the shape {found}, expected {dims} axes")
    return found


def prefix_of(names, prefix):
    """`prefix` if the tensors of a file have it, else ""."""
    return prefix if any(name.startswith(prefix) for name in names) else ""


# -- transforms ------------------------------------------------------------------------------------
def tied(matrix, *others):
    """A matrix that the file has more than once; the copies must be equal."""
    if not all(np.array_equal(matrix, other) for other in others):
        raise ValueError("they are two uses of one matrix, and differ")
    return matrix
