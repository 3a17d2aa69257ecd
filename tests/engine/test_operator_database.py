"""PyTorch's own operator database: the samples with which PyTorch tests each of its operators, for
every op of ours that has a namesake there.

Values, and gradients for random cotangents, in float64 and float32, int64, uint8 and bool; arrays
in memory one after the other, with gaps, and backwards. Each sample is equal, or refused in words;
a call with an argument that only PyTorch has is left out. `pytest -m parity -s` prints the counts.
"""

import math
from collections import Counter

import numpy as np
import pytest

import minivit as mv
from minivit.engine.errors import MinivitError

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's database asks for it")
pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

DTYPES = [torch.float64, torch.float32, torch.int64, torch.uint8, torch.bool]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4}


class NotOurs(Exception):
    """An argument that PyTorch has and NumPy has not."""


# Where ours is not PyTorch's, on purpose: (op, variant) -> (which samples, why).
CONVENTIONS = {
    ("cat", ""): (
        lambda xs, a, k: any(x.shape == (0,) for x in xs) and any(x.ndim > 1 for x in xs),
        "PyTorch drops empty vectors among matrices; NumPy refuses them",
    ),
    ("cumsum", ""): (
        lambda x, a, k: not x.ndim,
        "the running sum of a number is a vector of one, as in NumPy",
    ),
    ("masked_fill", ""): (
        lambda x, a, k: x.dtype == torch.bool and not isinstance(a[1], (bool, torch.Tensor)),
        "a number among booleans promotes them, as in NumPy",
    ),
    ("nn.functional.scaled_dot_product_attention", ""): (
        lambda q, a, k: k.get("is_causal") and q.shape[-2] != a[0].shape[-2],
        "causal with fewer queries than keys: ours are the last ones, PyTorch's the first ones",
    ),
    ("nn.functional.cross_entropy", ""): (
        lambda x, a, k: bool((a[0] == k.get("ignore_index", -100)).all()),
        "all labels ignored: the loss is 0 here, NaN there",
    ),
}


# -- their arguments, as ours ----------------------------------------------------------------------
def axes(dim):
    """No dims are all dims."""
    if dim is None or dim == () or dim == []:
        return None
    return dim if isinstance(dim, int) else tuple(dim)


def reduction(f):
    def ours(x, dim=None, keepdim=False, dtype=None):
        only(dtype is None)
        return f(x, axis=axes(dim), keepdims=keepdim)

    return ours


def only(holds):
    if not holds:
        raise NotOurs


def cumsum(x, dim, dtype=None):
    only(dtype is None)
    return mv.cumsum(x, axis=dim)


def spread(f):
    def ours(x, dim=None, unbiased=None, keepdim=False, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if correction is None:
            correction = 1 if unbiased is None else int(unbiased)
        return f(x, axis=axes(dim), ddof=correction, keepdims=keepdim)

    return ours


def arithmetic(f):
    def ours(x, y, alpha=1, rounding_mode=None):
        only(rounding_mode is None and alpha == 1)
        return f(x, y)

    return ours


def reflected(f):
    return lambda x, y: f(y, x)


def softmax(f):
    def ours(x, dim, dtype=None):
        only(dtype is None)
        return f(x, axis=dim)

    return ours


def split(x, size, dim=0):
    n = x.shape[dim]
    if isinstance(size, int):
        return mv.split(x, list(range(size, n, size)) if size else [], axis=dim)
    return mv.split(x, np.cumsum(size)[:-1].tolist(), axis=dim)


def chunk(x, chunks, dim=0):
    return split(x, max(math.ceil(x.shape[dim] / chunks), 1), dim)


def plain(x):
    return x.numpy() if isinstance(x, mv.Tensor) else x


def clamp(x, min=None, max=None):
    return mv.clip(x, plain(min), plain(max))


def norm(x, ord=None, dim=None, keepdim=False, dtype=None):
    only(dtype is None)
    return np.linalg.norm(x, ord=ord, axis=axes(dim), keepdims=keepdim)


def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    only(dtype is None and (ord == 2 or dim is not None))
    return np.linalg.norm(x, ord=None if ord == 2 else ord, axis=axes(dim), keepdims=keepdim)


def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
    only(len(shape) == 1 and weight is not None and bias is not None)
    return mv.layer_norm(x, weight, bias, eps=eps)


def rms_norm(x, shape, weight=None, eps=None):
    only(len(shape) == 1 and weight is not None and eps is not None)
    return mv.rms_norm(x, weight, eps=eps)


def normalize(x, p=2.0, dim=1, eps=1e-12):
    only(p == 2)
    return mv.l2_normalize(x, axis=dim, eps=eps)


def embedding(table, ids, **how):
    only(how.get("padding_idx") is None and how.get("max_norm") is None)
    only(not how.get("scale_grad_by_freq") and not how.get("sparse"))
    return mv.embedding(table, ids)


def cross_entropy(x, labels, weight=None, reduction="mean", ignore_index=-100, label_smoothing=0.0):
    only(weight is None and reduction != "sum" and labels.dtype.kind in "iu")
    return mv.cross_entropy_loss(
        x, labels, axis=min(1, x.ndim - 1), ignore_index=ignore_index, reduction=reduction,
        label_smoothing=label_smoothing,
    )  # fmt: skip


def attention(
    q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    only(not dropout_p and not enable_gqa and q.shape[:-2] == k.shape[:-2] == v.shape[:-2])
    only(q.shape[-1] == v.shape[-1] and q.ndim in (3, 4))
    heads = q.shape[1] if q.ndim == 4 else 1

    def joined(t):  # (B, H, N, d) -> (B, N, H d)
        return t if t.ndim == 3 else t.swapaxes(1, 2).reshape(t.shape[0], t.shape[2], -1)

    mask = None if attn_mask is None else plain(attn_mask)
    if mask is not None and q.ndim == 3 and mask.ndim == 3:
        mask = mask[:, None]
    y = mv.dot_product_attention(joined(q), joined(k), joined(v), heads, mask, is_causal, scale)
    return y if q.ndim == 3 else y.reshape(*y.shape[:2], heads, -1).swapaxes(1, 2)


def pad(x, width, mode="constant", value=None):
    only(mode == "constant")
    pairs = [(0, 0)] * (x.ndim - len(width) // 2)
    pairs += [tuple(width[i : i + 2]) for i in range(len(width) - 2, -1, -2)]
    return mv.pad(x, pairs, constant_values=0 if value is None else value)


def einsum(xs, text):
    return mv.einsum(text, *xs)


def tensordot(a, b, dims=2):
    return np.tensordot(a, b, axes=dims)


def diff(x, n=1, dim=-1, prepend=None, append=None):
    only(prepend is None and append is None)
    return np.diff(x, n=n, axis=dim)


def sort(x, dim=-1, descending=False, stable=False):
    only(not descending)
    return np.sort(x, axis=dim)


def squeeze(x, dim=None):
    if dim is not None:  # theirs leaves an axis that is longer than 1
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        dim = tuple(d for d in dims if x.ndim and x.shape[d] == 1)
    return np.squeeze(x, axis=dim)


def expand(x, *shape):
    (shape,) = shape if len(shape) == 1 else (shape,)
    full = (1,) * (len(shape) - x.ndim) + x.shape
    return mv.broadcast_to(x, tuple(n if s == -1 else s for s, n in zip(shape, full, strict=True)))


def take_along(x, index, dim=None):
    if dim is None:  # theirs flattens the indices too
        index = index.reshape(-1)
    return np.take_along_axis(x, index, axis=dim)


def repeat_interleave(x, repeats, dim=None, output_size=None):
    return np.repeat(x, plain(repeats), axis=dim)


def compared(name):
    return lambda x, y: getattr(np, name)(x, y)


def counted(f):
    def ours(x, dim=None, keepdim=False):
        return f(x, axis=axes(dim), keepdims=keepdim)

    return ours


OURS = {
    "add": arithmetic(mv.add), "sub": arithmetic(mv.subtract), "mul": arithmetic(mv.multiply),
    "div": arithmetic(mv.divide), "true_divide": arithmetic(mv.divide), "pow": mv.power,
    "__radd__": reflected(mv.add), "__rsub__": reflected(mv.subtract),
    "__rmul__": reflected(mv.multiply), "__rdiv__": reflected(mv.divide),
    "__rpow__": reflected(mv.power), "__rmatmul__": reflected(mv.matmul),
    "neg": mv.negative, "abs": mv.absolute, "exp": mv.exp, "log": mv.log, "sqrt": mv.sqrt,
    "tanh": mv.tanh, "erf": mv.erf, "square": np.square, "positive": np.positive,
    "reciprocal": lambda x: 1 / x, "maximum": mv.maximum, "minimum": mv.minimum, "clamp": clamp,
    "clamp_min": lambda x, y: mv.clip(x, plain(y), None),
    "clamp_max": lambda x, y: mv.clip(x, None, plain(y)),
    "where": lambda x, condition, y: mv.where(condition, x, y),
    "masked_fill": lambda x, mask, value: mv.where(mask, value, x),
    "sum": reduction(mv.sum), "mean": reduction(mv.mean), "prod": reduction(np.prod),
    "amax": reduction(mv.max), "amin": reduction(mv.min), "var": spread(mv.var),
    "std": spread(np.std), "cumsum": cumsum,
    "argmax": counted(np.argmax), "argmin": counted(np.argmin), "all": counted(np.all),
    "any": counted(np.any), "linalg.norm": norm, "linalg.vector_norm": vector_norm,
    "softmax": softmax(mv.softmax), "log_softmax": softmax(mv.log_softmax),
    "logsumexp": lambda x, dim, keepdim=False: mv.logsumexp(x, axis=dim, keepdims=keepdim),
    "cat": lambda xs, dim=0: mv.concatenate(xs, axis=dim),
    "stack": lambda xs, dim=0: mv.stack(xs, axis=dim),
    "hstack": np.hstack, "vstack": np.vstack, "split": split, "split_with_sizes": split,
    "chunk": chunk, "reshape": mv.reshape, "view": mv.reshape, "ravel": np.ravel,
    "transpose": mv.swapaxes, "permute": mv.transpose, "t": mv.transpose,
    "movedim": np.moveaxis, "squeeze": squeeze, "unsqueeze": np.expand_dims,
    "flip": lambda x, dims: mv.flip(x, axis=tuple(dims)), "fliplr": np.fliplr, "flipud": np.flipud,
    "roll": lambda x, shifts, dims=None: np.roll(x, shifts, dims or None if dims == () else dims),
    "tile": np.tile, "repeat": np.tile, "repeat_interleave": repeat_interleave, "expand": expand,
    "broadcast_to": mv.broadcast_to, "take": np.take, "take_along_dim": take_along,
    "index_select": lambda x, dim, index: np.take(x, index, axis=dim),
    "diagonal": lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    "trace": np.trace, "tril": np.tril, "triu": np.triu, "diff": diff, "sort": sort,
    "__getitem__": lambda x, index: x[tuple(index) if isinstance(index, list) and any(
        not isinstance(i, (int, bool)) for i in index) else index],
    "matmul": mv.matmul, "mm": mv.matmul, "bmm": mv.matmul, "mv": mv.matmul, "dot": mv.dot,
    "inner": np.inner, "outer": np.outer, "vdot": np.vdot, "tensordot": tensordot, "einsum": einsum,
    "sigmoid": mv.sigmoid, "nn.functional.relu": mv.relu, "nn.functional.silu": mv.silu,
    "nn.functional.gelu": mv.gelu, "nn.functional.layer_norm": layer_norm,
    "nn.functional.rms_norm": rms_norm, "nn.functional.normalize": normalize,
    "nn.functional.linear": mv.linear, "nn.functional.embedding": embedding,
    "nn.functional.cross_entropy": cross_entropy, "nn.functional.pad": pad,
    "nn.functional.scaled_dot_product_attention": attention,
    "eq": compared("equal"), "ne": compared("not_equal"), "lt": compared("less"),
    "le": compared("less_equal"), "gt": compared("greater"), "ge": compared("greater_equal"),
    "isnan": np.isnan, "isfinite": np.isfinite, "isinf": np.isinf, "sign": np.sign,
    "floor": np.floor, "ceil": np.ceil,
}  # fmt: skip
LEFT_OUT = {  # another function under the same name
    ("nn.functional.pad", "reflect"), ("nn.functional.pad", "replicate"),
    ("nn.functional.pad", "replicate_negative"), ("nn.functional.pad", "circular"),
    ("div", "trunc_rounding"), ("div", "floor_rounding"), ("softmax", "with_dtype"),
    ("log_softmax", "with_dtype"), ("linalg.norm", "subgradients_at_zero"),
}  # fmt: skip


# -- the comparison --------------------------------------------------------------------------------
def laid_out(array, how):
    """The same numbers: one after the other, with gaps, or backwards in memory."""
    if how == 0 or not array.ndim:
        return array.copy()
    if how == 1:
        return np.repeat(array[..., None], 2, axis=-1)[..., 0]
    back = (slice(None, None, -1),) * array.ndim
    return array[back].copy()[back]


def both(thing, how, leaves):
    """(theirs, ours) of an argument; floating-point tensors become leaves."""
    if isinstance(thing, torch.Tensor):
        theirs = thing.detach().clone()
        ours = mv.Tensor(laid_out(theirs.numpy(), how))
        if theirs.is_floating_point():
            theirs.requires_grad_(True)
            ours.requires_grad = True
            leaves.append((theirs, ours))
        return theirs, ours
    if isinstance(thing, (list, tuple)) and not isinstance(thing, torch.Size):
        pairs = [both(item, how, leaves) for item in thing]
        return type(thing)(a for a, _ in pairs), type(thing)(b for _, b in pairs)
    return thing, tuple(thing) if isinstance(thing, torch.Size) else thing


def outputs(value):
    """The floating-point (or only) results of a call as a list."""
    if isinstance(value, torch.Tensor) or not isinstance(value, (list, tuple)):
        return [value]
    return list(value)


def same(ours, theirs, tolerance):
    ours = np.asarray(ours.numpy() if isinstance(ours, mv.Tensor) else ours)
    theirs = theirs.detach().resolve_conj().numpy()
    if ours.shape != theirs.shape:
        return False
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    finite = theirs[np.isfinite(theirs)]
    scale = tolerance * max(np.abs(finite).max(initial=0), 1)
    return np.allclose(ours, theirs, rtol=tolerance, atol=scale, equal_nan=True)


def compare(info, sample, dtype, how):
    """ "equal", "refused", "left out", or what is wrong."""
    leaves, tolerance = [], TOLERANCE.get(dtype, 1e-5)
    their_x, our_x = both(sample.input, how, leaves)
    their_args, our_args = both(tuple(sample.args), how, leaves)
    kwargs = {key: both(value, how, leaves) for key, value in sample.kwargs.items()}
    convention = CONVENTIONS.get((info.name, info.variant_test_name))
    if convention and convention[0](sample.input, sample.args, sample.kwargs):
        return "convention"
    try:
        ours = OURS[info.name](our_x, *our_args, **{k: b for k, (_, b) in kwargs.items()})
    except NotOurs:
        return "left out"
    except MinivitError as refusal:
        return f"refused: {str(refusal)[:70]}"
    theirs = info.op(their_x, *their_args, **{k: a for k, (a, _) in kwargs.items()})
    theirs, ours = outputs(theirs), outputs(ours)
    if info.name == "sort":
        theirs = theirs[:1]
    if len(ours) != len(theirs):
        return f"DIFFERS: {len(ours)} results, expected {len(theirs)}"
    if not all(same(a, b, tolerance) for a, b in zip(ours, theirs, strict=True)):
        return "DIFFERS: value"
    rng = np.random.default_rng(0)
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if b.requires_grad]
    pairs = [(a, b) for a, b in pairs if isinstance(a, mv.Tensor)]  # sign, floor: arrays
    wanted = [(t, o) for t, o in leaves if t.requires_grad]
    if not pairs or not wanted:
        return "equal"
    cotangents = [rng.standard_normal(b.shape) for _, b in pairs]
    grads = torch.autograd.grad(
        [b for _, b in pairs], [t for t, _ in wanted],
        [torch.tensor(g, dtype=b.dtype) for g, (_, b) in zip(cotangents, pairs, strict=True)],
        allow_unused=True,
    )  # fmt: skip
    for g, (a, _) in zip(cotangents, pairs, strict=True):
        a.backward(np.asarray(g, a.dtype))
    for grad, (leaf, mine) in zip(grads, wanted, strict=True):
        mine = np.zeros(mine.shape) if mine.grad is None else mine.grad
        grad = torch.zeros_like(leaf) if grad is None else grad
        if info.name.startswith("clamp") and leaf is not their_x:
            continue  # bounds are not differentiated here
        if not same(mine, grad, tolerance):
            return "DIFFERS: gradient"
    return "equal"


def infos():
    from torch.testing._internal.common_methods_invocations import op_db

    for info in op_db:
        variant = info.variant_test_name
        if info.name in OURS and (info.name, variant) not in LEFT_OUT:
            yield info


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_samples_of_pytorchs_operators(dtype):
    """0 differing, 0 raw errors."""
    counts, wrong, refusals, names = Counter(), Counter(), Counter(), set()
    for info in infos():
        if dtype not in info.supported_dtypes("cpu"):
            continue
        grad = dtype.is_floating_point
        for i, sample in enumerate(info.sample_inputs("cpu", dtype, requires_grad=grad)):
            name = f"{info.name} {info.variant_test_name}".strip()
            try:
                verdict = compare(info, sample, dtype, i % 3)
            except Exception as error:
                verdict = f"RAW: {type(error).__name__}: {str(error)[:80]}"
            kind = verdict.split(":")[0]
            counts[kind] += 1
            names.add(name)
            if kind in ("DIFFERS", "RAW"):
                shape = tuple(getattr(sample.input, "shape", ()))
                call = f"{name}, {shape} {str(sample.args)[:60]} {str(sample.kwargs)[:60]}"
                wrong[f"{call}: {verdict}"] += 1
            elif kind == "refused":
                refusals[f"{name}: {verdict}"] += 1
    print(f"\n{dtype}: {len(names)} operators, tried {sum(counts.values())}, {dict(counts)}")
    for text, n in refusals.most_common():
        print(f"  {n} x {text}")
    assert counts["equal"] > 200
    assert not wrong, "\n" + "\n".join(f"{n} x {text}" for text, n in wrong.most_common())
