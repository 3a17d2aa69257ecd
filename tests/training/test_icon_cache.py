"""The cache of icons: whole, or an error that says what mends it; and no more memory than that."""

import json
import subprocess
import sys
import zlib

import numpy as np
import pytest

from minivit.engine.errors import DataError
from minivit.training import icon_cache, icons
from tests.training import icon_folders


@pytest.mark.parametrize("harm", ["cut", "gone", "another", "table", "no table", "nothing"])
def test_a_broken_cache_names_the_file_and_the_command_that_mends_it(icon_folder, harm):
    file = icon_folder / "noto.npz"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif harm == "gone":
        file.unlink()
    elif harm == "another":
        file.write_bytes(b"PK")
    elif harm == "table":
        (icon_folder / "sets.json").write_text("{")
    else:
        (icon_folder / "sets.json").unlink()
        for path in icon_folder.glob("*.npz" if harm == "nothing" else "noto.npz"):
            path.unlink()
    with pytest.raises(DataError, match="minivit data icons") as error:
        icons.icons()
    assert str(icon_folder) in str(error.value)
    if harm.startswith("no"):
        assert "Offline" in str(error.value)


def without(key):
    return lambda sets: sets["noto"].pop(key)


def noto(**changes):
    return lambda sets: sets["noto"].update(changes)


@pytest.mark.parametrize("change, said", [
    (None, "its sets are None"), (dict.clear, "its sets are {}"),
    (lambda sets: sets.update(noto=3), "title of noto is None, expected str"),
    *((without(key), f"{key} of noto is None") for key in (*icon_cache.FIELDS, "blank")),
    (noto(icons="30"), "icons of noto is '30', expected int"),
    (noto(icons=31), "names 30 icons, sets.json 31"), (noto(icons=4), "names 30 icons"),
    (noto(blank=[30]), "blank of noto is .*expected places, below 30"),
    (noto(blank=["a"]), "blank of noto"), (noto(blank=[2**40]), ""),
    (noto(categories={"All": None}), "All of noto is None"), (noto(prefixes="ic"), "prefixes"),
])  # fmt: skip
def test_a_table_of_other_contents_is_damaged(icon_folder, change, said):
    read = json.loads((icon_folder / "sets.json").read_text())
    if change:
        change(read["sets"])
    icon_folders.write_table(icon_folder, read["sets"] if change else None)
    with pytest.raises(DataError, match=rf"damaged \(.*{said}.*Mend it: minivit data icons"):
        icons.icons()


@pytest.mark.parametrize("text", ["[1]", "3", "null", '"sets"', "[" * 100_000])
def test_a_table_of_another_kind_is_damaged(icon_folder, text):
    (icon_folder / "sets.json").write_text(text)
    with pytest.raises(DataError, match=r"sets\.json is damaged"):
        icon_cache.about()


def test_pictures_of_another_shape_are_damaged(icon_folder):
    entry = icon_folders.write_set(icon_folder, "lucide", np.zeros((4, 16, 16), np.uint8))
    icon_folders.write_table(icon_folder, {"lucide": entry})
    with pytest.raises(DataError, match=r"got \(4, 16, 16\) uint8, expected \(4, 32, 32\)"):
        icons.icons()


@pytest.mark.parametrize("name", ["sets.json", "noto.npz", ""])
def test_what_cannot_be_read_is_not_called_damaged(icon_folder, name):
    """A folder in a file's place, or a file in the folder's: root may read everything else."""
    path = icon_folder / name
    path.rename(icon_folder.parent / "moved")
    path.mkdir() if name else path.write_text("a file")
    with pytest.raises(DataError, match=r"cannot be read \(.*MINIVIT_DATA") as error:
        icons.icons()
    assert str(path) in str(error.value) and "damaged" not in str(error.value)


def test_a_set_that_the_table_lacks_is_told(icon_folder, monkeypatch):
    with pytest.raises(DataError, match=r"no set for .*akar.*another version.*minivit data icons"):
        icons.iconnet("all")
    names = [f"thing-{i:02}-outline" for i in range(40)]
    table = {"sets": {"lucide": {"family": "f", "crc32": 1}}, "families": {"f": "test"},
             "classes": ["a"], "members": {"lucide": {"gaps": [2], "labels": [0]}}}  # fmt: skip
    monkeypatch.setattr(icons, "split", lambda: table)
    with pytest.raises(DataError, match=r"lucide\.npz holds other icons.*Mend it: minivit data"):
        icons.iconnet("all")
    assert icon_cache.read_set("lucide", icon_cache.about()).split("\n") == names


def test_pictures_are_read_by_their_places_piece_by_piece(icon_folder):
    rng = np.random.default_rng(0)
    n = 3 * icon_cache.PIECE - 5
    images = rng.integers(0, 256, (n, 32, 32), dtype=np.uint8)
    colour = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    table = {"a": icon_folders.write_set(icon_folder, "a", images, colour)}
    for places in (np.arange(n), np.array([0, icon_cache.PIECE, n - 1]), np.zeros(0, int)):
        for expected in (images, colour):
            out = np.zeros((len(places), *expected.shape[1:]), np.uint8)
            icon_cache.read_set("a", table, places, out, colour=expected is colour)
            assert (out == expected[places]).all()


# -- memory ----------------------------------------------------------------------------------------
MEASURE = """
import json, sys
from minivit.training import icon_cache, icons

def peak():
    (line,) = (s for s in open("/proc/self/status") if s.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

if len(sys.argv) > 2:
    with open(sys.argv[2]) as file:
        table = json.load(file, object_hook=icon_cache.compact)
    icons.split = lambda: table
before = peak()
found = {"shipped": icons.iconnet, "all": lambda: icons.iconnet("all"), "icons": icons.icons,
         "colour": lambda: icons.icons(colour=True)}[sys.argv[1]]()
print((peak() - before) / found.images.nbytes)
"""


def memory_of(*arguments):
    """The growth of a fresh process' memory, per byte of pictures."""
    command = [sys.executable, "-c", MEASURE, *map(str, arguments)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@linux
def test_what_ships_takes_its_pictures_memory():
    assert memory_of("shipped") < 1.2


@linux
@pytest.mark.parametrize("which", ["all", "icons", "colour"])
def test_the_whole_cache_takes_its_pictures_memory(which):
    if not (icon_cache.cache() / "sets.json").exists():
        pytest.skip("needs the icons: minivit data icons")
    assert memory_of(which) < 1.2


@linux
def test_a_large_set_takes_its_pictures_memory(icon_folder):
    """Nearly all pictures are in one set, and half of them are IconNet's."""
    n = 90_000
    images = np.repeat(np.arange(n, dtype=np.uint8), 1024).reshape(n, 32, 32)
    names = [f"thing-{i}" for i in range(n)]
    sets = {"lucide": icon_folders.write_set(icon_folder, "lucide", images, names=names)}
    some = n // 200
    colour = np.repeat(images[:some, ..., None], 3, -1)
    sets["noto"] = icon_folders.write_set(icon_folder, "noto", images[:some], colour)
    icon_folders.write_table(icon_folder, sets)
    crc = zlib.crc32("\n".join(names).encode())
    table = {"sets": {"lucide": {"family": "f", "crc32": crc}}, "families": {"f": "train"},
             "classes": ["thing"], "family of": {},
             "members": {"lucide": {"gaps": [1] * (n // 2), "labels": [0] * (n // 2)}}}  # fmt: skip
    (icon_folder / "list.json").write_text(json.dumps(table))
    for which in ("all", "icons"):
        assert memory_of(which, icon_folder / "list.json") < 1.2, which
