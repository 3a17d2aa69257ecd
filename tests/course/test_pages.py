"""The pages of the lectures: folds hold their answers, formulas need no network, all are linked."""

import html.parser
import importlib
import re
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbconvert")
pytest.importorskip("latex2mathml")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
builder = importlib.import_module("build")
pages = importlib.import_module("pages")
practice = importlib.import_module("practice")
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
    exercises = practice.of_lecture(pages.title(notebook, request.param))
    after = {"file": "x.html", "title": "X & Y"}
    html, _ = pages.lecture(notebook, request.param, None, after, exercises=exercises)
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
    assert not re.search(r'<link (?!rel="icon" href="data:)|@import|url\(', html)


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


def test_every_exercise_stands_at_the_end_of_its_section(page):
    notebook, html = page
    html = unescape(html)
    rows = practice.of_lecture(pages.title(notebook, LECTURES[0]))
    assert rows and html.count('href="../exercises/') >= len(rows)
    for row in rows:
        before = html[: html.index(f'href="../{row["file"]}">{row["title"]}')]
        assert row["section"] in re.findall(r"<h2 [^>]*>(.*?)</h2>", before)[-1]


def test_a_lecture_that_was_not_executed_shows_the_gallery_and_says_so(page):
    notebook, html = page
    made = [id for cell in notebook.cells for id in pages.registered(cell) if id[0] == "F"]
    assert html.count('src="data:image/png') == len(made) and "not executed here" in html


def test_an_executed_lecture_shows_its_own_outputs_alone():
    notebook = nbformat.read(LECTURES[2], as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].execution_count, code[0].outputs = 1, [nbformat.v4.new_output("stream", text="seen")]
    html, _ = pages.lecture(notebook, LECTURES[2])
    assert ">seen</pre>" in html
    assert "data:image/png" not in html and "not executed here" not in html


@pytest.mark.parametrize(
    ("tex", "letters"),
    [(r"\mathbb R^D", "ℝ"), (r"\mathbb E[x]", "𝔼"), (r"\mathcal L", "ℒ"), (r"\mathbf x", "𝐱")],
)
def test_letters_of_mathematics_are_those_of_unicode(tex, letters):
    html = pages.formula(tex)
    assert letters in html and "mathvariant" not in html


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("../exercises/17_layer_norm.md", "../exercises/17_layer_norm.html"),
        ("README.md#rules-of-all-exercises", "index.html#rules-of-all-exercises"),
        ("17_layer_norm.ipynb", "17_layer_norm.ipynb"),
        ("https://arxiv.org/x.md", "https://arxiv.org/x.md"),
    ],
)
def test_a_link_of_the_repository_leads_to_a_page(link, page):
    assert pages.page_of(link) == page
