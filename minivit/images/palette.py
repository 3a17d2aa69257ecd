"""Palettes: an image becomes a sequence of colours from a small table.

Image GPT's vocabulary: 512 colours found by k-means in RGB (Chen et al. 2020, section 3.1), each
pixel replaced by the nearest, read in raster order: left to right, top to bottom.
"""

import numpy as np

from minivit.engine import backend, numerics
from minivit.engine.errors import DtypeError, OptionError, ShapeError
from minivit.engine.record import function


@function
def nearest(x, centres):
    """For each row of x (n, C) the index of the nearest centre (k, C), and its squared distance.

    |x - c|^2 = |x|^2 - 2 x.c + |c|^2, in pieces of rows, so that (n, k) numbers never exist.
    """
    xp = backend.module_of([x, centres], "nearest")
    half = 0.5 * (centres * centres).sum(axis=1)
    rows = max(1, (1 << 22) // len(centres))
    ids, distances = [], []
    for i in range(0, len(x), rows):
        piece = x[i : i + rows]
        scores = piece @ centres.T - half  # the nearest centre has the largest
        best = scores.argmax(axis=1)
        ids.append(best)
        d = (piece * piece).sum(axis=1) - 2 * scores[xp.arange(len(piece)), best]
        distances.append(xp.maximum(d, 0))
    return xp.concatenate(ids), xp.concatenate(distances)


@function
def kmeans(x, k, seed=0, iterations=100, tolerance=1e-4):
    """k centres (k, C) of the points x (n, C), and the inertia: the sum of squared distances.

    Start: k-means++ (Arthur & Vassilvitskii 2007), each centre drawn with probability proportional
    to the squared distance from those before, the best of a few candidates. Then Lloyd's two steps
    in turn: points to their nearest centre, centres to the mean of their points, until the inertia
    falls by less than `tolerance` of itself. A centre without points moves to the point that is
    worst represented.
    """
    xp = backend.module_of([x], "kmeans")
    centres = _plus_plus(xp, x, k, np.random.default_rng(seed))
    inertia = np.inf
    for _ in range(iterations):
        ids, distances = nearest(x, centres)
        before, inertia = inertia, float(distances.sum())
        count = xp.bincount(ids, minlength=k)
        sums = xp.stack([xp.bincount(ids, c, minlength=k) for c in x.T], axis=1)  # (k, C)
        empty = xp.nonzero(count == 0)[0]
        centres = (sums / xp.maximum(count, 1)[:, None]).astype(x.dtype)
        if len(empty):
            centres[empty] = x[xp.argsort(-distances)[: len(empty)]]
        elif before - inertia <= tolerance * inertia:
            break
    return centres, inertia


def _plus_plus(xp, x, k, rng):
    centres = [x[int(rng.integers(len(x)))]]
    _, distances = nearest(x, centres[0][None])
    for _ in range(k - 1):
        # of a few candidates, drawn in proportion to the distance, the one that lowers it most
        cumulative = xp.cumsum(distances.astype(np.float64))
        u = xp.asarray(rng.random(2 + int(np.log(k)))) * cumulative[-1]
        tried = []
        for i in np.unique(backend.to_numpy(xp.searchsorted(cumulative, u))).tolist():
            d = xp.minimum(distances, ((x - x[i]) ** 2).sum(axis=1))
            tried.append((float(d.sum()), i, d))
        _, best, distances = min(tried, key=lambda t: t[:2])
        centres.append(x[best])
    return xp.stack(centres)


class Palette:
    """A table of colours (k, C), values in [-1, 1]; ids in raster order.

    palette = Palette.fit(images, 512)
    ids = palette.encode(images)        # (B, H, W, C) -> (B, H W), each in 0..k-1
    images = palette.decode(ids, H, W)  # (B, H W) -> (B, H, W, C)
    """

    def __init__(self, colours):
        self.colours = colours

    def __len__(self):
        return len(self.colours)

    @classmethod
    def fit(cls, images, k, seed=0):
        """The k colours that represent the pixels of `images` (B, H, W, C) best."""
        pixels = _pixels(images)
        distinct = len(np.unique(backend.to_numpy(pixels), axis=0))
        if not 1 <= k <= distinct:
            raise OptionError(
                f"Palette.fit: k is {k}, but the images have {distinct} different colours; "
                f"expected 1 <= k <= {distinct}"
            )
        centres, _ = kmeans(pixels, k, seed)
        brightness = centres.sum(axis=1)  # dark to bright, so that neighbours look alike
        return cls(centres[brightness.argsort()])

    def encode(self, images):
        """The nearest colour of each pixel: (B, H, W, C) -> ids (B, H W)."""
        ids, _ = nearest(_pixels(images), self.colours)
        return ids.reshape(len(images), -1)

    def decode(self, ids, H, W):
        """The colours again: ids (B, H W) -> (B, H, W, C)."""
        xp = backend.module_of([self.colours], "Palette")
        if ids.shape[1] != H * W:
            raise ShapeError(f"Palette.decode: {ids.shape[1]} ids do not fill {H} x {W} pixels")
        ids = numerics.checked_index(xp, ids, len(self), "Palette.decode: ids")
        return self.colours[ids].reshape(len(ids), H, W, -1)


def _pixels(images):
    if images.ndim != 4:
        raise ShapeError(f"Palette: got images of shape {images.shape}, expected (B, H, W, C)")
    if images.dtype.kind != "f":
        raise DtypeError(
            f"Palette: got {images.dtype} images, expected floating point in [-1, 1]: "
            "images / 127.5 - 1"
        )
    return images.reshape(-1, images.shape[3])
