"""The figures: what is in them (arrays, dots, words), never their pixels."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from minivit import Tensor
from minivit.engine.errors import ShapeError
from minivit.images.patches import unpatchify
from minivit.models.vit import ViT
from minivit.training import inspect

plt = pytest.importorskip("matplotlib.pyplot")
pytest.importorskip("matplotlib")
from minivit import course  # noqa: E402
from minivit.course.plots import drawing  # noqa: E402
from minivit.course.plots import vit as plots  # noqa: E402
from tests.course import figures  # noqa: E402

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def quiet():
    """No window opens, none is left, and what was drawn can be read."""
    plt.switch_backend("Agg")
    course.setup()
    yield
    figures.check_open()


@pytest.fixture
def model():
    model = ViT(image=8, patch=2, channels=3, classes=5, width=12, layers=3, heads=2)
    model.head.weight.data[...] = RNG.standard_normal((5, 12))
    return model


@pytest.fixture
def arrays(model):
    return inspect.trace(model, Tensor(RNG.uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)))


def words(figure):
    """Every word in the figure."""
    figure.canvas.draw()
    return "\n".join(t.get_text() for t in figure.findobj(plt.Text) if t.get_text().strip())


def images(figure):
    """The arrays that the figure shows as images, in drawing order."""
    return [np.asarray(i.get_array()) for axes in figure.axes for i in axes.images]


def nothing_is_cut_off(figure):
    """No word lies outside of the page, or is wider than it."""
    figure.canvas.draw()
    page = figure.bbox
    for text in figure.findobj(plt.Text):
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent()
            assert box.x0 > page.x0 - 2 and box.x1 < page.x1 + 2, text.get_text()
            assert box.y0 > page.y0 - 2 and box.y1 < page.y1 + 2, text.get_text()


# -- F19 -------------------------------------------------------------------------------------------
@pytest.fixture
def steps(model, arrays):
    return plots.five_steps(
        arrays["image"][0],
        arrays["patches"][0],
        model.projection.weight.numpy(),
        model.projection(Tensor(arrays["patches"])).numpy()[0],
        model.class_token.numpy()[0],
        model.position.numpy()[0],
        arrays["tokens"][0],
        rows=17,
    )


def test_five_steps_say_their_shapes(steps):
    said = words(steps)
    for expected in ("8x8 pixels", "2x2", "N = HW/P² = 16", "2·2·3 = 12", "16 x 12", "12 x 12"):
        assert expected in said
    assert said.count("17 x 12") == 3  # class token, positions, input
    assert all(f"{k}. " in said for k in range(1, 6))


def test_five_steps_show_the_image_and_its_first_and_last_patches(steps, arrays):
    shown = images(steps)
    np.testing.assert_allclose(shown[0], (arrays["image"][0] + 1) / 2, atol=1e-6)
    patches = np.stack(shown[1:9]) * 2 - 1
    whole = arrays["patches"][0].copy()
    whole[[*range(7), 15]] = patches.reshape(8, 12)
    np.testing.assert_allclose(
        unpatchify(whole[None], 2, 8, 8)[0], arrays["image"][0], atol=1e-6
    )  # each patch is the right way up, at its place
    np.testing.assert_array_equal(shown[-1], arrays["tokens"][0])
    np.testing.assert_array_equal(shown[9], arrays["patches"][0])


def test_five_steps_grid_has_a_line_at_each_patch(steps):
    lines = [line.get_xdata() for line in steps.axes[0].lines]
    upright = sorted(x[0] for x in lines if x[0] == x[1])
    assert upright == [0, 2, 4, 6, 8]


# -- F20 -------------------------------------------------------------------------------------------
def test_forward_pass_shows_the_first_and_last_layer_and_the_probabilities(arrays):
    weight = RNG.standard_normal((12, 12))
    head = RNG.standard_normal((5, 12))
    figure = plots.forward_pass(arrays, weight, head, tuple("abcde"), true=2)
    said = words(figure)
    for expected in ("layer 1", "… layer 3", "17 x 12", "16 x 12", "E\n12 x 12", "A of head 1"):
        assert expected in said
    bars = [axes for axes in figure.axes if axes.patches]
    np.testing.assert_allclose([b.get_width() for b in bars[0].patches], arrays["probabilities"][0])
    colors = [bar.get_facecolor() for bar in bars[0].patches]
    assert [c != colors[0] for c in colors] == [False, False, True, False, False]
    drawn_arrows = [t for t in figure.findobj(plt.Text) if getattr(t, "arrow_patch", None)]
    assert len(drawn_arrows) == 4  # two residual paths: along, and up to the sum
    whole = ["patches", "tokens", "1.out", "3.out"]
    inside = ["tokens", "1.ln_1", "1.attention", "1.attn", "1.middle", "1.ln_2", "1.mlp", "1.out"]
    shown = images(figure)
    assert len(shown) == 1 + len(whole) + 3 + len(inside)  # the image first; E; [class], the head
    np.testing.assert_array_equal(shown[2], weight.T)
    np.testing.assert_array_equal(shown[6], arrays["class"].T)
    np.testing.assert_array_equal(shown[7], head.T)
    for array, name in zip([shown[1], *shown[3:6], *shown[8:]], [*whole, *inside]):
        expected = arrays[name][0, 0] if name == "1.attention" else arrays[name][0]
        np.testing.assert_array_equal(array, expected)


# -- F21 -------------------------------------------------------------------------------------------
def test_tables_show_exact_numbers_and_mark_cells():
    rows = [("ViT-Base/16", 85_798_656), ("another", 7)]
    figure = drawing.tables(
        [("Models", ["Model", "counted"], rows, {(0, 1)}), ("B", ["x"], [[1]], ())]
    )
    assert len(figure.axes) == 2
    texts = {t.get_text(): t for t in figure.findobj(plt.Text)}
    assert texts["85,798,656"].get_fontweight() == "bold"
    assert texts["7"].get_fontweight() == "normal"
    nothing_is_cut_off(figure)


@pytest.mark.parametrize("numbers", [(1, 1), (86, 85_798_656), (632, 630_764_800)])
def test_neighbours_in_a_row_of_a_table_keep_apart(numbers):
    """Whatever is written, and in bold: a blank between two cells, as wide as a letter."""
    said, counted = numbers
    row = ("ViT-Base/16", 12, 768, "3,072", 16, f"{said}M", counted, counted + 1)
    header = ["Model, at 224 x 224", "Layers", "Hidden\nsize D", "MLP\nsize", "Heads",
              "the slide\nsays", "counted:\nno head",
              "counted: with a head\nof 1,000 classes"]  # fmt: skip
    marked = {(0, j) for j in range(len(row))}
    figure = drawing.tables([("Models", header, [row], marked)])
    figure.canvas.draw()
    for line in (header, [f"{v:,}" if isinstance(v, int) else v for v in row]):
        texts = [t for t in figure.findobj(plt.Text) if t.get_text() in line]
        boxes = sorted((t.get_window_extent() for t in texts), key=lambda box: box.x0)
        assert len(boxes) == len(row)
        assert all(b.x0 - a.x1 > 9 for a, b in itertools.pairwise(boxes))


def test_a_row_of_another_length_is_named():
    with pytest.raises(ShapeError, match="Models"):
        drawing.tables([("Models", ["a", "b"], [[1]], ())])


# -- F24 -------------------------------------------------------------------------------------------
def test_filters_show_each_component_stretched_about_grey():
    pictures = RNG.standard_normal((3, 4, 4, 3))
    figure = plots.filters([("trained", pictures, np.array([0.5, 0.25, 0.004]))], shown=5)
    shown = images(figure)
    assert len(shown) == 3  # as many as there are, not as many as there is room for
    np.testing.assert_allclose(shown[1] * 2 - 1, pictures[1] / np.abs(pictures[1]).max())
    assert [axes.get_xlabel() for axes in figure.axes[:3]] == ["50%", "25%", "< 1%"]
    assert "share of the variance" in figure.get_supxlabel()


# -- F25 -------------------------------------------------------------------------------------------
def test_position_tiles_are_at_their_row_and_column():
    similarity = inspect.position_similarity(RNG.standard_normal((1, 7, 5)), (2, 3))
    figure = plots.position_tiles([("six", similarity)], limit=0.5)
    shown = images(figure)
    assert len([i for i in shown if i.shape == (2, 3)]) == 6
    for n, (r, c) in enumerate(np.ndindex(2, 3)):
        np.testing.assert_array_equal(shown[n], similarity[r, c])
    assert figure.axes[4].images[0].get_clim() == (-0.5, 0.5)
    cross = figure.axes[5].lines[0]
    assert (*cross.get_xdata(), *cross.get_ydata()) == (2, 1)  # column, row of tile (1, 2)
    assert figure.axes[-1].get_ylabel() == "cosine similarity"


# -- F26 -------------------------------------------------------------------------------------------
def test_attention_distance_has_a_dot_for_each_seed_layer_and_head():
    trained, untrained = RNG.uniform(3, 5, (2, 3, 4, 5))
    figure = plots.attention_distance([("digits", trained, untrained, 4.0)])
    axes = figure.axes[0]
    by_label = {line.get_label(): line for line in axes.lines}
    dots = by_label["one head, trained"]
    assert sorted(dots.get_ydata()) == sorted(trained.reshape(-1))
    layers = np.round(dots.get_xdata()).astype(int)
    for layer in range(1, 5):
        np.testing.assert_array_equal(dots.get_ydata()[layers == layer], trained[:, layer - 1].flat)
    before = by_label["one head, before training"].get_ydata()
    assert sorted(before) == sorted(untrained.reshape(-1))
    np.testing.assert_allclose(
        by_label["mean of the trained"].get_ydata(), trained.mean(axis=(0, 2))
    )
    assert set(by_label["a head that looks everywhere alike"].get_ydata()) == {4.0}
    assert "pixels" in axes.get_ylabel()
    assert axes.get_xlabel() == "layer"


def test_attention_distances_of_two_models_stand_on_one_scale():
    near, far = RNG.uniform(3, 5, (2, 3, 4)), RNG.uniform(13, 15, (3, 4, 5))
    figure = plots.attention_distance([("a", near[None, 0], near[None, 1], 4.0),
                                       ("b", far, far, 16.0)])  # fmt: skip
    left, right = (axes.get_ylim() for axes in figure.axes)
    assert left == right and left[0] == 0 and left[1] > 16


# -- beside the forty ------------------------------------------------------------------------------
def test_rollout_shows_each_image_above_its_weights():
    pictures, weights = RNG.uniform(-1, 1, (2, 8, 8, 1)), RNG.random((2, 16))
    shown = images(plots.rollout(pictures, weights, (4, 4), ["a", "b"]))
    np.testing.assert_allclose(shown[1][..., 0], (pictures[1, ..., 0] + 1) / 2)
    np.testing.assert_array_equal(shown[3], weights[1].reshape(4, 4))


def test_learning_curves_are_means_of_twenty_steps():
    losses = RNG.random(100)
    axes = drawing.learning([losses, losses * 2], ["one", "two"]).axes[0]
    x, y = axes.lines[0].get_data()
    assert (x[0], x[-1]) == (20, 100)
    assert y[0] == pytest.approx(losses[:20].mean())
    assert y[-1] == pytest.approx(losses[-20:].mean())
    assert "loss" in axes.get_ylabel()


def test_a_picture_that_is_none_is_named():
    with pytest.raises(ShapeError, match=r"\(8, 8\)"):
        plots.rollout(np.zeros((1, 8, 8)), np.zeros((1, 4)), (2, 2), ["a"])


def test_signed_maps_are_drawn_in_one_place_which_says_once_what_the_colours_mean():
    sources = [*(ROOT / "minivit").rglob("*.py"), *(ROOT / "lectures" / "src").glob("*.py")]
    found = [path.name for path in sources if "PuOr" in path.read_text(encoding="utf-8")]
    assert found == ["drawing.py"]
    fig, panels = plt.subplots(1, 2)
    drawing.note(fig, "Published: a paper")
    for axes in panels:
        drawing.heat(axes, RNG.standard_normal((3, 4)))
    assert fig.get_supxlabel().split("\n") == ["Published: a paper", drawing.SIGNS]
    plus, minus = panels[0].images[0].cmap([1.0, 0.0])
    assert plus[2] > plus[0] > plus[1] and minus[0] > minus[1] > minus[2]  # purple, orange
