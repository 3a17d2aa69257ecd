"""Answers to exercise 10."""

RIGHT = {
    "A": """
import numpy as np

def palette_step(image, centres):
    H, W, C = image.shape
    groups = [[] for _ in centres]
    new = centres.astype(image.dtype)
    for row in image:
        for pixel in row:
            d = [distance(pixel, m) for m in centres]
            groups[d.index(min(d))].append(pixel)
    for j, group in enumerate(groups):
        if group:
            new[j] = sum(group) / len(group)
    return new

def distance(a, b):
    return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b))
""",
    "B": """
import numpy as np

def palette_step(image, centres):
    x = image.reshape(-1, image.shape[2])
    k = len(centres)
    gap = x[:, :, None] - centres.T
    d = np.einsum("nck,nck->nk", gap, gap)
    one_hot = np.eye(k, dtype=x.dtype)[np.argmin(d, 1)]
    counts = one_hot.sum(0)[:, None]
    sums = one_hot.T @ x
    moved = sums / np.maximum(counts, 1)
    return np.where(counts > 0, moved, centres).astype(image.dtype)
""",
    "one hot": """
import numpy as np
def palette_step(image, centres):
    x = np.reshape(image, (-1, image.shape[2]))
    d = np.linalg.norm(x[:, None] - centres[None], axis=2)
    H = np.eye(len(centres))[d.argmin(1)]
    n = H.sum(0)[:, None]
    return np.where(n > 0, H.T @ x / np.maximum(n, 1), centres).astype(image.dtype)
""",
    "blind: onehot divide where": """
import numpy as np
def palette_step(image, centres):
    px = image.reshape(-1, image.shape[-1])
    near = np.sum((px[:, None] - centres[None]) ** 2, -1).argmin(1)
    onehot = np.equal.outer(np.arange(len(centres)), near).astype(px.dtype)
    count = onehot.sum(1, keepdims=True)
    return np.divide(onehot @ px, count, out=centres.copy(), where=count > 0)
""",
}
MEAN = "sum(group) / len(group)"
# 10 points: each centre goes to the mean of its pixels 5; two centres at the same distance: the
# first 1; a centre without pixels stays where it is 1; one centre: the mean of the image 1;
# float32 stays float32, float64 stays float64 1; a call leaves nothing behind: arguments as they
# were, new arrays, no memory of it 1
WRONG = {
    ("centres", "a centre with one pixel stays where it is: it goes there"): (
        9, "A: if group: => if len(group) > 1:", "B: np.where(counts > 0, => np.where(counts > 1,"),
    ("centres", "distances are not squared before they are summed: signs cancel"): (
        4, "A: sum((float(x) - float(y)) ** 2 for x, y in zip(a, b)) => "
        "abs(sum(float(x) - float(y) for x, y in zip(a, b)))",
        'B: np.einsum("nck,nck->nk", gap, gap) => np.abs(gap.sum(1))'),
    ("centres", "only the first channel is compared"): (
        4, "A: zip(a, b)) => zip(a[:1], b[:1]))",
        'B: np.einsum("nck,nck->nk", gap, gap) => gap[:, 0] ** 2'),
    ("centres", "each pixel goes to the farthest centre"): (
        3, "A: d.index(min(d)) => d.index(max(d))", "B: np.argmin => np.argmax"),
    ("centres", "the centre is the median of its pixels, not their mean"): (
        2, f"A: {MEAN} => np.median(np.array(group), axis=0)"),
    ("centres", "the centre is the sum of its pixels, not their mean"): (
        2, f"A: {MEAN} => sum(group)", "B: sums / np.maximum(counts, 1) => sums"),
    ("centres", "the mean is divided by all pixels, not by those of the centre"): (
        4, f"A: {MEAN} => sum(group) / (H * W)", "B: np.maximum(counts, 1) => len(x)"),
    ("centres", "the mean runs over the channels too"): (
        2, f"A: {MEAN} => np.mean(group)",
        "B: sums / np.maximum(counts, 1) => sums.mean(1)[:, None] / np.maximum(counts, 1)"),
    ("centres", "the centre becomes the first of its pixels"): (
        2, f"A: {MEAN} => group[0]"),
    ("centres", "a centre moves before all pixels have been assigned"): (
        4, "A: for row in image: => for row in []:\n"
        "if group: => if group := [p for p in image.reshape(-1, C) "
        "if min(range(len(new)), key=lambda i: distance(p, new[i])) == j]:"),
    ("centres", "of two centres at the same distance the last is taken"): (
        9, "A: d.index(min(d)) => len(d) - 1 - d[::-1].index(min(d))",
        "B: np.argmin(d, 1) => k - 1 - np.argmin(d[:, ::-1], 1)"),
    ("centres", "a centre without pixels goes to 0; it stays where it is"): (
        8, "A: new = centres.astype(image.dtype) => new = 0 * centres.astype(image.dtype)",
        "B: np.where(counts > 0, moved, centres) => moved"),
}  # fmt: skip
