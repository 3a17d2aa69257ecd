"""Relatives of ViT, BERT and CLIP that users hold: each is read and equals PyTorch, outputs and
gradients, or is refused with the reason. timm's and torchvision's networks are transformers' ViT
under other names: the weights are renamed here by a table that is written apart from the library's.
"""

import copy
import json
import re
import tempfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minivit
from minivit import Tensor, published
from minivit.engine.errors import CheckpointError
from minivit.published import tables, vit_layouts, weights

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs torch and transformers")
pytestmark = pytest.mark.parity
T = transformers
SIZE = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, image_size=12,
    patch_size=4,
)  # fmt: skip
TEXT = dict(
    vocab_size=30, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40,
    max_position_embeddings=12,
)  # fmt: skip


def made(kind, config, seed=0):
    """A model of transformers in float64, every parameter of which is drawn."""
    torch.manual_seed(seed)
    model = kind(config).double().eval()
    for name, p in model.named_parameters():
        p.data = torch.randn_like(p) * 0.2 + (1 if "orm" in name and p.ndim == 1 else 0)
        p.data = p.data.float().double()  # exact in a file of float32
    return model


def saved(model, values):
    """{name: array} of a copy of `model` with `values` of its parameters, as transformers writes
    it: a file may have other names than the model."""
    model = copy.deepcopy(model)
    for p, value in zip(model.parameters(), values, strict=True):
        p.data = torch.zeros_like(p) if value is None else value
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(f"{folder}/model.safetensors")


def write(folder, model, rename=None, config=None):
    """The files of `model`, under other names or its own; returns {their name: gradient}."""
    folder.mkdir(exist_ok=True)
    state = saved(model, [p.data for p in model.parameters()])
    grads = saved(model, [p.grad for p in model.parameters()])
    if rename:
        state, grads = rename(state), rename(grads)
    state = {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in state.items()}
    save_file({k: np.array(v, order="C") for k, v in state.items()}, folder / "model.safetensors")
    if config is None:
        model.config.save_pretrained(folder)
    elif config:
        (folder / "config.json").write_text(json.dumps(config))
    return grads


def check(folder, model, given, theirs, ours, rename=None, config=None):
    """`theirs(model)` and `ours(model)` from the same numbers: values, and gradients of all."""
    y = theirs(model, *map(torch.tensor, given))
    g = np.random.default_rng(1).standard_normal(y.shape)
    (y * torch.tensor(g)).sum().backward()
    grads = write(folder, model, rename, config)
    grads = {re.sub(r"^((module|_orig_mod|model)\.)+", "", name): g for name, g in grads.items()}
    found = minivit.load(folder)
    for _, p in found.model.named_tensors():
        p.data = p.data.astype(np.float64)
    out = ours(found.model, *given)
    np.testing.assert_allclose(out.numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-10)
    (out * g).sum().backward()
    file, said = weights.read(folder), published.read_config(folder)
    table = published.empty(published.family_of(said, file), said, file).table
    learnt = {n: p for n, p in found.model.named_parameters() if p.grad is not None}
    table = {n: e for n, e in table.items() if n in learnt and "no_biases" not in str(e)}
    for name in table:
        table[name] = _with_gradients(table[name], grads)
    expected = tables.translate(grads, table, ("*",))
    assert len(table) > 20
    for name, gradient in expected.items():
        np.testing.assert_allclose(learnt[name].grad, gradient, rtol=1e-7, atol=1e-9, err_msg=name)
    return found


def _with_gradients(entry, grads):
    """Of a matrix with two names, the gradient has one."""
    names, transform = (entry, None) if isinstance(entry, str) else entry
    names = tuple(n for n in ((names,) if isinstance(names, str) else names) if n in grads)
    return names, transform or (lambda array: array)


IMAGES = np.random.default_rng(0).standard_normal((2, 12, 12, 3))
IDS = np.array([[3, 5, 7, 9, 2], [4, 3, 4, 2, 1]])  # 0 or 1 are padding
MASK = np.array([[True] * 5, [True] * 4 + [False]])


def seen(model, images):
    return model(images.permute(0, 3, 1, 2))


def pooled(model, images):
    return seen(model, images).pooler_output


def logits(model, images):
    return seen(model, images).logits


def image(model, images):
    return model(Tensor(images))


# -- pictures --------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"qkv_bias": False, "hidden_act": "relu"}])
def test_dinov2(options, tmp_path):
    config = {k: v for k, v in SIZE.items() if k != "intermediate_size"}
    model = made(T.Dinov2Model, T.Dinov2Config(**config, mlp_ratio=2, **options))
    check(tmp_path, model, (IMAGES,), pooled, image)


@pytest.mark.parametrize("size", [(12, 12), (20, 20), (8, 8), (16, 24)])
def test_dinov2_at_the_size_of_its_pictures(size, tmp_path):
    """Positions interpolated as transformers does, whenever pictures have another size."""
    config = {k: v for k, v in SIZE.items() if k != "intermediate_size"}
    model = made(T.Dinov2Model, T.Dinov2Config(**config, mlp_ratio=2))
    write(tmp_path, model)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({
        "size": {"shortest_edge": 26}, "do_center_crop": True, "resample": 3,
        "crop_size": {"height": size[0], "width": size[1]},
    }))  # fmt: skip
    found = minivit.load(tmp_path)
    x = found.preprocess(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    assert x.shape[1:3] == found.model.image == size
    with torch.no_grad():
        expected = pooled(model.float(), torch.tensor(x)).numpy()
    np.testing.assert_allclose(found.model(Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_siglip_vision(tmp_path):
    model = made(T.SiglipVisionModel, T.SiglipVisionConfig(**SIZE))
    check(tmp_path, model, (IMAGES,), pooled, image)


def test_siglip_vision_under_its_older_names(tmp_path):
    model = made(T.SiglipVisionModel, T.SiglipVisionConfig(**SIZE))
    check(tmp_path, model, (IMAGES,), pooled, image,
          lambda w: {f"vision_model.{k}": v for k, v in w.items()})  # fmt: skip


def fused(w, pattern, to):
    """Queries, keys and values, which the pattern finds, one below the other."""
    out = {}
    for name, array in w.items():
        found = re.fullmatch(pattern, name)
        if found is None:
            out[name] = array
        elif found["x"] == "query":
            parts = (w[name.replace("query", x)] for x in ("query", "key", "value"))
            out[to.format(**found.groupdict())] = np.concatenate(list(parts))
    return out


def renamed(w, *rules):
    for old, new in rules:
        w = {re.sub(old, new, name): array for name, array in w.items()}
    return w


QKV = r"(vit|dinov2|)\.?encoder\.layer\.(?P<i>\d+)\.attention\.attention\.(?P<x>\w+)\.(?P<w>\w+)"


def as_timm(w):
    w = fused(w, QKV, "blocks.{i}.attn.qkv.{w}")
    return renamed(
        w, (r"^(vit|dinov2)\.", ""), (r"^encoder\.layer", "blocks"),
        (r"embeddings\.cls_token", "cls_token"), (r"embeddings\.mask_token", "mask_token"),
        (r"embeddings\.position_embeddings", "pos_embed"),
        (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
        ("layernorm_before", "norm1"), ("layernorm_after", "norm2"), (r"^layernorm", "norm"),
        (r"attention\.output\.dense", "attn.proj"), (r"intermediate\.dense", "mlp.fc1"),
        (r"output\.dense", "mlp.fc2"), ("^classifier", "head"),
        (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
    )  # fmt: skip


def as_torchvision(w, old=False):
    w = fused(w, QKV, "encoder.layers.encoder_layer_{i}.self_attention.in_proj_{w}")
    fc1, fc2 = ("mlp.linear_1", "mlp.linear_2") if old else ("mlp.0", "mlp.3")
    return renamed(
        w, (r"^vit\.", ""), (r"^encoder\.layer\.(\d+)", r"encoder.layers.encoder_layer_\1"),
        (r"embeddings\.cls_token", "class_token"),
        (r"embeddings\.position_embeddings", "encoder.pos_embedding"),
        (r"embeddings\.patch_embeddings\.projection", "conv_proj"),
        ("layernorm_before", "ln_1"), ("layernorm_after", "ln_2"), (r"^layernorm", "encoder.ln"),
        (r"attention\.output\.dense", "self_attention.out_proj"), (r"intermediate\.dense", fc1),
        (r"output\.dense", fc2), ("^classifier", "heads.head"),
    )  # fmt: skip


ARCHITECTURE = {
    "architecture": "vit_tiny_patch4_12", "num_classes": 5, "global_pool": "token",
    "model_args": {"num_heads": 3},
    "pretrained_cfg": {"input_size": [3, 12, 12], "interpolation": "bicubic", "crop_pct": 0.9,
                       "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}  # fmt: skip


def vit(classes=5, **options):
    config = T.ViTConfig(**SIZE | {"layer_norm_eps": 1e-6} | options, num_labels=classes)
    return made(T.ViTForImageClassification, config)


def test_timm(tmp_path):
    found = check(tmp_path, vit(), (IMAGES,), logits, image, as_timm, ARCHITECTURE)
    assert found.family == "vit" and found.layout == "timm"
    assert found.preprocess.shortest == 13 and found.preprocess.size == (12, 12)
    assert found.preprocess.mean == (0.5, 0.5, 0.5) and found.preprocess.resample == "bicubic"


def test_timm_quickgelu_and_no_biases(tmp_path):
    config = ARCHITECTURE | {"model_args": {"num_heads": 3, "act_layer": "quick_gelu"}}
    model = vit(hidden_act="quick_gelu", qkv_bias=False)
    check(tmp_path, model, (IMAGES,), logits, image, as_timm, config)


def test_dinov2_as_it_was_first_published(tmp_path):
    """The names of timm, without configuration: a published size tells the heads."""
    config = dict(SIZE, hidden_size=192, num_hidden_layers=12, num_attention_heads=3)
    del config["intermediate_size"]
    model = made(T.Dinov2Model, T.Dinov2Config(**config, mlp_ratio=1))
    found = check(tmp_path, model, (IMAGES,), pooled, image, as_timm, {})
    assert "its default pictures" in found.layout
    assert found.preprocess.mean == vit_layouts.IMAGENET["mean"]


@pytest.mark.parametrize("old", [True, False])
def test_torchvision(old, tmp_path):
    model = vit(hidden_size=192, num_hidden_layers=12, num_attention_heads=3)
    heads = {"num_heads": 3}
    names = lambda w: as_torchvision(w, old)  # noqa: E731
    found = check(tmp_path, model, (IMAGES,), logits, image, names, heads)
    assert "torchvision" in found.layout and found.preprocess.resample == "bicubic"


def test_a_deit_without_distillation(tmp_path):
    """As facebook/deit-base-patch16-224: a ViT by its configuration."""
    check(tmp_path, vit(), (IMAGES,), logits, image)


@pytest.mark.parametrize("more, says", [
    ("reg_token", "register tokens"), ("dist_token", "of distillation"),
    ("norm_pre.weight", "a norm before the layers"), ("fc_norm.weight", "after the mean"),
    ("blocks.0.mlp.w12.weight", "SwiGLU"), ("blocks.0.attn.q_norm.weight", "norms of queries"),
])  # fmt: skip
def test_what_timms_have_more_is_refused_by_name(more, says, tmp_path):
    def rename(w):
        return as_timm(w) | {more: np.zeros((1, 1, 24), np.float32)}

    write(tmp_path, vit(), rename, ARCHITECTURE)
    with pytest.raises(CheckpointError, match=says):
        minivit.load(tmp_path)


def test_an_average_pool_is_not_read_as_the_class_token(tmp_path):
    write(tmp_path, vit(), as_timm, ARCHITECTURE | {"global_pool": "avg"})
    with pytest.raises(CheckpointError, match="global_pool is 'avg' of a file with a class token"):
        minivit.load(tmp_path)


def test_a_distilled_deit_is_refused(tmp_path):
    config = T.DeiTConfig(**SIZE)
    write(tmp_path, made(T.DeiTForImageClassificationWithTeacher, config))
    with pytest.raises(CheckpointError, match="a second token in front, of distillation"):
        minivit.load(tmp_path)


# -- texts -----------------------------------------------------------------------------------------
def words(model, ids, mask):
    return model(ids, mask.long()).logits[mask]


def filled(model, ids, mask):
    return model(ids, mask)[np.nonzero(mask)]


def states(model, ids, mask):
    return model(ids, mask.long()).last_hidden_state[mask]


def hidden(model, ids, mask):
    return model.hidden(ids, mask)[np.nonzero(mask)]


@pytest.mark.parametrize("kinds", [1, 2])
@pytest.mark.parametrize("name", ["Roberta", "XLMRoberta", "Camembert"])
def test_roberta(name, kinds, tmp_path):
    config = getattr(T, f"{name}Config")(**TEXT, type_vocab_size=kinds, layer_norm_eps=1e-5)
    model = made(getattr(T, f"{name}ForMaskedLM"), config)
    found = check(tmp_path / "a", model, (IDS, MASK), words, filled)
    assert found.model.context == 10 and found.family == "bert"
    model = made(getattr(T, f"{name}Model"), config)
    check(tmp_path / "b", model, (IDS, MASK), states, hidden)


def test_distilbert(tmp_path):
    config = T.DistilBertConfig(
        vocab_size=30, dim=24, n_layers=2, n_heads=3, hidden_dim=40, max_position_embeddings=12
    )
    found = check(tmp_path / "a", made(T.DistilBertForMaskedLM, config), (IDS, MASK), words, filled)
    assert found.layout == "Hugging Face (DistilBERT)"
    check(tmp_path / "b", made(T.DistilBertModel, config), (IDS, MASK), states, hidden)


def test_buffers_that_old_files_have(tmp_path):
    config = T.RobertaConfig(**TEXT)
    model = made(T.RobertaForMaskedLM, config)
    more = {"position_ids": np.arange(12)[None], "token_type_ids": np.zeros((1, 12), np.int64)}
    write(tmp_path, model, lambda w: w | {f"roberta.embeddings.{k}": v for k, v in more.items()})
    assert minivit.load(tmp_path).model.vocabulary == 30


@pytest.mark.parametrize("wrapper", [
    "module.", "_orig_mod.", "module._orig_mod.", "model.", "model._orig_mod.", "net.module.",
    "backbone.", "0.auto_model.", "base_model.model.",
])  # fmt: skip
def test_names_of_pytorchs_wrappers(wrapper, tmp_path):
    write(tmp_path, vit(), lambda w: {wrapper + k: v for k, v in w.items()})
    same_as(tmp_path, vit())


@pytest.mark.parametrize("part", weights.WITHIN)
@pytest.mark.parametrize("at", ["vit.", "vit.encoder.layer.0.", "vit.encoder.layer.1.attention."])
def test_a_wrapper_of_a_part(part, at, tmp_path):
    write(tmp_path, vit(), lambda w: {k.replace(at, at + part): v for k, v in w.items()})
    same_as(tmp_path, vit())


def same_as(folder, model):
    with torch.no_grad():
        expected = logits(model, torch.tensor(IMAGES)).numpy()
    found = minivit.load(folder).model(IMAGES.astype(np.float32)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


TIED = [  # a model with a tied head, the name that its file has, and the other one
    (T.GPT2LMHeadModel, "transformer.wte.weight", "lm_head.weight"),
    (T.BertForMaskedLM, "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
    (T.BertForMaskedLM, "cls.predictions.bias", "cls.predictions.decoder.bias"),
    (T.RobertaForMaskedLM, "roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
    (T.RobertaForMaskedLM, "lm_head.bias", "lm_head.decoder.bias"),
    (T.DistilBertForMaskedLM, "distilbert.embeddings.word_embeddings.weight",
     "vocab_projector.weight"),
]  # fmt: skip


@pytest.mark.parametrize("kind, name, other", TIED, ids=lambda x: getattr(x, "__name__", x))
def test_a_file_may_keep_either_name_of_what_is_tied(kind, name, other, tmp_path):
    sizes = dict(n_embd=24, n_layer=2, n_head=3, n_positions=12, vocab_size=30)
    sizes = sizes if "GPT2" in kind.__name__ else TEXT
    if "Distil" in kind.__name__:
        sizes = dict(vocab_size=30, dim=24, n_layers=2, n_heads=3, hidden_dim=40)
    model = made(kind, kind.config_class(**sizes))
    write(tmp_path / "a", model)
    write(tmp_path / "b", model, lambda w: {other if k == name else k: v for k, v in w.items()})
    assert other in weights.read(tmp_path / "b") and name not in weights.read(tmp_path / "b")
    one, two = (dict(minivit.load(tmp_path / x).model.named_tensors()) for x in "ab")
    assert one.keys() == two.keys()
    for key, tensor in one.items():
        np.testing.assert_array_equal(tensor.numpy(), two[key].numpy())


def test_quantised_weights_are_refused_with_the_reason(tmp_path):
    write(tmp_path, vit(), config=vit().config.to_dict() | {"quantization_config": {"bits": 8}})
    with pytest.raises(CheckpointError, match="quantization_config: the weights are codes"):
        minivit.load(tmp_path)


def test_a_tied_gpt2_as_save_model_writes_it(tmp_path):
    """safetensors keeps one name of a tensor, and the others in the file's metadata."""
    from safetensors.torch import save_model

    config = T.GPT2Config(n_embd=24, n_layer=2, n_head=3, n_positions=12, vocab_size=30)
    model = made(T.GPT2LMHeadModel, config)
    model.config.save_pretrained(tmp_path)
    save_model(model.float(), str(tmp_path / "model.safetensors"))
    ids = IDS.clip(0, 29)
    with torch.no_grad():
        expected = model(torch.tensor(ids)).logits.numpy()
    found = minivit.load(tmp_path).model(ids).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# -- halves of a CLIP ------------------------------------------------------------------------------
ENDS = np.where(np.arange(7) == 6, 29, np.random.default_rng(0).integers(3, 29, (2, 7)))


@pytest.mark.parametrize("projection", [True, False])
@pytest.mark.parametrize("older", [True, False])
def test_an_image_half_of_a_clip(projection, older, tmp_path):
    kind = T.CLIPVisionModelWithProjection if projection else T.CLIPVisionModel
    model = made(kind, T.CLIPVisionConfig(**SIZE, projection_dim=7))

    def rename(w):
        if not older or projection:
            return w
        return {f"vision_model.{k}": v for k, v in w.items()}

    def embedded(model, images):
        return seen(model, images).image_embeds if projection else pooled(model, images)

    found = check(tmp_path, model, (IMAGES,), embedded, image, rename)
    assert found.family == "clip_halves" and found.preprocess.size == (12, 12)


@pytest.mark.parametrize("projection", [True, False])
def test_a_text_half_of_a_clip(projection, tmp_path):
    kind = T.CLIPTextModelWithProjection if projection else T.CLIPTextModel
    config = T.CLIPTextConfig(**TEXT, projection_dim=7, eos_token_id=29, bos_token_id=28)
    model = made(kind, config)

    def embedded(model, ids):
        out = model(ids)
        return out.text_embeds if projection else out.pooler_output

    check(tmp_path, model, (ENDS,), embedded, lambda model, ids: model(ids))


@pytest.mark.parametrize("kind", published.refused.REFUSED)
def test_a_relative_that_is_not_read_is_refused_with_the_reason(kind, tmp_path):
    write(tmp_path, vit(), config={"model_type": kind})
    with pytest.raises(CheckpointError, match=f"{kind} is not read: ") as error:
        minivit.load(tmp_path)
    assert published.refused.REFUSED[kind] in str(error.value)


def test_vit_msn(tmp_path):
    """Masked Siamese networks: a ViT without a head, and with one."""

    def first_token(model, images):
        return seen(model, images).last_hidden_state[:, 0]

    model = made(T.ViTMSNModel, T.ViTMSNConfig(**SIZE))
    check(tmp_path / "a", model, (IMAGES,), first_token, image)
    headed = made(T.ViTMSNForImageClassification, T.ViTMSNConfig(**SIZE, num_labels=5))
    check(tmp_path / "b", headed, (IMAGES,), logits, image)


def test_camemberts_pieces_have_other_ids_than_xlms(tmp_path):
    write(tmp_path, made(T.CamembertModel, T.CamembertConfig(**TEXT)))
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"not read")
    assert minivit.load(tmp_path).tokenizer is None


def test_a_clip_without_one_of_its_halves_is_refused(tmp_path):
    parts = dict(text_config=T.CLIPTextConfig(**TEXT), vision_config=T.CLIPVisionConfig(**SIZE))
    parts = {key: config.to_dict() for key, config in parts.items()}
    write(tmp_path, made(T.CLIPForImageClassification, T.CLIPConfig(**parts, num_labels=5)))
    with pytest.raises(CheckpointError, match="no text encoder"):
        minivit.load(tmp_path)


def test_a_bare_image_gpt_is_refused(tmp_path):
    config = T.ImageGPTConfig(n_embd=8, n_layer=1, n_head=2, vocab_size=5, n_positions=4)
    write(tmp_path, made(T.ImageGPTModel, config))
    with pytest.raises(CheckpointError, match="bare ImageGPTModel"):
        minivit.load(tmp_path)
