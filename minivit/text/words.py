"""Text cut into words, and bytes as letters: what stands before any merging.

A tokenizer never merges across the borders drawn here, so "dog" and "dog!" share their token.
"""

import difflib
import functools
import re
import unicodedata

from minivit.engine.errors import DtypeError, OptionError, TextError


# -- bytes as letters ------------------------------------------------------------------------------
def byte_letters():
    """256 visible characters, one a byte: how vocabulary files spell bytes (GPT-2, encoder.py).

    A byte that Latin-1 prints is its own letter; the other 68 follow as U+0100, U+0101 ..., so
    the space (32) is written "Ġ". The order of the dict is the order of the first 256 token ids.
    """
    printed = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    printed += range(ord("®"), ord("ÿ") + 1)
    hidden = [b for b in range(256) if b not in printed]
    return {b: chr(b) for b in printed} | {b: chr(256 + i) for i, b in enumerate(hidden)}


LETTER = byte_letters()  # byte -> letter
BYTE = {letter: byte for byte, letter in LETTER.items()}
_LATIN1_TO_LETTERS = str.maketrans({chr(b): letter for b, letter in LETTER.items()})


def spell_bytes(word):
    """The UTF-8 bytes of `word` as letters: " é" -> "ĠÃ©"."""
    return word.encode().decode("latin-1").translate(_LATIN1_TO_LETTERS)


def checked_text(text, what="text"):
    """`text`, if it is a str that UTF-8 can write; a lone surrogate cannot be written."""
    if not isinstance(text, str):
        raise DtypeError(f"{what}: got {type(text).__name__}, expected a str")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise TextError(
            f"{what}: a lone surrogate {text[error.start]!r} at index {error.start} is half a "
            "character and has no bytes. Mend the text where it was decoded, or drop such "
            "characters: text.encode('utf-8', 'ignore').decode()."
        ) from None
    return text


def one_or_many(texts, what="texts"):
    """One text or several, as a list: a str is one text, wherever texts are taken."""
    if isinstance(texts, str):
        return [checked_text(texts, what)]
    if isinstance(texts, bytes) or not hasattr(texts, "__iter__"):
        raise DtypeError(f"{what}: got {type(texts).__name__}, expected a str or several")
    return [checked_text(text, f"{what}[{i}]") for i, text in enumerate(texts)]


def checked_names(argument, given, known, error=OptionError):
    """One name or several, as a list: of those `known`, and each once."""
    names = one_or_many(given, argument)
    for i, name in enumerate(names):
        if name not in known:
            near = difflib.get_close_matches(name, known, 5, 0)
            some = tuple(known) if len(known) < 10 else f"{len(known)} names, such as {near}"
            raise error(f"{argument}: got {name!r}, expected some of {some}")
        if name in names[:i]:
            raise error(f"{argument}: {name!r} is there twice, expected once")
    return names


def count_words(texts, words):
    """The count of each word: {word: count}, in order of first occurrence."""
    counts = {}
    for text in one_or_many(texts):
        for word in words(text):
            counts[word] = counts.get(word, 0) + 1
    return counts


def split_at(text, tokens):
    """`text` split at each of the `tokens` in it: words at even places, tokens at odd ones."""
    if not tokens:
        return [text]
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


# -- \p{L}, \p{N} and \s of Unicode, in the words of Python's re -----------------------------------
# The published patterns are written for another engine. Python's \w is exactly \p{L}, \p{N} and
# "_"; its \d only the decimal digits; its \s has four separators too many, U+001C to U+001F.
# A character counts as what the running Python's Unicode tables say of it.
@functools.cache
def _classes():
    """Regular expressions of one character each: a letter, a number, a space, any other."""
    numbers = {i for i in range(0x30000) if unicodedata.category(chr(i)) in ("Nl", "No")}
    starts = sorted(i for i in numbers if i - 1 not in numbers)
    ends = sorted(i for i in numbers if i + 1 not in numbers)
    ranges = "".join(f"{chr(a)}-{chr(b)}" for a, b in zip(starts, ends, strict=True))
    return {  # ranges: Ⅷ ½ ² ① ..., the numbers that are no decimal digits
        "<L>": rf"[^\W\d_{ranges}]",
        "<N>": rf"[\d{ranges}]",
        "<S>": r"[^\S\x1c-\x1f]",
        "<O>": r"(?:[^\w\s]|[_\x1c-\x1f])",
    }


def _compiled(pattern):
    for name, expression in _classes().items():
        pattern = pattern.replace(name, expression)
    return re.compile(pattern)


@functools.cache
def gpt2_pattern():
    r"""`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` (GPT-2).

    Every character is in one word, and a word takes one space with it, on its left.
    """
    return _compiled(r"'(?:[stmd]|re|ve|ll)| ?<L>+| ?<N>+| ?<O>+|<S>+(?![\S\x1c-\x1f])|<S>+")


@functools.cache
def clip_pattern():
    r"""`<\|startoftext\|>|<\|endoftext\|>|'s|...|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+` (CLIP).

    Spaces fall away, digits stand alone, and case is ignored in the special tokens and endings.
    One mark is lost, U+0345: it has a letter for a capital, and the original ignores case all over.
    """
    special = r"(?i:<\|startoftext\|>|<\|endoftext\|>|'(?:[stmd]|re|ve|ll))"
    return _compiled(special + r"|<L>+|<N>|(?:(?!\u0345)<O>)+")
