"""The widgets in chromium: by keyboard, mouse and finger; what they say; their stills."""

import importlib
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from minivit import softmax
from tests.course.browsing import Visit, faults

pytestmark = pytest.mark.browser
pytest.importorskip("nbconvert")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
moving = importlib.import_module("moving")
builder = importlib.import_module("build")
PAGE_OF = {
    name: path.stem
    for path in builder.lectures(ROOT / "lectures", "ipynb")
    for name in moving.of_notebook(builder.nbformat.read(path, 4))
}


def widgets(browser, site, width=1200, scheme="light", **options):
    return Visit(browser, f"file://{site}/widgets/index.html", width, scheme, **options)


def told(page, name):
    """What the widget says where a screen reader listens."""
    return page.locator(f"#widget-{name} [role=status]").inner_text()


def shares(page, name):
    """The numbers beside its bars."""
    values = page.locator(f"#widget-{name} .bars .value").all_inner_texts()
    return [float(value.rstrip("%")) / 100 for value in values]


# -- all of them -----------------------------------------------------------------------------------
def test_each_widget_has_its_place_in_a_lecture():
    assert sorted(PAGE_OF) == sorted(moving.WIDGETS)


@pytest.mark.parametrize("name", moving.WIDGETS)
def test_the_still_is_there_without_javascript_and_goes_with_it(browser, site, name):
    with widgets(browser, site, 390, java_script_enabled=False) as page:
        still = page.locator(f"#widget-{name} .still")
        seen = still.locator("img, table").first.bounding_box()
        assert seen["height"] > 50 and seen["width"] <= 390 and still.is_visible()
        assert page.locator(f"#widget-{name} .moving").inner_html() == ""
    lecture = f"file://{site}/lectures/{PAGE_OF[name]}.html"
    with Visit(browser, lecture, java_script_enabled=False) as page:
        if link := moving.WIDGETS[name].still:
            assert page.locator(f"#{link} img").first.bounding_box()["height"] > 50
        assert page.locator(f"#widget-{name} .still").is_visible()
    with Visit(browser, lecture) as page:
        assert page.locator(f"#widget-{name} .still").count() == 0
        assert page.locator(f"#widget-{name} .moving").inner_text() != ""


@pytest.mark.parametrize("width, scheme", [(1200, "dark"), (390, "light"), (390, "dark")])
def test_moved_widgets_are_readable_and_keep_their_place(browser, site, width, scheme):
    with widgets(browser, site, width, scheme, reduced_motion="reduce") as page:
        for control in page.locator(".widget input[type=range]:enabled").all():
            control.press("End")  # to its end, and then some way back
            control.press("PageDown")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert faults(page) == []
        slow = """[...document.querySelectorAll('.widget *')].filter(e => {
            const s = getComputedStyle(e);
            return s.transitionDuration != '0s' || s.animationName != 'none';
        }).length"""
        assert page.evaluate(slow) == 0
        small = """[...document.querySelectorAll('.widget button, .widget select, .widget input')]
            .filter(e => e.getBoundingClientRect().height < 24).length"""
        assert page.evaluate(small) == 0  # a finger finds them


def test_every_control_is_reached_by_tab_in_order(browser, site):
    with widgets(browser, site) as page:
        page.locator("#content h1").click()
        controls = "main :is(input, select, button, [tabindex]):not(:disabled)"
        count, order = page.locator(controls).count(), []
        which = f"[...document.querySelectorAll('{controls}')].indexOf(document.activeElement)"
        for _ in range(count + page.locator("main a").count()):
            page.keyboard.press("Tab")
            order.append(page.evaluate(which))
        assert [place for place in order if place >= 0] == list(range(count))


# -- one by one ------------------------------------------------------------------------------------
def test_softmax_follows_the_sliders(browser, site):
    data = moving.softmax_numbers()
    cosines = np.round(data["cosines"], 2)
    with widgets(browser, site) as page:
        t = page.get_by_label("t", exact=True)
        t.press("End")
        assert t.get_attribute("aria-valuetext") == f"exp(t) = {math.exp(4.6):.1f}"
        expected = softmax(cosines * math.exp(4.6)).numpy()
        assert np.allclose(shares(page, "softmax"), expected, atol=6e-4)
        t.press("Home")
        assert np.allclose(shares(page, "softmax"), softmax(cosines).numpy(), atol=6e-4)
        entropy = float(re.search(r"[\d.]+", told(page, "softmax"))[0])
        assert 1.4 < entropy < math.log(5)
        box = page.get_by_label("cosine with “airplane”").bounding_box()
        page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
        moved = softmax(np.array([*cosines[:3], 1, cosines[4]])).numpy()
        assert np.allclose(shares(page, "softmax"), moved, atol=6e-4)


def test_patches_are_counted_and_picked_by_mouse_and_finger(browser, site):
    with widgets(browser, site, 390, has_touch=True) as page:
        assert "= 196 patches" in told(page, "patches")
        side = page.get_by_label("Patch side P")
        side.press("ArrowLeft")
        assert "224 · 224 / 14² = 256 patches of P²C = 588" in told(page, "patches")
        assert "257 tokens" in told(page, "patches")
        assert "66,049 attention weights" in told(page, "patches")
        page.get_by_label("Image").select_option("384")
        side.press("ArrowRight")
        assert "384 · 384 / 16² = 576 patches" in told(page, "patches")
        photo = page.locator(".photo")
        box = photo.bounding_box()
        step = box["width"] / 24
        photo.tap(position={"x": 2.5 * step, "y": 1.5 * step})
        assert page.locator(".one").get_attribute("aria-label") == "Patch 27, row 2, column 3"
        photo.click(position={"x": box["width"] - 3, "y": box["height"] - 3})
        assert page.locator(".one").get_attribute("aria-label") == "Patch 576, row 24, column 24"
        page.get_by_label("Look at patch").press("Home")
        assert page.locator(".one").get_attribute("aria-label") == "Patch 1, row 1, column 1"


def test_merges_of_typed_text_step_by_step(browser, site):
    bpe, text = moving.lecture_bpe(), "naïve 🎈 measured"
    with widgets(browser, site) as page:
        page.get_by_label("Text", exact=True).fill(text)
        steps = [list(bpe.merge_steps(word)) for word in bpe.words(text)]
        forward = page.locator("#widget-merges button", has_text="forward")
        for step in range(max(map(len, steps))):
            rows = page.locator("#widget-merges .chips").all()
            shown = [row.locator(".chip").all_inner_texts() for row in rows]
            assert shown == [word[min(step, len(word) - 1)] for word in steps]
            assert told(page, "merges").startswith(f"{sum(map(len, shown))} tokens for")
            if step < max(map(len, steps)) - 1:
                forward.focus()
                page.keyboard.press("Enter")
        assert forward.is_disabled()
        ids = page.locator("#widget-merges .words .value").all_inner_texts()
        assert [int(i) for row in ids for i in row.split()[1:]] == bpe.encode(text)
        page.get_by_label("Text", exact=True).fill("")
        assert told(page, "merges").startswith("0 tokens for 0 bytes")
