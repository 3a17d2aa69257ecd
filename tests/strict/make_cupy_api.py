"""Write down which names and keywords the installed CuPy has, as JSON on standard output.

    python make_cupy_api.py > cupy_api.json

CuPy's wheel imports without a driver, so this needs no GPU. A value is
  "(a, axis=None)"  a callable and its parameters (every default is written None),
  "ufunc"           a ufunc: its parameters and its methods are under "ufunc",
  ""                anything else: a number, a type, a module.
Three callables hide their keywords behind **kwargs: written here by hand, from the source.
"""

import inspect
import json
import sys

import cupy
import numpy

SPACES = ["", "linalg", "fft", "random", "lib", "lib.stride_tricks"]  # "" is cupy itself
CLASSES = ["ndarray", "random.Generator", "ufunc"]
BY_HAND = {
    "einsum": "(*operands, dtype=None, optimize=None)",  # cupy/linalg/_einsum.py
    "meshgrid": "(*xi, copy=None, sparse=None, indexing=None)",  # cupy/_creation/ranges.py
    "pad": "(array, pad_width, mode=None, *, constant_values=None, end_values=None, "
    "reflect_type=None, stat_length=None)",  # cupy/_padding/pad.py
}


def signature(thing):
    """The parameters of a callable, or "" where it does not tell."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return from_docstring(thing)
    plain = [
        p.replace(
            annotation=p.empty,
            default=p.empty if p.default is p.empty or p.name == "self" else None,
        )
        for p in parameters
        if p.name != "self"
    ]
    return str(inspect.Signature(plain))


def from_docstring(thing):
    """A compiled method's first line: `_ndarray_base.sort(self, int axis=-1, kind=None) -> ...`."""
    first = (getattr(thing, "__doc__", None) or "").split("\n")[0]
    if "(self" not in first:
        return ""
    inside = first[first.index("(self") + 5 : first.rindex(")")].lstrip(", ")
    plain = []
    for parameter in filter(None, inside.split(", ")):
        name, equals, _ = parameter.partition("=")
        plain.append(name.split()[-1] + "=None" * bool(equals))
    return f"({', '.join(plain)})"


def value_of(thing):
    if isinstance(thing, cupy.ufunc):
        return "ufunc"
    if isinstance(thing, type) or not callable(thing):
        return ""
    return signature(thing)


def ufunc_call():
    """The keywords of a ufunc, found by asking: without a driver those it knows fail later."""
    known = []
    for keyword in ("out", "where", "dtype", "casting", "order", "subok", "signature"):
        try:
            cupy.add(1, 2, **{keyword: None})
        except Exception as problem:
            if "Wrong arguments" in str(problem):
                continue
        known.append(f"{keyword}=None")
    return f"(*x, {', '.join(known)})"


def names_of(path):
    thing = cupy
    for part in filter(None, path.split(".")):
        thing = getattr(thing, part)
    names = [n for n in dir(thing) if not n.startswith("_") and n not in ("annotations", "np")]
    if path == "ndarray":  # which operators it has: there is no __imatmul__ and no __index__
        names += [n for n in dir(thing) if n.startswith("__") and not hasattr(object, n)]
    return {name: BY_HAND.get(name) or value_of(getattr(thing, name)) for name in names}


if __name__ == "__main__":
    found = {"versions": {"cupy": cupy.__version__, "numpy": numpy.__version__}}
    found |= {path: names_of(path) for path in SPACES + CLASSES}
    found["ufunc"]["__call__"] = ufunc_call()
    json.dump(found, sys.stdout, indent=0, sort_keys=True)
    print()
