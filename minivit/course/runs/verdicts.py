"""The rules of the verdicts that the long runs on icons give. They were committed before the runs.

Everywhere: rates, sizes and stopping are chosen on validation families, and nothing on the test's.
A run asks the test families at its end and keeps how many pictures of each family it got right.
(Two ask more: `iconnet deeper` in five places too, and `icon_clip objectives` along its way, as C13
is about the way. `iconnet together` asks two nets that were asked before.) An interval is of 95%:
Student's over seeds where nets are compared that differ in the seed (`of_seeds`), and where the
drawings are what could have been others, over families drawn again with replacement
(`of_families`). A verdict is "holds" or "does not hold" only if the interval excludes the other;
else "not at this size", and what was measured is printed either way.
"""

import math

import numpy as np

from minivit.engine.errors import ShapeError

POINT = 0.01  # of accuracy: what "as good as" allows


# -- intervals -------------------------------------------------------------------------------------
def of_seeds(values):
    """(mean, lower, upper) of numbers, one a seed: Student's t. Two at least."""
    from scipy.stats import t

    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2:
        raise ShapeError(f"of_seeds: got {values.shape}, expected (seeds,), two or more")
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def of_families(right, counts, other=None, draws=2000, seed=0):
    """(accuracy, lower, upper) of right[f] of counts[f] pictures of each family f: the bootstrap
    over families. right may be (seeds, families). other: the same of another net, and the result is
    of the difference, the same families drawn for both."""
    right, counts = np.atleast_2d(np.asarray(right, float)), np.asarray(counts, float)
    if right.shape[1:] != counts.shape or not counts.sum():
        raise ShapeError(f"of_families: got {right.shape} and {counts.shape}, expected (families,)")
    gain = right.mean(axis=0)
    if other is not None:
        gain = gain - np.atleast_2d(np.asarray(other, float)).mean(axis=0)
    chosen = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    some = gain[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    lower, upper = np.quantile(some, (0.025, 0.975))
    return float(gain.sum() / counts.sum()), float(lower), float(upper)


def _verdict(holds, fails):
    return "holds" if holds else "does not hold" if fails else "not at this size"


# -- the claims ------------------------------------------------------------------------------------
def C08(few, many, shuffled):
    """ViT does poorly with little data, for lack of a convolution's inductive bias; scale trumps.

    few, many: intervals of (ResNet - ViT) in accuracy at the smallest and the largest training set.
    shuffled: of (ResNet - the same ResNet with the pixels of all pictures in one shuffled order) at
    the smallest. *Holds*: few and shuffled lie above 0 (it is the order of pixels that the ResNet
    profits of), and at the largest the ResNet is at most a point ahead (many's upper end).
    *Does not hold*: few lies below 0, or many above one point: at this size data do not trump.
    """
    holds = few[1] > 0 and shuffled[1] > 0 and many[2] <= POINT
    return _verdict(holds, few[2] < 0 or many[1] > POINT)


def C10(slopes, farthest, uniform):
    """Attention distance grows with depth, and some heads look far already in the first layer.

    slopes: interval over seeds of the slope in pixels a layer. farthest: interval of what the
    farthest head of the first layer looks; uniform: what one that looks everywhere alike does.
    *Holds*: slopes above 0, and farthest's lower end at least `uniform` - 1 pixel. *Does not hold*:
    slopes below 0, or farthest's upper end under half of `uniform`.
    """
    holds = slopes[1] > 0 and farthest[1] >= uniform - 1
    return _verdict(holds, slopes[2] < 0 or farthest[2] < uniform / 2)


def C11(gain):
    """Strong weight decay on the head alone helps few-shot transfer.

    gain: interval over seeds of 10-shot accuracy with decay 3 on the head, minus that with the
    body's decay on it, on classes and families that were never trained. *Holds*: above 0. *Does not
    hold*: its upper end is under half a point: no help that one could see.
    """
    return _verdict(gain[1] > 0, gain[2] < POINT / 2)


def C12(pooled, adafactor, bytes_ratio):
    """Attention pooling can replace [class]; the modified Adafactor halves optimizer memory.

    pooled, adafactor: intervals over seeds of (MAP - [class]) and (Adafactor - AdamW), each with
    its rate. *Holds*: both lower ends above minus one point, and at most half of the bytes.
    *Does not hold*: an upper end below minus one point, or more than half of the bytes.
    """
    holds = pooled[1] > -POINT and adafactor[1] > -POINT and bytes_ratio <= 0.5
    return _verdict(holds, min(pooled[2], adafactor[2]) < -POINT or bytes_ratio > 0.5)


def C13(words, contrast):
    """Contrastive beats bag of words (4x), which beats captions (3x), in pictures needed.

    Intervals over seeds of log2 of: how many times fewer pictures the bag of words needs for what
    captions reach in the end; and contrastive training for what the bag of words reaches. *Holds*:
    both lower ends above 0 and means at least half of the slide's (1.5 and 2). *Does not hold*: an
    upper end below 0.
    """
    holds = min(words[1], contrast[1]) > 0
    holds = holds and words[0] >= math.log2(1.5) and contrast[0] >= math.log2(2)
    return _verdict(holds, min(words[2], contrast[2]) < 0)


def C14(naming, chance, suite):
    """A contrastively trained pair classifies by text alone, with no labelled image.

    naming: interval over families of zero-shot top-1 on concepts that no caption named; chance: of
    it. suite: interval over category sets of (zero-shot accuracy - the largest category's share).
    *Holds*: naming above 3 times chance, and suite above 0. *Does not hold*: naming's upper end
    under chance, or suite below 0.
    """
    holds = naming[1] > 3 * chance and suite[1] > 0
    return _verdict(holds, naming[2] < chance or suite[2] < 0)


def C15(ratio):
    """ViT encoders need about 3x less compute than the ResNets in CLIP.

    ratio: interval over seeds of log2 of the compute that the ResNets need for the ViTs' accuracy,
    over the ViTs' (interpolated in log FLOPs, outside of the ResNets' range that of the largest or
    smallest one; the geometric mean over the ViTs). *Holds*: above 1 (twice less). *Does not
    hold*: below 0 (the ViTs need more).
    """
    return _verdict(ratio[1] > 1, ratio[2] < 0)
