"""Makes the student's files from the source that holds the solution.

    python -m minivit.grading.starter exercises

reads `exercises/source/NN_function.py` and writes the starters `exercises/NN_function.py` and
`.ipynb`. A region between BEGIN SOLUTION and END SOLUTION, whose first line is `# Task: ...`,
becomes a TodoError of that task; in a text cell, it becomes a line that asks for the answer.
"""

import json
import re
import sys
import textwrap
from pathlib import Path

from minivit import files
from minivit.grading.exercise import SubmissionError, registry

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def without_solutions(source, exercise):
    """The source's text with each solution region replaced by its stub."""
    lines, task = [], None
    inside = in_text = False
    for number, line in enumerate(source.split("\n"), 1):
        if line.startswith("# %%"):
            in_text = "[markdown]" in line
        if line.strip().removeprefix("# ") == BEGIN:
            inside, task, indent = True, None, line[: line.index("#")]
        elif line.strip().removeprefix("# ") == END:
            if in_text:
                lines.append("# *Your answer.*")
            else:
                lines += _stub(exercise.todo(task), indent)
            inside = False
        elif inside and task is None and not in_text:
            if not line.strip().startswith("# Task: "):
                raise SubmissionError(
                    f"line {number} of the source of {exercise.stem}: expected '# Task: ...' as "
                    f"the first line of a solution, got {line.strip()!r}"
                )
            task = line.strip().removeprefix("# Task: ")
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


def _stub(message, indent):
    parts = textwrap.wrap(message, 99 - len(indent) - len("    ''") - 1, drop_whitespace=False)
    quoted = [f"{indent}    {json.dumps(part)}" for part in parts]
    return [f"{indent}raise TodoError(", *quoted, f"{indent})"]


def script(source, exercise):
    """The starter as a .py file: no metadata in the cells' headers."""
    text = without_solutions(source, exercise)
    return re.sub(r"^# %%( \[markdown\])?.*$", r"# %%\1", text, flags=re.M)


def notebook(source, exercise):
    """The starter as an .ipynb file: nbgrader's metadata kept, no outputs."""
    return _as_notebook(without_solutions(source, exercise))


def nbgrader_source(source):
    """The whole source as a notebook that `nbgrader generate_assignment` reads."""
    return _as_notebook(source)


def _as_notebook(text):
    import jupytext

    book = jupytext.reads(text, fmt="py:percent")
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    book.nbformat, book.nbformat_minor = 4, 5
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader.cell_type = cell.cell_type
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def starters(folder):
    """{path: text} of all students' files that belong into the exercises' `folder`."""
    made = {}
    for exercise in registry().values():
        source = Path(folder, "source", f"{exercise.stem}.py").read_text(encoding="utf-8")
        made[Path(folder, f"{exercise.stem}.py")] = script(source, exercise)
        made[Path(folder, f"{exercise.stem}.ipynb")] = notebook(source, exercise)
    return made


def main():
    for path, text in starters(sys.argv[1]).items():
        files.write_whole(path, text)
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
