"""minivit build: your functions in the place of the library's own, and a ViT trained with them.

Of the exercises below those that pass their checks take part; what was not written yet is the
library's own. Training runs through `layer_norm`, `cross_entropy` (both passes) and `unbroadcast`;
the test images go through `vit_input` and `attention` as well. The same model is trained with the
library alone, from the same weights and batches, and both accuracies are shown.

Exit status: 0 every answer that was begun takes part, 1 one of them is wrong.
"""

import ast
import contextlib
import inspect
import os
import tempfile
from unittest import mock

import numpy as np

from minivit.commands.shared import graded, number

PARTS = {  # function: where it works
    "unbroadcast": "every gradient that broadcasting made too large, in each training step",
    "layer_norm": "nine LayerNorms, forward and backward, in each training step",
    "cross_entropy": "the loss and where its gradient begins, in each training step",
    "vit_input": "from the test images to tokens",
    "attention": "four layers of four heads, on the test images",
}


def add_to(commands):
    parser = commands.add_parser("build", help="train a ViT with your functions in the library")
    parser.add_argument("--steps", type=number(1, kind=int), default=150, help="default: 150")
    parser.set_defaults(run=run)


@graded
def run(options):
    found, wrong = collected()
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
    own = trained(options.steps, {})
    print(f"\nThe library alone: {own:.1%} of the test digits after {options.steps} steps.")
    if found:
        yours = trained(options.steps, {name: entry[0] for name, entry in found.items()})
        print(f"With your {len(found)} of {len(PARTS)} functions: {yours:.1%}.")
        if abs(yours - own) > 0.02:
            print("They should be within 2%: rounding alone does not explain the difference.")
    return 1 if wrong else 0


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


# -- in the library --------------------------------------------------------------------------------
def trained(steps, functions, seed=0):
    """The test accuracy of a small ViT on the digits, trained with these functions in place."""
    import minivit
    from minivit.models.vit import ViT
    from minivit.optim import AdamW, decay_groups, warmup_cosine
    from minivit.training import data
    from minivit.training.trainer import Trainer, accuracy

    digits = data.digits()
    minivit.manual_seed(seed)
    model = ViT(image=8, patch=2, channels=1, classes=10, width=64, layers=4, heads=4)
    batches = data.Batches(digits.train_images, digits.train_labels, batch_size=64, seed=seed)
    optimizer = AdamW(decay_groups(model, weight_decay=0.05), lr=3e-3)
    with in_training(functions) as loss:
        more = {} if loss is None else {"loss": lambda m, x, labels: loss(m(x), labels=labels)}
        schedule = lambda step: warmup_cosine(step, steps, warmup=min(50, steps // 3))  # noqa: E731
        Trainer(model, optimizer, batches, schedule=schedule, clip=1.0, **more).run(
            steps, progress=False
        )
        with in_testing(functions, model):
            return accuracy(model, digits.test_images, digits.test_labels)


@contextlib.contextmanager
def in_training(functions):
    """The library with `unbroadcast` and `layer_norm` replaced; gives the loss, or None."""
    from minivit import OPS
    from minivit import functions as F
    from minivit.engine import graph
    from minivit.engine.record import op

    before = dict(OPS)
    with contextlib.ExitStack() as stack:
        loss = None
        if "unbroadcast" in functions:
            mine = functions["unbroadcast"]
            stack.enter_context(
                mock.patch.object(graph, "unbroadcast", lambda g, s: mine(g, list(s)))
            )
        try:
            if "layer_norm" in functions:
                stack.enter_context(
                    mock.patch.object(F, "layer_norm", _layer_norm(op, functions["layer_norm"]))
                )
            if "cross_entropy" in functions:
                loss = _loss(op, functions["cross_entropy"])
            yield loss
        finally:  # the registry names the library's own
            OPS.clear()
            OPS.update(before)


def _layer_norm(op, mine):
    @op
    def your_layer_norm(x, gamma, beta, /, eps=1e-5):
        return mine(x, gamma, beta, eps)

    return your_layer_norm


def _loss(op, mine):
    @op
    def your_cross_entropy(z, /, labels):
        loss, vjp = mine(z, labels)
        return np.asarray(loss, z.dtype), lambda g: vjp(g)[0]

    return your_cross_entropy


@contextlib.contextmanager
def in_testing(functions, model):
    """The forward pass of the test images through `vit_input` and `attention`."""
    from minivit import Tensor
    from minivit.attention import multihead

    with contextlib.ExitStack() as stack:
        if "vit_input" in functions:
            parts = [
                p.numpy() for p in (model.projection.weight, model.projection.bias,
                                    model.class_token, model.position)
            ]  # fmt: skip
            weight, bias, cls, position = parts[0], parts[1], parts[2][0, 0], parts[3][0]

            def tokens(images):
                made = functions["vit_input"](
                    images.numpy(), weight, bias, cls, position, model.patch
                )
                return Tensor(made)

            stack.enter_context(mock.patch.object(model, "tokens", tokens))
        if "attention" in functions:
            library = multihead.self_attention
            known = inspect.signature(library).parameters

            def attend(qkv, heads=1, causal=False, **how):
                assert set(how) <= set(known)
                if any(value is not None and value != 0 for value in how.values()):
                    return library(qkv, heads=heads, causal=causal, **how)  # a mask, another scale
                rows = zip(*np.split(qkv.numpy(), 3, axis=-1))
                return Tensor(
                    np.stack([functions["attention"](q, k, v, heads, causal) for q, k, v in rows])
                )

            stack.enter_context(mock.patch.object(multihead, "self_attention", attend))
        yield
