# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% tags=["setup"]
import importlib.util

if importlib.util.find_spec("minivit") is None:  # Colab: clone the repository, then run this
    import subprocess
    import sys

    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-e", "..[lab]"], check=True)

from minivit import course

course.setup()

# %% [markdown]
# # Text, all the way in
#
# Transformers do not work on strings. On the way in, a string is cut into pieces (*tokens*), each
# token has a number (its *id*), and each id has a vector. In this lecture you
#
# 1. train byte-pair encoding from scratch, on real English, and watch it merge (20 min),
# 2. see what a tokenizer does to text that nobody foresaw (10 min),
# 3. turn ids into vectors, and count what that costs (15 min),
# 4. look back: the families of Transformers, and ImageNet (10 min).
#
# Letters: V tokens in the vocabulary, N tokens in a text, D numbers in a vector, B texts.

# %%
import timeit
from collections import Counter
from itertools import pairwise

import numpy as np

from minivit import Tensor, nn
from minivit.course.plots import history
from minivit.course.plots import text as plots
from minivit.course.plots.published import published
from minivit.functions import embedding
from minivit.text import BPE, CLIPTokenizer, WordPiece, pad
from minivit.training import data

# %% [markdown]
# ## 1. Byte-pair encoding (20 min)
#
# Words as tokens? There are too many, and tomorrow somebody writes a new one. Letters? Then a short
# sentence is a long sequence, and attention costs N². Byte-pair encoding (BPE) finds a middle by
# itself: *start with letters; join the pair of neighbours that occurs most often; repeat.*

# %%
sentences = data.sentences()
train, held_out = sentences[:19_000], sentences[19_000:]
for sentence in train[:5]:
    print(sentence)

# %% [markdown]
# First the text is cut into words, and no merge ever crosses a border between words. A word takes
# the space on its left with it; the space is written Ġ, so that one sees it.

# %%
print(BPE.words("the jury found him not guilty"))
print(BPE.spell(" guilty"))

# %%
corpus = train[:2000]
counted = Counter(word for text in corpus for word in BPE.words(text))
spelled = {word: list(BPE.spell(word)) for word in counted}
counted.most_common(8)

# %% [markdown]
# **Predict, then run.** Which two neighbouring letters are the most frequent in English, if the
# space counts as the first letter of a word?
# <details><summary>Answer</summary>
#
# h and e: the, he, she, her, them, when. Close behind: a space and t, words that begin with t.
# </details>


# %% tags=["slide"]
def count_pairs(spelled):
    pairs = Counter()
    for word, symbols in spelled.items():
        for pair in pairwise(symbols):
            pairs[pair] += counted[word]
    return pairs


count_pairs(spelled).most_common(6)


# %% [markdown]
# The most frequent pair becomes one symbol, wherever it stands. That is all of training: this, V
# times.


# %% tags=["slide"]
def join(symbols, pair):
    """One merge, from left to right: ["l", "l", "l"] with ("l", "l") -> ["ll", "l"]."""
    out = []
    for symbol in symbols:
        if out and (out[-1], symbol) == pair:
            out[-1] += symbol
        else:
            out.append(symbol)
    return out


merges = []
for _ in range(20):
    pairs = count_pairs(spelled)
    best = max(pairs, key=pairs.get)
    merges.append(best)
    spelled = {word: join(symbols, best) for word, symbols in spelled.items()}
print(*(f"{a}+{b}" for a, b in merges))

# %% [markdown]
# The library's `BPE.train` does the same without counting everything again: only words that hold
# the pair have changed. It starts from the 256 *bytes*, not from the letters that it happens to
# meet.

# %%
assert BPE.train(corpus, 256 + 20).merges == merges

# %% [markdown]
# Now all the text, and 1,000 tokens.

# %%
END = "<|endoftext|>"  # a special token: no text is merged into it
bpe = BPE.train(train, 1000, special_tokens=(END,))
longest = sorted(bpe.symbols[:-1], key=len)[-12:]
print(f"{bpe}; its longest tokens:", *longest)

# %% [markdown]
# ### Encoding: the merges, in the order in which they were learnt

# %%
for symbols in bpe.merge_steps(" measured"):
    print(" ".join(symbols))

# %% [markdown]
# **Predict, then run.** Does " measured" get the same tokens as "measured", at the beginning of a
# text?
# <details><summary>Answer</summary>
#
# No. The space is part of the word, so they are two words for BPE. The model has to learn twice
# that they mean the same: the price for a tokenizer that loses nothing.
# </details>

# %%
print(bpe.tokens(" measured"), bpe.tokens("measured"), bpe.tokens("Measured"))

# %% [markdown]
# The whole way, on one sentence: letters, merges, tokens, ids, and the vectors of section 3.

# %% widget="merges"
text = "measure the height"
ids = bpe.encode(text)
steps = [list(bpe.merge_steps(word)) for word in BPE.words(text)]
assert [s for word in steps for s in word[-1]] == bpe.tokens(text)
table = nn.Embedding(len(bpe), 16)
vectors = table(np.array(ids))  # (N, D)
course.figure(
    "F06",
    plots.pipeline(text, steps, ids, vectors.numpy()),
    alt="""Three words taken from single letters to tokens, one merge a row; the last row of each
    word is orange. Below, each token with its id, and a heat map with the id's vector of 16 numbers
    in each row.""",
)

# %% [markdown]
# ### How large a vocabulary?
#
# **Predict, then run.** From 500 to 4,000 tokens the table of vectors grows eightfold. By how much
# does a text get shorter?
# <details><summary>Answer</summary>
#
# Not by much: see below. The first merges are used everywhere, the last ones rarely. Real models
# sit at 30,000 to 50,000, with far more text to learn from.
# </details>

# %%
large = BPE.train(train, 4000)
words_held_out = sum(len(s.split()) for s in held_out)
for V in (256, 500, 1000, 2000, 4000):
    kept = large.merges[: V - 256]
    smaller = BPE({symbol: i for i, symbol in enumerate(large.symbols[:V])}, kept)
    n = sum(len(smaller.encode(s)) for s in held_out)
    print(f"V = {V:5}: {n / words_held_out:.2f} tokens a word on held-out text")

# %% [markdown]
# *For who wants more: Sennrich et al. 2016 (arXiv 1508.07909), section 3.2; Radford et al. 2019
# (GPT-2), section 2.2, for bytes.*

# %% [markdown]
# ## 2. Text that nobody foresaw (10 min)
#
# **Predict, then run.** Our BPE has seen English only. What does it do with 漢字 or 🎈?
# <details><summary>Answer</summary>
#
# It falls back to bytes: every string is a sequence of bytes, and all 256 are tokens. The text
# gets long, but nothing is lost.
# </details>

# %%
strange = ["naïve café", "漢字", "🎈🏽", "e\u0301 (e + accent)", "tab\there", "\x00\x07"]
for text in strange:
    tokens = bpe.encode(text)
    assert bpe.decode(tokens) == text
    print(
        f"{text!r:24}{len(text):3} characters {len(text.encode()):3} bytes {len(tokens):3} tokens"
    )

# %% [markdown]
# Three tokenizers of this course on one text. GPT-2's keeps everything. CLIP's lower-cases, throws
# spaces away and marks the *end* of a word (`</w>`). BERT's WordPiece lower-cases, strips accents,
# marks what is *not* a beginning (`##`), and says `[UNK]` to what it cannot spell.

# %%
clip = CLIPTokenizer.train(train, 1500)
wordpiece = WordPiece.train(train, 1000)
text = "The naïve jury's 2 verdicts: 🎈"
for name, tokenizer in [("GPT-2's", bpe), ("CLIP's", clip), ("BERT's", wordpiece)]:
    print(f"{name:8}", *tokenizer.tokens(text))
    print(f"{'':8} back: {tokenizer.decode(tokenizer.encode(text))!r}")

# %% [markdown]
# Each model adds its own marks: GPT-2 an end, CLIP a start and an end in a row of 77, BERT `[CLS]`
# in front (the slide's `<cls>`) and `[SEP]` behind.

# %%
print(clip(["a jury"])[0, :8], "... of", clip(["a jury"]).shape[1])
print([wordpiece.symbols[i] for i in wordpiece.pair("a jury", "not guilty")[0]])
print("segments:", wordpiece.pair("a jury", "not guilty")[1])

# %% [markdown]
# Texts of a batch have unequal lengths. They are padded, and a mask says what is text:

# %%
ids, mask = pad([bpe.encode(s) for s in held_out[:4]])
print(ids.shape, "of which", mask.sum(), "are tokens")
print(mask.astype(int))

# %% [markdown]
# And it should not be the bottleneck: a model reads some thousand tokens a second on a CPU.

# %%
lines = "\n".join(train)
fresh = BPE(bpe.ids, bpe.merges, (END,))  # one that has not yet remembered any word
seconds = timeit.timeit(lambda: fresh.encode(lines), number=1)
print(f"{len(lines.encode()) / 1e6 / seconds:.1f} MB of text a second, in plain Python")

# %% [markdown]
# ## 3. From ids to vectors (15 min)
#
# The slide: `self.embedding = nn.Embedding(vocab_size, embedding_dim)`. It is a matrix with V rows
# of D numbers, learnt with the rest, and row *id* is the vector of token *id*.
#
# The slide calls it "a linear layer": the token as a *one-hot* row of V numbers, times the matrix.
# As on the slide, a token is a whole word in this example.

# %%
vocabulary = sorted({word for s in train[:6] for word in s.lower().split()})
vocab_size, embedding_dim = len(vocabulary), 12
layer = nn.Embedding(vocab_size, embedding_dim)  # as on the slide
words = ["the", "old", "models", "the"]
ids = np.array([vocabulary.index(word) for word in words])
one_hot = np.eye(vocab_size, dtype=np.float32)[ids]  # (N, V)
product = one_hot @ layer.weight.numpy()  # (N, V) @ (V, D) -> (N, D)
assert np.array_equal(product, layer.weight.numpy()[ids])
assert np.array_equal(product, layer(ids).numpy())

# %% [markdown]
# **Predict, then run.** D = 1024 and V = 30,000, the slide's "typical" numbers. How many
# parameters are that, exactly? And for BERT large, with V = 30,522?
# <details><summary>Answer</summary>
#
# 30,000 · 1,024 = 30,720,000: the slide's "30M" is 30.7M. BERT: 30,522 · 1,024 = 31,254,528, or 9%
# of its 335 million.
# </details>

# %%
typical = nn.Embedding(30_000, 1024)
count = typical.count_parameters()
assert count == 30_000 * 1024 == 30_720_000 and 30_522 * 1024 == 31_254_528
course.figure(
    "F07",
    plots.look_up(
        words,
        ids,
        layer.weight.numpy(),
        one_hot,
        product,
        "A token's vector: its one-hot row times the table is a row of the table\n"
        f"(with V = 30,000 and D = 1024 the table has {count:,} parameters)",
    ),
    alt="""A 4 x V one-hot matrix with a single 1 in each row, times the V x 12 table, gives the
    four rows of the table that the arrows point at. The first and the last word are the same, and
    so are their rows. At V = 30,000 and D = 1024 the table has 30,720,000 parameters.""",
)

# %% [markdown]
# > **On the slide: "special layer definition, likely to exploit sparsity of input".** It is not a
# > product at all. Picking N rows moves N·D numbers; the one-hot product multiplies 2·N·V·D, nearly
# > all of it with zeros:

# %%
tokens = np.random.default_rng(0).integers(0, 30_000, 64)
weight = typical.weight.numpy()
hot = np.zeros((64, 30_000), np.float32)
hot[np.arange(64), tokens] = 1
by_product = min(timeit.repeat(lambda: hot @ weight, number=1, repeat=3))
by_look_up = min(timeit.repeat(lambda: weight[tokens], number=1, repeat=3))
print(f"product {1e3 * by_product:.1f} ms, look-up {1e3 * by_look_up:.3f} ms")

# %% [markdown]
# ### The gradient goes back to the rows
#
# **Predict, then run.** "the" occurs twice. Which rows of the table get a gradient, and what does
# the row of "the" get?
# <details><summary>Answer</summary>
#
# Only the rows of words that occur; and "the" the *sum* of what comes from both places. Writing
# instead of adding (`grad[ids] = g`) loses one of the two without any error.
# </details>

# %%
g = np.random.default_rng(1).normal(size=product.shape).astype(np.float32)
weight = Tensor(layer.weight.numpy(), requires_grad=True)
embedding(weight, ids).backward(g)
assert np.allclose(weight.grad, one_hot.T @ g)  # what the one-hot product would give
assert np.allclose(weight.grad[ids[0]], g[0] + g[3])
wrong = np.zeros_like(weight.grad)
wrong[ids] = g
print("rows with a gradient:", np.flatnonzero(np.abs(weight.grad).sum(axis=1)), "ids:", ids)
print("writing instead of adding is wrong by", np.abs(wrong - weight.grad).max().round(2))

# %% [markdown]
# At the other end the same table often serves again: to score all tokens, the output vector is
# multiplied with each row (a *tied* head, as in BERT and GPT-2; lecture 2). Without that a model
# would pay twice for its vocabulary.

# %% [markdown]
# ## 4. Looking back (10 min)
#
# Numbers of others in this section; each comes from a small table, `data/published/`, that
# names a source for every row.
#
# ### The families
#
# The Transformer of 2017 has both halves. BERT kept the encoder, GPT the decoder. A model's month
# is that of its paper's arXiv number, where it has one. An arrow leads to each model from the one
# of these that it was built on, by its own paper or by the slide; where a paper names several
# (TrOCR: BEiT for its encoder, RoBERTa for its decoder), one is drawn.

# %%
models = published("history_transformers")
course.figure(
    "F08",
    history.families(models),
    alt="""A tree over the years 2017 to 2023, an arrow to each model from what it was built on.
    From the Transformer in the middle lane, encoder-decoder, to T5, BART, DETR and Whisper; up to
    BERT, the first of the encoders, and from it to RoBERTa, DeBERTa and ViT, from ViT to CLIP,
    Swin, BEiT and MAE, and from BEiT to TrOCR, an encoder-decoder; down to GPT, the first of the
    decoders, GPT-2, Image GPT, GPT-3 and OPT, and to LLaMA. Images begin in 2020.""",
)
print(models[0]["source"])

# %% [markdown]
# > **On the slide: "Vision Transformer, June 2021".** The paper is of October 2020 (its arXiv
# > number is 2010.11929); June 2021 is the date of its second version.
#
# Left out: models for which we found no dated source, and sizes and training costs, which are often
# told and seldom published.

# %% [markdown]
# ### ImageNet
#
# 1,000 classes, 1.28 million training images. The filled points were all measured in one program,
# with public weights (timm, pytorch-image-models); the hollow ones are what a paper says. All are
# of one network, on the 50,000 validation images of 2012.

# %%
imagenet = published("history_imagenet")
course.figure(
    "F09",
    history.error_by_year(imagenet),
    alt="""ImageNet top-1 error on the validation set of 2012, by year: 40.7% for AlexNet in 2012,
    28% VGG-16 in 2014, 22% ResNet-152 in 2015, 11.6% Noisy Student in 2019, 9.6% ViT-G/14 in 2021.
    A line follows the best so far. Filled points were measured by timm, hollow ones are a paper's
    number.""",
)

# %%
course.figure(
    "F10",
    history.accuracy_by_family(imagenet),
    alt="""ImageNet top-1 accuracy on the validation set of 2012, by year; circles are
    convolutional nets, squares Transformers, filled if measured by timm, hollow if a paper's.
    Until 2020 there are only convolutional nets; of the first Transformers one, trained on 303
    million images, is above them, the others below; from 2021 Transformers lead, the best with
    90.45, and a newer convolutional net follows 2.7 points behind.""",
)

# %% [markdown]
# **Predict, then run.** Did Transformers win ImageNet because they are better at images?
# <details><summary>Answer</summary>
#
# The figure cannot tell. The points differ in the data that they were pre-trained on, in size, in
# image resolution and in recipe. DeiT-B, trained on ImageNet alone, lies below convolutional nets
# of the year before. Lecture 6 takes that apart: scale against inductive bias.
# </details>
#
# > **On the slide: "Image GPT, ImageNet top-1 72%".** That is a *linear probe*: fixed features of a
# > model that saw no labels, and a linear classifier on top. It is not comparable with the others,
# > and marked so.
#
# Left out: numbers of which we know the value but have not read the source. Among them the entries
# of 2011 and 2013, and several records between 2018 and 2022 that were never released as weights.
# AlexNet's 40.7% is one network on the images of 2012 (its Table 2); the 37.5% of its abstract are
# of the test images of 2010, and the seven networks that won in 2012 had 36.7%.

# %%
best = max(imagenet, key=lambda row: float(row["top1"]))
print(len(imagenet), "models;", best["model"], best["top1"], "%:", best["source"])

# %% [markdown]
# *For who wants more: the tables themselves, and their sources.*

# %% [markdown]
# ## Check yourself
#
# **1.** A model's context is 77 tokens. Why may a short Chinese text not fit where a longer English
# one does?
# <details><summary>Answer</summary>
#
# A tokenizer trained on English has no merges for Chinese: each character is three bytes, up to
# three tokens. The tokenizer's training text decides how much fits.
# </details>
#
# **2.** You train BPE on a text, and then add a special token `<cls>` by writing it into the text
# before encoding. What can go wrong?
# <details><summary>Answer</summary>
#
# If encoding reads it as special, a user who writes `<cls>` in a text forges it; if it does not, it
# becomes the tokens of five characters. Special tokens are added as *ids*, after encoding.
# </details>
#
# **3.** Token ids are numbers. Why not give the model the id itself, instead of a vector?
# <details><summary>Answer</summary>
#
# As a number, token 500 would be "half of" token 1,000 and almost the same as token 501. Ids are
# names, not quantities. A row of a table is the way to give each name its own numbers.
# </details>
