"""The widgets compute in JavaScript what minivit computes: their modules, run by Node."""

import importlib
import json
import math
import re
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minivit import Tensor, no_grad, softmax
from minivit.models.flops import flops
from minivit.models.vit import ViT
from minivit.text import BPE
from minivit.text.clip import clean
from minivit.training import data, inspect

pytestmark = pytest.mark.browser
pytest.importorskip("nbconvert")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
moving = importlib.import_module("moving")
# Each line of its input is {"modules", "code", "d"}: code is a function's body, m all that the
# modules export, d data.
SERVE = """
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const { modules, code, d } = JSON.parse(line), m = {};
  for (const module of modules) Object.assign(m, await import(module));
  console.log(JSON.stringify(new Function("m", "d", code)(m, d)));
}
"""


@pytest.fixture(scope="module")
def js():
    """js(modules, code, d): what the code returns of their functions m and the data d."""
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        pytest.skip("there is no Node.js: apt-get install nodejs")
    command = [node, "--input-type=module", "--eval", SERVE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, encoding="utf-8", **pipes) as process:

        def ask(modules, code, d=None):
            addresses = [(moving.SOURCES / f"{name}.js").as_uri() for name in modules.split()]
            print(json.dumps({"modules": addresses, "code": code, "d": d}), file=process.stdin)
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


numbers = st.floats(-1, 1, allow_nan=False)
# What this Python's tables know; the browser's may be newer.
letters = st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x2FFFF)
texts = st.text(letters | st.sampled_from("the hour' 's 12 \n\t\x1c\x85\ufeff½🎈é漢"), max_size=40)


# -- softmax and patches ---------------------------------------------------------------------------
@given(st.lists(numbers, min_size=1, max_size=6), st.floats(0, 4.7))
def test_softmax_and_entropy(js, cosines, t):
    p, h = js("softmax", "const p = m.probabilities(d[0], d[1]); return [p, m.entropy(p)]",
              [cosines, t])  # fmt: skip
    ours = softmax(np.array(cosines) * math.exp(t)).numpy()
    assert np.allclose(p, ours, atol=1e-12)
    assert np.isclose(h, -(ours * np.log(np.maximum(ours, 1e-300))).sum(), atol=1e-9)


@pytest.mark.parametrize("side", [96, 224, 384])
def test_counts_of_patches_are_those_of_the_library(js, side):
    P = js("patches", "return m.sides(d)", side)
    assert P == [p for p in range(8, side // 2 + 1) if side % p == 0]
    for patch in (P[0], P[-1]):
        found = js("patches", "return m.counts(d[0], d[1])", [side, patch])
        with moving.minivit.nn.empty():
            model = ViT(side, patch, 3, 1000, 768, 12, 12, 3072)
        assert found["all"] == sum(flops(model).values())
        N = (side // patch) ** 2
        assert (found["N"], found["tokens"], found["weights"]) == (N, N + 1, (N + 1) ** 2)
        assert found["attention"] == 12 * 4 * (N + 1) ** 2 * 768
        assert found["numbers"] == patch * patch * 3


# -- byte-pair encoding ----------------------------------------------------------------------------
READ = """const bpe = new m.BPE(d.tokenizer);
return d.texts.map((text) => { const words = bpe.words(text);
  return [words, bpe.encode(text), words.map((word) => bpe.mergeSteps(word))]; })"""


def read_by(tokenizer, texts):
    return [
        [words, tokenizer.encode(text), [[*tokenizer.merge_steps(word)] for word in words]]
        for text in texts
        for words in [tokenizer.words(text)]
    ]


@given(st.lists(texts, min_size=20, max_size=40))
def test_merges_of_any_text_are_those_of_the_lectures_tokenizer(js, texts):
    bpe = moving.lecture_bpe()
    d = {"tokenizer": moving.tokenizer_numbers(bpe), "texts": texts}
    assert js("bpe", READ, d) == read_by(bpe, texts)


@given(st.lists(texts, min_size=1, max_size=20), st.integers(256, 300))
def test_a_tokenizer_of_any_text_reads_it_alike_in_both(js, texts, size):
    bpe = BPE.train(texts, size)
    d = {"tokenizer": moving.tokenizer_numbers(bpe), "texts": texts}
    assert js("bpe", READ, d) == read_by(bpe, texts)


def test_words_end_where_unicode_says_for_every_character_that_python_knows(js):
    known = [chr(i) for i in range(0x30000) if unicodedata.category(chr(i)) not in ("Cs", "Cn")]
    texts = ["".join(known[i : i + 500]) for i in range(0, len(known), 500)]
    found = js("bpe", "return d.map((text) => text.match(m.GPT2_WORDS) ?? [])", texts)
    assert found == [BPE.words(text) for text in texts]


# -- the ViT on digits -----------------------------------------------------------------------------
levels = st.lists(st.lists(st.integers(0, 16), min_size=8, max_size=8), min_size=8, max_size=8)
LOOK = """const r = m.forward(m.readViT(d.model), d.image);
return [r.probabilities, r.maps, m.rollout(r.maps)]"""


@given(levels)
@settings(max_examples=10)
def test_the_vit_sees_in_any_picture_what_minivit_sees(js, levels):
    image = np.array(levels, np.float32) / 8 - 1
    numbers = moving.attention_numbers()["model"]
    p, maps, rolled = js("vit", LOOK, {"model": numbers, "image": image.tolist()})
    arrays = inspect.trace(moving.digits_vit(), Tensor(image[None, :, :, None]))
    assert np.allclose(p, arrays["probabilities"][0], atol=1e-4)
    ours = [arrays[f"{i}.attention"] for i in (1, 2, 3, 4)]
    assert np.allclose(maps, np.concatenate(ours), atol=1e-4)
    assert np.allclose(rolled, inspect.attention_rollout(ours)[0], atol=1e-4)


def test_the_digits_that_ship_are_read_and_are_those_of_the_data_set(js):
    numbers, digits = moving.attention_numbers(), data.digits()
    images = np.array([row["levels"] for row in numbers["digits"]]) / 8 - 1
    assert [row["label"] for row in numbers["digits"]] == list(range(10))
    for label, image in enumerate(images):
        same = (digits.test_images[..., 0] == image).all(axis=(1, 2))
        assert digits.test_labels[same].tolist() == [label]
    read = [js("vit", LOOK, {"model": numbers["model"], "image": x.tolist()})[0] for x in images]
    assert (np.argmax(read, axis=1) == np.arange(10)).mean() >= 0.9


@given(st.integers(0, 0x7BFF) | st.integers(0x8000, 0xFBFF))
def test_16_bits_are_the_number_that_numpy_reads(js, bits):
    ours = float(np.array(bits, np.uint16).view(np.float16))
    assert js("arrays", "return m.float16(d)", bits) == ours


points = st.tuples(st.floats(0, 300), st.floats(0, 300))
strokes = st.lists(st.lists(points, min_size=1, max_size=8), min_size=1, max_size=3)


@given(strokes, st.floats(0.1, 5), points)
def test_a_drawing_fills_its_picture_wherever_and_however_large_it_is(js, strokes, scale, shift):
    across = np.ptp(np.concatenate([np.array(s) for s in strokes]), axis=0).max()
    assume(across > 1)
    moved = [[(scale * x + shift[0], scale * y + shift[1]) for x, y in s] for s in strokes]
    found = np.array([js("digit", "return m.digitOf(d)", s) for s in (strokes, moved)])
    assert found.shape == (2, 8, 8) and found.min() >= 0 and found.max() <= 16
    assert np.abs(found[0] - found[1]).max() <= 2  # a bit may fall on the border
    inked = found[0] > 0
    assert max(np.ptp(axis) + 1 for axis in np.nonzero(inked)) == 8


# -- the backward pass -----------------------------------------------------------------------------
ADD = "return d.steps.map((_, i) => m.gradientsAfter(d.steps, i + 1))"


@pytest.mark.parametrize("row", moving.backward_numbers(), ids=lambda row: row["steps"][-1]["op"])
def test_gradients_add_up_to_what_the_engine_and_differences_say(js, row):
    after = js("backward", ADD, row)
    for step, sums in zip(row["steps"], [{"loss": 1.0}, *after]):
        assert np.isclose(sums[step["node"]], step["gradient"], atol=1e-6)  # complete, then sent on
    wanted, given_, lines = moving.EXPRESSIONS[row["title"]]
    assert set(row["leaves"]) == set(wanted)

    def loss(values):
        known = {**given_, **values}
        for name, line in lines.items():
            known[name] = eval(line, {"np": np}, known)
        return known["loss"]

    for name, gradient in row["leaves"].items():
        assert np.isclose(after[-1][name], gradient, atol=1e-6)
        up, down = (loss({**wanted, name: wanted[name] + e}) for e in (1e-5, -1e-5))
        assert np.isclose(gradient, (up - down) / 2e-5, atol=1e-4)
    assert len(row["steps"]) == len(lines)


# -- CLIP ------------------------------------------------------------------------------------------
CLASSIFY = """const encoder = m.readTextEncoder(d.encoder);
return [d.labels.map((label) => m.tokenize(encoder, label)),
  m.classify(encoder, d.I_e, d.labels)]"""
words = st.sampled_from(
    "pizza a cat's RED heart the drawing of 3 flags: naïve 漢字 🎈 café-bar".split()
)
labels = st.lists(words, min_size=1, max_size=9).map(" ".join) | texts


def mended(text):
    """What text_encoder.js mends of a text as the original does."""
    quotes = {**dict.fromkeys("\u02bc‘’‚‛", "'"), **dict.fromkeys("“”„‟", '"')}
    return unicodedata.normalize("NFC", text).translate(str.maketrans(quotes))


@given(st.lists(labels, min_size=2, max_size=5, unique_by=clean), st.integers(0, 9))
@settings(max_examples=15)
@no_grad()
def test_clip_classifies_by_any_labels_as_minivit_does(js, labels, i):
    labels = [label for label in labels if label and plain(label)]
    assume(labels)
    numbers, tokenizer = moving.clip_numbers(), moving.clip().tokenizer
    d = {"encoder": numbers["encoder"], "labels": labels, "I_e": numbers["pictures"][i]["I_e"]}
    ids, p = js("clip text_encoder", CLASSIFY, d)
    ours = tokenizer(labels, truncate=True)
    assert ids == [row[: row.argmax() + 1].tolist() for row in ours]
    model = moving.clip().model
    vectors = model.encode_text(ours).numpy()
    logits = math.exp(model.t.item()) * vectors @ np.array(numbers["pictures"][i]["I_e"])
    assert np.allclose(p, softmax(logits).numpy(), atol=1e-4)


def plain(text):
    """Is that all that ftfy mends of it, and no HTML to be unescaped?"""
    return "&" not in text and clean(text) == clean_after(text)


def clean_after(text):
    return re.sub(r"[^\S\x1c-\x1f]+", " ", mended(text).strip()).strip().lower()


@given(st.lists(texts, min_size=10, max_size=30))
def test_words_of_clip_are_the_originals(js, texts):
    texts = [clean(text) for text in texts]
    texts = [text for text in texts if plain(text)]
    tokenizer = moving.clip().tokenizer
    d = {"tokenizer": moving.tokenizer_numbers(tokenizer), "texts": texts}
    code = """const bpe = new m.BPE(d.tokenizer, m.CLIP_WORDS);
    return d.texts.map((text) => bpe.encode(m.clean(text)))"""
    assert js("text_encoder bpe", code, d) == [tokenizer.encode(text) for text in texts]
