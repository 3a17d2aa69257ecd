"""minivit complete PHOTO: an Image GPT sees the top of a picture and draws the rest."""

import math
from pathlib import Path

import numpy as np

from minivit.commands import shared
from minivit.images import pictures

SMALL = "emoji-gpt"  # it ships: no network is needed
SHOWN, GAP = 256, 8  # pixels: of one square in the picture that is written, and between two


def add_to(parsers):
    parser = parsers.add_parser("complete", help="the rest of a picture, drawn by an Image GPT")
    parser.add_argument(
        "photo", help="a picture; of one that is not square, the middle. -: from standard input"
    )
    shared.add_model(
        parser, SMALL, f"openai/imagegpt-small, say. Default: {SMALL}, the small one of lecture 4, "
        "which knows flags and faces of 16 x 16 pixels"
    )  # fmt: skip
    for name, kind, default, what in (
        ("--keep", shared.number(0, 1), 0.5, "how much of it the model sees"),
        ("--samples", shared.number(1, kind=int), 3, "how many it draws"),
        ("--temperature", shared.number(0), 1.0, "below 1: less varied; 0: the likeliest"),
        ("--top-k", shared.number(1, kind=int), None, "only from the k likeliest colours"),
        ("--seed", shared.number(0, kind=int), 0, "of the draws"),
    ):
        shown = "" if default is None else f" ({default})"
        parser.add_argument(name, type=kind, default=default, metavar="X", help=what + shown)
    parser.add_argument("--out", metavar="PNG", help="default: the photo's name, -completed.png")
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    here = "completed.png" if options.photo == "-" else f"{Path(options.photo).stem}-completed.png"
    out = here if options.out is None else options.out
    shared.check_out(out, ".png", ".jpg", ".webp")
    source = shared.given("a picture") if options.photo == "-" else options.photo
    square = pictures.middle_square(pictures.read(source))
    model, pixels = load(options.model)
    ids = pixels(np.rint((square + 1) * 127.5).astype(np.uint8))  # (1, N)
    rows = min(round(options.keep * pixels.side), pixels.side - 1)
    kept = ids[:, : rows * pixels.side]
    how = dict(temperature=options.temperature, top_k=options.top_k, seed=options.seed)
    drawn = model.complete(np.repeat(kept, options.samples, axis=0), progress=True, **how)
    squares = pixels.pictures(np.concatenate([ids, ids, drawn]))
    squares[1, rows:] = 128
    shared.write(out, side_by_side(squares))
    original, *bits = bits_a_pixel(model, np.concatenate([ids, drawn]), kept.shape[1])
    facts = {
        "model": options.model, "side": pixels.side, "rows kept": rows, "seed": options.seed,
        "out": out,
        "bits a pixel": {"original": original, "drawn": bits},
    }  # fmt: skip
    drawings = ", ".join(f"{b:.2f}" for b in bits)
    shared.show(
        options, facts,
        f"{out}: the picture in {pixels.side} x {pixels.side} pixels, the {rows} rows that the "
        f"model saw, and {len(bits)} times what it drew.\n"
        f"Bits a pixel below them, by the model: the picture {original:.2f}; drawn {drawings}",
    )  # fmt: skip
    return 0


def load(name):
    """(ImageGPT, its Pixels)."""
    from minivit.engine.errors import CheckpointError

    found = shared.load(name, "image_gpt")
    if found.preprocess is None:
        raise CheckpointError(f"{name}: no preprocessor_config.json, which has the palette")
    return found.model, found.preprocess


def bits_a_pixel(model, ids, first):
    """-log2 p of the pixels from `first` on, given those before each: one mean a picture."""
    from minivit import cross_entropy_loss, no_grad

    with no_grad():
        nats = [cross_entropy_loss(model(x[None]), x[None], reduction="none") for x in ids]
    return [float(x.numpy()[0, first:].mean() / math.log(2)) for x in nats]


def side_by_side(squares):
    """Squares (n, side, side, 3), enlarged, in one row; what `shared.write` calls."""
    n, side = squares.shape[:2]
    times = max(1, SHOWN // side)
    large = squares.repeat(times, axis=1).repeat(times, axis=2)
    page = np.full((side * times, n * (side * times + GAP) - GAP, 3), 255, np.uint8)
    for i, square in enumerate(large):
        left = i * (side * times + GAP)
        page[:, left : left + side * times] = square
    image = pictures.pillow("Image").fromarray(page)
    return lambda file, ending: image.save(file, {"jpg": "jpeg"}.get(ending, ending))
