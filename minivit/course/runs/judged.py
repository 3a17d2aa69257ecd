"""From what a long run kept to its verdict: the rules of `verdicts`, applied.

    found = C12(readouts.results(), bytes_ratio=0.28)
    course.claim("C12", found.verdict, numbers=found.numbers, seeds=found.seeds)

Each function takes {job: numbers}, as a run's results() gives them. A job that is not there yet is
an error that says how to make it: no verdict comes of half a run.
"""

import math
from typing import NamedTuple

import numpy as np

from minivit import nn
from minivit.course.runs import (
    bias,
    icon_clip,
    icon_few_shot,
    icon_variants,
    iconnet,
    masked_patches,
    readouts,
    scaling,
    verdicts,
)
from minivit.course.runs.results import job_name
from minivit.engine.errors import StateError
from minivit.models.flops import flops, resnet
from minivit.models.resnet import ResNet


class Judged(NamedTuple):
    verdict: str
    numbers: dict  # each number, or list of them, that the verdict rests on
    seeds: tuple


def _found(claim, run, kept, jobs):
    """The numbers of the jobs, in order."""
    if missing := [job for job in jobs if job not in kept]:
        raise StateError(
            f"{claim}: got no {missing[0]!r} ({len(missing)} of {len(jobs)} jobs are missing); "
            f"make them: python -m minivit.course.runs {run}"
        )
    return [kept[job] for job in jobs]


def _top(numbers):
    """Top-1 accuracy on the test part."""
    return numbers["test"]["top-1"]


# -- ViT and ResNet --------------------------------------------------------------------------------
def C08(kept):
    """Of `bias`: digits of MNIST."""
    least, most = bias.IMAGES[0], bias.IMAGES[-1]

    def of(net, n):
        jobs = [f"images {net} {n} {s}" for s in (bias.SEEDS if n == most else bias.SOME)]
        return np.array([x["accuracy"] for x in _found("C08", bias.RUN, kept, jobs)])

    return _bias(of, "shuffled", least, most, bias.SEEDS)


def C08_icons(kept):
    """Of `iconnet`: drawings of families that were never trained."""
    least, most = iconnet.IMAGES[0], iconnet.IMAGES[-1]

    def of(net, n):
        jobs = [f"{net} {n} {s}" for s in iconnet.SEEDS]
        return np.array([_top(x) for x in _found("C08", iconnet.RUN, kept, jobs)])

    def named(net, n):
        return of("shuffled_pixels" if net == "shuffled" else f"pictures {net}", n)

    return _bias(named, "shuffled", least, most, iconnet.SEEDS)


def _bias(of, shuffled, least, most, seeds):
    gaps = {
        "ResNet - ViT, fewest images": of("ResNet", least) - of("ViT", least),
        "ResNet - ViT, most images": of("ResNet", most) - of("ViT", most),
        "ResNet - shuffled, fewest images": of("ResNet", least) - of(shuffled, least),
    }
    intervals = [verdicts.of_seeds(gap) for gap in gaps.values()]
    return Judged(verdicts.C08(*intervals), _with_intervals(gaps, intervals), seeds)


def _with_intervals(values, intervals):
    """{name: a seed each} and {its interval: (lower, upper)}."""
    numbers = {}
    for (name, each), (_, lower, upper) in zip(values.items(), intervals):
        numbers |= {name: list(each), f"{name}: interval": [lower, upper]}
    return numbers


# -- inside of a ViT -------------------------------------------------------------------------------
def C10(kept):
    """Of `masked_patches sixteen`: emoji of concepts that were never trained."""
    jobs = [
        job_name(masked_patches.heads, s, masked_patches.SIXTEEN) for s in masked_patches.MORE_SEEDS
    ]
    runs = _found("C10", "masked_patches sixteen", kept, jobs)
    return _distances(runs, "after", runs[0]["uniform"], masked_patches.MORE_SEEDS)


def C10_icons(kept):
    """Of `iconnet internals`."""
    runs = _found("C10", iconnet.RUN, kept, [f"internals {s}" for s in iconnet.SEEDS])
    return _distances(runs, "distance", runs[0]["alike"], iconnet.SEEDS)


def _distances(runs, name, alike, seeds):
    """name: of a run's mean attention distances, (layers, heads)."""
    values = {
        "slope, px a layer": [run["slope"] for run in runs],
        "farthest head of layer 1, px": [max(run[name][0]) for run in runs],
    }
    intervals = [verdicts.of_seeds(each) for each in values.values()]
    numbers = _with_intervals(values, intervals) | {"looks everywhere alike, px": alike}
    return Judged(verdicts.C10(*intervals, alike), numbers, seeds)


# -- parts of a recipe -----------------------------------------------------------------------------
def C11(kept):
    """Of `scaling head`: decay 3 on the head beside none. Two tasks: *holds* and *does not hold*
    ask both."""
    shots = str(scaling.SHOTS[-1])

    def of(decay, task):
        jobs = [f"head_decay {decay} {s}" for s in scaling.MORE_SEEDS]
        return np.array([np.mean(run[task][shots])
                         for run in _found("C11", "scaling head", kept, jobs)])  # fmt: skip

    gains = {f"gain at {shots} shots, {task}": of(3.0, task) - of(0.0, task)
             for task in scaling.TASKS}  # fmt: skip
    intervals = [verdicts.of_seeds(gain) for gain in gains.values()]
    of_each = {verdicts.C11(interval) for interval in intervals}
    verdict = of_each.pop() if len(of_each) == 1 else "not at this size"
    return Judged(verdict, _with_intervals(gains, intervals), scaling.MORE_SEEDS)


def C11_icons(kept):
    """Of `icon_few_shot`: decay 3 on the head beside the body's."""
    shots = str(icon_few_shot.SHOTS[-1])

    def of(decay):
        jobs = [f"decay {decay} {s}" for s in icon_few_shot.SEEDS]
        runs = _found("C11", icon_few_shot.RUN, kept, jobs)
        return np.array([np.mean(run["shots"][shots]) for run in runs])

    gain = of(3.0) - of(icon_few_shot.BODY)
    interval = verdicts.of_seeds(gain)
    numbers = _with_intervals({f"gain at {shots} shots": gain}, [interval])
    return Judged(verdicts.C11(interval), numbers, icon_few_shot.SEEDS)


def C12(kept, bytes_ratio):
    """Of `readouts longer` and `more`: digits; MAP with ten seeds, Adafactor with 30. bytes_ratio:
    what Adafactor holds, of what AdamW holds."""
    return _variants(kept, bytes_ratio, readouts, readouts.MORE_SEEDS, readouts.LONGER)


def C12_icons(kept, bytes_ratio):
    """Of `icon_variants`: drawings of families that were never trained."""
    return _variants(kept, bytes_ratio, icon_variants, ())


def _variants(kept, bytes_ratio, run, more, *steps):
    """more: seeds of [class] and Adafactor, beyond those that all variants have."""
    pairs = (*run.SEEDS, *more)

    def of(variant, seeds):
        jobs = [job_name(run.variants, variant, s, *steps) for s in seeds]
        return np.array([_top(x) for x in _found("C12", run.RUN, kept, jobs)])

    base = of("[class]", pairs)
    gains = {"MAP - [class]": of("MAP", run.SEEDS) - base[: len(run.SEEDS)],
             "Adafactor - AdamW": of("Adafactor", pairs) - base}  # fmt: skip
    intervals = [verdicts.of_seeds(gain) for gain in gains.values()]
    numbers = _with_intervals(gains, intervals) | {"[class], mean": base.mean()}
    numbers |= {"bytes, Adafactor / AdamW": bytes_ratio}
    return Judged(verdicts.C12(*intervals, bytes_ratio), numbers, pairs)


# -- CLIP ------------------------------------------------------------------------------------------
def needed(steps, accuracies, level):
    """The steps at which a curve first reaches a level, interpolated in their logarithm."""
    best = np.maximum.accumulate(accuracies)
    if best[0] >= level:
        return float(steps[0])  # or before
    k = int(np.argmax(best >= level))
    share = (level - best[k - 1]) / (best[k] - best[k - 1])
    return float(steps[k - 1] * (steps[k] / steps[k - 1]) ** share)


def C13(kept):
    """Of `icon_clip objectives`: log2 of how many times fewer pictures, a seed each. The level is
    what the slower of the two reaches in the end."""
    words, contrast = [], []
    for seed in icon_clip.SEEDS:
        jobs = [f"objectives {kind} {seed}" for kind in icon_clip.OBJECTIVES]
        runs = _found("C13", icon_clip.RUN, kept, jobs)
        curves = {
            kind: np.array([(mark["step"], mark["named"]) for mark in run["watched"]]).T
            for kind, run in zip(icon_clip.OBJECTIVES, runs)
        }
        for one, other, ratios in (
            ("caption", "bag of words", words), ("bag of words", "contrastive", contrast),
        ):  # fmt: skip
            level = min(curves[one][1].max(), curves[other][1].max())
            ratios.append(needed(*curves[one], level) / needed(*curves[other], level))
    values = {
        "log2 of captions' pictures / words'": np.log2(words),
        "log2 of words' pictures / contrastive's": np.log2(contrast),
    }
    intervals = [verdicts.of_seeds(each) for each in values.values()]
    return Judged(
        verdicts.C13(*intervals), _with_intervals(values, intervals), icon_clip.SEEDS
    )  # fmt: skip


def C14(kept):
    """Of `icon_clip model`: concepts that no caption named, and the suite of category sets."""
    steps = max(job.arguments[1] for job in icon_clip.PARTS["model"])
    (run,) = _found("C14", icon_clip.RUN, kept, [f"model 0 {steps}"])
    unseen, sets = run["test"]["unseen"], list(run["suite"].values())
    naming = verdicts.of_families(unseen["right by family"], unseen["pictures by family"])
    gains = [one["accuracy"] - one["largest"] for one in sets]
    suite = verdicts.of_families(gains, np.ones(len(gains)))
    chance = 1 / unseen["candidates"]
    numbers = {
        "naming": naming[0], "naming: interval": naming[1:], "chance": chance,
        "suite - largest": suite[0], "suite - largest: interval": suite[1:], "sets": len(sets),
    }  # fmt: skip
    return Judged(verdicts.C14(naming, chance, suite), numbers, (0,))


def encoder_work():
    """Operations of each encoder of `icon_clip compute`, an image forward: {name: number}."""
    work = {}
    with nn.empty():
        for name, make in icon_clip.ENCODERS.items():
            net, _ = make()
            work[name] = resnet(net, 32) if isinstance(net, ResNet) else sum(flops(net).values())
    return work


def C15(kept):
    """Of `icon_clip compute`: log2 of the compute that ResNets need for the ViTs' accuracy, over
    the ViTs'; outside of the ResNets' range that of the largest or smallest one."""
    work = encoder_work()
    ratios = []
    for seed in icon_clip.SEEDS:
        jobs = [f"compute {name} {seed}" for name in work]
        runs = _found("C15", icon_clip.RUN, kept, jobs)
        scores = {name: run["test"]["seen"]["top-1"] for name, run in zip(work, runs)}
        nets = sorted((scores[n], math.log2(work[n])) for n in work if n.startswith("ResNet"))
        logs = [
            np.interp(scores[n], *zip(*nets)) - math.log2(work[n])
            for n in work if n.startswith("ViT")
        ]  # fmt: skip
        ratios.append(float(np.mean(logs)))
    interval = verdicts.of_seeds(ratios)
    numbers = _with_intervals({"log2 of ResNets' compute / ViTs'": ratios}, [interval])
    return Judged(verdicts.C15(interval), numbers, icon_clip.SEEDS)
