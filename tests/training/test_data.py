"""Shipped data are whole, splits are true to their names, batches can be resumed."""

import gzip
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivit import files, published
from minivit.engine.errors import DtypeError, MinivitError, RangeError, ShapeError
from minivit.training import data, downloaded
from minivit.training.definitions import Definition, definitions


def sha(*arrays):
    digest = hashlib.sha256()
    for a in arrays:
        digest.update(np.ascontiguousarray(a).tobytes())
    return digest.hexdigest()[:16]


# -- the files -------------------------------------------------------------------------------------
def test_each_file_is_the_one_that_the_licences_list():
    licences = (files.data_folder() / "LICENSES.md").read_text(encoding="utf-8")
    listed = dict(
        (name, digest) for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", licences, re.M)
    )
    ours = {"__pycache__", "results", "published"}  # results are ours, published/ is numbers
    here = [p.relative_to(files.data_folder()) for p in files.data_folder().rglob("*.*")]
    shipped = {p.as_posix() for p in here if p.parts[0] not in ours and p.suffix != ".py"}
    assert shipped == {*listed, "LICENSES.md"}
    for name, digest in listed.items():
        content = (files.data_folder() / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
        if name.startswith("models/"):
            continue
        row = next(line for line in licences.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{len(content):,}" in row
        script = re.search(r"`(make_\w+\.py)`", row)[1]
        assert (files.data_folder() / script).exists() and data._script(name) == script
    assert sum((files.data_folder() / name).stat().st_size for name in shipped) < 15e6
    models = sorted((files.data_folder() / "models").iterdir())
    assert [p.name for p in models] == sorted(published.shipped())
    for folder in models:
        row = next(x for x in licences.splitlines() if x.startswith(f"| `models/{folder.name}/` |"))
        assert f"{sum(p.stat().st_size for p in folder.iterdir()):,}" in row


def test_import_reads_nothing_and_imports_nothing_heavy():
    code = "import sys, minivit.training.data as d; print([m for m in sys.modules if m in " + (
        "('PIL', 'pooch', 'sklearn', 'matplotlib', 'cupy', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- images with labels ----------------------------------------------------------------------------
SETS = {
    "digits-v1": (data.digits, 1437, 360, 8),
    "mnist5k-v1": (data.mnist5k, 4000, 1000, 28),
}


@pytest.mark.parametrize("name", SETS)
def test_a_split_is_disjoint_stratified_and_shuffled(name):
    load, n_train, n_test, side = SETS[name]
    s = load()
    assert s.name == name and s.classes == tuple("0123456789")
    assert s.train_images.shape == (n_train, side, side, 1) and s.train_labels.shape == (n_train,)
    assert s.test_images.shape == (n_test, side, side, 1) and s.test_labels.shape == (n_test,)
    for images in (s.train_images, s.test_images):
        assert images.dtype == np.float32 and images.min() == -1 and images.max() == 1
    assert s.train_labels.dtype == s.test_labels.dtype == np.int64

    everything = np.bincount(np.concatenate([s.train_labels, s.test_labels]))
    expected = everything * n_test / (n_train + n_test)
    assert np.abs(np.bincount(s.test_labels) - expected).max() < 1
    for labels in (s.train_labels, s.test_labels):  # neither sorted, nor one class at an end
        assert len(set(labels[:30])) >= 7 and len(set(labels[-30:])) >= 7


def test_train_and_test_together_are_the_whole_set():
    load = np.load(files.data_folder() / "digits.npz")
    s = data.digits()
    images = np.concatenate([s.train_images, s.test_images])[..., 0]
    grey = np.rint((images + 1) * 8).astype(np.uint8)
    assert sorted(map(bytes, grey)) == sorted(map(bytes, load["images"]))
    train, test = data.stratified(load["labels"], 360)
    assert sorted([*train, *test]) == list(range(1797))


def test_the_splits_named_v1_never_change():
    assert {name: sha(*load()[:4]) for name, (load, *_) in SETS.items()} == {
        "digits-v1": "419c90cc8317302d",
        "mnist5k-v1": "eaeab3eb0f185c26",
    }


def test_another_seed_is_another_split_with_another_name():
    a, b = data.digits(), data.digits(split_seed=3)
    assert b.name == "digits-v1-seed3" and sha(a.test_images) != sha(b.test_images)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.data())
def test_stratified_takes_each_class_in_proportion(labels, draw):
    n = draw.draw(st.integers(1, len(labels) - 1))
    train, test = data.stratified(labels, n, seed=draw.draw(st.integers(0, 9)))
    assert len(test) == n and sorted([*train, *test]) == list(range(len(labels)))
    taken, whole = (np.bincount(x, minlength=5) for x in (np.array(labels)[test], labels))
    assert np.abs(taken - whole * n / len(labels)).max() < 1


@pytest.mark.parametrize("test", [0, 5, -1])
def test_stratified_refuses_an_empty_half(test):
    with pytest.raises(ShapeError, match=f"test: got {test}, expected 1 to 4"):
        data.stratified([0, 1, 0, 1, 1], test)


# -- emoji and photos ------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def emoji():
    pytest.importorskip("PIL")
    return data.emoji()


def test_emoji_counts(emoji):
    sizes = {style: len(c) for style, c in emoji.concepts.items()}
    assert sizes == {
        "noto": 1906, "twemoji": 1914, "fluent": 1594, "emojitwo": 1335, "noto-blob": 1223
    }  # fmt: skip
    assert len(set.intersection(*(set(c) for c in emoji.concepts.values()))) == 1054
    for style, images in emoji.images.items():
        assert images.shape == (sizes[style], 32, 32, 3) and images.dtype == np.float32
        assert images.min() >= -1 and images.max() == 1
        assert (images == 1).all(-1).any((1, 2)).mean() > 0.7  # a white ground
        assert images.std((1, 2, 3)).min() > 0.02  # no tile is empty
        assert (np.diff(emoji.concepts[style]) > 0).all()
    n = len(emoji.labels)
    assert n == len(set(emoji.labels)) == len(emoji.tags) == len(emoji.characters) == 1914
    assert len(emoji.group_names) == 9 and len(emoji.subgroup_names) == 98
    assert dict(zip(emoji.group_names, np.bincount(emoji.groups).tolist(), strict=True)) == {
        "smileys-emotion": 171, "people-body": 388, "animals-nature": 160, "food-drink": 131,
        "travel-places": 219, "activities": 85, "objects": 266, "symbols": 224, "flags": 270,
    }  # fmt: skip


def tile(emoji, style, label):
    i = emoji.labels.index(label)
    return emoji.images[style][list(emoji.concepts[style]).index(i)]


@pytest.mark.parametrize("style", data.STYLES)
def test_drawings_show_what_their_labels_say(emoji, style):
    red, green, blue = np.moveaxis(tile(emoji, style, "red heart")[8:16, 8:24], -1, 0)
    assert (red > green + 0.4).mean() > 0.9 and (red > blue + 0.4).mean() > 0.9
    red, green, blue = np.moveaxis(tile(emoji, style, "blue circle")[12:20, 12:20], -1, 0)
    assert (blue > red).all()
    black = tile(emoji, style, "black large square")[12:20, 12:20]
    assert black.max() < -0.3


def test_the_same_concept_is_nearer_across_styles_than_another(emoji):
    a, b = "noto", "noto-blob"
    both = np.intersect1d(emoji.concepts[a], emoji.concepts[b])
    both = both[~emoji.lookalike[both]]
    x = emoji.images[a][np.searchsorted(emoji.concepts[a], both)].reshape(len(both), -1)
    y = emoji.images[b][np.searchsorted(emoji.concepts[b], both)].reshape(len(both), -1)
    gap = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
    rank = (gap < np.diag(gap)[:, None]).sum(1)
    assert np.median(rank) < len(both) / 20  # by pixels alone; misaligned, it would be half


def test_emoji_held_out_and_lookalike(emoji):
    share = [emoji.held_out[emoji.groups == g].mean() for g in range(9)]
    assert emoji.held_out.sum() == 287 and max(share) < 0.16 and min(share) > 0.14
    assert sha(emoji.held_out) == "65eb1b6d7ace3bcb"
    marked = {label for label, twin in zip(emoji.labels, emoji.lookalike, strict=True) if twin}
    assert {"one o’clock", "family: man, woman, boy", "woman astronaut"} <= marked
    assert "flag: clipperton island" in marked and "flag: france" not in marked
    assert not {"man", "woman", "astronaut", "red heart", "flag: spain"} & marked
    assert len(marked) == 230


def test_emoji_takes_the_styles_asked_for(emoji):
    some = data.emoji(styles=["fluent"])
    assert list(some.images) == ["fluent"]
    np.testing.assert_array_equal(some.images["fluent"], emoji.images["fluent"])
    with pytest.raises(data.DataError, match="styles: got 'apple', expected some of"):
        data.emoji(styles=["apple"])
    assert list(data.emoji("fluent").images) == ["fluent"]
    with pytest.raises(data.DataError, match="'noto' is there twice"):
        data.emoji(["noto", "noto"])
    for styles in (3, [["noto"]], b"noto", [3]):
        with pytest.raises(DtypeError, match=r"styles.*: got .*, expected a str"):
            data.emoji(styles)


def test_photos():
    pytest.importorskip("PIL")
    for name in ("chelsea", "coffee"):
        x = data.photo(name)
        assert x.shape == (224, 224, 3) and x.dtype == np.float32
        assert x.min() >= -1 and x.max() <= 1 and x.std() > 0.2
        assert len(np.unique(x)) > 200
    with pytest.raises(data.DataError, match="name: got 'lena', expected 'chelsea' or 'coffee'"):
        data.photo("lena")


def test_without_pillow_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        data.photo("coffee")


# -- words -----------------------------------------------------------------------------------------
def test_sentences():
    lines = data.sentences()
    assert len(lines) == len(set(lines)) == 20_000 and lines[0] != min(lines)
    words = [len(line.split()) for line in lines]
    assert min(words) == 4 and max(words) == 24 and 6.5 < np.mean(words) < 8
    assert all(re.fullmatch(r"[ -~]+", line) for line in lines)  # printable ASCII


def test_translations():
    phrases = data.translations()
    assert len(phrases) == len({p.emoji for p in phrases}) == 3944
    by_name = {p.en: p for p in phrases}
    assert by_name["woman astronaut: dark skin tone"][1:] == (
        "woman astronaut: dark skin tone", "astronauta mujer: tono de piel oscuro",
        "Astronautin: dunkle Hautfarbe", "astronaute femme : peau foncée",
        "people-body", "woman", "", "dark", "", "", "astronaut",
    )  # fmt: skip
    assert by_name["blue square"].es == "cuadrado azul" and by_name["blue square"].colour == "blue"
    assert by_name["flag: Spain"].country == "Spain" and by_name["ten-thirty"].hour == "ten"
    assert by_name["blue circle"].head == by_name["red circle"].head == "circle"
    assert all(all((p.en, p.es, p.de, p.fr, p.group)) for p in phrases)
    for p in phrases:  # nothing is lost when a name is taken apart
        parts = " ".join((p.person, p.colour, p.tone, p.country, p.hour, p.head))
        left = set(re.findall(r"[\w’]+", p.en)) - set(re.findall(r"[\w’]+", parts))
        assert left <= {"skin", "tone"}, p


@pytest.mark.parametrize("fields", [("person", "head"), ("colour", "head"), ("head", "tone")])
def test_held_out_combinations_are_new_and_their_halves_are_not(fields):
    phrases = data.translations()
    train, test = data.hold_out(phrases, *fields)
    assert len(train) + len(test) == len(phrases) and set(train).isdisjoint(test)
    known = {tuple(getattr(p, f) for f in fields) for p in train}
    held = {tuple(getattr(p, f) for f in fields) for p in test}
    assert held and held.isdisjoint(known)
    for half in (0, 1):
        assert {pair[half] for pair in held} <= {pair[half] for pair in known if all(pair)}
    every = {pair for pair in known | held if all(pair)}
    assert 0 < len(held) <= round(0.15 * len(every))
    assert (train, test) == data.hold_out(phrases, *fields)
    assert test != data.hold_out(phrases, *fields, seed=1)[1]


@given(st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=1))
def test_even_if_all_are_asked_for_each_half_stays_in_training(pairs):
    blank = data.Phrase(*[""] * len(data.Phrase._fields))
    phrases = [blank._replace(person=a, head=b) for a, b in sorted(pairs)]
    train, test = data.hold_out(phrases, "person", "head", share=1.0)
    assert len(train) + len(test) == len(phrases)
    assert {p.person for p in train} == {a for a, _ in pairs}
    assert {p.head for p in train} == {b for _, b in pairs}


def test_what_occurs_once_is_never_held_out():
    phrases = data.translations()
    assert data.hold_out(phrases, "head", "country") == (list(phrases), [])
    with pytest.raises(data.DataError, match="field: got 'role', expected one of"):
        data.hold_out(phrases, "person", "role")


# -- batches ---------------------------------------------------------------------------------------
@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 3),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    steps=st.lists(st.integers(0, 200), max_size=8),
)
def test_a_batch_is_a_function_of_seed_and_step(n, batch_size, seed, shuffle, drop_last, steps):
    batch_size = min(n, batch_size)
    x, y = np.arange(n * 2).reshape(n, 2), np.arange(n)
    options = dict(batch_size=batch_size, seed=seed, shuffle=shuffle, drop_last=drop_last)
    batches = data.Batches(x, y, **options)
    for step in steps:  # in any order, from any object: the same
        for again in (batches, data.Batches(x, y, **options)):
            a, b = again[step]
            np.testing.assert_array_equal(b, batches.indices(step))
            np.testing.assert_array_equal(a, x[b])

    for epoch in (0, 3):  # an epoch: each example at most once, all of them unless dropped
        sizes = [len(b) for _, b in batches.epoch(epoch)]
        seen = np.concatenate([b for _, b in batches.epoch(epoch)])
        assert len(set(seen)) == len(seen) == (n // batch_size * batch_size if drop_last else n)
        assert set(sizes[:-1]) <= {batch_size} and len(sizes) == len(batches)
        if not shuffle:
            np.testing.assert_array_equal(seen, np.arange(len(seen)))


def test_iterating_is_one_epoch_and_epochs_differ():
    batches = data.Batches(np.arange(100), batch_size=8)
    walk = [b for (b,) in batches]
    assert len(walk) == len(batches) == 12
    np.testing.assert_array_equal(walk, [batches[step][0] for step in range(12)])
    np.testing.assert_array_equal(walk, [b for (b,) in batches])  # and again the same
    second = [b for (b,) in batches.epoch(1)]
    np.testing.assert_array_equal(second, [batches[step][0] for step in range(12, 24)])
    assert not np.array_equal(walk, second)
    other = data.Batches(np.arange(100), batch_size=8, seed=1)
    assert not np.array_equal(walk, [b for (b,) in other])


def test_batches_never_change():
    batches = data.Batches(np.arange(50), batch_size=16, seed=7)
    assert sha(*(batches.indices(step).astype(np.int64) for step in range(9))) == "a2ebde5305c9f214"


@pytest.mark.parametrize(
    "arrays, batch_size, message",
    [
        ([], 1, r"arrays: got \[\], expected one array or more"),
        ([np.zeros(3), np.zeros(4)], 1, r"arrays: got \[\(3,\), \(4,\)\]"),
        ([np.zeros((0, 2))], 1, r"arrays: got \[\(0, 2\)\], .* not empty"),
        ([np.float32(3)], 1, r"arrays: got \[\(\)\]"),
        ([np.zeros(3)], 4, r"batch_size: got 4, expected an integer from 1 to 3"),
        ([np.zeros(3)], 0, r"batch_size: got 0, expected an integer from 1 to 3"),
        ([np.zeros(3)], 2.0, r"batch_size: got 2.0, expected an integer from 1 to 3"),
    ],
)
def test_batches_refuse(arrays, batch_size, message):
    with pytest.raises(ShapeError, match=message):
        data.Batches(*arrays, batch_size=batch_size)


@pytest.mark.parametrize("step", [-1, 0.5, slice(3), None, True, np.array([1, 2])])
def test_what_is_not_a_step_is_refused(step):
    for ask in (data.Batches(np.zeros(3), batch_size=2).indices, data.ByLength([1] * 8, 2).rows):
        with pytest.raises(RangeError, match=r"step: got .*, expected an integer, 0 or more"):
            ask(step)


@pytest.mark.parametrize("size", [0, 1.5, True, "2", None, np.array([2, 2])])
def test_what_is_no_size_of_a_batch_is_refused(size):
    with pytest.raises(ShapeError, match=r"batch_size: got .*, expected an integer from 1 to 9"):
        data.Batches(np.zeros(9), batch_size=size)
    with pytest.raises(ShapeError, match=r"ByLength: size: got .*, expected 1 to 2"):
        data.ByLength([1] * 9, size)


def test_definitions_are_entries_of_ten_kinds():
    found = definitions()
    counts = {}
    for d in found:
        counts[d.kind, d.held_out] = counts.get((d.kind, d.held_out), 0) + 1
    assert len({kind for kind, _ in counts}) == 10
    assert {n for (_, held_out), n in counts.items() if held_out} == {100}
    assert {n for (_, held_out), n in counts.items() if not held_out} == {700}
    assert all(d.words and d.gloss and d.word_class == "noun" for d in found)
    d = Definition.read('train\tfood\tnoun\tpie|tart\ta dish; "eat a pie"')
    assert d.entry() == 'pie (noun): a dish; "eat a pie"' and d.text == "a dish"
    assert d.head("tart") == "tart (noun):"


@given(sizes=st.lists(st.integers(1, 30), min_size=8, max_size=60), step=st.integers(0, 99))
def test_rows_of_a_batch_are_neighbours_in_length(sizes, step):
    size = len(sizes) // 4
    rows, _ = data.ByLength(sizes, size, seed=1).rows(step)
    assert len(set(rows.tolist())) == size
    lengths, order = np.array(sizes)[rows], np.sort(sizes)
    spread = min(
        hi - lo for lo, hi in zip(order, order[4 * size - 1 :]) if lo <= lengths.min()
        and lengths.max() <= hi
    )  # fmt: skip
    assert lengths.max() - lengths.min() <= spread
    assert rows.tolist() == data.ByLength(sizes, size, seed=1).rows(step)[0].tolist()


def test_too_few_rows_by_length_are_refused():
    with pytest.raises(ShapeError, match="ByLength: size: got 3, expected 1 to 2"):
        data.ByLength([1] * 11, 3)


# -- files that are missing or damaged -------------------------------------------------------------
LOADERS = {
    "digits.npz": data.digits,
    "mnist5k.npz": data.mnist5k,
    "emoji.json.gz": data.emoji,
    "emoji-fluent.png": lambda: data.emoji(["fluent"]),
    "wordnet-sentences.txt.gz": data.sentences,
    "wordnet-definitions.tsv.gz": definitions,
    "translations.tsv.gz": data.translations,
    "photos/coffee.png": lambda: data.photo("coffee"),
}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of the data folder that a test may damage."""
    folder = tmp_path / "data"
    shutil.copytree(files.data_folder(), folder)
    monkeypatch.setattr(files, "data_folder", lambda: folder)
    return folder


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_file_is_named_with_its_script(shipped, name):
    (shipped / name).unlink()
    with pytest.raises(data.DataError, match=rf"{name} cannot be read .*data/make_\w+\.py"):
        LOADERS[name]()


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_file_is_named_with_its_script(shipped, name, damage):
    content = bytearray((shipped / name).read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    (shipped / name).write_bytes(
        {"cut": content[: len(content) // 2], "empty": b""}.get(damage, content)
    )
    with pytest.raises(data.DataError, match=rf"{name} is damaged: .*data/make_\w+\.py"):
        LOADERS[name]()


def test_whole_files_with_the_wrong_contents_are_refused(shipped):
    np.savez(shipped / "digits.npz", images=np.zeros((9, 8, 8), np.uint8), labels=np.zeros(9))
    with pytest.raises(data.DataError, match=r"got \(9, 8, 8\) uint8, expected \(1797, 8, 8\)"):
        data.digits()
    (shipped / "wordnet-sentences.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    with pytest.raises(data.DataError, match="it holds 2 lines, expected 20000"):
        data.sentences()
    (shipped / "translations.tsv.gz").write_bytes(gzip.compress(b"en\tes\n" * 3945))
    with pytest.raises(data.DataError, match=r"its columns are \['en', 'es'\]"):
        data.translations()
    columns = "\t".join(data.Phrase._fields)
    lines = [columns] * 3944 + ["one column"]
    (shipped / "translations.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(data.DataError, match="a line does not have 12 columns"):
        data.translations()
    (shipped / "emoji.json.gz").write_bytes(gzip.compress(b'{"styles": null}'))
    with pytest.raises(data.DataError, match=r"emoji\.json\.gz is damaged"):
        data.emoji()


def test_data_errors_are_what_a_caller_would_catch():
    assert issubclass(data.DataError, MinivitError) and issubclass(data.DataError, OSError)


# -- downloads: tiny files in the same formats -----------------------------------------------------
def known(path, algorithm):
    return f"{algorithm}:" + hashlib.new(algorithm, path.read_bytes()).hexdigest()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIVIT_DATA", str(tmp_path))
    assert files.cache_folder() == tmp_path
    return tmp_path


def test_cifar10_reads_the_binary_format(cache, monkeypatch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (18, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, 18, dtype=np.uint8)
    path = cache / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for part, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            rows = range(3 * part, 3 * part + 3)
            content = b"".join(
                bytes([labels[i]]) + images[i].transpose(2, 0, 1).tobytes() for i in rows
            )
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(downloaded, "_CIFAR", (downloaded._CIFAR[0], known(path, "sha256")))
    s = downloaded.cifar10()
    assert s.name == "cifar10" and s.classes[3] == "cat" and s.train_images.dtype == np.float32
    np.testing.assert_allclose(s.train_images, images[:15] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(s.test_images, images[15:] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(s.train_labels, labels[:15])
    np.testing.assert_array_equal(s.test_labels, labels[15:])


def test_fashion_mnist_reads_the_idx_format(cache, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {}
    for name in downloaded._FASHION_MD5:
        shape = (6, 28, 28) if "images" in name else (6,)
        arrays[name] = rng.integers(0, 10, shape, dtype=np.uint8)
        head = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes()
        (cache / name).write_bytes(gzip.compress(head + arrays[name].tobytes()))
    md5 = {name: known(cache / name, "md5")[4:] for name in arrays}
    monkeypatch.setattr(downloaded, "_FASHION_MD5", md5)
    s = downloaded.fashion_mnist()
    train, train_labels, test, test_labels = arrays.values()
    np.testing.assert_allclose(s.train_images[..., 0], train / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(s.test_images[..., 0], test / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(s.train_labels, train_labels)
    np.testing.assert_array_equal(s.test_labels, test_labels)
    assert s.train_images.shape == (6, 28, 28, 1) and s.train_labels.dtype == np.int64

    bad = cache / "t10k-labels-idx1-ubyte.gz"
    bad.write_bytes(gzip.compress(b"\0\0\x0d\x01" + bytes(8)))  # 13: floats
    monkeypatch.setitem(md5, bad.name, known(bad, "md5")[4:])
    with pytest.raises(data.DataError, match="begins with 00000d01, expected an idx file"):
        downloaded.fashion_mnist()


def test_a_download_of_the_wrong_bytes_is_refused(cache):
    (cache / "cifar-10-binary.tar.gz").write_bytes(b"something else")
    with pytest.raises(data.DataError, match=r"sha256 .*, expected c4a38c50.*Delete it"):
        downloaded.cifar10()


def test_offline_the_error_says_which_file_to_put_where(cache, monkeypatch):
    class Offline:
        @staticmethod
        def retrieve(url, known_hash, fname, path):
            raise ConnectionError("no route to host")

    for module in (None, Offline):  # pooch not installed; pooch without a network
        monkeypatch.setitem(sys.modules, "pooch", module)
        with pytest.raises(data.DataError) as error:
            downloaded.cifar10()
        assert str(cache / "cifar-10-binary.tar.gz") in str(error.value)
        assert "https://www.cs.toronto.edu/" in str(error.value)
        assert "pip install pooch" in str(error.value)


@given(by=st.integers(0, 3), seed=st.integers(0, 9), tail=st.sampled_from([(), (1,), (3,)]))
def test_shifted_moves_a_picture_by_at_most_so_many_pixels(by, seed, tail):
    images = np.random.default_rng(seed).uniform(size=(4, 5, 6, *tail)).astype(np.float32)
    wide = np.pad(images, [(0, 0), (by, by), (by, by)] + [(0, 0)] * len(tail), constant_values=-1)
    moved = data.shifted(images, by, np.random.default_rng(seed), fill=-1)
    for got, around in zip(moved, wide):
        windows = [
            around[y : y + 5, x : x + 6] for y in range(2 * by + 1) for x in range(2 * by + 1)
        ]
        assert any((got == one).all() for one in windows)
    assert moved.dtype == images.dtype and (by or (moved == images).all())
