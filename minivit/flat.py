"""Parameters end to end: why an optimizer is fast. `optim` is the plain version; read it first.

A model has a hundred parameters, most of them short. Where a rule treats each number for itself, it
runs over all of them at once: the parameters of a group lie one after the other in a flat array, of
which each `p.data` is a view. That is a few operations on long arrays instead of many on short
ones; on a GPU a handful of kernels instead of thousands.
"""

import numpy as np

from minivit.engine import backend

CHUNK = 1 << 16  # numbers that a rule works on at a time: what it touches stays in the cache


def end_to_end(optimizer, ready):
    """The same for many parameters at a time: stretches of flat arrays, so that a rule runs a few
    times over long arrays (on a GPU: a handful of kernels instead of thousands)."""
    if not optimizer.flats or any(flat.scattered() for flat in optimizer.flats):
        lay_out(optimizer)
    ready = set(ready)
    for flat in optimizer.flats:
        size = CHUNK if isinstance(flat.w, np.ndarray) else max(1, flat.w.size)
        for a, b, g, t in _stretches(flat.entries, ready, size):
            state = {name: array[a:b] for name, array in flat.state.items()}
            yield flat.w[a:b], g, state, t, flat.entries[0].group


def lay_out(optimizer):
    """Lay the parameters of each group, dtype and device end to end."""
    alike = {}
    for e in optimizer.entries:
        if e.state is not None:
            alike.setdefault((id(e.group), e.p.dtype, e.p.device), []).append(e)
    optimizer.flats = [Flat(entries) for entries in alike.values()]


class Flat:
    """One array `w` with the values of several parameters, each p.data a view of it; and one array
    for each name of their state."""

    def __init__(self, entries):
        self.entries = entries
        device, dtype = entries[0].p.device, entries[0].p.dtype
        xp = backend.MODULES[device]
        names = dict.fromkeys(name for e in entries for name in e.state)
        self.w = xp.concatenate([e.p.data.reshape(-1) for e in entries])
        self.state = {name: xp.zeros(self.w.shape, dtype=dtype) for name in names}
        start = 0
        for e in entries:
            here = slice(start, start := start + e.p.size)
            for name, array in e.state.items():
                self.state[name][here] = backend.to_device(array, device).reshape(-1)
            e.p.data = self.w[here].reshape(e.p.shape)
            e.state = {name: a[here].reshape(e.p.shape) for name, a in self.state.items()}

    def scattered(self):
        """Has somebody moved or replaced an array?"""
        w = self.w
        return any([e.p._array.base is not w for e in self.entries])


def _stretches(entries, ready, size):
    """(start, stop, gradient, t): stretches of the flat array, at most `size` long, of parameters
    that are ready and have had t updates. No array of all gradients is made."""
    start = stop = 0
    gathered, t = [], None
    for e in [*entries, None]:
        if gathered and (e is None or e not in ready or e.t != t):
            yield start, stop, _joined(gathered), t
            gathered, start = [], stop
        if e is None:
            return
        if e not in ready:
            start = stop = stop + e.p.size
            continue
        g, t = e.p.grad.reshape(-1), e.t
        while (room := start + size - stop) <= g.size:
            gathered.append(g[:room])
            g, stop = g[room:], stop + room
            yield start, stop, _joined(gathered), t
            gathered, start = [], stop
        if g.size:
            gathered.append(g)
            stop += g.size


def _joined(gradients):
    return backend.module_of(gradients, "step").concatenate(gradients)
