"""Ids of any form and any integer dtype mean the same; what are no ids is refused in words."""

import numpy as np
import pytest

import minivit as mv
from minivit.engine.errors import MinivitError
from minivit.engine.modes import no_grad
from minivit.engine.tensor import Tensor
from minivit.models import clip
from minivit.models.bert import BERT, mask_tokens
from minivit.models.gpt import GPT
from minivit.models.image_gpt import ImageGPT
from minivit.models.seq2seq import Seq2Seq

V = 300  # more than uint8 holds
IDS = np.array([[3, 250, 7, 255], [9, 2, 200, 255]])
MASK = np.array([[True, True, True, False], [True] * 4])
HIDDEN = np.array([[True, False, False, True]] * 2)


def small():
    mv.manual_seed(0)
    vision = clip.VisionTransformer(8, 4, 16, 1, 2)
    models = {
        "gpt": GPT(V, 9, 8, 1, 2),
        "bert": BERT(V, 9, 8, 1, 2),
        "seq2seq": Seq2Seq(V, 0, 1, 9, 8, 1, 2),
        "image_gpt": ImageGPT(V, 9, 8, 1, 2),
        "words": clip.CLIP(vision, clip.BagOfWords(V, 8), 16, 8, 4),
        "clip": clip.CLIP(vision, clip.TextTransformer(256, 9, 16, 1, 2), 16, 16, 4),
    }
    for model in models.values():
        for p in model.parameters():
            p.data[...] += np.random.default_rng(p.size).standard_normal(p.shape) * 0.05
        model.eval()
    return models


M = small()
CALLS = {
    "GPT": lambda ids: M["gpt"](ids),
    "GPT.loss": lambda ids: M["gpt"].loss(ids, MASK),
    "GPT.complete": lambda ids: M["gpt"].complete(ids, 3, temperature=0),
    "GPT.complete, no cache": lambda ids: M["gpt"].complete(ids, 2, use_cache=False, seed=4),
    "BERT": lambda ids: M["bert"](ids, MASK),
    "BERT.loss": lambda ids: M["bert"].loss(ids, ids, MASK, IDS % 2),
    "Seq2Seq": lambda ids: M["seq2seq"](ids, IDS, MASK),
    "Seq2Seq.loss": lambda ids: M["seq2seq"].loss(IDS, ids, MASK, MASK),
    "Seq2Seq.greedy": lambda ids: np.concatenate(M["seq2seq"].greedy(ids, MASK, 3)),
    "ImageGPT": lambda ids: M["image_gpt"](ids),
    "ImageGPT.loss": lambda ids: M["image_gpt"].loss(ids),
    "ImageGPT.bert_loss": lambda ids: M["image_gpt"].bert_loss(ids, HIDDEN),
    "ImageGPT.features": lambda ids: M["image_gpt"].features(ids)[-1],
    "ImageGPT.complete": lambda ids: M["image_gpt"].complete(ids, 7, seed=1),
    "CLIP.encode_text": lambda ids: M["clip"].encode_text(ids),
    "CBOW.encode_text": lambda ids: M["words"].encode_text(ids),
    "mask_tokens": lambda ids: np.stack(mask_tokens(ids, np.random.default_rng(0), 290, V)),
}
FORMS = {
    "list": lambda x: x.tolist(),
    "tuples": lambda x: tuple(map(tuple, x.tolist())),
    "Tensor": lambda x: Tensor(x),
    "Tensor of bytes": lambda x: Tensor(x.astype(np.uint8)),
    "columns first": np.asfortranarray,
    "strides": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
} | {d: lambda x, d=d: x.astype(d) for d in ("u1", "u2", "i2", "i4", "u4", "u8", ">i4")}


def value(x):
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", CALLS)
def test_the_form_of_ids_changes_nothing(name, form):
    with no_grad():
        wanted, got = value(CALLS[name](IDS)), value(CALLS[name](FORMS[form](IDS)))
    assert wanted.shape == got.shape and (wanted == got).all()


WRONG = {
    "floats": IDS.astype(float), "booleans": IDS > 5, "strings": IDS.astype(str), "a text": "hello",
    "bytes": b"ids", "None": None, "a number": 3, "one row": IDS[0], "three axes": IDS[None],
    "ragged": [[1, 2, 3], [4]], "too large": IDS + V, "negative": IDS - 300, "no rows": [],
    "too long": np.ones((2, 40), int), "an object": object(), "a dict": {"ids": IDS},
    "no tokens": np.ones((2, 0), int),
}  # fmt: skip


FINE = {  # a whole picture is drawn; ids that are not looked up; no positions
    ("ImageGPT.complete", "no tokens"), ("mask_tokens", "too long"), ("mask_tokens", "negative"),
    ("mask_tokens", "too large"), ("CBOW.encode_text", "too long"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", CALLS)
def test_what_are_no_ids_is_refused_in_words(name, wrong):
    if (name, wrong) in FINE:
        return
    with pytest.raises(MinivitError), no_grad():
        value(CALLS[name](WRONG[wrong]))


@pytest.mark.parametrize(
    "mask", [MASK.astype(int), MASK[:1], MASK[0], MASK.T, "mask", None, 3, [[True], []]], ids=str
)
@pytest.mark.parametrize(
    "call",
    [
        lambda m: M["gpt"].loss(IDS, m),
        lambda m: M["bert"](IDS, m),
        lambda m: M["seq2seq"](IDS, IDS, m),
        lambda m: M["seq2seq"].loss(IDS, IDS, None, m),
        lambda m: mask_tokens(IDS, np.random.default_rng(0), 0, V, mask=m),
        lambda m: M["image_gpt"].fill(IDS, m if m is not None else HIDDEN),
    ],
)
def test_a_mask_is_booleans_of_the_ids_shape(call, mask):
    if mask is None:
        call(mask)
        return
    with pytest.raises(MinivitError, match=r"mask|hidden"):
        call(mask)


def test_a_generator_leaves_the_model_in_its_mode():
    gpt = GPT(V, 9, 8, 1, 2, dropout=0.5).train()
    stream = gpt.generate(IDS, 3)
    next(stream)
    assert gpt.training and gpt.drop.training
    gpt.drop.eval()  # a part that somebody froze stays as it is
    with gpt.evaluating():
        assert not any(m.training for m in gpt.modules())
    assert gpt.training and not gpt.drop.training


def test_ids_on_a_device_and_a_table_on_the_host():
    from minivit.engine import backend
    from minivit.engine.errors import DeviceError

    ids = backend.to_device(IDS, "strict")
    with pytest.raises(DeviceError, match="Keep ids in NumPy"):
        mv.embedding(M["gpt"].wte.weight, ids)
