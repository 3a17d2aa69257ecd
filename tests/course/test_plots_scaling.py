"""The figures of the scaling lecture: what is in them, never pixels."""

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from minivit import course  # noqa: E402
from minivit.course.plots import scaling as plots  # noqa: E402
from minivit.engine.errors import ShapeError  # noqa: E402
from tests.course import figures  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    course.setup()
    yield
    figures.check_open()


def words(fig):
    fig.canvas.draw()
    return [t.get_text() for t in fig.findobj(plt.Text) if t.get_text()]


def test_bias_draws_means_of_seeds_baselines_and_published_points():
    nets = {"ViT": ([100, 400], [[0.1, 0.3], [0.4, 0.6, 0.8]]), "ResNet": ([100], [[0.2, 0.2]])}
    plain = {"1-NN": ([100, 400], [[0.6, 0.6], [0.7, 0.7]])}
    fig = plots.bias(nets, plain, {"ViT-L/16": [(14e6, 85.3)]}, {14e6: "ImageNet-21k"})
    line = fig.axes[0].lines[0]
    assert np.allclose(line.get_ydata(), [20, 60]) and list(line.get_xdata()) == [100, 400]
    assert list(fig.axes[1].lines[0].get_ydata()) == [85.3]
    assert {"ImageNet-21k\n14M", "ResNet", "1-NN", "100", "400"} <= set(words(fig))
    said = fig.get_supxlabel().replace("\n", " ")
    assert "Pixels shuffled: " in said and "standard deviation over 2 to 3 seeds" in said
    with pytest.raises(ShapeError, match=r"\(1, seeds\)"):
        plots.bias({"ViT": ([100, 400], [0.1, 0.2])}, {}, {"x": [(1e7, 1.0)]}, {1e7: ""})


def test_power_laws_draw_every_seed_their_mean_and_the_fit():
    errors = np.array([[0.5, 0.3], [0.2, 0.2]])
    x = np.array([10.0, 100.0])
    fit = (x, x**-0.5, x**-0.4, x**-0.3, "b = 0.4")
    panels = [("t", "images", {"ViT": (x, errors)}, fit, (x, [0.4, 0.2])),
              ("u", "images", {"ViT": (x, errors)}, None, None)]  # fmt: skip
    fig = plots.power_laws(panels)
    lines = [list(line.get_ydata()) for line in fig.axes[0].lines]
    assert lines[:4] == [[0.5, 0.2], [0.3, 0.2], [0.4, 0.2], [0.4, 0.2]]
    legends = [[t.get_text() for t in a.get_legend().get_texts()] for a in fig.axes]
    assert legends[0] == ["the best so far", "b = 0.4", "90% of fits, seeds redrawn"]
    assert legends[1] == ["ViT, one seed", "ViT, mean of 2 seeds"]  # said once
    assert fig.axes[0].lines[3].get_drawstyle() == "steps-post"


def test_a_band_without_a_width_is_not_named():
    x = np.array([10.0, 100.0])
    fit = (x, x**-0.4, x**-0.4, x**-0.4, "b = 0.4")
    fig = plots.power_laws([("t", "images", {"ViT": (x, x**-0.4)}, fit, None)])
    assert "b = 0.4" in words(fig) and not any("redrawn" in word for word in words(fig))


def test_head_decay_has_a_place_for_zero_and_shows_what_is_gained_over_it():
    task = "t", {5: [[0.1, 0.3], [0.4, 0.4]]}
    judged = "rule", {"t": (np.array([1.0, 3.0]), (0.5, 3.5))}
    upstream = "upstream", [[0.2, 0.2], [0.5, 0.7]]
    fig = plots.head_decay([0.0, 3.0], [task], upstream, judged, paper=3)
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["0", "3\n(paper's)"]
    zero, mean, *_ = (line.get_ydata() for line in fig.axes[0].lines)
    assert not np.any(zero) and np.allclose(mean, [0, 20])
    (bars,) = fig.axes[0].containers[0].lines[2]
    low, high = bars.get_segments()[1][:, 1]
    assert np.isclose(high - low, 2 * np.std([30, 10], ddof=1))
    upstream, rule = fig.axes[-2:]
    assert np.allclose(upstream.lines[0].get_ydata(), [20, 60])
    assert list(rule.lines[1].get_xdata()) == [1.0, 3.0] and rule.lines[2].get_xdata() == [2.0]
    named = "one seed", "mean of 2, 95% interval", "+2.0 (+0.5 to +3.5)", "t", "5 (20%)"
    assert set(named) <= set(words(fig))
    assert "Curves: mean of 2 seeds" in fig.get_supxlabel()


def test_variants_show_each_seed_the_mean_and_the_bytes():
    fig = plots.variants([("pool", {"class": [0.8, 0.9], "map": [0.9, 0.9]})], {"AdamW": 8.0})
    seeds = [line.get_xdata().tolist() for line in fig.axes[0].lines]
    assert np.allclose(seeds, [[80, 90], [90, 90]]) and {"85.0", "90.0"} <= {
        word.strip() for word in words(fig)
    }
    assert [p.get_width() for p in fig.axes[1].patches] == [8.0]


def test_schedules_are_drawn_as_they_are():
    fig = plots.schedules({"cosine": [0.0, 1.0, 0.5]})
    assert list(fig.axes[0].lines[0].get_ydata()) == [0.0, 1.0, 0.5]
