"""The engine: the walk back, what it keeps, what it frees and what it refuses."""

import gc
import weakref

import numpy as np
import pytest

import minivit as mv
from minivit import functions, nn, optim
from minivit.engine import backend
from minivit.engine.errors import (
    DeviceError,
    DtypeError,
    GraphError,
    NonFiniteError,
    RangeError,
    ShapeError,
)
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


def leaf(data, dtype=np.float64, **options):
    device = mv.default_device()
    return mv.Tensor(np.array(data, dtype), device=device, requires_grad=True, **options)


def host(array):
    return backend.to_numpy(array)


# -- how gradients flow ----------------------------------------------------------------------------
def test_a_chain_of_100_000_ops():
    x = leaf([1.0, 2.0])
    y = x
    for _ in range(100_000):
        y = y + 0.5
    y.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_a_long_chain_can_be_thrown_away():
    y = leaf(1.0)
    for _ in range(100_000):
        y = y * 1.0
    del y  # without recursion
    gc.collect()


def test_sixty_doublings_take_sixty_steps():
    """y = y + y has 2^60 ways back; each node is visited once."""
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    assert len(list(y.walk_back())) == 60
    assert x.grad == 2.0**60


@ON_EVERY_DEVICE
def test_a_diamond(device):
    with mv.use(device):
        x = leaf([2.0, 3.0])
        a, b = x * x, x + 1.0
        ((a * b) + a).sum().backward()  # x^3 + 2 x^2
        assert host(x.grad).tolist() == [3 * 4 + 4 * 2, 3 * 9 + 4 * 3]


def test_many_ways_to_one_leaf_are_summed():
    for n in range(1, 6):
        x = leaf([1.0, -2.0])
        mv.concatenate([x * float(i) for i in range(1, n + 1)]).sum().backward()
        assert x.grad.tolist() == [n * (n + 1) / 2] * 2
    x = leaf([1.0])
    (x * x * x).backward(np.ones(1))
    assert x.grad.tolist() == [3.0]
    x = leaf([1.0, 2.0])
    (x + x).backward(np.array([1.0, 10.0]))
    assert x.grad.tolist() == [2.0, 20.0]


def test_only_leaves_keep_a_gradient():
    x = leaf([1.0, 2.0])
    h = mv.exp(x)
    y = (h * 3.0).sum()
    y.backward()
    assert x.grad is not None
    assert h.grad is None
    assert y.grad is None
    assert x.is_leaf and not h.is_leaf


def test_what_needs_no_gradient_gets_none():
    x, c = leaf([1.0]), mv.Tensor(np.array([2.0]))
    (x * c * np.array([3.0])).sum().backward()
    assert x.grad.tolist() == [6.0]
    assert c.grad is None


def test_two_passes_accumulate():
    x = leaf([1.0, 2.0])
    (x * 2.0).sum().backward()
    first = x.grad
    (x * 3.0).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0]
    assert first.tolist() == [2.0, 2.0]  # the array handed out earlier is not changed
    x = leaf(1.0)
    (x + x + x).backward()
    (x * 2.0).backward()
    assert isinstance(x.grad, np.ndarray) and x.grad == 5.0  # also where the shape is ()


def test_a_gradient_is_not_the_array_that_came_in():
    x = leaf([1.0, 2.0])
    g = np.ones(2)
    (x + 0.0).backward(g)
    assert not np.shares_memory(x.grad, g)
    for view in (lambda x: x.reshape(2, 1), lambda x: x[None], lambda x: mv.flip(x)):
        x = leaf([1.0, 2.0])
        g = np.ones(view(x).shape)
        view(x).backward(g)
        assert not np.shares_memory(x.grad, g)
    x, y = leaf([1.0]), leaf([1.0])
    (x + y).sum().backward()
    assert not np.shares_memory(x.grad, y.grad)


def test_backward_from_a_leaf_and_through_a_cotangent():
    x = leaf(3.0)
    x.backward()
    assert x.grad == 1.0
    x = leaf(np.ones((2, 2)))
    (x * 2.0).backward(mv.Tensor(np.array([[1.0, 2.0], [3.0, 4.0]])))
    assert x.grad.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    x = leaf(np.ones((1, 1)))
    (x * 2.0).backward()  # one number, whatever its shape
    assert x.grad.tolist() == [[2.0]]


# -- walk_back -------------------------------------------------------------------------------------
def test_walk_back_yields_each_node_once_newest_first():
    x = leaf([1.0, 2.0])
    a = mv.exp(x)
    b = a * a
    c = b + a
    d = c.sum()
    steps = list(d.walk_back())
    assert [node.op for node, _, _ in steps] == ["sum", "add", "multiply", "exp"]
    assert all(node is t.node for (node, _, _), t in zip(steps, [d, c, b, a], strict=True))
    for node, g, gradients in steps:
        assert g.shape == node.shape
        assert isinstance(gradients, tuple)
    e = np.exp([1.0, 2.0])
    np.testing.assert_allclose(x.grad, 2 * e * e + e)


def test_walk_back_can_be_watched_and_kept():
    """Yielded gradients stay as they were, also where the engine sums several gradients later."""
    x = leaf([1.0])
    a = x * 1.0
    y = a * 2.0 + a * 3.0 + a * 4.0
    seen, copies = [], []
    for _, g, gradients in y.walk_back(np.ones(1)):
        arrays = [g, *(x for x in gradients if x is not None)]
        seen += arrays
        copies += [x.copy() for x in arrays]
    assert all(np.array_equal(a, b) for a, b in zip(seen, copies, strict=True))
    assert x.grad.tolist() == [9.0]


def test_a_walk_that_is_left_half_way_writes_no_gradient():
    x = leaf([1.0])
    y = mv.exp(mv.exp(x))
    walk = y.walk_back(np.ones(1))
    next(walk)
    next(walk)
    assert x.grad is None
    with pytest.raises(GraphError, match="freed"):
        y.backward(np.ones(1))


# -- memory ----------------------------------------------------------------------------------------
def test_the_graph_is_freed_on_the_way():
    x = leaf(np.ones(3))
    h = mv.exp(x)
    y = (h * h).sum()
    array = weakref.ref(h.data)
    del h
    assert array() is not None  # the product's vjp needs it
    y.backward()
    assert array() is None  # freed without the garbage collector


def test_an_array_that_no_vjp_needs_lives_only_as_long_as_its_tensor():
    x = leaf(np.ones(3))
    h = mv.exp(x) + 1.0
    array = weakref.ref(h.data)
    y = (h + 1.0).sum()
    del h
    assert array() is None  # the derivative of a sum needs neither term
    y.backward()
    np.testing.assert_allclose(x.grad, np.e)


def test_the_graph_dies_with_its_result():
    gc.disable()
    try:
        h = mv.exp(leaf(np.ones(3)))
        array, y = weakref.ref(h.data), None
        y = (h * h).sum()
        del h, y
        assert array() is None
    finally:
        gc.enable()


def test_nothing_is_recorded_that_no_leaf_asked_for():
    y = mv.exp(mv.Tensor([1.0])) * 2.0
    assert not y.requires_grad and y.is_leaf
    x = leaf([1.0])
    with mv.no_grad():
        assert not (x * 2.0).requires_grad
        with mv.no_grad():
            pass
        h = mv.exp(x)
        array, y = weakref.ref(h.data), h * 2.0
        assert not y.requires_grad
        del h
        assert array() is None  # y does not keep what it was made of

    @mv.no_grad()
    def f(x):
        return x * 2.0

    assert not f(x).requires_grad
    assert (x * 2.0).requires_grad
    assert not x.detach().requires_grad
    with pytest.raises(ZeroDivisionError), mv.no_grad():
        _ = 1 / 0
    assert (x * 2.0).requires_grad


# -- what backward refuses -------------------------------------------------------------------------
def refused(t, kind, says, *args):
    with pytest.raises(kind, match=says):
        t.backward(*args)


def test_backward_twice():
    x = leaf([1.0])
    h = mv.exp(x)
    y, z = h.sum(), (h * 2.0).sum()
    y.backward()
    before = x.grad.copy()
    refused(y, GraphError, "graph behind 'sum' was freed by an earlier backward")
    refused(z, GraphError, "graph behind 'exp' was freed by an earlier backward")
    assert (x.grad == before).all()


def test_backward_without_a_cotangent_or_a_graph():
    x = leaf([1.0, 2.0])
    refused(x * 2.0, GraphError, r"shape \(2,\), so it needs a cotangent: .*loss.mean\(\)")
    refused(mv.Tensor([1.0]), GraphError, "nothing to differentiate; .*requires_grad=True")
    with mv.no_grad():
        y = (x * 2.0).sum()
    refused(y, GraphError, "nothing to differentiate")
    assert x.grad is None


@ON_EVERY_DEVICE
def test_a_cotangent_of_another_shape_or_device(device):
    with mv.use(device):
        x = leaf([1.0, 2.0])
        wrong = backend.to_device(np.ones(3), device)
        refused(x * 2.0, ShapeError, r"gradient: got shape \(3,\), the tensor has \(2,\)", wrong)
        if device == "cpu":
            other = backend.to_device(np.ones(2), "strict")
        else:
            other = np.ones(2)
        refused(x * 2.0, DeviceError, f"is on '{device}'. Pass minivit.Tensor", other)
        refused(x * 2.0, DtypeError, "the gradient: got list", [1.0, 1.0])
        assert x.grad is None


def test_a_cotangent_of_another_dtype_is_cast():
    x = leaf([1.0, 2.0], np.float32)
    for _, g, _ in (x * 2.0).walk_back(np.array([1.0, 2.0])):
        assert g.dtype == np.float32
    assert x.grad.dtype == np.float32


def test_a_vjp_of_the_wrong_shape_or_number_is_named():
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    out = x * y
    out.node.vjp = lambda g: (np.ones((3, 2)), None)
    refused(
        out, ShapeError, r"multiply: the vjp returned .* \(3, 2\) for .* \(2, 3\)", np.ones((2, 3))
    )
    out = x * y
    out.node.vjp = lambda g: (g, g, g)
    refused(
        out, GraphError, "multiply: the vjp returned 3 gradients for 2 operands", np.ones((2, 3))
    )
    out = x * y
    out.node.vjp = lambda g: g[0, 0]
    with pytest.raises((GraphError, ShapeError), match="multiply: the vjp returned"):
        out.backward(np.ones((2, 3)))


def test_an_error_on_the_way_leaves_every_gradient_as_it_was():
    @mv.op
    def breaks(x, /):
        def vjp(g):
            raise RuntimeError("broken")

        return x * 1.0, vjp

    mv.OPS.pop("breaks")
    a, b = leaf([1.0]), leaf([2.0])
    (a * 2.0).sum().backward()
    y = (b * 3.0 + breaks(a * b)).sum()
    with pytest.raises(RuntimeError, match="broken"):
        y.backward()
    assert a.grad.tolist() == [2.0]
    assert b.grad is None


# -- overwritten arrays ----------------------------------------------------------------------------
OVERWRITTEN = "was overwritten after use. Write after backward, or into a copy"


def write_data(t):
    t.data *= 2.0


def write_item(t):
    t.requires_grad = False
    t[...] = 7.0
    t.requires_grad = True


@pytest.mark.parametrize("write", [write_data, write_item])
@ON_EVERY_DEVICE
def test_an_array_that_a_vjp_needs_was_overwritten(write, device):
    with mv.use(device):
        x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
        y = (x * w).sum()
        write(w)
        refused(y, GraphError, OVERWRITTEN)
        assert x.grad is None and w.grad is None


@ON_EVERY_DEVICE
def test_an_optimizer_step_before_backward(device):
    """All parameters of a group lie in one array; the step writes there."""
    with mv.use(device):
        layer = nn.Linear(3, 2)
        layer.to(device)
        opt = optim.SGD(layer.parameters(), lr=0.1)
        x = mv.Tensor(np.ones((4, 3), np.float32), device=device, requires_grad=True)
        layer(x).sum().backward()
        late = mv.relu(layer(x) * 2.0).sum()
        opt.step()
        before = [host(p.grad).copy() for p in layer.parameters()]
        refused(late, GraphError, OVERWRITTEN)
        for p, g in zip(layer.parameters(), before, strict=True):
            assert (host(p.grad) == g).all()
        layer(x).sum().backward()  # computed after the step


def test_writing_where_no_vjp_looks_is_allowed():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (x + w).sum()  # a sum needs neither
    w.data *= 2.0
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0]
    y = (x * w).sum()
    w.data = w.data * 2.0  # another array: the old one is as it was
    y.backward()
    assert x.grad.tolist() == [7.0, 9.0]


def test_an_inner_array_was_overwritten():
    x = leaf([1.0, 2.0])
    h = mv.exp(x)
    y = h.sum()
    h.data *= 2.0
    refused(y, GraphError, OVERWRITTEN)
    h = x * 1.0
    y = (h * h).sum()
    h.data += 1.0
    refused(y, GraphError, OVERWRITTEN)
    y = mv.exp(x)  # whose derivative is its own result
    y.data += 1.0
    refused(y, GraphError, OVERWRITTEN, np.ones(2))


@pytest.mark.parametrize(
    "view", [lambda w: mv.broadcast_to(w, (3, 2)), mv.flip, lambda w: mv.dropout(w, training=False)]
)
def test_an_array_was_overwritten_of_which_a_view_is_needed(view):
    x, w = leaf(np.ones((3, 2))), leaf([3.0, 4.0])
    y = (x * view(w)).sum()
    w.data *= 2.0
    refused(y, GraphError, OVERWRITTEN)


@pytest.mark.parametrize(
    "name, f",
    {
        "linear": lambda x, w: mv.linear(x, w),
        "matmul": lambda x, w: x @ w.T,
        "layer_norm": lambda x, w: mv.layer_norm(x, w[0], w[1]),
        "softmax": lambda x, w: mv.softmax(x * w[0]) * w[0],
        "attention": lambda x, w: mv.dot_product_attention(x, w[None], w[None] * 2.0),
        "embedding": lambda x, w: mv.embedding(w, [0, 1]) * w[:2],
    }.items(),
)
def test_overwriting_a_weight_that_is_a_view_is_found(name, f):
    """A weight as an optimizer keeps it: a view of a long array, beside others."""
    flat = np.random.default_rng(0).standard_normal(40)
    w = mv.Tensor(flat[4:28].reshape(6, 4), requires_grad=True)
    x = leaf(np.ones((1, 3, 4)))
    y = f(x, w)
    w.data *= 2.0
    refused(y, GraphError, OVERWRITTEN, np.ones(y.shape))


def test_a_write_through_a_name_is_found_by_detect_anomaly():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    array = w.data
    with mv.detect_anomaly():
        y = (x * w).sum()
        array[0] = 9.0
        refused(y, GraphError, r"multiply: an operand of shape \(2,\) was overwritten")
        assert x.grad is None


def test_t_item_assignment():
    x = leaf([1.0, 2.0])
    with pytest.raises(GraphError, match=r"the write has no derivative. Use minivit.where"):
        x[0] = 5.0
    assert x.data.tolist() == [1.0, 2.0]
    t = mv.Tensor([1.0, 2.0])
    t[0] = mv.Tensor(5.0)
    assert t.data.tolist() == [5.0, 2.0]
    with pytest.raises(ShapeError, match=r"data: got shape \(3,\), the tensor has \(2,\)"):
        t.data = np.ones(3)


# -- anomalies -------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_detect_anomaly_names_the_first_op_that_is_not_finite(device):
    with mv.use(device), np.errstate(all="ignore"):
        x = leaf([0.0, 1.0])
        with mv.detect_anomaly(), pytest.raises(NonFiniteError, match=r"log: its result .*1 infin"):
            (mv.log(x) * 2.0).sum()
        y = leaf([0.0, 4.0])
        with mv.detect_anomaly():
            z = mv.sqrt(y).sum()
            with pytest.raises(NonFiniteError, match=r"sqrt: its gradient .*1 infinite"):
                z.backward()
        assert y.grad is None
        mv.log(x)  # outside, nothing is refused
    assert issubclass(NonFiniteError, FloatingPointError)


# -- making Tensors --------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_dtypes_and_devices_of_new_tensors(device):
    with mv.use(device):
        assert mv.Tensor([1.0, 2.0]).dtype == np.float32
        assert mv.Tensor(2.0).dtype == np.float32
        assert mv.Tensor([1, 2]).dtype == np.int64
        assert mv.Tensor([True]).dtype == bool
        assert mv.Tensor([1, 2], dtype=np.float32).dtype == np.float32
        assert mv.Tensor([1.0]).device == device
        array = np.ones(2)  # an array stays where and what it is
        assert mv.Tensor(array).device == "cpu"
        assert mv.Tensor(array).dtype == np.float64
        assert mv.Tensor(array).data is array
        assert mv.Tensor(np.float64(2.0)).dtype == np.float32  # a number, as 2.0 is
        there = mv.Tensor(array, device=device)
        assert there.device == device
        assert mv.Tensor(there).data is there.data


def test_integers_have_no_gradient():
    with pytest.raises(DtypeError, match="requires_grad needs floating-point data, got int64"):
        mv.Tensor([1, 2], requires_grad=True)
    with pytest.raises(DtypeError, match="got bool"):
        mv.Tensor([True], requires_grad=True)
    with pytest.raises(DtypeError, match="expected numbers"):
        mv.Tensor(["a"])
    with pytest.raises(DtypeError):
        mv.Tensor(None)


def test_a_tensor_as_a_python_object():
    x = mv.Tensor([[1.0, 2.0], [3.0, 4.0]])
    assert len(x) == 2
    assert [row.data.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert float(x[0, 1]) == 2.0 and int(x[1, 1]) == 4 and bool(x[0, 0])
    assert x[0, 1].item() == 2.0
    assert hash(x) and x in {x: 1}
    assert repr(x).startswith("Tensor([[1. 2.]") and "shape=(2, 2), float32" in repr(x)
    assert "op=exp" in repr(mv.exp(leaf([1.0])))
    assert "requires_grad" in repr(leaf([1.0]))
    with pytest.raises(ShapeError, match=r"item: got shape \(2, 2\), expected one element"):
        x.item()
    with pytest.raises(ShapeError):
        bool(x)
    with pytest.raises(TypeError, match="0-d"):
        len(mv.Tensor(1.0))


# -- operands on two devices -----------------------------------------------------------------------
def test_operands_on_two_devices():
    a, b = mv.Tensor(np.ones((4, 8))), mv.Tensor(np.ones((8, 2)), device="strict")
    says = r"matmul: .*two devices: \(4, 8\) on 'cpu', \(8, 2\) on 'strict'.* x.to\('strict'\)"
    with pytest.raises(DeviceError, match=says):
        a @ b
    with pytest.raises(DeviceError, match="add: the operands are on two devices"):
        b + np.ones((8, 2))
    with pytest.raises(DeviceError, match="concatenate: the operands are on two devices"):
        mv.concatenate([a, a.to("strict")])


@ON_EVERY_DEVICE
def test_a_tensor_moves_and_its_gradient_moves_back(device):
    with mv.use(device):
        x = leaf([1.0, 2.0])
        other = "strict" if device == "cpu" else "cpu"
        assert x.to(device) is x
        y = x.to(other)
        assert y.device == other
        (y * 3.0).sum().backward()
        assert backend.device_of(x.grad) == device
        assert host(x.grad).tolist() == [3.0, 3.0]


# -- ids and masks ---------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_labels_and_ids_out_of_range_never_reach_the_device(device):
    with mv.use(device):
        table, logits = leaf(np.ones((5, 2))), leaf(np.ones((3, 4)))
        for ids in ([0, 5], [-1], np.array([[7]])):
            with pytest.raises(RangeError, match=r"embedding: ids: got .* expected 0 <= id < 5"):
                mv.embedding(table, ids)
        with pytest.raises(
            RangeError, match=r"labels: got 4 at index \(1,\), expected 0 <= id < 4 "
        ):
            mv.cross_entropy_loss(logits, np.array([0, 4, 1]))
        with pytest.raises(RangeError, match="or -100, which is ignored"):
            mv.cross_entropy_loss(logits, np.array([0, -1, 1]))
        with pytest.raises(DtypeError, match="labels: got dtype float64, expected integers"):
            mv.cross_entropy_loss(logits, np.array([0.0, 1.0, 1.0]))
        with pytest.raises(ShapeError, match=r"labels have shape \(2,\), expected \(3,\)"):
            mv.cross_entropy_loss(logits, np.array([0, 1]))
        sent = backend.to_device(np.array([0, 5]), device)
        with pytest.raises(RangeError, match="got 5"):
            mv.embedding(table, sent)


@ON_EVERY_DEVICE
def test_a_mask_that_is_not_boolean(device):
    with mv.use(device):
        x = leaf(np.ones((1, 2, 4)))
        for mask in (np.ones((2, 2)), np.ones((2, 2), int), [[True, True], [True, True]]):
            with pytest.raises(DtypeError, match=r"mask is .*expected booleans, True = may attend"):
                mv.dot_product_attention(x, x, x, mask=mask)


# -- NumPy's functions -----------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_numpy_functions_give_tensors_with_gradients(device):
    with mv.use(device):
        a, b = np.array([[0.5, 1.0], [2.0, 3.0]]), np.array([[1.0, 2.0], [0.25, 4.0]])
        unary = [
            np.exp, np.log, np.sqrt, np.tanh, np.abs, np.negative, np.square, np.sum, np.mean,
            np.var, np.max, np.min, np.transpose, np.flip,
            lambda x: np.mean(x, axis=0), lambda x: np.sum(x, axis=-1, keepdims=True),
            lambda x: np.reshape(x, (4, 1)), lambda x: np.cumsum(x, axis=1),
            lambda x: np.swapaxes(x, 0, 1), lambda x: np.broadcast_to(x, (3, 2, 2)),
            lambda x: np.pad(x, 1), lambda x: np.clip(x, 0.75, 2.5),
            lambda x: np.split(x, 2)[1], lambda x: np.stack([x, x], axis=1),
            lambda x: np.var(x, axis=0, ddof=1),
        ]  # fmt: skip
        binary = [
            np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum,
            np.matmul, np.dot, lambda x, y: np.concatenate([x, y], axis=1),
            lambda x, y: np.concatenate((x, y)), lambda x, y: np.einsum("ij,kj->ik", x, y),
            lambda x, y: (mv if device == "strict" and x is not a else np).where(x > 0.75, x, y),
        ]  # fmt: skip
        for f, arrays in [(f, [a]) for f in unary] + [(f, [a, b]) for f in binary]:
            xs = [leaf(v) for v in arrays]
            out = f(*xs)
            assert isinstance(out, mv.Tensor) and out.requires_grad
            np.testing.assert_allclose(out.numpy(), f(*arrays))
            out.backward(backend.to_device(np.ones(out.shape), device))
            assert all(x.grad.shape == (2, 2) for x in xs)


@ON_EVERY_DEVICE
def test_numpy_functions_without_a_derivative(device):
    with mv.use(device):
        a = np.array([[0.5, 1.0], [2.0, -3.0]])
        x = leaf(a)
        for f in (
            np.argmax, np.argmin, np.argsort, np.isfinite, np.isnan, np.sign, np.zeros_like,
            np.ones_like, lambda t: np.greater(t, 1.0), lambda t: np.equal(t, t),
            lambda t: t > 0.75, lambda t: t <= t, lambda t: t == 1.0, lambda t: t != 1.0,
            lambda t: np.argmax(t, axis=-1), lambda t: 0.75 < t, lambda t: np.less(1.0, t),
        ):  # fmt: skip
            out = f(x)
            assert not isinstance(out, mv.Tensor)
            if not isinstance(out, np.generic):
                assert backend.device_of(out) == device
            np.testing.assert_array_equal(out if np.isscalar(out) else host(out), f(a))
        assert np.shape(x) == (2, 2) and np.ndim(x) == 2 and np.size(x) == 4
        assert np.allclose(x, x) and np.array_equal(x, x)


@ON_EVERY_DEVICE
def test_a_numpy_function_that_is_not_supported_is_named(device):
    with mv.use(device):
        x = leaf([[1.0, 2.0]])
        for name, call in {
            "np.sin": lambda: np.sin(x),
            "np.linalg.svd": lambda: np.linalg.svd(x),
            "np.partition": lambda: np.partition(x, 0),
            "np.median": lambda: np.median(x),
            "np.add.reduce": lambda: np.add.reduce(x),
            "np.exp with out": lambda: np.exp(x, out=np.ones((1, 2))),
            "np.multiply.outer": lambda: np.multiply.outer(x, x),
        }.items():
            with pytest.raises(TypeError, match=name) as caught:
                call()
            assert f"use the array: {name.split()[0]}(t.numpy())" in str(caught.value)


@ON_EVERY_DEVICE
def test_an_array_and_a_tensor_in_either_order(device):
    with mv.use(device):
        a = backend.to_device(np.array([[1.0, 2.0], [3.0, 4.0]]), device)
        x = leaf([[0.5, 1.0], [2.0, 3.0]])
        for f in (
            lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p / q,
            lambda p, q: p @ q, lambda p, q: p**q,
        ):  # fmt: skip
            for out, expected in ((f(a, x), f(a, x.data)), (f(x, a), f(x.data, a))):
                assert isinstance(out, mv.Tensor) and out.requires_grad
                np.testing.assert_allclose(out.numpy(), host(expected))
            assert isinstance(f(2.0, x) if f(x, x).op != "matmul" else x, mv.Tensor)


def test_functions_module_is_reachable_as_numpy_is():
    """`np.mean(x)` of minivit and of NumPy take the same arguments."""
    x = leaf(np.arange(6.0).reshape(2, 3))
    assert np.mean(x, 0).data.tolist() == mv.mean(x, 0).data.tolist() == [1.5, 2.5, 3.5]
    assert functions.softmax is mv.softmax
