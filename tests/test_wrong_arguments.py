"""Every public function, class and method, called with arguments of wrong kind, dtype, rank and
range: it answers, or refuses in this library's words. No error from inside of NumPy or Python."""

import contextlib
import importlib
import inspect
import random
import re
import traceback
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivit as mv
from minivit.engine import modes
from minivit.engine.errors import MinivitError
from minivit.training import data, icon_pairs, icons, probe
from tests.engine.op_cases import CASES, OPS

MODULES = """
    minivit minivit.functions minivit.nn minivit.optim minivit.attention minivit.transformer
    minivit.convolution minivit.engine.ops minivit.engine.composed minivit.engine.products
    minivit.engine.check minivit.text minivit.text.words minivit.text.batch minivit.images.patches
    minivit.images.pictures minivit.images.palette minivit.sampling.generation minivit.models.bert
    minivit.models.gpt minivit.models.seq2seq minivit.models.image_gpt minivit.models.vit
    minivit.models.resnet minivit.models.scaling minivit.models.clip
    minivit.models.clip_objectives
""".split()
# The oracles of the tests, strategies of hypothesis, and what only the library itself calls.
INTERNAL = """
    _composed$ engine.check.(shapes|arrays|axes|broadcastable|masks)$ nn.(listed|described)$
    optim.(Entry|each)$ text.words. text.batch.(check_length|checked_ids|one_array|token_ids)
    images.pictures.(named|pillow)$ models.clip.(eos_places|count_.*)$ attention.split_heads$
    transformer.activate$
""".split()
NOT_CALLED = {  # functions of functions, what reads the network, and what changes the whole process
    "minivit.op", "minivit.load", "minivit.save", "minivit.use", "minivit.manual_seed",
    "minivit.nn.empty", "minivit.no_grad", "minivit.detect_anomaly",
}  # fmt: skip


def odd_values():
    """One of each kind that a caller may hand over by mistake; made anew for each call."""
    x = np.linspace(-1.0, 1.0, 6)
    return [
        None, True, -1, 0, 1, 2, 7, 0.5, -2.5, float("nan"), float("inf"), 1j, "text", "", b"bytes",
        (), [], [1, 2], [0.5, 2.0], [[1, 2], [3]], ["a", "b"], [None], {}, {"a": 1}, {1, 2},
        object(), len, (2, 3), (0, 1), slice(1), ...,
        np.float32(0.5), np.int64(3), np.bool_(True), np.array(2.0), np.array(3), x, x.astype(int),
        x.reshape(2, 3), x.reshape(2, 3, 1), x.reshape(1, 2, 3, 1), x[:0], x.reshape(2, 3)[:, :0],
        x.reshape(2, 3).astype(np.float32), (x.reshape(2, 3) > 0), x.astype(complex),
        np.array([[0, 1], [1, 0]]), np.array([1, 0], np.uint8), np.array([0, 300]),
        np.array(["a", "b"]), np.array([None, 1]), np.array(["2020"], "M8[D]"),
        np.full((2, 3), np.nan), mv.Tensor(x.reshape(2, 3), requires_grad=True),
        mv.Tensor(np.array([[0, 1], [1, 0]])), mv.Tensor(2.0), mv.Tensor(x, device="strict"),
        mv.Tensor(x.reshape(1, 2, 3)), mv.nn.Linear(3, 2), mv.nn.Linear(3, 2).weight,
        iter([1, 2]), range(3), np.random.default_rng(0),
    ]  # fmt: skip


def refused_in_words(error):
    """A refusal of this library; or Python's TypeError for a call with the wrong number or names of
    arguments, or one that a `raise` of ours has worded."""
    if isinstance(error, MinivitError):
        return True
    if type(error) is not TypeError:
        return False
    last = traceback.extract_tb(error.__traceback__)[-1]
    wrong_call = "argument" in str(error) and ("missing" in str(error) or "takes" in str(error))
    wrong_call |= "unexpected keyword" in str(error) or "takes no arguments" in str(error)
    return wrong_call or ("minivit" in last.filename and "raise" in (last.line or ""))


def attempt(call, *args, **options):
    """Call; return what came, or None if it was refused; a raw error is the failure."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            out = call(*args, **options)
            if inspect.isgenerator(out):
                next(out, None)
            return out
    except Exception as error:
        if not refused_in_words(error):
            where = traceback.extract_tb(error.__traceback__)[-1]
            given = ", ".join([*map(short, args), *(f"{k}={short(v)}" for k, v in options.items())])
            raise AssertionError(
                f"({given}): {type(error).__name__}: {error} [{where.filename}:{where.lineno}]"
            ) from error


def short(x):
    if isinstance(x, (np.ndarray, mv.Tensor)):
        return f"{type(x).__name__}{x.shape}{x.dtype}"
    return repr(x)[:60]


# -- ops: a call that works, with one argument changed ---------------------------------------------
@pytest.mark.parametrize("name", sorted(OPS))
def test_ops(name):
    @given(CASES[name], st.data())
    @settings(max_examples=20)
    def check(case, data):
        arguments = [*case.operands, *case.args]
        keys = [*range(len(arguments)), *case.options, "unknown"]
        key = data.draw(st.sampled_from(keys))
        odd = odd_values()
        value = odd[data.draw(st.integers(0, len(odd) - 1))]
        options = dict(case.options)
        if isinstance(key, int):
            arguments[key] = value
        else:
            options[key] = value
        attempt(OPS[name], *arguments, **options)

    check()


# -- everything else: any arguments ----------------------------------------------------------------
def public(module):
    """(name, callable) of a module: what is its own, or what a package hands on."""
    for name, thing in sorted(vars(module).items()):
        own = getattr(thing, "__module__", "") or ""
        if name.startswith("_") or inspect.ismodule(thing) or not callable(thing):
            continue
        if isinstance(thing, type) and issubclass(thing, BaseException):
            continue
        here = own == module.__name__ or (own.startswith("minivit") and hasattr(module, "__path__"))
        full = f"{module.__name__}.{name}"
        if here and full not in NOT_CALLED and not any(re.search(p, full) for p in INTERNAL):
            yield full, thing


THINGS = dict(pair for m in MODULES for pair in public(importlib.import_module(m)))
once = {id(thing): name for name, thing in reversed(THINGS.items())}
THINGS = {name: THINGS[name] for name in once.values()}
METHODS = [
    name for name in dir(mv.Tensor)
    if callable(getattr(mv.Tensor, name)) and (not name.startswith("_") or name in """
    __add__ __radd__ __sub__ __mul__ __rmul__ __truediv__ __pow__ __rpow__ __matmul__ __rmatmul__
    __getitem__ __setitem__ __gt__ __eq__ __and__ __format__ """.split())
]  # fmt: skip


def sampled(call, seed, times):
    """`times` calls with a random number of odd arguments, some by name."""
    rng = random.Random(seed)
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in parameters
    )
    for _ in range(times):
        odd = odd_values()
        args = [rng.choice(odd) for _ in range(needed + rng.choice([0, 0, 0, 1, 2]))]
        options = {k: rng.choice(odd) for k in named[needed:] if rng.random() < 0.15}
        for k in list(options):
            if k in named[: len(args)]:
                del options[k]
        yield attempt(call, *args, **options), rng


@pytest.mark.parametrize("name", sorted(THINGS))
def test_functions_and_classes(name):
    papers_size = name.startswith("minivit.models.")  # by default: no weights for these
    with mv.nn.empty() if papers_size else contextlib.nullcontext():
        for made, rng in sampled(THINGS[name], name, 20):
            if isinstance(made, mv.nn.Module) and not papers_size:
                attempt(made, rng.choice(odd_values()))


GREY, LABELS = np.zeros((40, 32, 32), np.uint8), np.arange(40)
OPTIONS = dict(batch_size=8, seed=0, shuffle=True, drop_last=True)
BATCHES = {
    data.Batches: ((GREY, LABELS), OPTIONS),
    probe.MaskedBatches: ((GREY, LABELS), OPTIONS),
    icons.IconBatches: ((GREY, LABELS), {**OPTIONS, "shift": 2}),
    icons.OtherHands: ((GREY, LABELS), {**OPTIONS, "shift": 2}),
    icon_pairs.IconPairs: (
        ({"a": LABELS[:20], "b": LABELS[20:]}, GREY, mv.text.CLIPTokenizer.train(["a b"], 520)),
        dict(batch_size=2, seed=0, shift=2),
    ),
    data.ByLength: ((LABELS,), dict(size=8, seed=0)),
}  # fmt: skip


@pytest.mark.parametrize("cls", BATCHES, ids=lambda cls: cls.__name__)
def test_batches(cls):
    """With one argument changed (but the tokenizer), or one that there is not; and what is no
    step."""
    arguments, options = BATCHES[cls]
    batch = "rows" if cls is data.ByLength else "__getitem__"
    for value in odd_values():
        attempt(getattr(cls(*arguments, **options), batch), value)
        for key in [*range(len(arguments[:2])), *options, "augment"]:
            some, more = list(arguments), dict(options)
            if isinstance(key, int):
                some[key] = value
            else:
                more[key] = value
            made = attempt(cls, *some, **more)
            if made is not None:
                attempt(getattr(made, batch), 3)


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_a_tensor(name):
    x = np.linspace(-1.0, 1.0, 6)
    for i, t in enumerate(
        (x.reshape(2, 3), np.array(0.5), x[:0], x.astype(int), x.reshape(1, 2, 3) > 0)
    ):
        t = mv.Tensor(t, requires_grad=t.dtype == float)
        for _ in sampled(getattr(t, name), f"{name} {i}", 8):
            pass
    assert modes._thread.modes.no_grad == 0
