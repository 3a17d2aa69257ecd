"""A student's notebook as plain text: what is handed on to a browser holds no markup of theirs.

nbgrader's formgrader shows an autograded notebook as a page, with the teacher's rights, and passes
HTML in a text cell through: a student's script would run. So after nbgrader has saved the points,
each text cell becomes a block of code, which every renderer escapes; attachments, outputs other
than plain text, and all metadata that nbgrader itself does not need are left out.
"""

import re

from minivit.grading.process.child import printable

NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
KEPT = {"grade": bool, "solution": bool, "locked": bool, "task": bool, "points": (int, float),
        "schema_version": int, "grade_id": str, "checksum": str, "cell_type": str}  # fmt: skip
LANGUAGE = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def neutral(notebook):
    """Change a notebook of nbformat in place: the same cells, nothing that a browser obeys."""
    from nbformat import from_dict

    notebook.metadata = from_dict(LANGUAGE)
    for number, cell in enumerate(notebook.cells):
        text = cell.cell_type != "code"
        kept = {k: cell[k] for k in ("cell_type", "source", "execution_count") if k in cell}
        kept["metadata"] = _metadata(cell.metadata)
        if notebook.nbformat_minor >= 5:
            kept["id"] = f"cell-{number}"
        if text:  # a raw cell too, whose content a page would hold as it is
            kept |= {"cell_type": "markdown", "source": as_code(str(cell.source))}
            kept.pop("execution_count", None)
        else:
            count = kept.get("execution_count")
            kept["execution_count"] = count if type(count) is int else None
            kept["outputs"] = [o for o in map(_output, cell.get("outputs", ())) if o]
        notebook.cells[number] = from_dict(kept)
    return notebook


def as_code(text):
    """Markdown that shows `text` as it is: a fence longer than any in it."""
    if not text.strip():
        return ""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{printable(text)}\n{fence}"


def _metadata(metadata):
    """Of nbgrader's own what is of the right kind; of the rest, nothing."""
    own = metadata.get("nbgrader")
    if not isinstance(own, dict):
        return {}
    kept = {k: own[k] for k, kind in KEPT.items() if isinstance(own.get(k), kind)}
    texts = [kept[k] for k in ("grade_id", "checksum", "cell_type") if k in kept]
    if "grade_id" not in kept or not all(map(NAME.fullmatch, texts)):
        return {}
    return {"nbgrader": kept}


def _output(output):
    """An output as plain text; None where it has none."""
    kind = output.get("output_type")
    if kind == "stream":
        return {"output_type": kind, "name": "stdout", "text": printable(str(output.text))}
    if kind == "error":
        shown = {k: printable(str(output.get(k, ""))) for k in ("ename", "evalue")}
        lines = [printable(str(line)) for line in output.get("traceback", ())]
        return {"output_type": kind, **shown, "traceback": lines}
    plain = output.get("data", {}).get("text/plain")
    if plain is None:
        return None
    return {"output_type": "execute_result", "execution_count": 1, "metadata": {},
            "data": {"text/plain": printable(str(plain))}}  # fmt: skip


def step():
    """The class Neutral for nbgrader, made here so that this file can be read without it."""
    from nbgrader.preprocessors import NbGraderPreprocessor

    class Neutral(NbGraderPreprocessor):
        """Runs last, after the points are saved."""

        def preprocess(self, nb, resources):
            return neutral(nb), resources

    return Neutral
