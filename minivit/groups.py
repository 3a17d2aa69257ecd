"""Groups: which parameters an optimizer changes, and with which settings.

Errors begin with `name`, the optimizer's.
"""

import math

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import DtypeError, OptionError, ShapeError
from minivit.engine.tensor import Tensor
from minivit.nn import Module


def groups_of(name, given):
    """The argument of an optimizer as a list of {"params": [Parameter, ...], ...}."""
    given = [given] if isinstance(given, dict) else parameters_of(name, given)
    if not any(isinstance(g, dict) for g in given):
        given = [{"params": given}]
    groups, seen = [], set()
    for g in given:
        if not isinstance(g, dict) or "params" not in g:
            raise OptionError(f"{name}: expected all parameters, or all dicts with 'params'")
        groups.append({**g, "params": parameters_of(name, g["params"])})
        for p in groups[-1]["params"]:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                what = f"a {p.dtype} tensor" if isinstance(p, Tensor) else type(p).__name__
                made = f", the result of {p.op}" if getattr(p, "op", None) else ""
                raise DtypeError(f"{name}: got {what}{made}, expected floating-point Parameters")
            if id(p) in seen:
                raise OptionError(f"{name}: a parameter is given twice")
            seen.add(id(p))
    if not any(p.requires_grad for g in groups for p in g["params"]):
        raise OptionError(
            f"{name}: got no parameters to optimize"
            + (": all are frozen, see requires_grad_(True)" if seen else "")
        )
    return groups


def parameters_of(name, given):
    """The Parameters of a Module, of one Parameter, or of an iterable, as a list."""
    if isinstance(given, Module):
        return list(given.parameters())
    if isinstance(given, Tensor):
        return [given]
    try:
        return list(given)
    except TypeError:
        raise DtypeError(
            f"{name}: got {type(given).__name__}, expected a Module or its parameters"
        ) from None


def check_gradient(name, p):
    """Refuse what `backward` does not leave: no array, not p's shape, not floating point."""
    g, w = p.grad, p._array
    if type(g) is type(w) and g.dtype is w.dtype and g.shape == w.shape:
        return  # nearly always
    if not backend.is_array(g) or g.dtype.kind != "f":
        raise DtypeError(
            f"{name}: a gradient is a {type(g).__name__} {getattr(g, 'dtype', '')}, expected an "
            "array of floating-point numbers"
        )
    if g.shape != w.shape:
        raise ShapeError(f"{name}: a gradient of shape {g.shape} for a parameter of {w.shape}")


BOUNDS = {  # of the settings: smallest, and what they stay below
    "lr": (0, math.inf), "eps": (0, math.inf), "weight_decay": (0, math.inf),
    "momentum": (0, math.inf), "betas": (0, 1), "beta1": (0, 1), "beta2_cap": (0, math.inf),
    "decay_rate": (0, math.inf), "factored": (0, math.inf), "schedule": (0, math.inf),
}  # fmt: skip
PAIRS = {"betas"}  # of the settings: two numbers each
FLAGS = ("nesterov",)  # True or False


def is_number(x):
    return isinstance(x, (int, float, np.integer, np.floating))


def check_settings(name, group, defaults):
    """Refuse numbers that no rule can use. NumPy's numbers become Python's, which do not turn a
    float32 array into a float64 one."""
    if unknown := sorted(group.keys() - defaults.keys() - {"params"}, key=str):
        raise OptionError(
            f"{name}: unknown settings {unknown}, expected some of {sorted(defaults)}"
        )
    for setting in defaults:
        low, high = BOUNDS.get(setting, (-math.inf, math.inf))
        several = setting in PAIRS
        if setting in FLAGS:
            if not isinstance(group[setting], (bool, np.bool_)):
                raise OptionError(
                    f"{name}: {setting} is {group[setting]!r}, expected True or False"
                )
            continue
        if not several and type(group[setting]) is float and low <= group[setting] < high:
            continue  # nearly always
        values = group[setting] if several else (group[setting],)
        if (
            not isinstance(values, (tuple, list))
            or len(values) != (2 if several else 1)
            or not all(is_number(x) and low <= x < high for x in values)
        ):
            raise OptionError(
                f"{name}: {setting} is {group[setting]!r}, expected "
                f"{'two numbers, each' if several else 'a number,'} at least {low} and below {high}"
            )
        values = tuple(x.item() if isinstance(x, np.generic) else x for x in values)
        group[setting] = values if several else values[0]
