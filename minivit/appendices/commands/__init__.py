"""What the commands with published models share. Each command is one file of this folder:

    add_to(commands)    its arguments: commands.add_parser(...), set_defaults(run=run)
    run(options)        does it; returns the exit status. What cannot be done is a MinivitError

and a name in COMMANDS of cli.py.
"""

import json


def add_json(parser):
    """The option --json: the result for programs."""
    parser.add_argument("--json", action="store_true", help="the result as JSON, for programs")


def show(options, facts, text):
    """Print `facts` (what JSON can hold) where --json was given, else `text`."""
    print(json.dumps(facts, indent=1, ensure_ascii=False) if options.json else text)
