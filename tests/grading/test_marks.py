"""A person's part: points for "Explain", overrides, late days; and answers that are alike."""

import datetime
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.grading.exercise import SubmissionError
from minivit.grading.teachers import exports, handed_in, layouts, marks, pages, similar
from minivit.grading.teachers.layouts import Person
from minivit.grading.teachers.results import Result
from tests import answers
from tests.grading.exports import PY, E

PEOPLE = {"ada": Person("ada"), "ben": Person("ben", id="7", email="ben@example.org")}


def test_marks_name_students_by_any_name(tmp_path):
    (tmp_path / "m.csv").write_bytes(
        "\ufeffStudent;Exercise;Explain;Points;Comment\nada;chain_rule;2;;clear\n"
        f"BEN@example.org;{E.number};1,5;9.5;=1+1\n".encode()
    )
    found = marks.read(PEOPLE, tmp_path / "m.csv").marks
    assert found["ada"][E.number] == marks.Mark(2.0, None, "clear")
    assert found["ben"][E.number] == marks.Mark(1.5, 9.5, "=1+1")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("between", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "\ufeff", "sep={}{}", "\ufeffSEP={}{}"])
def test_a_table_is_read_as_spreadsheets_write_it(first, between, end, tmp_path):
    lines = ["student,exercise,points,comment", "ada,16,9,x", 'ben,16,8,"a b"', ""]
    text = first.format(between, end) + end.join(lines).replace(",", between)
    (tmp_path / "m.csv").write_bytes(text.encode())
    found = marks.read(PEOPLE, tmp_path / "m.csv").marks
    assert [found[name][16].points for name in ("ada", "ben")] == [9, 8]


@pytest.mark.parametrize("field", ["9" * 200_000, "\0", '"9', "9\n\n\n;;;"])
def test_no_table_ends_the_grading(field, tmp_path):
    (tmp_path / "m.csv").write_text(f"student,exercise,points\nada,16,{field}")
    try:
        assert marks.read(PEOPLE, tmp_path / "m.csv").marks["ada"][16].points == 9
    except SubmissionError as error:
        assert "m.csv" in str(error)


@pytest.mark.parametrize(
    "line", ["zoe,chain_rule,1,", "ada,no_such,1,", "ada,chain_rule,3,", "ada,chain_rule,,nan"]
)
def test_a_line_that_names_nothing_is_an_error_with_its_place(line, tmp_path):
    (tmp_path / "m.csv").write_text(f"student,exercise,explain,points\n{line}\n")
    with pytest.raises(SubmissionError, match=r"m\.csv, line 2"):
        marks.read(PEOPLE, tmp_path / "m.csv")


def test_late_days_are_those_that_have_begun():
    rule = marks.Rule(marks.moment("2026-11-03T23:59"), 10)
    days = [rule.days(marks.moment(t)) for t in ("2026-11-03 23:59", "2026-11-04 00:00:01",
                                                 "2026-11-05 12:00")]  # fmt: skip
    assert days == [0, 1, 2] and rule.factor(2) == 0.8 and rule.factor(11) == 0
    assert rule.days(None) is None and marks.Rule().days(marks.moment("2026-11-03")) is None


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", "|x", "\uff1d1"])
def test_formulas_stay_text(text, tmp_path):
    exports.write(tmp_path / "a.csv", [[text, "Zoë"]])
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf") and raw[3:].lstrip(b'"').startswith(b"'")
    exports.write(tmp_path / "b.csv", [["ada", 1]])
    assert (tmp_path / "b.csv").read_bytes() == b"ada,1\r\n"


def test_a_copy_with_other_comments_is_alike_and_another_answer_is_not():
    copy = PY.replace("    g = np", "    # mine\n    g = np")
    other = next(a.text for a in answers.of(E) if a.mistake)
    found = similar.pairs({"a": [PY], "b": [copy], "c": [other + "\n" + "x = 1\n" * 200]})
    assert [(a, b) for _, a, b in found] == [("a", "b")] and found[0][0] == 1


# -- names -----------------------------------------------------------------------------------------
ALIKE = {
    "doejane (1)": Person("doejane", "Canvas", "1"),
    "doejane (2)": Person("doejane", "Canvas", "2"),
    "Ann Poe, Sam Coe": Person("Ann Poe, Sam Coe", "Gradescope", "7", "ann@x.org, sam@x.org",
                               "0042, 0043"),
    "'t Hooft": Person("'t Hooft"), "=1+1": Person("=1+1"), "1": Person("1"),
}  # fmt: skip


@pytest.mark.parametrize("text,name", [
    ("doejane (2)", "doejane (2)"), ("2", "doejane (2)"), ("1", "1"), ("'t Hooft", "'t Hooft"),
    ("'=1+1", "=1+1"), ("Sam Coe", "Ann Poe, Sam Coe"), ("SAM@x.org", "Ann Poe, Sam Coe"),
    ("0042", "Ann Poe, Sam Coe"),
])  # fmt: skip
def test_a_student_is_named_as_in_the_table_or_by_the_system(text, name):
    assert marks.choose(ALIKE, [text]) == {name}


@pytest.mark.parametrize("text", ["doejane", "", " ", "'", "42", "org", "Ann"])
def test_a_name_that_is_nobodys_or_of_several_is_an_error(text):
    with pytest.raises(
        SubmissionError, match=r"is no student|may be doejane \(1\) or doejane \(2\)"
    ):
        marks.choose(ALIKE, [text])


@pytest.mark.parametrize("kind,lines", [
    ("marks", "ada,chain_rule,2,\nada,16,,9\n"), ("marks", "ben,1,2,\nBEN,1,2,\n"),
    ("times", "ada,2026-11-03\n7,2026-11-03\nben@example.org,\n"), ("times", "ada,tomorrow\n"),
    ("times", "ada,0001-01-01\n"), ("times", "ada,9999-12-31\n"), ("times", "ada,11/3/2026\n"),
])  # fmt: skip
def test_what_is_said_twice_or_cannot_be_is_an_error_with_its_place(kind, lines, tmp_path):
    head = {"marks": "student,exercise,explain,points\n", "times": "student,handed in\n"}[kind]
    (tmp_path / "m.csv").write_text(head + lines)
    with pytest.raises(SubmissionError, match=rf"m\.csv, line {1 + lines.count(chr(10))}: "):
        marks.read(PEOPLE, **{kind: tmp_path / "m.csv"})


def test_a_time_that_is_not_there_is_no_time(tmp_path):
    (tmp_path / "t.csv").write_text("student,handed in\nada,\nben,2026-11-03 23:50:00 -0800\n")
    found = marks.read(PEOPLE, times=tmp_path / "t.csv").times
    assert list(found) == ["ben"] and found["ben"].utcoffset() == datetime.timedelta(hours=-8)


# -- late days -------------------------------------------------------------------------------------
@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no tzset")
def test_a_day_is_one_of_the_clock(berlin):
    """In the night of 25 October 2026 clocks go back, in that of 29 March forward."""
    assert os.environ["TZ"] == "Europe/Berlin"
    for due, handed, days in (
        ("2026-10-24T23:59", "2026-10-25T23:59", 1), ("2026-10-24T23:59", "2026-10-26T00:00", 2),
        ("2026-03-28T23:59", "2026-03-29T23:59", 1), ("2026-03-28T23:59", "2026-03-30T00:00", 2),
        ("2026-11-03T23:59", "2026-11-03T22:59Z", 0), ("2026-11-03", "2026-11-03T23:00:01Z", 1),
        ("2026-11-03", "2026-11-03T23:59:59", 0), ("2026-11-03", "2026-11-04T00:00:01", 1),
        ("2026-11-03T23:59-08:00", "2026-11-04T08:59", 0), ("2026-11-03T23:59Z", "2026-11-04", 1),
    ):  # fmt: skip
        assert marks.Rule(marks.moment(due), 10).days(marks.moment(handed)) == days, (due, handed)


MOMENTS = st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2040, 1, 1))


@given(MOMENTS, st.integers(0, 30), st.integers(1, 86400))
def test_days_are_counted_as_they_begin(due, days, seconds):
    due = due.replace(tzinfo=datetime.UTC)
    rule = marks.Rule(due, 10)
    assert rule.days(due + datetime.timedelta(days, seconds)) == days + 1
    assert rule.days(due - datetime.timedelta(days)) == 0


def test_where_no_time_is_known_a_person_is_told():
    there = handed_in.HandedIn(layouts.Person("ada"), answers={"x": []})
    rule = marks.Rule(marks.moment("2026-11-03"), 10)
    assert "no time of handing in is known" in Result(there, rule=rule).to_look_at()[-1]
    assert Result(there, rule=rule, when=marks.moment("2026-11-03")).to_look_at() == [
        "all files are as they were handed out"
    ]


# -- what a person gave stands everywhere ----------------------------------------------------------
def test_points_for_what_was_not_handed_in_stand_in_every_table(tmp_path):
    """On paper, say."""
    there = handed_in.HandedIn(Person("ada\x1b[2J", "Canvas", "7"))
    result = Result(there, marks={E.number: marks.Mark(1.0, 9.0, "on paper")})
    exports.systems(tmp_path, [E], {"ada": result})
    last = (tmp_path / "canvas.csv").read_text("utf-8").splitlines()[-1]
    assert last.endswith(",10") and "\x1b" not in last
    assert ">9<" in pages.overview([E], {"ada": result})
    page = pages.student("ada", [E], result)
    assert "Points by your teacher: 9. Explain: 1. on paper" in page and "9 of 10 points" in page
