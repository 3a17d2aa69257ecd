"""One contestant in a process of its own: answers JSON lines until its input ends.

{"load": [peer, work, threads]} -> {"version", "check": {case: numbers}} or {"skip": reason}
{"visit": seconds}              -> {"cpu": {case: s}, "wall": {case: s}, "others": x, "peak": bytes}

The environment variables that set BLAS threads are read at import, which is why a process is made
for each, and why what it keeps is its own memory.
"""

import importlib
import json
import os
import sys
import time

import numpy as np

from benchmarks import works

FEW = 3  # results of the first steps that are compared with the other contestants'


def load(peer, name, threads):
    """The contestant's cases: {case: function}, each one unit of work; and what it is."""
    work = works.WORKS[name]
    try:
        module = importlib.import_module(f"benchmarks.peers.{peer}")
    except ImportError as missing:
        if (missing.name or "").startswith("benchmarks"):
            raise
        return None, {"skip": f"not installed ({missing})"}
    try:
        cases = module.make(work, threads)
    except NotImplementedError as reason:
        return None, {"skip": str(reason)}
    cases = cases if isinstance(cases, dict) else {"step": cases}
    once = work.kind != "train"
    check = {c: [digest(f()) for _ in range(1 if once else FEW)] for c, f in cases.items()}
    forget_peak_memory()
    return cases, {"version": module.VERSION, "check": check}


def digest(result):
    """Numbers that stand for a result: itself if it is one, else weighted sums of its arrays."""
    arrays = result if isinstance(result, (tuple, list)) else [result]
    numbers = []
    for a in arrays:
        a = np.asarray(a, np.float64).ravel()
        signs = np.random.default_rng(a.size).choice([-1.0, 1.0], a.size)
        numbers += [float(a[0])] if a.size == 1 else [float(np.sqrt(a @ a)), float(signs @ a)]
    return numbers


def visit(cases, seconds, repeats):
    """Run each case for about `seconds`; CPU and wall time per run."""
    cpu, wall = {}, {}
    busy, mine, start = busy_time(), time.process_time(), time.perf_counter()
    for case, f in cases.items():
        if case not in repeats:
            repeats[case] = calibrated(f, seconds)
        c, w = time.process_time(), time.perf_counter()
        for _ in range(repeats[case]):
            f()
        cpu[case] = (time.process_time() - c) / repeats[case]
        wall[case] = (time.perf_counter() - w) / repeats[case]
    elapsed, mine = time.perf_counter() - start, time.process_time() - mine
    others = None if busy is None else max(0.0, (busy_time() - busy - mine) / elapsed)
    return {"cpu": cpu, "wall": wall, "others": others, "peak": peak_memory()}


def calibrated(f, seconds):
    """The number of runs of `f` that take about `seconds`."""
    runs = 1
    while True:
        start = time.perf_counter()
        for _ in range(runs):
            f()
        elapsed = time.perf_counter() - start
        if elapsed > seconds / 4:
            return max(1, round(runs * seconds / elapsed))
        runs *= 4


def busy_time():
    """Seconds that all processes of this machine have been busy, on all cores (Linux)."""
    try:
        with open("/proc/stat") as f:
            fields = [int(x) for x in f.readline().split()[1:9]]
    except OSError:
        return None
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / os.sysconf("SC_CLK_TCK")


def forget_peak_memory():
    """Count the peak from here on (Linux): the work's, not that of making and copying weights."""
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def peak_memory():
    """The most bytes this process has held. Not ru_maxrss, which a child inherits on Linux."""
    try:
        with open("/proc/self/status") as f:
            line = next(line for line in f if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main():
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints does not get between the answers
    cases, repeats = None, {}
    for line in sys.stdin:
        message = json.loads(line)
        if "load" in message:
            cases, answer = load(*message["load"])
        else:
            answer = visit(cases, message["visit"], repeats)
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
