"""minivit search: a folder's pictures by words; what cannot be done is said in words."""

import errno
import io
import json
import os

import numpy as np
import pytest

pillow = pytest.importorskip("PIL.Image")

from minivit import commands  # noqa: E402
from minivit.commands import shared  # noqa: E402
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
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "folder.png").mkdir()
    assert search("pizza", folder) == 0
    out, errors = capsys.readouterr()
    assert "among 4 pictures" in out and "broken" not in out
    assert "2 could not be read" in errors and f"{folder / 'broken.png'}: not an image" in errors
    assert f"{folder / 'gone.png'}: cannot be read (No such file" in errors
    for i in range(9):
        (folder / f"broken{i}.png").write_bytes(b"no png")
    assert search("pizza", folder) == 0
    assert "11 could not be read" in (errors := capsys.readouterr().err)
    assert errors.count("broken") < 7 and "and 6 more" in errors


@pytest.fixture
def closed(folder, monkeypatch):
    """closed(path): nobody may look into this folder. (Root may look into all.)"""
    shut, scandir = set(), os.scandir

    def look(path):
        if str(path) in shut:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", look)
    return lambda path: shut.add(str(path))


def test_a_closed_folder_is_named(folder, closed, capsys):
    closed(folder / "sub")
    assert search("pizza", folder, "--json") == 0
    out, errors = capsys.readouterr()
    says = f"{folder / 'sub'}: cannot be read (Permission denied)"
    assert json.loads(out)["unread"] == {str(folder / "sub"): says} and says in errors
    assert json.loads(out)["pictures"] == 3
    (folder / "more" / "sub").mkdir(parents=True)
    closed(folder / "more" / "sub")
    assert search("pizza", folder / "more") == 2  # all that there is
    assert "no picture in this folder" in (errors := capsys.readouterr().err)
    assert f"{folder / 'more' / 'sub'}: cannot be read (Permission denied)" in errors
    closed(folder)
    assert search("pizza", folder) == 2
    assert f"search: {folder}: cannot be read (Permission denied)" in capsys.readouterr().err


def test_pictures_that_are_all_broken_beside_a_closed_folder(folder, closed, capsys):
    for path in folder.glob("*.png"):
        path.write_bytes(b"no png")
    closed(folder / "sub")
    assert search("pizza", folder) == 2
    assert "none of 3 pictures can be read" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_what_is_no_file_is_no_picture(folder, capsys):
    """Who read from a pipe that nobody writes into would wait for ever."""
    os.mkfifo(folder / "pipe.png")
    assert search("pizza", folder) == 0
    assert len(shared.photos_in(str(folder))) == 3


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
