"""Run by test_distributed.py under `mpiexec -n 4`: 1, 2, 3 and 4 ranks against one process.

Each size is the first ranks of the four, on a communicator of their own. Prints one JSON line.
"""

import json
import sys

import numpy as np
from mpi4py import MPI

import minivit as mv
from minivit import functions, nn, no_grad
from minivit.functions import IGNORED
from minivit.models import clip
from minivit.models.bert import BERT
from minivit.models.gpt import GPT
from minivit.models.vit import ViT
from minivit.training import distributed, ranks
from minivit.training.trainer import classification_loss
from tests import strict

ALL = MPI.COMM_WORLD


def double(model):
    for _, p in model.named_tensors():
        p.data = p.data.astype(np.float64)
    return model


def vit():
    mv.manual_seed(0)
    model = double(ViT(8, 2, 1, classes=10, width=24, layers=2, heads=3))
    model.head.bias.requires_grad = False
    model.unused = nn.Parameter(np.ones(3))  # gets no gradient from anybody
    return model


def images(n, side=8, channels=1, seed=0):
    return np.random.default_rng(seed).standard_normal((n, side, side, channels))


def clip_model(frozen=()):
    mv.manual_seed(0)
    image = clip.VisionTransformer(8, 4, 16, 1, 2)
    model = double(clip.CLIP(image, clip.TextTransformer(30, 6, 12, 1, 2), 16, 12, 10))
    for name, p in model.named_parameters():
        p.requires_grad = not name.startswith(tuple(frozen))
    return model


def texts(n):
    ids = np.random.default_rng(1).integers(1, 29, (n, 6))
    ids[:, -1] = 29
    return ids


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


def plain(loss, model, batch):
    value = loss(model, *batch)
    value.backward()
    return value.item(), gradients(model)


def difference(ours, theirs):
    """The largest difference of the values and of each gradient, in units of its largest number."""
    (a, ga), (b, gb) = ours, theirs
    assert ga.keys() == gb.keys()
    worst = abs(a - b) / max(1e-3, abs(b))
    for name, g in gb.items():
        assert (g is None) == (ga[name] is None), name
        if g is not None and g.size:
            worst = max(worst, abs(ga[name] - g).max() / max(1e-3, abs(g).max()))
    return worst


def classification(group, n):
    batch = mv.Tensor(images(n)), np.arange(n) % 10
    model = vit()
    value = distributed.backward(classification_loss, model, batch, group)
    return difference((value, gradients(model)), plain(classification_loss, vit(), batch))


def contrastive(group, n, frozen=()):
    batch = mv.Tensor(images(n, 8, 3)), texts(n)
    model = clip_model(frozen)
    value = distributed.backward(distributed.contrastive_loss, model, batch, group)
    one = plain(lambda model, I, T: model.loss(I, T), clip_model(frozen), batch)
    return difference((value, gradients(model)), one)


def language(group, n):
    """A mean over tokens, of which the rows have as many as they like, or none; and over labels."""
    rng = np.random.default_rng(n)
    ids, lengths = rng.integers(0, 20, (n, 7)), rng.integers(0, 8, n)
    real = np.arange(7) < lengths[:, None]
    labels = np.where(rng.random((n, 7)) < 0.2, ids, IGNORED)
    labels[: n // 2] = IGNORED
    worst = []
    for build, loss, batch in (
        (lambda: GPT(20, 8, 8, 1, 2), GPT.loss, (ids, real)),
        (lambda: BERT(20, 8, 8, 1, 2, dropout=0.0), BERT.loss, (ids, labels)),
        (lambda: GPT(20, 8, 8, 1, 2), GPT.loss, (ids, np.zeros_like(real))),  # nothing counts
    ):
        models = []
        for _ in range(2):
            mv.manual_seed(0)
            models.append(double(build()))
        value = distributed.backward(loss, models[0], batch, group)
        ours = value, gradients(models[0])
        worst.append(difference(ours, plain(loss, models[1], batch)))
    return max(worst)


def gathering(group):
    """The three functions carry uneven rows, none, numbers without axes, views, dtypes."""
    r, size = group.rank, group.size
    for dtype in (np.float32, np.float64, np.int64, np.uint8):
        rows = group.all_gather(np.full((r, 3), r, dtype))
        assert rows.dtype == dtype and rows.tolist() == [
            [i] * 3 for i in range(size) for _ in range(i)
        ]
        total = group.all_reduce(np.arange(12, dtype=dtype).reshape(3, 4).T[:, ::2] + dtype(r))
        expected = size * np.arange(12).reshape(3, 4).T[:, ::2] + size * (size - 1) // 2
        assert total.dtype == dtype and np.array_equal(total, expected)
    assert group.all_reduce(np.array(1.5)).item() == 1.5 * size
    assert group.all_reduce(np.zeros((0, 2))).shape == (0, 2)
    assert group.broadcast(np.array([r, 7]), root=size - 1).tolist() == [size - 1, 7]
    facts = group.gather_facts({"rank": r, "text": "é" * r})
    assert facts == [{"rank": i, "text": "é" * i} for i in range(size)]
    rng = np.random.default_rng(r)
    arrays = [
        rng.standard_normal(s).astype(d) for s in ((0,), (3, 2), (), (0,), (7,)) for d in "efd"
    ]
    everything = [np.random.default_rng(i) for i in range(size)]
    everything = [
        [g.standard_normal(s).astype(d) for s in ((0,), (3, 2), (), (0,), (7,)) for d in "efd"]
        for g in everything
    ]
    for bucket in (1, 30, 1 << 20):  # bytes: one array each, a few, all
        distributed.BUCKET = bucket
        for i, total in enumerate(distributed.all_reduce(arrays, group)):
            expected = sum(a[i].astype(np.float64) for a in everything)
            tolerance = {2: 4e-3, 4: 1e-6, 8: 1e-14}[total.itemsize]
            assert total.dtype == arrays[i].dtype and total.shape == arrays[i].shape
            np.testing.assert_allclose(total, expected, rtol=tolerance, atol=tolerance)
    distributed.BUCKET = 4 << 20


def on_the_stand_in(group):
    """Arrays of a device travel as host copies and come back to it: CuPy's stand-in refuses all
    else."""
    strict.install()
    x, pairs = images(5), images(3, 8, 3)
    for model, loss, plain_loss, batch in (
        (vit, classification_loss, classification_loss, (x, np.arange(5))),
        (clip_model, distributed.contrastive_loss, lambda m, I, T: m.loss(I, T), (pairs, texts(3))),
    ):
        floats, integers = batch
        there = model().to("strict")
        value = distributed.backward(
            loss, there, (mv.Tensor(floats, device="strict"), integers), group
        )
        ours = gradients(there)
        assert {mv.backend.device_of(g) for g in ours.values() if g is not None} == {"strict"}
        ours = {k: None if g is None else mv.backend.to_numpy(g) for k, g in ours.items()}
        here = plain(plain_loss, model(), (mv.Tensor(floats), integers))
        yield difference((value, ours), here)


def without_gradients(group):
    with no_grad(), ranks.sharing(group):
        here = distributed.part(7, group.rank, group.size)
        share = distributed.contrastive_loss(
            clip_model(), mv.Tensor(images(7, 8, 3))[here], texts(7)[here]
        )
    assert not share.requires_grad
    whole = clip_model().loss(mv.Tensor(images(7, 8, 3)), texts(7)).item()
    return abs(group.all_reduce(share.data).item() - whole)


def twice(group):
    """The derivative of the gathering itself: each rank reads all rows, with weights of its own."""
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((5, 3)), rng.standard_normal((group.size, 5, 3))
    here = distributed.part(5, group.rank, group.size)
    mine = mv.Tensor(x[here], requires_grad=True)
    with ranks.sharing(group):
        y, first = distributed.gather_rows(mine)
        (functions.sigmoid(y) * w[group.rank]).sum().backward()
    assert first == here.start
    s = 1 / (1 + np.exp(-x))
    return abs(mine.grad - (s * (1 - s) * w.sum(axis=0))[here]).max(initial=0)


def main():
    ranks.world()  # an error on one rank ends all
    found = {}
    for size in (1, 2, 3, 4):
        comm = ALL.Split(0 if ALL.rank < size else 1, ALL.rank)
        if ALL.rank >= size:
            continue
        group = ranks.Ranks(comm) if size > 1 else ranks.Alone()
        if size > 1:
            gathering(group)
        found[size] = {
            **{f"classification of {n}": classification(group, n) for n in (23, 3)},
            **{f"contrastive loss of {n}": contrastive(group, n) for n in (23, 3, 1)},
            "frozen text encoder": contrastive(group, 3, ("text_encoder", "W_t")),
            "only the temperature": contrastive(group, 3, ("text_encoder", "image_encoder", "W")),
            "no gradients": without_gradients(group),
            **{f"tokens of {n}": language(group, n) for n in (9, 3)},
            "the gathering": twice(group),
            "the stand-in of a GPU": max(on_the_stand_in(group)),
        }
    worst = {key: max(row.values()) for key, row in found.items()}
    everybody = ALL.gather((worst, found))
    if ALL.rank == 0:
        print(json.dumps({"ranks": [w for w, _ in everybody], "found": everybody[0][1]}))


if __name__ == "__main__":
    sys.exit(main())
