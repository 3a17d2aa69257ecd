"""Read-outs of a ViT and its optimizers: [class], mean, MAP; AdamW, Adafactor (C12); 10 seeds.

    python -m minivit.course.runs icon_variants --plan
    python -m minivit.course.runs icon_variants rates     # three rates a variant, on validation
    python -m minivit.course.runs icon_variants variants  # each with its rate, 10 seeds, paired

On the 300 classes that ship: no download is needed. The rule of the verdict: runs/verdicts.py.
"""

import functools

from minivit import manual_seed
from minivit.course.runs import iconnet, plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.models.vit import ViT
from minivit.optim import Adafactor
from minivit.training import icons
from minivit.training.trainer import classification_loss, predict

RUN = "icon_variants"
SEEDS = tuple(range(10))
VARIANTS = {  # name: (what is read out, the optimizer)
    "[class]": ("class", "AdamW"), "mean": ("mean", "AdamW"), "MAP": ("map", "AdamW"),
    "Adafactor": ("class", "Adafactor"),
}  # fmt: skip
RATES = {"AdamW": (1e-3, 2e-3, 4e-3), "Adafactor": (1e-3, 2e-3, 4e-3)}
STEPS, BATCH, SECONDS = 2_000, 64, 0.07  # seconds a step on one core, estimated


@functools.cache
def net():
    return icons.iconnet("shipped")


def fitted(name, variant, seed, rate, steps, part):
    pool, optimizer = VARIANTS[variant]
    manual_seed(seed)
    model = ViT(32, 4, 1, len(net().classes), 48, 3, heads=4, pool=pool)
    images, labels = net().part("train")
    numbers = plans.train(
        RUN, name, model, icons.IconBatches(images, labels, BATCH, seed=seed), classification_loss,
        steps, rate, optimizer=Adafactor(model.parameters(), lr=rate)
        if optimizer == "Adafactor" else None,
    )  # fmt: skip
    plans.forget(RUN, name)
    scores = predict(model, icons.as_input(net().part(part)[0]))
    return {"seed": seed, **numbers, part: iconnet.accuracies(scores, part, net())}


def rates(variant, rate):
    """One rate of one variant, with seed 100: validation only."""
    return fitted(f"rates {variant} {rate}", variant, 100, rate, STEPS, "validation")


def variants(variant, seed):
    """One variant, with the rate that validation liked best."""
    rate = plans.best_rate(RUN, variant, RATES[VARIANTS[variant][1]])
    return fitted(f"variants {variant} {seed}", variant, seed, rate, STEPS, "test")


PARTS = {
    "rates": [
        Job(rates, (v, r), STEPS * SECONDS) for v, (_, o) in VARIANTS.items() for r in RATES[o]
    ],
    "variants": [Job(variants, (v, s), STEPS * SECONDS) for s in SEEDS for v in VARIANTS],
}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/icon_variants.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
