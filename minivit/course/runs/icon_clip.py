"""CLIP on icons: the model that ships, zero-shot on unseen families, a suite of category sets.

    python -m minivit.course.runs icon_clip --plan      # the parts, and how long they take
    python -m minivit.course.runs icon_clip locked      # data/models/icons, the one that ships
    python -m minivit.course.runs icon_clip model       # both encoders from nothing (C14)
    python -m minivit.course.runs icon_clip objectives  # captions, bag of words, contrastive (C13)
    python -m minivit.course.runs icon_clip compute     # ViT and ResNet, three sizes each (C15)

The model that ships has the image encoder of `iconnet resnet`, which was trained with labels, and
learns only to read, as a bag of words (locked-image tuning, Zhai et al. 2022, arXiv 2111.07991): so
it is no evidence for C14, which is about no labels.

Needs the whole set: `minivit data icons`. The rules of the verdicts: runs/verdicts.py.
"""

import functools

import numpy as np
from tqdm.auto import tqdm

import minivit
from minivit import Tensor, manual_seed, no_grad
from minivit.course.runs import iconnet, plans
from minivit.course.runs import results as record
from minivit.course.runs.plans import Job
from minivit.engine.errors import StateError
from minivit.models import clip
from minivit.models.clip_objectives import Captioner, WordPredictor
from minivit.models.resnet import ResNet
from minivit.models.vit import ViT
from minivit.optim import AdamW, decay_groups
from minivit.published.preprocess import Preprocess
from minivit.training import icons
from minivit.training.checkpoint import checkpoints
from minivit.training.icon_pairs import (
    CONTEXT,
    TEMPLATES,
    IconPairs,
    coloured,
    tokenize,
    unseen,
)

RUN = "icon_clip"
SEEDS = (0, 1, 2)
WIDTH, D_E = 96, 96  # of the text encoder, and of the common space
BATCH, STEPS, RATE = 128, 1_000, 2e-3
SECONDS = 0.5  # a step of the model that ships, on one core, estimated
COMPARED = 2_000  # steps of each encoder in `compute`
POINTS = (100, 200, 400, 800, 1600)  # steps at which the objectives are asked


# -- data ------------------------------------------------------------------------------------------
@functools.cache
def everything():
    return icons.icons()


@functools.cache
def source():
    return IconPairs(everything(), colour=coloured(everything()), batch_size=BATCH)


def pairs(seed, batch_size=BATCH):
    """The batches of a seed; captions, pictures and the tokenizer are shared."""
    mine = object.__new__(IconPairs)
    mine.__dict__ |= source().__dict__ | {"seed": seed, "batch_size": batch_size}
    return mine


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


# -- what is measured ------------------------------------------------------------------------------
@no_grad()
def text_vectors(model, tokenizer, labels, templates=TEMPLATES):
    """(labels, d_e): each label's prompts, averaged."""
    some = [
        clip.zero_shot_weights(
            model, lambda texts: tokenize(tokenizer, texts), labels[i : i + 64], templates
        ).numpy().T
        for i in range(0, len(labels), 64)
    ]  # fmt: skip
    return np.concatenate(some)


@no_grad()
def image_vectors(model, images):
    """(n, d_e) of bytes (n, 32, 32) or (n, 32, 32, 3)."""
    rows = []
    for i in range(0, len(images), 512):
        some = images[i : i + 512]
        some = np.repeat(some[..., None], 3, axis=-1) if some.ndim == 3 else some
        inputs = Tensor(icons.to_unit(some), device=model.t.device)
        rows.append(model.encode_image(inputs).numpy())
    return np.concatenate(rows)


def naming(model, tokenizer, part="test"):
    """Zero-shot on families that were never trained: concepts with captions, among all names;
    concepts without, among all names and among their own."""
    net = iconnet.net()
    images, labels = net.part(part)
    families = net.families[slice(*net.starts[icons.PARTS.index(part) :][:2])]
    names = [icons.caption(c) for c in net.classes]
    cosines = image_vectors(model, images) @ text_vectors(model, tokenizer, names).T
    hidden, out = unseen()[labels], {}
    for name, rows, columns in (
        ("seen", ~hidden, np.arange(len(names))),
        ("unseen among all", hidden, np.arange(len(names))),
        ("unseen", hidden, np.flatnonzero(unseen())),
    ):
        scores = cosines[rows][:, columns]
        right = cosines[rows, labels[rows]]
        rank = (scores > right[:, None]).sum(axis=1)
        kinds, which = np.unique(families[rows], return_inverse=True)
        out[name] = {
            "top-1": float((rank == 0).mean()), "top-5": float((rank < 5).mean()),
            "candidates": len(columns), "pictures": len(rank),
            "right by family": np.bincount(which, rank == 0).astype(int).tolist(),
            "pictures by family": np.bincount(which).tolist(),
            "families": [net.family_names[k] for k in kinds],
        }  # fmt: skip
    return out


def suite(model, tokenizer, templates=TEMPLATES, part=("test", "validation")):
    """Each set of an unseen family that has categories, as a data set: zero-shot accuracy on its
    categories' names, and the largest category's share. Icons of one category only."""
    table, found = icons.split()["families"], {}
    for name, about in everything().about.items():
        if table.get(about["family"]) not in part or len(about["categories"]) < 3:
            continue
        titles = list(about["categories"])
        of = {}
        for k, members in enumerate(about["categories"].values()):
            for place in members:
                of.setdefault(place, []).append(k)
        rows = np.flatnonzero(everything().sets == list(everything().about).index(name))
        places = everything().places[rows]
        one = [i for i, p in enumerate(places.tolist()) if len(of.get(p, ())) == 1]
        if len(one) < 50:
            continue
        labels = np.array([of[int(places[i])][0] for i in one])
        labels_text = [t.lower() for t in titles]
        if len(set(labels_text)) < len(titles):
            continue
        vectors = image_vectors(model, everything().images[rows[one]])
        answer = (vectors @ text_vectors(model, tokenizer, labels_text, templates).T).argmax(axis=1)
        found[name] = {
            "accuracy": float((answer == labels).mean()), "pictures": len(labels),
            "largest": float(np.bincount(labels).max() / len(labels)), "categories": len(titles),
        }  # fmt: skip
    return found


# -- the jobs --------------------------------------------------------------------------------------
def model(seed, steps):
    """A CLIP of two encoders that begin with nothing; what float16 kept is what counts."""
    manual_seed(seed)
    tokenizer, net = source().tokenizer, icon_clip(len(source().tokenizer))
    numbers = plans.train(
        RUN, f"model {seed} {steps}", net, pairs(seed), contrastive, steps, RATE, decay=0.1
    )
    numbers = {"seed": seed, "captions": len(source().captions), **numbers}
    return numbers | exam(net, tokenizer, plans.folder(RUN, f"model {seed} {steps}") / "model")


def exam(net, tokenizer, where):
    """Keep a model, in float16, and ask what that kept of it."""
    preprocess = Preprocess((32, 32), 32, "box")  # areas averaged, as the pictures were made
    minivit.save(net, where, tokenizer=tokenizer, preprocess=preprocess, dtype="float16")
    net = minivit.load(where).model
    return {
        "test": naming(net, tokenizer), "validation": naming(net, tokenizer, "validation"),
        "suite": suite(net, tokenizer), "suite, plain names": suite(net, tokenizer, ("{}",)),
    }  # fmt: skip


def locked(seed, steps):
    """The CLIP that ships: the trained ResNet, locked, and a bag of words that learns to agree."""
    manual_seed(seed)
    encoder = of_colour(trained_resnet())
    reader = Locked(source(), encoder, seed)
    words = clip.BagOfWords(len(reader.tokenizer), 128)
    net = clip.CLIP(encoder, words, 128, 128, D_E)
    for parameter in encoder.parameters():
        parameter.requires_grad = False
    free = decay_groups(net, 0.1)
    for group in free:
        group["params"] = [p for p in group["params"] if p.requires_grad]
    numbers = plans.train(
        RUN, f"locked {seed} {steps}", net, reader, read, steps, 1e-3,
        optimizer=AdamW(free, lr=1e-3, betas=(0.9, 0.98)),
    )  # fmt: skip
    numbers = {"seed": seed, "captions": len(reader.rows), **numbers}
    return numbers | exam(net, reader.tokenizer, record.folder() / "models" / "icons")


def trained_resnet():
    """The model of `iconnet resnet`, from its newest checkpoint."""
    made = sorted(plans.folder("iconnet", "").glob("resnet 0 *"), key=lambda p: int(p.name[9:]))
    done = [checkpoints(folder)[-1] for folder in made if checkpoints(folder)]
    if not done:
        raise StateError("icon_clip locked: train the ResNet first: iconnet resnet")
    return minivit.load(done[0]).model


def of_colour(net):
    """The same ResNet without its head, for three colours: it looks at their mean."""
    config = net.config | {"channels": 3, "classes": 0}
    state = {name: a for name, a in net.state_dict().items() if not name.startswith("head.")}
    state["stem.weight"] = np.repeat(state["stem.weight"] / 3, 3, axis=-1)
    other = ResNet(**config)
    other.load_state_dict(state)
    return other.eval()


class Locked(IconPairs):
    """Batches of features and texts: the pictures of the commoner captions went through the encoder
    once, at most `most` of a caption."""

    def __init__(self, of, encoder, seed, batch_size=256, least=5, most=5):
        self.__dict__ |= of.__dict__
        rng = np.random.default_rng(seed)
        common = [i for i, rows in enumerate(of.rows) if len(rows) >= least]
        self.captions = [of.captions[i] for i in common]
        self.rows = [rng.permutation(of.rows[i])[:most] for i in common]
        root = np.sqrt([len(of.rows[i]) for i in common])
        self.odds, self.seed, self.batch_size = root / root.sum(), seed, batch_size
        rows = np.sort(np.concatenate(self.rows))
        self.place = {int(row): i for i, row in enumerate(rows)}
        self.shift, parts = 0, range(0, len(rows), 512)
        still = np.random.default_rng(0)
        with no_grad():
            self.features = np.concatenate([
                encoder(Tensor(super(Locked, self)._pictures(rows[i : i + 512].tolist(), still)))
                .numpy() for i in tqdm(parts, "features", leave=False)
            ])  # fmt: skip

    def _pictures(self, rows, rng):
        return self.features[[self.place[row] for row in rows]]


def read(net, features, texts):
    """The contrastive loss of features that are there already."""
    net.clip_temperature()
    return clip.clip_loss(
        lambda I: I, net.text_encoder, features, texts, net.W_i, net.W_t, net.t
    )  # fmt: skip


OBJECTIVES = {  # of (encoder, its width, vocabulary); a bag of words reads the text of the last
    "caption": lambda image, d, V: Captioner(image, d, V, CONTEXT),
    "bag of words": lambda image, d, V: WordPredictor(image, d, V),
    "contrastive": lambda image, d, V: clip.CLIP(image, clip.BagOfWords(V, WIDTH), d, WIDTH, D_E),
}


def _loss(net, images, texts):
    return (
        contrastive(net, images, texts) if isinstance(net, clip.CLIP) else net.loss(images, texts)
    )


def objectives(kind, seed):
    """Naming 200 concepts of unseen families, one picture each, at several points of one run."""
    manual_seed(seed)
    tokenizer = source().tokenizer
    net = OBJECTIVES[kind](*resnet(16), len(tokenizer))
    images, labels = iconnet.net().part("test")
    others = Tensor(np.repeat(icons.as_input(iconnet.net().part("validation")[0][:32]), 3, -1))
    _, first = np.unique(labels, return_index=True)
    first = first[~unseen()[labels[first]]]
    first = np.random.default_rng(0).permutation(first)[:200]
    texts = [icons.caption(iconnet.net().classes[c]) for c in labels[first]]
    texts = tokenize(tokenizer, texts)
    pictures = Tensor(icons.as_input(images[first], 3))

    def named(net):
        if isinstance(net, clip.CLIP):
            return {"named": clip.recall_at_k(net(pictures, texts).numpy())["image to text"][1]}
        return {"named": clip.recall_at_k(net.scores(pictures, texts, others))["image to text"][1]}

    numbers = plans.train(
        RUN, f"objectives {kind} {seed}", net, pairs(seed), _loss, POINTS[-1], 1e-3, decay=0.1,
        evaluate=named, evaluate_every=POINTS[0],
    )  # fmt: skip
    plans.forget(RUN, f"objectives {kind} {seed}")
    return {"seed": seed, "candidates": len(first), **numbers}


ENCODERS = {
    "ViT 32x2": lambda: vit(32, 2), "ViT 64x3": lambda: vit(64, 3), "ViT 96x4": lambda: vit(96, 4),
    "ResNet 8": lambda: resnet(8), "ResNet 16": lambda: resnet(16), "ResNet 32": lambda: resnet(32),
}  # fmt: skip


def compute(name, seed):
    """The same training with another image encoder."""
    manual_seed(seed)
    net = icon_clip(len(source().tokenizer), ENCODERS[name]())
    numbers = plans.train(
        RUN, f"compute {name} {seed}", net, pairs(seed), contrastive, COMPARED, RATE, decay=0.1
    )
    plans.forget(RUN, f"compute {name} {seed}")
    return {"seed": seed, **numbers, "test": naming(net, source().tokenizer),
            "image parameters": net.image_encoder.count_parameters()}  # fmt: skip


PARTS = {
    "locked": [Job(locked, (0, 3_000), 300)],
    "model": [Job(model, (0, n), n * SECONDS) for n in (STEPS, 12_000)],
    "objectives": [Job(objectives, (k, s), 1600 * 0.4) for s in SEEDS for k in OBJECTIVES],
    "compute": [Job(compute, (name, s), COMPARED * 0.6) for s in SEEDS for name in ENCODERS],
}


def main(arguments=()):
    return plans.main(RUN, PARTS, arguments, __doc__.partition("\n")[0])


def results():
    """The content of data/results/icon_clip.json: {job: numbers}, and the machine."""
    return record.kept(RUN)
