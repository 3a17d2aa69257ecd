"""The library reads from front to back: the table of contents in minivit/__init__.py is the tree on
disk, and a file imports only from what stands before it there, rooms included."""

import ast
import re
import sys
from pathlib import Path

import pytest

import minivit

ROOT = Path(minivit.__file__).parent
PROJECT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
COUNTED = {"grading/checks"}  # rooms whose files the table of contents does not name one by one
INSIDE = ("published", "course", "grading", "commands")  # these may ask their own room's __init__


def table_of_contents(text):
    """The modules that an indented tree names, in its order: ["engine", "engine.errors", ...].

    A line is `name/  what it is` or `name  what it is`, or several names and nothing else.
    """
    tree = re.search(r"(?m)^ {4}engine/(?:.*\n)+?\n", text)[0]
    found, rooms = [], []
    for line in tree.rstrip().splitlines():
        depth = (len(line) - len(line.lstrip()) - 4) // 4
        names = re.split(r" {2,}", line.strip())[0].split()
        del rooms[depth:]
        found += [".".join([*rooms, name.rstrip("/")]) for name in names]
        if names[0].endswith("/"):
            rooms.append(names[0].rstrip("/"))
    return found


CONTENTS = table_of_contents(minivit.__doc__)


def module(path):
    """engine/graph.py -> "engine.graph", engine/__init__.py -> "engine"."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] in ("__init__", "__main__") else parts)


def counted(name):
    """The name under which the table of contents has a module."""
    for room in COUNTED:
        if name.startswith(room.replace("/", ".") + "."):
            return room.replace("/", ".")
    return name


def imports(path):
    """The modules of minivit that a file imports, as ("engine.graph", at the top of the file?), and
    the names of everything else, wherever in the file the import stands."""
    own, others = set(), set()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *parts = name.split(".")
            if first != "minivit":
                others.add(first)
                continue
            while parts and not is_module(parts):
                parts = parts[:-1]  # minivit.nn.Linear: a name of minivit.nn
            own.add((".".join(parts), node in tree.body))
    return own, others


def is_module(parts):
    return (ROOT.joinpath(*parts)).is_dir() or ROOT.joinpath(*parts).with_suffix(".py").is_file()


def test_the_table_of_contents_is_the_tree_on_disk():
    there = {counted(module(path)) for path in FILES} - {""}
    assert sorted(CONTENTS) == sorted(there)


def test_the_readme_shows_the_same_tree():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"(?m)^ {4}engine/(?:.*\n)+?\n", minivit.__doc__)[0]
    assert "".join(line[4:] + "\n" for line in tree.rstrip().splitlines()) in readme


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_back_only(path):
    here = counted(module(path))
    if path.name == "__main__.py" or not here:
        return  # a program may import its whole room; the table of contents all of it
    room = here.split(".")[0]
    for target, at_the_top in imports(path)[0]:
        target = counted(target)
        if target == here or target.startswith(f"{here}."):
            continue  # a room's __init__ gathers its files
        if target == room and room in INSIDE:
            continue
        if not target:
            assert room in ("training", *INSIDE), f"{path} imports minivit itself"
            continue
        if target.split(".")[0] == room and not at_the_top:
            continue  # a cycle of calls within a room, such as `load` and its families
        assert CONTENTS.index(target) < CONTENTS.index(here), f"{path} imports {target}"


def test_the_modules_form_no_circle():
    """At the top of files, rooms included."""
    graph = {}
    for path in FILES:
        graph.setdefault(module(path), set()).update(
            target for target, at_the_top in imports(path)[0] if at_the_top
        )
    done = set()

    def visit(node, above):
        assert node not in above, f"a circle through {node}"
        if node in done:
            return
        for target in graph.get(node, set()) - {node}:
            room_of_node = node.startswith(f"{target}.") or target.startswith(f"{node}.")
            if not room_of_node:  # a room's __init__ and its files know each other
                visit(target, above | {node})
        done.add(node)

    for node in graph:
        if node:
            visit(node, frozenset())


def test_the_library_never_reads_lectures():
    for path in FILES:
        assert not re.search(r"[\"']lectures\b", (ROOT / path).read_text(encoding="utf-8")), path


def test_only_the_backend_imports_cupy():
    for path in FILES:
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.as_posix() not in ("engine/backend.py", "engine/special.py"):
            assert not imports(path)[1] & {"cupy", "cupyx"}, path
            assert "import_module" not in text or "cupy" not in text, path


# Packages that the rooms up to the papers need beside Python and NumPy, and where.
ELSEWHERE = {
    "engine/check.py": {"hypothesis"},
    "engine/backend.py": {"cupy", "cupyx"},
    "engine/special.py": {"cupyx"},
    "engine/loops.py": {"numba"},
    "models/scaling.py": {"scipy"},
    "models/image_gpt.py": {"tqdm"},  # the progress bar of a long completion
    "text/clip.py": {"ftfy"},
}
PLAIN = CONTENTS[: CONTENTS.index("published")]


def test_chapters_and_models_need_numpy_alone():
    for path in FILES:
        if module(path) in PLAIN:
            others = imports(path)[1] - set(sys.stdlib_module_names) - {"numpy"}
            assert others <= ELSEWHERE.get(path.as_posix(), set()), path


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_can_be_read_in_one_sitting(path):
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"{path} has {lines} lines"
