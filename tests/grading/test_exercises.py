"""The exercises: each mistake planted and named, each broken submission judged, nothing forged."""

import io
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minivit import commands
from minivit.grading import judge, report, starter, submission
from minivit.grading.checks import layer_norm as checks
from minivit.grading.exercise import Case, SubmissionError, TodoError, find, registry
from minivit.grading.process import child, runner
from tests.answers.layer_norm import PLANTED, RIGHT, answer
from tests.clock import pace
from tests.grading import here

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "exercises"
LAYER_NORM = find("layer_norm")
SOURCE = (FOLDER / "source" / "17_layer_norm.py").read_text(encoding="utf-8")
TITLES = [p.title for p in LAYER_NORM.properties]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Little shrinking, for a test that does not ask about it."""
    monkeypatch.setattr(judge, "SHRINKING", 3)


@pytest.fixture
def few(monkeypatch):
    """Few inputs of each property: for an answer that ends its process with each."""
    monkeypatch.setattr(judge, "share", lambda prop: 4)


def verdict_on(text, exercise=LAYER_NORM, **options):
    options.setdefault("limits", runner.Limits(call=0.25))
    return judge.judge(exercise, submission.Submission("answer.py", [("answer.py", 1, text)]),
                       **options)  # fmt: skip


def verdict_here(text):
    """The Verdict on an answer of ours that needs no process: it neither hangs nor ends Python."""
    verdict = judge.new_verdict(LAYER_NORM, "answer.py")
    judging = judge.Judge(LAYER_NORM, here.Here(text, LAYER_NORM.function), seed=0)
    verdict.outcomes = [judging.outcome(prop) for prop in LAYER_NORM.properties]
    return verdict


def first_outcome(text):
    """What became of the first property, with the function in a process of its own."""
    cells = [("answer.py", 1, text)]
    with runner.Student(cells, LAYER_NORM.function, runner.Limits(call=0.5)) as student:
        return judge.Judge(LAYER_NORM, student, seed=0).outcome(LAYER_NORM.properties[0])


def statuses(verdict):
    return [o.status for o in verdict.outcomes]


def run_cli(*arguments, cwd):
    """`minivit ...` in another process: (exit status, stdout, stderr, seconds).

    The seconds are the processor's, where the platform says them: a full machine is no matter.
    """
    start = seconds()
    done = subprocess.run(
        [sys.executable, "-m", "minivit.commands", *map(str, arguments)],
        cwd=cwd, capture_output=True, encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr, seconds() - start


def seconds():
    try:
        import resource
    except ImportError:
        return time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# -- answers ---------------------------------------------------------------------------------------
CORRECT = {"solution": SOURCE, **RIGHT}


@pytest.mark.parametrize("name", CORRECT)
def test_a_correct_answer_has_all_points_and_no_mistake(name):
    judged = verdict_on if name == "solution" else verdict_here
    verdict = judged(CORRECT[name])
    assert statuses(verdict) == ["pass"] * 8, report.report(verdict)
    assert verdict.points == verdict.max_points == LAYER_NORM.points == 10
    assert not any(o.mistake for o in verdict.outcomes)


def test_every_mistake_is_planted():
    known = {(m.output, m.title) for m in LAYER_NORM.mistakes}
    assert known == {(output, title) for output, named in PLANTED.items() for title in named}
    assert len(known) == len(LAYER_NORM.mistakes) == 55


@pytest.mark.parametrize(
    "output,title", [(output, title) for output, named in PLANTED.items() for title in named]
)
def test_a_planted_mistake_fails_and_is_named(output, title):
    prop = next(p for p in LAYER_NORM.properties if p.output == output)
    student = here.Here(answer(**{output: PLANTED[output][title]}), "layer_norm")
    outcome = judge.Judge(LAYER_NORM, student, seed=0).outcome(prop)
    assert outcome.status == "fail" and outcome.points == 0
    assert outcome.mistake == title
    assert outcome.expected != outcome.got and set(outcome.inputs) >= {"x", "g"}


def test_a_wrong_answer_that_is_no_known_mistake_has_no_name():
    outcome = verdict_here(answer(gx="s * (h - 1.01 * M(h) - n * M(h * n))")).outcomes[1]
    assert outcome.status == "fail" and outcome.mistake == ""


def test_one_wrong_axis_costs_what_depends_on_it_and_no_more():
    verdict = verdict_here(answer(ggamma="(g * n).sum(-1)"))
    assert [o.title for o in verdict.outcomes if o.status == "fail"] == [TITLES[2], TITLES[4]]
    assert "ggamma has shape (1,), expected (3,)" in verdict.outcomes[2].sentence


def test_the_smallest_input_is_small(monkeypatch):
    monkeypatch.setattr(judge, "SHRINKING", 100)
    outcome = verdict_here(answer(gx="s * h")).outcomes[1]
    assert outcome.inputs["g"].count("1") == 1 and "." in outcome.inputs["x"]
    assert sum(outcome.inputs["x"].count(str(digit)) for digit in range(1, 10)) == 1


def test_the_truth_of_the_checks_is_the_derivative():
    """`symbols` holds the reference: central differences say the same."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 2, 3, 5))
    inputs = {"x": x, "gamma": rng.normal(size=5), "beta": rng.normal(size=5), "eps": 1e-3}
    truth = checks.symbols(Case(inputs, g))
    for argument, output in zip(inputs, checks.OUTPUTS[1:], strict=False):
        slope = np.zeros_like(inputs[argument])
        for i in np.ndindex(slope.shape):
            both = []
            for d in (1e-6, -1e-6):
                moved = inputs[argument].copy()
                moved[i] += d
                both.append((checks.symbols(Case(inputs | {argument: moved}, g)).y * g).sum())
            slope[i] = (both[0] - both[1]) / 2e-6
        np.testing.assert_allclose(getattr(truth, output), slope, rtol=1e-6, atol=1e-8)
    assert abs(truth.y.mean() - (truth.n * inputs["gamma"] + inputs["beta"]).mean()) < 1e-12
    np.testing.assert_allclose(truth.n.mean(-1), 0, atol=1e-12)


def test_most_inputs_have_no_two_equal_axes_and_no_ordinary_row_is_constant():
    cases = judge.Judge(LAYER_NORM, None, seed=0).cases(LAYER_NORM.properties[0])
    assert len(cases) >= 40 and {c.g.ndim for c, _ in cases} == {2, 3, 4}
    assert sum(len(set(c.g.shape)) == c.g.ndim for c, _ in cases) > len(cases) / 2
    assert all((np.ptp(c.inputs["x"], axis=-1) > 0).all() for c, _ in cases)


# -- stubs -----------------------------------------------------------------------------------------
def test_the_starter_passes_nothing_and_says_what_to_do():
    starter_text = (FOLDER / "17_layer_norm.py").read_text(encoding="utf-8")
    verdict = verdict_on(starter.script(SOURCE, LAYER_NORM))
    assert statuses(verdict) == ["todo"] * 8 and verdict.points == 0
    assert {o.sentence for o in verdict.outcomes} == {
        "Exercise 17, layer_norm: write the forward pass. Read lecture 'Vision Transformer', "
        "section 'The layer: LayerNorm and its gradient'."
    }
    assert report.report(verdict).count("write the forward pass") == 1
    assert "BEGIN SOLUTION" not in starter_text and "nbgrader" not in starter_text


def test_the_forward_pass_has_its_point_while_the_backward_pass_is_a_stub():
    stub = LAYER_NORM.todo("write the backward pass")
    text = answer().replace(
        "        return gx", f"        raise TodoError({stub!r})\n        return gx"
    )
    verdict = verdict_on("from minivit.grading import TodoError, check\n" + text)
    assert statuses(verdict) == ["pass"] + ["todo"] * 7 and verdict.points == 1
    assert "write the backward pass" in report.report(verdict)


def test_running_the_starter_raises_the_task(tmp_path):
    path = tmp_path / "17_layer_norm.py"
    path.write_text(starter.script(SOURCE, LAYER_NORM), encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 1
    assert "TodoError: Exercise 17, layer_norm: write the forward pass. Read" in done.stderr
    assert issubclass(TodoError, NotImplementedError)


# -- one source ------------------------------------------------------------------------------------
def test_the_students_files_are_what_the_source_generates():
    pytest.importorskip("jupytext")
    for path, text in starter.starters(FOLDER).items():
        kept = [path.read_text(encoding="utf-8")]
        show = ["git", "show", f"HEAD:exercises/{path.name}"]  # who works in the file changes it
        kept.append(subprocess.run(show, cwd=ROOT, capture_output=True, encoding="utf-8").stdout)
        assert text in kept, (
            f"{path.name} is not what its source generates: "
            "python -m minivit.grading.starter exercises"
        )


def test_the_source_checks_itself(tmp_path):
    path = tmp_path / "17_layer_norm.py"
    path.write_text(SOURCE, encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, encoding="utf-8",
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Public checks passed: 8/8, points: 10/10." in done.stdout
    assert (tmp_path / "runs" / "17_layer_norm.json").exists()


def test_nbgrader_metadata_agrees_with_the_checks():
    pytest.importorskip("jupytext")
    for exercise in registry().values():
        source = (FOLDER / "source" / f"{exercise.stem}.py").read_text(encoding="utf-8")
        cells = [c["metadata"]["nbgrader"] | {"text": "".join(c["source"])}
                 for c in json.loads(starter.nbgrader_source(source))["cells"]
                 if "nbgrader" in c["metadata"]]  # fmt: skip
        graded = {c["grade_id"]: c for c in cells if c["grade"]}
        check, explain = (graded[f"{exercise.function}_{part}"] for part in ("check", "explain"))
        assert check["points"] == exercise.points and check["locked"] and not check["solution"]
        assert check["text"].strip().splitlines()[-1] == f'check("{exercise.function}", globals())'
        assert explain["solution"] and explain["cell_type"] == "markdown" and explain["points"] > 0
        assert len({c["grade_id"] for c in cells}) == len(cells)
        assert all({"locked", "schema_version", "task"} <= set(c) for c in cells)
        assert all("BEGIN SOLUTION" in c["text"] for c in cells if c["solution"])


def test_a_solution_without_a_task_is_refused():
    with pytest.raises(SubmissionError, match=r"line 2 .* expected '# Task"):
        starter.script("### BEGIN SOLUTION\nx = 1\n### END SOLUTION\n", LAYER_NORM)


def test_each_exercise_has_its_page():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for exercise in registry().values():
        page = (FOLDER / f"{exercise.stem}.md").read_text(encoding="utf-8")
        assert f"[{exercise.title}]({exercise.stem}.md)" in readme
        assert exercise.lecture in page and " ".join(exercise.section.split()) in " ".join(
            page.split()
        )
        assert page.count("<details>") == page.count("</details>") >= 3
        assert all(p.title in page for p in exercise.properties)


# -- submissions that are broken, or mean harm -----------------------------------------------------
def test_an_endless_loop_costs_its_own_properties_only():
    text = answer(gx="[None for _ in iter(int, 1)]")
    verdict = verdict_on(text)
    assert statuses(verdict) == ["pass"] + ["fail"] * 7
    assert "vjp did not end in time: an endless loop?" == verdict.outcomes[1].sentence
    only_float32 = answer().replace("    y =", "    while x.dtype == np.float32: pass\n    y =")
    verdict = verdict_on(only_float32)
    assert [o.title for o in verdict.outcomes if o.status == "fail"] == [TITLES[6]]


def test_an_exception_comes_back_with_the_students_line():
    verdict = verdict_here(answer(y="n * gamma + np.ones((7, 7))"))
    assert statuses(verdict) == ["fail"] * 8
    assert "ValueError: operands could not be broadcast" in verdict.outcomes[0].sentence
    assert "answer.py, line 10: y = n * gamma + np.ones((7, 7))" in verdict.outcomes[0].sentence
    assert "the same as in 1" in report.report(verdict)


@pytest.mark.parametrize(
    "text,message",
    [
        ("def layer_norm(x:\n    return", "SyntaxError: '(' was never closed\n  answer.py, line 1"),
        ("<<<<<<< HEAD\nx = 1\n", "SyntaxError: invalid syntax\n  answer.py, line 1: <<<<<<< HEAD"),
        ("", "the file is empty"),
        ("def layernorm(x): return x", "no function layer_norm is defined"),
        ("layer_norm = 3", "no function layer_norm is defined"),
        ("import nonexistent_module as m\ndef layer_norm(*a): return m.f(*a)",
         "ModuleNotFoundError: No module named 'nonexistent_module'\n  answer.py, line 1"),
        ("import torch\ndef layer_norm(*a): return torch.f(*a)", "plain NumPy, without torch"),
        ("from minivit.functions import layer_norm", "plain NumPy, without minivit.functions"),
    ],
)  # fmt: skip
def test_a_file_without_the_function_says_why(text, message):
    verdict = verdict_on(text)
    assert statuses(verdict) == ["fail"] * 8 and verdict.points == 0
    assert message in verdict.outcomes[0].sentence


@pytest.mark.parametrize(
    "text,message",
    [
        (answer().replace("return y, vjp", "return y"), "must return (y, vjp)"),
        (answer().replace("return y, vjp", "return None, vjp"), "y is None, expected an array"),
        (answer().replace("return y, vjp", "return list(y), vjp"), "y is [array"),
        (answer(y="(n * gamma + beta).astype(int)"), "y has dtype int64, expected float64"),
        (answer(y="(n * gamma + beta).astype(object)"), "y is an array of dtype object"),
        (answer(y="(n * gamma + beta).T"), "y has shape ("),
        (answer(y="n * gamma + beta + np.nan"), "y is not finite"),
        (answer().replace(", eps=1e-5", ""), "TypeError: layer_norm() takes 3 positional"),
        ("def layer_norm(*a): return layer_norm(*a)", "RecursionError"),
        ("def layer_norm(*a): raise SystemExit(0)", "SystemExit: 0"),
        ("import os\ndef layer_norm(*a): os._exit(0)", "layer_norm ended the Python process"),
        ("import numpy as np\ndef layer_norm(*a): return np.ones(10**11), 1", "MemoryError"),
        ("class E(Exception):\n    def __str__(self): raise ValueError\n"
         "def layer_norm(*a): raise E", "(its message cannot be read)"),
    ],
)  # fmt: skip
def test_a_wrong_result_is_told_as_what_it_is(text, message):
    outcome = first_outcome(text)
    assert outcome.status == "fail"
    assert message in outcome.sentence.replace("y is a list", "y is [array")


@pytest.mark.parametrize("bad", ["return gx, ggamma", "return gx", "return None"])
def test_a_vjp_that_returns_other_things_than_three_gradients(bad):
    verdict = verdict_here(answer().replace("return gx, ggamma, gbeta", bad))
    assert statuses(verdict) == ["pass"] + ["fail"] * 7
    assert "vjp(g) must return a tuple of 3 gradients; it returned" in verdict.outcomes[1].sentence


def test_printing_costs_nothing_and_is_shown():
    text = answer().replace("    y =", "    print('mean', 1.5)\n    y =")
    text = text.replace("import numpy as np", "import numpy as np, os, sys", 1)
    text = text.replace(
        "        h, rest", "        os.write(1, b'x' * 99); sys.__stdout__\n        h, rest"
    )
    verdict = verdict_on(text)
    assert verdict.points == 10
    assert "    mean 1.5\n" in report.report(verdict)


def test_endless_printing_is_a_hang_and_fills_nothing(few):
    verdict = verdict_on("def layer_norm(*a):\n    while True: print('x' * 1000)\n")
    assert verdict.points == 0 and len(verdict.printed) <= child.PRINTED
    assert "did not end in time" in verdict.outcomes[0].sentence


def test_replacing_numpy_functions_earns_nothing():
    text = answer(gx="0 * g", y="0 * x") + (
        "np.allclose = np.array_equal = lambda *a, **k: True\n"
        "np.abs = lambda a: np.zeros(3)\n"
        "_ = [setattr(np, 'allclose', lambda *a, **k: True) for _ in (1,)]\n"
    )
    lie = "    np.allclose = np.abs = np.array_equal = lambda *a, **k: True\n    y ="
    verdict = verdict_on(text.replace("    y =", lie))
    assert [o.title for o in verdict.outcomes if o.status == "pass"] == TITLES[2:4]
    assert np.allclose(0, 1) is False or not np.allclose(0, 1)


def test_an_answer_of_zeros_earns_nothing():
    zeros = answer(y="0 * x", gx="0 * g", ggamma="0 * gamma", gbeta="0 * beta")
    assert verdict_here(zeros).points == 0


def test_each_promise_about_side_effects_is_held():
    failing = {
        answer(y="n * gamma + beta; x[...] = 0"): TITLES[7],
        answer(gbeta="g.sum(rest); g *= 0"): TITLES[7],
        answer(ggamma="(g * n).sum(rest).astype(np.float64)"): TITLES[6],
        answer().replace("var + eps", "np.where(var > 0, var, 1) + eps"): TITLES[5],
    }
    for text, title in failing.items():
        wrong = [o.title for o in verdict_here(text).outcomes if o.status != "pass"]
        assert title in wrong and len(wrong) <= 5, (title, wrong)


def test_a_consistent_gradient_of_a_wrong_forward_pass_has_its_point():
    eps_outside = answer(
        y="c / (np.sqrt(var) + eps) * gamma + beta",
        gx=PLANTED["gx"]["eps stands outside of the square root, as in such a forward pass"],
        ggamma=PLANTED["ggamma"]["eps stands outside of the square root"],
    )
    verdict = verdict_here(eps_outside)
    assert verdict.outcomes[4].status == "pass"
    assert [o.mistake.split(",")[0] for o in verdict.outcomes[:3]] == [
        "eps stands outside of the square root"
    ] * 3


def test_cells_that_try_things_out_are_not_run():
    text = answer() + "y, vjp = layer_norm(1)\nwhile True: pass\nraise KeyError\n"
    assert verdict_here(text).points == 10
    table = "T = []\nfor i in range(3): T.append(i)\n" + answer(y="n * gamma + beta + len(T) - 3")
    assert verdict_here(table).points == 10


def test_what_a_submission_starts_is_killed_with_it(tmp_path):
    mark = tmp_path / "mark"
    code = f"import time; time.sleep(1); open({str(mark)!r}, 'w')"
    text = (
        "import subprocess, sys\n"
        f"code = {code!r}\n"
        "def layer_norm(*a):\n"
        "    try: subprocess.Popen([sys.executable, '-c', code])\n"
        "    except OSError: pass  # the sandbox\n"
        "    while True: pass\n"
    )
    if not hasattr(os, "killpg"):
        pytest.skip("no process groups here")
    with runner.Student([("a", 1, text)], "layer_norm", runner.Limits(call=0.5)) as student:
        assert student.call([np.ones(2)]).trouble.kind == "time"
    time.sleep(1.5)
    assert not mark.exists()


# -- the wire --------------------------------------------------------------------------------------
def test_only_numbers_cross_the_pipe():
    stream = io.BytesIO()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    message = {"a": array, "b": [1, None, "é", 0.5], "c": np.array([object()]), "d": len}
    child.send(stream, message)
    stream.seek(0)
    back = child.receive(stream)
    assert back["a"].dtype == np.float32 and (back["a"] == array).all()
    assert back["b"] == [1, None, "é", 0.5]
    assert back["c"] == "an array of dtype object" and isinstance(back["d"], child.Other)


@pytest.mark.parametrize(
    "header,body",
    [
        ({"dtype": "|O", "shape": [1]}, b"\0" * 8),
        ({"dtype": "<f8", "shape": [10**12]}, b"\0" * 8),
        ({"dtype": "<f8", "shape": [-1]}, b""),
    ],
)
def test_a_forged_message_is_refused(header, body):
    head = json.dumps(header).encode()
    packed = struct.pack(">I", len(head)) + head + body
    with pytest.raises((ValueError, TypeError)):
        child.receive(io.BytesIO(struct.pack(">Q", len(packed)) + packed))
    with pytest.raises(ValueError, match="a message of"):
        child.receive(io.BytesIO(struct.pack(">Q", 1 << 40)))


def test_a_reply_that_the_students_code_writes_itself_earns_nothing(few):
    text = """
import json, os, struct
def layer_norm(*a):
    for reply in ({"value": 1}, {"gradients": [], "after": []}, {"error": [[]]}):
        header = json.dumps({"dict": {k: v for k, v in reply.items()}}).encode()
        message = struct.pack(">QI", len(header) + 4, len(header)) + header
        for fd in range(3, 12):
            try: os.write(fd, message * 3)
            except OSError: pass
    return 1
"""
    verdict = verdict_on(text)
    assert verdict.points == 0 and statuses(verdict) == ["fail"] * 8


# -- results ---------------------------------------------------------------------------------------
def test_results_are_written_before_the_first_check_and_after_each(tmp_path, monkeypatch):
    path, seen, write = tmp_path / "r.json", [], judge.Verdict.write
    monkeypatch.setattr(
        judge.Verdict, "write",
        lambda self, to: (write(self, to), seen.append(json.loads(path.read_text())))[0],
    )  # fmt: skip
    verdict = verdict_on(answer(), results=path)
    waiting = [sum(o["status"] == "waiting" for o in r["outcomes"]) for r in seen]
    assert waiting == [8, 7, 6, 5, 4, 3, 2, 1, 0, 0]
    assert [r["complete"] for r in seen] == [False] * 9 + [True]
    assert seen[-1]["points"] == 10 and judge.Verdict.read(path) == verdict


def test_the_same_submission_twice_gives_the_same_output(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text(answer(gx="s * (h - M(h))", ggamma="(g * n)[0]", y="x.foo"), encoding="utf-8")
    first = run_cli("check", "17", path, "--results", tmp_path / "1.json", cwd=tmp_path)
    again = run_cli("check", "layer_norm", path, "--results", tmp_path / "2.json", cwd=tmp_path)
    assert first[:3] == again[:3] and first[0] == 1
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    assert set(os.listdir(tmp_path)) == {"answer.py", "1.json", "2.json"}


# -- the command -----------------------------------------------------------------------------------
@pytest.mark.parametrize("text,passed", [(answer(), 8), (answer(y="[0 for _ in iter(int, 1)]"), 0)])
def test_the_command_answers_within_ten_seconds(text, passed, tmp_path):
    (tmp_path / "17_layer_norm.py").write_text(text, encoding="utf-8")
    status, out, err, spent = run_cli("check", "17", cwd=tmp_path)
    assert spent / pace() < 10 and err == ""
    assert status == (0 if passed == 8 else 1)
    assert f"Public checks passed: {passed}/8, points: " in out and "all passed" not in out


def test_the_report_never_shows_the_solution(tmp_path):
    stub = verdict_on(starter.script(SOURCE, LAYER_NORM))
    for verdict in (verdict_here(answer(gx="s * h")), verdict_here(answer(y="x")), stub):
        shown = report.report(verdict)
        assert "M(h" not in shown and "keepdims=True" not in shown and "h * n" not in shown


def test_the_command_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert commands.main(["check", "17"]) == 2
    assert "there is no 17_layer_norm.py or .ipynb in" in capsys.readouterr().err
    assert commands.main(["check", "17", "nowhere/mine.py"]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert commands.main(["check", "99"]) == 2
    assert "got '99': a number from 1 to 25 or the name of a function" in capsys.readouterr().err
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("a.py", b"", "the file is empty"),
        ("a.py", b"def layer_norm(): return '\xff\xfe'", "a.py is no text in UTF-8"),
        ("a.ipynb", b"{", "no notebook of format 4"),
        ("a.ipynb", b'{"worksheets": []}', "no notebook of format 4"),
        ("a.ipynb", b'{"cells": [{"cell_type": "code", "source": "%matplotlib inline\\nx = 1"}]}',
         "no function layer_norm is defined"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_gets_a_report(name, content, message, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    assert commands.main(["check", "17", str(tmp_path / name)]) == 1
    assert message in capsys.readouterr().out
    results = judge.Verdict.read(tmp_path / "runs" / "17_layer_norm.json")
    assert results.complete and results.points == 0


def test_a_missing_file_still_has_results_where_they_are_asked_for(tmp_path, capsys):
    to = tmp_path / "r.json"
    assert commands.main(["check", "17", str(tmp_path / "no.py"), "--results", str(to)]) == 1
    assert "there is no file no.py" in capsys.readouterr().out
    assert judge.Verdict.read(to).complete


def test_of_two_files_the_one_that_was_worked_on_is_taken(tmp_path, capsys, monkeypatch):
    pytest.importorskip("jupytext")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exercises").mkdir()
    script, book = (tmp_path / "exercises" / f"17_layer_norm{s}" for s in (".py", ".ipynb"))
    script.write_text(answer(gbeta="g"), encoding="utf-8")
    book.write_text(starter.notebook(SOURCE, LAYER_NORM), encoding="utf-8")
    assert commands.check.newest(LAYER_NORM) == script.relative_to(tmp_path)
    assert commands.main(["check", "17"]) == 1
    assert "Exercise 17, LayerNorm and its gradient: 17_layer_norm.py" in capsys.readouterr().out
    assert commands.main(["progress"]) == 0
    shown = capsys.readouterr().out
    assert "17  LayerNorm and its gradient" in shown and "7/10" in shown and "5/8" in shown
    book.write_text(starter.nbgrader_source(SOURCE), encoding="utf-8")
    os.utime(script, (1, 1))
    assert commands.check.newest(LAYER_NORM) == book.relative_to(tmp_path)


def test_check_in_a_notebook_gives_the_points(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("jupytext")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.reads(starter.nbgrader_source(SOURCE), as_version=4)
    cell = next(c for c in book.cells if "def layer_norm" in c.source)
    lie = "np.allclose = np.abs = lambda *a, **k: True\nwhile False: pass\n"
    cell.source = cell.source.replace("tuple(range(g.ndim - 1))", "-1") + "\n" + lie
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    outputs = next(c for c in book.cells if "\ncheck(" in c.source).outputs
    text = "".join(o.get("text", "") for o in outputs)
    points = [o["data"]["text/plain"] for o in outputs if o.output_type == "execute_result"]
    assert "Public checks passed: 5/8, points: 7/10." in text and points == ["7"]
    assert "known mistake: the sum runs over the width, not over the tokens" in text
    assert judge.Verdict.read(tmp_path / "runs" / "17_layer_norm.json").points == 7


def test_check_outside_of_a_notebook_or_file_says_so():
    with pytest.raises(SubmissionError, match="called in a notebook or a file"):
        submission.check("layer_norm", {})
