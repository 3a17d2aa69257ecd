"""CLIP's text input: lower-cased, words that end in "</w>", 77 ids a text.

    tokenizer = CLIPTokenizer.from_file("bpe_simple_vocab_16e6.txt.gz")  # OpenAI's file
    tokenizer(["a photo of a cat."])  # (B, 77): [SOS] a photo of a cat . [EOS] 0 0 ...

Radford et al. 2021, section 2.4; the code is simple_tokenizer.py of OpenAI's CLIP.
"""

import gzip
import html
import re
import zlib

import numpy as np

from minivit import files, nn
from minivit.engine.errors import CheckpointError, OptionError, ShapeError
from minivit.engine.record import function
from minivit.text.bpe import BPE
from minivit.text.words import TextError, clip_pattern, one_or_many

SOS, EOS = "<|startoftext|>", "<|endoftext|>"  # [SOS] and [EOS] of the paper
MERGES = 49_152 - 256 - 2  # of the 262,144 in the file


def clean(text):
    """Text as CLIP was trained on: encodings mended, HTML unescaped twice, one space, lower case.

    The mending ("cafÃ©" -> "café", curly quotes -> straight ones) is the package ftfy's, as in
    the original.
    """
    if "&" in text or not (text.isascii() and text.isprintable()):  # else nothing is to be mended
        from ftfy import fix_text  # here, for it costs an import what few texts need

        text = html.unescape(html.unescape(fix_text(text)))
    return re.sub(r"[^\S\x1c-\x1f]+", " ", text.strip()).strip().lower()


class CLIPTokenizer(BPE):
    """The BPE of CLIP: 256 bytes, the same with "</w>", the merges, [SOS] and [EOS].

    As in the original, "<|endoftext|>" written in a text is [EOS]. [EOS] has the largest id: the
    model finds the end of a text as the argmax of its ids.
    """

    end_of_word = "</w>"
    context_length = 77  # ids a text, of OpenAI's models

    @function
    def __init__(self, vocab, merges, special_tokens=(SOS, EOS)):
        super().__init__(vocab, merges, special_tokens)
        if SOS not in self.special_tokens or self.symbols[-1] != EOS:
            raise TextError(f"special_tokens: expected {SOS!r}, and {EOS!r} with the largest id")

    @classmethod
    def from_file(cls, path):
        """Read OpenAI's bpe_simple_vocab_16e6.txt.gz: 48,894 merges give the 49,408 tokens.

        The file is in the repository openai/CLIP, and in the Python package open-clip-torch.
        """
        try:
            lines = gzip.decompress(files.fetched(path)).decode().split("\n")
        except FileNotFoundError:
            raise CheckpointError(
                f"{path}: there is no such file. It is part of the repository openai/CLIP and of "
                "the Python package open-clip-torch."
            ) from None
        except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: not a whole gzip file of text ({error})") from None
        merges = [tuple(line.split()) for line in lines[1 : 1 + MERGES]]
        if len(merges) < MERGES or any(len(pair) != 2 for pair in merges):
            raise CheckpointError(f"{path}: expected a header and {MERGES:,} lines of two symbols")
        symbols = [*cls.alphabet(), *map("".join, merges), SOS, EOS]
        try:
            return cls({symbol: i for i, symbol in enumerate(symbols)}, merges)
        except TextError as error:
            raise CheckpointError(f"{path}: {error}") from None

    @classmethod
    def train(cls, texts, vocab_size, special_tokens=(SOS, EOS)):
        """Learn a vocabulary of one's own, for a model of one's own; see BPE.train."""
        return super().train(texts, vocab_size, special_tokens)

    @staticmethod
    def words(text):
        """Letters, single digits, and runs of the rest, of the cleaned text."""
        return clip_pattern().findall(clean(text))

    def _ids_of(self, word):
        return [self.ids[word]] if word in self.special_tokens else super()._ids_of(word)

    def __call__(self, texts, context_length=None, truncate=False):
        """One row a text: [SOS], its tokens, [EOS], zeros. (B, context_length), int64.

        A longer text is a ShapeError; with truncate=True its end is cut off and [EOS] stays last.
        """
        texts = one_or_many(texts)
        context_length = self.context_length if context_length is None else context_length
        if not nn.is_integer(context_length, 1):
            raise OptionError(
                f"context_length is {context_length!r}, expected an integer, 1 or more"
            )
        rows = np.zeros((len(texts), context_length), dtype=np.int64)  # (B, N)
        for i, text in enumerate(texts):
            ids = [self.ids[SOS], *self.encode(text), self.ids[EOS]]
            if len(ids) > context_length:
                if not truncate or context_length < 2:
                    raise ShapeError(
                        f"texts[{i}]: {len(ids)} tokens with [SOS] and [EOS], more than the "
                        f"context_length {context_length}. Shorten it, or pass truncate=True to "
                        "cut off its end."
                    )
                ids = [*ids[: context_length - 1], self.ids[EOS]]
            rows[i, : len(ids)] = ids
        return rows
