"""Recording, thread by thread; and the result that an op has to return."""

import asyncio
import copy
import inspect
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import modes, record
from minivit.engine.errors import DtypeError, GraphError, NonFiniteError, ShapeError

KINDS = [mv.no_grad, mv.detect_anomaly]
EACH_KIND = pytest.mark.parametrize("mode", KINDS)


def leaf(data, dtype=np.float64):
    return mv.Tensor(np.array(data, dtype), requires_grad=True)


def inside(mode):
    """Is this thread in a block of that kind, as its ops see it?"""
    if mode is mv.no_grad:
        return not (leaf([1.0]) * 2.0).requires_grad
    try:
        with np.errstate(all="ignore"):
            mv.log(leaf([0.0]))
    except NonFiniteError:
        return True
    return False


def in_a_thread(f):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(f).result()


# -- blocks of one thread --------------------------------------------------------------------------
@EACH_KIND
@given(st.lists(st.integers(0, 3), max_size=12))
def test_blocks_may_nest_overlap_and_be_used_again(mode, moves):
    """Each number opens a block, or closes it if it is open, in any order."""
    blocks, open_ = [mode() for _ in range(3)], set()
    blocks.append(blocks[0])  # the same object, entered twice
    for i in moves:
        if i in open_:
            blocks[i].__exit__(None, None, None)
        else:
            blocks[i].__enter__()
        open_ ^= {i}
        assert inside(mode) == bool(open_)
    for i in open_:
        blocks[i].__exit__(None, None, None)
    assert not inside(mode)


@EACH_KIND
def test_a_decorated_function_may_call_itself_and_fail(mode):
    for decorate in (mode(), mode):  # with or without ()

        @decorate
        def f(n):
            assert inside(mode)
            return f(n - 1) if n else 1 / 0

        with pytest.raises(ZeroDivisionError):
            f(3)
        assert not inside(mode)
        assert f.__name__ == "f"


@EACH_KIND
def test_a_decorated_generator(mode):
    """The switch is thrown in its steps and not between them, whatever is sent or thrown into it;
    and it may be left."""

    @mode()
    def steps(n):
        got = []
        try:
            for i in range(n):
                try:
                    assert inside(mode)
                    got.append((yield i))
                except KeyError:
                    got.append("thrown")
        finally:
            assert inside(mode)
            closed.append(True)
        return got

    def between():
        assert not inside(mode)

    closed = []
    assert inspect.isgeneratorfunction(steps)
    assert list(steps(3)) == [0, 1, 2]
    two = steps(2), steps(3)
    for walk in two * 2:
        next(walk)
        between()
    with pytest.raises(StopIteration) as end:
        next(two[0])
    assert end.value.value == [None, None]
    assert two[1].send("sent") == 2
    between()
    with pytest.raises(StopIteration) as end:
        two[1].throw(KeyError())
    assert end.value.value == [None, "sent", "thrown"]
    closed.clear()
    left = steps(3)
    next(left)
    left.close()
    assert closed == [True]
    with pytest.raises(ValueError, match="out"):
        walk = steps(2)
        next(walk)
        walk.throw(ValueError("out"))
    between()


@EACH_KIND
def test_a_decorated_coroutine(mode):
    @mode()
    async def f(name):
        for _ in range(3):
            assert inside(mode)
            await asyncio.sleep(0)
        return name

    async def other():
        for _ in range(5):
            assert not inside(mode)
            await asyncio.sleep(0)

    async def all_of_them():
        return await asyncio.gather(f("a"), other(), f("b"))

    assert inspect.iscoroutinefunction(f)
    assert asyncio.run(all_of_them()) == ["a", None, "b"]
    assert not inside(mode)


@EACH_KIND
def test_what_cannot_be_decorated(mode):
    async def asynchronous():
        yield 1

    for thing in (asynchronous, 3, dict):
        with pytest.raises(TypeError, match=f"@{mode.__name__}.. decorates functions"):
            mode()(thing)


@EACH_KIND
def test_a_generator_that_is_dropped_gives_back_what_it_took(mode):
    def plain():
        with mode():
            yield inside(mode)

    a, b = plain(), plain()
    assert next(a) and next(b)
    a.close()  # the first one first: out of order
    assert inside(mode)
    del b
    assert not inside(mode)
    left = plain()
    next(left)
    in_a_thread(left.close)  # by another thread, in which nothing was taken
    assert not inside(mode)
    assert not in_a_thread(lambda: inside(mode))


# -- threads ---------------------------------------------------------------------------------------
@EACH_KIND
def test_another_thread_does_not_notice(mode):
    block = mode()
    with block:
        assert not in_a_thread(lambda: inside(mode))

        def enters_too():
            with block:
                return inside(mode)

        assert in_a_thread(enters_too)
        assert inside(mode)
    assert not inside(mode)


def training(seed, steps, together):
    """Losses and weights of a small regression whose every step computes something under no_grad;
    `together` makes the threads meet inside of the block."""
    rng = np.random.default_rng(seed)
    w = leaf(rng.standard_normal((4, 3)))
    losses = []
    for _ in range(steps):
        x = rng.standard_normal((8, 4))
        with mv.no_grad():
            target = mv.tanh(x @ w * 0.5)
            together()
            assert not target.requires_grad
        together()
        loss = ((mv.tanh(x @ w) - target.numpy() - 1.0) ** 2).mean()
        loss.backward()
        w.data -= 0.1 * w.grad
        w.grad = None
        losses.append(loss.item())
    return losses, w.data


def test_four_threads_of_300_steps_equal_each_alone():
    """Bit for bit, with blocks of no_grad that overlap in every step."""
    alone = [training(seed, 300, lambda: None) for seed in range(4)]
    barrier = threading.Barrier(4, timeout=120)
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda seed: training(seed, 300, barrier.wait), range(4)))
    for (losses, w), (losses_too, w_too) in zip(alone, beside, strict=True):
        assert losses == losses_too
        assert w.tobytes() == w_too.tobytes()


def test_as_here_takes_the_state_of_this_thread_along():
    def state():
        return [inside(mode) for mode in KINDS], mv.default_device(), np.geterr()["over"]

    for blocks in ([], [mv.no_grad], [mv.detect_anomaly], KINDS):
        entered = [mode() for mode in blocks]
        for block in entered:
            block.__enter__()
        with mv.use("strict"), np.errstate(over="raise"):
            there = modes.as_here(state)
        for block in entered:
            block.__exit__()
        expected = [mode in blocks for mode in KINDS], "strict", "raise"
        assert in_a_thread(there) == expected
        assert state() == ([False, False], "cpu", np.geterr()["over"])
    assert modes.as_here(lambda a, b=1: (a, b))(2, b=3) == (2, 3)


def test_data_parallel_with_no_grad_in_its_loss():
    """A teacher under no_grad inside of the loss, as in distillation: 300 batches, all of whose
    gradients are those of one thread."""
    pytest.importorskip("threadpoolctl")
    from minivit.training.parallel import DataParallel

    layer = mv.nn.Linear(3, 2)

    def loss(model, x):
        with mv.no_grad():
            target = model(x) + 1.0
        return ((model(x) - target) ** 2).mean()

    parallel = DataParallel(loss, threads=2)
    rng = np.random.default_rng(0)
    for _ in range(300):
        x = rng.standard_normal((6, 3)).astype(np.float32)
        layer.zero_grad()
        parallel(layer, x).backward()
        ours = [p.grad for p in layer.parameters()]
        layer.zero_grad()
        loss(layer, x).backward()
        for a, p in zip(ours, layer.parameters(), strict=True):
            np.testing.assert_allclose(a, p.grad, rtol=1e-4, atol=1e-6)
    with mv.no_grad():
        assert not parallel(layer, x).requires_grad
    with mv.detect_anomaly(), np.errstate(all="ignore"), pytest.raises(NonFiniteError):
        parallel(layer, np.full((6, 3), np.inf, np.float32))


# -- what an op returns ----------------------------------------------------------------------------
@pytest.fixture
def made():
    """@op for the length of a test."""
    before = dict(record.OPS)
    yield mv.op
    record.OPS.clear()
    record.OPS.update(before)


RETURNED = {
    "an array of two rows": lambda x: x * 2,
    "a list": lambda x: [x * 2, lambda g: g * 2],
    "three things": lambda x: (x, x, lambda g: g),
    "no function": lambda x: (x * 2, x),
    "None as vjp": lambda x: (x * 2, None),
    "nothing": lambda x: None,
    "no array": lambda x: ([1.0, 2.0], lambda g: g),
}


@pytest.mark.parametrize("returned", RETURNED.values(), ids=RETURNED)
@pytest.mark.parametrize("grad", [True, False])
def test_an_op_that_returns_no_pair(made, returned, grad):
    @made
    def twice(x, /):
        return returned(x)

    x = mv.Tensor(np.ones((2, 2)), requires_grad=grad)
    with pytest.raises(GraphError, match=r"twice: an op returns \(value, vjp\).*return x \* 2"):
        twice(x)


WRONG = {
    "too many": (lambda g: (g, g, g), GraphError, "3 gradients for 2 operands"),
    "one alone": (lambda g: g, GraphError, "1 gradients for 2 operands"),
    "a list": (lambda g: [g, g], GraphError, "1 gradients for 2 operands"),
    "a number": (lambda g: (1.0, None), GraphError, "a float for an operand of shape"),
    "another shape": (lambda g: (g[:1], g), ShapeError, r"of shape \(1, 3\) for an operand"),
    "an axis too many": (lambda g: (g[None] * np.ones((4, 1, 1)), g), ShapeError, r"\(4, 2, 3\)"),
    "repeated": (lambda g: (g, np.ones((5, 1, 3))), ShapeError, r"shape \(5, 1, 3\) for .* \(3,\)"),
    "a Tensor": (lambda g: (mv.Tensor(g), g), GraphError, "a Tensor for an operand"),
}


@pytest.mark.parametrize("vjp, kind, says", WRONG.values(), ids=WRONG)
def test_a_vjp_that_returns_something_else(made, vjp, kind, says):
    @made
    def wrong(x, y, /):
        return x + y, vjp

    x, y = leaf(np.ones((2, 3))), leaf(np.ones(3))
    with pytest.raises(kind, match=f"wrong: the vjp returned .*{says}"):
        wrong(x, y).backward(np.ones((2, 3)))
    assert x.grad is None and y.grad is None


# -- only what is wanted ---------------------------------------------------------------------------
def test_one_vjp_an_operand_is_called_only_where_it_is_wanted(made):
    called = []

    @made
    def product(x, y, /):
        def to_x(g):
            called.append("x")
            return g * y

        def to_y(g):
            called.append("y")
            return g * x

        return x * y, (to_x, to_y)

    a, b = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    for grads, expected in {(1, 0): ["x"], (0, 1): ["y"], (1, 1): ["x", "y"]}.items():
        x, y = (mv.Tensor(d, requires_grad=bool(g)) for d, g in zip((a, b), grads, strict=True))
        called.clear()
        product(x, y).sum().backward()
        assert sorted(called) == expected
        for t, other, wanted in ((x, b, grads[0]), (y, a, grads[1])):
            assert (t.grad is None) if not wanted else (t.grad == other).all()
    called.clear()
    product(leaf(a), b).sum().backward()
    assert called == ["x"]
    mv.engine.check.gradcheck(product, a, b)

    @made
    def short(x, y, /):
        return x * y, (lambda g: g * y,)

    with pytest.raises(GraphError, match="short: returned 1 vjps for 2 operands"):
        short(leaf(a), b)


def test_an_op_learns_whether_anybody_will_ask_for_its_vjp(made):
    asked = []

    @made
    def double(x, /, *, differentiate=True):
        asked.append(differentiate)
        return x * 2, lambda g: g * 2

    x = leaf(np.ones(3))
    double(x), double(np.ones(3))
    with mv.no_grad():
        double(x)
    assert asked == [True, False, False]
    assert list(inspect.signature(double).parameters) == ["x"]
    with pytest.raises(mv.engine.errors.MinivitError, match="double"):
        double(x, differentiate=False)


def test_what_only_an_unwanted_gradient_needs_is_not_kept(made):
    import weakref

    @made
    def product(x, y, /):
        return x * y, (lambda g: g * y, lambda g: g * x)

    x = leaf(np.ones(3))
    h = x * 1.0
    array = weakref.ref(h.data)
    out = product(h, np.full(3, 2.0))
    del h
    assert array() is None
    out.sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_detect_anomaly_looks_only_at_gradients_that_are_wanted():
    """0 ** n has no derivative in n, log 0; where n is a constant, nobody asks for it."""
    with mv.detect_anomaly(), np.errstate(all="ignore"):
        x, n = leaf([0.0, 2.0]), np.array([2.0, 3.0])
        (x**n).sum().backward()
        assert x.grad.tolist() == [0.0, 12.0]
        y = np.array([0.0, 1.0]) / leaf([1.0, 2.0])
        y.sum().backward()


# -- which results have a derivative ---------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool"])
def test_an_integer_result_requires_no_gradient(made, dtype):
    @made
    def rounded(x, /):
        return x.astype(dtype), lambda g: g

    for x in (leaf([0.5, 1.5]), leaf([0.5, 1.5], np.float32)):
        assert not rounded(x).requires_grad
        assert not x.astype(dtype).requires_grad
        assert x.astype(np.float32).requires_grad


def test_a_complex_result_is_refused_where_a_gradient_is_wanted():
    x, z = leaf([1.0, 2.0]), np.array([1j, 2.0])
    with pytest.raises(DtypeError, match=r"multiply: its result is complex128.*real numbers"):
        x * mv.Tensor(z)
    with mv.no_grad():
        assert (x * mv.Tensor(z)).dtype == np.complex128
    assert (mv.Tensor(z) * 2.0).dtype == np.complex128


# -- help ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(mv.OPS))
def test_help_shows_the_call_that_works(name):
    """No `xp`, which the engine hands over."""
    assert "xp" not in inspect.signature(mv.OPS[name]).parameters
    assert not re.search(r"\bxp\b", mv.OPS[name].__doc__ or "")


def test_the_signature_of_an_op_works_wherever_python_asks_for_one():
    t = mv.Tensor(np.ones(3))
    assert str(inspect.signature(mv.softmax)) == "(x, /, axis=-1)"
    assert str(inspect.signature(t.exp)) == "()"
    assert str(inspect.signature(t.__getitem__)) == "(index)"
    wanted = inspect.signature(mv.softmax)
    assert copy.deepcopy(wanted) == wanted == pickle.loads(pickle.dumps(wanted))
    assert wanted.bind(t, axis=0).arguments["axis"] == 0
