"""Shared by all tests: hypothesis profiles, devices, and a guard against leaked state."""

import os
import sys
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings

import minivit
from minivit.engine import backend, modes
from tests import strict
from tests.devices import DEVICES

strict.install()

# -- hypothesis ------------------------------------------------------------------------------------
# "default": the same 50 examples for each op every time; "nightly": 1,000 new ones. No database:
# a failure prints the smallest input and the line that reproduces it.
_COMMON = dict(
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("default", max_examples=50, derandomize=True, **_COMMON)
settings.register_profile("few", max_examples=5, derandomize=True, **_COMMON)  # in a browser
settings.register_profile("nightly", max_examples=1000, **_COMMON)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
settings.load_profile(PROFILE)


# -- devices ---------------------------------------------------------------------------------------
@pytest.fixture(params=DEVICES)
def device(request):
    """Each device in turn, chosen as the default one for the length of the test."""
    with minivit.use(request.param):
        yield request.param


def pytest_collection_modifyitems(config, items):
    """Tests marked gpu or nightly run only where they can, or were asked for."""
    left_out = {"gpu"} if _no_gpu() else set()
    if PROFILE != "nightly":
        left_out.add("nightly")
    out = [item for item in items if left_out & {mark.name for mark in item.iter_markers()}]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]


def pytest_terminal_summary(terminalreporter):
    if reason := _no_gpu():
        terminalreporter.write_line(f"left out: the tests on CuPy ({reason})")


@cache
def _no_gpu():
    try:
        backend.module("cuda")
    except ImportError as error:
        return str(error).splitlines()[1].strip()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The tests of a file stay in one process: what they share is made once, not once a process."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log) if config.getvalue("dist") == "load" else None


# -- no test leaves anything behind ----------------------------------------------------------------
@pytest.fixture(autouse=True)
def nothing_leaks():
    """Fail a test that leaves another default device, grad mode or anomaly mode; start each one
    with seed 0, and give the random streams and matplotlib's style back as they were."""
    before = backend._seed, dict(backend._generators)
    minivit.manual_seed(0)
    state = np.geterr()
    pyplot = sys.modules.get("matplotlib.pyplot")
    with pyplot.rc_context() if pyplot else nullcontext():
        yield
    left = {
        "default device": minivit.default_device(),
        "blocks of no_grad": modes._thread.modes.no_grad,
        "blocks of detect_anomaly": modes._thread.modes.detect_anomaly,
        "np.seterr": np.geterr(),
    }
    minivit.use("cpu")
    modes._thread.modes.__init__()
    np.seterr(**state)
    minivit.manual_seed(before[0])
    backend._generators.update(before[1])
    clean = {
        "default device": "cpu",
        "blocks of no_grad": 0,
        "blocks of detect_anomaly": 0,
        "np.seterr": state,
    }
    assert left == clean, "the test left global state behind"
