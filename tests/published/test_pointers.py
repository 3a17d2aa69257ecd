"""A clone without Git LFS has pointers, three lines of text, in the place of files: whichever file
it is, the error says so."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

import minivit
from minivit import published
from minivit.engine.errors import MinivitError
from minivit.images import pictures
from minivit.published.weights import INDEX
from minivit.text import CLIPTokenizer, WordPiece
from tests.published import test_vision as vision
from tests.published.test_text import case

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614\nsize 12345\n"
PIECES = WordPiece("[PAD] [UNK] [CLS] [SEP] [MASK] a b".split())
OWN = [  # every file of a model of ours
    (name, file.name)
    for name, folder in sorted(published.shipped().items())
    for file in sorted(folder.iterdir())
    if file.suffix in (".json", ".txt", ".safetensors")
]
OTHERS = {  # files of others: a model that has them
    "bert": ["config.json", "vocab.txt", "tokenizer_config.json", "modules.json",
             "model.safetensors", "1_Pooling/config.json", "2_Dense/config.json",
             "config_sentence_transformers.json", "sentence_bert_config.json"],
    "gpt2": ["vocab.json", "merges.txt", "tokenizer.json"],
    "marian": ["source.spm", "vocab.json"],
    "vit_hf": ["preprocessor_config.json", "processor_config.json", INDEX],
    "clip_open_clip": ["open_clip_config.json"],
}  # fmt: skip


def refused(read):
    with pytest.raises(MinivitError, match="it is a pointer of Git LFS, not the file") as error:
        read()
    return str(error.value)


@pytest.mark.parametrize("name, file", OWN)
def test_of_a_model_of_ours(name, file, tmp_path):
    shutil.copytree(published.shipped()[name], tmp_path / name)
    (tmp_path / name / file).write_text(POINTER)
    assert file in refused(lambda: minivit.load(tmp_path / name))


@pytest.mark.parametrize("family, file", [(f, file) for f in OTHERS for file in OTHERS[f]])
def test_of_a_published_one(family, file, tmp_path):
    if file.endswith(".spm"):
        pytest.importorskip("sentencepiece")
    made = vision.case if family.startswith(("vit", "clip")) else case
    folder = made(family).write(tmp_path / family)
    if family == "bert":
        PIECES.save(folder / "vocab.txt")
        steps = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")]
        (folder / "modules.json").write_text(json.dumps([
            {"type": f"sentence_transformers.models.{kind}", "path": at} for kind, at in steps
        ]))  # fmt: skip
        for _, at in steps[1:]:
            (folder / at).mkdir()
            (folder / at / "config.json").write_text("{}")
        width = len(minivit.load(case("bert").write(tmp_path / "plain")).model.norm.weight)
        save_file({"linear.weight": np.eye(width)}, folder / "2_Dense" / "model.safetensors")
    if file == "merges.txt":
        (folder / "vocab.json").write_text('{"a": 0}')
    if family == "marian":
        words = ["</s>", "<pad>", "<unk>"]
        (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
        (folder / "source.spm").write_bytes(b"")
    if file == "vocab.json":
        (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / file).write_text(POINTER, newline="\r\n")
    assert file in refused(lambda: minivit.load(folder).tokenizer.encode("a"))


@pytest.mark.parametrize("name", ["cat.png", "vocabulary.gz", "weights.npz", "pytorch_model.bin"])
def test_of_a_picture_of_openais_vocabulary_and_of_weights(name, tmp_path):
    path = tmp_path / name
    path.write_text(POINTER)
    readers = {"cat.png": pictures.read, "vocabulary.gz": CLIPTokenizer.from_file}
    assert name in refused(lambda: readers.get(name, minivit.load)(path))


def test_a_text_that_only_mentions_it_is_read(tmp_path):
    WordPiece(["[UNK]", "version", "https"]).save(tmp_path / "vocab.txt")
    assert len(WordPiece.load(tmp_path / "vocab.txt")) == 3
