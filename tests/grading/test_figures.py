"""The last cell of an exercise draws a figure of the lecture, and is never in the way."""

import ast
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from minivit.grading import figures, starter
from minivit.grading.exercise import registry
from tests.clock import timed

FOLDER = Path(__file__).parents[2] / "exercises" / "source"
SOURCES = {e.function: (e, (FOLDER / f"{e.stem}.py").read_text("utf-8"))
           for e in registry().values()}  # fmt: skip
DRAWN = [name for name, (_, text) in SOURCES.items() if "\ndraw(figure)" in text]


def defined(text):
    """What the imports and functions of an exercise's file define."""
    kinds = (ast.FunctionDef, ast.Import, ast.ImportFrom)
    body = [node for node in ast.parse(text).body if isinstance(node, kinds)]
    names = {}
    exec(compile(ast.Module(body, []), "exercise", "exec"), names)
    return names


def test_most_exercises_have_one_and_it_is_the_last_cell():
    assert len(DRAWN) >= 23
    assert all(text.endswith("\ndraw(figure)\n") for name, (_, text) in SOURCES.items()
               if name in DRAWN)  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_the_solution_is_drawn_in_less_than_two_seconds(name):
    import minivit.course.style  # noqa: F401 (not counted)

    names = defined(SOURCES[name][1])
    try:
        with timed() as seconds:
            figure, sentence = figures.attempt(names["figure"])
        assert sentence == "" and (figure.axes or figure.subfigs)
        assert seconds() <= 2
        assert names["figure"].__doc__  # its alt text
    finally:
        plt.close("all")


@pytest.mark.parametrize("name", DRAWN)
def test_a_stub_or_a_wrong_function_gives_a_sentence(name):
    exercise, text = SOURCES[name]
    names = defined(starter.script(text, exercise))
    figure, sentence = figures.attempt(names["figure"])
    assert figure is None and sentence.startswith(f"No figure yet. Exercise {exercise.number}, ")
    assert sentence.endswith("Then run this cell again.")
    names[name] = lambda *_: None
    figure, sentence = figures.attempt(names["figure"])
    assert figure is None and "The check above" in sentence
    del names[name]
    figure, sentence = figures.attempt(names["figure"])
    assert figure is None and "Run the cells above first" in sentence
    assert plt.get_fignums() == []


def test_in_a_script_nothing_is_drawn(capsys):
    figures.draw(lambda: 1 / 0)
    assert capsys.readouterr().out == ""


def test_in_a_notebook_it_is_shown_with_its_alt_text(monkeypatch, capsys):
    from minivit.course.plots import drawing

    shown = []
    monkeypatch.setattr(figures, "_in_notebook", lambda: True)
    monkeypatch.setattr(drawing, "show", lambda figure, alt: shown.append((figure, alt)))

    def figure():
        """A line
        that rises."""
        return plt.figure()

    figures.draw(figure)
    assert shown[0][1] == "A line that rises."
    plt.close(shown[0][0])
    figures.draw(lambda: 1 / 0)
    assert "ZeroDivisionError" in capsys.readouterr().out and len(shown) == 1
