"""The pages of the exercises: what is asked and how, linked with the lectures' sections."""

import re
import shutil
from pathlib import Path

import pages

from minivit import files
from minivit.grading.exercise import registry

FOLDER = Path(__file__).resolve().parents[1] / "exercises"


def listed():
    """The exercises, in order: {"title", "lecture", "section", "file"}; file from build/."""
    found = []
    for exercise in registry().values():
        (page,) = FOLDER.glob(f"{exercise.number:02}_*.md")
        found.append(
            {
                "title": f"Exercise {exercise.number}: {exercise.title}",
                "lecture": exercise.lecture,
                "section": exercise.section,
                "file": f"exercises/{page.stem}.html",
                "source": page,
            }
        )
    return found


def of_lecture(title):
    """The exercises of the lecture with this title."""
    return [row for row in listed() if row["lecture"] == title]


def write(build, ways, sections):
    """Write build/exercises/: a page an exercise, and its notebook and file to download.

    sections: {lecture's title: {section's title: its address from build/}}.
    """
    target = build / "exercises"
    rows = listed()
    for place, row in enumerate(rows):
        near = [rows[i] if 0 <= i < len(rows) else None for i in (place - 1, place + 1)]
        before, after = (
            n and {"file": Path(n["file"]).name, "title": n["title"].partition(":")[0]}
            for n in near
        )
        found = [
            {"file": f"../{address}", "title": f"“{row['lecture']}”, {title}"}
            for title, address in sections.get(row["lecture"], {}).items()
            if row["section"] in title
        ]
        page = _page(row["source"], row["title"], ways, before, after, (found or [None])[0])
        files.write_whole(build / row["file"], page)
        for suffix in (".ipynb", ".py"):
            shutil.copy(row["source"].with_suffix(suffix), target)
    contents = _page(FOLDER / "README.md", "Exercises", ways, None, None, None)
    files.write_whole(target / "index.html", contents)


def _page(path, title, ways, before, after, section):
    html, _ = pages.text(path.read_text(encoding="utf-8"))
    html = re.sub(r"<th></th>", "<td></td>", html)  # a heading that says nothing
    html = pages.markup(re.sub(r"<td>(\d+) min", r"<td>\1&nbsp;min", html))
    return pages.render(
        "exercise.html.j2", "../", ways, title=title, html=html, before=before, after=after,
        section=section,
    )  # fmt: skip
