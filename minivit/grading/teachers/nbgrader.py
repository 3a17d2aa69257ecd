"""The exercises in nbgrader: a course folder, and the judge in the place of nbgrader's kernel.

    minivit release --nbgrader COURSE       # in the repository: pip install -e ".[nbgrader]"
    cd COURSE
    nbgrader generate_assignment 17_layer_norm
    nbgrader autograde 17_layer_norm

nbgrader runs a submission in a kernel with the teacher's rights, and the grading cell in the same
kernel: a student's code may read the solutions and replace `check`. In this course folder no cell
is run. `Judge` takes the place of nbgrader's `Execute`: it hands the notebook's code to the same
judge as `minivit grade`, with the same inputs, and writes report and points under the cell
`check(...)`, where nbgrader reads a number as partial credit.
"""

import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

from minivit import files
from minivit.grading import judge, report, starter, submission
from minivit.grading.exercise import SubmissionError, find, registry
from minivit.grading.teachers import markup

CONFIG = '''"""nbgrader in this folder: minivit's judge grades, no cell of a student is run."""

from minivit.grading.teachers.nbgrader import configure

c = get_config()
c.CourseDirectory.course_id = "minivit"
configure(c, seed={seed})
'''
STUB = 'raise TodoError("This place is still to be written: its page says what.")'
CHECK = re.compile(r'(?:from minivit\.grading import check\s+)?check\("(\w+)", globals\(\)\)')


def course(exercises, out, seed):
    """Write the course folder `out` from the folder `exercises`: one assignment an exercise, with
    the solution in source/, which nbgrader keeps from the students; their names."""
    exercises, out = Path(exercises), Path(out)
    if not (exercises / "source").is_dir():
        raise SubmissionError(
            f"{exercises} has no folder source/ with the solutions: a course folder for nbgrader "
            "is made in the repository of the course. --exercises names the folder there"
        )
    if out.exists() and any(out.iterdir()):
        raise SubmissionError(f"{out} is not empty: name another folder")
    stems = [e.stem for e in registry().values()]
    for stem in stems:
        folder = out / "source" / stem
        source = (exercises / "source" / f"{stem}.py").read_text(encoding="utf-8")
        text = starter.nbgrader_source(source)
        files.write_whole(folder / f"{stem}.ipynb", text)
        shutil.copyfile(exercises / f"{stem}.md", folder / f"{stem}.md")
    config = CONFIG.format(seed=seed)
    files.write_whole(out / "nbgrader_config.py", config)
    return stems


def configure(config, seed):
    """The settings of `nbgrader_config.py`: the judge's own stubs, and the judge for the kernel."""
    from nbgrader.converters import Autograde

    steps = Autograde.class_traits()["autograde_preprocessors"].default()
    names = [step.__name__ for step in steps]
    if "Execute" not in names:
        raise SubmissionError(f"this nbgrader has no step Execute to replace, only {names}")
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = "*Your answer.*"
    config.Autograde.autograde_preprocessors = [
        judge_step(seed) if step.__name__ == "Execute" else step for step in steps
    ] + [markup.step()]


def judge_step(seed):
    """The class Judge, made here so that this file can be read without nbgrader."""
    from nbgrader.preprocessors import NbGraderPreprocessor
    from nbgrader.utils import is_grade

    class Judge(NbGraderPreprocessor):
        """Puts points under each cell `check(...)`; runs no cell."""

        def preprocess(self, nb, resources):
            for cell in nb.cells:
                if cell.cell_type == "code":
                    cell.outputs = outputs(nb, cell.source, seed) if is_grade(cell) else []
            return nb, resources

    return Judge


def outputs(notebook, source, seed):
    """The outputs of a grading cell: report and points, or an error, which is worth 0 points."""
    import nbformat
    from nbformat.v4 import new_output

    called = CHECK.fullmatch(source.strip())
    if not called:
        why = "This cell is no check(...): minivit's judge runs no other cells. Grade it by hand."
        logging.getLogger("traitlets").error(why)
        return [new_output("error", ename="SubmissionError", evalue=why, traceback=[why])]
    verdict = verdict_on(nbformat.writes(notebook, version=4), called[1], seed)
    return [
        new_output("stream", name="stdout", text=report.report(verdict, public=False)),
        new_output("execute_result", {"text/plain": f"{verdict.points:g}"}, execution_count=1),
    ]


def verdict_on(text, exercise, seed):
    """The Verdict of grading on the code of a notebook, given as its JSON."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        path = Path(folder, "notebook.ipynb")
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return judge.judge(find(exercise), submission.read(path), seed=seed)
