"""An .npz file as google-research publishes ViT: a zip of .npy files, one a tensor.

A zip can lie: a few bytes that unpack to terabytes, two members of one name, members that share
their bytes. All that is judged from the directory and the first bytes of each member, before any
tensor gets memory; a pickled array (dtype object) is refused.
"""

import math
import zipfile
import zlib

import numpy as np

from minivit.published.weights.numbers import Stored, read_plain

DIRECTORY = 1 << 20  # bytes of the zip's directory: ViT-G's has a tenth of that
COMMENT = 1 << 17  # bytes in which the end of the directory is looked for
HEADER = 1_000  # characters of a .npy header: 118 is usual
RATIO = 20  # weights hardly compress: at most this many bytes from one
FREE = 64 << 20  # bytes that may come from anything (a head of zeros compresses well)
FORMS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # what NumPy writes


class _Reluctant:
    """A file that gives the zip reader no more than it needs for an honest directory."""

    def __init__(self, file):
        self.seek, self.tell, self.seekable, self.file = file.seek, file.tell, file.seekable, file

    def read(self, n=-1):
        n = COMMENT if n < 0 else n
        if n > DIRECTORY:
            raise ValueError(f"its zip directory claims {n} bytes")
        return self.file.read(n)


def names(path):
    """The names of the zip's members."""
    with open(path, "rb") as file, zipfile.ZipFile(_Reluctant(file)) as archive:
        return archive.namelist()


def stored(path):
    """{name: Stored} of the file; what is wrong with it raises."""
    with open(path, "rb") as file, zipfile.ZipFile(_Reluctant(file)) as archive:
        members = archive.infolist()
        if len({m.filename for m in members}) != len(members):
            raise ValueError("a name comes twice in it")
        size = file.seek(0, 2)
        if (packed := sum(m.compress_size for m in members)) > size:
            raise ValueError(f"its members claim {packed} bytes of {size}: they overlap")
        if (unpacked := sum(m.file_size for m in members)) > RATIO * size + FREE:
            raise ValueError(f"{size} bytes that claim to unpack to {unpacked}: a zip bomb")
        return dict(_member(path, file, archive, m) for m in members)


def _member(path, file, archive, member):
    name = member.filename.removesuffix(".npy")
    if name == member.filename or member.compress_type not in FORMS:
        raise ValueError(f"{name!r} is not a .npy file as NumPy packs it")
    if name.startswith("/") or "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise ValueError(f"{name!r} is not the name of a tensor")
    with archive.open(member) as npy:
        shape, fortran, dtype = _header(npy)
        start = npy.tell()
    kind = "bfloat16" if dtype == np.dtype("V2") else dtype  # as JAX saves it
    if kind != "bfloat16" and (dtype.kind not in "fiub" or dtype.itemsize > 8):
        raise ValueError(f"{name}: dtype {dtype} is not one of numbers (objects are pickles)")
    if math.prod(shape) * dtype.itemsize != member.file_size - start:
        raise ValueError(f"{name}: shape {shape} does not fit its {member.file_size - start} bytes")
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
        raise ValueError(f"{name}: not compressed, and yet of two sizes")
    file.seek(member.header_offset + 26)
    lengths = file.read(4)  # of the name and the extra field that follow the 30 bytes of the header
    offset = member.header_offset + 30 + sum(np.frombuffer(lengths, "<u2").tolist())

    def read():
        with open(path, "rb") as file:
            if member.compress_type == zipfile.ZIP_STORED:
                file.seek(offset)
                npy = _Summed(file)
            else:
                npy = _Summed(zipfile.ZipFile(file).open(member))
            npy.readinto(bytearray(start))
            array = read_plain(npy, kind, shape, "F" if fortran else "C")
            if npy.sum != member.CRC:
                raise ValueError(f"{name}: its bytes are not those that were written (CRC-32)")
            return array

    return name, Stored(path, str(kind), shape, read)


class _Summed:
    """A file that keeps the checksum of what was read."""

    def __init__(self, file):
        self.file, self.sum = file, 0

    def readinto(self, buffer):
        n = self.file.readinto(buffer)
        self.sum = zlib.crc32(memoryview(buffer)[:n], self.sum)
        return n


def _header(file):
    """(shape, whether columns lie side by side, dtype) of a .npy file."""
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f".npy version {version} is not read")
    try:
        shape, fortran, dtype = readers[version](file, max_header_size=HEADER)
    except MemoryError:  # what Python's parser says of deep nesting
        raise ValueError("the header of a .npy file in it is nested too deeply") from None
    if len(shape) > 8 or any(n < 0 for n in shape):
        raise ValueError(f"shape {shape}")
    return shape, fortran, dtype
