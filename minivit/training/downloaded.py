"""Larger data sets, for those with a network: downloaded once, then kept in ~/.cache/minivit, or in
the folder $MINIVIT_DATA.

from minivit.training import downloaded
split = downloaded.cifar10()
"""

import gzip
import hashlib
import importlib
import tarfile
from pathlib import Path

import numpy as np

from minivit import files
from minivit.engine.errors import DataError
from minivit.training.data import Split, to_unit

_CIFAR = (
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


def cifar10():
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 photographs, 32x32x3, of 10 kinds of things.

    A download of 170 MB on first use, kept in `files.cache_folder()`; 740 MB of memory as float32.
    """
    (train, train_labels), (test, test_labels) = _read_cifar(_fetch(*_CIFAR))
    classes = "airplane automobile bird cat deer dog frog horse ship truck"
    return Split(
        to_unit(train), train_labels, to_unit(test), test_labels, "cifar10", tuple(classes.split())
    )


def fashion_mnist():
    """Fashion-MNIST (Xiao et al. 2017): 60,000 and 10,000 pictures of clothes, 28x28x1.

    A download of 31 MB on first use, kept in `files.cache_folder()`.
    """
    paths = [_fetch(_FASHION + name, "md5:" + md5) for name, md5 in _FASHION_MD5.items()]
    train, train_labels, test, test_labels = (_read_idx(path) for path in paths)
    classes = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
    return Split(
        to_unit(train)[..., None],
        train_labels.astype(np.int64),
        to_unit(test)[..., None],
        test_labels.astype(np.int64),
        "fashion-mnist",
        tuple(classes.split(",")),
    )


def _fetch(url, known_hash):
    """The path of a downloaded file, once it is there and its checksum is right."""
    path = files.cache_folder() / url.rsplit("/", 1)[1]
    if not path.exists():
        try:
            pooch = importlib.import_module("pooch")
            pooch.retrieve(url, known_hash, fname=path.name, path=path.parent)
        except Exception as reason:  # not installed, offline, refused, or another file
            raise DataError(
                f"{path.name} is not here and could not be downloaded ({reason}). Either "
                f"`pip install pooch` and go online, or fetch {url} yourself and put it at {path}"
            ) from reason
    algorithm, expected = known_hash.split(":")
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != expected:
        raise DataError(
            f"{path} has {algorithm} {found}, expected {expected}: it is damaged or another file. "
            f"Delete it, and fetch {url} again"
        )
    return path


def _read_cifar(path):
    """The binary version: records of a label byte and 3 x 32 x 32 bytes, plane by plane."""

    def read(names):
        data = b"".join(tar.extractfile(f"cifar-10-batches-bin/{n}.bin").read() for n in names)
        records = np.frombuffer(data, dtype=np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # -> (N, H, W, C)
        return np.ascontiguousarray(images), records[:, 0].astype(np.int64)

    with tarfile.open(path) as tar:
        return read([f"data_batch_{i}" for i in range(1, 6)]), read(["test_batch"])


def _read_idx(path):
    """MNIST's format: two zeros, 8 for bytes, the number of axes, the lengths, the bytes."""
    data = gzip.decompress(Path(path).read_bytes())
    zero, kind, axes = data[:2], data[2], data[3]
    if zero != b"\0\0" or kind != 8:
        raise DataError(f"{path} begins with {data[:4].hex()}, expected an idx file of bytes")
    shape = np.frombuffer(data, dtype=">i4", count=axes, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)
