"""Without processes, an answer is judged in the same interpreter, to the same verdict."""

import subprocess
import sys
from dataclasses import asdict

import pytest

from minivit import commands
from minivit.grading import judge, process, submission
from minivit.grading.exercise import CannotJudge, registry
from minivit.grading.process import child, inside, runner
from tests import answers

EXERCISES = list(registry().values())


def verdict(exercise, text, student=inside.Inside, **options):
    cells = submission.Submission("answer.py", [("answer.py", 1, text)])
    return judge.judge(exercise, cells, student=student, **options)


@pytest.fixture
def no_processes(monkeypatch):
    """This platform as a browser is: no process can be started."""

    def refuse(*_, **__):
        raise OSError(138, "emscripten does not support processes.")

    monkeypatch.setattr(process, "PROCESSES", False)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in [n for n in sys.modules if n.startswith("minivit.grading.teachers")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    "exercise",
    [pytest.param(e, marks=[] if e.number % 8 == 1 else pytest.mark.slow) for e in EXERCISES],
    ids=lambda e: e.function,
)
def test_a_right_answer_has_all_points(exercise):
    answer = next(a for a in answers.of(exercise) if a.mistake is None)
    assert verdict(exercise, answer.text).points == exercise.points


SAMPLE = [a for i, a in enumerate(a for a in answers.everything() if a.mistake) if i % 213 == 7]
STRANGE = {
    "does not parse": "def attention(q, k, v, mask:\n    pass",
    "raises": "def attention(q, k, v, mask):\n    print('here')\n    return [][1]",
    "returns something else": "def attention(q, k, v, mask):\n    return 'a', lambda g: None",
    "warns": "import numpy as np\ndef attention(q, k, v, mask):\n    return np.log(v - 1e9), None",
    "warns within NumPy": "import numpy as np\ndef attention(q, k, v, mask):\n"
                          "    return (v * np.inf).sum(), None",
    "seeds": "import numpy as np\ndef attention(q, k, v, mask):\n    np.random.seed(1)\n"
             "    return np.random.random(v.shape), None",
    "imports what is hidden": "import torch\nfrom minivit import Tensor\n"
                              "def attention(q, k, v, mask):\n    return Tensor(q) @ k",
    "exits": "def attention(q, k, v, mask):\n    raise SystemExit",
    "is not there": "x = 1",
    "writes into its arguments": "def attention(q, k, v, mask):\n    q[...] = 0\n"
                                 "    return q, lambda g: (g, g, g)",
}  # fmt: skip


@pytest.mark.parametrize("answer", SAMPLE, ids=lambda a: f"{a.exercise.function} {a.name}")
def test_a_wrong_answer_has_the_verdict_of_the_process(answer):
    there = verdict(answer.exercise, answer.text, runner.Student)
    assert asdict(verdict(answer.exercise, answer.text)) == asdict(there)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_answer_has_the_verdict_of_the_process():
    different = [
        f"{a.exercise.function} {a.name}"
        for a in answers.everything()
        if verdict(a.exercise, a.text) != verdict(a.exercise, a.text, runner.Student)
    ]
    assert different == []


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_a_strange_answer_has_the_verdict_of_the_process(text):
    exercise = next(e for e in EXERCISES if e.function == "attention")
    assert asdict(verdict(exercise, text)) == asdict(verdict(exercise, text, runner.Student))


def test_what_an_answer_does_to_the_interpreter_is_undone():
    before = sys.modules.copy(), sys.path[:], sys.meta_path[:], sys.stdout, sys.gettrace()
    for name in ("imports what is hidden", "seeds"):
        verdict(EXERCISES[1], STRANGE[name])
    minivits = {n: m for n, m in before[0].items() if n.startswith("minivit")}
    assert {n: m for n, m in sys.modules.items() if n in minivits} == minivits
    assert (sys.path, sys.meta_path, sys.stdout, sys.gettrace()) == before[1:]


LOOP = """
def unbroadcast(g, shape):
    while True:
        pass
"""


def test_an_endless_loop_ends(monkeypatch):
    monkeypatch.setattr(inside, "SLOWER", 1)
    found = verdict(EXERCISES[0], LOOP, limits=runner.Limits(call=0.2, total=0.5))
    assert found.points == 0
    assert "did not end in time: an endless loop?" in found.outcomes[0].sentence


def test_check_works_in_a_cell(no_processes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    right = answers.of(EXERCISES[0])[0]
    cells = {"In": ["", right.text], "unbroadcast": print}
    assert submission.check("unbroadcast", cells) == 10
    assert "Public checks passed" in capsys.readouterr().out
    assert (tmp_path / "runs" / "01_unbroadcast.json").exists()
    assert commands.main(["check", "1", str(_file(tmp_path, right.text))]) == 0


def _file(folder, text):
    path = folder / "01_unbroadcast.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize("words", [["grade", "class", "--out", "here"], ["release", "--out", "x"]])
def test_grading_is_refused_in_words(no_processes, words, capsys):
    assert commands.main(words) == 2
    said = capsys.readouterr().err
    assert "a browser has none" in said and "Traceback" not in said


def test_where_no_process_starts_nobody_gets_0_points(no_processes, tmp_path, monkeypatch, capsys):
    """Whatever goes wrong: the judge says that it cannot judge."""
    right = answers.of(EXERCISES[0])[0]
    with pytest.raises(CannotJudge, match="cannot be judged here, because no process"):
        verdict(EXERCISES[0], right.text, runner.Student)
    monkeypatch.undo()
    empty = tmp_path / "child.py"
    empty.write_text("")
    monkeypatch.setattr(child, "__file__", str(empty))
    with pytest.raises(CannotJudge, match="the process for it does not start"):
        verdict(EXERCISES[0], right.text, runner.Student)
