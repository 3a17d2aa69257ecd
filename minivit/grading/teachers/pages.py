"""The teacher's pages: an overview of the class, and a page for each student.

The pages are single files without scripts, pictures or anything from elsewhere. All text passes the
templates' autoescape, and before that `printable`: nothing of a submission becomes part of a page.
"""

import datetime
import os
from collections import Counter
from pathlib import Path
from statistics import mean, median
from urllib.parse import quote

from minivit.grading import report
from minivit.grading.exercise import SubmissionError
from minivit.grading.process import child


def render(template, **values):
    """A page; `values` are made of texts, numbers, lists and dicts."""
    try:
        import jinja2
    except ImportError as error:
        raise SubmissionError("the pages are made by Jinja2: pip install jinja2") from error
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**_printable(values))


def _printable(value):
    if isinstance(value, dict):
        return {key: _printable(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(v) for v in value]
    return child.printable(value) if isinstance(value, str) else value


def _count(n, noun):
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _of(points, most):
    return {"n": f"{points:g}/{most:g}"}


# -- a student -------------------------------------------------------------------------------------
def student(name, exercises, result):
    """The page of one student: a table, then what was found, exercise by exercise."""
    here = [e for e in exercises if e.number in result.verdicts]
    rows = []
    for e in here:
        v, answer = result.verdicts[e.number], result.counted.get(e.number)
        failed = result.is_failed(e.number)
        rows.append([
            {"n": e.number}, {"href": f"#e{e.number}", "text": e.title},
            {"n": "FAILED"} if failed else _of(result.judged(e.number), e.points),
            {"n": f"{v.passed}/{len(v.outcomes)}"}, answer.name if answer else v.where,
            _date(answer.when) if answer else "",
        ])  # fmt: skip
    missing = [f"{e.number} {e.title}" for e in exercises if e.number not in result.verdicts]
    marked = [e for e in exercises if e.number in result.marks and e not in here]
    notes = [f"{e.number} {e.title}: {_comment(result.marks[e.number])}" for e in marked]
    return render(
        "student.html", title=name, sentence=_sentence([*here, *marked], result),
        notes=[*notes, *result.there.notes],
        remarks=result.there.remarks, summary=rows, missing=", ".join(missing),
        parts=[_part(e, result) for e in here],
    )  # fmt: skip


def _sentence(here, result):
    most = sum(e.points for e in here)
    text = f"{result.total:g} of {most:g} points in {_count(len(here), 'exercise')}"
    if result.any_failed:
        text += "; THE GRADING OF SOME FAILED, and they have no points yet"
    if result.marks:
        text += f', {result.explain:g} for the answers under "Explain"'
    else:
        text += ', besides what a person gives for the answers under "Explain"'
    if result.when:
        text += f". Handed in {result.when:%Y-%m-%d %H:%M}"
    if result.late_days:
        text += f", {_count(result.late_days, 'day')} late, {result.rule.percent:g} % a day"
    if result.late_days or result.marks:
        text += f". In the end: {result.final:g}"
    return text + "."


def _date(seconds):
    return f"{datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}" if seconds > 0 else ""


def _part(e, result):
    v, mark = result.verdicts[e.number], result.marks.get(e.number)
    return {
        "number": e.number, "title": e.title, "comment": _comment(mark) if mark else "",
        "rows": [[_mark(o), o.title, _of(o.points, o.max_points)] for o in v.outcomes],
        "report": report.report(v, public=False),
    }  # fmt: skip


def _comment(mark):
    text = f"Explain: {mark.explain:g}. {mark.comment}".strip()
    return text if mark.points is None else f"Points by your teacher: {mark.points:g}. {text}"


def _mark(outcome):
    if outcome.status == "pass":
        return {"mark": "✓ pass", "kind": "pass"}
    return {"mark": f"✗ {report.MARKS[outcome.status].lower()}", "kind": "fail"}


# -- the class -------------------------------------------------------------------------------------
def overview(exercises, results, others=(), alike=()):
    """The page of the class. `results`: {student: Result}; `others`: sentences about what belongs
    to nobody; `alike`: rows of `similar`."""
    has = {number for r in results.values() for number in (*r.verdicts, *r.marks)}
    here = [e for e in exercises if e.number in has]
    judged = {e.number: [r.verdicts[e.number] for r in results.values()
                         if e.number in r.verdicts and not r.is_failed(e.number)]
              for e in here}  # fmt: skip
    most = sum(e.points for e in here)
    totals = [r.total for r in results.values()]
    parts = [
        _exercises(here, judged),
        _histogram("Points", totals, most) if here else _empty("Points", "None."),
        _failed(here, judged),
        _named(here, judged),
        _to_look_at(results, others),
        _alike(alike),
        _students(here, results),
    ]
    if len(here) > 1:
        parts += [
            _histogram(f"Points in {e.number}. {e.title}",
                       [v.points for v in judged[e.number]], e.points)
            for e in here if judged[e.number]
        ]  # fmt: skip
    sentence = (f"{_count(len(results), 'submission')}, {_count(len(here), 'exercise')} of "
                f"{len(exercises)} handed in by anybody.")  # fmt: skip
    return render("overview.html", title="Overview", sentence=sentence, parts=parts)


def _section(title, heads, rows, empty="Nothing.", kind="", note=""):
    return dict(title=title, heads=heads, rows=rows, empty=empty, kind=kind, note=note)


def _empty(title, text):
    return _section(title, [], [], text)


def _exercises(here, judged):
    rows = []
    for e in here:
        points = [v.points for v in judged[e.number]] or [0]
        full = sum(v.points == e.points for v in judged[e.number])
        numbers = (len(judged[e.number]), f"{mean(points):.1f}", f"{median(points):g}",
                   f"{e.points:g}", full)  # fmt: skip
        rows.append([{"n": e.number}, e.title, *({"n": n} for n in numbers)])
    heads = ("Handed in", "Mean", "Median", "Of", "With all points")
    return _section("Exercises", [{"n": ""}, "Exercise", *({"n": h} for h in heads)], rows)


def _histogram(title, points, most):
    """The number of students by points: a row a point, or at most ten steps."""
    steps = int(most) + 1 if most <= 12 else 10
    if most <= 12:
        names, places = [f"{i}" for i in range(steps)], [min(steps - 1, int(p)) for p in points]
    else:
        names = [f"{most * i / 10:g} to {most * (i + 1) / 10:g}" for i in range(10)]
        places = [min(9, int(10 * p / most)) for p in points]
    counts = Counter(places)
    top = max(counts.values(), default=1)
    rows = [[{"n": names[i]}, {"bar": counts[i] / top}, {"n": counts[i]}]
            for i in reversed(range(steps))]  # fmt: skip
    return _section(title, [{"n": "Points"}, "Students", {"n": ""}], rows, kind="bars")


def _failed(here, judged, most=20):
    counts = []
    for e in here:
        for i, prop in enumerate(e.properties):
            failed = sum(v.outcomes[i].status != "pass" for v in judged[e.number])
            counts.append((failed / max(1, len(judged[e.number])), failed, e, prop.title))
    counts.sort(key=lambda c: (-c[0], c[2].number))
    rows = [
        [{"n": e.number}, title, {"bar": share}, {"n": f"{n} of {len(judged[e.number])}"}]
        for share, n, e, title in counts[:most] if n
    ]  # fmt: skip
    return _section("What failed most", [], rows)


def _named(here, judged):
    rows = []
    for e in here:
        once, where = Counter(), {}
        for v in judged[e.number]:  # a mistake that several properties show counts once
            once.update({o.mistake for o in v.outcomes if o.mistake})
            where |= {o.mistake: o.title for o in v.outcomes if o.mistake}
        rows += [(-n, e.number, m, where[m]) for m, n in once.items()]
    rows = [[{"n": -n}, {"n": number}, m, w] for n, number, m, w in sorted(rows)]
    heads = [{"n": "Submissions"}, {"n": "Exercise"}, "Mistake", "Seen in"]
    return _section("Mistakes by name", heads, rows, "None was recognised.")


def _to_look_at(results, others):
    """Cases for a person: files left out, submissions without code, failed gradings."""
    rows = [["", other] for other in others]
    rows += [[_link(s), said] for s, r in results.items() for said in r.to_look_at()]
    return _section("To look at", [], rows)


def _alike(alike):
    rows = [[{"n": f"{100 * share:.0f} %"}, {"n": number}, a, b] for share, number, a, b in alike]
    note = ("The share of token sequences that two answers have in common. Short right answers are "
            "alike by themselves: read both before you think anything.")  # fmt: skip
    heads = [{"n": "Alike"}, {"n": "Exercise"}, "Answer", "Answer"]
    return _section("Answers that are alike", heads, rows, "None.", note=note if rows else "")


def _students(here, results):
    heads = ["Student", *({"n": e.number} for e in here), {"n": "Total"}]
    more = any(r.marks or r.late_days for r in results.values())
    rows = []
    for name, r in sorted(results.items()):
        cells = [_points(r, e) for e in here]
        row = [_link(name), *cells, {"n": "FAILED" if r.any_failed else f"{r.total:g}"}]
        rows.append(row + ([{"n": f"{r.final:g}"}] if more else []))
    return _section("Students", heads + ([{"n": "Final"}] if more else []), rows)


def _points(result, e):
    if result.is_failed(e.number):
        return {"n": "FAILED"}
    there = e.number in result.verdicts or e.number in result.marks
    return {"n": f"{result.judged(e.number):g}" if there else "–"}


def _link(name):
    path = quote(os.fsencode(f"students/{name}/report.html"))
    return {"href": path, "text": name}
