"""More forms of handing in, as a stranger's class has them (exports.py has the first ones).

ARRIVES holds forms whose right answer is read; STANDS_OUT those of which a person is told, with a
part of the sentence; SYSTEMS the exports of systems. The names are invented.
"""

import io
import json
import stat
import unicodedata
import warnings
import zipfile

from minivit.grading.exercise import find
from tests.grading.exports import BOOK, EXERCISES, PY, RIGHT, STEM, WRONG, tarred, write, zipped

__all__ = ["ARRIVES", "SECOND", "STANDS_OUT", "SYSTEMS", "write"]
SECOND = find("vit_input").stem
RIGHT_2 = (EXERCISES / "source" / f"{SECOND}.py").read_text("utf-8").replace("### ", "# ")
TO_THE_LEFT, TO_THE_RIGHT = "\u200f", "\u200e"
NUMBER, WORDS = STEM[:2], STEM[3:].split("_")  # "16", ["chain", "rule"]
WIDE = STEM.translate({c: c + 0xFEE0 for c in range(0x21, 0x7F)})  # as an input method of Japan


def cells(*texts, **metadata):
    code = [{"cell_type": "code", "source": t.splitlines(True), "metadata": {"id": f"c{i}"},
             "execution_count": i, "outputs": []} for i, t in enumerate(texts)]  # fmt: skip
    page = {"cell_type": "markdown", "source": ["<a href='x'>Open in Colab</a>"], "metadata": {}}
    book = {"cells": [page, *code], "nbformat": 4, "nbformat_minor": 0, "metadata": metadata}
    return json.dumps(book)


def archive_of(entries):
    """A zip file of (name or ZipInfo, content), in which a name may stand twice."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def link(name, to):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return archive_of([(entry, to)])


def locked():
    content = bytearray(zipped({f"{STEM}.py": PY}))
    content[content.index(b"PK\1\2") + 8] |= 1  # the flag of a password
    return bytes(content)


COLAB = cells(
    "#@title Setup { display-mode: 'form' }\n!pip install -q minivit\n"
    "from google.colab import drive\ndrive.mount('/content/drive')\n%cd /content/drive/MyDrive\n",
    RIGHT, colab={"provenance": [], "toc_visible": True}, accelerator="GPU",
)  # fmt: skip
INSIDE = {f"{STEM}.py": PY}
ARRIVES = {
    # names
    "of Colab in German": {f"Kopie von {STEM}.ipynb": COLAB},
    "a copy of a copy": {f"Copy of Copy of {STEM}.ipynb": BOOK},
    "of a German Windows": {f"{STEM} - Kopie (2).py": PY},
    "with emoji": {f"🎉 {STEM} 🎉.py": PY},
    "from right to left": {f"דנה כהן {TO_THE_LEFT}{STEM}{TO_THE_LEFT}.py": PY},
    "a mark inside": {f"{NUMBER}_{TO_THE_RIGHT}{'_'.join(WORDS)}.py": PY},
    "accents apart": {unicodedata.normalize("NFD", f"Zoë Müller {STEM} été.ipynb"): BOOK},
    "wide letters": {f"{WIDE}．ｐｙ": PY},
    "dashes of a text processor": {f"{NUMBER}–{'–'.join(WORDS)}.py": PY},
    "spaces that do not break": {"\u00a0".join([NUMBER, *WORDS]) + ".py": PY},
    "double": {f"{NUMBER}__{'__'.join(WORDS)}.py": PY},
    "as a heading": {f"{NUMBER}) {' '.join(WORDS).title()}.ipynb": BOOK},
    "from an address": {f"{NUMBER}%20{'%20'.join(WORDS)}.py": PY},
    "twice a suffix": {f"{STEM}.ipynb.ipynb": BOOK},
    "no suffix": {STEM: BOOK},
    "only text": {f"{STEM}.txt": PY},
    "two at once": {f"{STEM} (Ada's conflicted copy 2026-11-03).py": PY},
    "a line end in it": {f"my\n{STEM}.py": PY},
    "a long one": {f"{'very ' * 40}{STEM}.py": PY},
    # what it defines says which it answers
    "the number": {f"{NUMBER}.py": PY},
    "the function": {"chain_rule.py": PY},
    "homework": {"Homework 3 (final).ipynb": COLAB},
    "untitled": {"Untitled1.ipynb": BOOK},
    "a folder says which": {f"{STEM}/solution.py": PY},
    "all in one notebook": {"all.ipynb": cells(RIGHT, RIGHT_2)},
    "all in one script": {"solutions.py": f"{RIGHT}\n{RIGHT_2}"},
    "beside a fork": {"m-main/minivit/__init__.py": "", "m-main/homework.ipynb": BOOK,
                      "m-main/tests/answers/chain_rule.py": WRONG},
    # archives
    "named as the exercise": {f"{STEM}.zip": zipped(INSIDE)},
    "downloaded again": {"hw.zip (1)": zipped(INSIDE)},
    "loaded by wget": {"hw.zip.1": zipped(INSIDE)},
    "of Safari": {"hw.zip.download": zipped(INSIDE)},
    "a zip without a name": {"hw": zipped(INSIDE)},
    "a zip called rar": {"hw.rar": zipped(INSIDE)},
    "a zip called py": {f"{STEM}.py": zipped(INSIDE)},
    "a zip called tgz": {"hw.tar.gz": zipped(INSIDE)},
    "a tgz called zip": {"hw.zip": tarred(INSIDE)},
    "a tar called tgz": {"hw.tar.gz": tarred(INSIDE, "w")},
    "absolute": {"hw.zip": zipped({f"/home/ada/{STEM}.py": PY})},
    "upwards": {"hw.zip": zipped({f"../../{STEM}.py": PY})},
    "a drive": {"hw.zip": zipped({f"C:\\Users\\ada\\{STEM}.py": PY})},
    "one name twice": {"hw.zip": archive_of([(f"{STEM}.py", WRONG), (f"{STEM}.py", PY)])},
    "two in one": {"hw.zip": zipped({f"ada/{STEM}.py": PY, f"ben/{STEM}.py": WRONG})},
    "one each": {"a.zip": zipped({f"{STEM}.py": WRONG}), "b.zip": zipped(INSIDE)},
    "with its folders": {"hw.zip": archive_of([(f"{STEM}/", ""), (f"{STEM}/x.py", PY)])},
    # content
    "Colab": {f"{STEM}.ipynb": COLAB},
    "magic": {f"{STEM}.ipynb": cells("%matplotlib inline\n!ls", f"{RIGHT}\n%timeit 1 + 1\n")},
    "a mark in front": {f"{STEM}.ipynb": b"\xef\xbb\xbf" + BOOK.encode()},
    "lines of Windows": {f"{STEM}.ipynb": cells(RIGHT.replace("\n", "\r\n"))},
    "only Jupyter's copy": {f".ipynb_checkpoints/{STEM}-checkpoint.ipynb": BOOK},
    # what machines leave beside it
    "of Emacs": INSIDE | {f"#{STEM}.py#": PY, f".#{STEM}.py": "", f".{STEM}.py.swp": b"b0VIM"},
    "of Windows": INSIDE | {f"{STEM}.py:Zone.Identifier": "[ZoneTransfer]", "~$notes.docx": ""},
    "of a Mac": INSIDE | {"Icon\r": "", "._x.py": b"\0\5", ".AppleDouble/x.py": ""},
    "of Python": INSIDE | {f"{STEM}.pyc": b"\0", "env/lib/site-packages/a.py": "x = 1"},
}  # fmt: skip
NEWER = {f"{SECOND}.py": "def vit_input(*_):\n    return 0\n"}
STANDS_OUT = {
    "xz": (NEWER | {"hw.tar.xz": tarred(INSIDE, "w:xz")}, "hw.tar.xz"),
    "zst": (NEWER | {"hw.tar.zst": b"\x28\xb5\x2f\xfd"}, "hw.tar.zst"),
    "7z": (NEWER | {"hw.7z": b"7z\xbc\xaf"}, "hw.7z"),
    "rar": (NEWER | {"hw.part1.rar": b"Rar!\x1a\7"}, "hw.part1.rar"),
    "zipx": (NEWER | {"hw.zipx": b"PK\3\4"}, "hw.zipx"),
    "gz": (NEWER | {f"{STEM}.py.gz": b"\x1f\x8b"}, f"{STEM}.py.gz is not read"),
    "locked": ({"hw.zip": locked()}, f"{STEM}.py is locked with a password"),
    "nothing in it": ({"hw.zip": zipped({})}, "hw.zip holds no file"),
    "no bytes": ({"hw.zip": b""}, "hw.zip is no zip file that can be read"),
    "a link": ({"hw.zip": link(f"{STEM}.py", "/etc/passwd")}, f"{STEM}.py is a link"),
    "a link to a folder": ({"hw.zip": link("homework", "/home")}, "homework is a link"),
    "a shortcut": ({f"{STEM}.py - Shortcut.lnk": b"L\0"}, "Shortcut.lnk is not read"),
    "of Google": ({f"{STEM}.ipynb.gdoc": "{}"}, "gdoc is not read"),
    "a page": ({f"{STEM}.html": "<html>"}, f"{STEM}.html is not read"),
    "a mail": ({"homework.eml": "From: ada"}, "homework.eml"),
    "two in a named one": ({f"{STEM}.py": f"{RIGHT}\n{RIGHT_2}"}, "defines vit_input too"),
    "under another name": ({f"{SECOND}.py": RIGHT}, "defines chain_rule too"),
    "in a folder source": ({f"source/{STEM}.py": PY}, "in a folder source"),
    "code of nothing": ({"main.py": "x = 1\n"}, "main.py"),
    # these are judged, and the verdict says why there are no points
    "another function": ({f"{STEM}.py": RIGHT.replace("def chain", "def my_chain")},
                         "no function chain_rule is defined"),
    "UTF-16": ({f"{STEM}.py": RIGHT.encode("utf-16")}, "no text in UTF-8"),
    "format 3": ({f"{STEM}.ipynb": json.dumps({"nbformat": 3, "worksheets": [{"cells": [
        {"cell_type": "code", "input": RIGHT}]}]})}, "no notebook of format 4"),
    "a page called notebook": ({f"{STEM}.ipynb": "<!doctype html>"}, "no notebook of format 4"),
    "an empty notebook": ({f"{STEM}.ipynb": ""}, "no notebook of format 4"),
    "spaces that do not break": ({f"{STEM}.py": RIGHT.replace("    ", "\u00a0" * 4)},
                                 "invalid non-printable character"),
}  # fmt: skip

# -- systems: {file: content}, {student: whether an answer arrives} --------------------------------
BLACKBOARD = "Week 3_ Attention_{}_attempt_2026-11-{:02}-22-15-00{}"
CANVAS = {
    f"{who}_1234{i}_6789{i}_{file}": text
    for i, (who, file, text) in enumerate(
        [
            ("doejane", "homework.ipynb", BOOK),
            ("roejohn", "hw3-1.py", PY),
            ("poeann", "essay.pdf", ""),
        ]
    )
}
SYSTEMS = {
    "Blackboard": ({
        BLACKBOARD.format("jdoe42", 3, f"_{STEM}.ipynb"): BOOK,
        BLACKBOARD.format("jdoe42", 3, ".txt"): "Name: Jane Doe (jdoe42)",
        BLACKBOARD.format("aroe", 3, f"_{STEM}.py"): WRONG,
        BLACKBOARD.format("aroe", 4, f"_{STEM}.py"): PY,
        BLACKBOARD.format("bpoe", 4, "_hw.zip"): zipped(INSIDE),
        BLACKBOARD.format("ccoe", 4, ".txt"): "Submission Field: see my mail",
    }, {"jdoe42": True, "aroe": True, "bpoe": True, "ccoe": False}),
    "Teams": ({
        f"Submitted files/Jane Doe/Week 3/Version 1/{STEM}.py": WRONG,
        f"Submitted files/Jane Doe/Week 3/Version 2/{STEM}.py": PY,
        f"Submitted files/Ann Poe/Week 3/{STEM}.ipynb": BOOK,
        f"Working files/Ann Poe/Week 3/{STEM}.ipynb": "",
    }, {"Jane Doe": True, "Ann Poe": True}),
    "Google Classroom": ({
        f"Jane Doe - {STEM}.ipynb": COLAB, f"Zoë Óg - Copy of {STEM}.ipynb": BOOK,
        f"Copy of {STEM} - Ann Poe.ipynb": BOOK,
    }, {"Jane Doe": True, "Zoë Óg": True}),  # the third names nobody, and stands in "To look at"
    "Canvas, wrong names": (CANVAS, {"doejane": True, "roejohn": True, "poeann": False}),
    "Moodle, a newer one": ({
        f"Participant 7_1001_assignsubmission_file/{STEM}.py": PY,
        f"Group A-Ann Poe_1002_assignsubmission_file_/{STEM} (1).py": PY,
        "Sam Coe_1003_assignsubmission_file_/hw.zip": zipped(INSIDE),
    }, {"Participant 7": True, "Group A-Ann Poe": True, "Sam Coe": True}),
    "Brightspace, a day first": ({
        f"12345-67890 - Jane Doe-Roe - 3 November, 2026 1034 PM/{STEM}.py": PY,
        f"12346-67890 - Ann Poe - 4 nov. 2026 10h34/{STEM}.ipynb": BOOK,
    }, {"Jane Doe-Roe": True, "Ann Poe": True}),
    "GitHub Classroom": ({
        f"week-3-jdoe-11-03-2026-10-11-12/{STEM}.py": PY,
        f"week-3-apoe-11-03-2026-10-11-12/exercises/{STEM}.ipynb": BOOK,
        "week-3-apoe-11-03-2026-10-11-12/.github/workflows/x.yml": "",
    }, {"week-3-jdoe-11-03-2026-10-11-12": True, "week-3-apoe-11-03-2026-10-11-12": True}),
    "mail": ({
        f"Jane Doe <jane@example.org>/{STEM}.py": PY,
        "RE_ homework, week 3/Anhang.zip": zipped({f"Kopie von {STEM}.ipynb": COLAB}),
    }, {"Jane Doe _jane@example.org_": True, "RE_ homework, week 3": True}),
}  # fmt: skip
