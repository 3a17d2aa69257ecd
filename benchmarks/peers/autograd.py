"""HIPS autograd, written with care (see _functional)."""

from importlib.metadata import version

import autograd
import autograd.numpy as np

from benchmarks.peers import _functional as f

VERSION = f"HIPS autograd {version('autograd')}, NumPy {version('numpy')}"


def make(work, threads):
    f.check_raced(work)
    p, (x, target), state = f.unpacked(work), f.inputs(work), {}
    gradient = autograd.value_and_grad(lambda p: f.loss(np, p, x, target, work))

    def step():
        loss, gradients = gradient(p)
        f.adamw(p, gradients, state)
        return float(loss)

    return step
