"""Module: weights with names, and the layers made of one function each.

Names, arguments and initialisation are PyTorch's (`weight` of a Linear is (out, in)), so that a
`state_dict` means the same on both sides. Weights are drawn on the host by `manual_seed`'s
generator, whatever device they end up on.
"""

import contextlib
import copy
import inspect
import math

import numpy as np

from minivit import functions
from minivit.engine import backend
from minivit.engine.errors import DtypeError, OptionError, ShapeError, StateError
from minivit.engine.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module owns and an optimizer changes. order="F": columns side by side."""

    __slots__ = ()

    def __init__(self, data, order="K"):
        if _empty:
            data = _placeholder(np.shape(data))
        elif order != "K":
            data = np.asarray(data, order=order)
        super().__init__(data, requires_grad=True, device=backend.default_device())

    def assign(self, values):
        """Overwrite the values in place; `values` may be on the host."""
        if _empty:
            return
        if np.shape(values) != self.shape:
            raise ShapeError(f"assign: got shape {np.shape(values)}, expected {self.shape}")
        self.data[...] = backend.to_device(np.asarray(values, self.dtype), self.device)
        self.touch()


class Buffer(Tensor):
    """A Tensor that belongs to a Module's state but is not learnt (running statistics)."""

    __slots__ = ()

    def __init__(self, data):
        super().__init__(data, device=backend.default_device())


class Module:
    """Something with parameters: its own, and those of the modules it holds.

    What is assigned to an attribute is found again by walking the attributes, lists and dicts of
    modules included; there is nothing to register. Subclasses write `__init__` and `forward`.
    """

    training = True

    def __new__(cls, *inputs, **options):
        self = super().__new__(cls)
        self._config = _bound(cls, inputs, options)
        return self

    @property
    def config(self):
        """The arguments that this module was built with, defaults included, as JSON can hold them:
        `ViT(**model.config | {"classes": 5})`. A module among them stands there as the dict that
        `nn.build` reads. An argument that JSON cannot hold, such as a function: a DtypeError."""
        return {
            name: _json(value, f"{type(self).__name__}: the argument {name}")
            for name, value in self._config.items()
        }

    def __call__(self, *inputs, **options):
        return self.forward(*inputs, **options)

    def _children(self):
        """(name, Parameter, Buffer or Module) in the order of assignment."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Buffer, Module)):
                yield name, value
            elif isinstance(value, (list, tuple, dict)):
                pairs = value.items() if isinstance(value, dict) else enumerate(value)
                for key, item in pairs:
                    if isinstance(item, (Parameter, Buffer, Module)):
                        yield f"{name}.{key}", item

    def named_tensors(self, prefix=""):
        """(dotted name, Parameter or Buffer), each once, under its first name."""
        seen = set()
        for name, tensor in self._all_tensors(prefix):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield name, tensor

    def _all_tensors(self, prefix):
        for name, value in self._children():
            if isinstance(value, Module):
                yield from value._all_tensors(f"{prefix}{name}.")
            else:
                yield prefix + name, value

    def named_parameters(self, prefix=""):
        """(dotted name, Parameter), each once, under its first name."""
        return ((n, p) for n, p in self.named_tensors(prefix) if isinstance(p, Parameter))

    def parameters(self):
        """Every parameter, once."""
        return (p for _, p in self.named_parameters())

    def modules(self):
        """This module and all modules inside of it."""
        yield self
        for _, value in self._children():
            if isinstance(value, Module):
                yield from value.modules()

    def count_parameters(self):
        """How many numbers are learnt."""
        return sum(p.size for p in self.parameters())

    def train(self, mode=True):
        """Switch dropout on (or off)."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Switch dropout off."""
        return self.train(False)

    @contextlib.contextmanager
    def evaluating(self):
        """Inside of this block dropout is off; afterwards each module is in the mode it was in."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield self
        finally:
            for module, mode in modes:
                module.training = mode

    def requires_grad_(self, wanted=True):
        """Freeze (False) or thaw all parameters."""
        for p in self.parameters():
            p.requires_grad = wanted
        return self

    def zero_grad(self):
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def to(self, device):
        """Move every parameter (and its gradient) to "cpu" or "cuda", in place."""
        for _, p in self.named_tensors():
            p.data = backend.to_device(p.data, device)
            if p.grad is not None:
                p.grad = backend.to_device(p.grad, device)
        return self

    def state_dict(self):
        """{dotted name: NumPy array}, row-major copies on the host."""
        return {name: np.array(p.numpy(), order="C") for name, p in self.named_tensors()}

    def load_state_dict(self, state, strict=True):
        """Copy `state` into the parameters. Names or shapes that do not fit: StateError, which
        lists them all, and nothing is changed. strict=False takes what is there."""
        own = dict(self.named_tensors())
        missing = [name for name in own if name not in state]
        unexpected = [name for name in state if name not in own]
        misshaped = [
            f"{name}: file {tuple(np.shape(state[name]))}, model {p.shape}"
            for name, p in own.items()
            if name in state and np.shape(state[name]) != p.shape
        ]
        if misshaped or (strict and (missing or unexpected)):
            raise StateError(
                f"load_state_dict: the state is of another architecture than this "
                f"{type(self).__name__}."
                + listed("missing", missing if strict else [])
                + listed("unexpected", unexpected if strict else [])
                + listed("another shape", misshaped)
            )
        for name, p in own.items():
            if name in state:
                host = np.asarray(state[name], dtype=p.dtype)
                p.data[...] = backend.to_device(host, p.device)
                p.touch()


def listed(title, names):
    """A line of an error message: how many names there are, and the first of them."""
    shown = names[:8] + ([f"... and {len(names) - 8} more"] if len(names) > 8 else [])
    return f"\n  {title} ({len(names)}): " + ", ".join(shown) if names else ""


# -- from arguments to a dict, and back ------------------------------------------------------------
def _bound(cls, inputs, options):
    """{name: value} of the arguments of cls(*inputs, **options); {} if they do not fit: __init__
    will say so (and a copy is made without arguments)."""
    try:
        bound = inspect.signature(cls.__init__).bind(None, *inputs, **options)
    except TypeError:
        return {}
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])  # without self
    for parameter in bound.signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(parameter.name)
    return {name: _recorded(value) for name, value in arguments.items()}


def _recorded(value):
    """What of an argument is kept: modules as dicts, and of what JSON cannot hold only its type."""
    if isinstance(value, Module):
        return {"class": _class_name(type(value))} | copy.deepcopy(value._config)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (list, tuple)):
        return [_recorded(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _recorded(item) for key, item in value.items()}
    return value if value is None or type(value) in (bool, int, float, str) else type(value)


def _json(value, what):
    """A copy of what `_recorded` made, if JSON can hold it."""
    if isinstance(value, type):
        raise DtypeError(
            f"{what} was a {value.__name__}, which no config can hold; expected numbers, strings, "
            "lists, dicts or modules"
        )
    if isinstance(value, list):
        return [_json(item, what) for item in value]
    if isinstance(value, dict):
        return {key: _json(item, what) for key, item in value.items()}
    return value


def described(module):
    """{"class": its name, **config}: what `build` makes the same architecture of."""
    return {"class": _class_name(type(module))} | module.config


def build(description):
    """The module that `described` described, with new weights; a module is returned as it is."""
    if isinstance(description, Module):
        return description
    if not isinstance(description, dict) or not isinstance(description.get("class"), str):
        raise DtypeError(
            f"build: got {type(description).__name__}, expected a module, or the dict that "
            "nn.described makes of one"
        )
    arguments = dict(description)
    name = arguments.pop("class")
    known = {_class_name(cls): cls for cls in _subclasses(Module)}
    if name not in known:
        raise OptionError(
            f"build: no class {name!r} has been imported; there are {', '.join(sorted(known))}"
        )
    signature = inspect.signature(known[name].__init__)
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
    return known[name](*inputs, **arguments)


def _class_name(cls):
    """Of a class that is not this library's, its module too: a notebook may define its own ViT."""
    ours = cls.__module__.partition(".")[0] == "minivit"
    return cls.__name__ if ours else f"{cls.__module__}.{cls.__qualname__}"


def _subclasses(cls):
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


# -- initialisation --------------------------------------------------------------------------------
_empty = False


@contextlib.contextmanager
def empty():
    """Models made inside of this block have no weights yet: nothing is drawn, nothing takes memory.
    A Parameter has its shape and one number behind it, until its `data` is set (a published file
    read)."""
    global _empty
    before, _empty = _empty, True
    try:
        yield
    finally:
        _empty = before


def _placeholder(shape):
    return np.lib.stride_tricks.as_strided(np.zeros((), np.float32), shape, (0,) * len(shape))


def normal(shape, std):
    """float32 numbers from N(0, std^2)."""
    if _empty:
        return _placeholder(shape)
    return (backend.host_generator().standard_normal(shape) * std).astype(np.float32)


def truncated_normal(shape, std):
    """float32 numbers from N(0, std^2), drawn again until within 2 std (BERT, ViT ports)."""
    if _empty:
        return _placeholder(shape)
    x = backend.host_generator().standard_normal(shape)
    while (far := np.abs(x) > 2).any():
        x[far] = backend.host_generator().standard_normal(int(far.sum()))
    return (x * std).astype(np.float32)


def uniform(shape, bound):
    """float32 numbers from [-bound, bound)."""
    if _empty:
        return _placeholder(shape)
    return backend.host_generator().uniform(-bound, bound, shape).astype(np.float32)


def xavier_uniform(out_features, in_features):
    """Glorot & Bengio 2010: U(-a, a) with a = sqrt(6 / (in + out))."""
    return uniform((out_features, in_features), math.sqrt(6 / (in_features + out_features)))


class Linear(Module):
    """y = x W^T + b on the last axis: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features, out_features, bias=True):
        bound = 1 / math.sqrt(in_features)
        self.weight = Parameter(uniform((out_features, in_features), bound))
        self.bias = Parameter(uniform((out_features,), bound)) if bias else None

    def forward(self, x):
        return functions.linear(x, self.weight, self.bias)


class LayerNorm(Module):
    """y = (x - E[x]) / sqrt(Var[x] + eps) * weight + bias over the last axis."""

    def __init__(self, normalized_shape, eps=1e-5):
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape, np.float32))
        self.bias = Parameter(np.zeros(normalized_shape, np.float32))

    def forward(self, x):
        return functions.layer_norm(x, self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axis."""

    def __init__(self, normalized_shape, eps=1e-5):
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape, np.float32))

    def forward(self, x):
        return functions.rms_norm(x, self.weight, eps=self.eps)


class Embedding(Module):
    """A table of num_embeddings vectors: ids (...) -> (..., embedding_dim)."""

    def __init__(self, num_embeddings, embedding_dim):
        self.weight = Parameter(normal((num_embeddings, embedding_dim), 1.0))

    def forward(self, ids):
        return functions.embedding(self.weight, ids)


class Dropout(Module):
    """Zero each element with probability p, in training only."""

    def __init__(self, p=0.5):
        if not 0 <= p < 1:
            raise OptionError(f"Dropout: p is {p}, expected 0 <= p < 1")
        self.p = p

    def forward(self, x):
        return functions.dropout(x, p=self.p) if self.training and self.p else x


class GELU(Module):
    """x Phi(x); approximate: "none", "tanh" or "quick"."""

    def __init__(self, approximate="none"):
        self.approximate = approximate

    def forward(self, x):
        return functions.gelu(x, approximate=self.approximate)


class Sequential(Module):
    """One module after the other."""

    def __init__(self, *modules):
        self.modules_ = list(modules)

    def _children(self):
        yield from ((str(i), m) for i, m in enumerate(self.modules_))

    def forward(self, x):
        for module in self.modules_:
            x = module(x)
        return x
