"""The exercises on Gradescope: an autograder zip, and what runs there.

    minivit release --gradescope autograder.zip            # one assignment, all exercises
    minivit release --gradescope attention.zip --only 2    # one assignment, one exercise

The zip holds `setup.sh`, which makes an environment with the packages of the machine that wrote
the zip, in the same versions; `run_autograder`; and minivit, which needs no installation. There,

    python -m minivit.grading.teachers.gradescope SUBMISSION results.json SEED EXERCISE ...

judges with the inputs of grading. results.json is written before the first check and after each
one, so a run that Gradescope's clock ends keeps the points so far.

The format: gradescope-autograders.readthedocs.io, "Autograder Specifications".
"""

import json
import os
import sys
import tempfile
import time
import zipfile
from importlib import metadata
from pathlib import Path

from minivit import files
from minivit.files import write_whole
from minivit.grading import judge, submission
from minivit.grading.exercise import SubmissionError, find, registry
from minivit.grading.teachers import handed_in
from minivit.grading.teachers.layouts import Person

NEEDED = ("numpy", "hypothesis")  # that the judge imports
READS_CELLS = (
    "ipython",
)  # notebooks with commands (%time, !ls); without it such a cell is refused
SETUP = """#!/usr/bin/env bash
# Gradescope runs this once, as root, when the autograder is built. AUTOGRADER names another folder
# than /autograder (for a try on your own machine), PIP_INDEX_URL another package index.
set -e
cd "${AUTOGRADER:-/autograder}/source"
for python in python3.13 python3.12 python3.11 python3; do
  if "$python" -c "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then
    break
  fi
  python=
done
if [ -z "$python" ]; then
  python=python3.11
  apt-get update && apt-get install -y python3.11 python3.11-venv
fi
"$python" -m venv venv
venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt
"""
RUN = """#!/usr/bin/env bash
# Gradescope runs this for every submission.
cd "${{AUTOGRADER:-/autograder}}"
export PYTHONPATH="$PWD/source" OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
exec source/venv/bin/python -m minivit.grading.teachers.gradescope \\
  submission results/results.json {seed} {numbers}
"""


# -- the zip ---------------------------------------------------------------------------------------
def bundle(out, only, seed):
    """Write the autograder zip `out` for the exercises `only` (all, if empty); how many."""
    out = Path(out)
    if out.exists():
        raise SubmissionError(f"{out} is there already: name another file, or remove it")
    numbers = [find(name).number for name in only] or list(registry())
    package = Path(__file__).parents[2]
    there = {d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]}
    names = [*NEEDED, *(name for name in READS_CELLS if name in there)]
    requirements = "".join(f"{name}=={metadata.version(name)}\n" for name in names)
    with (
        files.writing_whole(out) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        _add(archive, "setup.sh", SETUP, executable=True)
        run = RUN.format(seed=seed, numbers=" ".join(map(str, numbers)))
        _add(archive, "run_autograder", run, executable=True)
        _add(archive, "requirements.txt", requirements)
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package.parent).as_posix()
            _add(archive, name, path.read_text(encoding="utf-8"))
    return len(numbers)


def _add(archive, name, text, executable=False):
    entry = zipfile.ZipInfo(name)  # dated 1980: the same course gives the same zip
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o755 if executable else 0o644) << 16
    archive.writestr(entry, text)


# -- results.json ----------------------------------------------------------------------------------
def content(exercises, verdicts, notes=(), seconds=None):
    """The content of results.json: a test a property. `verdicts`: {exercise number: Verdict}."""
    tests = []
    for e in exercises:
        verdict = verdicts.get(e.number) or judge.new_verdict(e, "")
        for i, o in enumerate(verdict.outcomes, 1):
            parts = [o.sentence, f"known mistake: {o.mistake}" if o.mistake else ""]
            why = "\n".join(filter(None, parts)) or verdict.trouble
            if o.status == "waiting" and not why:
                why = "not judged yet" if e.number in verdicts else "not handed in"
            tests.append({
                "name": f"{e.title}: {o.title}", "number": f"{e.number}.{i}", "score": o.points,
                "max_score": o.max_points, "status": "passed" if o.status == "pass" else "failed",
                "output": why, "output_format": "text", "visibility": "visible",
            })  # fmt: skip
    found = {"tests": tests, "visibility": "visible"}
    if notes:
        found |= {"output": "\n".join(notes), "output_format": "text"}
    if seconds is not None:
        found["execution_time"] = round(seconds)
    return found


def text(found):
    """The text of a results.json."""
    return json.dumps(found, indent=1) + "\n"


def grade(folder, results, exercises, seed):
    """Judge what lies in `folder`; `results` is replaced before the first check and after each.
    Of several files for one exercise, the one that earns most counts."""
    start, notes, verdicts = time.monotonic(), [], {}

    def save(verdict=None):
        if verdict is not None:
            best = verdicts.get(verdict.exercise)
            if best is None or verdict.points >= best.points:
                verdicts[verdict.exercise] = verdict
        found = content(exercises, verdicts, notes, time.monotonic() - start)
        write_whole(results, text(found))

    save()
    with tempfile.TemporaryDirectory() as scratch:
        there = handed_in.one(Person("", given=[(Path(folder), "handed in")]), Path(scratch), {})
        notes += [*there.notes, *there.remarks]
        here = [e for e in exercises if e.stem in there.answers]
        verdicts |= {e.number: judge.new_verdict(e, e.stem) for e in here}
        save()
        for e in here:
            earned = []
            for answer in there.answers[e.stem]:
                verdict = judge.judge(e, submission.read(answer.path), seed=seed, results=save)
                earned.append(f"{answer.name} gives {verdict.points:g} points")
            if len(earned) > 1:
                notes.append(f"{e.stem}: {len(earned)} files, the best counts: {', '.join(earned)}")
        save()
    return verdicts


def main():
    folder, results, seed, *names = sys.argv[1:]
    exercises = [find(name) for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = scratch
        verdicts = grade(folder, results, exercises, int(seed))
    points = sum(v.points for v in verdicts.values())
    print(f"{points:g} of {sum(e.points for e in exercises):g} points; {results} is written")


if __name__ == "__main__":
    main()
