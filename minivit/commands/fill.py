"""minivit fill "the [MASK] sat": what a BERT would write in the place of [MASK]."""

import numpy as np

from minivit.commands import shared
from minivit.engine.errors import CheckpointError, TextError

BERT = "google-bert/bert-base-uncased"


def add_to(parsers):
    parser = parsers.add_parser("fill", help="what stands in the place of [MASK]")
    parser.add_argument(
        "text",
        type=shared.text,
        help='such as "the [MASK] sat"; several masks are read. -: from standard input',
    )
    shared.add_model(parser, BERT, f"a BERT, RoBERTa or DistilBERT; default {BERT}")
    parser.add_argument(
        "--top", type=shared.number(1, kind=int), default=5, metavar="K",
        help="how many are shown, the likeliest first (5)",
    )  # fmt: skip
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    if options.text == "-":
        options.text = " ".join(shared.lines("a text with [MASK]"))
    found = shared.load(options.model, "bert")
    if found.tokenizer is None or found.model.head is None:
        what = "vocabulary beside it" if found.tokenizer is None else "head for masked words"
        raise CheckpointError(f"{options.model}: the model has no {what}")
    masks = fill(found, options.text, options.top)
    lines = []
    for i, tokens in enumerate(masks, 1):
        lines += [f"mask {i}:"] if len(masks) > 1 else []
        lines += [f"{t['probability']:7.1%}  {t['token']}" for t in tokens]
    shared.show(
        options, {"text": options.text, "model": options.model, "masks": masks}, "\n".join(lines)
    )
    return 0


def fill(found, text, top):
    """For each mask of `text` the likeliest tokens: [[{"token": ..., "probability": ...}]]."""
    from minivit import no_grad, softmax

    tokenizer = found.tokenizer
    mask = next((m for m in ("[MASK]", "<mask>") if m in tokenizer.ids), None)
    if mask is None:
        raise CheckpointError("fill: the vocabulary has no [MASK]")
    ids, there = tokenizer(text.replace("[MASK]", mask), special=True)
    places = np.flatnonzero(ids[0] == tokenizer.id_of(mask))
    if not len(places):
        raise TextError(f"fill: the text has no [MASK] among its first {tokenizer.longest} tokens")
    with no_grad():
        h = found.model.hidden(ids, there)[0, places]  # (n, D): the head at the masks alone
        p = softmax(found.model.vocabulary_logits(h)).numpy()[:, : len(tokenizer)]
    best = np.argsort(-p, axis=1, kind="stable")[:, :top]
    return [
        [{"token": _plain(tokenizer.symbols[i]), "probability": float(row[i])} for i in chosen]
        for row, chosen in zip(p, best)
    ]


def _plain(symbol):
    return symbol.replace("Ġ", " ").replace("▁", " ").strip() or symbol
