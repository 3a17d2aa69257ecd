"""The search: one index of all pages, made when they are, read by a page without a server."""

import html.parser
import json
import re

import pages

from minivit import files

HIDDEN = {"script", "style", "nav", "header", "footer", "math", "noscript"}
BORDERS = {"h1", "h2", "h3"}


class Sections(html.parser.HTMLParser):
    """A page's text by section: [anchor, heading, text]; the first is what stands above."""

    def __init__(self, text):
        super().__init__()
        self.title, self.found, self.hidden, self.inside = "", [["", "", ""]], 0, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in HIDDEN
        if tag in BORDERS and not self.hidden:
            self.found.append([dict(attributes).get("id", ""), "", ""])
        self.inside = tag if tag in BORDERS or tag == "title" else self.inside
        self.found[-1][2] += " " if tag in {"p", "li", "td", "th", "div", "pre", "br"} else ""

    def handle_endtag(self, tag):
        self.hidden -= tag in HIDDEN
        self.inside = None if tag == self.inside else self.inside

    def handle_data(self, data):
        if self.inside == "title":
            self.title += data
        elif not self.hidden and self.inside in BORDERS:
            self.found[-1][1] += data
        elif not self.hidden:
            self.found[-1][2] += data


def entries(build):
    """A row for each section of each page in `build`: [address, page, heading, text]."""
    rows = []
    for path in sorted(build.rglob("*.html")):
        place = path.relative_to(build)
        if place.parts[0] in {"site", "vendor"} or place.name in {"search.html", "404.html"}:
            continue
        read = Sections(path.read_text(encoding="utf-8"))
        page = read.title.removesuffix(" · minivit").strip()
        for anchor, heading, text in read.found:
            text = re.sub(r"\s+", " ", text).strip()
            if text or heading:
                address = place.as_posix() + (f"#{anchor}" if anchor else "")
                rows.append([address, page, heading.strip(), text])
    return rows


def write(build, ways):
    """Write build/search.html and its index, and 404.html, which leads to it; all other pages must
    be there."""
    found = json.dumps(entries(build), ensure_ascii=False, separators=(",", ":"))
    files.write_whole(build / "search-index.js", f"const PAGES = {found};\n")
    script = pages.markup((pages.TEMPLATES / "search.js").read_text(encoding="utf-8"))
    page = pages.render("search.html.j2", "", ways, script=script)
    files.write_whole(build / "search.html", page)
    files.write_whole(build / "404.html", pages.render("404.html.j2", "", ways))
