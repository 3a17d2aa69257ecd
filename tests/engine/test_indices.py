"""x[index] and its gradient for every form that an index can have, and ids of every integer dtype:
drawn at random, compared with NumPy's own reading of the same index."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import backend
from minivit.engine.errors import MinivitError
from minivit.engine.tensor import Tensor
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)
DTYPES = [np.dtype(c) for c in "bhilqBHILQ"]
signed = [d for d in DTYPES if d.kind == "i"]


@st.composite
def integers(draw, n):
    """Integer arrays of any dtype and shape (empty, 0-d), mostly in the range of an axis."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.sampled_from([(), (0,), (1,), (3,), (2, 2), (1, 3), (2, 0)]))
    low = -n if dtype.kind == "i" else 0
    values = st.integers(low, n - 1) if n else st.just(0)
    if draw(st.integers(0, 9)) == 0:
        values = st.integers(low - (dtype.kind == "i"), n)  # one too far
    size = int(np.prod(shape, dtype=int))
    return np.array(draw(st.lists(values, min_size=size, max_size=size)), dtype).reshape(shape)


def part(n):
    """One item of an index, for an axis of length n."""
    ends = st.none() | st.integers(-n - 1, n + 1)
    slices = st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, -1, -2]))
    arrays = integers(n)
    return st.one_of(
        slices, slices, st.just(slice(None)), st.none(), st.just(Ellipsis),
        st.integers(-n, max(n - 1, 0)), arrays, arrays.map(lambda a: a.tolist()),
        arrays.map(lambda a: tuple(a.tolist()) if a.ndim == 1 else a), arrays.map(Tensor),
        arrays.map(lambda a: a.reshape(-1)[0] if a.size else a), st.just([]), st.just(()),
        st.lists(st.booleans(), min_size=n, max_size=n),
        st.lists(st.booleans(), min_size=n, max_size=n).map(lambda m: np.array(m, bool)),
        st.lists(st.booleans(), min_size=n, max_size=n).map(lambda m: Tensor(np.array(m, bool))),
        st.booleans(), st.booleans().map(np.bool_), st.just(range(min(n, 2))),
        st.integers(0, max(n - 1, 0)).map(lambda i: [Tensor(np.array(i)), i]),
    )  # fmt: skip


@st.composite
def shapes_and_indices(draw):
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=0, max_size=3)))
    if shape and draw(st.booleans()) and draw(st.booleans()):
        return shape, np.array(draw(st.lists(st.booleans(), min_size=(m := int(np.prod(shape))),
            max_size=m)), bool).reshape(shape)  # fmt: skip
    parts = [draw(part(n)) for n in shape[: draw(st.integers(0, len(shape)))]]
    if draw(st.integers(0, 3)) == 0:
        parts.insert(draw(st.integers(0, len(parts))), draw(st.none() | st.just(Ellipsis)))
    if len(parts) == 1 and not isinstance(parts[0], tuple) and draw(st.booleans()):
        return shape, parts[0]
    return shape, tuple(parts)


def numpys(index):
    """The same index without Tensors; all else is left to NumPy."""
    if isinstance(index, (tuple, list)):
        return type(index)([numpys(i) for i in index])
    return index.numpy() if isinstance(index, Tensor) else index


@ON_EVERY_DEVICE
def test_any_index(device):
    seen = {"read": 0, "refused": 0, "repeated": 0}

    @settings(max_examples=600)
    @given(shapes_and_indices())
    def check(drawn):
        shape, index = drawn
        x = np.arange(float(np.prod(shape, dtype=int))).reshape(shape)
        plain = numpys(index)
        with mv.use(device):
            t = Tensor(x, device=device, requires_grad=True)
            try:
                expected = x[plain]
            except (IndexError, ValueError, TypeError):
                seen["refused"] += 1
                with pytest.raises(MinivitError, match=r"getitem: .{10}"):
                    t[index]
                return
            y = t[index]
            np.testing.assert_array_equal(y.numpy(), expected, strict=True)
            g = np.random.default_rng(0).standard_normal(y.shape)
            y.backward(backend.to_device(np.array(g), device))
            read = np.asarray(expected, int).ravel()  # each element is its own place
            sums = (
                np.bincount(read, np.ravel(g), minlength=x.size) if read.size else np.zeros(x.size)
            )
            grad = backend.to_numpy(t.grad)
            np.testing.assert_allclose(grad, sums.reshape(shape), rtol=1e-12, atol=1e-12)
            seen["read"] += 1
            seen["repeated"] += len(set(read.tolist())) < read.size

    check()
    assert seen["read"] > 200 and seen["refused"] > 20 and seen["repeated"] > 10, seen


@ON_EVERY_DEVICE
@pytest.mark.parametrize("rows", [1, 100, 255, 256, 257, 300, 511, 512, 513, 600, 40_000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_gradient_of_a_table_goes_to_the_rows_that_were_read(dtype, rows, device):
    """On both sides of what the dtype can count to, and of what is done by a product."""
    rng = np.random.default_rng(rows)
    last = min(rows - 1, np.iinfo(dtype).max)
    ids = rng.integers(0, last, (3, 5), endpoint=True).astype(dtype)
    ids[0, :2] = last, 0
    g = rng.standard_normal((3, 5, 2))
    expected = np.zeros((rows, 2))
    np.add.at(expected, ids.astype(int), g)
    with mv.use(device):
        for given_ids in (ids, Tensor(ids), ids.tolist()):
            table = Tensor(rng.standard_normal((rows, 2)), device=device, requires_grad=True)
            y = mv.embedding(table, given_ids)
            np.testing.assert_array_equal(y.numpy(), table.numpy()[ids])
            y.backward(backend.to_device(g, device))
            np.testing.assert_allclose(backend.to_numpy(table.grad), expected, atol=1e-12)


@ON_EVERY_DEVICE
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_labels_of_every_dtype(dtype, device):
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((4, 300)), np.array([0, 1, 127, 5]).astype(dtype)
    with mv.use(device):
        losses = []
        for given_labels in (labels, labels.astype(np.int64)):
            x = Tensor(logits, device=device, requires_grad=True)
            loss = mv.cross_entropy_loss(x, given_labels)
            loss.backward()
            losses.append((loss.item(), backend.to_numpy(x.grad)))
        assert losses[0][0] == losses[1][0]
        np.testing.assert_array_equal(losses[0][1], losses[1][1])


@ON_EVERY_DEVICE
def test_no_ids_are_ids(device):
    with mv.use(device):
        table = Tensor(np.ones((3, 2)), device=device, requires_grad=True)
        for ids in ([], np.zeros(0, np.uint8), [[], []]):
            y = mv.embedding(table, ids)
            assert y.shape == (*np.shape(ids), 2)
            y.backward(backend.to_device(np.zeros(y.shape), device))
        assert not backend.to_numpy(table.grad).any()
