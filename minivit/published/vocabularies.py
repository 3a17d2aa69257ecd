"""The tokenizer files beside published weights, read into the tokenizers of `minivit.text`.

    byte_pairs(folder)       GPT-2, RoBERTa: vocab.json and merges.txt (OpenAI: encoder.json ...)
    word_pieces(folder)      BERT: vocab.txt
    sentence_pieces(folder)  Marian: source.spm and vocab.json (target.spm says no more)
    xlm_pieces(folder)       XLM-R: sentencepiece.bpe.model

The first two read tokenizer.json where it is the only file. None: the folder has no such files.
"""

import contextlib
import functools

from minivit import files
from minivit.engine.errors import CheckpointError, TextError
from minivit.published import read_json
from minivit.text import BPE, WordPiece, pad
from minivit.text.base import read_lines
from minivit.text.words import checked_text, one_or_many, split_at

WORD_LIMIT = 100  # characters; transformers' for BERT, where Google's code has 200


def byte_pairs(folder, kind=BPE):
    """The BPE of a folder, or None."""
    for vocab, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocab).is_file() and (folder / merges).is_file():
            return kind.load(folder / vocab, folder / merges)
    if not (folder / "tokenizer.json").is_file():
        return None
    file = read_json(folder / "tokenizer.json")
    with _understood("tokenizer.json"):
        model = file["model"]
        _demand(file, "normalizer", None)
        _demand(file["pre_tokenizer"], "type", "ByteLevel")
        _demand(file["pre_tokenizer"], "add_prefix_space", False)
        _demand(file["pre_tokenizer"], "use_regex", True)
        for key in ("continuing_subword_prefix", "end_of_word_suffix"):
            _demand({key: model.get(key) or None}, key, None)
        _demand(model, "byte_fallback", False)
        merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in model["merges"]]
        added = {token["content"]: token["id"] for token in file.get("added_tokens", [])}
        return kind({**model["vocab"], **added}, merges, list(added))


def word_pieces(folder, kind=WordPiece):
    """The WordPiece of a folder, or None."""
    if (folder / "vocab.txt").is_file():
        path = folder / "tokenizer_config.json"
        settings = read_json(path) if path.is_file() else {}
        with _understood(path.name):
            lower = _lower(settings, "do_lower_case", "tokenize_chinese_chars")
        with _understood("vocab.txt"):
            vocab = [line.strip() for line in read_lines(folder / "vocab.txt")]
            return kind(vocab, lower, WORD_LIMIT)
    if not (folder / "tokenizer.json").is_file():
        return None
    file = read_json(folder / "tokenizer.json")
    with _understood("tokenizer.json"):
        model = file["model"]
        _demand(file["normalizer"], "type", "BertNormalizer")
        _demand(file["normalizer"], "clean_text", True)
        _demand(file["pre_tokenizer"], "type", "BertPreTokenizer")
        _demand(model, "continuing_subword_prefix", "##")
        _demand(model, "unk_token", "[UNK]")
        lower = _lower(file["normalizer"], "lowercase", "handle_chinese_chars")
        ids = model["vocab"]
        vocab = sorted(ids, key=ids.get)
        if [ids[token] for token in vocab] != list(range(len(vocab))):
            raise TextError(f"the ids of its vocab are not 0 to {len(vocab) - 1}, each once")
        longest = model.get("max_input_chars_per_word", WORD_LIMIT)
        if type(longest) is not int or longest < 1:
            raise TextError(f"max_input_chars_per_word is {longest!r}, expected an integer from 1")
        return kind(vocab, lower, longest)


def _lower(settings, key, chinese):
    """Is text lower-cased and stripped of accents? The two go together here."""
    lower = settings.get(key, True)
    _demand({key: lower is True or lower is False}, key, True)
    _demand(settings, chinese, True)
    if settings.get("strip_accents") is not None:
        _demand(settings, "strip_accents", lower)
    return lower


def fitting(tokenizer, model):
    """The tokenizer, if the model has a vector for each of its tokens."""
    if tokenizer is not None and len(tokenizer) > model.vocabulary:
        raise CheckpointError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {model.vocabulary}: they do not "
            "belong together"
        )
    return tokenizer


def _demand(settings, key, value):
    if settings.get(key, value) != value:
        raise TextError(f"{key} is {settings[key]!r}; tokenizers here have {value!r} alone")


@contextlib.contextmanager
def _understood(name):
    """Inside of this block, an error about the file's content is a CheckpointError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error) if isinstance(error, TextError) else repr(error)
        raise CheckpointError(f"{name}: not a tokenizer that is known here: {reason}") from error


# -- texts for an encoder --------------------------------------------------------------------------
class Framed:
    """For a tokenizer of an encoder: a text between two tokens, and rows of one length.

    longest: more tokens are cut off.
    """

    start, end, padding, longest = "[CLS]", "[SEP]", "[PAD]", 512

    def rows(self, texts, special=False):
        """The ids of each text between `start` and `end`, a list of lists."""
        start, end = self.id_of(self.start), self.id_of(self.end)
        encoded = (self.encode(text, special) for text in one_or_many(texts))
        return [[start, *ids[: self.longest - 2], end] for ids in encoded]

    def padded(self, rows):
        """Rows as one array: (ids (B, N), mask (B, N), True = a token)."""
        return pad(rows, pad_id=self.id_of(self.padding))

    def __call__(self, texts, special=False):
        """A text or several, framed and padded: (ids (B, N), mask (B, N), True = a token).

        special=True reads special tokens where they stand: "the [MASK] sat".
        """
        return self.padded(self.rows(texts, special))


class Pieces(Framed, WordPiece):
    """BERT's tokens: [CLS] text [SEP]."""


class BytePairs(Framed, BPE):
    """RoBERTa's tokens: <s> text </s>, byte pairs as GPT-2's. <mask> takes the spaces before it."""

    start, end, padding = "<s>", "</s>", "<pad>"

    def __init__(self, vocab, merges, special_tokens=()):
        made = {a + b for a, b in map(tuple, merges)}.union(self.alphabet())
        super().__init__(vocab, merges, [token for token in vocab if token not in made])

    def encode(self, text, special=False):
        return super().encode(_without_spaces_before("<mask>", text) if special else text, special)


def _without_spaces_before(token, text):
    *before, last = text.split(token)
    return token.join([*(part.rstrip() for part in before), last])


# -- Marian ----------------------------------------------------------------------------------------
def sentence_pieces(folder):
    """The `SentencePieces` of a folder, or None."""
    there = all((folder / name).is_file() for name in ("source.spm", "vocab.json"))
    return SentencePieces(folder) if there else None


def processor(path):
    """The SentencePiece model in a file."""
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise ImportError(
            f"{path.name}: such vocabularies need the package sentencepiece: "
            'pip install sentencepiece, or pip install "minivit[translate]"'
        ) from error
    try:
        return SentencePieceProcessor(model_proto=files.fetched(path))
    except CheckpointError:
        raise
    except (RuntimeError, OSError) as reason:
        raise CheckpointError(f"{path.name}: cannot be read ({reason})") from reason


class SentencePieces:
    """Marian's tokens: pieces of the sentence, found by the package sentencepiece (Kudo 2018) with
    the model source.spm, and their ids in vocab.json, which both languages share.

    A text may begin with the language wanted, such as ">>fra<<", if vocab.json has it.
    """

    end, padding, unknown = "</s>", "<pad>", "<unk>"

    def __init__(self, folder):
        self.path, self.ids = folder / "source.spm", read_json(folder / "vocab.json")
        numbers = all(type(i) is int for i in self.ids.values())
        if not numbers or sorted(self.ids.values()) != list(range(len(self.ids))):
            raise CheckpointError(
                f"vocab.json: the ids are not 0 to {len(self.ids) - 1}, each once"
            )
        if missing := {self.end, self.padding, self.unknown} - self.ids.keys():
            raise CheckpointError(f"vocab.json: lacks {sorted(missing)}")
        self.symbols = sorted(self.ids, key=self.ids.get)

    def __len__(self):
        return len(self.symbols)

    @functools.cached_property
    def pieces(self):
        """The SentencePiece model."""
        return processor(self.path)

    def encode(self, text):
        """The ids of the pieces of `text`, then that of the end."""
        text, pieces = checked_text(text), []
        if text.startswith(">>") and "<<" in text:
            code, _, text = text.partition("<<")
            pieces = [code + "<<"]
        pieces += self.pieces.encode(text, out_type=str)
        return [*(self.ids.get(p, self.ids[self.unknown]) for p in pieces), self.ids[self.end]]

    def decode(self, ids):
        """The text of ids, without the special tokens among them."""
        special = {self.end, self.padding, self.unknown}
        pieces = [self.symbols[i] for i in ids]
        return "".join(p for p in pieces if p not in special).replace("▁", " ").strip()

    def __call__(self, texts):
        """A text or several, padded: (ids (B, N), mask (B, N), True = a token)."""
        rows = [self.encode(text) for text in one_or_many(texts)]
        return pad(rows, pad_id=self.ids[self.padding])


# -- XLM-R -----------------------------------------------------------------------------------------
def xlm_pieces(folder):
    """The `XlmPieces` of a folder, or None."""
    path = folder / "sentencepiece.bpe.model"
    return XlmPieces(path) if path.is_file() else None


class XlmPieces(Framed):
    """XLM-R's tokens: the pieces of a SentencePiece model, one id later than there, behind four
    tokens in fairseq's order; <mask> is the last (Conneau et al. 2020)."""

    start, end, padding = "<s>", "</s>", "<pad>"
    FIRST = ("<s>", "<pad>", "</s>", "<unk>")

    def __init__(self, path):
        self.path, self.pieces = path, processor(path)
        pieces = [self.pieces.id_to_piece(i) for i in range(3, len(self.pieces))]
        self.symbols = [*self.FIRST, *pieces, "<mask>"]
        self.ids = {symbol: i for i, symbol in enumerate(self.symbols)}
        self.special_tokens = (*self.FIRST, "<mask>")

    def __len__(self):
        return len(self.symbols)

    id_of = WordPiece.id_of

    def encode(self, text, special=False):
        """The ids of the pieces of `text`; special=True reads special tokens in it."""
        if special:
            text = _without_spaces_before("<mask>", checked_text(text))
        ids = []
        for i, part in enumerate(
            split_at(checked_text(text), self.special_tokens if special else ())
        ):
            known = [part] if i % 2 else self.pieces.encode(part, out_type=str)
            ids += [self.ids.get(piece, self.ids["<unk>"]) for piece in known]
        return ids

    def decode(self, ids):
        """The text of ids, without the special tokens among them."""
        pieces = [self.symbols[i] for i in ids]
        return "".join(p for p in pieces if p not in self.special_tokens).replace("▁", " ").strip()
