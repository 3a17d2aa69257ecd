r"""The cache of icons, in ~/.cache/minivit or $MINIVIT_DATA: an archive a set, and sets.json, which
says what is in them.

    table = about()                              # {set: its title, author, licence, categories ...}
    names = read_set("bi", table).split("\n")    # of all its icons
    read_set("bi", table, places, out)           # and the pictures at some places, into `out`

`minivit data icons` makes the folder, and makes anew what is refused here (data/make_icons.py).
Pictures are read a piece at a time, straight into the memory where they stay.
"""

import hashlib
import json
import zipfile

import numpy as np

from minivit import files
from minivit.engine.errors import DataError

COMMAND = "minivit data icons"
MEND = f"Mend it: {COMMAND}"
PIECE = 256  # pictures that are read at once
FIELDS = {
    "title": str, "icons": int, "colour": bool, "author": str, "url": str, "licence": str,
    "categories": dict, "sha256": str,
}  # fmt: skip


def cache():
    """The folder."""
    return files.cache_folder() / "icons"


def about(folder=None):
    """The entry of each set in sets.json: its FIELDS; "blank", the places of blank pictures; and of
    each category the places of its icons. Places are arrays."""
    folder = folder or cache()
    path = folder / "sets.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"), object_hook=compact)
        sets = read.get("sets") if isinstance(read, dict) else read
        if not isinstance(sets, dict) or not sets:
            raise ValueError(f"its sets are {sets!r:.40}")
        for name, entry in sets.items():
            _check(name, entry)
        return sets
    except FileNotFoundError as reason:
        begun = len(list(folder.glob("*.npz")))
        what = f"are not complete: {begun} sets, and no" if begun else "are not here: there is no"
        raise DataError(
            f"the icons {what} {path}. `{COMMAND}` makes them, or goes on (it needs npm, resvg_py "
            f"and, once, a network). Offline: copy the folder {folder} from a machine that has "
            'it, or use what ships: iconnet("shipped")'
        ) from reason
    except OSError as reason:
        raise _unreadable(path, reason) from reason
    except Exception as reason:  # no JSON, or other JSON than ours
        raise _damaged(path, reason) from reason


def compact(read):
    """A dict that JSON gave, its lists of integers as arrays: an int alone takes 36 bytes."""
    for key, value in read.items():
        if type(value) is list and value and all(type(i) is int for i in value):
            read[key] = np.array(value, np.int32)
    return read


def _check(name, entry):
    for field, kind in FIELDS.items():
        value = entry.get(field) if isinstance(entry, dict) else None
        if type(value) is not kind:
            raise ValueError(f"{field} of {name} is {value!r:.40}, expected {kind.__name__}")
    if type(entry.get("prefixes", [])) is not list:
        raise ValueError(f"prefixes of {name} are {entry['prefixes']!r:.40}, expected a list")
    for title, places in [("blank", entry.get("blank")), *entry["categories"].items()]:
        inside = type(places) is np.ndarray and 0 <= places.min() <= places.max() < entry["icons"]
        if not inside and (type(places) is not list or places):
            raise ValueError(
                f"{title} of {name} is {places!r:.40}, expected places, below {entry['icons']}"
            )


def read_set(name, table, places=None, out=None, colour=False, folder=None):
    """The names of a set's icons, as lines. The pictures at `places`, which ascend, are written
    into `out`: bytes (n, 32, 32), or with `colour` (n, 32, 32, 3)."""
    path = (folder or cache()) / f"{name}.npz"
    if (entry := table.get(name)) is None:
        raise DataError(f"sets.json has no set for {path}: another version made it. {MEND}")
    try:
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                raise ValueError(f"its SHA-256 is not in sets.json; it has {file.tell()} bytes")
            with zipfile.ZipFile(file) as archive:
                return _read(archive, entry["icons"], entry["colour"], places, out, colour)
    except FileNotFoundError as reason:
        raise DataError(f"{path} is not here. {MEND}") from reason
    except OSError as reason:
        raise _unreadable(path, reason) from reason
    except Exception as reason:  # cut, or no archive, or not what sets.json says
        raise _damaged(path, reason) from reason


def _read(archive, icons, in_colour, places, out, colour):
    with archive.open("names.npy") as file:
        names = np.lib.format.read_array(file, allow_pickle=False).tobytes().decode()
    if (count := names.count("\n") + 1) != icons:
        raise ValueError(f"it names {count} icons, sets.json {icons}")
    shapes = {"images": (icons, 32, 32)} | ({"colour": (icons, 32, 32, 3)} if in_colour else {})
    for key, shape in shapes.items():
        with archive.open(f"{key}.npy") as file:
            np.lib.format.read_magic(file)
            found = np.lib.format.read_array_header_1_0(file)
            if found != (shape, False, np.uint8):
                raise ValueError(f"{key}: got {found[0]} {found[2]}, expected {shape} uint8")
            if out is not None and colour == (key == "colour"):
                _copy_rows(file, shape, places, out)
    return names


def _copy_rows(file, shape, places, out):
    """Rows of an array, which `file` holds from here on, into `out`; a piece at a time."""
    size = int(np.prod(shape[1:]))
    for start in range(0, shape[0], PIECE):
        n = min(PIECE, shape[0] - start)
        rows = np.frombuffer(file.read(n * size), np.uint8).reshape(n, *shape[1:])
        first, last = np.searchsorted(places, (start, start + n))
        out[first:last] = rows[places[first:last] - start]


def _damaged(path, reason):
    return DataError(f"{path} is damaged ({reason}). {MEND}")


def _unreadable(path, reason):
    return DataError(
        f"{path} cannot be read ({reason.strerror or reason}). Let your user read it, or name "
        "another folder in $MINIVIT_DATA"
    )
