"""The models of `minivit build`: small ones, trained with a student's functions in the library."""

import contextlib
import inspect
import math
from dataclasses import dataclass
from unittest import mock

import numpy as np

BOTH = ("unbroadcast", "layer_norm", "cross_entropy", "adamw_step")
VIT_PARTS = (*BOTH, "vit_input", "attention", "attention_gradient")
CLIP_PARTS = (*BOTH, "embedding", "clip_loss", "chunked_loss", "zero_shot")
NAMES = "zero one two three four five six seven eight nine".split()
PROMPTS = ("the digit {}", "a drawing of the number {}", "{} by hand")
WORDS = [*NAMES, *"the digit a drawing of number by hand".split()]


@dataclass
class Trained:
    """A model's accuracy on the test digits, its losses, and the functions that it can take."""

    accuracy: float
    losses: list
    parts: tuple
    note: str = ""


def vit(steps, functions, seed=0):
    """A ViT of four layers on the digits."""
    import minivit
    from minivit.models.vit import ViT
    from minivit.training import data
    from minivit.training.trainer import accuracy

    digits = data.digits()
    minivit.manual_seed(seed)
    model = ViT(image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4)
    batches = data.Batches(digits.train_images, digits.train_labels, batch_size=64, seed=seed)
    with in_training(functions) as loss:
        how = {} if loss is None else {"loss": lambda m, x, labels: loss(m(x), labels=labels)}
        with _in_last_layer(functions, model):
            losses = _run(model, batches, steps, **how)
        with _in_testing(functions, model):
            right = accuracy(model, digits.test_images, digits.test_labels)
    return Trained(right, losses, VIT_PARTS)


def clip(steps, functions, seed=0):
    """A CLIP that learns which of ten names belongs to which of ten digits, and is then asked
    without labels."""
    import minivit
    from minivit import Tensor, no_grad
    from minivit.models import clip as models
    from minivit.training import data

    digits = data.digits()
    minivit.manual_seed(seed)
    model = models.CLIP(
        models.VisionTransformer(image=8, patch=2, width=32, layers=2, heads=2, channels=1),
        models.BagOfWords(1 + len(WORDS), 32), d_i=32, d_t=32, d_e=32,
    )  # fmt: skip
    with in_training(functions):
        losses = _run(model, Pairs(digits, seed), steps, loss=lambda m, I, T: m.loss(I, T))
    ids = np.stack([captions(NAMES, prompt) for prompt in PROMPTS], axis=1)  # (10, prompts, L)
    with no_grad():
        I_f = model.image_encoder(Tensor(digits.test_images)).numpy()
        T_f = (
            model.text_encoder(ids.reshape(-1, ids.shape[-1])).numpy().reshape(10, len(PROMPTS), -1)
        )
        W_i, W_t, t = (p.numpy() for p in (model.W_i, model.W_t, model.t))
        first = [int(np.flatnonzero(digits.test_labels == c)[0]) for c in range(10)]
        pairs = I_f[first], T_f[:, 0], W_i, W_t, t
        loss = functions.get("clip_loss") or _clip_loss
        in_chunks = functions.get("chunked_loss") or _chunked_loss
        in_chunks = in_chunks(_unit(I_f[first] @ W_i), _unit(T_f[:, 0] @ W_t), t, 3)
        answer = functions.get("zero_shot") or _zero_shot
        p = answer(I_f @ W_i, T_f @ W_t, math.exp(t))
    right = float((p.argmax(axis=1) == digits.test_labels).mean())
    note = f"loss on ten test pairs: {float(loss(*pairs)):.4f}, in chunks {float(in_chunks):.4f}"
    return Trained(right, losses, CLIP_PARTS, note)


class Pairs:
    """Batch `step`: an image of each digit, and a caption of it."""

    def __init__(self, digits, seed):
        self.images, self.seed = digits.train_images, seed
        self.places = [np.flatnonzero(digits.train_labels == c) for c in range(10)]

    def __getitem__(self, step):
        rng = np.random.default_rng((self.seed, step))
        images = self.images[[rng.choice(places) for places in self.places]]
        return images, captions(NAMES, PROMPTS[rng.integers(len(PROMPTS))])


def captions(names, prompt):
    """Word ids (len(names), 6) of the prompt with each name; 0 is padding."""
    rows = [[1 + WORDS.index(word) for word in prompt.format(name).split()] for name in names]
    return np.array([row + [0] * (6 - len(row)) for row in rows])


def _run(model, batches, steps, **how):
    """Its losses, step by step."""
    from minivit.optim import AdamW, decay_groups, warmup_cosine
    from minivit.training.trainer import Trainer

    optimizer = AdamW(decay_groups(model, weight_decay=0.05), lr=3e-3)
    schedule = lambda step: warmup_cosine(step, steps, warmup=min(50, steps // 3))  # noqa: E731
    trainer = Trainer(model, optimizer, batches, schedule=schedule, clip=1.0, **how)
    return trainer.run(steps, progress=False)["loss"]


def drawn(curves, path):
    """The losses {model: {whose: numbers}} as a picture at `path`; gives the path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(curves), 3.2), layout="constrained")
    for axes, (title, lines) in zip(figure.subplots(1, len(curves), squeeze=False)[0],
                                    curves.items()):  # fmt: skip
        for (label, losses), style in zip(lines.items(), ("-", "--")):
            axes.plot(range(1, len(losses) + 1), losses, style, label=label)
        axes.set(title=title, xlabel="step", ylabel="training loss")
        axes.legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _clip_loss(I_f, T_f, W_i, W_t, t):
    from minivit.models.clip import clip_loss

    same = lambda x: x  # noqa: E731  (features, already)
    return clip_loss(same, same, I_f, T_f, W_i, W_t, t)


def _chunked_loss(I_e, T_e, t, chunk):
    one = np.eye(I_e.shape[1], dtype=I_e.dtype)  # embedded, already; the library has all at once
    return _clip_loss(I_e, T_e, one, one, t)


def _zero_shot(images, texts, scale):
    return scale * _unit(images) @ _unit(_unit(texts).mean(axis=1)).T


def _unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# -- in the library --------------------------------------------------------------------------------
@contextlib.contextmanager
def in_training(functions):
    """The library with these functions in the place of its own; gives the loss of a classifier, or
    None."""
    from minivit import OPS, optim
    from minivit import functions as F
    from minivit.engine import graph
    from minivit.engine.record import op
    from minivit.models import clip as models

    loss = None
    with contextlib.ExitStack() as stack:

        def put(module, name, mine):
            stack.enter_context(mock.patch.object(module, name, mine))

        try:
            if "unbroadcast" in functions:
                put(graph, "unbroadcast", lambda g, s: functions["unbroadcast"](g, list(s)))
            if "layer_norm" in functions:
                put(F, "layer_norm", _layer_norm(op, functions["layer_norm"]))
            if "embedding" in functions:
                put(F, "embedding", _embedding(op, functions["embedding"]))
            if "adamw_step" in functions:
                put(optim.AdamW, "rule", _rule(functions["adamw_step"]))
            if "cross_entropy" in functions:
                loss = _loss(op, functions["cross_entropy"])
                put(models, "cross_entropy_loss",
                    lambda z, labels, axis: loss(z if axis else z.T, labels=labels))  # fmt: skip
            yield loss
        finally:  # the registry names the library's own
            for name in [name for name in OPS if name.startswith("your_")]:
                del OPS[name]


def _layer_norm(op, mine):
    @op
    def your_layer_norm(x, gamma, beta, /, eps=1e-5):
        y, vjp = mine(x, gamma, beta, eps)
        return y, lambda g: tuple(vjp(g))

    return your_layer_norm


def _embedding(op, mine):
    @op
    def your_embedding(table, /, ids):
        out, vjp = mine(ids, table)
        return out, lambda g: _only(vjp(g))

    return your_embedding


def _rule(mine):
    def rule(self, w, g, s, t, group):
        how = (group["lr"], *group["betas"], group["eps"], group["weight_decay"])
        w[...], s["m"][...], s["v"][...] = mine(w, g, s["m"], s["v"], t, *how)

    return rule


def _attention(op, mine):
    @op
    def your_attention(qkv, /, heads):
        B, N, D = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
        parts = qkv.reshape(B, N, 3, heads, D // heads).transpose(0, 3, 2, 1, 4)  # (B, H, 3, N, d)
        both = [[mine(*parts[b, h].copy()) for h in range(heads)] for b in range(B)]
        out = np.stack([np.concatenate([o for o, _ in row], axis=1) for row in both])

        def vjp(g):
            made = np.empty_like(parts)
            for b, row in enumerate(both):
                for h, ((_, vjp), part) in enumerate(zip(row, np.split(g[b], heads, axis=1))):
                    made[b, h] = vjp(part.copy())
            return (made.transpose(0, 3, 2, 1, 4).reshape(qkv.shape),)

        return out, vjp

    return your_attention


def _loss(op, mine):
    @op
    def your_cross_entropy(z, /, labels):
        loss, vjp = mine(z, labels)
        return np.asarray(loss, z.dtype), lambda g: _only(vjp(g))

    return your_cross_entropy


def _only(gradients):
    """The one gradient, which may come in a tuple or by itself."""
    return gradients if isinstance(gradients, np.ndarray) else gradients[0]


@contextlib.contextmanager
def _in_last_layer(functions, model):
    """Its attention, both passes, by `attention_gradient`: each image and head is a call."""
    from minivit import functions as F
    from minivit.engine.record import op

    if "attention_gradient" not in functions:
        yield
        return
    attn, attention = model.layers[-1].attn, _attention(op, functions["attention_gradient"])

    def forward(x, **_):  # neither mask nor cache
        qkv = F.linear(x, attn.in_proj_weight, attn.in_proj_bias)
        return attn.out_proj(attention(qkv, heads=attn.num_heads))

    with mock.patch.object(attn, "forward", forward):
        yield


@contextlib.contextmanager
def _in_testing(functions, model):
    """The forward pass of the test images through `vit_input` and `attention`."""
    from minivit import Tensor
    from minivit.attention import multihead

    with contextlib.ExitStack() as stack:
        if "vit_input" in functions:
            parts = [
                p.numpy() for p in (model.projection.weight, model.projection.bias,
                                    model.class_token, model.position)
            ]  # fmt: skip
            weight, bias, cls, position = parts[0], parts[1], parts[2][0, 0], parts[3][0]

            def tokens(images):
                made = functions["vit_input"](
                    images.numpy(), weight, bias, cls, position, model.patch
                )
                return Tensor(made)

            stack.enter_context(mock.patch.object(model, "tokens", tokens))
        if "attention" in functions:
            library = multihead.self_attention
            known = inspect.signature(library).parameters

            def attend(qkv, heads=1, causal=False, **how):
                assert set(how) <= set(known)
                if any(value is not None and value != 0 for value in how.values()):
                    return library(qkv, heads=heads, causal=causal, **how)  # a mask, another scale
                rows = zip(*np.split(qkv.numpy(), 3, axis=-1))
                return Tensor(
                    np.stack([functions["attention"](q, k, v, heads, causal) for q, k, v in rows])
                )

            stack.enter_context(mock.patch.object(multihead, "self_attention", attend))
        yield
