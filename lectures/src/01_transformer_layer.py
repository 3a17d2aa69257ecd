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
# # The Transformer layer
#
# Everything in this course is made of one layer. The slide writes it in four lines:
#
# $$X \leftarrow X + \text{MhSa}[X], \qquad X \leftarrow \text{LayerNorm}[X],$$
#
# $$x_n \leftarrow x_n + \text{mlp}[x_n], \qquad X \leftarrow \text{LayerNorm}[X].$$
#
# In this lecture you
#
# 1. write a sentence as a matrix X, a token a column (5 min),
# 2. normalise its columns, line by line (10 min),
# 3. build attention: one query, then all, then several heads, then a batch (25 min),
# 4. run the slide's four lines, and find the same numbers in the library (10 min),
# 5. see what each half of the layer can and cannot do, and what it costs (15 min).
#
# Letters: N tokens, D width (numbers a token), H heads, B sentences in a batch.

# %%
import math
import timeit
import tracemalloc

import numpy as np

import minivit
from minivit import Tensor, no_grad
from minivit.attention import textbook
from minivit.course.plots import transformer as plots
from minivit.course.plots.drawing import show
from minivit.functions import layer_norm
from minivit.training import data
from minivit.transformer import TransformerLayer

# %% [markdown]
# ## 1. A sentence as a matrix (5 min)
#
# A Transformer reads vectors, not words. Here a token is a whole word, and each word of the
# vocabulary gets a vector of D = 8 numbers: a table that would be learnt with the rest, and holds
# random numbers until then. (Real vocabularies are made of pieces of words: lecture 3.)

# %%
sentence = data.sentences()[9]
words = sentence.split()[:6]
words

# %% [markdown]
# On the slide $X$ is D x N: **a token is a column**. We keep that until section 4, where the
# library lays the same numbers out the other way round.

# %%
rng = np.random.default_rng(0)
D, N = 8, len(words)
vector = {word: rng.normal(0.5, 1, size=D) for word in dict.fromkeys(words)}
X = np.stack([vector[word] for word in words], axis=1)  # (D, N)
X.shape

# %% [markdown]
# ## 2. LayerNorm, line by line (10 min)
#
# $$y = \frac{x - \mathbb E[x]}{\sqrt{\text{Var}[x] + \epsilon}} * \gamma + \beta ,$$
# "calculated column-wise": each token on its own, over its D numbers.
#
# **Predict, then run.** Which `axis` of X does the mean run over?
# <details><summary>Answer</summary>
#
# `axis=0`, down the column: from D numbers one mean, so N means in all.
# </details>

# %%
mean = X.mean(axis=0, keepdims=True)  # (1, N)
centred = X - mean  # (D, N)
variance = (centred**2).mean(axis=0, keepdims=True)  # (1, N): divided by D, not by D - 1
normed = centred / np.sqrt(variance + 1e-5)  # (D, N)
gamma, beta = rng.uniform(0.5, 2, size=(D, 1)), rng.normal(size=(D, 1))  # learnt: D numbers each
Y = normed * gamma + beta  # (D, N)

# %% [markdown]
# $\gamma$ and $\beta$ have D numbers each: one for each *feature*, the same for all tokens. What
# normalising took away, the layer may put back where it helps.

# %%
for name, Z in [("before", X), ("normed", normed), ("after", Y)]:
    print(f"{name:8} means {Z.mean(axis=0).round(2)}  variances {Z.var(axis=0).round(2)}")
assert np.allclose(normed.mean(axis=0), 0) and np.allclose(normed.var(axis=0), 1, atol=1e-4)

# %%
course.figure(
    "F02",
    plots.layer_norm_steps([X, centred, normed, Y], words, gamma, beta),
    alt="""Four heat maps of 8 features by 6 tokens: X, minus the column's mean, divided by the
    column's standard deviation, times gamma plus beta, which are drawn as columns of 8. Below, the
    mean and the variance of each column: mixed before, 0 and 1 after normalising, mixed again
    after gamma and beta.""",
)

# %% [markdown]
# > **On the slide.** The formula leaves two things open, and people get both wrong. The variance is
# > divided by D (NumPy's `var`), not by D - 1. And "column-wise" belongs to D x N. In code a token
# > is usually a *row*, (N, D), and the same thing is then `axis=-1`. With (N, D) and `axis=0`,
# > nothing complains: it normalises each feature over the words of the sentence.


# %% tags=["slide"]
def normalise(Z, axis):
    return (Z - Z.mean(axis, keepdims=True)) / np.sqrt(Z.var(axis, keepdims=True) + 1e-5)


rows = X.T  # (N, D): a token a row
right, wrong = normalise(rows, axis=-1), normalise(rows, axis=0)
longer = np.concatenate([rows, 3 * rows[:1]])  # one more word at the end
print("right axis: earlier words change by", np.abs(normalise(longer, -1)[:N] - right).max())
print(
    "wrong axis: earlier words change by", np.abs(normalise(longer, 0)[:N] - wrong).max().round(2)
)

# %% [markdown]
# The library's function, which has a gradient too (lecture 5 derives it), gives our numbers:


# %%
def LayerNorm(X, gamma, beta):
    """Column-wise: X (D, N), gamma and beta (D, 1)."""
    return (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5) * gamma + beta


assert np.allclose(LayerNorm(X, gamma, beta), Y)
assert np.allclose(layer_norm(X.T, gamma[:, 0], beta[:, 0]).numpy().T, Y)

# %% [markdown]
# *For who wants more: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3.*

# %% [markdown]
# ## 3. Attention (25 min)
#
# A token asks a question (its *query*), every token offers an answer (its *value*) under a title
# (its *key*). The output is a mean of the values, weighted by how well each key fits the query.
#
# The weights come from a real layer of the library, freshly initialised, so that we can compare.

# %%
H = 2  # heads
layer = TransformerLayer(D, H, norm="post")
for name, p in layer.named_parameters():
    p.data += 0.2 * rng.standard_normal(p.shape)  # no bias is 0, no gain 1: nothing stays hidden
    print(f"{name:22}{p.shape}")

# %%
P = {name: p.numpy().astype(np.float64) for name, p in layer.named_parameters()}
W_q, W_k, W_v = np.split(P["attn.in_proj_weight"], 3)  # (D, D) each
b_q, b_k, b_v = np.split(P["attn.in_proj_bias"][:, None], 3)  # (D, 1)
W_o, b_o = P["attn.out_proj.weight"], P["attn.out_proj.bias"][:, None]
Q = W_q @ X + b_q  # (D, N): one query a token
K = W_k @ X + b_k
V = W_v @ X + b_v
Q.shape, K.shape, V.shape


# %% [markdown]
# ### One query
#
# $$a = \text{softmax}\!\left[\frac{K^T q}{\sqrt D}\right], \qquad \text{out} = V a .$$


# %% tags=["slide"]
def softmax(scores):
    """Down the columns: each sums to 1."""
    e = np.exp(scores - scores.max(axis=0))
    return e / e.sum(axis=0)


q = Q[:, 2]  # what the third word asks
a = softmax(K.T @ q / math.sqrt(D))  # (N,): how much it listens to each word
for word, weight in zip(words, a):
    print(f"{word:10}{weight:6.1%}")
out = V @ a  # (D,)
assert np.isclose(a.sum(), 1)

# %% [markdown]
# **Predict, then run.** All keys are the same vector. What is the output?
# <details><summary>Answer</summary>
#
# The plain mean of the values: all scores are equal, so all weights are 1/N.
# </details>

# %%
same = np.repeat(K[:, :1], N, axis=1)
assert np.allclose(V @ softmax(same.T @ q / math.sqrt(D)), V.mean(axis=1))


# %% [markdown]
# ### All queries: a loop, then one matrix product


# %% tags=["slide"]
def attention_loop(Q, K, V):
    out = np.empty_like(V)
    for n in range(Q.shape[1]):
        out[:, n] = V @ softmax(K.T @ Q[:, n] / math.sqrt(len(Q)))
    return out


def attention(Q, K, V):
    """V softmax(K^T Q / sqrt(d)): queries (d, N), keys and values (d, M) -> (d, N)."""
    return V @ softmax(K.T @ Q / math.sqrt(len(Q)))  # (d, M) @ (M, N) -> (d, N)


assert np.allclose(attention_loop(Q, K, V), attention(Q, K, V))

# %% [markdown]
# The loop said what is computed; the product says it in one line, and is faster. On 200 tokens of
# width 64:

# %%
big = rng.normal(size=(3, 64, 200))
assert np.allclose(attention_loop(*big), attention(*big))
slow = min(timeit.repeat(lambda: attention_loop(*big), number=1, repeat=5))
fast = min(timeit.repeat(lambda: attention(*big), number=1, repeat=5))
print(f"loop {1e3 * slow:.1f} ms, one product {1e3 * fast:.2f} ms: {slow / fast:.0f} times faster")


# %% [markdown]
# ### Heads
#
# One softmax makes one mean: a word that wants to know its verb *and* its article has to choose. So
# the D rows are cut into H groups, each does attention on its own, and the results are put
# together again and mixed by $W_o$.


# %% tags=["slide"]
def MhSa(X):
    """Multi-head self-attention, column-wise: (D, N) -> (D, N)."""
    Q, K, V = W_q @ X + b_q, W_k @ X + b_k, W_v @ X + b_v
    heads = [attention(q, k, v) for q, k, v in zip(*(np.split(M, H) for M in (Q, K, V)))]
    return W_o @ np.concatenate(heads) + b_o  # H times (D/H, N) -> (D, N)


MhSa(X).shape

# %% [markdown]
# With one head this is what we had; and head h of several is attention on rows h D/H to (h+1) D/H:

# %%
d = D // H
first_head = attention(Q[:d], K[:d], V[:d])
joined = np.concatenate([first_head, attention(Q[d:], K[d:], V[d:])])
assert np.allclose(MhSa(X), W_o @ joined + b_o)

# %% [markdown]
# **Predict, then run.** D = 8. Does a layer with 4 heads have more parameters than one with 2? Is
# it more work?
# <details><summary>Answer</summary>
#
# Neither: the matrices are D x D whatever H is. H scores of D/H numbers each cost what one score
# of D numbers costs; only the softmax is done H times.
# </details>

# %%
for heads in (1, 2, 4, 8):
    print(heads, "heads:", TransformerLayer(D, heads).attn.count_parameters(), "parameters")


# %% [markdown]
# ### A batch
#
# Several sentences at once: one axis in front. `@` multiplies the last two axes and repeats over
# all others, so the heads become an axis as well, and no loop is left.


# %% tags=["slide"]
def MhSa_batch(X):
    """(B, D, N) -> (B, D, N)."""
    B, D, N = X.shape
    Q, K, V = (
        (W @ X + b).reshape(B, H, D // H, N)  # (B, D, N) -> (B, H, D/H, N)
        for W, b in [(W_q, b_q), (W_k, b_k), (W_v, b_v)]
    )
    scores = K.swapaxes(-1, -2) @ Q / math.sqrt(D // H)  # (B, H, N, N): a query a column
    A = np.exp(scores - scores.max(axis=-2, keepdims=True))
    A /= A.sum(axis=-2, keepdims=True)
    return W_o @ (V @ A).reshape(B, D, N) + b_o  # heads together again


batch = np.stack([X, rng.permuted(X, axis=1), -X])  # (3, D, N)
assert np.allclose(MhSa_batch(batch), np.stack([MhSa(X) for X in batch]))

# %% [markdown]
# *For who wants more: Vaswani et al., "Attention Is All You Need", 2017 (arXiv 1706.03762), section
# 3.2. There a token is a row, and softmax runs along rows.*

# %% [markdown]
# ## 4. The slide's four lines (10 min)
#
# The MLP sees one token at a time: D numbers become 4 D, GELU, and D again. Each half adds to what
# was there (the *residual* connection), then LayerNorm.


# %%
def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def mlp(x):
    """One token: (D,) -> (D,)."""
    return (
        P["mlp.fc2.weight"] @ gelu(P["mlp.fc1.weight"] @ x + P["mlp.fc1.bias"]) + P["mlp.fc2.bias"]
    )


def column(name):
    return P[name][:, None]


weights_1 = column("ln_1.weight"), column("ln_1.bias")
weights_2 = column("ln_2.weight"), column("ln_2.bias")

# %% [markdown]
# And here they are, as on the slide:

# %% tags=["slide"]
X_0 = X.copy()

X = X + MhSa(X)
X = LayerNorm(X, *weights_1)
X = np.stack([x_n + mlp(x_n) for x_n in X.T], axis=1)
X = LayerNorm(X, *weights_2)

X.shape

# %% [markdown]
# The library computes the same layer **batched and row-major**: X is (B, N, D), a token a row. That
# is only another way to lay the numbers out. A row of D numbers lies together in memory, and
# `x @ W.T` of all tokens of all sentences is one product of two matrices.

# %%
with no_grad():
    library = layer(Tensor(X_0.T[None]))  # (1, N, D)
print(library.shape, "largest difference:", np.abs(library.numpy()[0].T - X).max())
assert np.allclose(library.numpy()[0].T, X)

# %% [markdown]
# The whole layer in one figure, drawn from the arrays of our sentence.

# %%
A = np.stack([softmax(k.T @ q / math.sqrt(d)) for q, k in zip(np.split(Q, H), np.split(K, H))])
attended = X_0 + MhSa(X_0)
middle = LayerNorm(attended, *weights_1)
thought = np.stack([mlp(x) for x in middle.T], axis=1)
stages = {
    "X": X_0,
    "A": A,
    "MhSa[X]": MhSa(X_0),
    "X + MhSa[X]": attended,
    "LayerNorm": middle,
    "mlp[x_n]": thought,
    "x_n + mlp[x_n]": middle + thought,
    "out": LayerNorm(middle + thought, *weights_2),
}
assert np.allclose(stages["out"], X)
assert np.allclose(A.sum(axis=1), 1)  # every query's weights sum to 1

# %%
course.figure(
    "F01",
    plots.layer_diagram(stages, words),
    alt="""The layer as heat maps, a token a column: X, 8 x 6; the attention of two heads, 6 x 6
    each; MhSa[X]; the sum with X along the residual path; LayerNorm; mlp of each column; the sum;
    LayerNorm. All but the attention maps keep the shape 8 x 6.""",
)

# %% [markdown]
# > **On the slide.** This is the layer of 2017 and of BERT: LayerNorm *after* each sum (post-LN).
# > The models that this course is about, Image GPT, ViT, CLIP, and GPT-2 before them, have it
# > *before* attention and MLP (pre-LN), and one more at the very end. The recap layer is not the
# > one that follows! Which one trains better is claim C02, in lecture 4.

# %%
pre = TransformerLayer(D, H, norm="pre")
pre.load_state_dict(layer.state_dict())  # the same weights, wired in the other order
difference = np.abs(pre(Tensor(X_0.T[None])).numpy() - library.numpy()).max()
print(f"same weights, pre-LN: the output differs by up to {difference:.2f}")

# %% [markdown]
# ## 5. What each half does (15 min)
#
# **Predict, then run.** We change the third word only. Which columns of MhSa[X] change? Which of
# mlp[x_n]?
# <details><summary>Answer</summary>
#
# All columns of MhSa[X]: every token looks at the third. Of the MLP only the third: it sees each
# token alone. So all talk between tokens is in attention.
# </details>

# %%
changed = X_0.copy()
changed[:, 2] += 1


def moved(f):
    return np.abs(f(changed) - f(X_0)).max(axis=0)


def mlp_each(X):
    return np.stack([mlp(x) for x in X.T], axis=1)


print("word        ", *(f"{w:>8}" for w in words))
print("MhSa moved  ", *(f"{m:8.3f}" for m in moved(MhSa)))
print("mlp moved   ", *(f"{m:8.3f}" for m in moved(mlp_each)))
assert (moved(MhSa) > 0).all() and (np.flatnonzero(moved(mlp_each)) == [2]).all()

# %% [markdown]
# ### The layer knows no order
#
# **Predict, then run.** We shuffle the words. What happens to the output?
# <details><summary>Answer</summary>
#
# It is shuffled in the same way, and no number changes. "dog bites man" is "man bites dog" until
# something tells the positions: that is why all models add a position to each token.
# </details>

# %%
order = rng.permutation(N)
assert np.allclose(MhSa(X_0[:, order]), MhSa(X_0)[:, order])
print("words in order", order, ": the columns of the output come in the same order")


# %% [markdown]
# ### Masks: who may look at whom
#
# A decoder must not see the words to come; a batch has padding that nobody should see. Both are
# boolean masks, True = may look. A hidden token gets the score -inf, so the weight 0.


# %% tags=["slide"]
def masked_weights(Q, K, mask):
    """mask (M, N), True where query n may see key m: the weights, a query a column."""
    scores = np.where(mask, K.T @ Q / math.sqrt(len(Q)), -np.inf)
    e = np.exp(scores - scores.max(axis=0))
    return e / e.sum(axis=0)


causal = np.triu(np.ones((N, N), bool))  # key m, query n: m <= n
A_causal = masked_weights(Q[:d], K[:d], causal)
show(
    plots.attention_pair(A[0], A_causal, words),
    alt="Attention of head 1, a query a column: all keys; with a causal mask only earlier ones.",
)

# %% [markdown]
# > **On the slide a query is a column** of the softmax; in papers and in the library it is a row:
# > their (N, M) matrix is the transpose of ours.

# %%
library_weights = minivit.attention.attention_weights(
    Tensor(Q.T[None]), Tensor(K.T[None]), heads=H, causal=True
)  # (1, H, N, M)
assert np.allclose(library_weights.numpy()[0, 0].T, A_causal)

# %% [markdown]
# A query that may see nothing has a softmax over nothing: 0/0, NaN, and NaN spreads to all that
# touches it. The library defines the result: zeros.

# %%
nothing = np.zeros((N, N), bool)
with np.errstate(invalid="ignore"):
    print("ours     ", masked_weights(Q[:d], K[:d], nothing)[0])
hidden = minivit.dot_product_attention(Q.T[None], K.T[None], V.T[None], heads=H, mask=nothing)
print("library  ", hidden.numpy()[0, :, 0])
assert (hidden.numpy() == 0).all()


# %% [markdown]
# ### What it costs
#
# Four D x D matrices in attention, two D x 4D in the MLP: $12 D^2$, and $13 D$ numbers in biases
# and LayerNorms. The number of tokens is in no parameter; it is in the work. In multiplications:
# $12 N D^2$ for the matrices, $2 N^2 D$ for scores and means.
#
# **Predict, then run.** D = 768. At how many tokens do scores and means cost as much as all the
# matrices?
# <details><summary>Answer</summary>
#
# $2 N^2 D = 12 N D^2$ at N = 6 D = 4,608 tokens. ViT-B/16 has 197: there the matrices are nearly
# all of the work.
# </details>

# %%
for width, heads, name in [(8, 2, "ours"), (768, 12, "BERT base, ViT-B"), (1024, 16, "ViT-L")]:
    count = TransformerLayer(width, heads).count_parameters()
    assert count == 12 * width**2 + 13 * width
    share = 2 * 197 * width / (2 * 197 * width + 12 * width**2)
    print(
        f"{name:18} D = {width:5}: {count:11,} a layer; scores: {share:.0%} of the work at N = 197"
    )

# %% [markdown]
# ### Long sequences: the scores need not be there
#
# The scores are N x N numbers for each head: 4,096 tokens and 8 heads are 537 MB, and a derivative
# that keeps them as much again. A softmax seems to need its whole column of scores, for the maximum
# and for the sum. But both can run along. Of the keys so far a query knows the largest score $m$,
# the sum $l$ of $e^{S - m}$ and the sum $o$ of $e^{S - m} v$. Comes a larger score $m'$, then all
# that was summed is too large by the factor $e^{m' - m}$, which is taken out of both:
#
# $$o \leftarrow e^{m - m'} o + V e^{S - m'}, \qquad l \leftarrow e^{m - m'} l + \sum e^{S - m'}$$
#
# and at the end $o / l$ is the same mean. Nothing is approximated: a block of keys is used and
# forgotten, in any size of block (Dao et al. 2022, [arXiv 2205.14135](https://arxiv.org/abs/2205.14135)).


# %%
def attention_in_blocks(Q, K, V, size):
    """The same, a block of `size` keys at a time: of the scores, (size, N) are there at once."""
    N = Q.shape[1]
    m, l, o = np.full(N, -np.inf), np.zeros(N), np.zeros((len(V), N))
    for j in range(0, K.shape[1], size):
        S = K[:, j : j + size].T @ Q / math.sqrt(len(Q))  # (size, N)
        larger = np.maximum(m, S.max(axis=0))
        shrink, e = np.exp(m - larger), np.exp(S - larger)
        o = shrink * o + V[:, j : j + size] @ e
        l = shrink * l + e.sum(axis=0)
        m = larger
    return o / l


for size in (1, 7, 64, 200):
    error = np.abs(attention_in_blocks(*big, size) - attention(*big)).max()
    assert error < 1e-12
    print(
        f"blocks of {size:3} keys: {size * 200:6,} of 40,000 scores at once, differs by {error:.0e}"
    )

# %% [markdown]
# The library does this from 1,024 tokens on (`minivit/attention/blocks.py`). On the way back it
# makes each block again, from one number a query, $L = m + \log l$. So what is kept for the
# derivative grows with the length, and no longer with its square. Measured: the most that arrays
# hold during attention and its gradient, four heads of 32 numbers, float32.


# %%
def peak_memory(attend, N):
    """The bytes that arrays hold at most during attention on N tokens, forward and backward."""
    rng = np.random.default_rng(0)
    qkv = Tensor(rng.standard_normal((1, N, 3 * 128), dtype=np.float32), requires_grad=True)
    tracemalloc.start()  # NumPy reports to it
    attend(qkv, heads=4).sum().backward()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


lengths = (128, 256, 512, 1024, 2048)
memory = {
    "textbook": [peak_memory(textbook.self_attention, N) for N in lengths],
    "library": [peak_memory(minivit.self_attention, N) for N in lengths],
}
last = {name: f"{most[-1] / 2**20:.0f} MB" for name, most in memory.items()}
grown = {name: most[-1] / most[-2] for name, most in memory.items()}
print({name: f"{times:.1f} times from 1,024 to 2,048 tokens" for name, times in grown.items()})
show(
    plots.memory_by_length(lengths, memory),
    alt=f"""Memory of attention and its gradient against the number of tokens, 128 to 2,048, on
    logarithmic axes. The textbook's line is steep and ends at {last["textbook"]}.
    The library's falls at 1,024 tokens, where blocks begin, and ends at {last["library"]}.""",
)

# %% [markdown]
# ## Check yourself
#
# **1.** Why is the score divided by $\sqrt{d}$, with d the length of a head's query?
# <details><summary>Answer</summary>
#
# The dot product of two vectors of d independent numbers of variance 1 has variance d. For d = 64
# the scores would be about ±8: softmax gives one key everything, and its gradient vanishes. Divided
# by $\sqrt d$ they have variance 1 whatever d is (Vaswani et al. 2017, section 3.2.1).
# </details>
#
# **2.** Someone takes the residual connections out: X ← MhSa[X]. What does a token lose?
# <details><summary>Answer</summary>
#
# Itself. Its output is then a mean of what others say; only if its own key wins does its own value
# take part. And the gradient has only the way through the softmax.
# </details>
#
# **3.** A classmate's layer is right for one sentence, and wrong for a batch of two of unequal
# length, padded with zeros. Why do zeros not mean "nothing"?
# <details><summary>Answer</summary>
#
# A zero vector still has a key (the bias), a score, and a share of the softmax, so it takes weight
# from the words. It has to be hidden with a mask.
# </details>
