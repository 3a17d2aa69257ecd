"""tinygrad on the CPU (it compiles with clang), the training step captured by TinyJit."""

import os

os.environ.setdefault("DEV", "CPU")
os.environ.setdefault("NUM_CPU_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))

from importlib.metadata import version

from tinygrad import Context, Tensor, TinyJit
from tinygrad.nn.optim import AdamW

from benchmarks import works
from benchmarks.peers import _functional as f

VERSION = f"tinygrad {version('tinygrad')}"


class Functions:
    """tinygrad under the names that _functional uses."""

    @staticmethod
    def dot(x, y):
        return Functions._tensor(x) @ Functions._tensor(y)

    matmul = dot
    exp, log, sqrt, tanh = Tensor.exp, Tensor.log, Tensor.sqrt, Tensor.tanh
    reshape = staticmethod(lambda x, shape: x.reshape(shape))
    transpose = staticmethod(lambda x, axes: x.permute(axes))
    concatenate = staticmethod(lambda xs, axis: Tensor.cat(*xs, dim=axis))
    sum = staticmethod(lambda x, axis: x.sum(axis))
    mean = staticmethod(lambda x: x.mean())

    @staticmethod
    def _tensor(x):
        return x if isinstance(x, Tensor) else Tensor(x)


def make(work, threads):
    if work.name != "W1":
        raise NotImplementedError("raced on W1 only, where it needs minutes to start")
    arrays = f.unpacked(work)
    p = {name: Tensor(w).realize() for name, w in arrays.items()}
    x, target = (Tensor(a).is_param_(False).realize() for a in f.inputs(work))
    optimizer = AdamW([*p.values()], works.LR, *works.BETAS, works.EPS, works.WEIGHT_DECAY)

    @TinyJit
    def update():
        optimizer.zero_grad()
        loss = f.loss(Functions, p, x, target, work).backward()
        return loss.realize(*optimizer.schedule_step())

    def step():
        with Context(TRAINING=1):
            return float(update().item())

    return step
