"""Checkpoints: a folder with the weights, the optimizer's memory and everything else a run needs.

    step-000400/config.json             with these two, minivit.load reads the model
                model.safetensors       {name: array}, readable by any safetensors library
                optimizer.safetensors
                state.json              step, random state, history, and a SHA-256 of each file

A folder is written whole or not at all (files.py). No pickle is ever read.
"""

import hashlib
import json
import shutil
from pathlib import Path

from minivit import files
from minivit.engine.errors import CheckpointError
from minivit.published import own
from minivit.published.weights.tensors import from_bytes, to_bytes


def save(folder, step, state, config=None, **arrays):
    """Write `folder/step-NNNNNN` with state.json and one safetensors file for each of `arrays`
    (name -> {tensor name: NumPy array}); returns its path. config: what config.json says, if the
    model can be described (published/own.py)."""
    final, digests = Path(folder) / f"step-{step:06d}", {}
    with files.writing_folder(final) as new:
        for name, tensors in arrays.items():
            content = to_bytes(tensors)
            digests[f"{name}.safetensors"] = hashlib.sha256(content).hexdigest()
            (new / f"{name}.safetensors").write_bytes(content)
        state = {**state, "step": step, "sha256": digests}
        (new / "state.json").write_text(json.dumps(state), encoding="utf-8")
        if config is not None:
            (new / "config.json").write_text(own.text_of(config), encoding="utf-8")
    return final


def load(path):
    """(state, {name: {tensor name: array}}) of one checkpoint folder; a CheckpointError names the
    file that is missing, truncated or changed."""
    path = Path(path)
    files.finish(path)
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        digests, arrays = dict(state["sha256"]), {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(_broken(path / "state.json", error)) from error
    for name, digest in digests.items():
        try:
            content = (path / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != digest:
                raise ValueError(
                    f"its SHA-256 is not the one in state.json ({len(content)} bytes: truncated "
                    "or changed after it was written)"
                )
            arrays[Path(name).stem] = from_bytes(content)
        except (OSError, ValueError, KeyError, RecursionError) as error:
            raise CheckpointError(_broken(path / name, error)) from error
    return state, arrays


def _broken(file, error):
    others = [p.name for p in checkpoints(file.parent.parent) if p != file.parent]
    instead = f"Other checkpoints there: {', '.join(others)}." if others else "There is no other."
    return f"checkpoint: {file.parent.name}/{file.name} cannot be used: {error}. {instead}"


def checkpoints(folder):
    """The checkpoints in a run's folder, oldest first."""
    found = [p for p in Path(folder).glob("step-*") if p.is_dir() and p.name[5:].isdecimal()]
    return sorted(found, key=lambda p: int(p.name[5:]))


def keep_newest(folder, n):
    """Remove all checkpoints but the newest n."""
    for old in checkpoints(folder)[:-n]:
        shutil.rmtree(old)
