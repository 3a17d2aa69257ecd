"""A page in chromium: what it asks for, what it complains about, and what axe says of it."""

import pytest

FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"


class Visit:
    """A page that is open; what it asked for, and what it complained about. Nothing outside of the
    machine is answered."""

    def __init__(self, browser, address, width=1200, scheme="light", height=900, **options):
        size = {"width": width, "height": height}
        self.context = browser.new_context(viewport=size, color_scheme=scheme, **options)
        self.context.set_default_timeout(300_000)  # a busy machine is no fault of a page
        self.context.set_offline(True)
        self.page, self.asked, self.errors = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)

    def __enter__(self):
        return self.page

    def __exit__(self, kind, *_):
        self.context.close()
        if kind is None:
            outside = [url for url in self.asked if not url.startswith(("file:", "data:"))]
            assert (outside, self.errors) == ([], [])


def end(page):
    """Close a page, or a context of pages, whose requests are routed: one that is still on its way
    is answered no more, and no error of a test."""
    page.unroute_all(behavior="ignoreErrors")
    page.close()


def faults(page, *left_out):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    rules = {"rules": {rule: {"enabled": False} for rule in left_out}}
    found = axe.run(page, options=rules).response["violations"]
    return [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in found]
