"""Every registered op, on every device: its gradient, its value, its dtype, and what it leaves
alone. The cases are in op_cases.py; an op without cases fails here."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import convolution
from minivit.engine import backend
from minivit.engine.check import gradcheck
from minivit.engine.errors import DtypeError, GraphError, RangeError, ShapeError
from tests import strict
from tests.devices import DEVICES
from tests.engine.op_cases import CASES, OPS

EVERY_OP = pytest.mark.parametrize("name", sorted(CASES))
ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


def test_every_op_has_cases_and_every_case_an_op():
    assert set(CASES) == set(OPS), "write cases for the op in tests/engine/op_cases.py"


def tensors(floats, dtype, writable=True):
    """Leaf Tensors on the default device; read-only ones on the host if asked for."""
    leaves = []
    for x in floats:
        x = np.array(x, dtype)
        x.flags.writeable = writable
        leaves.append(mv.Tensor(x, device=mv.default_device(), requires_grad=True))
    return leaves


def cotangent(out, seed=1):
    """A random gradient for `out`, read-only on the host: a vjp may not write into it."""
    g = np.random.default_rng(seed).standard_normal(out.shape).astype(out.dtype)
    g.flags.writeable = False
    return backend.to_device(g, out.device)


# -- the three properties --------------------------------------------------------------------------
@EVERY_OP
@ON_EVERY_DEVICE
def test_gradient(name, device):
    """Every element of every gradient equals a central difference; inputs are not written."""
    compared = []

    @given(CASES[name], st.integers(0, 99))
    def check(case, seed):
        with mv.use(device):
            result = gradcheck(case, *case.floats, seed=seed)
        assert result.kinks == 0, "a case sits on a kink"
        compared.append(result.compared)

    check()
    assert sum(compared) >= settings.default.max_examples


@EVERY_OP
@ON_EVERY_DEVICE
def test_value(name, device):
    """NumPy's function of the same numbers; float64 to 1e-12, and nothing written."""

    @given(CASES[name])
    def check(case):
        before = deepcopy([case.operands, case.args, case.options])
        with mv.use(device):
            out = case(*tensors(case.floats, np.float64, writable=False))
            expected = case.expected(*case.operands, *case.args, **case.options)
        assert out.device == device
        assert out.dtype == np.float64
        np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12, strict=True)
        np.testing.assert_equal([case.operands, case.args, case.options], before)

    check()


@EVERY_OP
@ON_EVERY_DEVICE
def test_float32_stays_float32(name, device):
    """Value and gradients of float32 operands are float32, what the vjp returns included, before
    the engine could cast it; the stand-in device made no float64 array on the way. Every gradient
    has its operand's shape, and is float64's to 1e-4."""
    if name == "astype":
        pytest.skip("its subject is another dtype")

    @given(CASES[name])
    def check(case):
        with mv.use(device):
            leaves = tensors(case.floats, np.float32, writable=False)
            strict.reset()
            out = case(*leaves)
            g = cotangent(out)
            assert out.dtype == np.float32
            if not case.call:  # else its graph is of several nodes
                for gradient in raw_gradients(out, g):
                    assert gradient is None or gradient.dtype == np.float32
            out.backward(g)
            assert strict.stats.float64 == 0
            exact = tensors(case.floats, np.float64)
            case(*exact).backward(backend.to_device(backend.to_numpy(g).astype(float), device))
        if name == "dropout":
            return  # in float32 other numbers are drawn
        for leaf, leaf64 in zip(leaves, exact, strict=True):
            assert leaf.grad.shape == leaf.shape
            assert leaf.grad.dtype == np.float32
            assert backend.device_of(leaf.grad) == device
            near = backend.to_numpy(leaf64.grad)
            scale = 1e-4 * (1 + np.abs(near).max(initial=0))
            np.testing.assert_allclose(backend.to_numpy(leaf.grad), near, rtol=1e-4, atol=scale)

    check()


def raw_gradients(out, g):
    gradients = out.node.vjp(g)
    return gradients if isinstance(gradients, tuple) else (gradients,)


# -- the contract of the vjp -----------------------------------------------------------------------
@EVERY_OP
def test_a_vjp_returns_arrays_that_are_free_to_change(name):
    """The engine sums gradients in place, so a fresh array (one that is no view) must not be an
    operand, the value, or the gradient of another operand."""

    @given(CASES[name])
    @settings(max_examples=20)
    def check(case):
        if case.call:
            return
        leaves = tensors(case.floats, np.float64)
        out = case(*leaves)
        g = cotangent(out)
        gradients = [x for x in raw_gradients(out, g) if x is not None and x is not g]
        kept = [out.data, *(t.data for t in leaves)]
        for i, x in enumerate(gradients):
            if isinstance(x, np.ndarray) and x.base is None:
                assert not any(np.shares_memory(x, k) for k in kept)
                assert not any(x is other for other in gradients[:i])

    check()


@EVERY_OP
def test_strided_operands_and_gradients(name):
    """Views of any strides, and a gradient that is one number repeated, mean the same numbers."""

    @given(CASES[name])
    @settings(max_examples=20)
    def check(case):
        plain, odd = tensors(case.floats, np.float64), []
        for x in case.floats:
            view = np.repeat(np.array(x, order="F")[..., None], 2, axis=-1)[..., 0]
            odd.append(mv.Tensor(view, requires_grad=True))
        a, b = case(*plain), case(*odd)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-12)
        a.backward(np.full(a.shape, 0.75))
        b.backward(np.broadcast_to(np.float64(0.75), b.shape))
        for t, u in zip(plain, odd, strict=True):
            np.testing.assert_allclose(t.grad, u.grad, rtol=1e-12, atol=1e-12)

    check()


# -- scalars do not promote ------------------------------------------------------------------------
SCALARS = [2.0, 2, np.float64(2.0), np.float32(2.0), np.int64(2), True, np.bool_(True)]


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: f"{type(s).__name__}")
@pytest.mark.parametrize("name", "add subtract multiply divide power maximum where".split())
@ON_EVERY_DEVICE
def test_a_scalar_does_not_promote(name, scalar, device):
    """float32 with a Python or NumPy number is float32, forward and in the vjp, on both sides."""
    with mv.use(device):
        strict.reset()
        x = mv.Tensor([[0.5, 1.5]], requires_grad=True)
        condition = x.data > 1
        f = (lambda a, b: OPS["where"](condition, a, b)) if name == "where" else OPS[name]
        for out in (f(x, scalar), f(scalar, x)):
            assert out.dtype == np.float32
            g = backend.to_device(np.ones((1, 2), np.float32), device)
            for gradient in raw_gradients(out, g):
                ours = gradient is None or gradient.shape != (1, 2) or gradient.dtype == np.float32
                assert ours
            out.backward(g)
        assert x.grad.dtype == np.float32
        assert strict.stats.float64 == 0


@ON_EVERY_DEVICE
def test_a_numpy_number_as_an_option_does_not_promote(device):
    with mv.use(device):
        x = mv.Tensor(np.ones((2, 3, 4), np.float32), device=device, requires_grad=True)
        gamma = mv.Tensor(np.ones(4, np.float32), device=device)
        eps, half = np.float64(1e-5), np.float64(0.5)
        strict.reset()
        for out in (
            mv.clip(x, -half, half),
            x.clip(np.float64(0), None),
            mv.layer_norm(x, gamma, gamma, eps=eps),
            mv.rms_norm(x, gamma, eps=eps),
            mv.l2_normalize(x, eps=eps),
            mv.dropout(x, p=half),
            mv.pad(x, 1, constant_values=half),
            mv.cross_entropy_loss(x, np.zeros((2, 3), int), label_smoothing=half),
            mv.dot_product_attention(x, x, x, heads=np.int64(2), scale=half),
        ):
            assert out.dtype == np.float32, out.op
            out.backward(backend.to_device(np.ones(out.shape, np.float32), device))
            assert x.grad.dtype == np.float32
        assert strict.stats.float64 == 0


@ON_EVERY_DEVICE
def test_a_tensor_as_an_option(device):
    """Labels, ids and masks may be Tensors; one that asks for a gradient it cannot get may not."""
    with mv.use(device):
        x = mv.Tensor([[0.5, 1.5], [2.0, 1.0]], requires_grad=True)
        labels = mv.Tensor([0, 1])
        assert mv.cross_entropy_loss(x, labels).item() > 0
        assert mv.embedding(x, labels).shape == (2, 2)
        assert x[labels].shape == (2, 2)
        assert x[labels, labels].shape == (2,)
        with pytest.raises(GraphError, match="clip: an option is a Tensor that requires a grad"):
            mv.clip(x, x, None)


def test_float32_with_float64_gives_float64_and_each_gradient_its_own_dtype():
    a = mv.Tensor(np.ones(3, np.float32), requires_grad=True)
    b = mv.Tensor(np.ones(3, np.float64), requires_grad=True)
    out = a * b
    assert out.dtype == np.float64
    out.sum().backward()
    assert (a.grad.dtype, b.grad.dtype) == (np.float32, np.float64)
    assert (a * np.asarray(2.0)).dtype == np.float64  # an array of shape () is an array
    assert a.astype(np.float64).dtype == np.float64


# -- kinks: what is chosen where there is a choice -------------------------------------------------
def gradient(f, *xs):
    """The gradients of sum(f)."""
    leaves = [mv.Tensor(np.array(x, float), requires_grad=True) for x in xs]
    f(*leaves).sum().backward()
    return [t.grad.tolist() for t in leaves]


def test_the_gradient_at_a_kink():
    assert gradient(mv.absolute, [0.0, -2.0]) == [[0.0, -1.0]]
    assert gradient(mv.relu, [0.0, 2.0]) == [[0.0, 1.0]]
    assert gradient(mv.maximum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 1.0], [0.5, 0.0]]
    assert gradient(mv.minimum, [1.0, 2.0], [1.0, 0.0]) == [[0.5, 0.0], [0.5, 1.0]]
    assert gradient(mv.max, [1.0, 3.0, 3.0]) == [[0.0, 0.5, 0.5]]
    assert gradient(mv.min, [1.0, 3.0, 1.0]) == [[0.5, 0.0, 0.5]]
    assert gradient(lambda x: mv.clip(x, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0]) == [[0, 1, 1, 1, 0]]
    assert gradient(lambda x: mv.l2_normalize(x), [0.0, 0.0])[0] != [np.nan, np.nan]


@pytest.mark.filterwarnings("error")
def test_powers_of_zero():
    assert gradient(lambda x: x**0, [0.0, 2.0]) == [[0.0, 0.0]]
    assert gradient(lambda x: x**1, [0.0, 2.0]) == [[1.0, 1.0]]
    assert gradient(lambda x: x**2, [0.0, 2.0]) == [[0.0, 4.0]]
    assert gradient(lambda x: x**3, [0.0, -2.0]) == [[0.0, 12.0]]


# -- functions made of other ops -------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_functions_made_of_ops_equal_numpys(device):
    with mv.use(device):
        a, b = np.arange(24.0).reshape(2, 3, 4), np.linspace(3, -2, 24).reshape(2, 3, 4)
        x, y = (mv.Tensor(v, device=device, requires_grad=True) for v in (a, b))

        def same(tensor, array):
            np.testing.assert_allclose(tensor.numpy(), array, rtol=1e-12, strict=True)

        same(mv.minimum(x, y), np.minimum(a, b))
        same(mv.min(x, axis=1), a.min(axis=1))
        same(x.min(), np.asarray(a.min()))
        same(mv.swapaxes(x, 0, -1), a.swapaxes(0, -1))
        same(x.mT, a.swapaxes(-1, -2))
        same(x.T, a.T)
        for axis in (0, 1, -1, -4):
            same(mv.stack([x, y], axis=axis), np.stack([a, b], axis=axis))
        for sections, axis in ((2, 0), (3, 1), ([1, 3], -1), ((1,), 2), ([0, 2], 2)):
            for piece, expected in zip(
                mv.split(x, sections, axis), np.split(a, sections, axis), strict=True
            ):
                same(piece, expected)
        same(mv.dot(x[0, 0], y[0, 0]), np.asarray(np.dot(a[0, 0], b[0, 0])))
        same(mv.dot(x, 2.0), a * 2)
        same(mv.dot(x, y[0].T), np.dot(a, b[0].T))
        same(mv.dot(x, y.mT), np.dot(a, b.swapaxes(1, 2)))


def test_sums_of_many_rows_go_through_add_at():
    """A table of more than 512 rows: `embedding` scatters instead of a product with one-hots."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 600, 2000)
    table = mv.Tensor(rng.standard_normal((600, 3)), requires_grad=True)
    g = rng.standard_normal((2000, 3))
    mv.embedding(table, ids).backward(g)
    expected = np.zeros((600, 3))
    np.add.at(expected, ids, g)
    np.testing.assert_allclose(table.grad, expected, rtol=1e-12, atol=1e-12)


# -- nothing in the batch --------------------------------------------------------------------------
EMPTY = {
    "add": lambda x: x + x,
    "exp": mv.exp,
    "erf": mv.erf,
    "sum": lambda x: x.sum(axis=0),
    "cumsum": lambda x: x.cumsum(axis=1),
    "concatenate": lambda x: mv.concatenate([x, x]),
    "getitem": lambda x: x[:, 1:],
    "matmul": lambda x: x @ x.mT,
    "softmax": mv.softmax,
    "log_softmax": mv.log_softmax,
    "gelu": mv.gelu,
    "layer_norm": lambda x: mv.layer_norm(x, np.ones(4), np.ones(4)),
    "rms_norm": lambda x: mv.rms_norm(x, np.ones(4)),
    "linear": lambda x: mv.linear(x, np.ones((5, 4)), np.ones(5)),
    "self_attention": lambda x: mv.self_attention(mv.concatenate([x, x, x], axis=2), heads=2),
    "unfold": lambda x: convolution.unfold(x[..., None], (2, 2)),
    "cross_entropy_loss": lambda x: mv.cross_entropy_loss(x, np.zeros((0, 3), int)),
}


@pytest.mark.parametrize("name", sorted(EMPTY))
@pytest.mark.filterwarnings("error")
def test_an_empty_batch(name):
    x = mv.Tensor(np.zeros((0, 3, 4)), requires_grad=True)
    out = EMPTY[name](x)
    out.backward(np.ones(out.shape))
    assert x.grad.shape == (0, 3, 4)


# -- errors ----------------------------------------------------------------------------------------
x23, x34 = np.ones((2, 3)), np.ones((3, 4))
WRONG = [
    (lambda t: t(x23) + t(x34), ShapeError, r"add: got shapes \(2, 3\) and \(3, 4\)"),
    (lambda t: t(x23) @ t(x23), ShapeError, r"matmul: shapes \(2, 3\) @ \(2, 3\) do not fit"),
    (lambda t: t(x23) @ 2.0, ShapeError, "matmul: .*use \\* for a number"),
    (lambda t: t(x23).reshape(4, 2), ShapeError, r"reshape: got shapes \(2, 3\)"),
    (lambda t: t(x23).transpose(0, 0), ShapeError, r"transpose: got shapes \(2, 3\)"),
    (lambda t: mv.concatenate([t(x23), t(x34)]), ShapeError, r"concatenate: got shapes"),
    (lambda t: mv.split(t(x23), 2, axis=1), ShapeError, "axis 1 has length 3, not divisible by 2"),
    (lambda t: mv.broadcast_to(t(x23), (4, 3)), ShapeError, r"broadcast_to: got shapes \(2, 3\)"),
    (lambda t: mv.einsum("ij,jk", t(x23), t(x23)), ShapeError, r"einsum: .* the lengths 3 and 2"),
    (lambda t: mv.einsum("ii->i", t(x23)), ShapeError, "the axes of a diagonal differ"),
    (lambda t: mv.einsum("ij,->ij", t(x23), 2.0), DtypeError, "'float'\\], expected Tensors"),
    (lambda t: mv.einsum("ij,jk->ik", t(x23)), ShapeError, "it names 2 operands, got 1"),
    (lambda t: mv.einsum("i->i", t(x23)), ShapeError, "one letter per axis"),
    (lambda t: mv.einsum("...j->j", t(x23)), ShapeError, "must have the '...' too"),
    (lambda t: t(x23).sum(axis=2), RangeError, r"sum: got shapes \(2, 3\): axis 2"),
    (lambda t: t(x23)[5], RangeError, r"getitem: got shapes \(2, 3\): index 5"),
    (lambda t: t(x23)[np.array([0, 2])], RangeError, "getitem: .*index 2 is out of bounds"),
    (lambda t: t(x23)[np.array([-3])], RangeError, "getitem: .*index -3 is out of bounds"),
    (lambda t: mv.where(t(x23), t(x23), 0.0), DtypeError, "condition is float64, .*boolean"),
    (lambda t: mv.where(True, t(x23), 0.0), DtypeError, "condition is bool, .*boolean array"),
    (lambda t: t(x23) + "a", DtypeError, "add: got str, expected a Tensor, an array or a number"),
    (lambda t: t(x23) + [1.0], DtypeError, "add: got list"),
]


@pytest.mark.parametrize("call, kind, says", WRONG, ids=[says[:40] for _, _, says in WRONG])
@ON_EVERY_DEVICE
def test_bad_input_is_named(call, kind, says, device):
    with mv.use(device), pytest.raises(kind, match=says):
        call(lambda a: mv.Tensor(a, device=device, requires_grad=True))


def test_an_op_error_is_the_built_in_one_too():
    with pytest.raises(ValueError):
        mv.Tensor(x23) + mv.Tensor(x34)
    with pytest.raises(IndexError):
        mv.Tensor(x23)[7]
    with pytest.raises(TypeError):
        mv.where(x23, x23, x23)


# -- edges of range --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "shape, axis",
    [((100_000, 8), 0), ((300, 7, 50), (0, 1)), ((1000, 3, 40), (0, 2)), ((9000,), 0)],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_long_float32_sums_are_as_exact_over_any_axis(shape, axis, transposed):
    """At most 4 ulp, where adding row after row is wrong by 100."""
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    if transposed:
        x, axis = x.T, tuple(x.ndim - 1 - i for i in np.atleast_1d(axis))
    for name in ("sum", "mean", "var", "std"):
        exact = getattr(x.astype(float), name)(axis=axis)
        ours = getattr(mv.Tensor(x), name)(axis=axis).numpy()
        assert (np.abs(ours - exact) <= 4 * np.spacing(exact.astype(np.float32))).all(), name
    bias = mv.Tensor(np.zeros(shape[-1], np.float32), requires_grad=True)
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    (mv.Tensor(x) + bias).backward(x)  # broadcasting undone is a sum too
    exact = x.astype(float).reshape(-1, shape[-1]).sum(axis=0)
    assert (np.abs(bias.grad - exact) <= 4 * np.spacing(exact.astype(np.float32))).all()


def test_the_variance_of_small_differences_between_large_numbers():
    x = (np.random.default_rng(0).standard_normal((64, 1000)) + 1e4).astype(np.float32)
    exact = x.astype(float).var(axis=1)
    np.testing.assert_allclose(mv.var(mv.Tensor(x), axis=1).numpy(), exact, rtol=5e-7)


@pytest.mark.filterwarnings("error")
def test_powers_with_exponents_in_an_array():
    x, n = [0.0, 0.0, 0.0, 2.0, -2.0, -3.0], [0.0, 1.0, 2.0, 3.0, 0.0, 2.0]
    dx = gradient(lambda t: t ** np.array(n), x)[0]
    assert dx == [0.0, 1.0, 0.0, 12.0, 0.0, -6.0]
    assert gradient(lambda t: t ** np.array(n, int), x)[0] == dx
    assert gradient(lambda m: np.zeros(3) ** m, [0.0, 1.0, 2.0]) == [[0.0, 0.0, 0.0]]
    assert gradient(lambda m: 0.0**m, [0.0, 1.0, 2.0]) == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_the_square_of_a_denominator_is_not_made(size):
    x = mv.Tensor(np.float32([size]), requires_grad=True)
    y = mv.Tensor(np.float32([size * 2]), requires_grad=True)
    (x / y).sum().backward()
    np.testing.assert_allclose(y.grad, [-0.25 / size], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_a_variance_of_too_few_numbers_is_numpys():
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    for ddof in (2, 3):
        assert (mv.Tensor(x).var(axis=1, ddof=ddof).numpy() == x.var(axis=1, ddof=ddof)).all()
    assert gradient(lambda t: t.std(), [2.0, 2.0]) == [[0.0, 0.0]]


@ON_EVERY_DEVICE
def test_inner_axes_of_length_zero(device):
    with mv.use(device):
        for f, x, y in (
            (mv.matmul, (2, 3, 0), (0, 4)), (mv.matmul, (0,), (0, 4)), (mv.matmul, (5, 2, 0), (0,)),
            (mv.matmul, (2, 3, 0), (2, 0, 4)), (mv.dot, (2, 0), (3, 0, 4)),
            (lambda a, b: mv.einsum("ij,jk->ik", a, b), (2, 0), (0, 4)),
            (lambda a, b: np.tensordot(a, b, 1), (2, 0), (0, 4)),
        ):  # fmt: skip
            a, b = (mv.Tensor(np.ones(s), device=device, requires_grad=True) for s in (x, y))
            out = f(a, b)
            assert out.size and not out.numpy().any()
            out.backward(backend.to_device(np.ones(out.shape), device))
            assert (a.grad.shape, b.grad.shape) == (x, y)


def test_an_unwanted_gradient_is_not_computed():
    """x ** 2.5 of a negative constant would be NaN; the other operand's gradient is asked alone."""
    n = np.array([2.0, 3.0])
    x = mv.Tensor([-1.0, -2.0], requires_grad=True)
    with mv.detect_anomaly():
        (x**n).sum().backward()
        assert x.grad.tolist() == [-2.0, 12.0]


# -- einsum: the forms of its text -----------------------------------------------------------------
EINSUMS = [
    ("ij,jk->ik", (1, 3), (3, 4)), ("ij,jk->ik", (2, 1), (3, 4)), ("ij,ij", (2, 1), (1, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)), ("...ij,jk...", (1, 2, 3), (3, 4, 5)),
    ("...i,...i", (4, 1, 3), (2, 3)), ("i...->...", (2, 3, 2)), ("...", (2, 3)), ("ba", (2, 3)),
    ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij,jk->ik", (2, 2, 3), (3, 4)), ("iii->i", (2, 2, 2)),
    ("ij,ji->", (2, 3), (3, 2)), (",ij", (), (2, 3)), ("i,i->", (3,), (1,)),
    ("ij,jk,kl->il", (2, 3), (3, 1), (4, 2)), ("bhnd,bhmd->bhnm", (2, 1, 3, 2), (1, 4, 2, 2)),
    ("i j , j k -> i k", (2, 3), (3, 2)), ("...ii->...i", (2, 3, 3)),
]  # fmt: skip


@ON_EVERY_DEVICE
@pytest.mark.parametrize("text, shapes", [(t, s) for t, *s in EINSUMS], ids=lambda x: str(x)[:30])
def test_einsum_is_numpys(text, shapes, device):
    rng = np.random.default_rng(0)
    xs = [np.asarray(rng.standard_normal(s)) for s in shapes]
    with mv.use(device):
        y = mv.einsum(text, *[mv.Tensor(x, device=device) for x in xs])
        np.testing.assert_allclose(y.numpy(), np.einsum(text, *xs), rtol=1e-12, atol=1e-12)
        gradcheck(lambda *ts: mv.einsum(text, *ts), *xs)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 51), min_size=1, max_size=4, unique=True))
def test_einsum_of_lists_orders_the_axes_as_numpy_does(axes):
    x = np.arange(24.0).reshape((2, 3, 4, 1)[: len(axes) - 1] + (-1,))
    y = mv.einsum(mv.Tensor(x), axes)
    assert np.array_equal(y.numpy(), np.einsum(x, axes)), axes
