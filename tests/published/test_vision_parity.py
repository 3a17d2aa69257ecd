"""Published ViTs and CLIPs against PyTorch: other sizes than the fixtures', drawn anew; the
processors and the tokenizer of transformers on whole photographs and texts; the preprocessing and
the embeddings together."""

import json
import platform
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import minivit
from minivit import Tensor
from minivit.published import preprocess, resizing
from minivit.published.preprocess import TWO_BY_TWO, Preprocess
from minivit.text import CLIPTokenizer
from tests.published.test_vision import REFERENCE, Case, compare

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers", reason="needs torch and transformers")
make_vision = pytest.importorskip("tests.reference.make_vision")
pytestmark = pytest.mark.parity

PHOTOS = Path(__file__).parents[2] / "data" / "photos"
LIVE = {
    "vit_hf": dict(layers=3, width=48, heads=6, image=16),
    "vit_hf without biases": dict(qkv_bias=False, hidden_act="relu", layer_norm_eps=1e-5),
    "vit_hf_pooler": dict(layers=2, width=32, heads=2, image=16),
    "vit_google": dict(layers=3, width=24, heads=2, image=16),
    "vit_big_vision": dict(layers=1, width=24, heads=6, image=16),
    "clip_hf": dict(layers=(3, 2), width=64, heads=8, image=16, act="gelu"),
    "clip_hf of old": dict(legacy=True),
    "clip_openai": dict(width=128, text_width=64, layers=2, image=16),
    "clip_openai_resnet": dict(width=4, layers=(2, 1, 1, 2), grid=2, heads=2),
    "clip_open_clip": dict(image=16, width=40, head=8),
    "clip_open_clip quick": dict(quick=True),
}


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("seed", [1, 2])
def test_outputs_every_gradient_and_one_step(name, seed, tmp_path):
    layout = name.partition(" ")[0]
    found = Case(make_vision.LAYOUTS[layout](seed, **LIVE[name]))
    compare(found, found.write(tmp_path))


@pytest.mark.parametrize("layout", make_vision.LAYOUTS)
def test_the_fixtures_are_what_the_script_makes(layout):
    """To rounding: another machine adds in another order."""
    made = make_vision.LAYOUTS[layout]()
    with np.load(REFERENCE / f"{layout}.npz") as kept:
        assert set(made) == set(kept.files)
        for name in kept.files:
            if kept[name].dtype.kind == "U":
                continue
            assert made[name].dtype == kept[name].dtype
            np.testing.assert_allclose(made[name], kept[name], rtol=1e-7, atol=1e-9)
        assert json.loads(str(made["shapes"])) == json.loads(str(kept["shapes"]))


# -- preprocessing ---------------------------------------------------------------------------------
def processors():
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return CLIPImageProcessorPil, ViTImageProcessorPil


@settings(max_examples=60)
@given(
    st.integers(1, 224), st.integers(1, 224), st.integers(1, 60), st.integers(1, 60),
    st.booleans(), st.integers(0, 5),
)  # fmt: skip
def test_processors_of_any_size_on_any_cutting(w, h, a, b, square, resample):
    photo = Image.open(PHOTOS / "chelsea.png").crop((0, 0, w, h))
    clip, vit = processors()
    if square:
        theirs = vit(size={"height": a, "width": b}, resample=resample)
        ours = Preprocess((224, 224))
    else:
        theirs = clip(size={"shortest_edge": max(a, b)}, crop_size={"height": a, "width": b},
                      resample=resample)  # fmt: skip
        ours = preprocess.as_clip_processor(224)
    out = ours.with_settings(json.loads(theirs.to_json_string()), square)(photo)
    expected = theirs(photo, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    assert np.abs(out[0] - expected).max() < 1e-6


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from(["RGBA", "LA", "P", "L", "RGB"]))
def test_processors_on_transparent_pictures(seed, mode):
    values = np.random.default_rng(seed).integers(0, 256, (21, 30, 4), np.uint8)
    picture = Image.fromarray(values)
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    theirs = processors()[0](size={"shortest_edge": 16}, crop_size=16)
    expected = theirs(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    assert np.abs(preprocess.as_clip_processor(16)(picture)[0] - expected).max() < 1e-6


@settings(max_examples=60)
@given(st.integers(1, 224), st.integers(1, 224), st.integers(1, 60), st.integers(1, 60))
def test_two_by_two_of_any_size(w, h, H, W):
    photo = np.asarray(Image.open(PHOTOS / "coffee.png").crop((0, 0, w, h)))
    out = Preprocess((H, W), resample=TWO_BY_TWO).pixels(photo)
    x = torch.tensor(photo.copy()).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(x, (H, W), mode="bilinear", align_corners=False)
    assert np.abs(out - expected[0].permute(1, 2, 0).numpy()).max() < 1e-4  # of 255


@settings(max_examples=100)
@given(st.integers(2, 224), st.integers(2, 224), st.integers(2, 60), st.integers(2, 60),
       st.booleans(), st.booleans())  # fmt: skip
def test_torchvisions_resizing_to_the_byte(w, h, H, W, cubic, channels_last):
    """torchvision calls this function for bytes; its package is not needed. (Of one pixel PyTorch
    2.13 fails in an assertion of its own.)"""
    capable = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    if not cubic and not capable and platform.machine() not in ("aarch64", "arm64"):
        return  # there torchvision resizes floats
    photo = np.asarray(Image.open(PHOTOS / "coffee.png").convert("RGB").crop((0, 0, w, h)))
    mode = "bicubic" if cubic else "bilinear"
    form = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.tensor(photo.copy()).permute(2, 0, 1)[None].contiguous(memory_format=form)
    y = torch.nn.functional.interpolate(x, (H, W), mode=mode, antialias=True, align_corners=False)
    assert np.array_equal(resizing.resize(photo, H, W, mode), y[0].permute(1, 2, 0).numpy())


def test_transformers_default_processor(tmp_path):
    """All of it, where torchvision is installed."""
    pytest.importorskip("torchvision")
    for theirs, square in (
        (transformers.CLIPImageProcessor(size={"shortest_edge": 41}, crop_size=32), False),
        (transformers.ViTImageProcessor(size={"height": 32, "width": 40}), True),
    ):
        ours = preprocess.as_clip_processor(224) if not square else Preprocess((224, 224))
        ours = ours.with_settings(json.loads(theirs.to_json_string()), square).by_torchvision()
        for path in PHOTOS.glob("*.png"):
            expected = theirs(Image.open(path), return_tensors="np")["pixel_values"][0]
            assert np.abs(ours(path)[0] - expected.transpose(1, 2, 0)).max() < 1e-5


def test_the_embedding_of_a_photograph(tmp_path):
    """From the file to the unit vector, in float32: preprocessing and model together."""
    found = Case(make_vision.clip_hf(layers=(2, 2), width=32, heads=4, image=48))
    clip_processor, _ = processors()
    theirs = clip_processor(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})
    folder = found.write(tmp_path)
    (folder / "preprocessor_config.json").write_text(theirs.to_json_string())
    ours = minivit.load(folder)
    model = transformers.CLIPModel.from_pretrained(folder)
    for path in PHOTOS.glob("*.png"):
        pixels = theirs(Image.open(path), return_tensors="pt")["pixel_values"]
        with torch.no_grad():
            vector = model.get_image_features(pixels).pooler_output
        vector = (vector / vector.norm(dim=1, keepdim=True)).numpy()
        out = ours.model.encode_image(Tensor(ours.preprocess(path))).numpy()
        assert np.abs(out - vector).max() < 1e-5


# -- the vocabulary --------------------------------------------------------------------------------
def test_a_vocabulary_gives_the_ids_of_transformers(tmp_path):
    """Plain text: transformers neither mends encodings nor unescapes HTML, as OpenAI's code does
    and this one."""
    sentences = ["a photo of a cat.", "It's 2021, isn't it?  TWO  spaces", "the end!! (2 dogs)"]
    tokenizer = CLIPTokenizer.train(sentences * 3, 600)
    tokenizer.save(tmp_path)
    found = Case(make_vision.clip_hf())
    V, name = len(tokenizer), "text_model.embeddings.token_embedding.weight"
    found.weights[name] = np.zeros((V, 8), np.float32)
    found.config["text_config"]["eos_token_id"] = V - 1
    found.config["text_config"]["vocab_size"] = V
    ours = minivit.load(found.write(tmp_path)).tokenizer
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    for text in (*sentences, "unseen words, 12345", "ünïcode ok"):
        ids = theirs(text)["input_ids"]
        assert ours.encode(text) == ids[1:-1], text
    assert ours(["a cat."]).shape == (1, 9) and ours(["a cat."]).max() == V - 1


def test_openais_vocabulary_beside_the_weights(tmp_path):
    """The file itself, where it is to be had, gives the published ids at the published length."""
    from tests.text.test_tokenizer import clip_vocabulary

    shutil.copy(clip_vocabulary(), tmp_path / "bpe_simple_vocab_16e6.txt.gz")
    found = Case(make_vision.clip_openai())
    found.weights["token_embedding.weight"] = np.zeros((49408, 8), np.float32)
    found.weights["positional_embedding"] = np.zeros((77, 8), np.float32)
    clip = minivit.load(found.write(tmp_path))
    ids = clip.tokenizer("a photo of a cat.")
    assert ids.shape == (1, 77)
    assert ids[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 269, 49407]


def test_a_vocabulary_as_transformers_saves_it(tmp_path):
    """One file, tokenizer.json, is what it writes."""
    tokenizer = CLIPTokenizer.train(["a photo of a cat.", "two dogs, it's two"] * 3, 540)
    tokenizer.save(tmp_path / "two")
    transformers.CLIPTokenizer.from_pretrained(tmp_path / "two").save_pretrained(tmp_path)
    found = Case(make_vision.clip_hf())
    V, name = len(tokenizer), "text_model.embeddings.token_embedding.weight"
    found.weights[name] = np.zeros((V, 8), np.float32)
    found.config["text_config"]["eos_token_id"] = V - 1
    read = minivit.load(found.write(tmp_path)).tokenizer
    assert (tmp_path / "tokenizer.json").is_file() and not (tmp_path / "merges.txt").is_file()
    assert read.merges == tokenizer.merges and read.ids == tokenizer.ids
