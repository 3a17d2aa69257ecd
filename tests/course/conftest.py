"""Shared by the tests in a browser: chromium, and the site as `make site` writes it."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from tests.course.browsing import FLAGS


@pytest.fixture(scope="module")  # while it is open, no other test can start one
def browser():
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("there is no chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """build/site as `make site` writes it, of lectures that were not executed."""
    pytest.importorskip("pdoc")
    sys.path.insert(0, str(Path(__file__).parents[2] / "lectures"))
    build = tmp_path_factory.mktemp("build")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINIVIT_BUILD", str(build))
        assert importlib.import_module("build").main(["site"]) == 0
    return build / "site"
