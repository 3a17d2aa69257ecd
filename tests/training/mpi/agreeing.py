"""Run by test_distributed.py under `mpiexec -n 3`, and `-n 1`: `Trainer` with what its ranks agree
on. The argument is a folder. Prints one JSON line from rank 0."""

import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import minivit as mv
from minivit import optim
from minivit.engine.errors import NonFiniteError, RankError
from minivit.models.gpt import GPT
from minivit.models.resnet import ResNet
from minivit.models.vit import ViT
from minivit.training import distributed, ranks
from minivit.training.trainer import Trainer, accuracy, classification_loss, predict
from tests.training.mpi.equality import clip_model, images, texts

FOLDER = Path(sys.argv[1])
GROUP = ranks.world()
HERE = GROUP.rank


class Batches:
    """7 images: 2, 2 and 3 of them a rank."""

    def __init__(self, seed=0, n=7):
        self.seed, self.n = seed, n

    def __getitem__(self, step):
        rng = np.random.default_rng([self.seed, step])
        x = rng.standard_normal((self.n, 4, 4, 1)).astype(np.float32)
        return x, (x.mean(axis=(1, 2, 3)) > 0).astype(np.int64)


def trainer(folder=None, dropout=0.0, seed=0, batches=None, width=8, **options):
    mv.manual_seed(seed)
    model = ViT(4, 2, 1, classes=2, width=width, layers=1, heads=2, dropout=dropout)
    optimizer = optim.AdamW(optim.decay_groups(model, 0.05), lr=3e-3)
    return Trainer(
        model, optimizer, batches or Batches(), clip=1.0, folder=folder and FOLDER / folder,
        **options,
    )  # fmt: skip


def state(run):
    return {name: w.tobytes() for name, w in run.model.state_dict().items()}


def refused(match, run, steps=2):
    with pytest.raises(RankError, match=match) as found:
        run.run(steps, progress=False)
    assert found.value.of_all_ranks and run.step == 0


def as_on_one_rank():
    """The numbers that one process and three must have in common."""
    x, y = Batches()[100]
    shown = io.StringIO()
    with contextlib.redirect_stderr(shown):
        run = trainer("plain", evaluate=lambda m: {"accuracy": accuracy(m, x, y)}, save_every=2)
        history = run.run(6)
    assert bool(shown.getvalue()) == (HERE == 0)  # one bar
    outputs = {}
    for n in (7, 2):
        with ranks.sharing(GROUP):
            outputs[n] = predict(run.model, x[:n], batch_size=2)
        np.testing.assert_allclose(outputs[n], predict(run.model, x[:n]), rtol=1e-5, atol=1e-6)
    return history


def interrupted_and_resumed():
    whole = trainer(dropout=0.3)
    whole.run(11, progress=False)
    masks = GROUP.gather_facts(float(_own_draw(trainer(dropout=0.3))))
    assert len(set(masks)) == GROUP.size  # dropout differs
    for number, stop in ((signal.SIGINT, 3), (signal.SIGTERM, 6), (signal.SIGUSR1, 9)):
        run = trainer("resumed", dropout=0.3, seed=0 if stop == 3 else 99)

        def loss(model, *batch, run=run, number=number, stop=stop):
            if HERE == GROUP.size - 1 and run.step == stop - 2:
                os.kill(os.getpid(), number)  # heard by one rank, after all have begun this step
            return classification_loss(model, *batch)

        run.loss = loss
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step {stop}; saved in"):
            run.run(11, progress=False)
    again = trainer("resumed", dropout=0.3, seed=99)
    assert again.step == 9
    again.run(11, progress=False)
    assert again.history == whole.history and state(again) == state(whole)
    weights = {name: w.hex() for name, w in state(again).items()}
    assert GROUP.gather_facts(weights) == [weights] * GROUP.size
    found = sorted(p.name for p in (FOLDER / "resumed").iterdir())
    assert found == ["step-000009", "step-000011"], found


def _own_draw(run):
    with run._own_streams():
        return mv.backend.host_generator().random()


def refusals():
    last = HERE == GROUP.size - 1
    refused("differ in the weights", trainer(seed=int(last)))
    refused(f"rank {GROUP.size - 1} and rank 0 differ in the number of parameters",
            trainer(width=10 if last else 8))  # fmt: skip
    refused("the next batch", trainer(batches=Batches(int(last))))
    refused("the next batch", trainer(batches=Batches(n=6 if last else 7)))
    refused("differ in steps", trainer(), steps=2 + last)
    run = trainer()
    run.optimizer.groups[0]["lr"] = 0.1 if last else 0.2
    refused("the optimizer", run)
    version, mv.__version__ = mv.__version__, "0.0.9" if last else mv.__version__
    refused(r"the version of minivit \(0.0.9, ", trainer())
    mv.__version__ = version

    class Later(Batches):
        def __getitem__(self, step):
            x, y = super().__getitem__(step)
            return x + np.float32(last and step == 2), y

    run = trainer("later", batches=Later(), save_every=1)
    with pytest.raises(RankError, match="have drawn different batches"):
        run.run(5, progress=False)
    assert run.step == 2

    run = trainer("drift")
    run.run(1, progress=False)
    run.model.head.bias.data[0] += last
    with pytest.raises(RankError, match="the weights after step 1"):
        run.save()

    model = clip_model()
    pairs = [(images(7, 8, 3), texts(7))]
    optimizer = optim.SGD(model.parameters())
    refused("no mean over examples.*contrastive_loss",
            Trainer(model, optimizer, pairs, lambda m, I, T: m.loss(I, T)), 1)  # fmt: skip
    Trainer(model, optimizer, pairs, distributed.contrastive_loss).run(1, progress=False)
    mv.manual_seed(0)
    model = GPT(9, 8, 8, 1, 2)
    batch = np.arange(42).reshape(7, 6) % 9, np.arange(6) < np.arange(1, 8)[:, None]
    optimizer = optim.SGD(model.parameters())
    refused("mark it with functions.mean_over",
            Trainer(model, optimizer, [batch], lambda m, *b: m.loss(*b)), 1)  # fmt: skip
    Trainer(model, optimizer, [batch], GPT.loss).run(1, progress=False)
    model = ResNet(1, 2, width=2, blocks=(1,))
    refused("BatchNorm", Trainer(model, optim.SGD(model.parameters()), Batches()))
    before = model.bn.running_mean.data.copy()
    assert not before.any()  # left as it was

    def at_random(model, x, y):  # draws by itself: cannot be judged so
        return (model(x) * float(mv.backend.host_generator().random())).mean()

    trainer(loss=at_random).run(1, progress=False)


def not_finite():
    def loss(model, x, y):
        bad = HERE == GROUP.size - 1 and run.step == 1
        return mv.log(mv.mean(model(x) * 0.0 - 1.0)) if bad else classification_loss(model, x, y)

    run = trainer("nan", loss=loss)
    with pytest.raises(NonFiniteError, match=r"step 1: .* First: log: its result"):
        run.run(4, progress=False)
    assert run.step == 1 and (FOLDER / "nan" / "step-000001").is_dir()


def main():
    history = as_on_one_rank()
    if GROUP.size > 1:
        interrupted_and_resumed()
        refusals()
        with np.errstate(all="ignore"):
            not_finite()
    if HERE == 0:
        print(json.dumps(history))


if __name__ == "__main__":
    main()
