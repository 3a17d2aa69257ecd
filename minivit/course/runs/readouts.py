"""Read-outs and optimizers of the ViT on MNIST: [class], MAP; AdamW, Adafactor (C12); ten seeds.

    python -m minivit.course.runs readouts --plan
    python -m minivit.course.runs readouts rates     # three rates a variant, on validation
    python -m minivit.course.runs readouts variants  # each with its rate, ten seeds, paired

The nets, the shifted images, the validation part and the steps are those of `runs.bias`. The rule
of the verdict is `verdicts.C12`; its intervals are over the seeds.
"""

from minivit import manual_seed
from minivit.course.runs import bias, plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.course.runs.scaling import model
from minivit.optim import Adafactor
from minivit.training.trainer import accuracy, classification_loss

RUN = "readouts"
SEEDS = tuple(range(10))
VARIANTS = {"[class]": ("class", "AdamW"), "MAP": ("map", "AdamW"),
            "Adafactor": ("class", "Adafactor")}  # fmt: skip


def fitted(name, variant, rate, seed, train, test):
    """(accuracy on test, numbers of the training); train, test: (images, labels)."""
    pool, optimizer = VARIANTS[variant]
    m = model("ViT", "MNIST", seed, pool=pool)
    manual_seed(seed)
    numbers = plans.train(
        RUN, name, m, bias.Digits(*train, seed, bias.SHIFT, None), classification_loss,
        bias.STEPS["ViT"], rate, warmup=30,
        optimizer=Adafactor(m.parameters(), lr=rate) if optimizer == "Adafactor" else None,
    )  # fmt: skip
    plans.forget(RUN, name)
    return accuracy(m, *test), numbers


def rates(variant, rate):
    """One rate of one variant: validation only."""
    digits, train, validation = bias.split()
    parts = [(digits.train_images[i], digits.train_labels[i]) for i in (train, validation)]
    found, numbers = fitted(f"rates {variant} {rate}", variant, rate, bias.SEED_OF_RATES, *parts)
    return {**numbers, "validation": {"top-1": found}}


def chosen(variant):
    """The rate that validation liked best; the [class] net is the ViT of `runs.bias`."""
    if variant == "[class]":
        return bias.chosen("ViT")
    return plans.best_rate(RUN, variant, bias.RATES)


def variants(variant, seed):
    """One variant on all training images, with its rate."""
    digits, name = bias.split()[0], f"variants {variant} {seed}"
    train = digits.train_images, digits.train_labels
    test = digits.test_images, digits.test_labels
    found, numbers = fitted(name, variant, chosen(variant), seed, train, test)
    return {**numbers, "test": {"top-1": found}}


PARTS = {
    "rates": [
        Job(rates, (v, r), bias.SECONDS) for v in VARIANTS for r in bias.RATES if v != "[class]"
    ],
    "variants": [Job(variants, (v, s), bias.SECONDS) for s in SEEDS for v in VARIANTS],
}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__.partition("\n")[0])


def results():
    """The content of data/results/readouts.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
