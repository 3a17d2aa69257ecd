"""Training: the loop that every lecture uses, with a progress bar, that can be stopped and resumed.

    trainer = Trainer(model, optimizer, batches, schedule=..., folder="runs/digits")
    trainer.run(600)        # interrupted? the same two lines go on where it stopped, bit for bit

The loop itself is five lines (`_step`); the rest is bookkeeping. The same file trains on several
cores or machines (the chapters ranks and distributed): `mpiexec -n 4 python train.py`.
"""

import contextlib
import math
import signal
import threading
from pathlib import Path

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import (
    CheckpointError,
    MinivitError,
    NonFiniteError,
    OptionError,
    ShapeError,
)
from minivit.engine.modes import detect_anomaly, no_grad
from minivit.engine.tensor import Tensor
from minivit.functions import cross_entropy_loss
from minivit.images.patches import check_floats
from minivit.nn import check_sizes
from minivit.optim import clip_grad_norm
from minivit.published import own
from minivit.training import agreement, checkpoint, distributed, ranks
from minivit.training.accumulation import backward


def classification_loss(model, images, labels):
    """The loss of a classifier: cross-entropy of its logits."""
    return cross_entropy_loss(model(images), labels)


class Trainer:
    """Train `model` on batches[0], batches[1], ...

    batches: `batches[step]` is a tuple of arrays, the same whenever it is asked for, so that a run
        can be resumed at any step. Floating-point arrays reach the loss as Tensors on the model's
        device, integers (labels, ids) as NumPy arrays.
    loss(model, *batch): a Tensor with one number.
    schedule(step): the factor on every group's lr; clip: the largest gradient norm.
    evaluate(model): {name: number}, called every `evaluate_every` steps and at the end, in eval
        mode, without gradients.
    history: {"loss", "lr" (of the first group), "norm", "metrics"}, a number a step.
    folder: checkpoints go there every `save_every` steps, at the end and on interruption, the
        newest two are kept; if it holds one, the trainer continues from it.
    accumulate: in how many pieces the gradient of a batch is made, for one that would not fit: the
        same step up to rounding, for a loss that is a mean (minivit.training.accumulation).

    A loss or gradient that is not finite stops the training with a NonFiniteError that names the
    step and the first op that made it; the weights are those of the last good step.

    Under mpiexec each rank takes its part of every batch, all make the same steps, and rank 0 alone
    writes files and shows the bar. `loss` is then a mean over the examples, or is marked by
    functions.mean_over or distributed.over_all_ranks. Inside of `evaluate`, `predict` divides its
    images among the ranks.
    """

    def __init__(
        self, model, optimizer, batches, loss=classification_loss, schedule=None, clip=None,
        evaluate=None, evaluate_every=None, folder=None, save_every=None, accumulate=1,
    ):  # fmt: skip
        self.model, self.optimizer, self.batches, self.loss = model, optimizer, batches, loss
        self.schedule, self.clip = (
            schedule or (lambda step: 1.0),
            math.inf if clip is None else clip,
        )
        self.evaluate, self.evaluate_every = evaluate, evaluate_every
        self.folder, self.save_every = folder, save_every
        check_sizes("Trainer", accumulate=accumulate)
        self.accumulate = accumulate
        self.step = 0
        self.history = {"loss": [], "lr": [], "norm": [], "metrics": []}
        self._rates = [group["lr"] for group in optimizer.groups]
        self.ranks = ranks.world()
        if accumulate > 1 and self.ranks.size > 1:
            raise OptionError(
                f"Trainer: accumulate is {accumulate}, but {self.ranks.size} ranks divide the "
                "batch already; expected 1. Start more ranks."
            )
        newest = checkpoint.checkpoints(folder)[-1:] if folder else []
        for path in self.ranks.gather_facts([str(path) for path in newest])[0]:
            self.resume(path)

    def run(self, steps, progress=True):
        """Train until `steps` steps have been made in all; returns the history."""
        from tqdm.auto import tqdm

        self.model.train()
        silent = not progress or self.ranks.rank > 0
        bar = tqdm(total=steps, initial=self.step, disable=silent, unit="step")
        with _Interruption(self.ranks.size > 1) as interruption, bar:
            if self.ranks.size > 1 and self.step < steps:
                self._introduce(steps)
            while self.step < steps and not interruption.agreed:
                self._step(interruption)
                bar.update()
                bar.set_postfix(loss=f"{self.history['loss'][-1]:.3f}", refresh=False)
                last = self.step == steps
                if self.evaluate and (last or self._is_time(self.evaluate_every)):
                    self._evaluate(bar)
                if self.folder and not last and self._is_time(self.save_every):
                    self.save()
        if self.folder:
            self.save()
        if interruption.agreed:
            where = f"; saved in {self.folder}, run again to continue" if self.folder else ""
            raise agreement.of_all(KeyboardInterrupt(f"stopped after step {self.step}{where}"))
        return self.history

    def _introduce(self, steps):
        """Refuse ranks that would not train the same model, and a loss that has no parts."""
        batch = self.batches[self.step]
        facts = agreement.facts(self.model, self.optimizer, batch, self.step)
        agreement.compare(self.ranks, {**facts, "steps": steps, "clip": self.clip})
        agreement.check_mean(self.loss, self.model, [self._placed(a) for a in batch])

    def _step(self, interruption):
        batch = self.batches[self.step]
        if self.ranks.size > 1:
            interruption.all_asked = agreement.same_step(self.ranks, batch, interruption.asked)
        batch = [self._placed(a) for a in batch]
        random_state = backend.random_state()
        factor = self.schedule(self.step)
        for group, rate in zip(self.optimizer.groups, self._rates):
            group["lr"] = rate * factor

        self.optimizer.zero_grad()
        value = self._backward(batch)
        if not math.isfinite(value):
            raise self._not_finite(batch, random_state)
        try:
            norm = clip_grad_norm(self.model.parameters(), self.clip)
        except NonFiniteError:
            raise self._not_finite(batch, random_state) from None
        self.optimizer.step()

        self.step += 1
        first = self._rates[0] * factor  # other groups have theirs times the same factor
        for name, number in (("loss", value), ("lr", first), ("norm", norm)):
            self.history[name].append(number)

    def _backward(self, batch):
        """The loss, and gradients where it is finite."""
        if self.ranks.size > 1:
            with self._own_streams():
                return distributed.backward(self.loss, self.model, batch, self.ranks)
        return backward(self.loss, self.model, batch, self.accumulate)

    def _own_streams(self):
        """Dropout draws other numbers on each rank, while what the ranks have in common moves on by
        one number: a checkpoint needs no more to go on, with as many ranks or others."""
        seed = int(backend.host_generator().integers(1 << 40))
        return backend.streams(seed * self.ranks.size + self.ranks.rank)

    def _not_finite(self, batch, random_state):
        """The error of a step whose loss or gradient is no number: it is made again, every op
        watched."""
        self.optimizer.zero_grad()
        if self.folder:
            backend.set_random_state(random_state)
            self.save()
        backend.set_random_state(random_state)
        causes = self.ranks.gather_facts(self._cause(batch))  # of each rank's part
        cause = next(filter(None, causes), "the op was not found again")
        self.optimizer.zero_grad()
        return agreement.of_all(
            NonFiniteError(
                f"step {self.step}: the loss or a gradient is not finite. First: {cause}. The "
                "weights are those before this step. A smaller lr, a warm-up or clip=1.0 usually "
                "helps; so does a look at this batch."
            )
        )

    def _cause(self, batch):
        here = distributed.part(len(batch[0]), self.ranks.rank, self.ranks.size)
        streams = self._own_streams() if self.ranks.size > 1 else contextlib.nullcontext()
        try:
            with streams, detect_anomaly(), np.errstate(all="ignore"):
                if here.start < here.stop:
                    backward(self.loss, self.model, [a[here] for a in batch], self.accumulate)
        except NonFiniteError as error:
            return str(error)

    def _placed(self, array):
        if array.dtype.kind != "f":
            return array
        return Tensor(array, device=next(self.model.parameters()).device)

    def _is_time(self, every):
        return bool(every) and self.step % every == 0

    def _evaluate(self, bar):
        with self.model.evaluating(), no_grad(), ranks.sharing(self.ranks):
            metrics = {name: float(x) for name, x in self.evaluate(self.model).items()}
        metrics = self.ranks.gather_facts(metrics)[0]
        self.history["metrics"].append({"step": self.step, **metrics})
        shown = ", ".join(f"{name} {x:.4g}" for name, x in metrics.items())
        bar.set_description(shown)

    def save(self):
        """Write a checkpoint of this very step: rank 0 does, the others wait until it is there."""
        if self.ranks.size > 1:
            weights = agreement.weights(self.model)
            agreement.compare(self.ranks, {f"the weights after step {self.step}": weights})
        path = None
        if self.ranks.rank == 0:
            path = checkpoint.save(
                self.folder,
                self.step,
                {"history": self.history, "random": backend.random_state()},
                self._config(),
                model=self.model.state_dict(),
                optimizer=self.optimizer.state_dict(),
            )
            checkpoint.keep_newest(self.folder, 2)
        return Path(self.ranks.gather_facts(str(path))[0])

    def _config(self):
        """The model's entry in config.json. None: it was changed after it was built, or has a
        part that no config can hold. Such a run is resumed, but minivit.load does not read it."""
        try:
            return own.description(self.model)[0]
        except MinivitError:
            return None

    def resume(self, path):
        """Go on from a checkpoint. If it does not fit, nothing is changed."""
        state, arrays = agreement.load(self.ranks, path)
        for part in ("model", "optimizer"):
            if part not in arrays:
                raise CheckpointError(f"checkpoint: {path} holds no {part}.safetensors")
        if missing := {"step", "history", "random"} - set(state):
            raise CheckpointError(f"checkpoint: {path}/state.json lacks {sorted(missing)}")
        before = self.model.state_dict()
        try:
            self.model.load_state_dict(arrays["model"])
            self.optimizer.load_state_dict(arrays["optimizer"])
        except Exception:
            self.model.load_state_dict(before)
            raise
        self.step, self.history = state["step"], state["history"]
        backend.set_random_state(state["random"])


class _Interruption:
    """Ctrl-C inside of this block sets `asked`, so that a step is finished before stopping; a
    second Ctrl-C stops at once. Under mpiexec, which makes SIGTERM of Ctrl-C and hands SIGUSR1 on,
    these ask too."""

    def __init__(self, under_mpiexec=False):
        self.asked, self.all_asked = False, False if under_mpiexec else None
        names = ["SIGINT"] + ["SIGTERM", "SIGUSR1"] * under_mpiexec
        self._signals = [getattr(signal, name) for name in names if hasattr(signal, name)]

    @property
    def agreed(self):
        """Is it time to stop: for all ranks after the same step, whichever was asked?"""
        return self.asked if self.all_asked is None else self.all_asked

    def __enter__(self):
        self._here = threading.current_thread() is threading.main_thread()
        if self._here:
            self._before = [(s, signal.signal(s, self._ask)) for s in self._signals]
        return self

    def _ask(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exc):
        if self._here:
            for number, handler in self._before:
                signal.signal(number, handler)


@no_grad()
def predict(model, images, batch_size=256):
    """The model's outputs for all images (n, ...), floats, in eval mode, as one NumPy array."""
    check_floats("predict", images, "(n, ...)")
    check_sizes("predict", batch_size=batch_size)
    if not len(images):
        raise ShapeError(f"predict: images: got shape {images.shape}, expected one image or more")
    device, group = next(model.parameters()).device, ranks.shared()
    own = images[distributed.part(len(images), group.rank, group.size)]
    with model.evaluating():
        pieces = [
            model(Tensor(own[i : i + batch_size], device=device)).numpy()
            for i in range(0, len(own), batch_size)
        ]
    kinds = group.gather_facts([(a.dtype.str, a.shape[1:]) for a in pieces[:1]])
    if not pieces and any(kinds):  # fewer images than ranks: rows like those of the others
        dtype, shape = next(filter(None, kinds))[0]
        pieces = [np.empty((0, *shape), np.dtype(dtype))]
    return group.all_gather(np.concatenate(pieces))


def accuracy(model, images, labels, batch_size=256):
    """The share of images whose largest logit is the label's."""
    check_floats("accuracy", images, "(n, ...)")
    if np.shape(labels) != images.shape[:1]:
        raise ShapeError(
            f"accuracy: got images {images.shape} and labels {np.shape(labels)}, expected (n, ...) "
            "and (n,)"
        )
    return float((predict(model, images, batch_size).argmax(axis=1) == labels).mean())
