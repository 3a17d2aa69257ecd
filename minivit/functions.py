"""The functions that networks are made of, derived by hand.

Each could be composed of the primitives, and stands here as such a *twin* too: the plain version,
the oracle of the tests. The one in use is a single op with its derivative worked out on paper:
deriving it is the course, and it is fast: fewer passes over memory, only what is needed is kept.
"""

import math

import numpy as np

from minivit.engine import backend, numerics
from minivit.engine.errors import DtypeError, RangeError, ShapeError
from minivit.engine.numerics import NUMBERS, column_sum, row_dot
from minivit.engine.ops import erf, exp, log, maximum, tanh
from minivit.engine.record import op

# -- activations -----------------------------------------------------------------------------------


@op(accepts=NUMBERS)
def relu(xp, x, /):
    """max(x, 0). The derivative at 0 is taken as 0."""
    return xp.maximum(x, 0), lambda g: g * (x > 0)


@relu.twin
def relu_composed(x):
    return maximum(x, 0.0)


@op
def sigmoid(xp, x, /):
    """y = 1 / (1 + e^-x), written with tanh, which cannot overflow. dy/dx = y (1 - y)."""
    y = xp.tanh(x * 0.5)
    y += 1
    y *= 0.5
    return y, lambda g: g * (y * (1 - y))


@sigmoid.twin
def sigmoid_composed(x):
    return 1 / (1 + exp(-x))


def _gated(xp, x, u, slope_of_2u):
    """y = x s with s = sigmoid(2u) = (1 + tanh u) / 2, and dy/dx = s + y (1 - s) d(2u)/dx.

    y is kept by the next layer anyway, so x, which is y / s, is not kept.
    """
    s = xp.tanh(u)
    s += 1
    s *= 0.5
    y = x * s

    def vjp(g):
        slope = y * slope_of_2u(y, s)
        slope *= 1 - s
        slope += s
        slope *= g
        return slope

    return y, vjp


@op
def silu(xp, x, /):
    """x sigmoid(x) (also called swish)."""
    return _gated(xp, x, x * 0.5, lambda y, s: 1)


@silu.twin
def silu_composed(x):
    return x * sigmoid_composed(x)


@op
def gelu(xp, x, /, approximate="none"):
    """x Phi(x), with Phi the normal distribution function (Hendrycks & Gimpel 2016).

    "none": exact, by erf (BERT and ViT in PyTorch's ports). "tanh": 0.5 x (1 + tanh(sqrt(2/pi)
    (x + 0.044715 x^3))) (GPT-2, Google's ViT). "quick": x sigmoid(1.702 x) (Image GPT, CLIP).
    They differ by up to 5e-4 and 2e-2: take the one a checkpoint was trained with.
    """
    if approximate not in _GELU:
        raise RangeError(f"gelu: approximate is {approximate!r}, expected one of {list(_GELU)}")
    return _GELU[approximate](xp, x)


def _gelu_exact(xp, x):
    phi = numerics.erf(xp, x * math.sqrt(0.5))
    phi += 1
    phi *= 0.5

    def vjp(g):  # Phi(x) + x phi(x), phi the normal density
        slope = xp.exp(x * x * -0.5)
        slope *= x
        slope *= 1 / math.sqrt(2 * math.pi)
        slope += phi
        slope *= g
        return slope

    return x * phi, vjp


def _gelu_tanh(xp, x):
    c, a = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715
    s = x * x  # never x**3: 700 times slower in float32
    s *= a
    s += c
    s *= x

    def slope_of_2u(y, s):  # d/dx of 2 (c x + a x^3)
        slope = y / xp.maximum(s, xp.finfo(s.dtype).tiny)  # x, or 0 where s has underflowed
        slope *= slope
        slope *= 6 * a
        slope += 2 * c
        return slope

    return _gated(xp, x, s, slope_of_2u)


def _gelu_quick(xp, x):
    return _gated(xp, x, x * 0.851, lambda y, s: 1.702)


_GELU = {"none": _gelu_exact, "tanh": _gelu_tanh, "quick": _gelu_quick}


@gelu.twin
def gelu_composed(x, approximate="none"):
    if approximate == "quick":
        return x * sigmoid_composed(1.702 * x)
    if approximate == "tanh":
        return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


# -- softmax and the losses ------------------------------------------------------------------------


def _exponentials(xp, x):
    """e = e^(x - m), its sums l over the last axis, and m (..., 1): the maximum, or 0 where the
    sums show that it need not be subtracted (a GPU would have to wait to see that): the shares
    e / l are the same. The sums are a product with ones, ten times faster than sum(-1)."""
    ones = xp.ones(x.shape[-1], dtype=x.dtype)
    if xp is np:
        with np.errstate(over="ignore"):
            e = np.exp(x)
            l = e @ ones
        if l.size and l.min() > 1e-20 and l.max() < 1e20:
            return e, l, 0
    m = x.max(axis=-1, keepdims=True)
    e = xp.exp(x - m)
    return e, e @ ones, m


def _moved(xp, x, axis, to):
    """xp.moveaxis, which takes its time where there is nothing to move."""
    return x if {axis, to} <= {-1, x.ndim - 1} else xp.moveaxis(x, axis, to)


@op
def softmax(xp, x, /, axis=-1):
    """y_i = e^x_i / sum_j e^x_j. dx = y (g - sum_j g_j y_j): the rows of y sum to 1, so what g has
    in common along the axis does not matter."""
    y, l, _ = _exponentials(xp, _moved(xp, x, axis, -1))
    y *= (1 / l)[..., None]

    def vjp(g):
        g = _moved(xp, g, axis, -1)
        d = g - row_dot(xp, g, y)[..., None]
        d *= y
        return _moved(xp, d, -1, axis)

    return _moved(xp, y, -1, axis), vjp


@softmax.twin
def softmax_composed(x, axis=-1):
    e = exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@op
def log_softmax(xp, x, /, axis=-1):
    """x_i - log sum_j e^x_j. dx = g - softmax(x) sum_j g_j."""
    y = x - x.max(axis=axis, keepdims=True)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y, lambda g: g - xp.exp(y) * g.sum(axis=axis, keepdims=True)


@log_softmax.twin
def log_softmax_composed(x, axis=-1):
    return x - logsumexp_composed(x, axis=axis, keepdims=True)


@op
def logsumexp(xp, x, /, axis=-1, keepdims=False):
    """log sum_j e^x_j, a smooth maximum. dx = g softmax(x)."""
    m = x.max(axis=axis, keepdims=True)
    e = xp.exp(x - m)
    s = e.sum(axis=axis, keepdims=True)
    y = xp.log(s) + m
    return (
        y if keepdims else y.squeeze(axis),
        lambda g: e * (g if keepdims else xp.expand_dims(g, axis)) / s,
    )


@logsumexp.twin
def logsumexp_composed(x, axis=-1, keepdims=False):
    m = x.max(axis=axis, keepdims=True)
    y = log(exp(x - m).sum(axis=axis, keepdims=True)) + m
    return y if keepdims else y.sum(axis=axis)


@op
def cross_entropy_loss(
    xp, logits, /, labels, axis=-1, ignore_index=-100, label_smoothing=0.0, reduction="mean"
):
    """-log softmax(logits)[label], averaged over the labels that are not `ignore_index`.

    `axis` is the axis that is softmaxed: it holds the classes; `labels` has the other axes.
    label_smoothing s: the target is (1 - s) one-hot + s / C. reduction "none": a loss per label.
    dlogits = (softmax - target) / n. Labels are integers in [0, C), checked on the host.
    """
    C = logits.shape[axis]
    z = _moved(xp, logits, axis, -1)
    rest = z.shape[:-1]
    labels = numerics.checked_index(xp, labels, C, "cross_entropy_loss: labels", ignore_index)
    if labels.shape != rest:
        raise ShapeError(
            f"cross_entropy_loss: labels have shape {labels.shape}, expected {rest}: the logits' "
            f"{logits.shape} without the class axis {axis}"
        )
    if reduction not in ("mean", "none"):
        raise RangeError(f"cross_entropy_loss: reduction is {reduction!r}, not 'mean' or 'none'")
    if not 0 <= label_smoothing < 1:
        raise RangeError(f"cross_entropy_loss: label_smoothing is {label_smoothing}, not in [0, 1)")
    z = z.reshape(-1, C)
    rows, target = xp.arange(z.shape[0]), labels.reshape(-1)
    ignored = target == ignore_index
    e, l, m = _exponentials(xp, z)
    z = z - m
    keep, n = 1, max(z.shape[0], 1)
    if xp is not np or ignored.any():
        target = xp.where(ignored, 0, target)
        keep = (~ignored).astype(z.dtype)
        n = xp.maximum(keep.sum(), 1)  # all ignored: the loss is 0
    loss = xp.log(l) - (1 - label_smoothing) * z[rows, target]
    if label_smoothing:
        loss -= label_smoothing * z.mean(axis=1)
    loss *= keep
    n = n if reduction == "mean" else 1

    def vjp(g):
        weight = keep * (g.reshape(-1) / n)  # of each row in the loss: (1,) or (rows,)
        p = e * (weight / l)[:, None]
        p[rows, target] -= (1 - label_smoothing) * weight  # distinct rows: no index occurs twice
        if label_smoothing:
            p -= (label_smoothing / C * weight)[:, None]
        return _moved(xp, p.reshape(*rest, C), -1, axis)

    return (loss.sum() / n if reduction == "mean" else loss.reshape(rest)), vjp


@cross_entropy_loss.twin
def cross_entropy_loss_composed(
    logits, labels, axis=-1, ignore_index=-100, label_smoothing=0.0, reduction="mean"
):
    labels = np.asarray(labels)
    C = logits.shape[axis]
    ids = np.arange(C).reshape([-1 if i == axis % logits.ndim else 1 for i in range(logits.ndim)])
    onehot = np.expand_dims(labels, axis) == ids
    keep = np.expand_dims(labels != ignore_index, axis)
    target = keep * ((1 - label_smoothing) * onehot + label_smoothing / C)
    log_p = log_softmax_composed(logits, axis)
    target = backend.to_device(target.astype(log_p.dtype), log_p.device)
    loss = -(log_p * target).sum(axis=axis)
    return loss if reduction == "none" else loss.sum() / float(keep.sum() or 1)


# -- normalisation ---------------------------------------------------------------------------------


@op
def layer_norm(xp, x, gamma, beta, /, eps=1e-5):
    """y = gamma (x - E[x]) / sqrt(Var[x] + eps) + beta over the last axis (Ba et al. 2016).

    On the slide a token is a column and the statistics are column-wise; here a token is a row. The
    variance is divided by D. With h the normalised x and t = g gamma:
    dx = (t - mean(t) - h mean(t h)) / sqrt(Var + eps): mean and variance depend on x too.
    """
    shape, D = x.shape, x.shape[-1]
    if gamma.shape != (D,) or beta.shape != (D,):
        raise ShapeError(
            f"layer_norm: x has {D} features (shape {x.shape}), but gamma has shape {gamma.shape} "
            f"and beta {beta.shape}; expected ({D},)"
        )
    x2 = x.reshape(-1, D)
    average = xp.full(D, 1 / D, dtype=x.dtype)
    h = x2 - row_dot(xp, x2, average)[:, None]
    r = 1 / xp.sqrt(row_dot(xp, h, h) / D + eps)  # (rows,)
    h *= r[:, None]
    y = h * gamma
    y += beta

    def vjp(g):
        g2 = g.reshape(-1, D)
        t = g2 * h
        dgamma, dbeta = column_sum(xp, t), column_sum(xp, g2)
        mean_th, mean_t = t @ (gamma / D), g2 @ (gamma / D)  # by gemv, while t is g h
        xp.multiply(g2, gamma, out=t)
        t -= mean_t[:, None]
        t -= h * mean_th[:, None]
        t *= r[:, None]
        return t.reshape(shape), dgamma, dbeta

    return y.reshape(shape), vjp


@layer_norm.twin
def layer_norm_composed(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(axis=-1, keepdims=True)
    return gamma * centred / (x.var(axis=-1, keepdims=True) + eps).sqrt() + beta


@op
def rms_norm(xp, x, gamma, /, eps=1e-5):
    """y = gamma x / sqrt(mean(x^2) + eps): LayerNorm without the mean (Zhang & Sennrich 2019; the
    norm of Image GPT's code). dx = r (t - h mean(t h))."""
    D = x.shape[-1]
    if gamma.shape != (D,):
        raise ShapeError(f"rms_norm: x has {D} features, but gamma has shape {gamma.shape}")
    r = (1 / xp.sqrt(row_dot(xp, x, x) / D + eps))[..., None]
    h = x * r

    def vjp(g):
        t = g * gamma
        dx = r * (t - h * (row_dot(xp, t, h) / D)[..., None])
        return dx, column_sum(xp, (g * h).reshape(-1, D))

    return h * gamma, vjp


@rms_norm.twin
def rms_norm_composed(x, gamma, eps=1e-5):
    return gamma * x / ((x * x).mean(axis=-1, keepdims=True) + eps).sqrt()


@op
def l2_normalize(xp, x, /, axis=-1, eps=1e-12):
    """x / |x|, unit length along `axis` (a zero vector stays zero). dx = (g - y (g . y)) / |x|."""
    norm = xp.maximum(xp.sqrt((x * x).sum(axis=axis, keepdims=True)), eps)
    y = x / norm
    return y, lambda g: (g - y * (g * y).sum(axis=axis, keepdims=True)) / norm


@l2_normalize.twin
def l2_normalize_composed(x, axis=-1, eps=1e-12):
    return x / maximum((x * x).sum(axis=axis, keepdims=True).sqrt(), eps)


# -- with weights ----------------------------------------------------------------------------------


@op
def linear(xp, x, W, b=None, /):
    """y = x W^T + b; W is (out, in), as in PyTorch. One 2-D product for all tokens of a batch.

    dx = g W, dW = g^T x, db = sum of g over the rows.
    """
    if x.shape[-1] != W.shape[1]:
        raise ShapeError(
            f"linear: x has {x.shape[-1]} features (shape {x.shape}), the weight expects "
            f"{W.shape[1]} (shape {W.shape}: out, in)"
        )
    x2 = x.reshape(-1, x.shape[-1])  # (B, N, in) -> (B N, in)
    y = x2 @ W.T
    if b is not None:
        y += b

    def vjp(g):
        g2 = g.reshape(-1, g.shape[-1])
        db = column_sum(xp, g2) if b is not None else None
        return (g2 @ W).reshape(x.shape), g2.T @ x2, db

    return y.reshape(*x.shape[:-1], W.shape[0]), vjp


@linear.twin
def linear_composed(x, W, b=None):
    y = x @ W.T
    return y if b is None else y + b


@op(accepts=NUMBERS)
def embedding(xp, table, /, ids):
    """Row `ids` of the table (V, D): a product with one-hot rows, without the zeros.

    The gradient of a row is the sum of the gradients of every place where it was read.
    """
    ids = numerics.checked_index(xp, ids, table.shape[0], "embedding: ids")
    V, D = table.shape
    return table[ids], lambda g: numerics.scatter_rows(xp, V, ids.reshape(-1), g.reshape(-1, D))


@embedding.twin
def embedding_composed(table, ids):
    onehot = np.asarray(ids)[..., None] == np.arange(table.shape[0])
    return backend.to_device(onehot.astype(table.dtype), table.device) @ table


@op(accepts=NUMBERS)
def dropout(xp, x, /, p=0.5, training=True):
    """Each element zeroed with probability p, the others divided by 1 - p (Srivastava et al. 2014).

    The expectation stays; outside of training nothing happens. g passes where x passed.
    """
    if not 0 <= p < 1:
        raise RangeError(f"dropout: p is {p}, expected 0 <= p < 1")
    if x.dtype.kind != "f":
        raise DtypeError(f"dropout: got dtype {x.dtype}, expected floating point")
    if not training or p == 0:
        return x, lambda g: g
    scale = (backend.uniform(xp, x.shape, x.dtype) >= p) * x.dtype.type(1 / (1 - p))
    return x * scale, lambda g: g * scale
