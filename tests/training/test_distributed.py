"""Several processes under mpiexec: gradients equal to one process's. Each rank's work stands in
tests/training/mpi; a start costs a second, so one program makes many checks."""

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

from minivit.engine.errors import OptionError, RankError
from minivit.training import checkpoint, distributed, launch

pytest.importorskip("mpi4py", reason="pip install 'minivit[mpi]'")
ROOT = Path(__file__).parents[2]
MPIEXEC = Path(sysconfig.get_path("scripts"), "mpiexec")
pytestmark = pytest.mark.skipif(not MPIEXEC.exists(), reason="no mpiexec beside this Python")


def command(n, program, *arguments):
    return launch.command(n, [str(Path(__file__).parent / "mpi" / program), *arguments])


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


def test_trainer_on_three_ranks_is_trainer_on_one(tmp_path):
    """7 images over 3 ranks: the same losses, norms and metrics; Ctrl-C on one rank stops all after
    the same step; resumed bit for bit, with dropout; refusals in words on every rank."""
    histories = []
    for n in (1, 3):
        done = on_ranks(n, "agreeing.py", tmp_path / str(n))
        assert done.returncode == 0, done.stderr
        histories.append(json.loads(done.stdout))
    one, three = histories
    assert one["metrics"] == three["metrics"] and one["lr"] == three["lr"]
    np.testing.assert_allclose(one["loss"], three["loss"], rtol=1e-5)
    np.testing.assert_allclose(one["norm"], three["norm"], rtol=1e-4)


def test_the_ranks_of_a_long_run_do_each_job_together(tmp_path):
    """The first one claims it for all; each would else take another one."""
    done = on_ranks(2, "jobs.py", tmp_path, MINIVIT_BUILD=str(tmp_path))
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "results" / "try.json").read_text())
    assert [kept[f"job {n}"]["ranks"] for n in range(3)] == [[[0, n], [1, n]] for n in range(3)]


FAULTS = {  # what goes wrong: the words that say it
    "kill": "signal 9",
    "exception": "-- rank 1 of 2:(.|\n)*ValueError: a mistake in the loss",
    "exit": "rank 1 has ended its program, but rank 0 waits for it",
    "silence": "rank 0 has waited 2 s in all_reduce, and nothing came from rank 1",
    "disk": "-- rank 0 of 2:(.|\n)*No space left on device",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_ends_all_ranks_and_the_last_checkpoint_is_whole(fault, tmp_path):
    begun = time.monotonic()
    done = on_ranks(
        2, "faults.py", tmp_path, fault, MINIVIT_PATIENCE="2" * (fault == "silence") or "600"
    )
    assert done.returncode != 0 and re.search(FAULTS[fault], done.stderr), done.stderr
    assert time.monotonic() - begun < 60  # 3 to 5 s alone; without a word of it: for ever
    newest = checkpoint.checkpoints(tmp_path / "run")[-1]
    assert checkpoint.load(newest)[0]["step"] == 2
    assert [p.name for p in (tmp_path / "run").iterdir() if p.suffix == ".tmp"] == []
    if fault == "exit":  # the same command goes on, here with as many ranks as are left
        done = on_ranks(1, "faults.py", tmp_path, "none")
        assert done.returncode == 0 and "from step 2" in done.stdout, done.stderr


def test_a_launch_that_mpi_does_not_know_is_refused():
    """By another MPI's mpiexec, or without mpi4py, each process would train alone."""
    code = "from minivit.training import ranks; ranks.world()"
    for setup, words in (
        ("", "this one sees 1"),
        ("import sys; sys.modules['mpi4py'] = None; ", r"pip install 'minivit\[mpi\]'"),
    ):
        env = {k: v for k, v in environment(PMI_SIZE="4").items() if not k.startswith("OMPI_")}
        done = subprocess.run(
            [sys.executable, "-c", setup + code],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1 and re.search(words, done.stderr), done.stderr


def test_ctrl_c_at_the_launcher_lets_all_ranks_finish_their_step_and_save(tmp_path):
    program = command(1, "faults.py", str(tmp_path), "slow")[-3:]
    process = subprocess.Popen(
        [sys.executable, "-m", "minivit.training.launch", "2", *program], env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        # a program in the background of a shell inherits that Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    for _ in range(2):
        assert "from step 0" in process.stdout.readline()
    time.sleep(1)  # a step takes half a second
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped after step" in error, error
    assert checkpoint.checkpoints(tmp_path / "run"), out


@pytest.mark.parametrize("ranks, hosts", [(0, None), (2, "nowhere.txt")])
def test_a_launch_that_cannot_be_is_refused(ranks, hosts):
    with pytest.raises(RankError, match=r"ranks: got 0|no file nowhere"):
        launch.command(ranks, ["train.py"], hosts)


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


@pytest.mark.parametrize("wrong", [["--ranks"], ["--ranks", "two"], ["--ranks", "0"]])
def test_long_runs_say_how_many_ranks_they_expect(wrong, capsys):
    from minivit.course.runs.__main__ import main

    assert main(["clip", *wrong]) == 2
    assert "ranks: got" in capsys.readouterr().err


def test_the_plan_for_many_ranks_is_the_cost_model():
    """A step of 1 + b milliseconds: 64 examples over 64 ranks take 2; a ring of 64 sends 126."""
    from benchmarks.distributed import plan

    seconds = {b: (1 + b) * 1e-3 for b in (64, 32, 16)}
    free, slow = plan(seconds, 6.4e6, 0, 0), plan(seconds, 6.4e6, 1e-6, 1e-9)
    assert free[1] == pytest.approx((1, 1)) and free[64] == pytest.approx((65 / 2, 1))
    sent = 126 * (1e-6 + 1e-4)
    assert slow[64] == pytest.approx((0.065 / (0.002 + sent), 0.065 / (0.065 + sent)))
