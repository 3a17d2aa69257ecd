"""ViTs and CLIPs as others publish them: what PyTorch computed with them, in fixtures that
tests/reference/make_vision.py made, and the layouts that differ from those by names alone."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import minivit
from minivit import Tensor, optim, published
from minivit.engine.errors import CheckpointError, MinivitError, StateError
from minivit.models.vit import sincos_2d
from minivit.published import tables, vit, weights
from minivit.text import CLIPTokenizer

REFERENCE = Path(__file__).parents[1] / "reference"
LAYOUTS = ("vit_hf", "vit_hf_pooler", "vit_google", "vit_big_vision", "clip_hf", "clip_openai",
           "clip_openai_resnet", "clip_open_clip")  # fmt: skip


class Case:
    """A fixture: its configuration, tables {name: array} of weights, gradients and steps (flat in
    the file), inputs and outputs."""

    def __init__(self, arrays):
        self.config = json.loads(str(arrays["config"]))
        self.weights, self.gradients, self.moved = (
            unpacked(json.loads(str(arrays["shapes"]))[kind], arrays[kind])
            for kind in ("w", "g", "moved")
        )
        self.given, self.out = (
            {k.removeprefix(part): v for k, v in arrays.items() if k.startswith(part)}
            for part in ("in/", "out/")
        )

    def write(self, folder, weights=None, config=None):
        """A checkpoint as it is published: an .npz, or model.safetensors and a configuration."""
        folder.mkdir(exist_ok=True)
        weights = self.weights if weights is None else weights
        config = self.config if config is None else config
        if "visual.conv1.weight" in weights and not config:
            weights = with_what_scripts_keep(weights)  # as OpenAI's archives do
        if any("/" in name for name in weights):
            np.savez(folder / "vit.npz", **weights)
            return folder / "vit.npz"
        save_file(
            {k: np.array(v, order="C") for k, v in weights.items()}, folder / "model.safetensors"
        )
        if config:
            name = "open_clip_config.json" if "model_cfg" in config else "config.json"
            (folder / name).write_text(json.dumps(config))
        return folder


def unpacked(shapes, flat):
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = zip(shapes.items(), np.split(flat, ends[:-1]))
    return {
        name: part.reshape(shape).astype(np.int64 if name.endswith("tracked") else flat.dtype)
        for (name, shape), part in parts
    }


def case(layout):
    with np.load(REFERENCE / f"{layout}.npz") as arrays:
        return Case(dict(arrays))


def load(path, dtype=np.float32):
    """The model of a file; float64: its weights, exact in float32, in that precision."""
    model = minivit.load(path).model
    for _, p in model.named_tensors():
        p.data = p.data.astype(dtype)
    return model


def outputs(model, given, dtype):
    """The fixture's results under out/."""
    images = Tensor(given["images"].astype(dtype))
    if "ids" in given:
        ids = given["ids"]
        return {
            "logits": model(images, ids), "loss": model.loss(images, ids),
            "I_e": model.encode_image(images), "T_e": model.encode_text(ids),
        }  # fmt: skip
    if "labels" in given:
        logits = model(images)
        loss = minivit.cross_entropy_loss(logits, given["labels"])
        return {"logits": logits, "loss": loss}
    pooled = model(images)
    return {"pooled": pooled, "loss": (pooled * pooled).sum()}


def relative(ours, theirs, least=1e-3):
    """The largest difference, in units of the largest number (but of `least` at least)."""
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), least)


def compare(found, path, dtype=np.float64, tolerances=(1e-10, 1e-8, 1e-6)):
    """Outputs, every gradient and one step of AdamW; the largest differences of the three. A step
    is kept to 1e-6, and is nearly 1, in units of the learning rate."""
    model = load(path, dtype)
    ours = outputs(model, found.given, dtype)
    assert all(y.dtype == dtype for y in ours.values()) and set(ours) == set(found.out)
    values = {name: relative(y.numpy(), found.out[name]) for name, y in ours.items()}
    ours["loss"].backward()
    config = published.read_config(path if path.is_dir() else path.parent)
    file = weights.read(path)
    table = published.empty(published.family_of(config, file), config, file).table
    added = {name for name, entry in table.items() if entry[1] is vit.no_biases}
    unplaced = {name for name, entry in table.items() if entry[1] is vit.unplaced_class_token}

    def theirs_too(name, array):  # the class token's place is only here
        return array[:, 1:] if name in unplaced else array

    learnt = {name: p for name, p in model.named_parameters() if name not in added}
    table = {name: table[name] for name in learnt}
    expected = tables.translate(found.gradients, table)
    assert set(expected) == set(learnt)
    gradients = {
        name: relative(*(theirs_too(name, g) for g in (p.grad, expected[name])))
        for name, p in learnt.items()
    }
    moved = tables.translate(found.moved, table)
    before = {name: p.numpy().copy() for name, p in learnt.items()}
    optim.AdamW(learnt.values(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1).step()
    steps = {
        name: relative(
            theirs_too(name, (p.numpy() - (1 - 0.01 * 0.1) * before[name]) / 0.01),
            theirs_too(name, moved[name]), 1,
        )
        for name, p in learnt.items()
    }  # fmt: skip
    for what, tolerance in zip((values, gradients, steps), tolerances):
        worst = max(what, key=what.get)
        assert what[worst] <= tolerance, f"{worst}: {what[worst]:.1e}"
    return tuple(max(what.values()) for what in (values, gradients, steps))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_every_gradient_and_one_step_are_those_of_pytorch(layout, tmp_path):
    found = case(layout)
    compare(found, found.write(tmp_path))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_and_every_gradient_in_float32(layout, tmp_path):
    """Not the step: Adam's first one is lr times the sign, and a gradient of zero has none."""
    found = case(layout)
    compare(found, found.write(tmp_path), np.float32, (1e-4, 1e-4, np.inf))


@pytest.mark.parametrize(
    "layout, change",
    [("vit_hf", {"layer_norm_eps": 1e-6}), ("vit_hf", {"hidden_act": "gelu_new"}),
     ("clip_open_clip", {"quick_gelu": True})],
)  # fmt: skip
def test_the_comparison_sees_constants_that_are_nearly_the_same(layout, change, tmp_path):
    found = case(layout)
    found.config.get("model_cfg", found.config).update(change)
    with pytest.raises(AssertionError):
        compare(found, found.write(tmp_path))


# -- the same model under other names --------------------------------------------------------------
def of_todays_flax(w):
    parts = ("MlpBlock_{}", 3, 0), ("LayerNorm_{}", 2, 1), ("MultiHeadDotProductAttention_{}", 1, 0)
    for part, old, new in parts:
        w = {k.replace(part.format(old), part.format(new)): v for k, v in w.items()}
    return w


def of_a_training_run(w):
    """big_vision's checkpoints have the optimizer's state beside the parameters."""
    state = {f"opt/0/mu/{k}": np.zeros_like(v) for k, v in w.items()}
    return {f"params/{k}": v for k, v in w.items()} | state | {"step": np.array(3)}


def of_an_older_run(w):
    return {f"opt/target/{k}": v for k, v in w.items()} | {"opt/state/step": np.array(3)}


def stacked(w):
    """All layers of a name in one array, as a scan over layers leaves them."""
    block = "Transformer/encoderblock_"
    first = [k.removeprefix(block + "0") for k in w if k.startswith(block + "0")]
    return {k: v for k, v in w.items() if not k.startswith(block)} | {
        f"Transformer/encoderblock{k}": np.stack([w[f"{block}{i}{k}"] for i in range(2)])
        for k in first
    }


def with_positions_in_the_encoder(w):
    """big_vision before 2022."""
    return {k.replace("posembed_input/", ""): v for k, v in w.items()}


def with_an_unnamed_pool(w):
    """As during the development of ViT-G."""
    return {k.removeprefix("MAPHead_0/"): v for k, v in w.items()}


def without_prefix(w):
    return {k.removeprefix("vit."): v for k, v in w.items()}


def with_what_hub_files_have_more(w):
    """A pooler that a classifier does not use, and the token of masked pre-training."""
    return w | {
        "vit.pooler.dense.weight": np.ones((16, 16), np.float32),
        "vit.pooler.dense.bias": np.ones(16, np.float32),
        "vit.embeddings.mask_token": np.ones((1, 1, 16), np.float32),
    }


def with_position_ids(w):
    ids = {"text": 9, "vision": 5}
    return (
        w
        | {f"{k}_model.embeddings.position_ids": np.arange(n)[None] for k, n in ids.items()}
        | {"logit_scale": w["logit_scale"][None]}
    )


def with_what_scripts_keep(w):
    return w | {k: np.array(9) for k in ("input_resolution", "context_length", "vocab_size")}


def of_a_custom_text_tower(w):
    visual = ("visual.", "logit_scale")
    return {k if k.startswith(visual) else f"text.{k}": v for k, v in w.items()}


OTHER_NAMES = [
    ("vit_google", of_todays_flax), ("vit_google", of_a_training_run),
    ("vit_google", of_an_older_run), ("vit_google", lambda w: stacked(of_todays_flax(w))),
    ("vit_google", stacked), ("vit_big_vision", stacked),
    ("vit_google", with_positions_in_the_encoder), ("vit_big_vision", with_an_unnamed_pool),
    ("vit_hf", without_prefix), ("vit_hf", with_what_hub_files_have_more),
    ("clip_hf", with_position_ids), ("clip_openai", with_what_scripts_keep),
    ("clip_openai_resnet", with_what_scripts_keep), ("clip_open_clip", of_a_custom_text_tower),
]  # fmt: skip


@pytest.mark.parametrize("layout, names", OTHER_NAMES)
def test_other_names_are_the_same_model(layout, names, tmp_path):
    found = case(layout)
    model = load(found.write(tmp_path, names(found.weights)), np.float64)
    for name, y in outputs(model, found.given, np.float64).items():
        assert relative(y.numpy(), found.out[name]) <= 1e-10


def test_shards_are_one_file(tmp_path):
    found = case("clip_hf")
    found.write(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    names = sorted(found.weights)
    index = {}
    for i in range(2):
        shard = f"model-0000{i + 1}-of-00002.safetensors"
        save_file({k: np.array(found.weights[k]) for k in names[i::2]}, tmp_path / shard)
        index |= dict.fromkeys(names[i::2], shard)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    model = load(tmp_path, np.float64)
    for name, y in outputs(model, found.given, np.float64).items():
        assert relative(y.numpy(), found.out[name]) <= 1e-10


def test_half_precision_is_widened(tmp_path):
    """OpenAI's matrices are float16, its norms float32."""
    found = case("clip_openai")
    half = {k: v.astype(np.float16) if v.ndim > 1 else v for k, v in found.weights.items()}
    wide = {k: v.astype(np.float32) for k, v in half.items()}
    a, b = (load(found.write(tmp_path / n, w)) for n, w in (("half", half), ("wide", wide)))
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert x.dtype == y.dtype == np.float32 and np.array_equal(x.numpy(), y.numpy())


def test_positions_before_the_class_token_joins(tmp_path):
    """big_vision's `tok`: no position for the class token is one of zeros."""
    found = case("vit_google")
    position = "Transformer/posembed_input/pos_embedding"
    zero = found.weights | {position: found.weights[position].copy()}
    zero[position][:, 0] = 0
    top = {k: v for k, v in found.weights.items() if k != position}
    top["pos_embedding"] = zero[position][:, 1:]
    a, b = (
        load(found.write(tmp_path / name, of_todays_flax(w)))
        for name, w in (("inside", zero), ("top", top))
    )
    x = Tensor(found.given["images"])
    assert np.array_equal(a(x).numpy(), b(x).numpy())


def test_without_positions_they_are_sines(tmp_path):
    """As in big_vision's baselines, which pool by the mean; the size of the images is not in the
    file either, then."""
    found, position = case("vit_big_vision"), "pos_embedding"
    w = {k: v for k, v in found.weights.items() if not k.startswith("MAPHead")}
    vit = minivit.load(
        found.write(tmp_path / "fixed", {k: v for k, v in w.items() if k != position})
    )
    assert vit.model.image == (224, 224) and "images of 224" in vit.layout
    assert np.array_equal(vit.model.position.numpy(), sincos_2d((56, 56), 12))
    x, small = Tensor(found.given["images"]), vit.model.adapted(image=8).eval()
    learned = load(found.write(tmp_path / "learned", w | {position: sincos_2d((2, 2), 12)}))
    np.testing.assert_allclose(small(x).numpy(), learned(x).numpy(), rtol=1e-5, atol=1e-6)


def test_without_a_head_the_features_come_out(tmp_path):
    found = case("vit_big_vision")
    x = Tensor(found.given["images"])
    whole = load(found.write(tmp_path / "whole"))
    body = {k: v for k, v in found.weights.items() if not k.startswith("head")}
    assert np.array_equal(
        load(found.write(tmp_path / "body", body))(x).numpy(), whole.features(x).numpy()
    )
    means = {k: v for k, v in body.items() if not k.startswith("MAPHead")}
    model = load(found.write(tmp_path / "means", means))
    assert model.pool == "mean" and model(x).shape == (3, 12)


def test_no_biases_in_queries_keys_and_values(tmp_path):
    found = case("vit_hf")
    there = [k for k in found.weights if k.endswith(("query.bias", "key.bias", "value.bias"))]
    zero = found.weights | {k: np.zeros_like(found.weights[k]) for k in there}
    less = {k: v for k, v in found.weights.items() if k not in there}
    x = Tensor(found.given["images"])
    a, b = (load(found.write(tmp_path / n, w))(x) for n, w in (("a", zero), ("b", less)))
    assert len(there) == 6 and np.array_equal(a.numpy(), b.numpy())


def test_an_image_that_is_no_square(tmp_path):
    found = case("vit_hf")
    position = "vit.embeddings.position_embeddings"
    w = found.weights | {position: np.zeros((1, 7, 16), np.float32)}
    vit = minivit.load(found.write(tmp_path, w, found.config | {"image_size": [8, 12]}))
    assert vit.model(Tensor(np.zeros((1, 8, 12, 3), np.float32))).shape == (1, 5)
    assert vit.preprocess.size == (8, 12)


# -- what is said beside the weights ---------------------------------------------------------------
def test_what_else_a_vit_has(tmp_path):
    found = case("vit_hf")
    found.config["id2label"] = {str(i): name for i, name in enumerate("abcde")}
    vit = minivit.load(found.write(tmp_path))
    assert (vit.family, vit.layout, vit.labels) == ("vit", "Hugging Face", list("abcde"))
    assert vit.preprocess.size == (8, 8) and vit.preprocess.resample == "bilinear"
    assert vit.tokenizer is None
    google = minivit.load(case("vit_google").write(tmp_path / "google"))
    assert google.labels is None and google.preprocess.resample == "two by two"


def test_older_configurations_say_it_twice(tmp_path):
    """text_config_dict holds if both are there; what neither says is transformers' default."""
    found = case("clip_hf")
    for part in ("text", "vision"):
        said = found.config.pop(f"{part}_config")
        found.config[f"{part}_config_dict"] = said
        found.config[f"{part}_config"] = {"num_attention_heads": 1, "hidden_act": "relu"}
    compare(found, found.write(tmp_path))


def test_settings_of_openais_names_beside_a_config_of_hugging_face(tmp_path):
    found = case("clip_open_clip")
    config = {
        "model_type": "clip", "text_config": {"hidden_act": "gelu", "num_attention_heads": 2},
        "vision_config": {"hidden_act": "gelu", "num_attention_heads": 4},
    }  # fmt: skip
    compare(found, found.write(tmp_path, config=config))


@pytest.mark.parametrize("layout, preprocessing", [
    ("clip_openai", "as_openai"), ("clip_open_clip", "as_openai"), ("clip_hf", "as_clip_processor"),
])  # fmt: skip
def test_what_each_clip_is_shown(layout, preprocessing, tmp_path):
    from minivit.published import preprocess

    clip = minivit.load(case(layout).write(tmp_path))
    assert clip.preprocess == getattr(preprocess, preprocessing)(8)
    assert clip.preprocess(np.zeros((20, 30, 3), np.uint8)).shape == (1, 8, 8, 3)
    assert clip.tokenizer is None
    assert ("QuickGELU" in clip.layout) == (layout == "clip_openai")


def test_names_of_openai_that_may_be_anybodys_need_a_configuration(tmp_path):
    """Without it, OpenCLIP's GELU would be read as QuickGELU: logits off by 0.15."""
    found = case("clip_openai")
    save_file({k: np.array(v, order="C") for k, v in found.weights.items()},
              tmp_path / "model.safetensors")  # fmt: skip
    with pytest.raises(CheckpointError, match="no tensor tells") as error:
        minivit.load(tmp_path)
    enough = str(error.value).partition("weights ")[2].partition(" in it says")[0]
    (tmp_path / "open_clip_config.json").write_text(enough)
    model = load(tmp_path, np.float64)
    (tmp_path / "open_clip_config.json").unlink()
    for name, y in outputs(model, found.given, np.float64).items():
        assert relative(y.numpy(), found.out[name]) <= 1e-10
    half = {  # as OpenAI's own weights are kept
        k: np.array(v, np.float16 if v.ndim > 1 else np.float32, order="C")
        for k, v in found.weights.items()
    }
    save_file(half, tmp_path / "model.safetensors")
    assert "QuickGELU" in minivit.load(tmp_path).layout


def test_which_of_two_configurations_is_meant(tmp_path):
    """timm's config.json has no model_type; Hugging Face's says the same as OpenCLIP's."""
    found = case("clip_open_clip")
    folder = found.write(tmp_path)
    (folder / "config.json").write_text('{"architecture": "vit_base", "num_classes": 6}')
    compare(found, folder)
    assert minivit.load(folder).layout == "OpenCLIP"


def test_no_photographs_of_one_colour(tmp_path):
    for layout, name in (
        ("vit_hf", "vit.embeddings.patch_embeddings.projection.weight"),
        ("clip_openai", "visual.conv1.weight"), ("clip_openai_resnet", "visual.conv1.weight"),
    ):  # fmt: skip
        found = case(layout)
        found.weights[name] = found.weights[name][:, :1]
        assert minivit.load(found.write(tmp_path / layout)).preprocess is None


# -- complete both ways, and what is refused -------------------------------------------------------
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_name_of_a_file_is_needed_and_no_other_is_taken(layout, tmp_path):
    found = case(layout)
    w = {k: v for k, v in found.weights.items() if not k.endswith("tracked")}
    family = published.family_of({}, w)
    config = found.config
    if layout.startswith("clip_openai"):
        config = {"model_cfg": {"quick_gelu": True}}
    for name in w:
        less = {k: v for k, v in w.items() if k != name}
        with pytest.raises(MinivitError):
            filled(family, config, less)
    for more in ("head.extra", "Transformer/encoderblock_9/extra", "visual.extra"):
        with pytest.raises(StateError):
            filled(family, config, w | {more: np.zeros(3, np.float32)})
    model = filled(family, config, w)
    assert set(dict(model.named_tensors())) == set(published.empty(family, config, w).table)


def filled(family, config, arrays):
    layout = published.empty(family, config, arrays)
    return tables.fill(layout.model, arrays, layout.table, layout.ignore)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_shape_of_a_file_is_checked(layout):
    found = case(layout)
    family = published.family_of({}, found.weights)
    for name, array in found.weights.items():
        if name.endswith("tracked"):
            continue
        for bad in (array[None], np.concatenate([array.ravel(), [0]]).astype(np.float32)):
            if name == "logit_scale" and bad.shape == (1,):
                continue  # OpenCLIP has it so
            config = found.config or {"model_cfg": {"quick_gelu": True}}
            with pytest.raises((StateError, CheckpointError)) as error:
                filled(family, config, found.weights | {name: bad})
            assert "no configuration" not in str(error.value)


REFUSED = [
    ("vit_hf", {"hidden_act": "gelu2"}, "hidden_act is 'gelu2'"),
    ("vit_hf", {"layer_norm_eps": "small"}, "layer_norm_eps is 'small'"),
    ("vit_hf", {"num_attention_heads": 5}, "width 16 does not divide into 5 heads"),
    ("vit_hf", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000"),
    ("vit_hf", {"image_size": 9}, "does not divide into patches"),
    ("vit_hf", {"image_size": [8, "a"]}, "image_size is 'a'"),
    ("vit_hf", {"image_size": 16}, "position: file"),
    ("vit_hf_pooler", {"pooler_act": "relu"}, "pooler_act is 'relu'"),
    ("clip_hf", {"text_config": 3}, "text_config is 3"),
    ("clip_hf", {"text_config": {"eos_token_id": 7}}, "eos_token_id is 7"),
    ("clip_hf", {"vision_config": {"num_attention_heads": 0}}, "num_attention_heads is 0"),
    ("clip_open_clip", {"vision_cfg": {"pool_type": "avg"}}, "pool_type is 'avg'"),
    ("clip_open_clip", {"vision_cfg": {"head_width": 0}}, "head_width is 0"),
    ("clip_open_clip", {"vision_cfg": {"global_average_pool": True}}, "global_average_pool is T"),
    ("clip_open_clip", {"vision_cfg": {"input_patchnorm": True}}, "input_patchnorm is True"),
    ("clip_open_clip", {"vision_cfg": {"image_size": 32}}, "image_size is 32, and the positions"),
    ("clip_open_clip", {"vision_cfg": {"block_type": "custom"}}, "block_type is 'custom'"),
    ("clip_open_clip", {"text_cfg": {"tokenizer_kwargs": {"clean": "x"}}}, "tokenizer_kwargs is"),
    ("clip_open_clip", {"quick_gelu": "false"}, "quick_gelu is 'false', not true or false"),
    ("clip_open_clip", {"a_new_one": 1}, "open_clip_config.json: a_new_one is 1"),
    ("clip_hf", {"vision_config": {"num_attention_heads": 3}}, "does not fit the tensors"),
    ("clip_open_clip", {"text_cfg": {"no_causal_mask": True}}, "no_causal_mask is True"),
    ("clip_open_clip", {"text_cfg": {"hf_model_name": "roberta"}}, "hf_model_name is 'roberta'"),
]  # fmt: skip


@pytest.mark.parametrize("layout, change, what", REFUSED)
def test_a_configuration_that_is_not_built_here_is_refused(layout, change, what, tmp_path):
    found = case(layout)
    found.config.get("model_cfg", found.config).update(change)
    with pytest.raises(MinivitError, match=what):
        minivit.load(found.write(tmp_path))


@pytest.mark.parametrize("layout", ["vit_hf", "vit_hf_pooler", "clip_hf"])
def test_hugging_face_without_config_json_is_refused(layout, tmp_path):
    found = case(layout)
    with pytest.raises(CheckpointError, match=r"no config\.json .* the number of heads"):
        minivit.load(found.write(tmp_path, config={}))


def test_positions_of_no_square_are_refused(tmp_path):
    found = case("vit_google")
    name = "Transformer/posembed_input/pos_embedding"
    w = found.weights | {name: np.zeros((1, 8, 16), np.float32)}
    with pytest.raises(CheckpointError, match="8 positions are not those of a square"):
        minivit.load(found.write(tmp_path, w))
    clip = case("clip_openai")
    clip.weights["visual.positional_embedding"] = np.zeros((4, 16), np.float32)
    with pytest.raises(CheckpointError, match="3 places are not those of a square"):
        minivit.load(clip.write(tmp_path / "clip"))


# -- the vocabulary of a CLIP ----------------------------------------------------------------------
@pytest.fixture(scope="module")
def vocabulary():
    return CLIPTokenizer.train(["a photo of a cat.", "it's a dog, two dogs"], 530)


def with_vocabulary(folder, tokenizer):
    """The fixture of Hugging Face's names, its token embedding as large as a vocabulary."""
    found, V = case("clip_hf"), len(tokenizer)
    found.weights["text_model.embeddings.token_embedding.weight"] = np.ones((V, 8), np.float32)
    found.config["text_config"]["eos_token_id"] = V - 1
    return found.write(folder)


def as_two_files(tokenizer, folder):
    tokenizer.save(folder)


def as_openai_packs_it(tokenizer, folder):
    lines = ["header", *map(" ".join, tokenizer.merges), "more merges"]
    (folder / "bpe_simple_vocab_16e6.txt.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def as_tokenizer_json(tokenizer, folder):
    model = {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": tokenizer.ids,
             "merges": [list(pair) for pair in tokenizer.merges]}  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps({"model": model}))


@pytest.mark.parametrize("write", [as_two_files, as_openai_packs_it, as_tokenizer_json])
def test_a_vocabulary_beside_the_weights(write, vocabulary, tmp_path, monkeypatch):
    monkeypatch.setattr("minivit.text.clip.MERGES", len(vocabulary.merges))
    write(vocabulary, with_vocabulary(tmp_path, vocabulary))
    clip = minivit.load(tmp_path)
    texts = ["a photo of dogs!", "A CAT"]
    ids = clip.tokenizer(texts)
    assert ids.shape == (2, 9)  # as many as the text encoder has places for
    assert np.array_equal(ids, vocabulary(texts, context_length=9))
    assert np.isfinite(clip.model.encode_text(ids).numpy()).all()


def test_a_vocabulary_of_another_model_is_refused(vocabulary, tmp_path):
    vocabulary.save(case("clip_hf").write(tmp_path))
    with pytest.raises(CheckpointError, match="the vocabulary has 529 tokens, the text encoder 24"):
        minivit.load(tmp_path)


@pytest.mark.parametrize("change", [
    {"type": "WordPiece"}, {"end_of_word_suffix": ""}, {"vocab": []}, {"merges": 3},
    {"merges": [["a"]]}, {"merges": [[1, 2]]}, {"vocab": {"a": "b"}},
])  # fmt: skip
def test_a_tokenizer_json_that_is_none_of_clip_is_refused(change, vocabulary, tmp_path):
    as_tokenizer_json(vocabulary, with_vocabulary(tmp_path, vocabulary))
    file = json.loads((tmp_path / "tokenizer.json").read_text())
    file["model"] |= change
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(CheckpointError, match="not a vocabulary of CLIP"):
        minivit.load(tmp_path)
