"""Data-parallel training: each rank takes a part of the batch, and all make the same step.

A mean is a weighted sum. Cut a batch of n examples into parts of n_r; then

    L = 1/n sum_i l_i = sum_r n_r/n L_r,    so    dL/dw = sum_r n_r/n dL_r/dw

with L_r the loss of a part alone. Every rank holds the whole model, computes the gradient of its
own part times n_r/n, and `all_reduce` gives each the sum: that of the whole batch. From the same
weights, with the same gradient, the optimizer makes the same step everywhere; no weight travels.

It holds for means over examples; of one over labels or tokens, n is how many of them count. A
contrastive loss is none: each image meets *all* texts. There
the embeddings travel too (`all_gather`), and each rank computes its rows of the matrix alone: so
CLIP's batch of 32,768 fit (Radford et al. 2021, section 2.5). How it ends: the chapter `ranks`.
"""

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.record import op
from minivit.engine.tensor import Tensor
from minivit.functions import cross_entropy_loss
from minivit.training import ranks
from minivit.training.accumulation import counted

BUCKET = 4 << 20  # bytes that travel at once: long enough that the start of a message costs little


def part(n, rank, size):
    """The examples of one rank: of 64, three have 21, 21 and 22; of 3, four have 0, 1, 1 and 1."""
    return slice(n * rank // size, n * (rank + 1) // size)


# -- means over examples ---------------------------------------------------------------------------
def all_reduce(arrays, group):
    """Each array's sum over the ranks. Short ones travel as one: each costs alpha + beta bytes."""
    sums = [None] * len(arrays)
    for bucket in _buckets(arrays):
        flat = [arrays[i].reshape(-1).astype(_wire(arrays[i]), copy=False) for i in bucket]
        rest = group.all_reduce(backend.module_of(flat, "all_reduce").concatenate(flat))
        for i, a in ((i, arrays[i]) for i in bucket):
            sums[i] = rest[: a.size].reshape(a.shape).astype(a.dtype, copy=False)
            rest = rest[a.size :]
    return sums


def _wire(array):
    """Sums of float16 overflow, and MPI has no such numbers."""
    return np.float32 if array.dtype.itemsize < 4 else array.dtype


def _buckets(arrays):
    """Lists of indices: of one dtype and device, in order, up to BUCKET bytes."""
    full, open_ = [], {}
    for i, a in enumerate(arrays):
        kind = np.dtype(_wire(a)), backend.device_of(a)
        size = a.size * kind[0].itemsize
        bucket, filled = open_.get(kind, ([], BUCKET + 1))
        if filled + size > BUCKET:
            full.append(bucket := [])
            filled = 0
        bucket.append(i)
        open_[kind] = bucket, filled + size
    return full


def backward(loss, model, batch, group):
    """`loss(model, *batch)`, a number, and its gradients in p.grad: those of the whole batch, on
    every rank, each of which computes a part. The number is finite on all ranks or on none.

    A loss under `over_all_ranks` returns its rank's share of the sum; any other one a mean, over
    what `counted` counts, and is not called where there is nothing."""
    if len({len(a) for a in batch}) > 1:
        raise ShapeError(f"batch: got arrays of {[len(a) for a in batch]} examples, expected one n")
    model.zero_grad()
    here = part(n := len(batch[0]), group.rank, group.size)
    mine, own_share = [a[here] for a in batch], getattr(loss, "over_all_ranks", False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    xp, dtype = backend.MODULES[parameters[0].device], parameters[0].dtype  # the same on all ranks
    value = xp.zeros((), dtype)
    terms, own_terms = counted(loss, batch), counted(loss, mine)
    if not terms:  # nothing counts: the loss is 0, whatever the weights
        terms, own_terms = n, len(mine[0])
    if own_share or own_terms:
        with ranks.sharing(group if own_share else None):
            share = loss(model, *mine)
            if not own_share:
                share = share * (own_terms / terms)
            share.backward()
        value = share.data.astype(dtype)
    has = xp.asarray(np.array([p.grad is not None for p in parameters], dtype))
    grads = [xp.zeros(p.shape) if p.grad is None else p.grad for p in parameters]
    grads = [g.astype(p.dtype, copy=False) for g, p in zip(grads, parameters, strict=True)]
    value, has, *grads = all_reduce([value, has, *grads], group)
    for p, g, anywhere in zip(parameters, grads, backend.to_numpy(has), strict=True):
        p.grad = g if anywhere else None  # None: no rank had one, and the optimizer leaves it out
    return value.item()


# -- a loss in which all examples meet -------------------------------------------------------------
@op
def all_gather(xp, x, /, first=0):
    """The rows of all ranks, (n_r, D) -> (n, D), of which this rank's begin at `first`. All ranks
    have read them, so dx is the sum over the ranks of what g has in these rows."""
    group, own = ranks.shared(), slice(first, first + len(x))
    return group.all_gather(x), lambda g: group.all_reduce(g)[own]


def gather_rows(x):
    """(all_gather of x, first). If a rank wants a gradient, all do: they sum it together."""
    facts = ranks.shared().all_gather(np.array([[len(x), x.requires_grad]]))
    if facts[:, 1].any() and not x.requires_grad:
        x = Tensor(x.data, requires_grad=True)
    return all_gather(x, first := int(facts[: ranks.shared().rank, 0].sum())), first


def over_all_ranks(loss):
    """Mark a loss that gathers rows: it returns a share of the sum; all ranks call it, always."""
    loss.over_all_ranks = True
    return loss


@over_all_ranks
def contrastive_loss(model, I, T):
    """A rank's share of `model.loss(I, T)`, a CLIP's, over the pairs of all ranks.

    A rank holds its n_r rows of the (n, n) similarities twice, images by all texts and texts by all
    images: n n_r numbers in place of n^2. On one process it is clip_loss.
    """
    none = Tensor(np.zeros((0, model.d_e), model.t.dtype), device=model.t.device)
    I_e = model.encode_image(I) if len(I) else none  # (n_r, d_e)
    T_e = model.encode_text(T) if len(T) else none
    I_all, first = gather_rows(I_e)  # (n_r, d_e) -> (n, d_e)
    T_all, _ = gather_rows(T_e)
    labels, scale = first + np.arange(len(I)), np.exp(model.t)
    loss_t = cross_entropy_loss(np.dot(I_e, T_all.T) * scale, labels, axis=1, reduction="none")
    loss_i = cross_entropy_loss(np.dot(T_e, I_all.T) * scale, labels, axis=1, reduction="none")
    return (loss_i.sum() + loss_t.sum()) / (2 * len(I_all))


# -- large batches ---------------------------------------------------------------------------------
def linear_scaling(lr, batch_size, reference=256):
    """k times the batch, k times the rate (Goyal et al. 2017, arXiv 1706.02677, section 2.1): one
    step then goes as far as k small ones, while the weights change little between them. For SGD;
    for Adam the square root of k is often nearer (Malladi et al. 2022)."""
    if not (batch_size > 0 and reference > 0):
        raise OptionError(f"batch_size {batch_size}, reference {reference}: expected both > 0")
    return lr * batch_size / reference


def gradual_warmup(step, warmup, k):
    """The factor on a rate that was scaled by k: from 1/k up to 1 in `warmup` steps (section 2.2),
    for in the beginning the weights do change much from step to step."""
    return 1.0 if step >= warmup else 1 / k + (1 - 1 / k) * step / warmup
