"""The results of a race: a table for the terminal and for Markdown, a plot, JSON.

A report is a plain dict: {"machine": ..., "races": [{"work", "threads", "peers", "skipped"}]}.
"""

import json
import os
import platform
import time
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import works

BUILD = Path("build/benchmarks")
RESULTS = Path(__file__).with_name("RESULTS.md")


def machine():
    """The machine and the versions that the numbers belong to."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            name = next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "processor": f"{name}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "blas": f"{blas['name']} {blas['version']}",
        "load": f"{os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else "unknown",
        "date": time.strftime("%Y-%m-%d"),
    }


def rows(report):
    """One list of texts per contestant, after the headings."""
    yield ["work", "threads", "peer", "time, ms", "minivit / peer", "target", "range", "peak MB",
           "memory ratio", "target"]  # fmt: skip
    for race in report["races"]:
        work, threads = works.WORKS[race["work"]], race["threads"]
        ours = race["peers"].get("minivit")
        for i, (peer, result) in enumerate(race["peers"].items()):
            ratio = median(result["ratio"].values())
            low = min(a for a, _ in result["spread"].values())
            high = max(b for _, b in result["spread"].values())
            wanted = work.target(f"{peer}{threads}")
            memory = ours["peak"] / result["peak"]
            wanted_memory = work.target("memory") if peer == "torch" else None
            several = len(result["seconds"]) > 1
            yield [
                "" if i else work.name,
                "" if i else str(threads),
                peer,
                "" if several else f"{median(result['seconds'].values()) * 1e3:.1f}",
                "" if peer == "minivit" else f"{ratio:.2f}",
                verdict(ratio, wanted),
                "" if peer == "minivit" else f"{low:.2f} to {high:.2f}",
                f"{result['peak'] / 1e6:.0f}",
                "" if peer in ("minivit", "floor") else f"{memory:.2f}",
                verdict(memory, wanted_memory),
            ]
        for peer, reason in race["skipped"].items():
            yield [work.name, str(threads), peer, reason] + [""] * 6
        if not race["peers"] and not race["skipped"]:
            yield [work.name, str(threads), "", "no quiet round: the machine was busy"] + [""] * 6


def verdict(ratio, wanted):
    if wanted is None:
        return ""
    return f"<= {wanted:g} " + ("met" if ratio <= wanted else "missed")


def op_rows(race):
    """W7: each op and size, minivit's microseconds, and its ratio to each peer."""
    others = [p for p in race["peers"] if p != "minivit"]
    yield ["op", "minivit, us"] + [t for p in others for t in (f"{p}, us", f"minivit / {p}")]
    for case, seconds in race["peers"]["minivit"]["seconds"].items():
        row = [case, f"{seconds * 1e6:.1f}"]
        for p in others:
            r = race["peers"][p]
            row += [f"{r['seconds'][case] * 1e6:.1f}", f"{r['ratio'][case]:.2f}"]
        yield row


def plain(table):
    """Columns under each other; a text in place of numbers (the fourth column) may run on."""
    table = [list(map(str, row)) for row in table]
    widths = [
        max(len(row[i]) for row in table if not (i >= 3 and len(row) > 4 and not any(row[4:])))
        for i in range(len(table[0]))
    ]
    return "\n".join("  ".join(t.ljust(w) for t, w in zip(row, widths)).rstrip() for row in table)


def markdown(table):
    head, *body = [list(map(str, row)) for row in table]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text(report, style=plain):
    """All tables of a report."""
    parts = [style(list(rows(report)))]
    for race in report["races"]:
        if race["work"] == "W7" and race["peers"]:
            threads = f"{race['threads']} thread" + "s"[: race["threads"] > 1]
            parts += [f"W7, {threads}, forward and backward:", style(list(op_rows(race)))]
    return "\n\n".join(parts)


def versions(report):
    return {p: r["version"] for race in report["races"] for p, r in race["peers"].items()}


def write_results(report, notes=""):
    """RESULTS.md: the last whole run; what stands under "## Reading it" is kept."""
    kept = RESULTS.read_text() if RESULTS.exists() else ""
    _, mark, tail = kept.partition("## Reading it")
    facts = "\n".join(f"- {k}: {v}" for k, v in (report["machine"] | versions(report)).items())
    works_ = "\n".join(f"- {w.name}: {w.title}" for w in works.WORKS.values())
    RESULTS.write_text(
        "# Benchmark results\n\nThe last run of `python -m benchmarks` that was kept "
        "(`--results`). One thread: process CPU time; two: wall clock, rounds during which other "
        "processes used less than a quarter of a core. Medians; ratios are medians over rounds, "
        "below 1 means that minivit is faster.\n\n"
        f"{facts}\n\n{works_}\n\n{text(report, markdown)}\n" + (f"\n{mark}{tail}" if mark else "")
    )


def save(report, name):
    """build/benchmarks/NAME.json."""
    BUILD.mkdir(parents=True, exist_ok=True)
    path = BUILD / f"{name}.json"
    path.write_text(json.dumps(report, indent=1))
    return path


def merged(reports):
    """One report of several: a later race of the same work and threads replaces an earlier one."""
    races = {}
    for report in reports:
        races |= {(r["work"], r["threads"]): r for r in report["races"]}
    order = list(works.WORKS)
    return {
        "machine": reports[-1]["machine"],
        "races": [races[k] for k in sorted(races, key=lambda k: (k[1], order.index(k[0])))],
    }


def plot(report, path):
    """Bars: minivit's time as a share of each peer's, one row a work; 1 is the peer's own."""
    from matplotlib.figure import Figure

    races = [r for r in report["races"] if len(r["peers"]) > 1]
    peers = [p for p in dict.fromkeys(p for r in races for p in r["peers"]) if p != "minivit"]
    colours = ["#0072B2", "#999999", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"]
    figure = Figure(figsize=(8, 1.2 + 0.32 * sum(len(r["peers"]) for r in races)))
    axes = figure.subplots()
    y, ticks = 0.0, []
    for race in races:
        start = y
        for peer, result in race["peers"].items():
            if peer == "minivit":
                continue
            ratio = median(result["ratio"].values())
            axes.barh(y, ratio, color=colours[peers.index(peer) % len(colours)])
            axes.text(ratio, y, f" {ratio:.2f} {peer}", va="center", fontsize=9)
            wanted = works.WORKS[race["work"]].target(f"{peer}{race['threads']}")
            if wanted:
                axes.plot([wanted, wanted], [y - 0.4, y + 0.4], "k", linewidth=2)
            y += 1
        ticks.append(((start + y - 1) / 2, f"{race['work']}, {race['threads']}t"))
        y += 0.7
    axes.axvline(1, color="k", linestyle=":", linewidth=1)
    axes.set_yticks([t for t, _ in ticks], [name for _, name in ticks])
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel("time of minivit / time of the peer (left of 1: minivit is faster; | target)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
