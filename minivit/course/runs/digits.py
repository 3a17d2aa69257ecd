"""A small ViT on handwritten digits, kept: a page draws what it looks at.

    python -m minivit.course.runs digits    # a minute of one core

The recipe is that of lecture 5, seed 0, at half its width: 8 x 8 pixels, patches of 2, four layers
of four heads, 800 steps; each image is moved by up to half a pixel each time it is used.
"""

import time

import numpy as np

import minivit
from minivit import manual_seed
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.engine import backend
from minivit.models.vit import ViT
from minivit.optim import AdamW, decay_groups, warmup_cosine
from minivit.training import data
from minivit.training.trainer import Trainer, accuracy

RUN = "digits"
STEPS, BATCH, RATE, DECAY, SEED = 800, 64, 3e-3, 0.05, 0
WIDTH = 32
MOST = 0.5  # pixels, in each direction


class Moved(data.Batches):
    """Batches whose images are moved; batch `step` is always the same."""

    def __getitem__(self, step):
        images, labels = super().__getitem__(step)
        rng = np.random.default_rng([self.seed, step])
        return data.moved(images, *rng.uniform(-MOST, MOST, (2, len(images)))), labels


def net():
    """The ViT, as data/models/digits."""
    digits, start = data.digits(), time.process_time()
    manual_seed(SEED)
    model = ViT(image=8, patch=2, channels=1, classes=10, width=WIDTH, layers=4, heads=4)
    batches = Moved(digits.train_images, digits.train_labels, batch_size=BATCH, seed=SEED)
    optimizer = AdamW(decay_groups(model, weight_decay=DECAY), lr=RATE)
    schedule = lambda step: warmup_cosine(step, STEPS, warmup=50)  # noqa: E731
    Trainer(model, optimizer, batches, schedule=schedule, clip=1.0).run(STEPS)
    folder = record.folder() / "models" / "digits"
    minivit.save(model, folder, labels=digits.classes, dtype="float16")
    kept = minivit.load(folder).model.to(backend.default_device())  # as it is rounded
    right = accuracy(kept, digits.test_images, digits.test_labels)
    print(f"{right:.1%} of {digits.name}'s test")
    return {"accuracy": right, "cpu seconds": round(time.process_time() - start, 1)}


PARTS = {"net": [Job(net, (), 60)]}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)
