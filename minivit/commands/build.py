"""minivit build: your functions in the place of the library's own, and models trained with them.

Of the exercises below those that pass their checks take part; what was not written yet is the
library's own. A ViT learns the digits; when all parts of CLIP are yours, a tiny CLIP learns them
from their names. Each is trained with the library alone as well, from the same weights and batches:
both accuracies are shown, and `runs/build.png` has both losses, step by step.

Exit status: 0 every answer that was begun takes part, 1 one of them is wrong, 2 none was begun.
"""

import ast
import contextlib
import os
import tempfile

from minivit.commands.shared import graded, home, number

PARTS = {  # function: where it works
    "unbroadcast": "every gradient that broadcasting made too large, in each training step",
    "layer_norm": "each LayerNorm, forward and backward, in each training step",
    "cross_entropy": "the loss and where its gradient begins, in each training step",
    "vit_input": "the ViT's test images, from pixels to tokens",
    "attention": "four layers of four heads, on the ViT's test images",
    "embedding": "CLIP's words, forward and backward, in each training step",
    "clip_loss": "CLIP's loss on test pairs",
    "zero_shot": "CLIP's answers to the test images",
}
CLIP_PARTS = ("layer_norm", "cross_entropy", "embedding", "clip_loss", "zero_shot")


def add_to(commands):
    parser = commands.add_parser("build", help="train a ViT with your functions in the library")
    parser.add_argument("--steps", type=number(1, kind=int), default=150, help="default: 150")
    parser.set_defaults(run=run)


@graded
def run(options):
    from minivit.grading.exercise import SubmissionError

    found, wrong = collected()
    if not found and not wrong:
        raise SubmissionError(
            f"nothing to build with: none of {', '.join(PARTS)} is written yet in "
            f"{home().resolve()}"
        )
    for name, (_, path, first, count) in found.items():
        print(f"{name:14} yours, {count} lines of {path.name} from line {first}: {PARTS[name]}")
    for name in PARTS:
        if name not in found and name not in wrong:
            print(f"{name:14} the library's own (not written yet)")
    for name, (exercise, points) in wrong.items():
        print(
            f"{name:14} the library's own: yours has {points:g}/10. Look at exercise "
            f"{exercise.number}: minivit check {exercise.number}"
        )
    from minivit.commands import built

    mine = {name: entry[0] for name, entry in found.items()}
    print()
    curves = {"ViT": _compared("ViT", built.vit, options.steps, mine)}
    waiting = [name for name in CLIP_PARTS if name not in mine]
    if waiting:
        print(f"The tiny CLIP waits for {', '.join(waiting)}.")
    else:
        curves["CLIP"] = _compared("CLIP", built.clip, options.steps, mine)
    if mine:
        print(f"Both losses, step by step: {built.drawn(curves, home() / 'runs' / 'build.png')}")
    return 1 if wrong else 0


def _compared(title, train, steps, mine):
    """Trains with the library alone, and with your functions; prints both accuracies. Gives
    {whose: losses}."""
    own = train(steps, {})
    print(f"{title}, the library alone: {own.accuracy:.1%} of the test digits after {steps} steps.")
    curves = {"the library alone": own.losses}
    if mine:
        yours = train(steps, mine)
        used = sum(name in mine for name in yours.parts)
        print(f"{title}, with your {used} of {len(yours.parts)} functions: {yours.accuracy:.1%}.")
        if abs(yours.accuracy - own.accuracy) > 0.02:
            print("They should be within 2%: rounding alone does not explain the difference.")
        if own.note:
            print(f"{title}, {own.note} (the library), {yours.note} (yours).")
        curves["with your functions"] = yours.losses
    return curves


def collected():
    """({function: (callable, file, first line, lines)} that pass, {function: (exercise, points)} of
    those that were begun and do not)."""
    from minivit.commands.check import newest
    from minivit.grading import judge, submission
    from minivit.grading.exercise import SubmissionError, find

    found, wrong = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = folder
        for name in PARTS:
            exercise = find(name)
            try:
                path = newest(exercise)
            except SubmissionError:
                continue  # no file
            answer = submission.read(path)
            verdict = judge.judge(exercise, answer)
            statuses = {o.status for o in verdict.outcomes}
            if statuses == {"pass"}:
                function, first, count = loaded(answer, name)
                found[name] = (function, path, first, count)
            elif statuses != {"todo"}:
                wrong[name] = (exercise, verdict.points)
    return found, wrong


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
