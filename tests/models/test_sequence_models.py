"""GPT, BERT and the encoder-decoder: who may see what, and that a cache changes nothing."""

import numpy as np
import pytest

import minivit as mv
from minivit.attention import KVCache
from minivit.engine.check import gradcheck
from minivit.engine.errors import OptionError, RangeError, ShapeError
from minivit.models.bert import BERT, mask_tokens
from minivit.models.gpt import GPT
from minivit.models.seq2seq import Seq2Seq
from minivit.transformer import TransformerLayer, sinusoids


def shaken(model, seed=0, scale=0.1):
    """Every parameter perturbed, so that zero biases and unit gains hide nothing."""
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data += scale * rng.standard_normal(p.shape).astype(p.dtype)
    return model.eval()


@pytest.fixture
def ids():
    return np.random.default_rng(0).integers(0, 40, (3, 10))


@pytest.fixture
def gpt():
    return shaken(GPT(40, context=24, width=16, layers=2, heads=4))


def test_gpt_sees_only_the_past(gpt, ids):
    changed = ids.copy()
    changed[:, 6] = (changed[:, 6] + 1) % 40
    difference = np.abs(gpt(changed).numpy() - gpt(ids).numpy()).max(axis=(0, 2))
    assert (difference[:6] == 0).all() and (difference[6:] > 0).all()


def test_the_cache_gives_the_logits_of_the_full_pass(gpt, ids):
    caches = [KVCache(24) for _ in gpt.layers]
    with mv.no_grad():
        pieces = [gpt(ids[:, a:b], caches).numpy() for a, b in ((0, 4), (4, 5), (5, 6), (6, 10))]
        full = gpt(ids).numpy()
    assert np.abs(np.concatenate(pieces, axis=1) - full).max() < 1e-5


@pytest.mark.parametrize("how", [{"temperature": 0}, {"seed": 5}, {"top_k": 3}, {"top_p": 0.5}])
def test_generation_is_the_same_with_and_without_cache_and_streams(gpt, ids, how):
    with_cache = gpt.complete(ids, 8, **how)
    assert (with_cache == gpt.complete(ids, 8, use_cache=False, **how)).all()
    stream = gpt.generate(ids, 8, **how)
    assert (next(stream)[0] == with_cache[:, 10]).all()


def test_generation_leaves_the_mode_and_the_graph_switch_as_they_were(gpt, ids):
    gpt.train()
    stream = gpt.generate(ids, 3)
    next(stream)
    assert (gpt.wte.weight * 1.0).requires_grad
    list(stream)
    assert gpt.training


def test_gpt_learns_a_sequence_by_heart():
    mv.manual_seed(0)
    model = GPT(12, context=12, width=32, layers=2, heads=2)
    ids = np.random.default_rng(1).integers(0, 12, (1, 12))
    optimizer = mv.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = model.loss(ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert (model.complete(ids[:, :1], 11, temperature=0) == ids).all()


def test_too_long_a_sequence_is_refused_before_it_starts(gpt, ids):
    with pytest.raises(ShapeError, match="30 tokens, the context is 24"):
        next(gpt.generate(ids, 20))
    with pytest.raises(RangeError, match="got 40 at index"):
        gpt(np.full((1, 2), 40))
    with pytest.raises(ShapeError, match="unequal lengths"):
        gpt.wte([[1, 2], [3]])


def test_bert_masks_fifteen_percent_eighty_ten_ten():
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 1000, (2000, 60))
    ids[:, 0] = 1
    inputs, labels = mask_tokens(ids, rng, mask_id=2, vocabulary=1000, special=(1,))
    chosen = labels != -100
    n = chosen.sum()
    assert (chosen.sum(axis=1) == round(0.15 * 59)).all() and not chosen[:, 0].any()
    assert (labels[chosen] == ids[chosen]).all() and (inputs[~chosen] == ids[~chosen]).all()
    masked, kept = (inputs == 2)[chosen].sum(), (inputs == ids)[chosen].sum()
    for count, share in ((masked, 0.8), (kept, 0.1 + 0.1 / 1000)):
        assert abs(count - share * n) < 4 * np.sqrt(n * share * (1 - share))


def test_bert_does_not_see_padding(ids):
    model = shaken(BERT(40, context=16, width=16, layers=2, heads=2))
    mask = np.arange(10)[None, :] < np.array([[10], [7], [4]])
    other = np.where(mask, ids, (ids + 3) % 40)
    a, b = model(ids, mask).numpy(), model(other, mask).numpy()
    assert np.abs(a - b)[mask].max() < 1e-5
    with pytest.raises(ShapeError, match="padding mask"):
        model(ids, mask[:, :5])


def test_every_token_hidden_gives_numbers(ids):
    model = shaken(BERT(40, context=16, width=16, layers=1, heads=2))
    assert np.isfinite(model(ids, np.zeros_like(ids, bool)).numpy()).all()


@pytest.fixture
def translator():
    return shaken(Seq2Seq(40, start=1, end=2, context=16, width=16, heads=2))


def test_the_decoder_sees_the_whole_source_and_its_own_past(translator, ids):
    target = ids[:, :6]
    base = translator(ids, target).numpy()
    for changed, seen in ((9, range(6)),):
        other = ids.copy()
        other[:, changed] = (other[:, changed] + 1) % 40
        difference = np.abs(translator(other, target).numpy() - base).max(axis=(0, 2))
        assert all(difference[i] > 0 for i in seen)
    other = target.copy()
    other[:, 4] = (other[:, 4] + 1) % 40
    difference = np.abs(translator(ids, other).numpy() - base).max(axis=(0, 2))
    assert (difference[:4] == 0).all() and (difference[4:] > 0).all()


def test_source_padding_changes_nothing(translator, ids):
    mask = np.ones_like(ids, bool)
    mask[:, 7:] = False
    a = translator(ids, ids[:, :5], mask).numpy()
    b = translator(ids[:, :7], ids[:, :5]).numpy()
    assert np.abs(a - b).max() < 1e-5


def test_one_beam_is_greedy_and_more_beams_are_no_less_likely(translator, ids):
    def score(target):
        full = np.array([[1, *target, 2]])
        logp = mv.log_softmax(translator(ids[:1], full[:, :-1])).numpy()[0]
        return logp[np.arange(len(target) + 1), full[0, 1:]].sum() / ((6 + len(target)) / 6) ** 0.6

    greedy = []
    for _ in range(15):
        step = translator(ids[:1], np.array([[1, *greedy]])).numpy()[0, -1].argmax()
        if step == 2:
            break
        greedy.append(int(step))
    assert translator.translate(ids[0], beams=1) == greedy[:15]
    wide = translator.translate(ids[0], beams=6)
    if len(greedy) < 15 and len(wide) < 15:
        assert score(wide) >= score(greedy) - 1e-4


def test_alignment_rows_are_distributions(translator, ids):
    A = translator.alignment(ids, ids[:, :4])
    assert A.shape == (3, 4, 10) and np.allclose(A.sum(axis=2), 1, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("cross", [False, True])
def test_a_whole_layer_passes_the_gradient_check(norm, cross):
    rng = np.random.default_rng(0)
    layer = shaken(TransformerLayer(4, 2, 6, norm, activation="gelu", cross_attention=cross))
    names = [name for name, _ in layer.named_parameters()]

    def f(x, memory, *weights):
        holder = TransformerLayer(4, 2, 6, norm, activation="gelu", cross_attention=cross)
        for name, w in zip(names, weights):
            *path, last = name.split(".")
            module = holder
            for part in path:
                module = getattr(module, part)
            setattr(module, last, w)
        return holder(x, causal=True, memory=memory if cross else None) + 0.0 * memory.sum()

    weights = [p.numpy().astype(np.float64) for p in layer.parameters()]
    checked = gradcheck(f, rng.standard_normal((1, 3, 4)), rng.standard_normal((1, 2, 4)), *weights)
    assert checked.compared > 150


def test_sinusoids_in_their_three_variants():
    a, b, c = (sinusoids(50, 16, v) for v in ("interleaved", "halves", "tensor2tensor"))
    assert np.allclose(a[:, 0::2], b[:, :8]) and np.allclose(a[:, 1::2], b[:, 8:])
    assert np.isclose(a[7, 2], np.sin(7 * 10000 ** (-2 / 16)), atol=1e-6)
    assert np.isclose(c[7, 7], np.sin(7 / 10000), atol=1e-6)
    with pytest.raises(OptionError, match="variant"):
        sinusoids(4, 6, "learned")
