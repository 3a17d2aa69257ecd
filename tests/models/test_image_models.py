"""Palettes, Image GPT, ResNets, CLIP and scaling: facts that hold whatever was learnt."""

import ast
import inspect
import math
import re
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.engine.check import gradcheck
from minivit.engine.errors import DtypeError, OptionError, RangeError, ShapeError
from minivit.images.palette import Palette, kmeans, nearest
from minivit.models import clip, clip_objectives, image_gpt, resnet, scaling, vit
from minivit.published import clip_halves
from tests.models.test_sequence_models import shaken


def colours(n=3000, seed=0):
    return np.random.default_rng(seed).random((n, 3)).astype(np.float32) ** 2 * 2 - 1


# -- palettes --------------------------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(0, 5))
def test_nearest_is_nearest(k, seed):
    x, c = colours(40, seed), colours(k, seed + 100)
    ids, distance = nearest(x, c)
    brute = ((x[:, None] - c[None]) ** 2).sum(axis=2)
    assert np.allclose(brute[np.arange(40), ids], brute.min(axis=1), atol=1e-6)
    assert np.allclose(distance, brute.min(axis=1), atol=1e-5)


@pytest.mark.parametrize("k", [4, 32])
def test_inertia_is_within_a_percent_of_scikit_learns(k):
    cluster = pytest.importorskip("sklearn.cluster")
    x = colours(4000)
    theirs = cluster.KMeans(k, n_init=3, random_state=0).fit(x).inertia_
    ours = min(kmeans(x, k, seed, tolerance=1e-5)[1] for seed in range(3))
    assert ours <= 1.01 * theirs


def test_encode_decode_of_the_palette_itself_is_the_identity():
    palette = Palette.fit(colours().reshape(3, 20, 50, 3), 24)
    ids = np.arange(24)[None]
    assert (palette.encode(palette.decode(ids, 4, 6)) == ids).all()
    assert (np.diff(palette.colours.sum(axis=1)) >= 0).all()


def test_as_many_colours_as_there_are_is_lossless_and_one_more_is_refused():
    images = np.repeat(colours(6), 5, axis=0).reshape(1, 5, 6, 3)
    palette = Palette.fit(images, 6)
    assert np.allclose(palette.decode(palette.encode(images), 5, 6), images, atol=1e-6)
    with pytest.raises(OptionError, match="k is 7, but the images have 6"):
        Palette.fit(images, 7)
    with pytest.raises(DtypeError, match="uint8"):
        palette.encode((images * 100).astype(np.uint8))
    with pytest.raises(ShapeError, match=r"\(B, H, W, C\)"):
        palette.encode(images[0])
    with pytest.raises(RangeError, match="got 6"):
        palette.decode(np.full((1, 4), 6), 2, 2)


def test_raster_order_is_rows_first():
    palette = Palette(np.array([[-1.0], [1.0]], np.float32))
    image = np.full((1, 2, 3, 1), -1, np.float32)
    image[0, 0, 2] = 1
    assert palette.encode(image).tolist() == [[0, 0, 1, 0, 0, 0]]


# -- Image GPT -------------------------------------------------------------------------------------


@pytest.fixture
def igpt():
    return shaken(image_gpt.ImageGPT(8, 16, 16, 3, 2))


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 8, (3, 16))


def test_image_gpt_predicts_pixel_i_from_the_pixels_before_it(igpt, pixels):
    changed = pixels.copy()
    changed[:, 5] = (changed[:, 5] + 1) % 8
    difference = np.abs(igpt(changed).numpy() - igpt(pixels).numpy()).max(axis=(0, 2))
    assert (difference[:6] == 0).all() and (difference[6:] > 0).all()


def test_an_untrained_image_gpt_is_uniform(pixels):
    assert math.isclose(
        image_gpt.ImageGPT(8, 16, 16, 2, 2).loss(pixels).item(), math.log(8), rel_tol=1e-6
    )


def test_fill_does_not_see_hidden_pixels_and_sees_all_others(igpt, pixels):
    hidden = np.zeros_like(pixels, bool)
    hidden[:, 5] = True
    base = igpt.fill(pixels, hidden).numpy()
    other = pixels.copy()
    other[:, 5] = (other[:, 5] + 1) % 8
    assert (igpt.fill(other, hidden).numpy() == base).all()
    other = pixels.copy()
    other[:, 15] = (other[:, 15] + 1) % 8
    assert np.abs(igpt.fill(other, hidden).numpy() - base)[:, 5].max() > 0


def test_completion_keeps_the_prompt_and_its_probabilities_are_the_models(igpt, pixels):
    steps = list(igpt.generate(pixels[:, :7], 9, seed=3))
    whole = np.concatenate([pixels[:, :7], np.stack([t for t, _ in steps], axis=1)], axis=1)
    assert (igpt.complete(pixels[:, :7], seed=3) == whole).all()
    p = mv.softmax(igpt(whole)).numpy()
    assert max(np.abs(p[:, 7 + i] - q).max() for i, (_, q) in enumerate(steps)) < 1e-5
    assert igpt.complete(np.zeros((2, 0), int)).shape == (2, 16)
    with pytest.raises(ShapeError, match="context is 16"):
        igpt(np.zeros((1, 17), int))


def test_published_counts_are_exact():
    counts = {name: image_gpt.count_parameters(name) for name in image_gpt.SIZES}
    assert counts == {"S": 76571648, "M": 455157760, "L": 1362250752, "XL": 6810875904}
    tiny = image_gpt.ImageGPT(8, 16, 16, 3, 2)
    assert tiny.count_parameters() == 3 * (12 * 256 + 32) + 16 + 16 * 16 + 2 * 8 * 16 + 16


# -- ResNets ---------------------------------------------------------------------------------------


def test_batch_norm_normalises_in_training_and_uses_running_statistics_after():
    bn = resnet.BatchNorm2d(3)
    x = mv.Tensor(np.random.default_rng(0).standard_normal((8, 4, 4, 3)).astype(np.float32) * 3 + 2)
    for _ in range(200):
        y = bn(x).numpy()
    assert np.abs(y.mean(axis=(0, 1, 2))).max() < 1e-5
    assert np.abs(y.std(axis=(0, 1, 2)) - 1).max() < 1e-3
    assert np.abs(bn.eval()(x).numpy() - y).max() < 0.02
    assert len(list(bn.parameters())) == 2 and len(bn.state_dict()) == 4


def test_resnets_have_their_shapes_and_gradients():
    x = mv.Tensor(np.random.default_rng(0).standard_normal((4, 32, 32, 3)).astype(np.float32))
    for model, shape in (
        (resnet.ResNet(3, 7, width=4), (4, 7)),
        (resnet.ModifiedResNet(32, 8, (1, 1), 5, heads=2), (4, 5)),
    ):
        y = model(x)
        assert y.shape == shape
        (y * y).sum().backward()
        assert all(p.grad is not None for p in model.parameters())


# -- what is no image ------------------------------------------------------------------------------


def clip_of(encoder, d_i):
    return clip.CLIP(encoder, clip.BagOfWords(9, 4), d_i, 4, 4).encode_image


EVERY_IMAGE_MODEL = {  # of images (B, 32, 32, 3)
    "ViT": vit.ViT(32, 16, 3, 5, 8, 1, 2),
    "ViT's features": vit.ViT(32, 16, 3, 5, 8, 1, 2).features,
    "ViT's attention": vit.ViT(32, 16, 3, 5, 8, 1, 2).attention,
    "ResNet": resnet.ResNet(3, 5, 2, (1,)),
    "ResNet of patches": resnet.ResNet(3, 5, 2, (1,), patch=2),
    "ResNet's features": resnet.ResNet(3, 5, 2, (1,)).features,
    "ModifiedResNet": resnet.ModifiedResNet(32, 8, (1,), 5, heads=2),
    "VisionTransformer": clip.VisionTransformer(32, 16, 8, 1, 2),
    "CLIP with a ViT": clip_of(clip.VisionTransformer(32, 16, 8, 1, 2), 8),
    "CLIP with its ResNet": clip_of(resnet.ModifiedResNet(32, 8, (1,), 4, heads=2), None),
    "CLIP with a ResNet": clip_of(resnet.ResNet(3, 0, 2, (1,), patch=2), 2),
    "half a CLIP": clip_halves.Tower(clip.VisionTransformer(32, 16, 8, 1, 2)),
    "words": clip_objectives.WordPredictor(clip.VisionTransformer(32, 16, 8, 1, 2), 8, 9),
}


@pytest.mark.parametrize("name", EVERY_IMAGE_MODEL)
@given(data=st.data())
@settings(max_examples=15)
def test_every_model_refuses_what_is_no_image_as_it_came(name, data):
    see = EVERY_IMAGE_MODEL[name]
    as_given = data.draw(st.sampled_from([np.asarray, mv.Tensor]))
    dtype = data.draw(st.sampled_from(["u1", "i1", "u2", "i4", "i8", "?"]))
    with pytest.raises(DtypeError, match=f"images: got dtype {np.dtype(dtype)}, .*as_input"):
        see(as_given(np.ones((2, 32, 32, 3), dtype)))
    shape = data.draw(st.sampled_from([
        (32, 32, 3), (32, 32), (2, 3, 32, 32), (2, 32, 32, 1), (2, 32, 32, 4), (1, 2, 32, 32, 3),
    ]))  # fmt: skip
    says = f"images: got shape {re.escape(str(shape))}, expected .B, "
    with pytest.raises(ShapeError, match=says + (".*x.None" if len(shape) == 3 else "")):
        see(as_given(np.ones(shape, np.float32)))
    for other in (None, [[[[1.0]]]], "cat.jpg"):
        with pytest.raises(DtypeError, match=f"images: got {type(other).__name__}, expected"):
            see(other)
    assert len(see(np.ones((2, 32, 32, 3), np.float32)))


# -- CLIP ------------------------------------------------------------------------------------------

SLIDE = """
# extract feature representations of each modality
I_f = image_encoder(I) #[n, d_i]
T_f = text_encoder(T) #[n, d_t]

# joint multimodal embedding [n, d_e]
I_e = l2_normalize(np.dot(I_f, W_i), axis=1)
T_e = l2_normalize(np.dot(T_f, W_t), axis=1)

# scaled pairwise cosine similarities [n, n]
logits = np.dot(I_e, T_e.T) * np.exp(t)

# symmetric loss function
labels = np.arange(n)
loss_i = cross_entropy_loss(logits, labels, axis=0)
loss_t = cross_entropy_loss(logits, labels, axis=1)
loss = (loss_i + loss_t)/2
"""


def test_the_pseudocode_is_the_slides():
    body = ast.parse(textwrap.dedent(inspect.getsource(clip.clip_loss))).body[0].body
    assert ast.dump(ast.Module(body[1:-1], [])) == ast.dump(ast.parse(SLIDE))
    comments = [line.strip() for line in SLIDE.splitlines() if line.startswith("#")]
    assert all(c in inspect.getsource(clip.clip_loss) for c in comments)
    assert clip.np is np


def test_the_pseudocode_differentiates():
    rng = np.random.default_rng(0)
    I, T = rng.standard_normal((4, 5)), rng.standard_normal((4, 6))

    def f(I, T, W_i, W_t, t):
        return clip.clip_loss(lambda I: I, lambda T: T, I, T, W_i, W_t, t)

    W_i, W_t = rng.standard_normal((5, 3)), rng.standard_normal((6, 3))
    assert gradcheck(f, I, T, W_i, W_t, np.array(0.7)).compared == 20 + 24 + 15 + 18 + 1


def small_clip(text):
    return clip.CLIP(clip.VisionTransformer(8, 4, 16, 1, 2), text, 16, 16, 12)


@pytest.mark.parametrize("text", ["transformer", "words"])
def test_clip_learns_pairs_by_heart(text):
    mv.manual_seed(0)
    model = small_clip(
        clip.TextTransformer(20, 5, 16, 1, 2) if text == "transformer" else clip.BagOfWords(20, 16)
    )
    rng = np.random.default_rng(0)
    I = mv.Tensor(rng.standard_normal((8, 8, 8, 3)).astype(np.float32))
    T = np.append(rng.integers(1, 19, (8, 4)), np.full((8, 1), 19), axis=1)  # 19: [EOS]
    optimizer = mv.optim.AdamW(model.parameters(), lr=3e-3)
    first = model.loss(I, T).item()
    for _ in range(100):
        loss = model.loss(I, T)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.clip_temperature()
    assert loss.item() < 0.2 < first
    logits = model(I, T).numpy()
    assert (logits.argmax(axis=1) == np.arange(8)).all()
    assert float(np.exp(model.t.numpy())) <= 100.001
    with pytest.raises(ShapeError, match="8 images and 7 texts"):
        model.loss(I, T[:7])


def test_zero_shot_weights_are_unit_and_refuse_doubles():
    model = small_clip(clip.BagOfWords(200, 16))

    def tokenize(texts):
        return np.array([[1 + sum(map(ord, t)) % 199] * 3 for t in texts])

    W = clip.zero_shot_weights(model, tokenize, ["cat", "dog"], ["a {}", "the {}", "{}"]).numpy()
    assert W.shape == (12, 2) and np.allclose((W * W).sum(axis=0), 1, atol=1e-5)
    for labels in (["cat", "cat"], []):
        with pytest.raises(OptionError, match="labels"):
            clip.zero_shot_weights(model, tokenize, labels)


# -- scaling ---------------------------------------------------------------------------------------


def test_map_and_mean_pooling_do_not_depend_on_the_order_of_tokens():
    head = shaken(vit.MAPHead(8, 2))
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    assert np.allclose(
        head(mv.Tensor(x)).numpy(), head(mv.Tensor(x[:, ::-1].copy())).numpy(), atol=1e-5
    )


def test_published_giants_are_counted_exactly():
    assert scaling.count_parameters("G") == 1881132416
    assert scaling.count_parameters("g") == 1036448384
    assert scaling.count_parameters("G", image=518, classes=1000) == 1884649448


def test_few_shot_finds_separable_classes_and_asks_for_enough_examples():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    features = rng.standard_normal((60, 8)) * 0.03 + np.eye(8)[labels]
    assert scaling.few_shot(features, labels, features, labels, shots=5) == 1.0
    with pytest.raises(OptionError, match="21 shots"):
        scaling.few_shot(features, labels, features, labels, shots=21)


@given(st.floats(0.2, 0.9), st.floats(0.01, 0.1))
def test_a_planted_power_law_is_found(b, c):
    pytest.importorskip("scipy")
    x = np.logspace(1, 5, 9)
    law = scaling.fit_power_law(x, 2 * x**-b + c, shift=False)
    assert abs(law.b - b) < 0.02 and abs(law.c - c) < 0.005
