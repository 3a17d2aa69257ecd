"""Every function, optimizer and a whole ViT against PyTorch: values and every gradient.

float64 to 1e-10, float32 to 1e-4. Attention modules and layers: test_sequence_parity.py.
"""

import math

import numpy as np
import pytest

import minivit as mv
from minivit import convolution, nn, optim
from minivit.images.patches import patchify
from minivit.models.vit import ViT

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.parity
torch.set_num_threads(1)

rng = np.random.default_rng


def normal(*shape, seed=0):
    return rng([seed, *shape]).standard_normal(shape)


def same(ours, theirs, inputs, dtype):
    """f of the same numbers on both sides: the value, and for a random cotangent the gradient of
    every input."""
    xs = [mv.Tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    ts = [torch.tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    out, out_there = ours(*xs), theirs(*ts)
    close(out.numpy(), out_there.detach().numpy(), dtype)
    g = normal(*out.shape, seed=1).astype(dtype)
    out.backward(g)
    out_there.backward(torch.from_numpy(g))
    for x, t in zip(xs, ts, strict=True):
        close(x.grad, t.grad.numpy(), dtype)


def close(a, b, dtype, name=""):
    assert a.dtype == b.dtype == dtype
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(
        a, b, rtol=tolerance, atol=tolerance * (1 + np.abs(b).max(initial=0)), err_msg=name,
        strict=True,
    )  # fmt: skip


# -- functions -------------------------------------------------------------------------------------
LABELS = np.array([[0, 3, 4], [2, -100, 1]])
IDS = np.array([[0, 3, 3], [6, 0, 3]])
IMAGES, KERNEL = normal(2, 6, 7, 3), normal(4, 3, 2, 3)  # channels last


def first(t):
    """(B, H, W, C) -> (B, C, H, W): PyTorch's images, and kernels, have their channels first."""
    return t.permute(0, 3, 1, 2)


def last(t):
    return t.permute(0, 2, 3, 1)


def attend(mask=None, causal=False, scale=None, heads=2):
    """Ours on (B, N, D), PyTorch's on (B, H, N, d)."""

    def split(t):
        return t.reshape(*t.shape[:2], heads, -1).transpose(1, 2)

    def theirs(q, k, v):
        m = None if mask is None else torch.from_numpy(mask)
        y = F.scaled_dot_product_attention(
            split(q), split(k), split(v), m, 0.0, causal, scale=scale
        )
        return y.transpose(1, 2).reshape(q.shape)

    return (
        lambda q, k, v: mv.dot_product_attention(q, k, v, heads, mask, causal, scale),
        theirs,
        [normal(3, 5, 8), normal(3, 5, 8, seed=2), normal(3, 5, 8, seed=3)],
    )


def cross_entropy(reduction="mean", **how):
    return (
        lambda x: mv.cross_entropy_loss(x, LABELS, reduction=reduction, **how),
        lambda x: F.cross_entropy(
            x.movedim(how.get("axis", -1), 1), torch.from_numpy(LABELS), reduction=reduction,
            label_smoothing=how.get("label_smoothing", 0.0),
        ),
    )  # fmt: skip


PADDED = np.arange(5) < np.array([5, 3, 1])[:, None]
CASES = {
    "relu": (mv.relu, F.relu, [normal(3, 4)]),
    "sigmoid": (mv.sigmoid, torch.sigmoid, [normal(3, 4) * 4]),
    "silu": (mv.silu, F.silu, [normal(3, 4) * 4]),
    "gelu": (mv.gelu, F.gelu, [normal(3, 4) * 3]),
    "gelu tanh": (
        lambda x: mv.gelu(x, approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
        [normal(3, 4) * 3],
    ),
    "gelu quick": (
        lambda x: mv.gelu(x, approximate="quick"),
        lambda x: x * torch.sigmoid(1.702 * x),
        [normal(3, 4) * 3],
    ),
    "softmax": (mv.softmax, lambda x: F.softmax(x, -1), [normal(3, 4, 5)]),
    "softmax axis 1": (lambda x: mv.softmax(x, 1), lambda x: F.softmax(x, 1), [normal(3, 4, 5)]),
    "log_softmax": (lambda x: mv.log_softmax(x, 0), lambda x: F.log_softmax(x, 0), [normal(3, 4)]),
    "logsumexp": (
        lambda x: mv.logsumexp(x, 1, keepdims=True),
        lambda x: torch.logsumexp(x, 1, keepdim=True),
        [normal(3, 4)],
    ),
    "linear": (mv.linear, F.linear, [normal(2, 3, 4), normal(5, 4), normal(5)]),
    "linear no bias": (mv.linear, F.linear, [normal(3, 4), normal(5, 4)]),
    "layer_norm": (
        lambda x, w, b: mv.layer_norm(x, w, b, eps=1e-6),
        lambda x, w, b: F.layer_norm(x, (6,), w, b, eps=1e-6),
        [normal(2, 3, 6), normal(6), normal(6, seed=1)],
    ),
    "rms_norm": (
        lambda x, w: mv.rms_norm(x, w, eps=1e-5),
        lambda x, w: F.rms_norm(x, (6,), w, eps=1e-5),
        [normal(2, 3, 6), normal(6)],
    ),
    "l2_normalize": (
        lambda x: mv.l2_normalize(x, axis=1), lambda x: F.normalize(x, dim=1), [normal(2, 3, 4)],
    ),
    "embedding": (
        lambda t: mv.embedding(t, IDS), lambda t: F.embedding(torch.from_numpy(IDS), t),
        [normal(7, 4)],
    ),
    "cross_entropy": (*cross_entropy(), [normal(2, 3, 5)]),
    "cross_entropy axis 1": (*cross_entropy(axis=1), [normal(2, 5, 3)]),
    "cross_entropy smoothed": (*cross_entropy(label_smoothing=0.1), [normal(2, 3, 5)]),
    "cross_entropy none": (*cross_entropy("none", label_smoothing=0.3), [normal(2, 3, 5)]),
    "conv2d": (
        lambda x, w, b: convolution.conv2d(x, w, b, stride=2, padding=1),
        lambda x, w, b: last(F.conv2d(first(x), first(w), b, stride=2, padding=1)),
        [IMAGES, KERNEL, normal(4)],
    ),
    "conv2d no bias": (
        convolution.conv2d, lambda x, w: last(F.conv2d(first(x), first(w))), [IMAGES, KERNEL],
    ),
    "avg_pool2d": (
        lambda x: convolution.avg_pool2d(x, 2),
        lambda x: last(F.avg_pool2d(first(x), 2)),
        [IMAGES],
    ),
    "patch embedding is a convolution": (
        lambda x, w: mv.linear(patchify(x, 2), w),
        lambda x, w: last(
            F.conv2d(first(x), first(w.reshape(4, 2, 2, 3)), stride=2)
        ).reshape(2, -1, 4),
        [normal(2, 6, 8, 3), normal(4, 12)],
    ),
    "attention": attend(),
    "attention causal": attend(causal=True),
    "attention masked": attend(PADDED[:, None, None, :], scale=0.3),
    "attention one mask": attend(np.tri(5, dtype=bool) & np.tri(5, 5, 3, dtype=bool).T, heads=4),
    "power": (lambda x, y: abs(x) ** y, lambda x, y: abs(x) ** y, [normal(3, 4) + 3, normal(4)]),
    "maximum": (mv.maximum, torch.maximum, [normal(3, 4), normal(4)]),
    "max": (lambda x: x.max(axis=1), lambda x: x.amax(1), [np.ones((2, 3))]),  # shared by equals
    "var": (lambda x: x.var(axis=1, ddof=1), lambda x: x.var(1), [normal(3, 5)]),
    "einsum": (
        lambda a, b: mv.einsum("bnd,bmd->bnm", a, b),
        lambda a, b: torch.einsum("bnd,bmd->bnm", a, b),
        [normal(2, 3, 4), normal(2, 5, 4)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", CASES)
def test_a_function(name, dtype):
    same(*CASES[name], dtype)


# -- optimizers ------------------------------------------------------------------------------------
OPTIMIZERS = [
    (optim.SGD, torch.optim.SGD, dict(lr=0.1)),
    (optim.SGD, torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.01)),
    (optim.Adam, torch.optim.Adam, dict(lr=0.01)),
    (optim.Adam, torch.optim.Adam, dict(lr=0.01, betas=(0.8, 0.9), weight_decay=0.1)),
    (optim.AdamW, torch.optim.AdamW, dict(lr=0.01)),
    (optim.AdamW, torch.optim.AdamW, dict(lr=0.01, eps=1e-3, weight_decay=0.3)),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("ours, theirs, options", OPTIMIZERS, ids=lambda x: str(x)[-40:])
def test_ten_steps_of_an_optimizer(ours, theirs, options, dtype):
    """The defaults are the same too: only what is listed is given to both."""
    shapes = [(4, 3), (3,), (2, 5)]
    params = [nn.Parameter(normal(*s).astype(dtype)) for s in shapes]
    tensors = [torch.tensor(normal(*s).astype(dtype), requires_grad=True) for s in shapes]
    a, b = ours(params, **options), theirs(tensors, **options)
    for step in range(10):
        for p, t in zip(params, tensors, strict=True):
            g = normal(*p.shape, seed=step + 5).astype(dtype)
            p.grad, t.grad = g, torch.from_numpy(g.copy())
        a.step()
        b.step()
    for p, t in zip(params, tensors, strict=True):
        close(p.numpy(), t.detach().numpy(), dtype)


def test_clip_grad_norm():
    grads = [normal(4, 3), normal(3)]
    params = [nn.Parameter(g) for g in grads]
    tensors = [torch.tensor(g, requires_grad=True) for g in grads]
    for p, t, g in zip(params, tensors, grads, strict=True):
        p.grad, t.grad = g.copy(), torch.from_numpy(g.copy())
    norm = optim.clip_grad_norm(params, 1.0)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(tensors, 1.0).item())
    for p, t in zip(params, tensors, strict=True):
        np.testing.assert_allclose(p.grad, t.grad.numpy(), rtol=1e-5)  # theirs divides by norm+1e-6


# -- layers ----------------------------------------------------------------------------------------
def test_layers_have_pytorchs_names_shapes_and_defaults():
    for ours, theirs in (
        (nn.Linear(4, 3), torch.nn.Linear(4, 3)),
        (nn.Linear(4, 3, bias=False), torch.nn.Linear(4, 3, bias=False)),
        (nn.LayerNorm(4), torch.nn.LayerNorm(4)),
        (nn.Embedding(5, 3), torch.nn.Embedding(5, 3)),
        (mv.MultiHeadAttention(4, 2), torch.nn.MultiheadAttention(4, 2)),
    ):
        state = {name: tuple(p.shape) for name, p in theirs.state_dict().items()}
        assert {name: p.shape for name, p in ours.state_dict().items()} == state
        ours.load_state_dict({name: p.numpy() for name, p in theirs.state_dict().items()})
    assert nn.LayerNorm(4).eps == torch.nn.LayerNorm(4).eps
    assert nn.Dropout().p == torch.nn.Dropout().p


@pytest.mark.parametrize("kind", ["Linear", "Embedding", "Conv2d"])
def test_initial_weights_are_spread_as_pytorchs(kind):
    mv.manual_seed(0)
    torch.manual_seed(0)
    args = {"Linear": (200, 300), "Embedding": (200, 300), "Conv2d": (40, 50, 5)}[kind]
    ours = (convolution if kind == "Conv2d" else nn).__dict__[kind](*args)
    theirs = getattr(torch.nn, kind)(*args)
    a, b = ours.weight.numpy(), theirs.weight.detach().numpy()
    assert a.std() == pytest.approx(b.std(), rel=0.02)
    assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.1)


# -- a whole ViT -----------------------------------------------------------------------------------
IMAGE, PATCH, CHANNELS, CLASSES, D, LAYERS, HEADS = (8, 6), 2, 3, 5, 16, 3, 4


class TorchViT(torch.nn.Module):
    """The same network of PyTorch's own parts: a convolution cuts the patches, its encoder layers
    are pre-LN, their MLP uses the tanh form of GELU."""

    def __init__(self):
        super().__init__()
        N = IMAGE[0] // PATCH * (IMAGE[1] // PATCH)
        self.patches = torch.nn.Conv2d(CHANNELS, D, PATCH, stride=PATCH)
        self.cls = torch.nn.Parameter(torch.zeros(1, 1, D))
        self.position = torch.nn.Parameter(torch.zeros(1, N + 1, D))
        layer = torch.nn.TransformerEncoderLayer(
            D, HEADS, 4 * D, 0.0, lambda x: F.gelu(x, approximate="tanh"), 1e-6,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.layers = torch.nn.TransformerEncoder(
            layer, LAYERS, norm=torch.nn.LayerNorm(D, 1e-6), enable_nested_tensor=False
        )
        self.head = torch.nn.Linear(D, CLASSES)

    def forward(self, images):  # (B, H, W, C)
        x = self.patches(images.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1) + self.position
        return self.head(self.layers(x)[:, 0])


OUTSIDE = {"projection": "patches", "class_token": "cls", "norm.": "layers.norm."}
INSIDE = {"layers.": "layers.layers.", "attn": "self_attn", "ln_": "norm", "mlp.fc": "linear"}


def torch_name(name):
    """The place in PyTorch's of one of our ViT's parameters."""
    for ours, theirs in (INSIDE if name.startswith("layers.") else OUTSIDE).items():
        name = name.replace(ours, theirs)
    return name


def as_theirs(name, array):
    """Our patch projection (D, P P C) is their kernel (D, C, P, P)."""
    if name == "projection.weight":
        return array.reshape(D, PATCH, PATCH, CHANNELS).transpose(0, 3, 1, 2)
    return array


def twin_models(dtype):
    """Both with the same random weights; none is zero, not even the head's."""
    ours, theirs = ViT(IMAGE, PATCH, CHANNELS, CLASSES, D, LAYERS, HEADS), TorchViT()
    theirs = theirs.to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    there = dict(theirs.named_parameters())
    pairs = []
    for i, (name, p) in enumerate(ours.named_parameters()):
        p.data = (normal(*p.shape, seed=i) * 0.3).astype(dtype)
        t = there.pop(torch_name(name))
        with torch.no_grad():
            t.copy_(torch.from_numpy(as_theirs(name, p.data).copy()))
        pairs.append((name, p, t))
    assert not there, f"not compared: {list(there)}"
    return ours, theirs, pairs


def batch(step, dtype):
    labels = rng(step).integers(0, CLASSES, 4)
    return normal(4, *IMAGE, CHANNELS, seed=step).astype(dtype), labels


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_vit(dtype):
    """Logits, loss, the gradient of the image and of every parameter."""
    ours, theirs, pairs = twin_models(dtype)
    images, labels = batch(0, dtype)
    x, t = mv.Tensor(images, requires_grad=True), torch.tensor(images, requires_grad=True)
    logits, logits_there = ours(x), theirs(t)
    close(logits.numpy(), logits_there.detach().numpy(), dtype, "logits")
    loss = mv.cross_entropy_loss(logits, labels)
    loss_there = F.cross_entropy(logits_there, torch.from_numpy(labels))
    close(loss.numpy(), loss_there.detach().numpy(), dtype, "loss")
    loss.backward()
    loss_there.backward()
    close(x.grad, t.grad.numpy(), dtype, "images")
    for name, p, p_there in pairs:
        assert np.abs(p.grad).max() > 0, name
        close(as_theirs(name, p.grad), p_there.grad.numpy(), dtype, name)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_five_training_steps_of_a_vit(dtype):
    """AdamW with weight decay on matrices, gradients clipped: the same losses and weights."""
    ours, theirs, pairs = twin_models(dtype)
    groups = optim.decay_groups(ours, 0.1)
    there = {id(p): t for _, p, t in pairs}
    ours_opt = optim.AdamW(groups, lr=1e-2)
    theirs_opt = torch.optim.AdamW(
        [{**g, "params": [there[id(p)] for p in g["params"]]} for g in groups], lr=1e-2
    )
    for step in range(5):
        images, labels = batch(step, dtype)
        ours_opt.zero_grad()
        loss = mv.cross_entropy_loss(ours(mv.Tensor(images)), labels)
        loss.backward()
        theirs_opt.zero_grad()
        loss_there = F.cross_entropy(theirs(torch.from_numpy(images)), torch.from_numpy(labels))
        loss_there.backward()
        losses = loss.item(), loss_there.item()
        assert losses[0] == pytest.approx(losses[1], rel=1e-9 if dtype == np.float64 else 1e-4)
        norm = math.sqrt(sum((p.grad.astype(float) ** 2).sum() for _, p, _ in pairs))
        assert optim.clip_grad_norm(ours.parameters(), norm / 2) == pytest.approx(norm, rel=1e-4)
        for _, _, t in pairs:
            t.grad *= 0.5
        ours_opt.step()
        theirs_opt.step()
    if dtype == np.float64:  # in float32, Adam's first steps are the sign of a rounding error
        for name, p, t in pairs:
            np.testing.assert_allclose(
                as_theirs(name, p.numpy()), t.detach().numpy(), rtol=1e-7, atol=1e-7, err_msg=name
            )
