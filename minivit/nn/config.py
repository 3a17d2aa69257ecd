"""Config: the arguments that a module was built with, as a dict that JSON can hold, and back."""

import inspect

import numpy as np

from minivit.engine.errors import DtypeError, OptionError

CLASSES = {}  # name -> class: every Module that there is


def bound(cls, inputs, options):
    """{name: value} of the arguments of cls(*inputs, **options); {} if they do not fit: __init__
    will say so (and a copy is made without arguments)."""
    try:
        found = inspect.signature(cls.__init__).bind(None, *inputs, **options)
    except TypeError:
        return {}
    found.apply_defaults()
    arguments = dict(list(found.arguments.items())[1:])  # without self
    for parameter in found.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name)
    return {name: _recorded(value) for name, value in arguments.items()}


def _recorded(value):
    """An argument as it is kept: modules as dicts; only the type of what JSON cannot hold."""
    if hasattr(value, "_config"):  # a Module (next chapter)
        return {"class": class_name(type(value))} | {
            name: _recorded(x) for name, x in value._config.items()
        }
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_recorded(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _recorded(item) for key, item in value.items()}
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, type):
        return value
    return type(value)


def as_json(value, what):
    """A copy of what `_recorded` made, if JSON can hold it."""
    if isinstance(value, type):
        raise DtypeError(
            f"{what} was a {value.__name__}, which no config can hold; expected numbers, strings, "
            "lists, dicts or modules"
        )
    if isinstance(value, list):
        return [as_json(item, what) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item, what) for key, item in value.items()}
    return value


def described(module):
    """{"class": its name, **config}: what `build` makes the same architecture of."""
    return {"class": class_name(type(module))} | module.config


def build(description):
    """The module that `described` described, with new weights; a module is returned as it is."""
    if hasattr(description, "_config"):
        return description
    if not isinstance(description, dict) or not isinstance(description.get("class"), str):
        raise DtypeError(
            f"build: got {type(description).__name__}, expected a module, or the dict that "
            "nn.described makes of one"
        )
    arguments = dict(description)
    name = arguments.pop("class")
    if name not in CLASSES:
        raise OptionError(
            f"build: no class {name!r} has been imported; there are {', '.join(sorted(CLASSES))}"
        )
    signature = inspect.signature(CLASSES[name].__init__)
    inputs = []
    for i, p in enumerate(signature.parameters.values()):
        if p.kind is p.VAR_POSITIONAL:  # such as Sequential's: those before it have no name either
            before = list(signature.parameters)[1:i]
            inputs = [arguments.pop(x) for x in before if x in arguments]
            inputs += [build(x) for x in arguments.pop(p.name, [])]
    try:
        signature.bind(None, *inputs, **arguments)
    except TypeError as reason:
        raise OptionError(f"build: {name}: {reason}") from None
    return CLASSES[name](*inputs, **arguments)


def class_name(cls):
    """Of a class that is not this library's, its module too: a notebook may define its own ViT."""
    ours = cls.__module__.partition(".")[0] == "minivit"
    return cls.__name__ if ours else f"{cls.__module__}.{cls.__qualname__}"
