"""Run by test_distributed.py under `mpiexec -n 2`: a training in which something goes wrong at step
3, on the last rank but for a full disk. Arguments: folder, fault. No `-m mpi4py` is needed."""

import os
import signal
import sys
import time

from minivit import files
from minivit.training import ranks
from minivit.training.trainer import classification_loss
from tests.training.mpi import agreeing

fault = sys.argv[2]
group = ranks.world()


def loss(model, x, y):
    if fault == "slow":
        time.sleep(0.5)
    if run.step == 3 and fault == "disk" and group.rank == 0:
        files._flush = full
    if run.step == 3 and group.rank == group.size - 1:
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif fault == "exception":
            raise ValueError("a mistake in the loss")
        elif fault == "exit":
            sys.exit(0)
        elif fault == "silence":
            time.sleep(60)
    return classification_loss(model, x, y)


def full(path):
    raise OSError(28, "No space left on device")


run = agreeing.trainer("run", loss=loss, save_every=2)
print(f"from step {run.step}", flush=True)
run.run(5 if fault != "slow" else 50, progress=False)
