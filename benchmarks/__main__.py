"""python -m benchmarks W1 W2 --rounds 7 --threads 1 --peers torch,floor

python -m benchmarks distributed speed-up of 2 ranks (distributed.py)
python -m benchmarks accuracy    errors in ulp beside PyTorch's: ACCURACY.md (accuracy erf: of erf)
python -m benchmarks growth      time and memory against sizes: GROWTH.md (growth tokens: of tokens)
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from benchmarks import profile, race, report, works

PEERS = "torch,floor,autograd,jax,mygrad,tinygrad"


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time minivit beside its peers on the same work.",
        epilog="\n".join(f"{w.name:4} {w.title}" for w in works.WORKS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "works",
        nargs="*",
        help="such as W1 W2 (W2a and W2b); default: all. accuracy, growth: no race",
    )
    parser.add_argument("--rounds", type=int, default=7, help="visits to each contestant")
    parser.add_argument("--threads", default="1", help="1, 2 or 1,2")
    parser.add_argument("--peers", default=PEERS, help=f"default: {PEERS}")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a visit")
    parser.add_argument("--results", action="store_true", help="rewrite RESULTS.md")
    parser.add_argument("--profile", action="store_true", help="time in each op of minivit")
    parser.add_argument(
        "--merge", nargs="+", metavar="JSON", help="no race: tables of reports kept before"
    )
    return parser.parse_args(argv)


def run(options, bar):
    chosen, races = works.select(options.works), []
    peers = ["minivit", *(p for p in options.peers.split(",") if p and p != "minivit")]
    unknown = [p for p in peers[1:] if p not in PEERS.split(",")]
    if unknown:
        raise SystemExit(f"benchmarks: no peer is called {unknown}; there are {PEERS}")
    for threads in map(int, options.threads.split(",")):
        for work in chosen:
            seconds = options.seconds if work.kind != "ops" else options.seconds / 20
            result = race.race(work, peers, threads, options.rounds, seconds, bar.set_description)
            races.append({"work": work.name, "threads": threads, **result})
            bar.update()
    return {"machine": report.machine(), "races": races}


def main(argv=None):
    if (argv or sys.argv[1:])[:1] == ["distributed"]:
        from benchmarks import distributed

        sys.exit(distributed.main((argv or sys.argv[1:])[1:]))
    options = arguments(argv)
    if options.works[:1] == ["accuracy"]:
        from benchmarks import accuracy

        sys.exit(accuracy.write(options.works[1:]) > 0)
    if options.works[:1] == ["growth"]:
        from benchmarks import growth

        return growth.main(options.works[1:])
    if options.profile:
        if os.environ.get("OPENBLAS_NUM_THREADS") != options.threads:  # read when NumPy is imported
            os.environ |= {f"{v}_NUM_THREADS": options.threads for v in race.THREAD_VARIABLES}
            os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *(argv or sys.argv[1:])])
        profile.profile(profile.select_one(works.select(options.works)), int(options.threads))
        return
    if options.merge:
        result = report.merged([json.loads(Path(p).read_text()) for p in options.merge])
        name = "merged"
    else:
        from tqdm import tqdm

        count = len(works.select(options.works)) * len(options.threads.split(","))
        with tqdm(total=count, unit="work") as bar:
            result = run(options, bar)
        name = time.strftime("%Y%m%d-%H%M%S")
    path = report.save(result, name)
    print(report.text(result))
    print(f"\nkept: {path}")
    try:
        report.plot(result, path.with_suffix(".png"))
        print(f"plot: {path.with_suffix('.png')}")
    except ImportError:
        print("no plot: matplotlib is not installed (pip install 'minivit[lab]')")
    if options.results:
        report.write_results(result)
        print(f"written: {report.RESULTS}")


if __name__ == "__main__":
    main()
