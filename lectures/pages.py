"""The pages of build/: one for each lecture, and index.html, which leads to them.

They need no network: formulas become MathML, pictures stand in the page, nothing is asked of
another host. A lecture that was not executed here shows the gallery's figures. The templates are in
templates/.
"""

import base64
import functools
import re
import unicodedata
from pathlib import Path

import nbformat
import thumbnails

from minivit import course, files

TEMPLATES = Path(__file__).with_name("templates")
GALLERY = Path(__file__).with_name("gallery")
# Nine patches. In the page itself: a browser asks the host for /favicon.ico where none is named.
ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 17 17'>"
    "<path fill='%230b57a4' d='M0 0h5v5H0zM6 0h5v5H6zM0 6h5v5H0zM12 6h5v5h-5z"
    "M6 12h5v5H6zM12 12h5v5h-5z'/>"
    "<path fill='%23e8590c' d='M12 0h5v5h-5zM6 6h5v5H6zM0 12h5v5H0z'/></svg>"
)
# What the head of each page leads to, where it was made.
WAYS = {
    "index.html": "Lectures",
    "book/index.html": "Book",
    "exercises/index.html": "Exercises",
    "slides/index.html": "Slides",
    "widgets/index.html": "Things to move",
    "api/index.html": "API",
}
# The first call of a cell that only draws; a reader sees the figure, and may unfold the code.
DRAWS = re.compile(r"(?:fig = [\w.]+|course\.figure|drawing\.show|show)\(")


def title(notebook, path):
    """The first heading; else the file's name."""
    for cell in notebook.cells:
        heading = re.search(r"^#+ +(.+)$", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and heading:
            return heading[1].strip()
    return path.stem


def registered(cell):
    """The ids of the figures and claims that a code cell registers."""
    code = cell.source if cell.cell_type == "code" else ""
    return re.findall(r"""course\.(?:figure|claim)\(\s*["']([FC]\d\d)["']""", code)


@functools.cache
def _templates():
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals.update(style=style("style.css"), icon=markup(ICON))
    return environment


def style(name):
    """The colours, light and dark, and one style sheet of templates/."""
    return sheet("colors.css") + sheet(name)


def sheet(name):
    return markup((TEMPLATES / name).read_text("utf-8"))


def render(template, root="", ways=(), **content):
    """A template of templates/, filled in; what is no Markup is escaped.

    root: the way back to build/, "../" from lectures/. ways: what else was made (`WAYS`).
    """
    named = [(path, WAYS[path]) for path in ways]
    return _templates().get_template(template).render(root=root, ways=named, **content) + "\n"


def ways(build):
    """The parts of the site that are in `build`, as keys of WAYS."""
    return [path for path in WAYS if path == "index.html" or (build / path).parent.is_dir()]


def markup(html):
    """HTML that a template takes as it is."""
    import markupsafe

    return markupsafe.Markup(html)


# -- a lecture -------------------------------------------------------------------------------------
def lecture(
    notebook, path, before=None, after=None, ways=(), exercises=(), chapters=(), widgets=None
):
    """The page of a notebook. before, after: its neighbours, {"file": ..., "title": ...}.
    exercises: {"section", "title", "file"}, each shown at the end of its section. chapters of the
    book that the lecture reads: {"name", "file"}. widgets: `moving.parts` of those it has.

    Returns (HTML, how many pictures have no alt text).
    """
    cells = list(notebook.cells)
    if len(cells) > 1 and "setup" in cells[0].metadata.get("tags", ()):
        cells[:2] = cells[1], cells[0]  # the title first
    executed = any(cell.get("execution_count") for cell in cells)
    shown, sections = [], []
    for cell in cells:
        if cell.cell_type == "markdown":
            html, found = text(cell.source)
            if found and sections:
                shown += _practice(exercises, sections[-1])
            sections += found
            shown.append({"kind": "text", "html": html})
        elif cell.cell_type == "code":
            outputs = [html for output in cell.outputs if (html := picture_or_text(output))]
            shown.append(
                {"kind": "code", "html": code(cell.source), "registered": registered(cell),
                 "folded": _folded(cell), "outputs": outputs if executed else _kept(cell)}
            )  # fmt: skip
        if widgets and "widget" in cell.metadata:
            shown.append({"kind": "widget", "row": widgets["rows"][cell.metadata["widget"]]})
    page = render(
        "lecture.html.j2", "../", ways, title=title(notebook, path), cells=shown,
        sections=sections, before=before, after=after, chapters=chapters, executed=executed,
        widgets=widgets, widget_style=sheet("widgets.css"),
    )  # fmt: skip
    return page, page.count('alt=""')


def _practice(exercises, section):
    found = [row for row in exercises if row["section"] in section["title"]]
    return [{"kind": "exercises", "exercises": found}] if found else []


def _kept(cell):
    """The gallery's figures of a cell that was not executed here."""
    kept = []
    for id in registered(cell):
        path = GALLERY / f"{id}.png"
        if path.is_file():
            data = {"image/png": base64.b64encode(path.read_bytes()).decode()}
            about = {"image/png": {"alt": thumbnails.alt_text(path)}}
            output = nbformat.v4.new_output("display_data", data=data, metadata=about)
            kept.append(picture_or_text(output))
    return kept


def sections(notebook, page):
    """{title: address} of a lecture's sections."""
    found = {}
    for cell in notebook.cells:
        for words in re.findall(
            r"(?m)^## +(.+)$", cell.source if cell.cell_type == "markdown" else ""
        ):
            found[words.strip()] = f"{page}#{section_id(words)}"
    return found


def _folded(cell):
    if "setup" in cell.metadata.get("tags", ()):
        return "the first cell: installs minivit where it is missing, sets style and seed"
    if DRAWS.match(cell.source):
        return "the code that draws this figure"
    return None


def code(source):
    """Python in colours."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    html = highlight(source, PythonLexer(), HtmlFormatter())
    return markup(html.replace("<pre>", '<pre tabindex="0">'))


def text(source):
    """Markdown with formulas -> (HTML with MathML, its sections [{"id", "title"}])."""
    from nbconvert.filters.markdown_mistune import MarkdownWithMath

    renderer = _renderer()
    html = MarkdownWithMath(renderer=renderer).render(source)
    return markup(html), renderer.sections


def section_id(heading):
    """The anchor of a heading: "2. Scores, scaled (5 min)" -> "2-scores-scaled-5-min"."""
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def _renderer():
    from nbconvert.filters.markdown_mistune import IPythonRenderer

    class Renderer(IPythonRenderer):
        """Formulas as MathML; headings with an id; folds and other HTML as they are."""

        def __init__(self):
            super().__init__(escape=False, exclude_anchor_links=True)
            self.sections = []

        def inline_math(self, body):
            return formula(body)

        def block_math(self, body):
            return f'<div class="formula" tabindex="0">{formula(body, "block")}</div>'  # may scroll

        def block_code(self, code, info=None):
            return super().block_code(code, info).replace("<pre>", '<pre tabindex="0">')

        def link(self, text, url, title=None):
            return super().link(text, page_of(url), title)

        def table(self, text):
            return f'<div class="scroll" tabindex="0"><table>{text}</table></div>'

        def heading(self, text, level, **attributes):
            plain = re.sub(r"<[^>]+>", "", text)
            id = section_id(plain)
            if level == 2:
                self.sections.append({"id": id, "title": markup(plain)})
            return f'<h{level} id="{id}">{text}</h{level}>\n'

    return Renderer()


def formula(tex, display="inline"):
    """TeX as MathML. Browsers know no double-struck letters but those of Unicode."""
    from latex2mathml.converter import convert

    html = convert(tex, display=display)
    html = html.replace('mathvariant="monospace"', 'class="mono"')
    styled = r'<mi mathvariant="(double-struck|script|bold)">(\w)</mi>'
    return re.sub(styled, lambda found: f"<mi>{_letter(*found.groups())}</mi>", html)


def _letter(style, letter):
    name = f"{style.upper()} {'CAPITAL' if letter.isupper() else 'SMALL'} {letter.upper()}"
    try:
        return unicodedata.lookup(f"MATHEMATICAL {name}")
    except KeyError:  # R and some others stand elsewhere
        return unicodedata.lookup(name)


def page_of(url):
    """Where a link of the repository leads on the site: "x.md#y" -> "x.html#y"."""
    place, mark, anchor = url.partition("#")
    if "://" in place or not place.endswith(".md"):
        return url
    place = re.sub(r"README\.md$", "index.md", place)
    return place.removesuffix(".md") + ".html" + mark + anchor


def picture_or_text(output):
    """An output as HTML; None for what only lives in a notebook, such as a progress bar."""
    import markupsafe

    if output.output_type == "stream":
        return None if output.name == "stderr" else _text(output.text)
    if output.output_type == "error":
        return _text("\n".join(output.traceback), "output error")
    data = output.data
    if "application/vnd.jupyter.widget-view+json" in data:
        return None
    if "image/png" in data:
        about = output.metadata.get("image/png", {})
        width = f' width="{int(about["width"])}"' if "width" in about else ""
        alt = markupsafe.escape(about.get("alt", ""))
        source = f"data:image/png;base64,{data['image/png'].strip()}"
        return markup(f'<div class="output"><img src="{source}" alt="{alt}"{width}></div>')
    return _text(data.get("text/plain", ""))


def _text(text, kind="output"):
    import markupsafe

    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).rstrip()
    if not plain:
        return None
    return markup(f'<div class="{kind}"><pre tabindex="0">{markupsafe.escape(plain)}</pre></div>')


# -- the first page of build/ ----------------------------------------------------------------------
def index(build, notebooks, ways=()):
    """HTML that leads to all that is in `build`: lectures, figures, claims, and what is missing.

    notebooks: a path for each page in lectures/. Writes a small copy of each figure into
    build/thumbnails.
    """
    shown, makers = [], {}
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        ran = notebook.metadata.get("minivit")
        made = sorted({id for cell in notebook.cells for id in registered(cell)})
        makers |= dict.fromkeys(made, path.stem)
        state = "not executed here"
        if ran:
            state = f"{'failed' if ran['failed'] else 'ran'} in {ran['seconds']} s"
        shown.append(
            {"name": path.stem, "title": title(notebook, path), "state": state, "registered": made}
        )
    figures = [
        _figure(build, id, makers, ways)
        for id in course.FIGURES
        if id in course.figures() or (id in makers and (GALLERY / f"{id}.png").is_file())
    ]
    made = {figure["id"] for figure in figures}
    missing = [
        {"id": id, "slide": row["slide"], "shows": row["shows"]}
        for id, row in course.FIGURES.items()
        if id not in made
    ]
    return render(
        "index.html.j2", "", ways, pages=shown, figures=figures, count=len(course.FIGURES),
        missing=missing, judged=len(course.claims()), claims=[*course.verdicts()],
    )  # fmt: skip


def _figure(build, id, makers, ways):
    """One figure of the index: its picture, the place in its lecture, its slide."""
    path = here = course.figures().get(id)
    if path is None:  # not made here: the gallery's
        path = build / "thumbnails" / f"{id}.png"
        files.write_whole(path, (GALLERY / f"{id}.png").read_bytes())
    else:
        files.write_whole(build / "thumbnails" / path.name, thumbnails.small(path, 120_000))
    row, maker = course.FIGURES[id], makers.get(id)
    return {
        "id": id,
        "here": here is not None,
        "file": path.relative_to(build).as_posix(),
        "page": f"lectures/{maker}.html#{id}" if maker else None,
        "deck": f"slides/{maker}.html#/{id}" if maker and "slides/index.html" in ways else None,
        "slide": row["slide"],
        "shows": row["shows"],
        "alt": thumbnails.alt_text(path),
    }
