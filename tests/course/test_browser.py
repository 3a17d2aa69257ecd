"""Pages, slides, search and reference in chromium: `make test-browser` installs what this needs."""

import functools
import importlib
import itertools
import re
import sys
import threading
import urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minivit.grading.exercise import find
from tests.course.browsing import Visit, faults

pytestmark = pytest.mark.browser
pytest.importorskip("nbconvert")
pytest.importorskip("latex2mathml")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
builder = importlib.import_module("build")
slides = importlib.import_module("slides")
LECTURES = [path.stem for path in builder.lectures(ROOT / "lectures", "ipynb")]
DECKS = ["00_whole_lecture", *LECTURES]
PAGES = [
    "index", "404", "search", "book/index", "book/engine/tensor", "book/functions/norms",
    "exercises/index", "exercises/17_layer_norm", "slides/index", "widgets/index",
    *(f"lectures/{name}" for name in LECTURES),
]  # fmt: skip


ELSEWHERE = {"api/index.html"}  # it leads on at once


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width, scheme", [(1200, "light"), (390, "dark")])
def test_a_page_is_whole_and_readable(browser, site, name, width, scheme):
    """No sideways scroll, folds open, lines of at most 80 characters, axe has no complaint."""
    with Visit(browser, f"file://{site}/{name}.html", width, scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for fold in page.locator("details").all():
            assert not fold.evaluate("fold => fold.open")
            fold.locator("summary").click()
            more = "f => f.open && f.offsetHeight > f.firstElementChild.offsetHeight + 5"
            assert fold.evaluate(more)
        sizes = page.evaluate("""[...document.querySelectorAll('.text p, main > p')].map(p => {
            const style = getComputedStyle(p);
            return [parseFloat(style.fontSize), p.textContent.length,
                    p.offsetHeight / parseFloat(style.lineHeight)];
        })""")
        assert all(size >= 16 for size, _, _ in sizes)
        long = [(n, lines) for _, n, lines in sizes if n > 80 and n / lines > 80]
        assert long == []
        assert faults(page) == []


def test_no_page_needs_a_sideways_scroll_at_320_pixels(browser, site):
    """What a telephone of 320 shows, and a window of 1280 at a zoom of 400%: long names break."""
    wide = []
    with Visit(browser, f"file://{site}/index.html", 320) as page:
        for path in sorted(site.rglob("*.html")):
            name = path.relative_to(site).as_posix()
            if (name.startswith("slides/") and path.name != "index.html") or name in ELSEWHERE:
                continue
            page.goto(path.as_uri())
            if (width := page.evaluate("document.documentElement.scrollWidth")) > 320:
                wide.append((name, width))
    assert wide == []


@pytest.mark.parametrize("name", ["minivit", "minivit/nn", "minivit/engine/tensor"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_reference_is_readable(browser, site, name, scheme):
    with Visit(browser, f"file://{site}/api/{name}.html", 1200, scheme) as page:
        assert faults(page) == []
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("name", DECKS)
def test_a_deck_steps_forward_and_back_by_keyboard_and_every_slide_fits(browser, site, name):
    with Visit(browser, f"file://{site}/slides/{name}.html", 1280, height=720) as page:
        where = "(() => { const i = Reveal.getIndices(); return [i.h, i.f ?? -1] })()"
        assert page.evaluate(where)[0] == 0
        seen = [page.evaluate(where)]
        for _ in range(4):
            page.keyboard.press("ArrowRight")
            seen.append(page.evaluate(where))
        assert all(a != b for a, b in itertools.pairwise(seen)) and seen == sorted(seen)
        for _ in range(4):
            page.keyboard.press("ArrowLeft")
        assert page.evaluate(where)[0] == 0
        sizes = page.evaluate("""Reveal.getSlides().map((slide, i) => {
            Reveal.slide(i, 0, 99);
            return [i, slide.scrollHeight, slide.scrollWidth,
                    [...slide.querySelectorAll('img')].every(m => m.naturalWidth && m.alt)];
        })""")
        assert len(sizes) > 15
        over = [row for row in sizes if row[1] > 700 or row[2] > 1290 or not row[3]]
        assert over == []
        page.keyboard.press("Home")
        assert faults(page, "scrollable-region-focusable", "landmark-one-main", "region") == []


@pytest.mark.parametrize("name", DECKS)
def test_a_deck_is_readable_on_a_telephone_and_without_javascript(browser, site, name):
    with Visit(browser, f"file://{site}/slides/{name}.html", 390, height=844) as page:
        page.wait_for_function("window.Reveal?.isReady?.()")
        letters = """[...document.querySelectorAll('section :is(p, li, h1, h2)')].map(
            e => parseFloat(getComputedStyle(e).fontSize) * Reveal.getScale())"""
        assert min(page.evaluate(letters)) >= 11
        slide = """Reveal.getSlides().filter(s => s.scrollHeight * Reveal.getScale() > innerHeight
            || s.scrollWidth * Reveal.getScale() > innerWidth).map(s => s.innerText)"""
        assert page.evaluate(slide) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    address = f"file://{site}/slides/{name}.html"
    with Visit(browser, address, 390, java_script_enabled=False) as page:
        tops = [s.bounding_box() for s in page.locator(".slides > section").all()]
        assert len(tops) > 15
        for above, below in itertools.pairwise(tops):
            assert 50 < above["height"] <= below["y"] - above["y"] + 1
        hidden = page.locator(".fragment").evaluate_all(
            "all => all.filter(e => getComputedStyle(e).visibility != 'visible').length"
        )
        assert hidden == 0


def test_a_widget_moves_on_its_slide(browser, site):
    with Visit(browser, f"file://{site}/slides/03_text.html", 1280, height=720) as page:
        page.wait_for_function("window.Reveal?.isReady?.()")
        page.evaluate(
            "Reveal.slide(Reveal.getSlides().findIndex(s => s.classList.contains('widget')))"
        )
        frame = page.frame_locator("section.present iframe")
        told = frame.locator("#widget-merges [role=status]")
        before = told.inner_text()
        frame.locator("#widget-merges button", has_text="forward").click()
        assert told.inner_text() != before


def test_a_figure_is_reached_from_the_index_and_a_question_hides_its_answer(browser, site):
    with Visit(browser, f"file://{site}/index.html") as page:
        page.click("#F25 figcaption a >> text=slide")
        page.wait_for_function("window.Reveal?.getCurrentSlide?.()?.id === 'F25'")
    with Visit(browser, f"file://{site}/slides/05_vision_transformer.html") as page:
        asks = "Reveal.getSlides().findIndex(s => s.classList.contains('question'))"
        page.wait_for_function("window.Reveal?.isReady?.()")
        page.evaluate(f"Reveal.slide({asks})")
        seen = "getComputedStyle(document.querySelector('section.present .answer')).visibility"
        page.wait_for_function(f"{seen} == 'hidden'")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(f"{seen} == 'visible'")  # it is faded in


def test_the_search_finds_lectures_chapters_exercises_and_the_reference(browser, site):
    with Visit(browser, f"file://{site}/lectures/03_text.html") as page:
        page.fill("input[name=q]", "layernorm gradient")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=*")
        links = page.locator("#found a")
        found = [link.get_attribute("href") for link in links.all()]
        for part in ("lectures/05", "book/", f"exercises/{find('layer_norm').stem}"):
            assert any(link.startswith(part) for link in found), part
        links.first.click()
        assert "search.html" not in page.url
        page.goto(f"file://{site}/search.html?q=warmup_cosine")
        assert any("api/" in (a.get_attribute("href")) for a in page.locator("#found a").all())
        page.goto(f"file://{site}/search.html?q=<img src=x onerror=1>+zzzz")
        assert page.locator("#said").text_content().startswith("0 places have")


def test_the_search_forgives_commas_quotes_and_a_word_that_nobody_wrote(browser, site):
    with Visit(browser, f"file://{site}/search.html", 320) as page:

        def found(words):
            page.goto(f"file://{site}/search.html?q={urllib.parse.quote_plus(words)}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320
            links = [link.get_attribute("href") for link in page.locator("#found a").all()]
            return links, page.locator("#said").text_content()

        plain, said = found("layer norm")
        assert len(plain) == 50
        for words in ("layer, norm", "“layer norm”", '"Layer;norm."', "layer norm layer"):
            assert found(words)[0] == plain, words
        assert found("softmax(")[0] != found("softmax")[0]  # code is a word as it stands
        assert found("self attention")[0][0].startswith("lectures/")
        some, said = found("positional embedings")
        assert some == found("positional")[0]
        assert said.startswith("No place has all of “positional embedings”. ")
        assert found("... !? ,")[0] == found("constructor.prototype " + "é" * 300)[0] == []


class Host(SimpleHTTPRequestHandler):
    """In /course+of 2026/, shows its 404.html where there is no file, as GitHub Pages does."""

    def send_error(self, code, *_):
        path = urllib.parse.unquote(self.path)
        body = b"nothing"
        if code == 404 and path.startswith("/course+of 2026/") and self.command == "GET":
            body = Path(self.directory, "course+of 2026", "404.html").read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    (folder / "course+of 2026").symlink_to(site)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/course+of%202026"
    server.shutdown()


def test_a_wrong_address_leads_back_from_any_depth(browser, host):
    page = browser.new_page()
    for wrong in ("nothing.html", "lectures/nothing.html", "book/a/b/c.html?q=1#x", "lectures/05/"):
        assert page.goto(f"{host}/{wrong}").status == 404
        page.wait_for_function("document.querySelector('main a').getAttribute('href')[0] == 'h'")
        for name in ("Book", "Exercises", "API"):
            address = page.get_by_role("link", name=name, exact=True).get_attribute("href")
            assert page.request.get(address).ok, address
        assert page.locator(".skip").get_attribute("href") == "#content"
        page.fill("input[name=q]", "norm")
        page.keyboard.press("Enter")
        page.wait_for_url(f"{host}/search.html?q=norm")
    page.close()


def test_a_page_asks_a_host_for_nothing_but_itself(browser, host):
    """Not even for /favicon.ico, which would be another site's."""
    page, asked = browser.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("index", "lectures/03_text", "api/minivit/nn", "slides/03_text", "widgets/index"):
        page.goto(f"{host}/{name}.html", wait_until="networkidle")
    outside = [url for url in asked if not url.startswith((f"{host}/", "data:"))]
    assert len(asked) > 4 and outside == []
    page.close()


def test_paper_shows_answers_and_hides_what_only_draws(browser, site):
    with Visit(browser, f"file://{site}/lectures/03_text.html") as page:
        page.emulate_media(media="print")
        answer = page.locator(".text details p").first
        assert answer.evaluate("a => a.offsetHeight") > 10
        assert page.locator(".code > details").first.evaluate("d => d.offsetHeight") == 0
        assert not page.locator(".site").is_visible()
        assert page.locator("#widget-merges [role=status]").is_visible()  # as it stands
        page.goto(f"file://{site}/api/minivit/nn.html")
        assert not page.locator("nav.pdoc").is_visible()


PRINTED = ["lectures/03_text", "exercises/17_layer_norm", "api/minivit/nn", "slides/03_text"]


@pytest.mark.parametrize("name", PRINTED)
def test_paper_is_white_whatever_the_screen(browser, site, name):
    with Visit(browser, f"file://{site}/{name}.html", scheme="dark") as page:
        ink = "getComputedStyle(document.querySelector('main')).color.match(/\\d+/g).map(Number)"
        assert max(page.evaluate(ink)) > 200  # light letters
        page.emulate_media(media="print", color_scheme="dark")
        assert max(page.evaluate(ink)) < 100


def test_every_link_leads_somewhere_and_no_page_is_too_large(site):
    ids, links, sizes = {}, [], {}
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        sizes[path] = len(re.sub(r'src="data:[^"]*"', "", html))
        html = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
        ids[path] = set(re.findall(r'\bid="([^"]+)"', html))
        links += [(path, href) for href in re.findall(r'(?:href|action)="([^"]+)"', html)]
    assert max(sizes.values()) < 3_000_000
    lost = []
    for page, href in links:
        place, _, anchor = href.replace("&amp;", "&").partition("#")
        if re.match(r"https?:|data:", place):
            continue
        target = (page.parent / urllib.parse.unquote(place)).resolve() if place else page
        anchor = urllib.parse.unquote(anchor).removeprefix("/")
        if not target.is_file() or (anchor and anchor not in ids.get(target, ())):
            lost.append((page.relative_to(site).as_posix(), href))
    assert lost == []
    assert len(ids) > 250 and len(links) > 5_000
