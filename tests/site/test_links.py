"""Only on the site, and there on each page, a way leads to Python; it opens the page's notebook."""

import importlib
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("jinja2")
sys.path.insert(0, str(Path(__file__).parents[2] / "lectures"))
pages, lite = importlib.import_module("pages"), importlib.import_module("lite")

NOTEBOOKS = ("lectures/01_transformer_layer", "exercises/17_layer_norm")
OTHERS = ("index", "search", "exercises/index", "book/engine/tensor")


def test_each_page_of_the_site_leads_to_python(tmp_path):
    for name in (*NOTEBOOKS, *OTHERS):
        page = tmp_path / f"{name}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        filled = dict.fromkeys(("title", "html", "section", "before", "after"), "")
        page.write_text(pages.render("exercise.html.j2", **filled))
        assert "python/" not in page.read_text()
    lite.contents(tmp_path / "python/files")
    (tmp_path / "python/lab").mkdir()
    (tmp_path / "python/lab/index.html").write_text("JupyterLite's own")
    lite.link(tmp_path)
    for name in (*NOTEBOOKS, *OTHERS):
        page = tmp_path / f"{name}.html"
        ((url, says),) = re.findall(r'<a href="([^"]*python/[^"]*)">(.*?)</a>', page.read_text())
        place, _, path = url.partition("?path=")
        assert (page.parent / place).resolve() == tmp_path / "python/lab/index.html"
        assert (path, says) == (
            (f"{name}.ipynb", "Open in Python") if name in NOTEBOOKS else ("", "Python")
        )
        assert not path or (tmp_path / "python/files" / path).is_file()
    assert (tmp_path / "python/lab/index.html").read_text() == "JupyterLite's own"
