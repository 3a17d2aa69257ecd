"""GPT-2, Image GPT, BERT and Marian as others publish them: what PyTorch computed with them, in
fixtures that tests/reference/make_text.py made, and their tokenizers."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import minivit
from minivit import optim, published
from minivit.engine.errors import CheckpointError, MinivitError, StateError
from minivit.models.gpt import SIZES
from minivit.published import fields, sentences, tables, weights
from minivit.text import BPE, WordPiece

REFERENCE = Path(__file__).parents[1] / "reference"
FAMILIES = ("gpt2", "image_gpt", "bert", "marian")


class Case:
    """A fixture: "config", and what it holds under w/, in/, out/, g/ and after/."""

    def __init__(self, arrays):
        self.config = json.loads(str(arrays["config"]))
        self.weights, self.given, self.out, self.gradients, self.after = (
            {k.removeprefix(part): v for k, v in arrays.items() if k.startswith(part)}
            for part in ("w/", "in/", "out/", "g/", "after/")
        )

    def write(self, folder, weights=None):
        """A checkpoint as it is published: config.json and model.safetensors."""
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        save_file(
            {k: v.copy(order="C") for k, v in (weights or self.weights).items()},
            folder / "model.safetensors",
        )
        return folder


def case(family):
    with np.load(REFERENCE / f"{family}.npz") as arrays:
        return Case(dict(arrays))


def load(folder, dtype=np.float32):
    """The model of a folder; float64: its weights, exact in float32, in that precision."""
    model = minivit.load(folder).model
    for _, p in model.named_tensors():
        p.data = p.data.astype(dtype)
    return model


def outputs(family, model, given):
    """The fixture's results under out/, but for rounding."""
    if family == "gpt2":
        mask = given["mask"]
        return {"logits": model(given["ids"]), "loss": model.loss(given["ids"], mask)}
    if family == "image_gpt":
        return {"logits": model(given["ids"]), "loss": model.loss(given["ids"])}
    if family == "bert":
        x = (given["ids"], given["mask"], given["segments"])
        follows = minivit.cross_entropy_loss(model.next_logits(*x), given["follows"])
        return {
            "hidden": model.hidden(*x), "pooled": model.pooled(*x), "logits": model(*x),
            "next": model.next_logits(*x),
            "loss": model.loss(x[0], given["labels"], *x[1:]) + follows,
        }  # fmt: skip
    source = (given["source"], given["source_mask"])
    return {
        "memory": model.encode(*source),
        "logits": model(source[0], given["target"][:, :-1], source[1]),
        "loss": model.loss(
            source[0], given["target"], source[1], given["target_mask"], label_smoothing=0
        ),
    }


def shown(family, name, array, given):
    """An output without the places of padding, of which each side makes what it likes."""
    if family == "bert" and name in ("hidden", "logits"):
        return array[given["mask"]]
    if family == "gpt2" and name == "logits":
        return array[given["mask"]]
    if family == "marian" and name != "loss":
        mask = given["source_mask"] if name == "memory" else given["target_mask"][:, 1:]
        return array[mask]
    return array


def relative(ours, theirs):
    """The largest difference, in units of the largest number (but at least 1e-3)."""
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-3)


def compare(family, found, folder, dtype=np.float64, tolerances=(1e-10, 1e-8, 1e-8)):
    """Outputs, every gradient and one step of AdamW; the differences of the three."""
    model = load(folder, dtype)
    ours = outputs(family, model, found.given)
    differences = {}
    for name, y in ours.items():
        here, there = (
            shown(family, name, x, found.given) for x in (y.numpy(), found.out[name])
        )  # fmt: skip
        assert here.dtype == dtype
        differences[name] = relative(here, there)
    ours["loss"].backward()
    config, file = published.read_config(folder), weights.read(folder)
    table = published.empty(published.family_of(config, file), config, file).table
    learnt = dict(model.named_parameters())
    table = {ours: entry for ours, entry in table.items() if ours in learnt}
    expected = tables.translate(found.gradients, table)
    gradients = {name: relative(p.grad, expected[name]) for name, p in learnt.items()}
    assert set(expected) == set(learnt)
    optimizer = optim.AdamW(learnt.values(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1)
    optimizer.step()
    after = tables.translate(found.after, table)
    steps = {name: relative(p.numpy(), after[name]) for name, p in learnt.items()}
    for what, tolerance in zip((differences, gradients, steps), tolerances):
        worst = max(what, key=what.get)
        assert what[worst] <= tolerance, f"{worst}: {what[worst]:.1e}"
    return tuple(max(what.values()) for what in (differences, gradients, steps))


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_every_gradient_and_one_step_are_those_of_pytorch(family, tmp_path):
    found = case(family)
    compare(family, found, found.write(tmp_path))


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_and_every_gradient_in_float32(family, tmp_path):
    """Not the step: Adam's first one is lr times the sign, and a gradient of zero has none."""
    found = case(family)
    compare(family, found, found.write(tmp_path), np.float32, (1e-4, 1e-4, np.inf))


def test_the_comparison_sees_an_epsilon(tmp_path):
    found = case("bert")
    found.config["layer_norm_eps"] = 1e-6
    with pytest.raises(AssertionError):
        compare("bert", found, found.write(tmp_path))


# -- the same model under other names --------------------------------------------------------------
def gpt2_of_the_hub(w):
    """No "transformer.", the masks of old files, and the head once more."""
    masks = {f"h.{i}.attn.bias": np.tri(12, dtype=np.float32)[None, None] for i in range(2)}
    masks["h.1.attn.bias"] = masks["h.1.attn.bias"].astype(bool)
    masks |= {f"h.{i}.attn.masked_bias": np.float32([-1e4]) for i in range(2)}
    return {k.removeprefix("transformer."): v for k, v in w.items()} | masks


def with_the_head(w):
    return w | {"lm_head.weight": w["transformer.wte.weight"]}


def gammas(w):
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    return {k.replace(a := ".".join(k.split(".")[-2:]), old.get(a, a)): v for k, v in w.items()}


def bert_copies(w):
    token, bias = w["bert.embeddings.word_embeddings.weight"], w["cls.predictions.bias"]
    copies = {"decoder.weight": token, "decoder.bias": bias}
    numbers = {"bert.embeddings.position_ids": np.arange(12)[None]}
    return w | {f"cls.predictions.{k}": v for k, v in copies.items()} | numbers


def marian_copies(w):
    names = ("lm_head.weight", "model.encoder.embed_tokens.weight")
    table = np.zeros((14, 12), np.float32)
    tables = {f"model.{x}.embed_positions.weight": table for x in ("encoder", "decoder")}
    return w | dict.fromkeys(names, w["model.shared.weight"]) | tables


@pytest.mark.parametrize("family, renamed", [
    ("gpt2", gpt2_of_the_hub), ("gpt2", with_the_head), ("bert", gammas), ("bert", bert_copies),
    ("marian", marian_copies),
])  # fmt: skip
def test_older_names_and_copies(family, renamed, tmp_path):
    found = case(family)
    here = load(found.write(tmp_path / "a")).state_dict()
    there = load(found.write(tmp_path / "b", renamed(found.weights))).state_dict()
    assert here.keys() == there.keys()
    for name, array in here.items():
        np.testing.assert_array_equal(array, there[name], name)


@pytest.mark.parametrize("family, copies, name", [
    ("gpt2", with_the_head, "lm_head.weight"),
    ("bert", bert_copies, "cls.predictions.decoder.bias"),
    ("marian", marian_copies, "model.encoder.embed_tokens.weight"),
])  # fmt: skip
def test_copies_that_differ_are_refused(family, copies, name, tmp_path):
    found = case(family)
    w = copies(found.weights)
    w[name] = w[name] + 1
    with pytest.raises(StateError, match="two uses of one matrix"):
        minivit.load(found.write(tmp_path, w))


def without(w, *beginnings):
    return {k: v for k, v in w.items() if not k.startswith(beginnings)}


def test_berts_encoder_alone(tmp_path):
    """BertModel, as of MiniLM: no "bert.", no head; and BertForMaskedLM: no pooler."""
    found = case("bert")
    x = (found.given["ids"], found.given["mask"], found.given["segments"])
    encoder = {k.removeprefix("bert."): v for k, v in without(found.weights, "cls.").items()}
    model = load(found.write(tmp_path / "a", encoder), np.float64)
    np.testing.assert_allclose(model.pooled(*x).numpy(), found.out["pooled"], rtol=0, atol=1e-10)
    with pytest.raises(StateError, match="without its layer 'head'"):
        model(*x)
    masked = without(found.weights, "bert.pooler.", "cls.seq_relationship.")
    model = load(found.write(tmp_path / "b", masked), np.float64)
    np.testing.assert_allclose(model(*x).numpy(), found.out["logits"], rtol=0, atol=1e-10)
    with pytest.raises(StateError, match="without its layer 'pooler'"):
        model.pooled(*x)


def test_biases_of_zero_are_left_out_of_image_gpt(tmp_path):
    """The port adds biases; in OpenAI's weights they are zero, and the original has none."""
    found = case("image_gpt")
    zeroed = {k: v * 0 if k.endswith("bias") else v for k, v in found.weights.items()}
    model = load(found.write(tmp_path / "a", zeroed), np.float64)
    assert not any(name.endswith("bias") for name, _ in model.named_parameters())
    with_biases = load(found.write(tmp_path / "b"), np.float64)
    for name, p in with_biases.named_parameters():
        if name.endswith("bias"):
            p.data[...] = 0
    ids = found.given["ids"]
    np.testing.assert_allclose(model(ids).numpy(), with_biases(ids).numpy(), rtol=0, atol=1e-12)


def test_marian_translates_as_transformers_does(tmp_path):
    found = case("marian")
    model = load(found.write(tmp_path), np.float64)
    assert model.start == 30 and model.end == 0
    source, mask = found.given["source"], found.given["source_mask"]
    expected = found.out["greedy"]  # starts with the start; the last of 12 is an end by force
    ours = model.greedy(source, mask, steps=10)
    assert ours == [row[1 : 1 + len(o)].tolist() for row, o in zip(expected, ours)]
    assert all(len(o) == 10 for o in ours)
    for row, real, there in zip(source, mask, ours):
        assert model.translate(row[real], steps=10) == there


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_lands_on_the_default_device(family, device, tmp_path):
    found = case(family)
    model = minivit.load(found.write(tmp_path)).model
    assert {p.device for p in model.parameters()} == {device}
    for name, y in outputs(family, model, found.given).items():
        here, there = (
            shown(family, name, x, found.given) for x in (y.numpy(), found.out[name])
        )  # fmt: skip
        assert relative(here, there) < 1e-4, name


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_is_widened(family, tmp_path):
    found = case(family)
    halves = {k: v.astype(np.float16) for k, v in found.weights.items()}
    wide = {k: v.astype(np.float32) for k, v in halves.items()}
    here = load(found.write(tmp_path / "a", halves)).state_dict()
    for name, array in load(found.write(tmp_path / "b", wide)).state_dict().items():
        np.testing.assert_array_equal(here[name], array, name)


def test_released_sizes_need_no_configuration():
    """The heads of GPT-2 and Image GPT are known by their layers and width."""
    assert fields.heads({}, "n_head", 768, 12, SIZES.values()) == 12
    assert fields.heads({"n_head": 6}, "n_head", 768, 12, SIZES.values()) == 6


# -- what does not fit -----------------------------------------------------------------------------
@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_is_needed_and_none_is_left_over(family, tmp_path):
    """A tensor that is missing, or added, is named; but whole heads of BERT may be missing."""
    found = case(family)
    for name in found.weights:
        if name == "cls.seq_relationship.bias":
            continue  # the weight alone says that there is one
        rest = {k: v for k, v in found.weights.items() if k != name}
        with pytest.raises(StateError, match=r"missing|unexpected|has no tensor"):
            minivit.load(found.write(tmp_path, rest))
        bent = found.weights | {name: found.weights[name][..., :-1]}
        with pytest.raises(MinivitError):
            minivit.load(found.write(tmp_path, bent))
    with pytest.raises(StateError, match=r"unexpected in the file \(1\): h.0.extra"):
        minivit.load(found.write(tmp_path, found.weights | {"h.0.extra": np.ones(3, np.float32)}))


HEADS = {"gpt2": "n_head", "image_gpt": "n_head", "bert": "num_attention_heads",
         "marian": "encoder_attention_heads"}  # fmt: skip
LAYERS = {"gpt2": "n_layer", "image_gpt": "n_layer", "bert": "num_hidden_layers",
          "marian": "decoder_layers"}  # fmt: skip
ACTIVATIONS = {"bert": "hidden_act"}
EPSILONS = {"gpt2": "layer_norm_epsilon", "image_gpt": "layer_norm_epsilon",
            "bert": "layer_norm_eps"}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_configuration_that_does_not_fit(family, tmp_path):
    found = case(family)
    wrong = [
        *((HEADS[family], x) for x in (0, 5, -2, 10**30, 2.0, None, "2", True)),
        *((LAYERS[family], x) for x in (0, 1, 3, 10**9, "2")),
        *((ACTIVATIONS.get(family, "activation_function"), x) for x in ("mish", 3, ["gelu"])),
        *((EPSILONS.get(family, "eos_token_id"), x) for x in ("1e-5", -1, float("nan"), 1e9)),
        ("model_type", "t5"), ("model_type", ["bert"]),
    ]  # fmt: skip
    for key, value in wrong:
        other = Case({"config": json.dumps(found.config | {key: value})})
        with pytest.raises(MinivitError):
            minivit.load(other.write(tmp_path, found.weights))


@pytest.mark.parametrize("family, key, value", [
    ("gpt2", "scale_attn_by_inverse_layer_idx", True), ("image_gpt", "tie_word_embeddings", True),
    ("bert", "position_embedding_type", "relative_key"), ("bert", "is_decoder", True),
    ("marian", "share_encoder_decoder_embeddings", False), ("marian", "normalize_before", True),
])  # fmt: skip
def test_what_is_not_built_is_refused_by_name(family, key, value, tmp_path):
    found = case(family)
    found.config[key] = value
    with pytest.raises(CheckpointError, match=f"config.json: {key} is {value!r}"):
        minivit.load(found.write(tmp_path))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_recognised_by_its_tensors(family, tmp_path):
    """Without config.json; but how many heads there are, no tensor tells."""
    found = case(family)
    assert published.family_of({}, found.weights).__name__.endswith(f".{family}")
    (found.write(tmp_path) / "config.json").unlink()
    with pytest.raises(CheckpointError, match=f"none with {HEADS[family]}: how many heads"):
        minivit.load(tmp_path / "model.safetensors")


# -- what stands beside the weights ----------------------------------------------------------------
def test_tokenizers_come_with_their_models(tmp_path):
    PIECES.save(found_at(tmp_path, "bert") / "vocab.txt")
    model = minivit.load(tmp_path)
    assert model.tokenizer.symbols == PIECES.symbols and model.tokenizer.longest == 12
    assert model.sentences.pooling.modes == ("mean",)
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 5}')
    (tmp_path / "1_Pooling").mkdir()
    pooling = tmp_path / "1_Pooling" / "config.json"
    pooling.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    model = minivit.load(tmp_path)
    assert model.tokenizer.longest == 5 and model.sentences.pooling.modes == ("cls",)
    pooling.write_text('{"pooling_mode_median_tokens": true}')
    with pytest.raises(CheckpointError, match="pooling_mode_median_tokens"):
        minivit.load(tmp_path)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    BPE.train(["a"], 300).save(found_at(tmp_path, "gpt2"))
    with pytest.raises(CheckpointError, match="do not belong together"):
        minivit.load(tmp_path)


def found_at(folder, family):
    return case(family).write(folder)


PIECES = WordPiece([*"[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##c abc .".split()])


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_an_embedding_does_not_depend_on_its_batch(pooling, tmp_path):
    PIECES.save(found_at(tmp_path, "bert") / "vocab.txt")
    model = minivit.load(tmp_path)
    model.sentences.pooling.modes = (pooling,)
    texts = ["a b c", "abc", "", "c " * 30, "abc abcabc .", "a"]
    together = sentences.embed(model, texts, batch_size=4)
    alone = np.concatenate([sentences.embed(model, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=0, atol=1e-6)
    h = model.model.hidden(*model.tokenizer(["a b c"])).numpy()[0]
    expected = h.mean(axis=0) if pooling == "mean" else h[0]
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(together[0], expected, rtol=0, atol=2e-6)


def palette_of(folder, colours=32, **settings):
    clusters = np.random.default_rng(0).uniform(-1, 1, (colours, 3)).tolist()
    text = json.dumps({"clusters": clusters, "size": 4, "do_normalize": True} | settings)
    (folder / "preprocessor_config.json").write_text(text)


def test_image_gpts_palette(tmp_path):
    folder = found_at(tmp_path, "image_gpt")
    assert minivit.load(folder).preprocess is None
    palette_of(folder)
    pixels = minivit.load(folder).preprocess
    colours = pixels.pictures(np.arange(32).reshape(2, 16))
    assert colours.shape == (2, 4, 4, 3) and colours.dtype == np.uint8
    for ids, picture in zip(np.arange(32).reshape(2, 16), colours):  # its own colours come back
        np.testing.assert_array_equal(pixels(picture), ids[None])


@pytest.mark.parametrize("settings", [
    {"colours": 31}, {"clusters": "x"}, {"clusters": [[0, 0]] * 32}, {"clusters": None},
    {"clusters": [[0, 0, float("nan")]] * 32}, {"size": 8}, {"size": {"height": 4, "width": 2}},
])  # fmt: skip
def test_a_palette_that_does_not_fit(settings, tmp_path):
    palette_of(found_at(tmp_path, "image_gpt"), **settings)
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        minivit.load(tmp_path)


# -- files that mean ill ---------------------------------------------------------------------------
numbers = st.one_of(st.integers(-3, 40), st.integers(), st.floats())
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=5), st.just("gelu")),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(st.text(), inside)),
    max_leaves=4,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_any_configuration_gives_a_model_or_an_error(family, tmp_path):
    """Any value in config.json, in place of one to three of its own."""
    found = case(family)
    path = found.write(tmp_path) / "config.json"

    @given(st.dictionaries(st.sampled_from(sorted(found.config)), values, min_size=1, max_size=3))
    def check(changes):
        path.write_text(json.dumps(found.config | changes))
        with contextlib.suppress(MinivitError):
            minivit.load(tmp_path)

    check()


FILES = {
    "tokenizer.json": ("gpt2", json.dumps({
        "added_tokens": [], "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {"vocab": BPE.train(["aab"], 258).ids, "merges": [["a", "a"], ["aa", "b"]]},
    })),
    "vocab.txt": ("bert", "\n".join(PIECES.symbols) + "\n"),
    "preprocessor_config.json": ("image_gpt", json.dumps({"clusters": [[0, 0.5, 1]] * 32,
                                                          "size": 4})),
    "vocab.json": ("marian", '{"</s>": 0, "<unk>": 1, "<pad>": 2, "▁a": 3}'),
    "sentence_bert_config.json": ("bert", '{"max_seq_length": 9}'),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_beside_the_weights_is_read_or_refused(name, tmp_path):
    family, text = FILES[name]
    found = case(family)
    if name == "tokenizer.json":  # the vocabulary of bytes is larger than the fixture's
        rows = np.resize(found.weights["transformer.wte.weight"], (260, 16))
        found.weights["transformer.wte.weight"] = rows
    folder = found.write(tmp_path)
    (folder / "source.spm").write_bytes(b"")
    if name.startswith("sentence"):
        PIECES.save(folder / "vocab.txt")
    (folder / name).write_text(text)
    minivit.load(folder)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        bad = bytearray(text.encode())
        for _ in range(rng.integers(1, 4)):
            bad[rng.integers(len(bad))] = rng.integers(256)
        (folder / name).write_bytes(bad[: rng.integers(len(bad))] if rng.random() < 0.2 else bad)
        try:
            minivit.load(folder)
        except MinivitError:
            refused += 1
    assert refused > 100
