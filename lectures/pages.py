"""Pages that lead to the lectures: build/index.html, and the gallery of the repository."""

import html
import io
import re
import sys

import nbformat

from minivit import course, files


def title(notebook, path):
    """The first heading; else the file's name."""
    for cell in notebook.cells:
        heading = re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and heading:
            return heading[1].strip()
    return path.stem


# -- the first page of build/ ----------------------------------------------------------------------
STYLE = """
body { font: 18px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
img { width: 100%; border: 1px solid #ccc } td, th { text-align: left; padding: .2rem .8rem }
td { border-top: 1px solid #ccc; vertical-align: top } .figures { display: grid; gap: 1.5rem;
grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)) } figure { margin: 0 }
"""


def index(build):
    """HTML that leads to all that is in `build`: lectures, figures, claims, and what is missing."""
    pages, makers = [], {}
    for path in sorted((build / "lectures").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        ran = notebook.metadata["minivit"]
        made = sorted({id for cell in notebook.cells for id in registered(cell)})
        makers |= dict.fromkeys(made, path.stem)
        state = "failed" if ran["failed"] else "ran"
        pages.append(
            f'<tr><td><a href="lectures/{path.stem}.html">{html.escape(title(notebook, path))}</a>'
            f'<td><a href="lectures/{path.name}">notebook</a>'
            f"<td>{state} in {ran['seconds']} s<td>{' '.join(made)}"
        )
    pictures = []
    for id, path in course.figures().items():
        row, alt = course.FIGURES[id], html.escape(alt_text(path))
        caption = f"{id} {html.escape(row['slide'])}"
        if id in makers:
            caption = f'<a href="lectures/{makers[id]}.html">{caption}</a>'
        pictures.append(
            f'<figure><a href="figures/{id}.png"><img src="figures/{id}.png" alt="{alt}"></a>'
            f"<figcaption>{caption}: {html.escape(row['shows'])}</figcaption></figure>"
        )
    missing = [
        f"<li>{id} {html.escape(row['slide'])}: {html.escape(row['shows'])}"
        for id, row in course.FIGURES.items()
        if id not in course.figures()
    ]
    verdicts = ["<tr><td>" + "<td>".join(map(html.escape, row)) for row in course.verdicts()]
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>minivit: the lectures</title>',
        f"<style>{STYLE}</style><h1>The lectures</h1><table>",
        "<tr><th>Lecture<th>Executed<th>Time<th>Figures and claims",
        *pages,
        f"</table><h2>{len(pictures)} of {len(course.FIGURES)} figures</h2><div class=figures>",
        *pictures,
        "</div>",
        *(["<h2>Figures that are missing</h2><ul>", *missing, "</ul>"] if missing else []),
        f"<h2>{len(course.claims())} of {len(course.CLAIMS)} claims have a verdict</h2><table>",
        "<tr><th>Claim<th>The slide says<th>Verdict<th>Numbers",
        *verdicts,
        "</table></html>",
    ]
    return "\n".join(parts) + "\n"


def registered(cell):
    """The ids of the figures and claims that a code cell registers."""
    code = cell.source if cell.cell_type == "code" else ""
    return re.findall(r"""course\.(?:figure|claim)\(\s*["']([FC]\d\d)["']""", code)


def alt_text(path):
    """The description that `course.figure` put into a PNG."""
    from PIL import Image

    with Image.open(path) as image:
        return image.info.get("Description", "")


# -- the gallery in the repository -----------------------------------------------------------------
BEGIN, END = "<!-- gallery: written by `make gallery` -->", "<!-- gallery: end -->"


def gallery(folder):
    """Small copies of the figures of build/, and two tables in README.md, for who runs nothing."""
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
        rows.append(f"| {id} {seen} | {_cell(row['slide'])} | {_cell(row['shows'])} |")
    rows += ["", "| claim | the slide says | verdict | numbers |", "|---|---|---|---|"]
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


def _cell(text):
    """Text that stays inside its cell of a Markdown table."""
    for special in "\\|<>[]_*":
        text = text.replace(special, "\\" + special)
    return text


def small(path, limit=60_000):
    """The PNG with fewer colours, then fewer pixels, until it has at most `limit` bytes."""
    from PIL import Image, PngImagePlugin

    about = PngImagePlugin.PngInfo()
    about.add_text("Description", alt_text(path))
    with Image.open(path) as image:
        image = image.convert("RGB")
    for width in (1000, 800, 640, 480, 320):
        image.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
        for colors in (256, 64, 16):
            out = io.BytesIO()
            image.quantize(colors).save(out, "PNG", optimize=True, pnginfo=about)
            if out.tell() <= limit:
                return out.getvalue()
    raise course.CourseError(f"{path.name}: more than {limit} bytes even at {width} pixels")
