"""The site's own: a way from each page to Python, and notebooks that show what long cells gave."""

import importlib
import re
import sys
from pathlib import Path

import pytest

from minivit import files
from minivit.course import kept

nbformat = pytest.importorskip("nbformat")
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


def test_a_long_cell_shows_what_it_gave_in_build(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "build"))
    (tmp_path / "build/lectures").mkdir(parents=True)
    (tmp_path / "build/kept/09_mine").mkdir(parents=True)
    cells = [nbformat.v4.new_code_cell(text, id=text[0]) for text in ("a = 1", "b = long()", "c")]
    cells[1].outputs = [nbformat.v4.new_output("stream", text="done\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "build/lectures/09_mine.ipynb")
    about = {"cell": "b = long()", "seconds": 91.0, "made": "here", "outputs": []}
    (tmp_path / "build/kept/09_mine/b.kept").write_bytes(kept.packed(about, b"variables"))
    lite.keep(notebook, "09_mine", tmp_path)
    sources = [cell.source.split("\n") for cell in notebook.cells]
    assert sources[0] == ["a = 1"] and sources[2] == ["c"]
    first, *rest = sources[1]
    assert rest == ["b = long()"] and "91 s" in first
    magic, path = first.split()[:2]
    assert magic == "%%kept"
    said, variables = kept.unpacked((tmp_path / path).read_bytes())
    assert said["outputs"][0]["text"] == "done\n" and variables == b"variables"


@pytest.mark.parametrize("made", [None, ["b", "c"], ["a", "b", "c", "d"], ["x", "b", "c"]])
def test_nothing_is_kept_of_a_lecture_that_is_another_than_the_executed_one(
    tmp_path, monkeypatch, made
):
    """Not executed, or not all of it, or with another cell before the kept one."""
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    kept_file = tmp_path / "kept/09_mine/b.kept"
    files.write_whole(kept_file, kept.packed({"cell": "b", "seconds": 91.0}, b"variables"))

    def book(names):
        return nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(name, id=name) for name in names]
        )

    if made:
        (tmp_path / "lectures").mkdir()
        nbformat.write(book(made), tmp_path / "lectures/09_mine.ipynb")
    now = book("abc")
    lite.keep(now, "09_mine", tmp_path / "site")
    assert [cell.source for cell in now.cells] == ["a", "b", "c"]
    assert not (tmp_path / "site").exists()


def test_no_cell_counts_labels_with_a_function_that_refuses_them_on_32_bits():
    """Labels and ids are int64 everywhere; np.bincount takes no more than the platform's intp."""
    sources = sorted(Path(lite.HERE, "src").glob("*.py"))
    assert len(sources) > 5
    counted = [path.name for path in sources if "np.bincount(" in path.read_text("utf-8")]
    assert counted == [], "np.unique(labels, return_counts=True) counts them in a browser, too"
