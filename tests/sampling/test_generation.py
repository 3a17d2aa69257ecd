"""Sampling: distributions are cut as asked, draws follow them, rows that stopped stay stopped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.engine.check import arrays
from minivit.engine.errors import OptionError
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


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"top_k": 0}, {"top_p": 1.5}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        next_token_distribution(np.zeros((1, 3)), **wrong)
