"""CLIP: the published models counted, the loss in chunks, retrieval, zero-shot, bad input."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import nn
from minivit.course.runs import clip as long_clip
from minivit.engine.errors import (
    DataError,
    DtypeError,
    GraphError,
    OptionError,
    RangeError,
    ShapeError,
)
from minivit.models import clip, clip_objectives, resnet
from minivit.models.flops import flops
from minivit.training import data, pairs
from tests.memory import traced
from tests.models.test_sequence_models import shaken

V, L = 30, 7  # vocabulary and context of the small models here; 29 is [EOS], 28 [SOS]


def texts(n, seed=0, eos=V - 1):
    """Rows of ids: [SOS], 1 to 4 words, [EOS], padding."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((n, L), np.int64)
    for row, k in zip(rows, rng.integers(1, 5, n)):
        row[: k + 2] = [eos - 1, *rng.integers(1, eos - 1, k), eos]
    return rows


def images(n, seed=0, dtype=np.float32):
    return mv.Tensor(np.random.default_rng(seed).standard_normal((n, 8, 8, 3)).astype(dtype))


def small(kind="transformer", dtype=np.float32):
    mv.manual_seed(0)
    text = clip.TextTransformer(V, L, 12, 2, 2) if kind == "transformer" else clip.BagOfWords(V, 12)
    model = shaken(clip.CLIP(clip.VisionTransformer(8, 4, 16, 2, 2), text, 16, 12, 10))
    for p in model.parameters():
        p.data = p.data.astype(dtype)
    return model


# -- the published models --------------------------------------------------------------------------
COUNTS = {  # OpenAI's code, and docs/model_profile.csv of open_clip: image, text, total
    "RN50": (38_316_896, 63_690_240, 102_007_137),
    "RN101": (56_259_936, 63_428_096, 119_688_033),
    "RN50x4": (87_137_080, 91_163_520, 178_300_601),
    "RN50x16": (167_328_912, 123_650_304, 290_979_217),
    "RN50x64": (420_380_352, 202_877_952, 623_258_305),
    "ViT-B/32": (87_849_216, 63_428_096, 151_277_313),
    "ViT-B/16": (86_192_640, 63_428_096, 149_620_737),
    "ViT-L/14": (303_966_208, 123_650_304, 427_616_513),
    "ViT-L/14@336": (304_293_888, 123_650_304, 427_944_193),
}
GFLOPS = {  # the same file: image, text
    "RN50": (12.22, 5.96),
    "RN101": (19.54, 5.96),
    "RN50x4": (42.56, 9.27),
    "RN50x16": (149.39, 13.3),
    "RN50x64": (529.11, 23.55),
    "ViT-B/32": (8.82, 5.96),
    "ViT-B/16": (35.13, 5.96),
    "ViT-L/14": (162.03, 13.3),
    "ViT-L/14@336": (381.92, 13.3),
}


@pytest.mark.parametrize("name", clip.SIZES)
def test_published_models_are_counted_exactly(name):
    assert tuple(clip.count_parameters(name).values()) == COUNTS[name]


@pytest.mark.parametrize("name", clip.SIZES)
def test_published_models_are_built_as_they_are_counted(name, monkeypatch):
    """Every weight matrix is a view of one zero: shapes without 2.5 GB of numbers."""

    def weightless(shape, *_):
        return np.broadcast_to(np.float32(0), shape) if len(shape) > 1 else np.zeros(shape)

    monkeypatch.setattr(nn, "normal", weightless)
    monkeypatch.setattr(nn, "uniform", weightless)
    monkeypatch.setattr("minivit.nn.xavier_uniform", lambda *shape: weightless(shape))
    monkeypatch.setattr(nn.Parameter, "assign", lambda self, values: None)
    model = clip.clip(name)
    assert model.count_parameters() == COUNTS[name][2]
    assert model.text_encoder.count_parameters() + model.W_t.size == COUNTS[name][1]


@pytest.mark.parametrize("name", clip.SIZES)
def test_flops_are_those_of_open_clips_profile(name):
    """That profile lets all M places of the attention pool ask; only the first one's answer is
    used, and only it is computed here."""
    with nn.empty():
        image, text = flops(clip.clip(name)).values()
    side, d_e, (width, *_), _ = clip.SIZES[name]
    unused = 0
    if name.startswith("RN"):
        C, M = 32 * width, (side // 32) ** 2 + 1
        unused = 2 * (M - 1) * (C * C + C * d_e + 2 * M * C)
    assert (image + unused) / 1e9 == pytest.approx(GFLOPS[name][0], abs=0.011)
    assert text / 1e9 == pytest.approx(GFLOPS[name][1], abs=0.011)


def test_other_names_are_refused():
    for f in (clip.clip, clip.count_parameters):
        with pytest.raises(OptionError, match="'ViT-B/33', expected one of"):
            f("ViT-B/33")


def test_a_resnet_projects_by_itself():
    image = resnet.ModifiedResNet(32, 8, (1, 1), out=10, heads=2)
    model = clip.CLIP(image, clip.BagOfWords(V, 12), None, 12, 10)
    x = mv.Tensor(np.random.default_rng(0).standard_normal((6, 32, 32, 3)).astype(np.float32))
    e = model.encode_image(x).numpy()
    raw = image(x).numpy()
    assert np.allclose(e, raw / np.linalg.norm(raw, axis=1, keepdims=True), atol=1e-6)
    model.loss(x, texts(6)).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert "W_i" not in model.state_dict()


# -- the loss --------------------------------------------------------------------------------------
def test_the_pseudocode_runs_on_every_device(device):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((5, 4), (5, 3), (4, 2), (3, 2))]
    here = [mv.Tensor(a, device="cpu", requires_grad=True) for a in (*arrays, np.array(0.7))]
    there = [mv.Tensor(a, device=device, requires_grad=True) for a in (*arrays, np.array(0.7))]
    losses = [clip.clip_loss(lambda I: I, lambda T: T, *x) for x in (here, there)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)
    for loss in losses:
        loss.backward()
    for a, b in zip(here, there):
        assert np.allclose(mv.Tensor(a.grad).numpy(), mv.Tensor(b.grad).numpy(), atol=1e-9)


@given(st.integers(2, 9), st.integers(0, 99))
def test_axis_is_what_is_softmaxed_and_the_mean_does_not_tell_the_two_apart(n, seed):
    """Rows are images: axis=0 asks each text for its image, axis=1 each image for its text."""
    z = np.random.default_rng(seed).standard_normal((n, n)) * 3
    down = -np.log(np.exp(z).diagonal() / np.exp(z).sum(axis=0)).mean()  # over images
    across = -np.log(np.exp(z).diagonal() / np.exp(z).sum(axis=1)).mean()  # over texts
    found = [float(mv.cross_entropy_loss(mv.Tensor(z), np.arange(n), axis=a)) for a in (0, 1)]
    assert found == pytest.approx([down, across], rel=1e-9)

    grads = []
    for logits in (mv.Tensor(z, requires_grad=True), mv.Tensor(z.T, requires_grad=True)):
        loss = sum(mv.cross_entropy_loss(logits, np.arange(n), axis=a) for a in (0, 1)) / 2
        loss.backward()
        grads.append(logits.grad)
    assert np.allclose(grads[0], grads[1].T, atol=1e-12)


def test_temperature_starts_at_the_papers_and_stops_at_100():
    model = clip.CLIP(clip.VisionTransformer(8, 4, 16, 1, 2), clip.BagOfWords(V, 12), 16, 12, 10)
    assert model.t.item() == pytest.approx(2.659260, abs=1e-6)  # ln(1 / 0.07)
    model.clip_temperature()
    assert model.t.item() == pytest.approx(2.659260, abs=1e-6)
    model.t.data[...] = 5.0
    model.clip_temperature()
    assert np.exp(model.t.item()) == pytest.approx(100, rel=1e-5)


def test_an_untrained_pair_guesses():
    """Random unit vectors in many dimensions: all logits alike, so the loss is about ln n."""
    rng = np.random.default_rng(0)
    I, T = rng.standard_normal((2, 64, 4096))
    loss = clip.clip_loss(
        lambda I: I, lambda T: T, *map(mv.Tensor, (I, T, np.eye(4096), np.eye(4096))), 0.0
    )
    assert loss.item() == pytest.approx(np.log(64), abs=0.02)


def gradients(model):
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("kind", ["transformer", "words"])
@settings(max_examples=6)
@given(n=st.integers(1, 9), chunk=st.integers(1, 10), seed=st.integers(0, 9))
def test_chunks_give_the_plain_loss_and_every_gradient(kind, n, chunk, seed):
    model = small(kind, np.float64)
    I, T = images(n, seed, np.float64), texts(n, seed)
    plain = model.loss(I, T)
    plain.backward()
    expected = gradients(model)
    model.zero_grad()
    assert model.backward_in_chunks(I, T, chunk) == pytest.approx(plain.item(), rel=1e-12)
    for name, g in gradients(model).items():
        assert np.abs(g - expected[name]).max() <= 1e-6 * max(1, np.abs(expected[name]).max()), name


def test_chunks_add_to_gradients_as_backward_does():
    model, I, T = small(), images(4), texts(4)
    model.backward_in_chunks(I, T, 3)
    once = gradients(model)
    model.backward_in_chunks(I, T, 3)
    for name, g in gradients(model).items():
        assert np.allclose(g, 2 * once[name], rtol=1e-4, atol=1e-6), name


def test_dropout_draws_the_same_numbers_for_a_chunk_and_its_gradient():
    model, results = small().train(), []
    model.text_encoder.layers[0].attn.dropout = 0.5
    for chunk in (None, 4):
        mv.manual_seed(3)
        model.zero_grad()
        model.loss(images(4), texts(4), chunk).backward()
        results.append(gradients(model))
    for name, g in results[0].items():
        np.testing.assert_allclose(results[1][name], g, rtol=1e-4, atol=1e-7, err_msg=name)


def test_chunks_refuse_what_would_not_be_exact():
    image = resnet.ModifiedResNet(8, 8, (1,), out=10, heads=2)
    model = clip.CLIP(image, clip.BagOfWords(V, 12), None, 12, 10)
    with pytest.raises(GraphError, match=r"BatchNorm .* model.eval\(\)"):
        model.backward_in_chunks(images(4), texts(4), 2)
    model.eval()
    plain = model.loss(images(4), texts(4)).item()
    assert model.backward_in_chunks(images(4), texts(4), 2) == pytest.approx(plain, rel=1e-5)
    for chunk in (0, -1, 2.5, "2", True):
        with pytest.raises(OptionError, match="chunk"):
            model.backward_in_chunks(images(4), texts(4), chunk)


@pytest.mark.nightly
def test_4096_pairs_fit():
    """The plain loss keeps every layer of 4,096 images, 1.5 GB of this small model; in chunks of
    128 the peak is 0.4 GB, the (4096, 4096) logits and their gradient."""
    model = clip.CLIP(clip.VisionTransformer(32, 8, 64, 2, 2), clip.BagOfWords(V, 16), 64, 16, 32)
    I = mv.Tensor(np.random.default_rng(0).standard_normal((4096, 32, 32, 3)).astype(np.float32))
    with traced() as memory:
        model.backward_in_chunks(I, texts(4096), 128)
        chunked = memory()[1]
        model.loss(I, texts(4096)).backward()
        plain = memory()[1]
    assert chunked < 0.5e9 and chunked < plain / 3, (chunked, plain)


# -- retrieval and zero-shot -----------------------------------------------------------------------
@given(st.integers(1, 12), st.integers(0, 99))
def test_recall_is_that_of_sorting(n, seed):
    s = np.random.default_rng(seed).standard_normal((n, n))
    found = clip.recall_at_k(s, ks=(1, n))
    for way, table in (("image to text", s), ("text to image", s.T)):
        best = np.argsort(-table, axis=1)
        assert found[way][1] == np.mean([best[i, 0] == i for i in range(n)])
        assert found[way][n] == 1.0


def test_recall_of_nothing_learnt_is_nothing():
    assert clip.recall_at_k(np.zeros((5, 5)), ks=(1, 4))["image to text"] == {1: 0, 4: 0}
    assert clip.recall_at_k(mv.Tensor(np.eye(12)))["text to image"] == {1: 1, 5: 1, 10: 1}
    with pytest.raises(ShapeError, match=r"\(3, 4\)"):
        clip.recall_at_k(np.zeros((3, 4)))
    with pytest.raises(OptionError, match="expected 1 to 3"):
        clip.recall_at_k(np.zeros((3, 3)), ks=(1, 5))


def tokenize(strings):
    rows = np.zeros((len(strings), L), np.int64)
    for row, s in zip(rows, strings):
        words = [1 + sum(map(ord, w)) % 27 for w in s.split()][: L - 2]
        row[: len(words) + 2] = [V - 2, *words, V - 1]
    return rows


def test_an_ensemble_is_the_mean_direction_of_its_prompts():
    model = small()
    one = clip.zero_shot_weights(model, tokenize, ["red cat", "dog"], ["{}"]).numpy()
    assert np.allclose(one, model.encode_text(tokenize(["red cat", "dog"])).numpy().T, atol=1e-6)
    templates = ["a {}", "the big {}", "{}"]
    e = model.encode_text(tokenize([t.format("dog") for t in templates])).numpy().mean(axis=0)
    both = clip.zero_shot_weights(model, tokenize, ["red cat", "dog"], templates).numpy()
    assert np.allclose(both[:, 1], e / np.linalg.norm(e), atol=1e-6)


@pytest.mark.parametrize("labels", [["cat", "cat"], [], ["cat", ""]])
def test_labels_twice_and_no_labels_are_refused(labels):
    with pytest.raises(OptionError, match="labels"):
        clip.zero_shot_weights(small(), tokenize, labels)


@given(st.lists(st.sampled_from("cat dog CAT cat_ owl".split()), min_size=2, max_size=4))
def test_labels_of_the_same_tokens_are_refused(labels):
    """As CLIP's tokenizer, which reads lower case: softmax would share one label's probability."""
    same = len({label.lower().strip("_") for label in labels}) < len(labels)
    refused = pytest.raises(OptionError, match=r"labels: '.*' and '.*' have the same tokens")
    with refused if same else contextlib.nullcontext():
        clip.zero_shot_weights(
            small(), lambda texts: tokenize([t.lower().replace("_", "") for t in texts]), labels
        )


def test_templates_without_a_place_for_the_label_are_refused():
    for templates in ([], ["a photo"]):
        with pytest.raises(OptionError, match="templates"):
            clip.zero_shot_weights(small(), tokenize, ["cat"], templates)


# -- bad input -------------------------------------------------------------------------------------
@pytest.mark.parametrize("n, m", [(4, 3), (3, 4), (1, 0)])
@pytest.mark.parametrize("method", ["loss", "backward_in_chunks"])
def test_images_and_texts_come_in_pairs(n, m, method):
    with pytest.raises(ShapeError, match=f"{n} images and {m} texts, expected pairs"):
        getattr(small(), method)(images(n), texts(m))


def test_no_pairs_are_refused():
    with pytest.raises(ShapeError, match="no pairs"):
        small().loss(images(0), texts(0))


@pytest.mark.parametrize("kind", ["transformer", "words"])
def test_an_empty_text_has_tokens_and_a_row_of_padding_is_refused(kind):
    model = small(kind)
    only_marks = tokenize([""])  # [SOS] [EOS]: as in the original, this is a text
    assert np.isfinite(model.encode_text(only_marks).numpy()).all()
    padding = np.concatenate([texts(2), np.zeros((1, L), int)])
    with pytest.raises(ShapeError, match=r"texts\[2\]: all padding"):
        model.encode_text(padding)
    for nothing in (np.zeros((0, L), int), np.zeros((2, 0), int), np.zeros(3, int)):
        with pytest.raises(ShapeError, match="token ids"):
            model.encode_text(nothing)
    with pytest.raises(DtypeError, match="tokenizer"):
        model.encode_text(["a cat"])


def test_texts_without_end_and_texts_too_long_are_refused():
    with pytest.raises(ShapeError, match=r"texts\[1\]: there is no \[EOS\], id 29"):
        small().encode_text(np.array([[28, 3, 29], [28, 3, 4]]))
    with pytest.raises(ShapeError, match="8 tokens, the context is 7"):
        small().encode_text(np.full((1, 8), V - 1))


def test_a_long_text_is_cut_only_when_asked(emoji):
    tokenizer = pairs.caption_tokenizer(emoji, 600)
    long = "flag " * 30
    with pytest.raises(ShapeError, match=r"texts\[0\]: 32 tokens"):
        tokenizer([long], context_length=16)
    row = tokenizer([long], context_length=16, truncate=True)[0]
    assert row[-1] == len(tokenizer) - 1 and (row > 0).all()


@pytest.mark.parametrize(
    "what, error",
    [
        (np.zeros((2, 8, 8), np.float32), ShapeError),  # no channels
        (np.zeros((2, 3, 8, 8), np.float32), ShapeError),  # channels first
        (np.zeros((2, 16, 16, 3), np.float32), ShapeError),  # another size
        (np.zeros((2, 8, 8, 3), np.uint8), DtypeError),  # bytes
        ([[1.0]], DtypeError),
        ("cat.png", DtypeError),
    ],
)
def test_what_is_no_image_is_refused(what, error):
    with pytest.raises(error, match=r"CLIP: images: got .*expected \(B, 8, 8, 3\)"):
        small().encode_image(what)


# -- the objectives before it ----------------------------------------------------------------------
def test_a_captioner_does_not_see_what_it_predicts():
    model = shaken(clip_objectives.Captioner(clip.VisionTransformer(8, 4, 16, 1, 2), 16, V, L, 12))
    I, T = images(3), texts(3)
    T[:, 3] = 5
    changed = T.copy()
    changed[:, 3] = 6
    difference = np.abs(model(I, T).numpy() - model(I, changed).numpy()).max(axis=(0, 2))
    assert difference[:3].max() == 0 and difference[3] > 0  # position 3 predicts token 4
    assert model(I, T).shape == (3, L - 1, V)


def test_a_captioners_targets_end_with_the_text():
    T = np.array([[28, 5, 29, 0, 0], [28, 5, 6, 7, 29]])
    assert clip_objectives.targets(T).tolist() == [[5, 29, -100, -100], [5, 6, 7, 29]]


def test_word_shares_are_of_words():
    T = np.array([[28, 5, 5, 7, 29, 0, 0]])
    shares = clip_objectives.word_shares(T, mv.Tensor(np.zeros((V, 2)))).numpy()[0]
    assert shares[5] == pytest.approx(2 / 3) and shares[7] == pytest.approx(1 / 3)
    assert shares.sum() == pytest.approx(1) and shares[[0, 28, 29]].sum() == 0


@pytest.mark.parametrize("kind", ["caption", "bag of words"])
def test_both_learn_pairs_by_heart_and_rank_them(kind):
    mv.manual_seed(0)
    image = clip.VisionTransformer(8, 4, 16, 1, 2)
    model = (
        clip_objectives.Captioner(image, 16, V, L, 16, 1)
        if kind == "caption"
        else clip_objectives.WordPredictor(image, 16, V)
    )
    I, T = images(8), texts(8)
    optimizer = mv.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss = model.loss(I, T)
        loss.backward()
        optimizer.step()
    assert clip.recall_at_k(model.scores(I, T, I), ks=(1,))["image to text"][1] == 1.0


def test_scores_divide_out_what_is_said_of_every_image():
    """A word that is likely for all images gives no image an advantage."""
    image = clip.VisionTransformer(8, 4, 16, 1, 2)
    model = clip_objectives.WordPredictor(image, 16, V)
    model.head.weight.data[...] = 0  # says the same of all images
    model.head.bias.data[:10] = 5
    assert np.abs(model.scores(images(4), texts(6), images(5, 1))).max() < 1e-5


# -- emoji and their captions ----------------------------------------------------------------------
@pytest.fixture(scope="module")
def emoji():
    return data.emoji()


def test_batches_of_pairs_hold_back_what_is_held_out(emoji):
    tokenizer = pairs.caption_tokenizer(emoji, 600)
    p = pairs.Pairs(emoji, tokenizer, batch_size=100, seed=3)
    assert not emoji.held_out[p.concepts].any()
    assert {style for places in p.places.values() for style, _ in places} == set(
        pairs.TRAINING_STYLES
    )
    I, T = p[5]
    assert I.shape == (100, 32, 32, 3) and I.dtype == np.float32 and np.abs(I).max() <= 1
    assert T.shape == (100, 16) and (T.max(axis=1) == len(tokenizer) - 1).all()
    again = p[5]
    assert (again[0] == I).all() and (again[1] == T).all()
    assert (p[6][0] != I).any()


def test_captions_are_names_and_keywords_of_what_is_drawn(emoji):
    tokenizer = pairs.caption_tokenizer(emoji, 600)
    p = pairs.Pairs(emoji, tokenizer, batch_size=2, context=60)
    for concept in p.concepts[::97]:
        words = {t for t in tokenizer.encode(emoji.labels[concept])}
        words |= {t for tag in emoji.tags[concept] for t in tokenizer.encode(tag)}
        for seed in range(5):
            row = p._caption(concept, np.random.default_rng(seed))
            ids = row[1 : row.argmax()]
            assert len(ids) and set(ids.tolist()) <= words


def test_test_sets_are_what_they_say(emoji):
    for held_out in (False, True):
        I, concepts = pairs.test_set(emoji, held_out=held_out)
        assert len(I) == len(concepts) == len(set(concepts))
        assert (emoji.held_out[concepts] == held_out).all()
        assert not emoji.lookalike[concepts].any()
    few, concepts = pairs.test_set(emoji, "noto", size=20, seed=1)
    place = np.searchsorted(emoji.concepts["noto"], concepts)
    assert (emoji.images["noto"][place] == few).all()
    with pytest.raises(RangeError, match="size"):
        pairs.test_set(emoji, size=100_000)


def test_bad_batches_are_refused(emoji):
    tokenizer = pairs.caption_tokenizer(emoji, 600)
    with pytest.raises(DataError, match="'oil'"):
        pairs.Pairs(emoji, tokenizer, styles=("oil",))
    with pytest.raises(DtypeError, match=r"styles: got int, expected a str or several"):
        pairs.Pairs(emoji, tokenizer, styles=3)
    for size in (1, 10_000, 2.5, "2"):
        with pytest.raises(ShapeError, match="batch_size"):
            pairs.Pairs(emoji, tokenizer, batch_size=size)
    for option in ({"seed": -1}, {"shift": 1.5}, {"shift": -1}, {"context": 1}):
        with pytest.raises(OptionError, match=f"Pairs: {next(iter(option))} is"):
            pairs.Pairs(emoji, tokenizer, **option)
    with pytest.raises(RangeError, match="step"):
        pairs.Pairs(emoji, tokenizer)[-1]


# -- the long run ----------------------------------------------------------------------------------
def test_long_run_refuses_other_parts():
    with pytest.raises(ValueError, match="expected some of"):
        long_clip.main(["modle"])


def test_the_trained_model_is_what_its_result_file_says(emoji):
    """Retrieval on the held-out style, from the weights that ship."""
    model = mv.load("emoji").model
    exam = long_clip.Exam(emoji, pairs.caption_tokenizer(emoji))
    found = exam.accuracies(long_clip.similarity(model))
    said = long_clip.results()["model"]["200"]
    for name in said:
        for way in ("image to text", "text to image"):
            for k, share in said[name][way].items():
                assert abs(found[name][way][k] - share) <= 0.011, (name, way, k)
    assert found["new style"]["image to text"]["1"] > 20 / 200  # chance: 1 / 200


# -- parity: PyTorch and transformers --------------------------------------------------------------
@pytest.mark.parity
def test_parity_with_transformers_loss_logits_and_every_gradient():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPConfig(
        text_config=dict(
            vocab_size=V, hidden_size=12, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=L, eos_token_id=V - 1,
            bos_token_id=V - 2, pad_token_id=0, projection_dim=10,
        ),
        vision_config=dict(
            hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            image_size=8, patch_size=4, projection_dim=10,
        ),
        projection_dim=10,
    )  # fmt: skip
    torch.manual_seed(0)
    theirs = transformers.CLIPModel(config).double().eval()
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if name != "logit_scale":
                p += 0.2 * torch.randn_like(p)
    ours = small("transformer", np.float64)
    ours.load_state_dict(from_transformers({k: v.detach() for k, v in theirs.named_parameters()}))

    I, T = images(5, dtype=np.float64), texts(5)
    out = theirs(
        input_ids=torch.tensor(T), pixel_values=torch.tensor(I.numpy().transpose(0, 3, 1, 2)),
        return_loss=True,
    )  # fmt: skip
    out.loss.backward()
    logits, loss = ours(I, T), ours.loss(I, T)
    assert np.abs(logits.numpy() - out.logits_per_image.detach().numpy()).max() < 1e-10
    assert abs(loss.item() - out.loss.item()) < 1e-10
    loss.backward()
    expected = from_transformers({k: p.grad for k, p in theirs.named_parameters()})
    found = gradients(ours)
    assert set(found) == set(expected)
    for name, g in found.items():
        assert np.abs(g - expected[name]).max() <= 1e-8 * np.abs(expected[name]).max(), name


def from_transformers(tensors):
    """CLIPModel's parameters (or gradients) under our names and in our shapes."""
    t = {name: value.numpy() for name, value in tensors.items()}
    state = {
        "W_i": t["visual_projection.weight"].T,
        "W_t": t["text_projection.weight"].T,
        "t": t["logit_scale"],
    }
    for ours, theirs, ends in (
        ("image_encoder", "vision_model", {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}),
        ("text_encoder", "text_model", {"ln_final": "final_layer_norm"}),
    ):
        positions = t[f"{theirs}.embeddings.position_embedding.weight"]
        state[f"{ours}.positional_embedding"] = positions
        for a, b in ends.items():
            for part in ("weight", "bias"):
                state[f"{ours}.{a}.{part}"] = t[f"{theirs}.{b}.{part}"]
        for i in range(2):
            mine, other = f"{ours}.layers.{i}", f"{theirs}.encoder.layers.{i}"
            for part in ("weight", "bias"):
                attn = f"{other}.self_attn"
                state[f"{mine}.attn.in_proj_{part}"] = np.concatenate(
                    [t[f"{attn}.{x}_proj.{part}"] for x in "qkv"]
                )
                state[f"{mine}.attn.out_proj.{part}"] = t[f"{attn}.out_proj.{part}"]
                for a, b in (
                    ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"), ("mlp.fc1", "mlp.fc1"),
                    ("mlp.fc2", "mlp.fc2"),
                ):  # fmt: skip
                    state[f"{mine}.{a}.{part}"] = t[f"{other}.{b}.{part}"]
    vision = "vision_model.embeddings"
    state["image_encoder.class_embedding"] = t[f"{vision}.class_embedding"]
    kernel = t[f"{vision}.patch_embedding.weight"]  # (D, C, P, P)
    state["image_encoder.patches.projection.weight"] = kernel.transpose(0, 2, 3, 1).reshape(
        len(kernel), -1
    )
    state["text_encoder.token_embedding.weight"] = t["text_model.embeddings.token_embedding.weight"]
    return state


@pytest.mark.parity
def test_parity_of_the_resnet_with_pytorch():
    """The same network written with PyTorch's convolutions and attention, as OpenAI's is."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    mv.manual_seed(0)
    model = shaken(resnet.ModifiedResNet(32, 8, (2, 1), out=5, heads=2))
    for _, p in model.named_tensors():
        p.data = np.abs(p.data).astype(np.float64) if p.ndim == 1 else p.data.astype(np.float64)
    w = {
        k: torch.tensor(v, requires_grad="running" not in k) for k, v in model.state_dict().items()
    }

    def conv(x, name, **options):
        return F.conv2d(x, w[f"{name}.weight"].permute(0, 3, 1, 2), **options)

    def norm(x, name):
        parts = (f"{name}.{k}" for k in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *(w[k] for k in parts), eps=1e-5)

    def block(x, name, stride):
        y = F.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
        y = F.relu(norm(conv(y, f"{name}.conv2", padding=1), f"{name}.bn2"))
        if stride > 1:
            y = F.avg_pool2d(y, stride)
        y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
        if f"{name}.downsample.0.weight" in w:
            x = F.avg_pool2d(x, stride) if stride > 1 else x
            x = norm(conv(x, f"{name}.downsample.0"), f"{name}.downsample.1")
        return F.relu(y + x)

    x = np.random.default_rng(0).standard_normal((3, 32, 32, 3))
    h = torch.tensor(x.transpose(0, 3, 1, 2))
    for i, stride in ((1, 2), (2, 1), (3, 1)):
        h = F.relu(norm(conv(h, f"conv{i}", stride=stride, padding=1), f"bn{i}"))
    h = F.avg_pool2d(h, 2)
    for name, stride in (("layers.0.0", 1), ("layers.0.1", 1), ("layers.1.0", 2)):
        h = block(h, name, stride)
    h = h.flatten(2).permute(2, 0, 1)  # (h w, B, C)
    h = torch.cat([h.mean(dim=0, keepdim=True), h])
    h = h + w["attnpool.positional_embedding"][:, None]
    biases = torch.cat([w[f"attnpool.{k}_proj.bias"] for k in "qkv"])
    out, _ = F.multi_head_attention_forward(
        h[:1], h, h, h.shape[-1], 2, None, biases, None, None, False, 0.0,
        w["attnpool.c_proj.weight"], w["attnpool.c_proj.bias"], use_separate_proj_weight=True,
        q_proj_weight=w["attnpool.q_proj.weight"], k_proj_weight=w["attnpool.k_proj.weight"],
        v_proj_weight=w["attnpool.v_proj.weight"], need_weights=False,
    )  # fmt: skip
    ours = model.eval()(mv.Tensor(x))
    assert np.abs(ours.numpy() - out[0].detach().numpy()).max() < 1e-10
    g = np.random.default_rng(1).standard_normal(ours.shape)
    ours.backward(g)
    out[0].backward(torch.tensor(g))
    for name, p in model.named_parameters():
        expected = w[name].grad.numpy()  # of k_proj.bias it is zero: softmax ignores it
        assert np.abs(p.grad - expected).max() <= 1e-8 * np.abs(expected).max() + 1e-14, name
