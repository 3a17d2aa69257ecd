"""Recomputation: the same numbers as without it, to the bit, and less memory."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import nn
from minivit.engine import backend
from minivit.engine.errors import ArgumentError, GraphError
from minivit.training.parallel import DataParallel
from minivit.transformer import TransformerLayer
from tests.devices import DEVICES
from tests.memory import traced

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


def gradients(loss, leaves):
    for t in leaves:
        t.grad = None
    loss.backward()
    return [None if t.grad is None else backend.to_numpy(t.grad).copy() for t in leaves]


class Layers(nn.Module):
    def __init__(self, depth=3, dropout=0.0):
        self.layers = [TransformerLayer(8, 2, 16, dropout=dropout) for _ in range(depth)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


@ON_EVERY_DEVICE
@given(
    seed=st.integers(0, 999),
    dropout=st.sampled_from([0.0, 0.3]),
    which=st.lists(st.booleans(), min_size=3, max_size=3),
    whole=st.booleans(),
)
@settings(max_examples=15)
def test_the_same_gradients_to_the_bit(device, seed, dropout, which, whole):
    """Some layers, or the whole model around them too (nested), with dropout: as without, with the
    same random stream afterwards."""
    with mv.use(device):
        mv.manual_seed(seed)
        model = Layers(dropout=dropout)
        model.to(device)
        x = mv.Tensor(np.ones((2, 3, 8), np.float32), device=device, requires_grad=True)
        leaves, results = [x, *model.parameters()], []
        for on in (False, True):
            model.recomputed = on and whole
            for layer, wanted in zip(model.layers, which, strict=True):
                layer.recomputed = on and wanted
            mv.manual_seed(seed)
            loss = (model(x) ** 2).sum()
            results.append([loss.numpy(), *gradients(loss, leaves), backend.random_state()])
        if device != "cpu":
            results = [r[:-1] for r in results]  # the host draws a seed for the device
            if dropout:
                return
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)


@ON_EVERY_DEVICE
def test_dropout_draws_the_same_numbers_twice(device):
    """y = x s with s drawn: the gradient of the sum of y is s, wherever other draws were since."""
    with mv.use(device):
        x = mv.Tensor(np.ones((50, 50), np.float32), device=device, requires_grad=True)
        first, second = (mv.recompute(lambda x: mv.dropout(x, p=0.5)) for _ in range(2))
        a, b = first(x), second(x)
        mv.dropout(x, p=0.5)
        for y in (b, a):
            x.grad = None
            y.sum().backward()
            np.testing.assert_array_equal(backend.to_numpy(x.grad), y.numpy())
        assert (a.numpy() != b.numpy()).any()


def test_a_gradient_reaches_all_that_the_function_stands_on():
    """Several inputs, keywords, lists, leaves and results of ops that it has from outside; what
    needs none gets none."""
    leaves = [mv.Tensor(np.full(3, float(i + 2)), requires_grad=True) for i in range(6)]
    a, b, c, d, e, _ = leaves
    outside = d * e
    frozen = mv.Tensor(np.full(3, 7.0))

    def f(x, y, *, more, scale=2.0):
        return x * y * more[0] * outside * frozen * scale

    results = []
    for g in (f, mv.recompute(f)):
        outside = d * e
        loss = (g(a * a, b, more=[c], scale=3.0) + outside).sum()
        results.append(gradients(loss, leaves))
    assert results[1][5] is None and frozen.grad is None
    for x, y in zip(*results, strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_makes_nothing_passes():
    x = mv.Tensor(np.ones(3), requires_grad=True)
    assert mv.recompute(lambda x: x)(x) is x
    assert not mv.recompute(lambda x: x * 2)(x.detach()).requires_grad
    with mv.no_grad():
        assert not mv.recompute(lambda x: x * 2)(x).requires_grad
    mv.recompute(lambda x: x.detach() * 2)(x)
    gradient = mv.recompute(lambda x: (x * 2).sum())(x)
    with mv.no_grad():  # the pass back may run where nothing is recorded
        gradient.backward()
    assert (x.grad == 2).all()


def test_the_modes_are_those_of_the_first_time():
    """Training or not, the device, np.errstate, detect_anomaly."""
    layer = nn.Dropout(0.5)
    x = mv.Tensor(np.ones((20, 20)), requires_grad=True)
    y = mv.recompute(layer)(x)
    layer.eval()
    y.sum().backward()
    assert (x.grad == y.data).all() and not layer.training
    seen = []

    def f(x):
        seen.append((mv.default_device(), np.geterr()["over"]))
        return x * 2

    with mv.use("strict"), np.errstate(over="raise"):
        y = mv.recompute(f)(x)
    y.sum().backward()
    assert seen == [("strict", "raise")] * 2


def test_in_threads():
    """Each thread draws numbers of its own, and the same twice; the gradients are exact."""
    pytest.importorskip("threadpoolctl")
    layer = nn.Dropout(0.5)
    failed, sums = [], []

    def work(seed):
        for _ in range(20):
            x = mv.Tensor(np.ones((16, 16)), requires_grad=True)
            y = mv.recompute(layer)(x)
            y.sum().backward()
            sums.append(y.data.tobytes())
            if (x.grad != y.data).any():
                failed.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failed and len(set(sums)) == 60
    model = Layers()
    x = np.random.default_rng(0).standard_normal((4, 3, 8)).astype(np.float32)
    results = []
    for on in (False, True):
        for part in model.layers:
            part.recomputed = on
        loss = DataParallel(lambda model, x: (model(x) ** 2).mean())(model, mv.Tensor(x))
        results.append(gradients(loss, list(model.parameters())))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_only_the_input_is_kept():
    """Eight layers, of which each keeps 17 arrays of its input's size: with recomputation less than
    one a layer, and the peak on the way back is that of one layer."""
    model, x = Layers(depth=8), mv.Tensor(np.ones((4, 256, 8), np.float32))
    size, held, peaks = x.data.nbytes, [], []
    for on in (False, True):
        for layer in model.layers:
            layer.recomputed = on
        with traced() as memory:
            loss = (model(x) ** 2).sum()
            held.append(memory()[0] / size / 8)
            loss.backward()
            peaks.append(memory()[1])
    assert held[0] > 12 and held[1] < 2 and peaks[1] < peaks[0] / 3


def test_what_cannot_be_recomputed_is_refused():
    x = mv.Tensor(np.ones(3), requires_grad=True)
    with pytest.raises(ArgumentError, match="got int, expected a layer"):
        mv.recompute(3)
    with pytest.raises(ArgumentError, match="is a tuple, expected one Tensor"):
        mv.recompute(lambda x: (x, x))(x)
    calls = []

    def counts(x):
        calls.append(1)
        return x * 2 if len(calls) == 1 else (x * 2)[:2]

    y = mv.recompute(counts)(x)
    with pytest.raises(GraphError, match=r"counts did not compute the same .*\(3,\), now \(2,\)"):
        y.sum().backward()
    assert x.grad is None
    y = mv.recompute(lambda x: x * x)(x)
    x.data -= 0.5
    with pytest.raises(GraphError, match="overwritten"):
        y.sum().backward()
    y = mv.recompute(lambda x: x * x)(x).sum()
    y.backward()
    with pytest.raises(GraphError, match="freed"):
        y.backward()
