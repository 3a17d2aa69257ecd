"""The Vision Transformer and its patches: shapes, steps, sizes, errors, and that it learns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import nn, optim
from minivit.engine import backend
from minivit.engine.check import gradcheck
from minivit.engine.errors import DeviceError, OptionError, ShapeError
from minivit.images.patches import patchify, unpatchify
from minivit.models.clip import PatchEmbedding
from minivit.models.vit import SIZES, ViT, vit
from minivit.transformer import MLP, TransformerLayer
from tests import strict
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


# -- patches ---------------------------------------------------------------------------------------
def grids():
    """(B, rows of patches, columns, P, C), P from 1 on, never square by necessity."""
    return st.tuples(*(st.integers(1, n) for n in (2, 3, 4, 3, 3)))


@given(grids())
def test_patchify_reads_as_its_docstring_says(grid):
    """Patch by patch, in raster order, each read row by row, its channels together."""
    B, h, w, P, C = grid
    images = np.arange(B * h * P * w * P * C).reshape(B, h * P, w * P, C)
    patches = patchify(images, P)
    assert patches.shape == (B, h * w, P * P * C)
    for b in range(B):
        for n in range(h * w):
            i, j = n // w * P, n % w * P
            assert patches[b, n].tolist() == images[b, i : i + P, j : j + P].reshape(-1).tolist()
    assert (unpatchify(patches, P, h * P, w * P) == images).all()


@given(grids())
@settings(max_examples=10)
def test_patches_are_moved_numbers(grid):
    """So the gradient is the same move backward."""
    B, h, w, P, C = grid
    images = np.random.default_rng(0).standard_normal((B, h * P, w * P, C))
    x = mv.Tensor(images, requires_grad=True)
    g = np.random.default_rng(1).standard_normal((B, h * w, P * P * C))
    patchify(x, P).backward(g)
    assert (x.grad == unpatchify(g, P, h * P, w * P)).all()


def test_patch_embedding_is_a_linear_of_each_patch():
    embed = PatchEmbedding(2, 3, 5)
    images = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32)
    out = embed(mv.Tensor(images))
    assert out.shape == (2, 6, 5)
    expected = embed.projection(mv.Tensor(images[1, 2:4, 4:6].reshape(12)))  # the last patch
    np.testing.assert_allclose(out.numpy()[1, 5], expected.numpy(), rtol=1e-5)


def test_errors_of_patches():
    images = np.zeros((1, 8, 6, 1))
    with pytest.raises(ShapeError, match=r"image of 8 x 6 pixels .* patches of 4 x 4.*Resize"):
        patchify(images, 4)
    with pytest.raises(ShapeError, match=r"got shape \(8, 6\), expected \(B, H, W, C\).*x\[None"):
        patchify(images[0, ..., 0], 2)
    with pytest.raises(ShapeError, match="12 patches of 4 numbers do not tile 8 x 8"):
        unpatchify(patchify(images, 2), 2, 8, 8)


# -- the layer -------------------------------------------------------------------------------------
def in_double(model):
    """The model in float64 with weights that are neither 0 nor 1, for gradient checks."""
    rng = np.random.default_rng(0)
    for p in model.parameters():
        p.data = rng.standard_normal(p.shape) * 0.5
    return model


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "quick_gelu", "silu"])
def test_gradients_of_a_layer(norm, activation):
    layer = in_double(TransformerLayer(4, 2, 6, norm, activation))
    x = np.random.default_rng(1).standard_normal((2, 3, 4))
    mask = np.tri(3, dtype=bool)
    assert gradcheck(lambda x: layer(x, mask=mask), x).compared >= 20


def test_the_two_norm_orders():
    """post-LN ends in a LayerNorm: each token has mean 0 and variance 1; pre-LN keeps a path on
    which x is only added to."""
    x = np.random.default_rng(0).standard_normal((2, 3, 8)).astype(np.float32) * 5
    out = TransformerLayer(8, 2, norm="post")(mv.Tensor(x)).numpy()
    np.testing.assert_allclose(out.mean(axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(out.var(axis=-1), 1, atol=1e-3)
    layer = TransformerLayer(8, 2, norm="pre")
    layer.attn.out_proj.weight.data[...] = 0
    layer.mlp.fc2.weight.data[...] = 0
    layer.mlp.fc2.bias.data[...] = 0
    assert (layer(mv.Tensor(x)).numpy() == x).all()


def test_errors_of_layers():
    with pytest.raises(OptionError, match="norm is 'none', expected one of 'pre', 'post'"):
        TransformerLayer(8, 2, norm="none")
    with pytest.raises(OptionError, match="activation is 'elu', expected one of 'relu'"):
        MLP(8, 16, "elu")
    with pytest.raises(ShapeError, match="8 does not divide into 3 heads"):
        TransformerLayer(8, 3)


# -- the model -------------------------------------------------------------------------------------
def small(**options):
    return ViT(**{"image": (8, 4), "patch": 2, "channels": 3, "classes": 5, "width": 12,
                  "layers": 2, "heads": 3, **options})  # fmt: skip


def some_images(n=2, dtype=np.float32):
    return np.random.default_rng(0).standard_normal((n, 8, 4, 3)).astype(dtype)


@ON_EVERY_DEVICE
def test_shapes_dtypes_and_devices(device):
    with mv.use(device):
        model = small()
        x = mv.Tensor(some_images(), device=device)
        assert model.tokens(x).shape == (2, 9, 12)
        assert model.features(x).shape == (2, 12)
        logits = model(x)
        assert logits.shape == (2, 5)
        assert logits.dtype == np.float32
        assert logits.device == device
        maps = model.attention(x)
        assert [A.shape for A in maps] == [(2, 3, 9, 9)] * 2
        for A in maps:
            np.testing.assert_allclose(A.sum(axis=-1), 1, rtol=1e-5)
        strict.reset()
        mv.cross_entropy_loss(logits, np.array([0, 4])).backward()
        assert strict.stats.float64 == 0
        assert strict.stats.syncs == 0
        assert all(backend.device_of(p.grad) == device for p in model.parameters())


@ON_EVERY_DEVICE
def test_the_devices_agree(device):
    """The same seed, the same images: the same logits and gradients to float32's rounding."""
    results = []
    for d in ("cpu", device):
        mv.manual_seed(3)
        with mv.use(d):
            model = small()
            for p in model.parameters():
                p.assign(np.random.default_rng(p.size).standard_normal(p.shape) * 0.3)
            logits = model(mv.Tensor(some_images(), device=d))
            mv.cross_entropy_loss(logits, np.array([0, 4])).backward()
            gradients = [backend.to_numpy(p.grad) for p in model.parameters()]
            results.append([logits.numpy(), *gradients])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_every_gradient_of_the_whole_model():
    """float64, all parameters at once: a random direction's slope equals a difference."""
    model = in_double(small(layers=1, width=6))
    images = some_images(dtype=np.float64)
    params = list(model.parameters())

    def f(x, *values):
        for p, v in zip(params, values, strict=True):
            p.data = v.data
        return model(x)

    rng = np.random.default_rng(2)
    x = mv.Tensor(images, requires_grad=True)
    g = rng.standard_normal((2, 5))
    model(x).backward(g)
    directions = [rng.standard_normal(t.shape) for t in (x, *params)]
    slope = sum((t.grad * d).sum() for t, d in zip((x, *params), directions, strict=True))
    before = [t.data for t in (x, *params)]
    phi = [
        (f(*(mv.Tensor(b + h * d) for b, d in zip(before, directions))).numpy() * g).sum()
        for h in (1e-5, -1e-5)
    ]
    assert slope == pytest.approx((phi[0] - phi[1]) / 2e-5, rel=1e-6)


def test_the_five_steps():
    """Tokens: the class token first, then each patch projected; positions added to both."""
    model = in_double(small())
    images = some_images(dtype=np.float64)
    tokens = model.tokens(mv.Tensor(images)).numpy()
    position, cls = model.position.numpy()[0], model.class_token.numpy()[0, 0]
    np.testing.assert_allclose(tokens[0, 0], cls + position[0])
    np.testing.assert_allclose(tokens[1, 0], cls + position[0])
    patches = patchify(images, 2)
    W, b = model.projection.weight.numpy(), model.projection.bias.numpy()
    np.testing.assert_allclose(tokens[1, 1:], patches[1] @ W.T + b + position[1:], rtol=1e-10)


def test_the_initialisation_of_the_paper():
    mv.manual_seed(0)
    model = ViT(32, 4, 3, classes=10, width=96, layers=2, heads=4)
    assert (model.head.weight.numpy() == 0).all() and (model.head.bias.numpy() == 0).all()
    assert (model.class_token.numpy() == 0).all()
    assert model.position.numpy().std() == pytest.approx(0.02, rel=0.05)
    assert model.norm.eps == model.layers[0].ln_1.eps == 1e-6
    W = model.layers[0].mlp.fc1.weight.numpy()
    assert W.std() == pytest.approx(np.sqrt(2 / (96 + 384)), rel=0.05)
    images = np.random.default_rng(0).standard_normal((3, 32, 32, 3)).astype(np.float32)
    labels = np.array([0, 5, 9])
    assert mv.cross_entropy_loss(model(images), labels).item() == pytest.approx(np.log(10))


def test_the_published_sizes(monkeypatch):
    """Table 1 of the paper: 86, 307 and 632 million parameters at 1,000 classes, P = 16 and 14; 5.7
    and 22 million for the two smaller ones (Touvron et al. 2020). Counted on one and two layers."""
    for init in ("uniform", "normal"):
        monkeypatch.setattr(nn, init, lambda shape, spread: np.zeros(shape, np.float32))
    monkeypatch.setattr(nn, "xavier_uniform", lambda o, i: np.zeros((o, i), np.float32))
    million = {
        "Ti/16": 5.72, "S/16": 22.05, "B/16": 86.57, "B/32": 88.22, "L/16": 304.33, "H/14": 632.05,
    }  # fmt: skip
    for name, expected in million.items():
        layers, *others = SIZES[name.partition("/")[0]]
        counts = []
        for n in (1, 2):
            with monkeypatch.context() as patch:
                patch.setitem(SIZES, name.partition("/")[0], (n, *others))
                counts.append(vit(name).count_parameters())
        total = counts[0] + (layers - 1) * (counts[1] - counts[0])
        assert total / 1e6 == pytest.approx(expected, abs=0.01), name


def test_dropout_acts_in_training_only():
    model = small(dropout=0.5)
    for p in model.parameters():
        p.assign(np.random.default_rng(0).standard_normal(p.shape) * 0.3)
    images = some_images()
    assert (model(images).numpy() != model(images).numpy()).any()
    model.eval()
    assert (model(images).numpy() == model(images).numpy()).all()


@ON_EVERY_DEVICE
def test_a_few_steps_learn_a_batch(device):
    """Eight random images and labels are learnt by heart: the loss falls below a hundredth."""
    with mv.use(device):
        model = small(width=24, layers=1)
        opt = optim.AdamW(model.parameters(), lr=1e-2)
        images, labels = some_images(8), np.arange(8) % 5
        x = mv.Tensor(images, device=device)
        losses = []
        for _ in range(40):
            opt.zero_grad()
            loss = mv.cross_entropy_loss(model(x), labels)
            loss.backward()
            opt.step()
            losses.append(loss.item())
        assert losses[0] == pytest.approx(np.log(5), rel=1e-5)
        assert losses[-1] < 0.01


def test_errors():
    model = small()
    with pytest.raises(ShapeError, match=r"image of 8 x 6 does not divide into patches of 4 x 4"):
        ViT((8, 6), 4)
    with pytest.raises(ShapeError, match="width 10 does not divide into 4 heads"):
        ViT(8, 2, width=10, heads=4)
    with pytest.raises(ShapeError, match=r"images: got shape \(2, 4, 8, 3\), .* \(B, 8, 4, 3\)"):
        model(np.zeros((2, 4, 8, 3), np.float32))
    with pytest.raises(ShapeError, match=r"images: got shape \(8, 4, 3\)"):
        model(np.zeros((8, 4, 3), np.float32))
    with pytest.raises(DeviceError, match="two devices"):
        model(mv.Tensor(some_images(), device="strict"))
    for name in ("B16", "XL/16", "B/", "B/x"):
        with pytest.raises(OptionError, match=f"got '{name}', expected e.g. 'B/16'"):
            vit(name)
