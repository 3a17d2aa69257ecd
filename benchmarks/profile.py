"""A profile of minivit: CPU time in each op, forward and backward, and outside of all ops.

An op is a function of arrays that calls no other op, so its time is its own. The engine, the
optimizer and Python are what is left.
"""

import time
from collections import defaultdict
from functools import wraps
from inspect import signature

from benchmarks import works


def profile(work, threads, steps=None):
    """Run some steps; prints the table and returns {(op, shape): [calls, forward, backward]}."""
    from minivit import OPS, optim

    spent = defaultdict(lambda: [0, 0.0, 0.0])
    clock = time.process_time
    op_takes_xp = {
        name: next(iter(signature(op.on_arrays).parameters)) == "xp" for name, op in OPS.items()
    }

    def timed(name, f):
        @wraps(f)
        def forward(*args, **options):
            arrays = args[op_takes_xp[name] :]
            shapes = [a.shape for a in arrays if getattr(a, "ndim", 0)][:2]
            entry = spent[name, " ".join("x".join(map(str, s)) for s in shapes)]
            start = clock()
            value, vjp = f(*args, **options)
            entry[0] += 1
            entry[1] += clock() - start

            def clocked(vjp):
                def backward(g):
                    start = clock()
                    gradients = vjp(g)
                    entry[2] += clock() - start
                    return gradients

                return backward

            each = tuple(map(clocked, vjp)) if type(vjp) is tuple else clocked(vjp)
            return value, each

        return forward

    for name, op in OPS.items():  # `op` keeps its function in a cell: time that function
        cell = next(c for c in op.__closure__ if c.cell_contents is op.__wrapped__)
        cell.cell_contents = timed(name, op.__wrapped__)
    rule = optim.Optimizer.step

    def step(self):
        start = clock()
        rule(self)
        entry = spent["(optimizer)", ""]
        entry[0], entry[1] = entry[0] + 1, entry[1] + clock() - start

    optim.Optimizer.step = step

    from benchmarks.peers import minivit

    run = minivit.make(work, threads)
    if isinstance(run, dict):
        raise SystemExit("benchmarks: W7 is a profile already")
    for _ in range(3):
        run()
    spent.clear()
    steps = steps or 10
    start = clock()
    for _ in range(steps):
        run()
    total = clock() - start
    rest = total - sum(f + b for _, f, b in spent.values())
    print(f"{work.name}: {work.title}. {total / steps * 1e3:.2f} ms a step, of which\n")
    print(f"{'op':22}{'operands':34}{'calls':>6}{'forward':>10}{'backward':>10}{'share':>8}")
    for (name, shape), (n, f, b) in sorted(spent.items(), key=lambda e: -sum(e[1][1:])):
        if f + b > total / 1000:
            print(
                f"{name:22}{shape:34}{n // steps:6}{f / steps * 1e3:10.3f}{b / steps * 1e3:10.3f}"
                f"{(f + b) / total:8.1%}"
            )
    print(f"{'(engine and Python)':62}{rest / steps * 1e3:10.3f}{'':10}{rest / total:8.1%}")
    return spent


def select_one(chosen):
    if len(chosen) != 1:
        raise SystemExit(f"benchmarks: --profile takes one work, one of {list(works.WORKS)}")
    return chosen[0]
