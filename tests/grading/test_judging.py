"""The judge judges truly: kinds of wrong answers that had points, and of right ones that had none.

Each kind is asked of every exercise, by changing its solution; whatever the seed.
"""

import os
import re
from pathlib import Path

import pytest

from minivit.grading import judge, properties, submission
from minivit.grading.exercise import find, registry
from tests import answers
from tests.grading import here

FOLDER = Path(__file__).parents[2] / "exercises" / "source"
SEED = 3  # a second one beside 0, the same in all tests: its inputs are made once
EXERCISES = list(registry().values())
BY_NAME = [e.function for e in EXERCISES]
INTEGERS = ("merge_pair", "pixel_sequence", "hide_tokens", "parameter_counts")
WITH_VJP = [e.function for e in EXERCISES if len(e.outputs) > 1]
nightly = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly", reason="runs where it has the time"
)


def source(exercise):
    return (FOLDER / f"{exercise.stem}.py").read_text("utf-8")


def around(exercise, wrapper):
    """The solution under another name, and a function of its own name around it."""
    name = exercise.function
    text = re.sub(rf"^def {name}\(", "def solution(", source(exercise), flags=re.M)
    return text.partition("# %% [markdown]\n# ## Try it")[0] + "\n" + wrapper.replace("NAME", name)


def lost(exercise, text, seed=0):
    """The titles of the properties that an answer does not have."""
    pairs = zip(exercise.properties, here.passed(exercise, text, seed))
    return [p.title for p, good in pairs if not good]


# -- the rules of the house, in every exercise -----------------------------------------------------
WRITES = """
def NAME(*args):
    result = solution(*args)
    for a in args:
        if isinstance(a, np.ndarray) and a.size:
            a[...] = ~a if a.dtype == bool else a + 1
        elif isinstance(a, list) and a:
            a.append(a[0])
    return result
"""
BUFFER = """
KEPT = {}
def NAME(*args):
    result = solution(*args)
    value = result[0] if isinstance(result, tuple) else result
    kept = KEPT.setdefault((value.shape, value.dtype.str), np.empty(value.shape, value.dtype))
    kept[...] = value
    return (kept, result[1]) if isinstance(result, tuple) else kept
"""
COUNTS = """
CALLS = []
def NAME(*args):
    CALLS.append(1)
    result = solution(*args)
    return result if len(CALLS) < 2 else RESULT
""".replace("RESULT", "(result[0] + 1, result[1]) if isinstance(result, tuple) else result + 1")
SHARES = """
def NAME(*args):
    result = solution(*args)
    for a in args:
        if isinstance(a, np.ndarray) and a.shape == result.shape and np.array_equal(a, result):
            return a
    return result
"""


# with an array among its arguments
@pytest.mark.parametrize("name", [n for n in BY_NAME if n != "parameter_counts"])
def test_an_answer_that_writes_into_its_arguments_loses_that_point_only(name):
    found = lost(find(name), around(find(name), WRITES))
    assert properties.ALONE in found and (len(found) == 1 or name in WITH_VJP)


@pytest.mark.parametrize("name", BY_NAME)
def test_an_array_that_later_calls_use_again_is_seen(name):
    assert properties.ALONE in lost(find(name), around(find(name), BUFFER))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_result_that_depends_on_earlier_calls_is_seen(name):
    assert lost(find(name), around(find(name), COUNTS))


CAN_RETURN_AN_ARGUMENT = ["unbroadcast", "merge_pair", "resize_positions", "attention",
                          "cached_attention", "cross_attention"]  # fmt: skip


@pytest.mark.parametrize("name", CAN_RETURN_AN_ARGUMENT)
def test_an_argument_that_comes_back_is_no_new_array(name):
    assert lost(find(name), around(find(name), SHARES)) == [properties.ALONE]


VJP = """
STATE = {}
def NAME(*args):
    y, vjp = solution(*args)
    STATE["vjp"] = vjp
    def mine(g):
        BODY
    return y, mine
"""


@pytest.mark.parametrize("name", WITH_VJP)
@pytest.mark.parametrize(
    "body",
    ["return STATE['vjp'](g)", "return STATE.pop(id(mine), vjp)(g) if STATE.setdefault(id(vjp), 0)"
     " == 0 and not STATE.update({id(vjp): 1}) else vjp(2 * g)"],
    ids=["a global", "half freed"],
)  # fmt: skip
def test_a_vjp_that_reads_a_global_or_works_once_is_seen(name, body):
    text = around(find(name), VJP.replace("BODY", body))
    assert properties.ALONE in lost(find(name), text)


@pytest.mark.parametrize("name", [n for n in BY_NAME if n not in INTEGERS])
def test_float64_and_float32_are_kept(name):
    exercise = find(name)
    for kind in ("float32", "float64"):
        cast = (
            f"(np.asarray(result[0], np.{kind}), result[1]) if isinstance(result, tuple) else "
            f"np.asarray(result, np.{kind})"
        )
        text = around(exercise, f"\ndef NAME(*a):\n    result = solution(*a)\n    return {cast}\n")
        if kind == "float32" or name != "chain_rule":
            assert lost(exercise, text), kind


DIGITS = {  # the result, or what came in, was float32 for a while
    "the result": "result = solution(*a)",
    "what came in": "result = solution(*[coarse(x) for x in a])",
}


@pytest.mark.parametrize("name", [n for n in BY_NAME if n not in INTEGERS])
@pytest.mark.parametrize("where", DIGITS)
def test_float64_with_the_digits_of_float32_loses_points(name, where):
    """Rounded on the way and float64 again: small whole numbers do not show it."""
    back = "coarse(result)" if where == "the result" else "result"
    exercise = find(name)
    text = around(
        exercise,
        f"""
def coarse(x):
    if isinstance(x, tuple):
        return coarse(x[0]), x[1]
    is_float = isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind == "f"
    return x.astype(np.float32).astype(x.dtype) if is_float else x
def NAME(*a):
    {DIGITS[where]}
    return {back}
""",
    )
    if name == "chain_rule" and where == "what came in":
        pytest.skip("its arguments are lists")
    assert lost(exercise, text)


def test_a_call_in_between_that_is_no_allowed_input_costs_nothing():
    """Of plain Python numbers a division by 0 raises; an input of other calls may hold zeros."""
    text = around(
        find("zero_shot"),
        """
def NAME(images, texts, scale):
    if not (images * images).sum(axis=1).all():
        raise ZeroDivisionError
    return solution(images, texts, scale)
""",
    )
    assert lost(find("zero_shot"), text) == []


def test_the_dtype_is_judged_without_the_values():
    exercise = find("clip_loss")
    text = around(exercise, "\ndef NAME(*a):\n    return solution(*a) * a[0].dtype.type(2)\n")
    assert properties.DTYPE not in lost(exercise, text)


# -- what had points, by the exercise's old numbers ------------------------------------------------
OLD_HOLES = {
    "chain_rule: breadth first": ("chain_rule", """
import numpy as np
def chain_rule(parents, slopes):
    g = np.zeros(len(parents)); g[-1] = 1; order = [len(parents) - 1]
    for node in order:
        for p, s in zip(parents[node], slopes[node]):
            g[p] += g[node] * s
            if p not in order: order.append(p)
    return g
""", "a node waits for all of its children"),
    "merge_pair: text": ("merge_pair", """
import numpy as np
def merge_pair(ids, left, right, new):
    text = "".join(chr(i) for i in ids).replace(chr(left) + chr(right), chr(new))
    return np.array([ord(c) for c in text], np.uint8)
""", "every place where left is followed by right"),
    "merge_pair: until nothing is left to merge": ("merge_pair", """
import numpy as np
def merge_pair(ids, left, right, new):
    ids = [int(i) for i in ids]
    i = 0
    while i < len(ids) - 1:
        if ids[i] == left and ids[i + 1] == right:
            ids[i : i + 2] = [new]
            if new != left or new != right: i -= new == left
        i += 1
    return np.array(ids, int)
""", "what has just become new is not merged again"),
    "ridge_probe: classes of the labels": ("ridge_probe", lambda t: t.replace(
        "np.arange(classes)", "np.unique(labels)"),
        "a class without training rows has scores too"),
    "pixel_sequence: begin": ("pixel_sequence", lambda t: t.replace(
        "[[begin],", "[[len(palette)],"), "what is read is what was predicted, one place later"),
    "unbroadcast: axes by their length": ("unbroadcast", """
import numpy as np
def unbroadcast(g, shape):
    gone = tuple(i for i, n in enumerate(g.shape) if n not in shape)
    return g.sum(axis=gone, keepdims=True).reshape(shape)
""", "axes of one length, of which some were repeated"),
    "unbroadcast: one number for all places": ("unbroadcast", lambda t: t.replace(
        "    added =", "    if not shape: return g.sum(axis=0)\n    added ="),
        "axes that were added in front are summed"),
    "merge_pair: every second place of equal ids": ("merge_pair", """
import numpy as np
def merge_pair(ids, left, right, new):
    hit = np.flatnonzero((ids[:-1] == left) & (ids[1:] == right))
    hit = hit[::2] if left == right else hit
    out = ids.copy(); out[hit] = new
    return np.delete(out, hit + 1)
""", "a pair of equal ids: from left to right, without overlap"),
    "merge_pair: decimals": ("merge_pair", """
import numpy as np
def merge_pair(ids, left, right, new):
    text = (" " + " ".join(map(str, ids))).replace(f" {left} {right}", f" {new}")
    return np.array([int(s) for s in text.split()], dtype=int)
""", "every place where left is followed by right"),
    "hide_tokens: 16 bits": ("hide_tokens", lambda t: t.replace(
        "    return rows", "    return rows.astype(np.int16)"),
        "the labels: every chosen token as it was, else -100"),
    "next_distribution: the largest before the temperature": ("next_distribution",
        lambda t: t.replace("z - z.max()", "z - logits.max()"),
        "logits in the thousands give finite numbers"),
    "chain_rule: two parents": ("chain_rule", lambda t: t.replace(
        "zip(parents[node], slopes[node])", "zip(parents[node][:2], slopes[node][:2])"),
        "a node with several children gets a sum"),
    "pixel_sequence: three channels": ("pixel_sequence", lambda t: t.replace(
        "image[:, :, None] - palette", "image[:, :, None, :3] - palette[:, :3]"),
        "several rows, in raster order"),
    "palette_step: distance of three channels": ("palette_step", lambda t: t.replace(
        "pixels[:, None] - centres", "pixels[:, None, :3] - centres[:, :3]"),
        "each centre goes to the mean of its pixels"),
    "palette_step: the last of two": ("palette_step", lambda t: t.replace(
        ".argmin(axis=1)", "[:, ::-1].argmin(axis=1)").replace(
        "nearest == j", "nearest == len(centres) - 1 - j"),
        "two centres at the same distance: the first"),
    "palette_step: three channels": ("palette_step", lambda t: t.replace(
        "(-1, image.shape[-1])", "(-1, 3)"), "each centre goes to the mean of its pixels"),
    "vit_input: patches of two": ("vit_input", lambda t: t.replace(
        "    B, H,", "    patch = 2\n    B, H,"), "several images, patches in raster order"),
    "clip_loss: no largest subtracted": ("clip_loss", lambda t: re.sub(
        r"z = logits - .*", "z = logits", t),
        "exp(t) = 100, the largest one allowed, in float32 too"),
    "attention: masked by a large number": ("attention", lambda t: t.replace(
        "-np.inf", "-100.0"), "scores in the thousands give finite numbers"),
    "zero_shot: no largest subtracted": ("zero_shot", lambda t: re.sub(
        r"np.exp\(z - z.max\(axis=1, keepdims=True\)\)", "np.exp(z)", t),
        "a scale of 100 and more gives finite numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", OLD_HOLES)
def test_what_had_all_points_loses_some_with_every_seed(case):
    name, change, title = OLD_HOLES[case]
    text = change if isinstance(change, str) else change(source(find(name)))
    assert text != source(find(name)), "the solution has changed: plant it anew"
    assert all(title in lost(find(name), text, seed) for seed in (0, SEED))


# -- a right answer loses nothing ------------------------------------------------------------------
ROUND = {
    "float(loss)": ("clip_loss", "return float(solution(*a))"),
    "loss.item()": ("cross_entropy", "y, vjp = solution(*a); return float(y), vjp"),
    "[y, vjp]": ("layer_norm", "return list(solution(*a))"),
    "a list of gradients": ("layer_norm", "y, v = solution(*a); return y, lambda g: list(v(g))"),
    "one gradient without a tuple": ("cross_entropy",
                                     "y, vjp = solution(*a); return y, lambda g: vjp(g)[0]"),
    "integers of another size": ("merge_pair", "return solution(*a).astype(np.int32)"),
    "columns first": ("attention", "return np.asfortranarray(solution(*a))"),
}  # fmt: skip


@pytest.mark.parametrize("style", ROUND)
def test_a_right_answer_in_another_style_has_all_points(style):
    name, body = ROUND[style]
    assert lost(find(name), around(find(name), f"\ndef NAME(*a):\n    {body}\n")) == []


def test_annotations_from_the_future_are_read_as_in_a_kernel():
    text = "from __future__ import annotations\n" + source(find("unbroadcast")).replace(
        "def unbroadcast(g, shape):", "def unbroadcast(g: Array, shape: Shape) -> Array:"
    )
    assert lost(find("unbroadcast"), text) == []


# -- what the report shows -------------------------------------------------------------------------
def judged(name, text, **options):
    cells = submission.Submission("answer.py", [("answer.py", 1, text)])
    return judge.judge(find(name), cells, **options)


def test_a_result_that_depends_on_earlier_calls_is_named_as_such():
    text = around(find("attention"), COUNTS.replace("< 2", "< 30"))
    said = " ".join(o.sentence for o in judged("attention", text).outcomes)
    assert "As the first call of a fresh process this input comes out right" in said


def test_an_endless_loop_shows_an_input_that_hangs():
    text = around(find("unbroadcast"), (
        "\ndef NAME(g, shape):\n    while g.ndim > len(shape): pass\n    return solution(g, shape)"
    ))  # fmt: skip
    failed = [o for o in judged("unbroadcast", text).outcomes if o.status == "fail"]
    assert "endless loop" in failed[0].sentence and failed[0].inputs["g"].startswith("np.array")


@pytest.mark.parametrize("name", ["attention", "vit_input", "clip_loss", "zero_shot"])
def test_the_smallest_input_has_a_small_shape(name, monkeypatch):
    """Of planted mistakes; medians were 38 to 56 numbers when values shrank and shapes did not."""
    exercise, sizes = find(name), []
    monkeypatch.setattr(judge, "SHRINKING", 30)
    for answer in [a for a in answers.of(exercise) if a.mistake][::4]:
        judging = judge.Judge(exercise, here.Here(answer.text, name), 0)
        found = next(filter(None, map(judging.smallest_failure, exercise.properties)))
        sizes.append(found[0].size)
    assert sorted(sizes)[len(sizes) // 2] <= 32, sizes


def test_a_mistake_is_named_only_where_it_can_be_told_from_others():
    """An answer that sums nothing is not "only the axes in front are summed"."""
    verdict = judged("unbroadcast", "def unbroadcast(g, shape):\n    return g + 0\n")
    named = {o.mistake for o in verdict.outcomes if o.mistake}
    assert named == {"g is returned as it came"}
