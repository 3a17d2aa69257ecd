"""JupyterLite in chromium, from an empty profile: every other host is blocked, but for the bytes of
the Pyodide release, which are served in its place."""

import base64
import contextlib
import functools
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import numpy as np
import pytest

from minivit import Tensor, nn
from minivit.course import kept
from tests import answers
from tests.course import browsing
from tests.site import pyodide

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not CHROMIUM or not shutil.which("npm"), reason="no chromium or no npm"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

MOST = 60e6  # bytes of a first visit


@pytest.fixture(scope="module")
def lite():
    sys.path.insert(0, str(ROOT / "lectures"))
    return importlib.import_module("lite")


@pytest.fixture(scope="module")
def site(lite, tmp_path_factory):
    """The address of the site, built and served; no lecture was executed."""
    with served(lite, tmp_path_factory, tmp_path_factory.mktemp("nothing executed")) as address:
        yield address


@contextlib.contextmanager
def served(lite, tmp_path_factory, build):
    pytest.importorskip("jupyterlite_core")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIVIT_BUILD", str(build))
        folder = lite.build(tmp_path_factory.mktemp("site") / "course+of 2026")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    below = functools.partial(Quiet, directory=folder.parent)  # a host that has other folders too
    server = ThreadingHTTPServer(("127.0.0.1", 0), below)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{urllib.parse.quote(folder.name)}"
    server.shutdown()


class Lab:
    """JupyterLite in a page of its own, and what it asked of the network."""

    def __init__(self, browser, site, lite):
        self.bytes, self.elsewhere, self.start = 0, [], time.monotonic()
        context = browser.new_context(service_workers="allow")
        context.set_default_timeout(600_000)  # a busy machine is no fault of the site
        self.context, self.site = context, site
        public = lite.PYODIDE_URL.rpartition("/")[0]

        def answer(route):
            url = route.request.url
            path = pyodide.folder() / url.rpartition("/")[2]
            if url.startswith(public) and path.is_file():
                self.bytes += path.stat().st_size
                route.fulfill(path=path, headers={"access-control-allow-origin": "*"})
            elif url.startswith(site.rpartition("/")[0]):  # a browser asks for favicon.ico above
                response = route.fetch(timeout=0)
                body = response.body()
                self.bytes += len(body)
                if url.split("?")[0].endswith("/python/jupyter-lite.json"):
                    settings = json.loads(body)
                    settings["jupyter-config-data"]["exposeAppInBrowser"] = True
                    body = json.dumps(settings).encode()
                route.fulfill(response=response, body=body)
            elif url.startswith(("blob:", "data:")):
                route.continue_()
            else:
                self.elsewhere.append(url)
                route.abort()

        context.route("**/*", answer)
        self.open()

    def open(self):
        """The site in a new page of the same browser."""
        self.page = self.context.new_page()
        self.page.goto(f"{self.site}/python/lab/index.html")
        self.page.wait_for_function("window.jupyterapp !== undefined")
        self.page.evaluate("() => window.jupyterapp.restored")

    def run(self, path, cells=None):
        """A notebook of the site, or one with these cells, run to its end: [(source, text of its
        outputs)]."""
        found = self.page.evaluate(RUN, [path, cells and notebook(cells)])
        return [
            ("".join(c["source"]), text(c["outputs"])) for c in found if c["cell_type"] == "code"
        ]


def notebook(cells):
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(text) for text in cells],
        metadata={"kernelspec": {"name": "python", "display_name": "Python"}},
    )


RUN = """async ([path, notebook]) => {
  const app = window.jupyterapp;
  if (notebook)
    await app.serviceManager.contents.save(
      path, {type: 'notebook', format: 'json', content: notebook});
  const widget = await app.commands.execute('docmanager:open', {path});
  await widget.context.ready;
  await widget.sessionContext.ready;
  await app.commands.execute('notebook:run-all-cells');
  const cells = widget.content.model.toJSON().cells;
  await widget.sessionContext.shutdown();
  return cells;
}"""


def text(outputs):
    """What a cell printed, its error, and the kinds of its pictures."""
    parts = []
    for o in outputs:
        parts.append("".join(o.get("text", "")) + "".join(o.get("data", {}).get("text/plain", "")))
        parts += ["picture"] if "image/png" in o.get("data", {}) else []
        parts += [f"Error: {o['ename']}: {o['evalue']}"] if "ename" in o else []
    return "\n".join(parts)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def lab(browser, site, lite):
    with laboratory(browser, site, lite) as found:
        yield found


@contextlib.contextmanager
def laboratory(browser, site, lite):
    found = Lab(browser, site, lite)
    yield found
    browsing.end(found.context)
    assert found.elsewhere == []


def test_a_lab_may_end_while_its_page_still_asks(browser):
    """A busy machine: the answer is on its way when the test is over."""
    asked, go_on = threading.Event(), threading.Event()

    class Slow(SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            go_on.wait(60)
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context()
    context.route("**/*", lambda route: route.fulfill(response=route.fetch(timeout=0)))
    page = context.new_page()
    page.evaluate(
        "url => void fetch(url, {mode: 'no-cors'})", f"http://127.0.0.1:{server.server_port}"
    )
    while not asked.is_set():
        page.wait_for_timeout(50)
    browsing.end(context)
    other = browser.new_context()  # an error that no one awaits is told at the next call
    other.new_page().wait_for_timeout(500)
    other.close()
    go_on.set()
    server.shutdown()


def errors(ran):
    return [(source, said) for source, said in ran if "Error: " in said]


def test_the_first_example_of_the_readme(lab, lite):
    example = (ROOT / "README.md").read_text("utf-8").split("```python\n")[1].split("```")[0]
    ran = lab.run("first.ipynb", [lite.FIRST, example])
    seconds = time.monotonic() - lab.start
    assert "[2. 4.]" in ran[-1][1], ran
    print(f"first visit: {lab.bytes / 1e6:.0f} MB, {seconds:.0f} s to the example's result")
    assert lab.bytes <= MOST


def test_lecture_1_to_its_end(lab):
    ran = lab.run("lectures/01_transformer_layer.ipynb")
    assert errors(ran) == []
    assert sum("picture" in said for _, said in ran) >= 3
    assert lab.bytes <= MOST


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_lecture_3_to_its_end(lab):
    """Nothing of it is kept: it was executed nowhere."""
    ran = lab.run("lectures/03_text.ipynb")
    assert errors(ran) == [] and not any("%%kept" in source for source, _ in ran)
    assert sum("picture" in said for _, said in ran) == made_by("03_text", ran)


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("name", ["05_vision_transformer", "07_clip"])
def test_a_lecture_with_kept_cells_to_its_end(browser, lite, tmp_path_factory, name):
    """Executed here first, then opened in the site that is made of it."""
    build = tmp_path_factory.mktemp("build")
    command = [sys.executable, ROOT / "lectures/build.py", "run", name[:2]]
    subprocess.run(command, env={**os.environ, "MINIVIT_BUILD": str(build)}, check=True)
    with served(lite, tmp_path_factory, build) as site, laboratory(browser, site, lite) as lab:
        ran = lab.run(f"lectures/{name}.ipynb")
    assert errors(ran) == []
    shown = [said for source, said in ran if source.startswith("%%kept")]
    assert len(shown) > 3 and all("Kept: made " in said for said in shown)
    assert sum("picture" in said for _, said in ran) >= made_by(name, ran)


UPLOAD = """([path, content]) => window.jupyterapp.serviceManager.contents.save(
  path, {type: 'file', format: 'base64', content}).then(() => null)"""


def test_a_kept_cell_shows_what_it_gave_elsewhere(lab, lite):
    """Kept by a Python of 64 bits, of another version, with another NumPy."""
    model, cell = nn.Linear(3, 2), "while True:\n    pass"
    y = model(Tensor(np.ones((1, 3)))).numpy()
    about = {"cell": cell, "seconds": 91.0, "made": "elsewhere"}
    about["outputs"] = [nbformat.v4.new_output("stream", text="trained\n")]
    content = kept.packed(about, pickle.dumps({"model": model, "steps": np.arange(4), "y": y}))
    lab.page.evaluate(UPLOAD, ["long.kept", base64.b64encode(content).decode()])
    use = "print(steps.sum(), np.allclose(model(Tensor(np.ones((1, 3)))).numpy(), y))"
    load = "import numpy as np\nfrom minivit import Tensor\n%load_ext minivit.course.kept"
    ran = lab.run("long.ipynb", [lite.FIRST, load, f"%%kept long.kept  91 s\n{cell}", use])
    assert ran[2][1].startswith("trained\nKept: made elsewhere, in 91 s"), ran
    assert ran[3][1].strip() == "6 True", ran


def made_by(name, ran):
    """How many figures a lecture registers, all of which have run."""
    notebook = nbformat.read(ROOT / f"lectures/{name}.ipynb", 4)
    assert len(ran) == sum(cell.cell_type == "code" for cell in notebook.cells)
    return sum(source.count("course.figure(") for source, _ in ran)


@pytest.mark.parametrize("number", [1, 7, 15])
def test_an_exercise_checked_right_and_wrong(lab, lite, number):
    found = [a for a in answers.everything() if a.exercise.number == number]
    right, wrong = found[0], next(a for a in found if a.mistake)
    name = right.exercise.function
    check = f"from minivit.grading import check\nprint('points', check({name!r}, globals()))"
    cells = [lite.FIRST, right.text, check, wrong.text, check]
    ran = lab.run(f"exercises/{right.exercise.stem}_mine.ipynb", cells)
    assert f"points {right.points:g}" in ran[2][1].replace(".0", ""), ran
    assert wrong.mistake[1] in " ".join(ran[4][1].split()), ran


LOOP = """async ([path, notebook]) => {
  const app = window.jupyterapp;
  await app.serviceManager.contents.save(
    path, {type: 'notebook', format: 'json', content: notebook});
  const widget = await app.commands.execute('docmanager:open', {path});
  await widget.sessionContext.ready;
  const kernel = widget.sessionContext.session.kernel;
  const run = code => kernel.requestExecute({code}).done;
  await run('1 + 1');
  run('while True: pass').catch(() => {});
  const hangs = await Promise.race([
    run('2').then(() => 'ended'), new Promise(done => setTimeout(done, 3000, 'hangs'))]);
  await kernel.restart();
  const reply = await run('assert 6 * 7 == 42');
  return [hangs, reply.content.status];
}"""


def test_a_restart_of_the_kernel_ends_an_endless_loop(lab, lite):
    assert lab.page.evaluate(LOOP, ["exercises/loop.ipynb", notebook([])]) == ["hangs", "ok"]
    assert "An endless loop? *Kernel, Restart Kernel* ends it" in lite.NOTE


EDIT = """async ([path, text]) => {
  const app = window.jupyterapp;
  const widget = await app.commands.execute('docmanager:open', {path, factory: 'Editor'});
  await widget.context.ready;
  if (text) {
    widget.context.model.sharedModel.setSource(text);
    await widget.context.save();
  }
  return widget.context.model.sharedModel.getSource();
}"""


def test_an_edited_file_stays_in_the_browser_and_can_be_downloaded(lab, tmp_path):
    path = "exercises/17_layer_norm.md"
    answer = lab.page.evaluate(EDIT, [path, None]) + "my own text"
    lab.page.evaluate(EDIT, [path, answer])
    lab.open()  # another page, as on the next day
    assert lab.page.evaluate(EDIT, [path, None]) == answer
    with lab.page.expect_download() as download:
        lab.page.evaluate("path => window.jupyterapp.commands.execute('docmanager:download')", path)
    download.value.save_as(tmp_path / "answer.md")
    assert (tmp_path / "answer.md").read_text() == answer
