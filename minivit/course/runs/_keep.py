"""What all long runs do with their results: keep them whole, and say where they were made."""

import os
import platform

import numpy as np

import minivit


def write_whole(path, content):
    """Write bytes so that a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    half.write_bytes(content)
    half.replace(path)


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
    return [round(float(part.mean()), 4) for part in np.array_split(np.asarray(values), n)]
