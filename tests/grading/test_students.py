"""The student's commands: hints one at a time, an exercise begun anew, a check at each save."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest

from minivit import commands
from minivit.commands import beside, build, built
from minivit.grading import judge, report, submission
from minivit.grading.exercise import SubmissionError, find, registry
from minivit.grading.teachers import classroom
from tests import answers
from tests.grading.test_judging import FOLDER

UNBROADCAST = find("unbroadcast")
RIGHT = answers.of(UNBROADCAST)[0].text


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    out = tmp_path / "bundle"
    classroom.release(FOLDER.parent, out)
    monkeypatch.chdir(out)
    return out


def test_hints_unfold_one_at_a_time_and_are_remembered(bundle, capsys):
    seen = []
    for _ in range(4):
        assert commands.main(["hint", "1"]) == 0
        seen.append(capsys.readouterr().out)
    assert seen[0].startswith("1. Two kinds of axes") and "hint 1 of 3" in seen[0]
    assert seen[1].startswith("2. One sum") and "Two kinds" not in seen[1]
    assert "there are no more" in seen[2] and seen[3] == seen[2]
    assert commands.main(["hint", "unbroadcast", "--again"]) == 0
    again = capsys.readouterr().out
    assert "1. Two kinds of axes" in again and "3. Nothing to sum" in again


@pytest.mark.parametrize("kept", ["no JSON", "[1, 2]", '{"unbroadcast": "two"}', b"\xff\xfe"])
def test_hints_begin_anew_where_what_was_kept_cannot_be_read(bundle, capsys, kept):
    (bundle / "runs").mkdir()
    (bundle / "runs" / "hints.json").write_bytes(kept if isinstance(kept, bytes) else kept.encode())
    assert commands.main(["hint", "1", "--again"]) == 0
    assert "no hint of exercise 1 was unfolded yet: minivit hint 1" in capsys.readouterr().out
    assert commands.main(["hint", "1"]) == 0
    assert "hint 1 of 3" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["hint", "1"], ["reset", "1"], ["watch"], ["watch", "2"],
                                     ["build"]])  # fmt: skip
def test_in_a_folder_without_exercises_a_command_says_so(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert commands.main(command) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert commands.main([*command[:1], "99"] if len(command) > 1 else command) == 2
    assert list(tmp_path.iterdir()) == []


def test_reset_keeps_a_file_that_is_no_text(bundle, capsys):
    script = bundle / "01_unbroadcast.py"
    script.write_bytes(b"\xff\xfe")
    assert commands.main(["reset", "1"]) == 0
    assert (bundle / "01_unbroadcast.mine-1.py").read_bytes() == b"\xff\xfe"


def test_reset_brings_back_what_was_handed_out_and_keeps_what_was_written(bundle, capsys):
    script = bundle / "01_unbroadcast.py"
    original = script.read_text("utf-8")
    for mine in ("# first", "# second"):
        script.write_text(mine, encoding="utf-8")
        assert commands.main(["reset", "1"]) == 0
        assert script.read_text("utf-8") == original
    assert "is as it was handed out; what you had is in 01_unbroadcast.mine-2.py" in (
        capsys.readouterr().out
    )
    assert (bundle / "01_unbroadcast.mine-1.py").read_text("utf-8") == "# first"
    assert commands.main(["reset", "1"]) == 0
    assert "01_unbroadcast.py is as it was handed out\n" in capsys.readouterr().out


def test_watch_checks_a_file_when_it_is_saved(bundle):
    command = [sys.executable, "-m", "minivit.commands", "watch", "--once"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    assert "Watching" in watching.stdout.readline()
    time.sleep(0.6)
    (bundle / "01_unbroadcast.py").write_text(RIGHT, encoding="utf-8")
    said = watching.communicate(timeout=100)[0]
    assert watching.returncode == 0 and "points: 10/10" in said


def test_after_all_points_the_report_says_what_comes_next():
    cells = submission.Submission("a.py", [("a.py", 1, RIGHT)])
    verdict = judge.judge(UNBROADCAST, cells)
    shown = " ".join(report.report(verdict).split())
    assert "The question under Explain is still yours" in shown
    assert "Next: exercise 2, Attention: scale, heads, mask (02_attention.md)." in shown
    assert "Next" not in report.report(verdict, public=False)


@pytest.mark.parametrize("asked, what", [
    (["check"], "which exercise? For example: minivit check 1."),
    (["hint"], "which exercise? For example: minivit hint 1."),
    (["reset"], "which exercise? For example: minivit reset 1."),
    (["check", "atention"], "or the name of a function such as attention. All of them: minivit"),
    (["hint", "0"], "got '0': a number from 1 to 25"),
    (["check", "1", "."], ".: expected a .py file or a notebook"),
    (["check", "1", "README.md"], "README.md: expected a .py file or a notebook"),
])  # fmt: skip
def test_a_wrong_use_is_told_the_right_one(bundle, capsys, asked, what):
    assert commands.main(asked) == 2
    said = capsys.readouterr()
    assert said.out == "" and what in said.err and said.err.count("\n") == 1


def test_a_file_stands_for_its_exercise(bundle, capsys, monkeypatch):
    monkeypatch.setattr(judge, "judge", lambda exercise, answer, **how: 1 / 0)
    (bundle / "mine").mkdir()
    (bundle / "01_unbroadcast.py").rename(bundle / "mine" / "01_unbroadcast.py")
    with pytest.raises(ZeroDivisionError):  # so far it came
        commands.main(["check", "mine/01_unbroadcast.py"])
    assert find("mine/02_attention.ipynb").number == find(solution("attention")).number == 2


def test_progress_counts_results_that_cannot_be_read_as_not_tried(bundle, capsys):
    (bundle / "runs").mkdir()
    for name, text in (("01_unbroadcast", "{"), ("02_attention", "[]"), ("09_embedding", "{}")):
        (bundle / "runs" / f"{name}.json").write_text(text, encoding="utf-8")
    assert commands.main(["progress"]) == 0
    said = capsys.readouterr().out
    assert said.count("-/10 ") == len(registry()) and f"No results in {bundle}" in said


def test_a_file_in_the_place_of_the_results_is_named(bundle, capsys):
    (bundle / "runs").touch()
    assert commands.main(["hint", "1"]) == 2
    assert "runs: File exists: a folder is needed there, rename it" in capsys.readouterr().err


@pytest.mark.parametrize("namespace", [None, RIGHT, np.add])
def test_check_in_a_cell_says_what_its_second_argument_is(namespace):
    with pytest.raises(SubmissionError, match=r'check\("attention", globals\(\)\)'):
        submission.check("attention", namespace)


def test_a_file_without_the_function_says_which_it_has(bundle):
    answer = submission.Submission("a.py", [("a.py", 1, "def unbroadcasted(g, shape): ...")])
    sentence = judge.judge(UNBROADCAST, answer).outcomes[0].sentence
    assert sentence == "no function unbroadcast is defined; there is unbroadcasted"


@pytest.mark.parametrize("name", [e.function for e in registry().values()])
def test_a_starter_is_not_judged_by_build(name):
    folder = FOLDER.parent
    for ending in (".py", ".ipynb"):
        assert build.untouched(submission.read(folder / f"{find(name).stem}{ending}"), name)
    assert not build.untouched(submission.read(FOLDER / f"{find(name).stem}.py"), name)


def put(folder, *functions, wrong=""):
    for name in functions:
        text = (FOLDER / f"{find(name).stem}.py").read_text("utf-8")
        if name == wrong:
            assert "centred * centred" in text
            text = text.replace("(centred * centred).mean(-1", "(centred * centred).sum(-1")
        (folder / f"{find(name).stem}.py").write_text(text, encoding="utf-8")


def solution(name):
    """The function of an exercise's solution, here."""
    answer = submission.read(FOLDER / f"{find(name).stem}.py")
    return build.loaded(answer, name)[0]


def test_every_exercise_has_its_place_in_build():
    places = [*build.IN_A_RUN, *beside.COMPARED]
    assert sorted(places) == sorted(e.function for e in registry().values())
    assert set(build.IN_A_RUN) == {*built.VIT_PARTS, *built.CLIP_PARTS}
    page = " ".join((FOLDER.parent / "README.md").read_text("utf-8").split())
    page = (
        page.split("`minivit build` puts")[1].split("it shows accuracy")[0].replace(" and ", ", ")
    )
    for title, parts in (("ViT", built.VIT_PARTS), ("CLIP", built.CLIP_PARTS)):
        said = numbers_in(page.split(f"{title} ")[1].split(")")[0])
        assert said >= {find(name).number for name in parts} - {1, 19}, title


def numbers_in(text):
    """{1, 2, 3, 9} of "1 to 3, 9"."""
    ranges = re.findall(r"(\d+)(?: to (\d+))?", text)
    return {n for a, b in ranges for n in range(int(a), int(b or a) + 1)}


@pytest.fixture(scope="module")
def setting():
    return beside.the_setting()


@pytest.mark.parametrize("name", beside.COMPARED)
def test_a_function_that_no_run_calls_is_compared_with_the_library(setting, name):
    mine = solution(name)
    assert beside.gap(name, mine, setting) <= beside.CLOSE / 10

    def wrong(*args):
        out = np.array(mine(*args))
        out.flat[-1] += 1  # whole numbers: one off
        return out

    if name != "ridge_probe":  # one score may leave the accuracy as it is
        assert beside.gap(name, wrong, setting) > beside.CLOSE
    assert beside.gap(name, lambda *args: mine(*args)[:1], setting) > beside.CLOSE


def test_build_trains_with_the_students_functions_in_the_place_of_the_library():
    from minivit import functions, optim
    from minivit.engine import graph
    from minivit.engine.record import OPS

    before = functions.layer_norm, graph.unbroadcast, optim.AdamW.rule, dict(OPS)
    used = {name: 0 for name in build.IN_A_RUN}

    def counting(name, function):
        def counted(*args):
            used[name] += 1
            return function(*args)

        return counted

    mine = {name: counting(name, solution(name)) for name in used}
    for train in (built.vit, built.clip):
        yours, own = train(4, mine), train(4, {})
        assert abs(yours.accuracy - own.accuracy) <= 0.02, train
        assert np.allclose(yours.losses, own.losses, rtol=1e-3), train
        assert yours.note == own.note
    assert min(used.values()) > 0, used
    assert before[:3] == (functions.layer_norm, graph.unbroadcast, optim.AdamW.rule)
    assert before[3].items() <= OPS.items() and not [n for n in OPS if n.startswith("your_")]


@pytest.mark.parametrize("name", build.IN_A_RUN)
def test_a_wrong_function_shows_in_the_run_that_calls_it(name):
    """What is shown beside the library's own is not the library's own then."""
    mine = solution(name)

    def wrong(*args):
        got = mine(*args)
        y, vjp = got if isinstance(got, tuple) else (got, None)
        twice = lambda g: tuple(2 * x for x in vjp(g))  # noqa: E731
        return (y * 1.5, twice) if vjp else y * 1.5 + (np.arange(y.size) % 3).reshape(y.shape)

    train = built.vit if name in built.VIT_PARTS else built.clip
    yours, own = (train(2, functions) for functions in ({name: wrong}, {}))
    shown = [(t.accuracy, t.note, *t.losses) for t in (yours, own)]
    assert shown[0] != shown[1]


@pytest.mark.timeout(900)
def test_build_says_which_exercise_to_look_at(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "unbroadcast", "layer_norm", "parameter_counts", wrong="layer_norm")
    assert commands.main(["build", "--steps", "1"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "unbroadcast yours, " in said and "of 01_unbroadcast.py from line" in said
    assert "Look at exercise 17: minivit check 17" in said
    assert "this ViT's numbers, part by part: the library's own numbers" in said
    assert "Not written yet, and the library's own: attention, transformer_layer" in said
    assert "ViT, with your 1 of 7 functions:" in said
    assert "The tiny CLIP waits for layer_norm, cross_entropy, embedding" in said
    assert (tmp_path / "runs" / "build.png").exists()


@pytest.mark.parametrize("wrong", [lambda *sizes: np.zeros(6, int), lambda *sizes: 1 // 0])
def test_build_names_the_exercise_whose_numbers_are_others(setting, capsys, wrong):
    found = build.Passed(wrong, FOLDER, 30, 8)
    assert not build.shown("parameter_counts", found, setting)
    said = capsys.readouterr().out
    assert said.startswith("parameter_counts   yours, 8 lines")
    assert max(map(len, said.splitlines())) <= build.WIDTH
    assert " ".join(said.split()).endswith("Look at exercise 14: minivit check 14")


@pytest.mark.parametrize("width", [40, 80])
def test_a_report_fits_a_narrow_terminal(width):
    """Its sentences do; an input is one piece, to be pasted."""
    wrong = next(a for a in answers.of(UNBROADCAST) if a.mistake).text
    for text in (RIGHT, wrong, "def unbroadcast(g, shape):\n    raise ValueError('no ' * 99)\n"):
        cells = submission.Submission("a.py", [("a.py", 1, text)])
        verdict = judge.judge(UNBROADCAST, cells)
        lines = report.report(verdict, width=width).splitlines()
        assert max(len(line) for line in lines if not line.startswith(" " * 9)) <= width
        whole = report.report(verdict)
        assert report.report(verdict, width=width).split() == whole.split()
    table = report.progress([find("unbroadcast"), find("cross_attention")], {}, width)
    assert max(map(len, table.splitlines())) <= width
