"""NumPy's functions on Tensors: each takes NumPy's own arguments, by name and by position, or
refuses the one argument by its name."""

import inspect

import numpy as np
import pytest

import minivit as mv
from minivit.engine import backend
from minivit.engine.check import gradcheck
from minivit.engine.errors import ArgumentError, MinivitError
from minivit.engine.tensor import FUNCTIONS, UFUNCS, Tensor

X = np.linspace(-2.0, 3.1, 24).reshape(2, 3, 4)
M, V = X[0], X[0, 0]

# The first arguments of a call (what has no default), where they are not (X,).
FIRST = {
    np.transpose: (M,), np.reshape: (X, (6, 4)), np.swapaxes: (X, 0, 2), np.moveaxis: (X, 0, -1),
    np.broadcast_to: (M, (2, 3, 4)), np.concatenate: ((X, X),), np.stack: ((X, X),),
    np.hstack: ((X, X),), np.vstack: ((X, X),), np.split: (X, 2), np.array_split: (X, 2),
    np.pad: (X, 1), np.squeeze: (X[:1],), np.expand_dims: (X, 1), np.take: (X, [1, 0, 1]),
    np.take_along_axis: (X, np.argsort(-X, axis=-1)), np.repeat: (X, 2), np.tile: (X, 2),
    np.roll: (X, 2), np.outer: (V, V), np.tensordot: (X, X.transpose(1, 2, 0)), np.inner: (M, M),
    np.vdot: (X, X), np.dot: (M, M.T), np.where: (X > 0, X, -X), np.clip: (X, -1, 1),
    np.einsum: ("bij->bj", X), np.full_like: (X, 2.5), np.allclose: (X, X), np.isclose: (X, X),
    np.array_equal: (X, X), np.searchsorted: (V, 0.5), np.unique: (V,), np.linalg.norm: (V,),
    np.bincount: (np.array([1, 1, 2]),), np.result_type: (X, X), np.tril: (M,), np.triu: (M,),
}  # fmt: skip

# Another value than the default one of an argument.
OTHER = {
    "axis": 1, "keepdims": True, "ddof": 1, "correction": 1, "dtype": np.float32, "order": "F",
    "axes": (1, 0), "offset": 1, "axis1": 1, "axis2": 2, "k": 1, "n": 2, "ord": 1, "decimals": 1,
    "constant_values": 2.0, "a_min": -0.5, "a_max": 0.5, "min": -0.5, "max": 0.5, "copy": True,
    "optimize": True, "where": X > 0, "initial": 1.0, "out": np.zeros(1), "mode": "clip",
    "casting": "unsafe", "subok": True, "kind": "stable", "stable": True, "rtol": 0.1, "atol": 0.1,
    "equal_nan": True, "side": "right", "return_counts": True, "mean": X.mean(keepdims=True),
    "prepend": 0.0, "append": 0.0, "shape": (2, 2), "minlength": 5, "weights": None,
}  # fmt: skip
OTHERS = {  # for one function
    (np.squeeze, "axis"): 0, (np.split, "axis"): 2, (np.take_along_axis, "axis"): 2,
    (np.diagonal, "axis1"): 2, (np.trace, "axis1"): 2, (np.linalg.norm, "axis"): 0,
}  # fmt: skip
PLAIN = {f for f, ours in FUNCTIONS.items() if not hasattr(ours, "ours")} - {np.where}


def parameters(function):
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {}  # written in C, before NumPy 2.4


def tensors(arguments):
    """Tensors in place of floating-point arrays."""
    if isinstance(arguments, tuple):
        return tuple(tensors(a) for a in arguments)
    if not isinstance(arguments, np.ndarray):
        return arguments
    is_float = arguments.dtype.kind == "f"
    return Tensor(arguments, device=mv.default_device(), requires_grad=is_float)


def same(ours, numpys):
    if isinstance(numpys, (list, tuple)):
        assert len(ours) == len(numpys)
        for a, b in zip(ours, numpys, strict=True):
            same(a, b)
    else:
        ours = ours.numpy() if isinstance(ours, Tensor) else ours
        ours = ours.get() if hasattr(ours, "get") else ours
        if isinstance(numpys, np.dtype):
            assert ours == numpys
            return
        np.testing.assert_allclose(ours, numpys, rtol=1e-6, atol=1e-6)
        assert np.shape(ours) == np.shape(numpys)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_plain_call_is_numpys(function, device):
    first = FIRST.get(function, (X,))
    same(function(*tensors(first)), function(*first))


@pytest.mark.parametrize(
    "function, name",
    [(f, name) for f in FUNCTIONS if f not in PLAIN for name in parameters(f)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_each_argument_is_numpys_or_refused_by_name(function, name):
    """By name; and by position, with NumPy's defaults in the places before it."""
    known, first = parameters(function), FIRST.get(function, (X,))
    p = known[name]
    if function in (np.where, np.clip, np.einsum):
        return  # below
    place = list(known).index(name)
    if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or (place < len(first) and p.default is p.empty):
        kinds = {q.kind for _, q in zip(first, known.values(), strict=False)}
        if kinds == {p.POSITIONAL_OR_KEYWORD}:  # a first argument, by its name
            names = [n for n, _ in zip(known, first, strict=False)]
            same(
                function(**dict(zip(names, tensors(first), strict=True))),
                function(**dict(zip(names, first, strict=True))),
            )
        return
    first = tuple(
        a for a, q in zip(first, known.values(), strict=False) if q.default is q.empty
    ) or first[:1]  # fmt: skip
    assert name in OTHER, f"np.{function.__name__} has an argument that this test does not know"
    value = OTHERS.get((function, name), OTHER[name])
    calls = [((), {name: value})]
    if p.kind is p.POSITIONAL_OR_KEYWORD:
        between = [q.default for q in list(known.values())[len(first) : place]]
        calls.append(((*between, value), {}))
    for args, options in calls:
        try:
            ours = function(*tensors(first), *args, **options)
        except ArgumentError as error:
            assert name in str(error)
            continue
        same(ours, function(*first, *args, **options))


def test_clip_where_and_einsum():
    """The three whose arguments belong together."""
    t = mv.Tensor(X, requires_grad=True)
    for args, options in [
        ((-1, 1), {}), ((), {"a_min": -1, "a_max": 1}), ((), {"min": -1, "max": 1}),
        ((), {"min": -1}), ((), {"max": 1}), ((None, 1), {}), ((-1,), {"a_max": None}),
        ((), {"a_max": V, "a_min": None}), ((), {"a_min": X[:1], "a_max": X[:1] + 1}),
    ]:  # fmt: skip
        same(np.clip(t, *args, **options), np.clip(X, *args, **options))
    with pytest.raises(ArgumentError, match="out="):
        np.clip(t, 0, 1, out=X)
    same(np.where(X > 0, t, 0.0), np.where(X > 0, X, 0.0))
    with pytest.raises(ArgumentError, match="condition, x and y"):
        np.where(t)
    for optimize in (True, False, "greedy", "optimal"):
        same(np.einsum("bij->jb", t, optimize=optimize), np.einsum("bij->jb", X))
    same(np.einsum(t, [0, 1, 2], [2, 0]), np.einsum(X, [0, 1, 2], [2, 0]))
    for name in ("out", "dtype", "order", "casting"):
        with pytest.raises(ArgumentError, match=name):
            np.einsum("bij->jb", t, **{name: "F"})


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_default_of_each_argument_is_taken_by_name(function):
    """np.sum(t, out=None, keepdims=False) is np.sum(t)."""
    first = FIRST.get(function, (X,))
    expected = function(*first)
    for p in list(parameters(function).values())[len(first) :]:
        if p.default is not p.empty and p.kind is not p.POSITIONAL_ONLY:
            same(function(*tensors(first), **{p.name: p.default}), expected)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_the_gradient_is_that_of_the_function(function, device):
    first = FIRST.get(function, (X,))
    if function in PLAIN:
        assert not isinstance(function(*tensors(first)), Tensor)
        return
    flat = [a for a in (first[0] if isinstance(first[0], tuple) else first)]

    def f(*xs):
        xs = iter(xs)
        given = [next(xs) if _is_float(a) else tensors(a) for a in flat]
        out = function(given) if isinstance(first[0], tuple) else function(*given)
        return mv.concatenate([t.reshape(-1) for t in out]) if isinstance(out, list) else out

    assert gradcheck(f, *[a for a in flat if _is_float(a)])


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
def test_a_ufunc_and_each_of_its_keywords(ufunc):
    """The value is NumPy's; out=, where=, dtype= and the others are refused by name."""
    xs = (M, M.T) if ufunc is np.matmul else (np.abs(M) + 0.5,) * ufunc.nin
    same(ufunc(*tensors(xs)), ufunc(*xs))
    for name in "out where casting order dtype subok signature axes axis keepdims".split():
        with pytest.raises((TypeError, ValueError), match=name):
            ufunc(*tensors(xs), **{name: {"out": np.zeros(3), "where": M > 0}.get(name, 7)})


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(1), np.bool_(True)])
def test_a_numpy_number_is_a_python_number(number, device):
    """Beside a Tensor it does not promote, and it belongs to every device."""
    t, x, plain = mv.Tensor(X, device=device), np.asarray(X), number.item()
    for compare in (np.greater, np.less_equal, np.equal, np.isclose, np.logical_and):
        assert (backend.to_numpy(compare(t, number)) == compare(x, plain)).all()
        if device == "cpu":  # CuPy's functions want an array first
            assert (compare(number, t) == compare(plain, x)).all()
    assert (backend.to_numpy(t > number) == (x > plain)).all()
    assert (backend.to_numpy(number > t) == (plain > x)).all()
    assert (backend.to_numpy(np.full_like(t, number)) == plain).all()
    assert (backend.to_numpy(t.argmax(axis=np.int64(1))) == x.argmax(axis=1)).all()
    assert (mv.Tensor(np.float32([0.1])) == np.float64(0.1)).all()


def test_none_is_an_axis_too():
    """axis=None is given, where the default is another one."""
    t, flat = mv.Tensor(X, requires_grad=True), np.argsort(-X, axis=None)
    same(np.sort(-t, axis=None), np.sort(-X, axis=None))
    same(np.take_along_axis(t, flat, axis=None), np.take_along_axis(X, flat, axis=None))
    same(np.concatenate((t, t), axis=None), np.concatenate((X, X), axis=None))
    same(np.argsort(t, axis=None), np.argsort(X, axis=None))
    for f in (np.sum, np.cumsum, np.repeat, np.squeeze, np.flip, np.roll, np.take, np.max, np.ptp):
        first = FIRST.get(f, (X,))
        same(f(*tensors(first), axis=None), f(*first, axis=None))


def test_a_method_is_the_function():
    t = mv.Tensor(X, requires_grad=True)
    same(t.sum(0), X.sum(0))
    same(t.sum(1, None, None, True), X.sum(1, None, None, True))
    same(t.mean(axis=(0, 2), keepdims=True), X.mean(axis=(0, 2), keepdims=True))
    same(t.std(axis=1, ddof=1), X.std(axis=1, ddof=1))
    same(t.clip(-1, 1), X.clip(-1, 1))
    same(t.clip(min=-1), X.clip(min=-1))
    same(t.reshape(-1, order="F"), X.reshape(-1, order="F"))
    same(t.reshape((4, -1)), X.reshape((4, -1)))
    same(t.transpose(2, 0, 1), X.transpose(2, 0, 1))
    same(t.transpose(), X.transpose())
    same(t.transpose((1, 0, 2)), X.transpose((1, 0, 2)))
    same(t[:1].squeeze(0), X[:1].squeeze(0))
    same(t.ravel("F"), X.ravel("F"))
    same(t.flatten(), X.flatten())
    same(t.repeat(2, axis=1), X.repeat(2, axis=1))
    same(t.take([1, 0], axis=-1), X.take([1, 0], axis=-1))
    same(t.cumsum(), X.cumsum())
    same(t.prod(axis=0), X.prod(axis=0))
    same(t.argmax(axis=1), X.argmax(axis=1))
    same(t.round(1), X.round(1))
    same(t.astype(np.float32, copy=False), X.astype(np.float32))
    same(+t, +X)
    same(~(t > 0), ~(X > 0))
    same(np.array((t > 0) & (t < 1)), (X > 0) & (X < 1))
    assert t.tolist() == X.tolist()
    assert (t.squeeze().requires_grad, t.std().requires_grad) == (True, True)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.sum(axis=7), lambda t: t.sum(axis="x"), lambda t: t.sum(0, foo=1),
        lambda t: t.mean(where=X > 0), lambda t: t.reshape(5, 5), lambda t: t.reshape("a"),
        lambda t: t.reshape(2.5), lambda t: t.transpose(0, 0, 1), lambda t: t.transpose(0, 5, 1),
        lambda t: t.swapaxes(0, 9), lambda t: t.squeeze(1), lambda t: np.moveaxis(t, 0, 5),
        lambda t: np.split(t, 5), lambda t: np.split(t, 0), lambda t: np.split(t, 2, axis=4),
        lambda t: mv.concatenate([]), lambda t: np.concatenate([t, 2.0]), lambda t: mv.stack([]),
        lambda t: np.stack([t, t[0]]), lambda t: np.pad(t, -1), lambda t: np.pad(t, "a"),
        lambda t: np.pad(t, 1, mode="edge"), lambda t: np.pad(t, 1.5), lambda t: np.take(t, 99),
        lambda t: np.take(t, 9, axis=0), lambda t: np.take(t, X > 0),
        lambda t: np.take(t, [True, False], axis=0), lambda t: np.sin(t),
        lambda t: np.dot(t, t), lambda t: t @ None, lambda t: np.add(t, t, out=X), lambda t: ~t,
        lambda t: np.tensordot(t, t, axes=1), lambda t: np.einsum("ij", t), lambda t: t > "a",
        lambda t: np.einsum(t, t), lambda t: np.linalg.norm(t, ord=3, axis=0), lambda t: t[1.5],
        lambda t: t["a"], lambda t: t[[0.5]], lambda t: t[9], lambda t: t[0, 0, 0, 0],
        lambda t: t[[[0, 1], [2]]], lambda t: t[X > 0, 0], lambda t: t[{}], lambda t: t[:, [9]],
        lambda t: np.where(X > 0, t), lambda t: np.repeat(t, -1), lambda t: t.clip("a"),
        lambda t: mv.clip(t, 0, min=1), lambda t: t ** "a",
        lambda t: t.astype("no dtype"), lambda t: np.broadcast_to(t, (3,)),
        lambda t: t.std(ddof="a"),
        lambda t: np.cumsum(t, axis=5), lambda t: t.max(axis=(0, 0)), lambda t: np.flip(t, 8),
        lambda t: t + np.array(["a"]), lambda t: t + np.ones(2, object), lambda t: t * {},
        lambda t: mv.sum("a"), lambda t: mv.exp([1.0]), lambda t: mv.matmul(2.0, 3.0),
        lambda t: mv.reshape(3.0, 7), lambda t: mv.where(t, 1, 2), lambda t: mv.sum(),
        lambda t: mv.add(t), lambda t: mv.exp(t, t),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_refused_in_words(call, device):
    t = mv.Tensor(X, device=device, requires_grad=True)
    with pytest.raises(MinivitError) as caught:
        call(t)
    assert len(str(caught.value)) > 15


COPIES = {
    "sum": lambda x: x.sum(axis=()), "mean": lambda x: x.mean(axis=()),
    "max": lambda x: x.max(axis=()), "prod": lambda x: x.prod(axis=()),
    "a power": lambda x: x**1, "a float power": lambda x: x**1.0, "clip": lambda x: x.clip(),
    "flatten": lambda x: x.flatten(), "copy": lambda x: np.copy(x), "tile": lambda x: np.tile(x, 1),
    "+": lambda x: +x, "astype": lambda x: x.astype(np.float64), "pad": lambda x: np.pad(x, 0),
    "repeat": lambda x: np.repeat(x, 1, axis=0), "concatenate": lambda x: np.concatenate([x]),
    "roll": lambda x: np.roll(x, 0, axis=0), "take": lambda x: np.take(x, [0, 1], axis=0),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("shape", [(2, 3), (40, 50)])
def test_what_numpy_copies_is_a_copy(name, shape):
    """A later write into x, such as an optimizer's, leaves the result alone."""
    x = np.linspace(0.0, 1.0, shape[0] * shape[1]).reshape(shape)
    y = COPIES[name](mv.Tensor(x)).numpy()
    assert name == "clip" or np.array_equal(y, COPIES[name](x))
    assert not np.may_share_memory(x, y)
