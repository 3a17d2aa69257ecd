"""Image-text pairs: emoji and what they are called, cut into texts and batches for CLIP.

    e = data.emoji()
    tokenizer = caption_tokenizer(e)                  # CLIP's kind of BPE, learnt from the captions
    pairs = Pairs(e, tokenizer, styles=TRAINING_STYLES, batch_size=128)
    images, texts = pairs[step]                       # a pure function of (seed, step)
    images, names = test_set(e, "twemoji", held_out=True)

Four drawing styles and 85% of the concepts are for training; Twemoji's style and 15% of the
concepts never are.
"""

import numpy as np

from minivit import nn
from minivit.engine.errors import DataError, RangeError
from minivit.engine.record import function
from minivit.text import CLIPTokenizer
from minivit.text.words import checked_names
from minivit.training.data import STYLES, check_batch_size, check_step

NEW_STYLE = "twemoji"
TRAINING_STYLES = tuple(s for s in STYLES if s != NEW_STYLE)
CONTEXT = 16  # tokens a text, [SOS] and [EOS] included


def caption_tokenizer(emoji, vocab_size=1500):
    """A CLIPTokenizer learnt from the names and keywords of the concepts that are not held out."""
    seen = np.flatnonzero(~emoji.held_out)
    texts = [emoji.labels[i] for i in seen] + [" ".join(emoji.tags[i]) for i in seen]
    return CLIPTokenizer.train(texts, vocab_size)


def tokenize(tokenizer, texts, context=CONTEXT):
    """Texts as rows of ids (B, context): [SOS], tokens, [EOS], zeros. A longer one is cut."""
    return tokenizer(texts, context_length=context, truncate=True)


class Pairs:
    """Batch number `step` of pairs of drawings and captions: (B, 32, 32, 3), (B, context).

    The concepts of a batch differ, so no text fits two images. Each is drawn in one of `styles`,
    moved by up to `shift` pixels. Its caption is the name (half of the time), the name and one to
    three keywords (a quarter), or one to three keywords.
    """

    @function
    def __init__(self, emoji, tokenizer, styles=TRAINING_STYLES, batch_size=128, seed=0, shift=2,
                 context=CONTEXT):  # fmt: skip
        nn.check_sizes(self, least=0, seed=seed, shift=shift)
        nn.check_sizes(self, least=2, context=context)
        self.emoji, self.batch_size, self.seed = emoji, batch_size, seed
        self.shift, self.context = shift, context
        self.sos, self.eos = tokenizer.encode("<|startoftext|><|endoftext|>", special=True)
        self.names = [tokenizer.encode(label) for label in emoji.labels]
        self.tags = [[tokenizer.encode(tag) for tag in tags] for tags in emoji.tags]
        self.places = {}  # concept -> [(style, index of its drawing)]
        for style in checked_names("styles", styles, emoji.images, DataError):
            for place, concept in enumerate(emoji.concepts[style]):
                if not emoji.held_out[concept]:
                    self.places.setdefault(int(concept), []).append((style, place))
        self.concepts = np.array(sorted(self.places))
        what = "the number of concepts: a batch holds each once"
        check_batch_size(batch_size, 2, len(self.concepts), what)

    def __getitem__(self, step):
        check_step(step)
        rng = np.random.default_rng([self.seed, step])
        concepts = rng.choice(self.concepts, self.batch_size, replace=False)
        images = np.stack([self._drawing(c, rng) for c in concepts])
        texts = np.stack([self._caption(c, rng) for c in concepts])
        return images, texts

    def _drawing(self, concept, rng):
        style, place = self.places[int(concept)][rng.integers(len(self.places[int(concept)]))]
        image, s = self.emoji.images[style][place], self.shift
        H, W = image.shape[:2]
        up, left = rng.integers(0, 2 * s + 1, 2)
        around = ((s, s), (s, s), (0, 0))
        return np.pad(image, around, constant_values=1)[up : up + H, left : left + W]  # 1: white

    def _caption(self, concept, rng):
        how, tags = rng.random(), self.tags[concept]
        ids = list(self.names[concept]) if how < 0.75 or not tags else []
        if how >= 0.5 and tags:
            for i in rng.permutation(len(tags))[: rng.integers(1, 4)]:
                ids += tags[i]
        row = np.zeros(self.context, np.int64)
        ids = [self.sos, *ids[: self.context - 2], self.eos]
        row[: len(ids)] = ids
        return row


def test_set(emoji, style=NEW_STYLE, held_out=False, size=None, seed=0):
    """Drawings to recognise, one a concept, without the look-alikes: (images, concepts).

    held_out: concepts that no training caption names. size: how many, drawn by `seed`; else all.
    """
    concepts = emoji.concepts[style]
    wanted = (emoji.held_out[concepts] == held_out) & ~emoji.lookalike[concepts]
    places = np.flatnonzero(wanted)
    if size is not None:
        if not 0 < size <= len(places):
            raise RangeError(f"size: got {size}, expected 1 to {len(places)}")
        places = np.sort(np.random.default_rng(seed).permutation(places)[:size])
    return emoji.images[style][places], concepts[places]


# Words that stand for a group of concepts. Written before any model was trained; not tuned.
GROUP_PROMPTS = {
    "smileys-emotion": ("face", "smiling face", "emotion"),
    "people-body": ("person", "hand", "body"),
    "animals-nature": ("animal", "plant", "nature"),
    "food-drink": ("food", "drink"),
    "travel-places": ("vehicle", "building", "place", "weather"),
    "activities": ("sport", "game", "activity"),
    "objects": ("object", "tool", "clothing"),
    "symbols": ("symbol", "sign", "arrow"),
    "flags": ("flag",),
}
