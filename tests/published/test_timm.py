"""timm's and torchvision's ViTs: what their own code computed, in fixtures that
tests/reference/make_relatives.py made; and every architecture that timm has, read or refused."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minivit
from minivit import published
from minivit.engine.errors import CheckpointError
from minivit.published import timm, vit_layouts
from minivit.published.weights import Arrays
from minivit.published.weights.numbers import Stored
from tests.published.test_vision import REFERENCE, case, compare

PHOTOS = Path(__file__).parents[2] / "data" / "photos"
LAYOUTS = {  # the fixture: what it is read as
    "timm": dict(pool="class"), "timm_quick": dict(activation="quick_gelu"),
    "timm_deit3": dict(layer_scale=1e-5), "timm_dinov2": dict(layer_scale=1e-5),
    "timm_siglip": dict(pool="map", activation="gelu_tanh"), "timm_gap": dict(pool="mean"),
    "torchvision": dict(pre_logits=0), "torchvision_pre_logits": dict(pre_logits=7),
}  # fmt: skip
ACTS = {"GELU": "gelu", "GELUTanh": "gelu_tanh", "QuickGELU": "quick_gelu", "SiLU": "silu"}
POOLS = {"token": "class", "avg": "mean", "map": "map"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_timm_and_torchvision(layout, tmp_path):
    """Outputs, every gradient and one step, by the code of timm and torchvision."""
    found = case(layout)
    compare(found, found.write(tmp_path))
    config = minivit.load(tmp_path).model.config
    assert config | LAYOUTS[layout] == config


def test_timms_models_as_transformers_saves_them(tmp_path):
    """TimmWrapperForImageClassification: a name before each, and a model_type."""
    found = case("timm")
    names = {f"timm_model.{name}": array for name, array in found.weights.items()}
    config = found.config | {"model_type": "timm_wrapper"}
    path = found.write(tmp_path, names, config)
    logits = minivit.load(path).model(found.given["images"].astype(np.float32)).numpy()
    np.testing.assert_allclose(logits, found.out["logits"], rtol=1e-4, atol=1e-4)


def architectures():
    text = gzip.decompress((REFERENCE / "timm.json.gz").read_bytes())
    return json.loads(text)


def file_of(facts):
    """A file of this architecture, of shapes alone: all layers are as the first."""
    shapes = {}
    for name, shape in facts["shapes"].items():
        for i in range(facts["depth"] if name.startswith("blocks.0.") else 1):
            shapes[name.replace("blocks.0.", f"blocks.{i}.", 1)] = shape
    return Arrays({k: Stored(None, "F32", tuple(v), None) for k, v in shapes.items()}, "")


def outcome(name, facts):
    """The model that an architecture is read as, or the reason. config.json has the name of the
    architecture alone, as published files of timm have."""
    file = file_of(facts)
    config = {"architecture": name, "global_pool": facts["global_pool"]}
    family = published.family_of(config, file)
    try:
        layout = published.empty(family, config, file)
    except CheckpointError as reason:
        return str(reason)
    published.tables.check(file, layout.table, layout.ignore)
    return layout.model


def test_every_architecture_of_timm_is_read_as_it_is_or_refused():
    """Its names are those of timm's own code. Of those that have the same tensors, the first is
    built; what the name alone tells is asked for each."""
    read, built = [], {}
    for name, facts in architectures().items():
        width = facts["shapes"]["patch_embed.proj.weight"][:1] if "patch_embed.proj.weight" in (
            facts["shapes"]) else 0  # fmt: skip
        kind = (*facts["shapes"], facts["depth"], str(width), facts["global_pool"])
        if kind not in built:
            built[kind] = model = outcome(name, facts)
            if isinstance(model, str):
                assert model.startswith(("the file has", "timm: ")), model
                continue
            assert len(model.layers) == facts["depth"], name
            assert model.layers[0].attn.num_heads == facts["heads"], name
            assert model.norm.eps == facts["eps"], name
            assert model.pool == POOLS[facts["global_pool"]], name
        if not isinstance(built[kind], str):
            assert timm.heads(name, {}, facts["depth"], width[0]) == facts["heads"], name
            assert timm.activation(name, {}) == ACTS[facts["act"]], name
            read.append(name)
    assert len(read) == 85 and len(architectures()) == 179


@pytest.mark.slow
def test_every_architecture_of_timm_is_built():
    models = {name: outcome(name, facts) for name, facts in architectures().items()}
    assert sum(not isinstance(model, str) for model in models.values()) == 85


@pytest.mark.parametrize("name", ["vit_base_patch16_224", "vit_small_patch14_dinov2"])
def test_without_configuration_a_published_size_is_read(name):
    """As the original DINO, DeiT and MAE have it."""
    file = file_of(architectures()[name])
    layout = published.empty(published.family_of({}, file), {}, file)
    assert "its default pictures" in layout.name
    assert layout.model.layers[0].attn.num_heads == layout.model.projection.weight.shape[0] // 64


@pytest.mark.parametrize("config, says", [
    ({"architecture": "vit_small_patch16_rope_ape_224"}, "has other layers than a ViT"),
    ({"architecture": "vit_b", "global_pool": "avg"}, "'avg' of a file with a class token"),
    ({"architecture": "vit_b", "global_pool": ""}, "global_pool is ''"),
    ({"architecture": "vit_b", "model_args": {"act_layer": "mish"}}, "act_layer is 'mish'"),
    ({"architecture": "vit_b", "pretrained_cfg": {"crop_mode": "border"}}, "crop_mode 'border'"),
    ({"architecture": "vit_b", "model_args": {"num_heads": "3"}}, "num_heads is '3'"),
])  # fmt: skip
def test_what_a_configuration_asks_for_and_is_not_here(config, says):
    file = file_of(architectures()["vit_base_patch16_224"])
    with pytest.raises(CheckpointError, match=says):
        published.empty(published.family_of(config, file), config, file)


def test_another_family_of_timm_is_refused_by_its_architecture(tmp_path):
    from safetensors.numpy import save_file

    save_file({"conv1.weight": np.zeros((4, 3, 3, 3), np.float32)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "resnet50"}')
    with pytest.raises(CheckpointError, match=r"config.json has .'architecture': 'resnet50'"):
        minivit.load(tmp_path)


# -- photographs -----------------------------------------------------------------------------------
def test_photographs_as_timm_and_torchvision_see_them():
    """In bytes, before mean and deviation: the same, each pixel."""
    from tests.published.test_preprocess import cutting

    with np.load(REFERENCE / "pictures.npz") as file:
        expected = dict(file)
    with np.load(REFERENCE / "preprocess.npz") as file:
        cuttings = dict(file)
    ways = {}
    for name, said in json.loads(str(expected["said"])).items():
        side = tuple(said["input_size"][1:])
        ways[name] = (timm.as_timm({"pretrained_cfg": said}, side), 1)
    for name, (side, patch, layers) in json.loads(str(expected["weights"])).items():
        ways[name] = (vit_layouts.as_torchvision((side, side), patch, layers), 7)
    for name, (seen, step) in ways.items():
        for photo in ("wide", "tall", "small"):
            picture = cutting(cuttings, photo)
            assert isinstance(picture, Image.Image)
            found = seen.pixels(picture)[::step, ::step]
            assert np.array_equal(found, expected[f"{name}/{photo}"]), (name, photo)


def test_labels_are_timms_if_they_are_as_many():
    config = {"pretrained_cfg": {"label_names": ["n01", "n02"]}}
    assert timm.labels(config, 2) == ["n01", "n02"] and timm.labels(config, 3) is None
