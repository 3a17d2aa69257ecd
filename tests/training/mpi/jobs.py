"""Run by test_distributed.py under `mpiexec -n 2`: the jobs of a long run, which all ranks do
together. The argument is a folder."""

import sys
from pathlib import Path

from minivit.course.runs import plans
from minivit.training import ranks

plans.record.folder = lambda: Path(sys.argv[1])


def job(n):
    return {"ranks": ranks.world().gather_facts((ranks.world().rank, n))}


plans.main("try", {"one": [plans.Job(job, (n,), 1) for n in range(3)]}, [], "about")
