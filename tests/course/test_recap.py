"""Lectures 1 to 3: bad input to the sequence models, their losses and decoding, the figures."""

import csv
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit import Tensor, files
from minivit.engine.errors import (
    DataError,
    DtypeError,
    OptionError,
    RangeError,
    ShapeError,
    TextError,
)
from minivit.models.bert import BERT, IGNORED, mask_tokens
from minivit.models.gpt import GPT
from minivit.models.seq2seq import Seq2Seq
from minivit.text import BPE, CLIPTokenizer, WordPiece, pad

V, CONTEXT = 40, 12


def shaken(model, seed=0):
    """Every parameter perturbed, so that zero biases and unit gains hide nothing."""
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data += 0.1 * rng.standard_normal(p.shape).astype(p.dtype)
    return model.eval()


def gpt():
    return shaken(GPT(V, CONTEXT, width=16, layers=2, heads=2))


def bert():
    return shaken(BERT(V, CONTEXT, width=16, layers=2, heads=2))


def translator():
    return shaken(Seq2Seq(V, start=1, end=2, context=CONTEXT, width=16, layers=2, heads=2))


def translate(model, ids):
    return model(ids, np.ones((len(ids), 2), int))


MODELS = [
    pytest.param(gpt, lambda m, ids: m(ids), id="GPT"),
    pytest.param(bert, lambda m, ids: m(ids), id="BERT"),
    pytest.param(translator, translate, id="Seq2Seq source"),
    pytest.param(translator, lambda m, ids: m(np.ones((len(ids), 2), int), ids), id="target"),
]


# -- bad input -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("make", "call"), MODELS)
def test_an_unknown_token_is_named_with_its_place(make, call):
    with pytest.raises(RangeError, match=r"got 40 at index \(1, 2\), expected 0 <= id < 40"):
        call(make(), np.array([[3, 4, 5], [3, 4, 40]]))
    with pytest.raises(RangeError, match="got -1 at index"):
        call(make(), np.array([[3, -1]]))
    with pytest.raises(DtypeError, match="float64, expected integers"):
        call(make(), np.array([[3.0, 4.0]]))


@pytest.mark.parametrize(("make", "call"), MODELS)
def test_a_sequence_longer_than_the_context_is_refused(make, call):
    call(make(), np.ones((1, CONTEXT), int))
    with pytest.raises(ShapeError, match="13 tokens, the context is 12"):
        call(make(), np.ones((1, CONTEXT + 1), int))


@pytest.mark.parametrize(("make", "call"), MODELS)
def test_rows_of_unequal_lengths_ask_for_padding_and_its_mask(make, call):
    with pytest.raises(ShapeError, match=r"unequal lengths; tokenizer\.pad .* mask"):
        call(make(), [[3, 4, 5], [3]])


@pytest.mark.parametrize(("make", "call"), MODELS)
def test_a_text_without_tokens_is_refused(make, call):
    for nothing in (np.zeros((1, 0), int), np.array([3, 4])):
        with pytest.raises(ShapeError, match=re.escape(f"ids of shape {nothing.shape}")):
            call(make(), nothing)


def test_the_empty_string():
    """No tokens; what a model may read of it are its special tokens."""
    texts = ["a cat", "a dog"]
    bpe, wordpiece = BPE.train(texts, 260), WordPiece.train(texts, 30)
    clip = CLIPTokenizer.train(texts, 516)
    assert bpe.encode("") == wordpiece.encode("") == clip.encode("") == []
    assert bpe.decode([]) == wordpiece.decode([]) == clip.decode([]) == ""
    assert [wordpiece.symbols[i] for i in wordpiece.pair("")[0]] == ["[CLS]", "[SEP]"]
    assert (clip([""])[0, :3] == [514, 515, 0]).all()
    ids, mask = pad([[], [3]])
    assert ids.shape == (2, 1) and mask.tolist() == [[False], [True]]
    with pytest.raises(ShapeError, match="expected one sentence"):
        translator().translate([])


def test_an_unknown_character():
    """WordPiece says [UNK]; bytes have no unknown characters; an unknown symbol is an error."""
    wordpiece = WordPiece.train(["a cat"], 30)
    assert wordpiece.tokens("a 🐈") == ["a", "[UNK]"]
    assert BPE.train(["a cat"], 260).decode(BPE.train(["a cat"], 260).encode("🐈")) == "🐈"
    with pytest.raises(RangeError, match="'zebra' is not among"):
        wordpiece.id_of("zebra")
    with pytest.raises(TextError, match="lone surrogate"):
        wordpiece.encode("\ud83d")


# -- a mask that hides everything ------------------------------------------------------------------
@pytest.mark.parametrize("causal", [False, True])
def test_attention_to_nothing_is_zero_with_finite_gradients(causal):
    rng = np.random.default_rng(0)
    q, k, v = (Tensor(rng.standard_normal((2, 3, 4)), requires_grad=True) for _ in range(3))
    mask = np.ones((2, 1, 1, 3), bool)
    mask[1] = False
    out = mv.dot_product_attention(q, k, v, heads=2, mask=mask, causal=causal)
    assert (out.numpy()[1] == 0).all() and (out.numpy()[0] != 0).all()
    out.backward(rng.standard_normal(out.shape))
    for x in (q, k, v):
        assert np.isfinite(x.grad).all() and (x.grad[1] == 0).all()


def test_models_that_see_nothing_give_numbers_and_gradients():
    nobody = np.zeros((2, 5), bool)
    ids = np.random.default_rng(0).integers(3, V, (2, 5))
    for model, loss in [
        (bert(), lambda m: m.loss(ids, ids, nobody)),
        (translator(), lambda m: m.loss(ids, ids, nobody)),
        (translator(), lambda m: m.loss(ids, ids, None, nobody)),
        (gpt(), lambda m: m.loss(ids, nobody)),
    ]:
        value = loss(model)
        value.backward()
        assert np.isfinite(value.item())
        assert all(p.grad is None or np.isfinite(p.grad).all() for p in model.parameters())
    model = translator()
    assert model.greedy(ids, nobody, steps=3)[0] == model.greedy(ids[::-1], nobody, steps=3)[0]


def test_masks_that_do_not_fit_are_refused():
    ids = np.ones((2, 5), int)
    for model, mask in [(bert(), np.ones((2, 4), bool)), (bert(), [[True] * 5])]:
        with pytest.raises(ShapeError, match="the padding mask has shape"):
            model(ids, mask)
    with pytest.raises(ShapeError, match=r"padding mask has shape \(2, 4\), the ids \(2, 5\)"):
        translator()(ids, ids, np.ones((2, 4), bool))
    with pytest.raises(DtypeError, match="expected booleans"):
        bert()(ids, np.ones((2, 5)))
    with pytest.raises(ShapeError, match="got 3 targets for 2 sources"):
        translator()(ids, np.ones((3, 2), int))


# -- losses ----------------------------------------------------------------------------------------
def test_berts_loss_is_that_of_the_chosen_tokens_of_the_full_pass():
    rng = np.random.default_rng(0)
    ids, mask = pad([rng.integers(5, V, n) for n in (9, 6, 3)])
    model = bert()
    inputs, labels = mask_tokens(ids, rng, 4, V, special=(0,), share=0.4, mask=mask)
    full = mv.cross_entropy_loss(model(inputs, mask), labels)
    assert model.loss(inputs, labels, mask).item() == pytest.approx(full.item(), rel=1e-5)
    model.loss(inputs, labels, mask).backward()
    few = {name: p.grad.copy() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    full.backward()
    for name, p in model.named_parameters():
        if p.grad is not None:
            np.testing.assert_allclose(few[name], p.grad, atol=1e-6, err_msg=name)


def test_masking_never_chooses_padding_or_special_tokens():
    rng = np.random.default_rng(0)
    ids, mask = pad([[1, *rng.integers(5, V, n), 2] for n in (9, 1, 4)])
    for _ in range(50):
        _, labels = mask_tokens(ids, rng, 4, V, special=(1, 2), mask=mask)
        chosen = labels != IGNORED
        assert chosen.any(axis=1).all() and not chosen[~mask].any()
        assert not chosen[np.isin(ids, (1, 2))].any()


def test_gpts_loss_leaves_padding_out():
    rows = [np.arange(3, 3 + n) for n in (9, 5, 2)]
    model = gpt()
    ids, mask = pad(rows, pad_id=39)
    each = [model.loss(row[None]).item() * (len(row) - 1) for row in rows]
    expected = sum(each) / sum(len(row) - 1 for row in rows)
    assert model.loss(ids, mask).item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ShapeError, match="one token predicts nothing"):
        model.loss([[3]])


def test_the_translators_loss_is_teacher_forcing_without_padding():
    rng = np.random.default_rng(0)
    sources = [rng.integers(3, V, n) for n in (4, 7)]
    targets = [np.r_[1, rng.integers(3, V, n), 2] for n in (6, 3)]
    model = translator()
    each = [
        model.loss(s[None], t[None], label_smoothing=0.1).item() * (len(t) - 1)
        for s, t in zip(sources, targets)
    ]
    (s, s_mask), (t, t_mask) = pad(sources), pad(targets)
    expected = sum(each) / sum(len(t) - 1 for t in targets)
    assert model.loss(s, t, s_mask, t_mask).item() == pytest.approx(expected, rel=1e-5)
    plain = -mv.log_softmax(model(sources[0][None], targets[0][None, :-1])).numpy()[0]
    by_hand = plain[np.arange(len(plain)), targets[0][1:]].mean()
    smooth = 0.9 * by_hand + 0.1 * plain.mean()
    assert each[0] / (len(targets[0]) - 1) == pytest.approx(smooth, rel=1e-5)


# -- decoding --------------------------------------------------------------------------------------
def test_greedy_in_a_batch_is_greedy_one_by_one_and_beam_one():
    rng = np.random.default_rng(3)
    ended = 0
    for seed in range(6):
        model = shaken(translator(), seed)
        model.embedding.weight.data[2] *= 3  # the end is likely, so that some rows stop early
        sources = [rng.integers(3, V, n) for n in (3, 9, 6)]
        rows = model.greedy(*pad(sources))
        assert rows == [model.translate(s, beams=1) for s in sources]
        ended += sum(len(row) < CONTEXT - 1 for row in rows)
    assert ended > 3
    with pytest.raises(OptionError, match="beams is 0"):
        model.translate(sources[0], beams=0)


def test_decoding_leaves_the_mode_as_it_was():
    model = Seq2Seq(V, 1, 2, CONTEXT, 16, 1, 2, dropout=0.5).train()
    ids = np.full((2, 3), 5)
    assert model.greedy(ids) == model.greedy(ids)  # dropout is off inside
    assert np.array_equal(model.alignment(ids, ids), model.alignment(ids, ids))
    model.translate(ids[0])
    assert model.training and model.drop.training


def test_the_alignment_does_not_see_padding():
    model = translator()
    ids, mask = pad([[3, 4, 5, 6], [7, 8]])
    A = model.alignment(ids, np.full((2, 3), 9), mask)
    assert np.allclose(A.sum(axis=2), 1, atol=1e-6) and (A[1, :, 2:] == 0).all()
    assert np.allclose(A[1, :, :2], model.alignment([[7, 8]], np.full((1, 3), 9))[0], atol=1e-6)


# -- figures: what is in them ----------------------------------------------------------------------
plt = pytest.importorskip("matplotlib.pyplot")
from minivit import course  # noqa: E402
from minivit.course.plots import diagrams, history, published, text, transformer  # noqa: E402
from tests.course import figures  # noqa: E402


@pytest.fixture(autouse=True)
def figures_can_be_read():
    course.setup()
    yield
    figures.check_open()


def titles(fig):
    return [
        axes.get_title() + axes.get_title("left") + axes.get_title("right") for axes in fig.axes
    ]


def texts(fig):
    return " ".join(t.get_text() for axes in fig.axes for t in axes.texts)


def test_layer_norm_steps_show_the_statistics_of_each_column():
    X = np.random.default_rng(0).normal(2, 3, (8, 5))
    fig = transformer.layer_norm_steps([X] * 4, list("abcde"), X[:, :1], X[:, 1:2])
    means, variances = fig.axes[6], fig.axes[12]
    assert np.allclose([bar.get_height() for bar in means.patches], X.mean(axis=0))
    assert np.allclose([bar.get_height() for bar in variances.patches], X.var(axis=0))
    assert "8 x 5" in titles(fig)[0]
    drawn = [axes.images[0].get_array() for axes in fig.axes[3:5]]  # between the last two
    assert np.array_equal(drawn, [X[:, :1], X[:, 1:2]]) and titles(fig)[3:5] == ["γ\n8", "β\n8"]


def test_the_layer_diagram_draws_every_stage():
    X, A = np.eye(4, 3), np.full((2, 3, 3), 1 / 3)
    names = ["X", "MhSa[X]", "X + MhSa[X]", "LayerNorm", "mlp[x_n]", "x_n + mlp[x_n]", "out"]
    fig = transformer.layer_diagram({name: X for name in names} | {"A": A}, ["a", "b", "c"])
    images = [axes.images[0].get_array().shape for axes in fig.axes if axes.images]
    assert images.count((4, 3)) == 7 and images.count((3, 3)) == 2


def test_guesses_mark_what_stood_there_and_have_a_baseline():
    bars = [("dog", 0.6), ("cat", 0.3)]
    example = (["[CLS]", "a", "[MASK]", "##s", "[SEP]"], "cat", 17, bars)
    shares = {"model": {"1": 0.25, "2 to 9": 0.75}, "commonest": {"1": 0.125, "2 to 9": 0.875}}
    levels = {"ln 4000": 8.3, "counts": 7.0}
    fig = transformer.masked_words([example], shares, [([0, 9], [5.0, 4.0])], "title", levels)
    guesses, ranks, loss = fig.axes
    colors = [bar.get_facecolor() for bar in guesses.patches]
    assert np.allclose([bar.get_width() for bar in guesses.patches], [60, 30])
    assert colors[0] != colors[1] and "30.0%  ◄ true (rank 17)" in texts(fig)
    assert [t.get_fontweight() for t in guesses.get_yticklabels()] == ["normal", "bold"]
    assert fig.subfigs[0].subfigs[0].get_suptitle() == "[CLS] a [MASK]s [SEP]"
    assert [bar.get_width() for bar in ranks.patches] == [25, 75, 12.5, 87.5]
    assert all("%" in axes.get_xlabel() for axes in (guesses, ranks))
    assert all(words in texts(fig) for words in levels) and loss.get_ylabel()


def test_next_tokens_puts_what_was_drawn_at_the_end_of_the_next_text():
    steps = [("he was", [(" a", 0.5), (" the", 0.2)], " the", 7),
             ("he was the", [(" $", 0.9)], " $", 1)]  # fmt: skip
    fig = transformer.next_tokens(steps, "title")
    left, bars, after, more = fig.axes
    assert [len(axes.patches) for axes in (bars, more)] == [2, 1]
    assert "20.0%  (rank 7)" in texts(fig) and texts(fig).count("rank") == 1
    assert [t.get_text() for t in left.texts if t.get_text()] == ["he was"]
    new, old, last, before = (t for t in after.texts if t.get_text())
    assert (old.get_text(), new.get_text()) == ("he was", "␣the")
    assert (before.get_text(), last.get_text()) == ("he was the", r"␣\$")  # the last one, too
    drawn = [t for t in bars.get_yticklabels() if t.get_color() == new.get_color()]
    assert [t.get_text() for t in drawn] == ["␣the"]


def test_alignments_check_their_shape():
    A = np.array([[0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.2, 0.1], [0.0, 0.0, 0.0, 1.0]])
    fig = transformer.alignments([(["fac", "tory", " worker", "END"], ["ab", "c", "END"], A)])
    drawn = fig.axes[0].images[0].get_array()  # whole words: keys added, queries averaged
    assert np.allclose(drawn, [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == ["factory", "worker", "END"]
    A = np.full((2, 3), 1 / 3)
    with pytest.raises(ShapeError, match="expected \\(3, 2\\)"):
        transformer.alignments([(["x", "y"], ["a", "b", "c"], A)])


def test_pipeline_shows_symbols_ids_and_vectors():
    steps = [[["l", "o"], ["lo"]], [["Ġ", "a"]]]
    vectors = np.arange(12.0).reshape(3, 4)
    fig = text.pipeline("lo a", steps, [7, 8, 9], vectors)
    assert all(word in texts(fig) for word in ("lo", "␣", "→ 7", "→ 9"))
    assert np.array_equal(fig.axes[-1].images[0].get_array(), vectors)


def test_look_up_draws_the_three_matrices():
    table = np.random.default_rng(0).normal(size=(6, 4))
    ids = [1, 4, 1]
    fig = text.look_up(["a", "b", "a"], ids, table, np.eye(6)[ids], table[ids], "title")
    shapes = [axes.images[0].get_array().shape for axes in fig.axes if axes.images]
    assert shapes == [(3, 6), (6, 4), (3, 4)]


@pytest.mark.parametrize("name", ["history_transformers", "history_imagenet"])
def test_every_published_row_has_a_source_and_its_month_is_that_of_the_source(name):
    rows = published.published(name)
    assert len(rows) >= 15 and len({row["model"] for row in rows}) == len(rows)
    for row in rows:
        assert row["source"], row
        found = re.search(r"arXiv (\d\d)(\d\d)\.\d{4,5}", row["source"] + row.get("note", ""))
        if found:
            assert [int(row["year"]), int(row["month"])] == [2000 + int(found[1]), int(found[2])]
    if name == "history_transformers":  # each but the first has an arrow, by a source
        assert [row["model"] for row in rows if not (row["after"] and row["after: source"])] == [
            "Transformer"
        ]
        assert {row["after"] for row in rows[1:]} <= {row["model"] for row in rows}
    draw = {"history_transformers": [history.families],
            "history_imagenet": [history.error_by_year, history.accuracy_by_family]}  # fmt: skip
    for figure in draw[name]:
        fig = figure(rows)
        points = [line for axes in fig.axes for line in axes.lines if line.get_marker() in "os^"]
        assert sum(len(line.get_xdata()) == 1 for line in points) == len(rows)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20), st.text("ab", min_size=1,
       max_size=12)), min_size=1, max_size=12, unique_by=lambda point: point[:2]))  # fmt: skip
def test_names_of_points_cover_no_point_and_no_name_and_lines_cross_none(points):
    fig, axes = transformer.plt.subplots(figsize=(11, 9))
    axes.set(xlim=(-12, 32), ylim=(-10, 30))
    history._name_points(axes, points, orders=20)
    fig.canvas.draw()
    boxes = np.array([t.get_window_extent().extents for t in axes.texts])
    spots = axes.transData.transform([point[:2] for point in points])
    covered = ((boxes[:, None, :2] < spots) & (spots < boxes[:, None, 2:])).all(axis=-1)
    assert not covered.any()
    for i, box in enumerate(boxes):
        assert i == 0 or not history._overlap(box[None] + [1, 1, -1, -1], boxes[:i])
    for line in axes.lines:
        ends = axes.transData.transform(line.get_xydata())
        along = np.linspace(*ends, 50)[1:-3]
        inside = (boxes[:, None, :2] + 3 < along) & (along < boxes[:, None, 2:] - 3)
        assert not inside.all(axis=-1).any()
    transformer.plt.close(fig)


def test_every_published_number_names_its_paper_and_the_place_in_it():
    tables = sorted((files.data_folder() / "published").glob("*.csv"))
    assert len(tables) > 5
    for path in tables:
        for row in published.published(path.stem):
            place = row.get("place", row["source"])  # of the history: in one column
            assert place and "leaderboard" not in place, (path.name, row)
            assert None not in row and all(value is not None for value in row.values()), row


def test_a_row_without_a_source_is_refused(monkeypatch, tmp_path):
    folder = tmp_path / "published"
    folder.mkdir(parents=True)
    monkeypatch.setattr(files, "data_folder", lambda: tmp_path)
    with open(folder / "bare.csv", "w", newline="") as file:
        csv.writer(file).writerows([["model", "source"], ["GPT-9", ""]])
    with pytest.raises(DataError, match="names no source"):
        published.published("bare")
    with pytest.raises(DataError, match="cannot be read"):
        published.published("absent")


def test_losses_and_climbs_draw_what_they_are_given():
    fig = transformer.losses({"a": np.arange(30.0), "b": np.ones(25)})
    smooth = fig.axes[0].lines[0]
    assert smooth.get_xdata()[0] == 20 and np.isclose(smooth.get_ydata()[0], np.arange(20).mean())
    fig = transformer.accuracy_climbs({"seed 0": [(10, 0.1), (20, 0.3)]}, {"commonest token": 0.05})
    assert fig.axes[0].lines[0].get_ydata().tolist() == [0.1, 0.3]
    assert fig.axes[0].lines[1].get_ydata()[0] == 0.05 and "commonest token" in texts(fig)


def test_memory_by_length_draws_megabytes_beside_lines_of_growth():
    fig = transformer.memory_by_length((128, 256), {"textbook": [2**20, 2**22], "library": [1, 2]})
    drawn, _, straight, square = (line.get_ydata() for line in fig.axes[0].lines)
    assert drawn.tolist() == [1, 4] and "4 MB" in texts(fig)
    assert straight[1] / straight[0] == 2 and square[1] / square[0] == 4


# -- diagrams --------------------------------------------------------------------------------------
def test_the_diagrams_name_their_blocks_and_show_the_numbers_that_they_got():
    assert texts(diagrams.two_orders()).count("LayerNorm") == 4
    blocks = texts(diagrams.encoder_decoder())
    assert blocks.count("cross-attention") == 1 and "K, V" in blocks and " Q " in blocks
    logits = np.array([[3.0, 1.0], [0.0, 2.0]])
    fig = diagrams.clip_overview(logits, ["ram", "scarf"], [0.25, 0.75], asked=1)
    assert np.array_equal(fig.axes[0].images[0].get_array(), logits)
    assert all(word in texts(fig) for word in ("ram", "scarf", "25%", "75%"))
