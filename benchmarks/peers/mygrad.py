"""MyGrad."""

from importlib.metadata import version

import mygrad as mg
import numpy

from benchmarks.peers import _functional as f

VERSION = f"MyGrad {version('mygrad')}, NumPy {version('numpy')}"


class Functions:
    """MyGrad under the names that _functional uses."""

    dot, matmul, exp, log, sqrt, tanh = mg.matmul, mg.matmul, mg.exp, mg.log, mg.sqrt, mg.tanh
    reshape, transpose, concatenate = mg.reshape, mg.transpose, mg.concatenate
    sum, mean, float32 = mg.sum, mg.mean, numpy.float32


def make(work, threads):
    f.check_raced(work)
    mg.turn_memory_guarding_off()  # MyGrad's own advice for speed
    weights, (x, target), state = f.unpacked(work), f.inputs(work), {}

    def step():
        p = {name: mg.tensor(w, copy=False) for name, w in weights.items()}
        loss = f.loss(Functions, p, x, target, work)
        loss.backward()
        f.adamw(weights, {name: t.grad for name, t in p.items()}, state)
        return float(loss.item())

    return step
