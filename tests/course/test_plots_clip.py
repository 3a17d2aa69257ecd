"""The figures of the CLIP lecture: what is in them, never pixels."""

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from minivit import course  # noqa: E402
from minivit.course.plots import clip as plots  # noqa: E402
from minivit.engine.errors import ShapeError  # noqa: E402
from tests.course import figures  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    course.setup()
    yield
    figures.check_open()


def words(fig):
    """Everything that is written in a figure."""
    fig.canvas.draw()
    return [t.get_text() for t in fig.findobj(plt.Text) if t.get_text()]


def pictures(n, side=4):
    return np.random.default_rng(0).uniform(-1, 1, (n, side, side, 3))


def test_logits_are_drawn_as_they_are_with_the_diagonal_framed():
    logits = np.arange(9.0).reshape(3, 3)
    fig = plots.logits_matrices([("a", logits), ("b", -logits)], pictures(3), ["x", "y", "z"])
    left = fig.axes[0]
    assert (left.images[0].get_array() == logits).all()
    assert sorted(p.get_xy() for p in left.patches) == [(-0.5, -0.5), (0.5, 0.5), (1.5, 1.5)]
    assert [t.get_text() for t in left.get_xticklabels()] == ["x", "y", "z"]
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        plots.logits_matrices([("a", np.zeros((3, 4)))], pictures(3), ["x", "y", "z"])
    with pytest.raises(ShapeError, match="image"):
        plots.logits_matrices([("a", logits)], np.zeros((3, 4, 4, 2)), ["x", "y", "z"])


def test_pseudocode_shows_each_line_its_arrays_and_their_shapes():
    steps = [("# a comment", {}), ("x = f(I)", {"I": pictures(5), "x": np.ones((5, 2))}),
             ("T", {"T": np.ones((5, 9)), "logits": np.eye(5)}),
             ("loss = g(x)", {"loss": np.array(1.25)})]  # fmt: skip
    written = words(plots.pseudocode(steps, ["ram", "scarf", "bow", "cat", "ox"]))
    for text in (
        "# a comment",
        "ram",
        "ox",
        "logits [5, 5]",
        "x = f(I)",
        "I [5, 4, 4, 3]",
        "x [5, 2]",
        "loss []",
        "1.250",
    ):
        assert text in written


def test_softmax_bars_sum_to_one_and_points_lie_where_they_are():
    fig = plots.cosine_and_temperature(
        {"pairs": [(60, 0.5)]}, np.array([0.9, 0.1]), ["a", "b"], [1, 100]
    )
    left, right = fig.axes
    assert left.lines[1].get_xydata().tolist() == [[60, 0.5]]
    lengths = [[bar.get_width() for bar in bars] for bars in right.containers]
    assert np.allclose(np.sum(lengths, axis=1), 1)
    assert lengths[1][0] > lengths[0][0]


def test_text_encoder_shows_every_symbol_and_count():
    fig = plots.text_encoder(
        "A cat", [("letters", ["a", "c"])], ["[SOS]", "cat", "[EOS]"], [8, 3, 9],
        {"embedding": 1234, "layers": 5678}, "title",
    )  # fmt: skip
    written = words(fig)
    for text in ("[SOS]", "cat", "[EOS]", "8", "3", "9", "  1,234", "  5,678", "title"):
        assert text in written


def test_image_encoders_show_computed_and_published():
    row = {"name": "RN9", "parameters": 2_000_000, "flops": 5e9, "published parameters": 2.1,
           "published GFLOPs": 5.5, "gpu_days": 77}  # fmt: skip
    fig = plots.image_encoders([row, {**row, "name": "ViT-9", "gpu_days": None}])
    left, right = fig.axes
    assert [bar.get_width() for bar in left.containers[0]] == [2.0, 2.0]
    assert right.lines[0].get_xdata()[0] == 5.5
    assert [w for w in words(fig) if "V100" in w] == ["5.0,\n77 V100-days"]


def test_efficiency_draws_each_seed_and_the_mean():
    accuracy = np.array([[0.1, 0.2], [0.3, 0.6]])
    axes = plots.efficiency({"one": ([10, 20], accuracy)}, chance=0.01, target=0.3).axes[0]
    drawn = [line.get_ydata() for line in axes.lines]
    assert np.allclose(drawn[:2], accuracy) and np.allclose(drawn[2], [0.2, 0.4])
    assert axes.get_xscale() == "log"


def test_zero_shot_classifier_shows_vectors_and_probabilities():
    vectors = np.random.default_rng(0).standard_normal((5, 3))
    fig = plots.zero_shot_classifier(
        pictures(1)[0], ["a", "b", "c"], ["an a", "a b", "a c"], vectors, vectors[:, 0],
        np.array([0.7, 0.2, 0.1]), true=0,
    )  # fmt: skip
    images = [axes.images[0].get_array() for axes in fig.axes if axes.images]
    assert any(i.shape == (3, 5) and np.allclose(i, vectors.T) for i in images)
    assert "70%" in words(fig) and "→ a b" in words(fig)


def test_differences_are_sorted_and_in_points():
    fig = plots.sorted_differences([("t", {"a": -10, "b": 25, "c": 0}), ("p", {"x": 5, "y": 9})])
    left, right = fig.axes
    assert [round(bar.get_width(), 6) for bar in left.patches] == [25, 0, -10]
    assert [t.get_text() for t in right.get_yticklabels()] == ["y", "x"]
    assert "+25.0" in words(fig)
    for axes, values in ((left, (25, -10)), (right, (5, 9))):
        low, high = axes.get_xlim()
        assert low < min(0, *values) or min(values) > 0
        assert high > max(values)


def test_compute_efficiency_draws_families_in_order_of_compute():
    family = {"ViT": [("big", 8.0, 0.9, [0.8, 1.0]), ("small", 2.0, 0.5, [0.5])]}
    axes = plots.compute_efficiency([("t", "x", "y", family)]).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[2.0, 0.5], [8.0, 0.9]]
    dots = np.concatenate([line.get_ydata() for line in axes.lines[1:]])
    assert sorted(dots.tolist()) == [0.5, 0.8, 1.0]


def test_a_line_says_how_much_more_the_others_spend_for_the_same_score():
    nets = {"ViT": [("a", 1.0, 0.5, []), ("b", 2.0, 0.95, [])],
            "ResNet": [("c", 2.0, 0.4, []), ("d", 8.0, 0.6, [])]}  # fmt: skip
    fig = plots.compute_efficiency([("t", "x", "y", nets)])
    assert [w for w in words(fig) if w.startswith("x ")] == ["x 4.0"]  # none reaches b's


@pytest.mark.parametrize("true, rank", [("b", 1), ("f", 6)])
def test_cards_show_the_rank_of_the_truth_even_if_it_is_low(true, rank):
    p = np.array([0.2, 0.4, 0.15, 0.12, 0.1, 0.03])
    fig = plots.example_cards([("set", pictures(1)[0], list("abcdef"), p, true, 6)])
    written = " ".join(words(fig))
    assert f"set: {true}\n{p['abcdef'.index(true)]:.1%}, ranked {rank} out of 6" in written
    assert written.count("✓") == 1 and written.count("✗") == 4
    assert f"✓ {true}" in written


def test_prompt_bars_are_percentages():
    accuracies = {"bare": {"s": 0.5, "t": 0.1}, "photo": {"s": 0.25, "t": 0.2}}
    fig = plots.prompts(accuracies, {"s": 0.01, "t": 0.1}, "published")
    heights = [bar.get_height() for bars in fig.axes[0].containers for bar in bars]
    assert heights == [50, 10, 25, 20]
    assert "published" in words(fig)
