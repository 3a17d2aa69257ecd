"""Image GPT: its objectives, its features, its input, and parity with transformers' port."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import backend
from minivit.engine.errors import OptionError, RangeError, ShapeError
from minivit.images.palette import Palette, kmeans
from minivit.models import image_gpt
from minivit.models.image_gpt import ImageGPT

C, N, D, L, H = 8, 16, 32, 3, 2  # heads of 16 numbers: see the parity tests


def small(dtype=np.float32, **how):
    """Every parameter perturbed: the zero table and the unit gains hide nothing."""
    model, rng = ImageGPT(C, N, D, L, H, **how), np.random.default_rng(0)
    for p in model.parameters():
        p.data = p.data.astype(dtype)
        p.assign(backend.to_numpy(p.data) + 0.1 * rng.standard_normal(p.shape))
    return model


@pytest.fixture
def igpt():
    return small()


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, C, (3, N))


@pytest.fixture
def hidden():
    return np.random.default_rng(2).random((3, N)) < 0.3


# -- on every device -------------------------------------------------------------------------------
def test_both_objectives_and_generation_run_where_the_model_is(device, pixels, hidden):
    model = small()
    for loss in (model.loss(pixels), model.bert_loss(pixels, hidden)):
        loss.backward()
        assert all(p.grad is not None for p in model.parameters() if p is not model.sos)
    assert all(f.shape == (3, D) for f in model.features(pixels))
    assert model.complete(pixels[:, :10], seed=1).shape == (3, N)


# -- what it is ------------------------------------------------------------------------------------
def test_nothing_has_a_bias_and_the_output_table_is_its_own_and_zero():
    model = ImageGPT(C, N, D, L, H)
    names = dict(model.named_parameters())
    assert not [name for name in names if "bias" in name]
    assert (model.head.weight.numpy() == 0).all()
    assert model.head.weight is not model.wte.weight
    for name, std in {"wte": 0.02, "wpe": 0.01}.items():
        found = names[f"{name}.weight"].numpy().std()
        assert abs(found / std - 1) < 0.2, name
    assert abs(names["layers.0.attn.in_proj_weight"].numpy().std() * math.sqrt(D) - 1) < 0.1
    assert abs(names["layers.1.attn.out_proj.weight"].numpy().std() * math.sqrt(D * L) - 1) < 0.1


def test_with_the_published_start_no_gradient_reaches_the_layers(pixels):
    model = ImageGPT(C, N, D, L, H)
    model.loss(pixels).backward()
    for name, p in model.named_parameters():
        assert bool(np.abs(p.grad).max() > 0) == (name == "head.weight"), name


def test_post_ln_normalises_after_the_sum(pixels):
    model = small(norm="post")
    for x in model.states(model.shifted(pixels), causal=True)[1:]:
        gain = model.layers[0].ln_2.weight.numpy()
        assert np.isfinite(x.numpy()).all() and x.shape == (3, N, D)
    x = x.numpy() / model.layers[-1].ln_2.weight.numpy()
    assert np.allclose((x**2).mean(axis=-1), 1, atol=1e-3) and gain.shape == (D,)
    with pytest.raises(OptionError, match="'middle'"):
        ImageGPT(C, N, D, L, H, norm="middle")


def test_the_pixel_before_is_what_a_position_holds(igpt, pixels):
    x = igpt.shifted(pixels).numpy() - igpt.wpe.weight.numpy()
    assert np.allclose(x[:, 0], igpt.sos.numpy(), atol=1e-6)
    assert np.allclose(x[:, 1:], igpt.wte.weight.numpy()[pixels[:, :-1]], atol=1e-6)


# -- BERT ------------------------------------------------------------------------------------------
def test_a_hidden_pixel_is_a_zero_vector_that_keeps_its_position(igpt, pixels, hidden):
    x = igpt.visible(pixels, hidden).numpy()
    wpe, wte = igpt.wpe.weight.numpy(), igpt.wte.weight.numpy()
    expected = np.where(hidden[:, :, None], 0, wte[pixels]) + wpe
    assert np.allclose(x, expected, atol=1e-6)


def test_the_loss_is_over_the_hidden_pixels_only(igpt, pixels, hidden):
    p = mv.softmax(igpt.fill(pixels, hidden)).numpy()
    own = -np.log(np.take_along_axis(p, pixels[:, :, None], axis=2)[:, :, 0])
    assert math.isclose(
        igpt.bert_loss(pixels, hidden).item(), own[hidden].mean(), rel_tol=1e-5
    )  # fmt: skip


def test_without_a_mask_features_and_fill_see_every_pixel(igpt, pixels):
    nothing = np.zeros(pixels.shape, bool)
    for a, b in zip(igpt.features(pixels, False), igpt.features(pixels, False, nothing)):
        assert np.array_equal(a.numpy(), b.numpy())
    assert not np.allclose(
        igpt.features(pixels, False)[2].numpy(), igpt.features(pixels, False, ~nothing)[2].numpy()
    )


def test_features_are_means_of_normed_states(igpt, pixels):
    states = igpt.states(igpt.shifted(pixels), causal=True)
    features = igpt.features(pixels)
    assert len(features) == len(states) == L + 1
    assert np.allclose(
        features[1].numpy(), igpt.layers[1].ln_1(states[1]).numpy().mean(axis=1), atol=1e-5
    )
    assert np.allclose(features[-1].numpy(), igpt.norm(states[-1]).numpy().mean(axis=1), atol=1e-5)


# -- generation ------------------------------------------------------------------------------------
@given(st.integers(0, N - 1), st.integers(0, 100))
def test_the_cache_changes_nothing(n, seed):
    igpt, ids = small(), np.random.default_rng(seed).integers(0, C, (2, N))
    steps = list(igpt.generate(ids[:, :n], N - n, seed=seed))
    whole = np.concatenate([ids[:, :n], np.stack([t for t, _ in steps], axis=1)], axis=1)
    p = mv.softmax(igpt(whole)).numpy()
    assert max(np.abs(p[:, n + i] - q).max() for i, (_, q) in enumerate(steps)) < 1e-4


def test_temperature_zero_is_the_likeliest_and_draws_follow_the_seed(igpt, pixels):
    greedy = igpt.complete(pixels[:, :4], temperature=0)
    logits = igpt(greedy).numpy()
    assert (logits[:, 4:].argmax(axis=2) == greedy[:, 4:]).all()
    assert np.array_equal(
        igpt.complete(pixels[:, :4], seed=5), igpt.complete(pixels[:, :4], seed=5)
    )
    assert not np.array_equal(
        igpt.complete(pixels[:, :4], seed=5), igpt.complete(pixels[:, :4], seed=6)
    )


def test_samples_follow_the_models_distribution():
    model = small()
    drawn = model.complete(np.zeros((4000, 0), int), pixels=1, seed=0)[:, 0]
    p = mv.softmax(model(np.zeros((1, 1), int))).numpy()[0, 0]
    share = np.bincount(drawn, minlength=C) / 4000
    assert np.abs(share - p).max() < 4 * math.sqrt(0.25 / 4000)


# -- bad input -------------------------------------------------------------------------------------
LONG = np.zeros((1, N + 1), int)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m(LONG),
        lambda m: m.loss(LONG),
        lambda m: m.fill(LONG, LONG == 1),
        lambda m: m.features(LONG),
        lambda m: m.features(LONG, causal=False),
        lambda m: m.complete(LONG),
        lambda m: list(m.generate(LONG[:, :10], 7)),
        lambda m: m.complete(LONG[:, :3], pixels=N + 1),
    ],
)
def test_more_pixels_than_the_context_are_refused(igpt, call):
    with pytest.raises(ShapeError, match=f"{N + 1} tokens, the context is {N}"):
        call(igpt)


def test_ids_and_masks_that_cannot_be(igpt, pixels, hidden):
    with pytest.raises(RangeError, match=f"got {C}"):
        igpt(np.full((1, N), C))
    for ids in (pixels[0], pixels[:, :, None], np.zeros((2, 0), int)):
        with pytest.raises(ShapeError, match=r"expected \(B, N\)"):
            igpt(ids)
    for mask in (hidden.astype(int), hidden[:, :-1], hidden[0]):
        with pytest.raises(ShapeError, match="booleans of the ids' shape"):
            igpt.fill(pixels, mask)
    with pytest.raises(OptionError, match="has no hidden pixels"):
        igpt.features(pixels, causal=True, hidden=hidden)
    with pytest.raises(OptionError, match="expected one of"):
        image_gpt.image_gpt("XXL")
    with pytest.raises(OptionError, match="expected one of"):
        image_gpt.count_parameters("XXL")


# -- sizes -----------------------------------------------------------------------------------------
def test_counts_follow_the_shapes_of_a_real_model(monkeypatch):
    monkeypatch.setitem(image_gpt.SIZES, "T", (2, 24, 2, 9))
    model = image_gpt.image_gpt("T")
    assert model.count_parameters() == image_gpt.count_parameters("T")
    model = ImageGPT(512, 25, 24, 2, 2)
    assert model.count_parameters() == image_gpt.count_parameters("T", pixels=25)


def test_the_papers_count_of_xl_is_that_of_a_short_context():
    assert image_gpt.count_parameters("XL", pixels=1024) == 6_801_438_720  # "6801M"
    assert image_gpt.count_parameters("L", pixels=48 * 48) == 1_364_216_832


# -- palettes --------------------------------------------------------------------------------------
def test_more_centres_than_different_points_leave_none_lost():
    x = np.repeat(np.float32([[0, 0], [1, 1], [5, 5]]), 4, axis=0)
    centres, inertia = kmeans(x, 5)
    assert inertia == 0 and np.isfinite(centres).all()
    assert {tuple(c) for c in centres.tolist()} >= {(0, 0), (1, 1), (5, 5)}


def test_a_palette_follows_its_seed(device):
    xp = backend.MODULES[device]
    images = np.random.default_rng(0).random((2, 20, 20, 3)).astype(np.float32)
    images = backend.to_device(images, device)
    one, same, other = (Palette.fit(images, 16, seed=s).colours for s in (3, 3, 4))
    assert bool(xp.array_equal(one, same)) and not bool(xp.array_equal(one, other))


# -- parity ----------------------------------------------------------------------------------------
def from_transformers(state):
    """transformers' names and layouts -> ours; Conv1D weights are (in, out), the start token is the
    last row of wte."""
    at = {k.removeprefix("transformer."): np.asarray(v) for k, v in state.items()}
    out = {
        "wte.weight": at["wte.weight"][:-1], "sos": at["wte.weight"][-1],
        "wpe.weight": at["wpe.weight"], "norm.weight": at["ln_f.weight"],
        "head.weight": at["lm_head.weight"],
    }  # fmt: skip
    names = {
        "attn.in_proj_weight": "attn.c_attn", "attn.out_proj.weight": "attn.c_proj",
        "mlp.fc1.weight": "mlp.c_fc", "mlp.fc2.weight": "mlp.c_proj",
    }  # fmt: skip
    for i in range(L):
        out |= {f"layers.{i}.{a}": at[f"h.{i}.{b}.weight"].T for a, b in names.items()}
        out |= {f"layers.{i}.{n}.weight": at[f"h.{i}.{n}.weight"] for n in ("ln_1", "ln_2")}
    return out


@pytest.fixture
def theirs():
    """transformers' port, every weight perturbed; its biases, which Image GPT has not, are zero.
    Its versions before 5 truncate sqrt(d) to an integer: right only for d = 16, 64 ..."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.ImageGPTConfig(
        vocab_size=C + 1, n_positions=N, n_embd=D, n_layer=L, n_head=H, attn_pdrop=0.0,
        embd_pdrop=0.0, resid_pdrop=0.0, attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ImageGPTForCausalImageModeling(config).double().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p += 0.2 * torch.randn_like(p) if not name.endswith("bias") else -p
    return model


def compare(ours, theirs, loss, their_loss, logits, their_logits):
    their_logits = their_logits.detach().numpy()
    assert np.abs(logits.numpy() - their_logits).max() <= 1e-10 * np.abs(their_logits).max()
    assert math.isclose(loss.item(), their_loss.item(), rel_tol=1e-12)
    loss.backward()
    their_loss.backward()
    expected = from_transformers(
        {k: p.grad for k, p in theirs.named_parameters() if not k.endswith("bias")}
    )
    found = dict(ours.named_parameters())
    assert set(found) == set(expected)
    for name, p in found.items():
        g = np.zeros(p.shape) if p.grad is None else p.grad
        assert np.abs(g - expected[name]).max() <= 1e-8 * np.abs(expected[name]).max(), name


@pytest.mark.parity
def test_parity_with_transformers_autoregressive(theirs, pixels):
    import torch

    ours = small(np.float64)
    ours.load_state_dict(from_transformers(theirs.state_dict()))
    x = np.concatenate([np.full((3, 1), C), pixels[:, :-1]], axis=1)  # their start token is C
    logits = theirs(input_ids=torch.tensor(x)).logits
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, C), torch.tensor(pixels).reshape(-1)
    )
    compare(ours, theirs, ours.loss(pixels), loss, ours(pixels), logits)


@pytest.mark.parity
def test_parity_with_transformers_layers_under_berts_objective(theirs, pixels, hidden):
    """transformers has no BERT mode: its layers with an open mask, on inputs with zeroed pixels."""
    import torch

    ours = small(np.float64)
    ours.load_state_dict(from_transformers(theirs.state_dict()))
    for block in theirs.transformer.h:
        block.attn.bias[:] = True
    inputs = theirs.transformer.wte(torch.tensor(pixels)) * torch.tensor(~hidden)[:, :, None]
    logits = theirs(inputs_embeds=inputs).logits
    picked = torch.tensor(hidden)
    loss = torch.nn.functional.cross_entropy(logits[picked], torch.tensor(pixels)[picked])
    compare(
        ours, theirs, ours.bert_loss(pixels, hidden), loss, ours.fill(pixels, hidden), logits
    )  # fmt: skip


# -- the figures of the lecture --------------------------------------------------------------------
@pytest.fixture
def plots():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from minivit.course.plots import image_gpt

    yield image_gpt
    matplotlib.pyplot.close("all")


@pytest.fixture
def results(plots):
    from minivit.course.plots import image_gpt_results

    return image_gpt_results


def words(fig):
    """All that is written in a figure."""
    from matplotlib.text import Text

    return "\n".join(t.get_text() for t in fig.findobj(Text) if t.get_text())


def gradient_image(H=8, W=8, C=3):
    return np.linspace(-1, 1, H * W * C).reshape(H, W, C).astype(np.float32)


def test_a_sheet_holds_every_image_in_reading_order(plots):
    x = np.arange(5.0).reshape(5, 1, 1, 1) * np.ones((1, 2, 3, 1))
    out = plots.sheet(x, columns=2, gap=1, value=9)
    assert out.shape == (3 * 2 + 2, 2 * 3 + 1, 1)
    assert [out[r, c, 0] for r in (0, 3, 6) for c in (0, 4)] == [0, 1, 2, 3, 4, 9]
    assert (out[2] == 9).all() and (out[:, 3] == 9).all()
    with pytest.raises(ShapeError, match="1 or 3"):
        plots.picture(np.zeros((2, 2, 4)))


def test_inputs_show_the_ids_and_the_palette(plots):
    photo = gradient_image(16, 16)
    palette = Palette.fit(photo[None], 20)
    ids = palette.encode(photo[None])[0]
    fig = plots.inputs(photo, photo[::2, ::2], photo[::2, ::2], ids, palette.colours)
    said = words(fig)
    assert "20 colours" in said and "one sequence of 256 palette ids" in said
    assert said.splitlines().count(str(ids[0])) >= 1
    table = fig.axes[-1].images[0].get_array()
    assert np.allclose(table.reshape(-1, 3)[:20], (palette.colours + 1) / 2, atol=1e-6)


def test_objectives_show_what_is_seen_and_what_is_asked(plots):
    hidden = np.zeros(64, bool)
    hidden[[3, 60]] = True
    sees = {"AR": np.tri(64, dtype=bool), "BERT": np.ones((64, 64), bool)}
    fig = plots.objectives(gradient_image(), np.zeros(64, int), 10, hidden, sees)
    said = words(fig)
    assert "seen: 10 of 64" in said and "seen: 62 of 64" in said
    assert "pixel 10" in said and "2 questions" in said
    assert np.array_equal(fig.axes[3].images[0].get_array(), sees["AR"])
    with pytest.raises(ShapeError, match="64 pixels"):
        plots.objectives(gradient_image(), np.zeros(63, int), 10, hidden, sees)


def lines(axes):
    return {line.get_label(): line.get_ydata() for line in axes.get_lines()}


def test_norm_orders_draw_means_of_seeds(plots):
    rng = np.random.default_rng(0)
    g = {o: rng.random((3, 5)) for o in ("pre", "post")}
    c = {o: rng.random((3, 20)) for o in g}
    final = {o: {1e-3: rng.random(3), 1e-2: rng.random(3)} for o in g}
    fig = plots.norm_orders(g, c, 100, final, 1e-3)
    left, middle, right = fig.axes[-3:]  # after the blocks
    assert np.allclose(lines(left)["pre-LN"], g["pre"].mean(axis=0))
    assert np.allclose(lines(middle)["post-LN"], c["post"].mean(axis=0))
    drawn = [y for line in right.get_lines() for y in line.get_ydata()]
    assert sorted(drawn) == sorted(y for o in final.values() for r in o.values() for y in r)
    assert left.get_yscale() == "log" and "0.001" in middle.get_title()


SOURCE = [{"source": "Chen et al. 2020", "place": "section 4.1 and Table 2"}]


def test_probes_by_layer_mark_the_best_layer_given(results):
    curves = {n: np.random.default_rng(0).random((3, 9)) for n in ("AR", "BERT")}
    panels = [("one", {"AR": curves["AR"]}, {"AR": 4}, {"raw": 0.9}),
              ("two", curves, {"AR": 1, "BERT": 2}, {})]  # fmt: skip
    points = {"ours": ("BERT", np.array([1.0, 2.0])), "printed": ("AR", -2.4)}
    fig = results.probes_by_layer(panels, points, SOURCE)
    first, second, losses = fig.axes
    marked = [line for line in first.lines if line.get_markersize() == 20]
    assert [line.get_ydata()[0] for line in marked] == [pytest.approx(curves["AR"][:, 4].mean())]
    assert np.allclose(lines(second)["BERT"], curves["BERT"].mean(axis=0))
    dots = [list(line.get_xdata()) for line in losses.lines if line.get_marker() in ("s", "D")]
    assert dots == [[1.0, 2.0], [-2.4]]
    said = words(fig)
    assert "layer chosen by validation" in said and "+1.5" in said and "−2.4" in said
    assert "Chen et al. 2020, Table 2, section 4.1" in fig.get_supxlabel()


def test_sizes_write_the_exact_counts(results):
    counts = {s: image_gpt.count_parameters(s) for s in image_gpt.SIZES}
    ours = {"small": (1000, np.array([0.5, 0.6, 0.7]), np.array([2.0, 2.1, 2.2]))}
    printed = [("L", counts["L"], 60.3)]
    fig = results.sizes(counts, dict.fromkeys(counts, "?M"), ours, printed, SOURCE)
    said = words(fig)
    assert all(f"{n:,}" in said for n in counts.values()) and "iGPT-XL" in said
    assert np.allclose(lines(fig.axes[1])["small, 1k"], ours["small"][1])


def test_tuning_has_a_mark_at_each_mean_on_an_axis_that_says_its_range(results):
    a = np.array([80.0, 82.0, 84.0])
    ours = {("AR", "linear probe"): a, ("AR", "fine-tuned"): a + 10, ("BERT", "linear probe"): a,
            ("BERT", "probe, 5 masks"): a + 5}  # fmt: skip
    printed = {("AR", "linear probe"): ("<", 95.3), ("AR", "fine-tuned"): 99.0,
               ("BERT", "probe, 5 masks"): "unchanged",
               ("BERT", "fine-tuned"): ("to", 98.0, 99.0)}  # fmt: skip
    fig = results.tuning([("here", ours), ("published", printed)], SOURCE)
    marks = [[line for line in axes.lines if line.get_marker() in "os"] for axes in fig.axes]
    assert [[m.get_xdata()[0] for m in of] for of in marks] == [[82, 92, 82, 87], [95.3, 99]]
    left, right = ([m.get_ydata()[0] for m in of] for of in marks)
    assert right == left[:2]  # one row for one way
    assert [m.get_markerfacecolor() == "white" for m in marks[1]] == [True, False]
    for axes, of in zip(fig.axes, marks):
        low, high = map(int, re.search(r"axis: (\d+) to (\d+)", axes.get_xlabel()).groups())
        assert all(low <= m.get_xdata()[0] <= high for m in of)
        assert np.allclose(axes.get_xlim(), (low, high), atol=1)
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == [
        "AR: linear probe", "AR: fine-tuned", "BERT: linear probe", "BERT: probe, 5 masks",
        "BERT: fine-tuned",
    ]  # fmt: skip
    (bar,) = [line for line in fig.axes[1].lines if len(line.get_xdata()) == 2]
    assert [*bar.get_xdata()] == [98, 99] and "98.0 to" in words(fig)
    assert all(number in words(fig) for number in ("92.0", "< 95.3", "99.0", "unchanged"))


def test_completions_and_samples_show_the_pixels(plots):
    x = np.stack([gradient_image()] * 4)
    fig = plots.completions([("digits", x, 4, np.stack([x, -x]))])
    assert len(fig.axes) == 4 * 4
    assert np.allclose(fig.axes[12].images[0].get_array(), (1 - x[0]) / 2)  # row "drawn 2"
    given = fig.axes[4].images[0].get_array()
    assert (given[4:] == 1).all() and np.allclose(given[:4], (x[0, :4] + 1) / 2)
    fig = plots.samples([("real", {"grey": x}), ("T = 1", {"grey": -x})], "T", columns=2)
    assert [a.get_ylabel() for a in fig.axes] == ["real", "T = 1"]
    assert [a.get_title() for a in fig.axes] == ["grey", ""]
    assert fig.axes[0].images[0].get_array().shape == (19, 19, 3)
