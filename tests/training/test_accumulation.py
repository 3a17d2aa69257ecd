"""Gradients in pieces are those of the whole batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import nn, optim
from minivit.engine.errors import OptionError, ShapeError
from minivit.functions import IGNORED
from minivit.models.clip import CLIP, BagOfWords
from minivit.models.gpt import GPT
from minivit.models.image_gpt import ImageGPT
from minivit.models.seq2seq import Seq2Seq
from minivit.models.vit import ViT
from minivit.training.accumulation import backward, cut
from minivit.training.parallel import DataParallel
from minivit.training.trainer import Trainer, classification_loss
from tests.memory import traced


class Tagger(nn.Module):
    """Each token (B, N, 3) to 4 classes."""

    def __init__(self):
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(x)


@given(
    n=st.integers(1, 9), pieces=st.integers(1, 10), seed=st.integers(0, 99),
    ignored=st.sampled_from([0.0, 0.5, 0.9, 1.0]), threads=st.booleans(),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_pieces_give_the_loss_and_gradients_of_the_whole(n, pieces, seed, ignored, threads):
    """Labels that are left out lie unevenly; pieces that do not divide, or are more than examples;
    and the same of two threads."""
    pytest.importorskip("threadpoolctl")
    r = np.random.default_rng(seed)
    x = mv.Tensor(r.standard_normal((n, 5, 3)).astype(np.float32))
    labels = np.where(r.random((n, 5)) < ignored, IGNORED, r.integers(0, 4, (n, 5)))
    model, results = Tagger(), []
    loss = DataParallel(classification_loss) if threads else classification_loss
    for f, k in ((classification_loss, 1), (loss, pieces)):
        model.zero_grad()
        value = backward(f, model, [x, labels], k)
        results.append([value, *(p.grad.copy() for p in model.parameters())])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@given(n=st.integers(1, 6), pieces=st.integers(2, 4), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_mean_over_tokens_is_weighed_by_tokens(n, pieces, seed):
    """Padding lies unevenly; the losses of the models say over how many tokens they are means."""
    r = np.random.default_rng(seed)
    ids, real = r.integers(0, 9, (n, 6)), np.arange(6) < r.integers(0, 7, n)[:, None]
    source = r.integers(0, 9, (n, 3))
    for build, loss, batch in (
        (lambda: GPT(9, 8, 8, 1, 2), GPT.loss, [ids, real]),
        (lambda: Seq2Seq(9, 0, 1, 8, 8, 1, 2, dropout=0.0), Seq2Seq.loss,
         [source, ids, source > -1, real]),
        (lambda: ImageGPT(9, 6, 8, 1, 2), ImageGPT.bert_loss, [ids, real]),
    ):  # fmt: skip
        results = []
        for k in (1, pieces):
            mv.manual_seed(0)
            model = build()
            value = backward(loss, model, batch, k)
            results.append([value, *(p.grad for p in model.parameters() if p.grad is not None)])
        for a, b in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


class Batches:
    def __getitem__(self, step):
        r = np.random.default_rng(step)
        images = r.standard_normal((7, 4, 4, 1)).astype(np.float32)
        return images, (images.mean(axis=(1, 2, 3)) > 0).astype(np.int64)


def test_a_trainer_makes_the_same_steps():
    runs = []
    for pieces in (1, 3):
        mv.manual_seed(0)
        model = ViT(4, 2, 1, classes=2, width=8, layers=1, heads=2)
        trainer = Trainer(
            model, optim.SGD(model.parameters(), lr=0.1), Batches(), clip=1.0, accumulate=pieces
        )
        history = trainer.run(4, progress=False)
        runs.append([history["loss"], history["norm"], *model.state_dict().values()])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(OptionError, match="Trainer: accumulate is"):
            Trainer(model, trainer.optimizer, Batches(), accumulate=wrong)


def test_a_clip_trains_in_chunks():
    """Every pair meets all others: chunks of the encoders, not pieces of the batch."""
    runs = []
    for chunk in (None, 3):
        mv.manual_seed(0)
        image_encoder = nn.Sequential(nn.Linear(6, 5))
        model = CLIP(image_encoder, BagOfWords(11, 4), 5, 4, 8)
        r = np.random.default_rng(0)
        batch = r.standard_normal((8, 6)).astype(np.float32), r.integers(1, 11, (8, 5))
        trainer = Trainer(
            model, optim.AdamW(model.parameters(), lr=1e-2), [batch] * 4,
            lambda model, I, T, chunk=chunk: model.loss(I, T, chunk),
        )  # fmt: skip
        runs.append(trainer.run(4, progress=False)["loss"])
    np.testing.assert_allclose(*runs, rtol=1e-4)


def test_only_one_piece_is_held():
    model = ViT(16, 2, 1, classes=2, width=16, layers=2, heads=2)
    images, peaks = mv.Tensor(np.ones((32, 16, 16, 1), np.float32)), []
    for pieces in (1, 8):
        with traced() as memory:
            backward(classification_loss, model, [images, np.zeros(32, int)], pieces)
            peaks.append(memory()[1])
    assert peaks[1] < peaks[0] / 4


def test_what_cannot_be_cut():
    x = np.ones((4, 2), np.float32)
    with pytest.raises(ShapeError, match=r"\[4, 3\] examples"):
        cut([x, x[:3]], 2)
    with pytest.raises(OptionError, match="pieces is 0"):
        cut([x], 0)
    assert [len(p[0]) for p, _ in cut([x], 9)] == [1, 1, 1, 1]
