"""The chapters as pages, and the search: nothing of a file is lost, what is written is found."""

import ast
import collections
import importlib
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbconvert")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
book = importlib.import_module("book")
searching = importlib.import_module("searching")
CHAPTERS = book.chapters()


def words(text):
    return collections.Counter(re.findall(r"\w+", text.replace('r"""', "")))


def test_no_line_of_any_file_is_lost_or_shown_twice():
    for name, path in CHAPTERS.items():
        source = path.read_text(encoding="utf-8")
        rows = book.rows(source)
        about = ast.get_docstring(ast.parse(source)) or ""
        shown = [about, *(f"{row['prose']}\n{row['code']}" for row in rows)]
        shown += [row["heading"] or "" for row in rows]
        assert words("\n".join(shown)) == words(source), name


def test_prose_stands_beside_its_code():
    source = '''"""A file."""

# -- a section -----------
# why
@op
def f(x):
    """What f is.

    y = x
    """
    return x  # here


class A:
    """What A is."""

    n = 1

    def g(self):
        """What g is."""

    def h(self):
        return 2


TABLE = {}
'''
    section, f, a, g, table = book.rows(source)
    assert section["heading"] == "a section" and not section["code"]
    assert f["prose"] == "why\n\nWhat f is.\n\ny = x" and f["id"] == "f"
    assert f["code"] == "@op\ndef f(x):\n    return x  # here"
    assert a["prose"] == "What A is." and a["code"] == "class A:\n\n    n = 1"
    assert g["id"] == "A.g" and g["code"] == "def g(self):\n\ndef h(self):\n    return 2"
    assert table["code"] == "TABLE = {}" and not table["prose"]


def test_the_chapters_are_all_files_and_what_a_name_is_made_in_is_found():
    files = [p for p in book.ROOT.rglob("*.py")]
    assert sorted(CHAPTERS.values()) == sorted(files)
    named = book.contents(importlib.import_module("minivit").__doc__)
    assert [name for name in CHAPTERS if name in named] == named
    code = "from minivit import Tensor, nn\nfrom minivit.functions import layer_norm\nimport numpy"
    assert book.used(code, CHAPTERS) == ["engine.tensor", "nn", "functions.norms"]


def test_the_search_knows_every_section_and_no_script(tmp_path):
    (tmp_path / "book").mkdir()
    page = """<title>A &amp; B · minivit</title><style>no</style><nav>no</nav>
    <p>above <b>all</b></p>
    <h2 id="x">One <code>f</code></h2><p>body</p><script>no</script><h2>Two</h2>"""
    (tmp_path / "book" / "a.html").write_text(page, encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.html").write_text(page, encoding="utf-8")
    assert searching.entries(tmp_path) == [
        ["book/a.html", "A & B", "", "above all"],
        ["book/a.html#x", "A & B", "One f", "body"],
        ["book/a.html", "A & B", "Two", ""],
    ]
