"""What every figure of the lectures must be, whatever it shows."""

import io

import matplotlib.pyplot as plt
from matplotlib.text import Text

LEAST = 13.5  # points, when the figure is 10 inches wide: read from the last row at a projector


def smallest(fig):
    """(points, words) of the smallest text, were the figure as it is saved 10 inches wide."""
    fig.savefig(io.BytesIO(), dpi=20, bbox_inches="tight")
    width = fig.get_tightbbox().width
    texts = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip()]
    sizes = [(t.get_fontsize() * 10 / max(width, 10), t.get_text()) for t in texts]
    return min(sizes, default=(LEAST, ""))


def check_open():
    """No text of an open figure is too small; and close them."""
    try:
        for number in plt.get_fignums():
            points, words = smallest(plt.figure(number))
            assert points >= LEAST, f"{words!r} has {points:.1f} points at 10 inches"
    finally:
        plt.close("all")
