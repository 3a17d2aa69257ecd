"""The loops that `fused` switches on: each goes through memory once. numba compiles them.

They are the twins of the NumPy code beside which they are called, and the tests compare the two.
Sums of a row may be added in any order (`reassoc`), and a product with a sum may round once
(`contract`): so a processor takes 16 numbers at a time.
"""

import math

import numpy as np

try:
    import numba
    from numba.extending import intrinsic
except ImportError:  # then they are there to be read
    numba = None

from minivit.engine import special


def compiled(loop):
    """Compile it at its first call; of Python's own rules 1 / 0, an error there, is infinity."""
    if numba is None:
        return loop
    flags = {"reassoc", "contract"}
    return numba.njit(loop, fastmath=flags, error_model="numpy", nogil=True, cache=True)


f32, i32 = np.float32, np.int32


# -- exponentials ----------------------------------------------------------------------------------
# 2^f for f from -1/2 to 1/2, least relative error (2e-9), the lowest power first
C0, C1, C2, C3, C4, C5, C6 = map(f32, (
    1.0, 0.6931472057, 0.2402264689, 0.05550328777, 0.009618488961, 0.001339993121, 1.534581091e-4,
))  # fmt: skip


def _of_bits(typing, bits):
    """The float32 that these 32 bits are, as an instruction of the compiler."""

    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(numba.float32))

    return numba.float32(numba.int32), build


if numba is not None:
    _of_bits = intrinsic(_of_bits)


@compiled
def exp2(t):
    """2^t, to an ulp or two; 0 below -150, and no more than 2^126. 2^k is made of its bits, in two
    factors: so tiny results lose their digits one by one."""
    t = f32(126) if t > f32(126) else t  # NaN stays NaN
    t = f32(-250) if t < f32(-250) else t
    k = np.floor(t + f32(0.5))
    f = t - k
    p = C0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    whole = i32(k)
    half = whole >> i32(1)
    p *= _of_bits(i32((half + i32(127)) << i32(23)))
    return p * _of_bits(i32((whole - half + i32(127)) << i32(23)))


@compiled
def softmax(S, unit):
    """Each row of S (n, M) becomes e^S / its sum; 2^(S unit) is e^S. Returns whether it was good:
    whether all sums are far from the ends of float32, and none is NaN, without the row maximum."""
    n, M = S.shape
    good = True
    for i in range(n):
        l = f32(0)
        for j in range(M):
            e = exp2(S[i, j] * unit)
            S[i, j] = e
            l += e
        good = good and l > f32(1e-10) and l < f32(1e10)
        one = f32(1) / l
        for j in range(M):
            S[i, j] *= one
    return good


@compiled
def softmax_back(dA, A, r, scale):
    """dA (n, M) becomes scale A (dA - r), r one number a row."""
    n, M = dA.shape
    for i in range(n):
        for j in range(M):
            dA[i, j] = (dA[i, j] - r[i]) * A[i, j] * scale


# -- activations -----------------------------------------------------------------------------------
TO_EXP = f32(-1 / math.log(2))
TO_BELL, DENSITY_0 = f32(-0.5 / math.log(2)), f32(1 / math.sqrt(2 * math.pi))
R0, R1, R2, R3, R4, R5, R6, R7, R8, R9 = map(f32, special.R[::-1])


@compiled
def gelu(x, y, slope=None):
    """y = x Phi(x), slope = Phi(x) + x phi(x); see functions.gelu and special.normal_tail."""
    for i in range(x.size):
        a = abs(x[i])
        a = f32(40) if a > f32(40) else a
        bell = exp2(a * a * TO_BELL)
        u = a / (a + f32(4))
        p = R4 + u * (R5 + u * (R6 + u * (R7 + u * (R8 + u * R9))))
        tail = bell * (R0 + u * (R1 + u * (R2 + u * (R3 + u * p))))
        y[i] = (x[i] if x[i] > f32(0) else f32(0)) - a * tail
        if slope is not None:
            w = a * DENSITY_0 * bell - tail
            slope[i] = f32(1) + w if x[i] > f32(0) else -w


@compiled
def gated(c, a, x, y, slope=None):
    """y = x s with s = sigmoid(u), u = c x + a x^3; slope = s + x s (1 - s) du/dx."""
    for i in range(x.size):
        b = f32(128) if x[i] > f32(128) else x[i]  # beyond, s is 0 or 1
        b = f32(-128) if b < f32(-128) else b
        square = a * b * b
        t = exp2(b * (c + square) * TO_EXP)
        s = f32(1) / (f32(1) + t)
        s = f32(0) if t >= f32(2.0**126) else s
        y[i] = x[i] * s
        if slope is not None:
            slope[i] = s + b * s * (t * s) * (c + f32(3) * square)


# -- LayerNorm -------------------------------------------------------------------------------------
@compiled
def layer_norm(x, gamma, beta, eps, y, mean, rest, r):
    """y (n, D) and what the way back needs, of each row: its mean, what rounding took of that, and
    r = 1 / sqrt(variance + eps)."""
    n, D = x.shape
    one = f32(1) / f32(D)
    for i in range(n):
        m = f32(0)
        for j in range(D):
            m += x[i, j]
        m *= one
        c, v = f32(0), f32(0)
        for j in range(D):
            h = x[i, j] - m
            c += h
            v += h * h
        c *= one
        mean[i], rest[i], r[i] = m, c, f32(1) / np.sqrt(v * one - c * c + eps)
        for j in range(D):
            y[i, j] = (x[i, j] - m - c) * r[i] * gamma[j] + beta[j]


@compiled
def layer_norm_back(g, x, gamma, mean, rest, r, dx, dgamma, dbeta):
    """dx (n, D); dgamma and dbeta (D,) in float64, of 64 rows at a time in float32."""
    n, D = x.shape
    one = f32(1) / f32(D)
    some_gamma, some_beta = np.zeros(D, f32), np.zeros(D, f32)
    for first in range(0, n, 64):
        for i in range(first, min(first + 64, n)):
            m, c, q = mean[i], rest[i], r[i]
            s, t = f32(0), f32(0)  # means of g gamma, and of it times h
            for j in range(D):
                u = g[i, j] * gamma[j]
                s += u
                t += u * (x[i, j] - m - c)
            s *= one
            t *= one * q
            for j in range(D):  # two loops: of six arrays a compiler does not see that none overlap
                some_gamma[j] += g[i, j] * ((x[i, j] - m - c) * q)
                some_beta[j] += g[i, j]
            for j in range(D):
                dx[i, j] = q * (g[i, j] * gamma[j] - s - (x[i, j] - m - c) * q * t)
        for j in range(D):
            dgamma[j] += some_gamma[j]
            dbeta[j] += some_beta[j]
            some_gamma[j] = some_beta[j] = f32(0)
