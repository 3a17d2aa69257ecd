"""minivit hint 1: the hints of an exercise's page, one more each time.

`--again` shows those that were unfolded so far, and no more. How many there were is kept in
`runs/hints.json` beside the student's files.
"""

import json
import re

from minivit.commands.shared import add_exercise, chosen, graded, home


def add_to(commands):
    parser = commands.add_parser("hint", help="unfold one more hint of an exercise")
    add_exercise(parser)
    parser.add_argument("--again", action="store_true", help="those so far, and no more")
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading import exercise

    asked = chosen(options, "hint")
    page = home() / f"{asked.stem}.md"
    if not page.exists():
        raise exercise.SubmissionError(f"there is no {page}: go to the folder of the exercises")
    hints = re.findall(
        r"<details><summary>(.*?)</summary>\n(.*?)</details>", page.read_text("utf-8"), re.S
    )
    kept = home() / "runs" / "hints.json"
    seen = _seen(kept)
    known = min(seen.get(asked.function, 0), len(hints))
    if options.again and not known:
        print(f"no hint of exercise {asked.number} was unfolded yet: minivit hint {asked.number}")
        return 0
    count = known if options.again else min(known + 1, len(hints))
    for title, text in hints[:count] if options.again else hints[count - 1 : count]:
        print(f"{title}\n\n{text.strip()}\n")
    seen[asked.function] = count
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
    left = len(hints) - count
    print(f"hint {count} of {len(hints)}" + ("" if left else ": there are no more"))
    return 0


def _seen(path):
    """{function: hints so far} of the file; what cannot be read was not kept."""
    try:
        found = json.loads(path.read_text("utf-8"))
        return {name: n for name, n in found.items() if isinstance(n, int) and n >= 0}
    except (OSError, ValueError, AttributeError):
        return {}
