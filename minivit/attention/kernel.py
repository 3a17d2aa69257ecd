"""Attention on arrays, with the derivative worked out on paper.

With S = scale Q K^T, e = exp(S), l the row sums of e, A = e / l and o = A V:

    dV = A^T g,   dA = g V^T,   dS = A (dA - rowsum(dA A)),   rowsum(dA A) = rowsum(g o),
    dQ = scale dS K,   dK = scale dS^T Q

Of many keys o = (e V) / l, and A is never made: dividing by l touches (N, d) numbers where dividing
e would touch (N, M). Of few keys e is divided, for it lies in a row in memory, as o does not. The
scale goes the same way. Only e, or A, is kept.
"""

import math

import numpy as np

from minivit.attention.textbook import causal_mask, full_mask, scale_of
from minivit.engine import fused, numerics, special

BLOCK = 64  # queries that causal attention takes at a time
FEW = 4  # keys, for each of the d numbers of a head


def attend(xp, q, k, v, o, mask, causal, scale):
    """Attention on views (B, H, N, d): writes `o`, returns the vjp, which writes dq, dk, dv.

    On the CPU the fast exponentials are tried first. They show themselves whether they were good;
    a GPU would have to be waited for to be asked, so there all is done with care.
    """
    (B, H, N, d), M = q.shape, k.shape[2]
    scale = scale_of(scale, d)
    in_blocks = causal and mask is None and M >= N and xp is np  # a GPU prefers one large product
    mask = full_mask(xp, mask, causal and not in_blocks, (B, H, N, M))
    if not o.size or not M:  # no query, or nothing to see
        o[...] = 0
        return _write_zeros
    nothing_hidden = mask is None and not in_blocks
    at_a_time = min(N, BLOCK) if in_blocks else N
    how = _transposed(xp, k, at_a_time), v, o, mask, in_blocks, scale
    pulls = None
    if xp is np and (nothing_hidden or np.isfinite(k).all()):
        pulls = _blocks(xp, q, *how, _fast_exponentials)
    if pulls is None:
        pulls = _blocks(xp, q, *how, _careful_exponentials)
        if not nothing_hidden:
            k, v = (xp.where(_good(xp, x), x, 0) for x in (k, v))

    def vjp(g, dq, dk, dv):
        vT = _transposed(xp, v, at_a_time)
        for rows, seen, pull in reversed(pulls):  # the last block sees, and writes, all keys
            views = dq[:, :, rows], dk[:, :, seen], dv[:, :, seen]
            pull(g[:, :, rows], k[:, :, seen], vT[..., seen], *views, rows.stop < N)

    return vjp


def _write_zeros(g, dq, dk, dv):
    for x in (dq, dk, dv):
        x[...] = 0


def _transposed(xp, x, rows):
    """x^T, the second factor of products of so many rows. Of small ones a copy that lies in rows:
    OpenBLAS takes half the time then."""
    if xp is np and rows * x.shape[2] * x.shape[3] <= numerics.SMALL:
        return np.ascontiguousarray(x.mT)
    return x.mT


def _good(xp, x):
    """Which keys or values are finite: (B, H, M, 1)."""
    return xp.isfinite(x).all(axis=-1, keepdims=True)


def _blocks(xp, q, kT, v, o, mask, causal, scale, exponentials):
    """Attention, block by block of queries: [(rows, the keys they see, vjp of the block)], or None
    if a block says that this kind of exponentials is not good for it.

    Causal: a block of queries needs only the keys up to its last one, so nearly half of the work is
    never done.
    """
    N, M = q.shape[2], v.shape[2]
    pulls = []
    for i in range(0, N, BLOCK if causal else N):
        j = min(i + BLOCK, N) if causal else N
        rows, seen = slice(i, j), slice(M - N + j if causal else M)
        views = q[:, :, rows], kT[..., seen], v[:, :, seen], o[:, :, rows]
        own = causal_mask(j - i, M - N + j, xp) if causal else mask
        masked = slice(i - j if causal else None, None)  # all before them are seen
        pull = _block(xp, *views, own, masked, scale, exponentials)
        if pull is None:
            return None
        pulls.append((rows, seen, pull))
    return pulls


def _block(xp, q, kT, v, o, mask, masked, scale, exponentials):
    """One block: products write into the strided views. masked: the keys that the mask is about."""
    M, d = v.shape[2:]
    few = M <= FEW * d
    with np.errstate(over="ignore", invalid="ignore"):  # what is hidden may be infinite
        exp, unit = special.fast_exp(xp, o.dtype)
        S = (q if few else q * (scale * unit)) @ kT  # (B, H, N, M)
        if few and exponentials is _fast_exponentials and (loops := fused.loops(S)):
            found = _compiled(loops, S, v, o, mask, masked, scale)
        else:
            if few:
                S *= scale * unit
            found = exponentials(xp, exp, S, v, o, mask, masked, few)
    if found is None:
        return None
    e, l = found

    def pull(g, k, vT, dq, dk, dv, add):
        if not few:
            g = g / l
        dS = g @ vT  # (B, H, N, M)
        r = numerics.row_dot(xp, g, o)
        if loops := fused.loops(dS, e, r):
            rows = dS.reshape(-1, M), e.reshape(-1, M), r.reshape(-1)
            loops.softmax_back(*rows, dS.dtype.type(scale if few else 1))
        else:
            dS -= r[..., None]
            dS *= e
            if few:
                dS *= scale
        xp.matmul(dS, k, out=dq)
        if not few:
            dq *= scale
        for e_or_dS, g_or_q, total in ((e, g, dv), (dS, q if few else q * scale, dk)):
            if add:
                total += e_or_dS.mT @ g_or_q
            else:
                xp.matmul(e_or_dS.mT, g_or_q, out=total)

    return pull


def _fast_exponentials(xp, exp, S, v, o, mask, masked, few):
    """e = exp(S), without the row maximum, or A if there are few keys; the row sums l, as a product
    with ones, through BLAS; and o. None where a sum, or what was computed, shows that the maximum
    is needed."""
    e = exp(S, out=S)
    if mask is not None:
        e[..., masked] *= mask[..., masked].astype(e.dtype)
    l = (e @ np.ones(e.shape[-1], dtype=e.dtype))[..., None]
    if not (l.min() > 1e-10 and l.max() < 1e10):
        return None
    _divide(few, e, l)
    np.matmul(e, v, out=o)
    _divide(not few, o, l)
    return (e, l) if np.isfinite(o).all() else None


def _compiled(loops, S, v, o, mask, masked, scale):
    """_fast_exponentials of few keys as a compiled loop, S not yet scaled: what is hidden is -inf,
    and its exponential 0."""
    if mask is not None:
        np.copyto(S[..., masked], -np.inf, where=~mask[..., masked])
    unit = S.dtype.type(scale / math.log(2))
    if not loops.softmax(S.reshape(-1, S.shape[-1]), unit):
        return None
    np.matmul(S, v, out=o)
    return (S, None) if np.isfinite(o).all() else None


def _careful_exponentials(xp, exp, S, v, o, mask, masked, few):
    """The same for all that floating point can hold: the row maximum is subtracted, and what is
    hidden is not there: NaN or infinity in a hidden key or value reaches nothing."""
    e = S if mask is None else xp.where(mask, S, -xp.inf)  # where a bad key is seen, e is NaN
    special.exponentials(xp, e, exp)
    l = (e @ xp.ones(e.shape[-1], dtype=e.dtype))[..., None]
    l += l == 0  # a query that may see nothing: 0 / 1
    _divide(few, e, l)
    xp.matmul(e, v, out=o)
    if mask is not None:  # 0 * NaN is NaN: such values count for the queries that see them
        good = _good(xp, v)
        spoilt = mask.astype(e.dtype) @ (~good).astype(e.dtype) > 0  # (B, H, N, 1)
        o[...] = xp.where(spoilt, o, e @ xp.where(good, v, 0))
    _divide(not few, o, l)
    return e, l


def _divide(wanted, x, l):
    if wanted:
        x /= l
