"""The wheel, built and installed into an empty environment elsewhere, does what the README says."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minivit
from minivit.models.bert import BERT
from minivit.published import sentences
from minivit.published.vocabularies import Pieces

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.slow,  # `make wheel` runs it, and .ci/run does
    pytest.mark.skipif(os.name == "nt", reason="bin/, and signals"),
]
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """bin/ of an environment with the wheel. The packages that it needs are those of this one,
    which is found behind it; this repository is not."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel]
    subprocess.run(install, check=True, timeout=120)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a photo, a small sentence encoder, and nothing else."""
    folder = tmp_path_factory.mktemp("anywhere")
    shutil.copyfile(ROOT / "data" / "photos" / "coffee.png", folder / "coffee.png")
    pieces = Pieces([*"[PAD] [UNK] [CLS] [SEP] [MASK] a cat sat dog ran".split()])
    pieces.longest = 16
    head = sentences.SentenceHead(sentences.Pooling(), [sentences.Normalize()])
    minivit.save(BERT(len(pieces), 16, 8, 1, 2), folder / "bert", pieces, sentences=head)
    return folder


@pytest.fixture(scope="module")
def run(installed, here):
    """run(program, *arguments): (exit status, standard output, standard error)."""

    def run(program, *arguments, expect=0):
        done = subprocess.run(
            [installed / program, *map(str, arguments)], cwd=here, env=surroundings(),
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == expect and "Traceback" not in done.stderr, done
        return done.stdout + done.stderr

    return run


def surroundings():
    kept = {"HOME", "PATH", "LANG", "TMPDIR"}
    return {k: v for k, v in os.environ.items() if k in kept} | {"OPENBLAS_NUM_THREADS": "1"}


def test_it_is_the_installed_one_that_runs(run, installed):
    where = run("python", "-c", "import minivit; print(minivit.__file__)")
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_it_holds_no_solution_and_no_test(wheel):
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert {"minivit/exercises/README.md", "minivit/data/models/emoji/vocab.json"} < {*names}
    assert not [n for n in names if n.startswith(("tests/", "lectures/")) or "/source/" in n]
    handed_out = [n for n in names if n.startswith("minivit/exercises") and not n.endswith(".md")]
    assert len(handed_out) > 20
    assert not [n for n in handed_out if b"BEGIN SOLUTION" in archive.read(n)]


def test_every_module_can_be_imported(run):
    code = (
        "import pkgutil, importlib, minivit\n"
        "for m in pkgutil.walk_packages(minivit.__path__, 'minivit.'):\n"
        "    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
        "from minivit.training import data\n"
        "data.digits(), data.mnist5k(), data.photo('coffee'), data.emoji()\n"
    )
    run("python", "-c", code)


def test_classify(run):
    labels = ("dog", "guitar", "airplane")
    text = run("minivit", "classify", "coffee.png", "--model", "emoji", "--labels", *labels)
    assert all(label in text for label in labels)


def test_complete(run, here):
    run("minivit", "complete", "coffee.png", "--samples", 1, "--keep", 0.8, "--out", "done.png")
    assert np.asarray(Image.open(here / "done.png")).std() > 10


def test_embed(run):
    text = run("minivit", "embed", "a cat sat", "a dog ran", "--model", "bert", "--json")
    vectors = np.array(json.loads(text)["embeddings"])
    assert vectors.shape == (2, 8) and np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert "64 numbers" in run("minivit", "embed", "coffee.png", "--model", "emoji", "--photos")


def test_info(run):
    for name, kind in (("bert", "BERT"), ("emoji", "CLIP"), ("emoji-gpt", "ImageGPT")):
        assert f"model    {kind}" in run("minivit", "info", name)


def test_release_check_progress_and_grade(run, here):
    run("minivit", "release", "--out", "bundle")
    starter = next((here / "bundle").glob("01_*.py"))
    assert "todo" in run("minivit", "check", "1", starter, expect=1)
    assert "0" in run("minivit", "progress")
    (here / "class" / "ada").mkdir(parents=True)
    shutil.copyfile(starter, here / "class" / "ada" / starter.name)
    run("minivit", "grade", "class", "--out", "points", "--processes", 1)
    assert (here / "points" / "points.csv").read_text().splitlines()[1].startswith("ada,")
    run("minivit", "release", "--gradescope", "grader.zip")
    assert "--exercises" in run("minivit", "release", "--nbgrader", "course", expect=2)


def test_long_runs_are_listed_start_and_stop(run, installed, here):
    text = run("python", "-m", "minivit.course.runs")
    assert "image_gpt" in text and str(here / "build" / "results") in text
    process = subprocess.Popen(
        [installed / "python", "-u", "-m", "minivit.course.runs", "image_gpt", "objectives"],
        cwd=here, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = iter(process.stdout.readline, "")  # what there is to do, then
    assert "image_gpt: pretrain medium ar 0\n" in said
    process.stderr.read(200)  # the progress bar moves: it trains
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "run again to continue" in said and "Traceback" not in said
    (step,) = here.glob("build/long/image_gpt/*/step-*")
    assert minivit.load(step).family == "image_gpt"
