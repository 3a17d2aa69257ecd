"""The course as a folder that any static host serves: pages, and Python in the browser.

    python lectures/lite.py            writes build/site
    python -m http.server -d build/site

`python/` in it is JupyterLite with minivit, the lectures and the exercises inside. Its Python is
the public release of Pyodide named here, which the reader's browser loads from PYODIDE_URL.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from minivit import course, files
from minivit.course import kept

HERE = Path(__file__).resolve().parent
PYODIDE = "0.27.7"  # Python 3.12, NumPy 2.0; the release that tests/site holds this to
PYODIDE_URL = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/pyodide.js"
WHEELS = (  # what minivit needs there and Pyodide lacks, or has older: pure Python, inside the site
    "comm==0.2.3",  # without it the kernel never answers
    "ftfy==6.3.1", "tqdm==4.67.1", "sortedcontainers==2.3.0",
    "hypothesis==6.155.7",  # the newest that is pure Python
)  # fmt: skip
PAGES = (  # of build/, what belongs to the site
    "index.html", "404.html", "search.html", "search-index.js", "lectures", "book", "exercises",
    "api", "slides", "figures", "thumbnails", "widgets",
)  # fmt: skip
# In JupyterLite, %pip asks the site's own wheels; versions that Pyodide has it takes from there, so
# those of the first line are others.
FIRST = """%pip install -q tqdm==4.67.1 sortedcontainers==2.3.0
%pip install -q minivit hypothesis"""
SETUP = f"""{FIRST} matplotlib pillow

from minivit import course

course.setup()
%load_ext minivit.course.kept"""
NOTE = """# minivit in this browser

Open a lecture or an exercise in the list on the left, and run its cells: Python runs in this page,
on your own machine; the first cell brings minivit.

- **What you edit stays in this browser**, on this machine. To hand it in or to keep it: right-click
  the file in the list, then *Download*. Clearing the browser's data deletes it.
- Exercises are checked here as `minivit check` does it; grading needs a computer with Python.
- An endless loop? *Kernel, Restart Kernel* ends it.
- Lectures 1 and 3 run whole (3 takes minutes). In the others a cell that begins with `%%kept` would
  train for long: it shows what it gave on a computer, and says so; delete that line, and it runs
  here. Without such lines a lecture that trains is better read, or run on a computer.
"""
ALONE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>minivit</title>
<h1>minivit</h1><p><a href="python/lab/index.html?path=README.md">minivit in the browser</a></p>
</html>
"""


def build(folder, pyodide_url=PYODIDE_URL):
    """Write the site into `folder`, anew; returns it."""
    pages(folder)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        wheels(scratch / "pypi")
        contents(scratch / "files")
        kernel = {"pyodideUrl": pyodide_url}
        settings = {"litePluginSettings": {"@jupyterlite/pyodide-kernel-extension:kernel": kernel}}
        lite = {"jupyter-lite-schema-version": 0, "jupyter-config-data": settings}
        (scratch / "jupyter-lite.json").write_text(json.dumps(lite))
        kernel = Path(
            sys.prefix, "share/jupyter/labextensions/@jupyterlite/pyodide-kernel-extension"
        )
        ours = {"ignore_sys_prefix": True, "federated_extensions": [str(kernel)]}  # and no other
        (scratch / "jupyter_lite_config.json").write_text(json.dumps({"LiteBuildConfig": ours}))
        run(
            "jupyterlite_core", "build", "--lite-dir", scratch, "--output-dir", folder / "python",
            "--contents", scratch / "files", "--apps", "lab", "--no-unused-shared-packages",
            "--no-sourcemaps", cwd=scratch, stdout=subprocess.DEVNULL,
        )  # fmt: skip
    link(folder)
    return folder


def pages(folder):
    """The pages of build/ that belong to the site, copied (`build.py site` makes them all)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = course.build_folder()
    for name in PAGES:
        if (made / name).is_dir():
            shutil.copytree(made / name, folder / name)
        elif (made / name).is_file():
            shutil.copy(made / name, folder)
    (folder / ".nojekyll").touch()  # else GitHub Pages makes an .html of each .md


def link(folder):
    """A way to Python in the head of each page; that of a lecture or an exercise opens it there."""
    head = "<strong>minivit</strong>"
    for page in folder.rglob("*.html"):
        place, text = page.relative_to(folder), page.read_text(encoding="utf-8")
        if head in text:  # it is one of ours
            url, says = "../" * (len(place.parts) - 1) + "python/lab/index.html", "Python"
            if (folder / "python/files" / place.with_suffix(".ipynb")).is_file():
                url += f"?path={place.with_suffix('.ipynb').as_posix()}"
                says = "Open in Python"
            text = text.replace(head, f'{head}\n<a href="{url}">{says}</a>', 1)
            page.write_text(text, encoding="utf-8")
    if not (index := folder / "index.html").is_file():  # no page was made
        index.write_text(ALONE, encoding="utf-8")


def wheels(folder):
    """minivit's wheel, and those of WHEELS."""
    run("pip", "wheel", "-q", "--no-deps", "-w", folder, HERE.parent)
    run(
        "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", "3.12",
        "--implementation", "py", "--abi", "none", "--platform", "any", "-d", folder, *WHEELS,
    )  # fmt: skip


def contents(folder):
    """The notebooks as they are in the list of files: no solutions, no outputs."""
    (folder / "lectures").mkdir(parents=True)
    (folder / "exercises").mkdir()
    (folder / "README.md").write_text(NOTE, encoding="utf-8")
    for path in sorted(HERE.glob("[0-9][0-9]_*.ipynb")):
        notebook = nbformat.read(path, 4)
        keep(notebook, path.stem, folder / "lectures")
        write(notebook, folder / "lectures" / path.name)
    exercises = HERE.parent / "exercises"
    for path in sorted(exercises.glob("[0-9][0-9]_*.ipynb")):
        write(nbformat.read(path, 4), folder / "exercises" / path.name)
        shutil.copy(path.with_suffix(".md"), folder / "exercises")


def keep(notebook, name, folder):
    """Long cells of a notebook show what they gave in build/, where these very cells were executed:
    their first line says so, and their results lie beside it."""
    made = course.build_folder()
    if not (ran := made / f"lectures/{name}.ipynb").is_file():
        return
    outputs = {c.id: c.outputs for c in nbformat.read(ran, 4).cells if c.cell_type == "code"}
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    if [*outputs] != [c.id for c in cells]:  # an earlier lecture of that name
        return
    for cell in cells:
        path = made / "kept" / name / f"{cell.id}.kept"
        if path.is_file():
            about, variables = kept.unpacked(path.read_bytes())
            about["outputs"] = outputs[cell.id]
            place = Path("kept", f"{name}-{cell.id}.kept")
            files.write_whole(folder / place, kept.packed(about, variables))
            says = f"{about['seconds']:g} s; delete this line to run it here"
            cell.source = f"%%kept {place.as_posix()}  {says}\n{cell.source}"


def write(notebook, path):
    """A notebook whose first cell brings minivit into the browser."""
    setup = [c for c in notebook.cells if "setup" in c.metadata.get("tags", ())]
    if setup:
        setup[0].source = SETUP
    else:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(FIRST, id="first"))
    nbformat.write(notebook, path)


def run(module, *arguments, **options):
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], check=True, **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=course.build_folder() / "site")
    parser.add_argument("--pyodide", default=PYODIDE_URL, metavar="URL", help="of its pyodide.js")
    options = parser.parse_args()
    folder = build(options.out.resolve(), options.pyodide)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    print(f"{folder}: {size / 1e6:.0f} MB. Serve it: python -m http.server -d {folder}")


if __name__ == "__main__":
    main()
