"""Photographs from files: whatever comes, an image (H, W, C) float32 in [-1, 1].

    image = images.read("cat.jpg")             # upright, on white, as large as it is
    small = images.square("cat.jpg", 32)       # the middle square, averaged down to 32x32

Files lie about what they are: a telephone stores a picture on its side and says so in EXIF, a PNG
may be grey, have a palette, an alpha channel or 16 bits, a download may be cut off, and a file of a
kilobyte may unpack to gigabytes. A file that cannot be read is a DataError that says why.
"""

import contextlib
import importlib
import io
import os
import warnings
from pathlib import Path

import numpy as np

from minivit import files, nn
from minivit.engine.errors import DataError, DtypeError, OptionError, ShapeError
from minivit.engine.record import function

MOST_PIXELS = 64_000_000  # of one image: 256 MB as RGBA bytes


@function
def read(source, channels=3, most_pixels=MOST_PIXELS):
    """An image file (a path, or its bytes) as (H, W, channels) float32 in [-1, 1].

    channels: 3 (RGB; grey is repeated) or 1 (ITU-R 601 luma, as Pillow's "L"). Transparent parts
    are put on white; EXIF's orientation is applied; of an animation the first frame is read.
    """
    if channels not in (1, 3):
        raise OptionError(f"read: channels is {channels!r}, expected 1 or 3")
    image = picture(source, most_pixels)
    with named(source), _damage(source):
        values = _values(image)
    return values if channels == 3 else values @ np.float32([[0.299], [0.587], [0.114]])


@function
def picture(source, most_pixels=MOST_PIXELS):
    """An image file (a path, or its bytes) as a Pillow image, unpacked and upright."""
    name, content = _content(source)
    pil = pillow("Image")
    try:
        with warnings.catch_warnings():  # the limit is ours, below
            warnings.simplefilter("ignore", pil.DecompressionBombWarning)
            image = pil.open(io.BytesIO(content))
    except pil.UnidentifiedImageError as reason:
        what = f"it starts with {content[:8]!r}" if content else "it is empty"
        raise DataError(f"{name}: not an image that can be read ({what})") from reason
    except Exception as reason:
        raise DataError(
            f"{name}: not an image that can be read ({type(reason).__name__}: {reason})"
        ) from reason
    width, height = image.size
    if width * height > most_pixels:  # before a single pixel is unpacked
        raise DataError(
            f"{name}: {width} x {height} pixels in {len(content):,} bytes; expected at most "
            f"{most_pixels:,} pixels. If you trust the file, raise most_pixels"
        )
    with _damage(source):
        image.load()
        _scale_transparency(image, content)
        return pillow("ImageOps").exif_transpose(image)


def _scale_transparency(image, content):
    """Pillow 13 spreads the greys of 2 and 4 bits over 0..255, and cuts colours of 16 bits to
    bytes, but not the one that a PNG calls transparent: it would be none of the picture's."""
    level = image.info.get("transparency")
    if image.format == "PNG" and isinstance(level, (int, tuple)):
        bits = content[24]  # of the header, IHDR
        if bits in (2, 4) and image.mode == "L":
            image.info["transparency"] = level * 255 // (2**bits - 1)
        elif bits == 16 and image.mode == "RGB":
            image.info["transparency"] = tuple(n >> 8 for n in level)


@function
def rgb(image):
    """A Pillow image in 8-bit RGB; what is transparent is put on white, as in `read`."""
    with _damage("the picture"):
        if image.mode.startswith("I") or image.mode == "F":
            values = np.rint((_values(image) + 1) * 127.5).astype(np.uint8)
            return pillow("Image").fromarray(values)
        if image.mode in ("La", "RGBa"):  # colours multiplied by their opacity
            image = image.convert(image.mode.upper())
        if transparent(image):
            white = pillow("Image").new("RGBA", image.size, (255, 255, 255, 255))
            image = pillow("Image").alpha_composite(white, image.convert("RGBA"))
        return image.convert("RGB")


@function
def transparent(image):
    """May a Pillow image have transparent parts?"""
    return "A" in image.getbands() or "transparency" in image.info


def _content(source):
    if isinstance(source, bytes):
        return _name(source), source
    if not isinstance(source, (str, os.PathLike)):
        raise DtypeError(
            f"picture: got {type(source).__name__}, expected the path of a file, or its bytes (a "
            "model's preprocess takes a Pillow image or an array too); one picture at a time"
        )
    if str(source) == "":
        raise DataError("the name of the picture is empty, expected the path of a file")
    try:
        content = Path(source).read_bytes()
    except (OSError, ValueError) as reason:  # ValueError: a null character
        why = getattr(reason, "strerror", None) or reason
        raise DataError(f"{source}: cannot be read ({why})") from reason
    if content.startswith(files.POINTER):
        raise DataError(f"{source}: cannot be read ({files.NOT_FETCHED})")
    return str(source), content


def _name(source):
    return f"{len(source):,} bytes" if isinstance(source, bytes) else str(source)


@contextlib.contextmanager
def named(source):
    """Of many pictures, an error says which one is meant, where it is a file."""
    try:
        yield
    except DataError as reason:
        if not isinstance(source, (str, Path)) or str(source) in str(reason):
            raise
        raise DataError(f"{source}: {reason}") from reason


@contextlib.contextmanager
def _damage(source):
    """Each format has its own errors: OSError, SyntaxError, struct.error ..."""
    try:
        yield
    except DataError:
        raise
    except Exception as reason:
        raise DataError(
            f"{_name(source)}: damaged or cut off ({type(reason).__name__}: {reason}); fetch it "
            "again"
        ) from reason


def _values(image):
    """Any mode of Pillow -> (H, W, 3) in [-1, 1]."""
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would cut 16-bit greys at 255: an almost white picture
        grey = np.asarray(image).astype(np.float32)
        if image.mode == "F" or grey.min() < 0 or grey.max() > 65535:
            raise DataError(
                f"a measurement rather than a photograph: mode {image.mode}, values "
                f"{grey.min():g} to {grey.max():g}; scale it to 0..65535 first"
            )
        # mode I says nothing of the range: values that all are bytes were meant as bytes
        white = 255 if image.mode == "I" and grey.max() <= 255 else 65535
        grey = np.where(grey == image.info.get("transparency"), white, grey)
        return np.repeat(grey[:, :, None] / np.float32(white / 2) - 1, 3, axis=2)
    if transparent(image):
        rgba = np.asarray(image.convert("RGBA")).astype(np.float32)
        alpha = rgba[:, :, 3:] / 255
        return (rgba[:, :, :3] * alpha + 255 * (1 - alpha)) / np.float32(127.5) - 1
    return np.asarray(image.convert("RGB")) / np.float32(127.5) - 1


def pillow(part):
    try:
        return importlib.import_module(f"PIL.{part}")
    except ImportError as reason:
        raise ImportError("images are read by Pillow: pip install pillow") from reason


# -- size ------------------------------------------------------------------------------------------
@function
def resize(image, H, W):
    """Area averages: (h, w, C) -> (H, W, C). Each new pixel is the mean of the area that it covers;
    a matrix from the left for the rows, one from the right for the columns."""
    if not (nn.is_integer(H) and nn.is_integer(W)):
        raise OptionError(f"resize: got a size of {H!r} x {W!r}, expected integers")
    if image.ndim != 3 or min(*image.shape, H, W) < 1:
        raise ShapeError(f"resize: got {image.shape} to {H} x {W}, expected (h, w, C), sizes >= 1")
    rows, columns = _averages(image.shape[0], H), _averages(image.shape[1], W)
    return np.einsum("Hh,hwc,Ww->HWc", rows, image, columns, optimize=True).astype(image.dtype)


def _averages(n, N):
    """(N, n): row i holds which share each old pixel has in new pixel i; rows sum to 1."""
    edges = np.arange(N + 1) * (n / N)
    left, right = (
        np.maximum.outer(edges[:-1], np.arange(n)),
        np.minimum.outer(edges[1:], np.arange(1, n + 1)),
    )
    return np.maximum(right - left, 0) * (N / n)


@function
def middle_square(image):
    """The largest square in the middle: (h, w, C) -> (s, s, C), s = min(h, w)."""
    h, w = image.shape[:2]
    s = min(h, w)
    top, left = (h - s) // 2, (w - s) // 2
    return image[top : top + s, left : left + s]


@function
def square(source, side, channels=3):
    """`read`, then the middle square, then `resize`: (side, side, channels)."""
    return resize(middle_square(read(source, channels)), side, side)
