"""Shared by the tests of icons."""

import pytest

from tests.training import icon_folders


@pytest.fixture
def icon_folder(tmp_path, monkeypatch):
    """The folder of a cache of two small sets, one of them in colour."""
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path))
    folder = tmp_path / "icons"
    folder.mkdir()
    icon_folders.two_sets(folder)
    return folder
