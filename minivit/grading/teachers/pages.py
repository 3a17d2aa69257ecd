"""What a teacher reads: points.csv, an overview of the class, and a page for each student.

The pages are single files without scripts, pictures or anything from elsewhere. All that comes from
a submission passes `text`, so that nothing in it becomes part of a page.
"""

import csv
import html
import io
import os
from collections import Counter
from statistics import mean, median

from minivit import files
from minivit.grading import report
from minivit.grading.process import child

STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #1a1a1a; background: #fff; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .7rem; text-align: left;
  vertical-align: top; border-bottom: 1px solid #ddd; } .n { text-align: right;
  white-space: nowrap; }
th { font-weight: 600; border-bottom-color: #888; }
pre { font: 14px/1.4 ui-monospace, monospace; background: #f4f4f4; padding: .7rem 1rem;
  overflow-x: auto; white-space: pre-wrap; }
.bar { background: #0072b2; height: .9rem; } .bars td { border: 0; padding: .1rem .7rem; }
.room { width: 14rem; } .pass { color: #00694a; } .fail { color: #b03a00; font-weight: 600; }
.note { color: #555; } .scroll { overflow-x: auto; }
"""


def text(value):
    """A value as a part of a page."""
    return html.escape(child.printable(str(value)))


def page(title, parts):
    title = text(title)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{STYLE}</style>\n<h1>{title}</h1>\n" + "\n".join(parts) + "\n</html>\n"
    )


def table(heads, rows, kind=""):
    """Rows of cells that are text or, with a leading "=", numbers to stand on the right."""

    def cell(value, tag):
        return f'<{tag} class="n">{value[1:]}</{tag}>' if value[:1] == "=" else (
            f"<{tag}>{value}</{tag}>")  # fmt: skip

    lines = ["".join(cell(head, "th") for head in heads)] if heads else []
    lines += ["".join(cell(value, "td") for value in row) for row in rows]
    start = f'<table class="{kind}">' if kind else "<table>"
    return "\n".join([start, *(f"<tr>{line}</tr>" for line in lines), "</table>"])


def bar(share):
    """A bar of this share of the room."""
    return f'<div class="room"><div class="bar" style="width:{100 * share:.1f}%"></div></div>'


# -- a student -------------------------------------------------------------------------------------
def student(name, exercises, verdicts, notes=()):
    """The page of one student: a table, then what was found, exercise by exercise."""
    handed_in = [e for e in exercises if e.number in verdicts]
    points = sum(v.points for v in verdicts.values())
    most = sum(e.points for e in handed_in)
    parts = [
        f"<p>{points:g} of {most:g} points in {_count(len(handed_in), 'exercise')}, besides what a "
        'person gives for the answers under "Explain".</p>'
    ]
    parts += [f'<p class="fail">{text(note)}</p>' for note in notes]
    rows = []
    for e in handed_in:
        v = verdicts[e.number]
        count = f"={v.passed}/{len(v.outcomes)}"
        link = f'<a href="#e{e.number}">{text(e.title)}</a>'
        rows.append([f"={e.number}", link, f"={v.points:g}/{e.points:g}", count])
    if rows:
        parts.append(table(["=", "Exercise", "=Points", "=Checks"], rows))
    missing = [e for e in exercises if e.number not in verdicts]
    if missing:
        titles = ", ".join(f"{e.number} {text(e.title)}" for e in missing)
        parts.append(f'<p class="note">Nothing was handed in for: {titles}.</p>')
    for e in handed_in:
        v = verdicts[e.number]
        parts.append(f'<h2 id="e{e.number}">{e.number}. {text(e.title)}</h2>')
        rows = [[_mark(o), text(o.title), f"={o.points:g}/{o.max_points:g}"] for o in v.outcomes]
        parts.append(table([], rows))
        if v.passed < len(v.outcomes) or v.trouble or v.printed.strip():
            parts.append(f"<pre>{text(report.report(v, public=False))}</pre>")
    return page(name, parts)


def _mark(outcome):
    passed = outcome.status == "pass"
    word = "✓ pass" if passed else f"✗ {report.MARKS[outcome.status].lower()}"
    return f'<span class="{"pass" if passed else "fail"}">{word}</span>'


def _count(n, noun):
    return f"{n} {noun}{'' if n == 1 else 's'}"


# -- the class -------------------------------------------------------------------------------------
def overview(exercises, results, notes):
    """The page of the class. `results`: {student: {exercise number: Verdict}}; `notes`: {student:
    sentences about what was left out}."""
    here = [e for e in exercises if any(e.number in verdicts for verdicts in results.values())]
    handed_in = {e.number: _verdicts(results, e) for e in here}
    parts = [f"<p>{_count(len(results), 'submission')}, {_count(len(here), 'exercise')} of "
             f"{len(exercises)} handed in by anybody.</p>"]  # fmt: skip
    parts += ["<h2>Exercises</h2>", _exercises(here, handed_in)]
    totals = [sum(v.points for v in verdicts.values()) for verdicts in results.values()]
    most = sum(e.points for e in here)
    parts += ["<h2>Points</h2>", _histogram(totals, most) if here else "<p>None.</p>"]
    parts += ["<h2>What failed most</h2>", _failed(here, handed_in)]
    parts += ["<h2>Mistakes by name</h2>", _named(here, handed_in)]
    parts += ["<h2>To look at</h2>", _to_look_at(results, notes)]
    parts += ["<h2>Students</h2>", _students(here, results)]
    for e in here if len(here) > 1 else ():
        parts.append(f"<h2>Points in {e.number}. {text(e.title)}</h2>")
        parts.append(_histogram([v.points for v in handed_in[e.number]], e.points))
    return page("Overview", parts)


def _verdicts(results, exercise):
    return [v[exercise.number] for v in results.values() if exercise.number in v]


def _exercises(here, handed_in):
    rows = []
    for e in here:
        points = [v.points for v in handed_in[e.number]]
        full = sum(p == e.points for p in points)
        rows.append([
            f"={e.number}", text(e.title), f"={len(points)}", f"={mean(points):.1f}",
            f"={median(points):g}", f"={e.points:g}", f"={full}",
        ])  # fmt: skip
    heads = ["=", "Exercise", "=Handed in", "=Mean", "=Median", "=Of", "=With all points"]
    return table(heads, rows)


def _histogram(points, most):
    """How many have how many points: a row a point, or at most ten steps."""
    steps = int(most) + 1 if most <= 12 else 10
    if most <= 12:
        names, places = [f"={i}" for i in range(steps)], [int(p) for p in points]
    else:
        names = [f"={most * i / 10:g} to {most * (i + 1) / 10:g}" for i in range(10)]
        places = [min(9, int(10 * p / most)) for p in points]
    counts = Counter(places)
    top = max(counts.values())
    rows = [[names[i], bar(counts[i] / top), f"={counts[i]}"] for i in reversed(range(steps))]
    return table(["=Points", "Students", "="], rows, "bars")


def _failed(here, handed_in, most=20):
    counts = []
    for e in here:
        for i, prop in enumerate(e.properties):
            failed = sum(v.outcomes[i].status != "pass" for v in handed_in[e.number])
            counts.append((failed / len(handed_in[e.number]), failed, e, prop.title))
    counts.sort(key=lambda c: (-c[0], c[2].number))
    rows = [
        [f"={e.number}", text(title), bar(share), f"={n} of {len(handed_in[e.number])}"]
        for share, n, e, title in counts[:most] if n
    ]  # fmt: skip
    return table([], rows) if rows else "<p>Nothing.</p>"


def _named(here, handed_in):
    rows = []
    for e in here:
        named = Counter(
            (o.title, o.mistake) for v in handed_in[e.number] for o in v.outcomes if o.mistake
        )
        once = Counter()  # a mistake that several properties show counts once a submission
        for v in handed_in[e.number]:
            once.update({o.mistake for o in v.outcomes if o.mistake})
        where = {mistake: title for title, mistake in named}
        rows += [(-n, e.number, m, where[m]) for m, n in once.items()]
    rows = [[f"={-n}", f"={number}", text(m), text(w)] for n, number, m, w in sorted(rows)]
    heads = ["=Submissions", "=Exercise", "Mistake", "Seen in"]
    return table(heads, rows) if rows else "<p>None was recognised.</p>"


def _to_look_at(results, notes):
    """What a person should see: files left out, submissions without code, failed gradings."""
    rows = [[_link(s), text(note)] for s in results for note in notes.get(s, ())]
    rows += [[_link(s), "nothing was handed in"] for s, verdicts in results.items() if not verdicts]
    rows += [
        [_link(s), f"{v.exercise}. {text(v.title)}: {text(v.trouble)}"]
        for s, verdicts in results.items() for v in verdicts.values() if v.trouble
    ]  # fmt: skip
    return table([], rows) if rows else "<p>Nothing.</p>"


def _students(here, results):
    heads = ["Student", *(f"={e.number}" for e in here), "=Total"]
    rows = []
    for name, verdicts in sorted(results.items()):
        points = [f"={verdicts[e.number].points:g}" if e.number in verdicts else "=–" for e in here]
        rows.append([_link(name), *points, f"={sum(v.points for v in verdicts.values()):g}"])
    return f'<div class="scroll">{table(heads, rows)}</div>'


def _link(name):
    from urllib.parse import quote

    path = quote(os.fsencode(f"students/{name}/report.html"))
    return f'<a href="{path}">{text(name)}</a>'


# -- for a spreadsheet -----------------------------------------------------------------------------
def write_csv(path, exercises, results):
    """A row a student, a column an exercise: points, or nothing where nothing was handed in."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["student", *(e.stem for e in exercises), "total"])
    for name, verdicts in results.items():
        points = [verdicts[e.number].points if e.number in verdicts else "" for e in exercises]
        total = sum(v.points for v in verdicts.values())
        rows.writerow([plain(name), *points, total])
    files.write_whole(path, table.getvalue().encode("utf-8", errors="backslashreplace"))


def plain(name):
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name
