"""The library reads from front to back: a file imports only from earlier chapters, a paper only
from chapters and earlier papers, and nothing from the appendices but they themselves."""

import ast
import re
import sys
from pathlib import Path

import pytest

import minivit

ROOT = Path(minivit.__file__).parent
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
# number of each chapter, as the table of contents in minivit/__init__.py has it
CHAPTER = {
    name: int(number)
    for number, name in re.findall(r"(?m)^(?: {4}\w+| {4}) +(\d+) (\w+) ", minivit.__doc__)
}
PAPERS = re.findall(r"\w+", re.search(r"one file a paper: ([\w,\s]+)\n {4}\w", minivit.__doc__)[1])
APPENDICES = {"appendices", "long"}


def imports(path):
    """The modules of minivit that a file imports, as ("attention",) or ("models", "vit"), and the
    names of everything else, wherever in the file the import stands."""
    own, others = set(), set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] != "minivit":
                others.add(parts[0])
            elif len(parts) == 1:
                own.add(("__init__",))
            elif (ROOT / parts[1]).is_dir():
                own.add((parts[1], parts[2] if len(parts) > 2 else "__init__"))
            elif (ROOT / f"{parts[1]}.py").exists():
                own.add((parts[1],))
            else:
                own.add(("__init__",))  # minivit.softmax: a name of the table of contents
    return own, others


def paper(stem):
    """The place of a models/ file in the table; clip_objectives belongs to clip, after it."""
    name = max((p for p in PAPERS if f"{stem}_".startswith(f"{p}_")), key=len)
    return PAPERS.index(name), stem


def test_the_table_of_contents_names_every_chapter():
    there = {p.stem for p in FILES if len(p.parts) == 1 and p.stem != "__init__"}
    folders = {p.parts[0] for p in FILES if len(p.parts) > 1} - APPENDICES - {"models"}
    assert set(CHAPTER) == there | folders
    assert sorted(CHAPTER.values()) == list(range(len(CHAPTER)))
    assert set(PAPERS) <= {p.stem for p in FILES if p.parts[0] == "models"}
    assert len(PAPERS) >= 8


@pytest.mark.parametrize("name", sorted(CHAPTER, key=CHAPTER.get))
def test_a_chapter_says_its_number(name):
    path = ROOT / name / "__init__.py" if (ROOT / name).is_dir() else ROOT / f"{name}.py"
    first = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert first.startswith(f"Chapter {CHAPTER[name]}. ")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_back_only(path):
    own, _ = imports(path)
    part = path.parts[0]
    if part == "__init__.py":
        allowed = {*CHAPTER, "appendices"}  # inside of `load` only: tests/test_import.py
    elif part in APPENDICES:
        allowed = {*CHAPTER, "models", "__init__", *APPENDICES}
    elif part == "models":
        allowed = set(CHAPTER)
    else:
        here = CHAPTER[path.parts[0].removesuffix(".py")]
        allowed = {name for name, number in CHAPTER.items() if number < here}
    for target in own:
        if target[0] == part and len(path.parts) > 1 and part != "models":
            continue  # within a folder that is one chapter, or an appendix
        if target[0] == part == "models":
            assert paper(target[1]) < paper(path.stem), f"{path} imports {'.'.join(target)}"
            continue
        assert target[0] in allowed, f"{path} imports {'.'.join(target)}"


def test_the_modules_form_no_circle():
    """Folders included."""
    graph = {path.with_suffix("").parts: imports(path)[0] for path in FILES}
    done = set()

    def visit(node, above):
        assert node not in above, f"a circle through {'.'.join(node)}"
        if node in done:
            return
        for target in graph.get(node, ()):
            visit(target, above | {node})
        done.add(node)

    for node in graph:
        if node[0] not in APPENDICES:
            visit(node, frozenset())


def test_only_the_backend_imports_cupy():
    for path in FILES:
        text = (ROOT / path).read_text()
        if path.name != "backend.py":
            assert not imports(path)[1] & {"cupy", "cupyx"}, path
            assert "import_module" not in text or "cupy" not in text, path


# What the library needs beside Python and NumPy, and where.
ELSEWHERE = {
    "check.py": {"hypothesis"},
    "models/scaling.py": {"scipy"},
    "tokenizer/clip.py": {"ftfy"},
    "backend.py": {"cupy", "cupyx"},
    "models/image_gpt.py": {"tqdm"},  # the progress bar of a long completion
}


def test_chapters_and_models_need_numpy_alone():
    for path in FILES:
        if path.parts[0] not in APPENDICES:
            others = imports(path)[1] - set(sys.stdlib_module_names) - {"numpy"}
            assert others <= ELSEWHERE.get(path.as_posix(), set()), path


def test_a_chapter_of_the_engine_can_be_read_in_one_sitting():
    """The aim is 300 lines with docstrings; 320 is the bound."""
    for name in ("backend", "graph", "tensor", "ops", "check"):
        lines = (ROOT / f"{name}.py").read_text().count("\n")
        assert lines <= 320, f"{name}.py has {lines} lines"
