"""A stranger's class: each right answer arrives, or a person is told why it does not."""

import pytest

from minivit.files import exercises_folder
from minivit.grading.exercise import find, registry
from minivit.grading.teachers import classroom, handed_in, judging, marks
from tests.grading.exports import BOOK, PY, STEM, WRONG, write, zipped
from tests.grading.here import Pool
from tests.grading.strangers import ARRIVES, SECOND, STANDS_OUT, SYSTEMS

SEED = 3  # the inputs of test_judging.py
FORMS = {f"arrives {n}": files for n, files in ARRIVES.items()}
FORMS |= {f"stands out {n}": files for n, (files, _) in STANDS_OUT.items()}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """All forms, a folder a student; files that are the same are judged once."""
    folder, out = tmp_path_factory.mktemp("strangers"), tmp_path_factory.mktemp("out")
    for name, files in FORMS.items():
        write(folder / name, files)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "ProcessPoolExecutor", Pool)
        return classroom.grade_class(folder, out, 1, SEED, progress=False)


def test_there_are_many_forms():
    assert len(FORMS) >= 70 and len(SYSTEMS) >= 8


def test_each_right_answer_has_all_points_or_a_person_is_told(graded):
    number = find(STEM).number
    points = {name: graded[name].judged(number) for name in FORMS}
    lost = {n: graded[n].there.notes for n in FORMS if n.startswith("arr") and points[n] < 10}
    assert lost == {}
    for name, (_, sentence) in STANDS_OUT.items():
        said = " ".join(graded[f"stands out {name}"].to_look_at())
        assert sentence in said, (name, said)


def test_what_is_read_without_doubt_is_no_noise(graded):
    """Of the right ones, those that hold several answers are to look at, and no other."""
    loud = {n for n in FORMS if n.startswith("arrives") and graded[n].to_look_at()}
    assert loud == {"arrives one name twice", "arrives two in one", "arrives one each"}


def test_all_exercises_in_one_file(graded):
    for name in ("arrives all in one notebook", "arrives all in one script"):
        assert graded[name].total == 20


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("pack", ["folder", "zip", "a zip in a zip"])
def test_the_export_of_another_system(system, pack, tmp_path):
    files, expected = SYSTEMS[system]
    write(tmp_path / "class", files)
    path = tmp_path / "class"
    if pack != "folder":
        path = tmp_path / "export.zip"
        path.write_bytes(zipped(files))
    if pack == "a zip in a zip" and system in ("Blackboard", "Teams", "Moodle, a newer one"):
        path.write_bytes(zipped({"submissions.zip": zipped(files)}))
    found, others = handed_in.submissions(path, tmp_path / "scratch")
    arrived = {name: bool(there.answers) for name, there in found.items()}
    assert arrived == expected
    if system == "Google Classroom":
        assert "names no student" in " ".join(others)
    if system == "Teams":
        assert "Working files do not count" in others[0]
        assert [a.path.read_text("utf-8") for a in found["Ann Poe"].answers[STEM]] == [BOOK]
    if system == "Blackboard":
        assert found["aroe"].person.when.day == 4 and len(found["aroe"].answers[STEM]) == 2
    if system.startswith("Brightspace"):
        assert found["Jane Doe-Roe"].person.when.hour == 22
        assert "cannot be read" in found["Ann Poe"].person.late


def test_a_name_with_its_accents_apart_is_the_same_name(tmp_path):
    """Macs write so; the file of marks comes from somewhere else."""
    write(tmp_path / "class", {f"Zoe\u0308/{STEM}.py": PY})
    found, _ = handed_in.submissions(tmp_path / "class", tmp_path / "scratch")
    people = {name: there.person for name, there in found.items()}
    assert list(people) == ["Zo\u00eb"]
    assert marks.choose(people, ["zo\u00eb"]) == marks.choose(people, ["Zoe\u0308"])


def test_a_long_name_in_an_archive_keeps_its_ends(tmp_path):
    name = f"{'long ' * 60}_jdoe_attempt_2026-11-03-22-15-00_{STEM}.py"
    (tmp_path / "class.zip").write_bytes(zipped({name: PY}))
    found, _ = handed_in.submissions(tmp_path / "class.zip", tmp_path / "scratch")
    assert found["jdoe"].answers


def test_a_helper_of_that_name_is_named_only_if_nothing_else_answers(tmp_path):
    helper = "def vit_input(x):\n    return x\n"
    write(tmp_path / "class" / "ada", {f"{STEM}.py": PY + helper, f"{SECOND}.py": helper})
    found, _ = handed_in.submissions(tmp_path / "class", tmp_path / "scratch")
    assert found["ada"].notes == []


def test_the_published_files_answer_nothing_by_what_they_define(tmp_path):
    """A fork in a folder: starters under other names are known for such, solutions do not count."""
    home, known = exercises_folder(), handed_in.starters(exercises_folder())
    for e in registry().values():
        write(tmp_path / "class" / "ada", {
            f"{e.number}.py": (home / f"{e.stem}.py").read_bytes(),
            f"source/my {e.function}.py": (home / "source" / f"{e.stem}.py").read_bytes(),
        })  # fmt: skip
    found, _ = handed_in.submissions(tmp_path / "class", tmp_path / "scratch", known)
    answers = [a for many in found["ada"].answers.values() for a in many]
    assert len(answers) == len(registry()) and all(a.starter for a in answers)


def test_the_same_file_of_many_is_judged_once(tmp_path, monkeypatch):
    judged, real = [], judging.judge_one
    monkeypatch.setattr(judging, "judge_one", lambda *job: judged.append(job) or real(*job))
    monkeypatch.setattr(judging, "ProcessPoolExecutor", Pool)
    write(tmp_path / "class", {f"s{i}/{STEM}.py": WRONG if i == 3 else PY for i in range(6)})
    points = classroom.grade(tmp_path / "class", tmp_path / "out", 1, SEED, progress=False)
    assert [sum(p.values()) for p in points.values()] == [10, 10, 10, 2, 10, 10]
    assert len(judged) == 2
    write(tmp_path / "class", {f"s3/{STEM}.py": PY})
    points = classroom.grade(tmp_path / "class", tmp_path / "out", 1, SEED, progress=False)
    assert {sum(p.values()) for p in points.values()} == {10}
