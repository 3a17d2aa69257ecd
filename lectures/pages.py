"""The pages of build/: one for each executed lecture, and index.html, which leads to them.

They need no network: formulas become MathML, pictures stand in the page, nothing is asked of
another host. The templates are in templates/.
"""

import re
from pathlib import Path

import nbformat
import thumbnails

from minivit import course, files

TEMPLATES = Path(__file__).with_name("templates")
# The first call of a cell that only draws; a reader sees the figure, and may unfold the code.
DRAWS = re.compile(r"(?:course\.figure|drawing\.show|show)\(")


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


def render(template, **content):
    """A template of templates/, filled in; what is no Markup is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    style = markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, **content) + "\n"


def markup(html):
    """HTML that a template takes as it is."""
    import markupsafe

    return markupsafe.Markup(html)


# -- a lecture -------------------------------------------------------------------------------------
def lecture(notebook, path, before=None, after=None):
    """The page of an executed notebook. before, after: its neighbours, {"file": ..., "title": ...}.

    Returns (HTML, how many pictures have no alt text).
    """
    cells = list(notebook.cells)
    if len(cells) > 1 and "setup" in cells[0].metadata.get("tags", ()):
        cells[:2] = cells[1], cells[0]  # the title first
    shown, sections = [], []
    for cell in cells:
        if cell.cell_type == "markdown":
            html, found = text(cell.source)
            sections += found
            shown.append({"kind": "text", "html": html})
        elif cell.cell_type == "code":
            outputs = [html for output in cell.outputs if (html := picture_or_text(output))]
            shown.append(
                {"kind": "code", "html": code(cell.source), "outputs": outputs,
                 "folded": _folded(cell), "registered": registered(cell)}
            )  # fmt: skip
    page = render(
        "lecture.html.j2", title=title(notebook, path), cells=shown, sections=sections,
        before=before, after=after,
    )  # fmt: skip
    return page, page.count('alt=""')


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


def _renderer():
    from latex2mathml.converter import convert
    from nbconvert.filters.markdown_mistune import IPythonRenderer

    class Renderer(IPythonRenderer):
        """Formulas as MathML; headings with an id; folds and other HTML as they are."""

        def __init__(self):
            super().__init__(escape=False, exclude_anchor_links=True)
            self.sections = []

        def inline_math(self, body):
            return convert(body)

        def block_math(self, body):
            formula = convert(body, display="block")
            return f'<div class="formula" tabindex="0">{formula}</div>'  # may scroll by itself

        def block_code(self, code, info=None):
            return super().block_code(code, info).replace("<pre>", '<pre tabindex="0">')

        def heading(self, text, level, **attributes):
            plain = re.sub(r"<[^>]+>", "", text)
            id = re.sub(r"\W+", "-", plain.lower()).strip("-")
            if level == 2:
                self.sections.append({"id": id, "title": markup(plain)})
            return f'<h{level} id="{id}">{text}</h{level}>\n'

    return Renderer()


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
def index(build):
    """HTML that leads to all that is in `build`: lectures, figures, claims, and what is missing.

    Writes a small copy of each figure into build/thumbnails.
    """
    shown, makers = [], {}
    for path in sorted((build / "lectures").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        ran = notebook.metadata["minivit"]
        made = sorted({id for cell in notebook.cells for id in registered(cell)})
        makers |= dict.fromkeys(made, f"lectures/{path.stem}.html")
        state = f"{'failed' if ran['failed'] else 'ran'} in {ran['seconds']} s"
        shown.append(
            {"name": path.stem, "title": title(notebook, path), "state": state, "registered": made}
        )
    figures = []
    for id, path in course.figures().items():
        files.write_whole(build / "thumbnails" / f"{id}.png", thumbnails.small(path, 60_000))
        row = course.FIGURES[id]
        page = f"{makers[id]}#{id}" if id in makers else None
        figures.append(
            {"id": id, "file": f"figures/{id}.png", "page": page, "slide": row["slide"],
             "shows": row["shows"], "alt": thumbnails.alt_text(path)}
        )  # fmt: skip
    missing = [
        {"id": id, "slide": row["slide"], "shows": row["shows"]}
        for id, row in course.FIGURES.items()
        if id not in course.figures()
    ]
    return render(
        "index.html.j2", pages=shown, figures=figures, count=len(course.FIGURES), missing=missing,
        judged=len(course.claims()), claims=[*course.verdicts()],
    )  # fmt: skip
