"""Photographs from files: every kind that Pillow writes, and those that are broken."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.engine.errors import DataError, OptionError, ShapeError
from minivit.images import pictures

Image = pytest.importorskip("PIL.Image")

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


def file(array, format="PNG", mode=None, **options):
    image = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def unit(bytes):
    return bytes.astype(np.float32) / np.float32(127.5) - 1


# -- what comes ------------------------------------------------------------------------------------
def test_colour_comes_as_it_is_from_a_path_and_from_bytes(tmp_path):
    (tmp_path / "cat.png").write_bytes(file(RGB))
    for source in (tmp_path / "cat.png", str(tmp_path / "cat.png"), file(RGB)):
        image = pictures.read(source)
        assert image.dtype == np.float32
        assert np.array_equal(image, unit(RGB))


def test_grey_is_repeated_and_colour_becomes_luma():
    assert np.array_equal(pictures.read(file(GREY)), np.repeat(unit(GREY)[:, :, None], 3, axis=2))
    luma = np.asarray(Image.fromarray(RGB).convert("L"))
    found = pictures.read(file(RGB), channels=1)
    assert found.shape == (6, 9, 1)
    assert np.abs(found[:, :, 0] - unit(luma)).max() < 1 / 127.5
    assert np.allclose(pictures.read(file(GREY), channels=1)[:, :, 0], unit(GREY), atol=1e-6)


def test_one_bit_is_black_and_white():
    bits = np.zeros((4, 4), bool)
    bits[1] = True
    assert np.array_equal(pictures.read(file(bits))[:, :, 0], np.where(bits, 1, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white_and_half_is_half(mode):
    rgba = np.dstack([np.zeros((1, 3, 3), np.uint8), np.uint8([[0, 51, 255]])])
    found = pictures.read(file(rgba, mode=mode))
    assert np.allclose(found[0, :, 0], [1, 1 - 2 * 51 / 255, -1], atol=1e-6)


def test_a_palette_is_looked_up_and_its_transparent_colour_is_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    plain, holes = io.BytesIO(), io.BytesIO()
    image.save(plain, "PNG")
    image.save(holes, "PNG", transparency=0)
    assert np.array_equal(
        pictures.read(plain.getvalue()), unit(np.array([[[10, 20, 30], [200, 100, 50]]]))
    )
    assert pictures.read(holes.getvalue())[0, 0].tolist() == [1, 1, 1]


def png(pixels, bits, kind, transparent):
    """A PNG as Pillow does not write it: (h, w) greys or (h, w, 3) colours of 1 to 16 bits."""
    rows = pixels.reshape(len(pixels), -1)
    if bits == 16:
        lines = [row.astype(">u2").tobytes() for row in rows]
    else:
        planes = [(row[:, None] >> np.arange(bits)[::-1] & 1).ravel() for row in rows]
        lines = [np.packbits(plane.astype(np.uint8)).tobytes() for plane in planes]
    height, width = pixels.shape[:2]
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)),
        (b"tRNS", np.array(transparent, ">u2").tobytes()),
        (b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines))), (b"IEND", b""),
    ]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x))
        for name, x in parts
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@given(st.integers(0, 2**32 - 1))
def test_one_grey_may_be_transparent_whatever_the_bits(bits, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 2**bits, (5, 7))
    hidden = pixels[2, 3]
    expected = np.where(pixels == hidden, 1, pixels / (2**bits - 1) * 2 - 1)
    content = png(pixels, bits, 0, hidden)
    np.testing.assert_allclose(pictures.read(content)[:, :, 0], expected, atol=1e-2)
    seen = np.asarray(pictures.rgb(pictures.picture(content)))[:, :, 0]
    np.testing.assert_allclose(seen / 127.5 - 1, expected, atol=1e-2)


@given(st.integers(0, 2**32 - 1))
def test_one_colour_of_sixteen_bits_may_be_transparent(seed):
    pixels = np.random.default_rng(seed).integers(0, 1 << 16, (4, 6, 3))
    expected = pixels / 65535 * 2 - 1
    expected[1, 2] = 1
    found = pictures.read(png(pixels, 16, 2, pixels[1, 2]))
    np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_range(format):
    deep = np.array([[0, 256, 32768, 65535]], np.uint16)
    found = pictures.read(file(deep, format))[0, :, 0]
    assert np.allclose(found, deep[0] / 32767.5 - 1, atol=1e-6)  # not cut at 255


@pytest.mark.parametrize("largest", [1, 40, 255])
def test_integers_that_all_are_bytes_are_a_picture_of_bytes(largest):
    """Mode I says nothing of the range: a picture of bytes came out black."""
    values = np.linspace(0, largest, 12).astype(np.int32).reshape(3, 4)
    found = pictures.read(file(values, "TIFF"))
    assert np.allclose(found, values[:, :, None] / 127.5 - 1, atol=1e-6)
    as_bytes = np.asarray(pictures.rgb(Image.fromarray(values)))
    assert (as_bytes == values[:, :, None]).all()


def test_a_measurement_is_not_a_photograph():
    with pytest.raises(DataError, match="measurement"):
        pictures.read(file(np.array([[0.5, 1e6]], np.float32), "TIFF"))


@pytest.mark.parametrize("mode, format", [("CMYK", "JPEG"), ("YCbCr", "JPEG"), ("L", "WEBP")])
def test_other_ways_to_write_colours(mode, format):
    flat = np.full((16, 16, 3), (200, 120, 40), np.uint8)
    found = pictures.read(file(flat, format, mode))
    expected = np.full(3, 200 * 0.299 + 120 * 0.587 + 40 * 0.114) if mode == "L" else flat[0, 0]
    assert np.abs((found[8, 8] + 1) * 127.5 - expected).max() < 5


TURNED = {2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud,
          5: lambda x: x.swapaxes(0, 1), 6: lambda x: np.rot90(x, -1),
          7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: np.rot90}  # fmt: skip


@pytest.mark.parametrize("orientation", [1, *TURNED])
def test_a_picture_taken_sideways_is_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = TURNED.get(orientation, lambda x: x)(RGB)
    assert np.array_equal(pictures.read(file(RGB, exif=exif.tobytes())), unit(upright))


def test_of_an_animation_the_first_frame_is_read():
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert pictures.read(out.getvalue())[0, 0].tolist() == [1, -1, -1]


# -- what is broken --------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
def test_a_file_cut_off_anywhere_is_refused(format):
    whole = file(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8), format)
    for share in (0.02, 0.3, 0.6, 0.9):
        with pytest.raises(DataError, match=r"damaged|not an image"):
            pictures.read(whole[: int(share * len(whole))])


def test_a_flipped_bit_is_found():
    broken = bytearray(file(RGB))
    broken[len(broken) // 2] ^= 255
    with pytest.raises(DataError, match="damaged"):
        pictures.read(bytes(broken))


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"<html>not found</html>", bytes(100)])
def test_what_is_not_an_image_is_refused(content):
    with pytest.raises(DataError, match="not an image"):
        pictures.read(content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        pictures.read(tmp_path / "no.png")
    with pytest.raises(DataError, match="cannot be read"):
        pictures.read(tmp_path)


def bomb(side):
    """A PNG of a few bytes that says it has side x side pixels."""

    def chunk(kind, content):
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000, 2**31 - 1])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(side):
    with pytest.raises(DataError, match=r"pixels|not an image"):
        pictures.read(bomb(side))


def test_the_limit_is_the_callers():
    assert pictures.read(file(RGB), most_pixels=54).shape == (6, 9, 3)
    with pytest.raises(DataError, match=r"9 x 6 pixels.*expected at most 53.*most_pixels"):
        pictures.read(file(RGB), most_pixels=53)
    with pytest.raises(OptionError, match="channels is 4"):
        pictures.read(file(RGB), channels=4)


# -- size ------------------------------------------------------------------------------------------
def test_a_whole_factor_is_the_mean_of_blocks():
    x = np.random.default_rng(0).standard_normal((6, 8, 3))
    blocks = x.reshape(3, 2, 2, 4, 3).mean(axis=(1, 3))
    assert np.allclose(pictures.resize(x, 3, 2), blocks)
    assert np.allclose(pictures.resize(x, 6, 8), x)
    twice = pictures.resize(x, 12, 16)
    assert np.allclose(twice, x.repeat(2, axis=0).repeat(2, axis=1))


@given(*[st.integers(1, 9)] * 4)
def test_resizing_keeps_the_mean_and_the_range(h, w, H, W):
    x = np.random.default_rng(h * w).random((h, w, 2)).astype(np.float32)
    y = pictures.resize(x, H, W)
    assert y.shape == (H, W, 2) and y.dtype == np.float32
    assert np.allclose(y.mean(axis=(0, 1)), x.mean(axis=(0, 1)), atol=1e-5)
    assert y.min() >= x.min() - 1e-5 and y.max() <= x.max() + 1e-5


def test_resize_is_pillows_box_filter():
    theirs = np.asarray(Image.fromarray(RGB).resize((3, 3), Image.Resampling.BOX))
    ours = (pictures.resize(unit(RGB), 3, 3) + 1) * 127.5
    assert np.abs(ours - theirs).max() < 1  # theirs is rounded twice


def test_the_middle_square():
    found = pictures.square(file(RGB), 6)
    assert np.allclose(found, unit(RGB)[:, 1:7], atol=1e-6)
    assert pictures.square(file(RGB), 2, channels=1).shape == (2, 2, 1)
    with pytest.raises(ShapeError, match="resize"):
        pictures.resize(RGB[0], 2, 2)
    with pytest.raises(ShapeError, match="to 0 x 2"):
        pictures.resize(unit(RGB), 0, 2)
