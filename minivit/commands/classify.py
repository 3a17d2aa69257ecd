"""minivit classify PHOTO: by labels of your own and a CLIP, or by the classes of a ViT."""

import os
from pathlib import Path

import numpy as np

from minivit.commands import shared
from minivit.engine.errors import CheckpointError, DataError, OptionError, ShapeError

CLIP = "openai/clip-vit-base-patch32"
EMOJI = "emoji"  # the small CLIP of lecture 7, which is here and needs no network
ICONS = "icons"  # another one that is here: it has read 11,960 captions of icons
TEMPLATE = "a photo of {}."
NO_LABELS = 'classify: a CLIP needs labels: --labels "a dog" "a cat"'
BATCH, PHOTOS = 256, 16  # texts, and photos, that are encoded at once
FAMILIES = "clip", "vit", "resnet"
BAR = 30  # characters of a bar of 100%; "#", which every terminal can write


def add_to(parsers):
    parser = parsers.add_parser("classify", help="what is in a photo, by labels of your own")
    parser.add_argument("photo", nargs="?", help="a picture, a folder of them, or - for one "
                        "from standard input")  # fmt: skip
    parser.add_argument(
        "--labels", nargs="+", type=shared.text, metavar="LABEL", help='for a CLIP: "a dog" "a cat"'
    )
    parser.add_argument(
        "--template", action="append", type=shared.text, metavar="TEXT",
        help=f"what is made of a label, {{}} being the label; more than one are averaged. Default: "
        f'"{TEMPLATE}"',
    )  # fmt: skip
    shared.add_model(
        parser, CLIP, f"a CLIP or a ViT such as google/vit-base-patch16-224; default {CLIP}. "
        f"{EMOJI!r} and {ICONS!r}: small CLIPs that need no network and know emoji, or icons, only"
    )  # fmt: skip
    parser.add_argument(
        "--top", type=shared.number(1, kind=int), default=5, metavar="K",
        help="how many are shown, the likeliest first (5)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="PNG", help="the photo with bars beside it (matplotlib)")
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    from minivit.images import pictures

    if options.out is not None:
        shared.check_out(options.out, ".png", ".jpg", ".pdf", ".svg")
        import matplotlib  # noqa: F401, before the long work
    check(options)
    if options.photo != "-" and os.path.isdir(options.photo):
        return run_folder(options)
    source = shared.given("a picture") if options.photo == "-" else options.photo
    picture = pictures.picture(source)
    found = load(options.model, *FAMILIES)
    labels, classify = classifier(found, options)
    (results,) = likeliest(labels, classify(seen(found, picture)), options.top)
    facts = {
        "photo": options.photo, "model": options.model, "layout": found.layout, "results": results
    }  # fmt: skip
    if options.out:
        facts["out"] = options.out
        draw(options.out, picture, results, options.model)
    shared.show(options, facts, text(facts))
    return 0


def run_folder(options):
    """All photos of a folder, in batches."""
    if options.out:
        raise OptionError("classify: --out is for one picture, not for a folder")
    paths = shared.photos_in(options.photo)
    found = load(options.model, *FAMILIES)
    labels, classify = classifier(found, options)
    photos, unread = [], {}
    for some, images in shared.seen(found, paths, PHOTOS, unread):
        photos += [
            {"photo": path, "results": results}
            for path, results in zip(some, likeliest(labels, classify(images), options.top))
        ]
    facts = {"folder": options.photo, "model": options.model, "layout": found.layout,
             "photos": photos, "unread": unread}  # fmt: skip
    shared.show(options, facts, text_of_folder(facts))
    return 0


def check(options):
    """Refuse wrong labels before a model is downloaded or read."""
    from minivit.text import CLIPTokenizer

    labels = options.labels or []
    if options.photo is None:  # it stands behind --labels, which took it for one
        named = labels and (labels[-1] == "-" or Path(labels[-1]).suffix or _folder(labels[-1]))
        if not named:
            raise DataError("classify: no picture is named: minivit classify PHOTO --labels ...")
        options.photo = labels.pop()
    if options.model in (CLIP, EMOJI, ICONS) and not labels:
        raise OptionError(NO_LABELS)
    first = {}  # words: the label that has them
    for label in labels:
        words = tuple(CLIPTokenizer.words(label))  # in lower case, without spaces
        if not words:
            raise OptionError(f"classify: --labels: {label!r} is empty; expected words")
        if words in first:
            raise OptionError(
                f"classify: --labels: {first[words]!r} and {label!r} are the same to a CLIP; "
                "expected each once"
            )
        first[words] = label
    if bad := [template for template in options.template or [] if "{}" not in template]:
        raise OptionError(f"classify: --template {bad[0]!r}: expected {{}} where the label goes")


def _folder(name):
    return name.endswith(("/", os.sep)) and os.path.isdir(name)


def load(name, *families):
    try:
        return shared.load(name, *families)
    except DataError as reason:  # it could not be downloaded
        raise DataError(
            f"{reason}\n(--model {EMOJI} needs no network, nor does {ICONS})"
        ) from reason


def classifier(found, options):
    """(labels, what makes of images (B, H, W, C) their probabilities (B, labels))."""
    return (zero_shot if found.family == "clip" else by_classes)(found, options)


def likeliest(labels, p, top):
    """Of each row of probabilities the first `top`: [[{"label": ..., "probability": ...}]]."""
    best = np.argsort(-p, axis=1, kind="stable")[:, :top]
    return [
        [{"label": labels[i], "probability": float(row[i])} for i in chosen]
        for row, chosen in zip(p, best)
    ]


def zero_shot(found, options):
    """A classifier made of the labels: softmax of exp(t) times the cosines."""
    from tqdm.auto import tqdm

    from minivit import Tensor, no_grad, softmax
    from minivit.models.clip import zero_shot_weights

    labels, templates = options.labels, options.template or default_templates(options.model)
    if not labels:
        raise OptionError(NO_LABELS)
    if found.tokenizer is None:
        raise CheckpointError(
            f"{options.model}: the model has no vocabulary beside it: vocab.json and merges.txt, "
            "or OpenAI's bpe_simple_vocab_16e6.txt.gz"
        )
    for label in labels:
        for template in templates:
            refuse_too_long(found.tokenizer, "--labels", label, template.replace("{}", label))
    per_batch, columns = max(1, BATCH // len(templates)), []
    with no_grad():
        starts = range(0, len(labels), per_batch)
        for i in tqdm(starts, "labels", disable=len(starts) < 2, leave=False):
            some = labels[i : i + per_batch]
            columns.append(zero_shot_weights(found.model, found.tokenizer, some, templates).numpy())
    W = np.concatenate(columns, axis=1)  # (d_e, labels)

    def classify(images):
        with no_grad():
            I_e = found.model.encode_image(Tensor(images)).numpy()  # (B, d_e)
            logits = I_e @ W * np.exp(found.model.t.numpy())
            return softmax(logits.astype(np.float64)).numpy()

    return labels, classify


def default_templates(name):
    """The texts made of a label: the icons' CLIP was trained on templates of its own."""
    from minivit.training.icon_pairs import TEMPLATES

    return TEMPLATES if name == ICONS else [TEMPLATE]


def refuse_too_long(tokenizer, where, text, prompt):
    """More tokens than the text encoder has places for: say which, before all are encoded."""
    try:
        tokenizer([prompt])
    except ShapeError as reason:
        raise OptionError(
            f"{where}: {text if len(text) < 60 else text[:59] + '…'!r} is too long: at most "
            f"{tokenizer.context_length} tokens, with two for the ends and those of a template"
        ) from reason


def by_classes(found, options):
    """The model's own classes; by number, where the file has no names for them."""
    from minivit import Tensor, no_grad, softmax

    if options.labels or options.template:
        raise OptionError(
            "classify: --labels and --template are for a CLIP; a "
            f"{type(found.model).__name__} has classes of its own"
        )
    if found.model.head is None:
        raise CheckpointError(f"{options.model}: the file has no head, so there are no classes")
    classes = found.model.head.weight.shape[0]

    def classify(images):
        with no_grad():
            logits = found.model(Tensor(images)).numpy()
            return softmax(logits.astype(np.float64)).numpy()

    return found.labels or [f"class {i}" for i in range(classes)], classify


def seen(found, picture):
    if found.preprocess is None:
        raise CheckpointError("classify: the model is not shown pictures of three colours")
    return found.preprocess(picture)


def text(facts):
    """For people: a line a label, with a bar."""
    width = max(len(r["label"]) for r in facts["results"])
    lines = [f"{facts['photo']}, by {facts['model']}:"]
    for r in facts["results"]:
        bar = "#" * round(BAR * r["probability"])
        lines.append(f"{r['probability']:7.1%}  {r['label']:{width}}  {bar}".rstrip())
    if "(" in facts["layout"]:  # what was assumed
        lines.append(f"names of {facts['layout']}")
    if facts["model"] in (EMOJI, ICONS):
        lines.append(f"(this small CLIP has seen nothing but {facts['model']})")
    if "out" in facts:
        lines.append(f"drawn in {facts['out']}")
    return "\n".join(lines)


def text_of_folder(facts):
    """A line a photo, with its likeliest labels."""
    lines = [f"{len(facts['photos'])} photos of {facts['folder']}, by {facts['model']}:"]
    for photo in facts["photos"]:
        found = ", ".join(f"{r['label']} {r['probability']:.1%}" for r in photo["results"])
        lines.append(f"{Path(photo['photo']).name}: {found}")
    lines += [f"could not be read: {reason}" for reason in facts["unread"].values()]
    if "(" in facts["layout"]:  # what was assumed
        lines.append(f"names of {facts['layout']}")
    return "\n".join(lines)


def draw(path, picture, results, name):
    """The photo, and a bar for each result, written to a file."""
    from matplotlib.figure import Figure

    from minivit.published.preprocess import opened

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.3])
    left.imshow(np.asarray(opened(picture)))
    left.set_axis_off()
    labels = [r["label"] if len(r["label"]) <= 32 else r["label"][:31] + "…" for r in results]
    shares = [r["probability"] for r in results]
    bars = right.barh(range(len(results)), shares, color="#0072B2")
    right.bar_label(bars, [f"{p:.1%}" for p in shares], padding=4)
    right.set(yticks=range(len(results)), yticklabels=labels, xlim=(0, 1.15), xticks=[])
    right.invert_yaxis()
    right.spines[["top", "right", "bottom"]].set_visible(False)
    right.set_title(f"by {name}", loc="left")
    shared.write(path, lambda file, ending: figure.savefig(file, format=ending, dpi=120))
