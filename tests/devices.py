"""The devices that tests run on: `strict` stands in for a GPU, see tests/strict."""

import pytest

DEVICES = ["cpu", "strict", pytest.param("cuda", marks=pytest.mark.gpu)]
