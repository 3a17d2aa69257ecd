"""A long run as a list of jobs: planned, interrupted, resumed, kept.

    python -m minivit.course.runs iconnet --plan         # what there is to do, and the hours
    python -m minivit.course.runs iconnet resnet         # one part; all: none named
    python -m minivit.course.runs iconnet --device cuda  # the same on a GPU

A job trains a net in a folder with checkpoints (every minute or so), measures, and adds its numbers
to data/results/NAME.json. One whose numbers are there is not done again. The same command may run
several times at once, one for each core: each takes the next job that no other has begun.
"""

import argparse
import os
import shutil
import subprocess
import time
from typing import Any, NamedTuple

from minivit import course, files
from minivit.course.runs import results as record
from minivit.engine import backend
from minivit.engine.errors import OptionError
from minivit.optim import AdamW, decay_groups, warmup_cosine
from minivit.training import ranks
from minivit.training.trainer import Trainer

SAVE_EVERY = 100  # steps
HERE = os.path.dirname(__file__)
RANKS = "--ranks N [--hosts FILE]: N processes divide each batch (minivit.training.launch)"


class Job(NamedTuple):
    """function(*arguments) -> numbers. seconds: about, on one core (each run says how known)."""

    function: Any
    arguments: tuple
    seconds: float

    @property
    def name(self):
        return record.job_name(self.function, *self.arguments)


def main(run, parts, arguments, about):
    """Do what is missing of the parts {name: jobs} that `arguments` name (all: none named). about:
    what --help says."""
    parser = argparse.ArgumentParser(
        prog=f"python -m minivit.course.runs {run}", description=about, epilog=RANKS,
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("parts", nargs="*", help=f"some of {list(parts)}; all: none")
    parser.add_argument("--plan", action="store_true", help="only say what there is to do")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    options = parser.parse_args(list(arguments))
    record.check_parts(run, options.parts, parts)
    chosen = {part: parts[part] for part in options.parts or parts}
    print(plan(run, chosen), flush=True)
    if options.plan:
        return 0
    with backend.use(options.device):
        for part, jobs in chosen.items():
            for job in jobs:
                with record.claimed(run, job.name) as mine:
                    if mine:
                        do(run, part, job)
    print(f"{run}: in {record.path(run)}")
    return 0


def plan(run, parts):
    """Each part: jobs, those that are done, and the hours on one core that the others take."""
    lines = [f"{run}: {'part':12} jobs  done  hours left on one core"]
    for part, jobs in parts.items():
        missing = [job for job in jobs if job.name not in record.made(run)]
        hours, done = sum(job.seconds for job in missing) / 3600, len(jobs) - len(missing)
        lines.append(f"{'':{len(run)}}  {part:12} {len(jobs):4} {done:5} {hours:8.1f}")
    return "\n".join(lines)


def do(run, part, job):
    """One job, and what is kept of it."""
    print(f"{run}: {job.name}", flush=True)
    start, code = time.perf_counter(), commit()
    numbers = job.function(*job.arguments)
    numbers |= {
        "wall seconds": round(time.perf_counter() - start, 1),
        "command": f"python -m minivit.course.runs {run} {part}",
        "commit": code,
    }
    record.keep(run, {job.name: numbers, "machine": record.machine()})


def best_rate(run, what, rates, score=lambda numbers: numbers["validation"]["top-1"], made=None):
    """The rate that validation liked best, of the jobs "rates WHAT RATE", which are all needed;
    made: {job: numbers}, None: what was made here."""
    made = record.made(run) if made is None else made
    tried = {rate: made.get(f"rates {what} {rate}") for rate in rates}
    if not all(tried.values()):
        raise OptionError(f"{run}: the rates of {what} come first: {run} rates")
    return max(tried, key=lambda rate: score(tried[rate]))


def commit(here=HERE):
    """The commit of the checkout, with a + if files other than kept results differ from it; ""
    where there is none."""

    def git(*arguments):
        said = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True)
        return said.stdout.strip()

    kept = [f":(top,exclude)data/{folder}" for folder in ("results", "models")]
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":(top)", *kept)
        return git("describe", "--always") + "+" * bool(changed)
    except OSError:
        return ""


def folder(run, name):
    """The folder of a job's checkpoints, $MINIVIT_BUILD/long or build/long."""
    return course.build_folder() / "long" / run / name


def train(run, name, model, batches, loss, steps, rate, decay=0.05, warmup=100, optimizer=None,
          evaluate=None, evaluate_every=None):  # fmt: skip
    """AdamW (or `optimizer`), warm-up and half a cosine, gradients clipped at 1; afterwards the
    model is in eval mode. Returns the numbers of the training: steps, its loss, processor seconds
    (over all interruptions)."""
    model.to(backend.default_device())
    optimizer = optimizer or AdamW(decay_groups(model, decay), lr=rate, betas=(0.9, 0.98))
    at = folder(run, name)
    trainer = Trainer(
        model, optimizer, batches, loss, schedule=lambda s: warmup_cosine(s, steps, warmup=warmup),
        clip=1.0, folder=at, save_every=SAVE_EVERY, evaluate=evaluate,
        evaluate_every=evaluate_every,
    )  # fmt: skip
    clock = at / "seconds.txt"
    before = float(clock.read_text()) if clock.is_file() else 0.0
    start = time.process_time()
    try:
        if trainer.step < steps:
            trainer.run(steps)
    finally:
        files.write_whole(clock, str(before + time.process_time() - start))
    model.eval()
    return {
        "steps": steps, "rate": rate, "parameters": model.count_parameters(),
        "loss": record.thinned(trainer.history["loss"], 40),
        "cpu seconds": round(float(clock.read_text()), 1),
        "watched": trainer.history["metrics"],
    }  # fmt: skip


def forget(run, name):
    """Remove a job's checkpoints, when it is done; of several ranks, when all are."""
    ranks.world().gather_facts(None)
    shutil.rmtree(folder(run, name), ignore_errors=True)
