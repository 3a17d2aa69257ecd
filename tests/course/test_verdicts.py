"""The rules of the verdicts: intervals cover what they should, and no verdict without an interval
that excludes the other."""

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


def test_a_net_on_icons_is_trained_interrupted_and_goes_on(tmp_path, monkeypatch):
    small = iconnet.icons.iconnet()
    monkeypatch.setattr(iconnet, "net", lambda: small)
    monkeypatch.setattr(iconnet, "examined", lambda *a, **k: {})
    monkeypatch.setattr(iconnet, "BATCH", 4)
    monkeypatch.setattr(iconnet, "watch", lambda: None)
    monkeypatch.setenv("MINIVIT_BUILD", str(tmp_path / "a"))
    kind = {"size": (8,), "rate": 1e-3}
    whole = iconnet.fitted("x", "ResNet", 0, 100, steps=4, **kind)[0].state_dict()
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
    got = iconnet.marks(scores, "test")
    assert got["top-1"] == 1 and got["right by family"] == got["pictures by family"]
    assert sum(got["pictures by family"]) == len(labels)
