"""Agreement: ranks compare, before they begin and at each step, what they must have in common.

Ranks that differ in a seed would train on, each with its own model, and the sum of their gradients
would be the gradient of none. So they say first what they have, and refuse in words.
"""

import hashlib
import json
import zlib

import numpy as np

import minivit
from minivit.engine import backend
from minivit.engine.errors import RankError
from minivit.engine.modes import no_grad
from minivit.nn.parameter import Buffer
from minivit.training import checkpoint
from minivit.training.accumulation import counted


def of_all(error):
    """Mark an error that every rank raises at the same place: none has to end the others."""
    error.of_all_ranks = True
    return error


def compare(group, facts):
    """Refuse, on all ranks, if `facts`, {what: value}, differ between them."""
    first, *others = group.gather_facts(facts)
    found = [
        f"rank {rank} and rank 0 differ in {what} ({row[what]}, {value})"
        for rank, row in enumerate(others, 1)
        for what, value in first.items()
        if row[what] != value
    ]
    if found:
        more = f"\n  ... and {len(found) - 6} more" if len(found) > 6 else ""
        raise of_all(
            RankError(
                "the ranks do not run the same training:\n  " + "\n  ".join(found[:6]) + more +
                "\nStart all from the same program, with the same seed, data and options."
            )
        )  # fmt: skip


def facts(model, optimizer, batch, step):
    """The facts that identify a training."""
    named = list(model.named_tensors())
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.groups]
    return {
        "the version of minivit": minivit.__version__,
        "the version of NumPy": np.__version__,
        "the step": step,
        "the number of parameters": model.count_parameters(),
        "the names and shapes of the weights": _digest(str([(n, t.shape) for n, t in named])),
        "the weights (the seed?)": weights(model),
        "the random numbers (the seed?)": _digest(json.dumps(backend.random_state())),
        "the optimizer": f"{type(optimizer).__name__} {_digest(repr(groups))}",
        "the next batch (the data?)": checksum(batch),
    }


def weights(model):
    """A few letters that stand for all weights, bit for bit."""
    return _digest(*(t.numpy().tobytes() for _, t in model.named_tensors()))


def _digest(*parts):
    h = hashlib.blake2b(digest_size=6)
    for part in parts:
        h.update(part.encode() if isinstance(part, str) else part)
    return h.hexdigest()


def checksum(batch):
    """A number that stands for a batch; cheap enough for every step."""
    code = 0
    for a in batch:
        code = zlib.crc32(np.ascontiguousarray(a), zlib.crc32(f"{a.dtype}{a.shape}".encode(), code))
    return code


def same_step(group, batch, asked):
    """Have all ranks the same batch? Returns whether one of them was asked to stop."""
    table = np.zeros((group.size, 2), np.int64)
    table[group.rank] = checksum(batch), asked
    codes, asked = group.all_reduce(table).T  # one message: each adds its row
    if (others := np.flatnonzero(codes != codes[0])).size:
        raise of_all(
            RankError(
                f"rank {others[0]} and rank 0 have drawn different batches. batches[step] must be "
                "the same on all ranks, each of which takes its part of it: is it shuffled by a "
                "generator without a seed, or read from other files?"
            )
        )
    return bool(asked.any())


def check_mean(loss, model, batch):
    """Refuse a loss that is no mean over what `counted` counts, tried on a few examples: the
    weighted sum of its parts would be another number."""
    few = [a[:7] for a in batch]
    n, random_state = len(few[0]), backend.random_state()
    terms = counted(loss, few)
    if getattr(loss, "over_all_ranks", False) or n < 2 or not terms:
        return
    buffers = [(b, b.data.copy()) for _, b in model.named_tensors() if isinstance(b, Buffer)]
    with no_grad():
        if buffers:
            loss(model, *few)
        moved = any((b.data != before).any() for b, before in buffers)
        for b, before in buffers:
            b.data[...] = before
        backend.set_random_state(random_state)
        if moved:
            raise of_all(
                RankError(
                    "the model changes buffers while it trains, as BatchNorm does with its running "
                    "statistics: these would be those of a part of the batch, and others on each "
                    "rank. Train it on one rank, or with BatchNorm in eval mode."
                )
            )
        with model.evaluating():
            whole = loss(model, *few).item()
            cut = max(1, n // 3)
            parts = sum(
                counted(loss, p) / terms * loss(model, *p).item()
                for p in ([a[:cut] for a in few], [a[cut:] for a in few])
                if counted(loss, p)
            )
    draws = backend.random_state() != random_state
    backend.set_random_state(random_state)
    tolerance = np.finfo(next(model.parameters()).dtype).eps ** 0.5
    if not draws and abs(whole - parts) > tolerance * max(1.0, abs(whole)):
        raise of_all(
            RankError(
                f"the loss is no mean over examples, or labels: of {n} it is {whole:.6g}, but "
                f"{cut} and {n - cut} of them, weighted, give {parts:.6g}. So ranks cannot compute "
                "it in parts. CLIP's: loss=distributed.contrastive_loss; one of your own: "
                "distributed.over_all_ranks. A mean over something else, tokens say: mark it with "
                "functions.mean_over, which says over how many."
            )
        )


def load(group, path):
    """checkpoint.load on rank 0, which tells the others: they may have no such folder."""
    state, arrays = checkpoint.load(path) if group.rank == 0 else ({}, {})
    layout = {
        part: {name: [a.dtype.str, a.shape] for name, a in tensors.items()}
        for part, tensors in arrays.items()
    }
    state, layout = group.gather_facts([state, layout])[0]
    return state, {
        part: {
            name: group.broadcast(
                arrays[part][name] if group.rank == 0 else np.empty(shape, np.dtype(dtype))
            )
            for name, (dtype, shape) in tensors.items()
        }
        for part, tensors in layout.items()
    }
