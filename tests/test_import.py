"""The cost of `import minivit`, and the modules that it leaves alone."""

import os
import subprocess
import sys

import pytest

HEAVY = "cupy scipy matplotlib PIL hypothesis tqdm safetensors jupytext torch".split()


def python(*arguments, **environment):
    """Run in a fresh interpreter; returns (stdout, stderr)."""
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, timeout=120,
        env=os.environ | environment,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_import_loads_nothing_heavy_and_is_silent():
    code = "import sys, minivit; print(*{m.partition('.')[0] for m in sys.modules})"
    out, err = python("-c", code)
    assert not set(out.split()) & set(HEAVY)
    assert err == ""


def test_import_loads_no_room_behind_the_models():
    code = "import sys, minivit; minivit.load; print(*sys.modules)"
    rooms = ("models", "published", "training", "course", "grading", "commands")
    names = tuple(f"minivit.{room}" for room in rooms)
    assert not [m for m in python("-c", code)[0].split() if m.startswith(names)]


@pytest.mark.parametrize("model", "vit gpt bert seq2seq image_gpt resnet scaling clip".split())
def test_a_model_loads_nothing_heavy(model):
    code = (
        f"import sys, minivit.models.{model}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    )
    assert not set(python("-c", code)[0].split()) & set(HEAVY)


def test_importing_decides_nothing():
    """No device chosen, no random number drawn, no environment variable read but the allocator's;
    NumPy's own random state and error state are as they were."""
    code = """
import numpy as np
before = np.geterr(), np.random.get_state()[1].tolist()
import minivit
from minivit.engine import backend
assert before == (np.geterr(), np.random.get_state()[1].tolist())
assert minivit.default_device() == "cpu" and list(backend.MODULES) == ["cpu"]
"""
    python("-c", code)


TIMED = """
from time import process_time
start = process_time(); import numpy
middle = process_time(); import minivit
print(middle - start, process_time() - start)
"""


def test_import_takes_at_most_a_tenth_longer_than_numpys(tmp_path):
    """NumPy's share and ours, processor time in one interpreter; the least of eleven runs each,
    for other work on the machine only adds. The first run compiles both, as an installation does.
    """
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    runs = [tuple(map(float, python("-c", TIMED, **compiled)[0].split())) for _ in range(12)]
    numpys = min(n for n, _ in runs[1:])
    ours = min(whole - n for n, whole in runs[1:])
    assert ours <= 0.1 * numpys, runs


def test_what_is_imported_later_is_there():
    """By name, in dir(), and once only; every operation there is stands in OPS."""
    code = """
import sys, minivit
assert "minivit.nn" not in sys.modules and "minivit.optim" not in sys.modules
assert {"softmax", "nn", "optim", "gradcheck", "OPS", "MhSa", "load", "Tensor"} <= {*dir(minivit)}
assert {"unfold", "self_attention", "layer_norm", "matmul"} <= {*minivit.OPS}
from minivit import nn, optim, softmax, gradcheck
assert minivit.nn is nn and minivit.softmax is softmax and minivit.optim is optim
for name in dir(minivit):
    getattr(minivit, name)
assert not hasattr(minivit, "nothing")
"""
    python("-c", code)
