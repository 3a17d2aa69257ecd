"""Models of ours in Hugging Face's layout: read again here they are the same numbers, and
transformers computes the same with them (parity)."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit
from minivit import Tensor
from minivit.engine.errors import DtypeError, MinivitError, OptionError
from minivit.models.bert import BERT
from minivit.models.clip import CLIP, TextTransformer, VisionTransformer
from minivit.models.gpt import GPT
from minivit.models.image_gpt import ImageGPT
from minivit.models.vit import ViT
from minivit.published import preprocess
from minivit.published.export import export
from minivit.published.preprocess import TWO_BY_TWO, Preprocess
from minivit.text import BPE, CLIPTokenizer, WordPiece

ACTIVATIONS = st.sampled_from(["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"])
EPS = st.sampled_from([1e-5, 1e-6, 1e-12])
PIECES = WordPiece([*"[PAD] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##c abc .".split()])


def drawn(model, seed=0):
    """Every parameter drawn: zeros would hide a name that is read twice."""
    rng = np.random.default_rng(seed)
    for _, p in model.named_tensors():
        p.data = (0.3 * rng.standard_normal(p.shape)).astype(np.float32)
    return model.eval()


@st.composite
def vits(draw):
    channels, heads, pooled = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.booleans())
    return drawn(ViT(
        draw(st.sampled_from([8, (8, 12), (4, 8)])), 4, channels, 0 if pooled else 5, 8 * heads,
        draw(st.integers(1, 3)), heads, draw(st.integers(3, 20)), activation=draw(ACTIVATIONS),
        eps=draw(EPS), pre_logits=draw(st.sampled_from([0, 6])) if pooled else 0,
    ))  # fmt: skip


@st.composite
def clips(draw):
    act, eps, E = draw(ACTIVATIONS), draw(EPS), draw(st.integers(2, 6))
    image = VisionTransformer(8, 4, 16, draw(st.integers(1, 2)), 2, 3, 20, act, eps)
    text = TextTransformer(30, 9, 24, draw(st.integers(1, 2)), 3, 28, act, eps)
    return drawn(CLIP(image, text, 16, 24, E))


@st.composite
def gpts(draw):
    return drawn(GPT(30, 12, 16, draw(st.integers(1, 3)), 2, hidden=draw(st.integers(3, 40)),
                     activation=draw(ACTIVATIONS), eps=draw(EPS)))  # fmt: skip


@st.composite
def berts(draw):
    head = draw(st.booleans())
    return drawn(BERT(
        30, 12, 16, draw(st.integers(1, 3)), 2, draw(st.integers(3, 40)), eps=draw(EPS),
        activation=draw(ACTIVATIONS), head=head, pooler=not head or draw(st.booleans()),
        kinds=draw(st.integers(1, 2)),
    ))  # fmt: skip


MODELS = st.one_of(vits(), clips(), gpts(), berts())


@settings(max_examples=40)
@given(MODELS)
def test_what_is_exported_is_read_again(tmp_path_factory, model):
    found = minivit.load(export(model, tmp_path_factory.mktemp("e") / "model")).model
    assert type(found) is type(model)
    ours, read = dict(model.named_tensors()), dict(found.named_tensors())
    assert set(ours) == set(read)
    for name, p in ours.items():
        assert np.array_equal(p.numpy(), read[name].numpy()), name
    assert found.eval().config.get("eps") == model.config.get("eps")


@pytest.mark.parity
@settings(max_examples=25, deadline=None)
@given(MODELS)
def test_transformers_computes_the_same(tmp_path_factory, model):
    torch = pytest.importorskip("torch")
    T = pytest.importorskip("transformers")
    folder = export(model, tmp_path_factory.mktemp("e") / "model")
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    theirs, report = getattr(T, name).from_pretrained(folder, output_loading_info=True)
    added = {n for n in report["missing_keys"] if "pooler" not in n}
    assert not added and not report["mismatched_keys"]
    theirs = theirs.eval()
    rng = np.random.default_rng(0)
    ids = rng.integers(1, 30, (2, 9))
    ids[:, -1] = 29
    with torch.no_grad():
        if isinstance(model, ViT):
            x = rng.standard_normal((2, *model.image, model.channels)).astype(np.float32)
            out = theirs(torch.tensor(x).permute(0, 3, 1, 2))
            if model.head is not None:
                expected = out.logits
            elif model.pre_logits is not None:
                expected = out.pooler_output
            else:
                expected = out.last_hidden_state[:, 0]
            ours = model(Tensor(x))
        elif isinstance(model, CLIP):
            x = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)
            out = theirs(torch.tensor(ids), torch.tensor(x).permute(0, 3, 1, 2))
            expected, ours = out.logits_per_image, model(Tensor(x), ids)
        elif isinstance(model, GPT):
            expected, ours = theirs(torch.tensor(ids)).logits, model(ids)
        else:
            out = theirs(torch.tensor(ids))
            expected = out.logits if model.head is not None else out.last_hidden_state
            ours = model(ids) if model.head is not None else model.hidden(ids)
    scale = expected.abs().max().item()
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=0, atol=2e-5 * max(1, scale))


@pytest.mark.parametrize(
    "model, says",
    [(lambda: ViT(pool="mean"), "pool is 'mean'"), (lambda: ViT(positions="sincos"), "positions"),
     (lambda: ViT(layer_scale=1e-5), "layer_scale"), (lambda: ViT(pre_logits=4), "pre_logits"),
     (lambda: BERT(20, kinds=0), "without segments"), (lambda: ImageGPT(8, 4, 8, 1, 1), "ImageGPT"),
     (lambda: "vit", "a str")],
)  # fmt: skip
def test_what_the_layout_cannot_say_is_refused(model, says, tmp_path):
    with pytest.raises((OptionError, DtypeError), match=says):
        export(model(), tmp_path / "x")
    assert not (tmp_path / "x").exists()


# -- what stands beside ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "seen",
    [Preprocess((8, 8)), Preprocess((8, 8), 10, "bilinear"), preprocess.as_clip_processor(8),
     Preprocess((8, 8), squashed=(12, 10), mean=(0, 0.1, 0.2), std=(1, 2, 3), scale=0.5)],
)  # fmt: skip
def test_the_preprocessing_is_read_again(seen, tmp_path):
    found = minivit.load(export(drawn(ViT(8, 4, 3)), tmp_path / "x", preprocess=seen))
    assert found.preprocess == seen


@pytest.mark.parametrize(
    "seen", [preprocess.as_openai(8), Preprocess((8, 8), resample=TWO_BY_TWO), "resize"]
)
def test_a_preprocessing_of_others_is_refused(seen, tmp_path):
    with pytest.raises(MinivitError, match="export: preprocess"):
        export(ViT(8, 4, 3), tmp_path / "x", preprocess=seen)


def test_labels(tmp_path):
    model = drawn(ViT(8, 4, 3, classes=2))
    assert minivit.load(export(model, tmp_path / "x", labels=["cat", "dog"])).labels == [
        "cat", "dog",
    ]  # fmt: skip
    with pytest.raises(OptionError, match="3 labels for a head of 2"):
        export(model, tmp_path / "y", labels=["a", "b", "c"])


def test_tokenizers_are_read_again(tmp_path):
    pieces = minivit.load(export(drawn(BERT(30, 12, 16, 1, 2)), tmp_path / "b", PIECES)).tokenizer
    assert pieces.symbols == PIECES.symbols and pieces.lower
    bpe = BPE.train(["a photo of a cat"], 270, ["<|endoftext|>"])
    gpt = drawn(GPT(len(bpe), 12, 16, 1, 2))
    assert minivit.load(export(gpt, tmp_path / "g", bpe)).tokenizer.ids == bpe.ids
    clip = CLIPTokenizer.train(["a photo of a cat"], 530)
    image = VisionTransformer(8, 4, 16, 1, 2)
    model = drawn(CLIP(image, TextTransformer(len(clip), 12, 16, 1, 2), 16, 16, 8))
    found = minivit.load(export(model, tmp_path / "c", clip)).tokenizer
    assert found.ids == clip.ids and found.context_length == 12


@pytest.mark.parity
def test_transformers_reads_the_tokenizers(tmp_path):
    T = pytest.importorskip("transformers")
    texts = ["a b c abc", "abcabc . A b"]
    export(drawn(BERT(30, 12, 16, 1, 2)), tmp_path / "b", PIECES)
    theirs = T.AutoTokenizer.from_pretrained(tmp_path / "b")
    assert [theirs(t)["input_ids"] for t in texts] == [PIECES.pair(t)[0] for t in texts]
    bpe = BPE.train(["a photo of a cat"], 270, ["<|endoftext|>"])
    export(drawn(GPT(len(bpe), 12, 16, 1, 2)), tmp_path / "g", bpe)
    theirs = T.AutoTokenizer.from_pretrained(tmp_path / "g")
    for text in ("a photo of a cat", "no photos, cats!"):
        assert theirs(text)["input_ids"] == bpe.encode(text)


# -- the command -----------------------------------------------------------------------------------
def test_the_commands_export_and_fill(tmp_path, capsys):
    from minivit.commands import main

    export(drawn(BERT(len(PIECES), 12, 16, 1, 2)), tmp_path / "b", PIECES)
    assert main(["export", str(tmp_path / "b"), str(tmp_path / "again")]) == 0
    capsys.readouterr()
    arguments = ["fill", "a [MASK] c [MASK]", "--model", str(tmp_path / "again"), "--json"]
    assert main(arguments) == 0
    masks = json.loads(capsys.readouterr().out)["masks"]
    found = minivit.load(tmp_path / "b")
    ids, mask = found.tokenizer("a [MASK] c [MASK]", special=True)
    p = minivit.softmax(found.model(ids, mask)).numpy()[0]
    places = np.flatnonzero(ids[0] == PIECES.id_of("[MASK]"))
    assert len(masks) == len(places) == 2
    for tokens, place in zip(masks, places):
        assert tokens[0]["token"] == PIECES.symbols[p[place].argmax()]
        assert tokens[0]["probability"] == pytest.approx(float(p[place].max()), rel=1e-4)
    for wrong, says in ((["fill", "no mask", "--model", str(tmp_path / "b")], "no [MASK]"),):
        assert main(wrong) == 2
        assert says in capsys.readouterr().err
