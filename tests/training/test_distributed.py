"""Several processes under mpiexec: gradients equal to one process's. What each rank does stands in
tests/training/mpi; a start costs a second, so one program makes many checks."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from minivit.engine.errors import OptionError
from minivit.training import distributed

pytest.importorskip("mpi4py", reason="pip install 'minivit[mpi]'")
ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sysconfig.get_path("scripts"), "mpiexec")
pytestmark = pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python")


def command(n, program, *arguments):
    root = ["--allow-run-as-root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    program = Path(__file__).parent / "mpi" / program
    return [MPIEXEC, *root, "--oversubscribe", "-n", str(n), sys.executable, program, *arguments]


def environment(**more):
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **threads, "PYTHONPATH": str(ROOT), **more}


def on_ranks(n, program, *arguments, seconds=120, **more):
    """Run a program of tests/training/mpi on n ranks, and wait for it."""
    return subprocess.run(
        command(n, program, *map(str, arguments)), env=environment(**more), cwd=ROOT, text=True,
        capture_output=True, timeout=seconds,
    )  # fmt: skip


def test_gradients_of_1_to_4_ranks_are_those_of_one_process():
    """In float64, raw; also with uneven parts, with empty ones, with CLIP's loss in shards, frozen
    parameters, and on CuPy's stand-in."""
    done = on_ranks(4, "equality.py")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert ["".join(worst) for worst in result["ranks"]] == ["1234", "234", "34", "4"]
    assert max(x for worst in result["ranks"] for x in worst.values()) < 1e-12, result["found"]


@pytest.mark.parametrize("n, size", [(64, 3), (3, 4), (0, 2), (7, 1), (5, 5)])
def test_the_parts_are_a_partition_as_even_as_they_come(n, size):
    parts = [range(n)[distributed.part(n, rank, size)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_rules_for_large_batches():
    assert distributed.linear_scaling(0.1, 8192) == pytest.approx(3.2)  # Goyal et al., section 2.1
    factors = [distributed.gradual_warmup(step, 5, 8) for step in range(8)]
    assert factors[0] == 1 / 8 and factors[5:] == [1.0] * 3
    np.testing.assert_allclose(np.diff(factors[:6]), 7 / 40)
    for bad in ((0.1, 0), (0.1, 8, -1)):
        with pytest.raises(OptionError, match="batch_size"):
            distributed.linear_scaling(*bad)
