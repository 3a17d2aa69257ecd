"""WordPiece, BERT's tokens: of each word the longest known beginning, then the rest.

    "unaffable" -> ["un", "##aff", "##able"]          "##": not the beginning of a word

No bytes and no merges: a list of pieces, and [UNK] for a word that they do not spell. Spaces, case
and accents are lost. Wu et al. 2016, section 4.1; Devlin et al. 2019; the code is tokenization.py
of google-research/bert.
"""

import unicodedata
from pathlib import Path

from minivit import files
from minivit.engine.errors import CheckpointError, TextError
from minivit.engine.record import function
from minivit.text.base import Tokenizer, read_lines
from minivit.text.bpe import learn_merges
from minivit.text.words import count_words

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


# -- words: cleaned, lower-cased, punctuation and CJK characters on their own ----------------------
class _Table(dict):
    """For str.translate: what `rule` makes of each character, worked out when first met."""

    @function
    def __init__(self, rule):
        self.rule = rule

    def __missing__(self, code):
        self[code] = self.rule(chr(code))
        return self[code]


CJK = (  # the blocks of Chinese characters that BERT knew; not kana, not hangul
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def _clean(c):
    kind = unicodedata.category(c)
    if c in "\t\n\r" or kind == "Zs":
        return " "
    if c in "\0\ufffd" or kind in ("Cc", "Cf"):
        return ""
    return f" {c} " if any(a <= ord(c) <= b for a, b in CJK) else c


def _part(c):
    """Punctuation apart: Unicode's, and all of ASCII that is neither letter, digit nor control."""
    ascii_mark = "!" <= c <= "~" and not c.isalnum()
    return f" {c} " if ascii_mark or unicodedata.category(c)[0] == "P" else c


CLEAN, PART = _Table(_clean), _Table(_part)
PART_AND_STRIP = _Table(lambda c: "" if unicodedata.category(c) == "Mn" else _part(c))


class WordPiece(Tokenizer):
    """A vocabulary of word pieces, one a line in a public vocab.txt; its line number is its id.

    lower: lower-case and take accents off (BERT "uncased"). A word over `max_chars` is [UNK].
    """

    @function
    def __init__(self, vocab, lower=True, max_chars=200):
        vocab = list(vocab)
        ids = {symbol: i for i, symbol in enumerate(vocab)}
        if len(ids) < len(vocab):
            twice = next(symbol for i, symbol in enumerate(vocab) if ids[symbol] != i)
            raise TextError(f"vocab: {twice!r} stands there twice")
        if "[UNK]" not in ids:
            raise TextError("vocab: lacks [UNK], the token of words that it cannot spell")
        super().__init__(ids, [token for token in SPECIAL_TOKENS if token in ids])
        self.lower, self.max_chars = lower, max_chars

    @classmethod
    def train(cls, texts, vocab_size, lower=True):
        """Pieces from the merges of byte-pair encoding, on characters, within words.

        Google never published its own training; this is what others do. Ids: the special tokens,
        the characters of `texts`, then the merges.
        """
        words = count_words(texts, lambda text: split_words(text, lower))
        spelled = {(x[0], *("##" + c for c in x[1:])): n for x, n in words.items()}
        characters = sorted({symbol for word in spelled for symbol in word})
        vocab = dict.fromkeys([*SPECIAL_TOKENS, *characters])
        if vocab_size < len(vocab):
            raise TextError(
                f"vocab_size: got {vocab_size}, expected at least {len(vocab)}: "
                f"{len(SPECIAL_TOKENS)} special tokens and {len(characters)} characters of texts"
            )
        merges = learn_merges(spelled, characters, join=_join)
        while len(vocab) < vocab_size and (merged := next(merges, None)):
            vocab[_join(*merged[0])] = None
        return cls(vocab, lower)

    # -- text to ids -------------------------------------------------------------------------------
    def pieces(self, word):
        """The tokens of one word: the longest piece in the vocabulary, again and again."""
        pieces, start = [], 0
        while start < len(word) <= self.max_chars:
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((e for e in ends if prefix + word[start:e] in self.ids), None)
            if end is None:
                return ["[UNK]"]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces or ["[UNK]"]

    def words(self, text):
        """The pieces of `text` that are encoded on their own."""
        return split_words(text, self.lower)

    def _ids_of(self, word):
        return [self.ids[piece] for piece in self.pieces(word)]

    def pair(self, first, second=None, special=False):
        """BERT's input: ids of [CLS] first [SEP] second [SEP], and the segment (0 or 1) of each."""
        cls, sep = self.id_of("[CLS]"), self.id_of("[SEP]")
        ids = [cls, *self.encode(first, special), sep]
        segments = [0] * len(ids)
        if second is not None:
            ids += [*self.encode(second, special), sep]
            segments += [1] * (len(ids) - len(segments))
        return ids, segments

    def decode(self, ids):
        """The words of a sequence of ids with spaces between: what encoding kept of the text."""
        return " ".join(self.symbols[i] for i in self._checked(ids)).replace(" ##", "")

    # -- files -------------------------------------------------------------------------------------
    def save(self, path):
        """Write vocab.txt: one token a line."""
        files.write_whole(Path(path), "\n".join(self.symbols) + "\n")

    @classmethod
    def load(cls, path, lower=True):
        """Read a vocab.txt, such as those of the public BERT models."""
        try:
            return cls([line.strip() for line in read_lines(path)], lower)
        except TextError as error:
            raise CheckpointError(f"{path}: {error}") from None


def split_words(text, lower=True):
    """The words, punctuation marks and Chinese characters of `text`."""
    text = text.translate(CLEAN)
    if not lower:
        return text.translate(PART).split()
    return unicodedata.normalize("NFD", text.lower()).translate(PART_AND_STRIP).split()


def _join(left, right):
    return left + right.removeprefix("##")
