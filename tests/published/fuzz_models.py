"""Load published folders with something wrong:

    python tests/published/fuzz_models.py N SEED FOLDER WORK

Each subfolder of FOLDER is a good one. Its configuration gets other values, or its tensors other
names and shapes; the mutant, in WORK, is loaded or it is a MinivitError, in little memory and time
(see fuzz_weights.py). Prints {"loaded": n, "refused": n, "slowest": seconds}.
"""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

import minivit
from minivit.engine.errors import MinivitError
from minivit.published.sentences import embed
from tests.published.fuzz_weights import limit_memory, mutated_tree, text_of


def mutant(rng, good, folder):
    """A copy of a good folder with one to three things changed."""
    shutil.copytree(good, folder)
    configs = sorted(folder.rglob("*.json"))  # those of its steps and its tokenizer, too
    if configs and rng.random() < 0.6:
        config = configs[rng.integers(len(configs))]
        content = json.loads(config.read_text())
        for _ in range(rng.integers(1, 4)):
            content = mutated_tree(rng, content)
        config.write_bytes(text_of(rng, content))
        return
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".npz"))
    file = files[rng.integers(len(files))]
    arrays = dict(np.load(file)) if file.suffix == ".npz" else load_file(file)
    for _ in range(rng.integers(1, 4)):
        if not arrays:  # a head without parameters
            break
        name = list(arrays)[rng.integers(len(arrays))]
        array = arrays.pop(name)
        match rng.integers(6):
            case 0:
                arrays[name + ".x"] = array
            case 1:
                arrays[name] = array.reshape(-1)
            case 2:
                arrays[name] = array[None]
            case 3:
                arrays[name] = array.ravel()[:0]
            case 4:
                arrays[name] = array.astype(np.int32)
    if file.suffix == ".npz":
        np.savez(file, **arrays)
    else:
        save_file({k: np.array(v, order="C") for k, v in arrays.items()}, file)


def use(found):
    """Calls at which a tokenizer with a field of a wrong kind would only fail now."""
    if found.sentences is not None and found.tokenizer is not None:
        embed(found, ["a b c", "abc"])
    if found.preprocess is not None:
        found.preprocess(np.zeros((9, 12, 3), np.uint8))


def main(n, seed, folder, work):
    goods = sorted(p for p in Path(folder).iterdir() if p.is_dir())
    for good in goods:
        minivit.load(good)
    limit_memory()
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("it hangs")))
    counts = {"loaded": 0, "refused": 0, "slowest": 0.0}
    for i in range(n):
        rng, bad = np.random.default_rng([seed, i]), Path(work) / "bad"
        mutant(rng, goods[i % len(goods)], bad)
        started = time.process_time()
        signal.alarm(60)  # a machine may be busy; `slowest` is processor time
        try:
            use(minivit.load(bad))
            counts["loaded"] += 1
        except MinivitError:
            counts["refused"] += 1
        except BaseException:
            print(f"mutant {i} of seed {seed}, {bad}, of {goods[i % len(goods)]}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
        counts["slowest"] = max(counts["slowest"], time.process_time() - started)
        shutil.rmtree(bad)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
