"""python -m benchmarks distributed [--ranks 2] [--rounds 15]: training on several ranks, timed.

Rounds alternate between one rank and all of them, and ratios are medians of pairs from the same
round, so that a busy minute falls on both. Ranks are bound to cores; BLAS has one thread. It also
fits the cost of a message, alpha + beta bytes, and keeps all numbers in
data/results/distributed.json, which the lecture draws. benchmarks/links.sh runs it over a link.
"""

import argparse
import os
import time
import tracemalloc
from statistics import median

import numpy as np

import minivit as mv
from benchmarks import race, works
from benchmarks.peers.minivit import build
from minivit import optim
from minivit.course.runs import results
from minivit.models.clip import clip_loss
from minivit.training import distributed, launch, ranks
from minivit.training.trainer import classification_loss

WORKS = ("W1", "W2a", "W4")
TARGETS = {"W1": 1.6, "W2a": 1.9, "W4": 1.9, "weak": 0.9}  # of the issue, on 2 ranks
BYTES = [4 * 4**k for k in range(11)]  # 4 bytes to 4 MB


class Step:
    """A training step of a work: alone on one rank, or divided among all."""

    def __init__(self, work, copies=1):
        self.model = build(work)
        self.optimizer = optim.AdamW(self.model.parameters(), lr=works.LR)
        batch = [np.concatenate([a] * copies) for a in works.data(work)]
        self.batch = [mv.Tensor(a) if a.dtype.kind == "f" else a for a in batch]

    def __call__(self, group):
        """Seconds at its end, and where it had got to on the way."""
        start = time.perf_counter()
        if group.size == 1:
            self.optimizer.zero_grad()
            classification_loss(self.model, *self.batch).backward()
            marks = [time.perf_counter()] * 2
        else:
            timed = Timed(group)
            distributed.backward(classification_loss, self.model, self.batch, timed)
            marks = [timed.began, timed.ended]
        self.optimizer.step()
        return [t - start for t in (*marks, time.perf_counter())]


class Timed:
    """A group that remembers when its first sum began and its last one ended."""

    def __init__(self, group):
        self.group, self.rank, self.size, self.began = group, group.rank, group.size, None

    def all_reduce(self, array):
        self.began = self.began or time.perf_counter()
        total = self.group.all_reduce(array)
        self.ended = time.perf_counter()
        return total


def together(group):
    group.all_reduce(np.zeros(1))


def speed(group, work, rounds, repeats):
    """One rank against all, with the same batch in all (strong) and the same a rank (weak)."""
    alone, strong, weak = Step(work), Step(work), Step(work, copies=group.size)
    pairs, timeline = [], []
    for _ in range(rounds + 1):
        seconds = []
        for step, who in ((alone, ranks.Alone()), (strong, group), (weak, group)):
            together(group)
            if who.size == 1 and group.rank:
                continue
            found = [step(who) for _ in range(repeats)]
            seconds.append(min(f[-1] for f in found))  # the least of a few: the rest is the load
            if step is strong:
                timeline.append(min(found, key=lambda f: f[-1]))
        pairs.append(seconds)
    together(group)
    pairs, timeline = pairs[1:], timeline[1:]  # the first round warms up
    lines = group.gather_facts([median(t) for t in zip(*timeline)])
    if group.rank:
        return None
    ratios = [(a / s, a / w) for a, s, w in pairs]
    return {
        "seconds alone": median(a for a, _, _ in pairs),
        "seconds together": median(s for _, s, _ in pairs),
        "speed-up": median(s for s, _ in ratios),
        "speed-ups": sorted(round(s, 3) for s, _ in ratios),
        "weak efficiency": median(w for _, w in ratios),
        "timeline": lines,  # of each rank: computed, summed, stepped
        "gradient bytes": 4 * alone.model.count_parameters(),
    }


def by_batch(work, repeats):
    """Seconds of a step on one rank, by the size of its part: {examples: seconds}."""
    found = {}
    for share in (1, 2, 4, 8):
        step = Step(work)
        step.batch = [a[: work.batch // share] for a in step.batch]
        found[work.batch // share] = min(step(ranks.Alone())[-1] for _ in range(repeats + 1))
    return found


def messages(group, repeats=50):
    """Seconds of an all-reduce by its bytes, and the `cost` of a message."""
    seconds = []
    for size in BYTES:
        array, times = np.zeros(size // 4, np.float32), []
        for _ in range(repeats):
            together(group)
            start = time.perf_counter()
            group.all_reduce(array)
            times.append(time.perf_counter() - start)
        seconds.append(min(times))
    return {"bytes": BYTES, "seconds": seconds, **cost(BYTES, seconds, group.size)}


def cost(sizes, seconds, ranks):
    """alpha and beta of a ring's messages, of which a sum takes 2 (R - 1), of bytes/R each: least
    squares of the logarithms, for small and large messages count alike."""
    from scipy.optimize import least_squares

    def error(logs):
        return np.log(np.exp(logs[0]) + np.exp(logs[1]) * np.array(sizes)) - np.log(seconds)

    a, b = np.exp(least_squares(error, np.log([min(seconds), max(seconds) / max(sizes)])).x)
    return {"alpha": a / (2 * (ranks - 1)), "beta": b * ranks / (2 * (ranks - 1))}


def plan(seconds, gradient_bytes, alpha, beta, counts=(1, 2, 4, 8, 16, 32, 64)):
    """{ranks: (strong, weak)}: by how much so many would be faster with one batch between them, and
    how much of their time they would compute with one each, by the cost model: a step of b examples
    takes c + d b, fitted to `seconds` {b: s}; a ring's all-reduce 2 (R - 1) (alpha + beta bytes/R).
    """
    examples = np.array([int(b) for b in seconds])
    d, c = np.polyfit(examples, list(seconds.values()), 1)
    B, found = examples.max(), {}
    for R in counts:
        sum_ = 2 * (R - 1) * (alpha + beta * gradient_bytes / R)
        found[R] = (c + d * B) / (c + d * B / R + sum_), (c + d * B) / (c + d * B + sum_)
    return found


def memory(group, sizes=(256, 512, 1024, 2048), width=64):
    """Peak bytes of the contrastive loss, forward and backward, on a rank: whole, and in shards."""
    found = {}

    class Unit:  # a CLIP whose encoders have run already
        d_e, t = width, mv.Tensor(np.array(2.0, np.float32), requires_grad=True)
        encode_image = encode_text = staticmethod(lambda x: x)

    for n in sizes:
        rows = np.random.default_rng(0).standard_normal((n, width)).astype(np.float32)
        eye, same = np.eye(width, dtype=np.float32), lambda x: x
        here, row = distributed.part(n, group.rank, group.size), []
        for sharded in (False, True):
            I, T = (
                mv.Tensor(rows[here] if sharded else rows, requires_grad=True) for _ in range(2)
            )
            tracemalloc.start()
            with ranks.sharing(group if sharded else None):
                loss = (
                    distributed.contrastive_loss(Unit, I, T)
                    if sharded
                    else clip_loss(same, same, I, T, eye, eye, Unit.t)
                )
                loss.backward()
            row.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        found[n] = row
    return found


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks distributed", description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=5, help="steps a visit; the least counts")
    parser.add_argument("--link", default="shared memory", help="its name in the results")
    parser.add_argument("--messages-only", action="store_true", help="no training: alpha and beta")
    options = parser.parse_args(argv)
    group = ranks.world()
    if group.size == 1:
        env = {f"{v}_NUM_THREADS": "1" for v in race.THREAD_VARIABLES}
        again = ["-m", "benchmarks", "distributed", *(argv or [])]
        return launch.run(options.ranks, again, env=env, options=["--bind-to", "core"])
    found = {"messages": messages(group)}
    if not options.messages_only:
        found |= {"memory": memory(group), "works": {}}
    for name in () if options.messages_only else WORKS:
        result = speed(group, works.WORKS[name], options.rounds, options.repeats)
        if group.rank == 0:
            result["by batch"] = by_batch(works.WORKS[name], options.repeats)
            costs = found["messages"]["alpha"], found["messages"]["beta"]
            result["plan"] = plan(result["by batch"], result["gradient bytes"], *costs)
            found["works"][name] = result
            print(f"{name}, 64 ranks on such links, by the cost model: {result['plan'][64][0]:.1f} "
                  f"times as fast, weak efficiency {result['plan'][64][1]:.2f}")  # fmt: skip
            if options.link == "shared memory":
                ok = result["speed-up"] >= TARGETS[name], result["weak efficiency"] >= 0.9
                print(f"{name}: {group.size} ranks are {result['speed-up']:.2f} times as fast "
                      f"(spread {result['speed-ups'][0]} to {result['speed-ups'][-1]}; target "
                      f"{TARGETS[name]}: {'met' if ok[0] else 'not met'}), weak efficiency "
                      f"{result['weak efficiency']:.2f} (0.9: {'met' if ok[1] else 'not met'})",
                      flush=True)  # fmt: skip
            else:
                print(f"{name}: {result['speed-up']:.2f} over {options.link}", flush=True)
        together(group)
    if group.rank == 0:
        found |= {"ranks": group.size, "load": os.getloadavg(), "machine": results.machine()}
        links = results.made("distributed").get("links", {})
        results.keep("distributed", {"links": {**links, options.link: found}})
        m = found["messages"]
        print(f"a message costs {m['alpha']:.2g} s + {m['beta']:.2g} s a byte over {options.link}")
        print(f"kept: {results.path('distributed')}")
    return 0
