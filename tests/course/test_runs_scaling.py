"""Rates of the long run on scaling are chosen without its test images."""

import numpy as np
import pytest

from minivit.course.runs import scaling
from minivit.engine.errors import OptionError


@pytest.mark.parametrize("name", scaling.SETS)
def test_validation_is_a_fifth_of_the_training_images(name):
    labels = scaling.dataset(name)[1]
    train, held = scaling.validation(name)
    assert sorted([*train, *held]) == list(range(len(labels)))
    assert 0.15 < len(held) / len(labels) < 0.25
    assert set(labels[held]) == set(labels)  # all classes


def test_validation_of_emoji_has_concepts_of_its_own():
    emoji, _, concepts = scaling._emoji()
    concepts = concepts[~emoji.held_out[concepts]]
    train, held = (set(concepts[part]) for part in scaling.validation("emoji"))
    assert held and not held & train


def test_the_chosen_rate_is_that_of_the_best_validation(monkeypatch):
    found = {f"rates ViT MNIST {r}": {"validation": v, "accuracy": 1 - v}
             for r, v in zip(scaling.RATES, (0.2, 0.7, 0.6))}  # fmt: skip
    monkeypatch.setattr(scaling, "results", lambda: found)
    assert scaling.chosen("ViT", "MNIST") == scaling.RATES[1]
    with pytest.raises(OptionError, match="scaling rates"):
        scaling.chosen("ResNet", "MNIST")


def test_a_rate_is_judged_on_validation_alone(monkeypatch):
    """Nothing of the test part is given to the net that is judged."""
    seen = {}

    def fitted(*arguments, parts, **options):
        seen["parts"] = parts
        return None, {"accuracy": 0.5}

    monkeypatch.setattr(scaling, "fitted", fitted)
    assert scaling.rates("ViT", "digits", 3e-3) == {"validation": 0.5}
    images, labels, *_ = scaling.dataset("digits")
    train, held = scaling.validation("digits")
    for found, wanted in zip(seen["parts"], (images[train], labels[train], images[held])):
        assert np.array_equal(found, wanted)
