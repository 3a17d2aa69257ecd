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
    axes = plots.by_family(marks, "t").axes[0]
    assert np.allclose(axes.lines[0].get_ydata(), [1, 1 / 3])
    assert {t.get_text() for t in axes.texts} == {"all: 50.0%", "a", "b"}


def test_the_suite_is_sorted_by_what_is_gained():
    found = {"x": {"accuracy": 0.5, "largest": 0.4, "categories": 3},
             "y": {"accuracy": 0.4, "largest": 0.1, "categories": 9}}  # fmt: skip
    axes = plots.suite(found).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["x (3)", "y (9)"]
    assert [p.get_width() for p in axes.patches] == [0.5, 0.4, 0.4, 0.1]
    with pytest.raises(ShapeError, match="no set"):
        plots.suite({})


def test_neighbours_stand_beside_their_query():
    pictures = np.arange(6 * 4).reshape(2, 3, 2, 2).astype(np.uint8)
    fig = plots.neighbours(pictures[:, 0], pictures, [["q", "1", "2", "3"]] * 2)
    assert len(fig.axes) == 8 and (fig.axes[1].images[0].get_array() == pictures[0, 0]).all()
    with pytest.raises(ShapeError, match="1 titles"):
        plots.neighbours(pictures[:, 0], pictures, [["q"]])
