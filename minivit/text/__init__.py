"""Text to vectors: strings become token ids, rows of an embedding table.

    words      14.1  where text is cut, bytes as letters
    base       14.2  what every tokenizer does
    bpe        14.3  byte-pair encoding: training, merge steps, GPT-2's files
    clip       14.4  CLIP's variant: lower case, "</w>", 77 ids a text
    wordpiece  14.5  BERT's variant: the longest known piece first
    batch      14.6  padding, and its mask

`BPE.train(texts, vocab_size)`, `.encode(text)`, `.decode(ids)`; then `pad` for a batch.
"""

from minivit.engine.errors import TextError
from minivit.text.batch import pad
from minivit.text.bpe import BPE, learn_merges
from minivit.text.clip import CLIPTokenizer
from minivit.text.wordpiece import WordPiece

__all__ = ["BPE", "CLIPTokenizer", "TextError", "WordPiece", "learn_merges", "pad"]
