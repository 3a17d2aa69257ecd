"""Errors in ulp over hard inputs, beside PyTorch's (benchmarks/accuracy.py)."""

import numpy as np
import pytest

from benchmarks import accuracy

pytestmark = pytest.mark.parity
FUNCTIONS = (
    "erf sigmoid silu gelu softmax log_softmax logsumexp cross_entropy layer_norm rms_norm var "
    "l2_normalize sum attention"
).split()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_errors_are_small_or_not_twice_pytorchs(function):
    pytest.importorskip("mpmath")
    pytest.importorskip("torch")
    found = list(accuracy.rows([function]))
    assert found and [row for row in found if not row.good] == []


def test_an_error_is_measured():
    """A neighbour is one ulp off, NaN infinitely; small numbers may be measured by the largest."""
    pytest.importorskip("mpmath")
    exact = np.array([1.0, 3.0, 1e-30], np.float32)
    one_up = np.nextafter(exact, np.float32(9))
    assert accuracy.errors(one_up, accuracy.exact_array(exact), np.float32, rows=False) == 1.0
    spoilt = np.array([1.0, 3.0, 2e-8], np.float32)
    assert accuracy.errors(spoilt, accuracy.exact_array(exact), np.float32, rows=True) < 0.1
    assert accuracy.errors(exact * np.nan, accuracy.exact_array(exact), np.float32, True) == np.inf


def test_every_function_of_the_table_is_tested():
    pytest.importorskip("torch")
    assert {case.function for case in accuracy.cases()} == set(FUNCTIONS)
