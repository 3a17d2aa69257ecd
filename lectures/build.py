"""The lectures: from source to notebook, from notebook to pages and figures.

    python lectures/build.py notebooks   lectures/src/*.py -> lectures/*.ipynb, without outputs
    python lectures/build.py run [05 ..] execute them (or those named) into build/
    python lectures/build.py gallery     build/figures -> lectures/gallery and lectures/README.md
    python lectures/build.py pages       the pages anew, of what was executed so far
    python lectures/build.py slides      decks, and the deck of 75 minutes -> build/slides
    python lectures/build.py site        pages, API reference and slides -> build/site

`--folder` names another folder of lectures; $MINIVIT_BUILD another one than build/.
"""

import argparse
import collections
import hashlib
import logging
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import book
import lite
import moving
import nbformat
import pages
import practice
import searching
import slides
import thumbnails

from minivit import course, files

HERE = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def lectures(folder, suffix):
    """The numbered files of a folder, in course order."""
    return sorted(folder.glob(f"[0-9][0-9]_*.{suffix}"))


# -- source -> notebook ----------------------------------------------------------------------------
def notebook_text(source):
    """The notebook of a percent-format source: no outputs, and the same text every time.

    A cell's id is a hash of what it says, so an edit changes one id and not those after it.
    """
    import jupytext

    make = {
        "code": nbformat.v4.new_code_cell,
        "markdown": nbformat.v4.new_markdown_cell,
        "raw": nbformat.v4.new_raw_cell,
    }
    cells, seen = [], collections.Counter()
    for cell in jupytext.read(source, fmt="py:percent").cells:
        digest = hashlib.sha256(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cells.append(make[cell.cell_type](cell.source, id=id, metadata=cell.metadata))
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA, nbformat_minor=5)
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def write_notebooks(folder):
    """Generate every notebook anew; one without a source is an error."""
    sources = lectures(folder / "src", "py")
    for source in sources:
        target = folder / f"{source.stem}.ipynb"
        text = notebook_text(source)
        same = target.is_file() and target.read_text(encoding="utf-8") == text
        if not same:
            files.write_whole(target, text)
        print(f"{target.name}: {'as it was' if same else 'written'}")
    orphans = {p.stem for p in lectures(folder, "ipynb")} - {p.stem for p in sources}
    for name in sorted(orphans):
        print(f"{name}.ipynb has no source src/{name}.py: write one, or remove it", file=sys.stderr)
    return 1 if orphans else 0


# -- notebook -> executed notebook, page, figures --------------------------------------------------
def run(folder, names=(), seconds=1800):
    """Execute the notebooks, each in a kernel of its own; one that fails does not stop the rest."""
    build = course.build_folder()
    chosen = [
        path
        for path in lectures(folder, "ipynb")
        if not names or any(path.stem.startswith(name) for name in names)
    ]
    if not chosen:
        what = f"named {' or '.join(names)}" if names else "at all"
        print(f"no notebook {what} in {folder}: try `make notebooks` first", file=sys.stderr)
        return 1
    if build in (folder, *folder.parents):
        print(f"$MINIVIT_BUILD is {build}, which holds the lectures' sources", file=sys.stderr)
        return 1
    if not names:  # a whole build starts empty: nothing in it is older than this run
        for old in ("lectures", "figures", "thumbnails", "kept"):
            shutil.rmtree(build / old, ignore_errors=True)
        (build / "claims.json").unlink(missing_ok=True)
    (build / "lectures").mkdir(parents=True, exist_ok=True)

    os.environ["MINIVIT_BUILD"] = str(build)  # what the kernels inherit
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not one of $HOME
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # else each kernel warns about its debugger
    os.environ.pop("MPLBACKEND", None)  # the notebook's own
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more of them stall on a busy machine
    failed = 0
    for place, path in enumerate(chosen, 1):
        failed += not execute(path, build / "lectures", f"[{place}/{len(chosen)}]", seconds)
    write_pages(build, folder)

    print(f"\n{course.report()}\n")
    print(f"Wrote to {_near(build)}/:")
    print(f"  lectures/    {len(chosen)} executed notebooks, and an HTML page of each")
    print(f"  figures/     {len(course.figures())} figures")
    print(f"  claims.json  {len(course.claims())} verdicts")
    print("  index.html   the page that leads to them", flush=True)
    if failed:
        print(f"FAILED: {failed} of {len(chosen)} notebooks; see above.", file=sys.stderr)
    return 1 if failed else 0


def execute(path, target, place, seconds):
    """Run one notebook, write it and its HTML page to `target`; say how it went, return if well."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    total, start, at = len(notebook.cells), time.perf_counter(), 0
    live = sys.stdout.isatty()
    kept = target.parent / "kept" / path.stem  # the results of its long cells, for a browser
    fresh = kept.with_name("of the run that goes on")
    shutil.rmtree(fresh, ignore_errors=True)
    os.environ |= {"MINIVIT_KEEP": str(fresh), "MINIVIT_NOTEBOOK": str(path)}
    head = f"{place} {path.stem:28}"
    print(f"{head} {total} cells, ", end="", flush=True)

    def show_progress(cell, cell_index):
        nonlocal at
        at = cell_index
        if live:
            passed = time.perf_counter() - start
            print(f"\r{head} cell {at + 1} of {total}, {passed:.0f} s ", end="", flush=True)

    client = NotebookClient(
        notebook,
        timeout=seconds,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=show_progress,
    )
    error = None
    with tempfile.TemporaryFile("w+") as aside:  # what the kernel itself says: shown if it dies
        try:
            client.execute(stderr=aside)
        except CellExecutionError as failure:
            error = str(failure)
        except CellTimeoutError:
            error = f"The cell took more than {seconds} seconds (--seconds allows more)."
        except (AssertionError, DeadKernelError):
            if hasattr(client, "_async_cleanup_kernel_future"):  # nbclient took Ctrl-C for itself
                logging.getLogger("asyncio").disabled = True  # its watch over the kernel fails late
                raise KeyboardInterrupt from None
            aside.seek(0)
            error = f"{aside.read()}\nThe kernel died: out of memory, or a crash in compiled code."
    passed = time.perf_counter() - start
    notebook.metadata["minivit"] = {"seconds": round(passed, 1), "failed": error is not None}
    shutil.rmtree(kept, ignore_errors=True)
    nbformat.write(notebook, target / path.name)
    if fresh.is_dir():
        fresh.rename(kept)
    silent = write_page(target / path.name, target)
    verdict = f"{total} cells, {passed:.1f} s" if live else f"{passed:.1f} s"
    note = f"  ({silent} pictures without alt text)" if silent else ""
    print(f"\r{head} {verdict}{note}      " if live else f"{verdict}{note}")
    if error:
        print(f"  FAILED in cell {at + 1} of {path.name}:")
        print(_excerpt(notebook.cells[at].source, error), flush=True)
    return error is None


def write_page(path, target, **around):
    """The notebook as one HTML file; how many of its pictures have no alt text."""
    page, silent = pages.lecture(nbformat.read(path, as_version=4), path, **around)
    files.write_whole(target / f"{path.stem}.html", page)
    return silent


def gather(build, folder=HERE):
    """The notebooks in build/lectures; of the course's own, those that were never executed too,
    and a folder for each part of the site that every page leads to."""
    shelf = build / "lectures"
    for part in ("lectures", "book", "exercises", "widgets") if folder == HERE else ("lectures",):
        (build / part).mkdir(parents=True, exist_ok=True)
    for path in lectures(folder, "ipynb") if folder == HERE else ():
        if not _executed(shelf / path.name):
            shutil.copy(path, shelf)
    return lectures(shelf, "ipynb")


def write_pages(build, folder=HERE):
    """A page for each lecture, executed or not, linked with all else; for the course's own
    lectures also the book, the exercises, and the search over everything."""
    own = folder == HERE
    chosen = gather(build, folder)
    ways, known = pages.ways(build), book.chapters() if own else {}
    links, sections, moves = [], {}, {}
    for path in chosen:
        notebook = nbformat.read(path, 4)
        title = pages.title(notebook, path)
        for name in moving.of_notebook(notebook) if own else ():
            moves[name] = {"title": title, "file": f"lectures/{path.stem}.html#widget-{name}"}
        links.append({"file": f"{path.stem}.html", "title": title})
        sections[title] = pages.sections(notebook, f"lectures/{path.stem}.html")
    for place, path in enumerate(chosen):
        notebook = nbformat.read(path, 4)
        names = book.of_lecture(notebook, known) if own else ()
        widgets = moving.of_notebook(notebook) if own else ()
        write_page(
            path,
            build / "lectures",
            before=links[place - 1] if place else None,
            after=links[place + 1] if place + 1 < len(links) else None,
            ways=ways,
            exercises=practice.of_lecture(links[place]["title"]) if own else (),
            chapters=[{"name": name, "file": book.address(name)} for name in names],
            widgets=moving.parts(widgets) if widgets else None,
        )
    if own:
        book.write(build, ways, chosen)
        practice.write(build, ways, sections)
        moving.write(build, ways, moves)
    files.write_whole(build / "index.html", pages.index(build, chosen, ways))
    if own:
        searching.write(build, ways)


# -- the site --------------------------------------------------------------------------------------
def write_api(build):
    """build/api/: a reference made from the docstrings by pdoc; the source is in the book."""
    try:
        import pdoc
    except ImportError:
        print("no API reference: pdoc is not installed (pip install -e '.[site]')", file=sys.stderr)
        return
    shutil.rmtree(build / "api", ignore_errors=True)
    style = pages.TEMPLATES / "api"
    pdoc.render.configure(
        show_source=False, template_directory=style, footer_text="minivit", favicon=pages.ICON
    )
    left_out = ("!minivit.course", "!minivit.grading", "!minivit.commands")
    pdoc.pdoc("minivit", *left_out, output_directory=build / "api")
    for page in (build / "api").rglob("*.html"):
        files.write_whole(page, _mended(page.read_text(encoding="utf-8")))


def _mended(html):
    """The page without its links to names that pdoc does not show; each link has a name, the
    headings have no gap, and a keyboard scrolls code."""
    shown = set(re.findall(r'\bid="([^"]+)"', html))
    link = r'<a href="#([^"]+)">(.*?)</a>'
    html = re.sub(link, lambda found: found[0] if found[1] in shown else found[2], html)
    empty = r'(<a class="headerlink" href="#([^"]+)")>'
    html = re.sub(empty, r'\1 aria-label="Link to \2">', html)
    html = html.replace("<pre>", '<pre tabindex="0">')
    return re.sub(r"h5>(Inherited Members)</h5>", r"h2>\1</h2>", html)


def write_slides(build):
    """build/slides/: a deck a lecture, of what was executed so far, and that of 75 minutes."""
    try:
        decks = slides.write(build, gather(build))
    except slides.MissingReveal as missing:
        print(missing, file=sys.stderr)
        return 1
    write_pages(build)
    print(f"Wrote {len(decks)} decks: {_near(build / 'slides')}/index.html")
    return 0


def site():
    """All that needs no kernel, as build/site: a folder that any static host serves."""
    build = course.build_folder()
    write_api(build)
    if write_slides(build):
        return 1
    lite.pages(build / "site")
    print(f"Wrote {_near(build / 'site')}/: open index.html, or serve the folder")
    return 0


def _executed(path):
    return path.is_file() and "minivit" in nbformat.read(path, 4).metadata


def _excerpt(source, error, lines=12):
    """The cell and the last lines of its error, indented; terminal colours removed."""
    error = re.sub(r"\x1b\[[0-9;]*m", "", error).rstrip().splitlines()
    cell = [f"    > {line}" for line in source.splitlines()[:lines]]
    return "\n".join([*cell, *(f"    | {line}" for line in error[-lines:])])


def _near(path):
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=HERE, help="another folder of lectures")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notebooks", help="generate the notebooks from src/")
    runner = commands.add_parser("run", help="execute the notebooks into build/")
    runner.add_argument("names", nargs="*", help="how their names begin: 05 06")
    runner.add_argument("--seconds", type=int, default=1800, help="what a cell may take")
    commands.add_parser("gallery", help="small figures and tables for lectures/README.md")
    commands.add_parser("pages", help="write the pages anew, without executing")
    commands.add_parser("slides", help="a reveal.js deck a lecture, and one of 75 minutes")
    commands.add_parser("site", help="pages, API reference and slides as one folder, build/site")
    chosen = parser.parse_args(arguments)
    folder = chosen.folder.resolve()
    if chosen.command == "notebooks":
        return write_notebooks(folder)
    if chosen.command == "gallery":
        return thumbnails.gallery(folder)
    if chosen.command == "pages":
        return write_pages(course.build_folder(), folder)
    if chosen.command == "slides":
        return write_slides(course.build_folder())
    if chosen.command == "site":
        return site()
    return run(folder, chosen.names, chosen.seconds)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped: nothing after this notebook was executed.")
