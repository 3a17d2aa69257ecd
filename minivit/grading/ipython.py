"""IPython's own commands in a cell, read as IPython reads them: `%time`, `!ls`, `attention?` ...

A cell that is plain Python stays as it is. Of another one IPython's transformer makes plain Python,
in which a command is a call of `get_ipython()`. If such a call would define names in a running
notebook, they are put in its place; the rest defines nothing.

This runs beside the judge, on text that may mean harm, and the transformer reads a cell anew for
each command in it: so the work is bounded before it begins.
"""

import ast
import re

from minivit.grading.exercise import SubmissionError

RUNS_ITS_BODY = {"time", "capture", "prun"}  # in the notebook's own namespace; %%timeit does not
COMMAND = re.compile(r"^[ \t]*(%|!|\?)|\?[ \t]*$|=[ \t]*[!%]|^[ \t]*>>> |\A\s+\S", re.M)
LONGEST = 100_000  # characters of a cell with commands; one without is not touched
MOST_WORK = 200_000  # characters times commands, of all cells together


def plain_cells(texts):
    """Cells as plain Python."""
    work = sum(len(t) * len(COMMAND.findall(t)) for t in texts if _has_commands(t))
    if work > MOST_WORK:
        raise SubmissionError("it holds too many commands of IPython (lines with %, ! or ?)")
    return list(map(plain, texts))


def plain(text):
    """A cell as plain Python. Other text stays as it is: its error has the student's line."""
    if len(text) > LONGEST:
        return text
    try:
        return _unwrapped(_transformed(text))
    except RecursionError:  # commands in commands
        return text


def _has_commands(text):
    return len(text) <= LONGEST and COMMAND.search(text) is not None and _tree(text) is None


def _transformed(text):
    if not _has_commands(text):
        return text
    try:
        from IPython.core.inputtransformer2 import TransformerManager
    except ImportError:
        raise SubmissionError(
            "a cell holds commands of IPython (a line with %, ! or ?), and to read them as a "
            "notebook does takes IPython: pip install ipython"
        ) from None
    try:
        return TransformerManager().transform_cell(text)
    except Exception:  # no Python, too many commands
        return text


def _tree(text):
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _unwrapped(text):
    """Without calls of get_ipython(): the code in them stays, with its line where that is one."""
    if "get_ipython()" not in text:
        return text
    tree = _tree(text)
    if tree is None:
        return text
    lines = text.split("\n")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Expr) or node.end_lineno != node.lineno:
            continue
        kind, arguments = _command(node.value)
        if kind is None:
            continue
        name, code = arguments[0].partition(" ")[0], "None"
        if name in RUNS_ITS_BODY and kind == "run_cell_magic":
            code = "\n" + plain(arguments[2])  # its first line was the command
        elif name == "time" and kind == "run_line_magic" and _tree(arguments[1]) is not None:
            code = arguments[1]
        line = lines[node.lineno - 1].encode()
        before, after = line[: node.col_offset].decode(), line[node.end_col_offset :].decode()
        lines[node.lineno - 1] = before + code + after
    return "\n".join(lines)


def _command(node):
    """(method, its arguments) of a call of get_ipython() with text, or (None, ())."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "get_ipython()"
        and all(isinstance(a, ast.Constant) and isinstance(a.value, str) for a in node.args)
    ):
        return node.func.attr, [a.value for a in node.args] + ["", "", ""]
    return None, ()
