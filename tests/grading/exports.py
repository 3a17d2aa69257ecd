"""A class as each system exports it: files under the names that systems and people leave them.

Each student of CLASS is a form of handing in: what lies in the export, and what must come of it.
The names are invented.
"""

import io
import json
import tarfile
import zipfile
from pathlib import Path

from minivit.grading.exercise import find

EXERCISES = Path(__file__).parents[2] / "exercises"
E = find("chain_rule")
STEM = E.stem
RIGHT = (EXERCISES / "source" / f"{STEM}.py").read_text(encoding="utf-8").replace("### ", "# ")
WRONG = RIGHT.replace("g[parent] += g[node]", "g[parent] = g[node]")
STUB = (EXERCISES / f"{STEM}.py").read_text(encoding="utf-8")
STUB_BOOK = (EXERCISES / f"{STEM}.ipynb").read_text(encoding="utf-8")
TITLE = STEM[:3] + "Chain_Rule"


def book(text, **metadata):
    cells = [{"cell_type": "code", "source": text, "metadata": {}, "outputs": []}]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": metadata})


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(files, mode="w:gz"):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def write(folder, files):
    """Files by path; a dict is a folder."""
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))


PY, BOOK = RIGHT, book(RIGHT)
MAC = {f"__MACOSX/._{STEM}.py": b"\0\5\26\7", f"hw/{STEM}.py": PY, "hw/.DS_Store": b"\0"}

# name of what is handed in: content. All of these hold a right answer.
FILES = {
    "as it was": {f"{STEM}.py": PY},
    "a notebook": {f"{STEM}.ipynb": BOOK},
    "downloaded twice": {f"{STEM} (1).py": PY},
    "Canvas again": {f"{STEM}-2.ipynb": BOOK},
    "Jupyter's copy": {f"{STEM}-Copy1.ipynb": BOOK},
    "other case": {f"{TITLE}.PY": PY},
    "a shouting notebook": {f"{STEM}.IPYNB": BOOK},
    "py.txt": {f"{STEM}.py.txt": PY},
    "ipynb.json": {f"{STEM}.ipynb.json": BOOK},
    "ipynb.txt": {f"{STEM}.ipynb.txt": BOOK},
    "a notebook called py": {f"{STEM}.py": BOOK},
    "copied by Windows": {f"{STEM} - Copy.py": PY},
    "final": {f"{STEM}_final_v2.py": PY},
    "hyphens": {STEM.replace("_", "-") + ".py": PY},
    "spaces": {STEM.replace("_", " ") + ".ipynb": BOOK},
    "no zero": {STEM.lstrip("0") + ".py": PY},
    "a name before": {f"Ada Example {STEM}.py": PY},
    "a folder in a folder": {f"homework/week 3/{STEM}.py": PY},
    "a zip": {"hw.zip": zipped({f"{STEM}.py": PY})},
    "a zip with a folder": {"hw.ZIP": zipped({f"hw/{STEM}.ipynb": BOOK})},
    "a zip in a zip": {"a.zip": zipped({"b.zip": zipped({f"{STEM}.py": PY})})},
    "a zip in a zip in a zip": {
        "a.zip": zipped({"b.zip": zipped({"c/c.zip": zipped({f"{STEM}.py": PY})})})
    },
    "a tar.gz": {"hw.tar.gz": tarred({f"./hw/{STEM}.py": PY})},
    "a tgz": {"hw.tgz": tarred({f"{STEM}.ipynb": BOOK})},
    "a tar": {"hw.tar": tarred({f"{STEM}.py": PY}, "w")},
    "a tar.bz2": {"hw.tar.bz2": tarred({f"{STEM}.py": PY}, "w:bz2")},
    "a Mac's zip": {"hw.zip": zipped(MAC)},
    "a Windows zip": {"hw.zip": zipped({f"hw\\{STEM}.py": PY})},
    "beside the starter": {f"{STEM}.ipynb": BOOK, f"{STEM}.py": STUB},
    "beside a later starter": {f"{STEM}.py": PY, f"{STEM}.ipynb": STUB_BOOK},
    "beside a wrong one": {f"{STEM}.py": PY, f"{STEM}-1.py": WRONG},
    "two attempts": {f"1/{STEM}.py": WRONG, f"2/{STEM}.py": PY},
    "beside an emptied one": {f"{STEM}.ipynb": book(""), f"{STEM}.py": PY},
    "a duplicate in a zip": {"a.zip": zipped({f"{STEM}.py": PY, f"copy/{STEM}.py": PY})},
    "beside a checkpoint": {
        f"{STEM}.ipynb": BOOK, f".ipynb_checkpoints/{STEM}-checkpoint.ipynb": STUB_BOOK,
    },
    "a large number": {f"{STEM}.ipynb": BOOK.replace('"nbformat": 4', '"n": %s, "nbformat": 4' % (
        "7" * 5000))},
    "Windows lines": {f"{STEM}.py": PY.replace("\n", "\r\n")},
    "a mark of order": {f"{STEM}.py": "\ufeff" + PY},
    "with a picture": {f"{STEM}.py": PY, "plot.png": b"\x89PNG", "notes.md": "# Notes"},
    "the bundle": {f"{STEM}.py": PY, "README.md": "x", f"{STEM}.md": "x"},
    "a fork": {
        "minivit/__init__.py": "", "minivit/attention.py": "", f"exercises/{STEM}.py": PY,
        f"exercises/{STEM}.ipynb": STUB_BOOK, f"exercises/source/{STEM}.py": WRONG,
        "tests/answers/chain_rule.py": RIGHT, ".git/config": "",
    },
}  # fmt: skip
# Folders without an answer that is read: files, and a part of the sentence that says so.
NAMED = {
    "nothing": ({".keep": ""}, "nothing was handed in"),
    "a PDF": ({f"{STEM}.pdf": b"%PDF"}, f"{STEM}.pdf is not read"),
    "a wrong name": ({"homework.py": "x = 1"}, "the name of no exercise: homework.py"),
    "a wrong name in a zip": ({"a.zip": zipped({"hw3.ipynb": book("x = 1")})}, "hw3.ipynb"),
    "a rar": ({"hw.rar": b"Rar!"}, "hw.rar"),
    "a 7z": ({"hw.7z": b"7z"}, "hw.7z"),
    "a broken zip": ({"hw.zip": b"PK\3\4"}, "hw.zip is no zip file that can be read"),
    "a broken tar": ({"hw.tar.gz": b"\x1f\x8b"}, "hw.tar.gz is no tar file that can be read"),
    "a syntax error": ({f"{STEM}.py": "def chain_rule(:\n"}, "SyntaxError"),
    "another function": ({f"{STEM}.py": "def chain(a, b):\n    pass\n"}, "no function chain_rule"),
    "an empty file": ({f"{STEM}.py": ""}, "the file is empty"),
    "the starter": ({f"{STEM}.py": STUB}, "as they were handed out"),
    "a fork's solutions": (
        {"minivit/__init__.py": "", f"exercises/source/{STEM}.py": RIGHT}, "a folder source",
    ),
    "too deep": (
        {"a.zip": zipped({"b.zip": zipped({"c.zip": zipped({"d.zip": zipped({
            f"{STEM}.py": PY})})})})},
        "more than 3 archives",
    ),
}  # fmt: skip
