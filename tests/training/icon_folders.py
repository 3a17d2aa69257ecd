"""Small caches of icons, for tests: an archive a set, and sets.json."""

import hashlib
import json

import numpy as np


def write_set(folder, name, images, colour=None, names=None):
    """A set's archive; returns its entry in sets.json."""
    names = names or [f"thing-{i:02}-outline" for i in range(len(images))]
    more = {} if colour is None else {"colour": colour}
    lines = np.frombuffer("\n".join(names).encode(), np.uint8)
    np.savez_compressed(folder / f"{name}.npz", names=lines, images=images, **more)
    digest = hashlib.sha256((folder / f"{name}.npz").read_bytes()).hexdigest()
    return {"title": name, "icons": len(images), "colour": colour is not None, "blank": [3],
            "author": "a", "url": "", "licence": "MIT", "licence url": "", "sha256": digest,
            "categories": {"All": [0, 1, 3]}}  # fmt: skip


def write_table(folder, sets):
    (folder / "sets.json").write_text(json.dumps({"sets": sets}), encoding="utf-8")


def two_sets(folder):
    """A cache of two small sets, one of them in colour."""
    rng, sets = np.random.default_rng(0), {}
    for name, n, in_colour in (("lucide", 40, False), ("noto", 30, True)):
        images = 17 * rng.integers(0, 16, (n, 32, 32)).astype(np.uint8)
        images[3] = 255
        colour = np.repeat(images[..., None], 3, -1) if in_colour else None
        sets[name] = write_set(folder, name, images, colour)
    write_table(folder, sets)
