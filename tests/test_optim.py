"""Optimizers against their formulas written out for one parameter at a time, and schedules."""

import math

import numpy as np
import pytest

import minivit as mv
from minivit import nn, optim
from minivit.engine import backend
from minivit.engine.errors import (
    DtypeError,
    MinivitError,
    NonFiniteError,
    OptionError,
    ShapeError,
    StateError,
)
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
    """Also where a parameter has no gradient in a step: it, its state and its count of updates
    stay as they are."""
    skipped = {1, 3}
    params = parameters(device)
    plain, states = [np.array(p.numpy()) for p in params], [{"t": 0} for _ in params]
    opt = kind(params, **options)
    for step in range(5):
        now = skipped if step in (1, 2) else ()
        grads = gradients(step, now)
        for p, g in zip(params, grads, strict=True):
            p.grad = None if g is None else backend.to_device(g, device)
        opt.step()
        for i, g in enumerate(grads):
            if g is not None:
                states[i]["t"] += 1
                plain[i] = rule(plain[i], g, states[i], states[i]["t"], **options)
    for p, w in zip(params, plain, strict=True):
        assert p.device == device and p.dtype == np.float64
        tight = 1e-3 if rule is adafactor else 1e-10  # its state has half precision
        np.testing.assert_allclose(p.numpy(), w, rtol=tight, atol=tight)


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.Adafactor])
@ON_EVERY_DEVICE
def test_a_skipped_gradient_leaves_parameter_and_state_alone(kind, device):
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
    assert [p.shape for p in vectors["params"]] == [(3,), (3,), (3,)]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    optim.AdamW(optim.decay_groups(model, 0.3))


def test_errors():
    p = nn.Parameter(np.ones(2))
    frozen = nn.Parameter(np.ones(2))
    frozen.requires_grad = False
    with pytest.raises(OptionError, match="SGD: got no parameters"):
        optim.SGD([])
    with pytest.raises(OptionError, match="all are frozen"):
        optim.SGD([frozen])
    with pytest.raises(OptionError, match="AdamW: a parameter is given twice"):
        optim.AdamW([p, p])
    with pytest.raises(OptionError, match=r"Adam: unknown settings \['momentum'\]"):
        optim.Adam([{"params": [p], "momentum": 0.9}])
    with pytest.raises(OptionError, match="all dicts with 'params'"):
        optim.Adam([{"params": [p]}, frozen])
    for wrong in (3, None, [p.numpy()], [("weight", p)], [p * 2.0], [mv.Tensor([1, 2])]):
        with pytest.raises(DtypeError, match=r"SGD: got .*, expected .*[Pp]arameters"):
            optim.SGD(wrong)
    with pytest.raises(ShapeError, match=r"a gradient: got shape \(3,\), the tensor has \(2,\)"):
        p.grad = np.ones(3)


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "0.1", None, [0.1], np.ones(2)], ids=str)
@pytest.mark.parametrize(
    "kind, name",
    [(optim.SGD, "lr"), (optim.SGD, "momentum"), (optim.Adam, "eps"), (optim.Adam, "betas"),
     (optim.AdamW, "weight_decay"), (optim.Adafactor, "beta1"), (optim.Adafactor, "factored")],
)  # fmt: skip
def test_settings_that_no_rule_can_use(kind, name, value):
    p = nn.Parameter(np.ones(2))
    with pytest.raises(OptionError, match=f"{kind.__name__}: {name} is"):
        kind([p], **{name: value})
    opt = kind([p])
    opt.groups[0][name] = value  # a schedule that went wrong
    with pytest.raises(OptionError, match=f"{kind.__name__}: {name} is"):
        opt.step()


@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW])
@pytest.mark.parametrize("betas", [0.9, (0.9,), (0.9, 0.99, 0.999), (), "ab"], ids=str)
def test_betas_are_two_numbers(kind, betas):
    p = nn.Parameter(np.ones(2))
    with pytest.raises(OptionError, match=r"betas is .*, expected two numbers"):
        kind([p], betas=betas)


def test_a_model_or_its_parameters_or_groups_of_either():
    def model():
        mv.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))

    states = []
    for given in (
        lambda m: m,
        lambda m: m.parameters(),
        lambda m: {"params": m},
        lambda m: [{"params": m.modules_[0]}, {"params": m.modules_[1].parameters()}],
        lambda m: [{"params": []}, {"params": m}],
    ):
        m = model()
        opt = optim.Adam(given(m))
        for p in m.parameters():
            p.grad = np.ones_like(p.data)
        opt.step()
        states.append(m.state_dict())
    for state in states[1:]:
        assert all((state[name] == states[0][name]).all() for name in states[0])


KINDS = [optim.SGD, optim.Adam, optim.AdamW, optim.Adafactor]


@pytest.mark.parametrize("kind", KINDS)
def test_a_thawed_parameter_starts_with_its_own_first_update(kind):
    """Frozen at first, it costs nothing; then it moves as in an optimizer of its own."""
    options = {"momentum": 0.9} if kind is optim.SGD else {}
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model.modules_[0].requires_grad_(False)
    opt = kind(model, **options)
    assert opt.bytes_held() == kind(model.modules_[1], **options).bytes_held()
    before = model.modules_[0].state_dict()
    rng = np.random.default_rng(0)

    def steps(n):
        for _ in range(n):
            opt.zero_grad()
            model(mv.Tensor(rng.standard_normal((5, 3)))).sum().backward()
            opt.step()

    steps(20)
    assert all((v == before[k]).all() for k, v in model.modules_[0].state_dict().items())
    resumed = kind(model, **options)
    resumed.load_state_dict(opt.state_dict())
    opt = resumed
    model.modules_[0].requires_grad_(True)
    alone = [nn.Parameter(v.copy()) for v in before.values()]
    other = kind(alone, **options)
    for _ in range(3):
        steps(1)
        for p, q in zip(alone, model.modules_[0].parameters(), strict=True):
            p.grad = q.grad.copy()
        other.step()
    for p, q in zip(alone, model.modules_[0].parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_each_parameter_keeps_its_dtype_and_the_others_do_not_change_it(kind):
    def run(dtypes):
        rng = np.random.default_rng(0)
        params = [nn.Parameter(rng.standard_normal(4).astype(d)) for d in ("f4", "f4", "f8", "f4")]
        for p, dtype in zip(params, dtypes, strict=True):
            p.data = p.data.astype(dtype)
        opt = kind(params, lr=np.float64(0.1))
        for _ in range(3):
            for p in params:
                p.grad = rng.standard_normal(4).astype(p.dtype)
            opt.step()
        assert [p.dtype for p in params] == [np.dtype(d) for d in dtypes]
        return [p.numpy() for p in params]

    mixed, single = run(["f4", "f4", "f8", "f4"]), run(["f4", "f4", "f4", "f4"])
    for i in (0, 1, 3):
        assert (mixed[i] == single[i]).all()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
@ON_EVERY_DEVICE
def test_end_to_end_is_one_after_the_other(kind, device):
    """The flat arrays give the same bits as the plain loop."""
    results, SKIPPED = [], [(3,), (0, 2), (), (4,)]
    for elementwise in (True, False):
        how = type("Plain", (kind,), {"elementwise": elementwise})
        params = parameters(device, np.float32)
        opt = how(params, weight_decay=0.1, **({"momentum": 0.9} if kind is optim.SGD else {}))
        for step in range(4):
            for p, g in zip(params, gradients(step, SKIPPED[step]), strict=True):
                p.grad = None if g is None else backend.to_device(g.astype(np.float32), device)
            opt.step()
        results.append([p.numpy().tobytes() for p in params])
    assert results[0] == results[1]


# -- the arrays ------------------------------------------------------------------------------------
def test_parameters_become_views_of_one_array():
    model = nn.Linear(3, 2)
    before = model.state_dict()
    opt = optim.AdamW(model.parameters())
    assert all(p.data.base is opt.flats[0].w for p in model.parameters())
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
                with mv.use(device):
                    params = [nn.Parameter(w) for w in weights]
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
    with pytest.raises(StateError, match=r"AdamW: .*\n  3.m: got nothing, expected \(2, 5\)"):
        opt.load_state_dict(other)
    with pytest.raises(StateError, match=r"0.m: got nothing"):
        opt.load_state_dict({"updates": np.ones(5, int)})
    for wrong in ({}, {"updates": np.array(3)}, {"steps": np.array(3)}, before | {"more": 1}):
        with pytest.raises(StateError, match="another optimizer"):
            opt.load_state_dict(wrong)
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


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_clip_grad_norm_of_what_is_not_finite(wrong, dtype):
    a, b = nn.Parameter(np.ones(2, dtype)), nn.Parameter(np.ones(2))
    a.grad, b.grad = np.array([1.0, wrong], dtype), np.array([3.0, 4.0])
    with pytest.raises(NonFiniteError, match="norm of the gradients is not finite"):
        optim.clip_grad_norm([a, b], 1.0)
    assert b.grad.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    "dtype, scale",
    [("f4", s) for s in (1e25, 1e38, 1e-25, 1e-38, 0.0)]
    + [("f8", 1e300), ("f8", 1e-200), ("f2", 6e4), ("f2", 1e-4), ("f4", 1.0), ("f8", 1.0)],
)
@pytest.mark.parametrize("max_norm", [0.0, 1e-30, 1e-3, 1.0, 1e10, math.inf])
def test_clip_grad_norm_in_the_whole_range_of_the_dtype(dtype, scale, max_norm):
    """Squares leave the range long before the norm does."""
    rng = np.random.default_rng(0)
    params = [nn.Parameter(np.ones(s, dtype)) for s in ((3, 2), (4,), (0, 3))]
    grads = [(rng.uniform(-1, 1, p.shape) * scale).astype(dtype) for p in params]
    for p, g in zip(params, grads, strict=True):
        p.grad = g.copy()
    flat = np.concatenate([g.ravel() for g in grads]).astype(np.longdouble)
    norm = np.sqrt((flat * flat).sum())
    assert optim.clip_grad_norm(params, max_norm) == pytest.approx(float(norm), rel=1e-3)
    for p, g in zip(params, grads, strict=True):
        wanted = g * min(1.0, max_norm / norm) if norm else g
        smallest = float(np.finfo(dtype).smallest_subnormal)
        assert p.grad.dtype == g.dtype
        np.testing.assert_allclose(p.grad.astype(np.longdouble), wanted, rtol=2e-3, atol=smallest)


def test_clip_grad_norm_of_nothing_and_with_a_norm_that_is_none():
    assert optim.clip_grad_norm([], 1.0) == 0.0
    model = nn.Linear(2, 3)
    assert optim.clip_grad_norm(model, 1.0) == 0.0
    for wrong in (-1.0, math.nan, "1", None):
        with pytest.raises(OptionError, match="max_norm"):
            optim.clip_grad_norm(model, wrong)
    with pytest.raises(DtypeError, match="expected a Module"):
        optim.clip_grad_norm(3, 1.0)


# -- PyTorch ---------------------------------------------------------------------------------------
TRACES = [
    ("SGD", {}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {"betas": (0.8, 0.95), "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "lr": 0.02}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
    ("AdamW", {"amsgrad": True, "betas": (0.0, 0.5), "eps": 1e-3}),
]


@pytest.mark.parity
@pytest.mark.parametrize("kind, options", TRACES, ids=str)
def test_traces_are_pytorchs(kind, options):
    """Groups, dtypes, gradients that are missing in some steps, a schedule, a late thaw."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    ours = [
        nn.Parameter(rng.standard_normal(s).astype(d))
        for s, d in zip(SHAPES, ("f8", "f4", "f8", "f4", "f8"), strict=True)
    ]
    theirs = [torch.tensor(p.numpy(), requires_grad=True) for p in ours]

    def groups(p):
        return [{"params": p[:2], "lr": 0.03}, {"params": p[2:]}]

    for p in (ours[4], theirs[4]):
        p.requires_grad = False
    opt = getattr(optim, kind)(groups(ours), **{"lr": 0.1} | options)
    their_opt = getattr(torch.optim, kind)(groups(theirs), **{"lr": 0.1} | options)
    for step in range(12):
        for p in (ours[4], theirs[4]):
            p.requires_grad = step >= 6
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            frozen = i == 4 and step < 6
            g = None if frozen or rng.random() < 0.3 else rng.standard_normal(p.shape)
            p.grad = None if g is None else np.asarray(g, p.dtype)
            q.grad = None if g is None else torch.tensor(p.grad)
        for o in (opt, their_opt):
            groups_ = o.groups if o is opt else o.param_groups
            groups_[0]["lr"] = 0.03 * (1 - step / 20)
            o.step()
        for p, q in zip(ours, theirs, strict=True):
            tight = 1e-12 if p.dtype == np.float64 else 2e-6
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tight, atol=tight)


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
    assert optim.rsqrt_schedule(120, 100, cooldown=20) == 0  # and not below
    for wrong in ({"warmup": -1}, {"total": math.nan}, {"timescale": 0}, {"cooldown": "5"}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            optim.rsqrt_schedule(**{"step": 0, "total": 100} | wrong)


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


@pytest.mark.parametrize(
    "gradient",
    [
        [1.0, 2.0, 3.0], 3.0, "text", mv.Tensor([1, 2, 3]), np.ones(3, int), np.ones(3, complex),
        np.ones(3, bool), np.ones((1, 3)), np.ones(2), np.float32(1), np.ones(3, object),
    ],
    ids=repr,
)  # fmt: skip
def test_a_gradient_that_is_none_is_refused_and_nothing_is_changed(gradient):
    """Whole numbers, scaled, would be cut down to 0. A gradient that the setter refuses is refused
    behind its back too, by optimizers and by a backward pass that would add to it."""
    p, q = (nn.Parameter(np.ones(3, np.float32)) for _ in range(2))
    q.grad = np.ones(3, np.float32)
    with pytest.raises((DtypeError, ShapeError), match="a gradient"):
        p.grad = gradient
    assert p.grad is None
    p._grad = gradient
    optimizers = [kind([q, p]) for kind in (optim.SGD, optim.AdamW, optim.Adafactor)]
    for call in [o.step for o in optimizers] + [
        lambda: optim.clip_grad_norm([q, p], 0.1), lambda: (p * q).sum().backward()
    ]:  # fmt: skip
        with pytest.raises((DtypeError, ShapeError), match="grad"):
            call()
        assert p.grad is gradient and (q.grad == 1).all()
        assert (p.numpy() == 1).all() and (q.numpy() == 1).all()


@pytest.mark.parametrize(
    "wrong",
    [
        5, None, [1], "text", {1: 2}, {"updates": [[1], [1, 2]]}, {"updates": 1},
        {"updates": [1.5]}, {"updates": [-1]}, {"updates": ["a"]}, {"updates": [None]},
        {"0.m": ["a", "b", "c"]}, {"0.m": [1j, 2, 3]}, {"0.m": [{}, 2, 3]}, {"0.m": [1, 2]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_state_that_is_none_is_refused_and_nothing_is_changed(wrong):
    p = nn.Parameter(np.ones(3, np.float32))
    p.grad = np.ones(3, np.float32)
    o = optim.Adam([p])
    o.step()
    before = o.state_dict()
    with pytest.raises(MinivitError):
        o.load_state_dict(before | wrong if isinstance(wrong, dict) else wrong)
    assert all(np.array_equal(before[name], a) for name, a in o.state_dict().items())


def test_a_module_takes_no_complex_numbers():
    layer = nn.Linear(2, 1)
    with pytest.raises(DtypeError, match="weight: got complex"):
        layer.load_state_dict({"weight": np.ones((1, 2)) * 1j, "bias": np.ones(1)})
