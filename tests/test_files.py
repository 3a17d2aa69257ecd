"""A file, or a folder, is written whole or not at all, wherever the writer is stopped."""

import os

import pytest

from minivit import files


def content(folder):
    return {p.name: p.read_text() for p in folder.iterdir() if not p.is_dir()}


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path):
    path = tmp_path / "on" / "the way" / "a.txt"
    files.write_whole(path, "höher\n")
    assert path.read_bytes() == "höher\n".encode()  # as it was given, on Windows too
    files.write_whole(path, b"bytes", durable=False)
    assert path.read_bytes() == b"bytes" and os.listdir(path.parent) == ["a.txt"]
    with pytest.raises(RuntimeError), files.writing_whole(path) as half:
        half.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == b"bytes" and os.listdir(path.parent) == ["a.txt"]


def test_a_long_name_is_no_trouble(tmp_path):
    files.write_whole(tmp_path / ("x" * 250), "x")
    with pytest.raises(OSError):
        files.write_whole(tmp_path / ("x" * 300), "x")
    assert len(os.listdir(tmp_path)) == 1


def write(folder, **texts):
    with files.writing_folder(folder) as new:
        for name, text in texts.items():
            (new / name).write_text(text)


def test_a_folder_gets_all_files_and_keeps_its_others(tmp_path):
    write(tmp_path / "m", a="1", b="1")
    (tmp_path / "m" / "notes").write_text("mine")
    write(tmp_path / "m", a="2", c="2")
    assert content(tmp_path / "m") == {"a": "2", "b": "1", "c": "2", "notes": "mine"}
    with pytest.raises(RuntimeError), files.writing_folder(tmp_path / "m") as new:
        (new / "a").write_text("3")
        raise RuntimeError
    assert content(tmp_path / "m")["a"] == "2"
    assert os.listdir(tmp_path) == ["m"] and len(os.listdir(tmp_path / "m")) == 4


@pytest.mark.parametrize("step", range(9))
def test_wherever_it_is_stopped_the_old_files_are_found_or_the_new(tmp_path, step, monkeypatch):
    """Each call that changes the disk is where the power may fail: it, and all after it, do
    nothing."""
    old, new = dict(a="old", b="old", c="old"), dict(a="new", b="new", c="new")
    folder = tmp_path / "m"
    write(folder, **old)
    calls = []

    def failing(function):
        def call(*args, **kwargs):
            calls.append(function)
            if len(calls) > step:
                raise OSError("the power is out")
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", failing(os.replace))
        patch.setattr(files.os, "fsync", failing(os.fsync))
        patch.setattr(files.shutil, "rmtree", lambda *a, **k: None)  # a crash cleans nothing up
        try:
            write(folder, **new)
        except OSError:
            assert len(calls) > step
    files.finish(folder)
    assert content(folder) == (old if step < 4 else new)  # 3 files, and the step that counts
    write(folder, **new)  # what was left behind is not in the way
    assert content(folder) == new


def test_a_lock_is_held_by_one_and_given_back(tmp_path):
    lock = tmp_path / "locks" / "a job"
    with files.held(lock) as mine, files.held(lock, wait=False) as other:
        assert mine and not other
    with pytest.raises(OSError), files.held(lock, wait=False) as mine:
        assert mine
        raise OSError("an error inside is the caller's")
    with files.held(lock, wait=False) as mine:
        assert mine
