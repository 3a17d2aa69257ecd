"""The slides: a reveal.js deck a lecture, and one of the whole course in 75 minutes.

A deck is made of the lecture's own notebook, never of a second text: headings and what follows
them, formulas, questions with their answers, notes "on the slide", figures, and the cells with the
tag `slide`; a cell with the tag `skip` is left out. Speaker notes come from teaching.md.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile

import nbformat
import pages
import teaching
import thumbnails

from minivit import course, files

VENDOR = pages.TEMPLATES.parents[1] / "build" / "vendor"
REVEAL = "reveal.js-5.2.1"  # of npm: MIT; the decks hold its code, so they need no network
SHA512 = "r7//6mIM5p34hFiDMvYfXgyjXqGRta+/psd9YtytsgRlrpRzFv4RbH76TXd2qD+7ZPZEbpBDhdRhJaFgfQ7zNQ=="
PARTS = ("dist/reset.css", "dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js")
FOLD = re.compile(r"<details><summary>Answer</summary>(.*?)</details>", re.DOTALL)
LEAD = 60  # words of what follows a heading; whoever wants more puts the tag `slide`


class MissingReveal(Exception):
    """reveal.js is not here, and cannot be had."""


# -- a lecture as slides ---------------------------------------------------------------------------
def of_notebook(notebook):
    """The slides: {"kind", "id", "title", "section", ...}, one figure or idea each."""
    made, title, section = [], "", ""
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", ())
        if "skip" in tags or "setup" in tags:
            continue
        if cell.cell_type == "code":
            made += [{"title": title, "section": section, **row} for row in _of_code(cell, tags)]
            continue
        for row in _of_text(cell.source, "slide" in tags):
            title, section = row.pop("heading", title), row.pop("opens", section)
            if row["kind"] != "nothing":
                made.append({"title": title, "section": section, **row})
    return made


def _of_code(cell, tags):
    found = [{"kind": "figure", "id": id} for id in pages.registered(cell) if id[0] == "F"]
    if "slide" in tags:
        found.insert(0, {"kind": "code", "id": cell.id, "code": cell.source})
    if "widget" in cell.metadata:
        place = f"../widgets/index.html#widget-{cell.metadata['widget']}"
        found.append({"kind": "widget", "id": None, "label": "live: things to move", "file": place})
    if not found and pages.DRAWS.match(cell.source):
        shown = [out for out in cell.outputs if "image/png" in out.get("data", {})]
        found = [{"kind": "picture", "id": cell.id, "output": out} for out in shown[:1]]
    return found


def _of_text(source, whole):
    """Headings open slides; a question takes the paragraph before its answer."""
    *asked, rest = _questions(source)
    words = []
    for before, answer in asked:
        words += before[:-1]
        words.append({"kind": "question", "ask": before[-1], "answer": answer})
    return _grouped([*words, *rest], whole)


def _questions(source):
    """[([paragraphs, the last of which asks], answer), ..., [paragraphs after all]]"""
    pieces = FOLD.split(source)
    for text, answer in zip(pieces[::2], pieces[1::2]):
        yield _paragraphs(text), answer.strip()
    yield _paragraphs(pieces[-1])


def _paragraphs(text):
    return [piece.strip("\n") for piece in re.split(r"\n\s*\n", text) if piece.strip()]


def _grouped(pieces, whole):
    """Paragraphs as slides: all of them where `whole`, else what follows a heading, up to LEAD
    words, and what surrounds a formula."""
    made, lead = [], None
    formulas = any("$$" in piece for piece in pieces if isinstance(piece, str))
    for piece in pieces:
        if not isinstance(piece, str):
            made.append({**piece, "id": None})
        elif heading := re.match(r"(#{1,3}) +(.+?)(?: \((\d+) min\))?$", piece):
            level, words, minutes = len(heading[1]), heading[2], heading[3]
            lead = {"kind": ("title", "section", "text")[level - 1], "heading": words, "body": []}
            lead |= {"id": pages.section_id(words), "minutes": minutes}
            if level < 3:
                lead["opens"] = words
            made.append(lead)
        elif piece.startswith("> "):
            made.append({"kind": "note", "id": None, "body": [re.sub(r"(?m)^> ?", "", piece)]})
        elif piece.startswith("*For who wants more"):
            continue
        else:
            if lead is None and (whole or formulas):
                lead = {"kind": "text", "id": None, "body": []}
                made.append(lead)
            if lead and (whole or lead["kind"] == "title" or _fits(lead["body"], piece)):
                lead["body"].append(piece)
    for row in made:  # a heading alone is a title without a slide, unless it opens a section
        if row["kind"] == "text" and not row["body"]:
            row["kind"] = "nothing"
    return made


def _fits(body, piece):
    return not body or len(" ".join([*body, piece]).split()) <= LEAD or "$$" in piece


# -- the 75 minutes --------------------------------------------------------------------------------
def of_route(stops, notebooks):
    """The slides of the whole course: one for each thing that a stop of teaching.md shows."""
    made = []
    for stop in stops:
        notes = f"Minute {stop['min']}. {stop['ask']}\n\n{stop['stumble']}"
        shown = [_shown(what.strip(), notebooks) for what in stop["show"].split(",")]
        question = re.match(r'"(.+?\?)"(?: \((.+)\))?', stop["ask"])
        if question:  # asked, and then answered, below the last thing shown
            shown[-1] |= {"ask": question[1], "answer": question[2] or ""}
        for row in shown:
            made.append({"title": stop["slide"], "section": "", "notes": notes, **row})
    return made


def _shown(what, notebooks):
    """What one item of "show" is: a figure, a diagram of a lecture, live cells, the verdicts."""
    if re.fullmatch(r"F\d\d", what):
        return {"kind": "figure", "id": what}
    if what.startswith("claims"):
        return {"kind": "verdicts", "id": "verdicts", "rows": [*course.verdicts()]}
    number = re.search(r"\d\d", what)[0]
    path, notebook = notebooks[number]
    if what.startswith("diagram"):
        cells = [c for c in notebook.cells if "diagrams." in c.source and c.cell_type == "code"]
        shown = [row for c in cells for row in _of_code(c, ()) if row["kind"] == "picture"]
        if shown:
            return {**shown[0], "id": None}
        return {"kind": "link", "id": None, "label": f"the diagram of lecture {number}",
                "file": f"../lectures/{path.stem}.html"}  # fmt: skip
    section = re.search(r"§(\d)", what)[1]
    for heading, page in pages.sections(notebook, f"../lectures/{path.stem}.html").items():
        if heading.startswith(f"{section}. "):
            return {"kind": "link", "id": None, "label": f"live, lecture {number}: {heading}",
                    "file": page}  # fmt: skip
    raise ValueError(f"teaching.md shows {what!r}, but lecture {number} has no section {section}")


# -- the decks -------------------------------------------------------------------------------------
def write(build, notebooks):
    """Write build/slides/: a deck a lecture, the deck of 75 minutes, and the page that leads to
    them. notebooks: paths, executed or not."""
    code, target = reveal(), build / "slides"
    target.mkdir(parents=True, exist_ok=True)
    read = {path.stem[:2]: (path, nbformat.read(path, as_version=4)) for path in notebooks}
    decks = []
    for number, (path, notebook) in read.items():
        title = pages.title(notebook, path)
        rows = teaching.with_notes(of_notebook(notebook), number)
        _write_deck(target, path.stem, title, rows, code, f"../lectures/{path.stem}.html")
        decks.append({"file": f"{path.stem}.html", "title": title, "slides": len(rows)})
    whole = "The whole lecture in 75 minutes"
    first = {"kind": "title", "id": None, "title": whole, "section": "", "body": [], "notes": ""}
    rows = [first, *of_route(teaching.route(), read)]
    _write_deck(target, "00_whole_lecture", whole, rows, code, "../index.html")
    decks.insert(0, {"file": "00_whole_lecture.html", "title": whole, "slides": len(rows)})
    files.write_whole(
        target / "index.html", pages.render("slides.html.j2", "../", pages.ways(build), decks=decks)
    )
    return decks


def _write_deck(target, stem, title, rows, code, text):
    shown = [_html(row, target) for row in rows]
    sheets = {"deck": pages.style("deck.css"), "still": pages.sheet("deck_still.css")}
    page = pages.render("deck.html.j2", "../", (), title=title, slides=shown, text=text, **code,
                        **sheets)  # fmt: skip
    files.write_whole(target / f"{stem}.html", page)


def _html(row, target):
    """The slide with its texts as HTML, and its picture beside the deck."""
    row = {"notes": "", "minutes": None, **row, "notes_html": pages.text(row.get("notes", ""))[0]}
    told = [row.get("ask", ""), row.get("answer", ""), *row.get("body", ())]
    words = len(" ".join(told).split()) + 12 * sum(piece.count("$$") for piece in told) // 2
    row["size"] = "smallest" if words > 130 else "smaller" if words > 75 else ""
    row["body"] = [_plain(piece) for piece in row.get("body", ())]
    for part in ("ask", "answer"):
        row[part] = _plain(row.get(part, ""))
    if row["kind"] == "code":
        row["size"] = "smaller" if len(row["code"].splitlines()) > 16 else ""
        row["code"] = pages.code(row["code"])
    elif row["kind"] == "figure":
        row |= _figure(row["id"], target)
    elif row["kind"] == "picture":
        row["output"] = pages.picture_or_text(row["output"])
    return row


def _plain(piece):
    piece = re.sub(r"^\*\*(Predict, then run\.|\d\.)\*\* *", "", piece)
    return pages.text(piece)[0]


def _figure(id, target):
    """Copies the figure, made here or of the gallery, to the decks."""
    path = course.figures().get(id, pages.GALLERY / f"{id}.png")
    if path.is_file():
        files.write_whole(target / "figures" / f"{id}.png", path.read_bytes())
    return {
        "file": f"figures/{id}.png" if path.is_file() else None,
        "alt": thumbnails.alt_text(path) if path.is_file() else "",
        "shows": course.FIGURES[id]["shows"],
    }


# -- reveal.js -------------------------------------------------------------------------------------
def reveal():
    """The code of reveal.js: {"reset", "reveal_css", "reveal_js", "notes_js"}, fetched once by npm
    and compared with its published sum."""
    archive = VENDOR / f"{REVEAL}.tgz"
    if not archive.is_file():
        _fetch(archive)
    found = hashlib.sha512(archive.read_bytes()).digest()
    if base64.b64encode(found).decode() != SHA512:
        raise MissingReveal(f"{archive} is not {REVEAL}: its sum is another. Remove it, try again.")
    with tarfile.open(archive) as tar:
        texts = [tar.extractfile(f"package/{part}").read().decode() for part in PARTS]
    texts = [pages.markup(text.replace("</script", "<\\/script")) for text in texts]
    return dict(zip(("reset", "reveal_css", "reveal_js", "notes_js"), texts))


def _fetch(archive):
    npm = shutil.which("npm")
    version = REVEAL.removeprefix("reveal.js-")
    if npm is None:
        raise MissingReveal(
            f"the slides need npm, once, to fetch reveal.js {version}: install Node.js, or put "
            f"the file that `npm pack reveal.js@{version}` makes at {archive}"
        )
    archive.parent.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"reveal.js@{version}", "--pack-destination", str(archive.parent)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode or not archive.is_file():
        raise MissingReveal(f"npm cannot fetch reveal.js {version}:\n{result.stderr[-500:]}")
