"""Optimizers, in order of increasing complexity.

Each is a rule for plain arrays: parameters `w`, gradients `g`, the optimizer's memory `s`. The
parameters of a group lie one after the other in one flat array, of which each `p.data` is a view,
so a rule runs a few times over long arrays instead of many times over short ones: on a GPU a
handful of kernels instead of thousands.
"""

import math

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import DtypeError, NonFiniteError, RangeError, StateError

CHUNK = 1 << 16  # elements a rule works on at a time: what it touches stays in the cache


class Optimizer:
    """`step()` changes every parameter that has a gradient; `zero_grad()` forgets the gradients.

    parameters: Parameters, or dicts {"params": [...], "lr": ..., ...}: groups with settings of
    their own, as in PyTorch. A parameter without a gradient is left alone.
    """

    memory = ()  # the names of the arrays that a rule keeps for each parameter

    def __init__(self, parameters, **settings):
        parameters = list(parameters)
        if not parameters:
            raise RangeError(f"{type(self).__name__}: got no parameters to optimize")
        if not isinstance(parameters[0], dict):
            parameters = [{"params": parameters}]
        self.groups = [{**settings, **g, "params": list(g["params"])} for g in parameters]
        self.steps = 0
        seen = set()
        for group in self.groups:
            unknown = set(group) - set(settings) - {"params"}
            if unknown:
                raise RangeError(f"{type(self).__name__}: unknown settings {sorted(unknown)}")
            for p in group["params"]:
                if p.dtype.kind != "f" or not p.requires_grad:
                    raise DtypeError(
                        f"{type(self).__name__}: a parameter of shape {p.shape} and dtype "
                        f"{p.dtype} does not require a gradient; leave frozen parameters out"
                    )
                if id(p) in seen:
                    raise RangeError(f"{type(self).__name__}: a parameter is given twice")
                seen.add(id(p))
            self._flatten(group)

    def rule(self, w, g, s, group):
        """Change the array `w` in place, given its gradient `g`; `s[name]` are the memories."""
        raise NotImplementedError

    def step(self):
        """One update."""
        self.steps += 1
        for group in self.groups:
            if any(p.data.base is not group["flat"] for p in group["params"]):
                self._flatten(group)  # somebody moved or replaced the arrays
            flat = group["flat"]
            size = CHUNK if isinstance(flat, np.ndarray) else max(1, flat.size)
            for a, b, g in _pieces(group["params"], size):
                s = {name: array[a:b] for name, array in group["memory"].items()}
                self.rule(flat[a:b], g, s, group)
            for p in group["params"]:
                p.touch()

    def zero_grad(self):
        """Forget all gradients."""
        for group in self.groups:
            for p in group["params"]:
                p.grad = None

    def bytes_held(self):
        """Bytes of optimizer state, beside the parameters and their gradients."""
        return sum(a.nbytes for group in self.groups for a in group["memory"].values())

    def _flatten(self, group):
        """Lay the group's parameters (and memories) into flat arrays, and make them views."""
        params = group["params"]
        xp = backend.MODULES[params[0].device]
        group["flat"] = flat = xp.concatenate([p.data.reshape(-1) for p in params])
        before = group.get("memory")
        group["memory"] = {
            name: backend.to_device(before[name], params[0].device) if before
            else xp.zeros(flat.shape, dtype=flat.dtype)
            for name in self.memory
        }  # fmt: skip
        start = 0
        for p in params:
            p.data = flat[start : start + p.size].reshape(p.shape)
            start += p.size

    def state_dict(self):
        """{name: NumPy array}: the memories of every group, and the step count."""
        state = {"steps": np.array(self.steps)}
        for i, group in enumerate(self.groups):
            for name, array in group["memory"].items():
                state[f"group{i}.{name}"] = np.array(backend.to_numpy(array))
        return state

    def load_state_dict(self, state):
        """Continue where `state` was taken; one of other groups or sizes is a StateError."""
        own = self.state_dict()
        wrong = [
            f"{name}: got {np.shape(state[name]) if name in state else 'nothing'}, "
            f"expected {own[name].shape if name in own else 'nothing'}"
            for name in sorted(own.keys() | state.keys())
            if np.shape(state.get(name)) != np.shape(own.get(name)) or name not in state
        ]
        if wrong:
            raise StateError(
                f"{type(self).__name__}: the state is of another optimizer or other parameters.\n  "
                + "\n  ".join(wrong)
            )
        self.steps = int(state["steps"])
        for i, group in enumerate(self.groups):
            for name, array in group["memory"].items():
                array[...] = backend.to_device(
                    np.asarray(state[f"group{i}.{name}"], array.dtype), backend.device_of(array)
                )


def _pieces(params, size):
    """(start, stop, gradient): stretches of the flat array, at most `size` long, each with a copy
    of its gradient; parameters without one are skipped. No array of all gradients is made."""
    start = stop = 0
    gathered = []
    for p in [*params, None]:
        if p is None or p.grad is None:
            if gathered:
                yield start, stop, _joined(gathered)
            gathered = []
            start = stop = stop + (p.size if p is not None else 0)
            continue
        g = p.grad.reshape(-1)
        while g.size:
            part, g = g[: size - (stop - start)], g[size - (stop - start) :]
            gathered.append(part)
            stop += part.size
            if stop - start == size:
                yield start, stop, _joined(gathered)
                gathered, start = [], stop


def _joined(gradients):
    return backend.module_of(gradients, "step").concatenate(gradients)


class SGD(Optimizer):
    """w <- w - lr v, with v <- momentum v + g (momentum 0: v = g)."""

    memory = ("v",)

    def __init__(self, parameters, lr=0.1, momentum=0.0, weight_decay=0.0):
        self.memory = ("v",) if momentum else ()
        super().__init__(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)

    def rule(self, w, g, s, group):
        if group["weight_decay"]:
            g += group["weight_decay"] * w
        if "v" in s:
            s["v"] *= group["momentum"]
            s["v"] += g
            g = s["v"]
        w -= group["lr"] * g


class Adam(Optimizer):
    """w <- w - lr m' / (sqrt(v') + eps), m and v running means of g and g^2 (Kingma & Ba 2014).

    m' = m / (1 - beta1^t) and v' = v / (1 - beta2^t) undo the start at zero.
    """

    memory = ("m", "v")

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def decay(self, w, g, group):
        """L2: the decay is part of the gradient, and so is divided by sqrt(v)."""
        g += group["weight_decay"] * w

    def rule(self, w, g, s, group):
        (beta1, beta2), t = group["betas"], self.steps
        if group["weight_decay"]:
            self.decay(w, g, group)
        m, v = s["m"], s["v"]
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        g *= g
        g *= 1 - beta2
        v += g
        xp = backend.module_of([w], "Adam")
        d = xp.sqrt(v)
        d *= 1 / math.sqrt(1 - beta2**t)
        d += group["eps"]
        xp.divide(m, d, out=d)
        d *= group["lr"] / (1 - beta1**t)
        w -= d


class AdamW(Adam):
    """Adam, but the decay acts on the weights themselves: w <- w - lr weight_decay w
    (Loshchilov & Hutter 2017)."""

    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(parameters, lr, betas, eps, weight_decay)

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

    def __init__(
        self, parameters, lr=1e-3, beta1=0.9, decay_rate=0.8, beta2_cap=0.999, eps=1e-30,
        factored=32, weight_decay=0.0, schedule=1.0,
    ):  # fmt: skip
        super().__init__(
            parameters, lr=lr, beta1=beta1, decay_rate=decay_rate, beta2_cap=beta2_cap, eps=eps,
            factored=factored, weight_decay=weight_decay, schedule=schedule,
        )  # fmt: skip

    def _flatten(self, group):
        """Memories have shapes of their own, so parameters stay where they are."""
        group["memory"] = memory = {}
        for i, p in enumerate(group["params"]):
            xp = backend.MODULES[p.device]
            memory[f"{i}.m"] = xp.zeros(p.shape, dtype=np.float16)
            axes = self._axes(p.shape, group)
            if axes is None:
                memory[f"{i}.v"] = xp.zeros(p.shape, dtype=p.dtype)
            else:
                for name, axis in zip("rc", reversed(axes)):
                    kept = tuple(1 if a == axis else n for a, n in enumerate(p.shape))
                    memory[f"{i}.{name}"] = xp.zeros(kept, dtype=p.dtype)

    @staticmethod
    def _axes(shape, group):
        """The two largest axes (rows, columns), if both are at least `factored` long."""
        order = sorted(range(len(shape)), key=lambda a: shape[a])
        if len(shape) < 2 or shape[order[-2]] < group["factored"]:
            return None
        return tuple(sorted(order[-2:]))

    def step(self):
        """One update."""
        self.steps += 1
        for group in self.groups:
            beta2 = min(group["beta2_cap"], 1 - self.steps ** -group["decay_rate"])
            for i, p in enumerate(group["params"]):
                if p.grad is not None:
                    self._update(p, i, beta2, group)
                    p.touch()

    def _update(self, p, i, beta2, group):
        xp, memory, g = backend.MODULES[p.device], group["memory"], p.grad
        square = g * g + group["eps"]
        axes = self._axes(p.shape, group)
        if axes is None:
            v = memory[f"{i}.v"]
            v *= beta2
            v += (1 - beta2) * square
            u = g / xp.sqrt(v)
        else:
            rows, columns = axes
            R, C = memory[f"{i}.r"], memory[f"{i}.c"]
            for mean, axis in ((R, columns), (C, rows)):
                mean *= beta2
                mean += (1 - beta2) * square.mean(axis=axis, keepdims=True)
            u = g / (xp.sqrt(R / R.mean(axis=rows, keepdims=True)) * xp.sqrt(C))
        m = memory[f"{i}.m"].astype(p.dtype)
        m += (1 - group["beta1"]) * (u - m)
        memory[f"{i}.m"][...] = m
        m *= group["lr"]
        m += group["weight_decay"] * p.data
        m *= group["schedule"]
        p.data -= m


def decay_groups(model, weight_decay):
    """Two groups: matrices are decayed; gains, biases and other vectors are not."""
    params = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in params if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
    ]


def clip_grad_norm(parameters, max_norm):
    """Scale all gradients together so that their joint L2 norm is at most max_norm; returns the
    norm before. NaN or infinity: NonFiniteError, and the gradients are as they were."""
    grads = [p for p in parameters if p.grad is not None]
    squares = [(p.grad * p.grad).sum() for p in grads]  # numbers that stay on their device
    norm = math.sqrt(float(sum(squares)))
    if not math.isfinite(norm):
        raise NonFiniteError("clip_grad_norm: the norm of the gradients is not finite")
    if norm > max_norm:
        for p in grads:
            p.grad = backend.MODULES[p.device].asarray(p.grad * (max_norm / norm))
    return norm


def warmup_cosine(step, total, warmup=0, final=0.0):
    """The factor on lr: 0 -> 1 in `warmup` steps, then half a cosine down to `final` at `total`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def rsqrt_schedule(step, total, warmup=0, timescale=1, cooldown=0):
    """Linear warm-up, then 1 / sqrt(1 + (t - warmup) / timescale), then a linear cool-down to 0 in
    the last steps (Zhai et al. 2022): a run can be branched off into a cool-down at any step."""
    s = 1 / math.sqrt(1 + max(0, step - warmup) / timescale)
    s *= min(1.0, (step + 1) / warmup) if warmup else 1.0
    return s * min(1.0, (total - step) / cooldown) if cooldown else s
