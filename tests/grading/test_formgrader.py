"""nbgrader's formgrader in a real browser, with a notebook that means harm: no script runs.

`pip install -e ".[nbgrader]" playwright`, and Chromium (Debian: apt-get install chromium). Server
and page are on 127.0.0.1, all files in the test's own folder.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from minivit.grading.exercise import find
from minivit.grading.teachers import markup, nbgrader
from tests import answers
from tests.course import browsing

EXERCISES = Path(__file__).parents[2] / "exercises"
E = find("chain_rule")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RUN = "window.HACKED = 1; fetch('/api/contents/HACKED.txt', {method: 'PUT', body: '{}'})"
TEXTS = [
    f"<script>{RUN}</script>", f'<img src="x" onerror="{RUN}">', f"<svg onload=\"{RUN}\"></svg>",
    '<iframe srcdoc="<script>parent.HACKED = 1</script>"></iframe>',
    f"```\n```\n<script>{RUN}</script>\n``````\n<img src=x onerror=\"{RUN}\">",
    f"$\\href{{javascript:{RUN}}}{{x}}$ [click](javascript:window.HACKED=1)",
    f"</code></pre><script>{RUN}</script>", f"</div></body><script>{RUN}</script>",
    f"~~~\n~~~\r<script>{RUN}</script>", f"<details open ontoggle=\"{RUN}\">x</details>",
]  # fmt: skip


def hostile(book, right):
    """The released notebook with an answer, and harm in every place that a page might show."""
    for cell in book["cells"]:
        own = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
        if own == E.function:
            cell["source"] = right
        elif own.endswith("_explain"):
            cell["source"] = "\n\n".join(TEXTS)
        cell["metadata"]["tags"] = ['"><script>window.HACKED = 1</script>']
    html = {"output_type": "display_data", "metadata": {}, "data": {
        "text/html": TEXTS[0], "image/svg+xml": TEXTS[2], "text/markdown": TEXTS[1],
        "application/javascript": RUN}}  # fmt: skip
    picture = {"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg' onload='{RUN}'/>"}
    more = [{"cell_type": "markdown", "source": text, "metadata": {}} for text in TEXTS]
    more[0]["attachments"] = {"a.svg": picture}
    more.append({"cell_type": "raw", "source": TEXTS[0], "metadata": {}})
    more.append({"cell_type": "raw", "source": TEXTS[1], "metadata": {"raw_mimetype": "text/html"}})
    more.append({"cell_type": "code", "source": f"# {TEXTS[0]}", "outputs": [html],
                 "execution_count": 1, "metadata": {"magics_language": TEXTS[0]}})  # fmt: skip
    for i, cell in enumerate(more):
        cell["id"] = f"more-{i}"
    book["cells"] = more + book["cells"]
    book["metadata"]["title"] = f"</title><script>{RUN}</script>"
    book["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {
        "state": {"</script>" + TEXTS[0]: {}}}}  # fmt: skip
    return book


def test_what_is_handed_on_holds_no_markup():
    nbformat = pytest.importorskip("nbformat")
    book = json.loads((EXERCISES / f"{E.stem}.ipynb").read_text("utf-8"))
    found = nbformat.from_dict(hostile(book, "x = 1"))
    text = json.dumps(markup.neutral(found))
    for word in ("attachments", "text/html", "svg+xml", "title", "widgets", "tags", "raw_mimetype"):
        assert f'"{word}"' not in text
    exporter = pytest.importorskip("nbconvert").HTMLExporter()
    page = exporter.from_notebook_node(found)[0]
    body = page[page.index("<body") :]
    for start in ("<script>window.HACKED", "<img src", "<svg onload", "<iframe", "<details open"):
        assert start not in body


def program(name):
    return [sys.executable, "-m", name]


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_no_script_of_a_student_runs_in_the_formgrader(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    pytest.importorskip("nbgrader")
    course = tmp_path / "course"
    nbgrader.course(EXERCISES, course, 77)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    home = os.environ | {"PATH": path, "PYTHONPATH": str(EXERCISES.parent), "HOME": str(tmp_path),
                         "JUPYTER_PREFER_ENV_PATH": "1"}  # fmt: skip

    def run(*arguments):
        done = subprocess.run([*program("nbgrader"), *arguments], cwd=course, env=home,
                              capture_output=True, text=True)  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]

    run("generate_assignment", E.stem)
    released = course / "release" / E.stem / f"{E.stem}.ipynb"
    book = hostile(json.loads(released.read_text("utf-8")), answers.of(E)[0].text)
    to = course / "submitted" / "eve" / E.stem / f"{E.stem}.ipynb"
    to.parent.mkdir(parents=True)
    to.write_text(json.dumps(book), encoding="utf-8")
    run("autograde", E.stem)

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        (sub,) = gradebook.notebook_submissions(E.stem, E.stem)
        identity, score = sub.id, sub.score
    assert score == E.points
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [*program("jupyter_server"), "--no-browser", "--allow-root", "--ip=127.0.0.1",
         f"--port={port}", "--IdentityProvider.token=", "--ServerApp.password=",
         "--ServerApp.disable_check_xsrf=True",
         "--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}"],
        cwd=course, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(f"{url}/api", server)
        with sync_api.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            place = f"{url}/formgrader/submissions/{identity}/"
            assert look(browser, place) is None
            assert not (course / "HACKED.txt").exists()
            graded = course / "autograded" / "eve" / E.stem / f"{E.stem}.ipynb"
            graded.chmod(0o644)
            graded.write_text(json.dumps(book), encoding="utf-8")
            assert look(browser, place) == 1  # the notebook as it was handed in does harm
            browser.close()
    finally:
        server.terminate()
        server.wait()


def wait_for(url, server):
    for _ in range(240):
        assert server.poll() is None
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError("the server did not start")


def look(browser, url):
    """Marks that a script of the page left in its window; every other host is blocked."""
    page = browser.new_page()
    page.route("**/*", lambda route: route.continue_() if "127.0.0.1" in route.request.url
               else route.abort())  # fmt: skip
    page.goto(url, wait_until="domcontentloaded")
    assert "Submission" in page.content()
    for link in page.query_selector_all("#notebook a, #notebook details"):
        link.click(force=True, timeout=2000, no_wait_after=True)
    page.wait_for_timeout(1500)
    found = page.evaluate("window.HACKED ?? null")
    browsing.end(page)
    return found
