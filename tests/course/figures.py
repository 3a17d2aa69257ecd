"""What every figure of the lectures must be, whatever it shows."""

import io

import matplotlib.pyplot as plt
from matplotlib.image import AxesImage
from matplotlib.text import Text

from minivit.course import register


def smallest(fig):
    """(points, words) of the smallest text, were the figure as it is saved 10 inches wide."""
    fig.savefig(io.BytesIO(), dpi=20, bbox_inches="tight")
    width = fig.get_tightbbox().width + 0.2
    texts = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip()]
    sizes = [(t.get_fontsize() * 10 / max(width, 10), t.get_text()) for t in texts]
    return min(sizes, default=(register.LEAST, ""))


def check_open():
    """An open figure with a signed map says which colour is positive. Every text of one has the
    points that it should have when it is saved, and nearly so as it was drawn, where its places
    were chosen. Close them all."""
    try:
        for number in plt.get_fignums():
            fig = plt.figure(number)
            if any(image.get_cmap().name == "PuOr" for image in fig.findobj(AxesImage)):
                assert "purple +, orange −" in fig.get_supxlabel(), "which colour is positive?"
            for least in (register.LEAST - 1, register.LEAST - 0.01):
                points, words = smallest(fig)
                assert points >= least, f"{words!r} has {points:.1f} points at 10 inches"
                register.legible(fig)
    finally:
        plt.close("all")
