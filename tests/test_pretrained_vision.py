"""ViTs and CLIPs as others publish them: what PyTorch computed with them, in fixtures that
tests/reference/make_vision.py made, and the layouts that differ from those by names alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import minivit
from minivit import Tensor, optim
from minivit.appendices import pretrained, weights
from minivit.appendices.pretrained import tables

REFERENCE = Path(__file__).parent / "reference"
LAYOUTS = ("vit_hf", "vit_hf_pooler", "vit_google", "vit_big_vision", "clip_hf", "clip_openai",
           "clip_openai_resnet", "clip_open_clip")  # fmt: skip


class Case:
    """A fixture: its configuration, tables {name: array} of weights, gradients and steps (flat in
    the file), inputs and outputs."""

    def __init__(self, arrays):
        self.config = json.loads(str(arrays["config"]))
        self.weights, self.gradients, self.moved = (
            unpacked(json.loads(str(arrays["shapes"]))[kind], arrays[kind])
            for kind in ("w", "g", "moved")
        )
        self.given, self.out = (
            {k.removeprefix(part): v for k, v in arrays.items() if k.startswith(part)}
            for part in ("in/", "out/")
        )

    def write(self, folder, weights=None, config=None):
        """A checkpoint as it is published: an .npz, or model.safetensors and a configuration."""
        folder.mkdir(exist_ok=True)
        weights = self.weights if weights is None else weights
        config = self.config if config is None else config
        if any("/" in name for name in weights):
            np.savez(folder / "vit.npz", **weights)
            return folder / "vit.npz"
        save_file(
            {k: np.array(v, order="C") for k, v in weights.items()}, folder / "model.safetensors"
        )
        if config:
            name = "open_clip_config.json" if "model_cfg" in config else "config.json"
            (folder / name).write_text(json.dumps(config))
        return folder


def unpacked(shapes, flat):
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    parts = zip(shapes.items(), np.split(flat, ends[:-1]))
    return {
        name: part.reshape(shape).astype(np.int64 if name.endswith("tracked") else flat.dtype)
        for (name, shape), part in parts
    }


def case(layout):
    with np.load(REFERENCE / f"{layout}.npz") as arrays:
        return Case(dict(arrays))


def load(path, dtype=np.float32):
    """The model of a file; float64: its weights, exact in float32, in that precision."""
    model = minivit.load(path).model
    for _, p in model.named_tensors():
        p.data = p.data.astype(dtype)
    return model


def outputs(model, given, dtype):
    """What the fixture has under out/."""
    images = Tensor(given["images"].astype(dtype))
    if "ids" in given:
        ids = given["ids"]
        return {
            "logits": model(images, ids), "loss": model.loss(images, ids),
            "I_e": model.encode_image(images), "T_e": model.encode_text(ids),
        }  # fmt: skip
    if "labels" in given:
        logits = model(images)
        loss = minivit.cross_entropy_loss(logits, given["labels"])
        return {"logits": logits, "loss": loss}
    pooled = model(images)
    return {"pooled": pooled, "loss": (pooled * pooled).sum()}


def relative(ours, theirs, least=1e-3):
    """The largest difference, in units of the largest number (but of `least` at least)."""
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / max(np.abs(theirs).max(), least)


def compare(found, path, dtype=np.float64, tolerances=(1e-10, 1e-8, 1e-6)):
    """Outputs, every gradient and one step of AdamW; the largest differences of the three. A step
    is kept to 1e-6, and is nearly 1, in units of the learning rate."""
    model = load(path, dtype)
    ours = outputs(model, found.given, dtype)
    assert all(y.dtype == dtype for y in ours.values()) and set(ours) == set(found.out)
    values = {name: relative(y.numpy(), found.out[name]) for name, y in ours.items()}
    ours["loss"].backward()
    config = pretrained.read_config(path if path.is_dir() else path.parent)
    file = weights.read(path)
    table = pretrained.empty(pretrained.family_of(config, file), config, file).table
    learnt = dict(model.named_parameters())
    table = {ours: entry for ours, entry in table.items() if ours in learnt}
    expected = tables.translate(found.gradients, table)
    assert set(expected) == set(learnt)
    gradients = {name: relative(p.grad, expected[name]) for name, p in learnt.items()}
    moved = tables.translate(found.moved, table)
    before = {name: p.numpy().copy() for name, p in learnt.items()}
    optim.AdamW(learnt.values(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.1).step()
    steps = {
        name: relative((p.numpy() - (1 - 0.01 * 0.1) * before[name]) / 0.01, moved[name], 1)
        for name, p in learnt.items()
    }
    for what, tolerance in zip((values, gradients, steps), tolerances):
        worst = max(what, key=what.get)
        assert what[worst] <= tolerance, f"{worst}: {what[worst]:.1e}"
    return tuple(max(what.values()) for what in (values, gradients, steps))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_every_gradient_and_one_step_are_those_of_pytorch(layout, tmp_path):
    found = case(layout)
    compare(found, found.write(tmp_path))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_and_every_gradient_in_float32(layout, tmp_path):
    """Not the step: Adam's first one is lr times the sign, and a gradient of zero has none."""
    found = case(layout)
    compare(found, found.write(tmp_path), np.float32, (1e-4, 1e-4, np.inf))
