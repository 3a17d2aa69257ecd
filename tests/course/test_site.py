"""What holds of each page of the site, without a browser: its head, its folds, its addresses."""

import collections
import re

import pytest

from tests.course.test_pages import Outline, pages

pytestmark = pytest.mark.browser  # the site needs npm and pdoc


@pytest.fixture(scope="module")
def htmls(site):
    found = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*.html"))}
    return {name: path.read_text(encoding="utf-8") for name, path in found.items()}


def test_the_head_of_each_page_leads_to_every_part(htmls):
    ours = {name: html for name, html in htmls.items() if "<strong>minivit</strong>" in html}
    assert len(ours) > 100
    for name, html in ours.items():
        head = html.partition("<strong>minivit</strong>")[2].partition("</nav>")[0]
        up = "../" * name.count("/")
        assert re.findall(r'href="([^"]+)">([^<]+)', head) == [
            (up + path, says) for path, says in pages.WAYS.items()
        ], name


def test_each_fold_is_closed_and_full(htmls):
    folds = collections.Counter()
    for name, html in htmls.items():
        html = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)
        if "<details" in html:
            assert "<details open" not in html, name
            outline = Outline(html)
            folds[name.partition("/")[0]] += len(outline.folds)
            assert all(fold["summary"] and fold["answer"] for fold in outline.folds), name
    assert folds["lectures"] > 70 and folds["exercises"] > 50


def test_the_site_may_lie_anywhere(site, htmls):
    """Below another folder, on a disk that takes A.html and a.html for one."""
    names = [p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()]
    alike = collections.Counter(name.lower() for name in names)
    assert [name for name, count in alike.items() if count > 1] == []
    assert [name for name in names if not re.fullmatch(r"[\w./-]+", name, re.ASCII)] == []
    for name, html in htmls.items():
        html = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
        assert re.findall(r'(?:href|src|action|data-src)="(?:/|file:)[^"]*"', html) == [], name
