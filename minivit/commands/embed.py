"""minivit embed: sentences or photos as vectors, the more alike the nearer."""

import sys

import numpy as np

from minivit.commands import shared
from minivit.engine.errors import DataError, TextError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TABLE = 12  # as many at most are shown as a table of similarities


def add_to(parsers):
    parser = parsers.add_parser("embed", help="sentences or photos as vectors")
    parser.add_argument("inputs", nargs="+", help="sentences, or - for the lines of standard input")
    shared.add_model(parser, MINILM, f"a BERT, CLIP or ViT; default {MINILM}")
    parser.add_argument("--photos", action="store_true", help="the inputs are files of photos")
    parser.add_argument("--out", metavar="NPY", help="write the vectors here, one a row")
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    if options.out:
        shared.check_out(options.out, ".npy")
    inputs = options.inputs
    if inputs == ["-"]:
        inputs = [line for line in sys.stdin.read().splitlines() if line.strip()]
    if not inputs:
        raise TextError("embed: nothing came from standard input; expected one sentence a line")
    families = ("clip", "vit", "clip_halves") if options.photos else ("bert", "clip", "clip_halves")
    found = shared.load(options.model, *families)
    rows = (photos if options.photos else texts)(found, inputs)  # (n, D)
    facts = {"model": options.model, "dimensions": rows.shape[1], "inputs": inputs}
    if options.out:
        shared.write(options.out, lambda file, _: np.save(file, rows))
        facts["out"] = options.out
    elif options.json:
        facts["embeddings"] = rows.tolist()
    shared.show(options, facts, text(inputs, rows, options.out))
    return 0


def texts(found, lines):
    from minivit import no_grad
    from minivit.published import sentences

    if found.tokenizer is None:
        raise DataError(
            "the model has no vocabulary beside it: vocab.txt, or vocab.json and merges"
        )
    if found.sentences is not None:
        return sentences.embed(found, lines, progress=True)
    with no_grad():
        encode = found.model.encode_text if found.family == "clip" else found.model
        return encode(found.tokenizer(lines)).numpy()


def photos(found, paths):
    from tqdm.auto import tqdm

    from minivit import no_grad

    if found.preprocess is None:
        raise DataError("embed: the model is not shown pictures of three colours")
    rows = []
    for path in tqdm(paths, "photos", disable=len(paths) < 2, leave=False):
        with no_grad():
            image = found.preprocess(path)
            encode = {"clip": "encode_image", "vit": "features"}.get(found.family, "forward")
            rows.append(getattr(found.model, encode)(image).numpy()[0])
    rows = np.stack(rows)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def text(inputs, rows, out):
    """For people: how many, and how alike they are."""
    lines = [f"{len(rows)} vectors of {rows.shape[1]} numbers" + (f" in {out}" if out else "")]
    if 1 < len(rows) <= TABLE:
        lines.append("cosine similarity:")
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)  # some encoders' are not
        for i, (line, similarities) in enumerate(zip(inputs, unit @ unit.T), 1):
            shown = " ".join(f"{s:5.2f}" for s in similarities)
            lines.append(f"{i:3} {shown}   {line if len(line) <= 50 else line[:49] + '…'}")
    elif not out:
        lines.append("--out FILE.npy writes them, --json prints them")
    return "\n".join(lines)
