"""The slides are made from the lectures and from teaching.md, and leave none of it out."""

import importlib
import re
import sys
from pathlib import Path

import nbformat
import pytest

from tests.clock import timed

pytest.importorskip("nbconvert")
pytest.importorskip("latex2mathml")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
pages = importlib.import_module("pages")
slides = importlib.import_module("slides")
teaching = importlib.import_module("teaching")
READ = {
    path.stem[:2]: (path, nbformat.read(path, as_version=4))
    for path in sorted((ROOT / "lectures").glob("[0-9]*.ipynb"))
}


@pytest.mark.parametrize("number", READ)
def test_a_deck_has_every_figure_question_and_section_of_its_lecture(number):
    _, notebook = READ[number]
    deck = slides.of_notebook(notebook)
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    made = [id for cell in notebook.cells for id in pages.registered(cell) if id[0] == "F"]
    assert [row["id"] for row in deck if row["kind"] == "figure"] == made
    asked = [row for row in deck if row["kind"] == "question"]
    assert len(asked) == text.count("<details>") and all(r["ask"] and r["answer"] for r in asked)
    sections = [row["title"] for row in deck if row["kind"] == "section"]
    headings = re.findall(r"(?m)^## (.+?)(?: \(\d+ min\))?$", text)
    assert sections == headings and deck[0]["kind"] == "title" and deck[0]["body"]
    assert text.count("$$") // 2 <= sum("".join(r.get("body", "")).count("$$") for r in deck) + 9
    assert sum(row["kind"] == "code" for row in deck) >= 1  # the cells with the tag
    ids = [row["id"] for row in deck if row["id"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("number", READ)
def test_every_note_of_the_teacher_is_spoken_once(number):
    told = teaching.notes(number)
    deck = teaching.with_notes(slides.of_notebook(READ[number][1]), number)
    for section, said in told.items():
        own = [row for row in deck[1:] if row["title"].startswith(f"{section}. ")]
        spoken = own[0] if section else deck[0]
        assert said and said in spoken["notes"], (section, said[:80])
    text = re.search(rf"(?ms)^## {number} .*?(?=^## |\Z)", teaching.TEXT.read_text("utf-8"))[0]
    assert text.count("\n- ") == text.count("\n- §") > 2  # each misunderstanding has its section


LIVE = [
    (number, section)
    for stop in teaching.route()
    for number, section in re.findall(r"live (\d\d) §(\d)", stop["show"])
]


@pytest.mark.slow
@pytest.mark.parametrize("number, section", LIVE)
def test_a_cell_that_is_run_live_answers_within_ten_seconds(number, section, tmp_path, monkeypatch):
    """Of processor time: the first cells of the lecture, and all of the section."""
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    names, within, seconds = {"__name__": "lecture"}, False, []
    for cell in READ[number][1].cells:
        if heading := re.search(r"(?m)^## (\d+)\. ", cell.source):
            if within:
                break
            within = cell.cell_type == "markdown" and heading[1] == section
        if cell.cell_type == "code":
            with timed() as spent:
                exec(compile(cell.source, f"{number} {section}", "exec"), names)
            if within:
                seconds.append(spent())
    assert len(seconds) > 2 and max(seconds) <= 10, [round(s, 1) for s in seconds]


def test_there_is_something_live_in_the_75_minutes():
    assert LIVE == [("05", "1"), ("07", "2")]


@pytest.mark.parametrize("number", READ)
def test_the_minutes_of_a_lecture_are_the_same_wherever_they_stand(number):
    path, notebook = READ[number]
    text = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    sections = [int(n) for n in re.findall(r"(?m)^## \d+\. .*\((\d+) min\)$", text)]
    start = text.partition("\n## ")[0]
    promised = [int(n) for n in re.findall(r"\((\d+)\s+min\)[,.]", start)]
    readme = (ROOT / "lectures" / "README.md").read_text("utf-8")
    row = re.search(rf"\({path.name}\) \| (\d+) \|", readme)
    title = re.search(rf"(?m)^## {number} .*\((\d+) min\)$", teaching.TEXT.read_text("utf-8"))
    assert {sum(promised), int(row[1]), int(title[1])} == {sum(sections)}


def test_the_75_minutes_are_slides_in_order_and_show_what_the_table_says():
    stops = teaching.route()
    minutes = [int(stop["min"]) for stop in stops]
    assert len(stops) == 15 and minutes == sorted(minutes) and minutes[-1] < 75
    deck = slides.of_route(stops, READ)
    shown = re.findall(r"F\d\d", " ".join(stop["show"] for stop in stops))
    assert [row["id"] for row in deck if row["kind"] == "figure"] == shown
    assert list(dict.fromkeys(row["title"] for row in deck)) == [stop["slide"] for stop in stops]
    for stop in stops:
        assert any(stop["ask"] in row["notes"] for row in deck)
    links = [row["file"] for row in deck if row["kind"] == "link"]
    assert all((ROOT / "lectures" / Path(l.split("#")[0]).name).with_suffix(".ipynb").is_file()
               for l in links)  # fmt: skip
    with pytest.raises(ValueError, match="lecture 05 has no section 9"):
        slides.of_route([{**stops[0], "show": "live 05 §9"}], READ)


def test_text_of_a_cell_becomes_slides_by_its_kind():
    source = """## 2. Scores (5 min)

First.

> **On the slide.** A note.

**Predict, then run.** How many?
<details><summary>Answer</summary>

Six.
</details>"""
    section, note, question = slides._of_text(source, whole=False)
    assert section["body"] == ["First."] and section["minutes"] == "5"
    assert note["body"] == ["**On the slide.** A note."]
    assert question["ask"].endswith("How many?") and question["answer"] == "Six."
    assert slides._of_text("Only about the code below.", whole=False) == []
    assert slides._of_text("An idea.\n\nMore.", whole=True)[0]["body"] == ["An idea.", "More."]
    assert slides._of_text("$$x$$", whole=False)[0]["body"] == ["$$x$$"]


def test_reveal_of_another_sum_is_refused_and_no_npm_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "VENDOR", tmp_path)
    (tmp_path / f"{slides.REVEAL}.tgz").write_bytes(b"something else")
    with pytest.raises(slides.MissingReveal, match="its sum is another"):
        slides.reveal()
    (tmp_path / f"{slides.REVEAL}.tgz").unlink()
    monkeypatch.setattr(slides.shutil, "which", lambda name: None)
    with pytest.raises(slides.MissingReveal, match=r"npm pack reveal\.js@5\.2\.1"):
        slides.reveal()
