"""Files of weights: what is right is read, what is broken is a CheckpointError."""

import json

import numpy as np
import pytest

from minivit.appendices import weights
from minivit.errors import CheckpointError


def file(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(start, end, dtype="F32", shape=(1,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize("dtype, numbers", [
    ("F32", np.float32([1.5, -2])), ("F16", np.float16([1.5, -2])),
    ("BF16", np.uint16([0x3FC0, 0xC000])),
])  # fmt: skip
def test_every_float_is_read(tmp_path, dtype, numbers):
    path = tmp_path / "a.safetensors"
    data = numbers.tobytes()
    path.write_bytes(file({"a": entry(0, len(data), dtype, (2,))}, data))
    a = weights.read(path)["a"]
    assert a.dtype == np.float32 and a.tolist() == [1.5, -2]


BROKEN = {
    "empty": b"",
    "huge header": file({}, length=2**63),
    "deep": file(b"[" * 100_000),
    "not an object": file(b"[]"),
    "twice": file(b'{"a":%s,"a":%s}' % ((json.dumps(entry(0, 4)).encode(),) * 2), bytes(4)),
    "outside": file({"a": entry(0, 400, shape=(100,))}, bytes(4)),
    "overlap": file({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)),
    "dtype": file({"a": entry(0, 4, "X9")}, bytes(4)),
    "negative": file({"a": entry(-4, 0)}, bytes(4)),
    "shape": file({"a": entry(0, 4, shape=(2**62, 8))}, bytes(4)),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(tmp_path, case):
    path = tmp_path / "a.safetensors"
    path.write_bytes(BROKEN[case])
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        weights.read(path)


def test_ten_thousand_mutants_are_read_or_refused(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "a.safetensors"
    good = file({"a": entry(0, 4), "b": entry(4, 8, "BF16", (2,))}, bytes(8))
    refused = 0
    for _ in range(10_000):
        bad = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            bad[rng.integers(len(bad))] = rng.integers(256)
        path.write_bytes(bad[: rng.integers(len(bad))] if rng.random() < 0.2 else bad)
        try:
            weights.read(path)
        except CheckpointError:
            refused += 1
    assert refused > 5000


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin"])
def test_a_pickle_is_refused_with_the_command_that_converts_it(tmp_path, name):
    with pytest.raises(CheckpointError, match=rf"torch\.load\('{name}'"):
        weights.read(tmp_path / name)


def test_shards(tmp_path):
    def shard(name):
        return file({name: entry(0, 4)}, np.float32(1).tobytes())

    (tmp_path / "1.safetensors").write_bytes(shard("a"))
    (tmp_path / "2.safetensors").write_bytes(shard("b"))
    index = tmp_path / weights.INDEX
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    assert set(weights.read(tmp_path)) == {"a", "b"}
    (tmp_path / "2.safetensors").write_bytes(shard("b")[:-1])
    with pytest.raises(CheckpointError, match=r"2\.safetensors"):
        weights.read(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(CheckpointError, match="not the name of a file"):
        weights.read(tmp_path)
