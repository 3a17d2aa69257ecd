"""Mutants of every solution, and of short ones of other right answers: each loses points."""

import os
from pathlib import Path

import pytest

from minivit.grading import judge
from minivit.grading.exercise import find, registry
from tests import answers
from tests.grading import here, mutants

FOLDER = Path(__file__).parents[2] / "exercises" / "source"
BY_NAME = [e.function for e in registry().values()]
SEED = 3
nightly = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "nightly", reason="runs where it has the time"
)


def source(exercise):
    return (FOLDER / f"{exercise.stem}.py").read_text("utf-8")


# Mutants that are the solution in other words, by the beginning of their names, with the reason
LAST = "the last axis is axis 1 of two"
ANY = "NumPy takes any negative length for the one to find"
DRAWN = "what is drawn from a continuum is never on the limit"
MEAN = "a mean is a sum divided by C: the order is the same"
NOTHING = "what the sums begin with is multiplied by the exponential of -infinity, which is 0"
EQUAL = {
    "unbroadcast": {"(*range(added), *ones) -> ": "the order of the axes of a sum is free"},
    "attention": {
        "np.where(np.tri(N, dtype=bool), S, -np.inf).astype(q.dtype) -> np.where":
            "np.where keeps float32 beside a number of Python's",
        "np.tri(N, dtype=bool) -> np.tri(N)": "np.where takes 1.0 for True",
    },
    "transformer_layer": {
        "1 -> -1 in c = y - y.mean(axis=1": LAST,
        "1 -> -1 in return c / np.sqrt((c * c).mean(axis=1": LAST,
    },
    "hide_tokens": {
        "u < 0.15 -> u <= 0.15": DRAWN,
        "u < 0.12 -> u <= 0.12": DRAWN,
        "u < 0.135 -> u <= 0.135": DRAWN,
        "chosen & ~masked -> chosen in drawn": "the mask is asked for first",
    },
    "next_distribution": {
        "top_p < 1 -> top_p <= 1": "all tokens hold 1, up to rounding",
        "1 -> 2 in if top_p < 1": "all tokens hold 1, up to rounding",
    },
    "cached_attention": {
        "np.tri(n, N, N - n, dtype=bool) -> np.tri(n, N, N - n)": "np.where takes 1.0 for True",
        "1 -> -1 in n, N, D = ": LAST,
        "1 -> 2 in q, k, v = (x.reshape(len(x), heads, -1)": ANY,
    },
    "mean_distance": {
        "1 -> -1 in place = np.stack(np.divmod": LAST,
        "1 -> -1 in distance = (among * apart).sum(axis=2).mean(axis=1)": LAST,
        "2 -> 1 in distance = (among": "the order of two sums is free",
        "2 -> -2 in distance = (among": "the order of two sums is free",
    },
    "attention_pool": {
        "1 -> 2 in q = probe.reshape": ANY,
        "1 -> 2 in k = (x @ W_k)": ANY,
        "1 -> 2 in v = (x @ W_v)": ANY,
    },
    "palette_step": {
        "1 -> 2 in pixels = image.reshape(-1": ANY,
        "1 -> -1 in nearest = ((pixels[:, None]": LAST,
        "((pixels[:, None] - centres) ** 2).sum -> ((pixels[:, None] - centres) ** 2).mean": MEAN,
    },
    "pixel_sequence": {
        "((image[:, :, None] - palette) ** 2).sum -> ((image[:, :, None] - palette) ** 2).mean":
            MEAN,
        "1 -> 2 in predicted = distances": ANY,
    },
    "vit_input": {
        "3 -> -3 in x = images.reshape": "axis -3 of six is axis 3",
        "1 -> 2 in x = x.reshape(B, -1": ANY,
    },
    "ridge_probe": {
        "1 -> -1 in np.concatenate([(x - mean)": LAST,
        "100.0 -> -100.0": "the weight of the constant changes its sign with it",
        "1 -> -1 in W = np.linalg.solve": LAST,
    },
    "resize_positions": {
        "1 -> -1 in grid = position[1:]": "names differ by their place only",
        "1 -> 2 in grid = position[1:]": ANY,
        "1 -> 2 in places = grid.reshape": ANY,
        "1 -> -1 in places = grid.reshape": ANY,
    },
    "cross_entropy": {
        "(gz * (g / len(z))).astype(z.dtype) -> ": "g has the dtype of z, so gz has it already",
        "1 -> -1 in sums = e.sum(axis=1": LAST,
        "1 -> -1 in shifted = z - z.max(axis=1": LAST,
    },
    "clip_loss": {
        "(I_f @ W_i, T_f @ W_t) -> ": "the loss is symmetric in images and texts",
        "(0, 1) -> (1, 0)": "a sum of two in the other order",
        "1 -> -1 in for axis in (0, 1)": LAST,
        "1 -> -1 in loss = (losses[0]": LAST,
        "1 -> -1 in I_e = I_e /": LAST,
        "1 -> -1 in T_e = T_e /": LAST,
        "np.exp(z).sum(axis=axis, keepdims=True) -> np.exp(z).sum(axis=axis) in":
            "only the diagonal is read: row and column of a pair are one number there",
        "True -> False in log_p =":
            "only the diagonal is read: row and column of a pair are one number there",
    },
    "chunked_loss": {
        "np.zeros(n, I_e.dtype) -> n in total": NOTHING,
        "np.zeros -> np.ones in total": NOTHING,
        "1 -> -1 in top = z.max(axis=1)": LAST,
        "1 -> -1 in rows += (top": LAST,
    },
    "zero_shot": {
        "unit(texts).mean -> unit(texts).sum": "scaled to length 1 again afterwards",
        "1 -> -1 in p = e / e.sum(axis=1": LAST,
        "1 -> -1 in e = np.exp(z - z.max(axis=1": LAST,
    },
    "attention_gradient": {
        "1 -> -1 in scale = q.shape[1]": LAST,
        "1 -> -1 in A = e / e.sum(axis=1": LAST,
        "1 -> -1 in e = np.exp(S - S.max(axis=1": LAST,
        "1 -> -1 in gS = A * (gA - (gA * A).sum(axis=1": LAST,
    },
    "embedding": {
        "1 -> 2 in for i, row in zip(ids.ravel(), g.reshape(-1": ANY,
        "1 -> -1 in for i, row in zip": LAST,
        "1 -> -1 in return [np.stack(cols, 1)": LAST,
        "1 -> -1 in return (np.stack(cols, axis=1)": LAST,
        "1 -> 2 in cols = [np.bincount(flat, weights=c": ANY,
        "(ids.reshape(-1, 1) == np.arange(len(table))).astype(table.dtype) -> ":
            "a product with booleans is one with 0 and 1",
        "1 -> 2 in out = (one_hot @ table)": ANY,
        "1 -> 2 in flat = g.reshape(len(one_hot), -1)": ANY,
        "1 -> 2 in one_hot = (ids.reshape(-1": ANY,
    },
}  # fmt: skip


def mutants_of(exercise):
    found = mutants.mutants(source(exercise), exercise.function)
    if len(found) < 20:  # a short solution: other right answers have more to change
        for answer in [a for a in answers.of(exercise) if a.mistake is None]:
            found += mutants.mutants(answer.text, exercise.function)
    assert len(found) >= 20
    return found


def alive(exercise, seeds, step=1):
    """Mutants with all points for a seed, without those that are equal to the solution."""
    equal = EQUAL.get(exercise.function, {})
    survivors = {}
    for name, text in mutants_of(exercise)[::step]:
        if any(name.startswith(begin) for begin in equal):
            continue
        for seed in seeds:
            judging = judge.Judge(exercise, here.Here(text, exercise.function), seed)
            if all(here.holds(judging, p) for p in exercise.properties):
                survivors.setdefault(name, []).append(seed)
    return survivors


@pytest.mark.parametrize("name", BY_NAME)
def test_mutants_lose_points_a_few(name):
    assert alive(find(name), [SEED], step=13) == {}


@nightly
@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", BY_NAME)
def test_mutants_lose_points_with_every_seed(name):
    assert alive(find(name), range(20)) == {}


@pytest.mark.parametrize("name", EQUAL)
def test_a_mutant_that_is_called_equal_has_all_points(name):
    """So that the list excuses nothing. (Of several that begin alike one at least has them.)"""
    exercise = find(name)
    found = mutants_of(exercise)
    for begin in EQUAL[name]:
        meant = [text for title, text in found if title.startswith(begin)]
        assert meant, f"{begin} names no mutant"
        assert any(here.points(exercise, text, SEED) == 10 for text in meant), begin
