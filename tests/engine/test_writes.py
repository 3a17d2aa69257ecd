"""Memory that is written between the forward and the backward pass: the gradient is right, or it is
refused, whichever name the memory had in the forward pass and in the write."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import nn, optim
from minivit.engine import backend, writes
from minivit.engine.errors import GraphError
from tests.devices import DEVICES
from tests.engine.op_cases import CASES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)
OVERWRITTEN = "was overwritten after use"


def _untracked(f):
    def alias(t):
        with mv.no_grad():
            return f(t)

    return alias


ALIASES = {  # of a Tensor: the same memory under another name
    "itself": lambda t: t,
    "detach": lambda t: t.detach(),
    "a Tensor of its data": lambda t: mv.Tensor(t.data),
    "reshape": _untracked(lambda t: t.reshape(-1)),
    "transpose": _untracked(lambda t: t.T),
    "slice": _untracked(lambda t: t[...]),
    "reversed": _untracked(lambda t: t[::-1] if t.ndim else t[None]),
    "half": _untracked(lambda t: t[: (len(t) + 1) // 2] if t.ndim else t[None]),
    "squeezed": _untracked(lambda t: t[None].squeeze(0)),
}


def _plus(t):
    t.data += 1.5


def _times(t):
    t.data *= -2.0


def _item(t):
    mv.Tensor(t.data)[...] = 9.0


def _nothing_before(t):
    """A write, and then a new array: the old one was written all the same."""
    t.data -= 4.0
    t.data = t.data + 1.0


def _step(t):
    """`t` may be a view, whose optimizer writes into what it laid out: into another array."""
    p = nn.Parameter(t.data)
    p.grad = backend.to_device(np.ones(p.shape, p.dtype), p.device)
    optim.SGD([p], lr=0.5).step()


WRITES = [_plus, _times, _item, _nothing_before, _step]


@pytest.mark.parametrize("name", sorted(set(CASES) - {"moved"}))
def test_the_gradient_is_right_or_refused(name, device="cpu"):
    @given(CASES[name], st.data())
    @settings(max_examples=10)
    def check(case, data):
        with mv.use(device):
            n = len(case.floats)
            arrays = [backend.to_device(np.array(x), device) for x in case.floats]
            # which operands are constants, and under which names the forward pass sees them
            constant = [n > 1 and data.draw(st.booleans()) for _ in range(n)]
            constant[data.draw(st.integers(0, n - 1))] = False
            owners = [mv.Tensor(a, requires_grad=True) for a in arrays]
            forms = [lambda t: t.detach(), lambda t: mv.Tensor(t.data), lambda t: t.data]
            seen = [
                data.draw(st.sampled_from(forms))(t) if c else t for t, c in zip(owners, constant)
            ]
            exact = [
                mv.Tensor(backend.to_device(np.array(x), device), requires_grad=True)
                for x in case.floats
            ]
            right = case(*exact)
            g = backend.to_device(
                np.random.default_rng(1).standard_normal(right.shape).astype(right.dtype), device
            )
            right.backward(g)
            out = case(*seen)
            written = data.draw(st.integers(0, n - 1))
            alias = ALIASES[data.draw(st.sampled_from(sorted(ALIASES)))](owners[written])
            data.draw(st.sampled_from(WRITES))(alias)
            if data.draw(st.booleans()):
                del alias
            try:
                out.backward(g)
            except GraphError as error:
                assert OVERWRITTEN in str(error)
                assert all(t.grad is None for t in owners)
                return
            for t, c, e in zip(owners, constant, exact, strict=True):
                if not c:
                    np.testing.assert_array_equal(
                        backend.to_numpy(t.grad), backend.to_numpy(e.grad)
                    )

    check()


@pytest.mark.parametrize("alias", sorted(ALIASES))
@pytest.mark.parametrize("write", [_plus, _times, _item, _nothing_before], ids=lambda f: f.__name__)
@ON_EVERY_DEVICE
def test_a_constant_that_was_overwritten_is_found(alias, write, device):
    """Here the product needs it: there is no gradient without it."""
    with mv.use(device):
        w, x = (mv.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=r) for r in (False, True))
        y = (x * w.detach()).sum()
        write(ALIASES[alias](w))
        with pytest.raises(GraphError, match=OVERWRITTEN):
            y.backward()
        assert x.grad is None


def test_other_slices_of_the_same_memory_do_not_count():
    """As parameters lie in an optimizer: end to end; and as columns do, one between the others."""
    for a, b in [(slice(0, 3), slice(3, 6)), (slice(0, 6, 2), slice(1, 6, 2))]:
        flat = np.arange(6.0)
        w, other = mv.Tensor(flat[a]), mv.Tensor(flat[b])
        x = mv.Tensor(np.ones(3), requires_grad=True)
        y = (x * w).sum()
        other.data += 1.0
        y.backward()
        assert x.grad.tolist() == w.numpy().tolist()


def test_a_step_of_another_models_parameters_does_not_count():
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    opt = optim.AdamW([{"params": list(a.parameters())}, {"params": list(b.parameters())}])
    x = mv.Tensor(np.ones((4, 3), np.float32))
    late = a(x).sum()
    b(x).sum().backward()
    opt.step()  # a has no gradient, and lies beside b in no other way than b's parts do
    late.backward()


def test_between_two_steps_of_the_walk():
    w, x = mv.Tensor([3.0, 4.0]), mv.Tensor([1.0, 2.0], requires_grad=True)
    walk = (x * w).exp().sum().walk_back()
    next(walk)
    w.detach().data += 1.0
    with pytest.raises(GraphError, match=OVERWRITTEN):
        list(walk)


def test_vjps_of_every_form_are_looked_into():
    """A closure, a default, a partial, a method, a Tensor, a dict; one that refers to itself."""
    from functools import partial

    from minivit.engine.record import OPS, op

    class Times:
        def __init__(self, w):
            self.w = w

        def vjp(self, g):
            return g * self.w

    def again(w):
        def vjp(g, deep=True):
            return vjp(g, False) if deep else g * w

        return vjp

    forms = [
        lambda w: lambda g: g * w,
        lambda w: lambda g, w=w: g * w,
        lambda w: partial(lambda w, g: g * w, w),
        lambda w: Times(w).vjp,
        lambda w: (lambda d: lambda g: g * d["w"][0])({"w": [w]}),
        lambda w: (lambda t: lambda g: g * t.data)(mv.Tensor(w)),
        again,
    ]
    for form in forms:

        @op
        def times_here(x, /, w):
            return x * w, form(w)  # noqa: B023

        w, x = mv.Tensor([3.0, 4.0]), mv.Tensor([1.0, 2.0], requires_grad=True)
        y = times_here(x, w).sum()
        w.data *= 2.0
        with pytest.raises(GraphError, match=OVERWRITTEN):
            y.backward()
        del OPS["times_here"]


def test_memory_that_was_given_back_is_forgotten():
    gc.collect()
    before = len(writes._written)
    for _ in range(100):
        mv.Tensor(np.ones(10)).detach().data += 1.0
    assert len(writes._written) <= before + 1
    long = mv.Tensor(np.zeros(3 * writes.MOST_PLACES))
    for i in range(long.size):
        mv.Tensor(long.data[i : i + 1]).data += 1.0
    x = mv.Tensor(np.ones(long.size), requires_grad=True)
    (x * long).sum().backward()
    assert len(writes._written[id(long.data)]) <= writes.MOST_PLACES + 2
    y = (x * long).sum()
    mv.Tensor(long.data[:1]).data += 1.0
    with pytest.raises(GraphError, match=OVERWRITTEN):
        y.backward()


def test_a_training_step_compares_nothing(monkeypatch):
    """Writes of the step before are older than the graph: one comparison of two numbers."""
    layer = nn.Linear(3, 2)
    opt = optim.AdamW(layer.parameters())
    monkeypatch.setattr(writes, "since", None)
    for _ in range(3):
        layer(mv.Tensor(np.ones((4, 3), np.float32))).sum().backward()
        opt.step()
        opt.zero_grad()
