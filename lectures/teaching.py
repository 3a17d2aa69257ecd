"""What teaching.md says, for the slides: the route of 75 minutes, and the notes of a lecture."""

import re
from pathlib import Path

TEXT = Path(__file__).with_name("teaching.md")


def route(text=None):
    """The stops of the 75 minutes: {"min", "slide", "show", "ask", "stumble"}, in order."""
    text = TEXT.read_text(encoding="utf-8") if text is None else text
    part = text.partition("## The whole lecture in 75 minutes")[2].partition("\n## ")[0]
    return [
        dict(zip(("min", "slide", "show", "ask", "stumble"), _cells(line.replace("**", ""))))
        for line in part.splitlines()
        if re.match(r"\| \d", line)
    ]


def notes(number, text=None):
    """{"": the lecture's notes, "3": those of its section 3}. A line `- §3 ...` or a row
    `| 3. ...` of the lecture's table belongs to section 3."""
    text = TEXT.read_text(encoding="utf-8") if text is None else text
    found = re.search(rf"(?ms)^## {number} .*?\n(.*?)(?=^## |\Z)", text)
    by_section = {"": []}
    for piece in re.split(r"\n(?=- |\| |\n)", found[1].strip() if found else ""):
        piece = piece.strip()
        if row := re.match(r"\| (\d+)\. ", piece):
            _, minutes, short = _cells(piece)
            said = (
                f"{minutes} minutes. If time is short: {short}" if short else f"{minutes} minutes."
            )
            by_section.setdefault(row[1], []).append(said)
        elif bullet := re.match(r"- §(\d+) (.+)", piece, re.DOTALL):
            by_section.setdefault(bullet[1], []).append(f"- {bullet[2]}")
        elif piece and not piece.startswith("|"):
            by_section[""].append(piece)
    return {section: "\n\n".join(said) for section, said in by_section.items()}


def with_notes(slides, number):
    """The slides of a lecture, with the lecture's notes on the first, a section's on its own."""
    told, done = notes(number), []
    for place, slide in enumerate(slides):
        section = re.match(r"(\d+)\. ", slide["title"]) if slide["kind"] == "section" else None
        said = told[""] if not place else told.get(section[1], "") if section else ""
        minutes = slide.get("minutes")
        if minutes and "minutes." not in said:
            said = f"{minutes} minutes.\n\n{said}"
        done.append({**slide, "notes": said})
    return done


def _cells(row):
    return [cell.strip() for cell in row.strip().strip("|").split("|")]
