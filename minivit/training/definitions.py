"""Definitions: entries of a dictionary, WordNet's, with what kind of thing each defines."""

import gzip
from typing import NamedTuple

from minivit.engine.errors import DataError
from minivit.training.data import read_shipped

SHIPPED = 8_000


class Definition(NamedTuple):
    """An entry of a dictionary."""

    held_out: bool
    kind: str  # "animal", "body", "deed", "food", "person", "place", "plant", "substance", ...
    word_class: str  # "noun", "verb", "adjective", "adverb"
    words: tuple  # those that mean it
    gloss: str  # the definition, and perhaps examples in quotes

    @classmethod
    def read(cls, line):
        """From a line of the file."""
        part, kind, word_class, words, gloss = line.split("\t")
        return cls(part == "held out", kind, word_class, tuple(words.split("|")), gloss)

    @property
    def text(self):
        """The gloss without its examples."""
        return self.gloss.partition('; "')[0]

    def head(self, word=None):
        """What stands before the gloss: "cat (noun):"."""
        return f"{word or self.words[0]} ({self.word_class}):"

    def entry(self, word=None):
        """As in a dictionary: "cat (noun): feline mammal ..."."""
        return f"{self.head(word)} {self.gloss}"


def definitions():
    """8,000 nouns of WordNet, 800 of each of ten kinds, 100 of them held out: `definitions-v1`."""
    return read_shipped("wordnet-definitions.tsv.gz", _parse)


def _parse(file):
    lines = gzip.decompress(file.read()).decode().splitlines()
    if len(lines) != SHIPPED:
        raise DataError(f"it holds {len(lines)} lines, expected {SHIPPED}")
    return tuple(map(Definition.read, lines))
