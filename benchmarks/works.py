"""The work that is timed: sizes, initial weights and data, as NumPy arrays every peer starts from.

Weights carry the names of minivit's state_dict; `weight` of a Linear is (out, in), float32.
"""

from dataclasses import dataclass

import numpy as np

LR, WEIGHT_DECAY, BETAS, EPS = 3e-4, 0.01, (0.9, 0.999), 1e-8  # AdamW, in every training step


@dataclass(frozen=True)
class Work:
    """One row of the table. kind: train, forward, sample or ops; targets: at most, per column."""

    name: str
    title: str
    kind: str
    model: object = None
    batch: int = 1
    targets: tuple = ()  # (column, largest ratio) pairs

    def target(self, column):
        return dict(self.targets).get(column)


@dataclass(frozen=True)
class Stack:
    """Pre-LN Transformer layers with an MLP of 4 D."""

    layers: int
    width: int
    heads: int
    activation: str = "tanh"  # which GELU: tanh or quick
    eps: float = 1e-6

    def weights(self, rng, prefix=""):
        D = self.width
        for i in range(self.layers):
            at = f"{prefix}layers.{i}."
            yield from _norm(rng, at + "ln_1", D)
            yield at + "attn.in_proj_weight", _matrix(rng, 3 * D, D)
            yield at + "attn.in_proj_bias", _normal(rng, 3 * D)
            yield from _linear(rng, at + "attn.out_proj", D, D)
            yield from _norm(rng, at + "ln_2", D)
            yield from _linear(rng, at + "mlp.fc1", 4 * D, D)
            yield from _linear(rng, at + "mlp.fc2", D, 4 * D)

    def products(self, tokens, batch):
        """(kind, sizes, count) of every matrix product of a forward pass."""
        D = self.width
        for m, k, n in ((tokens, D, 3 * D), (tokens, D, D), (tokens, D, 4 * D), (tokens, 4 * D, D)):
            yield "linear", (batch * m, k, n), self.layers
        yield "attention", (batch, self.heads, tokens, D // self.heads), self.layers


@dataclass(frozen=True)
class ViT:
    """A ViT: images (B, H, W, C), class token, learned positions, classifier."""

    image: int
    patch: int
    channels: int
    stack: Stack
    classes: int = 10

    @property
    def tokens(self):
        return (self.image // self.patch) ** 2 + 1

    def weights(self, rng):
        D, features = self.stack.width, self.patch**2 * self.channels
        yield from _linear(rng, "projection", D, features)
        yield "class_token", _normal(rng, 1, 1, D)
        yield "position", _normal(rng, 1, self.tokens, D)
        yield from self.stack.weights(rng)
        yield from _norm(rng, "norm", D)
        yield from _linear(rng, "head", self.classes, D)

    def data(self, rng, batch):
        x = _normal(rng, batch, self.image, self.image, self.channels, std=1.0)
        return x, rng.integers(0, self.classes, batch)

    def products(self, batch):
        D, features = self.stack.width, self.patch**2 * self.channels
        yield "first", (batch * (self.tokens - 1), features, D), 1
        yield from self.stack.products(self.tokens, batch)
        yield "linear", (batch, D, self.classes), 1


@dataclass(frozen=True)
class GPT:
    """A GPT-2 on pixel tokens: ids (B, N) to logits (B, N, V); the head is the embedding again."""

    tokens: int
    vocabulary: int
    stack: Stack

    def weights(self, rng):
        D = self.stack.width
        yield "wte.weight", _normal(rng, self.vocabulary, D)
        yield "wpe.weight", _normal(rng, self.tokens, D)
        yield from self.stack.weights(rng)
        yield from _norm(rng, "norm", D)

    def data(self, rng, batch):
        ids = rng.integers(0, self.vocabulary, (batch, self.tokens + 1))
        return ids[:, :-1], ids[:, 1:]

    def products(self, batch):
        yield from self.stack.products(self.tokens, batch)
        yield "linear", (batch * self.tokens, self.stack.width, self.vocabulary), 1


@dataclass(frozen=True)
class CLIP:
    """CLIP: images (B, H, W, 3) and as many texts (B, 77), to scaled similarities (B, B)."""

    image: int
    patch: int
    vision: Stack
    text: Stack
    vocabulary: int = 49408
    context: int = 77
    shared: int = 512

    @property
    def tokens(self):
        return (self.image // self.patch) ** 2 + 1

    def weights(self, rng):
        at, V, T = "image_encoder.", self.vision.width, self.text.width
        yield at + "patches.projection.weight", _matrix(rng, V, self.patch**2 * 3)
        yield at + "class_embedding", _normal(rng, V)
        yield at + "positional_embedding", _normal(rng, self.tokens, V)
        yield from _norm(rng, at + "ln_pre", V)
        yield from self.vision.weights(rng, at)
        yield from _norm(rng, at + "ln_post", V)
        at = "text_encoder."
        yield at + "token_embedding.weight", _normal(rng, self.vocabulary, T)
        yield at + "positional_embedding", _normal(rng, self.context, T)
        yield from self.text.weights(rng, at)
        yield from _norm(rng, at + "ln_final", T)
        yield "W_i", _normal(rng, V, self.shared, std=V**-0.5)
        yield "W_t", _normal(rng, T, self.shared, std=T**-0.5)
        yield "t", np.array(np.log(1 / 0.07), np.float32)

    def data(self, rng, batch):
        ids = rng.integers(0, self.vocabulary - 1, (batch, self.context))
        ids[:, -1] = self.vocabulary - 1  # the end token, whose features stand for the text
        return _normal(rng, batch, self.image, self.image, 3, std=1.0), ids

    def products(self, batch):
        V, T, n = self.vision.width, self.text.width, self.tokens
        yield "first", (batch * (n - 1), self.patch**2 * 3, V), 1
        yield from self.vision.products(n, batch)
        yield from self.text.products(self.context, batch)
        yield "linear", (batch, V, self.shared), 1
        yield "linear", (batch, T, self.shared), 1


def _normal(rng, *shape, std=0.02):
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(std)


def _matrix(rng, out, features):
    return _normal(rng, out, features, std=features**-0.5)


def _linear(rng, name, out, features):
    yield name + ".weight", _matrix(rng, out, features)
    yield name + ".bias", _normal(rng, out)


def _norm(rng, name, D):
    yield name + ".weight", 1 + _normal(rng, D)
    yield name + ".bias", _normal(rng, D)


# -- W7: each op alone -----------------------------------------------------------------------------
OPS = ("add", "linear", "layer_norm", "gelu", "softmax", "cross_entropy", "attention")
OP_SIZES = {"tiny": (4, 8), "W1": (1088, 64), "W2": (4160, 192)}  # rows, features


def op_inputs(op, rows, D):
    """The arrays that `op` works on (those with floating point receive gradients), and g."""
    rng = np.random.default_rng(7)
    x = _normal(rng, rows, D, std=1.0)
    if op == "add":
        return (x, _normal(rng, rows, D)), _normal(rng, rows, D)
    if op == "linear":
        return (x, _matrix(rng, 4 * D, D), _normal(rng, 4 * D)), _normal(rng, rows, 4 * D)
    if op == "layer_norm":
        return (x, 1 + _normal(rng, D), _normal(rng, D)), _normal(rng, rows, D)
    if op == "cross_entropy":
        return (x, rng.integers(0, D, rows)), np.ones((), np.float32)
    if op == "attention":  # (B, N, 3 D), 4 heads
        B = 64 if rows > 64 else 2
        return (_normal(rng, B, rows // B, 3 * D, std=1.0),), _normal(rng, B, rows // B, D)
    return (x,), _normal(rng, rows, D)


# -- the table -------------------------------------------------------------------------------------
_W4 = GPT(256, 16, Stack(4, 128, 4, eps=1e-5))
_B16 = ViT(224, 16, 3, Stack(12, 768, 12), classes=1000)
_CLIP = CLIP(224, 32, Stack(12, 768, 12, "quick", 1e-5), Stack(12, 512, 8, "quick", 1e-5))


def _targets(torch1, torch2, floor, memory, trains=False):
    """The issue's row: time / torch on 1 and 2 threads, time / floor, peak memory / torch."""
    rows = [("torch1", torch1), ("torch2", torch2), ("floor1", floor), ("memory", memory)]
    rows += [("autograd1", 0.3), ("jax1", 0.55)] if trains else []
    return tuple((k, v) for k, v in rows if v is not None)


_t2 = _targets(0.88, 0.85, 1.2, 0.6, trains=True)
_t3, _t5, _t6 = (
    _targets(0.85, 0.9, 1.15, 0.8),
    _targets(0.6, 0.6, None, 0.5),
    _targets(0.82, 0.9, 1.15, 1.0),
)
WORKS = {
    w.name: w
    for w in (
        Work("W1", "ViT 8x8, D 64, 4 layers, batch 64: training step", "train",
             ViT(8, 2, 1, Stack(4, 64, 4)), 64, _targets(0.70, 0.65, 1.5, 0.25, trains=True)),
        Work("W2a", "ViT 28x28, D 128, 6 layers, batch 64: training step", "train",
             ViT(28, 4, 1, Stack(6, 128, 4)), 64, _t2),
        Work("W2b", "ViT 32x32 colour, D 192, 6 layers, batch 64: training step", "train",
             ViT(32, 4, 3, Stack(6, 192, 6)), 64, _t2),
        Work("W3a", "ViT-B/16, batch 1: forward", "forward", _B16, 1, _t3),
        Work("W3b", "ViT-B/16, batch 4: forward", "forward", _B16, 4, _t3),
        Work("W3c", "ViT-B/16, batch 2: training step", "train", _B16, 2, _t3),
        Work("W4", "GPT, 256 tokens, D 128, 4 layers, batch 16: training step", "train",
             _W4, 16, _targets(0.85, 0.85, 1.15, 0.6, trains=True)),
        Work("W5a", "GPT, 256 tokens sampled with a KV cache, batch 1", "sample", _W4, 1, _t5),
        Work("W5b", "GPT, 256 tokens sampled with a KV cache, batch 16", "sample", _W4, 16, _t5),
        Work("W6a", "CLIP ViT-B/32 and text encoder, batch 1: inference", "forward", _CLIP, 1, _t6),
        Work("W6b", "CLIP ViT-B/32 and text encoder, batch 8: inference", "forward", _CLIP, 8, _t6),
        Work("W7", "each op alone, forward and backward", "ops", None, 1, (("torch1", 1.0),)),
    )
}  # fmt: skip


def select(names):
    """The works whose name is, or starts with, one of `names`; all where there are none."""
    matches = {n: [w for w in WORKS if w.lower().startswith(n.lower())] for n in names}
    unknown = [n for n, found in matches.items() if not found]
    if unknown:
        raise SystemExit(f"benchmarks: no work is called {unknown}; there are {list(WORKS)}")
    wanted = {w for found in matches.values() for w in found} or WORKS
    return [work for name, work in WORKS.items() if name in wanted]


def weights(work):
    """{name: array}: what every peer starts from."""
    return dict(work.model.weights(np.random.default_rng(0)))


def data(work):
    """The arrays that one step reads; the same at every step."""
    return work.model.data(np.random.default_rng(1), work.batch)
