"""Read-outs and optimizers of the ViT on MNIST: [class], MAP; AdamW, Adafactor (C12); ten seeds.

    python -m minivit.course.runs readouts --plan
    python -m minivit.course.runs readouts rates     # three rates a variant, on validation
    python -m minivit.course.runs readouts variants  # each with its rate, ten seeds, paired
    python -m minivit.course.runs readouts longer    # both once more, with three times the steps
    python -m minivit.course.runs readouts more      # 20 more seeds of AdamW and Adafactor, as long

The nets, the shifted images, the validation part and the steps are those of `runs.bias`. The rule
of the verdict is `verdicts.C12`; its intervals are over the seeds. With these steps (91% of the
digits are named) nothing is settled: MAP - [class] from -1.6 to 2.0 points, Adafactor - AdamW from
-2.6 to 0.4. Seeds differ less where nets have learnt more, hence the longer ones: rates chosen at
that length, for [class] too; the same rule and seeds; nothing else is changed. Then MAP - [class]
is 0.06 to 1.38 points, and Adafactor - AdamW -1.25 to -0.17, where the rule asks for more than -1.
So 20 more pairs of the two optimizers were planned, to be looked at when all are there: their
interval is that of 30 seeds, whatever it is. It is -0.95 to -0.49.
"""

from minivit import manual_seed
from minivit.course.runs import bias, plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.course.runs.scaling import model
from minivit.optim import Adafactor
from minivit.training.trainer import accuracy, classification_loss

RUN = "readouts"
SEEDS, MORE_SEEDS = tuple(range(10)), tuple(range(10, 30))
STEPS, LONGER = bias.STEPS["ViT"], 3 * bias.STEPS["ViT"]
VARIANTS = {"[class]": ("class", "AdamW"), "MAP": ("map", "AdamW"),
            "Adafactor": ("class", "Adafactor")}  # fmt: skip


def fitted(name, variant, rate, seed, steps, train, test):
    """(accuracy on test, numbers of the training); train, test: (images, labels)."""
    pool, optimizer = VARIANTS[variant]
    m = model("ViT", "MNIST", seed, pool=pool)
    manual_seed(seed)
    numbers = plans.train(
        RUN, name, m, bias.Digits(*train, seed, bias.SHIFT, None), classification_loss,
        steps, rate, warmup=30,
        optimizer=Adafactor(m.parameters(), lr=rate) if optimizer == "Adafactor" else None,
    )  # fmt: skip
    plans.forget(RUN, name)
    return accuracy(m, *test), numbers


def rates(variant, rate, *steps):
    """One rate of one variant: validation only. steps: LONGER, or nothing."""
    digits, train, validation = bias.split()
    parts = [(digits.train_images[i], digits.train_labels[i]) for i in (train, validation)]
    name = record.job_name(rates, variant, rate, *steps)
    seed = bias.SEED_OF_RATES
    found, numbers = fitted(name, variant, rate, seed, *(steps or [STEPS]), *parts)
    return {**numbers, "validation": {"top-1": found}}


def chosen(variant, *steps):
    """The rate that validation liked best; with STEPS the [class] net is the ViT of `runs.bias`."""
    if variant == "[class]" and not steps:
        return bias.chosen("ViT")
    made = {key.removesuffix(f" {LONGER}"): numbers for key, numbers in record.made(RUN).items()
            if key.endswith(f" {LONGER}") == bool(steps)}  # fmt: skip
    return plans.best_rate(RUN, variant, bias.RATES, made=made)


def variants(variant, seed, *steps):
    """One variant on all training images, with its rate."""
    digits = bias.split()[0]
    name = record.job_name(variants, variant, seed, *steps)
    train = digits.train_images, digits.train_labels
    test = digits.test_images, digits.test_labels
    rate = chosen(variant, *steps)
    found, numbers = fitted(name, variant, rate, seed, *(steps or [STEPS]), train, test)
    return {**numbers, "test": {"top-1": found}}


PARTS = {
    "rates": [
        Job(rates, (v, r), bias.SECONDS) for v in VARIANTS for r in bias.RATES if v != "[class]"
    ],
    "variants": [Job(variants, (v, s), bias.SECONDS) for s in SEEDS for v in VARIANTS],
    "longer": [
        *(Job(rates, (v, r, LONGER), 4 * bias.SECONDS) for v in VARIANTS for r in bias.RATES),
        *(Job(variants, (v, s, LONGER), 4 * bias.SECONDS) for s in SEEDS for v in VARIANTS),
    ],
    "more": [
        Job(variants, (v, s, LONGER), 4 * bias.SECONDS)
        for s in MORE_SEEDS for v in ("[class]", "Adafactor")
    ],
}  # fmt: skip


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/readouts.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
