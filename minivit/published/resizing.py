"""Resizing a picture of bytes as torchvision does, to the byte.

transformers' default processors resize with it, and torchvision with PyTorch. The filters are
Pillow's, wider the more a picture shrinks; two things round elsewhere: the weights become integers
of 16 bits, w' = round(w 2^p) with the largest p for which they fit, and each of the two passes, the
columns first, rounds to bytes. (Source: compute_index_ranges_int16_weights in UpSampleKernel.cpp of
PyTorch 2.13, which does this where the processor has AVX2, or is of ARM.)
"""

import numpy as np

from minivit.engine.errors import OptionError


def _bilinear(x):
    return np.maximum(0, 1 - x)


def _bicubic(x):
    """Keys' kernel with -1/2."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


FILTERS = {"bilinear": (_bilinear, 1), "bicubic": (_bicubic, 2)}  # of |x|, and how far it reaches


def resize(image, H, W, resample):
    """(h, w, C) bytes -> (H, W, C) bytes."""
    if resample not in FILTERS:
        raise OptionError(
            f"torchvision's resizing is here for {', '.join(FILTERS)}, not for {resample!r}"
        )
    columns = _pass(image.transpose(1, 0, 2), W, resample)  # (W, h, C)
    return _pass(columns.transpose(1, 0, 2), H, resample)


def _pass(image, N, resample):
    """The first axis resized: (n, m, C) -> (N, m, C)."""
    n, m, C = image.shape
    spans, precision = _weights(n, N, resample)
    out = np.empty((N, m, C), np.uint8)
    for i, (first, weights) in enumerate(spans):  # sums below 2^53: exact in float64
        rows = image[first : first + len(weights)].reshape(len(weights), -1)
        sums = weights @ rows.astype(np.float64)  # (m C,)
        rounded = (sums.astype(np.int64) + (1 << precision - 1)) >> precision
        out[i] = rounded.clip(0, 255).reshape(m, C)
    return out


def _weights(n, N, resample):
    """([(first row, the weights of it and of those after it)] of each new row, their precision)."""
    kernel, reach = FILTERS[resample]
    scale = n / N
    stretch = max(scale, 1.0)
    spans = []
    for i in range(N):
        middle = scale * (i + 0.5)
        first = max(int(middle - reach * stretch + 0.5), 0)
        last = min(int(middle + reach * stretch + 0.5), n)
        w = kernel(np.abs((np.arange(first, last) - middle + 0.5) / stretch))
        spans.append((first, w / w.sum()))
    largest, precision = max(w.max() for _, w in spans), 0
    while precision < 22 and int(0.5 + largest * (1 << precision + 1)) < 1 << 15:
        precision += 1
    return [
        (first, np.trunc(w * (1 << precision) + np.where(w < 0, -0.5, 0.5))) for first, w in spans
    ], precision
