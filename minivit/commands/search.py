"""minivit search WORDS FOLDER: the pictures of a folder, the likeliest to be meant first."""

import os
import sys
from pathlib import Path

import numpy as np

from minivit.commands import classify, embed, shared
from minivit.engine.errors import CheckpointError, DataError, TextError

SHOWN = 5  # reasons, of what could not be read


def add_to(parsers):
    parser = parsers.add_parser("search", help="a folder's pictures, ranked by words")
    parser.add_argument(
        "words", type=shared.text,
        help='what to look for, such as "a red flag"; - from standard input',
    )  # fmt: skip
    parser.add_argument(
        "folder", type=shared.place, help="a folder of pictures, with the folders in it"
    )
    shared.add_model(
        parser, classify.CLIP, f"a CLIP; default {classify.CLIP}. {classify.ICONS!r} and "
        f"{classify.EMOJI!r}: small ones that need no network and know icons, or emoji, only"
    )  # fmt: skip
    parser.add_argument(
        "--top", type=shared.number(1, kind=int), default=5, metavar="K",
        help="how many are shown, the likeliest first (5)",
    )  # fmt: skip
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    if options.words == "-":
        options.words = " ".join(shared.lines("what to look for"))
    if not options.words.strip():
        raise TextError("search: the words are empty; expected what to look for")
    unread = {}
    paths = pictures_in(options.folder, unread)
    found = classify.load(options.model, "clip")
    if found.tokenizer is None:
        raise CheckpointError(f"{options.model}: the model has no vocabulary beside it")
    templates = ["{}"] if options.model != classify.ICONS else classify.default_templates("icons")
    for template in templates:
        prompt = template.replace("{}", options.words)
        classify.refuse_too_long(found.tokenizer, "search", options.words, prompt)
    paths, rows = vectors(found, paths, unread)
    cosines = rows @ of_words(found, options.words, templates)  # (n,)
    order = np.argsort(-cosines, kind="stable")[: options.top]
    facts = {
        "words": options.words, "folder": options.folder, "model": options.model,
        "pictures": len(paths), "unread": unread,
        "results": [{"file": str(paths[i]), "cosine": float(cosines[i])} for i in order],
    }  # fmt: skip
    shared.show(options, facts, text(facts))
    if unread:
        reasons = [*unread.values()]
        more = [f"and {len(reasons) - SHOWN} more"] * (len(reasons) > SHOWN)
        what = f"search: {len(reasons)} could not be read, and are left out:"
        print(what, *reasons[:SHOWN], *more, sep="\n  ", file=sys.stderr)
    return 0


def pictures_in(folder, unread):
    """The pictures in a folder and in the folders in it, by name. unread: takes {folder: what is
    wrong} of those that cannot be read."""
    folder = Path(folder)
    if not folder.is_dir():
        what = "that is a file" if folder.exists() else "there is no such folder"
        raise DataError(f"search: {folder}: {what}; expected a folder of pictures")

    def closed(reason):
        unread[reason.filename] = f"{reason.filename}: cannot be read ({reason.strerror})"

    inside = (Path(at, name) for at, _, names in os.walk(str(folder), onerror=closed)
              for name in names)  # fmt: skip
    found = sorted(filter(shared.is_picture, inside))
    if str(folder) in unread:
        raise DataError(f"search: {unread[str(folder)]}")
    if not found:
        endings = ", ".join(sorted(shared.ENDINGS))
        there = "; ".join([f"there is no picture in this folder: {endings}", *unread.values()])
        raise DataError(f"search: {folder}: {there}")
    return found


def vectors(found, paths, unread):
    """(paths that could be read, their unit vectors (n, d_e)); unread: takes what is wrong with the
    others."""
    from minivit import no_grad

    kept, rows = [], []
    with no_grad():
        for some, images in shared.seen(found, paths, embed.BATCH, unread):
            kept += some
            rows.append(found.model.encode_image(images).numpy())
    return kept, np.concatenate(rows)


def of_words(found, words, templates):
    """The unit vector of the words: (d_e,)."""
    from minivit import no_grad
    from minivit.models.clip import zero_shot_weights

    with no_grad():
        return zero_shot_weights(found.model, found.tokenizer, [words], templates).numpy()[:, 0]


def text(facts):
    """For people: a line a picture."""
    lines = [f"{facts['words']!r} among {facts['pictures']} pictures, by {facts['model']}:"]
    lines += [f"{r['cosine']:7.3f}  {r['file']}" for r in facts["results"]]
    return "\n".join(lines)
