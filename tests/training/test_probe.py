"""Linear probes and fine-tuning: what they may look at, and what they find when it is there."""

import numpy as np
import pytest

import minivit as mv
from minivit.engine.errors import RangeError, ShapeError
from minivit.models.image_gpt import ImageGPT
from minivit.optim import AdamW
from minivit.training import probe

pytest.importorskip("sklearn")


def blobs(n=200, D=6, classes=3, spread=0.3, seed=0):
    """Features (n, D) of classes around random centres, and labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    centres = np.random.default_rng(99).standard_normal((classes, D))
    return centres[labels] + spread * rng.standard_normal((n, D)), labels


def small(N=9, seed=0, scale=0.1):
    mv.manual_seed(seed)
    model, rng = ImageGPT(8, N, 16, 2, 2), np.random.default_rng(seed)
    for p in model.parameters():
        p.data += scale * rng.standard_normal(p.shape).astype(p.dtype)
    return model


def ids(n=10, N=9, seed=0):
    return np.random.default_rng(seed).integers(0, 8, (n, N))


# -- linear probes ---------------------------------------------------------------------------------
def test_separable_classes_are_separated_whatever_the_units():
    (x, y), (x_new, y_new) = blobs(), blobs(seed=1)
    plain = probe.LinearProbe(x, y)
    assert plain.validation > 0.95 and plain.accuracy(x_new, y_new) > 0.95
    units = np.array([1e-6, 1e6, 1, 1, 1, 1])  # standardised: the units do not matter
    other = probe.LinearProbe(x * units + 5, y)
    assert other.C == plain.C
    assert np.allclose(
        other.probabilities(x_new * units + 5), plain.probabilities(x_new), atol=1e-2
    )
    assert np.allclose(plain.probabilities(x_new).sum(axis=1), 1)


def test_noise_is_noise():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 40)), rng.integers(0, 3, 300)
    found = probe.LinearProbe(x, y)
    assert (
        abs(found.accuracy(rng.standard_normal((900, 40)), rng.integers(0, 3, 900)) - 1 / 3) < 0.1
    )
    assert found.C < 10  # a weak penalty fits noise


def test_the_penalty_is_chosen_without_the_test_split(monkeypatch):
    """The probe does not depend on the test features; it sees them only in `accuracy`."""
    x, y = blobs(spread=2.0)
    seen = []
    fit = probe.LinearProbe._fit
    monkeypatch.setattr(
        probe.LinearProbe,
        "_fit",
        lambda self, f, l, C: (seen.append(len(l)), fit(self, f, l, C))[1],
    )
    results = probe.probe_layers([x, x[:, :2]], y, [x[:50], x[:50, :2]], y[:50])
    assert seen == ([160] * len(probe.STRENGTHS) + [200]) * 2
    assert results["best"] == int(np.argmax(results["validation"]))
    other = probe.probe_layers([x, x[:, :2]], y, [0 * x[:50], x[:50, :2]], y[:50])
    assert other["validation"] == results["validation"] and other["best"] == results["best"]


def test_copies_of_an_image_are_never_on_both_sides(monkeypatch):
    _, y = blobs(100)
    sides = []
    monkeypatch.setattr(probe.LinearProbe, "_fit", lambda self, f, l, C: sides.append(f))
    monkeypatch.setattr(probe.LinearProbe, "accuracy", lambda self, f, l: sides.append(f) or 0.0)
    blocks = np.concatenate([np.arange(100.0), np.arange(100.0)])[:, None]
    probe.LinearProbe(blocks, np.tile(y, 2), groups=2, strengths=(1.0,))
    kept, apart, everything = (set(s[:, 0]) for s in sides)
    assert not kept & apart and kept | apart == everything
    assert len(sides[0]) == 160 and len(sides[1]) == 40


def test_bad_features_are_refused():
    x, y = blobs()
    with pytest.raises(ShapeError, match=r"\(200, 6\) and labels \(199,\)"):
        probe.LinearProbe(x, y[1:])
    with pytest.raises(ShapeError, match="3 equal blocks"):
        probe.LinearProbe(x, y, groups=3)
    x[0, 0] = np.nan
    with pytest.raises(RangeError, match="NaN"):
        probe.LinearProbe(x, y)


# -- features and masks ----------------------------------------------------------------------------
@pytest.mark.parametrize("causal", [True, False])
def test_features_do_not_depend_on_the_batches(causal):
    model, x = small(), ids()
    hidden = None if causal else probe.masks(x.shape, 0, 0.3)
    whole = probe.layer_features(model, x, causal, hidden)
    pieces = probe.layer_features(model, x, causal, hidden, batch_size=3)
    assert len(whole) == 3 and whole[0].shape == (10, 16)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(whole, pieces))


def test_masks_hide_their_share_and_follow_their_seed():
    m = probe.masks((400, 64), 0)
    assert abs(m.mean() - 0.15) < 4 * np.sqrt(0.15 * 0.85 / m.size)
    assert np.array_equal(m, probe.masks((400, 64), 0))
    assert not np.array_equal(m, probe.masks((400, 64), 1))
    with pytest.raises(RangeError, match=r"share is 1\.5"):
        probe.masks((2, 2), 0, 1.5)


def test_masked_batches_can_be_resumed():
    x = ids(30)
    batches = probe.MaskedBatches(x, np.arange(30), batch_size=8, seed=4)
    again = probe.MaskedBatches(x, np.arange(30), batch_size=8, seed=4)
    for a, b in zip(batches[5], again[5]):
        assert np.array_equal(a, b)
    assert not np.array_equal(batches[5][2], batches[6][2])
    assert np.array_equal(x[batches[5][1]], batches[5][0])


# -- fine-tuning -----------------------------------------------------------------------------------
def test_the_head_starts_without_an_opinion():
    model = probe.FineTuned(small(), 4)
    assert np.allclose(model.probabilities(ids()), 0.25)


@pytest.mark.parametrize("causal", [True, False])
def test_the_loss_is_both_losses(causal):
    model, x, y = probe.FineTuned(small(), 4, causal), ids(), np.arange(10) % 4
    hidden = probe.masks(x.shape, 0, 0.4)
    mv.manual_seed(1)
    model.classify.weight.assign(np.random.default_rng(0).standard_normal((4, 16)))
    labels = mv.cross_entropy_loss(model(x, hidden), y).item()
    own = (model.model.loss(x) if causal else model.model.bert_loss(x, hidden)).item()
    assert np.isclose(model.loss(x, y, hidden).item(), labels + own, rtol=1e-5)
    assert np.isclose(model.loss(x, y, hidden, generative=0).item(), labels, rtol=1e-5)
    model.loss(x, y, hidden).backward()
    without = {"model.sos"} if not causal else set()
    assert {n for n, p in model.named_parameters() if p.grad is None} == without


def test_its_features_are_the_last_ones_of_the_probes():
    model, x = probe.FineTuned(small(), 4), ids()
    assert np.allclose(
        model.last(x).numpy().mean(axis=1), probe.layer_features(model.model, x)[-1], atol=1e-5
    )


def test_fine_tuning_learns_labels_by_heart():
    model, x, y = probe.FineTuned(small(), 2, causal=False), ids(16), np.arange(16) % 2
    optimizer = AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss(x, y, generative=0).backward()
        optimizer.step()
    assert (model.probabilities(x).argmax(axis=1) == y).all()


def test_an_ensemble_is_the_mean_of_the_probabilities():
    p = np.array([[[0.6, 0.4], [0.9, 0.1]], [[0.1, 0.9], [0.6, 0.4]]])  # 2 masks, 2 images
    assert probe.ensemble(p, [1, 0]) == (0.75, 1.0)
    with pytest.raises(ShapeError, match="expected"):
        probe.ensemble(p[0], [1, 0])
