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
# # Vision Transformer
#
# A Transformer reads a sequence of vectors. ViT gives it an image: cut into patches, each patch a
# vector, and from there on nothing is special about images (Dosovitskiy et al., *An Image is Worth
# 16x16 Words*, arXiv 2010.11929). In this lecture you
#
# 1. build its input in five steps, on a photograph, and find them again in the library (15 min),
# 2. look into its layer: LayerNorm and its gradient (15 min),
# 3. follow one gradient back through three nodes (5 min),
# 4. count the parameters of the published models (5 min),
# 5. train a ViT on real handwritten digits, and one on colour pictures (13 min),
# 6. look inside: filters, positions, attention; two claims of the slides get a verdict (15 min).
#
# Letters: B images in a batch, H x W pixels, C channels, P patch side, N patches, D width.

# %%
import numpy as np
from tqdm.auto import tqdm

import minivit
from minivit import Tensor, nn, no_grad, op
from minivit.course.plots import drawing
from minivit.course.plots import vit as plots
from minivit.course.runs import iconnet, judged, masked_patches, verdicts
from minivit.engine import check
from minivit.functions import cross_entropy_loss, gelu, layer_norm, rms_norm
from minivit.images.patches import patchify, unpatchify
from minivit.models.vit import ViT
from minivit.optim import AdamW, clip_grad_norm, decay_groups, warmup_cosine
from minivit.training import data, icons, inspect
from minivit.training.trainer import Trainer, accuracy, predict

# %% [markdown]
# > **On the slide: "ViT, June 2021".** The paper appeared on arXiv in October 2020; June 2021 is
# > the date of its second version, which the slide links to.

# %% [markdown]
# ## 1. Five steps from an image to a sequence (15 min)
#
# The photograph: a cat, 224 x 224 pixels, three channels, the size that ViT was trained on. Images
# are channels-last, (B, H, W, C), with values in [-1, 1].

# %%
photo = data.photo("chelsea")
images = photo[None]  # a batch of one
images.shape

# %% [markdown]
# ### Step 1: patches of P x P
#
# **Predict, then run.** P = 16. How many patches are there in a row, and how many in all?
# <details><summary>Answer</summary>
#
# 224 / 16 = 14 in a row, 14 · 14 = 196 in all.
# </details>
#
# Cutting is only a reshape: H becomes h patches of P rows, W becomes w patches of P columns; then
# the two patch axes are brought together.

# %%
B, H, W, C = images.shape
P = 16
h, w = H // P, W // P
grid = images.reshape(B, h, P, w, P, C).transpose(0, 1, 3, 2, 4, 5)  # (B, h, w, P, P, C)
grid.shape

# %% [markdown]
# ### Step 2: a sequence of length N = HW/P²
#
# Row by row, left to right, as one reads. Each patch is flattened: P·P·C numbers.

# %%
N = H * W // P**2
patches = grid.reshape(B, N, P * P * C)  # (B, N, P P C)
patches.shape

# %% [markdown]
# Nothing was lost, and the library does the same.

# %%
assert np.array_equal(patches, patchify(images, P))
assert np.array_equal(unpatchify(patches, P, H, W), images)

# %% [markdown]
# > **On the slide: "ViT-L/16 is the Large variant with 16x16 input size".** 16 is the side of the
# > *patch*. The input is 224 x 224, whatever the number behind the slash. A smaller patch makes a
# > longer sequence, and attention costs N² (paper, section 3.1):

# %%
for side in (32, 16, 14):
    n = (224 // side) ** 2
    print(f"/{side}: N = {n:3} patches, {(n + 1) ** 2:6,} attention weights a head")

# %% [markdown]
# ### Step 3: a trainable linear projection to D dimensions
#
# One matrix E, the same for each patch, and a bias. We take D = 64.
#
# **Predict, then run.** What shape does E have, and how many numbers are learnt here?
# <details><summary>Answer</summary>
#
# P²C x D = 768 x 64; with the bias 768 · 64 + 64 = 49,216. (The library keeps a weight as PyTorch
# does, (out, in) = (64, 768), and computes x Wᵀ + b.)
# </details>

# %%
model = ViT(image=224, patch=16, channels=3, width=64, layers=1, heads=4)
E, b = model.projection.weight.numpy().T, model.projection.bias.numpy()
projected = patches @ E + b  # (B, N, P P C) @ (P P C, D) -> (B, N, D)
print("E", E.shape, "  projected", projected.shape, "  learnt", E.size + b.size)

# %% [markdown]
# > **On the slide: "Note: 16 x 16 x 3 = 768".** True, and for ViT-Base D is 768 as well. That is a
# > coincidence: E need not be square.

# %%
for name, side, D in [("B/16", 16, 768), ("B/32", 32, 768), ("L/16", 16, 1024), ("H/14", 14, 1280)]:
    print(f"ViT-{name}: P²C = {side * side * 3:4}  ->  D = {D}")

# %% [markdown]
# ### Step 5 before step 4: a learnable [class] token in front
#
# One more vector, learnt, the same for every image. It is no patch: it asks. After the last layer,
# the class is read from it alone. The slide lists it as step 5. In the code it comes before step 4,
# because it gets a position too.

# %%
class_token = np.broadcast_to(model.class_token.numpy(), (B, 1, 64))
with_class = np.concatenate([class_token, projected], axis=1)  # (B, 1 + N, D)
with_class.shape

# %% [markdown]
# ### Step 4: add a learned 1-D position
#
# **Predict, then run.** Without this step, what would change in the [class] output if the 196
# patches were shuffled?
# <details><summary>Answer</summary>
#
# Nothing. Attention is a mean over a set, and the MLP sees one token at a time; neither knows an
# order. The next cell but one shows it.
# </details>
#
# "1-D": position n is one of 197 free vectors. Nothing says that 15 lies below 1; the model has to
# find that out (claim C09, below).

# %%
position = model.position.numpy()  # (1, N + 1, D)
tokens = with_class + position
tokens.shape

# %% [markdown]
# The library's `ViT.tokens` are these statements in this order: its numbers are ours.

# %%
assert np.allclose(tokens, model.tokens(Tensor(images)).numpy(), atol=1e-5)

# %% [markdown]
# And the answer to the question above, measured: the [class] output for the patches in order and
# shuffled, without positions and with them.


# %% tags=["slide"]
def class_output(tokens):
    with no_grad():
        return model.layers[0](Tensor(tokens)).numpy()[0, 0]


order = np.r_[0, 1 + np.random.default_rng(0).permutation(N)]  # [class] stays in front
for name, add in [("without positions", 0), ("with positions", position)]:
    change = np.abs(class_output(with_class + add) - class_output(with_class[:, order] + add)).max()
    print(f"{name:18}: shuffling changes the [class] output by at most {change:.1e}")

# %% [markdown]
# All five steps in one figure, drawn from the arrays above.

# %% widget="patches"
fig = plots.five_steps(
    photo, patches[0], model.projection.weight.numpy(), projected[0], class_token[0], position[0],
    tokens[0],
)  # fmt: skip
course.figure(
    "F19",
    fig,
    alt="""A photo of a cat, 224x224, under a grid of 16x16 patches; the first patches of the
    sequence of 196; then heat maps: patches 196x768 times projection 768x64 gives 196x64, the class
    token in front makes 197x64, positions are added.""",
)

# %% [markdown]
# ### The same on a digit
#
# The digits on which we train have 8 x 8 pixels and one channel. With P = 2:
#
# **Predict, then run.** N, P²C, and the shape of the tokens for D = 64?
# <details><summary>Answer</summary>
#
# N = 64/4 = 16, P²C = 4, tokens (16 + 1) x 64.
# </details>

# %%
digits = data.digits()
small = ViT(image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4)
x = digits.test_images[:1]
for name, array in [("image", x), ("patches", patchify(x, 2)), ("tokens", small.tokens(Tensor(x)))]:
    print(f"{name:8}{tuple(array.shape)}")

# %% [markdown]
# *For who wants more: paper, section 3.1 and Figure 1. There the projection may also follow a small
# convolutional net ("hybrid").*

# %% [markdown]
# ## 2. The layer: LayerNorm and its gradient (15 min)
#
# Each half of a ViT layer normalises its input first (pre-LN): $X \leftarrow X +
# \text{MhSa}[\text{LayerNorm}[X]]$, then $X \leftarrow X + \text{mlp}[\text{LayerNorm}[X]]$. For
# one token $x \in \mathbb R^D$ the slide has
#
# $$y = \frac{x - \mathbb E[x]}{\sqrt{\text{Var}[x] + \epsilon}} * \gamma + \beta ,$$
#
# "calculated column-wise". Mean and variance are over the D features *of each token*, the variance
# is divided by D, and $\gamma$ and $\beta$ are vectors of length D, shared by all tokens.
#
# On the slide X is D x N, a token is a **column**. In the library X is N x D, a token is a **row**.
#
# **Predict, then run.** Which axis is normalised, in each of the two?
# <details><summary>Answer</summary>
#
# The axis of length D: axis 0 of the slide's matrix, the last axis of ours. Normalising axis 0 of
# ours would mix tokens: that is nearer to batch normalisation.
# </details>

# %%
rng = np.random.default_rng(0)
X = rng.normal(3, 2, size=(4, 3))  # the slide's: D = 4 features, N = 3 tokens, a token a column
by_column = (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + 1e-5)
by_row = layer_norm(X.T, np.ones(4), np.zeros(4)).numpy()  # ours: (N, D)
assert np.allclose(by_column.T, by_row)
print("means of the tokens, before", X.mean(0).round(2), "after", by_row.mean(1).round(2))
print("variances,           before", X.var(0).round(2), "after", by_row.var(1).round(2))

# %% [markdown]
# > **On the slide: "uses same Transformer layer as ImageGPT".** The wiring is the same (pre-LN);
# > the layer is not. ViT: LayerNorm with mean and bias, GELU by tanh, biases everywhere, no mask.
# > Image GPT: a norm without mean and bias, x·sigmoid(1.702 x), no biases, a causal mask. The first
# > two, on numbers:

# %%
x = np.array([[1.0, 2.0, 6.0]])
print("ViT's norm      ", layer_norm(x, np.ones(3), np.zeros(3)).numpy().round(3))
print("Image GPT's norm", rms_norm(x, np.ones(3)).numpy().round(3))
z = np.linspace(-4, 4, 801)
apart = np.abs(gelu(z, approximate="tanh").numpy() - gelu(z, approximate="quick").numpy()).max()
print(f"their GELUs differ by up to {apart:.3f}")

# %% [markdown]
# ### The gradient, step by step
#
# Write $\mu = \mathbb E[x]$, $\sigma^2 = \text{Var}[x]$, $s = 1/\sqrt{\sigma^2 + \epsilon}$. Then
#
# $$c_i = x_i - \mu, \qquad n_i = s\, c_i, \qquad y_i = \gamma_i n_i + \beta_i .$$
#
# A loss $L$ depends on $y$, and $g_i = \partial L/\partial y_i$ comes from above. We walk back,
# $y \to n \to c \to x$.
#
# **The last line first.** $y_i = \gamma_i n_i + \beta_i$ for every token, with one $\gamma$ and one
# $\beta$ for all of them. A shared number collects from all its users:
#
# $$\frac{\partial L}{\partial \beta_i} = \sum_{\text{tokens}} g_i, \qquad
# \frac{\partial L}{\partial \gamma_i} = \sum_{\text{tokens}} g_i\, n_i, \qquad
# h_i := \frac{\partial L}{\partial n_i} = g_i\, \gamma_i .$$

# %%
x = Tensor(rng.normal(size=(5, 4)), requires_grad=True)
gamma, beta = (Tensor(rng.normal(size=4), requires_grad=True) for _ in range(2))
g = rng.normal(size=(5, 4))
layer_norm(x, gamma, beta).backward(g)
n = layer_norm(x.numpy(), np.ones(4), np.zeros(4)).numpy()
assert np.allclose(beta.grad, g.sum(axis=0))
assert np.allclose(gamma.grad, (g * n).sum(axis=0))

# %% [markdown]
# **The mean.** $c_i = x_i - \mu$ with $\mu = \frac1D \sum_j x_j$. An $x_j$ reaches every $c_i$: its
# own directly, and all of them through $\mu$:
#
# $$\frac{\partial c_i}{\partial x_j} = \delta_{ij} - \frac1D, \qquad\text{so}\qquad
# \sum_i k_i \frac{\partial c_i}{\partial x_j} = k_j - \frac1D \sum_i k_i .$$
#
# In words: centring the values centres the gradient. As an op of the library, which is a function
# of arrays that returns a value and its *vjp*, the function that takes $k = \partial L/\partial c$
# to $\partial L/\partial x$:


# %% tags=["slide"]
@op
def centre(x, /):
    return x - x.mean(axis=-1, keepdims=True), lambda k: k - k.mean(axis=-1, keepdims=True)


check.gradcheck(centre, rng.normal(size=(3, 4)))

# %% [markdown]
# `gradcheck` compared all 12 derivatives with differences of the function itself. Forget that $\mu$
# depends on $x$, and it says so, with the input on which it goes wrong:


# %%
@op
def centre_wrong(x, /):
    return x - x.mean(axis=-1, keepdims=True), lambda k: k  # the mean as if it were a constant


try:
    check.gradcheck(centre_wrong, rng.normal(size=(1, 3)))
    raise AssertionError("a wrong gradient passed")
except check.GradientError as error:
    print(error)

# %% [markdown]
# **Predict, then run.** A vjp that returns zeros for everything is wrong as well. Does a check of
# `centre(x).sum()` find that out?
# <details><summary>Answer</summary>
#
# No. The rows of `centre(x)` sum to 0 whatever x is, so the true gradient of the sum *is* 0. The
# check needs a cotangent that is random, and `gradcheck` draws one. The rows of LayerNorm with
# γ = 1, and those of softmax, have the same trap.
# </details>


# %%
@op
def centre_zero(x, /):
    return x - x.mean(axis=-1, keepdims=True), lambda k: 0 * k


print(
    check.gradcheck(centre_zero, rng.normal(size=(3, 4)), cotangent=np.ones((3, 4))), "<- passes!"
)
try:
    check.gradcheck(centre_zero, rng.normal(size=(3, 4)))
    raise AssertionError("a wrong gradient passed")
except check.GradientError:
    print("with a random cotangent it is refused")

# %% [markdown]
# **The variance is yours** ([exercise 17](../exercises/17_layer_norm.md)). $n_i = s\, c_i$ is a
# product of two things that both depend on $c$: $c_j$ reaches $n_i$ directly (if $i = j$), and
# through $s$. You need $\partial \sigma^2 / \partial c_j$, then $\partial s/\partial \sigma^2$,
# then the sum over $i$; one term of that sum is a mean of $h_i n_i$ over the row. Together with the
# mean above, each $x_j$ reaches the result by three ways.
#
# Two things to test your result with. Adding a constant to a token changes nothing in $y$, so the
# rows of $\partial L/\partial x$ sum to 0. Scaling a centred token changes (but for $\epsilon$)
# nothing, so they are orthogonal to $n$.

# %%
print("sums of the rows     ", x.grad.sum(axis=-1).round(12))
print("products with n      ", (x.grad * n).sum(axis=-1).round(3))
assert np.allclose(x.grad.sum(axis=-1), 0)

# %% [markdown]
# The library has LayerNorm twice: composed of small ops, whose gradient nobody derived, and as one
# op with the gradient that you will derive. Both pass, and they agree.

# %%
arrays = [rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=5)]
print("by hand  ", check.gradcheck(layer_norm, *arrays))
print("composed ", check.gradcheck(layer_norm.composed, *arrays))

# %%
gradients = {}
for f in (layer_norm, layer_norm.composed):
    inputs = [Tensor(a, requires_grad=True) for a in arrays]
    f(*inputs).backward(np.cos(np.arange(15.0)).reshape(3, 5))
    gradients[f] = [t.grad for t in inputs]
for by_hand, composed in zip(*gradients.values()):
    assert np.allclose(by_hand, composed)

# %% [markdown]
# *For who wants more: Ba, Kiros and Hinton, "Layer Normalization", 2016, section 3;
# `functions/norms.py` after you have done the exercise.*

# %% [markdown]
# ## 3. Back through three nodes (5 min)
#
# `loss.backward()` is a loop over `loss.walk_back()`, which yields one node at a time. Three nodes,
# three cells: an output vector of [class] for two images, LayerNorm, a linear head, the loss.

# %%
x = Tensor(rng.normal(size=(2, 4)), requires_grad=True)  # (B, D)
gamma, beta = Tensor(np.ones(4), requires_grad=True), Tensor(np.zeros(4), requires_grad=True)
W = Tensor(rng.normal(size=(3, 4)), requires_grad=True)  # (classes, D)
labels = np.array([2, 0])
logits = minivit.linear(layer_norm(x, gamma, beta), W)
loss = cross_entropy_loss(logits, labels)
walk = loss.walk_back()
loss

# %% [markdown]
# **Predict, then run.** Which node comes first, and what gradient does it send to the logits?
# <details><summary>Answer</summary>
#
# The newest: the loss. (softmax − one-hot) / B: how much too probable each class is.
# </details>

# %%
node, g, (to_logits, *_) = next(walk)
print(node.op, " gets", g, " sends\n", to_logits.round(3))
assert np.allclose(to_logits, (minivit.softmax(logits).numpy() - np.eye(3)[labels]) / 2)

# %% [markdown]
# **Predict, then run.** The linear head gets that. Which two shapes does it send, and to whom?
# <details><summary>Answer</summary>
#
# g W, (2, 4), to the normalised tokens, and gᵀ x, (3, 4), to W.
# </details>

# %%
node, g, sent = next(walk)
print(node.op, " gets", g.shape, " sends", [a.shape for a in sent if a is not None])

# %% [markdown]
# LayerNorm comes last. Until the walk has ended, no leaf has a gradient; then each has.

# %% widget="backward"
node, g, sent = next(walk)
print(node.op, " gets", g.shape, " sends", [a.shape for a in sent])
print("before the end:", x.grad)
for _ in walk:
    pass
print("after the end, the rows sum to", x.grad.sum(axis=1).round(12))

# %% [markdown]
# ## 4. How many numbers are learnt? (5 min)
#
# A layer of width D with an MLP of width M: queries, keys and values 3(D² + D), the projection
# after them D² + D, the MLP 2DM + M + D, two LayerNorms 4D. Only shapes are needed, no model.
#
# **Predict, then run.** How does a layer grow with D, if M = 4D? And with the number of heads?
# <details><summary>Answer</summary>
#
# 12 D² + 13 D: quadratically. Heads change nothing: they cut the same D into pieces.
# </details>


# %% tags=["slide"]
def count_vit(image, patch, channels, classes, D, M, layers):
    N = (image // patch) ** 2
    projection = patch * patch * channels * D + D
    tokens = D + (N + 1) * D  # [class], positions
    layer = 3 * (D * D + D) + (D * D + D) + (2 * D * M + M + D) + 4 * D
    head = D * classes + classes if classes else 0
    return projection + tokens + layers * layer + 2 * D + head  # 2 D: the last LayerNorm


assert count_vit(8, 2, 1, 10, 64, 256, 4) == small.count_parameters()
count_vit(8, 2, 1, 10, 64, 256, 4)

# %% [markdown]
# It counts our own model right. Now the models of the slide, with the trunk alone and with a head
# of 1,000 classes, at 224 x 224.

# %%
PUBLISHED = [  # name, layers, D, MLP, heads, patch, what the slide says
    ("ViT-Base/16", 12, 768, 3072, 12, 16, "86M"),
    ("ViT-Base/32", 12, 768, 3072, 12, 32, ""),
    ("ViT-Large/16", 24, 1024, 4096, 16, 16, ""),
    ("ViT-Large/32", 24, 1024, 4096, 16, 32, "307M"),
    ("ViT-Huge/14", 32, 1280, 5120, 16, 14, "632M"),
]
counts = {
    name: [count_vit(224, patch, 3, classes, D, M, layers) for classes in (0, 1000)]
    for name, layers, D, M, _, patch, _ in PUBLISHED
}
for name, layers, D, M, heads, patch, _ in PUBLISHED:  # the library counts the same
    with nn.empty():  # shapes alone, no numbers
        model = ViT(224, patch, 3, 1000, D, layers, heads, M)
    assert model.count_parameters() == counts[name][1]
counts

# %% [markdown]
# > **On the slide: 86M, 307M, 632M.** Exact counts say which model each number is. 86M is Base/16
# > without a head (with one it would round to 87M). 307M is Large/**32** with a head: Large/16, the
# > slide's example, has 304M; more patches, but a smaller projection. 632M is Huge/14 with a head.
# > "Same as BERT" is true of layers, width, MLP and heads; BERT-Base has 109M parameters, for its
# > vocabulary.

# %%
assert counts["ViT-Base/16"] == [85_798_656, 86_567_656]
assert counts["ViT-Large/16"] == [303_301_632, 304_326_632]
assert counts["ViT-Large/32"] == [305_510_400, 306_535_400]
assert counts["ViT-Huge/14"] == [630_764_800, 632_045_800]

# %%
emoji = data.emoji()
sets = [
    ("ILSVRC-2012 (ImageNet-1K)", "1K", "1.3M"),
    ("ImageNet-21K", "21K", "14M"),
    ("JFT", "18K", "303M"),
    ("here: handwritten digits", 10, len(digits.train_labels) + len(digits.test_labels)),
    ("here: emoji in five styles", len(emoji.group_names), sum(map(len, emoji.images.values()))),
]
models = [
    (name, layers, D, M, heads, said, *counts[name])
    for name, layers, D, M, heads, _, said in PUBLISHED
]
fig = drawing.tables([
    ("Data sets: the paper's, and ours", ["Data set", "Classes", "Images"], sets, set()),
    ("ViT: numbers that are learnt (orange: what rounds to the slide's)",
     ["Model, at 224 x 224", "Layers", "Hidden\nsize D", "MLP\nsize", "Heads", "the slide\nsays",
      "counted,\nno head", "with head of\n1,000 classes"],
     models, {(0, 6), (3, 7), (4, 7)}),
])  # fmt: skip
drawing.note(
    fig,
    "The paper's data sets, layers, D, MLP and heads: Dosovitskiy et al. 2020, section 4.1 and "
    "Table 1. Parameters: counted by minivit.",
)
course.figure(
    "F21",
    fig,
    alt="""Two tables. Data sets: ImageNet-1K with 1.3M images, ImageNet-21K with 14M, JFT with
    303M, and the two small ones used here. Models: exact parameter counts; the slide's 86M is
    Base/16 without a head, 307M Large/32 and 632M Huge/14 with a head.""",
)

# %% [markdown]
# *For who wants more: paper, Table 1; appendix B.1 has the training settings.*

# %% [markdown]
# ## 5. Training on real digits (13 min)
#
# 1,797 digits that people wrote, 1,437 to train on and 360 to test on, a split that is fixed and
# has a name.

# %%
print(digits.name, digits.train_images.shape, digits.test_images.shape)

# %% [markdown]
# So few images are soon known by heart. Each time an image is used we move it by a fraction of a
# pixel, so that it is never quite the same: a weighted mean of neighbouring pixels (`data.moved`).


# %%
one = digits.train_images[:1]
assert np.array_equal(data.moved(one, np.zeros(1), np.zeros(1)), one)
assert np.array_equal(data.moved(one, np.ones(1), np.zeros(1))[:, 1:], one[:, :-1])
half = data.moved(one, np.zeros(1), np.full(1, 0.5))
assert np.allclose(half[:, :, 1:], (one[:, :, 1:] + one[:, :, :-1]) / 2)


# %%
class Moved:
    """Batches whose images are moved by up to `most` pixels; batch `step` is always the same."""

    def __init__(self, images, labels, batch_size, most, seed):
        self.batches = data.Batches(images, labels, batch_size=batch_size, seed=seed)
        self.most, self.seed = most, seed

    def __getitem__(self, step):
        images, labels = self.batches[step]
        rng = np.random.default_rng([self.seed, step])
        return data.moved(images, *rng.uniform(-self.most, self.most, (2, len(images)))), labels


# %% [markdown]
# The whole of training is five statements: forward, loss, forget the old gradients, backward, step.
# Around them: a learning rate that rises for 50 steps and then falls along a cosine, weight decay
# on matrices only, and gradients clipped to length 1.

# %%
STEPS, RATE = 800, 3e-3


def recipe(seed):
    """A new model and its optimizer."""
    minivit.manual_seed(seed)
    model = ViT(image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4)
    return model, AdamW(decay_groups(model, weight_decay=0.05), lr=RATE)


def schedule(step):
    return warmup_cosine(step, STEPS, warmup=50)


# %% [markdown]
# **Predict, then run.** The head starts as zeros. What is the loss at step 0?
# <details><summary>Answer</summary>
#
# All logits are 0, each class has probability 1/10: ln 10 = 2.303.
# </details>

# %%
model, optimizer = recipe(seed=0)
batches = Moved(digits.train_images, digits.train_labels, 64, most=0.5, seed=0)
losses = []
for step in tqdm(range(STEPS), desc="seed 0"):
    for group in optimizer.groups:
        group["lr"] = RATE * schedule(step)
    images, labels = batches[step]

    logits = model(Tensor(images))
    loss = cross_entropy_loss(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()

    losses.append(loss.item())
print(f"loss {losses[0]:.3f} at step 0, {np.mean(losses[-50:]):.3f} over the last 50 steps")
assert abs(losses[0] - np.log(10)) < 1e-5

# %%
accuracy(model, digits.test_images, digits.test_labels)

# %% [markdown]
# One seed is an anecdote. Two more; the library's `Trainer` is the same loop, with checkpoints.

# %%
runs = {0: (model, losses)}
for seed in (1, 2):
    model, optimizer = recipe(seed)
    batches = Moved(digits.train_images, digits.train_labels, 64, most=0.5, seed=seed)
    history = Trainer(model, optimizer, batches, schedule=schedule, clip=1.0).run(STEPS)
    runs[seed] = model, history["loss"]
digit_models = [runs[seed][0] for seed in (0, 1, 2)]
scores = [accuracy(m, digits.test_images, digits.test_labels) for m in digit_models]
print("test accuracy:", ", ".join(f"{s:.1%}" for s in scores), f"(mean {np.mean(scores):.1%})")

# %%
drawing.show(
    drawing.learning([runs[s][1] for s in (0, 1, 2)], ["seed 0", "seed 1", "seed 2"]),
    alt="Three loss curves on a logarithmic axis fall together from 2.3 to below 0.1.",
)

# %% [markdown]
# Is that good? Beside it, the simplest rule there is: the label of the nearest training image.

# %%
apart = ((digits.test_images[:, None] - digits.train_images[None]) ** 2).sum(axis=(2, 3, 4))
nearest = digits.train_labels[apart.argmin(axis=1)]
print(f"nearest neighbour: {(nearest == digits.test_labels).mean():.1%}")

# %% [markdown]
# With 1,437 images our Transformers have, on average, nothing over comparing pixels. That is what
# the slide says of ViT and little data; the lecture on scaling measures it (claim C08).

# %% [markdown]
# ### The whole forward pass, on an image it has not seen
#
# `inspect.trace` keeps every array on the way through the model.

# %%
shown = 3
arrays = inspect.trace(digit_models[0], Tensor(digits.test_images[shown : shown + 1]))
for name in ("image", "patches", "tokens", "1.attention", "1.out", "4.out", "class", "logits"):
    print(f"{name:12}{arrays[name].shape}")
assert np.allclose(arrays["1.attention"].sum(axis=-1), 1, atol=1e-5)
assert np.allclose(
    arrays["logits"], predict(digit_models[0], digits.test_images[shown : shown + 1]), atol=1e-4
)

# %%
weight = digit_models[0].projection.weight.numpy()  # (D, P P C), the transpose of E
head = digit_models[0].head.weight.numpy()  # (10, D)
true = int(digits.test_labels[shown])
fig = plots.forward_pass(arrays, weight, head, digits.classes, true)
course.figure(
    "F20",
    fig,
    alt="""Above, with arrows: an 8x8 digit, its 16x4 patches times E, 4x64, the 17x64 tokens with
    [class] and positions, after layer 1 and after layer 4, the class token, and ten probabilities,
    nearly all on the digit. Below, inside of layer 1: X, LayerNorm, one head's 17x17 attention,
    what attention adds to X by the residual path, LayerNorm, what the MLP adds.""",
)

# %% [markdown]
# ### A second model, for colour (3 min)
#
# To look inside we want RGB patches and more than 16 of them: emoji, 32 x 32, drawn by five hands,
# sorted into nine groups (faces, people, animals, food ...). With P = 4 there are 8 x 8 = 64
# patches. We test on emoji none of whose drawings were trained on.

# %%
pictures = np.concatenate([emoji.images[s] for s in data.STYLES])
concept = np.concatenate([emoji.concepts[s] for s in data.STYLES])
group, held_out = emoji.groups[concept], emoji.held_out[concept]
train_pictures, train_groups = pictures[~held_out], group[~held_out]
test_pictures, test_groups = pictures[held_out], group[held_out]
_, sizes = np.unique(test_groups, return_counts=True)
print(train_pictures.shape, test_pictures.shape, f"largest group {sizes.max() / sizes.sum():.1%}")

# %%
EMOJI_STEPS = 300


def emoji_model(seed):
    minivit.manual_seed(seed)
    return ViT(image=32, patch=4, channels=3, classes=9, width=64, layers=4, heads=4)


emoji_models = []
for seed in (0, 1, 2):
    model = emoji_model(seed)
    trainer = Trainer(
        model,
        AdamW(decay_groups(model, weight_decay=0.05), lr=2e-3),
        Moved(train_pictures, train_groups, 32, most=4, seed=seed),
        schedule=lambda step: warmup_cosine(step, EMOJI_STEPS, warmup=50),
        clip=1.0,
    )
    trainer.run(EMOJI_STEPS)
    emoji_models.append(model)
scores = [accuracy(m, test_pictures, test_groups) for m in emoji_models]
print("test accuracy:", ", ".join(f"{s:.1%}" for s in scores))

# %% [markdown]
# Half a minute of training each; the slide has 230 to 2,500 TPU-core-days for the paper's models.
# Keep that in mind for what comes.
#
# ### A third model, from a long run
#
# Nine labels say little. The paper's section 4.6 also learns without labels, as BERT does: half of
# the patches are hidden, the model fills them in. Here the answer is the pixels of each hidden
# patch, by squared error: 6 layers, 2,400 steps, three seeds, about four minutes of one core each.
# The first projection starts at a tenth of its usual size, so that what is seen in it was learnt.
# Once more, for 20 seeds, with 16 heads a layer, as many as the paper's ViT-L has, for 4.

# %%
runs = masked_patches.results()
masked = [runs[f"heads {seed}"] for seed in masked_patches.SEEDS]
sixteen = [runs[f"heads {seed} 16"] for seed in masked_patches.MORE_SEEDS]
masked_vit = minivit.load("emoji-masked").model  # 4 heads, seed 0
for heads, nets in ((4, masked), (16, sixteen)):
    error = [run["unseen error"] for run in nets]
    print(f"{heads:2} heads, {len(nets):2} seeds: error {min(error):.3f} to {max(error):.3f} on "
          f"unseen emoji; the mean patch has {nets[0]['error of the mean']:.3f}")  # fmt: skip
print("loss on the way:", runs["heads 0"]["loss"][::8])

# %% [markdown]
# ## 6. Looking inside (15 min)
#
# The paper looks at three things in ViT-L/32 (section 4.5, Figure 7). We draw the same three, and
# beside each what chance would give.
#
# ### Filters: what does the first matrix look for?
#
# A row of the projection is a filter: a patch-sized picture. The principal components of the
# filters show which patterns the model tells apart. The paper's look like a basis for smooth
# structure: stripes and blobs of growing frequency. (Of a long run like the one above, with patches
# of 8 pixels: on 4 x 4 pixels there is little to see.)
#
# **Predict, then run.** A weight starts as random noise. After 2,400 steps of filling in patches,
# what will its components look like?
# <details><summary>Answer</summary>
#
# Like what a hidden patch can be guessed from: the edges of its neighbours, the mean colour, where
# it is light and where dark. Far fewer of them than at the start carry the variance.
# </details>

# %%
filters = runs["filters 0"]
raw = patchify(test_pictures, 8).reshape(-1, 192)
rows = [
    (
        f"before training: principal components of the {masked_patches.WIDTH} filters, 8x8 pixels "
        "each",
        filters["before"],
    ),
    (f"the same after {filters['steps']:,} steps of filling in hidden patches", filters["after"]),
]
rows = [(title, np.array(f["pictures"]), np.array(f["share"])) for title, f in rows]
rows.append(
    ("for comparison: principal components of the patches themselves, no model",
     *inspect.filter_components(raw, 8, 3))
)  # fmt: skip
for title, _, share in rows:
    print(f"{share[:3].sum():4.0%} of the variance in the first 3 components: {title}")

# %%
fig = plots.filters(rows)
drawing.note(
    fig,
    "Emoji of 32 x 32 pixels, patches of 8 x 8; one net, seed 0. Each picture is stretched to its "
    "own range.",
)
course.figure(
    "F24",
    fig,
    alt="""Three rows of 8x8-pixel colour patterns with their share of the variance. Before
    training: noise, all shares of 3 to 4 percent. After: noisy borders of a patch, then light and
    dark parts, with shares that fall from 17 percent to 3. The raw patches: smooth stripes of
    growing frequency, from 35 percent to 2.""",
)

# %% [markdown]
# The first six are about the border of the patch: that is where it tells most about a neighbour.
# The model that learnt nine labels for 300 steps shows nothing of this; its weights are still those
# of the start.

# %% [markdown]
# ### Positions: do they learn the 2-D layout? (claim C09)
#
# Tile (r, c) compares the position of that patch with all others, by the cosine of the angle
# between them. Nothing told the model that the sequence is an image folded row by row. If it found
# out, each tile is bright around its own place, and along its row and column.

# %%
similarity = {
    title: inspect.position_similarity(model.position.numpy(), model.grid)
    for title, model in (
        (f"trained with labels,\n{EMOJI_STEPS} steps", emoji_models[0]),
        (f"trained to fill in hidden patches,\n{masked_patches.STEPS:,} steps", masked_vit),
    )
}
for tiles in similarity.values():
    flat = tiles.reshape(tiles.shape[0] * tiles.shape[1], -1)
    assert (flat.argmax(axis=1) == np.arange(len(flat))).all()  # most similar to itself
    assert np.allclose(flat.diagonal(), 1)

# %%
fig = plots.position_tiles(list(similarity.items()))
drawing.note(
    fig,
    f"Emoji of 32 x 32 pixels, patches of 4 x 4. Left: {len(emoji_models[0].layers)} layers, "
    f"emoji moved by up to 4 pixels; right: {len(masked_vit.layers)} layers, not moved. Seed 0.",
)
course.figure(
    "F25",
    fig,
    alt="""Two grids of 8x8 tiles, for emoji in patches of 4 pixels. In each tile the patch's own
    place is brightest. After 300 steps with labels its neighbours are brighter than the rest, with
    much noise; after hidden patches each tile is bright
    around its place and along its row and column.""",
)

# %% [markdown]
# A picture persuades too easily, so the claim gets a number. Two patches are neighbours if they
# share an edge; half of the neighbours lie one above the other, far apart in the sequence. *r* is
# the correlation of similarity with being neighbours, over all pairs. Is it more than chance?
# Shuffle the patches 999 times and count how often r is as large: *p* (Mantel's test). The rule:
#
# - p ≤ 0.05 for all three seeds: **holds**; p ≥ 0.95 for all three: **does not hold** (the opposite
#   is there); anything else: **not at this size**.
# - The emoji decide, for they have an image's worth of patches; the digits are shown beside them.


# %%
def layout(model):
    similarity = inspect.cosine_similarity(model.position.numpy()[0, 1:])
    neighbours = inspect.patch_distances(model.grid) == 1
    return inspect.mantel(similarity, neighbours)


def layout_verdict(p):
    if max(p) <= 0.05:
        return "holds"
    return "does not hold" if min(p) >= 0.95 else "not at this size"


r, p = zip(*(layout(m) for m in emoji_models))
r_digits, p_digits = zip(*(layout(m) for m in digit_models))
course.claim(
    "C09",
    layout_verdict(p),
    numbers={"r emoji": r, "p emoji": p, "r digits": r_digits, "p digits": p_digits},
    seeds=[0, 1, 2],
)

# %% [markdown]
# In the long run of hidden patches r is 0.48 for each seed, p = 0.001 (in its file). The digits are
# centred in a grid of 4 x 4: each patch has its own job, and a neighbour's is no
# more alike than that of a patch far away. Emoji are moved by up to 4 pixels, a whole patch: what
# was at one position is at its neighbour next time. It is the data that make neighbours alike.

# %% [markdown]
# ### Attention: how far does each head look? (claim C10)
#
# A head's mean attention distance: from each patch to the patches it attends to, in pixels,
# weighted by the attention. Small: local, as a convolution. The slide's figure has heads of both
# kinds in the first layers, and only far-looking ones in the last.
#
# **Predict, then run.** What distance has a head that looks everywhere alike, in a 32 x 32 image?
# <details><summary>Answer</summary>
#
# About half of the image's side: 16.5 pixels, the mean distance of two patches.
# </details>


# %%
@no_grad()
def distances(models, images):
    """(models, layers, heads), in pixels."""
    result = []
    for model in models:
        maps = model.attention(Tensor(images))
        assert all(np.allclose(a.sum(axis=-1), 1, atol=1e-4) for a in maps)  # rows sum to 1
        far = [inspect.mean_attention_distance(a, model.grid, model.patch) for a in maps]
        result.append(far)
    return np.array(result)


emoji_images = test_pictures[:128]
named = distances(emoji_models, emoji_images)
named_before = distances([emoji_model(seed) for seed in (0, 1, 2)], emoji_images)
(hidden, hidden_before), (more, more_before) = (
    [np.array([run[when] for run in of]) for when in ("after", "before")]
    for of in (masked, sixteen)
)  # each (seeds, layers, heads)
uniform = inspect.uniform_distance((8, 8), patch=4)
again = distances([masked_vit], emoji_images)[0]  # seed 0 is here, in float16
assert np.allclose(again, masked[0]["after"], atol=0.1)

# %%
fig = plots.attention_distance(
    [
        (f"4 heads a layer, {len(hidden)} nets", hidden, hidden_before, uniform),
        (f"16 heads a layer, seed 0 of {len(more)}", more[:1], more_before[:1], uniform),
    ]
)
drawing.note(
    fig,
    f"ViTs that filled in hidden patches of emoji, {masked_patches.STEPS:,} steps; patches of 4 "
    "pixels.",
)
course.figure(
    "F26",
    fig,
    alt="""Mean attention distance against layer, a dot for each head, after learning to fill in
    hidden patches. Before training all look 16.5 pixels far. Left, three nets of 4 heads a layer:
    those of layer 1 lie at 5 to 11 pixels, those of layer 2 at 12 to 15, those of layer 6 at 15 to
    17. Right, one net of 16 heads a layer: in layer 1 they lie all along from 5 to 16.""",
)

# %% [markdown]
# The rule, fixed before the long run (`minivit/course/runs/verdicts.py`, C10). *Grows with depth*:
# the 95% interval over the seeds of the slope in pixels a layer lies above 0. *Some heads look far
# in the first layer*: the interval of its farthest head reaches, with its lower end, what a head
# does that looks everywhere alike, less a pixel. Both: holds; slopes below 0, or a farthest head
# that looks less than half as far: does not hold; anything else: not at this size. Beside it, p:
# the slope against 999 shuffles of the heads over the layers.

# %%
slope, p = zip(*(inspect.depth_trend(d) for d in hidden))
_, low, high = verdicts.of_seeds(hidden[:, 0].max(axis=1))  # the farthest head of layer 1
print(f"4 heads: slope {np.mean(slope):.1f} pixels a layer, p {max(p):.3f} or less; the farthest "
      f"head of layer 1: {low:.1f} to {high:.1f} pixels")  # fmt: skip
found = judged.C10(runs)  # 16 heads
course.claim("C10", found.verdict, numbers=found.numbers, seeds=found.seeds)
moved = np.abs(named - named_before).max()
print(f"with labels, in 300 steps, no head has moved by more than {moved:.1f} pixels")

# %% [markdown]
# Both halves are here as on the slide. Attention grows wider with depth, by a pixel a layer with 16
# heads and by 1.4 with four, in every seed. And in layer 1 some heads look 5 pixels far, some 16,
# and all lengths between are there. With four heads a layer the second half stayed open: all of
# layer 1 look near. How often did we look? At three nets of four heads, then at five of 16, whose
# interval (15.27 to 16.49 pixels) reached below what the rule asks (15.55); then 15 more were
# planned, and looked at when all were there.
#
# A caution. An *untrained* head looks everywhere alike; what a ViT must learn is to look *near*:
# to fill in a patch of 4 pixels the neighbours are what it needs. A distance alone cannot tell a
# head that looks far because that is of use from one that has learnt little. With nine labels and
# 300 steps no head has learnt to look near.

# %% [markdown]
# ### The same three, of a ViT that learned 1,060 names
#
# More labels, and more pictures: *IconNet*, 47,000 drawings of icon sets (lecture 6). A ViT of 4
# layers and 4 heads saw each of them 16 times; three seeds (`python -m minivit.course.runs iconnet
# internals`, half an hour of a core each). Its patches are grey, 4 x 4 pixels.
#
# **Predict, then run.** The ViT above looked near in layer 1; it had to guess pixels. This one has
# to say a name. Does it look near, too?
# <details><summary>Answer</summary>
#
# Hardly: after 6,000 steps its heads look nearly as far as before the first one. Its positions have
# learnt the layout all the same.
# </details>

# %%
icon_runs = iconnet.results()
of_icons = [icon_runs[f"internals {seed}"] for seed in iconnet.SEEDS]
icon_vit = minivit.load("icons-vit").model  # seed 0
print("right, of families never seen:", *(f"{run['test']['top-1']:.1%}" for run in of_icons))
start = []
for seed in iconnet.SEEDS:
    minivit.manual_seed(seed)
    start.append(ViT(**icon_vit.config))
drawings = icons.as_input(icons.iconnet().part("test")[0][:128])
far = np.array([run["distance"] for run in of_icons])  # (seeds, layers, heads)
assert np.allclose(distances([icon_vit], drawings)[0], far[0], atol=1)  # of other drawings

# %%
nets = {"before training": start[0], "trained to say 1,060 names": icon_vit}
parts = [
    (title, *inspect.filter_components(net.projection.weight.numpy(), net.patch, channels=1))
    for title, net in nets.items()
]
tiles = [
    (title, inspect.position_similarity(net.position.numpy(), net.grid))
    for title, net in nets.items()
]
drawing.show(
    plots.filters(parts),
    alt="""Two rows of 4x4-pixel grey patterns, before and after training: both look like noise, and
    their shares of the variance fall from 12 and 14 percent to 5.""",
)
drawing.show(
    plots.position_tiles(tiles),
    alt="""Two grids of 8x8 tiles. Before training: noise, and the own place. Trained: the patches
    around the own place are bright, and those at the border are bright for each other.""",
)
drawing.show(
    plots.attention_distance(
        [(f"icons, {len(far)} nets", far, distances(start, drawings), uniform)]
    ),
    alt="""Mean attention distance against layer, a dot for each head of three nets. Trained or not,
    all layers lie at 15 to 17.5 pixels; the mean of layer 2 is lowest, nearly 16.""",
)
r_icons, p_icons = layout(icon_vit)
print(f"positions: r {r_icons:.2f}, p {p_icons:.3f}")
found = judged.C10_icons(icon_runs)
print(f"C10 on icons: {found.verdict}")
for name, value in found.numbers.items():
    print(f"  {name}: {np.round(value, 2)}")

# %% [markdown]
# The positions have learnt the layout better than with nine labels (r = 0.52). Places at the border
# are alike; most drawings are white there. In the filters there is nothing to see: 64 of them share
# 16 numbers each.
#
# By the rule C10 holds for these nets as well. But see how little it is: 0.17 pixels a layer, where
# the nets that filled in patches have 1.4, and in one seed of three the heads could have been dealt
# to the layers by chance (p = 0.11). The heads of layer 1 look far as they did before training. A
# hidden patch is told by its neighbours, a name by the whole drawing: that may be why, and nothing
# here tests it. The nets name 38% of the test drawings.

# %% [markdown]
# ### Which patches was the class read from?
#
# Multiply the attention of all layers, with the residual connection as an identity: *rollout*
# (Abnar and Zuidema 2020). It is a summary of the weights, not an explanation: values and MLPs play
# no part.

# %% widget="attention"
six = digits.test_images[:6]
rollout = inspect.attention_rollout(digit_models[0].attention(Tensor(six)))
assert np.allclose(rollout.sum(axis=-1), 1)
titles = [
    f"a {label}, read as {found}"
    for label, found in zip(digits.test_labels, predict(digit_models[0], six).argmax(axis=1))
]
drawing.show(
    plots.rollout(six, rollout[:, 0, 1:], digit_models[0].grid, titles),
    alt="Six digits, and below each the share that each of its 4x4 patches has in the class token.",
)

# %% [markdown]
# *For who wants more: paper, section 4.5 and Figure 7; appendix D.7 on attention distance.*

# %% [markdown]
# ## Check yourself
#
# **1.** An image of 384 x 384 goes into ViT-L/16. How long is the sequence, and which of the learnt
# arrays does not fit any more?
# <details><summary>Answer</summary>
#
# (384/16)² + 1 = 577 tokens. The positions: there are 197. They are interpolated on the 2-D grid,
# the one place where someone tells ViT that its input is an image (paper, section 3.2).
# </details>
#
# **2.** Somebody normalises with `x.mean(axis=0)` for x of shape (N, D). The shapes all fit. What
# goes wrong?
# <details><summary>Answer</summary>
#
# Each feature is normalised over the tokens of the image: what the patches have in common is
# removed, and a token's result depends on the others. On the slide "column-wise" is right, for
# there a token is a column.
# </details>
#
# **3.** Position embeddings show the layout for emoji and not for digits. Is that a property of
# ViT?
# <details><summary>Answer</summary>
#
# No: of what the data ask for. Nothing in ViT prefers neighbours; a layout is learnt where treating
# neighbours alike lowers the loss. That is what "lack of inductive bias" means. A convolution has
# it built in.
# </details>
