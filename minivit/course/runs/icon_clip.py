"""CLIP on icons: the model that ships, zero-shot on unseen families, a suite of category sets.

    python -m minivit.course.runs icon_clip --plan      # the parts, and how long they take
    python -m minivit.course.runs icon_clip locked      # data/models/icons, the one that ships
    python -m minivit.course.runs icon_clip beside      # a supervised probe, a bag of words
    python -m minivit.course.runs icon_clip model       # both encoders from nothing (C14)
    python -m minivit.course.runs icon_clip objectives  # captions, bag of words, contrastive (C13)
    python -m minivit.course.runs icon_clip rates       # of ViT and ResNet, judged by validation
    python -m minivit.course.runs icon_clip compute     # three sizes of each, with its rate (C15)

The model that ships has the image encoder of `iconnet resnet`, which was trained with labels, and
learns only to read, as a bag of words (locked-image tuning, Zhai et al. 2022, arXiv 2111.07991): so
it is no evidence for C14, which is about no labels.

Needs the whole set: `minivit data icons`. The rules of the verdicts: runs/verdicts.py.
"""

import functools

import numpy as np
from tqdm.auto import tqdm

import minivit
from minivit import Tensor, manual_seed, nn, no_grad
from minivit.course.runs import iconnet, plans
from minivit.course.runs import results as record
from minivit.course.runs.icon_exam import (
    by_clip,
    everything,
    image_vectors,
    naming,
    probed,
    suite,
)
from minivit.course.runs.plans import Job
from minivit.engine import backend
from minivit.models import clip
from minivit.models.clip_objectives import Captioner, WordPredictor
from minivit.models.resnet import ResNet
from minivit.models.vit import ViT
from minivit.optim import AdamW, decay_groups
from minivit.published.preprocess import Preprocess
from minivit.training import icons
from minivit.training.icon_pairs import (
    CONTEXT,
    IconPairs,
    caption_tokenizer,
    captioned,
    categories,
    coloured,
    tokenize,
    unseen,
)

RUN = "icon_clip"
SEEDS = (0, 1, 2)
WIDTH, D_E = 96, 96  # of the text encoder, and of the common space
BATCH, STEPS, RATE = 128, 1_000, 2e-3
SECONDS = 0.5  # a step of the model that ships, on one core, estimated
ENCODER = "resnet 0 12000"  # the job of `iconnet` whose net looks for `locked`, `words`, `probe`
# The reader beside a locked encoder, chosen on validation families (of six recipes; twice as wide
# it names 0.8% more, in 0.8 MB more): batches of
# FeaturePairs, the width of its words, of the common space, and its rate
READ, READER, READ_RATE = {"least": 5, "batch_size": 512}, (128, 96), 2e-3
COMPARED = 2_000  # steps of each encoder in `compute`
RATES = {"ViT": (3e-4, 1e-3, 3e-3), "ResNet": (3e-4, 1e-3, 3e-3, 1e-2)}
MIDDLE = {"ViT": "ViT 64x3", "ResNet": "ResNet 16"}  # whose best rate is that of its kind
POINTS = (100, 200, 400, 800, 1600)  # steps at which the objectives are asked


# -- data ------------------------------------------------------------------------------------------
@functools.cache
def rows():
    return captioned(everything())


@functools.cache
def tokenizer():
    return caption_tokenizer(rows())


@functools.cache
def more():
    """Colours and categories of some icons."""
    return coloured(everything()), categories(everything())


def pairs(seed):
    return IconPairs(rows(), everything().images, tokenizer(), *more(), BATCH, seed)


# -- models ----------------------------------------------------------------------------------------
def resnet(width):
    return ResNet(3, 0, width, (1, 1, 1), patch=2), 4 * width


def vit(width, layers):
    return ViT(32, 4, 3, 0, width, layers, heads=4, pool="map"), width


def icon_clip(vocabulary, image=None):
    """A ResNet of 0.3M parameters (or another encoder) and a text Transformer of two layers."""
    encoder, d_i = image or resnet(32)
    text = clip.TextTransformer(vocabulary, CONTEXT, WIDTH, 2, 4)
    return clip.CLIP(encoder, text, d_i, WIDTH, D_E)


def contrastive(model, images, texts):
    model.clip_temperature()
    return model.loss(images, texts)


# -- the jobs --------------------------------------------------------------------------------------
def model(seed, steps):
    """A CLIP of two encoders that begin with nothing; what float16 kept is what counts."""
    manual_seed(seed)
    net = icon_clip(len(tokenizer()))
    numbers = plans.train(
        RUN, f"model {seed} {steps}", net, pairs(seed), contrastive, steps, RATE, decay=0.1
    )
    numbers = {"seed": seed, "captions": len(rows()), **numbers}
    return numbers | exam(net, plans.folder(RUN, f"model {seed} {steps}") / "model")


def exam(net, where):
    """Keep a model, in float16, and ask what that kept of it."""
    preprocess = Preprocess((32, 32), 32, "box")  # areas averaged, as the pictures were made
    minivit.save(net, where, tokenizer=tokenizer(), preprocess=preprocess, dtype="float16")
    score = by_clip(minivit.load(where).model, tokenizer())
    return {
        "test": naming(score), "validation": naming(score, "validation"), "suite": suite(score),
    }  # fmt: skip


# -- a reader beside a trained encoder -------------------------------------------------------------
def locked(seed, steps):
    """The CLIP that ships: the trained ResNet, locked, and a bag of words that learns to agree."""
    manual_seed(seed)
    encoder = of_colour(trained_resnet())
    width, d_e = READER
    net = clip.CLIP(encoder, clip.BagOfWords(len(tokenizer()), width), 128, width, d_e)
    for parameter in encoder.parameters():
        parameter.requires_grad = False
    free = decay_groups(net, 0.1)
    for group in free:
        group["params"] = [p for p in group["params"] if p.requires_grad]
    numbers = plans.train(
        RUN, f"locked {seed} {steps}", net, FeaturePairs(pairs(seed), encoder, **READ), reader_loss,
        steps, READ_RATE, optimizer=AdamW(free, lr=READ_RATE, betas=(0.9, 0.98)),
    )  # fmt: skip
    return {"seed": seed, **numbers} | exam(net, record.folder() / "models" / "icons")


def words(seed, steps):
    """What CLIP tried first, on the same features: which words has the caption?"""
    manual_seed(seed)
    encoder = of_colour(trained_resnet())
    net = WordPredictor(nn.Sequential(), 128, len(tokenizer()))
    batches = FeaturePairs(pairs(seed), encoder, **READ)
    numbers = plans.train(
        RUN, f"words {seed} {steps}", net, batches, objective_loss, steps, READ_RATE, decay=0.1
    )
    others = batches.images[np.random.default_rng(0).permutation(len(batches.images))[:512]]

    def score(images, labels):
        device = backend.default_device()
        seen, some = (Tensor(x, device=device) for x in (image_vectors(encoder, images), others))
        return net.scores(seen, tokenize(tokenizer(), labels), some)

    return {"seed": seed, **numbers, "test": naming(score), "suite": suite(score)}


def probe(seed):
    """What labels are worth on the sets of the suite."""
    return {"seed": seed, "suite": probed(of_colour(trained_resnet()))}


def trained_resnet():
    """The model of the job ENCODER of `iconnet`."""
    return iconnet.trained(ENCODER)


def of_colour(net):
    """The same ResNet without its head, for three colours: it looks at their mean."""
    config = net.config | {"channels": 3, "classes": 0}
    state = {name: a for name, a in net.state_dict().items() if not name.startswith("head.")}
    state["stem.weight"] = np.repeat(state["stem.weight"] / 3, 3, axis=-1)
    other = ResNet(**config)
    other.load_state_dict(state)
    return other.to(net.stem.weight.device).eval()


class FeaturePairs(IconPairs):
    """Batches of features and texts: the pictures of captions that have `least` went through an
    encoder once. A caption is drawn in proportion to how many pictures it has."""

    def __init__(self, of, encoder, least, batch_size):
        chosen = {
            caption: some for caption, some in zip(of.captions, of.rows) if len(some) >= least
        }
        counts, old = [len(some) for some in chosen.values()], np.concatenate([*chosen.values()])
        parts, rng = np.array_split(old, len(old) // 512 + 1), np.random.default_rng(of.seed)
        with no_grad():
            device = backend.default_device()
            features = [encoder(Tensor(of._pictures(some, rng), device=device)).numpy()
                        for some in tqdm(parts, "features", leave=False)]  # fmt: skip
        places = np.split(np.arange(len(old)), np.cumsum(counts)[:-1])
        super().__init__(
            dict(zip(chosen, places)), np.concatenate(features), of.tokenizer,
            categories={i: of.categories[r] for i, r in enumerate(old.tolist())
                        if r in of.categories},
            batch_size=batch_size, seed=of.seed,
        )  # fmt: skip
        self.odds = np.array(counts) / len(old)

    def _pictures(self, rows, rng):
        return self.images[rows]


def reader_loss(net, features, texts):
    """The contrastive loss of features that are there already."""
    net.clip_temperature()
    return clip.clip_loss(
        lambda I: I, net.text_encoder, features, texts, net.W_i, net.W_t, net.t
    )  # fmt: skip


# -- other objectives, other encoders --------------------------------------------------------------
OBJECTIVES = {  # of (encoder, its width, vocabulary); a bag of words reads the text of the last
    "caption": lambda image, d, V: Captioner(image, d, V, CONTEXT),
    "bag of words": lambda image, d, V: WordPredictor(image, d, V),
    "contrastive": lambda image, d, V: clip.CLIP(image, clip.BagOfWords(V, WIDTH), d, WIDTH, D_E),
}


def objective_loss(net, images, texts):
    return (
        contrastive(net, images, texts) if isinstance(net, clip.CLIP) else net.loss(images, texts)
    )


def objectives(kind, seed):
    """Naming 200 concepts of unseen families, one picture each, at several points of one run."""
    manual_seed(seed)
    net = OBJECTIVES[kind](*resnet(16), len(tokenizer()))
    images, labels = iconnet.net().part("test")
    others = Tensor(np.repeat(icons.as_input(iconnet.net().part("validation")[0][:32]), 3, -1))
    _, first = np.unique(labels, return_index=True)
    first = first[~unseen()[labels[first]]]
    first = np.random.default_rng(0).permutation(first)[:200]
    texts = [icons.caption(iconnet.net().classes[c]) for c in labels[first]]
    texts = tokenize(tokenizer(), texts)
    pictures = Tensor(icons.as_input(images[first], 3))

    def named(net):
        if isinstance(net, clip.CLIP):
            return {"named": clip.recall_at_k(net(pictures, texts).numpy())["image to text"][1]}
        return {"named": clip.recall_at_k(net.scores(pictures, texts, others))["image to text"][1]}

    numbers = plans.train(
        RUN, f"objectives {kind} {seed}", net, pairs(seed), objective_loss, POINTS[-1], 1e-3,
        decay=0.1, evaluate=named, evaluate_every=POINTS[0],
    )  # fmt: skip
    plans.forget(RUN, f"objectives {kind} {seed}")
    return {"seed": seed, "candidates": len(first), **numbers}


ENCODERS = {
    "ViT 32x2": lambda: vit(32, 2), "ViT 64x3": lambda: vit(64, 3), "ViT 96x4": lambda: vit(96, 4),
    "ResNet 8": lambda: resnet(8), "ResNet 16": lambda: resnet(16), "ResNet 32": lambda: resnet(32),
}  # fmt: skip


COST = dict(zip(ENCODERS, (0.12, 0.28, 0.55, 0.15, 0.2, 0.35)))  # seconds a step, on one core


def asked(job, name, seed, steps, rate, part):
    """The numbers of a CLIP from nothing with the image encoder of that name, and what it names."""
    manual_seed(seed)
    net = icon_clip(len(tokenizer()), ENCODERS[name]())
    numbers = plans.train(RUN, job, net, pairs(seed), contrastive, steps, rate, decay=0.1)
    numbers |= {part: naming(by_clip(net, tokenizer()), part)}
    plans.forget(RUN, job)
    return numbers | {"image parameters": net.image_encoder.count_parameters()}


def rates(kind, rate):
    """One rate of one kind of encoder, for half of the steps: validation only."""
    job = f"rates {kind} {rate}"
    numbers = asked(job, MIDDLE[kind], 100, COMPARED // 2, rate, "validation")
    return numbers | {"validation": numbers["validation"]["seen"]}


def compute(name, seed):
    """The same training with another image encoder, at the rate that validation liked best (by the
    first five names, which say more than the first while so few are right)."""
    kind = name.split()[0]
    rate = plans.best_rate(RUN, kind, RATES[kind], lambda tried: tried["validation"]["top-5"])
    return {"seed": seed, **asked(f"compute {name} {seed}", name, seed, COMPARED, rate, "test")}


PARTS = {
    "locked": [Job(locked, (0, 2_000), 300)],
    "beside": [Job(words, (0, 2_000), 300), Job(probe, (0,), 300)],
    "model": [Job(model, (0, n), n * SECONDS) for n in (STEPS, 12_000)],
    "objectives": [Job(objectives, (k, s), 1600 * 0.4) for s in SEEDS for k in OBJECTIVES],
    "rates": [Job(rates, (k, r), COMPARED / 2 * 0.3) for k in RATES for r in RATES[k]],
    "compute": [Job(compute, (n, s), COMPARED * COST[n]) for s in SEEDS for n in ENCODERS],
}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__)


def results():
    """The content of data/results/icon_clip.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
