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
        controls = "main :is(input:not([type=radio]), :checked, select, button, [tabindex])"
        controls += ":not(:disabled, option)"
        count, order = page.locator(controls).count(), []
        which = f"[...document.querySelectorAll('{controls}')].indexOf(document.activeElement)"
        for _ in range(count + page.locator("main a").count() + 3):
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
        page.get_by_label("Image", exact=True).select_option("384")
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


def test_the_backward_pass_steps_forward_and_back(browser, site):
    with widgets(browser, site) as page:
        rows = page.locator("#widget-backward tbody tr")
        for i, expression in enumerate(moving.backward_numbers()):
            page.get_by_label("Expression", exact=True).select_option(str(i))
            steps = expression["steps"]
            forward = page.locator("#widget-backward button", has_text="forward")
            for step in steps:
                forward.press("Enter")
                assert told(page, "backward").startswith(f"{step['node']} ({step['op']}) gets")
            shown = dict(row.locator("th, td").all_inner_texts()[::3] for row in rows.all())
            for name, gradient in expression["leaves"].items():
                assert abs(float(shown[name].replace("−", "-")) - gradient) < 1e-4
            assert forward.is_disabled()
            page.locator("#widget-backward input").press("Home")
            assert told(page, "backward") == "Start: d loss / d loss = 1."
            assert page.locator("#widget-backward .sent").count() == 0


def test_a_digit_is_drawn_by_mouse_finger_and_keyboard(browser, site):
    with widgets(browser, site, 390, has_touch=True) as page:
        pad, digit = page.locator(".pad"), page.get_by_label("Digit", exact=True)
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()

        def at(x, y):
            return box["x"] + x * box["width"], box["y"] + y * box["height"]

        page.mouse.move(*at(0.5, 0.1))
        page.mouse.down()
        for y in range(2, 10):
            page.mouse.move(*at(0.5, y / 10))
        page.mouse.up()
        assert digit.input_value() == "mine"
        assert told(page, "attention").startswith("Read as 1,")
        page.locator("#widget-attention button", has_text="Clear").tap()
        assert page.locator(".ink").get_attribute("d") == ""
        pad.tap()
        assert page.locator(".ink").get_attribute("d").startswith("M1")
        page.locator("#widget-attention button", has_text="Clear").tap()
        pad.press("Space")
        for _ in range(9):
            pad.press("ArrowDown")
        assert told(page, "attention").startswith("Read as 1,")
        assert abs(sum(shares(page, "attention")) - 1) < 0.006


def test_maps_are_those_of_the_model(browser, site):
    numbers = moving.attention_numbers()
    image = np.array(numbers["digits"][3]["levels"], np.float32)[None, :, :, None] / 8 - 1
    maps = moving.digits_vit().attention(moving.Tensor(image))
    with widgets(browser, site) as page:
        page.get_by_label("Digit", exact=True).select_option("3")
        for who in (0, 6):
            page.get_by_label("Who looks").fill(str(who))
            for layer, head in ((1, 1), (2, 4), (4, 3)):
                row = maps[layer - 1][0, head - 1, who]
                words = page.get_by_label(f"Layer {layer}, head {head}:").get_attribute(
                    "aria-label"
                )
                patch, most, cls = map(float, re.findall(r"[\d.]+", words)[2:5])
                assert patch == row[1:].argmax() + 1
                assert abs(most / 100 - row.max(initial=0, where=np.arange(17) > 0)) < 6e-4
                assert abs(cls / 100 - row[0]) < 6e-4
        assert page.get_by_label("All layers, rollout").count() == 1


def test_clip_follows_typed_labels_and_chosen_pictures(browser, site):
    model, tokenizer = moving.clip().model, moving.clip().tokenizer
    pictures = moving.clip_numbers()["pictures"]

    def expected(i, labels):
        vectors = model.encode_text(tokenizer(labels)).numpy()
        logits = math.exp(model.t.item()) * vectors @ np.array(pictures[i]["I_e"])
        return softmax(logits).numpy()

    with widgets(browser, site, 390, has_touch=True) as page:
        labels = page.get_by_label("Labels, with commas between")
        labels.fill("a drawing of a pizza, sailing boat, , naïve 🎈,sailing boat")
        typed = ["a drawing of a pizza", "sailing boat", "naïve 🎈"]
        assert page.locator("#widget-clip .bars .name").all_inner_texts() == typed
        assert np.allclose(shares(page, "clip"), expected(0, typed), atol=6e-4)
        page.locator("#widget-clip input[type=radio]").first.press("ArrowRight")
        assert np.allclose(shares(page, "clip"), expected(1, typed), atol=6e-4)
        page.get_by_alt_text("sailboat", exact=True).tap()
        assert np.allclose(shares(page, "clip"), expected(8, typed), atol=6e-4)
        labels.fill(" , ")
        assert told(page, "clip") == "Type a label."
