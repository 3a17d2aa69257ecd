"""Questions for a net that reads icons: names of unseen families, and a suite of category sets.

    score = by_clip(model, tokenizer)   # score(images, labels): (n, labels), the best is the answer
    naming(score)["seen"]["top-1"]      # among 1,060 names, drawn by families never trained on
    suite(score)["carbon"]["accuracy"]  # each set that has categories, as a data set of its own

Images are bytes: (n, 32, 32), or (n, 32, 32, 3) in colour.
"""

import functools

import numpy as np

from minivit import Tensor, no_grad
from minivit.course.runs import iconnet
from minivit.engine import backend
from minivit.models import clip
from minivit.training import icons
from minivit.training.icon_pairs import TEMPLATES, tokenize, unseen


@functools.cache
def everything():
    return icons.icons()


# -- how a net scores ------------------------------------------------------------------------------
def by_clip(model, tokenizer, templates=TEMPLATES):
    """score(images, labels) of a CLIP, in eval mode: cosines (n, labels)."""

    def score(images, labels):
        with model.evaluating():
            texts = text_vectors(model, tokenizer, labels, templates)
            return image_vectors(model.encode_image, images) @ texts.T

    return score


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
def image_vectors(encode, images):
    """What encode makes of bytes: (n, width)."""
    rows = []
    for i in range(0, len(images), 512):
        some = images[i : i + 512]
        some = np.repeat(some[..., None], 3, axis=-1) if some.ndim == 3 else some
        inputs = Tensor(icons.to_unit(some), device=backend.default_device())
        rows.append(encode(inputs).numpy())
    return np.concatenate(rows)


# -- questions -------------------------------------------------------------------------------------
def naming(score, part="test"):
    """Zero-shot on families that were never trained: concepts with captions, among all names;
    concepts without, among all names and among their own."""
    net = iconnet.net()
    images, labels = net.part(part)
    families = net.families_of(part)
    scores = score(images, [icons.caption(c) for c in net.classes])
    never = unseen()[: len(net.classes)]
    hidden, out = never[labels], {}
    for name, rows, columns in (
        ("seen", ~hidden, np.arange(len(net.classes))),
        ("unseen among all", hidden, np.arange(len(net.classes))),
        ("unseen", hidden, np.flatnonzero(never)),
    ):
        asked, right = scores[rows][:, columns], scores[rows, labels[rows]]
        marks = iconnet.marks(asked, right, families[rows], net.family_names)
        out[name] = {**marks, "candidates": len(columns), "pictures": len(right)}
    return out


def category_sets(parts=("test", "validation"), least=50):
    """Each set of an unseen family that has categories: (set, pictures, labels, titles). Icons of
    one category only; `least` of them."""
    table = icons.split()["families"]
    for number, (name, about) in enumerate(everything().about.items()):
        titles = [title.lower() for title in about["categories"]]
        if table.get(about["family"]) not in parts or not 2 < len(titles) == len(set(titles)):
            continue
        of = {}  # place: its categories
        for k, members in enumerate(about["categories"].values()):
            for place in members:
                of.setdefault(place, []).append(k)
        rows = np.flatnonzero(everything().sets == number)
        of = [of.get(place, ()) for place in everything().places[rows].tolist()]
        one = [i for i, some in enumerate(of) if len(some) == 1]
        if len(one) >= least:
            yield name, everything().images[rows[one]], np.array([of[i][0] for i in one]), titles


def suite(score, parts=("test", "validation")):
    """Accuracy on the categories of each set, by their names; beside it the largest category's
    share."""
    return {
        name: {
            "accuracy": float((score(images, titles).argmax(axis=1) == labels).mean()),
            "largest": float(np.bincount(labels).max() / len(labels)),
            "pictures": len(labels), "categories": len(titles),
        }
        for name, images, labels, titles in category_sets(parts)
    }  # fmt: skip


def probed(encode, draws=3):
    """What labels are worth on the same sets: logistic regression on an encoder's features, from
    one half of a set's pictures, asked of the other half; the mean of `draws` halvings."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = {}
    for name, images, labels, _ in category_sets():
        vectors, right = image_vectors(encode, images), []
        for draw in range(draws):
            order = np.random.default_rng(draw).permutation(len(labels))
            half, other = np.array_split(order, 2)
            probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
            probe.fit(vectors[half], labels[half])
            right.append(float(probe.score(vectors[other], labels[other])))
        found[name] = {"accuracy": float(np.mean(right)), "draws": right}
    return found
