"""minivit build: your functions in the place of the library's own, and models trained with them.

Every exercise that passes its checks takes part; what was not written yet is the library's own. A
ViT learns the digits; when all parts of CLIP are yours, a tiny CLIP learns them from their names.
Each is trained with the library alone as well, from the same weights and batches: both accuracies
are shown, and `runs/build.png` has both losses, step by step. A function that neither of the two
calls is asked beside the library's own: its numbers are compared.

Exit status: 0 every answer that was begun takes part, 1 one of them is wrong, 2 none was begun.
"""

import ast
import contextlib
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minivit.commands.shared import columns, graded, home, number

WIDTH = 96

IN_A_RUN = {  # function: where it works
    "unbroadcast": "every gradient that broadcasting made too large, in each training step",
    "layer_norm": "each LayerNorm, forward and backward, in each training step",
    "cross_entropy": "the loss and where its gradient begins, in each training step",
    "adamw_step": "what each training step changes, all parameters at once",
    "attention_gradient": "the ViT's last layer, both passes, in each training step",
    "vit_input": "the ViT's test images, from pixels to tokens",
    "attention": "four layers of four heads, on the ViT's test images",
    "embedding": "CLIP's words, forward and backward, in each training step",
    "clip_loss": "CLIP's loss on test pairs",
    "chunked_loss": "the same loss, three images at a time",
    "zero_shot": "CLIP's answers to the test images",
}
CLIP_PARTS = ("layer_norm", "cross_entropy", "embedding", "clip_loss", "zero_shot")


def add_to(commands):
    parser = commands.add_parser("build", help="train a ViT with your functions in the library")
    parser.add_argument("--steps", type=number(1, kind=int), default=150, help="default: 150")
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.commands import beside
    from minivit.grading.exercise import SubmissionError, registry

    parts = [exercise.function for exercise in registry().values()]
    mine, wrong, missing, setting = {}, [], [], None
    for name, found in collected(parts):
        if isinstance(found, Passed):
            setting = setting or beside.the_setting()
            wrong += [] if shown(name, found, setting) else [name]
            mine[name] = found.function
        elif found is None:
            missing.append(name)
        else:
            wrong.append(name)
            _say(name, f"the library's own: yours has {found:g}/10. {_look_at(name)}")
        sys.stdout.flush()
    if len(missing) == len(parts):
        raise SubmissionError(
            f"nothing to build with: no exercise is written yet in {home().resolve()}. Write one, "
            "and then: minivit build"
        )
    if missing:
        text = f"Not written yet, and the library's own: {', '.join(missing)}."
        print("", *textwrap.wrap(text, columns(WIDTH)), sep="\n")
    from minivit.commands import built

    print()
    curves = {"ViT": _compared("ViT", built.vit, options.steps, mine)}
    waiting = [name for name in CLIP_PARTS if name not in mine]
    if waiting:
        print(f"The tiny CLIP waits for {', '.join(waiting)}.")
    else:
        curves["CLIP"] = _compared("CLIP", built.clip, options.steps, mine)
    if set(mine) & set(IN_A_RUN):
        print(f"Both losses, step by step: {built.drawn(curves, home() / 'runs' / 'build.png')}")
    return 1 if wrong else 0


def _compared(title, train, steps, mine):
    """Trains with the library alone, and with your functions; prints both accuracies. Gives
    {whose: losses}."""
    own = train(steps, {})
    print(f"{title}, the library alone: {own.accuracy:.1%} of the test digits after {steps} steps.")
    curves = {"the library alone": own.losses}
    used = sum(name in mine for name in own.parts)
    if used:
        yours = train(steps, mine)
        print(f"{title}, with your {used} of {len(yours.parts)} functions: {yours.accuracy:.1%}.")
        if abs(yours.accuracy - own.accuracy) > 0.02:
            print("They should be within 2%: rounding alone does not explain the difference.")
        if own.note:
            print(f"{title}, {own.note} (the library), {yours.note} (yours).")
        curves["with your functions"] = yours.losses
    return curves


def shown(name, found, setting):
    """Prints whose function this is and what became of it; False where it is not the library's."""
    from minivit.commands import beside

    head = f"yours, {found.lines} lines of {found.path.name} from line {found.first}:"
    if name in IN_A_RUN:
        _say(name, f"{head} {IN_A_RUN[name]}")
        return True
    what = beside.COMPARED[name][0]
    try:
        gap = beside.gap(name, found.function, setting)
    except Exception as error:  # it passed its checks, and meets these numbers for the first time
        _say(name, f"{head} {what}: {type(error).__name__}: {error}. {_look_at(name)}")
        return False
    if gap <= beside.CLOSE:
        _say(name, f"{head} {what}: the library's own numbers")
        return True
    _say(name, f"{head} {what}: {gap:.1g} beside the library's own numbers. {_look_at(name)}")
    return False


def _say(name, text):
    indent = " " * 19
    print("\n".join(textwrap.wrap(f"{name:18} {text}", columns(WIDTH), subsequent_indent=indent)))


def _look_at(name):
    from minivit.grading.exercise import find

    number = find(name).number
    return f"Look at exercise {number}: minivit check {number}"


@dataclass
class Passed:
    """A student's function that has all points, and where it stands."""

    function: Callable
    path: Path
    first: int
    lines: int


def collected(names):
    """(function, found) of each, when it is judged: Passed, its points where it was begun and does
    not pass, None where it was not begun."""
    from minivit.commands.check import newest
    from minivit.grading import judge, submission
    from minivit.grading.exercise import SubmissionError, find

    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        for name in names:
            exercise = find(name)
            try:
                path = newest(exercise)
            except SubmissionError:
                yield name, None  # no file
                continue
            answer = submission.read(path)
            if untouched(answer, name):
                yield name, None
                continue
            verdict = judge.judge(exercise, answer)
            statuses = {o.status for o in verdict.outcomes}
            if statuses == {"pass"}:
                function, first, lines = loaded(answer, name)
                yield name, Passed(function, path, first, lines)
            else:
                yield name, None if statuses == {"todo"} else verdict.points


def untouched(answer, name):
    """True if the function begins with its TodoError: there is nothing to judge."""
    for _, _, text in answer.cells:
        with contextlib.suppress(SyntaxError, ValueError):
            for node in ast.parse(text).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    first = node.body[1:2] if ast.get_docstring(node) else node.body[:1]
                    return bool(first) and ast.unparse(first[0]).startswith("raise TodoError(")
    return False


def loaded(answer, name):
    """(the student's function, its first line, how many) in this process: it has been judged, and
    it is the student's own machine."""
    from minivit.grading.process import child

    statements, namespace = [], {"__name__": "answer"}
    for label, line, text in answer.cells:
        with contextlib.suppress(SyntaxError):
            tree = ast.parse("\n" * (line - 1) + text, label)
            statements += [child.Statement(label, node) for node in tree.body]
    first = count = 0
    for statement in child.choose(statements, name):
        node = statement.node
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("minivit"):
            continue
        exec(compile(ast.Module([node], []), statement.label, "exec"), namespace)
        if getattr(node, "name", "") == name:
            first, count = node.lineno, node.end_lineno - node.lineno + 1
    return namespace[name], first, count
