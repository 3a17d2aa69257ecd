"""Published numbers: the tables of data/published, and the line under a figure that names them."""

import csv
import re

from minivit import files
from minivit.course.plots.drawing import note
from minivit.engine.errors import DataError


def published(name):
    """The rows of data/published/<name>.csv as dicts; each row must name its source."""
    path = files.data_folder() / "published" / f"{name}.csv"
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as reason:
        raise DataError(f"{path} cannot be read ({reason.strerror})") from reason
    for row in rows:
        if not row.get("source"):
            raise DataError(f"{path}: the row {row} names no source")
    return rows


def cited(rows):
    """The papers of the rows, each with its places: "A 2020, sections 4.1, 4.4, Table 2"."""
    papers = {}
    for row in rows:
        places = papers.setdefault(row["source"], set())
        places.update(filter(None, row.get("place", "").split(" and ")))
    return "; ".join(", ".join([paper, *_together(places)]) for paper, places in papers.items())


def _together(places):
    """The places in order, those of a kind behind one word: section, Table or Figure."""
    numbered = {}
    parts = {p: [re.sub(r"\d.*", "", p), *map(int, re.findall(r"\d+", p))] for p in places}
    for place in sorted(places, key=parts.get):  # Table 2 before Table 10
        word, number = re.fullmatch(r"(?:(section|Table|Figure) )?(.+)", place).groups()
        numbered.setdefault(word, []).append(number)
    for word, numbers in numbered.items():
        yield (f"{word}{'s' * (len(numbers) > 1)} " if word else "") + ", ".join(numbers)


def name_sources(fig, *sources):
    """Write below `fig` where its published numbers stand; each source: words, or the rows."""
    said = "; ".join(s if isinstance(s, str) else cited(s) for s in sources)
    note(fig, f"Published: {said}")
