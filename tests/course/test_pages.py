"""The pages of the lectures: folds hold their answers, formulas need no network, all are linked."""

import html.parser
import importlib
import re
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbconvert")
pytest.importorskip("latex2mathml")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
builder = importlib.import_module("build")
pages = importlib.import_module("pages")
LECTURES = builder.lectures(ROOT / "lectures", "ipynb")


class Outline(html.parser.HTMLParser):
    """The content of a page: words inside of each <details>, headings, links, ids, open tags."""

    VOID = frozenset({"img", "meta", "br", "hr", "input", "link"})
    LOOSE = frozenset({"li", "td", "th", "tr", "p"})  # may stay open

    def __init__(self, page):
        super().__init__()
        self.open, self.folds, self.headings, self.links, self.ids = [], [], [], [], []
        self.images = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag == "img":
            self.images.append(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "details":
            self.folds.append({"summary": "", "answer": ""})
        if tag not in self.VOID | self.LOOSE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID | self.LOOSE:
            assert self.open.pop() == tag, f"</{tag}> closes something else, {self.getpos()}"

    def handle_data(self, data):
        if "details" in self.open:
            part = "summary" if "summary" in self.open else "answer"
            self.folds[-1][part] += data.strip()


@pytest.fixture(scope="module", params=LECTURES, ids=lambda path: path.stem)
def page(request):
    notebook = nbformat.read(request.param, as_version=4)
    html, _ = pages.lecture(notebook, request.param, None, {"file": "x.html", "title": "X & Y"})
    return notebook, html


def test_every_fold_is_closed_and_holds_its_answer(page):
    notebook, html = page
    outline = Outline(html)
    assert outline.open == []
    written = sum(c.source.count("<details>") for c in notebook.cells if c.cell_type == "markdown")
    answers = [f for f in outline.folds if f["summary"] == "Answer"]
    assert 6 <= len(answers) <= written
    assert all(fold["answer"] for fold in outline.folds), "a fold is empty"
    assert "<details open" not in html


def test_formulas_are_mathml_and_nothing_is_asked_of_another_host(page):
    notebook, html = page
    text = "".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    assert html.count('display="block"') == text.count("$$") // 2
    assert "$$" not in html and "<script" not in html
    for kind in ("src", "srcset", "action"):
        assert not re.search(rf'{kind}="(?!data:image/png)[^"]*//', html)
    assert not re.search(r"<link\b|@import|url\(", html)


def test_headings_go_down_one_by_one_and_the_contents_lead_to_them(page):
    _, html = page
    outline = Outline(html)
    assert outline.headings[0] == 1 and outline.headings.count(1) == 1
    for above, below in zip(outline.headings, outline.headings[1:]):
        assert below <= above + 1
    assert len(outline.ids) == len(set(outline.ids))
    inside = [link[1:] for link in outline.links if link.startswith("#")]
    assert len(inside) > 4 and set(inside) <= set(outline.ids)
    assert html.index("<h1") < html.index('class="code"')  # the title comes before the setup cell
    assert 'href="../index.html"' in html and "X &amp; Y →" in html


def test_code_that_only_draws_is_folded(page):
    notebook, html = page
    draws = sum(bool(pages.DRAWS.match(c.source)) for c in notebook.cells if c.cell_type == "code")
    assert html.count("the code that draws this figure") == draws >= 1


def test_an_output_cannot_leave_its_place():
    output = nbformat.v4.new_output(
        "stream", name="stdout", text="</pre><script>1</script>\x1b[1m!"
    )
    html = pages.picture_or_text(output)
    assert "<script" not in html and html.count("</pre>") == 1 and "\x1b" not in html
    bar = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "0%"}
    assert pages.picture_or_text(nbformat.v4.new_output("display_data", data=bar)) is None


# -- in a real browser -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    import shutil

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("there is no chromium: apt-get install chromium")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Pages of all lectures, as `make lectures` writes them, from notebooks without outputs."""
    build = tmp_path_factory.mktemp("build")
    (build / "lectures").mkdir()
    for path in LECTURES:
        notebook = nbformat.read(path, as_version=4)
        notebook.metadata["minivit"] = {"seconds": 0.0, "failed": False}
        nbformat.write(notebook, build / "lectures" / path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIVIT_BUILD", str(build))
        builder.write_pages(build)
    return build


@pytest.mark.browser
@pytest.mark.parametrize("name", ["index", *(f"lectures/{path.stem}" for path in LECTURES)])
@pytest.mark.parametrize("width, scheme", [(1200, "light"), (390, "dark")])
def test_a_page_in_chromium(browser, site, name, width, scheme):
    """No request leaves the machine, no error, no sideways scroll, folds open, axe has no
    complaint."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, asked, errors = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"file://{site}/{name}.html")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for fold in page.locator("details").all():
        assert not fold.evaluate("fold => fold.open")
        fold.locator("summary").click()
        assert fold.evaluate("f => f.open && f.offsetHeight > f.firstElementChild.offsetHeight + 5")
    faults = axe.run(page).response["violations"]
    assert [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in faults] == []
    context.close()
