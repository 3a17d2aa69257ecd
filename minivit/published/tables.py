"""From the names and shapes of a published file to ours, by an explicit table.

    {"layers.0.mlp.fc1.weight": "h.0.intermediate.dense.weight",          the same array
     "layers.0.attn.out_proj.weight": ("h.0.attn.c_proj.weight", transposed),
     "layers.0.attn.in_proj_weight": (("q.weight", "k.weight", "v.weight"), rows)}

A table is complete both ways: a name of the file that it does not use, and a parameter of the model
that it does not make, is a StateError that lists them all.
"""

from collections import Counter
from fnmatch import fnmatchcase

import numpy as np

from minivit.engine.errors import CheckpointError, StateError
from minivit.nn import listed


# -- transforms: views where the layout allows it --------------------------------------------------
def transposed(matrix):
    """(in, out) <-> (out, in), a view."""
    return matrix.T


def rows(*arrays):
    """One below the other: W_q, W_k, W_v (D, D) -> (3 D, D), and their biases."""
    return np.concatenate(arrays)


def conv_patches(kernel):
    """PyTorch's patch convolution as a matrix on our patches: (D, C, P, P) -> (D, P P C)."""
    return kernel.transpose(0, 2, 3, 1).reshape(len(kernel), -1)


# -- tables ----------------------------------------------------------------------------------------
def translate(arrays, table, ignore=()):
    """{our name: array}: what each entry of `table` makes of the arrays that it names.

    arrays: {their name: array}, weights or their gradients. ignore: names, or patterns such as
    "*.attn.bias", that a file may have without use. Missing and unexpected names: StateError.
    """
    check(arrays, table, ignore)
    uses = Counter(name for entry in table.values() for name in _entry(entry)[0])
    stacks = {name: arrays[name] for name, n in uses.items() if n > 1}  # of all layers: read once
    return {
        ours: _made(ours, entry, lambda name: stacks[name] if name in stacks else arrays[name])
        for ours, entry in table.items()
    }


def check(arrays, table, ignore=()):
    """Is the table complete both ways? Reads no array."""
    wanted = {name for entry in table.values() for name in _entry(entry)[0]}
    missing = [name for name in sorted(wanted) if name not in arrays]
    unexpected = [
        name
        for name in arrays
        if name not in wanted and not any(fnmatchcase(name, pattern) for pattern in ignore)
    ]
    if missing or unexpected:
        raise StateError(
            "the file holds other tensors than this architecture needs."
            + listed("missing in the file", missing)
            + listed("unexpected in the file", unexpected)
        )


def _entry(entry):
    names, transform = (entry, None) if isinstance(entry, str) else entry
    return ((names,) if isinstance(names, str) else names), transform


def _made(ours, entry, read):
    names, transform = _entry(entry)
    parts = [read(name) for name in names]
    if transform is None:
        return parts[0]
    try:
        return transform(*parts)
    except (ValueError, IndexError, TypeError, AttributeError) as reason:
        shapes = ", ".join(f"{name} {np.shape(part)}" for name, part in zip(names, parts))
        raise StateError(f"{ours}: cannot be made of {shapes}: {reason}") from reason


def adopt(model, arrays):
    """Let the parameters and buffers of `model` be `arrays` ({our name: array}), without a copy.

    Names that the model lacks, or that are missing, shapes that do not fit: StateError.
    """
    own = dict(model.named_tensors())
    misfits = [
        f"{name}: file {arrays[name].shape} {arrays[name].dtype}, model {p.shape}"
        for name, p in own.items()
        if name in arrays
        and (arrays[name].shape != p.shape or arrays[name].dtype.kind != p.dtype.kind)
    ]
    missing = [name for name in own if name not in arrays]
    unexpected = [name for name in arrays if name not in own]
    if misfits or missing or unexpected:
        raise StateError(
            f"the tensors do not fit this {type(model).__name__}."
            + listed("missing in the table", missing)
            + listed("not in the model", unexpected)
            + listed("another shape, or another kind of number", misfits)
        )
    for name, p in own.items():
        p.data = arrays[name]
    return model


def fill(model, arrays, table, ignore=()):
    """`adopt` what `translate` makes: their tensors become the parameters of `model`."""
    return adopt(model, translate(arrays, table, ignore))


# -- what a configuration says ---------------------------------------------------------------------
def integer(config, key, most, default=None):
    """config[key], an integer from 1 to `most`; else CheckpointError. A config.json is not trusted:
    bound it by what the file holds (len(arrays) layers, no more)."""
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise CheckpointError(
            f"config.json: {key} is {value!r}, expected an integer from 1 to {most}"
        )
    return value


def count_layers(names, prefix):
    """The number of layers in a file: 1 + the largest i of names such as `prefix`i.ln_1.weight, but
    at most the number of names."""
    numbers = (name[len(prefix) :].partition(".")[0] for name in names if name.startswith(prefix))
    found = 1 + max((int(n) for n in numbers if n.isascii() and n.isdigit()), default=-1)
    return min(found, len(names))
