"""The widgets compute in JavaScript what minivit computes: their modules, run by Node."""

import importlib
import json
import math
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit import softmax
from minivit.models.flops import flops
from minivit.models.vit import ViT
from minivit.text import BPE

pytestmark = pytest.mark.browser
pytest.importorskip("nbconvert")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "lectures"))
moving = importlib.import_module("moving")
# Each line of its input is {"module", "code", "d"}: a function body of the module's m and data d.
SERVE = """
import { createInterface } from "node:readline";
for await (const line of createInterface({ input: process.stdin })) {
  const { module, code, d } = JSON.parse(line);
  const m = await import(module);
  console.log(JSON.stringify(new Function("m", "d", code)(m, d)));
}
"""


@pytest.fixture(scope="module")
def js():
    """js(module, code, d): what the code returns of the module's functions m and the data d."""
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        pytest.skip("there is no Node.js: apt-get install nodejs")
    command = [node, "--input-type=module", "--eval", SERVE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, encoding="utf-8", **pipes) as process:

        def ask(module, code, d=None):
            address = (moving.SOURCES / f"{module}.js").as_uri()
            print(json.dumps({"module": address, "code": code, "d": d}), file=process.stdin)
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
