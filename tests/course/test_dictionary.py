"""The long run on WordNet's definitions: what is masked, what a batch holds, and C01's rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.course.runs import dictionary as run
from minivit.engine.errors import DataError
from minivit.text import BPE, WordPiece
from minivit.training.definitions import Definition

ENTRIES = [
    Definition(False, "food", "noun", ("pie", "tart"), 'a dish; "eat a pie"'),
    *(Definition(False, "thing", "noun", (f"thing {i}",), "a thing of the kind") for i in range(7)),
]
TEXTS = ["the old cat sat on a mat", "a dog ran after the cat", "it was on the mat"]


@pytest.fixture(scope="module")
def wordpiece():
    return WordPiece.train(TEXTS, 60)


def test_content_words_are_whole_and_no_function_words(wordpiece):
    ids, mask = run.rows(TEXTS, wordpiece)
    places = run.content_places(ids, wordpiece) & mask
    for row, at in zip(ids, places, strict=True):
        symbols = [wordpiece.symbols[i] for i in row]
        for n in np.flatnonzero(at):
            assert symbols[n].isalpha() and symbols[n] not in run.FUNCTION_WORDS
            assert not symbols[n + 1].startswith("##")
    assert places.any()


def test_each_test_masks_what_it_asks_for_and_nothing_else(wordpiece):
    ids, mask = run.rows(TEXTS, wordpiece)
    for name, (inputs, at) in run.tests(ids, mask, wordpiece).items():
        assert (inputs[at] == wordpiece.id_of("[MASK]")).all() and (inputs == ids)[~at].all()
        assert not (at & ~mask).any() and at.any()
        if name == "content words":
            assert at.sum(axis=1).max() == 1


def test_an_entry_takes_each_of_its_words_in_turn():
    bpe = BPE.train([d.entry() for d in ENTRIES], 300, special_tokens=(run.END,))
    batches = run.Entries(ENTRIES, bpe, size=2, seed=0)
    read = set()
    for step in range(30):
        ids, mask = batches[step]
        assert (ids == batches[step][0]).all()  # the same whenever it is asked for
        read |= {bpe.decode(row[real]) for row, real in zip(ids, mask, strict=True)}
    expected = {run.END + d.entry(word) + run.END for d in ENTRIES for word in d.words}
    assert read == expected


accuracies = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@given(a=accuracies, b=accuracies, base=st.tuples(st.floats(0.01, 0.4), st.floats(0.01, 0.4)))
def test_the_verdict_needs_both_tests(a, b, base):
    given_, baselines = {"x": a, "y": b}, dict(zip("xy", base))
    said = run.verdict(given_, baselines)
    clear = [min(given_[t]) >= 2 * baselines[t] for t in "xy"]
    worse = [max(given_[t]) <= baselines[t] for t in "xy"]
    assert (said == "holds") == all(clear)
    assert (said == "does not hold") == any(worse)


def test_the_verdict_of_the_kept_run_is_the_one_that_is_shown():
    kept = run.results()
    seeds = [kept[f"bert {seed}"] for seed in run.SEEDS]
    found = {t: [one["accuracy"][t] for one in seeds] for t in ("tokens", "content words")}
    assert run.verdict(found, seeds[0]["commonest"]) == "not at this size"


def test_without_the_definitions_the_run_says_what_fetches_them(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    run.definitions.cache_clear()
    with pytest.raises(DataError, match=r"python data/make_text\.py"):
        run.definitions("train")
