"""Attention on arrays, with the derivative worked out on paper.

With S = scale Q K^T, e = exp(S), l the row sums of e, A = e / l and o = A V:

    dV = A^T g,   dA = g V^T,   dS = A (dA - rowsum(dA A)),   rowsum(dA A) = rowsum(g o),
    dQ = scale dS K,   dK = scale dS^T Q

and o = (e V) / l: dividing by l touches (N, d) numbers where dividing e would touch (N, M). Only e
is kept; A is never made.
"""

import numpy as np

from minivit.attention.textbook import causal_mask, full_mask, scale_of
from minivit.engine import numerics

BLOCK = 64  # queries that causal attention takes at a time


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
    pulls = None
    nothing_hidden = mask is None and not in_blocks
    if xp is np and (nothing_hidden or np.isfinite(k).all()):
        pulls = _blocks(xp, q, k, v, o, mask, in_blocks, scale, _fast_exponentials)
    if pulls is None:
        pulls = _blocks(xp, q, k, v, o, mask, in_blocks, scale, _careful_exponentials)

    def vjp(g, dq, dk, dv):
        for rows, seen, pull in reversed(pulls):  # the last block sees, and writes, all keys
            pull(g[:, :, rows], dq[:, :, rows], dk[:, :, seen], dv[:, :, seen], rows.stop < N)

    return vjp


def _write_zeros(g, dq, dk, dv):
    for x in (dq, dk, dv):
        x[...] = 0


def _blocks(xp, q, k, v, o, mask, causal, scale, exponentials):
    """Attention, block by block of queries: [(rows, the keys they see, vjp of the block)], or None
    if a block says that this kind of exponentials is not good for it.

    Causal: a block of queries needs only the keys up to its last one, so nearly half of the work is
    never done.
    """
    N, M = q.shape[2], k.shape[2]
    pulls = []
    for i in range(0, N, BLOCK if causal else N):
        j = min(i + BLOCK, N) if causal else N
        rows, seen = slice(i, j), slice(M - N + j if causal else M)
        views = q[:, :, rows], k[:, :, seen], v[:, :, seen], o[:, :, rows]
        own = causal_mask(j - i, M - N + j, xp) if causal else mask
        masked = slice(i - j if causal else None, None)  # all before them are seen
        pull = _block(xp, *views, own, masked, scale, exponentials)
        if pull is None:
            return None
        pulls.append((rows, seen, pull))
    return pulls


def _block(xp, q, k, v, o, mask, masked, scale, exponentials):
    """One block: products write into the strided views. masked: the keys that the mask is about."""
    # scale q (N, d), not the scores (N, M); the vjp does it again, which is cheaper than keeping it
    with np.errstate(over="ignore", invalid="ignore"):  # what is hidden may be infinite
        S = (q * scale) @ k.mT  # (B, H, N, M)
    found = exponentials(xp, S, k, v, o, mask, masked)
    if found is None:
        return None
    e, l, k, v = found

    def pull(g, dq, dk, dv, add):
        gl = g / l
        dS = gl @ v.mT  # (B, H, N, M)
        dS -= numerics.row_dot(xp, gl, o)[..., None]
        dS *= e
        xp.matmul(dS, k, out=dq)
        dq *= scale
        for e_or_dS, g_or_q, total in ((e, gl, dv), (dS, q * scale, dk)):
            if add:
                total += e_or_dS.mT @ g_or_q
            else:
                xp.matmul(e_or_dS.mT, g_or_q, out=total)

    return pull


def _fast_exponentials(xp, S, k, v, o, mask, masked):
    """e = exp(S), without the row maximum, its row sums l, as a product with ones, through BLAS,
    and o. None where a sum, or what was computed, shows that the maximum is needed."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(S, out=S)
        if mask is not None:
            e[..., masked] *= mask[..., masked].astype(e.dtype)
        l = (e @ np.ones(e.shape[-1], dtype=e.dtype))[..., None]
        if not (l.min() > 1e-10 and l.max() < 1e10):
            return None
        np.matmul(e, v, out=o)
        o /= l
        return (e, l, k, v) if np.isfinite(o).all() else None


def _careful_exponentials(xp, S, k, v, o, mask, masked):
    """The same for all that floating point can hold: the row maximum is subtracted, and what is
    hidden is not there: NaN or infinity in a hidden key or value reaches nothing."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = S if mask is None else xp.where(mask, S, -xp.inf)
        numerics.exponentials(xp, e)
        l = (e @ xp.ones(e.shape[-1], dtype=e.dtype))[..., None]
        l += l == 0  # a query that may see nothing: 0 / 1
        xp.matmul(e, v, out=o)
        if mask is not None:  # 0 * NaN is NaN: such values count for the queries that see them
            good_v, good_k = (xp.isfinite(x).all(axis=-1, keepdims=True) for x in (v, k))
            k, v = (
                xp.where(good_k, k, 0),
                xp.where(good_v, v, 0),
            )  # where a bad key is seen, e is NaN
            spoilt = mask.astype(e.dtype) @ (~good_v).astype(e.dtype) > 0  # (B, H, N, 1)
            o[...] = xp.where(spoilt, o, e @ v)
        o /= l
    return e, l, k, v
