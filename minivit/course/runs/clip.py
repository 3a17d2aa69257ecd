"""CLIP on emoji: a small trained model, three objectives, a supervised ResNet.

    python -m minivit.course.runs clip                 # all parts, in order; or one or more of:
    python -m minivit.course.runs clip model           # the model data/models/emoji, 1.5 MB
    python -m minivit.course.runs clip objectives      # caption, bag of words, contrastive; 3 seeds
    python -m minivit.course.runs clip supervised      # a ResNet with labels, for its features

Times and numbers go to data/results/clip.json. An interrupted part goes on where it stopped.
"""

import functools
import json
import time
from pathlib import Path

import numpy as np

import minivit
from minivit import Tensor, files, manual_seed, no_grad
from minivit.course.runs import plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.course.runs.results import thinned
from minivit.engine import backend
from minivit.models import clip
from minivit.models.clip_objectives import Captioner, WordPredictor
from minivit.models.resnet import ResNet
from minivit.optim import AdamW, decay_groups, warmup_cosine
from minivit.published.preprocess import Preprocess
from minivit.training import data, distributed, ranks
from minivit.training.pairs import (
    CONTEXT,
    GROUP_PROMPTS,
    Pairs,
    caption_tokenizer,
    test_set,
    tokenize,
)
from minivit.training.trainer import Trainer

RUN = "clip"
SEEDS = (0, 1, 2)


# -- the models ------------------------------------------------------------------------------------
def emoji_clip(vocabulary=1500):
    """The small CLIP that `model` trains and the lecture loads: 0.7 million parameters."""
    image = clip.VisionTransformer(32, 8, 96, 4, 3)
    return clip.CLIP(image, clip.TextTransformer(vocabulary, CONTEXT, 64, 2, 2), 96, 64, 64)


def supervised_net():
    """A ResNet for the nine groups; its features are those of the probe in the lecture."""
    return ResNet(3, 9, width=12, blocks=(1, 1, 1))


def keep_model(name, model, **beside):
    """Write a model as one that ships, in float16; returns what that kept of it."""
    preprocess = Preprocess((32, 32), 32, "box")  # as it was trained: areas averaged
    folder = record.folder() / "models" / name
    if ranks.world().rank == 0:
        minivit.save(model, folder, preprocess=preprocess, dtype="float16", **beside)
    ranks.world().gather_facts(None)  # the others wait until it is there
    return minivit.load(folder).model.to(backend.default_device())


def train(name, model, batches, loss, steps, lr=1e-3, decay=0.1, schedule=None, evaluate=None):
    """Train with checkpoints, so that it can be interrupted; returns (history, CPU seconds)."""
    folder = plans.folder(RUN, name)
    optimizer = AdamW(decay_groups(model, decay), lr=lr)
    trainer = Trainer(model, optimizer, batches, loss, schedule, clip=1.0, folder=folder)
    spent, points = _seconds(folder), evaluate or {}
    for stop in sorted({*points, steps}):
        if trainer.step < stop:
            start = time.process_time()
            trainer.run(stop)
            spent += time.process_time() - start
            _seconds(folder, spent)
        if stop in points and str(stop) not in _kept(folder):
            _keep(folder, stop, points[stop](model.eval()))
            model.train()
    return trainer.history, spent, _kept(folder)


def _seconds(folder, value=None):
    path = Path(folder) / "seconds.txt"
    if value is not None and ranks.world().rank == 0:
        files.write_whole(path, str(value))
    return float(path.read_text()) if path.is_file() else 0.0


def _kept(folder):
    path = Path(folder) / "points.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _keep(folder, step, numbers):
    path = Path(folder) / "points.json"
    if ranks.world().rank == 0:
        files.write_whole(path, json.dumps({**_kept(folder), str(step): numbers}))


# -- what is measured ------------------------------------------------------------------------------
class Exam:
    """The questions that every model is asked: drawings in a new style, by name and by group."""

    def __init__(self, emoji, tokenizer, size=200):
        self.emoji, self.tokenizer = emoji, tokenizer
        self.sets = {
            "new style": test_set(emoji, size=size),
            "new style, unseen concepts": test_set(emoji, held_out=True, size=size),
        }
        # images of the training style, for the priors of the predictive objectives
        self.others = placed(test_set(emoji, "noto", size=32, seed=1)[0])

    def texts(self, texts):
        return tokenize(self.tokenizer, texts)

    def names(self, concepts):
        return self.texts([self.emoji.labels[c] for c in concepts])

    @no_grad()
    def accuracies(self, scores, briefly=False):
        """scores(images, texts) -> (n, m): accuracies of naming, and of finding the group.
        briefly: only naming, and only of the concepts seen."""
        numbers = {}
        for name, (images, concepts) in list(self.sets.items())[: 1 if briefly else None]:
            images = placed(images)
            found = clip.recall_at_k(scores(images, self.names(concepts)))
            numbers[name] = {way: {str(k): x for k, x in r.items()} for way, r in found.items()}
            numbers[name]["candidates"] = len(concepts)
            if briefly:
                continue
            prompts = [p for g in self.emoji.group_names for p in GROUP_PROMPTS[g]]
            owner = [i for i, g in enumerate(self.emoji.group_names) for _ in GROUP_PROMPTS[g]]
            s = scores(images, self.texts(prompts))
            best = np.stack([s[:, np.equal(owner, i)].mean(axis=1) for i in range(max(owner) + 1)])
            groups = self.emoji.groups[concepts]
            numbers[name]["group accuracy"] = float((best.argmax(axis=0) == groups).mean())
            numbers[name]["largest group"] = float(np.bincount(groups).max() / len(groups))
        return numbers


def placed(images):
    return Tensor(images, device=backend.default_device())


def similarity(model):
    return lambda images, texts: model(images, texts).numpy()


@functools.cache
def drawings():
    """(the emoji, the tokenizer of their captions)."""
    emoji = data.emoji()
    return emoji, caption_tokenizer(emoji)


# -- the parts -------------------------------------------------------------------------------------
def model(steps=1200, batch_size=256):
    """The checkpoint, and what it can do."""
    emoji, tokenizer = drawings()
    manual_seed(0)
    model = emoji_clip(len(tokenizer))
    pairs = Pairs(emoji, tokenizer, batch_size=batch_size, seed=0)
    history, seconds, _ = train(
        "model/0", model, pairs, _contrastive, steps,
        schedule=lambda step: warmup_cosine(step, steps, warmup=50),
    )  # fmt: skip
    model = keep_model("emoji", model, tokenizer=tokenizer)  # what float16 kept is what counts
    numbers = {"all": Exam(emoji, tokenizer, size=None).accuracies(similarity(model))}
    numbers["200"] = Exam(emoji, tokenizer, size=200).accuracies(similarity(model))
    plans.forget(RUN, "model")
    return {
        "seeds": [0], "steps": steps, "batch size": batch_size, "cpu seconds": round(seconds, 1),
        "parameters": model.count_parameters(), "loss": thinned(history["loss"]), **numbers,
    }  # fmt: skip


@distributed.over_all_ranks
def _contrastive(model, images, texts):
    model.clip_temperature()  # what the last step made of t
    return distributed.contrastive_loss(model, images, texts)


POINTS = (50, 100, 200, 400, 800)  # steps at which the three objectives are asked


def objectives(batch_size=128):
    """Figure 2 of the paper in small: accuracy of naming against images seen."""
    emoji, tokenizer = drawings()
    exam, V, D, result = Exam(emoji, tokenizer), len(tokenizer), 64, {}

    def predicted(step):
        return lambda model: exam.accuracies(
            lambda I, T: model.scores(I, T, exam.others), briefly=step < POINTS[-1]
        )

    def contrasted(step):
        return lambda model: exam.accuracies(similarity(model), briefly=step < POINTS[-1])

    kinds = {
        "caption": (
            lambda image: Captioner(image, D, V, CONTEXT), lambda m, I, T: m.loss(I, T), predicted
        ),
        "bag of words": (
            lambda image: WordPredictor(image, D, V), lambda m, I, T: m.loss(I, T), predicted
        ),
        "contrastive": (
            lambda image: clip.CLIP(image, clip.BagOfWords(V, 64), D, 64, 64), _contrastive,
            contrasted,
        ),
    }  # fmt: skip
    for seed in SEEDS:
        for kind, (make, loss, asked) in kinds.items():
            manual_seed(seed)
            model = make(clip.VisionTransformer(32, 8, D, 3, 2))
            pairs = Pairs(emoji, tokenizer, batch_size=batch_size, seed=seed)
            history, seconds, points = train(
                f"objectives/{kind}-{seed}", model, pairs, loss, POINTS[-1],
                schedule=lambda step: min(1.0, (step + 1) / 20),  # every point: the same rate
                evaluate={step: asked(step) for step in POINTS},
            )  # fmt: skip
            result.setdefault(kind, {})[str(seed)] = {
                "images seen": [batch_size * s for s in POINTS],
                "marks": [points[str(s)] for s in POINTS],
                "cpu seconds": round(seconds, 1), "loss": thinned(history["loss"]),
                "parameters": model.count_parameters(),
            }  # fmt: skip
    plans.forget(RUN, "objectives")
    return {"seeds": list(SEEDS), "batch size": batch_size, "runs": result}


def labelled(emoji, batch_size, seed, shift=2):
    """Batches of drawings of the training styles and their groups, from what `Pairs` draws."""

    class Labelled(Pairs):
        def _caption(self, concept, rng):
            return self.emoji.groups[concept]

    return Labelled(emoji, caption_tokenizer(emoji), batch_size=batch_size, seed=seed, shift=shift)


def supervised(steps=200, batch_size=128):
    """A ResNet trained with labels on the same drawings."""
    emoji, _ = drawings()
    manual_seed(0)
    model = supervised_net()
    history, seconds, _ = train(
        "supervised/0", model, labelled(emoji, batch_size, 0), _classify, steps, lr=3e-3,
        schedule=lambda step: warmup_cosine(step, steps, warmup=20),
    )  # fmt: skip
    keep_model("emoji-resnet", model, labels=emoji.group_names)
    images, concepts = test_set(emoji, held_out=True)
    with no_grad():
        found = model.eval()(placed(images)).numpy().argmax(axis=1)
    plans.forget(RUN, "supervised")
    return {
        "seeds": [0], "steps": steps, "cpu seconds": round(seconds, 1),
        "loss": thinned(history["loss"]), "parameters": model.count_parameters(),
        "group accuracy": float((found == emoji.groups[concepts]).mean()),
    }  # fmt: skip


def _classify(model, images, labels):
    return minivit.cross_entropy_loss(model(images), labels)


# -- the run ---------------------------------------------------------------------------------------
PARTS = {
    "model": [Job(model, (), 224)],
    "objectives": [Job(objectives, (), 440)],
    "supervised": [Job(supervised, (), 61)],
}  # the seconds were measured


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/clip.json: {part: numbers}."""
    return record.kept(RUN)
