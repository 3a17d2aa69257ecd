"""Icons: the part that ships, the cache that is whole or says what mends it, batches and pairs."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.engine.errors import DataError, OptionError
from minivit.training import icon_pairs, icons


def test_what_ships_has_families_in_one_part_each_and_no_equal_pictures():
    net = icons.iconnet()
    assert len(net.classes) == 300 == len(set(net.classes)) and net.images.dtype == np.uint8
    parts = [set(net.families_of(part)) for part in icons.PARTS]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    assert len(set(map(bytes, net.images.reshape(len(net.images), -1)))) == len(net.images)
    assert set(np.unique(net.images)) <= {17 * k for k in range(16)}
    for name in icons.PARTS:
        images, labels = net.part(name)
        assert len(images) == len(labels) > 900 and labels.max() < 300
        assert images.base is not None  # a view
    assert set(net.part("train")[1]) == set(range(300))
    with pytest.raises(OptionError, match="expected one of"):
        net.part("dev")
    with pytest.raises(OptionError, match="'shipped' or 'all'"):
        icons.iconnet("some")


def test_the_list_of_the_split_is_frozen():
    table = icons.split()
    rows = icons.members(table)
    assert rows.shape[1] == sum(table["numbers"]["pictures"].values())
    assert np.bincount(rows[3]).tolist() == list(table["numbers"]["pictures"].values())
    free = {"MIT", "Apache-2.0", "ISC", "BSD-3-Clause", "CC0-1.0", "Unlicense", "OFL-1.1",
            "CC-BY-3.0", "CC-BY-4.0"}  # fmt: skip
    assert {about["licence"] for about in table["sets"].values()} <= free
    drawn = [set() for _ in table["classes"]]
    for name, some in table["members"].items():
        for label in some["labels"]:
            drawn[label].add(name)
    assert "github" not in table["classes"] and "calendar" in table["classes"]


@given(st.lists(st.sampled_from(sorted(icons.STYLE)), max_size=4))
def test_a_concept_is_a_name_without_words_of_style(style):
    assert icons.concept("-".join(["arrow-up", *style])) == "arrow-up"
    assert icons.concept("baseline-home", ["baseline"]) == "home"
    for word in style:  # never nothing at all
        assert icons.concept(word) == word


# -- the cache -------------------------------------------------------------------------------------
@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of two small sets, one of them in colour."""
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path))
    folder, sets, rng = tmp_path / "icons", {}, np.random.default_rng(0)
    folder.mkdir()
    for name, n, colour in (("lucide", 40, False), ("noto", 30, True)):
        some = [f"thing-{i:02}-outline" for i in range(n)]
        images = 17 * rng.integers(0, 16, (n, 32, 32)).astype(np.uint8)
        images[3] = 255
        more = {"colour": np.repeat(images[..., None], 3, -1)} if colour else {}
        lines = np.frombuffer("\n".join(some).encode(), np.uint8)
        np.savez_compressed(folder / f"{name}.npz", names=lines, images=images, **more)
        digest = hashlib.sha256((folder / f"{name}.npz").read_bytes()).hexdigest()
        sets[name] = {"title": name, "icons": n, "colour": colour, "blank": [3], "author": "a",
                      "url": "", "licence": "MIT", "licence url": "", "sha256": digest,
                      "categories": {"All": [0, 1, 3]}}  # fmt: skip
    (folder / "sets.json").write_text(json.dumps({"sets": sets}))
    return folder


def test_all_icons_but_blank_ones_at_one_byte_a_pixel(cache):
    some = icons.icons()
    assert len(some.images) == 68 == len(some.names) and 3 not in some.places
    assert some.names[0] == "thing-00-outline" and list(np.bincount(some.sets)) == [39, 29]
    assert icons.icons(colour=True).images.shape == (29, 32, 32, 3)
    with pytest.raises(OptionError, match=r"sets: got 'x'"):
        icons.icons(sets=["x"])


@pytest.mark.parametrize("harm", ["cut", "gone", "another", "table", "no table", "nothing"])
def test_a_broken_cache_names_the_file_and_the_command_that_mends_it(cache, harm):
    file = cache / "noto.npz"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif harm == "gone":
        file.unlink()
    elif harm == "another":
        file.write_bytes(b"PK")
    elif harm == "table":
        (cache / "sets.json").write_text("{")
    else:
        (cache / "sets.json").unlink()
        for path in cache.glob("*.npz" if harm == "nothing" else "noto.npz"):
            path.unlink()
    with pytest.raises(DataError, match="minivit data icons") as error:
        icons.icons()
    assert str(cache) in str(error.value)
    if harm.startswith("no"):
        assert "Offline" in str(error.value)


def test_icons_of_another_version_are_refused(cache):
    with pytest.raises(DataError, match="minivit data icons"):
        icons.iconnet("all")


def test_memory_is_that_of_the_pictures():
    """In a process of its own: other threads' memory would be counted, too."""
    script = """
import tracemalloc
from minivit.training import icons
tracemalloc.start()
net = icons.iconnet()
print(tracemalloc.get_traced_memory()[1], net.images.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    peak, size = map(int, done.stdout.split())
    assert peak < 1.2 * size + 40e6  # the list, as JSON and as rows, is 66,000 long


# -- batches ---------------------------------------------------------------------------------------
def test_a_batch_is_a_function_of_its_step():
    net = icons.iconnet()
    a, b = (icons.IconBatches(*net.part("train"), batch_size=8, seed=1) for _ in range(2))
    assert all((x == y).all() for x, y in zip(a[7], b[7])) and (a[7][0] != a[8][0]).any()
    assert a[0][0].shape == (8, 32, 32, 1) and a[0][0].dtype == np.float32


@given(st.integers(0, 2**32 - 1))
def test_another_hand_draws_lines_thicker_or_thinner_and_larger_or_smaller(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, 9, 9)).astype(np.uint8)
    by = np.array([-1, -0.3, 0, 0.3, 1])
    changed = icons.stroked(images, by).astype(int) - images
    assert (changed[:2] >= 0).all() and (changed[3:] <= 0).all() and not changed[2].any()
    around = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    most = np.max([around[0, 1:-1, 1:-1], around[0, 2:, 1:-1], around[0, :-2, 1:-1],
                   around[0, 1:-1, 2:], around[0, 1:-1, :-2]], axis=0)  # fmt: skip
    assert (images[0] + changed[0] == most).all()
    assert (icons.scaled(images, np.ones(5), np.ones(5)) == images).all()
    small = icons.scaled(images, np.full(5, 0.5), np.ones(5))
    assert (small[:, :2] == 255).all() and (small[:, -2:] == 255).all()
    assert (small[:, 4] == images[:, 4]).all()  # the middle stays


def test_batches_of_other_hands_are_functions_of_their_step():
    net = icons.iconnet()
    a, b = (icons.OtherHands(*net.part("train"), batch_size=64, seed=1) for _ in range(2))
    plain = icons.IconBatches(*net.part("train"), batch_size=64, seed=1)
    assert (a[3][0] == b[3][0]).all() and (a[3][1] == plain[3][1]).all()
    assert a[3][0].dtype == np.float32 and np.abs(a[3][0]).max() <= 1
    ink = [1 - x[3][0].mean(axis=(1, 2, 3)) for x in (a, plain)]
    assert (ink[0] != ink[1]).mean() > 0.9


def test_pairs_are_of_training_families_and_of_concepts_that_may_be_seen(cache, monkeypatch):
    table = {"families": {"f": "train", "g": "test"}, "family of": {"lucide": "f", "noto": "g"},
             "classes": ["thing-05"], "sets": {}}  # fmt: skip
    monkeypatch.setattr(icons, "split", lambda: table)
    monkeypatch.setattr(icon_pairs, "unseen", lambda: np.array([True]))
    some = icons.icons()
    rows = icon_pairs.captioned(some)
    tokenizer = icon_pairs.caption_tokenizer(rows, 530)
    more = icon_pairs.coloured(some), icon_pairs.categories(some)
    pairs = icon_pairs.IconPairs(rows, some.images, tokenizer, *more, batch_size=8)
    assert "thing 05" not in pairs.captions and {"thing", "thing 00"} < set(pairs.captions)
    assert sum(map(len, pairs.rows)) == 38 and max(map(max, pairs.rows)) < 39  # none of noto
    images, texts = pairs[3]
    assert images.shape == (8, 32, 32, 3) and texts.shape == (8, icon_pairs.CONTEXT)
    assert (images == pairs[3][0]).all() and len({bytes(t) for t in texts}) == 8


def test_no_category_says_the_name_of_an_unseen_concept(cache, monkeypatch):
    monkeypatch.setattr(
        icons,
        "split",
        lambda: {"classes": ["home", "user-edit", "file"], "family of": {"lucide": "f"}},
    )
    monkeypatch.setattr(icon_pairs, "unseen", lambda: np.array([True, True, False]))
    table = json.loads((cache / "sets.json").read_text())
    titles = {"Home": [0, 1], "Edit User": [2], "File": [1, 4], "Home and garden": [5]}
    table["sets"]["lucide"]["categories"] = titles
    (cache / "sets.json").write_text(json.dumps(table))
    found = icon_pairs.categories(icons.icons(sets=["lucide"]))
    assert found == {1: "file", 3: "file", 4: "home and garden"}  # icon 3 is blank


def test_the_clip_that_ships_names_drawings_of_families_that_it_never_saw():
    import minivit
    from minivit.course.runs import icon_exam

    net, found = icons.iconnet(), minivit.load("icons")
    images, labels = net.part("test")
    rows = np.random.default_rng(0).permutation(len(labels))[:200]
    names = [icons.caption(c) for c in net.classes]
    words = icon_exam.text_vectors(found.model, found.tokenizer, names)
    best = (icon_exam.image_vectors(found.model.encode_image, images[rows]) @ words.T).argmax(
        axis=1
    )
    assert (best == labels[rows]).mean() > 0.3  # of 300
