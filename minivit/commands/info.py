"""minivit info FILE: what is in a checkpoint, without computing with it.

Exit status: 0 a model of a known family, 1 tensors that are none, 2 what cannot be read.
"""

import sys
from collections import Counter
from math import prod

from minivit.commands.shared import add_json, show
from minivit.engine.errors import MinivitError


def add_to(commands):
    parser = commands.add_parser("info", help="what is in a published checkpoint")
    parser.add_argument("file", help="a .safetensors or .npz file, a folder, or a name of the hub")
    parser.add_argument("--tensors", action="store_true", help="list all tensors, too")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    from minivit import published
    from minivit.published import weights

    path = published.find(options.file)
    arrays = weights.read(path)
    facts = file_facts(path, arrays)
    try:
        facts |= model_facts(path, arrays)
    except MinivitError as reason:
        facts["problem"] = str(reason)
    if options.tensors:
        facts["tensors"] = {
            name: {"dtype": t.dtype, "shape": list(t.shape)} for name, t in arrays.stored.items()
        }
    show(options, facts, text(facts))
    if "problem" in facts:
        print(f"{path}: {facts['problem']}", file=sys.stderr)
        return 1
    return 0


def file_facts(path, arrays):
    stored = arrays.stored.values()
    return {
        "file": str(path),
        "format": arrays.format,
        "bytes": sum(file.stat().st_size for file in {t.path for t in stored}),
        "dtypes": dict(Counter(t.dtype for t in stored)),
        "numbers": sum(prod(t.shape) for t in stored),
    }


def model_facts(path, arrays):
    """The family's model, with the shapes of the file and none of its numbers."""
    from minivit import published
    from minivit.models import flops
    from minivit.published import tables

    config = published.read_config(path if path.is_dir() else path.parent)
    arrays = published.named_as_published(arrays, config)
    family = published.family_of(config, arrays)
    layout = published.empty(family, config, arrays)
    tables.check(arrays, layout.table, layout.ignore)
    parts = Counter()
    for name, p in layout.model.named_parameters():
        parts[name.partition(".")[0]] += p.size
    return {
        "family": published.name_of(family, layout.model),
        "layout": layout.name,
        "model": type(layout.model).__name__,
        "parameters": layout.model.count_parameters(),
        "parts": dict(parts),
        "flops": flops.flops(layout.model),
    }


def text(facts):
    count = sum(facts["dtypes"].values())
    dtypes = ", ".join(f"{n} {dtype}" for dtype, n in facts["dtypes"].items())
    lines = [
        ("file", f"{facts['file']}: {facts['format']}, {facts['bytes'] / 1e6:,.1f} MB"),
        ("tensors", f"{count}, {facts['numbers']:,} numbers: {dtypes}"),
    ]
    if "family" in facts:
        lines += [
            ("family", f"{facts['family']}, names of {facts['layout']}"),
            ("model", f"{facts['model']}, {facts['parameters']:,} parameters"),
            *(("", f"{n:>15,}  {part}") for part, n in facts["parts"].items()),
            *(("work", f"{operations(n)}: {what}") for what, n in facts["flops"].items()),
        ]
    for name, tensor in facts.get("tensors", {}).items():
        shape = " x ".join(map(str, tensor["shape"])) or "one number"
        lines.append(("", f"{tensor['dtype']:9} {shape:20} {name}"))
    return "\n".join(f"{label:9}{line}" for label, line in lines)


def operations(n):
    """Such as 35.1 GFLOP; three digits."""
    unit, name = next(x for x in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if n >= x[0])
    return f"{n / unit:.{2 if n < 10 * unit else 1 if n < 100 * unit else 0}f} {name}FLOP"
