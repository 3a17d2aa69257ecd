"""Writes in place: a record of which memory, and when.

A vjp keeps arrays of the forward pass. If one of them is overwritten before the backward pass, its
gradient is wrong, and nothing shows it. So each write that goes through a Tensor is noted here,
with the place in memory, not with the Tensor: the same memory may be known under many names (a
view, `detach()`, the parameters of an optimizer, which lie in one long array). The backward pass
(next chapter) asks what was written since.

Nobody can note a write that goes past the Tensor (`a = t.data; a[0] = 1`).
"""

from functools import partial
from itertools import count
from operator import attrgetter
from types import ModuleType
from weakref import ref

import numpy as np

from minivit.engine import backend

MOST_PLACES = 4096  # that are remembered of one owner
clock = count(1)  # every Tensor that is made and every write has its time
last = 0  # the time of the newest write
_written = {}  # id(who owns the memory) -> {place: Write}, while the owner lives


class Write:
    """The newest write to one place in memory, through this array or another one like it."""

    __slots__ = ("time", "array", "place")

    def __init__(self, array, place):
        self.time, self.array, self.place = 0, ref(array), place

    def note(self):
        """Now."""
        global last
        self.time = last = next(clock)


def to(array):
    """The Write of this array's place in memory: one for all arrays that are the same place."""
    owner = _owner(array)
    if id(owner) not in _written:
        _written[id(owner)] = {None: ref(owner, partial(_forget, id(owner)))}
    places, place = _written[id(owner)], _place(array)
    if place not in places:
        if len(places) > MOST_PLACES:
            _merge(places)
        places[place] = Write(array, place)
    elif places[place].array() is None:
        places[place].array = ref(array)
    return places[place]


def _merge(places):
    """The older half of the writes of one owner as one, from the first byte to the last."""
    old = sorted((w for place, w in places.items() if place), key=attrgetter("time"))
    old = old[: len(old) // 2]
    ends = [_ends(*w.place) for w in old]
    low, high = min(a for a, _ in ends), max(b for _, b in ends)
    both = Write(np.empty(0), (low, (high - low,), (1,), "|u1"))
    both.time = old[-1].time
    for w in old:
        w.array = both.array  # of nobody: who writes there again is noted anew
        del places[w.place]
    places[both.place] = both


def _forget(key, _):
    """The owner is gone, and its memory may become somebody else's."""
    _written.pop(key, None)


def since(time):
    """{id(owner): [Write, ...]} of the writes that are newer."""
    found = {}
    for key, places in list(_written.items()):
        newer = [w for place, w in list(places.items()) if place and w.time > time]
        if newer:
            found[key] = newer
    return found


def over(array, writes):
    """The time of the newest of these writes (`since`) into this array's memory, or 0."""
    hits = [w for w in writes.get(id(_owner(array)), ()) if _overlap(array, w.place)]
    return max([w.time for w in hits], default=0)


def kept_by(vjp):
    """The arrays that a vjp keeps: in its closure, and in the functions, Tensors, lists, dicts and
    objects there."""
    todo, seen = [vjp], set()
    while todo:
        thing = todo.pop()
        thing = getattr(thing, "_array", thing)
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if backend.is_array(thing):
            yield thing
        elif isinstance(thing, (tuple, list)):
            todo += thing
        elif isinstance(thing, dict):
            todo += thing.values()
        elif isinstance(thing, partial):
            todo += (thing.func, thing.args, thing.keywords)
        elif not isinstance(thing, (type, ModuleType)):
            todo += (getattr(thing, "__self__", None), getattr(thing, "__defaults__", None))
            todo.append(getattr(thing, "__dict__", None))
            for cell in getattr(thing, "__closure__", None) or ():
                try:
                    todo.append(cell.cell_contents)
                except ValueError:  # nothing is in it yet
                    pass


# -- places ----------------------------------------------------------------------------------------


def _owner(array):
    """Whose memory an array's is: a view's base, and its base, down to the end."""
    while (base := getattr(array, "base", None)) is not None and type(base).__weakrefoffset__:
        array = base
    return array


def _place(array):
    """(pointer, shape, strides, dtype): what of the memory is this array's."""
    if isinstance(array, np.ndarray):
        pointer = array.__array_interface__["data"][0]
    else:
        pointer = array.data.ptr
    return pointer, array.shape, array.strides, array.dtype.str


def _overlap(array, place):
    """Has an array an element in common with the array that is, or was, at this place?"""
    a, b = _place(array), place
    (a0, a1), (b0, b1) = _ends(*a), _ends(*b)
    if a0 >= b1 or b0 >= a1:
        return False
    if not isinstance(array, np.ndarray):
        return True
    try:
        return np.shares_memory(_Lent(a).array(), _Lent(b).array(), max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def _ends(pointer, shape, strides, dtype):
    """The first byte, and the one after the last."""
    if 0 in shape:
        return pointer, pointer
    far = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    low, high = sum(s for s in far if s < 0), sum(s for s in far if s > 0)
    return pointer + low, pointer + high + np.dtype(dtype).itemsize


class _Lent:
    """Memory as an array again, to compare it: while its owner lives, which `since` has seen."""

    def __init__(self, place):
        pointer, shape, strides, dtype = place
        self.__array_interface__ = {
            "version": 3, "data": (pointer, True), "shape": shape, "strides": strides,
            "typestr": dtype,
        }  # fmt: skip

    def array(self):
        return np.asarray(self)
