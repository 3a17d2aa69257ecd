"""The first cell of every lecture: one look for all figures, a seed, and what computes."""

import os
import platform

import numpy as np

import minivit
from minivit.course import kept
from minivit.course.register import checked_seeds, pyplot
from minivit.engine import backend

# Okabe and Ito's palette without its yellow: told apart by colour-blind eyes, dark enough on white.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (6, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]


def setup(seed=0):
    """Set matplotlib's style, seed minivit, and say in one line where the numbers come from."""
    (seed,) = checked_seeds("setup", [seed])
    look()
    minivit.manual_seed(seed)
    if "MINIVIT_KEEP" in os.environ:  # `make lectures`
        kept.record(os.environ["MINIVIT_NOTEBOOK"], os.environ["MINIVIT_KEEP"])
    versions = f"NumPy {np.__version__}, Python {platform.python_version()}"
    print(f"minivit {minivit.__version__} on {_device()}; {versions}; seed {seed}")


def look():
    """Set matplotlib's style."""
    plt = pyplot()
    plt.rcParams.update(
        {
            "figure.figsize": (10, 5.6),  # inches; with 16 pt type, readable from the last row
            "figure.constrained_layout.use": True,
            "font.size": 16,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=COLORS) + plt.cycler(linestyle=DASHES),
            "image.cmap": "cividis",
            "legend.frameon": False,
            "lines.linewidth": 2.5,
            "lines.markersize": 9,
        }
    )


def _device():
    name = minivit.default_device()
    if name == "cpu":
        return "cpu"
    cupy = backend.module(name)
    card = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"].decode()
    return f"{name} ({card}, CuPy {cupy.__version__})"
