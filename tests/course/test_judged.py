"""From a run's file to a verdict: invented numbers give the verdict that they should, and a run
that is not finished gives none."""

import numpy as np
import pytest

from minivit import course
from minivit.course.runs import (
    bias,
    canvas,
    clip,
    icon_clip,
    icon_few_shot,
    icon_variants,
    iconnet,
    image_gpt,
    judged,
    masked_patches,
    readouts,
    results,
    scaling,
)  # fmt: skip
from minivit.engine.errors import StateError

NOISE = 0.002  # of an accuracy, from seed to seed


def jobs(run, *parts):
    return [job for part in parts or run.PARTS for job in run.PARTS[part]]


def kept(of, chosen):
    """{name: numbers}, of(function's name, *arguments) -> numbers."""
    rng = np.random.default_rng(1)
    return {j.name: of(rng, j.function.__name__, *j.arguments) for j in chosen}


def noisy(rng, value, noise=NOISE):
    return float(value + rng.normal(0, noise))


def bias_run(few, many, shuffled):
    """Accuracies whose gaps are these at the smallest and the largest set."""

    def of(rng, function, net, n, seed):
        base = 0.7 if n == bias.IMAGES[0] else 0.9
        gap = {"ResNet": 0, "ViT": few if n == bias.IMAGES[0] else many, "shuffled": shuffled}[net]
        return {"accuracy": noisy(rng, base - gap)}  # fmt: skip

    return kept(of, jobs(bias, "ends", "between"))


@pytest.mark.parametrize(
    "gaps, verdict",
    [
        ((0.2, -0.02, 0.2), "holds"),
        ((0.2, 0.05, 0.2), "does not hold"),
        ((-0.1, -0.1, 0.2), "does not hold"),
        ((0.2, -0.02, -0.1), "not at this size"),  # then it was not the order of pixels
        ((0.2, 0.01, 0.2), "not at this size"),
    ],
)
def test_C08(gaps, verdict):
    found = judged.C08(bias_run(*gaps))
    assert found.verdict == verdict and found.seeds == bias.SEEDS
    low, high = found.numbers["ResNet - ViT, fewest images: interval"]
    assert low < gaps[0] < high

    def icons(rng, function, *arguments):
        if function == "pictures":
            kind, n, _ = arguments
            gap = 0 if kind == "ResNet" else gaps[0] if n == iconnet.IMAGES[0] else gaps[1]
        else:
            gap = gaps[2]
        return {"test": {"top-1": noisy(rng, 0.5 - gap)}}

    run = kept(icons, jobs(iconnet, "pictures", "shuffled"))
    assert judged.C08_icons(run).verdict == verdict


def test_a_curve_has_the_sizes_whose_seeds_are_all_there():
    run = bias_run(0.2, 0.1, 0.2) | {f"baselines 100 {s}": {"1-NN": s / 10} for s in bias.SOME}
    del run["images ViT 400 1"]
    images, found = bias.curve(run, "ViT")
    assert images == [100, 1600, 4000] and [len(of) for of in found] == [3, 3, 10]
    images, found = bias.curve(run, "1-NN")
    assert images == [100] and np.allclose(found, [[0, 0.1, 0.2]])


@pytest.mark.parametrize(
    "slope, far, verdict",
    [(1.0, 16.4, "holds"), (-1.0, 16.4, "does not hold"), (1.0, 6.0, "does not hold"),
     (1.0, 12.0, "not at this size")],
)  # fmt: skip
def test_C10(slope, far, verdict):
    def of(rng, function, seed, *heads):
        rows = [[3.0, noisy(rng, far)], [9.0, 9.0]]
        distances, alike = ("after", "uniform") if heads else ("distance", "alike")
        return {"slope": noisy(rng, slope), distances: rows, alike: 16.55}

    found = judged.C10(kept(of, jobs(masked_patches, "sixteen")))
    assert found.verdict == verdict and len(found.seeds) == 20
    assert judged.C10_icons(kept(of, jobs(iconnet, "internals"))).verdict == verdict


@pytest.mark.parametrize(
    "gain, verdict", [(0.02, "holds"), (-0.02, "does not hold"), (0.001, "not at this size")]
)
def test_C11(gain, verdict):
    def of(rng, function, decay, seed):
        right = 0.4 + gain * (decay == 3.0)
        return {"shots": {"10": [noisy(rng, right, 0.01) for _ in range(5)]}}

    assert judged.C11_icons(kept(of, jobs(icon_few_shot))).verdict == verdict

    def both(rng, function, decay, seed):
        return dict.fromkeys(scaling.TASKS, of(rng, function, decay, seed)["shots"])

    rng = np.random.default_rng(2)
    run = {j.name: both(rng, j.function.__name__, *j.arguments) for j in jobs(scaling, "head")}
    assert judged.C11(run).verdict == verdict
    for numbers in run.values():  # of one task only
        numbers["MNIST"] = {"10": [noisy(rng, 0.4)]}
    assert judged.C11(run).verdict != "holds"


@pytest.mark.parametrize(
    "lost, ratio, noise, verdict",
    [((0.0, 0.0), 0.3, NOISE, "holds"), ((0.03, 0.0), 0.3, NOISE, "does not hold"),
     ((0.0, 0.03), 0.3, NOISE, "does not hold"), ((0.0, 0.0), 0.6, NOISE, "does not hold"),
     ((0.012, 0.0), 0.3, 0.006, "not at this size")],
)  # fmt: skip
def test_C12(lost, ratio, noise, verdict, tmp_path, monkeypatch):
    def of(rng, function, variant, seed, *steps):
        less = {"MAP": lost[0], "Adafactor": lost[1]}.get(variant, 0)
        return {"test": {"top-1": noisy(rng, 0.3 - less, noise)}}

    digits = [job for job in jobs(readouts, "longer", "more") if job.function is readouts.variants]
    for of_run, judge, pairs in (
        (jobs(icon_variants, "variants"), judged.C12_icons, 10),
        (digits, judged.C12, 30),
    ):
        found = judge(kept(of, of_run), ratio)
        assert found.verdict == verdict and len(found.seeds) == pairs
        assert len(found.numbers["MAP - [class]"]) == 10
        assert len(found.numbers["Adafactor - AdamW"]) == pairs
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    course.claim("C12", found.verdict, numbers=found.numbers, seeds=found.seeds)  # as a lecture
    assert course.claims()["C12"]["verdict"] == verdict


@pytest.mark.parametrize(
    "words, contrast, verdict",
    [(3, 4, "holds"), (0.5, 4, "does not hold"), (1.2, 4, "not at this size")],
)
def test_C13(words, contrast, verdict):
    speed = {"caption": 1, "bag of words": words, "contrastive": words * contrast}

    def of(rng, function, kind, seed):
        steps = range(100, 1601, 100)
        rate = speed[kind] * (1 + rng.normal(0, 0.01))
        return {"watched": [{"step": s, "named": min(0.9, s * rate / 20_000)} for s in steps]}

    assert judged.C13(kept(of, jobs(icon_clip, "objectives"))).verdict == verdict


@pytest.mark.parametrize(
    "naming, gain, verdict",
    [(0.3, 0.2, "holds"), (0.0, 0.2, "does not hold"), (0.3, -0.2, "does not hold"),
     (0.02, 0.2, "not at this size")],
)  # fmt: skip
def test_C14(naming, gain, verdict):
    def of(rng, function, seed, steps):
        counts = [1000] * 20
        right = [max(0, round(1000 * naming + rng.normal(0, 3))) for _ in counts]
        sets = {
            str(i): {"accuracy": 0.4 + gain + rng.normal(0, 0.01), "largest": 0.4}
            for i in range(12)
        }
        unseen = {"right by family": right, "pictures by family": counts, "candidates": 100}
        unseen["right by family"] = [0] * 20 if not naming else right
        return {"test": {"unseen": unseen}, "suite": sets}

    assert judged.C14(kept(of, jobs(icon_clip, "model"))).verdict == verdict


@pytest.mark.parametrize(
    "like, dearer, verdict",
    [
        ("ResNet 32", 4, "holds"),
        ("ResNet 8", 1, "does not hold"),
        ("ResNet 32", 1, "not at this size"),
    ],
)
def test_C15(like, dearer, verdict, monkeypatch):
    """All ViTs are as good as one of the ResNets: what that needs, over what they need."""
    work = judged.encoder_work()
    work |= {name: w * dearer for name, w in work.items() if name.startswith("ResNet")}
    monkeypatch.setattr(judged, "encoder_work", lambda: work)
    ratios = [np.log2(work[like] / work[name]) for name in work if name.startswith("ViT")]

    def of(rng, function, name, seed):
        of = like if name.startswith("ViT") else name
        return {"test": {"seen": {"top-1": noisy(rng, 0.1 + 0.02 * np.log2(work[of]), 1e-4)}}}

    found = judged.C15(kept(of, jobs(icon_clip, "compute")))
    assert found.verdict == verdict
    (name,) = [name for name in found.numbers if "interval" not in name]
    assert np.allclose(found.numbers[name], np.mean(ratios), atol=0.05)


def test_the_work_of_a_resnet_is_the_sum_of_its_convolutions():
    """Width 8, 16 x 16 places of 12 channels, then 8 x 8 and 4 x 4 places; no head."""
    first = 16 * 16 * (9 * 12 * 8 + 9 * 8 * 8 + 9 * 8 * 8)
    second = 8 * 8 * (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16)
    third = 4 * 4 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32)
    assert judged.encoder_work()["ResNet 8"] == 2 * (first + second + third)


@pytest.mark.parametrize(
    "claim", ["C08", "C08_icons", "C10", "C10_icons", "C11", "C13", "C14", "C15"]
)
def test_half_a_run_gives_no_verdict(claim):
    with pytest.raises(StateError, match=r"jobs are missing\); make them: python -m minivit"):
        getattr(judged, claim)({})
    for judge, run in ((judged.C12, "readouts"), (judged.C12_icons, "icon_variants")):
        with pytest.raises(StateError, match=run):
            judge({}, 0.3)


def test_a_curve_is_read_where_it_first_reaches_a_level():
    steps, found = [100, 200, 400], [0.1, 0.3, 0.2]
    assert judged.needed(steps, found, 0.2) == pytest.approx(100 * 2**0.5)
    assert judged.needed(steps, found, 0.05) == 100  # or before


@pytest.mark.parametrize("run", [
    bias, canvas, clip, icon_variants, iconnet, icon_clip, icon_few_shot, image_gpt, readouts,
    scaling,
])  # fmt: skip
def test_what_is_kept_is_read_by_the_name_that_the_run_gives_it(run):
    names = {job.name for job in jobs(run)}
    assert set(results.made(run.RUN)) - {"machine"} <= names
