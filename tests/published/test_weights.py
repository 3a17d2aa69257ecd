"""Files of weights: what is right is read, what is broken is a CheckpointError."""

import copy
import functools
import io
import json
import operator
import os
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import save_file

from minivit import published
from minivit.engine.errors import CheckpointError
from minivit.published import weights
from minivit.published.weights import tensors
from tests.memory import traced


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


WHOLE = {"a": entry(0, 4), "b": entry(4, 8, "U8", (2, 2)), "c": entry(8, 8, "F64", (0, 3)),
         "__metadata__": {"format": "pt"}}  # fmt: skip
PLACES = [("a",), ("b",), ("a", "dtype"), ("b", "shape"), ("b", "shape", 0), ("a", "shape"),
          ("a", "data_offsets"), ("b", "data_offsets", 0), ("c", "data_offsets", 1),
          ("__metadata__",), ("__metadata__", "format"), ("d",),
          ("b", "data_offsets", 1)]  # fmt: skip
VALUES = [0, 1, 2, 4, 8, -1, 2**62, 2**64, 1.0, True, None, "F32", "I8", "BF16", "X", [], {},
          [1], [4], [4, 1], [0, 4], [4, 4], entry(8, 8, shape=(0,)), entry(4, 8)]  # fmt: skip


@given(st.sampled_from(PLACES), st.sampled_from(VALUES), st.sampled_from([-1, 0, 0, 1]))
def test_a_header_is_refused_where_the_package_refuses_it(place, value, more):
    """The safetensors package takes an integer's bool for none, and some dtypes that nobody has."""
    header = copy.deepcopy(WHOLE)
    where = functools.reduce(operator.getitem, place[:-1], header)
    where[place[-1]] = value
    content = file(header, bytes(8 + more))
    outcomes = []
    for reader in (safetensors.numpy.load, tensors.from_bytes):
        try:
            outcomes.append({n: (a.dtype, a.shape) for n, a in reader(content).items()})
        except (ValueError, KeyError, safetensors.SafetensorError):
            outcomes.append(None)
    theirs, ours = outcomes
    assert ours == theirs or "BF16" in str(header)


@pytest.mark.parametrize("dtype", ["BF16", *tensors.UNREAD])
def test_numbers_that_no_array_holds_are_refused(dtype):
    size = tensors.BYTES[dtype]
    with pytest.raises(ValueError, match=f"a: no array of NumPy holds numbers of {dtype}"):
        tensors.from_bytes(
            file({"a": {**entry(0, size), "dtype": dtype, "shape": [1]}}, bytes(size))
        )


@given(st.dictionaries(st.text(max_size=5), arrays(
    st.sampled_from(sorted(n.str for n in tensors.NAMES) + [">f4"]),
    array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)), max_size=4))  # fmt: skip
def test_what_is_written_the_package_reads_and_the_other_way_round(found):
    native = {n: a.astype(a.dtype.newbyteorder("="), order="C") for n, a in found.items()}
    transposed = {n: a.T.copy().T for n, a in found.items()}
    for back in (
        safetensors.numpy.load(tensors.to_bytes(transposed, {"format": "pt"})),
        tensors.from_bytes(safetensors.numpy.save(native)),
    ):
        assert set(back) == set(native)
        for name, a in native.items():
            assert back[name].dtype == a.dtype and back[name].shape == a.shape
            assert back[name].tobytes() == a.tobytes()


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
    index.unlink()
    with pytest.raises(CheckpointError, match=r"several: 1\.safetensors, 2\.safetensors"):
        weights.read(tmp_path)
    with pytest.raises(CheckpointError, match="found none"):
        weights.read(tmp_path / "..")


@pytest.mark.parametrize("length", [8, 7])  # numbers that lie at even places in memory, and not
def test_parameters_are_the_files_pages_and_the_file_stays_as_it_is(tmp_path, length):
    path, numbers = tmp_path / "a.safetensors", np.arange(6, dtype=np.float32)
    text = json.dumps({"a": entry(0, 24, shape=(2, 3))}).encode()
    text = text.ljust(-(-len(text) // 8) * 8 + length % 8)
    path.write_bytes(file(text, numbers.tobytes()))
    before = path.read_bytes()
    found = weights.read(path)
    found["a"][0, 0] = 7
    assert found["a"][0, 0] == (7 if length == 8 else 0)  # a page, copied; or read anew each time
    assert found["a"].flags.aligned and found["a"].flags.writeable
    assert path.read_bytes() == before and found.stored["a"][1:3] == ("F32", (2, 3))


# -- .npz ------------------------------------------------------------------------------------------
NUMBERS = st.sampled_from(["<f4", "<f8", "<f2", ">f4", "<i8", "|u1", "|b1", ">i4"])


@given(st.data(), st.booleans(), st.booleans())
def test_npz_files_are_read_as_numpy_reads_them(tmp_path_factory, data, packed, fortran):
    a = data.draw(arrays(data.draw(NUMBERS), array_shapes(min_dims=0, min_side=0, max_side=4)))
    a = np.asfortranarray(a) if fortran else a
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, **{"block/kernel": a, "b": np.ones(2)})
    found = weights.read(path)
    assert set(found) == {"block/kernel", "b"} and found.format == "npz"
    with np.load(path) as numpys:
        b = found["block/kernel"]
        np.testing.assert_array_equal(b, numpys["block/kernel"])
    assert b.dtype.isnative and b.flags.writeable
    assert b.dtype == (np.float32 if a.dtype == np.float16 else a.dtype.newbyteorder("="))


def test_bfloat16_in_an_npz_is_read(tmp_path):
    halves = np.array([0x3FC0, 0xC000], "<u2").view("V2")  # as JAX saves it: NumPy has no such type
    np.savez(tmp_path / "a.npz", a=halves)
    assert weights.read(tmp_path / "a.npz")["a"].tolist() == [1.5, -2]


def npz(path, members, **how):
    """A zip of (name, content); names may come twice."""
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, content in members:
            archive.writestr(name, content)


def npy(array=None, descr="'<f4'", shape="(2,)", data=bytes(8)):
    if array is not None:
        np.save(file := io.BytesIO(), array, allow_pickle=True)
        return file.getvalue()
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + data


LIES = {
    "objects are pickles": [("a.npy", npy(np.array([{}], object)))],
    "a name comes twice": [("a.npy", npy()), ("a.npy", npy())],
    "does not fit its 8 bytes": [("a.npy", npy(shape="(1000000000000000,)"))],
    "shape (-2,)": [("a.npy", npy(shape="(-2,)"))],
    "is not one of numbers": [("a.npy", npy(descr="[('x', '<f4')]"))],
    "complex64": [("a.npy", npy(descr="'<c8'", shape="(1,)"))],
    "'../a' is not the name": [("../a.npy", npy())],
    "'/a' is not the name": [("/a.npy", npy())],
    "is not a .npy file": [("a.txt", b"hello")],
    "magic string": [("a.npy", b"hello")],
    "is large and may not be safe": [("a.npy", npy(shape="(" + "1," * 1000 + ")"))],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("says", LIES)
def test_an_npz_that_lies_is_refused(tmp_path, says):
    npz(tmp_path / "a.npz", LIES[says])
    with pytest.raises(CheckpointError, match=r"a\.npz: cannot be read .*" + re.escape(says)):
        weights.read(tmp_path / "a.npz")


def test_a_zip_bomb_is_refused_before_it_takes_memory(tmp_path):
    one = npy(shape="(37500000,)", data=bytes(150_000_000))  # in 150 KB
    npz(tmp_path / "bomb.npz", [("a.npy", one)], compression=zipfile.ZIP_DEFLATED)
    del one
    with traced() as memory:
        with pytest.raises(CheckpointError, match="a zip bomb"):
            weights.read(tmp_path / "bomb.npz")
        assert memory()[1] < 1 << 20


def test_members_that_share_their_bytes_are_refused(tmp_path):
    path, data = tmp_path / "a.npz", np.ones(1000, np.float32)
    np.savez(path, a=data)
    content = path.read_bytes()
    at, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    entries = b"".join(content[at:end].replace(b"a.npy", b"%c.npy" % (97 + i)) for i in range(20))
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 20, 20, len(entries), at, 0)
    path.write_bytes(content[:at] + entries + end)
    with pytest.raises(CheckpointError, match="overlap"):
        weights.read(path)


def test_a_huge_zip_directory_is_not_read(tmp_path):
    names = [(f"{i:060}.npy", b"") for i in range(15_000)]
    npz(tmp_path / "a.npz", names)
    with pytest.raises(CheckpointError, match="its zip directory claims"):
        weights.read(tmp_path / "a.npz")


def test_a_changed_byte_in_an_npz_is_noticed(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.full(100_000, 1.5, np.float32))
    content = path.read_bytes()
    path.write_bytes(content[:200_000] + b"!" + content[200_001:])
    with pytest.raises(CheckpointError, match="not those that were written"):
        weights.read(path)["a"]


# -- pickles ---------------------------------------------------------------------------------------
def test_a_pickle_is_refused_by_its_name_or_its_content(tmp_path):
    import pickle

    class Malicious:
        def __reduce__(self):
            return Path.touch, (tmp_path / "it ran",)

    for name in ("model.pt", "pytorch_model.bin", "a.ckpt", "model.safetensors", "a.npz"):
        for protocol in range(2, 6):
            (tmp_path / name).write_bytes(pickle.dumps(Malicious(), protocol))
            with pytest.raises(CheckpointError, match=rf"torch\.load\('{re.escape(name)}'"):
                weights.read(tmp_path / name)
        npz(tmp_path / name, [("archive/data.pkl", pickle.dumps(Malicious()))])
        with pytest.raises(CheckpointError, match=rf"torch\.load\('{re.escape(name)}'"):
            weights.read(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"torch\.load\('not there\.pt'"):
        weights.read(tmp_path / "not there.pt")
    assert not (tmp_path / "it ran").exists()


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path):
    text = json.dumps({"a": entry(0, 4)}).encode().ljust(0x0480)
    (tmp_path / "a.safetensors").write_bytes(file(text, bytes(4)))
    assert weights.read(tmp_path / "a.safetensors")["a"].tolist() == [0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="not a file"):
        weights.read(tmp_path)


def test_what_is_neither_is_told(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CheckpointError, match="neither a safetensors file nor an"):
        weights.read(tmp_path / "model.h5")


@pytest.mark.parity
@pytest.mark.parametrize("script", [False, True])
def test_the_command_that_converts_does(tmp_path, script):
    import torch

    model = torch.nn.Linear(2, 3)
    if script:
        torch.jit.save(torch.jit.script(model), tmp_path / "m.pt")
    else:
        torch.save({"state_dict": model.state_dict()}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError) as refused:
        weights.read(tmp_path / "m.pt")
    code = re.search('-c "(.+)"$', str(refused.value))[1]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    found = weights.read(tmp_path)
    np.testing.assert_array_equal(found["weight"], model.weight.detach().numpy())


# -- thousands of broken files ---------------------------------------------------------------------
def fuzz(tmp_path, n, seed):
    """Counts of what became of n mutants, read in another process with little memory."""
    pytest.importorskip("resource", reason="memory is limited by POSIX's means")
    script = Path(__file__).parent / "fuzz_weights.py"
    done = subprocess.run(
        [sys.executable, script, str(n), str(seed), tmp_path], capture_output=True, text=True,
        timeout=600, env={**os.environ, "PYTHONPATH": str(script.parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("n", [1_500, pytest.param(30_000, marks=pytest.mark.slow)])
def test_mutants_are_read_or_refused_in_little_memory_and_time(tmp_path, n):
    found = fuzz(tmp_path, n, seed=n)
    assert found.pop("slowest") < 1
    assert sum(found.values()) == n and set(found) == {
        f"{form} {what}"
        for form in ("safetensors", "npz", "shards")
        for what in ("read", "refused")
    }


# -- what is around the tensors --------------------------------------------------------------------
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("name", ["model.safetensors", "vit.npz", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_named_as_one(name, tmp_path):
    (tmp_path / name).write_text(POINTER)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(CheckpointError, match="pointer of Git LFS"):
            weights.read(path)


def test_a_configuration_may_be_such_a_pointer(tmp_path):
    (tmp_path / "config.json").write_text(POINTER)
    with pytest.raises(CheckpointError, match="pointer of Git LFS"):
        published.read_config(tmp_path)


@given(st.integers(150, 5000), st.sampled_from("aé漢"))
def test_a_shard_of_a_name_that_no_file_can_have(tmp_path_factory, n, letter):
    folder = tmp_path_factory.mktemp("x")
    index = {"weight_map": {"a": letter * n}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError):
        weights.read(folder)


@given(st.lists(st.sampled_from(["module.", "_orig_mod."]), max_size=3))
def test_names_of_wrappers_are_taken_off(tmp_path_factory, wrappers):
    path, at = tmp_path_factory.mktemp("x") / "w.safetensors", "".join(wrappers)
    save_file({f"{at}a.b": np.ones(2, np.float32), f"{at}c": np.zeros(1, np.float32)}, path)
    assert set(weights.plain(weights.read(path))) == {"a.b", "c"}


def test_a_name_that_only_one_tensor_has_is_no_wrappers(tmp_path):
    save_file({"module.a": np.ones(2), "b": np.ones(1)}, tmp_path / "w.safetensors")
    assert set(weights.plain(weights.read(tmp_path / "w.safetensors"))) == {"module.a", "b"}


def test_names_that_would_meet_without_a_wrapper_stay(tmp_path):
    names = {"a._orig_mod.b", "a.b"}
    save_file({name: np.ones(2) for name in names}, tmp_path / "w.safetensors")
    assert set(weights.plain(weights.read(tmp_path / "w.safetensors"))) == names


def test_aliases_in_the_metadata(tmp_path):
    metadata = {"format": "pt", "tied": "a", "a": "a", "lost": "nothing"}
    save_file({"a": np.arange(3.0)}, tmp_path / "w.safetensors", metadata)
    arrays = weights.read(tmp_path / "w.safetensors")
    assert set(arrays) == {"a", "tied"} and np.array_equal(arrays["tied"], np.arange(3.0))
