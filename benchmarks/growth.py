"""python -m benchmarks growth [tokens width ...]: how time and memory grow, beside PyTorch's.

One process for each axis and contestant. Sizes go up, so that the peak so far is this size's; its
memory is that peak less what the process held before the first. Time is the process's CPU time on
one thread, the median of a few runs. The exponent is the slope of the logarithms over the upper
half of the sizes, where what does not grow weighs less.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import race, report, worker, works

RESULTS = Path(__file__).with_name("GROWTH.md")
PEERS = ("minivit", "torch")
TOKENS = (64, 128, 256, 512, 1024, 2048, 4096)
AXES = {  # name: (title, sizes, exponents of time and memory in theory, for large sizes)
    "tokens": ("attention, 8 heads, width 512, tokens", TOKENS, 2, 1),
    "causal": ("the same, causal, tokens", TOKENS, 2, 1),
    "width": ("ViT, 2 layers, 64 tokens, batch 2, width", (64, 128, 256, 512, 1024), 2, 2),
    "depth": ("ViT, width 128, 64 tokens, batch 4, layers", (1, 2, 4, 8, 16), 1, 1),
    "batch": ("ViT, width 64, 2 layers, 64 tokens, batch", (4, 8, 16, 32, 64, 128), 1, 1),
    "vocabulary": ("GPT, width 64, 1 layer, 64 tokens, symbols", (1024, 4096, 16384, 65536), 1, 1),
    "pictures": ("an epoch of a loader, batch 64, pictures", (4096, 16384, 65536, 131072), 1, 1),
}  # fmt: skip


def attention(peer, tokens, causal):
    """Attention forward and backward, as one function."""
    rng = np.random.default_rng(0)
    qkv, g = (rng.standard_normal((1, tokens, n), dtype=np.float32) for n in (1536, 512))
    if peer == "minivit":
        import minivit as mv

        def run():
            x = mv.Tensor(qkv, requires_grad=True)
            mv.self_attention(x, heads=8, causal=causal).backward(g)

        return run
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    x, g = torch.from_numpy(qkv).requires_grad_(), torch.from_numpy(g)

    def run():
        x.grad = None
        q, k, v = x.view(1, tokens, 3, 8, 64).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        y.transpose(1, 2).reshape(1, tokens, 512).backward(g)

    return run


def training_step(peer, axis, n):
    """A training step of a model whose size along the axis is n."""
    stack = {"width": works.Stack(2, n, 4), "depth": works.Stack(n, 128, 4)}
    model = works.ViT(16, 2, 1, stack.get(axis, works.Stack(2, 64, 4)))
    if axis == "vocabulary":
        model = works.GPT(64, n, works.Stack(1, 64, 4, eps=1e-5))
    if peer == "torch":
        import torch

        torch.set_num_interop_threads = lambda n: None  # may be said once a process, which has one
    batch = {"width": 2, "depth": 4, "vocabulary": 1}.get(axis, n)
    module = __import__(f"benchmarks.peers.{peer}", fromlist=["make"])
    return module.make(works.Work(axis, "", "train", model, batch), 1)


def epoch(peer, n):
    """A shuffled walk over n pictures of 28 x 28 bytes, which it makes and keeps."""
    pictures, labels = np.ones((n, 28, 28, 1), np.uint8), np.zeros(n, np.int64)
    if peer == "minivit":
        from minivit.training.data import Batches

        batches = Batches(pictures, labels, batch_size=64)
    else:
        from torch import from_numpy
        from torch.utils.data import DataLoader, TensorDataset

        pairs = TensorDataset(from_numpy(pictures), from_numpy(labels))
        batches = DataLoader(pairs, batch_size=64, shuffle=True, drop_last=True)

    def run():
        for _ in batches:
            pass

    return run


def measure(peer, axis, sizes, least=0.2):
    """[(size, CPU seconds, bytes)], in this process."""
    rows, before = [], None
    for n in sizes:
        run = None  # the size before goes
        if axis in ("tokens", "causal"):
            run = attention(peer, n, axis == "causal")
        elif axis == "pictures":
            run = epoch(peer, n)
        else:
            run = training_step(peer, axis, n)
        if before is None:
            run()  # libraries load what they need
            before = resident()
            worker.forget_peak_memory()
        run()
        seconds = []
        while len(seconds) < 3 or (sum(seconds) < least and len(seconds) < 50):
            start = time.process_time()
            run()
            seconds.append(time.process_time() - start)
        rows.append((n, median(seconds), max(worker.peak_memory() - before, 1)))
    return rows


def resident():
    """The bytes that this process holds now (Linux; elsewhere the most that it has held)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return worker.peak_memory()
    return pages * os.sysconf("SC_PAGE_SIZE")


def exponent(sizes, values):
    """The slope of log(values) over log(sizes), in the upper half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(values[half:]), 1)[0])


def table(results):
    """Rows of texts: each axis and contestant, its largest size, and the exponents."""
    yield ["axis", "sizes", "peer", "ms at the largest", "exponent", "theory",
           "MB at the largest", "exponent", "theory"]  # fmt: skip
    for axis, peers in results.items():
        title, _, in_time, in_memory = AXES[axis]
        for i, (peer, rows) in enumerate(peers.items()):
            sizes, seconds, memory = map(list, zip(*rows, strict=True))
            yield [
                "" if i else title,
                "" if i else f"{sizes[0]} to {sizes[-1]}",
                peer,
                f"{seconds[-1] * 1e3:.0f}",
                f"{exponent(sizes, seconds):.2f}",
                str(in_time),
                f"{memory[-1] / 1e6:.0f}",
                f"{exponent(sizes, memory):.2f}",
                str(in_memory),
            ]


def plot(results, path):
    """Time above, memory below, one column an axis; dotted: the theory through the last point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(results), 5.5))
    grid = figure.subplots(2, len(results), squeeze=False)
    for column, (axis, peers) in enumerate(results.items()):
        for row, (what, unit) in enumerate((("time", 1e-3), ("memory", 1e6))):
            axes = grid[row, column]
            for (peer, points), colour, mark in zip(peers.items(), ("#0072B2", "#D55E00"), "os"):
                sizes, values = [p[0] for p in points], [p[1 + row] / unit for p in points]
                if what == "memory":  # less than a process takes from the system at once: unknown
                    values = [v if v > 0.1 else float("nan") for v in values]
                label = f"{peer}, {exponent(sizes, [p[1 + row] for p in points]):.2f}"
                axes.loglog(sizes, values, color=colour, marker=mark, markersize=4, label=label)
                if peer == "minivit":
                    theory = AXES[axis][2 + row]
                    line = [values[-1] * (n / sizes[-1]) ** theory for n in sizes]
                    axes.loglog(sizes, line, "k:", linewidth=1, label=f"theory, {theory}")
            axes.legend(fontsize=7)
            axes.set_title(f"{what}, {axis}", fontsize=9)
            axes.tick_params(labelsize=7)
        grid[1, column].set_xlabel(axis)
    grid[0, 0].set_ylabel("CPU time, ms")
    grid[1, 0].set_ylabel("peak memory, MB")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main(names):
    """Measure, and write GROWTH.md, growth.png and growth.json beside this file."""
    from tqdm import tqdm

    unknown = [n for n in names if n not in AXES]
    if unknown:
        raise SystemExit(f"benchmarks growth: no axis is called {unknown}; there are {list(AXES)}")
    kept = RESULTS.with_name("growth.json")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    env = dict(os.environ) | {f"{v}_NUM_THREADS": "1" for v in race.THREAD_VARIABLES}
    jobs = [(axis, peer) for axis in names or AXES for peer in PEERS]
    for axis, peer in tqdm(jobs, unit="curve"):
        command = [sys.executable, "-m", "benchmarks.growth", peer, axis]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            print(f"{axis}, {peer}: {done.stderr.strip().splitlines()[-1]}")
            continue
        results.setdefault(axis, {})[peer] = json.loads(done.stdout.splitlines()[-1])
    results = {axis: results[axis] for axis in AXES if axis in results}
    kept.write_text(json.dumps(results) + "\n")
    old = RESULTS.read_text() if RESULTS.exists() else ""
    _, mark, tail = old.partition("## Reading it")
    facts = "\n".join(f"- {k}: {v}" for k, v in report.machine().items())
    RESULTS.write_text(
        "# How time and memory grow\n\nThe last run of `make bench-growth`. One thread, process "
        "CPU time, forward and backward (a training step where there is a model); memory: the peak "
        "of the process less what it held before. The exponent is the slope of the logarithms "
        f"over the upper half of the sizes.\n\n{facts}\n\n{report.markdown(table(results))}\n\n"
        "![Time and memory against each size, on logarithmic axes](growth.png)\n"
        + (f"\n{mark}{tail}" if mark else "")
    )
    plot(results, RESULTS.with_name("growth.png"))
    print(report.plain(table(results)))


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], AXES[sys.argv[2]][1])))
