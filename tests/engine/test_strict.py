"""Tests of the test double: each refusal, each count, and that its numbers are NumPy's.

Where a GPU is, the refusals are asked of CuPy as well: the double must not be stricter than it
says. Elsewhere that half is skipped, and what the double claims rests on reading CuPy's source.
"""

import copy
import io
import math
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit import Tensor
from minivit.engine import backend, numerics, special
from minivit.engine.errors import DeviceError
from tests import strict

HOST = np.arange(12, dtype=np.float32).reshape(3, 4)
ROWS = np.array([0, 0, 2])  # a row twice


def cupy_or_skip():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not cupy.is_available():
        pytest.skip("no GPU")
    return cupy


@pytest.fixture(params=["strict", pytest.param("cupy", marks=pytest.mark.gpu)])
def xp(request):
    return strict.xp if request.param == "strict" else cupy_or_skip()


@pytest.fixture
def x():
    return strict.xp.asarray(HOST)


@pytest.fixture
def counted():
    """Calls a function and returns what it counted: (launches, syncs, uploads, float64)."""

    def count(function, *args):
        strict.reset()
        function(*args)
        s = strict.stats
        return s.launches, s.syncs, s.uploads, s.float64

    return count


def do(statement, xp, x, **names):
    exec(statement, {"xp": xp, "x": x, "np": np, "host": HOST, **names})


# -- what CuPy refuses -----------------------------------------------------------------------------
NO_LIST = (TypeError, AttributeError)  # CuPy: 'list' object has no attribute 'sum'
REFUSED = {
    # implicit conversion
    "np.asarray(x)": TypeError,
    "np.array([x, x])": TypeError,
    "np.savez(io.BytesIO(), x=x)": TypeError,
    "np.testing.assert_allclose(x, x)": TypeError,
    # host and device in one operation, a 0-d host array too
    "x + host": TypeError,
    "host + x": TypeError,
    "x + np.array(1.0)": TypeError,
    "x += host": TypeError,
    "host += x": TypeError,
    "x @ host.T": TypeError,
    "host.T @ x": TypeError,
    "x == host": TypeError,
    "host < x": TypeError,
    "xp.exp(host)": TypeError,
    "xp.maximum(x, host)": TypeError,
    "xp.exp(x, out=host)": TypeError,
    "xp.where(x > 0, x, host)": TypeError,
    "xp.concatenate([x, host])": TypeError,
    "xp.stack([host, host])": TypeError,
    "x[:] = host": ValueError,
    "x[0] = host[0]": ValueError,
    # names
    "xp.errstate(all='ignore')": AttributeError,
    "xp.scatter_add(x, 0, 1)": AttributeError,
    "xp.vecdot(x, x)": AttributeError,
    "xp.linalg.multi_dot([x, x.T])": AttributeError,
    "xp.linalg.vector_norm(x)": AttributeError,
    "x.__array_namespace__()": AttributeError,
    "x.__array_interface__": AttributeError,
    "xp.random.default_rng(0).permutation(5)": AttributeError,
    "xp.random.default_rng(0).normal()": AttributeError,
    # keywords
    "xp.max(x, initial=0)": TypeError,
    "x.sum(where=x > 0)": TypeError,
    "x.sum(initial=0)": TypeError,
    "xp.var(x, correction=1)": TypeError,
    "xp.sort(x, stable=True)": TypeError,
    "xp.take(x, ids, mode='clip')": TypeError,
    "x.take(ids, mode='clip')": TypeError,
    "xp.exp(x, where=x > 0)": TypeError,
    "xp.clip(x, min=0, max=1)": TypeError,
    "xp.asarray(x, device='cpu')": TypeError,
    "xp.lexsort(x, axis=0)": TypeError,
    "xp.unique(x, sorted=True)": TypeError,
    "xp.quantile(x, 0.5, weights=x)": TypeError,
    "xp.einsum('ij->i', x, order='C')": TypeError,
    "xp.lib.stride_tricks.as_strided(x, (2,), (4,), writeable=False)": TypeError,
    "x.item(0)": TypeError,
    # methods of ufuncs
    "xp.add.at(x.astype(np.int8), ids, 1)": TypeError,
    "xp.add.at(x > 0, ids, True)": TypeError,
    "xp.subtract.at(x, ids, 1.0)": TypeError,
    "xp.maximum.at(x.astype(np.float16), ids, 1.0)": TypeError,
    "xp.multiply.at(x, ids, 1.0)": NotImplementedError,
    "xp.maximum.reduce(x)": NotImplementedError,
    "xp.maximum.accumulate(x)": NotImplementedError,
    # lists and numbers in place of arrays
    "xp.exp([1.0])": TypeError,
    "xp.add(x, [1.0, 2.0, 3.0, 4.0])": TypeError,
    "x + [1.0, 2.0, 3.0, 4.0]": TypeError,
    "x == [1.0, 2.0, 3.0, 4.0]": TypeError,
    "xp.maximum(x, None)": TypeError,
    "xp.sum([1.0])": NO_LIST,
    "xp.reshape([1.0], (1, 1))": NO_LIST,
    "xp.where([True], x, x)": NO_LIST,
    "xp.max(2.0)": NO_LIST,
    "xp.add.reduce([1.0])": NO_LIST,
    "x[:2] = [[1.0] * 4] * 2": ValueError,
    # conversions that NumPy refuses, or not
    "float(x)": TypeError,
    "math.sqrt(x)": TypeError,
    "bool(x)": ValueError,
    "x.item()": ValueError,
    "operator.index(ids[0])": TypeError,
    "range(ids[0])": TypeError,
    "x[:ids[2]]": TypeError,
    "x[x]": IndexError,
    "x[0, 0, 0]": IndexError,
    "len(x[0, 0])": TypeError,
    "list(x[0, 0])": TypeError,
    "hash(x)": TypeError,
    "ids += 0.5": TypeError,
    "xp.asarray(['a'])": ValueError,
    "xp.concatenate(x=[x])": TypeError,
}
MODULES = {"io": io, "math": math, "operator": operator, "pickle": pickle}


@pytest.mark.parametrize("statement", REFUSED)
def test_refuses_what_cupy_refuses(statement, xp):
    with pytest.raises(REFUSED[statement]):
        do(statement, xp, xp.asarray(HOST), ids=xp.asarray(ROWS), **MODULES)


# -- what CuPy lets pass, and the double does not --------------------------------------------------
STRICTER = {
    "np.exp(x)": TypeError,
    "np.add(x, 1)": TypeError,
    "np.sum(x)": TypeError,
    "np.concatenate([x, x])": TypeError,
    "np.shape(x)": TypeError,
    "x[np.array([0, 1])]": TypeError,
    "x[[0, 1]]": TypeError,
    "x[0, np.array(1)]": TypeError,
    "x[np.array([0, 1])] = 0.0": TypeError,
    "x[:, ids[1:]] = np.float32([[1, 2]])": TypeError,
    "x[ids[1:]] = [[1.0] * 4] * 2": TypeError,
    "xp.add.at(x, np.array([0, 1]), 1.0)": TypeError,
    "xp.add.at(x, ids, host)": TypeError,
    "xp.take(x, np.array([0]))": TypeError,
    "x[ids] = 1.0": ValueError,
    "x[ids] += 1.0": ValueError,
    "x[ids, ids] = 1.0": ValueError,
    "x[:, ids] = x[:, :3].copy()": ValueError,
    "x[xp.asarray([0, -3])] = 1.0": ValueError,
    "pickle.dumps(x)": TypeError,
    "x[xp.asarray([3])]": IndexError,
    "x.flags": AttributeError,
    "xp.random.rand(3)": AttributeError,
    "xp.fuse": AttributeError,
}


@pytest.mark.parametrize("statement", STRICTER)
def test_refuses_more_than_cupy(statement, x):
    with pytest.raises(STRICTER[statement]):
        do(statement, strict.xp, x, ids=strict.xp.asarray(ROWS), **MODULES)


@pytest.mark.parametrize("statement", [*REFUSED, *STRICTER])
def test_a_refusal_changes_no_array(statement, x):
    host, ids = HOST.copy(), strict.xp.asarray(ROWS)
    with pytest.raises(Exception):  # noqa: B017, the types are tested above
        exec(statement, {"xp": strict.xp, "x": x, "np": np, "host": host, "ids": ids, **MODULES})
    assert (x.get() == HOST).all()
    assert (host == HOST).all()


# -- what passes -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "statement",
    [
        "assert float((np.float32(2) * x)[0, 1]) == 2 and (np.float32(2) * x).dtype == np.float32",
        "y = x.copy(); y[xp.asarray([2, 0])] = 1.0; assert float(y.sum()) == 30",
        "y = x.copy(); y[xp.arange(3), xp.asarray([1, 1, 1])] -= 1; assert float(y[2, 1]) == 8",
        "y = x.copy(); y[y > 5] = 0; assert float(y.sum()) == 15",
        "y = xp.zeros((3, 4), np.float32); xp.add.at(y, ids, x); assert float(y[0, 1]) == 6",
        "y = xp.zeros(3, np.int64); xp.add.at(y, ids, 1); assert y.tolist() == [2, 0, 1]",
        "y = x[0]; y += 1; assert float(x[0, 0]) == 1 and y.base is x",
        "y = x[0, 0]; y += 1; assert float(x[0, 0]) == 1 and y.shape == ()",
        "y = x[ids[0]]; y += 1; assert float(x[0, 0]) == 0",
        "y = x.T[1:]; assert y.base is x and x.base is None and x.copy().base is None",
        "assert x.sum().shape == () and isinstance(x.sum(), xp.ndarray)",
        "assert isinstance(xp.array_equal(x, x), xp.ndarray)",
        "assert isinstance(xp.count_nonzero(x), xp.ndarray)",
        "assert x.astype(np.float32, copy=False) is x and xp.asarray(x) is x",
        "y = x; y += 1; assert y is x",
        "y = xp.exp(x, out=x); assert y is x",
        "assert f'{x.max():.1f}' == '11.0' and len(x) == 3 and [r.shape for r in x] == [(4,)] * 3",
        "y = w = x.T.copy(); w @= xp.eye(3, dtype=np.float32); assert w is not y",
        "y = copy.deepcopy(x); y += 1; assert float(x[0, 0]) == 0 and float(y[0, 0]) == 1",
        "assert xp.result_type(np.float32, np.float64) == np.float64 and xp.pi == np.pi",
        "assert xp.maximum(x, 3).min() == 3 and xp.add.reduce(x, axis=1).shape == (3,)",
        "xp.log(x - 20); x / 0",  # silent: a GPU does not warn
        "r = xp.random.default_rng(0); assert r.random((2, 3), dtype=np.float32).shape == (2, 3)",
        "host_copy = x.get(); host_copy[:] = 0; assert float(x.sum()) == 66",
    ],
)
@pytest.mark.filterwarnings("error")
def test_passes(statement, xp):
    do(statement, xp, xp.asarray(HOST), ids=xp.asarray(ROWS), copy=copy)


def test_an_upload_is_a_copy():
    host = HOST.copy()
    x = strict.xp.asarray(host)
    host[:] = 0
    assert float(x.sum()) == 66


def test_random_numbers_follow_the_seed_and_are_not_numpys():
    draws = [strict.random.default_rng(7).random(5).get() for _ in range(2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != np.random.default_rng(7).random(5)).all()


def test_the_name_of_the_module_is_strict():
    assert strict.xp.__name__ == "strict"
    assert strict.exp is strict.xp.exp
    assert "14.2" in repr(strict.xp)


# -- counters --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("statement", "launches", "syncs", "uploads", "float64"),
    [
        ("x + 1", 1, 0, 0, 0),
        ("x.T; x[0]; x[:, 1:]; x.reshape(4, 3); x[None]; x.real", 0, 0, 0, 0),
        ("x.T.reshape(-1)", 1, 0, 0, 0),  # this one copies
        ("x[x > 5]", 2, 1, 0, 0),
        ("x[x > 5] = 0", 2, 1, 0, 0),
        ("xp.where(x > 5, x, 0.0)", 2, 0, 0, 0),
        ("xp.where(x > 5)", 2, 1, 0, 0),
        ("x.nonzero()", 1, 1, 0, 0),
        ("xp.unique(x)", 1, 1, 0, 0),
        ("x[x.argmin(axis=1)[:1]]", 2, 0, 0, 0),
        ("float(x.sum())", 1, 1, 0, 0),
        ("x.max().item()", 1, 1, 0, 0),
        ("if x.max() > 0: pass", 2, 1, 0, 0),
        ("math.sqrt(x.max())", 1, 1, 0, 0),
        ("str(x); repr(x); f'{x.sum():.2f}'", 1, 3, 0, 0),
        ("x.get(); x.tolist()", 0, 2, 0, 0),
        ("xp.asarray(np.ones(3, np.float32)); xp.array([1, 2])", 0, 0, 2, 0),
        ("xp.asarray(x)", 0, 0, 0, 0),
        ("xp.array(x)", 1, 0, 0, 0),
        ("xp.zeros(3); xp.zeros(3, dtype=np.float32)", 2, 0, 0, 1),
        ("x * np.sqrt(64)", 1, 0, 0, 1),
        ("x * math.sqrt(64)", 1, 0, 0, 0),
        ("xp.asarray(0.5)", 0, 0, 1, 1),
        ("x += 1", 1, 0, 0, 0),
        ("xp.multiply(x, 2, x); xp.exp(x, out=x)", 2, 0, 0, 0),
        ("x.fill(0.0); x.sort()", 2, 0, 0, 0),
        ("xp.add.at(x, xp.arange(2), 1.0)", 2, 0, 0, 0),
        ("xp.split(x, 2, axis=1)", 0, 0, 0, 0),
        ("xp.random.default_rng(0).random(3, dtype=np.float32)", 1, 0, 0, 0),
    ],
)
def test_counts(statement, launches, syncs, uploads, float64, x, counted):
    expected = launches, syncs, uploads, float64
    assert counted(lambda: do(statement, strict.xp, x, math=math)) == expected


# -- as a device of minivit ------------------------------------------------------------------------
@pytest.fixture
def device():
    assert strict.install() is backend.module("strict")  # it stays: conftest.py installs it too
    return "strict"


def test_backend_moves_arrays_there_and_back(device):
    x = backend.to_device(HOST, device)
    assert type(x) is strict.ndarray
    assert backend.device_of(x) == "strict"
    assert backend.to_device(x, device) is x
    assert (backend.to_numpy(x) == HOST).all()
    assert type(backend.to_device(x, "cpu")) is np.ndarray


def test_backend_finds_the_module_and_refuses_a_mix(device):
    x = backend.to_device(HOST, device)
    assert backend.module_of([x, 2.0, x], "mul") is strict.xp
    with pytest.raises(DeviceError, match=r"add.*'strict'.*'cpu'|add.*'cpu'.*'strict'"):
        backend.module_of([x, HOST], "add")
    with backend.use(device):
        assert backend.module() is strict.xp
    assert backend.module() is np


def test_a_tensor_holds_it_and_differentiates(device):
    t = Tensor(backend.to_device(HOST, device), requires_grad=True)
    assert t.device == device
    loss = (t * t).sum()
    loss.backward()
    assert type(t.grad) is type(loss.data) is strict.ndarray
    assert (backend.to_numpy(t.grad) == 2 * HOST).all()
    with pytest.raises(DeviceError, match="mul"):
        t * Tensor(HOST)


def test_backend_helpers_run_on_it(device):
    xp, x = strict.xp, backend.to_device(HOST, device)
    ids = backend.to_device(ROWS, device)
    for rows in (3, 600):  # the one-hot product, and add.at
        table = numerics.scatter_rows(xp, rows, ids, x)
        assert (backend.to_numpy(table) == numerics.scatter_rows(np, rows, ROWS, HOST)).all()
    exact = [math.erf(v) for v in HOST.ravel()]
    np.testing.assert_allclose(special.erf(xp, x).get().ravel(), exact, rtol=1e-6)
    assert (numerics.column_sum(xp, x).get() == HOST.sum(axis=0)).all()
    assert (numerics.row_dot(xp, x, x).get() == (HOST * HOST).sum(axis=-1)).all()
    assert backend.uniform(xp, (2, 3), np.float32).dtype == np.float32


# -- the same numbers as NumPy ---------------------------------------------------------------------
OPS = [
    lambda xp, x, y: x + y,
    lambda xp, x, y: x - y * 2,
    lambda xp, x, y: 1.5 / (x * x + 1),
    lambda xp, x, y: x * np.float32(3) - np.float64(0.5) * y,
    lambda xp, x, y: x @ y.T,
    lambda xp, x, y: -(abs(x) ** 2),
    lambda xp, x, y: (x // 3) % 2 + x.astype(np.float32),
    lambda xp, x, y: xp.tanh(x),
    lambda xp, x, y: xp.exp(x - x.max(axis=-1, keepdims=True)),
    lambda xp, x, y: x.sum(axis=0, keepdims=True) + y.mean(),
    lambda xp, x, y: x.var(axis=-1, keepdims=True) * y,
    lambda xp, x, y: xp.where((x > 0) & ~(y < 1), x, y),
    lambda xp, x, y: xp.clip(x, -1, 1).T,
    lambda xp, x, y: x[::-1, :] + y[:, ::-1],
    lambda xp, x, y: x[xp.asarray([2, 0, 0])],
    lambda xp, x, y: x[xp.arange(3), y.argmax(axis=1)][:, None] * y,
    lambda xp, x, y: x[None, :, 1, None] * x[0],
    lambda xp, x, y: xp.concatenate([x, y], axis=1)[:, 1:4],
    lambda xp, x, y: xp.stack([x, y]).sum(axis=0),
    lambda xp, x, y: xp.split(x, 3, axis=1)[1] + y,
    lambda xp, x, y: xp.einsum("ij,kj->ik", x, y),
    lambda xp, x, y: xp.tensordot(x, y, axes=1),
    lambda xp, x, y: xp.pad(x, ((1, 0), (0, 1)))[:3, :3],
    lambda xp, x, y: xp.sort(x, axis=0) + xp.cumsum(y, axis=1),
    lambda xp, x, y: xp.linalg.norm(x, axis=-1, keepdims=True) + y,
    lambda xp, x, y: xp.lib.stride_tricks.sliding_window_view(x, 3, axis=1)[..., 0, :] + y,
    lambda xp, x, y: x.swapaxes(0, 1).reshape(-1).reshape(3, 3),
    lambda xp, x, y: xp.log(x) / y,  # nan and inf
    lambda xp, x, y: xp.divmod(x, y)[1],
    lambda xp, x, y: x.ravel()[x.argmin()] - y[1, 1],
]


def in_place(xp, x, y):
    z = x.astype(np.float64)
    z[0] += 1
    z.T[1] *= 2
    z[1:, xp.asarray([2, 0])] = y[:2, :2]
    z[z > 2] -= 1
    xp.add.at(z, (xp.asarray([0, 0, 1]), slice(0, 2)), y[:, :2].astype(np.float64))
    return z


numbers = st.floats(-8, 8, width=32)
arrays = st.builds(
    lambda values, dtype: np.array(values).reshape(3, 3).astype(dtype),
    st.lists(numbers, min_size=9, max_size=9),
    st.sampled_from([np.float32, np.float64, np.int64, np.int32]),
)
steps = st.tuples(st.sampled_from([*OPS, in_place]), st.integers(0, 9), st.integers(0, 9))


@given(st.lists(arrays, min_size=2, max_size=3), st.lists(steps, min_size=1, max_size=8))
def test_any_program_gives_numpys_bits(starts, program):
    ours, numpys = [strict.xp.asarray(a) for a in starts], list(starts)
    for op, i, j in program:
        i, j = i % len(numpys), j % len(numpys)
        try:
            with np.errstate(all="ignore"):
                expected = op(np, numpys[i], numpys[j])
        except (ValueError, IndexError, TypeError, AttributeError) as problem:
            with pytest.raises(type(problem)):  # shapes that do not fit: refused alike
                op(strict.xp, ours[i], ours[j])
            continue
        got = op(strict.xp, ours[i], ours[j])
        assert type(got) is strict.ndarray
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        assert got.get().tobytes() == expected.tobytes()
        ours.append(got)
        numpys.append(expected)
