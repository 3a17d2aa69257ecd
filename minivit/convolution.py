"""Convolution and pooling, for the networks that Transformers are compared with.

Images are channels-last, (B, H, W, C), as on the slides (`I[n, h, w, c]`) and in Pillow. A
convolution is patches times a matrix: every window becomes a row, and a Linear does the rest.
"""

from minivit import functions, nn
from minivit.engine import ops
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.record import function, op


def _offsets(shape, size, stride):
    """(i, j, slice): what cell (i, j) of all windows sees, each slice (B, H', W', C)."""
    (kh, kw), (_, H, W, _) = size, shape
    if H < kh or W < kw:
        raise ShapeError(f"the window {size} is larger than the image {(H, W)} (with its padding)")
    h, w = (H - kh) // stride + 1, (W - kw) // stride + 1
    for i in range(kh):
        for j in range(kw):
            rows = slice(i, i + stride * (h - 1) + 1, stride)
            columns = slice(j, j + stride * (w - 1) + 1, stride)
            yield i, j, (slice(None), rows, columns)


@op
def unfold(xp, x, /, size, stride=1):
    """Every window as a row: (B, H, W, C) -> (B, H', W', kh kw C).

    A pixel that is in several windows receives the sum of their gradients.
    """
    if x.ndim != 4:
        raise ShapeError(f"unfold: got shape {x.shape}, expected images (B, H, W, C)")
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise OptionError(f"unfold: size is {size!r}, expected (rows, columns)")
    nn.check_sizes("unfold: size", rows=size[0], columns=size[1])
    nn.check_sizes("unfold", stride=stride)
    shape, (kh, kw) = x.shape, size
    cells = [x[where] for _, _, where in _offsets(shape, size, stride)]
    rows = xp.stack(cells, axis=3)  # (B, H', W', kh kw, C)

    def vjp(g):
        g = g.reshape(rows_shape)
        dx = xp.zeros(shape, dtype=g.dtype)
        for i, j, where in _offsets(shape, size, stride):
            dx[where] += g[:, :, :, i * kw + j]
        return dx

    rows_shape = rows.shape
    return rows.reshape(*rows.shape[:3], kh * kw * x.shape[3]), vjp


@function
def conv2d(x, W, b=None, stride=1, padding=0):
    """Cross-correlation: (B, H, W, C) with W (out, kh, kw, C) -> (B, H', W', out)."""
    nn.check_sizes("conv2d", stride=stride)
    nn.check_sizes("conv2d", least=0, padding=padding)
    if x.ndim != 4 or W.ndim != 4 or x.shape[3] != W.shape[3]:
        raise ShapeError(
            f"conv2d: got images {x.shape} and a kernel {W.shape}, expected (B, H, W, C) and "
            "(out, kh, kw, C) with the same C"
        )
    if padding:
        x = ops.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    rows = unfold(x, W.shape[1:3], stride)  # (B, H', W', kh kw C)
    return functions.linear(rows, W.reshape(W.shape[0], -1), b)


@function
def avg_pool2d(x, size, stride=None):
    """The mean of each window: (B, H, W, C) -> (B, H', W', C). stride: size if not given."""
    return _windows("avg_pool2d", x, size, stride).mean(axis=3)


def _windows(name, x, size, stride):
    """(B, H, W, C) -> (B, H', W', size * size, C)."""
    stride = size if stride is None else stride
    nn.check_sizes(name, size=size, stride=stride)
    if x.ndim != 4:
        raise ShapeError(f"{name}: got shape {x.shape}, expected images (B, H, W, C)")
    rows = unfold(x, (size, size), stride)
    return rows.reshape(*rows.shape[:3], size * size, x.shape[3])


class Conv2d(nn.Module):
    """A learned convolution on channels-last images; weight (out, k, k, in)."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True):
        nn.check_sizes(self, in_channels=in_channels, out_channels=out_channels)
        nn.check_sizes(self, kernel_size=kernel_size, stride=stride)
        nn.check_sizes(self, least=0, padding=padding)
        self.stride, self.padding = stride, padding
        bound = (in_channels * kernel_size**2) ** -0.5
        shape = (out_channels, kernel_size, kernel_size, in_channels)
        self.weight = nn.Parameter(nn.uniform(shape, bound))
        self.bias = nn.Parameter(nn.uniform((out_channels,), bound)) if bias else None

    def forward(self, x):
        return conv2d(x, self.weight, self.bias, self.stride, self.padding)
