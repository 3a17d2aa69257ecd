"""Attention in linear memory: the scores of long sequences, a block at a time, and never all there
(FlashAttention, Dao et al. 2022, arXiv 2205.14135; the running sums are those of Milakov &
Gimelshein 2018, arXiv 1805.02867).

A softmax seems to need a whole row of scores: its maximum, and its sum. But both can run along. Of
the keys so far, a query knows the largest score m, the sum l of e^(S - m), and o, the sum of
e^(S - m) V. When the next block of keys has a larger score, m', what was summed is too large by
e^(m' - m), all of it:

    o <- e^(m - m') o + e^(S - m') V,      l <- e^(m - m') l + rowsum(e^(S - m'))

After the last block o / l is what it would have been at once. For the way back each query keeps one
number, L = m + log l, with which a block of A comes again whenever it is wanted:

    A = e^(S - L),   dS = A (g V^T - delta),   delta = rowsum(g o)

so the way back makes the products S a second time, and (N, M) numbers are never kept. Both
differences ride in the products: [Q, -L] [K, 1]^T = Q K^T - L, and so do g and -delta.

S, m and L are held in units of exp, which is 2^x where that is faster (special.fast_exp).
"""

import numpy as np

from minivit.attention.textbook import full_mask, scale_of
from minivit.engine import numerics, special

BLOCK = 256  # queries, and keys: their scores stay in the cache of a core
DEVICE_BLOCK = 1024  # of all heads at once, on a GPU
SMALL = 20.0  # scores up to here need no maximum: e^20 is 5e8


def attend(xp, q, k, v, o, mask, causal, scale):
    """Attention on views (B, H, N, d): writes `o`, returns the vjp, which writes dq, dk, dv.

    A CPU takes head after head, a GPU all at once. A GPU would have to be waited for to be asked
    about numbers, so there the maximum always runs along, and hidden tokens are always made safe.
    """
    (B, H, N, d), M = q.shape, k.shape[2]
    mask = full_mask(xp, mask, False, (B, H, N, M))
    if mask is not None:
        mask = xp.broadcast_to(mask, (B, H, N, M))
    scale = scale_of(scale, d)
    _, unit = special.fast_exp(xp, o.dtype)
    heads = list(np.ndindex(B, H)) if xp is np else [...]

    def seen(h):
        return _Seen(xp, None if mask is None else mask[h], causal, N, M)

    L = xp.empty((B, H, N, 1), dtype=o.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # what is hidden may be infinite
        for h in heads:
            _forward(xp, q[h] * (scale * unit), k[h], v[h], o[h], L[h], seen(h))

    def vjp(g, dq, dk, dv):
        with np.errstate(over="ignore", invalid="ignore"):
            for h in heads:
                results = _backward(
                    xp, q[h] * (scale * unit), k[h], v[h], o[h], L[h], g[h], seen(h)
                )
                for out, dx in zip((dq, dk, dv), results, strict=True):
                    out[h] = dx
                dq[h] *= scale
                dk[h] *= 1 / unit

    return vjp


class _Seen:
    """The blocks of a pair of lengths, and the part of each that is seen."""

    def __init__(self, xp, mask, causal, N, M):
        self.xp, self.mask, self.causal = xp, mask, causal
        self.N, self.M, self.ahead = N, M, M - N  # causal: query i sees the keys up to i + ahead
        self.size = BLOCK if xp is np else DEVICE_BLOCK
        self.all = mask is None and not causal

    def queries(self):
        return [slice(i, min(i + self.size, self.N)) for i in range(0, self.N, self.size)]

    def keys(self, rows):
        """The blocks of keys of which these queries may see any."""
        end = min(self.M, max(0, rows.stop + self.ahead)) if self.causal else self.M
        return [slice(j, min(j + self.size, end)) for j in range(0, end, self.size)]

    def block(self, rows, keys):
        """(queries, keys) boolean, or None: all."""
        part = None if self.mask is None else self.mask[..., rows, keys]
        if not self.causal or keys.stop - 1 <= rows.start + self.ahead:
            return part
        n, m = rows.stop - rows.start, keys.stop - keys.start
        past = self.xp.tri(n, m, rows.start + self.ahead - keys.start, dtype=bool)
        return past if part is None else part & past


def _forward(xp, q, k, v, o, L, seen):
    """o and L of scaled queries q (N, d), or (B, H, N, d): writes both."""
    exp, unit = special.fast_exp(xp, o.dtype)
    v_safe, v_bad = _safe(xp, v, seen)
    running = xp is not np or not _small(q, k, v, unit)
    for rows in seen.queries():
        m = xp.full_like(L[..., rows, :], -np.inf if running else 0)
        l, total = xp.zeros_like(m), xp.zeros_like(o[..., rows, :])
        for keys in seen.keys(rows):
            S = q[..., rows, :] @ k[..., keys, :].mT
            part = seen.block(rows, keys)
            if part is not None:
                S = xp.where(part, S, -np.inf)
            if running:
                old, m = m, xp.maximum(m, S.max(axis=-1, keepdims=True))
                finite = xp.where(m == -np.inf, 0, m)  # nothing seen so far
                S -= finite
                shrink = exp(old - finite)
                l *= shrink
                total *= shrink
            e = exp(S, out=S)
            l += (e @ xp.ones(e.shape[-1], dtype=e.dtype))[..., None]
            o_block = e @ v[..., keys, :]
            if part is not None and v_bad is not None:  # 0 * NaN is NaN: who sees it shall have it
                spoilt = part.astype(e.dtype) @ v_bad[..., keys, :] > 0
                o_block = xp.where(spoilt, o_block, e @ v_safe[..., keys, :])
            total += o_block
        l += l == 0  # a query that may see nothing: 0 / 1
        o[..., rows, :] = total / l
        L[..., rows, :] = xp.log(l) * unit + xp.where(m == -np.inf, 0, m)


def _backward(xp, q, k, v, o, L, g, seen):
    """dQ / scale, dK unit and dV of scaled queries q."""
    exp, _ = special.fast_exp(xp, o.dtype)

    def beside(x, column):  # (..., N, d) -> (..., N, d + 1)
        wide = xp.empty((*x.shape[:-1], d + 1), dtype=o.dtype)
        wide[..., :d], wide[..., d:] = x, column
        return wide

    d = q.shape[-1]
    (k_safe, _), (v_safe, _) = _safe(xp, k, seen), _safe(xp, v, seen)
    q_L, k_1, v_1 = beside(q, -L), beside(k, 1), beside(v_safe, 1)
    g_delta = beside(g, -numerics.row_dot(xp, g, o)[..., None])
    dq, dk, dv = (xp.zeros(x.shape, dtype=o.dtype) for x in (q, k, v))
    for rows in seen.queries():
        q, g = q_L[..., rows, :d], g_delta[..., rows, :d]
        for keys in seen.keys(rows):
            A = q_L[..., rows, :] @ k_1[..., keys, :].mT
            exp(A, out=A)
            part = seen.block(rows, keys)
            if part is not None:
                A = xp.where(part, A, 0)
            dv[..., keys, :] += A.mT @ g
            dS = g_delta[..., rows, :] @ v_1[..., keys, :].mT
            dS *= A
            dq[..., rows, :] += dS @ k_safe[..., keys, :]
            dk[..., keys, :] += dS.mT @ q
    return dq, dk, dv


def _small(q, k, v, unit):
    """Are all scores small, and no value so large or tiny that e^(+-SMALL) would lose it? No score
    is larger than |q| |k| (Cauchy and Schwarz)."""
    longest = [numerics.row_dot(np, x, x).max(initial=0) for x in (q, k)]
    return longest[0] * longest[1] < (SMALL * unit) ** 2 and 1e-20 < np.abs(v).max(initial=0) < 1e20


def _safe(xp, x, seen):
    """Keys or values without the rows that are not finite, and where those were, (..., M, 1) of 0
    and 1, or None: none, or nothing is hidden, so that all queries have them anyway."""
    if seen.all:
        return x, None
    good = xp.isfinite(x).all(axis=-1, keepdims=True)
    if xp is np and good.all():
        return x, None
    return xp.where(good, x, 0), (~good).astype(x.dtype)
