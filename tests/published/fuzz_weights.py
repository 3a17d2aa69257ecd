"""Read broken files by the thousand, with little memory:

    python tests/published/fuzz_weights.py N SEED FOLDER

A parent of good files is mutated, byte by byte and field by field, and each child is read whole. It
is read or it is a CheckpointError; anything else (another exception, a MemoryError under the limit,
over two seconds) ends the run with status 1 and says which. Prints {"read": n, "refused": n, ...}.
"""

import io
import json
import signal
import struct
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from minivit.engine.errors import CheckpointError
from minivit.published import weights

SPARE = 128 << 20  # bytes of memory beyond what is taken before the first file
NUMBERS = [
    -1,
    0,
    1,
    2,
    3,
    7,
    255,
    2**15,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**64,
    10**30,
]
TEXTS = ["", "F32", "BF16", "X9", "a", "../a", "__metadata__", "\0", "é" * 50, "C:\\a", ".", "..",
         "/etc/passwd", "CON", "a\nb", "x" * 300 + ".safetensors", "é" * 130, "1.safetensors/",
         "layer.0", "\ud800"]  # fmt: skip
DEEP = "nested very deeply"  # what `text_of` writes in its place


# -- good files ------------------------------------------------------------------------------------
def safetensors(rng):
    dtypes = {"F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "U8": 1, "BOOL": 1}
    header, at = {}, 0
    for i in range(rng.integers(1, 5)):
        dtype = str(rng.choice(list(dtypes)))
        shape = rng.integers(0, 5, rng.integers(0, 4)).tolist()
        size = dtypes[dtype] * int(np.prod(shape, dtype=int))
        header[f"layer.{i}"] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return header, rng.bytes(at)


def npy(rng):
    dtype = str(rng.choice(["<f4", "<f8", "<f2", ">f4", "|V2", "<i8", "|u1"]))
    shape = tuple(rng.integers(0, 5, rng.integers(0, 4)).tolist())
    data = rng.bytes(np.dtype(dtype).itemsize * int(np.prod(shape, dtype=int)))
    return {"descr": dtype, "fortran_order": bool(rng.integers(2)), "shape": shape}, data


# -- mutation --------------------------------------------------------------------------------------
def mutated_bytes(rng, good):
    bad = bytearray(good)
    for _ in range(rng.integers(1, 5)):
        i, j = sorted(rng.integers(0, len(bad) + 1, 2).tolist())
        match rng.integers(7):
            case 0 | 1 if bad:
                bad[min(i, len(bad) - 1)] = rng.integers(256)
            case 2:
                del bad[j:]
            case 3:
                bad[i:i] = rng.bytes(rng.integers(1, 9))
            case 4:
                bad[i:i] = bad[i:j]
            case 5:
                del bad[i : min(j, i + 8)]
            case 6:
                number = NUMBERS[rng.integers(len(NUMBERS))] % 2**64
                bad[i : i + 8] = struct.pack("<Q", number)
    return bytes(bad)


def mutated_tree(rng, tree):
    """Something else in one place of a JSON-like value."""
    if isinstance(tree, dict) and tree and rng.random() < 0.8:
        key = list(tree)[rng.integers(len(tree))]
        tree = dict(tree)
        value = tree.pop(key)
        if rng.random() < 0.1:
            return tree
        key = TEXTS[rng.integers(len(TEXTS))] if rng.random() < 0.1 else key
        return {**tree, key: mutated_tree(rng, value)}
    if isinstance(tree, (list, tuple)) and tree and rng.random() < 0.8:
        i = rng.integers(len(tree))
        return type(tree)([*tree[:i], mutated_tree(rng, tree[i]), *tree[i + 1 :]])
    odd = [None, True, [], {}, (), 0.5, float("nan"), float("inf"), [[1]], {"a": 1}, DEEP]
    other = [NUMBERS, TEXTS, odd]
    return (values := other[rng.integers(3)])[rng.integers(len(values))]


def text_of(rng, tree):
    """The JSON of a tree; what is to be DEEP is nested more than Python's parser goes."""
    text = json.dumps(tree)
    if f'"{DEEP}"' in text:
        n = int(rng.choice([500, 5_000, 200_000]))
        lists, objects = "[" * n + "]" * n, '{"a":' * n + "1" + "}" * n
        text = text.replace(f'"{DEEP}"', lists if rng.random() < 0.5 else objects)
    return text.encode()


def bad_safetensors(rng):
    header, data = safetensors(rng)
    if rng.random() < 0.15:  # tensors of several names, as save_model writes them
        names = [*header, "b", "c"]
        header["__metadata__"] = {
            str(rng.choice(names)): str(rng.choice(names)) for _ in range(rng.integers(1, 4))
        }
    if rng.random() < 0.6:
        for _ in range(rng.integers(1, 3)):
            header = mutated_tree(rng, header)
        text = text_of(rng, header)
        if rng.random() < 0.01:  # spaces may follow, but not by the megabyte
            text += b" " * int(rng.choice([9, 1 << 20, 17 << 20]))
        if rng.random() < 0.1:
            text = text.replace(b"layer.1", b"layer.0")
        return struct.pack("<Q", len(text)) + text + data
    text = json.dumps(header).encode()
    return mutated_bytes(rng, struct.pack("<Q", len(text)) + text + data)


def bad_npz(rng):
    """Members with wrong headers; or right ones, and then wrong bytes or a wrong directory."""
    fields, file = rng.random() < 0.4, io.BytesIO()
    form = zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", form) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that come twice
        for i in range(rng.integers(1, 4)):
            header, data = npy(rng)
            name = f"block_{i}/kernel.npy"
            if fields:
                header = mutated_tree(rng, header)
                if rng.random() < 0.2:
                    name = TEXTS[rng.integers(len(TEXTS))].replace("\0", "0") + ".npy"
                    name = name.replace("\ud800", "")  # which no zip can be written with
            text = repr(header).encode().ljust(118) + b"\n"
            if fields and rng.random() < 0.05:
                text = b"-" * rng.integers(1, 60_000)
            version = rng.integers(0, 4) if fields and rng.random() < 0.1 else 1
            length = struct.pack("<H" if version == 1 else "<I", min(len(text), 65535))
            archive.writestr(name, b"\x93NUMPY" + bytes([version, 0]) + length + text + data)
    good = file.getvalue()
    if fields:
        return good
    if rng.random() < 0.5:
        return mutated_bytes(rng, good)
    bad, start = bytearray(good), good.rindex(b"PK\1\2")
    for _ in range(rng.integers(1, 4)):  # sizes, offsets, methods, flags of the directory
        at, form = [(10, "<H"), (8, "<H"), (20, "<I"), (24, "<I"), (28, "<H"), (42, "<I")][
            rng.integers(6)
        ]
        limit = 2 ** (8 * struct.calcsize(form))
        struct.pack_into(form, bad, start + at, NUMBERS[rng.integers(len(NUMBERS))] % limit)
    return bytes(bad)


def bad_shards(rng, folder):
    """A folder of two shards with a wrong index, or a right one and a wrong shard."""
    header, data = safetensors(rng)
    index = {"metadata": {}, "weight_map": {name: "1.safetensors" for name in header}}
    text = json.dumps(header).encode()
    shard = struct.pack("<Q", len(text)) + text + data
    written = json.dumps(index).encode()
    match rng.integers(3):
        case 0:
            written = text_of(rng, mutated_tree(rng, index))
        case 1:
            written = mutated_bytes(rng, written)
        case 2:
            shard = mutated_bytes(rng, shard)
    (folder / weights.INDEX).write_bytes(written)
    (folder / "1.safetensors").write_bytes(shard)
    return folder


# -- the run ---------------------------------------------------------------------------------------
def limit_memory():
    import resource

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + SPARE, taken + SPARE))


def read(path):
    """The outcome of one file."""
    try:
        arrays = weights.read(path)
        for name in arrays:
            array = arrays[name]
            assert isinstance(array, np.ndarray) and array.shape == arrays.stored[name].shape
            assert array.dtype.kind in "iub" or array.dtype in (np.float32, np.float64)
            array.sum(dtype=float)
        return "read"
    except CheckpointError as error:
        assert error.args[0]
        return "refused"


def main(n, seed, folder):
    good = {"a": np.ones(3, np.float32)}  # read once, so that all is imported
    save_file(good, f"{folder}/good.safetensors")
    np.savez_compressed(f"{folder}/good.npz", **good)
    for form in ("safetensors", "npz"):
        assert read(Path(f"{folder}/good.{form}")) == "read"
    warnings.simplefilter("ignore")  # of Python's parser, about headers
    np.seterr(all="ignore")
    limit_memory()
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("it hangs")))
    counts, slowest, folder = {}, 0.0, Path(folder)
    for i in range(n):
        rng, form = np.random.default_rng([seed, i]), ("safetensors", "npz", "shards")[i % 16 % 3]
        path = folder / ("x." + form)
        if form == "shards":
            path = bad_shards(rng, folder)
        else:
            path.write_bytes(bad_safetensors(rng) if form == "safetensors" else bad_npz(rng))
        started = time.perf_counter()
        signal.alarm(2)
        try:
            outcome = read(path)
        except BaseException:
            print(f"mutant {i} of seed {seed}, {path}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - started)
        for file in folder.iterdir():  # not written over: ext4 then waits for the disk
            file.unlink()
        counts[f"{form} {outcome}"] = counts.get(f"{form} {outcome}", 0) + 1
    print(json.dumps({**counts, "slowest": round(slowest, 4)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
