"""Image GPT on digits (and colour emoji): three seeds of everything that the lecture compares.

    python -m minivit.course.runs image_gpt              # all parts, in order; or one or more of:
    python -m minivit.course.runs image_gpt objectives   # AR and BERT: loss, probes of all layers
    python -m minivit.course.runs image_gpt supervised   # the same network trained with labels
    python -m minivit.course.runs image_gpt finetune     # AR and BERT, with masks and without
    python -m minivit.course.runs image_gpt sizes        # AR, small and large
    python -m minivit.course.runs image_gpt norms        # pre-LN and post-LN at three rates
    python -m minivit.course.runs image_gpt colour       # emoji 16x16: data/models/emoji-gpt

Each run is added to data/results/image_gpt.json when it is done; a run that is there is not
made again, one that was interrupted goes on where it stopped.
"""

import functools
import math
import time
from pathlib import Path

import numpy as np

import minivit
from minivit import course, files, manual_seed, no_grad
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.course.runs.results import thinned
from minivit.engine import backend
from minivit.images import pictures
from minivit.images.palette import Palette
from minivit.models.image_gpt import ImageGPT
from minivit.nn import xavier_uniform
from minivit.optim import AdamW, decay_groups, warmup_cosine
from minivit.published.image_gpt import Pixels
from minivit.published.preprocess import Preprocess
from minivit.training import data, probe
from minivit.training.trainer import Trainer

RUN = "image_gpt"
SEEDS = (0, 1, 2)
SIZES = {"small": (4, 32, 2), "medium": (8, 64, 4), "large": (12, 80, 5)}  # layers, width, heads
BATCH, STEPS, RATE = 32, 500, 2e-3
TUNING_STEPS, TUNING_RATE, HEAD_RATE = 250, 1e-3, 3e-2
MASKS = 5  # masks of each image that BERT's predictions are averaged over
NORM_RATES, NORM_STEPS = (1e-3, 3e-3, 1e-2), 100


# -- the recipe, also that of the lecture ----------------------------------------------------------
@functools.cache
def digits():
    """(palette, train ids, train labels, test ids, test labels): 8x8 digits in 16 greys."""
    split = data.digits()
    palette = Palette.fit(split.train_images, 16)
    train, test = palette.encode(split.train_images), palette.encode(split.test_images)
    return palette, train, split.train_labels, test, split.test_labels


def model(size="medium", seed=0):
    """An untrained Image GPT for the digits."""
    layers, width, heads = SIZES[size]
    manual_seed(seed)
    return ImageGPT(16, 64, width, layers, heads)


def trainer(model, batches, loss, steps, groups=None, folder=None):
    """AdamW with Image GPT's betas, a warm-up, half a cosine, gradients clipped."""
    return Trainer(
        model,
        AdamW(groups or decay_groups(model, 0.01), lr=RATE, betas=(0.9, 0.95)),
        batches,
        loss,
        schedule=lambda step: warmup_cosine(step, steps, warmup=30),
        clip=1.0,
        folder=folder,
        save_every=100,
    )


def pretrainer(model, objective, seed, steps=STEPS, ids=None, batch_size=BATCH, folder=None):
    """A Trainer for one of the two objectives, "ar" or "bert"."""
    ids = digits()[1] if ids is None else ids
    kind = {"ar": data.Batches, "bert": probe.MaskedBatches}[objective]
    loss = {"ar": ImageGPT.loss, "bert": ImageGPT.bert_loss}[objective]
    batches = kind(ids, batch_size=batch_size, seed=seed)
    return trainer(model, batches, loss, steps, folder=folder)


def tuner(model, objective, seed, folder=None):
    """A Trainer of a `FineTuned` model; objective "labels": no generative loss, no masks.

    The head has a rate of its own: means over all pixels differ little between images, so it must
    become large. Both rates were chosen on a fifth of the training images, before any test.
    """
    _, ids, labels, *_ = digits()
    kind = probe.MaskedBatches if objective == "bert" else data.Batches
    batches = kind(ids, labels, batch_size=BATCH, seed=seed)
    loss = {"labels": labels_only}.get(objective, probe.FineTuned.loss)
    body = [{**group, "lr": TUNING_RATE} for group in decay_groups(model.model, 0.01)]
    head = {"params": [model.classify.weight], "lr": HEAD_RATE, "weight_decay": 0.01}
    return trainer(model, batches, loss, TUNING_STEPS, [*body, head], folder)


def labels_only(model, ids, labels):
    return model.loss(ids, labels, generative=0)


@no_grad()
def nats(model, ids, batch_size=120):
    """-log p of every pixel given those before it: (n, N)."""
    pieces = [ids[i : i + batch_size] for i in range(0, len(ids), batch_size)]
    return np.concatenate([
        minivit.cross_entropy_loss(model(x), x, reduction="none").numpy() for x in pieces
    ])  # fmt: skip


def masked_probe(model, seed):
    """BERT's probe on what it was trained on, images with masks: accuracies of its best layer
    {"layer", "alone", "together"}, with one mask an image and with `MASKS` of them."""
    _, train, labels, test, test_labels = digits()

    def features(ids, offset):
        return [
            probe.layer_features(model, ids, False, probe.masks(ids.shape, [seed, offset + k]))
            for k in range(MASKS)
        ]

    train_features = [np.concatenate(f) for f in zip(*features(train, 100))]
    probes = [
        probe.LinearProbe(f, np.tile(labels, MASKS), groups=MASKS, strengths=(1e-2, 1e-1, 1.0))
        for f in train_features
    ]
    best = int(np.argmax([p.validation for p in probes]))
    p = [probes[best].probabilities(f[best]) for f in features(test, 200)]
    alone, together = probe.ensemble(p, test_labels)
    return {"layer": best, "alone": alone, "together": together}


def redraw(model):
    """Draw all matrices as the original Transformer does (Xavier), the output table too: with
    Image GPT's table of zeros, no gradient reaches the layers at the start."""
    for p in model.parameters():
        if p.ndim == 2:
            p.assign(xavier_uniform(*p.shape))
    return model


def ordered(norm, seed):
    """A deep and narrow model with LayerNorm before ("pre") or after ("post") each half."""
    manual_seed(seed)
    return redraw(ImageGPT(16, 64, 32, 12, 2, norm=norm))


def constant(model, rate, seed):
    """A Trainer at a constant rate, without warm-up: what the two orders are compared by."""
    batches = data.Batches(digits()[1], batch_size=BATCH, seed=seed)
    return Trainer(
        model, AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95)), batches, ImageGPT.loss
    )


def flags_and_faces(side=16):
    """(train ids, test ids, palette): emoji in 32 colours; the concepts of the test are held out
    in every drawing style."""
    emoji = data.emoji()
    wanted = [emoji.group_names.index(g) for g in ("flags", "smileys-emotion")]
    drawings = np.concatenate([emoji.images[s] for s in data.STYLES])
    concepts = np.concatenate([emoji.concepts[s] for s in data.STYLES])
    chosen = np.isin(emoji.groups[concepts], wanted)
    small = np.stack([pictures.resize(x, side, side) for x in drawings[chosen]])
    held_out = emoji.held_out[concepts[chosen]]
    palette = Palette.fit(small[~held_out], 32)
    ids = palette.encode(small)
    return ids[~held_out], ids[held_out], palette


def colour_model():
    """The model of `flags_and_faces`: 32 colours, 16x16 pixels."""
    manual_seed(0)
    return ImageGPT(32, 256, 64, 8, 4)


# -- the runs --------------------------------------------------------------------------------------
def pretrain(size, objective, seed):
    """Train on the digits without labels, then probe every layer."""
    _, train, labels, test, test_labels = digits()
    m, seconds, history = _pretrained(size, objective, seed)
    causal = objective == "ar"
    found = probe.probe_layers(
        probe.layer_features(m, train, causal), labels,
        probe.layer_features(m, test, causal), test_labels,
    )  # fmt: skip
    result = {
        "parameters": m.count_parameters(), "steps": STEPS, "loss": thinned(history),
        "probes": found, "cpu seconds": seconds,
    }  # fmt: skip
    if causal:
        result["test bits a pixel"] = float(nats(m, test).mean() / math.log(2))
    else:
        result["masked probe"] = masked_probe(m, seed)
    return result


def _pretrained(size, objective, seed):
    m = model(size, seed)
    folder = _folder(f"pretrain-{size}-{objective}-{seed}")
    return m, *train(pretrainer(m, objective, seed, folder=folder), STEPS)


def supervised(seed):
    """The same network (bidirectional) trained with labels from the start, then probed."""
    _, ids, labels, test, test_labels = digits()
    m = probe.FineTuned(model("medium", seed), 10, causal=False)
    folder = _folder(f"supervised-{seed}")
    seconds, history = train(tuner(m, "labels", seed, folder), TUNING_STEPS)
    found = probe.probe_layers(
        probe.layer_features(m.model, ids, False), labels,
        probe.layer_features(m.model, test, False), test_labels,
    )  # fmt: skip
    accuracy = (m.probabilities(test).argmax(axis=1) == test_labels).mean()
    return {
        "steps": TUNING_STEPS, "loss": thinned(history), "probes": found,
        "accuracy": float(accuracy), "cpu seconds": seconds,
    }  # fmt: skip


def finetune(objective, seed):
    """Train the whole pre-trained network with labels and its own objective together."""
    _, _, _, test, labels = digits()
    m = probe.FineTuned(_pretrained("medium", objective, seed)[0], 10, objective == "ar")
    folder = _folder(f"finetune-{objective}-{seed}")
    seconds, history = train(tuner(m, objective, seed, folder), TUNING_STEPS)
    result = {"steps": TUNING_STEPS, "loss": thinned(history), "cpu seconds": seconds}
    result["accuracy"] = float((m.probabilities(test).argmax(axis=1) == labels).mean())
    if objective == "bert":
        hidden = [probe.masks(test.shape, [seed, 200 + k]) for k in range(MASKS)]
        alone, together = probe.ensemble([m.probabilities(test, h) for h in hidden], labels)
        result.update(alone=alone, together=together)
    return result


def norms(norm, rate, seed):
    """The loss curve of one order of LayerNorm at one rate."""
    run = constant(ordered(norm, seed), rate, seed)
    start = time.process_time()
    losses = run.run(NORM_STEPS)["loss"]
    return {"loss": thinned(losses, 40), "cpu seconds": round(time.process_time() - start, 1)}


COLOUR_STEPS, COLOUR_BATCH = 600, 16


def colour():
    """A colour model of flags and faces; its weights are kept."""
    ids, test, palette = flags_and_faces()
    m = colour_model()
    run = pretrainer(m, "ar", 0, COLOUR_STEPS, ids, COLOUR_BATCH, _folder("colour"))
    seconds, history = train(run, COLOUR_STEPS)
    m = keep_colour(m, palette)  # what float16 kept is what counts
    return {
        "steps": COLOUR_STEPS, "batch size": COLOUR_BATCH, "images": len(ids),
        "parameters": m.count_parameters(), "loss": thinned(history), "cpu seconds": seconds,
        "test bits a pixel": float(nats(m, test, 24).mean() / math.log(2)),
    }  # fmt: skip


def keep_colour(model, palette):
    """Write the colour model as the one that ships, in float16; returns what that kept of it."""
    side = math.isqrt(model.pixels)
    preprocess = Preprocess((side, side), None, "box")  # as it was trained: areas averaged
    # float16, the palette too, since the model was always shown what was kept
    palette = Palette(palette.colours.astype(np.float16).astype(np.float32))
    folder = record.folder() / "models" / "emoji-gpt"
    minivit.save(model, folder, preprocess=Pixels(palette, side, preprocess), dtype="float16")
    return minivit.load(folder).model.to(backend.default_device())


# -- bookkeeping -----------------------------------------------------------------------------------
SECONDS = {"small": 8, "medium": 60, "large": 80}  # of a pre-training; measured, as those below
PARTS = {
    "objectives": [
        Job(pretrain, ("medium", o, s), SECONDS["medium"]) for s in SEEDS for o in ("ar", "bert")
    ],
    "supervised": [Job(supervised, (s,), 19) for s in SEEDS],
    "finetune": [Job(finetune, (o, s), 19) for s in SEEDS for o in ("ar", "bert")],
    "sizes": [
        Job(pretrain, (n, "ar", s), SECONDS[n]) for s in SEEDS for n in ("small", "large")
    ],
    "norms": [Job(norms, (n, r, s), 7) for s in SEEDS for r in NORM_RATES for n in ("pre", "post")],
    "colour": [Job(colour, (), 120)],
}  # fmt: skip


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/image_gpt.json: {run: numbers}, and the machine."""
    return record.kept(RUN)


def _folder(name):
    return course.build_folder() / "long" / "image_gpt" / name


def train(trainer, steps):
    """Run to the end; (CPU seconds in all, the losses)."""
    path, start = Path(trainer.folder) / "seconds.txt", time.process_time()
    before = float(path.read_text()) if path.is_file() else 0.0
    if trainer.step < steps:
        try:
            trainer.run(steps)
        finally:
            files.write_whole(path, str(before + time.process_time() - start))
    trainer.model.eval()
    return round(float(path.read_text()), 1), trainer.history["loss"]
