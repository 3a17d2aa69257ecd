"""Shared by all tokenizers here: a table of symbols, and words remembered."""

import numpy as np

from minivit import files
from minivit.engine.backend import to_numpy
from minivit.engine.errors import CheckpointError, RangeError, ShapeError, TextError
from minivit.engine.numerics import checked_index
from minivit.engine.record import function
from minivit.text.words import checked_text, split_at

CACHED_WORDS = 1 << 18  # words whose ids a tokenizer remembers before it starts anew


class Tokenizer:
    """ids: {symbol: id}, the ids being 0 .. V-1; symbols: the same as a list.

    A tokenizer says what the `words` of a text are and, in `_ids_of`, what the tokens of a word.
    """

    @function
    def __init__(self, ids, special_tokens=()):
        self.ids, self.special_tokens = dict(ids), tuple(special_tokens)
        if sorted(self.ids.values()) != list(range(len(self.ids))):
            raise TextError(f"vocab: the ids are not 0 to {len(self.ids) - 1}, each once")
        for token in self.special_tokens:
            if not checked_text(token, "special_tokens") or token not in self.ids:
                raise TextError(f"vocab: lacks the special token {token!r}")
        self.symbols = sorted(self.ids, key=self.ids.get)
        self._cache = {}

    def __len__(self):
        return len(self.symbols)

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} tokens)"

    def encode(self, text, special=False):
        """The token ids of `text`, a list of int; [] for "".

        special=True reads special tokens where they stand in the text. Leave it False for text
        that others wrote, in which they are ordinary characters.
        """
        ids, cache = [], self._cache
        pieces = split_at(checked_text(text), self.special_tokens if special else ())
        for i, piece in enumerate(pieces):
            if i % 2:
                ids.append(self.ids[piece])
                continue
            for word in self.words(piece):
                if word not in cache:
                    if len(cache) >= CACHED_WORDS:
                        cache.clear()
                    cache[word] = self._ids_of(word)
                ids += cache[word]
        return ids

    def tokens(self, text, special=False):
        """The token symbols of `text`: what `encode` means, to look at."""
        return [self.symbols[i] for i in self.encode(text, special)]

    def id_of(self, token):
        """The id of a symbol or special token."""
        if token not in self.ids:
            raise RangeError(f"token: {token!r} is not among the {len(self)} tokens")
        return self.ids[token]

    def _checked(self, ids):
        """Ids to decode as a list of int, each in the vocabulary."""
        ids = to_numpy(ids) if hasattr(ids, "get") else np.asarray(ids)
        if ids.ndim != 1:
            raise ShapeError(f"ids: got shape {ids.shape}, expected (N,). Decode row by row.")
        return checked_index(np, ids, len(self), "ids").tolist() if len(ids) else []


# -- files -----------------------------------------------------------------------------------------
def read_lines(path):
    """The lines of a UTF-8 text file, each of which must have its end."""
    lines = read_text(path).split("\n")
    if lines.pop():
        raise CheckpointError(f"{path}: the last line has no end: the file was cut off")
    return lines


def read_text(path):
    """The text of a UTF-8 file, its line ends being "\\n"."""
    try:
        text = files.fetched(path).decode("utf-8")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: not UTF-8 text ({error})") from None
