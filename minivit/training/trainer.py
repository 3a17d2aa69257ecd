"""Training: the loop that every lecture uses, with a progress bar, that can be stopped and resumed.

    trainer = Trainer(model, optimizer, batches, schedule=..., folder="runs/digits")
    trainer.run(600)        # interrupted? the same two lines go on where it stopped, bit for bit

The loop itself is five lines (`_step`); the rest is bookkeeping.
"""

import math
import signal
import threading

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import CheckpointError, MinivitError, NonFiniteError
from minivit.engine.modes import detect_anomaly, no_grad
from minivit.engine.tensor import Tensor
from minivit.functions import cross_entropy_loss
from minivit.nn import check_sizes
from minivit.optim import clip_grad_norm
from minivit.published import own
from minivit.training import checkpoint
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
    """

    def __init__(
        self, model, optimizer, batches, loss=classification_loss, schedule=None, clip=None,
        evaluate=None, evaluate_every=None, folder=None, save_every=None,
        accumulate=1,
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
        if folder and checkpoint.checkpoints(folder):
            self.resume(checkpoint.checkpoints(folder)[-1])

    def run(self, steps, progress=True):
        """Train until `steps` steps have been made in all; returns the history."""
        from tqdm.auto import tqdm

        self.model.train()
        bar = tqdm(total=steps, initial=self.step, disable=not progress, unit="step")
        with _Interruption() as interruption, bar:
            while self.step < steps and not interruption.asked:
                self._step()
                bar.update()
                bar.set_postfix(loss=f"{self.history['loss'][-1]:.3f}", refresh=False)
                last = self.step == steps
                if self.evaluate and (last or self._is_time(self.evaluate_every)):
                    self._evaluate(bar)
                if self.folder and not last and self._is_time(self.save_every):
                    self.save()
        if self.folder:
            self.save()
        if interruption.asked:
            where = f"; saved in {self.folder}, run again to continue" if self.folder else ""
            raise KeyboardInterrupt(f"stopped after step {self.step}{where}")
        return self.history

    def _step(self):
        batch = [self._placed(a) for a in self.batches[self.step]]
        random_state = backend.random_state()
        factor = self.schedule(self.step)
        for group, rate in zip(self.optimizer.groups, self._rates):
            group["lr"] = rate * factor

        self.optimizer.zero_grad()
        value = backward(self.loss, self.model, batch, self.accumulate)
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

    def _not_finite(self, batch, random_state):
        """The error of a step whose loss or gradient is no number: it is made again, every op
        watched."""
        self.optimizer.zero_grad()
        if self.folder:
            backend.set_random_state(random_state)
            self.save()
        try:
            backend.set_random_state(random_state)
            with detect_anomaly(), np.errstate(all="ignore"):
                backward(self.loss, self.model, batch, self.accumulate)
            cause = "the op was not found again"
        except NonFiniteError as error:
            cause = str(error)
        self.optimizer.zero_grad()
        return NonFiniteError(
            f"step {self.step}: the loss or a gradient is not finite. First: {cause}. The weights "
            "are those before this step. A smaller lr, a warm-up or clip=1.0 usually helps; so "
            "does a look at this batch."
        )

    def _placed(self, array):
        if array.dtype.kind != "f":
            return array
        return Tensor(array, device=next(self.model.parameters()).device)

    def _is_time(self, every):
        return bool(every) and self.step % every == 0

    def _evaluate(self, bar):
        with self.model.evaluating(), no_grad():
            metrics = {name: float(x) for name, x in self.evaluate(self.model).items()}
        self.history["metrics"].append({"step": self.step, **metrics})
        shown = ", ".join(f"{name} {x:.4g}" for name, x in metrics.items())
        bar.set_description(shown)

    def save(self):
        """Write a checkpoint of this very step."""
        path = checkpoint.save(
            self.folder,
            self.step,
            {"history": self.history, "random": backend.random_state()},
            self._config(),
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
        )
        checkpoint.keep_newest(self.folder, 2)
        return path

    def _config(self):
        """What config.json says of the model. None: it was changed after it was built, or built of
        what no config can hold. Such a run is resumed, but minivit.load does not read it."""
        try:
            return own.description(self.model)[0]
        except MinivitError:
            return None

    def resume(self, path):
        """Go on from a checkpoint. If it does not fit, nothing is changed."""
        state, arrays = checkpoint.load(path)
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
    second Ctrl-C stops at once."""

    asked = False

    def __enter__(self):
        self._here = threading.current_thread() is threading.main_thread()
        if self._here:
            self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __exit__(self, *exc):
        if self._here:
            signal.signal(signal.SIGINT, self._before)


@no_grad()
def predict(model, images, batch_size=256):
    """The model's outputs for all images, in eval mode, as one NumPy array."""
    device = next(model.parameters()).device
    with model.evaluating():
        pieces = [
            model(Tensor(images[i : i + batch_size], device=device)).numpy()
            for i in range(0, len(images), batch_size)
        ]
    return np.concatenate(pieces)


def accuracy(model, images, labels, batch_size=256):
    """The share of images whose largest logit is the label's."""
    return float((predict(model, images, batch_size).argmax(axis=1) == labels).mean())
