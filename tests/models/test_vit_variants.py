"""Variants of a ViT: pooling, positions, resolution, skipped layers. And parity."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.engine.check import gradcheck
from minivit.engine.errors import OptionError, ShapeError
from minivit.models.vit import MAPHead, ViT, resize_positions, sincos_2d
from tests.devices import DEVICES

SMALL = {"image": 8, "patch": 2, "channels": 3, "classes": 5, "width": 12, "layers": 2, "heads": 3}
POOLS, POSITIONS = ("class", "mean", "map"), ("learned", "sincos", "none")


def shaken(model, dtype=np.float32):
    """Weights that are neither 0 nor 1."""
    rng = np.random.default_rng(0)
    for p in model.parameters():
        value = rng.standard_normal(p.shape) * 0.3
        if dtype == np.float64:
            p.data = value
        else:
            p.assign(value)
    return model


def pictures(n=2, side=8, dtype=np.float32):
    return np.random.default_rng(1).standard_normal((n, side, side, 3)).astype(dtype)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_every_combination_has_its_shapes_and_all_gradients(pool, positions, device):
    with mv.use(device):
        model = shaken(ViT(**SMALL, pool=pool, positions=positions))
        x = mv.Tensor(pictures(), device=device)
        assert model.tokens(x).shape == (2, 17 if pool == "class" else 16, 12)
        assert model.features(x).shape == (2, 12)
        mv.cross_entropy_loss(model(x), np.array([0, 4])).backward()
        assert all(p.grad is not None for p in model.parameters())


def test_gradients_of_attention_pooling():
    head = shaken(MAPHead(6, 2, 8), np.float64)
    x = np.random.default_rng(2).standard_normal((2, 3, 6))
    assert gradcheck(head, x).compared >= 20


@pytest.mark.parametrize("pool", POOLS)
def test_only_positions_tell_an_image_from_its_shuffled_patches(pool):
    x = pictures()
    halves_exchanged = np.concatenate([x[:, 4:], x[:, :4]], axis=1)
    for positions in POSITIONS:
        model = shaken(ViT(**SMALL, pool=pool, positions=positions)).eval()
        a, b = (model(mv.Tensor(v)).numpy() for v in (x, halves_exchanged))
        assert np.allclose(a, b, atol=1e-4) == (positions == "none"), positions


def test_sincos_positions_differ_and_are_unit_circles():
    p = sincos_2d((3, 4), 8)[0]  # (12, 8): sin, cos of the column, sin, cos of the row
    assert p.shape == (12, 8) and len(np.unique(p.round(5), axis=0)) == 12
    assert np.allclose(p[:, :2] ** 2 + p[:, 2:4] ** 2, 1, atol=1e-6)
    assert np.allclose(p[:4, 4:], p[0, 4:])  # the first row of places: one and the same row
    assert (sincos_2d((3, 4), 8, class_token=True)[0, 0] == 0).all()
    with pytest.raises(ShapeError, match="10 is not divisible by 4"):
        sincos_2d((2, 2), 10)


def grids():
    return st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(grids(), grids(), st.integers(0, 2))
@settings(max_examples=50)
def test_interpolated_positions_keep_planes_corners_and_what_is_in_front(old, new, front):
    """A bilinear function of row and column is reproduced; a grid laid upon itself is itself."""
    (h, w), (h2, w2) = old, new

    def plane(h, w):
        i, j = np.mgrid[:h, :w]
        i, j = i / max(1, h - 1), j / max(1, w - 1)
        return np.stack([1 + 0 * i, i, j, i * j], axis=2).reshape(1, h * w, 4)

    token = np.full((1, front, 4), 7.0)
    at_first = np.concatenate([token, plane(h, w)], axis=1)
    assert np.allclose(resize_positions(at_first, old, old), at_first)
    found = resize_positions(at_first, old, new)
    assert found.shape == (1, front + h2 * w2, 4) and (found[:, :front] == 7).all()
    if h > 1 < w and h2 > 1 < w2:
        assert np.allclose(found[:, front:], plane(h2, w2))


def test_positions_that_are_no_grid_are_refused():
    with pytest.raises(ShapeError, match=r"8 positions are no \(3, 3\) grid"):
        resize_positions(np.zeros((1, 8, 4)), (3, 3), (4, 4))


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("positions", POSITIONS)
def test_adapted_to_the_same_is_the_same_and_to_other_classes_has_a_head_of_zeros(pool, positions):
    model = shaken(ViT(**SMALL, pool=pool, positions=positions)).eval()
    x = mv.Tensor(pictures())
    assert np.array_equal(model.adapted().eval()(x).numpy(), model(x).numpy())
    other = model.adapted(classes=7).eval()
    assert (other(x).numpy() == 0).all() and other(x).shape == (2, 7)
    assert np.array_equal(other.features(x).numpy(), model.features(x).numpy())
    larger = model.adapted(image=(12, 16))
    assert larger(mv.Tensor(np.zeros((1, 12, 16, 3), np.float32))).shape == (1, 5)


PUBLISHED = dict(activation="gelu", eps=1e-12, pre_logits=7)


@pytest.mark.parametrize("pool", POOLS)
def test_adapted_keeps_activation_eps_and_pre_logits(pool):
    model = shaken(ViT(**SMALL, pool=pool, **PUBLISHED)).eval()
    x = mv.Tensor(pictures())
    assert model.features(x).shape == (2, 7) and (abs(model.features(x).numpy()) < 1).all()
    assert np.array_equal(model.adapted().eval()(x).numpy(), model(x).numpy())
    by_tanh = ViT(**SMALL, pool=pool, **PUBLISHED | {"activation": "gelu_tanh"}).eval()
    by_tanh.load_state_dict(model.state_dict())
    assert 0 < abs(by_tanh(x).numpy() - model(x).numpy()).max() < 0.05


def test_without_classes_the_features_come_out():
    model = shaken(ViT(**SMALL | {"classes": 0})).eval()
    x = mv.Tensor(pictures())
    assert model(x).shape == (2, 12)
    assert np.array_equal(model(x).numpy(), model.features(x).numpy())
    assert np.array_equal(model.adapted().eval()(x).numpy(), model(x).numpy())
    assert model.adapted(classes=3)(x).shape == (2, 3)


def test_adapting_leaves_the_model_as_it_was():
    model = shaken(ViT(**SMALL))
    before = {k: v.copy() for k, v in model.state_dict().items()}
    for p in model.adapted(image=12, classes=3).parameters():
        p.data[...] = 0
    assert all(np.array_equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("changes", [{}, {"image": 12}, {"classes": 3}, {"classes": 0}], ids=str)
@pytest.mark.parametrize("pool", POOLS)
def test_adapted_keeps_what_was_frozen_and_the_dtype(pool, changes):
    model = shaken(ViT(**SMALL, pool=pool, drop_path=0.1)).requires_grad_(False)
    model.norm.requires_grad_(True)
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    new = model.adapted(**changes)
    frozen = {name for name, p in new.named_parameters() if not p.requires_grad}
    new_head = {"head.weight", "head.bias"} if "classes" in changes else set()
    before = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == before - new_head
    assert {p.dtype.name for p in new.parameters()} == {"float64"}
    assert (new.head is None) == (changes.get("classes") == 0)
    assert new.config | {"image": 0} == model.config | {"image": 0} | changes | {"image": 0}


def test_skipped_layers_act_in_training_only_and_keep_the_mean():
    mv.manual_seed(0)
    model = shaken(ViT(**SMALL, drop_path=0.5))
    one = np.broadcast_to(pictures(1), (4000, 8, 8, 3)).copy()
    x = model.tokens(mv.Tensor(one[:1]))
    added = (model.layers[1](x) - x).numpy()
    many = mv.Tensor(np.broadcast_to(x.numpy(), (4000, 17, 12)).copy())
    ratio = (model._maybe_skip(model.layers[1], many, 0.5) - many).numpy() / added
    assert set(np.unique(ratio.round(3))) == {0.0, 2.0}  # skipped, or 1 / (1 - p)
    assert abs(ratio[:, 0, 0].mean() - 1) < 0.1
    model.eval()
    plain = ViT(**SMALL).eval()
    plain.load_state_dict(model.state_dict())
    x = mv.Tensor(one[:2])
    assert np.array_equal(model(x).numpy(), plain(x).numpy())


@pytest.mark.parametrize(
    "option, says",
    [
        ({"pool": "max"}, "pool is 'max', expected one of 'class', 'mean', 'map'"),
        ({"positions": "2d"}, "positions is '2d', expected one of 'learned'"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
    ],
)
def test_unknown_options_are_named(option, says):
    with pytest.raises(OptionError, match=says):
        ViT(**SMALL, **option)


# -- parity ----------------------------------------------------------------------------------------
def from_transformers(at, layers, side=2):
    """{our name: array} of a `vit.`-less state dict of transformers (version 5's live names)."""
    at = {k.removeprefix("vit."): v.numpy() for k, v in at.items()}
    patch = at["embeddings.patch_embeddings.projection.weight"]  # (D, C, P, P)
    out = {
        "projection.weight": patch.transpose(0, 2, 3, 1).reshape(len(patch), -1),
        "projection.bias": at["embeddings.patch_embeddings.projection.bias"],
        "class_token": at["embeddings.cls_token"],
        "position": at["embeddings.position_embeddings"],
    }
    for i in range(layers):
        a, b = f"layers.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            parts = [at[f"{b}attention.{x}_proj.{kind}"] for x in "qkv"]
            out[f"{a}attn.in_proj_{kind}"] = np.concatenate(parts)
            for ours, theirs in (
                ("ln_1", "layernorm_before"), ("ln_2", "layernorm_after"),
                ("attn.out_proj", "attention.o_proj"), ("mlp.fc1", "mlp.fc1"),
                ("mlp.fc2", "mlp.fc2"),
            ):  # fmt: skip
                out[f"{a}{ours}.{kind}"] = at[f"{b}{theirs}.{kind}"]
    for kind in ("weight", "bias"):
        out[f"norm.{kind}"] = at[f"layernorm.{kind}"]
        if f"classifier.{kind}" in at:
            out[f"head.{kind}"] = at[f"classifier.{kind}"]
    return out


@pytest.mark.parity
@pytest.mark.parametrize("with_head", [True, False])
def test_parity_with_transformers_outputs_and_gradients(with_head):
    """ViTForImageClassification, and ViTModel's last hidden state, in float64."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=3, intermediate_size=20,
        hidden_act="gelu_pytorch_tanh", layer_norm_eps=1e-6, image_size=8, patch_size=2,
        num_channels=3, num_labels=5, attn_implementation="sdpa",  # "eager" rounds to float32
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = (
        transformers.ViTForImageClassification(config)
        if with_head
        else transformers.ViTModel(config, add_pooling_layer=False)
    )
    theirs = theirs.double().eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p += 0.2 * torch.randn_like(p)
    ours = shaken(ViT(**SMALL, hidden=20), np.float64)
    state = from_transformers(theirs.state_dict(), 2)
    ours.load_state_dict({**ours.state_dict(), **state})
    x = pictures(dtype=np.float64)
    out = theirs(pixel_values=torch.tensor(x.transpose(0, 3, 1, 2)))
    expected = out.logits if with_head else out.last_hidden_state[:, 0]
    found = ours(mv.Tensor(x)) if with_head else ours.features(mv.Tensor(x))
    assert np.abs(found.numpy() - expected.detach().numpy()).max() < 1e-12
    g = np.random.default_rng(3).standard_normal(found.shape)
    found.backward(g)
    expected.backward(torch.tensor(g))
    gradients = {k: p.grad for k, p in theirs.named_parameters() if p.grad is not None}
    for name, gradient in from_transformers(gradients, 2).items():
        mine = dict(ours.named_parameters())[name].grad
        assert np.abs(mine - gradient).max() < 1e-10 * max(1, np.abs(gradient).max()), name
