"""minivit export MODEL DIR: a model in the layout of Hugging Face."""

from minivit.commands import shared


def add_to(parsers):
    parser = parsers.add_parser("export", help="a model in the layout of Hugging Face")
    parser.add_argument("model", help="a folder that minivit.save wrote, or a name")
    parser.add_argument("folder", help="where it goes: transformers' from_pretrained reads it")
    shared.add_json(parser)
    parser.set_defaults(run=run)


def run(options):
    from minivit import published
    from minivit.published import export

    found = published.load(options.model)
    export.export(found.model, options.folder, found.tokenizer, found.preprocess, found.labels)
    facts = {"model": options.model, "folder": options.folder, "kind": type(found.model).__name__}
    shared.show(options, facts, f"{facts['kind']} in {options.folder}, as transformers loads it")
    return 0
