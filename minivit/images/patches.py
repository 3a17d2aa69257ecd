"""Patches: an image becomes a sequence.

Images are channels-last, (B, H, W, C). A patch is read row by row, pixel by pixel, its C channels
together; patches come in raster order, left to right, top to bottom.
"""

from minivit.engine.errors import DtypeError, ShapeError
from minivit.engine.record import function


def check_images(owner, images, H=None, W=None, C=None):
    """Refuse what is no batch of images (B, H, W, C), floats, as `owner` sees them; None: any."""
    expected = f"(B, {H or 'H'}, {W or 'W'}, {C or 'C'})"
    check_floats(owner, images, expected)
    shape, sides = images.shape, (H, W, C)
    if len(shape) != 4 or any(n not in (None, m) for n, m in zip(sides, shape[1:])):
        one = " One image x is x[None]." if len(shape) == 3 else ""
        raise ShapeError(f"{owner}: images: got shape {shape}, expected {expected}.{one}")


def check_floats(owner, images, expected="arrays"):
    """Refuse pictures in bytes: a network was trained on numbers about 0."""
    dtype = getattr(images, "dtype", None)
    if getattr(dtype, "kind", None) != "f":
        got = type(images).__name__ if dtype is None else f"dtype {dtype}"
        raise DtypeError(
            f"{owner}: images: got {got}, expected {expected} of floating-point numbers: of bytes "
            "`data.to_unit` or `icons.as_input` makes them, of a file a model's `preprocess`"
        )


@function
def patchify(images, P):
    """Steps 1 and 2 of the slide: (B, H, W, C) -> (B, N, P P C) with N = H W / P^2."""
    if images.ndim != 4:
        raise ShapeError(
            f"patchify: got shape {images.shape}, expected (B, H, W, C). One grey image x of (H, W)"
            " is x[None, :, :, None]."
        )
    B, H, W, C = images.shape
    if H % P or W % P:
        raise ShapeError(
            f"patchify: an image of {H} x {W} pixels does not divide into patches of {P} x {P}. "
            "Resize or crop it to multiples of the patch size."
        )
    h, w = H // P, W // P
    x = images.reshape(B, h, P, w, P, C).transpose(0, 1, 3, 2, 4, 5)  # (B, h, w, P, P, C)
    return x.reshape(B, h * w, P * P * C)


@function
def unpatchify(patches, P, H, W):
    """The image again: (B, N, P P C) -> (B, H, W, C); H, W in pixels."""
    B, N, features = patches.shape
    if H % P or W % P or N * P * P != H * W or features % (P * P):
        raise ShapeError(
            f"unpatchify: {N} patches of {features} numbers do not tile {H} x {W} pixels with "
            f"patches of {P} x {P}"
        )
    h, w, C = H // P, W // P, features // (P * P)
    x = patches.reshape(B, h, w, P, P, C).transpose(0, 1, 3, 2, 4, 5)  # (B, h, P, w, P, C)
    return x.reshape(B, H, W, C)
