"""Digits at random places of a larger canvas: where in the network are the best features?

    python -m minivit.course.runs canvas               # all parts, in order; or one or more of:
    python -m minivit.course.runs canvas ar            # next pixels: probes, fine-tuned
    python -m minivit.course.runs canvas supervised    # the same network with labels
    python -m minivit.course.runs canvas bert          # hidden pixels: the longest part

The digits of 8x8 pixels are centred: a mean over all raw pixels reads most of them, and so every
layer is about as good as the next. Here each digit stands at a random place of 11x11 pixels. Seed s
has a split of its own (`digits(split_seed=s)`), so that no two seeds share all test images.

The rules of the verdicts, fixed before the runs. 12 layers, three seeds; a run's best layer is that
of the mean validation accuracy.

- C03: a model has its best layer *in the middle* if that is layer 3 to 9 (a quarter of the depth
  from each end) and on the test images it beats the last layer for every seed; *at the end* if it
  is layer 11 or 12 and beats layer 6 for every seed. AR and BERT in the middle, supervised at the
  end: holds. A generative one at the end, or supervised in the middle: does not hold. Else: not at
  this size.
- C06: BERT with five masks; both trained until the mean loss of the last tenth of the steps is
  within 2% of that of the tenth before. AR's probe (best layer) better for every seed, and the mean
  difference after fine-tuning less than half of that before: holds. AR's probe worse for every
  seed, or a difference after that is not smaller for any seed: does not hold. Else: not at this
  size.

Each run is added to data/results/canvas.json when it is done; a run that is there is not made
again, one that was interrupted goes on where it stopped.
"""

import functools

import numpy as np

from minivit import course, manual_seed
from minivit.course.runs import image_gpt, plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.images.palette import Palette
from minivit.models.image_gpt import ImageGPT
from minivit.optim import AdamW, decay_groups, warmup_cosine
from minivit.training import data, probe
from minivit.training.trainer import Trainer

RUN = "canvas"
SEEDS = (0, 1, 2)
SIDE, COPIES = 11, 8  # the canvas, and the places that each digit is trained at
LAYERS, WIDTH, HEADS = 12, 32, 2
BATCH, RATE = 32, 2e-3
STEPS = {"ar": 1400, "bert": 5000, "supervised": 2000}
TUNING_STEPS, TUNING_RATE, HEAD_RATE = 400, 1e-3, 3e-2
PROBED = 2  # places of each training digit that a probe is fitted to
MASKS = image_gpt.MASKS


def place(images, copies, seed):
    """(n, 8, 8, 1) -> (copies n, 11, 11, 1): each image at a random place, in blocks of n."""
    rng = np.random.default_rng(seed)
    n, side = len(images), images.shape[1]
    canvas = np.full((copies, n, SIDE, SIDE, 1), images.min(), images.dtype)
    for copy in canvas:
        for out, image, (y, x) in zip(copy, images, rng.integers(SIDE - side + 1, size=(n, 2))):
            out[y : y + side, x : x + side] = image
    return canvas.reshape(-1, SIDE, SIDE, 1)


@functools.cache
def drawings(seed):
    """(train ids (8 n, 121), their labels, test ids, their labels) of one seed's split."""
    split = data.digits(split_seed=seed)
    palette = Palette.fit(split.train_images, 16)
    train = palette.encode(place(split.train_images, COPIES, [seed, 1]))
    test = palette.encode(place(split.test_images, 1, [seed, 2]))
    return train, np.tile(split.train_labels, COPIES), test, split.test_labels


def raw_pixels(seed):
    """The test accuracy of a probe on the canvas itself."""
    split = data.digits(split_seed=seed)
    train = place(split.train_images, PROBED, [seed, 1]).reshape(-1, SIDE**2)
    test = place(split.test_images, 1, [seed, 2]).reshape(-1, SIDE**2)
    found = probe.LinearProbe(train, np.tile(split.train_labels, PROBED), groups=PROBED)
    return found.accuracy(test, split.test_labels)


def model(seed):
    manual_seed(seed)
    return ImageGPT(16, SIDE**2, WIDTH, LAYERS, HEADS)


def _trainer(model, objective, seed, steps, loss, groups, folder):
    train, labels, *_ = drawings(seed)
    kind = probe.MaskedBatches if objective == "bert" else data.Batches
    arrays = (train,) if loss in (ImageGPT.loss, ImageGPT.bert_loss) else (train, labels)
    return Trainer(
        model,
        AdamW(groups, lr=RATE, betas=(0.9, 0.95)),
        kind(*arrays, batch_size=BATCH, seed=seed),
        loss,
        schedule=lambda step: warmup_cosine(step, steps, warmup=30),
        clip=1.0,
        folder=course.build_folder() / "long" / "canvas" / folder,
        save_every=100,
    )


def _tuner(tuned, objective, seed, steps, loss, folder):
    """The head has a rate of its own, as in `image_gpt.tuner`."""
    body = [{**group, "lr": TUNING_RATE} for group in decay_groups(tuned.model, 0.01)]
    head = {"params": [tuned.classify.weight], "lr": HEAD_RATE, "weight_decay": 0.01}
    return _trainer(tuned, objective, seed, steps, loss, [*body, head], folder)


def probes(model, objective, seed):
    """Probes of all layers on whole images, and of BERT's best layer on images with masks."""
    train, labels, test, test_labels = drawings(seed)
    n = len(train) // COPIES * PROBED
    train, labels, causal = train[:n], labels[:n], objective == "ar"
    found, fitted = {"validation": [], "test": []}, []
    features = zip(*(probe.layer_features(model, x, causal) for x in (train, test)))
    for ours, theirs in features:
        fitted.append(probe.LinearProbe(ours, labels, groups=PROBED))
        found["validation"].append(fitted[-1].validation)
        found["test"].append(fitted[-1].accuracy(theirs, test_labels))
    found["best"] = int(np.argmax(found["validation"]))
    if objective != "bert":
        return {"probes": found}
    return {"probes": found, "masked probe": _masked(model, found["best"], n, seed)}


def _masked(model, layer, n, seed):
    """BERT's probe of `layer` on images with masks: {"alone", "together"}, with one mask an image
    and with the mean of `MASKS`."""
    train, labels, test, test_labels = drawings(seed)

    def features(ids, k):
        hidden = probe.masks(ids.shape, [seed, k])
        return probe.layer_features(model, ids, False, hidden)[layer]

    seen = np.concatenate([features(train[:n], 100 + k) for k in range(MASKS)])
    fitted = probe.LinearProbe(seen, np.tile(labels[:n], MASKS), groups=PROBED * MASKS)
    p = [fitted.probabilities(features(test, 200 + k)) for k in range(MASKS)]
    alone, together = probe.ensemble(p, test_labels)
    return {"layer": layer, "alone": alone, "together": together}


# -- the runs --------------------------------------------------------------------------------------
def generative(objective, seed):
    """Train without labels, probe every layer, then fine-tune the whole network."""
    m = model(seed)
    loss = {"ar": ImageGPT.loss, "bert": ImageGPT.bert_loss}[objective]
    steps, folder = STEPS[objective], f"{objective}-{seed}"
    groups = decay_groups(m, 0.01)
    seconds, history = image_gpt.train(
        _trainer(m, objective, seed, steps, loss, groups, folder), steps
    )
    result = {"steps": steps, "loss": record.thinned(history), "cpu seconds": seconds}
    result |= probes(m, objective, seed) | {"raw pixels": raw_pixels(seed)}

    tuned = probe.FineTuned(m, 10, causal=objective == "ar")
    run = _tuner(tuned, objective, seed, TUNING_STEPS, probe.FineTuned.loss, f"{folder}-tuned")
    image_gpt.train(run, TUNING_STEPS)
    _, _, test, labels = drawings(seed)
    result["tuned"] = float((tuned.probabilities(test).argmax(axis=1) == labels).mean())
    if objective == "bert":
        hidden = [probe.masks(test.shape, [seed, 200 + k]) for k in range(MASKS)]
        alone, together = probe.ensemble([tuned.probabilities(test, h) for h in hidden], labels)
        result |= {"tuned alone": alone, "tuned together": together}
    return result


def supervised(seed):
    """The same network, bidirectional, trained with labels from the start, then probed."""
    _, _, test, labels = drawings(seed)
    tuned = probe.FineTuned(model(seed), 10, causal=False)
    run = _tuner(
        tuned, "labels", seed, STEPS["supervised"], image_gpt.labels_only, f"supervised-{seed}"
    )
    seconds, history = image_gpt.train(run, STEPS["supervised"])
    accuracy = float((tuned.probabilities(test).argmax(axis=1) == labels).mean())
    return {
        "steps": STEPS["supervised"], "loss": record.thinned(history), "cpu seconds": seconds,
        "accuracy": accuracy, **probes(tuned.model, "supervised", seed),
        "raw pixels": raw_pixels(seed),
    }  # fmt: skip


PARTS = {
    "ar": [Job(generative, ("ar", s), 330) for s in SEEDS],
    "supervised": [Job(supervised, (s,), 520) for s in SEEDS],
    "bert": [Job(generative, ("bert", s), 1200) for s in SEEDS],
}  # the seconds were measured, but for bert's


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/canvas.json: {run: numbers}, and the machine."""
    return record.kept(RUN)
