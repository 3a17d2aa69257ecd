"""The lectures: what each must have, and that what it says is so when it is run."""

import re
import runpy
from pathlib import Path

import pytest

import minivit
from minivit import course
from minivit.training.trainer import accuracy

jupytext = pytest.importorskip("jupytext")
plt = pytest.importorskip("matplotlib.pyplot")

LECTURES = Path(minivit.__file__).parents[1] / "lectures"
SOURCES = sorted((LECTURES / "src").glob("[0-9][0-9]_*.py"))
VIT = LECTURES / "src" / "05_vision_transformer.py"

each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def cells(source, kind):
    return [c.source for c in jupytext.read(source, fmt="py:percent").cells if c.cell_type == kind]


def text(source):
    return "\n\n".join(cells(source, "markdown"))


# -- what every lecture has ------------------------------------------------------------------------
def test_there_are_lectures():
    assert VIT in SOURCES


@each
def test_the_first_cell_is_the_same_everywhere(source):
    first = jupytext.read(source, fmt="py:percent").cells[0]
    assert first.cell_type == "code"
    assert first.source == cells(VIT, "code")[0]
    assert first.source.endswith("course.setup()")


@each
def test_each_question_has_a_folded_answer(source):
    said = text(source)
    questions = len(re.findall(r"\*\*Predict, then run\.\*\*", said))
    checks = re.findall(r"^\*\*\d\.\*\*", said.partition("## Check yourself")[2], re.MULTILINE)
    answers = said.count("<details><summary>Answer</summary>")
    assert questions >= 3
    assert len(checks) == 3
    assert answers == said.count("</details>") == questions + len(checks)
    # Markdown inside of <details> is only read as such after an empty line
    assert said.count("<details><summary>Answer</summary>\n\n") == answers


@each
def test_sections_say_how_long_they_take_and_where_to_read_on(source):
    said = text(source)
    sections = re.findall(r"^## (?!Check yourself)(.+)$", said, re.MULTILINE)
    assert sections
    assert all(re.search(r"\(\d+ min\)$", section) for section in sections)
    assert re.search(r"For (who wants )?more", said)
    total = sum(int(re.search(r"\((\d+) min\)$", section)[1]) for section in sections)
    row = re.search(
        rf"\({source.stem}.ipynb\) \| (\d+) \|", (LECTURES / "README.md").read_text("utf-8")
    )
    notes = (LECTURES / "teaching.md").read_text("utf-8")
    assert int(row[1]) == total
    assert int(re.search(rf"^## {source.stem[:2]} .*\((\d+) min\)$", notes, re.M)[1]) == total


@each
def test_a_cell_fits_on_a_screen(source):
    for cell in cells(source, "code"):
        if not cell.startswith(("import ", "from ")):  # what is imported is read when it is used
            assert len(cell.splitlines()) <= 48, cell.splitlines()[0]


@each
def test_every_figure_is_registered_with_words_for_who_cannot_see_it(source):
    code = "\n".join(cells(source, "code"))
    calls = re.findall(r'course\.figure\(\s*"(F\d\d)"', code)
    assert calls
    assert len(set(calls)) == len(calls)
    assert code.count("alt=") >= len(calls) + code.count("plot.show(")
    assert set(calls) <= set(course.FIGURES)


# -- Vision Transformer ----------------------------------------------------------------------------
def test_it_makes_the_figures_and_judges_the_claims_of_its_slides():
    code = VIT.read_text(encoding="utf-8")
    made = set(re.findall(r'course\.figure\(\s*"(F\d\d)"', code))
    assert made == {"F19", "F20", "F21", "F24", "F25", "F26"}
    assert set(re.findall(r'course\.claim\(\s*"(C\d\d)"', code)) == {"C09", "C10"}


def test_the_exercise_points_to_a_section_that_is_there():
    page = (LECTURES.parent / "exercises" / "17_layer_norm.md").read_text(encoding="utf-8")
    where = " ".join(re.search(r"\*\*Where\.\*\*(.+?)\n\n", page, re.DOTALL)[1].split())
    section = re.search(r'section "(.+?)"', where)[1]
    assert re.search(rf"^## \d+\. {re.escape(section)} \(", text(VIT), re.MULTILINE)
    assert VIT.stem in where


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Run Python source as the lecture's kernel would; returns its names."""
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "build"))
    ops, style = dict(minivit.OPS), dict(plt.rcParams)
    plt.switch_backend("Agg")

    def run(code):
        (tmp_path / "lecture.py").write_text(code, encoding="utf-8")
        return runpy.run_path(str(tmp_path / "lecture.py"))

    yield run
    minivit.OPS.clear()
    minivit.OPS.update(ops)  # without the ops that the lecture defines
    plt.rcParams.update(style)
    plt.close("all")


@pytest.mark.filterwarnings("ignore::matplotlib.MatplotlibDeprecationWarning")
def test_all_that_comes_before_training_is_so(execute, capsys):
    """The five steps equal the library's, gradients are checked, counts are exact: all asserted
    in the lecture's own cells."""
    code = VIT.read_text(encoding="utf-8")
    before, marker, _ = code.partition("# %% [markdown]\n# ## 5. Training")
    assert marker
    names = execute(before)
    assert set(course.figures()) == {"F19", "F21"}
    assert names["tokens"].shape == (1, 197, 64)
    assert names["counts"]["ViT-Huge/14"][1] == 632_045_800
    assert "passes!" in capsys.readouterr().out  # the check that a wrong gradient survives


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::matplotlib.MatplotlibDeprecationWarning")
def test_the_whole_lecture(execute):
    names = execute(VIT.read_text(encoding="utf-8"))
    digits = names["digits"]
    scores = [accuracy(m, digits.test_images, digits.test_labels) for m in names["digit_models"]]
    assert min(scores) >= 0.96 and len(scores) == 3
    assert digits.name == "digits-v1"
    assert set(course.figures()) == {"F19", "F20", "F21", "F24", "F25", "F26"}
    claims = course.claims()
    assert set(claims) == {"C09", "C10"}
    assert all(claim["seeds"] == [0, 1, 2] for claim in claims.values())
