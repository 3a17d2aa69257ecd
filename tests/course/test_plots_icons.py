"""The figures of the runs on icons: what is in them, never pixels."""

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from minivit.course.plots import icons as plots  # noqa: E402
from minivit.engine.errors import ShapeError  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_families_are_dots_at_their_accuracy():
    marks = {"top-1": 0.5, "right by family": [5, 5], "pictures by family": [5, 15],
             "families": ["a", "b"]}  # fmt: skip
    axes = plots.by_family(marks, "t", least=1).axes[0]
    assert np.allclose(axes.lines[0].get_ydata(), [1, 1 / 3])
    assert {t.get_text() for t in axes.texts} == {"all: 50.0%", "a", "b"}
    (alone,) = plots.by_family(marks, "t", least=15).axes[0].lines[0].get_ydata()  # of the larger
    assert np.isclose(alone, 1 / 3)


def test_the_suite_is_sorted_by_how_far_above_chance():
    found = {"zero-shot": {"x": 0.5, "y": 0.4}, "largest": {"x": 0.4, "y": 0.1}}
    axes = plots.suite(found, {"x": 3, "y": 9}).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x (3)", "y (9)"]
    drawn = {line.get_label(): line.get_xdata() for line in axes.lines}
    assert np.allclose(drawn["zero-shot"], [0.5, 0.4]) and np.allclose(
        drawn["chance"], [1 / 3, 1 / 9]
    )
    for wrong in ({}, {"zero-shot": {}}, {"zero-shot": {"x": 1.0}}):
        with pytest.raises(ShapeError, match="suite: got"):
            plots.suite(wrong, {"x": 3, "y": 9})


def test_neighbours_stand_beside_their_query():
    pictures = np.arange(6 * 4).reshape(2, 3, 2, 2).astype(np.uint8)
    fig = plots.neighbours(pictures[:, 0], pictures, [["q", "1", "2", "3"]] * 2)
    assert len(fig.axes) == 8 and (fig.axes[1].images[0].get_array() == pictures[0, 0]).all()
    with pytest.raises(ShapeError, match="1 titles"):
        plots.neighbours(pictures[:, 0], pictures, [["q"]])
