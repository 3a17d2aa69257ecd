"""The race: workers in turn, A B C C B A ..., and what their times mean.

On one thread the measure is the process's CPU time, which other people's load hardly changes; on
two it is the wall clock, and a visit counts only if other processes used less than QUIET of a core
meanwhile. Ratios are medians of pairs from the same round, so that a slow minute of the machine
falls on both.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from statistics import median

import numpy as np

QUIET = 0.25  # of a core
PATIENCE = 4  # visits of one round before a round on a busy machine is given up
TOLERANCE = 2e-4  # relative, between the results of two contestants
THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL", "VECLIB", "NUMEXPR", "BLIS")


class Worker:
    """A process for one contestant; see worker.py."""

    def __init__(self, peer, work, threads):
        self.peer = peer
        env = dict(os.environ) | {f"{v}_NUM_THREADS": str(threads) for v in THREAD_VARIABLES}
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"], env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        self.info = self.ask(load=[peer, work.name, threads])

    def ask(self, **message):
        try:
            print(json.dumps(message), file=self.process.stdin)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.log.seek(0)
            reason = ([line.strip() for line in self.log if line.strip()] or ["no message"])[-1]
            return {"skip": f"failed: {reason}", "failed": True}
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def race(work, peers, threads, rounds, seconds, tell=lambda text: None):
    """One work: {"peers": {name: result}, "skipped": {name: reason}}; the first peer is ours."""
    workers, skipped = {}, {}
    try:
        for peer in peers:
            tell(f"{work.name}, {threads} thread{'s'[: threads > 1]}: {peer} starts")
            worker = Worker(peer, work, threads)
            if "skip" in worker.info:
                skipped[peer] = worker.info["skip"]
                worker.close()
            else:
                workers[peer] = worker
        if peers[0] not in workers:
            return {"peers": {}, "skipped": skipped}
        for peer in list(workers):
            if peer == "floor":
                continue  # computes no result
            difference = disagreement(workers[peers[0]].info["check"], workers[peer].info["check"])
            if difference:
                skipped[peer] = f"computes something else: {difference}"
                workers.pop(peer).close()
        visits, noisy = {peer: [] for peer in workers}, 0
        for worker in workers.values():
            worker.ask(visit=seconds)  # warm: memory, caches, how many steps fill a visit
        for i in range(rounds):
            order = list(workers) if i % 2 == 0 else list(workers)[::-1]
            for attempt in range(PATIENCE):
                tell(
                    f"{work.name}, {threads} thread{'s'[: threads > 1]}: round {i + 1} of {rounds}"
                )
                answers = {peer: workers[peer].ask(visit=seconds) for peer in order}
                broken = [p for p, a in answers.items() if "failed" in a]
                if broken:
                    raise SystemExit(f"benchmarks: {broken[0]}: {answers[broken[0]]['skip']}")
                if threads == 1 or all((a["others"] or 0) <= QUIET for a in answers.values()):
                    break
                time.sleep(2 * attempt)
            else:
                noisy += 1
                continue
            for peer, answer in answers.items():
                visits[peer].append(answer)
        return {
            "peers": {
                peer: summary(visits, peer, peers[0], threads) | {
                    "version": worker.info["version"],
                    "check": worker.info["check"],
                }
                for peer, worker in workers.items()
                if visits[peer]
            },
            "skipped": skipped,
            "noisy_rounds": noisy,
        }  # fmt: skip
    finally:
        for worker in workers.values():
            worker.close()


def disagreement(ours, theirs):
    """The difference between two contestants' first results, in words; None if they agree."""
    for case, wanted in ours.items():
        if case not in theirs:
            return f"no case {case}"
        a, b = np.array(wanted), np.array(theirs[case])
        if a.shape != b.shape:
            return f"{case}: {b.size} numbers where minivit has {a.size}"
        scale = np.maximum(np.abs(a), np.abs(a[..., :1]))  # a signed sum is small beside its norm
        worst = float((np.abs(a - b) / (scale + 1e-8)).max())
        if not worst < TOLERANCE:
            return f"{case}: {b.ravel()[:4].tolist()}, minivit {a.ravel()[:4].tolist()}"
    return None


def summary(visits, peer, ours, threads):
    """Median seconds per case, and minivit's time as a multiple of this peer's, round by round."""
    clock = "cpu" if threads == 1 else "wall"
    cases = visits[peer][0][clock]
    result = {
        "seconds": {c: median(v[clock][c] for v in visits[peer]) for c in cases},
        "peak": max(v["peak"] for v in visits[peer]),
        "rounds": len(visits[peer]),
    }
    pairs = {
        c: [a[clock][c] / b[clock][c] for a, b in zip(visits[ours], visits[peer])] for c in cases
    }
    result["ratio"] = {c: median(p) for c, p in pairs.items()}
    result["spread"] = {c: (min(p), max(p)) for c, p in pairs.items()}
    return result
