"""digits.npz: 1,797 handwritten digits of 8x8 pixels and 17 grey levels, out of scikit-learn."""

import gzip
import tempfile

import numpy as np
from packages import from_pypi, save_npz

with tempfile.TemporaryDirectory() as folder:
    wheel = from_pypi("scikit-learn==1.9.1", folder)
    table = gzip.decompress(wheel.read("sklearn/datasets/data/digits.csv.gz")).decode()

rows = np.array([line.split(",") for line in table.split()], dtype=float).astype(np.uint8)
save_npz("digits.npz", images=rows[:, :64].reshape(-1, 8, 8), labels=rows[:, 64])
