"""Two cores: each thread takes a part of the batch through a copy of the model.

    trainer = Trainer(model, optimizer, batches, loss=DataParallel(classification_loss, threads=2))

The copies share the model's arrays; only their gradients are their own, and the sum of those is the
gradient of the whole batch. It works on the CPU, since NumPy lets other threads run while it
computes, and beats threads inside each product, which wait for each other after every op.

Ranks are faster: two of them made the training steps W1, W2a and W4 of the benchmarks 1.64, 1.97
and 2.01 times as fast as one; two threads, in an earlier run, 1.11, 1.57 and 1.78 times. Threads
stay for what mpiexec does not start: a notebook, and a machine without MPI.
"""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np

from minivit.engine import memory
from minivit.engine.modes import as_here
from minivit.engine.tensor import Tensor
from minivit.training.accumulation import cut


class DataParallel:
    """A loss(model, *batch) that is computed, with its gradients, by several threads.

    loss: the mean over the examples of a batch, each of whose arrays has them along axis 0, or over
        the labels that count.
    The result is a Tensor with one number, whose `backward` hands out the gradients that were
    computed with it. Equal to `loss` up to rounding; dropout draws in no fixed order.
    Under no_grad or detect_anomaly of the caller, the threads do the same. BLAS is set to one
    thread (threadpoolctl): its threads and these would wait for the same cores.
    """

    def __init__(self, loss, threads=2):
        from threadpoolctl import threadpool_limits

        self.loss, self.threads = loss, threads
        self._model, self._copies = None, []
        memory.share_freed_memory()
        threadpool_limits(1, user_api="blas")
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self, model, *batch):
        pieces, shares = zip(*cut(batch, self.threads, self.loss, "DataParallel"), strict=True)
        if model is not self._model:
            self._model, self._copies = model, [deepcopy(model) for _ in range(self.threads)]
        results = self._pool.map(as_here(self._piece), self._copies, pieces, shares)
        value, gradients = next(results)
        for other, more in results:
            value = np.asarray(value + other)
            for g, h in zip(gradients, more, strict=True):
                if g is not None:
                    g += h
        if not gradients:
            return Tensor(value)

        def vjp(g):
            return tuple(None if d is None else d * g for d in gradients)

        wanted = tuple(p for p in model.parameters() if p.requires_grad)
        return Tensor._from_op(value, wanted, vjp, "DataParallel")

    def _piece(self, copy, piece, share):
        """The loss of a part, weighted by its share of the batch, and its gradients."""
        own = list(copy.parameters())
        for p, shared in zip(own, self._model.parameters(), strict=True):
            if p.data is not shared.data:  # an assignment is noted as a write, which others read
                p.data = shared.data
            p.grad, p.requires_grad = None, shared.requires_grad
        for module, original in zip(copy.modules(), self._model.modules(), strict=True):
            module.training = original.training
        loss = self.loss(copy, *piece) * share
        if not loss.requires_grad:  # under no_grad
            return loss.data, []
        loss.backward()
        return loss.data, [p.grad for p in own if p.requires_grad]
