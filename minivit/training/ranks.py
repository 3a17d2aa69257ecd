"""Ranks: several processes, on one machine or many, that work as one; and how that ends.

    mpiexec -n 4 python train.py        # the same program four times; each asks which one it is

MPI (the Message Passing Interface) starts them and carries arrays between them. Three functions are
all that training needs, each called by every rank in the same order:

    all_reduce(a)    the sum over the ranks, on each
    all_gather(a)    the rows of all, one under the other, on each
    broadcast(a)     those of one, on each

How it dies. A sum waits for every rank, so one that is gone would let the others wait for ever.
Here an error that nobody caught ends all ranks (MPI_Abort), a rank that was killed is noticed by
mpiexec, one that left early tells the others, and one that is silent is named when PATIENCE is
over. In every case the last checkpoint is whole, and the same command goes on from it.
"""

import atexit
import contextlib
import json
import os
import sys
import time

import numpy as np

from minivit.engine import backend
from minivit.engine.errors import RankError

PATIENCE = float(os.environ.get("MINIVIT_PATIENCE", 600))  # seconds: longer than any one step
SPIN = 0.005  # seconds of looking without a pause; after them a peer is late, and we yield the core
_LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # Open MPI's mpiexec, MPICH's


class Alone:
    """One process. All that it would hear of others is what it has itself."""

    rank, size, name = 0, 1, "the only process"

    def all_reduce(self, array):
        return array

    all_gather = broadcast = all_reduce

    def gather_facts(self, facts):
        return [facts]


class Ranks:
    """The processes of one `mpiexec`: number `rank` of `size`.

    Arrays of a GPU travel as copies on the host: a copy down, the sum, a copy up. NCCL adds between
    GPUs directly, and CuPy has it (cupyx.distributed.init_process_group(size, rank, use_mpi=True):
    all_reduce, all_gather and broadcast, of equal sizes): it would stand behind these same three.
    """

    def __init__(self, comm):
        self.comm, self.notes = comm.Dup(), comm.Dup()
        self.rank, self.size, self.name = comm.rank, comm.size, f"rank {comm.rank}"
        self.calls, self.heard, self._sent = 0, {}, []

    def all_reduce(self, array):
        """The sum of `array` over the ranks, in the same bits on each of them."""
        total = np.empty(array.shape, array.dtype)
        return self._on_host(array, total, lambda a: self.comm.Iallreduce(a, total), "all_reduce")

    def all_gather(self, array):
        """(n_r, ...) of each rank -> (n, ...), in the order of the ranks; n_r may differ, or be 0.
        The result is the same everywhere."""
        counts = np.empty(self.size, np.int64)
        mine = np.array([len(array)])
        self._wait(self.comm.Iallgather(mine, counts), "all_gather")
        rows = np.empty((counts.sum(), *array.shape[1:]), array.dtype)
        each = (counts * (rows[:1].size if len(rows) else 0)).tolist()
        to = [rows, each]
        return self._on_host(array, rows, lambda a: self.comm.Iallgatherv(a, to), "all_gather")

    def broadcast(self, array, root=0):
        """The array of rank `root`, on each; the others give an array of that shape and dtype."""
        copy = backend.to_numpy(array).copy()
        return self._on_host(copy, copy, lambda a: self.comm.Ibcast(a, root), "broadcast")

    def gather_facts(self, facts):
        """The values of all ranks, as a list: numbers, texts, lists and dicts of them."""
        text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
        ends = np.cumsum(self.all_gather(np.array([len(text)])))
        whole = self.all_gather(text).tobytes()
        return [json.loads(whole[a:b]) for a, b in zip([0, *ends], ends)]

    # -- waiting -----------------------------------------------------------------------------------
    def _on_host(self, array, result, start, what):
        sent = np.asarray(backend.to_numpy(array), order="C")  # held: MPI reads it until the end
        self._wait(start(sent), what)
        return backend.to_device(result, backend.device_of(array))

    def _wait(self, request, what):
        """Until all ranks have come here. Not inside of MPI, which would hear neither Ctrl-C nor
        the clock."""
        self.calls += 1
        begun, told = time.monotonic(), False
        listened = begun + SPIN
        while not request.Test():
            now = time.monotonic()
            if now < listened:
                continue
            time.sleep(1e-4)
            if now - begun > 1 and not told:
                told = self._tell(left=False)
            if now - listened > 0.1:
                listened = now
                self._listen(what)
            if now - begun > PATIENCE:
                raise RankError(self._silence(what))

    def _tell(self, left):
        """A note to each other rank: which call this one is in, and whether it leaves."""
        for peer in set(range(self.size)) - {self.rank}:
            note = np.array([self.calls, left], np.int64)
            self._sent.append((note, self.notes.Isend(note, peer)))  # kept: MPI still reads it
        return True

    def _listen(self, what):
        note = np.empty(2, np.int64)
        from mpi4py.MPI import Status

        status = Status()
        while self.notes.Iprobe(status=status):
            self.notes.Recv(note, status.source)
            self.heard[status.source] = calls, left = note.tolist()
            if left and calls < self.calls:
                raise RankError(
                    f"rank {status.source} has ended its program, but {self.name} waits for it in "
                    f"{what}. All ranks must make the same steps: was it stopped, or did an `if "
                    "rank == 0` stand around what all have to do?"
                )

    def _silence(self, what):
        self._listen(what)
        came = {peer for peer, (calls, _) in self.heard.items() if calls >= self.calls}
        silent = sorted(set(range(self.size)) - came - {self.rank})
        return (
            f"{self.name} has waited {PATIENCE:g} s in {what}, and nothing came from rank "
            f"{', '.join(map(str, silent)) or '(the network is silent)'}. Is its machine busy, "
            "asleep or cut off? If a step may take longer: MINIVIT_PATIENCE=seconds"
        )


# -- which ranks there are -------------------------------------------------------------------------
_alone = Alone()
_world = _sharing = None
_apart = False


def world():
    """All processes that mpiexec started together, or `Alone`."""
    global _world
    if _apart:
        return _alone
    if _world is None:
        _world = _start()
    return _world


@contextlib.contextmanager
def apart():
    """Inside of this block each rank works on something of its own, as if it were alone."""
    global _apart
    before, _apart = _apart, True
    try:
        yield
    finally:
        _apart = before


@contextlib.contextmanager
def sharing(ranks):
    """Inside of this block the ranks divide the work of functions that can be divided (`shared`)
    between them: all of them have to come here. `sharing(None)`: each for itself."""
    global _sharing
    before, _sharing = _sharing, ranks
    try:
        yield ranks
    finally:
        _sharing = before


def shared():
    """The sharing in force here: one process alone, unless a `sharing` says otherwise."""
    return _sharing or _alone


def _start():
    launched = max(int(os.environ.get(name, 1)) for name in _LAUNCHED)
    if launched == 1 and "mpi4py.MPI" not in sys.modules:
        return _alone
    try:
        from mpi4py import MPI as mpi
    except (ImportError, RuntimeError) as reason:
        raise RankError(
            f"mpiexec has started {launched} processes, but MPI cannot be used here ({reason}): "
            "each would train alone and write over the others' files. pip install 'minivit[mpi]'"
        ) from reason
    comm = mpi.COMM_WORLD
    if launched not in (1, comm.size):
        raise RankError(
            f"mpiexec has started {launched} processes, but this one sees {comm.size}: mpiexec and "
            "mpi4py belong to two MPIs. Use the mpiexec beside this Python: "
            f"{os.path.join(os.path.dirname(sys.executable), 'mpiexec')}"
        )
    if comm.size == 1:
        return _alone
    _leave_cores_to_the_others(comm.Split_type(mpi.COMM_TYPE_SHARED).size)
    ranks, hook = Ranks(comm), sys.excepthook

    def end_all(kind, error, trace):
        """An error that nobody caught: say it, and end the ranks that would wait for this one."""
        everybody = getattr(error, "of_all_ranks", False)  # all have it: they end by themselves
        if not everybody or not ranks.rank:
            sys.stdout.flush()
            print(f"-- {ranks.name} of {ranks.size}:", file=sys.stderr)
            hook(kind, error, trace)
            sys.stderr.flush()
        if not everybody:
            comm.Abort(1)

    sys.excepthook = end_all
    atexit.register(ranks._tell, left=True)
    return ranks


def _leave_cores_to_the_others(here):
    """Of the cores of a machine, each of its ranks gets its share of BLAS's threads."""
    with contextlib.suppress(ImportError):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        bound = cores < (os.cpu_count() or 1)  # mpiexec gave this rank cores of its own
        from threadpoolctl import threadpool_limits

        threadpool_limits(max(1, cores if bound else cores // here), user_api="blas")
