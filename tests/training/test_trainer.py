"""The training loop: it learns, stops where it should, and resumes bit for bit."""

import json
import os
import signal

import numpy as np
import pytest

import minivit as mv
from minivit import files, optim
from minivit.engine.errors import (
    CheckpointError,
    DtypeError,
    NonFiniteError,
    OptionError,
    ShapeError,
    StateError,
)
from minivit.models.vit import ViT
from minivit.training import checkpoint
from minivit.training.trainer import Trainer, accuracy, classification_loss, predict


class Batches:
    """Random images and labels: batch `step` is a function of `step`."""

    def __getitem__(self, step):
        rng = np.random.default_rng(step)
        images = rng.standard_normal((8, 4, 4, 1)).astype(np.float32)
        return images, (images.mean(axis=(1, 2, 3)) > 0).astype(np.int64)


def trainer(folder=None, width=8, seed=0, **options):
    mv.manual_seed(seed)
    model = ViT(4, 2, 1, classes=2, width=width, layers=1, heads=2, dropout=0.2)
    optimizer = optim.AdamW(optim.decay_groups(model, 0.05), lr=3e-3)
    return Trainer(
        model, optimizer, Batches(), schedule=lambda t: optim.warmup_cosine(t, 12, 3), clip=1.0,
        folder=folder, **options,
    )  # fmt: skip


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = trainer()
    whole.run(12, progress=False)
    trainer(tmp_path).run(5, progress=False)
    again = trainer(tmp_path, seed=99)  # other weights and another random state: all are replaced
    assert again.step == 5
    again.run(12, progress=False)
    assert again.history == whole.history
    for name, weights in whole.model.state_dict().items():
        assert weights.tobytes() == again.model.state_dict()[name].tobytes(), name


def test_the_same_seed_gives_the_same_run():
    first = trainer().run(4, progress=False)
    assert trainer().run(4, progress=False) == first
    assert trainer(seed=1).run(4, progress=False) != first


def test_bytes_and_labels_that_do_not_fit_are_refused():
    """A network sees floats about 0: bytes would give answers, and bad ones."""
    run, (images, labels) = trainer(), Batches()[100]
    for ask in (lambda x: predict(run.model, x), lambda x: accuracy(run.model, x, labels)):
        with pytest.raises(DtypeError, match=r"(predict|accuracy): images: got dtype uint8"):
            ask(images.astype(np.uint8))
        with pytest.raises(DtypeError, match=r"images: got list, expected \(n, ...\)"):
            ask(images.tolist())
    with pytest.raises(ShapeError, match=r"expected one image or more"):
        predict(run.model, images[:0])
    with pytest.raises(OptionError, match="batch_size is 0"):
        predict(run.model, images, batch_size=0)
    with pytest.raises(ShapeError, match=r"labels \(7,\)"):
        accuracy(run.model, images, labels[:7])
    run.batches = [(images.astype(np.uint8), labels)]
    with pytest.raises(DtypeError, match="ViT: images: got dtype uint8"):
        run.run(1, progress=False)


def test_metrics_are_measured_without_dropout_and_training_goes_on():
    images, labels = Batches()[100]
    run = trainer(
        evaluate=lambda m: {"training": m.training, "accuracy": accuracy(m, images, labels)},
        evaluate_every=2,
    )
    run.run(5, progress=False)
    assert [m["step"] for m in run.history["metrics"]] == [2, 4, 5]
    assert all(m["training"] == 0 and 0 <= m["accuracy"] <= 1 for m in run.history["metrics"])
    assert run.model.training


def test_interruption_finishes_the_step_saves_and_can_be_continued(tmp_path):
    run = trainer(tmp_path)
    run.loss = lambda model, *batch: (
        os.kill(os.getpid(), signal.SIGINT) if run.step == 3 else None,
        classification_loss(model, *batch),
    )[1]
    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 4; saved in"):
        run.run(12, progress=False)
    assert trainer(tmp_path).step == 4


def test_only_the_newest_two_checkpoints_stay_and_no_half_written_one(tmp_path):
    trainer(tmp_path, save_every=2).run(7, progress=False)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-000006", "step-000007"]


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_names_step_and_op_and_keeps_the_weights(tmp_path):
    run = trainer(tmp_path)
    run.run(2, progress=False)
    good = run.model.state_dict()

    def broken(model, images, labels):
        return mv.log(mv.mean(model(images) * 0.0 - 1.0))

    run.loss = broken
    with pytest.raises(NonFiniteError, match=r"step 2: .* First: log: its result"):
        run.run(12, progress=False)
    assert run.step == 2
    assert all(np.array_equal(good[k], v) for k, v in run.model.state_dict().items())
    assert trainer(tmp_path).step == 2
    assert all(p.grad is None for p in run.model.parameters())


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_gradient_that_is_not_finite_is_found_though_the_loss_is(tmp_path):
    run = trainer()
    good = run.model.state_dict()
    run.loss = lambda model, images, labels: mv.sqrt(mv.mean(model(images) * 0.0))
    with pytest.raises(NonFiniteError, match=r"step 0: .* First: sqrt: its gradient"):
        run.run(3, progress=False)
    assert all(np.array_equal(good[k], v) for k, v in run.model.state_dict().items())


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "truncated":
        content = content[: len(content) // 2]
    elif how == "flipped":
        content[len(content) // 2] ^= 1
    elif how == "empty":
        content = b""
    path.write_bytes(bytes(content)) if how != "missing" else path.unlink()


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "missing"])
def test_a_damaged_checkpoint_is_refused_by_name_and_nothing_changes(tmp_path, file, how):
    trainer(tmp_path, save_every=2).run(4, progress=False)
    if (file, how) == ("state.json", "flipped"):
        how = "truncated"
    damage(tmp_path / "step-000004" / file, how)
    run = trainer(seed=3)
    before = run.model.state_dict()
    with pytest.raises(CheckpointError, match=rf"step-000004/{file}.*step-000002"):
        run.resume(tmp_path / "step-000004")
    assert run.step == 0
    assert all(np.array_equal(before[k], v) for k, v in run.model.state_dict().items())
    run.resume(tmp_path / "step-000002")
    assert run.step == 2


def test_a_checkpoint_of_another_architecture_lists_the_names_and_changes_nothing(tmp_path):
    trainer(tmp_path).run(1, progress=False)
    with pytest.raises(StateError, match=r"position: file .*model"):
        trainer(tmp_path, width=16)


def test_an_optimizer_of_another_kind_leaves_the_model_as_it_was(tmp_path):
    trainer(tmp_path).run(1, progress=False)
    run = trainer(seed=7)
    run.optimizer = optim.SGD(run.model.parameters(), momentum=0.9)
    before = run.model.state_dict()
    with pytest.raises(StateError, match="SGD"):
        run.resume(tmp_path / "step-000001")
    assert all(np.array_equal(before[k], v) for k, v in run.model.state_dict().items())


def test_weights_are_plain_safetensors_and_the_state_is_json(tmp_path):
    from safetensors.numpy import load_file

    run = trainer(tmp_path)
    run.run(1, progress=False)
    stored = load_file(tmp_path / "step-000001" / "model.safetensors")
    assert stored.keys() == run.model.state_dict().keys()
    state = json.loads((tmp_path / "step-000001" / "state.json").read_text())
    assert state["step"] == 1 and len(state["history"]["loss"]) == 1


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    run = trainer(tmp_path)
    run.run(1, progress=False)

    def full_disk(path):
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "_flush", full_disk)
    with pytest.raises(OSError, match="No space"):
        run.run(2, progress=False)
    monkeypatch.undo()
    assert trainer(tmp_path).step == 1


def test_the_history_has_the_rate_of_the_first_group(tmp_path):
    model = ViT(4, 2, 1, classes=2, width=8, layers=1, heads=2)
    head = [model.head.weight, model.head.bias]
    body = [p for p in model.parameters() if all(p is not q for q in head)]
    groups = [{"params": body, "lr": 1e-3}, {"params": head, "lr": 5e-2}]
    run = Trainer(model, optim.SGD(groups, lr=1e-3), Batches(), schedule=lambda t: 1 / (1 + t))
    run.run(2, progress=False)
    assert run.history["lr"] == [1e-3, 1e-3 / 2]
    assert [group["lr"] for group in run.optimizer.groups] == [1e-3 / 2, 5e-2 / 2]


@pytest.mark.parametrize(
    "broken", ["[]", '{"sha256": []}', '{"sha256": {}}', "nonsense", "[" * 9999]
)
def test_a_state_that_is_none_is_refused(broken, tmp_path):
    trainer(tmp_path).run(1, progress=False)
    (tmp_path / "step-000001" / "state.json").write_text(broken)
    with pytest.raises(CheckpointError, match=r"state\.json|holds no"):
        trainer(tmp_path)


def test_checkpoints_are_counted_not_spelled(tmp_path):
    for step in (999_999, 1_000_000):
        checkpoint.save(tmp_path, step, {})
    checkpoint.keep_newest(tmp_path, 1)
    assert [p.name for p in checkpoint.checkpoints(tmp_path)] == ["step-1000000"]


def test_a_model_that_no_config_makes_is_resumed_all_the_same(tmp_path):
    def run():
        mv.manual_seed(0)
        model = ViT(4, 2, 1, classes=3, width=8, layers=1, heads=2)
        model.head = mv.nn.Linear(8, 2)  # by hand
        return Trainer(model, optim.SGD(model.parameters(), lr=0.1), Batches(), folder=tmp_path)

    run().run(1, progress=False)
    assert run().step == 1
    with pytest.raises(CheckpointError, match="no config"):
        mv.load(tmp_path)
