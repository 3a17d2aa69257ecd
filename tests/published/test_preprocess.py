"""From a photograph to a model's input: pixel for pixel what the published pipelines make of it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import minivit
from minivit.engine.errors import CheckpointError, DataError, DtypeError, OptionError
from minivit.images import pictures
from minivit.images.palette import Palette
from minivit.published import image_gpt, preprocess, resizing
from minivit.published.preprocess import FILTERS, TWO_BY_TWO, Preprocess
from tests.published.test_vision import case

REFERENCE = Path(__file__).parents[1] / "reference" / "preprocess.npz"
PHOTOS = Path(__file__).parents[2] / "data" / "photos"
CUTTINGS = ("wide", "tall", "small")
SAID = ("clip", "clip bilinear", "vit", "vit lanczos")


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as arrays:
        return dict(arrays)


def cutting(reference, name):
    photo, *box = json.loads(str(reference["cuttings"]))[name]
    return Image.open(PHOTOS / f"{photo}.png").crop(box)


@pytest.mark.parametrize("name", CUTTINGS)
@pytest.mark.parametrize("said", SAID)
def test_as_the_processors_of_transformers(said, name, reference, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(str(reference[f"said/{said}"]))
    square = said.startswith("vit")
    assumed = Preprocess((224, 224)) if square else preprocess.as_clip_processor(224)
    seen = assumed.of_folder(tmp_path, square)
    out = seen(cutting(reference, name))
    expected = reference[f"out/{name}/{said}"]
    assert out.dtype == np.float32 and out.shape == (1, *expected.shape)
    assert np.abs(out[0] - expected).max() < 1e-6  # 1/255 is 4e-3


@pytest.mark.parametrize("name", CUTTINGS)
def test_the_embedding_of_a_photograph_is_that_of_transformers(name, reference, tmp_path):
    """From the picture to the unit vector, in float32: preprocessing and model together."""
    clip = minivit.load(case("clip_hf").write(tmp_path))
    vector = clip.model.encode_image(clip.preprocess(cutting(reference, name))).numpy()[0]
    assert np.abs(vector - reference[f"embedding/{name}"]).max() < 1e-5


@pytest.mark.parametrize("name", CUTTINGS)
def test_as_vit_jax(name, reference):
    out = Preprocess((32, 32), resample=TWO_BY_TWO)(cutting(reference, name))
    assert np.abs(out[0] - reference[f"out/{name}/vit_jax"]).max() < 1e-5


def torchvision(photo, n):
    """Resize(n, BICUBIC), CenterCrop(n), ToTensor, Normalize, as torchvision documents them: the
    longer side is cut to an integer, the place of the crop rounded."""
    w, h = photo.size
    size = (n, int(n * h / w)) if w <= h else (int(n * w / h), n)
    photo = photo.resize(size, Image.BICUBIC)
    top, left = round((photo.height - n) / 2.0), round((photo.width - n) / 2.0)
    x = np.asarray(photo.crop((left, top, left + n, top + n)).convert("RGB"))
    return (x.astype(np.float32) / 255 - np.float32(preprocess.MEAN)) / np.float32(preprocess.STD)


@given(st.integers(20, 70), st.integers(20, 70), st.integers(8, 40))
def test_as_openai(w, h, side):
    photo = Image.open(PHOTOS / "coffee.png").crop((60, 60, 60 + w, 60 + h))
    out = preprocess.as_openai(side)(photo)
    assert out.shape == (1, side, side, 3)
    assert np.abs(out[0] - torchvision(photo, side)).max() < 1e-5


def test_an_odd_border_is_cut_in_two_ways():
    """35 - 32 = 3: transformers cuts 1 and 2, torchvision 2 and 1."""
    photo = np.zeros((32, 35, 3), np.uint8)
    photo[:] = np.arange(35)[None, :, None]
    left = {
        make: make(32).pixels(photo)[0, 0, 0]
        for make in (preprocess.as_openai, preprocess.as_clip_processor)
    }
    assert list(left.values()) == [2, 1]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 20), st.integers(1, 20))
def test_two_by_two_keeps_lines_straight_and_what_is_of_one_colour(h, w, H, W):
    grey = preprocess.two_by_two(np.full((h, w, 3), 7, np.uint8), H, W)
    assert grey.shape == (H, W, 3) and np.allclose(grey, 7, atol=1e-5)
    slope = preprocess.two_by_two(np.arange(w, dtype=np.float32)[None, :, None], 1, W)[0, :, 0]
    assert np.allclose(slope, np.clip((np.arange(W) + 0.5) * w / W - 0.5, 0, w - 1), atol=1e-4)


# -- pictures --------------------------------------------------------------------------------------
def test_paths_bytes_arrays_and_pillow_images_are_the_same():
    path = PHOTOS / "chelsea.png"
    seen = preprocess.as_openai(64)
    array = np.asarray(Image.open(path))
    first, *others = (
        seen(x) for x in (path, str(path), path.read_bytes(), Image.open(path), array)
    )
    assert all(np.array_equal(first, x) for x in others)


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def test_a_photograph_on_its_side_is_put_upright():
    array = np.zeros((40, 30, 3), np.uint8)
    array[:20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    on_its_side = Image.fromarray(np.rot90(array).copy())
    seen = Preprocess((10, 10))
    assert np.array_equal(
        seen.pixels(saved(on_its_side, format="PNG", exif=exif)), seen.pixels(array)
    )


def test_modes_become_rgb():
    grey = np.linspace(0, 255, 256).astype(np.uint8).reshape(16, 16)
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    seen = Preprocess((16, 16))
    for picture in (
        Image.fromarray(grey),
        Image.fromarray(grey.astype(np.uint16) * 257),  # 16 bits
        Image.fromarray(rgb).quantize(256),  # a palette
    ):
        assert np.abs(seen.pixels(picture).astype(int) - rgb).max() <= 1, picture.mode


def transparent_picture(seed=0, mode="RGBA"):
    values = np.random.default_rng(seed).integers(0, 256, (21, 30, 4), np.uint8)
    return Image.fromarray(values).convert(mode)


def _unmultiplied(picture):
    return picture.convert(picture.mode.upper()) if picture.mode in ("La", "RGBa") else picture


@given(st.integers(0, 100), st.sampled_from(["RGBA", "LA", "P", "PA", "La", "RGBa"]))
def test_what_is_transparent_is_put_on_white(seed, mode):
    """All of a picture that is wholly transparent is white, whatever it hides."""
    picture = transparent_picture(seed)
    if mode == "P":  # as a file has it
        picture = Image.open(io.BytesIO(saved(picture.quantize(16), format="PNG")))
    elif mode != "RGBA":
        picture = (picture if mode == "RGBa" else picture.convert("LA")).convert(mode)
    on_white = pictures.rgb(picture)
    seen = preprocess.as_clip_processor(16)
    assert np.array_equal(seen(picture), seen(on_white))
    read = pictures.read(saved(_unmultiplied(picture).convert("RGBA"), format="PNG"))
    assert np.abs((read + 1) * 127.5 - np.asarray(on_white)).max() <= 0.51
    hidden = transparent_picture(seed)
    hidden.putalpha(0)
    assert (seen.pixels(hidden) == 255).all()


def test_openclip_shows_what_is_hidden():
    """Resized with its transparency, as torchvision does, and then without."""
    picture = transparent_picture()
    expected = picture.resize((22, 16), Image.BICUBIC).convert("RGB").crop((3, 0, 19, 16))
    assert np.array_equal(preprocess.as_open_clip(16, {}).pixels(picture), np.asarray(expected))


def test_a_resize_that_exceeds_the_crop():
    said = dict(size={"height": 40, "width": 36}, crop_size=32, do_center_crop=True, resample=3)
    picture = Image.open(PHOTOS / "coffee.png")
    found = settings(square=True, **said).pixels(picture)
    expected = picture.convert("RGB").resize((36, 40), Image.BICUBIC).crop((2, 4, 34, 36))
    assert np.array_equal(found, np.asarray(expected))


@given(st.text(max_size=20), st.sampled_from([True, 1, 0.5, "x", [1], {"a": 1}]))
def test_a_key_that_is_not_known_is_refused_by_name(key, value):
    if key in preprocess.KNOWN | preprocess.WITHOUT_EFFECT | {"image_processor_type"}:
        return
    with pytest.raises(CheckpointError, match="not done here") as error:
        settings(**{key: value})
    assert f"{key} is {value!r}" in str(error.value)
    assert settings(**{key: None}) == settings(**{key: False}) == settings()


@pytest.mark.parametrize("picture, what", [
    ("nowhere.png", "cannot be read"),
    (b"not an image", "not an image"),
    (np.zeros((4, 4)), "expected bytes"),
    (np.zeros((4, 4, 3), np.float32), "expected bytes"),
    (np.zeros((1, 60_000, 3), np.uint8), "too narrow"),
])  # fmt: skip
def test_what_is_no_picture_is_refused(picture, what):
    with pytest.raises(DataError, match=what):
        preprocess.as_openai(32)(picture)


# -- files -----------------------------------------------------------------------------------------
def settings(square=False, **said):
    assumed = Preprocess((224, 224)) if square else preprocess.as_clip_processor(224)
    return assumed.with_settings(said, square)


@pytest.mark.parametrize("wrong", [None, 7, ["a.png", "b.png"], [np.zeros((9, 9, 3), np.uint8)],
                                   {}, minivit.Tensor([1.0])])  # fmt: skip
def test_other_kinds_than_pictures_are_refused_by_name(wrong):
    palette = image_gpt.Pixels(Palette(np.zeros((1, 3))), 8, Preprocess((8, 8)))
    for ask in (Preprocess((8, 8)), Preprocess((8, 8)).pixels, preprocess.opened, palette,
                pictures.read, pictures.picture, lambda x: pictures.square(x, 8)):  # fmt: skip
        with pytest.raises(DtypeError, match=f"picture: got {type(wrong).__name__}, expected"):
            ask(wrong)


def test_older_files_have_numbers():
    assert settings(size=336, crop_size=330).size == (330, 330)
    assert settings(size=336, crop_size=330).shortest == 336
    assert settings(square=True, size=384) == Preprocess((384, 384))
    assert settings(square=True, size=256, do_center_crop=True, crop_size=256).size == (256, 256)


def test_what_a_file_leaves_out_is_as_assumed():
    assert settings() == preprocess.as_clip_processor(224)
    assert settings(square=True) == Preprocess((224, 224))


def test_steps_can_be_off():
    seen = settings(square=True, size=4, do_rescale=False, do_normalize=False)
    out = seen(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert np.array_equal(out[0], np.arange(48).reshape(4, 4, 3))


def test_the_processor_inside_a_processor(tmp_path):
    (tmp_path / "processor_config.json").write_text('{"image_processor": {"size": 64}}')
    assert Preprocess((9, 9)).of_folder(tmp_path, square=True).size == (64, 64)


@pytest.mark.parametrize("said, what", [
    (dict(size="large"), "size is 'large'"),
    (dict(size={"longest_edge": 5}), "size is"),
    (dict(size=0), "shortest_edge is 0"),
    (dict(size={"height": 4, "width": -1}, do_center_crop=False), "width is -1"),
    (dict(size=100, crop_size=224), "does not fit"),
    (dict(size={"height": 200, "width": 230}), "does not fit"),
    (dict(rescale_offset=True), "rescale_offset is True"),
    (dict(do_flip_channel_order=True), "do_flip_channel_order is True"),
    (dict(crop_pct=0.875), "crop_pct is 0.875"),
    (dict(image_processor_type="ConvNextImageProcessor"), "'ConvNextImageProcessor'"),
    (dict(do_center_crop=False), "needs do_center_crop"),
    (dict(do_resize=False), "do_resize is off"),
    (dict(resample=9), "resample is 9"),
    (dict(resample=True), "resample is True"),
    (dict(resample=[]), "resample is"),
    (dict(image_mean=[0.5, 0.5]), "image_mean"),
    (dict(image_std=[0.5, 0, 0.5]), "image_std"),
    (dict(image_std="a"), "image_std"),
    (dict(rescale_factor=None), "rescale_factor"),
])  # fmt: skip
def test_a_file_that_cannot_be_followed_is_refused(said, what):
    with pytest.raises(CheckpointError, match=what):
        settings(**said)


@given(
    st.dictionaries(
        st.sampled_from([
            "size", "crop_size", "do_resize", "do_center_crop", "do_rescale", "do_normalize",
            "do_pad", "rescale_factor", "image_mean", "image_std", "resample",
        ]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-9, 400) | st.floats() | st.text(max_size=3),
            lambda x: st.lists(x, max_size=3) | st.dictionaries(
                st.sampled_from(["height", "width", "shortest_edge", "longest_edge"]), x
            ),
            max_leaves=5,
        ),
    ),
    st.booleans(),
)  # fmt: skip
def test_whatever_a_file_says_it_is_followed_or_refused(said, square):
    try:
        seen = settings(square=square, **said)
    except CheckpointError:
        return
    out = seen(np.zeros((30, 40, 3), np.uint8))
    assert out.shape == (1, *seen.size, 3) and np.isfinite(out).all()


def test_open_clip_says_it_in_words():
    seen = preprocess.as_open_clip(32, {"resize_mode": "squash", "interpolation": "bilinear"})
    assert (seen.shortest, seen.resample) == (None, "bilinear") and "bilinear" in FILTERS
    assert preprocess.as_open_clip(32, {}) == preprocess.as_openai(32)
    with pytest.raises(CheckpointError, match="resize_mode is 'longest'"):
        preprocess.as_open_clip(32, {"resize_mode": "longest"})


# -- torchvision's resizing ------------------------------------------------------------------------
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(1, 40),
       st.sampled_from(["bilinear", "bicubic"]), st.integers(0, 255))  # fmt: skip
def test_torchvisions_bilinear_resizing_is_within_two_bytes_of_pillows(h, w, H, W, resample, grey):
    rng = np.random.default_rng([h, w, H, W])
    image = rng.integers(0, 256, (h, w, 3), np.uint8)
    found = resizing.resize(image, H, W, "bilinear")  # bicubic noise depends on which pass is first
    expected = Image.fromarray(image).resize((W, H), Image.BILINEAR)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2
    flat = np.full((h, w, 3), grey, np.uint8)
    assert (np.abs(resizing.resize(flat, H, W, resample).astype(int) - grey) <= 1).all()
    assert np.array_equal(resizing.resize(image, h, w, resample), image)


def test_by_torchvision_is_kept_and_refuses_other_filters(tmp_path):
    seen = preprocess.as_openai(16).by_torchvision()
    assert seen.resizer == "torchvision" and not seen.shows_hidden and seen.rounds
    model = minivit.load(case("clip_hf").write(tmp_path / "a")).model
    folder = minivit.save(model, tmp_path / "b", preprocess=seen)
    assert minivit.load(folder).preprocess == seen
    said = json.loads((folder / "config.json").read_text())
    for change in ({"resizer": "opencv"}, {"resizer": 3}, {"resample": "lanczos"}):
        said["preprocess"] |= {"resizer": "torchvision", "resample": "bicubic"} | change
        (folder / "config.json").write_text(json.dumps(said))
        with pytest.raises(CheckpointError, match=r"config.json: resizer is"):
            minivit.load(folder)
    with pytest.raises(OptionError, match="resample is 'lanczos'"):
        Preprocess((4, 4), resample="lanczos").by_torchvision()
    with pytest.raises(OptionError, match="not for 'box'"):
        Preprocess((4, 4), resample="box", resizer="torchvision")(np.zeros((9, 9, 3), np.uint8))
