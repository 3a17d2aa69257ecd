"""A person's part: points for "Explain", overrides, late days; and answers that are alike."""

import pytest

from minivit.grading.exercise import SubmissionError
from minivit.grading.teachers import exports, marks, similar
from minivit.grading.teachers.layouts import Person
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
