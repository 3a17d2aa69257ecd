"""Icons: the part that ships, those of the cache, batches and pairs."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit import files
from minivit.engine.errors import ArgumentError, DataError, DtypeError, OptionError, ShapeError
from minivit.text.words import checked_names
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
def test_all_icons_but_blank_ones_at_one_byte_a_pixel(icon_folder):
    some = icons.icons()
    assert len(some.images) == 68 == len(some.names) and 3 not in some.places
    assert some.names[0] == "thing-00-outline" and list(np.bincount(some.sets)) == [39, 29]
    assert icons.icons(colour=True).images.shape == (29, 32, 32, 3)
    with pytest.raises(OptionError, match=r"sets: got 'x'"):
        icons.icons(sets=["x"])


@pytest.mark.parametrize("sets, said", [
    (3, r"sets: got int, expected a str or several"), ([["lucide"]], r"sets\[0\]: got list"),
    (b"lucide", "sets: got bytes"), (["lucide", "noto", "lucide"], "'lucide' is there twice"),
    ("l", r"sets: got 'l', expected some of \('lucide', 'noto'\)"),
])  # fmt: skip
def test_sets_that_are_no_names_are_refused(icon_folder, sets, said):
    with pytest.raises((DtypeError, OptionError), match=said):
        icons.icons(sets=sets)


def test_one_set_or_several(icon_folder):
    assert set(icons.icons(sets="noto").about) == {"noto"}
    some = icons.icons(sets=["noto", "lucide"])
    assert list(some.about) == ["noto", "lucide"] and list(np.bincount(some.sets)) == [29, 39]
    assert len(icons.icons(sets=[]).images) == 0


def test_of_many_names_the_error_shows_the_nearest():
    known = {f"set-{i}": None for i in range(193)} | {"lucide": None}
    with pytest.raises(OptionError, match=r"got 'lucid', expected some of 194 names, .*'lucide'"):
        checked_names("sets", ["set-1", "lucid"], known)


@pytest.mark.parametrize("call", [
    lambda: icons.concept(3), lambda: icons.concept("home", 3), lambda: icons.caption(None),
    lambda: icon_pairs.words_of(3), lambda: icons.iconnet(["all"]),
    lambda: icons.iconnet(np.ones(2)), lambda: icons.iconnet().part(np.ones(2)),
    lambda: icons.iconnet().families_of(None),
])  # fmt: skip
def test_names_of_other_kinds_are_refused(call):
    with pytest.raises((DtypeError, OptionError), match="got"):
        call()


def test_one_prefix_is_a_word_and_not_its_letters():
    assert icons.concept("base-home", "baseline") == "base-home"
    assert icons.concept("baseline-home", "baseline") == "home"


def test_a_list_without_what_it_needs_is_damaged(tmp_path, monkeypatch):
    table = {key: [] for key in icons.LIST[1:]}
    (tmp_path / "iconnet.json.gz").write_bytes(gzip.compress(json.dumps(table).encode()))
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    with pytest.raises(DataError, match=r"iconnet\.json\.gz is damaged.*'classes'"):
        icons.split.__wrapped__()


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


@pytest.mark.parametrize("make", [icons.IconBatches, icons.OtherHands])
@pytest.mark.parametrize("change, error, says", [
    ({"augment": False}, ArgumentError, "augment"),
    ({"images": np.zeros((9, 32, 32, 3), np.uint8)}, ShapeError, r"images: got uint8 .*to_unit"),
    ({"images": np.zeros((9, 32, 32), np.float32)}, DtypeError, "images: got float32"),
    ({"images": [[0]]}, DtypeError, "images: got list"),
    ({"shift": -1}, OptionError, "shift is -1"),
    ({"shift": 1.5}, OptionError, "shift is 1.5"),
    ({"seed": -1}, OptionError, "seed is -1"),
    ({"shuffle": "no"}, DtypeError, "shuffle is 'no'"),
])  # fmt: skip
def test_what_is_no_batch_of_icons_is_refused_at_once(make, change, error, says):
    given = {"images": np.zeros((9, 32, 32), np.uint8), "labels": np.arange(9), "batch_size": 4}
    with pytest.raises(error, match=says):
        make(**given | change)


@given(st.integers(0, 99))
def test_without_a_shift_nothing_is_moved(step):
    images = 17 * np.random.default_rng(step).integers(0, 16, (9, 32, 32)).astype(np.uint8)
    batches = icons.IconBatches(images, np.arange(9), batch_size=4, shift=0)
    moved, labels = batches[step]
    assert (moved == icons.as_input(images[labels])).all()


def test_pictures_in_colour_are_no_input_of_grey_ones():
    with pytest.raises(ShapeError, match="as_input: images"):
        icons.as_input(np.zeros((2, 32, 32, 3), np.uint8))


def test_pairs_are_of_training_families_and_of_concepts_that_may_be_seen(icon_folder, monkeypatch):
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


def test_no_category_says_the_name_of_an_unseen_concept(icon_folder, monkeypatch):
    monkeypatch.setattr(
        icons,
        "split",
        lambda: {"classes": ["home", "user-edit", "file"], "family of": {"lucide": "f"}},
    )
    monkeypatch.setattr(icon_pairs, "unseen", lambda: np.array([True, True, False]))
    table = json.loads((icon_folder / "sets.json").read_text())
    titles = {"Home": [0, 1], "Edit User": [2], "File": [1, 4], "Home and garden": [5]}
    table["sets"]["lucide"]["categories"] = titles
    (icon_folder / "sets.json").write_text(json.dumps(table))
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
