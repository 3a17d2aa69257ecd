"""Text that means harm, read beside the judge and not in the locked process: the time and memory
that it takes are bounded, and what is not read has a reason.
"""

import json

import pytest

from minivit.grading import ipython, submission
from minivit.grading.teachers import archives, handed_in, layouts, names
from tests.clock import timed
from tests.grading.exports import RIGHT, STEM
from tests.memory import traced

MB = 1 << 20


def cells(*texts):
    found = [{"cell_type": "code", "source": t} for t in texts]
    return json.dumps({"cells": found, "nbformat": 4})


HOSTILE = {  # name: (suffix, text, what the trouble says)
    "many statements": (".py", "x;" * 600_000, "more than 1 MB of code"),
    "many lines": (".py", "\n" * 1_100_000, "more than 1 MB of code"),
    "half a megabyte of statements": (".py", "x;" * 250_000, ""),
    "one with a command": (".py", "x;" * 250_000 + "\n%time x\n", ""),
    "blank lines": (".py", "(\n" + "\n" * 200_000, ""),
    "blanks": (".py", "(\n=" + " " * 900_000 + "x", ""),
    "many commands": (".py", "%time x = 1\n" * 400, "too many commands of IPython"),
    "as many as are read": (".py", "%\n" * 70, ""),
    "commands in commands": (".ipynb", cells("%%time\n" * 120), ""),
    "commands in many cells": (".ipynb", cells(*["!ls\n" * 90] * 200), "too many commands"),
    "many cells": (".ipynb", cells(*["#"] * 30_000), "more than 1 MB of code"),
    "many empty cells": (".ipynb", cells(*[""] * 5_000), ""),
    "many lists": (".ipynb", '{"cells": [], "x": [' + "[]," * 3_000_000 + "[]]}", "no notebook"),
    "many keys": (".ipynb", '{"cells": [], "x": [' + '{"":0},' * 700_000 + "0]}", "no notebook"),
    "many names": (".py", "".join(f"{i:030}a=\n" for i in range(40_000)), "more than 1 MB of code"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_takes_little_time_and_memory(name, tmp_path):
    suffix, text, trouble = HOSTILE[name]
    path = tmp_path / f"{STEM}{suffix}"
    path.write_text(text, encoding="utf-8")
    person = layouts.Person("ada", given=[(path, path.name)])
    with timed() as seconds, traced() as memory:
        there = handed_in.one(person, tmp_path / "scratch", {})
        read = submission.read(path)
        peak = memory()[1]
    assert list(there.answers) == [STEM]
    assert trouble in read.trouble and bool(trouble) == bool(read.trouble)
    assert peak < 120 * MB, f"{peak / MB:.0f} MB"
    assert seconds() < 30


@pytest.mark.parametrize("end", ["x", ".py", "", " ", "(", "._-"])
@pytest.mark.parametrize("middle", ["1", "1 ", "(1)", "copy", "_.-", " ", "%20", "\u0661"])
@pytest.mark.parametrize("start", ["a.zip", "a.7z", "02_attention", "Copy of ", "a_1_attempt_"])
def test_a_long_name_takes_no_time(start, middle, end):
    name = start + middle * 3000 + end
    with timed() as seconds:
        names.is_archive(name), names.is_unread_archive(name), names.is_junk(name)
        names.read(name, list(handed_in.registry().values())), names.without_archive(name)
        archives.short(name)
    assert seconds() < 2


def test_commands_of_an_honest_notebook_are_read():
    magic = "%matplotlib inline\n!pip install x\n%time y = 1\n" * 10 + "?\n"
    asked = "x = 1  # why?\n" * 4000  # plain Python
    found, same = ipython.plain_cells([magic, asked])
    assert "y = 1" in found and "%" not in found and same == asked


def test_an_empty_cell_moves_no_number(tmp_path):
    (tmp_path / "a.ipynb").write_text(cells("", "x = 1", "  \n", RIGHT), encoding="utf-8")
    found = submission.read(tmp_path / "a.ipynb").cells
    assert [label for label, _, _ in found] == ["code cell 2", "code cell 4"]
