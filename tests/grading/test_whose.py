"""Whose file is whose, and which one is not read: nobody's work is another's, none is silent."""

import errno
import io
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit.grading.exercise import SubmissionError
from minivit.grading.process.child import printable
from minivit.grading.teachers import archives, handed_in
from tests.grading.exports import BOOK, PY, RIGHT, STEM, WRONG, write, zipped

ILIAS = {f"Abgaben/Doe_Jane_jdoe_123/20261103_{STEM}.py": PY,
         f"Abgaben/Poe_Ann_apoe_124/20261103_{STEM}.ipynb": BOOK, "list.xlsx": b"PK"}  # fmt: skip
SAKAI = {
    "Homework 3/grades.csv": "Homework 3,Points\n",
    f"Homework 3/Doe, Jane(jdoe)/Submission attachment(s)/{STEM}.py": PY,
    "Homework 3/Doe, Jane(jdoe)/timestamp.txt": "20261103221500000",
    f"Homework 3/Poe, Ann(apoe)/Submission attachment(s)/{STEM}.ipynb": BOOK,
}
STUD_IP = {f"Week/[1] Doe_Jane_{STEM}.py": PY, f"Week/[2] Poe_Ann_{STEM}.py": PY,
           "archive_filelist.csv": "x"}  # fmt: skip
OPENOLAT = {f"Doe_Jane_jdoe/2_submissions/{STEM}.py": PY, "Doe_Jane_jdoe/1_task/task.pdf": "",
            f"Poe_Ann_apoe/2_submissions/{STEM}.ipynb": BOOK}  # fmt: skip
SCHOOLOGY = {f"Doe, Jane - 12345/Revision 1 - On time/{STEM}.py": WRONG,
             f"Doe, Jane - 12345/Revision 2 - Late/{STEM}.py": PY,
             f"Poe, Ann - 12346/Revision 1 - On time/{STEM}.ipynb": BOOK}  # fmt: skip
CANVAS = {f"doejane_12345_67890_{STEM}.ipynb": BOOK, "roejohn_12346_text.html": "<p>see my mail",
          f"group1_22_67891_{STEM}.py": PY, "poeann_LATE_12347_link.html": "<a>"}  # fmt: skip
MOODLE = {f"Jane Doe_1001_assignsubmission_file_/{STEM}.py": PY,
          f"Ann Poe_1004_assignsubmission_file_/{STEM}.py": WRONG}  # fmt: skip
BESIDE = {"export.zip": zipped(MOODLE), "roster.csv": "x"}
TWO_ZIPS = {"w1.zip": zipped({f"ada/{STEM}.py": PY, f"ben/{STEM}.py": PY}),
            "w2.zip": zipped({f"cem/{STEM}.py": PY})}  # fmt: skip
# what is exported, whether in an archive, {student: does an answer arrive}
EXPORTS = {
    "ILIAS": (ILIAS, True, {"Doe_Jane_jdoe_123": 1, "Poe_Ann_apoe_124": 1}),
    "Sakai": (SAKAI, True, {"Doe, Jane(jdoe)": 1, "Poe, Ann(apoe)": 1}),
    "Stud.IP": (STUD_IP, True, {"1] Doe_Jane": 1, "2] Poe_Ann": 1}),
    "OpenOLAT": (OPENOLAT, False, {"Doe_Jane_jdoe": 1, "Poe_Ann_apoe": 1}),
    "OpenOLAT's zip": (OPENOLAT, True, {"Doe_Jane_jdoe": 1, "Poe_Ann_apoe": 1}),
    "Schoology": (SCHOOLOGY, False, {"Doe, Jane - 12345": 1, "Poe, Ann - 12346": 1}),
    "Canvas, typed in": (CANVAS, False, {"doejane": 1, "group1": 1, "roejohn": 0, "poeann": 0}),
    "beside a roster": (BESIDE, False, {"Jane Doe": 1, "Ann Poe": 1}),
    "beside a roster, zipped": (BESIDE, True, {"Jane Doe": 1, "Ann Poe": 1}),
}


def handed(files, tmp_path, packed=False):
    path = tmp_path / "class"
    write(path, files)
    if packed:
        path = tmp_path / "class.zip"
        path.write_bytes(zipped(files))
    return handed_in.submissions(path, tmp_path / "scratch")


@pytest.mark.parametrize("system", EXPORTS)
def test_a_class_is_several_students(system, tmp_path):
    files, packed, expected = EXPORTS[system]
    found, others = handed(files, tmp_path, packed)
    assert {name: len(there.answers) for name, there in found.items()} == expected
    assert not [n for there in found.values() for n in there.notes if "several students" in n]
    for name in ("list.xlsx", "grades.csv", "archive_filelist.csv", "roster.csv"):
        if any(path.endswith(name) for path in files):
            assert f"{name} is no student's: no folder, no archive" in others
    for name in ("roejohn", "poeann"):
        if name in found:
            assert "the name of no exercise" in found[name].notes[0]


@pytest.mark.parametrize("files", [ILIAS, SAKAI, STUD_IP, TWO_ZIPS])
def test_a_class_that_was_taken_for_one_student_is_to_look_at(files, tmp_path):
    """Which a folder in a folder is, nobody can know; it is said, even where all have the same."""
    found, _ = handed(files, tmp_path)
    name = min(found)
    assert any("if they are several students, grade" in note for note in found[name].notes)


@pytest.mark.parametrize("files", [
    {f"1/{STEM}.py": WRONG, f"2/{STEM}.py": PY}, {f"Version 1/{STEM}.py": PY, f"v2/{STEM}.py": PY},
    {f"{STEM}.py": WRONG, f"old/{STEM}.py": PY}, {"hw.zip": zipped({f"a/{STEM}.py": PY})},
])  # fmt: skip
def test_attempts_are_not_several_students(files, tmp_path):
    found, _ = handed({f"ada/{name}": text for name, text in files.items()}, tmp_path)
    assert not any("several students" in note for note in found["ada"].notes)


OTHER = {"13_vit_input.py": "def vit_input(*_):\n    return 0\n"}
PAGE = f"---\njupytext: x\n---\n```python\n{RIGHT}\n```\n"
MAY_BE_AN_ANSWER = {
    "jupytext's page": {f"{STEM}.md": PAGE}, "a text processor's": {"answers.docx": b"PK\3\4"},
    "a printed one": {"all.html": "<p>"}, "a link": {"colab.webloc": "<plist>"},
    "Google's": {"answers.gdoc": "{}"}, "a scan": {"answers.pdf": b"%PDF"},
    "in a zip": {"hw.zip": zipped({"answers.rtf": "x"})},
}  # fmt: skip


@pytest.mark.parametrize("name", MAY_BE_AN_ANSWER)
def test_what_may_be_an_answer_is_to_look_at_beside_others(name, tmp_path):
    files = MAY_BE_AN_ANSWER[name]
    found, _ = handed({f"ada/{path}": text for path, text in (OTHER | files).items()}, tmp_path)
    (note,) = found["ada"].notes
    assert note.endswith("hand in the .py file or the .ipynb notebook") or "no exercise" in note


READ_BY_CONTENT = {"Untitled": BOOK, "Untitled.json": BOOK, "answer.txt": PY, "homework": PY}


@pytest.mark.parametrize("name", READ_BY_CONTENT)
def test_a_file_is_read_alike_in_a_folder_and_in_an_archive(name, tmp_path):
    text = READ_BY_CONTENT[name]
    found, _ = handed({f"ada/{name}": text, "ben/hw.zip": zipped({name: text}),
                       "cem/hw.zip": zipped({"hw": zipped({name: text})})}, tmp_path)  # fmt: skip
    assert [len(there.answers[STEM]) for there in found.values()] == [1, 1, 1]


def test_names_in_a_macs_zip_are_utf_8(tmp_path):
    """Written as such, without the flag that says so."""
    content = bytearray(zipped({f"Zoë/{STEM}.py": PY, f"Ann/{STEM}.py": PY}))
    for start, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(start)
        while at >= 0:
            content[at + flags + 1] &= ~8
            at = content.find(start, at + 4)
    (tmp_path / "class.zip").write_bytes(content)
    found, _ = handed_in.submissions(tmp_path / "class.zip", tmp_path / "scratch")
    assert sorted(found) == ["Ann", "Zoë"]


def test_a_damaged_file_in_the_archive_of_a_class_costs_nobody_else(tmp_path):
    """And what came out before the damage is no answer."""
    content = bytearray(zipped({f"ada/{STEM}.py": PY, f"ben/{STEM}.py": PY}))
    content[60] ^= 0xFF
    (tmp_path / "class.zip").write_bytes(content)
    found, others = handed_in.submissions(tmp_path / "class.zip", tmp_path / "scratch")
    assert [name for name, there in found.items() if there.answers] == ["ben"]
    assert f"ada/{STEM}.py cannot be unpacked" in others[0]


@pytest.mark.parametrize("where", ["class", "student", "inner"])
def test_a_full_disk_is_no_broken_archive(where, tmp_path, monkeypatch):
    """It is the machine's trouble, and no student loses points by it."""

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    inner = zipped({f"{STEM}.py": PY})
    files = {"ada/hw.zip": zipped({"b.zip": inner}) if where == "inner" else inner}
    target = (zipfile.ZipFile, "open") if where == "class" else (archives.Path, "write_bytes")
    path = tmp_path / "class"
    write(path, files)
    if where == "class":
        path = tmp_path / "class.zip"
        path.write_bytes(zipped(files))
    monkeypatch.setattr(*target, full)
    with pytest.raises(OSError, match="No space left"):
        handed_in.submissions(path, tmp_path / "scratch")


def test_an_archive_of_nothing_is_a_sentence(tmp_path):
    (tmp_path / "class.zip").write_bytes(zipped({}))
    with pytest.raises(SubmissionError, match="holds no submissions"):
        handed_in.submissions(tmp_path / "class.zip", tmp_path / "scratch")


def test_a_hard_link_in_the_archive_of_a_class_is_the_file_once_more(tmp_path):
    """tar writes one where two students have the same file on a disk that saves room."""
    with tarfile.open(tmp_path / "class.tar", "w") as archive:
        for name, kind in (("ada", tarfile.REGTYPE), ("ben", tarfile.LNKTYPE)):
            entry = tarfile.TarInfo(f"{name}/{STEM}.py")
            entry.type, entry.linkname = kind, f"ada/{STEM}.py"
            entry.size = len(PY.encode()) if name == "ada" else 0
            archive.addfile(entry, io.BytesIO(PY.encode()))
        entry = tarfile.TarInfo(f"cem/{STEM}.py")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    found, others = handed_in.submissions(tmp_path / "class.tar", tmp_path / "scratch")
    assert [name for name, there in found.items() if there.answers] == ["ada", "ben"]
    assert others == [f"cem/{STEM}.py is a link, not a file"]


def test_gradescopes_numbers_stay_as_they_are_written(tmp_path):
    """0042 is no 34, No is a name, and each form of a time is one."""
    times = ["2026-11-03 22:15:00.000000000 Z", "2026-11-03T14:15:00.123456-08:00",
             "2026-11-03 22:15:00 +0000"]  # fmt: skip
    sids, known = ("0042", "1_000", "12e4"), "---\n"
    for i, (sid, when) in enumerate(zip(sids, times)):
        known += (f"submission_{i}:\n  :submitters:\n  - :name: No\n    :sid: {sid}\n"
                  f"    :email: \n  :created_at: {when}\n")  # fmt: skip
    files = {f"submission_{i}/{STEM}.py": PY for i in range(3)}
    found, _ = handed(files | {"submission_metadata.yml": known}, tmp_path)
    people = [there.person for there in found.values()]
    assert [p.sid for p in people] == list(sids) and {p.name for p in people} == {"No"}
    assert {p.email for p in people} == {""}
    assert len({p.when.astimezone().replace(microsecond=0) for p in people}) == 1


PARTS = st.sampled_from([
    "ada", "Ben (2)", "Week 3", "1", "Jane Doe_1001_assignsubmission_file_", "Submitted files",
    "12345-67890 - Jane Doe - Nov 3, 2026 1034 PM", "submission_7", "Zoe\u0308", "source", "old",
    "Doe, Jane(jdoe)", "a.zip", "hw.py", "\u202egnp", "x" * 90, " lead", "trail.",
])  # fmt: skip
ENDS = st.sampled_from([
    f"{STEM}.py", f"{STEM} (1).PY", f"doejane_12345_67890_{STEM}.py", f"[1] Doe_{STEM}.py",
    f"Week 3_jdoe_attempt_2026-11-03-22-15-00_{STEM}.py", "homework.py", "answer.txt", "notes.txt",
    f"Jane Doe_1001_assignsubmission_file_{STEM}.py", "doejane_12345_text.html", "Untitled",
    f"{STEM}.pdf", "essay.docx", "submission_metadata.yml", f"ada_{STEM}.py", f"{STEM}\n.py",
])  # fmt: skip
TREES = st.lists(
    st.tuples(st.lists(PARTS, max_size=3), ENDS), min_size=1, max_size=7, unique_by=str
)


@settings(max_examples=25, deadline=None)
@given(TREES, st.booleans())
def test_each_file_is_an_answer_or_is_named(tmp_path_factory, tree, packed):
    """Whatever an export looks like: no file is silent, and no name ends the reading."""
    folder, files = tmp_path_factory.mktemp("tree"), {}
    for number, (parts, end) in enumerate(tree):
        name = "/".join([*parts, end])
        if not any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in files):
            files[name] = PY + f"# {number}, told apart\n" + f"x = {number}\n"
    try:
        found, others = handed(files, folder, packed)
    except SubmissionError as error:
        assert "holds no submissions" in str(error)
        return
    answers = {a.path.read_text("utf-8") for t in found.values()
               for many in t.answers.values() for a in many}  # fmt: skip
    said = " ".join([*others, *(n for t in found.values() for n in (*t.notes, *t.remarks))])
    for name, text in files.items():
        parts = name.split("/")
        read = text in answers or parts[-1] in ("submission_metadata.yml", "notes.txt")
        shown = [printable(part) for part in parts]
        assert read or any(part in said for part in shown) or " more" in said, (name, said)
