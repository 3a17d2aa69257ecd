"""Module: parameters with names.

Names are PyTorch's, so that a `state_dict` means the same on both sides.
"""

import contextlib
import inspect

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import ArgumentError, DtypeError, StateError
from minivit.engine.recompute import recompute
from minivit.engine.record import function
from minivit.nn import config
from minivit.nn.parameter import Buffer, Parameter


class Module:
    """Something with parameters: its own, and those of the modules it holds.

    `modules` and `named_parameters` walk the attributes, lists and dicts of modules included; there
    is nothing to register. Subclasses write `__init__` and `forward`.
    """

    training = True
    recomputed = False  # True: of this module only the input is kept for the way back

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        config.CLASSES[config.class_name(cls)] = cls
        if cls.__module__.startswith("minivit."):  # yours raise what they raise
            for name, f in list(vars(cls).items()):
                if inspect.isfunction(f) and (name == "__init__" or name[0] != "_"):
                    setattr(cls, name, function(f))

    def __new__(cls, *inputs, **options):
        self = super().__new__(cls)
        self._config = config.bound(cls, inputs, options)
        return self

    @property
    def config(self):
        """The arguments that this module was built with, defaults included, as JSON can hold them:
        `ViT(**model.config | {"classes": 5})`. A module among them stands there as the dict that
        `nn.build` reads. An argument that JSON cannot hold, such as a function: a DtypeError."""
        return {
            name: config.as_json(value, f"{type(self).__name__}: the argument {name}")
            for name, value in self._config.items()
        }

    def __call__(self, *inputs, **options):
        f = recompute(self.forward) if self.recomputed else self.forward
        return f(*inputs, **options)

    def forward(self, *inputs, **options):
        """The computation; a subclass says it."""
        raise ArgumentError(f"{type(self).__name__} has no forward; a Module needs one")

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
        """The number of parameters."""
        return sum(p.size for p in self.parameters())

    def __repr__(self):
        """A tree: each module, how many numbers it learns, the shapes of its parameters. Layers of
        a list that are alike stand there once."""
        return "\n".join(self._tree())

    def _tree(self):
        children = list(self._children())
        own = [(name, t) for name, t in children if not isinstance(t, Module)]
        facts = [type(self).__name__]
        if count := self.count_parameters():
            facts.append(f"{count:,}")
        learnt = [t.requires_grad for _, t in own if isinstance(t, Parameter)]
        if learnt and not any(learnt):
            facts.append("frozen")
        lines = ["  ".join(facts + [f"{name} {t.shape}" for name, t in own])]
        alike = []  # [the list that they are in, their names, their lines]
        for name, child in children:
            if isinstance(child, Module):
                tree, place = child._tree(), name.rpartition(".")[0]
                if name[-1].isdigit() and alike and alike[-1] == [place, alike[-1][1], tree]:
                    alike[-1][1].append(name)
                else:
                    alike.append([place, [name], tree])
        for _, names, tree in alike:
            which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
            lines += [f"  {which}: {tree[0]}", *("  " + line for line in tree[1:])]
        return lines

    def train(self, mode=True):
        """Switch dropout on (or off)."""
        if not isinstance(mode, (bool, np.bool_)):
            raise DtypeError(f"train: mode is {mode!r}, expected True or False")
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
        if not hasattr(state, "keys"):
            raise DtypeError(
                f"load_state_dict: got {type(state).__name__}, expected a dict {{name: array}}"
            )
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
        hosts = {}
        for name in own.keys() & state.keys():
            hosts[name] = real_numbers(f"load_state_dict: {name}", state[name], own[name].dtype)
        for name, host in hosts.items():  # all could be read: now they are changed
            p = own[name]
            p.data[...] = backend.to_device(host, p.device)
            p.touch()


def real_numbers(where, array, dtype):
    """An array of a state, in `dtype`, on the host."""
    try:
        array = np.asarray(array)
        if array.dtype.kind == "c":
            raise TypeError("got complex numbers, expected real ones")
        return np.asarray(array, dtype=dtype)
    except (TypeError, ValueError) as reason:
        raise DtypeError(f"{where}: {reason}") from None


def listed(title, names):
    """A line of an error message: how many names there are, and the first of them."""
    shown = names[:8] + ([f"... and {len(names) - 8} more"] if len(names) > 8 else [])
    return f"\n  {title} ({len(names)}): " + ", ".join(shown) if names else ""
