"""The figure of many machines: bars, lines and words."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from minivit.course.plots import ranks
from minivit.engine.errors import ShapeError

PLANS = {"ViT": {"one machine": {1: 1.0, 2: 1.8, 4: 3.1}, "1 Gbit": {1: 1.0, 2: 1.1, 4: 1.2}}}
LINKS = {"free": {"ViT": 1.5}, "100 Mbit": {"ViT": 0.4}}
MEMORY = {256: (2 << 20, 1 << 20), 512: (8 << 20, 5 << 20)}


def test_many_ranks():
    marks = [[0.8, 0.9, 0.95], [0.7, 0.9, 1.0]]
    fig = ranks.many_ranks({"ViT": marks}, PLANS, {"ViT": 1.7}, LINKS, MEMORY)
    step, speed, link, memory = fig.axes
    ends = np.cumsum([[bar.get_width() for bar in part] for part in step.containers], axis=0)
    np.testing.assert_allclose(ends.T, 100 * np.array(marks))
    assert [t.get_text() for t in step.get_yticklabels()] == ["ViT, rank 0", "ViT, rank 1"]
    lines = [line.get_ydata() for line in speed.lines]
    assert [list(np.atleast_1d(y)) for y in lines] == [
        [1.0, 1.8, 3.1], [1.0, 1.1, 1.2], [1.7], [1, 2, 4],
    ]  # fmt: skip
    assert [bar.get_height() for bar in link.containers[0]] == [1.5, 0.4]
    assert [list(line.get_ydata()) for line in memory.lines] == [[2, 8], [1, 5]]
    assert [t.get_text() for t in memory.texts] == ["8 MB", "5 MB"]
    plt.close(fig)


def test_a_timeline_has_three_marks_a_rank():
    with pytest.raises(ShapeError, match=r"ViT: marks \(3,\), expected \(ranks, 3\)"):
        ranks.many_ranks({"ViT": [0.8, 0.9, 1.0]}, PLANS, {"ViT": 1.7}, LINKS, MEMORY)
    plt.close("all")
