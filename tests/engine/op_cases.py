"""For every op: operands and options to try it on, and what NumPy says the result is.

`CASES[name]` is a hypothesis strategy of `Case`s. Elements lie on a grid of 1/64 within [-3, 3];
where an op has a kink (|x| at 0, the maximum of two equal numbers) they keep away from it, so that
every element is compared. Shapes are not square and axes are counted from either end.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minivit
from minivit.engine import backend
from minivit.engine.check import arrays, axes, broadcastable, masks, shapes
from minivit.training import distributed  # noqa: F401 it has an op

# The ops of the library itself, not what a test or an exercise registers later under their names.
OPS = {name: op for name, op in minivit.OPS.items() if op.__module__.startswith("minivit.")}
CASES = {}
OFF_GRID = 1 / 128  # moves numbers off the grid, so never onto 0 or onto each other


@dataclass(frozen=True)
class Case:
    """One call: OPS[op](*operands, *args, **options).

    The floating-point arrays among the operands are what is differentiated; the others (numbers,
    boolean arrays, None) are given as they are. `expected` is NumPy's function of the same
    arguments; `call` stands in for the op where a plain call would not do.
    """

    op: str
    operands: tuple
    args: tuple = ()
    options: dict = field(default_factory=dict)
    expected: object = field(default=None, repr=False)
    call: object = field(default=None, repr=False)

    @property
    def floats(self):
        """The operands that are differentiated."""
        return [x for x in self.operands if _is_float(x)]

    def __call__(self, *floats):
        """The op, with these Tensors (or arrays) in place of its floating-point operands."""
        call = self.call or OPS[self.op]
        return call(*self.filled(floats), *self.args, **self.options)

    def twin(self, *floats):
        """The same call of the op's composed twin."""
        return OPS[self.op].composed(*self.filled(floats), *self.args, **self.options)

    def filled(self, floats):
        """The operands, with these in place of the floating-point ones."""
        floats = iter(floats)
        return [next(floats) if _is_float(x) else _here(x) for x in self.operands]

    @property
    def __name__(self):  # what a GradientError calls it
        return self.op


def _is_float(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _here(x):
    """A boolean operand, on the device that the test has chosen."""
    return backend.to_device(x, backend.default_device()) if isinstance(x, np.ndarray) else x


def case(expected, call=None):
    """Register `f(draw) -> operands[, args[, options]]` as the cases of the op that f is named
    after (less a trailing underscore, where the name is Python's)."""

    def register(f):
        name = f.__name__.strip("_")

        @st.composite
        def cases(draw):
            made = f(draw)
            operands, args, options = made + ((), {})[len(made) - 1 :]
            return Case(name, _arrays(operands), tuple(args), options, expected, call)

        CASES[name] = cases()
        return f

    return register


def simple(name, expected, operands):
    """The cases of an op without options, from a strategy for its operands."""
    CASES[name] = operands.map(lambda xs: Case(name, _arrays(xs), expected=expected))


def _arrays(operands):
    """NumPy's arithmetic makes a number of an array without axes; here it stays an array."""
    return tuple(np.asarray(x) if isinstance(x, np.generic) else x for x in operands)


# -- operands --------------------------------------------------------------------------------------
small = shapes(min_dims=0, max_dims=3, max_side=3)
nothing = st.sampled_from([(0,), (2, 0), (0, 3), (2, 0, 1)])  # an axis of length 0
some = st.integers(0, 9).flatmap(lambda i: small if i else nothing)
with_axes = st.integers(0, 9).flatmap(lambda i: shapes() if i else nothing)  # one axis or more
one = arrays(some).map(lambda x: (x,))
one_positive = arrays(some, low=0.25).map(lambda x: (x,))
one_off_grid = arrays(some).map(lambda x: (x + OFF_GRID,))
numbers = st.sampled_from([-2, -0.5, 1, 3.0])


def away_from_zero(x):
    """|x| >= 1/4."""
    return np.where(x < 0, x - 0.25, x + 0.25)


def distinct(x):
    """No two elements equal; each moved by less than half a step of the grid."""
    return x + np.arange(x.size).reshape(x.shape) / (130 * max(x.size, 1))


def two(x=lambda x: x, y=lambda y: y):
    """Two arrays that broadcast; or one and a Python number."""
    pairs = broadcastable(2).map(lambda a: (x(a[0]), y(a[1])))
    right = st.tuples(arrays(some).map(x), numbers)
    left = st.tuples(numbers, arrays(some).map(y))
    return pairs | pairs | right | left


def many_axes(ndim):
    """None, one axis or several."""
    return axes(ndim) | (hnp.valid_tuple_axes(ndim, min_size=1) if ndim else st.none())


def one_axis(draw, x):
    return draw(axes(x.ndim, none=False))


# -- arithmetic and elementwise functions ----------------------------------------------------------
simple("add", np.add, two())
simple("subtract", np.subtract, two())
simple("multiply", np.multiply, two())
simple("divide", np.divide, two(y=away_from_zero))
simple("negative", np.negative, one)
simple("exp", np.exp, one)
simple("log", np.log, one_positive)
simple("sqrt", np.sqrt, one_positive)
simple("tanh", np.tanh, one)
simple("absolute", np.abs, one_off_grid)
simple("maximum", np.maximum, two(y=lambda y: y + OFF_GRID))
simple("minimum", np.minimum, two(y=lambda y: y + OFF_GRID))


@case(np.power)
def power(draw):
    kind = draw(st.sampled_from(["x ** y", "x ** number", "x ** integer", "number ** y"]))
    if kind == "x ** y":
        x, n = draw(broadcastable(2))
        return ((np.abs(x) + 0.25, n),)
    if kind == "x ** number":
        return (
            (draw(arrays(small, low=0.25)), draw(st.sampled_from([-1.5, -1, 0.0, 0.5, 2.0, 2.5]))),
        )
    if kind == "x ** integer":
        return ((away_from_zero(draw(arrays(small))), draw(st.integers(-3, 4))),)
    return ((draw(st.sampled_from([0.5, 2, 3.0])), draw(arrays(small))),)


_erf = np.vectorize(math.erf, otypes=[np.float64])


simple("erf", _erf, one)


@case(np.clip)
def clip(draw):
    lo, hi = sorted(draw(st.tuples(st.integers(-128, 128), st.integers(-128, 128))))
    bounds = draw(st.sampled_from([(lo / 64, hi / 64), (None, hi / 64), (lo / 64, None)]))
    return (draw(arrays(small)) + OFF_GRID,), bounds


@case(np.where)
def where(draw):
    kind = draw(st.sampled_from(["arrays", "arrays", "number left", "number right"]))
    condition, x, y = draw(broadcastable(3))
    if kind == "number left":
        x = draw(numbers)
    elif kind == "number right":
        y = draw(numbers)
    return ((np.asarray(condition > 0), x, y),)


@case(lambda x, dtype: x)
def astype(draw):
    return draw(one), (np.float64,)


# -- reductions ------------------------------------------------------------------------------------
def _reduction(draw, x):
    return {"axis": draw(many_axes(x.ndim)) if x.ndim else None, "keepdims": draw(st.booleans())}


@case(np.sum)
def sum_(draw):
    x = draw(arrays(some))
    return (x,), (), _reduction(draw, x)


@case(np.mean)
def mean(draw):
    x = draw(arrays(some))
    return (x,), (), _reduction(draw, x)


@case(np.var)
def var(draw):
    x = draw(arrays(small))
    options = _reduction(draw, x)
    terms = x.size // max(np.sum(x, axis=options["axis"]).size, 1)
    return (x,), (), {**options, "ddof": draw(st.sampled_from([0, 1] if terms > 1 else [0]))}


@case(np.std)
def std(draw):
    x = distinct(draw(arrays(shapes(min_dims=1, max_side=3)).filter(lambda x: x.size > 1)))
    axis = draw(st.sampled_from([None, *[i for i, n in enumerate(x.shape) if n > 1]]))
    return (
        (x,),
        (),
        {"axis": axis, "keepdims": draw(st.booleans()), "ddof": draw(st.integers(0, 1))},
    )


@case(np.linalg.norm)
def norm(draw):
    x = away_from_zero(draw(arrays(with_axes)))
    axis = draw(axes(x.ndim)) if x.ndim < 3 else one_axis(draw, x)
    return (x,), (), {"axis": axis, "keepdims": draw(st.booleans())}


@case(np.max)
def max_(draw):
    x = distinct(draw(arrays(small)))
    return (x,), (), _reduction(draw, x)


@case(np.min)
def min_(draw):
    x = distinct(draw(arrays(small)))
    return (x,), (), _reduction(draw, x)


@case(np.prod)
def prod(draw):
    x = draw(arrays(some))
    return (x,), (), _reduction(draw, x)


@case(lambda x: x)  # of one process; tests/training/mpi has several
def all_gather(draw):
    return ((draw(arrays(shapes(max_side=3))),),)


@case(np.cumsum)
def cumsum(draw):
    x = draw(arrays(with_axes))
    return (x,), (), {"axis": one_axis(draw, x)}


# -- movement --------------------------------------------------------------------------------------
@case(lambda x, *shape: np.reshape(x, shape[0] if isinstance(shape[0], tuple) else shape))
def reshape(draw):
    x = draw(arrays(small))
    sides = [n for n in draw(st.permutations(x.shape)) if n > 1 or draw(st.booleans())]
    if len(sides) > 1 and draw(st.booleans()):
        sides = [sides[0] * sides[1], *sides[2:]]
    if sides and draw(st.booleans()):
        sides[draw(st.integers(0, len(sides) - 1))] = -1
    return (x,), (tuple(sides),) if not sides or draw(st.booleans()) else sides


@case(lambda x, *axes: np.transpose(x, (axes[0] if isinstance(axes[0], tuple) else axes) or None)
      if axes else np.transpose(x))  # fmt: skip
def transpose(draw):
    x = draw(arrays(some))
    order = draw(st.permutations(range(x.ndim)))
    order = tuple(i - x.ndim if draw(st.booleans()) else i for i in order)
    return (x,), draw(st.sampled_from([(), (order,) if order else (), order]))


@case(np.broadcast_to)
def broadcast_to(draw):
    x = draw(arrays(shapes(min_dims=0, max_dims=2, max_side=3)))
    shape = [draw(st.integers(1, 3)) if n == 1 else n for n in x.shape]
    return (x,), (tuple(draw(st.lists(st.integers(1, 3), max_size=2)) + shape),)


@case(lambda *xs, axis: np.concatenate(xs, axis=axis))
def concatenate(draw):
    shape = draw(with_axes)
    axis = draw(axes(len(shape), none=False))
    sides = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    at = axis % len(shape)
    xs = [draw(arrays((*shape[:at], n, *shape[at + 1 :]))) for n in sides]
    return xs, (), {"axis": axis}


@case(np.pad)
def pad(draw):
    x = draw(arrays(with_axes))
    each = st.tuples(st.integers(0, 2), st.integers(0, 2))
    widths = st.integers(0, 2) | each | st.tuples(*[each] * x.ndim)
    return (x,), (), {
        "pad_width": draw(widths), "constant_values": draw(st.sampled_from([0.0, -1.5]))
    }  # fmt: skip


@case(np.flip)
def flip(draw):
    x = draw(arrays(some))
    return (x,), (), {"axis": draw(many_axes(x.ndim)) if x.ndim else None}


@case(lambda x, index: x[index])
def getitem(draw):
    x = draw(arrays(shapes(max_side=3)))
    n = x.shape[0]
    ids = hnp.arrays(np.int64, shapes(max_dims=2), elements=st.integers(-n, n - 1))  # repeats occur
    kinds = [
        hnp.basic_indices(x.shape, allow_newaxis=True),
        masks(x.shape),
        masks((n,)),
        ids,
        ids.map(lambda a: (Ellipsis, a % x.shape[-1])),
        ids.map(lambda a: (slice(None, None, -1), None, a % x.shape[1]) if x.ndim > 1 else a),
        ids.map(lambda a: a.reshape(-1).tolist()),
        ids.map(lambda a: tuple(a % side for side in x.shape)),
        st.integers(-n, n - 1).map(np.int64),
    ]
    return (x,), (draw(st.sampled_from(kinds).flatmap(lambda s: s)),)


def _there_and_back(x):
    """To another device and back, so that a test stays on the one it has chosen."""
    there = "strict" if x.device == "cpu" else "cpu"
    return OPS["moved"](OPS["moved"](x, there), x.device)


@case(lambda x: x, call=_there_and_back)
def moved(draw):
    return draw(one), ()


# -- products --------------------------------------------------------------------------------------
@case(np.matmul)
def matmul(draw):
    side = draw(st.sampled_from([1, 1, 1, 0]))
    s = hnp.mutually_broadcastable_shapes(
        signature=np.matmul.signature, max_dims=2, max_side=3, min_side=side
    )
    x, y = draw(s).input_shapes
    return ((draw(arrays(x)), draw(arrays(y))),)


@case(np.dot)
def dot(draw):
    low = draw(st.sampled_from([1, 1, 1, 0]))
    x, y = (draw(shapes(min_dims=n, max_side=3, min_side=low)) for n in (1, 2))
    return ((draw(arrays((*x[:-1], y[-2]))), draw(arrays(y))),)


SUBSCRIPTS = (
    "ij,jk->ik i,i-> i,j->ij ij-> ij->ji ij->j ij,k->j bnd,bmd->bnm bhnd,bhmd->bhnm "
    "bij,bjk,kl->bil hwc,hwc->c ab,cb,dc->da"
).split()


@case(lambda *xs, terms, result: np.einsum(",".join(terms) + "->" + result, *xs))
def einsum(draw):
    subscripts = draw(st.sampled_from(SUBSCRIPTS))
    sizes = {
        k: draw(st.sampled_from([1, 2, 3, 1, 2, 3, 0]))
        for k in sorted(set(subscripts) - set(",->"))
    }
    left, _, result = subscripts.partition("->")
    terms = left.split(",")
    xs = [draw(arrays(tuple(sizes[k] for k in term))) for term in terms]
    return xs, (), {"terms": terms, "result": result}


# -- functions (expected: their composed twins, in tests/test_functions.py NumPy's formulas) -------
simple("relu", lambda x: np.maximum(x, 0), one_off_grid)
simple("sigmoid", lambda x: 1 / (1 + np.exp(-x)), one)
simple("silu", lambda x: x / (1 + np.exp(-x)), one)


def _gelu(x, approximate):
    if approximate == "quick":
        return x / (1 + np.exp(-1.702 * x))
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / np.sqrt(2)))


@case(_gelu)
def gelu(draw):
    return draw(one), (), {"approximate": draw(st.sampled_from(["none", "tanh", "quick"]))}


def _softmax(x, axis=-1):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


@case(_softmax)
def softmax(draw):
    x = draw(arrays(with_axes))
    return (x,), (), {"axis": one_axis(draw, x)}


@case(lambda x, axis: np.log(_softmax(x, axis)))
def log_softmax(draw):
    x = draw(arrays(with_axes))
    return (x,), (), {"axis": one_axis(draw, x)}


@case(lambda x, axis, keepdims: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)))
def logsumexp(draw):
    x = draw(arrays(with_axes))
    return (x,), (), {"axis": one_axis(draw, x), "keepdims": draw(st.booleans())}


def _cross_entropy(logits, labels, axis, ignore_index, label_smoothing, reduction):
    """The definition, one label at a time."""
    rows = np.moveaxis(np.log(_softmax(logits, axis)), axis, -1)
    losses = np.zeros(labels.shape)
    for place in np.ndindex(labels.shape):
        if labels[place] != ignore_index:
            target = np.full(rows.shape[-1], label_smoothing / rows.shape[-1])
            target[labels[place]] += 1 - label_smoothing
            losses[place] = -(target * rows[place]).sum()
    counted = (labels != ignore_index).sum()
    return losses if reduction == "none" else losses.sum() / (counted or 1)


@case(_cross_entropy)
def cross_entropy_loss(draw):
    logits = draw(arrays(with_axes))
    axis = one_axis(draw, logits)
    at = axis % logits.ndim
    if not logits.shape[at]:  # no classes: then no rows either
        logits = np.zeros([0] * max(logits.ndim, 2))
    C, rest = logits.shape[at], logits.shape[:at] + logits.shape[at + 1 :]
    ignore = draw(st.sampled_from([-100, 0, -1]))
    ids = st.integers(0, max(C, 1) - 1) | st.just(ignore)
    labels = draw(hnp.arrays(np.int64, rest, elements=ids))
    how = {
        "axis": axis,
        "ignore_index": ignore,
        "label_smoothing": draw(st.sampled_from([0.0, 0.1, 0.5])),
        "reduction": draw(st.sampled_from(["mean", "none"])),
    }
    return (logits,), (labels,), how


def _layer_norm(x, gamma, beta, eps):
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


@case(_layer_norm)
def layer_norm(draw):
    x = draw(arrays(with_axes))
    D = x.shape[-1:]
    return (x, draw(arrays(D)), draw(arrays(D))), (), {"eps": draw(st.sampled_from([1e-3, 0.1]))}


@case(lambda x, gamma, eps: gamma * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps))
def rms_norm(draw):
    x = draw(arrays(with_axes))
    return (x, draw(arrays(x.shape[-1:]))), (), {"eps": draw(st.sampled_from([1e-3, 0.1]))}


@case(lambda x, axis: x / np.linalg.norm(x, axis=axis, keepdims=True))
def l2_normalize(draw):
    x = away_from_zero(draw(arrays(with_axes)))
    return (x,), (), {"axis": one_axis(draw, x)}


@case(lambda x, W, b=None: np.einsum("...i,oi->...o", x, W) + (0 if b is None else b))
def linear(draw):
    x = draw(arrays(with_axes))
    W = draw(arrays((draw(st.integers(0, 4)), x.shape[-1])))
    b = draw(st.none() | arrays(W.shape[:1]))
    return (((x, W) if b is None and draw(st.booleans()) else (x, W, b)),)


@case(lambda table, ids: table[ids])
def embedding(draw):
    table = draw(arrays(shapes(min_dims=2, max_dims=2)))
    shape, ids = draw(shapes(min_dims=0, max_dims=2, min_side=0)), st.integers(0, len(table) - 1)
    dtype = draw(hnp.integer_dtypes(endianness="?") | hnp.unsigned_integer_dtypes(endianness="?"))
    return (table,), (draw(hnp.arrays(dtype, shape, elements=ids)),)


def _dropout(x, p, training):
    if not training:
        return x
    minivit.manual_seed(5)
    drawn = backend.module().asarray(backend.uniform(backend.module(), x.shape, x.dtype))
    return np.where(backend.to_numpy(drawn) >= p, x / (1 - p), 0)


def _seeded_dropout(x, **options):
    """The same mask at every call: the differences of a gradient check need that."""
    minivit.manual_seed(5)
    return OPS["dropout"](x, **options)


@case(_dropout, call=_seeded_dropout)
def dropout(draw):
    p = draw(st.sampled_from([0.0, 0.25, 0.5, 0.9]))
    return draw(one), (), {"p": p, "training": draw(st.booleans())}


# -- images and attention --------------------------------------------------------------------------
def _unfold(x, size, stride):
    """Window by window."""
    (kh, kw), (B, H, W, C) = size, x.shape
    rows = [
        [
            x[:, i : i + kh, j : j + kw].reshape(B, kh * kw * C)
            for j in range(0, W - kw + 1, stride)
        ]
        for i in range(0, H - kh + 1, stride)
    ]  # fmt: skip
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


@case(_unfold)
def unfold(draw):
    B, H, W, C = (draw(st.integers(low, n)) for low, n in ((0, 2), (1, 4), (1, 5), (1, 2)))
    size = draw(st.integers(1, min(H, 3))), draw(st.integers(1, min(W, 2)))
    return (draw(arrays((B, H, W, C))),), (), {"size": size, "stride": draw(st.integers(1, 3))}


def _attention(q, k, v, heads, mask, causal, scale):
    """Query by query, as on the slide."""
    (B, N, D), M = q.shape, k.shape[1]
    d = D // heads
    seen = (
        np.ones((B, heads, N, M), bool) if mask is None else np.broadcast_to(mask, (B, heads, N, M))
    )
    out = np.zeros(q.shape)
    for b, h, n in np.ndindex(B, heads, N):
        own = slice(h * d, (h + 1) * d)
        may = [m for m in range(M) if seen[b, h, n, m] and (not causal or m - (M - N) <= n)]
        if may:
            scores = k[b, may, own] @ q[b, n, own] * (d**-0.5 if scale is None else scale)
            out[b, n, own] = _softmax(scores) @ v[b, may, own]
    return out


def _attention_options(draw, B, H, N, M):
    mask = None
    if draw(st.booleans()):
        full = [1 if draw(st.booleans()) else n for n in (B, H, N, M)]
        mask = draw(masks(tuple(full[draw(st.integers(0, 2)) :])))
    scale = draw(st.sampled_from([None, 1.0, 0.25]))
    return {"heads": H, "mask": mask, "causal": draw(st.booleans()), "scale": scale}


@case(_attention)
def dot_product_attention(draw):
    low = draw(st.sampled_from([1, 1, 1, 0]))  # no batch, no queries, no keys
    B, N, M = (draw(st.integers(low, n)) for n in (2, 3, 4))
    H, d = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    q, k, v = (draw(arrays((B, n, H * d))) for n in (N, M, M))
    return (q, k, v), (), _attention_options(draw, B, H, N, M)


@case(lambda qkv, **how: _attention(*np.split(qkv, 3, axis=2), **how))
def self_attention(draw):
    low = draw(st.sampled_from([1, 1, 1, 0]))
    B, N = draw(st.integers(low, 2)), draw(st.integers(low, 4))
    H, d = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return (draw(arrays((B, N, 3 * H * d))),), (), _attention_options(draw, B, H, N, N)
