"""The run of masked patches: what is hidden stays hidden, and what it keeps is what it says."""

import numpy as np
import pytest

from minivit import Tensor, no_grad
from minivit.course.runs import masked_patches as run
from minivit.images.patches import patchify


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (3, 32, 32, 3)).astype(np.float32)


def test_what_is_hidden_changes_no_answer_and_what_is_seen_no_question(images):
    model = run.model(8, seed=0)
    model.decode.weight.data[...] = np.random.default_rng(1).normal(size=model.decode.weight.shape)
    hidden = np.random.default_rng(2).random((3, 16)).argsort(axis=1) < 8
    with no_grad():
        answers = model(Tensor(images), hidden).numpy()
        behind = images + 0.5 * _as_pixels(hidden)
        assert np.allclose(model(Tensor(behind), hidden).numpy(), answers, atol=1e-6)
        beside = model(Tensor(images + 0.5 * _as_pixels(~hidden)), hidden).numpy()
        assert not np.allclose(beside, answers, atol=1e-3)
        error = (answers - patchify(images, 8))[hidden]
        assert np.isclose(model.loss(Tensor(images), hidden).item(), (error**2).mean(), rtol=1e-5)


def _as_pixels(hidden):
    """(B, 16) -> (B, 32, 32, 1), one where a patch of 8 pixels is hidden."""
    grid = hidden.reshape(len(hidden), 4, 4, 1).astype(np.float32)
    return grid.repeat(8, axis=1).repeat(8, axis=2)


def test_batches_hide_half_and_are_a_function_of_seed_and_step(images):
    batches = run.MaskedBatches(images, 16, batch_size=2, seed=5)
    again = run.MaskedBatches(images, 16, batch_size=2, seed=5)
    for step in (0, 3):
        assert (batches[step][1].sum(axis=1) == 8).all()
        for a, b in zip(batches[step], again[step]):
            assert (a == b).all()
    assert (batches[0][1] != batches[1][1]).any()


def test_a_job_keeps_what_the_lecture_draws(monkeypatch, tmp_path, images):
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    monkeypatch.setattr(run, "emoji", lambda: (images.repeat(2, axis=0), images))
    monkeypatch.setattr(run, "STEPS", 2)
    monkeypatch.setattr(run, "BATCH", 2)
    monkeypatch.setattr(run, "LOOKED_AT", 3)
    kept = run.heads(1)
    assert np.shape(kept["before"]) == np.shape(kept["after"]) == (run.LAYERS, run.HEADS)
    assert kept["steps"] == 2 and kept["unseen error"] > 0 and 0 < kept["p"] <= 1
    assert np.shape(run.heads(1, run.SIXTEEN)["after"]) == (run.LAYERS, 16)
    assert np.shape(run.filters(0)["after"]["pictures"]) == (12, 8, 8, 3)
