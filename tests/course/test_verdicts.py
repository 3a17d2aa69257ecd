"""The rules of the verdicts: intervals cover what they should, and no verdict without an interval
that excludes the other."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minivit.course.runs import iconnet, plans, verdicts
from minivit.engine.errors import OptionError, ShapeError


def test_intervals_of_seeds_cover_the_mean_about_95_times_of_100():
    rng = np.random.default_rng(0)
    inside = [
        low <= 3 <= high
        for _, low, high in (verdicts.of_seeds(rng.normal(3, 2, 5)) for _ in range(200))
    ]
    assert 0.91 < np.mean(inside) < 0.99
    with pytest.raises(ShapeError, match="two or more"):
        verdicts.of_seeds([1.0])


def test_intervals_of_families_are_wide_where_families_differ():
    counts = np.full(30, 100)
    alike, apart = np.full(30, 50), np.repeat([0, 100], 15)
    assert verdicts.of_families(alike, counts) == (0.5, 0.5, 0.5)
    mean, low, high = verdicts.of_families(apart, counts)
    assert mean == 0.5 and 0.1 < high - low < 0.5
    assert verdicts.of_families(apart, counts, other=apart) == (0, 0, 0)


interval = st.tuples(*[st.floats(-0.3, 0.3)] * 3).map(sorted).map(lambda x: (x[1], x[0], x[2]))


@given(interval, interval, interval)
def test_a_verdict_never_goes_against_its_interval(a, b, c):
    v = verdicts.C08(a, b, c)
    assert not (v == "holds" and (a[1] <= 0 or b[2] > 0.01 or c[1] <= 0))
    assert not (v == "does not hold" and a[2] >= 0 and b[1] <= 0.01)
    assert not (verdicts.C11(a) == "holds" and a[1] <= 0)
    assert not (verdicts.C12(a, b, 0.3) == "holds" and min(a[1], b[1]) <= -0.01)
    assert verdicts.C12(a, b, 0.6) == "does not hold"
    assert not (verdicts.C15(a) == "holds")


def test_a_plan_says_hours_and_a_job_that_is_kept_is_not_done_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plans.record, "folder", lambda: tmp_path)
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    calls = []

    def job(n):
        calls.append(n)
        return {"number": n}

    parts = {"one": [plans.Job(job, (n,), 3600) for n in (1, 2)]}
    assert plans.main("try", parts, ["--plan"], "about") == 0 and not calls
    assert "2     0      2.0" in capsys.readouterr().out
    plans.main("try", parts, [], "about")
    plans.main("try", parts, ["one"], "about")
    kept = plans.record.made("try")
    assert calls == [1, 2] and kept["job 1"]["number"] == 1 and "commit" in kept["job 1"]
    with pytest.raises(OptionError, match=r"expected some of \['one'\]"):
        plans.main("try", parts, ["two"], "about")


def test_a_run_may_run_several_times_at_once(tmp_path):
    """Each job is done once, and no process loses what another kept."""
    program = f"""
import time
from pathlib import Path
from minivit.course.runs import plans
plans.record.folder = lambda: Path({str(tmp_path)!r})
def job(n):
    with open({str(tmp_path / "done")!r}, "a") as done:
        done.write(f"{{n}} ")
    time.sleep(0.05)
    return {{"number": n}}
plans.main("try", {{"one": [plans.Job(job, (n,), 1) for n in range(12)]}}, [], "about")
"""
    run = [sys.executable, "-c", program]
    environment = os.environ | {"MINIVIT_BUILD": str(tmp_path)}
    several = [subprocess.Popen(run, env=environment) for _ in range(3)]
    assert [one.wait(60) for one in several] == [0, 0, 0]
    assert sorted(map(int, (tmp_path / "done").read_text().split())) == list(range(12))
    kept = json.loads((tmp_path / "results" / "try.json").read_text())
    assert all(kept[f"job {n}"]["number"] == n for n in range(12))


def test_a_net_on_icons_is_trained_interrupted_and_goes_on(tmp_path, monkeypatch):
    small = iconnet.icons.iconnet()
    monkeypatch.setattr(iconnet, "net", lambda: small)
    monkeypatch.setattr(iconnet, "examined", lambda *a, **k: {})
    monkeypatch.setattr(iconnet, "BATCH", 4)
    monkeypatch.setattr(iconnet, "watch", lambda: None)
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "a"))
    kind = {"size": (8,), "rate": 1e-3}
    model, _ = iconnet.fitted("x", "ResNet", 0, 100, steps=4, **kind)
    whole = model.state_dict()
    assert not model.training  # it is asked next
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "b"))
    run = plans.Trainer.run
    monkeypatch.setattr(plans.Trainer, "run", lambda self, steps: run(self, 2))
    iconnet.fitted("x", "ResNet", 0, 100, steps=4, **kind)
    monkeypatch.setattr(plans.Trainer, "run", run)
    again = iconnet.fitted("x", "ResNet", 0, 100, steps=4, **kind)[0].state_dict()
    assert all((whole[name] == again[name]).all() for name in whole)


def test_marks_count_by_family(monkeypatch):
    small = iconnet.icons.iconnet()
    monkeypatch.setattr(iconnet, "net", lambda: small)
    labels = small.part("test")[1]
    scores = np.zeros((len(labels), 300), np.float32)
    scores[np.arange(len(labels)), labels] = 1
    got = iconnet.accuracies(scores, "test")
    assert got["top-1"] == 1 and got["right by family"] == got["pictures by family"]
    assert sum(got["pictures by family"]) == len(labels)
    nothing = iconnet.accuracies(np.zeros_like(scores), "test")  # all are level: none is right
    assert nothing["top-1"] == nothing["top-5"] == 0 == sum(nothing["right by family"])


@pytest.mark.slow
def test_every_kind_of_job_runs_to_its_end(tmp_path, monkeypatch):
    """Two steps of each, on the part that ships."""
    from minivit.course.runs import icon_few_shot, icon_variants

    small = iconnet.icons.iconnet()
    few = small._replace(  # 300 test pictures are enough
        images=small.images[: small.starts[2] + 300], labels=small.labels[: small.starts[2] + 300],
        families=small.families[: small.starts[2] + 300],
        starts=(*small.starts[:3], small.starts[2] + 300),
    )  # fmt: skip
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    monkeypatch.setattr(plans.record, "folder", lambda: tmp_path)
    monkeypatch.setattr(iconnet, "net", lambda: few)
    monkeypatch.setattr(iconnet, "STEPS", {"ViT": 8, "ResNet": 8})
    monkeypatch.setattr(iconnet, "LARGEST", ((32, 2), 2))
    for run in (icon_variants, icon_few_shot):
        monkeypatch.setattr(run, "STEPS", 2)
    monkeypatch.setattr(icon_variants, "net", lambda: few)
    monkeypatch.setattr(icon_few_shot, "SHOTS", (1,))
    labels = np.repeat(np.arange(60), 22)  # few test pictures: enough of each of some classes
    images = few.images[: len(labels)]
    monkeypatch.setattr(
        icon_few_shot, "downstream", lambda: (images, labels, np.arange(len(labels)) % 2 == 0)
    )
    for job in (
        plans.Job(iconnet.rates, ("ResNet", 1e-3), 0), plans.Job(iconnet.resnet, (0, 2), 0),
        plans.Job(iconnet.hands, (0, 2), 0), plans.Job(iconnet.deeper, (0, 2), 0),
        plans.Job(iconnet.together, (0, 2), 0),
        plans.Job(iconnet.pictures, ("ViT", 1000, 0), 0),
        plans.Job(iconnet.internals, (1,), 0),
        plans.Job(iconnet.shuffled_pixels, (1000, 0), 0), plans.Job(iconnet.nearest, (1000,), 0),
        plans.Job(iconnet.logistic, (1000,), 0), plans.Job(iconnet.sizes, ("ViT", (32, 2), 0), 0),
        plans.Job(icon_variants.rates, ("Adafactor", 1e-3), 0),
        plans.Job(icon_few_shot.decay, (3.0, 0), 0),
    ):  # fmt: skip
        plans.do("try", "part", job)
        kept = plans.record.made("try")[job.name]
        assert kept["command"].endswith("try part") and kept["wall seconds"] > 0
    assert 0 < plans.record.made("try")["nearest 1000"]["test"]["top-1"] < 1


def test_five_places_are_a_picture_and_its_shifts_by_a_pixel_on_white():
    from minivit import Tensor, log_softmax, nn

    class Corner(nn.Module):  # two pixels as logits
        def forward(self, images):
            return images[:, 0, :2, 0]

    x = np.random.default_rng(0).uniform(-1, 1, (4, 3, 3, 1)).astype(np.float32)
    white = np.ones((4, 2), np.float32)
    around = [x[:, 0, :2, 0], white, x[:, 1, :2, 0], x[:, 0, 1:, 0],
              np.stack([white[:, 0], x[:, 0, 0, 0]], axis=1)]  # fmt: skip
    wanted = np.mean([log_softmax(Tensor(some)).numpy() for some in around], axis=0)
    got = iconnet.InFivePlaces(Corner())(Tensor(x)).numpy()
    assert np.allclose(got, wanted, atol=1e-6)


def test_a_grey_resnet_and_the_same_one_for_colours_agree():
    from minivit import Tensor
    from minivit.course.runs import icon_clip
    from minivit.models.resnet import ResNet

    grey = ResNet(1, 5, 4, (1, 1), patch=2).eval()
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    got = icon_clip.of_colour(grey)(Tensor(x.repeat(3, axis=-1))).numpy()
    assert np.allclose(got, grey.features(Tensor(x)).numpy(), atol=1e-5)


def test_a_clip_is_asked_in_eval_mode():
    """What a picture scores does not depend on those asked with it, and the net stays as it was."""
    from minivit.course.runs import icon_exam
    from minivit.models import clip
    from minivit.models.resnet import ResNet
    from minivit.training import icon_pairs

    tokenizer = icon_pairs.caption_tokenizer({"arrow up": [0] * 3, "heart": [0] * 3}, 600)
    net = clip.CLIP(
        ResNet(3, 0, 4, (1, 1), patch=2), clip.BagOfWords(len(tokenizer), 4), d_i=8, d_t=4, d_e=4
    ).train()
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32), np.uint8)
    before = net.state_dict()
    score = icon_exam.by_clip(net, tokenizer)
    together = score(images, ["arrow up", "heart"])
    alone = np.concatenate([score(images[i : i + 1], ["arrow up", "heart"]) for i in range(6)])
    assert np.allclose(together, alone, atol=1e-5) and net.training
    assert all((before[name] == array).all() for name, array in net.state_dict().items())


def test_a_result_names_its_commit_and_whether_code_was_changed(tmp_path):
    def git(*arguments):
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *author, *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "data" / "results").mkdir(parents=True)
    for name in ("code.py", "data/results/x.json"):
        (tmp_path / name).write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    clean = plans.commit(tmp_path)
    assert len(clean) >= 7 and not clean.endswith("+")
    (tmp_path / "data" / "results" / "x.json").write_text("2")  # what the run itself writes
    (tmp_path / "new.txt").write_text("")
    assert plans.commit(tmp_path) == clean
    (tmp_path / "code.py").write_text("2")
    assert plans.commit(tmp_path) == clean + "+"


@pytest.mark.slow
def test_every_kind_of_job_of_the_clip_on_icons_runs_to_its_end(tmp_path, monkeypatch):
    """Two steps of each; all icons: some of the part that ships, a set for each family."""
    from minivit.course.runs import icon_clip, icon_exam
    from minivit.models.resnet import ResNet
    from minivit.training import icon_pairs

    net = iconnet.icons.iconnet()
    rows = np.r_[0 : net.starts[1] : 4, net.starts[2] : net.starts[3] : 4]
    rows = rows[np.argsort(net.families[rows], kind="stable")]
    kinds, sets, counts = np.unique(net.families[rows], return_inverse=True, return_counts=True)
    places = np.concatenate([np.arange(n) for n in counts])
    about = {
        net.family_names[k]: {
            "family": net.family_names[k], "colour": False,
            "categories": {f"Kind {c}": list(range(c, n, 3)) for c in range(3)},
        } for k, n in zip(kinds, counts.tolist())
    }  # fmt: skip
    names = tuple(net.classes[label] for label in net.labels[rows])
    some = iconnet.icons.Icons(net.images[rows], names, sets, places, about)
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path))
    monkeypatch.setattr(plans.record, "folder", lambda: tmp_path)
    monkeypatch.setattr(iconnet, "net", lambda: net)
    for module in (icon_clip, icon_exam):
        monkeypatch.setattr(module, "everything", lambda: some)
    for kept in (icon_clip.rows, icon_clip.tokenizer, icon_clip.more):
        kept.cache_clear()
    monkeypatch.setattr(
        icon_clip, "caption_tokenizer", lambda r: icon_pairs.caption_tokenizer(r, 700)
    )
    monkeypatch.setattr(icon_clip, "trained_resnet", lambda: ResNet(1, 300, 32, (1, 1, 1), patch=2))
    monkeypatch.setattr(icon_clip, "COMPARED", 2)
    monkeypatch.setattr(icon_clip.plans, "best_rate", lambda *asked: 1e-3)
    monkeypatch.setattr(icon_clip, "READ", {"least": 1, "batch_size": 64})
    monkeypatch.setattr(icon_clip, "POINTS", (1, 2))
    for function, *arguments in (
        (icon_clip.locked, 0, 2), (icon_clip.words, 0, 2), (icon_clip.probe, 0),
        (icon_clip.model, 0, 2), (icon_clip.objectives, "caption", 0),
        (icon_clip.rates, "ResNet", 1e-3), (icon_clip.compute, "ResNet 8", 0),
    ):  # fmt: skip
        job = plans.Job(function, tuple(arguments), 0)
        plans.do("try", "part", job)
    made = plans.record.made("try")
    suites = [made[job]["suite"] for job in ("locked 0 2", "words 0 2", "probe 0")]
    assert suites[0] and suites[0].keys() == suites[1].keys() == suites[2].keys()
    assert all(0 <= one["accuracy"] <= 1 for suite in suites for one in suite.values())
    assert made["compute ResNet 8 0"]["test"]["seen"]["candidates"] == 300
    for kept in (icon_clip.rows, icon_clip.tokenizer, icon_clip.more):
        kept.cache_clear()
