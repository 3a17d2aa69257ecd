"""The programs in examples/ run as they stand, and what they print is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(name, folder):
    """The output of the program, started in another folder."""
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"{name}.py"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def shares(text):
    return [float(share) for share in re.findall(r"([\d.]+)%", text)]


def test_every_example_is_tested_and_named_in_the_readme():
    programs = {path.stem for path in (ROOT / "examples").glob("*.py")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert programs == set(re.findall(r"\(examples/(\w+)\.py\)", readme))
    tested = Path(__file__).read_text(encoding="utf-8")
    assert programs <= set(re.findall(r'run\("(\w+)"', tested))


def test_an_op_of_ones_own(tmp_path):
    said = run("an_op", tmp_path)
    assert "[0.127 0.693 3.049]" in said and "[0.119 0.5   0.953]" in said
    assert "12 slopes agree" in said


def test_another_head(tmp_path):
    said = run("another_head", tmp_path)
    assert [*re.findall(r"\((.*?)\)", said)][:3] == ["2, 10", "2, 5", "2,"]


def test_a_training_loop_of_ones_own(tmp_path):
    assert shares(run("training_loop", tmp_path))[-1] > 80


def test_fine_tuning_a_saved_model(tmp_path):
    said = run("fine_tuning", tmp_path)
    digits, tuned, fresh = shares(said)
    assert "config.json" in said and digits > 80
    assert tuned > fresh + 2  # what was learned before helps


def test_a_gradient_check_finds_the_mistake(tmp_path):
    said = run("gradient_check", tmp_path)
    assert re.search(r"right: \d{2,} gradients agree", said)
    assert "wrong:" in said and "gamma" in said


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "examples").glob("*.py")))
def test_an_example_is_short(name):
    lines = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
