"""JAX: the whole training step compiled by XLA, on the CPU."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
if os.environ.get("OMP_NUM_THREADS") == "1":  # XLA sizes its own pool
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as np

from benchmarks import works
from benchmarks.peers import _functional as f

VERSION = f"JAX {jax.__version__}"


def adamw(p, g, m, v, t):
    beta1, beta2 = works.BETAS
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    d = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + works.EPS)
    return p - works.LR * (works.WEIGHT_DECAY * p + d), m, v


def make(work, threads):
    f.check_raced(work)
    p = {name: np.asarray(w) for name, w in f.unpacked(work).items()}
    x, target = (np.asarray(a) for a in f.inputs(work))
    gradient = jax.value_and_grad(lambda p, x, target: f.loss(np, p, x, target, work))

    def update(p, m, v, t, x, target):
        loss, g = gradient(p, x, target)
        new = {name: adamw(p[name], g[name], m[name], v[name], t) for name in p}
        return loss, *({name: n[i] for name, n in new.items()} for i in range(3))

    update = jax.jit(update, donate_argnums=(0, 1, 2))
    zeros = lambda: {name: np.zeros_like(w) for name, w in p.items()}  # noqa: E731
    state = [p, zeros(), zeros(), 0]

    def step():
        state[3] += 1
        loss, *state[:3] = update(*state[:3], float(state[3]), x, target)
        return float(loss)

    return step
