"""Looking inside: each number against one that was worked out another way."""

import numpy as np
import pytest

from minivit import Tensor, nn
from minivit.engine.errors import RangeError, ShapeError
from minivit.models.vit import SIZES, ViT
from minivit.training import inspect

RNG = np.random.default_rng(0)


def attention(B=2, H=3, N=5, sharp=1.0):
    e = np.exp(sharp * RNG.standard_normal((B, H, N, N)))
    return e / e.sum(axis=-1, keepdims=True)


# -- counts ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "size, patch, image, trunk, with_head",  # big_vision's and vision_transformer's own numbers
    [
        ("Ti", 16, 224, 5_524_416, 5_717_416),
        ("S", 16, 224, 21_665_664, 22_050_664),
        ("B", 16, 224, 85_798_656, 86_567_656),
        ("B", 32, 224, 87_455_232, 88_224_232),
        ("L", 16, 224, 303_301_632, 304_326_632),
        ("L", 32, 224, 305_510_400, 306_535_400),
        ("H", 14, 224, 630_764_800, 632_045_800),
        ("B", 16, 384, None, 86_859_496),
        ("H", 14, 384, None, 632_651_240),
    ],
)
def test_the_published_models_count_exactly(size, patch, image, trunk, with_head):
    layers, D, M, heads = SIZES[size]
    side = image // patch * patch  # the patches that fit
    sizes = dict(image=side, patch=patch, channels=3, width=D, layers=layers, heads=heads)
    with nn.empty():
        headed, headless = (ViT(**sizes, hidden=M, classes=n) for n in (1000, 0))
    assert headed.count_parameters() == with_head
    assert trunk in (None, headless.count_parameters())


# -- the forward pass ------------------------------------------------------------------------------
def test_trace_ends_at_the_models_own_output():
    model = ViT(image=6, patch=2, channels=3, classes=4, width=12, layers=2, heads=3)
    model.head.weight.data[...] = RNG.standard_normal((4, 12))
    images = Tensor(RNG.standard_normal((2, 6, 6, 3)).astype(np.float32))
    arrays = inspect.trace(model, images)
    np.testing.assert_allclose(arrays["logits"], model(images).numpy(), atol=1e-5)
    np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1, atol=1e-6)
    for ours, theirs in zip(
        (arrays["1.attention"], arrays["2.attention"]), model.attention(images)
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(
        arrays["1.middle"] + arrays["1.mlp"], arrays["1.out"], atol=1e-6
    )  # the residual
    assert all(isinstance(a, np.ndarray) for a in arrays.values())


# -- filters ---------------------------------------------------------------------------------------
def test_principal_components_find_the_direction_that_was_put_in():
    direction = np.array([3.0, 0.0, 4.0, 0.0]) / 5
    rows = RNG.standard_normal((50, 1)) * direction + 0.01 * RNG.standard_normal((50, 4)) + 7
    components, share = inspect.principal_components(rows)
    assert abs(components[0] @ direction) > 0.999
    assert share[0] > 0.99
    assert share.sum() == pytest.approx(1)
    assert (np.diff(share) <= 0).all()
    np.testing.assert_allclose(components @ components.T, np.eye(4), atol=1e-12)


def test_principal_components_of_equal_rows_explain_nothing():
    _, share = inspect.principal_components(np.ones((5, 3)))
    assert (share == 0).all()


def test_filters_become_pictures_pixel_by_pixel():
    weight = np.zeros((9, 2 * 2 * 3))
    weight[:, 5] = np.arange(9)  # row 0, column 1, blue
    pictures, share = inspect.filter_components(weight, 2, 3)
    assert pictures.shape == (9, 2, 2, 3)
    assert share[0] == pytest.approx(1)
    assert abs(pictures[0, 0, 1, 2]) == pytest.approx(1)


# -- positions -------------------------------------------------------------------------------------
def test_cosine_similarity_of_known_angles():
    similarity = inspect.cosine_similarity(np.array([[2.0, 0], [0, 5], [-1, 0], [1, 1], [0, 0]]))
    np.testing.assert_allclose(similarity[0], [1, 0, -1, np.sqrt(0.5), 0], atol=1e-12)
    np.testing.assert_allclose(similarity, similarity.T)
    assert (similarity[4] == 0).all()  # a zero vector is similar to nothing


def test_position_tiles_leave_the_class_token_out_and_keep_raster_order():
    position = RNG.standard_normal((1, 7, 5))
    tiles = inspect.position_similarity(position, (2, 3))
    assert tiles.shape == (2, 3, 2, 3)
    a, b = position[0, 1 + 4], position[0, 1 + 2]  # patches (1, 1) and (0, 2)
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert tiles[1, 1, 0, 2] == pytest.approx(expected)


def test_patch_distances_are_euclidean_in_pixels():
    distance = inspect.patch_distances((2, 3), patch=4)
    assert distance[0, 1] == 4  # right neighbour
    assert distance[0, 3] == 4  # neighbour below: raster order
    assert distance[0, 5] == pytest.approx(4 * np.sqrt(5))
    np.testing.assert_array_equal(distance, distance.T)


# -- attention -------------------------------------------------------------------------------------
def test_a_head_that_looks_at_itself_looks_0_pixels_far():
    eye = np.broadcast_to(np.eye(7), (1, 1, 7, 7))
    assert inspect.mean_attention_distance(eye, (2, 3), 4).tolist() == [0]


def test_a_head_that_looks_everywhere_alike_has_the_uniform_distance():
    alike = np.full((2, 3, 17, 17), 1 / 17)
    found = inspect.mean_attention_distance(alike, (4, 4), 2)
    np.testing.assert_allclose(found, inspect.uniform_distance((4, 4), 2))


def test_mean_attention_distance_against_loops():
    a = attention(B=2, H=2, N=7)
    expected = np.zeros(2)
    for h in range(2):
        for b in range(2):
            for q in range(6):
                row = a[b, h, 1 + q, 1:] / a[b, h, 1 + q, 1:].sum()
                for k in range(6):
                    far = 4 * np.hypot(q // 3 - k // 3, q % 3 - k % 3)
                    expected[h] += row[k] * far / (2 * 6)
    np.testing.assert_allclose(inspect.mean_attention_distance(a, (2, 3), 4), expected)


def test_what_the_class_token_attends_to_does_not_matter():
    a = attention(N=7)
    b = a.copy()
    b[:, :, 0] = np.eye(7)[0]
    np.testing.assert_array_equal(
        inspect.mean_attention_distance(a, (2, 3), 1), inspect.mean_attention_distance(b, (2, 3), 1)
    )


def test_rollout_is_the_product_from_the_first_layer_to_the_last():
    first, last = attention(B=1, H=2), attention(B=1, H=2)
    mixed = [(m.mean(axis=1)[0] + np.eye(5)) / 2 for m in (first, last)]
    rolled = inspect.attention_rollout([first, last])
    np.testing.assert_allclose(rolled[0], mixed[1] @ mixed[0])
    np.testing.assert_allclose(rolled.sum(axis=-1), 1)


# -- more than chance? -----------------------------------------------------------------------------
def test_mantel_sees_a_layout_its_opposite_and_noise():
    near = inspect.patch_distances((4, 5)) == 1
    noise = RNG.standard_normal((20, 20))
    noise += noise.T
    r, p = inspect.mantel(3 * near + noise, near)
    assert r > 0.3 and p == 0.001  # 1 in 1,000: the least that 999 shuffles can say
    r, p = inspect.mantel(noise - 3 * near, near)
    assert r < -0.3 and p == 1
    ps = []
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal((20, 20))
        ps.append(inspect.mantel(noise + noise.T, near, permutations=99, seed=seed)[1])
    assert 0.3 < np.mean(ps) < 0.7  # without a layout p is any number


def test_mantel_of_a_table_with_itself_is_1():
    d = inspect.patch_distances((3, 4))
    assert inspect.mantel(d, d, permutations=9)[0] == pytest.approx(1)


def test_depth_trend_is_a_slope_in_pixels_a_layer():
    slope, p = inspect.depth_trend(np.arange(6.0)[:, None] * 2.5 + np.array([[0, 0.1, 0.2, 0.3]]))
    assert slope == pytest.approx(2.5)
    assert p == 0.001
    assert inspect.depth_trend(-np.arange(12.0).reshape(6, 2))[1] == 1
    assert inspect.depth_trend(np.ones((4, 4)))[1] == 1  # all alike: never more than chance


# -- bad input -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, error, says",
    [
        (lambda: inspect.principal_components(np.ones(3)), ShapeError, "(n, F)"),
        (lambda: inspect.filter_components(np.ones((4, 7)), 2, 3), ShapeError, "(4, 7)"),
        (lambda: inspect.position_similarity(np.ones((1, 6, 2)), (2, 3)), ShapeError, "(1, 6, 2)"),
        (
            lambda: inspect.mean_attention_distance(attention(N=6), (2, 3), 1),
            ShapeError,
            "6 tokens",
        ),
        (lambda: inspect.mean_attention_distance(np.ones((5, 5)), (2, 2), 1), ShapeError, "(5, 5)"),
        (
            lambda: inspect.mean_attention_distance(np.ones((1, 1, 5, 5)), (2, 2), 1),
            RangeError,
            "before softmax",
        ),
        (lambda: inspect.attention_rollout([]), ShapeError, "no layers"),
        (lambda: inspect.attention_rollout([-attention()]), RangeError, "sum to 1"),
        (lambda: inspect.mantel(np.ones((3, 3)), np.ones((4, 4))), ShapeError, "(4, 4)"),
        (lambda: inspect.depth_trend(np.ones((1, 4))), ShapeError, "(1, 4)"),
    ],
)
def test_what_does_not_fit_is_named(call, error, says):
    with pytest.raises(error) as raised:
        call()
    assert says in str(raised.value)
