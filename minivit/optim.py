"""Optimizers, in order of increasing complexity.

Each is a rule for one parameter: its values `w`, their gradient `g`, the arrays `s` that the rule
keeps for it (its state), and `t`, how many updates it has had, this one included. `Optimizer.step`
applies the rule to one parameter after the other. A rule that treats each number for itself runs
over many parameters laid end to end, which is faster: `flat`.
"""

import math

import numpy as np

from minivit import flat, groups
from minivit.engine import backend
from minivit.engine.errors import DtypeError, NonFiniteError, OptionError, StateError
from minivit.engine.record import function
from minivit.nn.module import real_numbers


class Entry:
    """A parameter, the settings of its group, and what the optimizer keeps for it."""

    def __init__(self, p, group):
        self.p, self.group = p, group
        self.t = 0  # its own updates so far: a layer that is thawed late starts at its first
        self.state = None  # arrays by name; None while the parameter is frozen


class Optimizer:
    """`step()` updates every parameter that has a gradient; `zero_grad()` forgets the gradients.

    parameters: a Module, Parameters, or dicts {"params": ..., "lr": ..., ...}: groups with settings
    of their own, as in PyTorch. Frozen parameters (requires_grad=False) are left out until they are
    thawed. A schedule writes into `groups[i]["lr"]`.
    """

    elementwise = True  # does the rule treat each number for itself?

    def __init__(self, parameters, **settings):
        self.defaults, self.groups, self.entries, self.flats = settings, [], [], []
        for given in groups.groups_of(type(self).__name__, parameters):
            group = {**settings, **given}
            self.check(group)
            self.groups.append(group)
            self.entries += [Entry(p, group) for p in group["params"]]
        for e in self.entries:
            if e.p.requires_grad:
                e.state = self.new_state(e.p, e.group)
        if self.elementwise:
            flat.lay_out(self)

    def rule(self, w, g, s, t, group):
        """Change `w` and `s` in place. `g` is a copy, which may be overwritten."""
        raise NotImplementedError

    def names(self, group):
        """The names of the arrays that the rule keeps, each of the parameter's shape."""
        return set()

    def new_state(self, p, group):
        """The arrays of a parameter before its first update."""
        xp = backend.MODULES[p.device]
        return {name: xp.zeros(p.shape, dtype=p.dtype) for name in sorted(self.names(group))}

    def step(self):
        """One update: the rule, for every parameter that has a gradient."""
        ready = self._ready()
        for e in ready:
            e.t += 1
        for w, g, s, t, group in (flat.end_to_end if self.elementwise else each)(self, ready):
            self.rule(w, g, s, t, group)
        for e in ready:
            e.p.touch()

    def _ready(self):
        """The entries that this step updates, each with its state."""
        for group in self.groups:
            self.check(group)
        names = {id(group): self.names(group) for group in self.groups}
        ready = []
        for e in self.entries:
            if e.p.grad is None or not e.p.requires_grad:
                continue
            groups.check_gradient(type(self).__name__, e.p)
            if e.state is None or not e.state.keys() >= names[id(e.group)]:
                # thawed since, or a setting was changed
                e.state, self.flats = self.new_state(e.p, e.group) | (e.state or {}), []
            ready.append(e)
        return ready

    def zero_grad(self):
        """Forget all gradients."""
        for e in self.entries:
            e.p.grad = None

    def bytes_held(self):
        """Bytes of optimizer state, beside the parameters and their gradients."""
        return sum(array.nbytes for e in self.entries for array in (e.state or {}).values())

    def check(self, group):
        """Refuse settings that no rule can use."""
        groups.check_settings(type(self).__name__, group, self.defaults)

    def state_dict(self):
        """{name: NumPy array}: each parameter's count of updates, and its state, by its place."""
        state = {"updates": np.array([e.t for e in self.entries])}
        for i, e in enumerate(self.entries):
            for name, array in (e.state or {}).items():
                state[f"{i}.{name}"] = np.array(backend.to_numpy(array))
        return state

    @function
    def load_state_dict(self, state):
        """Continue where `state` was taken; one of another optimizer or of other parameters is a
        StateError, and nothing is changed."""
        if not hasattr(state, "keys"):
            raise DtypeError(f"load_state_dict: got {type(state).__name__}, expected a dict")
        new = [self.new_state(e.p, e.group) for e in self.entries]
        arrays = {f"{i}.{name}": (i, a) for i, s in enumerate(new) for name, a in s.items()}
        expected = {name: a.shape for name, (_, a) in arrays.items()} | {"updates": (len(new),)}
        got = {name: np.shape(array) for name, array in state.items()}
        if got.get("updates") == (len(new),):  # what was frozen all the time has no state
            never = [name for name, (i, _) in arrays.items() if not state["updates"][i]]
            expected = {k: v for k, v in expected.items() if k in got or k not in never}
        wrong = [
            f"{name}: got {got.get(name, 'nothing')}, expected {expected.get(name, 'nothing')}"
            for name in sorted(expected.keys() | got.keys(), key=str)
            if got.get(name) != expected.get(name)
        ]
        if wrong:
            raise StateError(
                f"{type(self).__name__}: the state is of another optimizer or other parameters.\n  "
                + "\n  ".join(wrong)
            )
        updates = np.asarray(state["updates"])
        if updates.dtype.kind not in "iu" or (updates < 0).any():
            raise StateError(f"{type(self).__name__}: updates: got {updates}, expected counts")
        for name, (_, array) in arrays.items():
            if name in state:
                host = real_numbers(f"{type(self).__name__}: {name}", state[name], array.dtype)
                array[...] = backend.to_device(host, backend.device_of(array))
        for i, e in enumerate(self.entries):
            e.t, e.state = int(updates[i]), new[i]
        self.flats = []  # laid out anew in the next step


# -- the rules -------------------------------------------------------------------------------------
class SGD(Optimizer):
    """w <- w - lr v, with v <- momentum v + g (momentum 0: v = g).

    nesterov: the step is g + momentum v, the gradient where momentum is about to carry w.
    """

    def __init__(self, parameters, lr=0.1, momentum=0.0, weight_decay=0.0, nesterov=False):
        super().__init__(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        )

    def names(self, group):
        return {"v"} if group["momentum"] else set()

    def rule(self, w, g, s, t, group):
        if group["weight_decay"]:
            g += group["weight_decay"] * w
        if group["momentum"]:
            v = s["v"]
            v *= group["momentum"]
            v += g
            g = g + group["momentum"] * v if group["nesterov"] else v
        w -= group["lr"] * g

    def check(self, group):
        super().check(group)
        if group["nesterov"] and not group["momentum"]:
            raise OptionError("SGD: nesterov needs a momentum; momentum is 0")


class Adam(Optimizer):
    """w <- w - lr m' / (sqrt(v') + eps), m and v running means of g and g^2 (Kingma & Ba 2014).

    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) undo the start at zero. amsgrad: v' is made of
    the largest v so far (Reddi et al. 2018).
    """

    def __init__(
        self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False
    ):
        super().__init__(
            parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad
        )

    def names(self, group):
        return {"m", "v", "largest"} if group["amsgrad"] else {"m", "v"}

    def decay(self, w, g, group):
        """L2: the decay is part of the gradient, and so is divided by sqrt(v)."""
        g += group["weight_decay"] * w

    def rule(self, w, g, s, t, group):
        xp, (beta1, beta2) = backend.module_of([w], "Adam"), group["betas"]
        if group["weight_decay"]:
            self.decay(w, g, group)
        m, v = s["m"], s["v"]
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        g *= g
        g *= 1 - beta2
        v += g
        if group["amsgrad"]:
            v = xp.maximum(s["largest"], v, out=s["largest"])
        d = xp.sqrt(v)
        d *= 1 / math.sqrt(1 - beta2**t)
        d += group["eps"]
        xp.divide(m, d, out=d)
        d *= group["lr"] / (1 - beta1**t)
        w -= d


class AdamW(Adam):
    """Adam, but the decay acts on the weights themselves: w <- w - lr weight_decay w
    (Loshchilov & Hutter 2017)."""

    def __init__(
        self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, amsgrad=False
    ):
        super().__init__(parameters, lr, betas, eps, weight_decay, amsgrad)

    def decay(self, w, g, group):
        w *= 1 - group["lr"] * group["weight_decay"]


class Adafactor(Optimizer):
    """Adam at half the memory or less (Shazeer & Stern 2018), as modified by Zhai et al. 2022 for
    Scaling Vision Transformers: the first moment kept in half precision, the second as a row and a
    column of running means wherever both sides of a matrix are at least `factored`.

        R <- b2 R + (1 - b2) mean_columns(g^2),   C likewise over rows,
        u = g / sqrt(R C / mean(R)),              m <- b1 m + (1 - b1) u,
        w <- w - schedule (lr m + weight_decay w)

    b2 = min(0.999, 1 - t^-0.8). No update clipping, no relative steps. weight_decay is not
    multiplied by lr; `schedule` in [0, 1] scales both. NumPy has no bfloat16: m is float16.
    """

    elementwise = False

    def __init__(
        self, parameters, lr=1e-3, beta1=0.9, decay_rate=0.8, beta2_cap=0.999, eps=1e-30,
        factored=32, weight_decay=0.0, schedule=1.0,
    ):  # fmt: skip
        super().__init__(
            parameters, lr=lr, beta1=beta1, decay_rate=decay_rate, beta2_cap=beta2_cap, eps=eps,
            factored=factored, weight_decay=weight_decay, schedule=schedule,
        )  # fmt: skip

    def new_state(self, p, group):
        xp = backend.MODULES[p.device]
        state = {"m": xp.zeros(p.shape, dtype=np.float16)}
        if (axes := self._axes(p.shape, group)) is None:
            return state | {"v": xp.zeros(p.shape, dtype=p.dtype)}
        for name, axis in zip("RC", reversed(axes)):
            kept = tuple(1 if a == axis else n for a, n in enumerate(p.shape))
            state[name] = xp.zeros(kept, dtype=p.dtype)
        return state

    @staticmethod
    def _axes(shape, group):
        """The two largest axes (rows, columns), if both are at least `factored` long."""
        order = sorted(range(len(shape)), key=lambda a: shape[a])
        if len(shape) < 2 or shape[order[-2]] < group["factored"]:
            return None
        return tuple(sorted(order[-2:]))

    def rule(self, w, g, s, t, group):
        xp = backend.module_of([w], "Adafactor")
        beta2 = min(group["beta2_cap"], 1 - t ** -group["decay_rate"])
        square = g * g + group["eps"]
        if (axes := self._axes(w.shape, group)) is None:
            v = s["v"]
            v *= beta2
            v += (1 - beta2) * square
            u = g / xp.sqrt(v)
        else:
            rows, columns = axes
            R, C = s["R"], s["C"]
            for mean, axis in ((R, columns), (C, rows)):
                mean *= beta2
                mean += (1 - beta2) * square.mean(axis=axis, keepdims=True)
            u = g / (xp.sqrt(R / R.mean(axis=rows, keepdims=True)) * xp.sqrt(C))
        m = s["m"].astype(w.dtype)
        m += (1 - group["beta1"]) * (u - m)
        s["m"][...] = m
        m *= group["lr"]
        m += group["weight_decay"] * w
        m *= group["schedule"]
        w -= m


def each(optimizer, ready):
    """The plain way: (w, copy of g, s, t, settings), one parameter after the other."""
    for e in ready:
        e.state = {name: backend.to_device(a, e.p.device) for name, a in e.state.items()}
        state = {name: _array(a) for name, a in e.state.items()}
        yield _array(e.p.data), _array(e.p.grad.copy()), state, e.t, e.group


def _array(a):
    """A single number as an array of one: NumPy writes into that in place, everywhere."""
    return a if a.ndim else a.reshape(1)


@function
def decay_groups(model, weight_decay):
    """Two groups: matrices are decayed; gains, biases and other vectors are not."""
    params = list(model.parameters())
    return [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]


@function
def clip_grad_norm(parameters, max_norm):
    """Scale all gradients together so that their joint L2 norm is at most max_norm; returns the
    norm before. NaN or infinity: NonFiniteError, and the gradients are as they were."""
    if not (groups.is_number(max_norm) and max_norm >= 0):
        raise OptionError(f"clip_grad_norm: max_norm is {max_norm!r}, expected a number >= 0")
    parameters = groups.parameters_of("clip_grad_norm", parameters)
    grads = [p for p in parameters if p.grad is not None]
    for p in grads:
        groups.check_gradient("clip_grad_norm", p)
    grads = [p for p in grads if p.size]
    unit, norm = 1.0, _joint_norm(p.grad for p in grads)
    half = any(p.grad.dtype.itemsize < 4 for p in grads)
    if half or not 1e-15 < norm < 1e15:  # the squares may have left the range of the dtype
        unit = max((float(abs(p.grad).max()) for p in grads), default=0.0)
        norm = _joint_norm(_in_units(p.grad, unit) for p in grads) if 0 < unit < math.inf else unit
    if not math.isfinite(norm * unit):
        raise NonFiniteError("clip_grad_norm: the norm of the gradients is not finite")
    if norm * unit > max_norm:
        for p in grads:
            g = p.grad if unit == 1 else _in_units(p.grad, unit)
            scaled = (g * (max_norm / norm)).astype(p.grad.dtype, copy=False)
            p.grad = backend.MODULES[p.device].asarray(scaled)
    return norm * unit


def _joint_norm(arrays):
    """The L2 norm of all: one number comes back from the device."""
    with np.errstate(over="ignore", under="ignore"):
        return math.sqrt(float(sum((g * g).sum() for g in arrays)))


def _in_units(g, unit):
    return g.astype(np.float64) / unit


# -- schedules: the factor on lr at a step ---------------------------------------------------------
@function
def warmup_cosine(step, total, warmup=0, final=0.0):
    """The factor on lr: 0 -> 1 in `warmup` steps, then half a cosine down to `final` at `total`."""
    _check_schedule("warmup_cosine", total=total, warmup=warmup)
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


@function
def rsqrt_schedule(step, total, warmup=0, timescale=1, cooldown=0):
    """Linear warm-up, then 1 / sqrt(1 + (t - warmup) / timescale), then a linear cool-down to 0 in
    the last steps (Zhai et al. 2022): a run can be branched off into a cool-down at any step."""
    _check_schedule("rsqrt_schedule", total=total, warmup=warmup, cooldown=cooldown)
    if not timescale > 0:
        raise OptionError(f"rsqrt_schedule: timescale is {timescale!r}, expected more than 0")
    s = 1 / math.sqrt(1 + max(0, step - warmup) / timescale)
    s *= min(1.0, (step + 1) / warmup) if warmup else 1.0
    return s * min(1.0, max(0, total - step) / cooldown) if cooldown else s


def _check_schedule(where, **steps):
    for name, value in steps.items():
        if not (groups.is_number(value) and value >= 0):
            raise OptionError(
                f"{where}: {name} is {value!r}, expected a number of steps, 0 or more"
            )
