"""The two models as functions of a dict of weights, for peers that differentiate functions.

`np` is the peer's NumPy. Every product with a matrix is 2-D, row means are products with a column
of 1/D, no powers, no indexing: HIPS autograd is several times slower otherwise, and none of the
others minds. Queries, keys and values have weights of their own, since a cut costs a copy back.
"""

import math

import numpy as onp

from benchmarks import works


def check_raced(work):
    """The works that peers other than PyTorch do."""
    if work.name[:2] not in ("W1", "W2", "W4"):
        raise NotImplementedError("raced on W1, W2 and W4 only")


def unpacked(work):
    """The work's weights with each packed projection as three, matrices (in, out)."""
    p = {}
    for name, w in works.weights(work).items():
        if "in_proj" in name:
            for part, piece in zip("qkv", onp.split(w, 3)):
                p[name.replace("in_proj", part)] = onp.ascontiguousarray(piece.T)
        else:
            matrix = name.endswith("weight") and w.ndim == 2 and not name.startswith("w")
            p[name] = onp.ascontiguousarray(w.T) if matrix else w
    return p


def inputs(work):
    """Patches or one-hot tokens, one a row; one-hot targets."""
    x, labels = works.data(work)
    m = work.model
    if isinstance(m, works.ViT):
        B, P, h = work.batch, m.patch, m.image // m.patch
        x = x.reshape(B, h, P, h, P, m.channels).transpose(0, 1, 3, 2, 4, 5).reshape(B, h * h, -1)
        return x.reshape(-1, x.shape[-1]), onp.eye(m.classes, dtype=onp.float32)[labels]
    eye = onp.eye(m.vocabulary, dtype=onp.float32)
    return eye[x].reshape(-1, m.vocabulary), eye[labels].reshape(-1, m.vocabulary)


def number(np, x):
    """x in float32; MyGrad computes in float64 after a Python number."""
    return getattr(np, "float32", float)(x)


def row_mean(np, x):
    return np.dot(x, onp.full((x.shape[-1], 1), 1 / x.shape[-1], onp.float32))


def layer_norm(np, x, gamma, beta, eps):
    h = x - row_mean(np, x)
    return gamma * (h / np.sqrt(row_mean(np, h * h) + number(np, eps))) + beta


def gelu(np, x):
    half, one = number(np, 0.5), number(np, 1)
    c, cubic = number(np, math.sqrt(2 / math.pi)), number(np, 0.044715)
    return x * half * (np.tanh(x * c * (x * x * cubic + one)) + one)


def attention(np, x, p, at, B, N, heads, mask):
    def split(part):
        y = np.dot(x, p[f"{at}{part}_weight"]) + p[f"{at}{part}_bias"]
        return np.transpose(np.reshape(y, (B, N, heads, -1)), (0, 2, 1, 3))

    q, k, v = split("q") * number(np, (x.shape[1] // heads) ** -0.5), split("k"), split("v")
    s = np.matmul(q, np.transpose(k, (0, 1, 3, 2)))
    if mask is not None:
        s = s + mask
    e = np.exp(s)  # the scores of these models are small: no maximum to subtract
    o = np.matmul(e, v) / np.matmul(e, onp.ones((N, 1), onp.float32))
    o = np.reshape(np.transpose(o, (0, 2, 1, 3)), (B * N, -1))
    return np.dot(o, p[at + "out_proj.weight"]) + p[at + "out_proj.bias"]


def logits(np, p, x, work):
    m, B = work.model, work.batch
    s, N, D = m.stack, m.tokens, m.stack.width
    mask = None
    if isinstance(m, works.ViT):
        x = np.reshape(np.dot(x, p["projection.weight"]) + p["projection.bias"], (B, N - 1, D))
        cls = np.dot(onp.ones((B, 1), onp.float32), np.reshape(p["class_token"], (1, D)))
        x = np.concatenate([np.reshape(cls, (B, 1, D)), x], axis=1)
    else:
        x = np.reshape(np.dot(x, p["wte.weight"]), (B, N, D))
        mask = onp.where(onp.tri(N, dtype=bool), 0, -onp.inf).astype(onp.float32)
    x = np.reshape(x + p["position" if "position" in p else "wpe.weight"], (B * N, D))
    for i in range(s.layers):
        at = f"layers.{i}."
        h = layer_norm(np, x, p[at + "ln_1.weight"], p[at + "ln_1.bias"], s.eps)
        x = x + attention(np, h, p, at + "attn.", B, N, s.heads, mask)
        h = layer_norm(np, x, p[at + "ln_2.weight"], p[at + "ln_2.bias"], s.eps)
        h = gelu(np, np.dot(h, p[at + "mlp.fc1.weight"]) + p[at + "mlp.fc1.bias"])
        x = x + (np.dot(h, p[at + "mlp.fc2.weight"]) + p[at + "mlp.fc2.bias"])
    if isinstance(m, works.ViT):  # the class tokens, picked by a product with (1, 0, 0, ...)
        first = onp.eye(1, N, dtype=onp.float32)
        x = np.reshape(np.matmul(first, np.reshape(x, (B, N, D))), (B, D))
    x = layer_norm(np, x, p["norm.weight"], p["norm.bias"], s.eps)
    if isinstance(m, works.GPT):
        return np.dot(x, np.transpose(p["wte.weight"], (1, 0)))
    return np.dot(x, p["head.weight"]) + p["head.bias"]


def loss(np, p, x, target, work):
    """The mean cross-entropy."""
    z = logits(np, p, x, work)
    return np.mean(np.log(np.sum(np.exp(z), axis=1)) - np.sum(z * target, axis=1))


def adamw(p, gradients, state):
    """One step on dicts of NumPy arrays, in place."""
    state["t"] = t = state.get("t", 0) + 1
    beta1, beta2 = works.BETAS
    for name, g in gradients.items():
        m, v = state.setdefault(name, (onp.zeros_like(g), onp.zeros_like(g)))
        w = p[name]
        w *= 1 - works.LR * works.WEIGHT_DECAY
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * (g * g)
        d = onp.sqrt(v)
        d *= 1 / math.sqrt(1 - beta2**t)
        d += works.EPS
        onp.divide(m, d, out=d)
        d *= works.LR / (1 - beta1**t)
        w -= d
