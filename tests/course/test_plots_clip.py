"""The figures of the CLIP lecture: what is in them, never pixels."""

import numpy as np
import pytest

plt = pytest.importorskip("matplotlib.pyplot")

from minivit import course  # noqa: E402
from minivit.course.plots import clip as plots  # noqa: E402
from minivit.course.plots import clip_results  # noqa: E402
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
    assert [t.get_text() for t in left.get_yticklabels()] == ["x  1", "y  2", "z  3"]
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        plots.logits_matrices([("a", np.zeros((3, 4)))], pictures(3), ["x", "y", "z"])
    with pytest.raises(ShapeError, match="image"):
        plots.logits_matrices([("a", logits)], np.zeros((3, 4, 4, 2)), ["x", "y", "z"])


def test_pseudocode_shows_each_line_its_arrays_and_their_shapes():
    x = np.random.default_rng(0).standard_normal((5, 2))
    blocks = [("# I - images\n# T - texts\n# t  - a number",
               {"I": pictures(5), "T": np.ones((5, 9)), "t": np.array(3.04)}),
              ("x = f(I)", {"x": x, "y": x}),
              ("logits = x\n\nlabels = g(x)\nloss = h(x)",
               {"logits": np.eye(5), "labels": np.arange(5), "loss": np.array(0.00125)}),
    ]  # fmt: skip
    fig = plots.pseudocode(blocks, ["ram", "scarf", "bow", "cat", "ox"])
    written = words(fig)
    for text in (
        *("# I - images", "# t  - a number", "x = f(I)", "logits = x", "loss = h(x)"),
        *("ram", "ox", "I [5, 4, 4, 3]", "T [5, 9]", "x [5, 2]", "logits [5, 5]"),
        *(" → 3.0400", " → 0 1 2 3 4", " → 0.0013"),
    ):
        assert text in written
    images = [axes.images[0].get_array() for axes in fig.axes if axes.images]
    assert any(i.shape == x.shape and (i == x).all() for i in images)
    lines = {t.get_text(): t for t in fig.findobj(plt.Text)}
    assert lines["loss = h(x)"].get_position()[1] == lines[" → 0.0013"].get_position()[1]
    width, height = fig.get_size_inches()
    assert width > height


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
        "A cat, by ours", [("letters", ["a", "c"])], ["[SOS]", "cat", "[EOS]"], [8, 3, 9],
        {"embedding": 1234, "layers": 5678}, "the paper's",
    )  # fmt: skip
    written = words(fig)
    expected = "[SOS]", "cat", "[EOS]", "8", "3", "9", "  1,234", "  5,678"
    for text in (*expected, "A cat, by ours", "the paper's"):
        assert text in written


def test_image_encoders_show_computed_and_published():
    row = {"name": "RN9", "parameters": 2_000_000, "flops": 5e9, "published parameters": 2.1,
           "published GFLOPs": 5.5, "gpu_days": 77}  # fmt: skip
    fig = plots.image_encoders(
        [row, {**row, "name": "ViT-8", "gpu_days": None}, {**row, "name": "ViT-9", "gpu_days": 22}]
    )
    left, middle, right = fig.axes
    assert [bar.get_width() for bar in left.containers[0]] == [2.0] * 3
    assert middle.lines[0].get_xdata()[0] == 5.5
    widths = [bar.get_width() for bar in right.containers[0]]
    assert (widths[0], widths[2]) == (77, 22) and np.isnan(widths[1])
    written = words(fig)
    assert {"77", "22", "x 3.5"} <= set(written) and "nan" not in written
    of = {h.get_label(): h.get_facecolor() for h in fig.legends[0].legend_handles[:2]}
    for bar, kind in zip(left.containers[0], ("ResNet", "ViT", "ViT")):
        assert bar.get_facecolor() == of[f"{kind}, computed"]


def test_efficiency_draws_each_seed_the_mean_and_each_ratio_at_its_level():
    accuracy = np.array([[0.1, 0.2], [0.3, 0.6]])
    curves = {"caption": ([10, 20], accuracy / 2), "contrastive": ([10, 20], accuracy)}
    fig = clip_results.efficiency(curves, 0.01, [(0.2, 10, 20, "x 2.0"), (0.1, 5, 20, "x 4.0")])
    axes = fig.axes[0]
    drawn = [line.get_ydata() for line in axes.lines]
    assert np.allclose(drawn[3:5], accuracy) and np.allclose(drawn[5], [0.2, 0.4])
    assert axes.get_xscale() == "log"
    written = {t.get_text(): t for t in fig.findobj(plt.Text)}
    for name, line in (("caption", axes.lines[2]), ("contrastive", axes.lines[5])):
        assert written[name].get_color() == line.get_color()
    assert {written[w].xy[1] for w in ("x 2.0", "x 4.0")} == {0.2, 0.1}
    tips = {t.xy for t in axes.texts if not t.get_text()}
    assert tips == {(10, 0.2), (5, 0.1)}


def test_zero_shot_classifier_shows_vectors_and_probabilities():
    vectors = np.random.default_rng(0).standard_normal((5, 3))
    fig = plots.zero_shot_classifier(
        pictures(1)[0], ["a", "b", "c"], ["an a", "a b", "a c"], vectors, vectors[:, 0],
        np.array([0.7, 0.2, 0.1]), true=0,
    )  # fmt: skip
    images = [axes.images[0].get_array() for axes in fig.axes if axes.images]
    assert any(i.shape == (3, 5) and np.allclose(i, vectors.T) for i in images)
    assert "70%" in words(fig) and "→ a b" in words(fig)
    assert "→ text encoder → Wᵀ, 3 x 5" in words(fig) and "softmax(exp(t) I_e W)" in words(fig)


def test_differences_are_sorted_and_in_points():
    fig = clip_results.sorted_differences(
        [("t", {"a": -10, "b": 25, "c": 0}), ("p", {"x": 5, "y": 9})]
    )
    left, right = fig.axes
    assert [round(bar.get_width(), 6) for bar in left.patches] == [25, 0, -10]
    assert [t.get_text() for t in right.get_yticklabels()] == ["y", "x"]
    assert "+25.0" in words(fig)
    assert left.get_title() == "t:\nzero-shot better on 1 of 3" and "2 of 2" in right.get_title()
    assert left.get_xlim() == right.get_xlim()  # lengths can be compared
    assert left.get_xlim()[0] < -10 and left.get_xlim()[1] > 25


def test_compute_efficiency_draws_families_in_order_of_compute():
    family = {"ViT": [("big", 8.0, 0.9, [0.8, 1.0]), ("small", 2.0, 0.5, [0.5])]}
    axes = clip_results.compute_efficiency([("t", "x", "y", family)]).axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[2.0, 0.5], [8.0, 0.9]]
    dots = np.concatenate([line.get_ydata() for line in axes.lines[1:]])
    assert sorted(dots.tolist()) == [0.5, 0.8, 1.0]


def test_a_line_says_how_much_more_the_others_spend_for_the_same_score():
    nets = {"ViT": [("a", 1.0, 0.5, []), ("b", 2.0, 0.95, []), ("c", 3.0, 0.1, []),
                    ("d", 9.0, 0.97, [])],
            "ResNet": [("e", 2.0, 0.4, []), ("f", 8.0, 0.6, [])]}  # fmt: skip
    fig = clip_results.compute_efficiency([("t", "x", "y", nets)])
    found = [w for w in words(fig) if w.startswith("x ")]
    assert found == ["x 4.0", "x > 4.0"]  # none reaches b's; c is below them all; d spends the most


@pytest.mark.parametrize("true, rank", [("b", 1), ("f", 6)])
def test_cards_show_the_rank_of_the_truth_even_if_it_is_low(true, rank):
    p = np.array([0.2, 0.4, 0.15, 0.12, 0.1, 0.03])
    fig = clip_results.example_cards([("set", pictures(1)[0], list("abcdef"), p, true, 6)])
    written = " ".join(words(fig))
    assert f"{true}\n{p['abcdef'.index(true)]:.1%}, ranked {rank} out of 6" in written
    assert "set" in words(fig)
    assert written.count("✓") == 1 and written.count("✗") == (4 if rank <= 5 else 3)
    assert f"✓ {true}" in written
    assert ("…" in written) == (rank > 5)  # between the best and the truth
    assert "probability" in written


def test_prompt_bars_are_percentages():
    accuracies = {"bare": {"s": 0.5, "t": 0.1}, "photo": {"s": 0.25, "t": 0.2}}
    fig = clip_results.prompts(accuracies, {"s": 0.01, "t": 0.1}, "ours: it hurts", 5.0)
    heights = [bar.get_height() for bars in fig.axes[0].containers for bar in bars]
    assert heights == [50, 10, 25, 20]
    assert "ours: it hurts" in words(fig) and "almost +5" in words(fig)
    assert [bar.get_height() for bar in fig.axes[1].patches] == [5]
    assert len({bars[0].get_hatch() for bars in fig.axes[0].containers}) == 2  # without colours
