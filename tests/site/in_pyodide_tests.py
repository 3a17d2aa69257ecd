"""Runs in Pyodide: pytest on the files that are named, with few examples each."""

import os

os.environ["HYPOTHESIS_PROFILE"] = "few"
os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = "/tmp/hypothesis"

import pytest

options = ["-q", "--capture=sys", "-p", "no:cacheprovider", "-o", "timeout=0"]
status = pytest.main([*options, "-W", "ignore::pytest.PytestConfigWarning", *ARGUMENTS])  # noqa: F821
print("STATUS", int(status))
