"""Optimizers against their formulas written out for one parameter at a time, and schedules."""

import math

import numpy as np
import pytest

import minivit as mv
from minivit import nn, optim
from minivit.engine import backend
from minivit.engine.errors import DtypeError, NonFiniteError, RangeError, StateError
from minivit.models.vit import ViT
from tests import strict
from tests.devices import DEVICES

ON_EVERY_DEVICE = pytest.mark.parametrize("device", DEVICES)


# -- the rules, written plainly --------------------------------------------------------------------
def sgd(w, g, s, t, lr=0.1, momentum=0.0, weight_decay=0.0):
    g = g + weight_decay * w
    s["v"] = momentum * s.get("v", 0) + g
    return w - lr * s["v"]


def adam(w, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    if decoupled:
        w = w - lr * weight_decay * w
    else:
        g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g * g
    m, v = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
    return w - lr * m / (np.sqrt(v) + eps)


def adamw(w, g, s, t, weight_decay=0.01, **options):
    return adam(w, g, s, t, weight_decay=weight_decay, decoupled=True, **options)


def adafactor(w, g, s, t, lr=1e-3, beta1=0.9, factored=32, weight_decay=0.0):
    b2 = min(0.999, 1 - t**-0.8)
    square = g * g + 1e-30
    if w.ndim == 2 and min(w.shape) >= factored:
        s["r"] = b2 * s.get("r", 0) + (1 - b2) * square.mean(axis=1)
        s["c"] = b2 * s.get("c", 0) + (1 - b2) * square.mean(axis=0)
        v = np.outer(s["r"], s["c"]) / s["r"].mean()
    else:
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * square
        v = s["v"]
    m = beta1 * s.get("m", np.float16(0)).astype(w.dtype) + (1 - beta1) * g / np.sqrt(v)
    s["m"] = m.astype(np.float16)
    return w - lr * m - weight_decay * w


RULES = [
    (optim.SGD, sgd, {}),
    (optim.SGD, sgd, {"lr": 0.05, "momentum": 0.9}),
    (optim.SGD, sgd, {"momentum": 0.5, "weight_decay": 0.1}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.01, "betas": (0.5, 0.7), "weight_decay": 0.3}),
    (optim.Adafactor, adafactor, {}),
    (optim.Adafactor, adafactor, {"lr": 0.01, "factored": 3, "weight_decay": 0.02}),
]
SHAPES = [(4, 3), (3,), (), (2, 5), (300, 300)]  # the last is longer than a chunk


def parameters(device, dtype=np.float64):
    rng = np.random.default_rng(0)
    with mv.use(device):
        made = [nn.Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in SHAPES]
    return [p.to(device) if p.device != device else p for p in made]


def gradients(step, skipped=()):
    rng = np.random.default_rng(step + 1)
    return [
        None if i in skipped else np.asarray(rng.standard_normal(s)) for i, s in enumerate(SHAPES)
    ]


@pytest.mark.parametrize("kind, rule, options", RULES, ids=lambda x: str(getattr(x, "__name__", x)))
@ON_EVERY_DEVICE
def test_five_steps_are_the_formula(kind, rule, options, device):
    """Also where a parameter has no gradient in a step: it and its memory stay as they are.
    (Adam's t counts the optimizer's steps, so a skipped one is given a gradient every time.)"""
    skipped = {1, 3} if rule in (sgd,) else set()
    params = parameters(device)
    plain, memories = [np.array(p.numpy()) for p in params], [{} for _ in params]
    opt = kind(params, **options)
    for step in range(5):
        now = skipped if step in (1, 2) else ()
        grads = gradients(step, now)
        for p, g in zip(params, grads, strict=True):
            p.grad = None if g is None else backend.to_device(g, device)
        opt.step()
        for i, g in enumerate(grads):
            if g is not None:
                plain[i] = rule(plain[i], g, memories[i], step + 1, **options)
    for p, w in zip(params, plain, strict=True):
        assert p.device == device and p.dtype == np.float64
        tight = 1e-3 if rule is adafactor else 1e-10  # its memory has half precision
        np.testing.assert_allclose(p.numpy(), w, rtol=tight, atol=tight)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.Adafactor])
@ON_EVERY_DEVICE
def test_a_skipped_gradient_leaves_parameter_and_memory_alone(kind, device):
    params = parameters(device)
    opt = kind(params)
    for p, g in zip(params, gradients(0), strict=True):
        p.grad = backend.to_device(g, device)
    opt.step()
    before = [np.array(p.numpy()) for p in params]
    for i, (p, g) in enumerate(zip(params, gradients(1), strict=True)):
        p.grad = backend.to_device(g, device) if i in (1, 4) else None
    opt.step()
    for i, (p, w) in enumerate(zip(params, before, strict=True)):
        assert (p.numpy() != w).all() if i in (1, 4) else (p.numpy() == w).all()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.Adafactor])
def test_a_step_does_not_touch_the_gradients(kind):
    params = parameters("cpu")
    for p, g in zip(params, gradients(0), strict=True):
        p.grad = g
    copies = [g.copy() for g in gradients(0)]
    kind(params, weight_decay=0.1).step()
    assert all((p.grad == g).all() for p, g in zip(params, copies, strict=True))


# -- groups ----------------------------------------------------------------------------------------
def test_parameter_groups_have_their_own_settings():
    a, b, c = (nn.Parameter(np.ones(2)) for _ in range(3))
    opt = optim.SGD([{"params": [a], "lr": 1.0}, {"params": [b, c]}], lr=0.1)
    for p in (a, b, c):
        p.grad = np.ones(2)
    opt.step()
    assert a.numpy().tolist() == [0.0, 0.0]
    assert b.numpy().tolist() == c.numpy().tolist() == [0.9, 0.9]
    opt.groups[1]["lr"] = 0.5  # what a schedule does
    opt.step()
    np.testing.assert_allclose(b.numpy(), [0.4, 0.4])
    opt.zero_grad()
    assert a.grad is None and c.grad is None


def test_decay_groups():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    model.modules_[0].bias.requires_grad = False
    matrices, vectors = optim.decay_groups(model, 0.3)
    assert [p.shape for p in matrices["params"]] == [(3, 2)]
    assert [p.shape for p in vectors["params"]] == [(3,), (3,)]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    optim.AdamW(optim.decay_groups(model, 0.3))


def test_errors():
    p = nn.Parameter(np.ones(2))
    frozen = nn.Parameter(np.ones(2))
    frozen.requires_grad = False
    with pytest.raises(RangeError, match="SGD: got no parameters"):
        optim.SGD([])
    with pytest.raises(RangeError, match="AdamW: a parameter is given twice"):
        optim.AdamW([p, p])
    with pytest.raises(RangeError, match=r"Adam: unknown settings \['momentum'\]"):
        optim.Adam([{"params": [p], "momentum": 0.9}])
    with pytest.raises(DtypeError, match=r"shape \(2,\) and dtype float64 does not require a grad"):
        optim.SGD([p, frozen])


# -- the arrays ------------------------------------------------------------------------------------
def test_parameters_become_views_of_one_array():
    model = nn.Linear(3, 2)
    before = model.state_dict()
    opt = optim.AdamW(model.parameters())
    flat = opt.groups[0]["flat"]
    assert all(p.data.base is flat for p in model.parameters())
    assert all((before[n] == p.numpy()).all() for n, p in model.named_parameters())
    assert opt.bytes_held() == 2 * 4 * (6 + 2)
    assert optim.SGD(nn.Linear(3, 2).parameters()).bytes_held() == 0


def test_a_parameter_whose_array_was_replaced():
    """By hand, or by model.to: the next step finds it, with its memory."""
    p, q = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    plain, opt = optim.SGD([p], momentum=0.9), optim.SGD([q], momentum=0.9)
    for step in range(4):
        p.grad, q.grad = np.ones(2), np.ones(2)
        if step == 2:
            q.data = q.data.copy()
        plain.step()
        opt.step()
        assert (p.numpy() == q.numpy()).all()


def test_a_model_that_moves_takes_its_optimizer_along():
    models = []
    for moves in (False, True):
        mv.manual_seed(0)
        model = nn.Linear(3, 2)
        opt = optim.AdamW(model.parameters(), lr=0.1)
        for step in range(4):
            if moves and step == 2:
                model.to("strict")
            device = "strict" if moves and step >= 2 else "cpu"
            x = np.random.default_rng(step).standard_normal((4, 3)).astype(np.float32)
            opt.zero_grad()
            (model(mv.Tensor(x, device=device)) ** 2).sum().backward()
            opt.step()
        models.append(model.state_dict())
    for name in models[0]:
        np.testing.assert_allclose(models[0][name], models[1][name], rtol=1e-5, atol=1e-6)


# -- state -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.Adafactor])
@ON_EVERY_DEVICE
def test_state_round_trip_continues_bit_for_bit(kind, device):
    options = {"momentum": 0.9} if kind is optim.SGD else {}

    def run(first, then):
        params = parameters(device, np.float32)
        opt = kind(params, **options)
        for step in range(first + then):
            if step == first:
                state, weights = opt.state_dict(), [p.numpy().copy() for p in params]
                params = [
                    nn.Parameter(w).to(device) if device != "cpu" else nn.Parameter(w)
                    for w in weights
                ]
                for p in params:
                    p.requires_grad = True
                opt = kind(params, **options)
                opt.load_state_dict(state)
            for p, g in zip(params, gradients(step), strict=True):
                p.grad = backend.to_device(g.astype(np.float32), device)
            opt.step()
        return [p.numpy() for p in params]

    for a, b in zip(run(2, 3), run(0, 5), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_state_of_another_optimizer():
    opt = optim.AdamW(parameters("cpu"))
    before = opt.state_dict()
    other = optim.AdamW(parameters("cpu")[:3]).state_dict()
    with pytest.raises(StateError, match=r"AdamW: .*\n  group0.m: got \(16,\), expected"):
        opt.load_state_dict(other)
    with pytest.raises(StateError, match=r"group0.m: got nothing"):
        opt.load_state_dict(optim.SGD(parameters("cpu")).state_dict())
    assert all((v == before[name]).all() for name, v in opt.state_dict().items())


# -- clipping --------------------------------------------------------------------------------------
@ON_EVERY_DEVICE
def test_clip_grad_norm(device):
    params = parameters(device, np.float32)
    grads = [g.astype(np.float32) for g in gradients(0)]
    for p, g in zip(params, grads, strict=True):
        p.grad = backend.to_device(g, device)
    params[1].grad = None
    norm = math.sqrt(sum((g.astype(float) ** 2).sum() for i, g in enumerate(grads) if i != 1))
    assert optim.clip_grad_norm(params, 1e9) == pytest.approx(norm, rel=1e-5)
    assert (backend.to_numpy(params[0].grad) == grads[0]).all()
    strict.reset()
    assert optim.clip_grad_norm(params, 2.0) == pytest.approx(norm, rel=1e-5)
    assert strict.stats.syncs <= 1
    assert strict.stats.float64 == 0
    for i, (p, g) in enumerate(zip(params, grads, strict=True)):
        if i != 1:
            np.testing.assert_allclose(backend.to_numpy(p.grad), g * (2 / norm), rtol=1e-4)
            assert p.grad.dtype == np.float32
    assert optim.clip_grad_norm([nn.Parameter(np.ones(2))], 1.0) == 0.0


def test_clip_grad_norm_of_what_is_not_finite():
    a, b = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    a.grad, b.grad = np.array([1.0, np.nan]), np.array([3.0, 4.0])
    with pytest.raises(NonFiniteError, match="norm of the gradients is not finite"):
        optim.clip_grad_norm([a, b], 1.0)
    assert b.grad.tolist() == [3.0, 4.0]


# -- schedules -------------------------------------------------------------------------------------
def test_warmup_cosine():
    f = [optim.warmup_cosine(t, 100, warmup=10, final=0.1) for t in range(120)]
    np.testing.assert_allclose(f[:10], np.arange(1, 11) / 10)
    assert f[10] == 1.0
    assert f[55] == pytest.approx(0.55)  # half way between 1 and 0.1
    assert f[100] == f[119] == pytest.approx(0.1)
    assert (np.diff(f[10:]) <= 0).all()
    assert optim.warmup_cosine(0, 10) == 1.0
    assert optim.warmup_cosine(0, 0) in (0.0, 1.0)


def test_rsqrt_schedule():
    f = [optim.rsqrt_schedule(t, 100, warmup=10, timescale=10, cooldown=20) for t in range(100)]
    assert f[0] == pytest.approx(0.1) and f[9] == pytest.approx(1.0)
    assert f[40] == pytest.approx(0.5)  # 1 / sqrt(1 + 30 / 10)
    assert f[90] == pytest.approx(1 / 3 / 2)  # half of the cool-down
    assert f[99] == pytest.approx(1 / math.sqrt(1 + 89 / 10) / 20)


# -- a whole training step on a device -------------------------------------------------------------
@pytest.mark.parametrize("kind", [optim.SGD, optim.AdamW, optim.Adafactor])
def test_a_training_step_waits_for_the_device_once_at_most(kind):
    """Forward, loss, backward and update, without a look at the loss: nothing comes back; with the
    clipping of gradients, one number does. And nothing is float64."""
    with mv.use("strict"):
        model = ViT(8, 2, 1, classes=10, width=16, layers=2, heads=2, dropout=0.1)
        opt = kind(optim.decay_groups(model, 0.1) if kind is optim.AdamW else model.parameters())
        images = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype(np.float32)
        labels = np.array([1, 2, 3, 4])

        def step(clip):
            opt.zero_grad()
            x = mv.Tensor(images, device="strict")
            mv.cross_entropy_loss(model(x), labels).backward()
            if clip:
                optim.clip_grad_norm(model.parameters(), 1.0)
            opt.step()

        step(False)
        strict.reset()
        step(False)
        assert strict.stats.syncs == 0
        assert strict.stats.uploads <= 4  # images, labels
        assert strict.stats.float64 == 0
        strict.reset()
        step(True)
        assert strict.stats.syncs == 1
        assert strict.stats.float64 == 0
