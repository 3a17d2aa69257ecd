"""minivit embed: sentences or photos as vectors, the more alike the nearer."""

import numpy as np

from minivit.commands import shared
from minivit.commands.classify import refuse_too_long
from minivit.engine.errors import DataError, OptionError, TextError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
BATCH, TEXTS = 16, 256  # photos, and texts of a CLIP, that are encoded at once
TABLE = 12  # as many at most are shown as a table of similarities


def add_to(parsers):
    parser = parsers.add_parser("embed", help="sentences or photos as vectors")
    parser.add_argument(
        "inputs", nargs="+", type=shared.text,
        help="sentences, or - alone for the lines of standard input",
    )  # fmt: skip
    shared.add_model(parser, MINILM, f"a BERT, CLIP or ViT; default {MINILM}")
    parser.add_argument(
        "--photos", action="store_true", help="the inputs are files of photos, or folders of them"
    )
    parser.add_argument("--out", metavar="NPY", help="write the vectors here, one a row")
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    if options.out is not None:
        shared.check_out(options.out, ".npy")
    inputs = options.inputs
    if inputs == ["-"]:
        what = f"one {'file of a photo' if options.photos else 'sentence'} a line"
        inputs = shared.lines(what)
        if not inputs:
            raise TextError(f"-: only empty lines came from standard input, expected {what}")
    elif "-" in inputs and not options.photos:
        raise OptionError('embed: "-", standard input, stands alone, without other inputs')
    families = ("clip", "vit", "resnet") if options.photos else ("bert", "clip")
    found = shared.load(options.model, *families, "clip_halves")
    facts = {"model": options.model}
    if options.photos:
        paths = [path for name in inputs for path in shared.photos_in(name)]
        named, (inputs, rows, unread) = inputs, photos(found, paths)
        for name in unread.keys() & set(named):  # of a folder, the others are enough
            raise DataError(unread[name])
        facts["unread"] = unread
    else:
        rows = texts(found, inputs)  # (n, D)
    facts |= {"dimensions": rows.shape[1], "inputs": inputs}
    if options.out:
        shared.write(options.out, lambda file, _: np.save(file, rows))
        facts["out"] = options.out
    elif options.json:
        facts["embeddings"] = rows.tolist()
    unread = [f"could not be read: {reason}" for reason in facts.get("unread", {}).values()]
    shared.show(options, facts, "\n".join([text(inputs, rows, options.out), *unread]))
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
    for line in lines:
        refuse_too_long(found.tokenizer, "embed", line, line)
    starts = range(0, len(lines), TEXTS)
    encode = found.model.encode_text if found.family == "clip" else found.model
    with no_grad():
        some = [encode(found.tokenizer(lines[i : i + TEXTS])) for i in starts]
    return np.concatenate([vectors.numpy() for vectors in some])


def photos(found, paths):
    """(paths that could be read, their vectors, of length 1; what is wrong with the others)."""
    from minivit import no_grad

    way = {"clip": "encode_image", "clip_halves": "forward"}.get(found.family, "features")
    encode = getattr(found.model, way)
    kept, rows, unread = [], [], {}
    with no_grad():
        for some, images in shared.seen(found, paths, BATCH, unread):
            kept += some
            rows.append(encode(images).numpy())  # (B, H, W, C) -> (B, D)
    rows = np.concatenate(rows)
    return kept, rows / np.linalg.norm(rows, axis=1, keepdims=True), unread


def text(inputs, rows, out):
    """For people: how many, and how alike they are."""
    lines = [
        f"{len(rows)} vector{'s' * (len(rows) != 1)} of {rows.shape[1]} numbers"
        + (f" in {out}" if out else "")
    ]
    if 1 < len(rows) <= TABLE:
        lines.append("cosine similarity:")
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)  # some encoders' are not
        for i, (line, similarities) in enumerate(zip(inputs, unit @ unit.T), 1):
            shown = " ".join(f"{s:5.2f}" for s in similarities)
            lines.append(f"{i:3} {shown}   {line if len(line) <= 50 else line[:49] + '…'}")
    elif not out:
        lines.append("--out FILE.npy writes them, --json prints them")
    return "\n".join(lines)
