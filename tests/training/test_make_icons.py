"""`minivit data icons`: what is damaged, or another's, is made anew; what is wrong is said."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import types
import zipfile
import zlib

import numpy as np
import pytest

from minivit import commands, files
from minivit.training import icon_cache, icons

PACKAGE = {
    "lucide": {"home": "1", "star": "2"},
    "noto": {"home": "3", "house": "4"},  # in colour
    "logos": {"apple": "5"},
}


class Pool:
    """Processes that are this one."""

    def __init__(self, n):
        self.imap = map

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def svg_to_bytes(svg_string, **options):
    """A picture that depends on the drawing."""
    from PIL import Image

    grey, out = zlib.crc32(svg_string.encode()) % 256, io.BytesIO()
    Image.new("RGB", (64, 64), (grey, grey // 2, 0)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """The script, with a package of two sets and a renderer of ours, and the cache that it makes.
    `drawn` lists the sets that it renders."""
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(files.data_folder())
    for name in ("make_icons", "packages"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import make_icons

    about = {
        name: {"name": name, "license": {"spdx": "MIT"}, "author": {"name": "Zoë"},
               "category": "Logos" if name == "logos" else "", "palette": name == "noto"}
        for name in PACKAGE
    }  # fmt: skip
    contents = {f"json/{name}": {"icons": {icon: {"body": body} for icon, body in some.items()}}
                for name, some in PACKAGE.items()} | {"collections": about}  # fmt: skip
    with tarfile.open(tmp_path / "ours.tgz", "w:gz") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(f"package/{name}.json")
            text = json.dumps(content).encode()
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))

    def npm_archive(requirement, folder):
        (folder / "npm.tgz").write_bytes((tmp_path / "ours.tgz").read_bytes())
        return folder / "npm.tgz"

    def make_set(path, *arguments):
        drawn.append(path.stem)
        make(path, *arguments)

    drawn, make = [], make_icons.make_set
    crc = {name: zlib.crc32("\n".join(sorted(PACKAGE[name])).encode()) for name in PACKAGE}
    listed = {"sets": {name: {"crc32": crc[name]} for name in ("lucide", "noto")}}
    monkeypatch.setattr(icons, "split", lambda: listed)
    monkeypatch.setattr(make_icons, "npm_archive", npm_archive)
    monkeypatch.setattr(make_icons, "make_set", make_set)
    monkeypatch.setattr(make_icons, "SHA256", make_icons.digest(tmp_path / "ours.tgz"))
    monkeypatch.setattr(make_icons.multiprocessing, "Pool", Pool)
    monkeypatch.setitem(sys.modules, "resvg_py", types.SimpleNamespace(svg_to_bytes=svg_to_bytes))
    return types.SimpleNamespace(
        main=make_icons.main, drawn=drawn, module=make_icons, folder=tmp_path / "cache" / "icons"
    )


def test_a_complete_cache_needs_nothing(maker, monkeypatch, capsys):
    assert maker.main([]) == 0 and maker.drawn == ["lucide", "noto"]
    assert {path.name for path in maker.folder.iterdir()} == {"lucide.npz", "noto.npz", "sets.json"}
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    monkeypatch.setattr(maker.module, "npm_archive", None)
    monkeypatch.setattr(os, "access", lambda *a: False)
    assert maker.main([]) == 0 and "all is in" in capsys.readouterr().out
    assert len(maker.drawn) == 2 and len(icon_cache.about()) == 2


def table_of(folder):
    return json.loads((folder / "sets.json").read_text(encoding="utf-8"))


def sign(folder, **changes):
    """Write sets.json anew, with the SHA-256 of the files that are there."""
    table = table_of(folder) | changes
    for name, entry in table["sets"].items():
        content = (folder / f"{name}.npz").read_bytes()
        entry["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "sets.json").write_text(json.dumps(table), encoding="utf-8")


def cut(folder):
    content = (folder / "noto.npz").read_bytes()
    (folder / "noto.npz").write_bytes(content[: len(content) // 2])


def flip(folder):
    """A byte of the compressed pictures."""
    with zipfile.ZipFile(folder / "noto.npz") as archive:
        entry = archive.getinfo("images.npy")
    content = bytearray((folder / "noto.npz").read_bytes())
    content[entry.header_offset + 50 + entry.compress_size // 2] ^= 0xFF
    (folder / "noto.npz").write_bytes(content)


def foreign(folder):
    (folder / "noto.npz").write_bytes((folder / "lucide.npz").read_bytes())


def empty(folder):
    (folder / "noto.npz").write_bytes(b"")


def grey(folder):
    """The same names, and no colours."""
    arrays = dict(np.load(folder / "noto.npz"))
    del arrays["colour"]
    np.savez(folder / "noto.npz", **arrays)


def redrawn(folder):
    arrays = dict(np.load(folder / "noto.npz"))
    np.savez(folder / "noto.npz", **arrays | {"images": 255 - arrays["images"]})


HARMS = (cut, flip, foreign, empty, grey)


@pytest.mark.parametrize("harm", HARMS)
def test_an_interrupted_copy_is_mended(maker, harm):
    """A file is damaged or another set's, and sets.json is not there."""
    maker.main([])
    before = {path.name: path.read_bytes() for path in maker.folder.iterdir()}
    harm(maker.folder)
    (maker.folder / "sets.json").unlink()
    del maker.drawn[:]
    assert maker.main([]) == 0 and maker.drawn == ["noto"]
    assert {path.name: path.read_bytes() for path in maker.folder.iterdir()} == before


@pytest.mark.parametrize("harm", [*HARMS, redrawn])
def test_a_file_that_is_not_as_listed_is_made_anew(maker, harm):
    maker.main([])
    before = {path.name: path.read_bytes() for path in maker.folder.iterdir()}
    harm(maker.folder)
    del maker.drawn[:]
    assert maker.main([]) == 0 and maker.drawn == ["noto"]
    assert {path.name: path.read_bytes() for path in maker.folder.iterdir()} == before


def test_another_sets_file_that_sets_json_lists_is_made_anew(maker):
    maker.main([])
    foreign(maker.folder)
    sign(maker.folder)
    del maker.drawn[:]
    assert maker.main([]) == 0 and maker.drawn == ["noto"]


def test_another_versions_files_are_made_anew(maker):
    maker.main([])
    before = (maker.folder / "sets.json").read_bytes()
    redrawn(maker.folder)
    sign(maker.folder, package="@iconify/json@1.0.0")
    del maker.drawn[:]
    assert maker.main([]) == 0 and maker.drawn == ["lucide", "noto"]
    assert (maker.folder / "sets.json").read_bytes() == before


def test_after_an_interruption_only_files_of_the_other_version_are_made_anew(maker):
    maker.main([])
    redrawn(maker.folder)
    sign(maker.folder, package="@iconify/json@1.0.0")
    table = table_of(maker.folder)
    table["sets"]["lucide"]["sha256"] = 64 * "0"  # this one has been made anew
    (maker.folder / "sets.json").write_text(json.dumps(table), encoding="utf-8")
    del maker.drawn[:]
    assert maker.main([]) == 0 and maker.drawn == ["noto"]


@pytest.mark.parametrize("harm", [
    lambda table: table.update(sets=None), lambda table: table.update(sets={}),
    lambda table: table["sets"].pop("noto"), lambda table: table["sets"]["noto"].update(icons=1),
    lambda table: table["sets"]["noto"].pop("categories"), dict.clear,
])  # fmt: skip
def test_a_damaged_table_is_mended_and_no_picture_drawn(maker, harm):
    maker.main([])
    before, table = (maker.folder / "sets.json").read_bytes(), table_of(maker.folder)
    harm(table)
    (maker.folder / "sets.json").write_text(json.dumps(table), encoding="utf-8")
    del maker.drawn[:]
    assert maker.main([]) == 0 and maker.drawn == []
    assert (maker.folder / "sets.json").read_bytes() == before


def test_a_package_that_is_cut_is_fetched_again(maker):
    maker.folder.mkdir(parents=True)
    (maker.folder / "package.tgz").write_bytes(b"\x1f\x8b")
    assert maker.main([]) == 0


# -- what is wrong is said -------------------------------------------------------------------------
@pytest.mark.parametrize("where, what", [
    (".", "a file"), ("icons", "a file"), ("icons/noto.npz", "a folder"),
    ("icons/sets.json", "a folder"), ("icons/package.tgz", "a folder"),
])  # fmt: skip
def test_a_place_that_cannot_be_used_is_named(maker, where, what):
    path = maker.folder.parent / where
    path.mkdir(parents=True) if what == "a folder" else path.parent.mkdir(exist_ok=True)
    if what == "a file":
        path.write_text("")
    with pytest.raises(
        SystemExit, match=r"need a folder that you may read .*MINIVIT_DATA"
    ) as error:
        maker.main([])
    assert str(path) in str(error.value)


def test_a_folder_that_may_not_be_read_or_written_is_named(maker, monkeypatch):
    maker.folder.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *a: False)
        with pytest.raises(SystemExit, match=r"icons: it may not be written\. .*MINIVIT_DATA"):
            maker.main([])

    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(SystemExit, match=r"icons: Permission denied\. .*MINIVIT_DATA"):
        maker.main([])


def test_without_the_renderer_the_command_that_installs_it_is_said(maker, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(SystemExit, match=r"resvg_py is missing: pip install resvg_py==\S+ pillow"):
        maker.main([])


@pytest.mark.skipif(os.name == "nt", reason="a script of sh")
def test_the_reason_of_npm_is_said(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(files.data_folder())
    monkeypatch.delitem(sys.modules, "packages", raising=False)
    import packages

    npm = tmp_path / "npm"  # as npm does: silent is silent
    npm.write_text(
        '#!/bin/sh\ncase "$*" in *silent*) ;; *) echo npm error ENOTFOUND >&2;; esac\nfalse'
    )
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SystemExit, match=r"(?s)npm pack .* failed:\nnpm error ENOTFOUND"):
        packages.npm_archive("a@1", tmp_path)


def test_the_command_says_the_reason_and_what_to_do_offline(tmp_path):
    (tmp_path / "icons").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", "data", "icons"], capture_output=True, text=True,
        env={**os.environ, "MINIVIT_DATA": str(tmp_path)}, cwd=files.data_folder().parent,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"{tmp_path / 'icons'}: " in done.stderr and "Offline: copy" in done.stderr


def test_help_says_where_the_data_are_kept(capsys):
    with pytest.raises(SystemExit):
        commands.main(["data", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "$MINIVIT_DATA" in text and "pip install resvg_py==0.5.0" in text
