"""The chapters of the book as pages: a page a file of minivit/, prose beside source.

rows(source)         a file as rows of prose and code
chapters()           the files, in the order of the table of contents
write(build, ways)   build/book/
"""

import ast
import importlib
import inspect
import itertools
import re
from pathlib import Path

import nbformat
import pages

import minivit
from minivit import files

ROOT = Path(minivit.__file__).parent
RULE = re.compile(r"\s*# -- (.+?) -*$")  # a comment that begins a section


# -- a file as rows --------------------------------------------------------------------------------
def rows(source):
    """The rows of a file: {"id", "heading", "prose", "code"}, without its first docstring.

    A row begins at a section, a function, a class or a documented method. Its prose is what stands
    in docstrings, and in the comments above it; its code is all other lines.
    """
    lines, tree = source.splitlines(), ast.parse(source)
    begins = {number: None for number, line in enumerate(lines, 1) if RULE.match(line)}
    told = {}  # the first line of a docstring: (its last, what it says)
    first = _docstring(tree, told)
    told_already = set(range(first[0], first[1] + 1)) if first else set()
    _find(tree.body, "", lines, begins, told)
    borders = sorted({1, *begins, len(lines) + 1})
    made = []
    for start, end in itertools.pairwise(borders):
        kept = [(n, lines[n - 1]) for n in range(start, end) if n not in told_already]
        made.append(_row(kept, begins.get(start), told))
    return [row for row in made if row["heading"] or row["code"].strip()]


def _docstring(node, told):
    """(first line, last line) of the node's docstring; its text goes into `told`."""
    text = ast.get_docstring(node) if node.body else None
    if text is None:
        return None
    place = node.body[0]
    told[place.lineno] = (place.end_lineno, text)
    return place.lineno, place.end_lineno


def _find(body, owner, lines, begins, told):
    """Where functions, classes, documented methods, and what follows them begin."""
    plain = False  # the first statement that defines nothing needs no row of its own
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            documented = _docstring(node, told)
            if not owner or documented:
                name = f"{owner}{node.name}"
                start = _top(min([node.lineno, *(d.lineno for d in node.decorator_list)]), lines)
                begins[start] = name if name not in begins.values() else None
            if isinstance(node, ast.ClassDef):
                _find(node.body, f"{owner}{node.name}.", lines, begins, told)
            plain = True
        elif plain and not owner:
            begins.setdefault(_top(node.lineno, lines), None)
            plain = False


def _top(number, lines):
    """The first of the comment lines that stand directly above a line; sections stay outside."""
    while number > 1 and re.match(r"\s*#", lines[number - 2]) and not RULE.match(lines[number - 2]):
        number -= 1
    return number


def _row(numbered, name, told):
    prose, code, hidden, heading = [], [], 0, None
    for number, line in numbered:
        if number in told:
            hidden, text = told[number]
            prose.append(text)
        if number <= hidden:
            continue
        if (found := RULE.match(line)) and heading is None:
            heading = found[1]
        elif re.match(r"\s*# ", line) and not any(before.strip() for before in code):
            prose.append(line.strip()[2:])
        else:
            code.append(line)
    while code and not code[0].strip():
        code.pop(0)
    return {
        "id": name or (heading and pages.section_id(heading)),
        "heading": heading,
        "prose": _paragraphs(prose),
        "code": inspect.cleandoc("\n" + "\n".join(code)) if code else "",
    }


def _paragraphs(pieces):
    """Docstrings are paragraphs of their own; comment lines belong together."""
    return "\n".join(f"\n{piece}\n" if "\n" in piece else piece for piece in pieces).strip()


# -- the whole book --------------------------------------------------------------------------------
def chapters():
    """{"engine.graph": path} in the order of the table of contents; what it does not name one by
    one stands after its room."""
    paths = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        paths[name or "minivit"] = path
    order = ["minivit", *contents(minivit.__doc__)]

    def place(name):
        while name not in order and "." in name:
            name = name.rpartition(".")[0]
        return order.index(name) if name in order else len(order)

    return {name: paths[name] for name in sorted(paths, key=lambda name: (place(name), name))}


def contents(text):
    """The modules that the table of contents names, in its order."""
    tree = re.search(r"(?m)^ {4}engine/(?:.*\n)+?\n", text)[0]
    found, rooms = [], []
    for line in tree.rstrip().splitlines():
        names = re.split(r" {2,}", line.strip())[0].split()
        del rooms[(len(line) - len(line.lstrip()) - 4) // 4 :]
        found += [".".join([*rooms, name.rstrip("/")]) for name in names]
        if names[0].endswith("/"):
            rooms.append(names[0].rstrip("/"))
    return found


def address(name):
    """The page of a chapter, from build/: "engine.graph" -> "book/engine/graph.html"."""
    return f"book/{name.replace('.', '/')}.html"


def used(source, known):
    """The chapters that a piece of Python imports from; a name of minivit's own leads to the
    chapter that makes it."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minivit":
            found += [_chapter(node.module, alias.name, known) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name.removeprefix("minivit.") for alias in node.names]
    return [name for name in dict.fromkeys(found) if name in known and name != "minivit"]


def _chapter(module, name, known):
    inside = f"{module}.{name}".removeprefix("minivit.")
    if inside in known:
        return inside
    try:
        thing = getattr(importlib.import_module(module), name, None)
    except ImportError:  # of a package that is not installed
        thing = None
    maker = getattr(thing, "__module__", None) or module
    return (maker if maker.startswith("minivit.") else module).removeprefix("minivit.")


def of_lecture(notebook, known):
    """The chapters that a lecture's cells import; what only draws is left out."""
    code = [c.source for c in notebook.cells if c.cell_type == "code" and "import" in c.source]
    return [name for name in used("\n".join(code), known) if not name.startswith("course")]


def write(build, ways, lectures=()):
    """Write build/book/ anew: its contents, and a page a chapter. lectures: their notebooks."""
    known = chapters()
    readers = {}
    for path in lectures:
        notebook = nbformat.read(path, as_version=4)
        for name in of_lecture(notebook, known):
            readers.setdefault(name, []).append((path.stem, pages.title(notebook, path)))
    names = list(known)
    for place, name in enumerate(names):
        before = names[place - 1] if place else None
        after = names[place + 1] if place + 1 < len(names) else None
        page = _page(build, name, known, before, after, readers.get(name, ()), ways)
        files.write_whole(build / address(name), page)
    files.write_whole(
        build / "book" / "index.html",
        pages.render("book.html.j2", "../", ways, rooms=_rooms(known)),
    )


def _page(build, name, known, before, after, readers, ways):
    source = known[name].read_text(encoding="utf-8")
    root = "../" * (1 + name.count("."))

    def neighbour(other):
        return other and {"file": root + address(other), "title": other}

    shown = [
        {**row, "prose": prose(row["prose"]), "code": row["code"] and pages.code(row["code"])}
        for row in rows(source)
    ]
    api = f"api/minivit/{name.replace('.', '/')}.html" if name != "minivit" else "api/minivit.html"
    return pages.render(
        "chapter.html.j2", root, ways, name=name, rows=shown,
        about=prose(ast.get_docstring(ast.parse(source)) or ""),
        builds_on=[{"name": n, "file": root + address(n)} for n in used(source, known)],
        read_in=[{"title": t, "file": f"{root}lectures/{stem}.html"} for stem, t in readers],
        api=root + api if (build / api).is_file() else None,
        before=neighbour(before), after=neighbour(after), up=root + "book/index.html",
    )  # fmt: skip


def prose(text):
    """A docstring as HTML: paragraphs, lists, `code`; what is indented stays as it is."""
    import mistune

    html = mistune.create_markdown(escape=True)(text)
    return pages.markup(html.replace("<pre>", '<pre tabindex="0">'))


def _rooms(known):
    """The contents: a heading a room; chapters that stand between rooms share one."""
    folders = {name.partition(".")[0] for name in known if "." in name}
    rooms = []
    for name in known:
        top = name.partition(".")[0]
        alone = top not in folders
        if not rooms or (rooms[-1]["top"] != top and not (alone and rooms[-1]["alone"])):
            rooms.append({"top": top, "alone": alone, "chapters": []})
        chapter = {"name": name, "file": "../" + address(name), "about": _about(known[name])}
        rooms[-1]["chapters"].append(chapter)
    for room in rooms:
        names = [chapter["name"] for chapter in room["chapters"]]
        room["name"] = ", ".join(names) if room["alone"] else room["top"]
        room["id"] = pages.section_id(room["name"])
    return rooms


def _about(path):
    """The first sentences of a file: the first paragraph of its docstring."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return pages.markup(prose(text.partition("\n\n")[0]).replace("<p>", "").replace("</p>", ""))
