"""ViT against a convolutional net, and what scales: three seeds of what the lecture compares.

    python -m minivit.course.runs scaling            # all parts, in order; or one or more of:
    python -m minivit.course.runs scaling rates      # three rates a net and data set, on validation
    python -m minivit.course.runs scaling images     # ViT and ResNet on 100 ... all of MNIST, plain
    python -m minivit.course.runs scaling sets       # both on the other data sets that ship
    python -m minivit.course.runs scaling sizes      # four widths of ViT, asked at five steps
    python -m minivit.course.runs scaling variants   # pooling, positions, optimizers
    python -m minivit.course.runs scaling head       # weight decay on the head, few-shot transfer

Each run is added to data/results/scaling.json when it is done; one that is there is not made
again. A run takes a minute or less, so an interruption loses no more than that.
"""

import functools
import time

import numpy as np

from minivit import Tensor, manual_seed, no_grad
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.course.runs.results import thinned
from minivit.engine import backend
from minivit.models.resnet import ResNet
from minivit.models.scaling import few_shot
from minivit.models.vit import ViT
from minivit.optim import Adafactor, Adam, AdamW, decay_groups, rsqrt_schedule, warmup_cosine
from minivit.training import data
from minivit.training.trainer import Trainer, accuracy

RUN = "scaling"
SEEDS, MORE_SEEDS = (0, 1, 2), tuple(range(10))  # more: of the two decays that C11 compares
BATCH = 64
STEPS = {"ViT": 1200, "ResNet": 400}  # about the same compute: a step of the ResNet takes longer
RATES, SEED_OF_RATES = (1e-3, 3e-3, 9e-3), 7
VARIANT_STEPS = 800
SETS = {  # name: (side, patch, channels, classes)
    "digits": (8, 2, 1, 10),
    "MNIST": (28, 4, 1, 10),
    "emoji": (32, 4, 3, 9),
}
IMAGES = (100, 400, 1600, 4000)
WIDTHS, MARKS = (16, 32, 64, 96), (50, 100, 200, 400, 800)
HEAD_DECAYS, BODY_DECAY, HEAD_STEPS = (0.0, 0.3, 3.0, 30.0, 300.0), 0.03, 1600
SHOTS, TASKS = (1, 5, 10), ("groups of unseen emoji", "MNIST")


# -- data and models -------------------------------------------------------------------------------
@functools.cache
def dataset(name):
    """(train images, labels, test images, labels). Emoji: the nine groups, on unseen concepts."""
    if name != "emoji":
        split = {"digits": data.digits, "MNIST": data.mnist5k}[name]()
        return split.train_images, split.train_labels, split.test_images, split.test_labels
    emoji, images, concepts = _emoji()
    unseen = emoji.held_out[concepts]
    groups = emoji.groups[concepts]
    return images[~unseen], groups[~unseen], images[unseen], groups[unseen]


def _emoji(styles=data.STYLES):
    emoji = data.emoji()
    images = np.concatenate([emoji.images[s] for s in styles])
    return emoji, images, np.concatenate([emoji.concepts[s] for s in styles])


def model(kind, name, seed, **options):
    """A "ViT" or "ResNet" of about 85,000 parameters for a data set."""
    side, patch, channels, classes = SETS[name]
    manual_seed(seed)
    if kind == "ResNet":
        return ResNet(channels, classes, width=16, blocks=(1, 1, 1))
    options = {"width": 48, "layers": 3, "heads": 4, **options}
    return ViT(side, patch, channels, classes, **options)


def subset(labels, n, seed):
    """n places, the classes as even as can be."""
    order = np.random.default_rng(seed).permutation(len(labels))
    rank = np.zeros(len(labels), int)
    for c in np.unique(labels):
        rank[order[labels[order] == c]] = np.arange((labels == c).sum())
    return order[np.argsort(rank[order], kind="stable")[:n]]


def trainer(m, images, labels, seed, rate, steps, optimizer=None, schedule=None):
    """AdamW, a warm-up and half a cosine, gradients clipped."""
    batches = data.Batches(images, labels, batch_size=min(BATCH, len(images)), seed=seed)
    return Trainer(
        m, optimizer or AdamW(decay_groups(m, 0.05), lr=rate, betas=(0.9, 0.98)), batches,
        schedule=schedule or (lambda step: warmup_cosine(step, steps, warmup=30)), clip=1.0,
    )  # fmt: skip


def fitted(kind, name, seed, n=None, steps=None, optimizer=None, rate=None, parts=None, **options):
    """Train on n images (None: all): (model, numbers). rate: None, what validation liked best.
    parts: None, those of the data set."""
    images, labels, test, test_labels = parts or dataset(name)
    some = subset(labels, n, seed) if n else slice(None)
    m, steps, rate = (
        model(kind, name, seed, **options),
        steps or STEPS[kind],
        rate or chosen(kind, name),
    )
    start = time.process_time()
    run = trainer(
        m, images[some], labels[some], seed, rate, steps, optimizer and optimizer(m, rate)
    )
    losses = run.run(steps)["loss"]
    return m, {
        "accuracy": accuracy(m, test, test_labels), "parameters": m.count_parameters(),
        "steps": steps, "rate": rate, "loss": thinned(losses, 40),
        "cpu seconds": round(time.process_time() - start, 1),
    }  # fmt: skip


# -- rates -----------------------------------------------------------------------------------------
def validation(name):
    """Indices (to train, validation) of training images: a fifth; of emoji, of the concepts."""
    labels = dataset(name)[1]
    if name != "emoji":
        return data.stratified(labels, len(labels) // 5, seed=0)
    emoji, _, concepts = _emoji()
    concepts = concepts[~emoji.held_out[concepts]]
    kinds = np.random.default_rng(0).permutation(np.unique(concepts))
    held = np.isin(concepts, kinds[: len(kinds) // 5])
    return np.flatnonzero(~held), np.flatnonzero(held)


def rates(kind, name, rate):
    """One rate of one net on one data set: validation only."""
    images, labels, *_ = dataset(name)
    train, held = validation(name)
    parts = images[train], labels[train], images[held], labels[held]
    numbers = fitted(kind, name, SEED_OF_RATES, rate=rate, parts=parts)[1]
    return {"validation": numbers.pop("accuracy"), **numbers}


def chosen(kind, name):
    """The rate that validation liked best; a net on fewer images, a variant of it and another task
    on the same pictures have it, too."""
    of = lambda numbers: numbers["validation"]  # noqa: E731
    return plans.best_rate("scaling", f"{kind} {name}", RATES, of, results())


# -- the runs --------------------------------------------------------------------------------------
def images(kind, n, seed):
    """One net on n images of MNIST."""
    return fitted(kind, "MNIST", seed, n)[1]


def sets(kind, name, seed):
    """One net on one of the other data sets."""
    return fitted(kind, name, seed)[1]


def sizes(width, seed):
    """One ViT, asked at several steps of one run: its schedule decays with the inverse square root,
    and nobody has to know the end beforehand."""
    train, labels, test, test_labels = dataset("MNIST")
    m = model("ViT", "MNIST", seed, width=width)
    start = time.process_time()
    rate = chosen("ViT", "MNIST")
    run = trainer(
        m, train, labels, seed, rate, MARKS[-1],
        schedule=lambda step: rsqrt_schedule(step, MARKS[-1], warmup=30, timescale=100),
    )  # fmt: skip
    errors = []
    for mark in MARKS:
        run.run(mark)
        errors.append(1 - accuracy(m, test, test_labels))
    return {
        "steps": list(MARKS), "rate": rate, "errors": errors, "parameters": m.count_parameters(),
        "cpu seconds": round(time.process_time() - start, 1),
    }  # fmt: skip


def variant(what, name, seed):
    """The ViT on all images of MNIST, with one thing changed."""
    optimizers = {
        "Adam": lambda m, rate: Adam(m.parameters(), lr=rate, betas=(0.9, 0.98)),
        "Adafactor": lambda m, rate: Adafactor(m.parameters(), lr=rate),
    }
    changed = {"optimizer": optimizers[name]} if what == "optimizer" else {what: name}
    return fitted("ViT", "MNIST", seed, steps=VARIANT_STEPS, **changed)[1]


def head_decay(decay, seed):
    """Train on the subgroups of seen emoji; then few-shot, from frozen features, on the groups of
    unseen emoji and on digits."""
    emoji, pictures, concepts = _emoji(data.STYLES[:-1])
    _, new_pictures, new_concepts = _emoji(data.STYLES[-1:])
    seen, new_seen = ~emoji.held_out[concepts], ~emoji.held_out[new_concepts]
    kinds, labels = np.unique(emoji.subgroups[concepts[seen]], return_inverse=True)
    manual_seed(seed)
    m = ViT(32, 8, 3, len(kinds), width=64, layers=3, heads=4)
    body = decay_groups(m, BODY_DECAY)
    body[0]["params"] = [p for p in body[0]["params"] if p is not m.head.weight]
    groups = [*body, {"params": [m.head.weight], "weight_decay": decay}]
    start, rate = time.process_time(), chosen("ViT", "emoji")
    run = trainer(
        m, pictures[seen], labels, seed, None, HEAD_STEPS,
        optimizer=AdamW(groups, lr=rate, betas=(0.9, 0.98)),
    )  # fmt: skip
    losses = run.run(HEAD_STEPS)["loss"]
    upstream = np.searchsorted(kinds, emoji.subgroups[new_concepts[new_seen]])
    known = np.isin(emoji.subgroups[new_concepts[new_seen]], kinds)
    result = {
        "upstream accuracy": accuracy(m, new_pictures[new_seen][known], upstream[known]),
        "head norm": float(np.linalg.norm(m.head.weight.numpy())), "rate": rate,
        "loss": thinned(losses, 40), "cpu seconds": round(time.process_time() - start, 1),
    }  # fmt: skip
    for task, (x, y, z, w) in _few_shot_tasks().items():
        a, b = features(m, x), features(m, z)
        result[task] = {
            str(k): [few_shot(a, y, b, w, k, seed=draw) for draw in range(5)] for k in SHOTS
        }
    return result


@functools.cache
def _few_shot_tasks():
    emoji, pictures, concepts = _emoji()
    unseen, odd = emoji.held_out[concepts], concepts % 2 == 1
    groups = emoji.groups[concepts]
    pool, test = unseen & odd, unseen & ~odd
    enough = [c for c in np.unique(groups[pool]) if (groups[pool] == c).sum() >= max(SHOTS)]
    pool, test = pool & np.isin(groups, enough), test & np.isin(groups, enough)
    digits = [x.repeat(3, axis=3) for x in (dataset("MNIST")[0], dataset("MNIST")[2])]
    digits = [np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-1) for x in digits]
    of_emoji = pictures[pool], groups[pool], pictures[test], groups[test]
    of_mnist = digits[0], dataset("MNIST")[1], digits[1], dataset("MNIST")[3]
    return dict(zip(TASKS, (of_emoji, of_mnist)))


@no_grad()
def features(m, pictures, size=256):
    """The head's input: (n, D)."""
    parts = (pictures[i : i + size] for i in range(0, len(pictures), size))
    m.eval()
    device = backend.default_device()
    return np.concatenate([m.features(Tensor(some, device=device)).numpy() for some in parts])


# -- bookkeeping -----------------------------------------------------------------------------------
NETS = ("ViT", "ResNet")
VARIANTS = (
    ("pool", "class"),
    ("pool", "mean"),
    ("pool", "map"),
    ("positions", "sincos"),
    ("positions", "none"),
    ("optimizer", "Adam"),
    ("optimizer", "Adafactor"),
)  # the first is the ViT as it is
SECONDS = {"ViT digits": 20, "ViT MNIST": 40, "ViT emoji": 75, "ResNet digits": 10,
           "ResNet MNIST": 53, "ResNet emoji": 75}  # of a training, measured  # fmt: skip
PARTS = {
    "rates": [Job(rates, (k, name, rate), 1.4 * SECONDS[f"{k} {name}"])
              for name in SETS for k in NETS for rate in RATES],
    "images": [Job(images, (k, n, s), SECONDS[f"{k} MNIST"])
               for s in SEEDS for n in IMAGES for k in NETS],
    "sets": [Job(sets, (k, name, s), SECONDS[f"{k} {name}"])
             for s in SEEDS for name in ("digits", "emoji") for k in NETS],
    "sizes": [Job(sizes, (w, s), 0.65 * w) for s in SEEDS for w in WIDTHS],
    "variants": [Job(variant, (what, name, s), 27) for s in SEEDS for what, name in VARIANTS],
    "head": [Job(head_decay, (d, s), 38) for s in MORE_SEEDS for d in HEAD_DECAYS
             if s in SEEDS or d in (0.0, 3.0)],
}  # fmt: skip


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/scaling.json: {run: numbers}, and the machine."""
    return record.kept(RUN)
