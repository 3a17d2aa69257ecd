"""Choosing a device, moving, random numbers, and what NumPy and CuPy spell apart."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import backend, numerics, special
from minivit.engine.errors import DeviceError, DtypeError, RangeError
from tests import strict
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


# -- the default device ----------------------------------------------------------------------------
def test_use_for_good_and_for_a_block():
    assert mv.default_device() == "cpu"
    mv.use("strict")
    assert mv.Tensor([1.0]).device == "strict"
    with mv.use("cpu"):
        assert mv.Tensor([1.0]).device == "cpu"
        with mv.use("strict"):
            assert mv.default_device() == "strict"
        assert mv.default_device() == "cpu"
    assert mv.default_device() == "strict"
    mv.use("cpu")
    with pytest.raises(ZeroDivisionError), mv.use("strict"):
        _ = 1 / 0
    assert mv.default_device() == "cpu"
    assert "cpu" in repr(mv.use("cpu"))


def test_an_unknown_device_changes_nothing():
    for name in ("gpu", "CUDA", "cuda:0"):
        with pytest.raises(DeviceError, match=f"got '{name}', expected 'cpu' or 'cuda'"):
            mv.use(name)
    assert mv.default_device() == "cpu"
    with pytest.raises(DeviceError):
        mv.Tensor([1.0]).to("tpu")
    with pytest.raises(DeviceError):
        mv.Tensor([1.0], device="tpu")


def test_without_a_gpu_the_reason_and_the_remedy_are_named():
    """In a process of its own, where a cupy that cannot be imported stands in the way."""
    code = """
import sys
sys.modules["cupy"] = None
import minivit
try:
    minivit.use("cuda")
except ImportError as error:
    print(error, minivit.default_device(), sep="|")
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    says = out.stdout
    assert "device 'cuda' cannot be used here; everything runs on 'cpu'" in says
    assert "reason: ModuleNotFoundError" in says
    assert "nvidia-smi" in says
    assert "pip install 'minivit[cuda12]'" in says
    assert says.strip().endswith("|cpu")
    assert not out.stderr


# -- devices of arrays -----------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_to_device_and_back(device):
    array = np.arange(6.0).reshape(2, 3)
    there = backend.to_device(array, device)
    assert backend.device_of(there) == device
    assert backend.to_device(there, device) is there
    assert (backend.to_numpy(there) == array).all()
    assert backend.to_device(there, "cpu").tolist() == array.tolist()
    assert backend.module_of([there, 2.0, None, True], "f") is backend.MODULES[device]


def test_device_of_what_is_no_array(tmp_path):
    assert backend.device_of(np.memmap(tmp_path / "a", np.float32, "w+", shape=2)) == "cpu"
    with pytest.raises(DeviceError, match=r"expected an array of .*'cpu'"):
        backend.device_of("text")
    assert backend.module_of([1.0, 2], "f") is np


# -- random numbers --------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_a_seed_fixes_every_stream(device):
    xp = backend.module(device)

    def drawn():
        with mv.use(device):
            weights = mv.nn.Linear(3, 2).weight.numpy()
            dropped = backend.to_numpy(backend.uniform(xp, (4,), np.float32))
            return weights, dropped, backend.host_generator().permutation(5)

    mv.manual_seed(1)
    first = drawn()
    mv.manual_seed(1)
    for a, b in zip(first, drawn(), strict=True):
        assert (a == b).all()
    mv.manual_seed(2)
    assert (first[0] != drawn()[0]).any()
    mv.manual_seed(2)
    other = drawn()
    assert (other[1] != first[1]).any()
    assert other[1].dtype == np.float32
    assert ((other[1] >= 0) & (other[1] < 1)).all()


def test_weights_do_not_depend_on_the_device():
    mv.manual_seed(3)
    on_cpu = mv.nn.Linear(4, 3).weight.numpy()
    mv.manual_seed(3)
    with mv.use("strict"):
        there = mv.nn.Linear(4, 3).weight
    assert there.device == "strict"
    assert (there.numpy() == on_cpu).all()


def test_the_random_state_can_be_kept():
    mv.manual_seed(4)
    state = backend.random_state()
    a = backend.host_generator().random(3)
    backend.set_random_state(state)
    assert (backend.host_generator().random(3) == a).all()


# -- indices ---------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_checked_index(device):
    xp = backend.module(device)
    for ids in ([0, 2], np.array([[0], [2]]), 1, np.array([1], np.uint8)):
        checked = numerics.checked_index(xp, ids, 3, "ids")
        assert backend.device_of(checked) == device
        assert (backend.to_numpy(checked) == ids).all()
    assert numerics.checked_index(xp, np.zeros(0, int), 3, "ids").size == 0
    with pytest.raises(RangeError, match=r"ids: got 3 at index \(1, 0\), expected 0 <= id < 3\."):
        numerics.checked_index(xp, [[0], [3]], 3, "ids")
    with pytest.raises(DtypeError, match=r"got dtype bool, expected integers. Try .astype"):
        numerics.checked_index(xp, np.array([True]), 3, "ids")
    numerics.checked_index(xp, [0, -7], 3, "ids", ignore=-7)


def test_checking_ids_on_the_host_does_not_wait_for_the_device():
    strict.reset()
    numerics.checked_index(strict.xp, np.array([0, 1]), 3, "ids")
    assert strict.stats.syncs == 0 and strict.stats.uploads == 1


@ON_EVERY_DEVICE
@pytest.mark.parametrize("rows", [3, 600])
def test_scatter(device, rows):
    rng = np.random.default_rng(0)
    ids, g = rng.integers(0, rows, 50), rng.standard_normal((50, 4))
    expected = np.zeros((rows, 4))
    np.add.at(expected, ids, g)
    xp = backend.module(device)
    sent = backend.to_device(ids, device), backend.to_device(g, device)
    for out in (
        numerics.scatter_rows(xp, rows, *sent),
        numerics.scatter_add(xp, (rows, 4), (sent[0],), sent[1]),
    ):
        np.testing.assert_allclose(backend.to_numpy(out), expected, rtol=1e-12, atol=1e-12)


# -- functions -------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_erf(device):
    """float64 to rounding; float32 within what its docstring says, and odd."""
    x = np.concatenate([np.linspace(-6, 6, 4001), [0.0, -0.0, 1e-20, 30.0, -30.0]])
    exact = np.array([math.erf(v) for v in x])
    xp = backend.module(device)
    double = backend.to_numpy(special.erf(xp, backend.to_device(x, device)))
    np.testing.assert_allclose(double, exact, rtol=1e-14, atol=1e-15)
    single = special.erf(xp, backend.to_device(x.astype(np.float32), device))
    single = backend.to_numpy(single)
    assert single.dtype == np.float32
    near = np.array([math.erf(v) for v in x.astype(np.float32)])
    assert (np.abs(single - near) <= 2 * np.spacing(np.abs(near).astype(np.float32))).all()
    assert np.isnan(
        backend.to_numpy(special.erf(xp, backend.to_device(np.array([np.nan]), device)))
    )


@ON_EVERY_DEVICE
@pytest.mark.parametrize("dtype, digits", [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.filterwarnings("error")
def test_the_tail_of_the_normal_distribution(device, dtype, digits):
    """Right where 1 - Phi(a) has no digit left: Phi(-12) is 2e-33."""
    a = np.concatenate([np.linspace(0, 12, 4001), [1e-20, 40]]).astype(dtype)
    found = special.normal_tail(backend.module(device), backend.to_device(a, device))
    tail, bell = map(backend.to_numpy, found)
    assert tail.dtype == bell.dtype == dtype
    exact = [math.erfc(v / math.sqrt(2)) / 2 for v in a.astype(float)]
    np.testing.assert_allclose(tail, exact, rtol=digits, atol=np.finfo(dtype).tiny)
    exact = np.exp(-(a.astype(float) ** 2) / 2)
    np.testing.assert_allclose(bell, exact, rtol=digits, atol=np.finfo(dtype).tiny)


@ON_EVERY_DEVICE
def test_row_dot_and_column_sum(device):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 4, 5)), rng.standard_normal((3, 4, 5))
    xp = backend.module(device)
    send = lambda x: backend.to_device(x, device)  # noqa: E731
    np.testing.assert_allclose(
        backend.to_numpy(numerics.row_dot(xp, send(a), send(b))), (a * b).sum(axis=-1)
    )
    np.testing.assert_allclose(
        backend.to_numpy(numerics.row_dot(xp, send(a), send(b[0, 0]))), (a * b[0, 0]).sum(axis=-1)
    )
    np.testing.assert_allclose(
        backend.to_numpy(numerics.column_sum(xp, send(a[0]))), a[0].sum(axis=0)
    )


@given(
    st.data(),
    st.sampled_from([np.float32, np.float64, np.int64]),
    st.sampled_from(["cpu", "strict"]),
)
def test_without_blas_the_product_of_matrices_is_the_same(data, dtype, device):
    """What a browser computes: values, gradients and dtypes of matmul and linear."""
    rows, inner, out = (data.draw(st.integers(0, 5)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    x, y = rng.integers(-4, 4, (rows, inner)), rng.integers(-4, 4, (inner, out))
    x, y = x.astype(dtype), y.astype(dtype)
    send = lambda a: backend.to_device(a, device)  # noqa: E731
    found = backend.to_numpy(backend.product_without_blas(send(x), send(y.T.copy().T)))
    assert found.dtype == dtype and np.array_equal(found, x @ y)


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 30])
def test_pieces_are_all_there_is(n):
    """What is written into the pieces of one array, from those of another, is all of it."""
    a, out = np.arange(n * 3.0).reshape(n, 3), np.full((n, 3), -1.0)
    for part, place in numerics.pieces(np, a, out, size=4):
        np.copyto(place, part)
    assert np.array_equal(out, a)
    turned = np.full((3, n), -1.0).T  # does not lie in a row: all at once
    for part, place in numerics.pieces(np, a, turned, size=4):
        np.copyto(place, part)
    assert np.array_equal(turned, a)


@pytest.mark.parametrize("n", [1, 511, 512, 1023, 1088, 20_003])
def test_column_sums_of_many_rows_do_not_add_up_errors(n):
    a = np.random.default_rng(n).random((n, 5), dtype=np.float32)
    np.testing.assert_allclose(numerics.column_sum(np, a), a.sum(axis=0, dtype=np.float64), 1e-6)


@settings(max_examples=30)
@given(st.integers(0, 130), st.sampled_from([(3, 5), (256, 128), (512, 512), (1024, 256)]),
       st.sampled_from([np.float32, np.float64]))  # fmt: skip
def test_a_product_of_few_rows_is_the_product(rows, shape, dtype):
    """In either order of the operands: the same numbers, in row-major order."""
    rng = np.random.default_rng(rows)
    x, W = rng.standard_normal((rows, shape[1])), rng.standard_normal(shape)
    y = backend.product_of_rows(x.astype(dtype), W.astype(dtype))
    assert y.dtype == dtype and y.flags.c_contiguous
    np.testing.assert_allclose(y, x @ W.T, rtol=0, atol=1e-3 if dtype == np.float32 else 1e-11)
