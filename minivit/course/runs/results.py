"""The place of a long run's results, and its record of the machine."""

import contextlib
import json
import os
import platform

import numpy as np

import minivit
from minivit import course, files
from minivit.engine.errors import OptionError
from minivit.training import ranks


def folder():
    """In a checkout data/, where results and models are committed; of an installed package, which
    nothing writes into, build/ (`course.build_folder`)."""
    shipped = files.data_folder()
    return shipped if (shipped.parent / "pyproject.toml").is_file() else course.build_folder()


def path(name):
    """The file of a run's numbers."""
    return folder() / "results" / f"{name}.json"


def made(name):
    """The numbers that a run wrote here: {part: numbers}."""
    return json.loads(path(name).read_text("utf-8")) if path(name).is_file() else {}


def kept(name):
    """The numbers of a run for a lecture: those made here, else those that ship."""
    shipped = files.data_folder() / "results" / f"{name}.json"
    return made(name) or json.loads(shipped.read_text("utf-8"))


def keep(name, numbers):
    """Add the numbers of one or more parts; of several ranks, the first does. Of several processes
    that add to one file, none loses what another added."""
    if ranks.world().rank:
        return
    with files.held(locks(name) / "results"):
        text = json.dumps({**made(name), **numbers}, indent=1) + "\n"
        files.write_whole(path(name), text)


def locks(name):
    """The folder of a run's locks."""
    return course.build_folder() / "long" / name / "locks"


def job_name(function, *arguments):
    """The name under which a job's numbers are kept."""
    return " ".join(map(str, (function.__name__, *arguments)))


@contextlib.contextmanager
def claimed(run, job):
    """Yields whether this process is to do the job: its numbers are not there, and no other process
    has begun it. Of several ranks, which do it together, the first asks for all."""
    world = ranks.world()
    lock = files.held(locks(run) / job, wait=False) if not world.rank else contextlib.nullcontext()
    with lock as mine:
        yield world.gather_facts(bool(mine) and job not in made(run))[0]


def check_parts(run, names, parts):
    """Refuse a part that a run does not have."""
    if unknown := set(names) - set(parts):
        raise OptionError(f"{run}: got {sorted(unknown)}, expected some of {list(parts)}")


def machine():
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "threads of BLAS": os.environ.get("OPENBLAS_NUM_THREADS", "not set"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "minivit": minivit.__version__,
    }


def thinned(values, n=60):
    """Means of n stretches of a long list."""
    parts = np.array_split(np.asarray(values), max(1, min(n, len(values))))
    return [round(float(part.mean()), 4) for part in parts]
