"""The pages of a class on a phone: nothing is cut, nothing scrolls sideways, in the dark too.

`pip install playwright`, and Chromium (Debian: apt-get install chromium).
"""

import shutil
from pathlib import Path

import pytest

from minivit.grading import judge
from minivit.grading.exercise import registry
from minivit.grading.teachers import handed_in, layouts, pages
from minivit.grading.teachers.results import Result

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EXERCISES = list(registry().values())
NAMES = ["Anne-Marie Konstantinopoulou-Öztürk", "李小龍", "x" * 60]
OUTSIDE = """() => {
  const found = [...document.querySelectorAll('body *')].filter(e => {
    const b = e.getBoundingClientRect(); return b.right > innerWidth + 1 || b.left < -1; });
  const wide = [...document.querySelectorAll('table, pre')].filter(e => e.scrollWidth >
    e.clientWidth + 1);
  const thin = [...document.querySelectorAll('td, th')].filter(e => e.innerText.trim().length > 3
    && e.getBoundingClientRect().width < 24 && e.getBoundingClientRect().height > 100);
  return [document.scrollingElement.scrollWidth - innerWidth,
    ...[...found, ...wide, ...thin].map(e => e.outerHTML.slice(0, 200))]; }"""


def a_class():
    """Three students with every exercise, half of it failed, and long names of files."""
    results = {}
    for i, name in enumerate(NAMES):
        answer = handed_in.Answer(f"a/long/path/{'y' * 50}.py", Path("/"), 1.79e9)
        there = handed_in.HandedIn(layouts.Person(name), {"x": [answer]}, ["about " + "z" * 90])
        results[name] = result = Result(there)
        for e in EXERCISES:
            verdict = judge.new_verdict(e, "a.py")
            for place, outcome in enumerate(verdict.outcomes):
                outcome.status = "pass" if (place + i) % 2 else "fail"
                if outcome.status == "fail":
                    outcome.sentence, outcome.mistake = "g is wrong by 4", e.mistakes[0].title
                    outcome.inputs = {"x": f"np.array([{', '.join(['1.25'] * 30)}])"}
            result.verdicts[e.number], result.counted[e.number] = verdict, answer
    return results


def test_each_number_has_its_head_for_a_phone():
    page = pages.overview(EXERCISES, a_class(), ["b is nobody's"])
    for head in ("Handed in", "Mean", "Total", "Submissions"):
        assert f'<td data-head="{head}" class="n">' in page


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_fits_a_phone(scheme, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    results = a_class()
    alike = [(0.9, 14, *NAMES[:2])]
    texts = [pages.overview(EXERCISES, results, ["b" * 80], alike)]
    texts += [pages.student(name, EXERCISES, result) for name, result in results.items()]
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 740}, color_scheme=scheme)
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.html").write_text(text, encoding="utf-8")
            page.goto((tmp_path / f"{number}.html").as_uri())
            assert page.evaluate(OUTSIDE) == [0]
            dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (dark == "rgb(255, 255, 255)") == (scheme == "light")
        browser.close()
