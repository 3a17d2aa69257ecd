"""Read-outs and optimizers of the ViT on MNIST: [class], MAP; AdamW, Adafactor (C12); ten seeds.

    python -m minivit.course.runs readouts --plan
    python -m minivit.course.runs readouts rates     # three rates a variant, on validation
    python -m minivit.course.runs readouts variants  # each with its rate, ten seeds, paired

The nets, the shifted images and the validation part are those of `runs.bias`; the steps are three
times as many. With its 900 steps (commit b07133a, 91% of the digits named) nothing was settled:
MAP - [class] from -1.6 to 2.0 points, Adafactor - AdamW from -2.6 to 0.4. Seeds differ less where
nets have learnt more. The rule is the same, `verdicts.C12`; its intervals are over the seeds.
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
STEPS, SECONDS = 3 * bias.STEPS["ViT"], 160  # seconds of one core a job, about
VARIANTS = {"[class]": ("class", "AdamW"), "MAP": ("map", "AdamW"),
            "Adafactor": ("class", "Adafactor")}  # fmt: skip


def fitted(name, variant, rate, seed, train, test):
    """(accuracy on test, numbers of the training); train, test: (images, labels)."""
    pool, optimizer = VARIANTS[variant]
    m = model("ViT", "MNIST", seed, pool=pool)
    manual_seed(seed)
    numbers = plans.train(
        RUN, name, m, bias.Digits(*train, seed, bias.SHIFT, None), classification_loss,
        STEPS, rate, warmup=30,
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
    """The rate that validation liked best."""
    return plans.best_rate(RUN, variant, bias.RATES)


def variants(variant, seed):
    """One variant on all training images, with its rate."""
    digits, name = bias.split()[0], f"variants {variant} {seed}"
    train = digits.train_images, digits.train_labels
    test = digits.test_images, digits.test_labels
    found, numbers = fitted(name, variant, chosen(variant), seed, train, test)
    return {**numbers, "test": {"top-1": found}}


PARTS = {
    "rates": [Job(rates, (v, r), SECONDS) for v in VARIANTS for r in bias.RATES],
    "variants": [Job(variants, (v, s), SECONDS) for s in SEEDS for v in VARIANTS],
}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__.partition("\n")[0])


def results():
    """The content of data/results/readouts.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
