"""The floor: the matrix products of the work and nothing else, in NumPy, into arrays made before.

A step in NumPy cannot take less. A training step does each forward product twice more (the
gradients of both factors), but needs no gradient of the images. Attention counts the square of
scores in full, also where it is causal.
"""

import numpy as np

from benchmarks import works

VERSION = f"NumPy {np.__version__}"


def make(work, threads):
    if work.kind not in ("train", "forward"):
        raise NotImplementedError("the floor is for whole models")
    rng, train = np.random.default_rng(0), work.kind == "train"
    calls = []
    for kind, sizes, count in work.model.products(work.batch):
        build = _attention if kind == "attention" else _linear
        products = list(build(rng, sizes, train, first=kind == "first"))
        calls += [product for _ in range(count) for product in products]

    def step():
        for a, b, out in calls:
            np.matmul(a, b, out=out)
        return 0.0

    return step


def _linear(rng, sizes, train, first):
    m, k, n = sizes
    x, W, g = (works._normal(rng, *s) for s in ((m, k), (n, k), (m, n)))
    yield x, W.T, np.empty_like(g)
    if train:
        yield g.T, x, np.empty_like(W)
        if not first:
            yield g, W, np.empty_like(x)


def _attention(rng, sizes, train, first):
    B, H, N, d = sizes
    q, k, v, g = (works._normal(rng, B, N, H, d).swapaxes(1, 2) for _ in range(4))
    e, out = works._normal(rng, B, H, N, N), np.empty_like(g)
    yield q, k.swapaxes(2, 3), np.empty_like(e)
    yield e, v, out
    if train:
        yield e.swapaxes(2, 3), g, out
        yield g, v.swapaxes(2, 3), np.empty_like(e)
        yield e, k, out
        yield e.swapaxes(2, 3), q, out
