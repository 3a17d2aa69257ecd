"""minivit search: a folder's pictures by words; what cannot be done is said in words."""

import io
import json

import numpy as np
import pytest

pillow = pytest.importorskip("PIL.Image")

from minivit import commands  # noqa: E402
from minivit.training import data  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    emoji = data.emoji(["noto"])
    for name in ("pizza", "rocket", "dolphin", "flag: Spain".lower()):
        concept = emoji.labels.index(name)
        pixels = emoji.images["noto"][list(emoji.concepts["noto"]).index(concept)]
        picture = pillow.fromarray(np.rint((pixels + 1) * 127.5).astype(np.uint8))
        at = tmp_path / "sub" if name == "rocket" else tmp_path
        at.mkdir(exist_ok=True)
        picture.save(at / f"{name.split()[-1]}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def search(*arguments):
    return commands.main(["search", *map(str, arguments), "--model", "emoji"])


def test_the_picture_that_is_meant_comes_first(folder, capsys):
    assert search("pizza", folder, "--json", "--top", 2) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["pictures"] == 4 and len(facts["results"]) == 2 and not facts["unread"]
    assert facts["results"][0]["file"].endswith("pizza.png")
    assert facts["results"][0]["cosine"] > facts["results"][1]["cosine"]
    assert search("rocket", folder) == 0
    assert "rocket.png" in capsys.readouterr().out.splitlines()[1]


def test_what_is_no_picture_is_left_out_and_said(folder, capsys):
    (folder / "broken.png").write_bytes(b"no png")
    assert search("pizza", folder) == 0
    out = capsys.readouterr().out
    assert "among 4 pictures" in out and "1 could not be read" in out and "broken.png" in out


@pytest.mark.parametrize("words, where, says", [
    ("pizza", "nowhere", "there is no such folder"),
    ("pizza", "notes.txt", "that is a file"),
    ("pizza", "empty", "no picture in this folder"),
    ("pizza", "bad", "x.jpg: not an image"),
    ("pizza", "worse", "none of 2 pictures can be read. The first:"),
    ("  ", ".", "the words are empty"),
    ("pizza " * 40, ".", "too long"),
])  # fmt: skip
def test_wrong_uses_are_answered_in_words(folder, capsys, words, where, says):
    (folder / "empty").mkdir()
    (folder / "bad").mkdir()
    (folder / "bad" / "x.jpg").write_bytes(b"")
    (folder / "worse").mkdir()
    for name in ("x.jpg", "y.jpg"):
        (folder / "worse" / name).write_bytes(b"")
    assert search(words, folder / where) == 2
    out, errors = capsys.readouterr()
    assert not out and says in errors


def test_a_model_that_knows_no_words_is_refused(folder, capsys):
    assert commands.main(["search", "pizza", str(folder), "--model", "emoji-resnet"]) == 2
    assert "this needs clip" in capsys.readouterr().err


def test_words_may_come_from_a_pipe(folder, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"pizza\n")))
    assert search("-", folder, "--json", "--top", 1) == 0
    assert json.loads(capsys.readouterr().out)["words"] == "pizza"
