"""The tokenizer files beside published weights, read into the tokenizers of `minivit.text`.

    byte_pairs(folder)       GPT-2: vocab.json and merges.txt (OpenAI: encoder.json, vocab.bpe)
    word_pieces(folder)      BERT: vocab.txt
    sentence_pieces(folder)  Marian: source.spm and vocab.json (target.spm says no more)

The first two read tokenizer.json where it is the only file. None: the folder has no such files.
"""

import contextlib
import functools

from minivit.engine.errors import CheckpointError, TextError
from minivit.published import read_json
from minivit.text import BPE, WordPiece, pad
from minivit.text.base import read_lines
from minivit.text.words import checked_text

WORD_LIMIT = 100  # characters; transformers' for BERT, where Google's code has 200


def byte_pairs(folder):
    """The BPE of a folder, or None."""
    for vocab, merges in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        if (folder / vocab).is_file() and (folder / merges).is_file():
            return BPE.load(folder / vocab, folder / merges)
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
        return BPE({**model["vocab"], **added}, merges, list(added))


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
        return kind(vocab, lower, model.get("max_input_chars_per_word", WORD_LIMIT))


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
    """What is not as expected of the file inside of this block is a CheckpointError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = str(error) if isinstance(error, TextError) else repr(error)
        raise CheckpointError(f"{name}: not a tokenizer that is known here: {reason}") from error


# -- Marian ----------------------------------------------------------------------------------------
def sentence_pieces(folder):
    """The `SentencePieces` of a folder, or None."""
    there = all((folder / name).is_file() for name in ("source.spm", "vocab.json"))
    return SentencePieces(folder) if there else None


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
        try:
            from sentencepiece import SentencePieceProcessor
        except ImportError as error:
            raise ImportError(
                "Marian's vocabularies need the package sentencepiece: "
                'pip install sentencepiece, or pip install "minivit[translate]"'
            ) from error
        try:
            return SentencePieceProcessor(model_proto=self.path.read_bytes())
        except (RuntimeError, OSError) as reason:
            raise CheckpointError(f"{self.path.name}: cannot be read ({reason})") from reason

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
        """Padded: (ids (B, N), mask (B, N), True = a token)."""
        return pad([self.encode(text) for text in texts], pad_id=self.ids[self.padding])
