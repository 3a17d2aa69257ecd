"""Decay of the head and few-shot transfer to icons of classes and families never seen (C11).

    python -m minivit.course.runs icon_few_shot --plan
    python -m minivit.course.runs icon_few_shot decay   # five strengths, 5 seeds, paired

A ViT learns half of the classes of IconNet (`minivit data icons`) on the training families, the
body decayed by 0.03. Then, from frozen features, the other half on the test families: 1, 5 and 10
examples of each class with 20 pictures or more there. The rule of the verdict: runs/verdicts.py.
"""

import functools

import numpy as np

from minivit import Tensor, manual_seed, no_grad
from minivit.course.runs import iconnet, plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.models.scaling import few_shot
from minivit.models.vit import ViT
from minivit.optim import AdamW, decay_groups
from minivit.training import icons
from minivit.training.trainer import classification_loss

RUN = "icon_few_shot"
SEEDS = (0, 1, 2, 3, 4)
DECAYS, BODY = (0.0, 0.03, 0.3, 3.0, 30.0), 0.03
SHOTS, DRAWS = (1, 5, 10), 5
STEPS, BATCH, RATE, SECONDS = 4_000, 128, 1e-3, 0.45


@functools.cache
def upstream():
    """(images, labels, classes) of every second class, on the training families."""
    images, labels = iconnet.net().part("train")
    chosen = labels % 2 == 0
    kinds, numbers = np.unique(labels[chosen], return_inverse=True)
    return images[chosen], numbers, len(kinds)


@functools.cache
def downstream():
    """(images, labels, pool or not) of the other classes, on the test families."""
    images, labels = iconnet.net().part("test")
    enough = np.flatnonzero(np.bincount(labels) >= 20)
    chosen = np.flatnonzero((labels % 2 == 1) & np.isin(labels, enough))
    pool = np.zeros(len(chosen), bool)
    rng = np.random.default_rng(0)
    for c in np.unique(labels[chosen]):
        of = np.flatnonzero(labels[chosen] == c)
        pool[rng.permutation(of)[: len(of) // 2]] = True
    return images[chosen], labels[chosen], pool


@no_grad()
def features(model, images):
    device = model.projection.weight.device
    starts = range(0, len(images), 512)
    some = (Tensor(icons.as_input(images[i : i + 512]), device=device) for i in starts)
    return np.concatenate([model.features(x).numpy() for x in some])


def decay(strength, seed):
    """One strength of decay on the head."""
    images, labels, classes = upstream()
    name = f"decay {strength} {seed}"
    manual_seed(seed)
    model = ViT(32, 4, 1, classes, 64, 4, heads=4)
    body = decay_groups(model, BODY)
    body[0]["params"] = [p for p in body[0]["params"] if p is not model.head.weight]
    groups = [*body, {"params": [model.head.weight], "weight_decay": strength}]
    numbers = plans.train(
        RUN, name, model, icons.IconBatches(images, labels, BATCH, seed=seed), classification_loss,
        STEPS, RATE, optimizer=AdamW(groups, lr=RATE, betas=(0.9, 0.98)),
    )  # fmt: skip
    plans.forget(RUN, name)
    images, labels, pool = downstream()
    f = features(model, images)
    shots = {
        str(k): [few_shot(f[pool], labels[pool], f[~pool], labels[~pool], k, d)
                 for d in range(DRAWS)] for k in SHOTS
    }  # fmt: skip
    return {
        "seed": seed, **numbers, "shots": shots, "classes": len(np.unique(labels)),
        "head norm": float(np.linalg.norm(model.head.weight.numpy())),
    }  # fmt: skip


PARTS = {"decay": [Job(decay, (d, s), STEPS * SECONDS) for s in SEEDS for d in DECAYS]}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/icon_few_shot.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
