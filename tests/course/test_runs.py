"""The command of the long runs: what it lists runs, and each run says what it would do."""

import functools
import json
import shutil

import numpy as np
import pytest

from minivit.course.runs import __main__ as runs
from minivit.course.runs import clip, digits, image_gpt, results, scaling
from minivit.engine import backend
from tests.devices import DEVICES

RUNS = runs.names()


def call(*arguments):
    """The exit status."""
    try:
        return runs.main(list(arguments))
    except SystemExit as done:  # of the parser
        return done.code


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    """Nothing is downloaded, made or written to say what there is to do."""
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "build"))
    yield
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("asked", [[], ["--help"], ["-h"]])
def test_the_list_is_of_runs_alone(asked, capsys):
    assert call(*asked) == 0
    out = capsys.readouterr().out
    assert {"iconnet", "digits", "clip"} < set(RUNS) and all(f"\n  {n} " in out for n in RUNS)
    assert not any(f"\n  {name} " in out for name in (*runs.HELPERS, "__main__"))


@pytest.mark.parametrize("name", ["icon_exam", "plans", "__main__", "nothing", "--plan"])
def test_what_is_no_run_is_refused(name, capsys):
    assert call(name) == 2
    assert f"there is no long run {name!r}" in capsys.readouterr().err


@pytest.mark.parametrize("name", RUNS)
def test_each_run_answers_help(name, capsys):
    for asked in (["--help"], ["-h"], ["--ranks", "2", "--help"]):
        assert call(name, *asked) == 0
        out = capsys.readouterr().out
        assert f"python -m minivit.course.runs {name}" in out
        assert all(option in out for option in ("--plan", "--device {cpu,cuda}", "--ranks"))


@pytest.mark.parametrize("name", RUNS)
def test_each_run_says_what_there_is_to_do(name, capsys):
    assert call(name, "--plan") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}: part") and len(out.splitlines()) > 1
    part = out.splitlines()[1].split()[0]
    assert call(name, part, "--plan", "--device", "cuda") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert call(name, "nothing", "--plan") == 2
    assert f"{name}: got ['nothing'], expected some of" in capsys.readouterr().err


@pytest.mark.parametrize("name", RUNS)
def test_a_device_that_is_none_is_refused_before_the_plan(name, capsys):
    assert call(name, "--device", "gpu", "--plan") == 2
    out, errors = capsys.readouterr()
    assert not out and "argument --device: invalid choice: 'gpu'" in errors


@pytest.mark.parametrize("device", DEVICES)
def test_jobs_run_on_every_device(device, tmp_path, monkeypatch):
    """A step or two of each; image_gpt's `supervised` and `colour` once called an array."""
    monkeypatch.setattr(results, "folder", lambda: tmp_path)
    monkeypatch.setattr(digits, "STEPS", 1)
    for name in ("TUNING_STEPS", "COLOUR_STEPS"):
        monkeypatch.setattr(image_gpt, name, 1)
    monkeypatch.setattr(image_gpt, "SIZES", {"medium": (1, 8, 2)})
    monkeypatch.setattr(image_gpt.probe, "probe_layers", lambda *features, **how: {})
    monkeypatch.setattr(image_gpt, "nats", lambda *given: np.zeros(1))
    monkeypatch.setattr(clip, "POINTS", (1,))
    monkeypatch.setattr(clip, "SEEDS", (0,))
    monkeypatch.setattr(clip.Exam, "__init__", functools.partialmethod(clip.Exam.__init__, size=12))
    monkeypatch.setattr(scaling, "HEAD_STEPS", 1)
    monkeypatch.setattr(scaling, "few_shot", lambda *features, **how: 0.0)
    with backend.use(device):
        for job in (digits.net, functools.partial(clip.supervised, steps=1), clip.objectives,
                    functools.partial(image_gpt.supervised, 0), image_gpt.colour,
                    functools.partial(scaling.head_decay, 3.0, 0)):  # fmt: skip
            assert json.loads(json.dumps(job()))
    for path in (tmp_path / "build", tmp_path / "models"):
        shutil.rmtree(path)
