"""Small copies of the figures: for build/index.html, and for the gallery of the repository."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np

from minivit import course, files

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- gallery: written by `make gallery` -->", "<!-- gallery: end -->"
SEEN = 16  # of 255: by so much a spot may have another colour
ALL_COLOURS = ("F11",)  # 512 of them are what it shows


def alt_text(path):
    """The description that `course.figure` put into a PNG."""
    from PIL import Image

    with Image.open(path) as image:
        return image.info.get("Description", "")


def small(path, limit=150_000):
    """The PNG with fewer pixels, until it has at most `limit` bytes: with 256 colours where that
    changes nothing that one sees, else (and for ALL_COLOURS) with all of them.

    The 256 are chosen for the range of colours that occurs, not for how often each does: else the
    many greys of letters leave none for a small picture.
    """
    from PIL import Image, PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Description", alt_text(path))
    with Image.open(path) as image:
        image = image.convert("RGB")
    for width in (1000, 800, 640, 480, 320, 240):
        full = image.copy()
        full.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
        few = full.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1)
        out = io.BytesIO()
        alike = path.stem not in ALL_COLOURS and furthest(full, few) <= SEEN
        chosen = few if alike else full
        chosen.save(out, "PNG", optimize=True, pnginfo=about)
        if out.tell() <= limit:
            return out.getvalue()
    raise course.CourseError(f"{path.name}: more than {limit} bytes even at {width} pixels")


def furthest(image, other, side=8):
    """How far the colours of two pictures are apart, of 255, in the worst square of 8 pixels."""
    far = np.abs(np.asarray(image, int) - np.asarray(other.convert("RGB"), int)).max(axis=2)
    rows, columns = (range(0, n, side) for n in far.shape)
    squares = np.add.reduceat(np.add.reduceat(far, rows, axis=0), columns, axis=1)
    sizes = np.outer(*(np.diff([*r, n]) for r, n in zip((rows, columns), far.shape)))
    return float((squares / sizes).max())


def gallery(folder):
    """Write lectures/gallery, and the tables in lectures/README.md, from what is in build/."""
    if not course.figures():
        print("no figures in build/: run `make lectures` first", file=sys.stderr)
        return 1
    shelf = folder / "gallery"
    for id, path in course.figures().items():
        files.write_whole(shelf / f"{id}.png", small(path))
    rows = ["| figure | slide | what it shows |", "|---|---|---|"]
    for id, row in course.FIGURES.items():
        path = shelf / f"{id}.png"
        seen = f"![{_cell(alt_text(path))}](gallery/{id}.png)" if path.is_file() else "not made yet"
        maker = _maker(folder, id)
        seen = f"[{seen}]({maker.name})" if maker and path.is_file() else seen
        rows.append(f"| {id} {seen} | {_cell(row['slide'])} | {_cell(row['shows'])} |")
    rows += [
        "",
        *slides(),
        "",
        "| claim | the slide says | verdict | numbers |",
        "|---|---|---|---|",
    ]
    rows += ["| " + " | ".join(map(_cell, row)) + " |" for row in course.verdicts()]
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Lectures\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        print(f"{page} lacks the lines that hold the tables:\n{BEGIN}\n{END}", file=sys.stderr)
        return 1
    table = "\n".join(rows)
    files.write_whole(page, f"{before}{BEGIN}\n{table}\n{END}{after}")
    print(f"{len(course.figures())} figures in {shelf}/, tables in {page}")
    return 0


def _maker(folder, id):
    """The notebook of `folder` that registers a figure; None where none does."""
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells)
        if re.search(rf'course\.figure\(\s*"{id}"', code):
            return path
    return None


def slides():
    """A table: each slide, the headings where its counterpart stands, and its figures."""
    rows = ["| slide | where | figures |", "|---|---|---|"]
    for slide in course.SLIDES:
        where = []
        for place in slide["at"]:
            number, _, heading = place.partition(": ")
            (notebook,) = HERE.glob(f"{number}_*.ipynb")
            where.append(f"[{number} {_cell(heading)}]({notebook.name})")
        rows.append(
            f"| {_cell(slide['title'])} | {', '.join(where)} | {', '.join(slide['figures'])} |"
        )
    return rows


def _cell(text):
    """Text that stays inside its cell of a Markdown table."""
    for special in "\\|<>[]_*":
        text = text.replace(special, "\\" + special)
    return text
