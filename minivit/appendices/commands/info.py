"""minivit info FILE: what is in a checkpoint."""

from pathlib import Path

from minivit.appendices.commands import add_json, show


def add_to(commands):
    parser = commands.add_parser("info", help="what is in a published checkpoint")
    parser.add_argument("file", help="a .safetensors or .npz file, or a folder")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    from minivit.appendices import pretrained, weights

    path = Path(options.file)
    arrays = weights.read(path)
    config = pretrained.read_config(path if path.is_dir() else path.parent)
    family = pretrained.family_of(config, arrays)
    layout = pretrained.empty(family, config, arrays)
    facts = {"layout": layout.name, "parameters": layout.model.count_parameters()}
    show(options, facts, "\n".join(f"{k:12} {v}" for k, v in facts.items()))
    return 0
