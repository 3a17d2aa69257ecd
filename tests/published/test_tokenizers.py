"""The tokenizer files beside published weights: read, or refused with a reason."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.engine.errors import CheckpointError
from minivit.published import vocabularies
from minivit.text import BPE, WordPiece

TEXTS = ["the lower the slower", "a slow low owl, the lowest of owls", "höher: 漢字 2021!"]
BYTES = BPE.train(TEXTS, 280, ["<|endoftext|>"])
PIECES = WordPiece.train(TEXTS, 60)


def byte_json():
    """GPT-2's tokenizer.json, as the package tokenizers writes it; the end of text is only among
    the added tokens."""
    vocab = {k: v for k, v in BYTES.ids.items() if k != "<|endoftext|>"}
    end = {"id": len(vocab), "content": "<|endoftext|>", "special": True}
    return {
        "added_tokens": [end], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "model": {"type": "BPE", "continuing_subword_prefix": "", "end_of_word_suffix": "",
                  "vocab": vocab, "merges": [f"{a} {b}" for a, b in BYTES.merges]},
    }  # fmt: skip


def piece_json(lower=True):
    """BERT's."""
    return {
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "strip_accents": None,
                       "handle_chinese_chars": True, "lowercase": lower},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": PIECES.ids},
    }  # fmt: skip


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("slow the"))))
def test_every_way_to_publish_byte_pairs_is_read(tmp_path_factory, text):
    folders = [tmp_path_factory.mktemp(name) for name in ("files", "openai", "json", "pairs")]
    BYTES.save(folders[0])
    for ours, theirs in (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")):
        (folders[1] / theirs).write_bytes((folders[0] / ours).read_bytes())
    (folders[2] / "tokenizer.json").write_text(json.dumps(byte_json()))
    pairs = byte_json()
    pairs["model"]["merges"] = BYTES.merges  # as newer files write them
    (folders[3] / "tokenizer.json").write_text(json.dumps(pairs))
    for folder in folders:
        found = vocabularies.byte_pairs(folder)
        assert found.ids == BYTES.ids and found.special_tokens == ("<|endoftext|>",)
        assert found.encode(text) == BYTES.encode(text) and found.decode(found.encode(text)) == text


@pytest.mark.parametrize("lower", [True, False])
def test_both_ways_to_publish_pieces_are_read(lower, tmp_path):
    for name in ("files", "json"):
        (tmp_path / name).mkdir()
    PIECES.save(tmp_path / "files" / "vocab.txt")
    settings = json.dumps({"do_lower_case": lower, "tokenize_chinese_chars": True})
    (tmp_path / "files" / "tokenizer_config.json").write_text(settings)
    (tmp_path / "json" / "tokenizer.json").write_text(json.dumps(piece_json(lower)))
    for name in ("files", "json"):
        found = vocabularies.word_pieces(tmp_path / name)
        assert (found.ids, found.lower, found.max_chars) == (PIECES.ids, lower, 100)


def test_without_a_configuration_berts_vocabulary_is_lower_case(tmp_path):
    PIECES.save(tmp_path / "vocab.txt")
    assert vocabularies.word_pieces(tmp_path).lower is True


def test_a_folder_without_vocabulary_has_none(tmp_path):
    for read in (vocabularies.byte_pairs, vocabularies.word_pieces, vocabularies.sentence_pieces):
        assert read(tmp_path) is None


def test_a_sentence_is_framed_padded_and_cut(tmp_path):
    PIECES.save(tmp_path / "vocab.txt")
    sentences = vocabularies.word_pieces(tmp_path, vocabularies.Pieces)
    sentences.longest = 6
    ids, mask = sentences(["", "the low owl", "slow " * 100])
    cls, sep, padding = (sentences.id_of(t) for t in ("[CLS]", "[SEP]", "[PAD]"))
    assert ids.shape == (3, 6) and (ids[:, 0] == cls).all()
    assert ids[0].tolist() == [cls, sep] + [padding] * 4 and mask.sum(axis=1).tolist()[0] == 2
    assert ids[2, -1] == sep and ids[2, 1:5].tolist() == (PIECES.encode("slow") * 4)[:4]


CHANGES = {
    "no model": lambda file: file.pop("model"),
    "model is a list": lambda file: file.update(model=[1]),
    "no vocabulary": lambda file: file["model"].pop("vocab"),
    "vocabulary of text": lambda file: file["model"].update(vocab={"a": "b"}),
    "ids twice": lambda file: file["model"].update(vocab={"[UNK]": 0, "a": 0}),
    "gap": lambda file: file["model"]["vocab"].update(zzz=10**9),
    "pre-tokenizer": lambda file: file.update(pre_tokenizer={"type": "Whitespace"}),
    "no pre-tokenizer": lambda file: file.update(pre_tokenizer=None),
    "normalizer": lambda file: file.update(normalizer={"type": "NFKC"}),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("which", ["bytes", "pieces"])
def test_a_tokenizer_json_that_is_not_understood(which, change, tmp_path):
    file = json.loads(json.dumps(byte_json() if which == "bytes" else piece_json()))
    CHANGES[change](file)
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    read = vocabularies.byte_pairs if which == "bytes" else vocabularies.word_pieces
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: not a tokenizer"):
        read(tmp_path)


@pytest.mark.parametrize("change, says", [
    (lambda f: f["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix"),
    (lambda f: f["model"].update(byte_fallback=True), "byte_fallback"),
    (lambda f: f["model"]["merges"].append("q q"), "vocab lacks the result"),
    (lambda f: f["pre_tokenizer"].update(add_prefix_space=True), "add_prefix_space"),
])  # fmt: skip
def test_what_byte_pairs_here_do_not_do_is_named(change, says, tmp_path):
    file = byte_json()
    change(file)
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(CheckpointError, match=says):
        vocabularies.byte_pairs(tmp_path)


@pytest.mark.parametrize("settings, says", [
    ({"do_lower_case": "yes"}, "do_lower_case"), ({"strip_accents": False}, "strip_accents"),
    ({"tokenize_chinese_chars": False}, "tokenize_chinese_chars"),
])  # fmt: skip
def test_what_pieces_here_do_not_do_is_named(settings, says, tmp_path):
    PIECES.save(tmp_path / "vocab.txt")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=f"tokenizer_config.json: .*{says}"):
        vocabularies.word_pieces(tmp_path)


@pytest.mark.parametrize("content", ["", "[PAD]\n[UNK]\n[UNK]\n", "a\nb\n", "[UNK]\ncut"])
def test_a_vocabulary_that_is_none(content, tmp_path):
    (tmp_path / "vocab.txt").write_text(content)
    with pytest.raises(CheckpointError, match=r"vocab\.txt"):
        vocabularies.word_pieces(tmp_path)


# -- Marian ----------------------------------------------------------------------------------------
def marian(folder, symbols=("</s>", "<unk>", "▁a", "b", ">>fra<<", "<pad>"), model=b"nonsense"):
    (folder / "vocab.json").write_text(json.dumps({s: i for i, s in enumerate(symbols)}))
    (folder / "source.spm").write_bytes(model)
    return vocabularies.sentence_pieces(folder)


def test_marians_vocabulary_needs_a_package_and_says_so(tmp_path, monkeypatch):
    tokenizer = marian(tmp_path)  # the weights can be used without
    assert tokenizer.decode([2, 3, 2, 1, 0, 5]) == "ab a"
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match="pip install sentencepiece"):
        tokenizer.encode("a")


def test_a_broken_sentencepiece_model_is_refused(tmp_path):
    pytest.importorskip("sentencepiece", reason="needs the package sentencepiece")
    with pytest.raises(CheckpointError, match=r"source\.spm: cannot be read"):
        marian(tmp_path).encode("a")


@pytest.mark.parametrize("symbols", [("a", "</s>", "<unk>"), ("<unk>",)])
def test_marians_vocabulary_must_have_its_special_tokens(symbols, tmp_path):
    with pytest.raises(CheckpointError, match=r"vocab\.json: lacks"):
        marian(tmp_path, symbols)


@pytest.mark.parametrize("value", ["100", None, 1.5, [], True, 0, -1])
def test_a_word_limit_that_is_no_number_is_refused_at_once(value, tmp_path):
    """Not when a word is met that is compared with it."""
    file = piece_json()
    file["model"]["max_input_chars_per_word"] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(CheckpointError, match="max_input_chars_per_word"):
        vocabularies.word_pieces(tmp_path)


def test_a_vocabulary_nested_too_deeply_is_refused(tmp_path):
    (tmp_path / "vocab.json").write_text("[" * 100_000)
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(CheckpointError, match="not whole JSON"):
        vocabularies.byte_pairs(tmp_path)


def test_special_tokens_in_a_text_are_read_where_they_are_asked_for(tmp_path):
    PIECES.save(tmp_path / "vocab.txt")
    tokenizer = vocabularies.word_pieces(tmp_path, vocabularies.Pieces)
    mask = tokenizer.id_of("[MASK]")
    ids, _ = tokenizer("the [MASK] owl", special=True)
    assert (ids == mask).sum() == 1 and ids.ndim == 2
    assert mask not in tokenizer("the [MASK] owl")[0]
