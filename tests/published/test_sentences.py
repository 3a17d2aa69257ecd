"""Folders of sentence-transformers: each step that modules.json names is taken, or is refused by
its name. The package itself says what the vectors are (parity)."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minivit
from minivit import Tensor
from minivit.engine.errors import CheckpointError, OptionError
from minivit.published import sentences
from minivit.published.sentences import POOLINGS, embed
from minivit.text import WordPiece
from tests.published.test_text import case

PIECES = WordPiece([*"[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##c abc .".split()])
PACKAGE = "sentence_transformers."
TEXTS = ["a b c", "abc", "", "c " * 30, "abc abcabc .", "a", "B C [SEP] a"]


def folder_of(path, steps, **prompts):
    """The BERT of the fixtures as a sentence encoder; steps: [(type, its folder)]."""
    PIECES.save(case("bert").write(path) / "vocab.txt")
    listed = [("models.Transformer", ""), *steps]
    (path / "modules.json").write_text(json.dumps([
        {"idx": i, "name": str(i), "path": at, "type": PACKAGE + kind}
        for i, (kind, at) in enumerate(listed)
    ]))  # fmt: skip
    for _, at in steps:
        (path / at).mkdir(exist_ok=True)
        (path / at / "config.json").write_text("{}")
    if prompts:
        (path / sentences.PROMPTS).write_text(json.dumps(prompts))
    return path


POOL, NORMALIZE = ("models.Pooling", "1_Pooling"), ("models.Normalize", "2_Normalize")


@pytest.mark.parametrize(
    "kind",
    [PACKAGE + "models.WeightedLayerPooling", PACKAGE + "models.LSTM", PACKAGE + "models.Asym",
     "custom_st.Transformer", "my.Pooling", None, 3, PACKAGE],
)  # fmt: skip
def test_a_step_that_is_not_here_is_refused_by_its_name(kind, tmp_path):
    folder = folder_of(tmp_path, [POOL, NORMALIZE])
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = kind
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="is not built here, only Transformer") as error:
        minivit.load(folder)
    assert repr(kind) in str(error.value)


@pytest.mark.parametrize(
    "path", ["..", "a/b", "../x", "a\\b", "a\nb", None, 3, ".", pytest.param("a" * 300, id="long")]
)
def test_a_path_out_of_the_folder_is_refused(path, tmp_path):
    folder = folder_of(tmp_path, [POOL])
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="not the name of a folder"):
        minivit.load(folder)


@pytest.mark.parametrize("steps", [[], [NORMALIZE], [NORMALIZE, POOL], [POOL, POOL]])
def test_an_order_that_means_nothing_is_refused(steps, tmp_path):
    with pytest.raises(CheckpointError, match="expected Transformer, Pooling"):
        minivit.load(folder_of(tmp_path, steps))


@pytest.mark.parametrize(
    "settings, says",
    [({"pooling_mode": "median"}, "median"), ({"pooling_mode": 3}, "pooling_mode is"),
     ({"pooling_mode": []}, "pooling_mode is"), ({"pooling_mode": [["mean"]]}, "pooling_mode is"),
     ({"pooling_mode_sum_tokens": True}, "pooling_mode_sum_tokens"),
     ({"include_prompt": "yes"}, "include_prompt")],
)  # fmt: skip
def test_a_pooling_that_is_not_here_is_refused(settings, says, tmp_path):
    folder = folder_of(tmp_path, [POOL])
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=says):
        minivit.load(folder)


def test_without_normalize_the_vectors_are_not_of_length_1(tmp_path):
    plain = embed(minivit.load(folder_of(tmp_path / "a", [POOL])), TEXTS)
    unit = embed(minivit.load(folder_of(tmp_path / "b", [POOL, NORMALIZE])), TEXTS)
    length = np.linalg.norm(plain, axis=1, keepdims=True)
    assert np.abs(length - 1).max() > 0.1
    np.testing.assert_allclose(plain / length, unit, rtol=0, atol=1e-6)


def test_prompts(tmp_path):
    prompts = {"query": "a b ", "document": ""}
    found = minivit.load(folder_of(tmp_path, [POOL], prompts=prompts, default_prompt_name="query"))
    default = embed(found, TEXTS)
    np.testing.assert_array_equal(default, embed(found, TEXTS, prompt_name="query"))
    np.testing.assert_array_equal(default, embed(found, ["a b " + t for t in TEXTS], prompt=""))
    assert np.abs(default - embed(found, TEXTS, prompt_name="document")).max() > 1e-3
    with pytest.raises(OptionError, match="prompt_name is 'passage'"):
        embed(found, TEXTS, prompt_name="passage")


def test_one_text_is_one_vector_and_none_are_none(tmp_path):
    found = minivit.load(folder_of(tmp_path, [POOL]))
    one = embed(found, "abc")
    assert one.ndim == 1
    np.testing.assert_allclose(one, embed(found, ["abc"])[0], rtol=0, atol=0)
    assert len(embed(found, [])) == 0


@pytest.mark.parametrize(
    "settings, tokenizer, expected",
    [({}, {}, 12), ({"max_seq_length": 5}, {"model_max_length": 7}, 5),
     ({"max_seq_length": 600, "do_lower_case": None}, {}, 12),
     ({"max_seq_length": None}, {"model_max_length": 7}, 7), ({}, {"model_max_length": 1e30}, 12),
     ({}, {"model_max_length": None}, 12)],
)  # fmt: skip
def test_how_long_a_text_may_be(settings, tokenizer, expected, tmp_path):
    folder = folder_of(tmp_path, [POOL])
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    assert minivit.load(folder).tokenizer.longest == expected


# -- folders of older versions, and settings -------------------------------------------------------
@pytest.mark.parametrize("name", sentences.SETTINGS)
def test_the_settings_have_had_many_names(name, tmp_path):
    folder = folder_of(tmp_path, [POOL])
    (folder / name).write_text('{"max_seq_length": 5, "do_lower_case": true}')
    found = minivit.load(folder)
    assert found.tokenizer.longest == 5 and found.sentences.lower


@pytest.mark.parametrize("key, value", [
    ("transformer_task", "fill-mask"), ("module_output_name", "scores"), ("query_length", 3),
    ("tokenizer_args", {"model_max_length": 4}), ("config_args", {"num_hidden_layers": 1}),
    ("processor_kwargs", {"do_lower_case": False}), ("modality_config", {"image": {}}),
    ("processing_kwargs", {"text": {"max_length": 4}}), ("model_args", {"x": 1}),
])  # fmt: skip
def test_a_setting_that_changes_the_vectors_is_refused_by_name(key, value, tmp_path):
    folder = folder_of(tmp_path, [POOL])
    (folder / "sentence_bert_config.json").write_text(json.dumps({key: value}))
    with pytest.raises(CheckpointError, match=f"{key} is .* the vectors would be others"):
        minivit.load(folder)


@pytest.mark.parametrize("at", ["0_Transformer", "x/"])
def test_the_transformer_may_have_a_folder_of_its_own(at, tmp_path):
    """So did versions 0 and 1. Settings of the text, and the tokenizer, lie there too."""
    flat = folder_of(tmp_path / "flat", [POOL, NORMALIZE], prompts={"q": "a "})
    (flat / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    deep = tmp_path / "deep"
    shutil.copytree(flat, deep / at)
    for name in ("modules.json", sentences.PROMPTS, POOL[1], NORMALIZE[1]):
        shutil.move(deep / at / name, deep / name)
    modules = json.loads((deep / "modules.json").read_text())
    modules[0]["path"] = at
    (deep / "modules.json").write_text(json.dumps(modules))
    ours, theirs = minivit.load(deep), minivit.load(flat)
    assert ours.tokenizer.longest == 6
    for name in (None, "q"):
        np.testing.assert_array_equal(
            embed(ours, TEXTS, prompt_name=name), embed(theirs, TEXTS, prompt_name=name)
        )


@pytest.mark.parametrize("kind", ["StaticEmbedding", "CLIPModel", "WordEmbeddings", "BoW"])
def test_what_begins_otherwise_is_refused_before_weights_are_looked_for(kind, tmp_path):
    modules = [{"type": f"{PACKAGE}models.{kind}", "path": f"0_{kind}"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match=f"{kind}' is not built here"):
        minivit.load(tmp_path)


def test_a_pooling_without_a_folder_is_refused(tmp_path):
    folder = folder_of(tmp_path, [POOL])
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = ""  # where the BERT's own config.json lies
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="has no folder of its own"):
        minivit.load(folder)


def test_vectors_may_be_cut_and_stay_so(tmp_path):
    prompts = {"prompts": {}, "default_prompt_name": None}
    whole = minivit.load(folder_of(tmp_path / "a", [POOL, NORMALIZE], **prompts))
    cut = minivit.load(folder_of(tmp_path / "b", [POOL, NORMALIZE], **prompts, truncate_dim=3))
    np.testing.assert_array_equal(embed(cut, TEXTS), embed(whole, TEXTS)[:, :3])
    minivit.save(cut.model, tmp_path / "c", cut.tokenizer, sentences=cut.sentences)
    np.testing.assert_array_equal(embed(minivit.load(tmp_path / "c"), TEXTS), embed(cut, TEXTS))


# -- against the package ---------------------------------------------------------------------------
modes = st.lists(st.sampled_from([*POOLINGS]), min_size=1, max_size=3, unique=True)
activations = st.sampled_from(["Tanh", "Identity", "Sigmoid", "ReLU", "GELU", "SiLU"])


@pytest.fixture(scope="module")
def package():
    reason = "needs the package sentence-transformers"
    pytest.importorskip("sentence_transformers", reason=reason)
    from sentence_transformers.sentence_transformer import modules

    return modules


@pytest.mark.parity
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(modes, activations, st.data())
def test_the_steps_are_those_of_the_package(package, tmp_path_factory, modes, activation, data):
    """Saved by version 6.2 and loaded here: vectors, and gradients of the states."""
    import torch
    from sentence_transformers import SentenceTransformer

    plain = folder_of(tmp_path_factory.mktemp("plain"), [POOL])
    (plain / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    D = minivit.load(plain).model.tokens.weight.shape[1]
    (plain / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": D}))
    steps, width = [], D * len(modes)
    for kind in data.draw(
        st.lists(st.sampled_from(["Dense", "LayerNorm", "Normalize"]), max_size=3)
    ):
        if kind == "Dense":
            out, bias, residual = data.draw(
                st.tuples(st.sampled_from([5, width]), st.booleans(), st.booleans())
            )
            f = getattr(torch.nn, activation)()
            steps.append(
                package.Dense(width, out, bias=bias, activation_function=f, use_residual=residual)
            )
            width = out
        else:
            steps.append(package.LayerNorm(width) if kind == "LayerNorm" else package.Normalize())
    include = data.draw(st.booleans())
    theirs = SentenceTransformer(
        modules=[SentenceTransformer(str(plain), device="cpu")[0],
                 package.Pooling(D, modes, include_prompt=include), *steps],
        prompts={"query": "a b ", "document": ""},
        default_prompt_name=data.draw(st.sampled_from(["query", "document", None])), device="cpu",
    )  # fmt: skip
    theirs.truncate_dim = data.draw(st.sampled_from([None, 3]))
    theirs.max_seq_length = data.draw(st.sampled_from([None, 8]))
    folder = tmp_path_factory.mktemp("saved")
    theirs.save(str(folder), create_model_card=False)
    theirs, ours = SentenceTransformer(str(folder), device="cpu"), minivit.load(folder)
    assert ours.tokenizer.longest == theirs.max_seq_length
    texts = TEXTS[:-1]  # which has a special token: theirs reads it as one
    for prompt in (None, "query", "document"):
        here = embed(ours, texts, prompt_name=prompt)
        there = theirs.encode(texts, prompt_name=prompt, show_progress_bar=False)
        np.testing.assert_allclose(here, there, rtol=2e-4, atol=2e-5)
    h, mask = np.random.default_rng(0).standard_normal((2, 4, D)), np.ones((2, 4), bool)
    mask[1, 2:] = False
    x = torch.tensor(h, requires_grad=True)
    features = {"token_embeddings": x, "attention_mask": torch.tensor(mask).long()}
    for module in list(theirs.double())[1:]:
        features = module(features)
    y = features["sentence_embedding"][:, : ours.sentences.first]
    g = np.random.default_rng(1).standard_normal(y.shape)
    (y * torch.tensor(g)).sum().backward()
    for _, p in ours.sentences.named_tensors():
        p.data = p.data.astype(np.float64)
    z = Tensor(h, requires_grad=True)
    out = ours.sentences(z, mask)
    (out * g).sum().backward()
    np.testing.assert_allclose(out.numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(z.grad, x.grad.numpy(), rtol=1e-7, atol=1e-9)
