"""A GPT that writes dictionary entries, and a BERT that reads them: 100,000 of WordNet's.

    python data/make_text.py                              # once: fetches the definitions
    python -m minivit.course.runs dictionary              # both parts, in order; or one of:
    python -m minivit.course.runs dictionary gpt          # data/models/dictionary
    python -m minivit.course.runs dictionary bert         # data/models/masked-words, three seeds

A ninth of the definitions is held out; so are the last 1,000 of the sentences of lecture 2.

The rule of the verdict on C01 (masked tokens can be predicted), fixed before the run. In the 1,000
held-out sentences 15% of the tokens are masked, and in a second test one content word a sentence
(`content_places`). A model's accuracy in each is compared with always saying what is commonest
there. *Holds*: at least twice as good in both tests, for each of three seeds. *Does not hold*: no
better in one of the tests, for all seeds. Else: *not at this size*.

Each job is added to data/results/dictionary.json when it is done; a job that is there is not done
again, one that was interrupted goes on where it stopped.
"""

import functools
import gzip

import numpy as np

import minivit
from minivit import course, functions, no_grad
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.engine.errors import DataError
from minivit.models.bert import BERT, mask_tokens
from minivit.models.gpt import GPT
from minivit.text import BPE, WordPiece, pad
from minivit.training import data
from minivit.training import definitions as shipped

RUN = "dictionary"
END = "<|endoftext|>"
SPECIAL = ("[CLS]", "[SEP]", "[MASK]", "[PAD]")
SEEDS = (0, 1, 2)
HELD_OUT = 1_000  # sentences
LENGTH = 32  # tokens that a BERT reads
ENTRY = 64  # tokens of an entry that a GPT reads
GPT_STEPS, GPT_BATCH, GPT_RATE = 3_000, 32, 2e-3
BERT_STEPS, BERT_BATCH, BERT_RATE = 2_000, 128, 4e-3
FOR_TOKENS = 20_000  # texts that the tokenizers are trained on
# Words that hold a sentence together; all others are content words.
FUNCTION_WORDS = frozenset(
    "a an the this that these those some any no every each all both such what which who whom whose "
    "i you he she it we they me him her us them my your his its our their mine himself herself "
    "itself themselves one and or but nor so yet if than as when while where because though "
    "although until unless whether of in on at by for with from to into onto upon about after "
    "before between through during under over against without within among across along around "
    "behind beyond near off out up down back away is are was were be been being am has have had "
    "having do does did done will would shall should can could may might must not n t s re ve ll "
    "there here then now very too also just only even more most much many few other another how "
    "why".split()
)  # fmt: skip


# -- data ------------------------------------------------------------------------------------------
@functools.cache
def definitions(part):
    """All definitions of a part, "train" or "held out"; make_text.py writes the file."""
    path = course.build_folder() / "wordnet-definitions-all.tsv.gz"
    if not path.is_file():
        raise DataError(f"{path} is not here; `python data/make_text.py` fetches and writes it")
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    return [d for d in map(shipped.Definition.read, lines) if d.held_out == (part == "held out")]


@functools.cache
def bpe():
    texts = [d.entry() for d in definitions("train")[:FOR_TOKENS]]
    return BPE.train(texts, 2_048, special_tokens=(END,))


def entries(texts, tokenizer):
    """END, the entry, END, of each text: (ids, mask); longer ones are cut."""
    stop = tokenizer.id_of(END)
    rows = [[stop, *tokenizer.encode(text), stop][:ENTRY] for text in texts]
    return pad(rows, pad_id=stop)


class Entries(data.ByLength):
    """Entries of definitions; of a definition with several words, one drawn anew each time."""

    def __init__(self, definitions, tokenizer, size, seed):
        self.stop = tokenizer.id_of(END)
        self.heads = [[tokenizer.encode(d.head(word)) for word in d.words] for d in definitions]
        self.tails = [[*tokenizer.encode(" " + d.gloss), self.stop] for d in definitions]
        super().__init__([len(tail) for tail in self.tails], size, seed)

    def __getitem__(self, step):
        chosen, rng = self.rows(step)
        heads = [self.heads[i][rng.integers(len(self.heads[i]))] for i in chosen]
        rows = [[self.stop, *head, *self.tails[i]][:ENTRY] for i, head in zip(chosen, heads)]
        return pad(rows, pad_id=self.stop)


@functools.cache
def wordpiece():
    texts = [d.text for d in definitions("train")[:FOR_TOKENS]]
    return WordPiece.train([*texts, *data.sentences()[:-HELD_OUT]], 4_000)


def rows(texts, tokenizer):
    """[CLS] text [SEP] of the texts that fit: (ids, mask)."""
    encoded = [tokenizer.pair(text)[0] for text in texts]
    return pad([ids for ids in encoded if len(ids) <= LENGTH], LENGTH, tokenizer.id_of("[PAD]"))


class Masked(data.ByLength):
    """Inputs, labels and padding mask, hidden anew each time."""

    def __init__(self, ids, mask, tokenizer, size, seed):
        super().__init__(mask.sum(axis=1), size, seed)
        self.ids, self.mask, self.vocabulary = ids, mask, len(tokenizer)
        self.special = tuple(tokenizer.id_of(t) for t in SPECIAL)

    def __getitem__(self, step):
        chosen, rng = self.rows(step)
        n = self.lengths[chosen].max()
        ids, mask = self.ids[chosen, :n], self.mask[chosen, :n]
        hidden = mask_tokens(ids, rng, self.special[2], self.vocabulary, self.special, mask=mask)
        return *hidden, mask


# -- the two tests of C01 --------------------------------------------------------------------------
def content_places(ids, tokenizer):
    """(B, N): True at a content word that is one token."""
    symbols = np.array([*tokenizer.symbols])
    inside = np.array([s.startswith("##") for s in symbols])
    content = np.array([s.isalpha() and s not in FUNCTION_WORDS for s in symbols])
    goes_on = np.roll(inside[ids], -1, axis=1)
    goes_on[:, -1] = False
    return content[ids] & ~goes_on


def tests(ids, mask, tokenizer, seed=9):
    """{name: (inputs, places (B, N))}: 15% of the tokens masked; one content word a sentence."""
    rng = np.random.default_rng(seed)
    special = tuple(tokenizer.id_of(t) for t in SPECIAL)
    _, labels = mask_tokens(ids, rng, special[2], len(tokenizer), special, mask=mask)
    content = content_places(ids, tokenizer) & mask
    some = content.any(axis=1)
    drawn = np.argmax(np.where(content, rng.random(ids.shape), -1), axis=1)
    one = (np.arange(ids.shape[1]) == drawn[:, None]) & some[:, None]
    places = {"tokens": labels != functions.IGNORED, "content words": one}
    return {name: (np.where(at, special[2], ids), at) for name, at in places.items()}


def commonest(ids, mask, test_ids, places, tokenizer, content):
    """How often the commonest token (or content word) of `ids` is what stood at the places."""
    at = mask & ~np.isin(ids, [tokenizer.id_of(t) for t in SPECIAL])
    if content:
        at &= content_places(ids, tokenizer)
    guess = np.bincount(ids[at]).argmax()
    return float((test_ids[places] == guess).mean())


@no_grad()
def predicted(model, inputs, mask, places):
    """The distributions at the places: (n, V)."""
    h = model.hidden(inputs, mask)
    h = functions.embedding(h.reshape(-1, h.shape[-1]), np.flatnonzero(places))
    return minivit.softmax(model.vocabulary_logits(h)).numpy()


def verdict(accuracies, baselines):
    """C01's rule. accuracies: {test: one a seed}; baselines: {test: accuracy}."""
    if all(min(accuracies[t]) >= 2 * baselines[t] for t in baselines):
        return "holds"
    worse = any(max(accuracies[t]) <= baselines[t] for t in baselines)
    return "does not hold" if worse else "not at this size"


# -- jobs ------------------------------------------------------------------------------------------
def gpt():
    """The GPT that ships, and its loss on held-out entries."""
    minivit.manual_seed(0)
    model = GPT(len(bpe()), ENTRY, 128, 3, 4)
    batches = Entries(definitions("train"), bpe(), GPT_BATCH, seed=0)
    numbers = plans.train(
        RUN, "gpt", model, batches, GPT.loss, GPT_STEPS, GPT_RATE, decay=0.01,
    )  # fmt: skip
    model = kept(model, "dictionary", bpe())
    texts = [d.entry() for d in shipped.definitions() if d.held_out]
    with no_grad():
        numbers["nats a token, held out"] = model.loss(*entries(texts, bpe())).item()
    numbers["entries"] = len(definitions("train"))
    plans.forget(RUN, "gpt")
    return numbers


def bert(seed):
    """A BERT, and how often it is right in both tests, on the way and in the end."""
    minivit.manual_seed(seed)
    model = BERT(len(wordpiece()), LENGTH, 96, layers=2, heads=4, dropout=0.0, std=0.057)
    sentences = data.sentences()
    texts = [*(d.text for d in definitions("train")), *sentences[:-HELD_OUT]]
    ids, mask = rows(texts, wordpiece())
    test_ids, test_mask = rows(sentences[-HELD_OUT:], wordpiece())
    asked = tests(test_ids, test_mask, wordpiece())

    def accuracy(model):
        return {
            name: float((predicted(model, inputs, test_mask, at).argmax(1) == test_ids[at]).mean())
            for name, (inputs, at) in asked.items()
        }

    numbers = plans.train(
        RUN, f"bert {seed}", model, Masked(ids, mask, wordpiece(), BERT_BATCH, seed), BERT.loss,
        BERT_STEPS, BERT_RATE, decay=0.01, evaluate=accuracy, evaluate_every=BERT_STEPS // 10,
    )  # fmt: skip
    if seed == 0:
        model = kept(model, "masked-words", wordpiece())
    numbers["accuracy"] = accuracy(model)
    numbers["commonest"] = {
        name: commonest(ids, mask, test_ids, at, wordpiece(), name == "content words")
        for name, (_, at) in asked.items()
    }
    numbers["texts"] = len(ids)
    plans.forget(RUN, f"bert {seed}")
    return numbers


def kept(model, name, tokenizer):
    """Write a model that ships, in float16; returns what that kept of it."""
    folder = record.folder() / "models" / name
    minivit.save(model, folder, tokenizer=tokenizer, dtype="float16")
    return minivit.load(folder).model.eval()


PARTS = {
    "gpt": [Job(gpt, (), 0.11 * GPT_STEPS)],
    "bert": [Job(bert, (seed,), 0.11 * BERT_STEPS) for seed in SEEDS],
}  # seconds a step: measured on one core


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """What data/results/dictionary.json holds: {job: numbers}, and the machine."""
    return record.kept(RUN)
