"""Icons and what they are called: pairs for CLIP, from the families that are trained on.

    rows = captioned(everything)                  # everything: icons.icons(); {caption: its icons}
    pairs = IconPairs(rows, everything.images, caption_tokenizer(rows))
    images, texts = pairs[step]                   # (B, 32, 32, 3), (B, CONTEXT)

A caption is the name without its words of style, half of the time inside a template or with the
category that its set gives it. 15% of IconNet's classes are named by no caption and shown by no
picture here: unseen concepts. Icons of sets with colours are in colour.
"""

import functools

import numpy as np

from minivit import nn
from minivit.engine.record import function
from minivit.text import CLIPTokenizer
from minivit.text.words import checked_text
from minivit.training import icons
from minivit.training.data import check_batch_size, check_step, to_unit

CONTEXT = 12  # tokens a text, [SOS] and [EOS] included
TEMPLATES = ("{}", "an icon of {}", "a drawing of {}", "{} symbol")
SHARE = 0.15  # of the classes that are held out


def words_of(concept):
    """Names of the same words are one: "check-circle", "circle-check"."""
    return tuple(sorted(checked_text(concept, "concept").split("-")))


@functools.cache
def unseen():
    """The classes of IconNet that are held out: (classes,) bool, drawn once."""
    n = len(icons.split()["classes"])
    chosen = np.zeros(n, bool)
    chosen[np.random.default_rng(0).permutation(n)[: round(SHARE * n)]] = True
    return chosen


def hidden():
    """The words of each unseen concept: no text may consist of them, in whatever order."""
    return {words_of(c) for c, out in zip(icons.split()["classes"], unseen()) if out}


def captioned(everything):
    """{caption: rows of `everything`} of the training families, without unseen concepts."""
    table = icons.split()
    trained = [table["families"].get(about["family"]) == "train"
               for about in everything.about.values()]  # fmt: skip
    prefixes = [about.get("prefixes", ()) for about in everything.about.values()]
    rows, out = {}, hidden()
    for i in np.flatnonzero(np.array(trained)[everything.sets]).tolist():
        concept = icons.concept(everything.names[i], prefixes[everything.sets[i]])
        if words_of(concept) not in out and any(c.isalpha() for c in concept):
            rows.setdefault(icons.caption(concept), []).append(i)
    return {caption: np.array(some) for caption, some in rows.items()}


def caption_tokenizer(rows, vocab_size=3000):
    """A BPE like CLIP's, learnt from the captions of three icons or more and the templates."""
    often = [caption for caption, some in rows.items() if len(some) > 2]
    return CLIPTokenizer.train(often + list(TEMPLATES), vocab_size)


class IconPairs:
    """Batch number `step`, a function of (seed, step): pictures and ids of different captions.

    A caption is drawn in proportion to the root of how many icons it has, and then one of them.
    rows: {caption: rows of `images`}, bytes (n, 32, 32); colour: {row: (32, 32, 3)} where there is
    one; categories: {row: what its set calls the icon's category}.
    """

    @function
    def __init__(self, rows, images, tokenizer, colour=None, categories=None, batch_size=128,
                 seed=0, shift=2):  # fmt: skip
        nn.check_sizes(self, least=0, seed=seed, shift=shift)
        check_batch_size(batch_size, 2, len(rows), "the number of captions")
        self.captions, self.rows = list(rows), list(rows.values())
        root = np.sqrt([len(r) for r in self.rows])
        self.odds = root / root.sum()
        self.images, self.colour, self.categories = images, colour or {}, categories or {}
        self.tokenizer, self.batch_size, self.seed, self.shift = tokenizer, batch_size, seed, shift

    def __getitem__(self, step):
        check_step(step)
        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(len(self.rows), self.batch_size, replace=False, p=self.odds)
        rows = [int(rng.choice(self.rows[c])) for c in chosen]
        texts = [self._text(c, row, rng) for c, row in zip(chosen, rows)]
        return self._pictures(rows, rng), tokenize(self.tokenizer, texts)

    def _text(self, c, row, rng):
        caption = TEMPLATES[rng.integers(len(TEMPLATES)) if rng.random() < 0.5 else 0]
        caption = caption.format(self.captions[c])
        of = self.categories.get(row)
        return f"{caption}, {of}" if of and rng.random() < 0.2 else caption

    def _pictures(self, rows, rng):
        icons.check_grey("IconPairs", self.images)
        wide = np.full((len(rows), 32 + 2 * self.shift, 32 + 2 * self.shift, 3), 255, np.uint8)
        inside = slice(self.shift, self.shift + 32)
        for i, row in enumerate(rows):
            wide[i, inside, inside] = self.colour.get(row, self.images[row][..., None])
        up, left = rng.integers(0, 2 * self.shift + 1, (2, len(rows)))
        return to_unit(np.stack([w[u : u + 32, v : v + 32] for w, u, v in zip(wide, up, left)]))


def categories(everything):
    """{row: what its set calls the icon's category}, in lower-case words; a category that is called
    as an unseen concept ("Home") is left out."""
    first = np.searchsorted(everything.sets, np.arange(len(everything.about)))
    last = np.searchsorted(everything.sets, np.arange(len(everything.about)), side="right")
    found, out = {}, hidden()
    for i, about in enumerate(everything.about.values()):
        row_of = dict(zip(everything.places[first[i] : last[i]].tolist(), range(first[i], last[i])))
        for title, members in about["categories"].items():
            title = title.lower()
            if words_of(title.replace(" ", "-")) in out:
                continue
            for place in members:
                if place in row_of:
                    found.setdefault(row_of[place], title)
    return found


def coloured(everything):
    """{row: (32, 32, 3) bytes} of the icons whose sets have colours."""
    names = [name for name, about in everything.about.items() if about["colour"]]
    if not names:
        return {}
    more = icons.icons(colour=True, sets=names)
    number = {name: i for i, name in enumerate(everything.about)}
    rows = np.flatnonzero(np.isin(everything.sets, [number[name] for name in names]))
    return dict(zip(rows.tolist(), more.images))


def tokenize(tokenizer, texts):
    """Texts as rows of ids (B, CONTEXT); a longer one is cut."""
    return tokenizer(texts, context_length=CONTEXT, truncate=True)
