"""Sampling: distributions are cut as asked, draws follow them, rows that stopped stay stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.engine.check import arrays
from minivit.engine.errors import DtypeError, NonFiniteError, OptionError, ShapeError
from minivit.sampling.generation import draw, generate, next_token_distribution


@given(arrays((3, 7)), st.sampled_from([0, 0.3, 1.0, 2.5]), st.integers(1, 9), st.floats(0.05, 1))
def test_what_is_left_is_a_distribution_over_the_likeliest(logits, temperature, k, p):
    q = next_token_distribution(logits, temperature, top_k=k, top_p=p)
    assert q.shape == logits.shape and np.allclose(q.sum(axis=1), 1)
    for row, left in zip(logits, q):
        assert left[row.argmax()] > 0
        if (left == 0).any() and temperature:
            assert row[left > 0].min() >= row[left == 0].max() or (left > 0).sum() >= 1
        assert (left > 0).sum() <= max(k, (row >= np.sort(row)[-min(k, 7)]).sum())


@given(arrays((2, 6)), st.floats(0.05, 0.95))
def test_top_p_keeps_the_fewest_that_hold_p(logits, p):
    full = next_token_distribution(logits)
    kept = next_token_distribution(logits, top_p=p) > 0
    for probabilities, keep in zip(full, kept):
        assert probabilities[keep].sum() >= p - 1e-9
        assert probabilities[keep].sum() - probabilities[keep].min() < p + 1e-9


def test_draws_follow_the_distribution():
    p = np.array([[0.5, 0.2, 0.0, 0.3]])
    rng = np.random.default_rng(0)
    counts = np.bincount(draw(p.repeat(100_000, axis=0), rng), minlength=4) / 100_000
    assert np.abs(counts - p[0]).max() < 0.006 and counts[2] == 0


def test_temperature_sharpens():
    logits = np.array([[1.0, 2.0, 0.0]])
    top = [next_token_distribution(logits, t)[0, 1] for t in (2.0, 1.0, 0.5, 0.1, 0)]
    assert top == sorted(top) and top[-1] == 1


def test_a_row_that_stopped_goes_on_with_its_stop_token_and_all_stopped_ends():
    script = iter([[0, 1], [1, 3], [2, 2], [3, 3]])
    drawn = [
        tokens.tolist()
        for tokens, _ in generate(
            lambda _: np.eye(5)[next(script)] * 9, B=2, steps=9, temperature=0, stop=(3,)
        )
    ]
    assert drawn == [[0, 1], [1, 3], [2, 3], [3, 3]]


WRONG = {
    "temperature": [-1, -1e-9, np.nan, np.inf, "1", None, True, [1.0]],
    "top_k": [0, -3, 1.5, "2", True],
    "top_p": [0, 0.0, -0.1, 1.5, np.nan, "0.5", True],
    "steps": [-1, 1.5, None, "3"],
    "stop": [[0.5], ["a"], "end"],
    "seed": [-1, "seed", 1.5],
}


@pytest.mark.parametrize("name, value", [(n, v) for n, values in WRONG.items() for v in values])
def test_settings_that_mean_nothing_are_refused(name, value):
    """By the call itself, and not by the first token."""
    how = {"steps": 3} | {name: value}
    with pytest.raises((OptionError, DtypeError), match=name):
        generate(lambda _: np.zeros((1, 3)), 1, **how)
    if name in ("temperature", "top_k", "top_p"):
        with pytest.raises(OptionError, match=name):
            next_token_distribution(np.zeros((1, 3)), **{name: value})


@given(
    arrays((3, 5)),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=15),
    st.sampled_from([-np.inf, np.inf, np.nan]),
    st.sampled_from([0, 1e-320, 0.5, 1e300]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 0.3]),
)
def test_what_is_forbidden_is_never_drawn_and_what_is_not_finite_is_refused(
    logits, places, bad, temperature, k, p
):
    logits = logits.copy()
    for row, column in places:
        logits[row, column] = bad
    if bad != -np.inf or (logits == bad).all(axis=1).any():
        with pytest.raises(NonFiniteError, match="logits: the largest of row"):
            next_token_distribution(logits, temperature, k, p)
        return
    with np.errstate(all="raise", under="ignore", over="ignore"):
        q = next_token_distribution(logits, temperature, k, p)
    assert np.isfinite(q).all() and np.allclose(q.sum(axis=1), 1)
    assert (q[logits == -np.inf] == 0).all()


@pytest.mark.parametrize("u", [0.0, np.nextafter(1, 0), 0.25, 0.75])
def test_a_draw_at_the_ends_is_a_token_that_is_possible(u):
    class Generator:
        def random(self, shape):
            return np.full(shape, u)

    rng = np.random.default_rng(0)
    p = rng.random((200, 9)) * (rng.random((200, 9)) < 0.5) + 1e-300
    p[:, [0, -1]] = 0
    p[p < 1e-200] = 0
    p = p[p.sum(axis=1) > 0]
    drawn = draw(p / p.sum(axis=1, keepdims=True), Generator())
    assert (p[np.arange(len(p)), drawn] > 0).all()


@pytest.mark.parametrize("logits", [np.zeros(3), np.zeros((2, 0)), np.array([["a"]]), 3.0], ids=str)
def test_what_are_no_logits_is_refused(logits):
    with pytest.raises(ShapeError, match="logits"):
        next_token_distribution(logits)


def test_no_steps_yield_nothing_and_one_stop_token_may_be_a_number():
    assert list(generate(None, 2, 0)) == []
    tokens = [t.tolist() for t, _ in generate(lambda _: np.eye(3)[[1, 1]], 2, 9, 0, stop=1)]
    assert tokens == [[1, 1]]


@pytest.mark.parametrize("B", [None, True, -1, 0.5, "2", (2,)], ids=repr)
def test_a_number_of_sequences_that_is_none_is_refused(B):
    with pytest.raises(OptionError, match="B is"):
        generate(lambda tokens: np.ones((1, 3)), B, steps=1)


def test_logits_of_another_number_of_sequences_are_refused():
    with pytest.raises(ShapeError, match="gave 1 rows for 2 sequences"):
        list(generate(lambda tokens: np.ones((1, 3)), 2, steps=1))
