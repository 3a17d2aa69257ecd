"""Round trips, the plain algorithms as oracles, bad input, parity, speed."""

import gzip
import html
import importlib.util
import json
import os
import pickle
import pydoc_data.topics
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minivit.engine.errors import (
    CheckpointError,
    DtypeError,
    MinivitError,
    RangeError,
    ShapeError,
)
from minivit.text import (
    BPE,
    CLIPTokenizer,
    TextError,
    WordPiece,
    base,
    bpe,
    clip,
    learn_merges,
    pad,
    wordpiece,
    words,
)
from tests.clock import timed

ENGLISH = list(pydoc_data.topics.topics.values())  # 460 KB of prose that Python itself ships
HARD = [
    "It's 2021, they'LL say; don't WE'VE",
    "naïve café, cafe\u0301 and A\u030angstro\u0308m, ﬁne ß ſ K ĳ",
    "👩‍👩‍👧 🇩🇪 👍🏽 emoji, 1️⃣ and ☕️",
    "漢字かな交じり文 한국어 ภาษาไทย हिन्दी עברית العربية ΟΔΥΣΣΕΥΣ",
    "tabs\tlines\r\n\n  spaces \u00a0\u2003\u3000 end   ",
    "controls \x00\x01\x1b\x1c\x1d\x1e\x1f\x7f\x85\u200b\u200e\u2028\u2029\ufeff\ufffd",
    "½ ² Ⅷ ① 〇 ١٢٣ 1234567890 3.14 1e-6",
    "snake_case __init__ #tag ##tag a@b.c http://x.y/?z=1&amp;q <|endoftext|> </w> [MASK]",
    "a" * 50 + " " + "aa" * 21 + "!" * 30,
]
any_text = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("a '\n1é漢"))
)
small_text = st.text("ab ", max_size=30)

BYTES_ONLY = BPE({letter: i for i, letter in enumerate(words.LETTER.values())}, [])
ENGLISH_BPE = BPE.train(ENGLISH, 2000, ["<|endoftext|>", "<pad>"])
ENGLISH_CLIP = CLIPTokenizer.train(ENGLISH, 1500)
ENGLISH_PIECES = WordPiece.train(ENGLISH, 2000)


# -- round trips -----------------------------------------------------------------------------------
@given(any_text)
@example("\x00\ufffd\U0010ffff")
@example("e\u0301 👩‍👩‍👧 漢字 Ġ Ċ </w> <|endoftext|>")
def test_decoding_gives_back_any_text(text):
    for tokenizer in (BYTES_ONLY, ENGLISH_BPE):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert all(type(i) is int for i in ids)
        assert "".join(tokenizer.words(text)) == text
    assert tokenizer.decode(tokenizer.encode(text, special=True)) == text
    assert len(BYTES_ONLY.encode(text)) == len(text.encode())


@pytest.mark.parametrize("text", HARD)
def test_decoding_gives_back_hard_text(text):
    assert ENGLISH_BPE.decode(np.array(ENGLISH_BPE.encode(text))) == text


@given(st.lists(st.integers(0, len(ENGLISH_BPE) - 1)))
def test_any_ids_can_be_decoded(ids):
    data = ENGLISH_BPE.decode_bytes(ids)
    assert ENGLISH_BPE.decode(ids) == data.decode("utf-8", errors="replace")


def test_a_token_may_end_inside_a_character():
    ids = BYTES_ONLY.encode("é")
    assert len(ids) == 2
    assert BYTES_ONLY.decode(ids[:1]) == "\ufffd"
    assert BYTES_ONLY.decode_bytes(ids[:1]) == b"\xc3"


@given(any_text)
def test_clip_decodes_what_cleaning_kept_up_to_spaces(text):
    kept = clip.clean(text).replace("\u0345", "")
    decoded = ENGLISH_CLIP.decode(ENGLISH_CLIP.encode(text))
    assert "".join(decoded.split()) == "".join(kept.split())


def test_empty_text():
    assert ENGLISH_BPE.encode("") == ENGLISH_CLIP.encode("") == ENGLISH_PIECES.encode("") == []
    assert ENGLISH_BPE.decode([]) == ENGLISH_PIECES.decode([]) == ""
    assert ENGLISH_CLIP("").tolist() == [[1498, 1499] + [0] * 75]
    assert ENGLISH_PIECES.pair("") == ([2, 3], [0, 0])
    assert list(ENGLISH_BPE.merge_steps("")) == [[]]
    assert ENGLISH_PIECES.encode(" \n\u3000") == ENGLISH_CLIP.encode(" \n\u3000") == []


# -- byte-pair encoding ----------------------------------------------------------------------------
def count_and_merge(spellings):
    """The definition: count all pairs anew before each merge. spellings: {symbols: times}."""
    order = {letter: i for i, letter in enumerate(words.LETTER.values())}
    while True:
        counts = Counter()
        for spelling, times in spellings.items():
            for pair in pairwise(spelling):
                counts[pair] += times
        if not counts:
            return
        most = max(counts.values())
        ties = [pair for pair in counts if counts[pair] == most]
        first = min(ties, key=lambda pair: (order[pair[0]], order[pair[1]]))
        yield first, most
        joined = "".join(first)
        order.setdefault(joined, len(order))
        merged = Counter()
        for spelling, times in spellings.items():
            merged[tuple(bpe.merge(spelling, first, joined))] += times
        spellings = merged


@given(st.lists(small_text, max_size=6))
def test_training_is_counting_and_merging(texts):
    counts = words.count_words(texts, BPE.words)
    plain = list(count_and_merge(Counter({BPE.spell(word): n for word, n in counts.items()})))
    assert list(BPE.learn(texts)) == plain
    assert BPE.train(texts, 100_000).merges == [pair for pair, _ in plain]


@given(any_text)
def test_encoding_ends_where_the_merge_steps_end(text):
    for tokenizer in (ENGLISH_BPE, ENGLISH_CLIP):
        for word in tokenizer.words(text):
            if word in tokenizer.special_tokens:
                continue
            *_, last = tokenizer.merge_steps(word)
            assert [tokenizer.symbols[i] for i in tokenizer._ids_of(word)] == last


@given(st.lists(small_text, max_size=4), small_text)
def test_encoding_ends_where_the_merge_steps_end_on_repeats(texts, text):
    tokenizer = BPE.train([*texts, "aaaaaa aaaa abab"], 290)
    for word in tokenizer.words(text):
        *_, last = tokenizer.merge_steps(word)
        assert tokenizer.tokens(word) == last


def test_the_example_of_the_chapter():
    tokenizer = BPE.train(["low lower lowest"], vocab_size=260)
    assert tokenizer.merges == [("l", "o"), ("lo", "w"), ("Ġ", "low"), ("Ġlow", "e")]
    assert list(tokenizer.merge_steps("low")) == [["l", "o", "w"], ["lo", "w"], ["low"]]
    assert tokenizer.tokens("low lowest") == ["low", "Ġlowe", "s", "t"]
    counts = [count for _, count in islice(BPE.learn(["low lower lowest"]), 4)]
    assert counts == [3, 3, 2, 2]


def test_merges_can_be_learnt_from_any_symbols():
    words_of_notes = {("do", "re", "mi"): 3, ("re", "mi"): 1}
    steps = learn_merges(words_of_notes, ["do", "mi", "re"], join=_dash)
    assert list(steps) == [(("re", "mi"), 4), (("do", "re-mi"), 3)]


def test_a_merge_may_make_a_symbol_of_the_alphabet():
    steps = learn_merges({("a", "b", "c"): 2, ("ab", "c"): 1}, ["a", "b", "c", "ab"])
    assert list(steps) == [(("a", "b"), 2), (("ab", "c"), 3)]


def _dash(left, right):
    return f"{left}-{right}"


def test_layout_of_the_vocabulary_is_that_of_gpt2():
    assert ENGLISH_BPE.symbols[:3] == ["!", '"', "#"] and ENGLISH_BPE.id_of("Ġ") == 220
    assert ENGLISH_BPE.symbols[256:-2] == ["".join(pair) for pair in ENGLISH_BPE.merges]
    assert ENGLISH_BPE.symbols[-2:] == ["<|endoftext|>", "<pad>"]
    assert len(ENGLISH_BPE) == 2000 and repr(ENGLISH_BPE) == "BPE(2000 tokens)"


def test_training_is_the_same_every_time_and_stops_when_no_pair_is_left():
    again = BPE.train((text for text in ENGLISH), 2000, ["<|endoftext|>", "<pad>"])
    assert again.ids == ENGLISH_BPE.ids and again.merges == ENGLISH_BPE.merges
    assert len(BPE.train(["ab"], 1000)) == 257
    assert len(BPE.train([], 256)) == 256


def test_special_tokens_are_read_only_where_asked_for():
    text = "one<|endoftext|>two<pad>"
    end, pad_id = ENGLISH_BPE.id_of("<|endoftext|>"), ENGLISH_BPE.id_of("<pad>")
    assert not {end, pad_id} & set(ENGLISH_BPE.encode(text))
    ids = ENGLISH_BPE.encode(text, special=True)
    one, two = ENGLISH_BPE.encode("one"), ENGLISH_BPE.encode("two")
    assert ids == [*one, end, *two, pad_id]
    assert ENGLISH_BPE.decode(ids) == text


def test_the_longer_of_two_special_tokens_is_read():
    tokenizer = BPE.train([], 258, ["<a>", "<a><b>"])
    assert tokenizer.encode("<a><b><a>", special=True) == [257, 256]


def test_words_remembered_are_limited_and_change_nothing(monkeypatch):
    monkeypatch.setattr(base, "CACHED_WORDS", 4)
    tokenizer = BPE(ENGLISH_BPE.ids, ENGLISH_BPE.merges, ENGLISH_BPE.special_tokens)
    assert tokenizer.encode(ENGLISH[0]) == ENGLISH_BPE.encode(ENGLISH[0])
    assert len(tokenizer._cache) <= 4


@pytest.mark.parametrize("tokenizer", [ENGLISH_BPE, ENGLISH_CLIP, ENGLISH_PIECES])
def test_a_tokenizer_can_be_pickled(tokenizer):
    assert pickle.loads(pickle.dumps(tokenizer)).encode(ENGLISH[1]) == tokenizer.encode(ENGLISH[1])


# -- words -----------------------------------------------------------------------------------------
def test_classes_are_those_of_unicode_for_every_character():
    import re

    compiled = {name: re.compile(text) for name, text in words._classes().items()}
    spaces = [*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B)]
    spaces = {*spaces, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}  # White_Space, PropList.txt
    for code in range(sys.maxunicode + 1):
        kind = "S" if code in spaces else unicodedata.category(chr(code))[0]
        expected = f"<{kind}>" if kind in "LN" or code in spaces else "<O>"
        found = [name for name, pattern in compiled.items() if pattern.fullmatch(chr(code))]
        assert found == [expected], hex(code)


def test_bytes_have_256_visible_letters():
    assert len(words.BYTE) == 256
    assert not any(letter.isspace() or not letter.isprintable() for letter in words.BYTE)
    assert words.spell_bytes(" é\n") == "ĠÃ©Ċ"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("I'll say it's  3½ o'clock!", ["I", "'ll", " say", " it", "'s", " ", " 3½", " o"]),
        ("a\n\n b", ["a", "\n\n", " b"]),
        ("DON'T", ["DON", "'", "T"]),
        ("x_y  ", ["x", "_", "y", "  "]),
    ],
)
def test_words_of_gpt2(text, expected):
    assert BPE.words(text)[: len(expected)] == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("  It's 2021 &amp;amp; CAFÉ\n", ["it", "'s", "2", "0", "2", "1", "&", "café"]),
        ("I'LL <|endoftext|>", ["i", "'ll", "<|endoftext|>"]),
        ("wow!!<|endoftext|>", ["wow", "!!<|", "endoftext", "|>"]),  # as in the original
    ],
)
def test_words_of_clip(text, expected):
    assert CLIPTokenizer.words(text) == expected


# -- CLIP ------------------------------------------------------------------------------------------
def test_clip_rows_are_framed_padded_and_cut():
    start, end = ENGLISH_CLIP.id_of(clip.SOS), ENGLISH_CLIP.id_of(clip.EOS)
    ids = ENGLISH_CLIP.encode("a photo of a cat")
    rows = ENGLISH_CLIP(["a photo of a cat", ""])
    assert rows.shape == (2, 77) and rows.dtype == np.int64
    assert rows[0].tolist() == [start, *ids, end] + [0] * (75 - len(ids))
    assert rows.argmax(1).tolist() == [len(ids) + 1, 1]  # where [EOS] stands
    cut = ENGLISH_CLIP("a photo of a cat", context_length=4, truncate=True)
    assert cut.tolist() == [[start, *ids[:2], end]]
    exact = ENGLISH_CLIP("a photo of a cat", context_length=len(ids) + 2)
    assert exact.tolist() == [[start, *ids, end]]


def test_clip_layout():
    assert ENGLISH_CLIP.symbols[255:258] == ["Ń", "!</w>", '"</w>']
    assert ENGLISH_CLIP.symbols[-2:] == [clip.SOS, clip.EOS] and len(ENGLISH_CLIP) == 1500
    assert ENGLISH_CLIP.encode("hi <|EndOfText|>")[-1] == 1499


def test_clip_mends_encodings_and_markup():
    assert clip.clean(" Don’t   PANIC &amp;lt; cafÃ©") == "don't panic < café"


def test_importing_loads_nothing_but_numpy():
    code = "import minivit.text, sys; print({'ftfy', 'regex', 'tokenizers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# -- WordPiece -------------------------------------------------------------------------------------
TOY = WordPiece([*wordpiece.SPECIAL_TOKENS, "un", "##aff", "##able", "##a", "a", "!", "漢"])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("UNAFFABLE!", ["un", "##aff", "##able", "!"]),
        ("ünàffable", ["un", "##aff", "##able"]),
        ("a漢a", ["a", "漢", "a"]),
        ("unaffably a", ["[UNK]", "a"]),  # one letter that nothing spells: the whole word
        ("a\x00a\ufffd\u200ba\ta", ["a", "##a", "##a", "a"]),
        ("a" * 200, ["a"] + ["##a"] * 199),
        ("a" * 201, ["[UNK]"]),
        ("[MASK]", ["[UNK]", "[UNK]", "[UNK]"]),
    ],
)
def test_longest_piece_first(text, expected):
    assert TOY.tokens(text) == expected


def test_mask_in_text_is_read_where_asked_for():
    assert TOY.tokens("a[MASK] a", special=True) == ["a", "[MASK]", "a"]


def test_words_keep_case_and_accents_where_asked_to():
    assert wordpiece.split_words("Élan, vital") == ["elan", ",", "vital"]
    assert wordpiece.split_words("Élan, vital", lower=False) == ["Élan", ",", "vital"]


def test_pairs_have_segments():
    ids, segments = TOY.pair("a !", "un")
    assert [TOY.symbols[i] for i in ids] == ["[CLS]", "a", "!", "[SEP]", "un", "[SEP]"]
    assert segments == [0, 0, 0, 0, 1, 1]


@given(any_text)
def test_pieces_spell_their_word(text):
    for word in ENGLISH_PIECES.words(text):
        pieces = ENGLISH_PIECES.pieces(word)
        assert pieces == ["[UNK]"] or word == pieces[0] + "".join(p[2:] for p in pieces[1:])
        assert all(p in ENGLISH_PIECES.ids for p in pieces)


@pytest.mark.parametrize("text", ENGLISH[:5])
def test_trained_pieces_spell_what_they_were_trained_on(text):
    ids = ENGLISH_PIECES.encode(text)
    assert ENGLISH_PIECES.id_of("[UNK]") not in ids
    assert ENGLISH_PIECES.decode(ids).split() == ENGLISH_PIECES.words(text)
    assert len(ENGLISH_PIECES) == 2000 and ENGLISH_PIECES.symbols[0] == "[PAD]"


# -- padding ---------------------------------------------------------------------------------------
@given(st.lists(st.lists(st.integers(0, 99), max_size=8)), st.integers(8, 12), st.integers(-100, 5))
def test_padding_keeps_every_row(batch, length, pad_id):
    ids, mask = pad(batch, length=length, pad_id=pad_id)
    assert ids.shape == mask.shape == (len(batch), length)
    assert ids.dtype == np.int64 and mask.dtype == bool
    assert [row[keep].tolist() for row, keep in zip(ids, mask, strict=True)] == batch
    assert (ids[~mask] == pad_id).all()
    assert (np.diff(mask.astype(int), axis=1) <= 0).all()  # real tokens first
    assert pad(batch)[0].shape == (len(batch), max(map(len, batch), default=0))


# -- files -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("tokenizer", [ENGLISH_BPE, ENGLISH_CLIP])
def test_saving_and_loading(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new")
    again = type(tokenizer).load(tmp_path / "new")
    assert (again.ids, again.merges) == (tokenizer.ids, tokenizer.merges)
    assert again.special_tokens == tokenizer.special_tokens
    named = type(tokenizer).load(tmp_path / "new" / "vocab.json", tmp_path / "new" / "merges.txt")
    assert named.encode(ENGLISH[2]) == tokenizer.encode(ENGLISH[2])
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["merges.txt", "vocab.json"]


def test_saving_and_loading_pieces(tmp_path):
    ENGLISH_PIECES.save(tmp_path / "vocab.txt")
    assert WordPiece.load(tmp_path / "vocab.txt").ids == ENGLISH_PIECES.ids
    (tmp_path / "vocab.txt").write_bytes(b"[UNK]\r\na\r\n")
    assert WordPiece.load(tmp_path / "vocab.txt").symbols == ["[UNK]", "a"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_crash_while_saving_leaves_the_old_file(step, tmp_path, monkeypatch):
    def crash(*_):
        raise OSError("disk full")

    BYTES_ONLY.save(tmp_path)
    monkeypatch.setattr(os, step, crash)
    with pytest.raises(OSError, match="disk full"):
        ENGLISH_BPE.save(tmp_path)
    assert BPE.load(tmp_path).ids == BYTES_ONLY.ids
    assert len(list(tmp_path.iterdir())) == 2


def test_special_tokens_of_a_file_can_be_named(tmp_path):
    BPE.train([], 257, ["END"]).save(tmp_path)
    with pytest.raises(CheckpointError, match=r"'END'.*special_tokens"):
        BPE.load(tmp_path)
    assert BPE.load(tmp_path, special_tokens=["END"]).id_of("END") == 256


def damaged(tmp_path, file, change):
    ENGLISH_BPE.save(tmp_path)
    path = tmp_path / file
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    return tmp_path


def without(token):
    return lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != token})


@pytest.mark.parametrize(
    "file, change, message",
    [
        ("vocab.json", lambda text: text[:-20], "vocab.json: not whole JSON"),
        ("vocab.json", lambda text: "[1, 2]", "expected an object"),
        ("vocab.json", lambda text: '{"a": "b"}', "expected an object"),
        ("vocab.json", without("!"), "ids are not 0 to 1998"),
        ("vocab.json", lambda text: text.replace('"!": 0', '"!": 1'), "ids are not 0 to 1999"),
        ("vocab.json", lambda text: text.replace('"!"', '"漢"'), "lacks the byte '!'"),
        ("vocab.json", lambda text: text.replace('"<pad>"', '"pads"'), "'pads'.*special_tokens"),
        ("merges.txt", lambda text: text[:-1], "the last line has no end"),
        ("merges.txt", lambda text: "", "tokens, such as .* merges are missing"),
        ("merges.txt", lambda text: text[: text.rindex("\n", 0, -1) + 1], "merges are missing"),
        ("merges.txt", lambda text: text + "a\n", "line 1744: got 'a'.*two symbols"),
        ("merges.txt", lambda text: text + "a b c\n", "two symbols"),
        ("merges.txt", lambda text: text + "\n", "two symbols"),
        ("merges.txt", lambda text: text + "qqq z\n", "'qqq', which is neither a byte"),
        ("merges.txt", lambda text: text + "z Ã\n", "vocab lacks the result 'zÃ'"),
        ("merges.txt", lambda text: text + text.split("\n")[1] + "\n", "stands there twice"),
    ],
)
def test_damaged_files(tmp_path, file, change, message):
    with pytest.raises(CheckpointError, match=message):
        BPE.load(damaged(tmp_path, file, change))


def test_files_that_are_no_vocabulary(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        BPE.load(tmp_path)
    path = tmp_path / "vocab.txt"
    for content, message in [
        (b"[UNK]\na\nb", "no end"),
        (b"[UNK]\na\na\n", "'a' stands there twice"),
        (b"a\nb\n", r"lacks \[UNK\]"),
        (b"", r"lacks \[UNK\]"),
        (b"[UNK]\n\xff\n", "not UTF-8"),
    ]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            WordPiece.load(path)


def test_damaged_clip_files(tmp_path):
    path = tmp_path / "vocabulary.txt.gz"
    with pytest.raises(CheckpointError, match=r"no such file.*openai/CLIP"):
        CLIPTokenizer.from_file(path)
    short = gzip.compress(b'"#version: 0.2\ni n\nt h\n')
    many = "".join(f"a{i} b\n" for i in range(clip.MERGES))
    unknown = gzip.compress(b"header\n" + many.encode())
    for content, message in [
        (short, "48,894 lines"),
        (short[:-9], "not a whole gzip file"),
        (b"i n\n", "not a whole gzip file"),
        (unknown, "'a0', which is neither a byte"),
    ]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            CLIPTokenizer.from_file(path)


# -- bad input -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: ENGLISH_BPE.encode("ab\ud800c"), TextError, "lone surrogate .* at index 2"),
        (lambda: ENGLISH_PIECES.encode("\udfff"), TextError, "lone surrogate"),
        (lambda: ENGLISH_CLIP(["ok", "\ud83d"]), TextError, "lone surrogate"),
        (lambda: BPE.train(["ok", "\ud83d"], 300), TextError, r"texts\[1\]: a lone surrogate"),
        (lambda: list(ENGLISH_BPE.merge_steps("\ud83d")), TextError, "word: a lone surrogate"),
        (lambda: ENGLISH_BPE.encode(b"ab"), DtypeError, "got bytes, expected a str"),
        (lambda: ENGLISH_CLIP([1]), DtypeError, "got int, expected a str"),
        (lambda: BPE.train([], 255), TextError, "got 255, expected at least 256"),
        (lambda: BPE.train([], 256, ["<a>"]), TextError, "at least 257: .* 1 special tokens"),
        (lambda: CLIPTokenizer.train([], 513), TextError, "at least 514"),
        (lambda: WordPiece.train(["ab c"], 7), TextError, "at least 8: 5 special .* 3 characters"),
        (lambda: BPE.train(["the the"], 300, ["the"]), TextError, r"\['the'\] would stand twice"),
        (lambda: BPE.train([], 300, ["<a>", "<a>"]), TextError, "would stand twice"),
        (lambda: BPE.train([], 300, [""]), TextError, "lacks the special token ''"),
        (lambda: BPE(BYTES_ONLY.ids, [], ["<a>"]), TextError, "lacks the special token '<a>'"),
        (lambda: BPE({"a": 0}, []), TextError, "lacks the byte '!'"),
        (lambda: CLIPTokenizer.train([], 600, [clip.EOS]), TextError, "largest id"),
        (lambda: CLIPTokenizer.train([], 600, [clip.EOS, clip.SOS]), TextError, "largest id"),
        (lambda: ENGLISH_BPE.decode([0, 2000]), RangeError, "got 2000 at index .*1.* < 2000"),
        (lambda: ENGLISH_BPE.decode([-1]), RangeError, "got -1"),
        (lambda: ENGLISH_PIECES.decode([9999]), RangeError, "got 9999"),
        (lambda: ENGLISH_BPE.decode([0.5]), DtypeError, "expected integers"),
        (lambda: ENGLISH_BPE.decode([[1, 2]]), ShapeError, "row by row"),
        (lambda: ENGLISH_BPE.id_of("qqq"), RangeError, "'qqq' is not among the 2000 tokens"),
        (lambda: ENGLISH_PIECES.id_of("[X]"), RangeError, "'\\[X\\]' is not among"),
        (lambda: WordPiece(["[UNK]"]).pair("a"), RangeError, r"'\[CLS\]' is not among"),
        (lambda: ENGLISH_CLIP(["a", "b " * 76]), ShapeError, r"texts\[1\]: 78 tokens.*truncate"),
        (lambda: ENGLISH_CLIP("a", 1, truncate=True), ShapeError, "context_length 1"),
        (lambda: pad([[1], [1, 2, 3]], length=2), ShapeError, r"batch\[1\]: 3 tokens.*length 2"),
        (lambda: pad([1, 2]), ShapeError, r"batch\[0\]: got shape \(\)"),
        (lambda: pad([[1.5]]), DtypeError, "expected integers"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, MinivitError)


# -- speed -----------------------------------------------------------------------------------------
def seconds(call):
    """CPU time of a call, the best of three."""
    times = []
    for _ in range(3):
        with timed() as spent:
            call()
        times.append(spent())
    return min(times)


@pytest.mark.parametrize("tokenizer", [ENGLISH_BPE, ENGLISH_PIECES])
def test_english_is_encoded_at_a_megabyte_a_second(tokenizer):
    text = "\n".join(ENGLISH)

    def encode_with_nothing_remembered():
        tokenizer._cache.clear()
        tokenizer.encode(text)

    assert len(text.encode()) / 1e6 / seconds(encode_with_nothing_remembered) > 1


def test_a_word_of_four_times_the_length_takes_about_four_times_as_long():
    letters = "".join(random.Random(0).choices("etaoinshrdlu", k=40_000))
    ratio = seconds(lambda: ENGLISH_BPE._ids_of(letters)) / seconds(
        lambda: ENGLISH_BPE._ids_of(letters[:10_000])
    )
    assert ratio < 10


# -- parity: the packages regex and tokenizers, and the published ids of CLIP ----------------------
def random_texts(number, seed=0):
    """Texts of HARD's fragments, ASCII, and characters of all of Unicode that Python knows."""
    rng = random.Random(seed)
    known = [chr(i) for i in range(sys.maxunicode + 1)]
    known = [c for c in known if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    rare = [c for c in known if not (0x3400 <= ord(c) < 0xE000 or ord(c) > 0x1FFFF)]
    pieces = [x for text in HARD for x in text.replace(" ", "\0 \0").split("\0")]
    pools = [[chr(i) for i in range(128)], rare, pieces, ["'s", "'LL", " ", "\n", "1", "a"]]
    for _ in range(number):
        yield "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(12)))


@pytest.mark.parity
def test_patterns_cut_like_the_published_ones():
    regex = pytest.importorskip("regex", reason="needs the package regex")
    endings = "'s|'t|'re|'ve|'m|'ll|'d"
    gpt2 = regex.compile(
        endings + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    )  # openai/gpt-2, src/encoder.py
    of_clip = regex.compile(
        rf"<\|startoftext\|>|<\|endoftext\|>|{endings}|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+",
        regex.IGNORECASE,
    )  # openai/CLIP, clip/simple_tokenizer.py
    known = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) != "Cn"]
    around = (f"'{c}a{c}!{c}{c}1 {c}  {c}" for c in known)
    for text in (*around, *HARD, *random_texts(5000)):
        assert words.gpt2_pattern().findall(text) == gpt2.findall(text), ascii(text)
        assert words.clip_pattern().findall(text) == of_clip.findall(text), ascii(text)


@pytest.mark.parity
def test_cleaning_is_that_of_clip():
    ftfy = pytest.importorskip("ftfy", reason="needs the package ftfy")
    regex = pytest.importorskip("regex", reason="needs the package regex")
    printable = "".join(map(chr, range(32, 127)))
    rng = random.Random(0)
    plain = ["".join(rng.choices(printable, k=rng.randrange(20))) for _ in range(3000)]
    for text in (*HARD, *ENGLISH[:20], *plain, *random_texts(3000)):
        once = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
        assert clip.clean(text) == regex.sub(r"\s+", " ", once).strip().lower(), ascii(text)


@pytest.mark.parity
@pytest.mark.parametrize("size", [300, 3000, 12_000])
def test_gpt2_equals_the_package_tokenizers(size):
    tokenizers = pytest.importorskip("tokenizers", reason="needs the package tokenizers")
    texts = [*ENGLISH, *HARD * 3, "aaaaaaa aaaaaa aaaaa aaaaaaaaaaaaaaaaa " * 9]
    byte_level = tokenizers.pre_tokenizers.ByteLevel
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE())
    theirs.pre_tokenizer = byte_level(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=byte_level.alphabet(), show_progress=False
    )
    theirs.train_from_iterator(texts, trainer)
    ours = BPE.train(texts, size)
    assert ours.ids == theirs.get_vocab()
    assert ours.merges == [tuple(x) for x in json.loads(theirs.to_str())["model"]["merges"]]
    for text in (*ENGLISH[:20], *HARD, *random_texts(3000)):
        ids = theirs.encode(text).ids
        assert ours.encode(text) == ids, ascii(text)
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


@pytest.mark.parity
def test_clip_equals_the_package_tokenizers(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="needs the package tokenizers")
    ours = CLIPTokenizer.train([*ENGLISH, *HARD], 3000)
    theirs = tokenizers.Tokenizer(
        tokenizers.models.BPE(ours.ids, ours.merges, end_of_word_suffix="</w>")
    )
    pre = tokenizers.pre_tokenizers
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
    theirs.pre_tokenizer = pre.Sequence(
        [
            pre.Split(tokenizers.Regex(pattern), "removed", invert=True),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    for text in (*ENGLISH[:20], *HARD, *random_texts(3000)):
        text = clip.clean(text)
        if any(mark in text for mark in ("<|", "ſ", "\u0345")):
            continue  # what only the original does: special tokens in text, case ignored
        assert ours.encode(text) == theirs.encode(text).ids, ascii(text)


def younger_mark(c):
    """Punctuation, accents and controls that the other package's older tables do not know."""
    kind = unicodedata.category(c)
    return kind[0] in "PMCZ" and unicodedata.ucd_3_2_0.category(c) != kind


@pytest.mark.parity
@pytest.mark.parametrize("lower", [True, False])
def test_wordpiece_equals_the_package_tokenizers(lower):
    tokenizers = pytest.importorskip("tokenizers", reason="needs the package tokenizers")
    texts = [*ENGLISH, *HARD]
    ours = WordPiece.train(texts, 3000, lower=lower)
    ours.max_chars = 100
    theirs = tokenizers.BertWordPieceTokenizer(ours.ids, lowercase=lower, strip_accents=lower)
    for text in (*ENGLISH[:20], *HARD, *random_texts(3000)):
        text = text.replace("Σ", "σ").replace("[MASK]", "")  # they lower-case letter by letter
        if any(younger_mark(c) for c in text):
            continue
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, ascii(text)


def clip_vocabulary():
    """OpenAI's file: where MINIVIT_CLIP_VOCAB says, or in an installed open_clip."""
    if path := os.environ.get("MINIVIT_CLIP_VOCAB"):
        return path
    spec = importlib.util.find_spec("open_clip")
    path = Path(spec.submodule_search_locations[0] if spec else "", "bpe_simple_vocab_16e6.txt.gz")
    if not path.is_file():
        pytest.skip(
            "needs bpe_simple_vocab_16e6.txt.gz: set MINIVIT_CLIP_VOCAB to its path, or install "
            "open-clip-torch"
        )
    return path


@pytest.mark.parity
def test_clip_gives_the_published_ids():
    tokenizer = CLIPTokenizer.from_file(clip_vocabulary())
    assert len(tokenizer) == 49_408 and len(tokenizer.merges) == 48_894
    for text, expected in {
        "a photo of a cat.": [320, 1125, 539, 320, 2368, 269],
        "Hello   World!!": [3306, 1002, 748],
        "10000 dogs": [272, 271, 271, 271, 271, 3255],
        "guacamole, a type of food": [40115, 267, 320, 3877, 539, 1559],
        "It's 2021 &amp; café 😀": [585, 568, 273, 271, 273, 272, 261, 15304, 7334],
    }.items():
        row = [49406, *expected, 49407] + [0] * (75 - len(expected))
        assert tokenizer(text).tolist() == [row]


# -- one text or many ------------------------------------------------------------------------------
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_str_is_one_text_wherever_texts_are_taken(text):
    many = [text]
    assert words.count_words(text, str.split) == words.count_words(many, str.split)
    assert (ENGLISH_CLIP(text, truncate=True) == ENGLISH_CLIP(many, truncate=True)).all()
    assert list(BPE.learn(text)) == list(BPE.learn(many))


@pytest.mark.parametrize("wrong", [3, None, b"bytes", [b"a"], [["a"]], [3]], ids=str)
def test_what_is_no_text_is_refused(wrong):
    for call in (ENGLISH_CLIP, BPE.learn, lambda x: WordPiece.train(x, 300)):
        with pytest.raises(DtypeError, match=r"texts.*expected a str"):
            list(call(wrong))


@given(st.lists(st.text("abcd ", min_size=1, max_size=12), min_size=1, max_size=8))
def test_fast_training_is_the_plain_algorithm(texts):
    found = {tuple(w): n for w, n in words.count_words(texts, str.split).items()}
    plain = list(bpe.learn_merges_plainly(found, "abcd"))
    assert list(learn_merges(found, "abcd")) == plain
