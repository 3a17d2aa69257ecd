"""Arithmetic and elementwise functions, each beside its derivative."""

import math

from minivit.engine import special
from minivit.engine.errors import ArgumentError, DtypeError
from minivit.engine.numerics import NUMBERS
from minivit.engine.record import op

# -- arithmetic ------------------------------------------------------------------------------------


@op(accepts=NUMBERS)
def add(x, y, /):
    """x + y. Both receive g."""
    return x + y, lambda g: (g, g)


@op(accepts=NUMBERS)
def subtract(x, y, /):
    """x - y."""
    return x - y, lambda g: (g, -g)


@op(accepts=NUMBERS)
def multiply(x, y, /):
    """x * y. Each receives g times the other."""
    return x * y, (lambda g: g * y, lambda g: g * x)


@op(accepts=NUMBERS)
def divide(x, y, /):
    """x / y. d/dy = -x / y^2, divided twice: y^2 would overflow or vanish long before y does."""
    return x / y, (lambda g: g / y, lambda g: -g * (x / y / y))


@op(accepts=NUMBERS)
def negative(x, /):
    """-x."""
    return -x, lambda g: -g


@op(accepts=NUMBERS)
def power(xp, x, n, /):
    """x ** n. d/dx = n x^(n-1), and 0 where n = 0; d/dn = x^n log x, and 0 where x = 0 <= n."""
    if isinstance(n, (int, float)):
        if n == 0:
            return _power(x, n), lambda g: (xp.zeros_like(g), None)
        y = x.copy() if n == 1 else _power(x, n)
        return y, lambda g: (g * (n * _power(x, n - 1)), None)
    y = x**n
    x = x if hasattr(x, "dtype") else xp.asarray(x, dtype=y.dtype)

    def dn(g):
        base = xp.where((x == 0) & (n >= 0), 1, x)  # log 1 = 0
        return g * (y * xp.log(base.astype(y.dtype)))

    return y, (lambda g: g * xp.where(n == 0, 0, n * x ** xp.where(n == 0, 1, n - 1)), dn)


def _power(x, n):
    if x.dtype.kind in "fc" and n in (1, 2, 3):  # float32 x**3: 700 times slower than x * x * x
        return math.prod([x] * int(n - 1), start=x)
    return x**n


# -- elementwise functions -------------------------------------------------------------------------


@op
def exp(xp, x, /):
    """e^x, its own derivative."""
    y = xp.exp(x)
    return y, lambda g: g * y


@op
def log(xp, x, /):
    """Natural logarithm. d/dx = 1/x."""
    return xp.log(x), lambda g: g / x


@op
def sqrt(xp, x, /):
    """Square root. d/dx = 1 / (2 sqrt x)."""
    y = xp.sqrt(x)
    return y, lambda g: g / (2 * y)


@op
def tanh(xp, x, /):
    """Hyperbolic tangent. d/dx = 1 - tanh^2."""
    y = xp.tanh(x)
    return y, lambda g: g * (1 - y * y)


@op
def erf(xp, x, /):
    """Error function. d/dx = 2/sqrt(pi) e^(-x^2)."""
    return special.erf(xp, x), lambda g: g * (1.1283791670955126 * xp.exp(-x * x))


@op(accepts=NUMBERS)
def absolute(xp, x, /):
    """|x|. The derivative at 0 is taken as 0."""
    return xp.abs(x), lambda g: g * xp.sign(x)


@op(accepts=NUMBERS)
def maximum(xp, x, y, /):
    """The larger of two. Where they are equal, each receives half."""
    return xp.maximum(x, y), lambda g: (g * _share(x < y, x <= y, g), g * _share(y < x, y <= x, g))


@op(accepts=NUMBERS)
def minimum(xp, x, y, /):
    """The smaller of two. Where they are equal, each receives half."""
    return xp.minimum(x, y), lambda g: (g * _share(y < x, y <= x, g), g * _share(x < y, x <= y, g))


def _share(lost, not_won, g):
    """0 where it lost, a half where they are equal, else 1 (both, where one is NaN)."""
    return 1 - (lost.astype(g.dtype) + not_won) / 2


@op(accepts=NUMBERS)
def clip(xp, x, /, a_min=None, a_max=None, *, min=None, max=None):
    """x kept within [a_min, a_max] (or [min, max]); None is no bound. No gradient passes where it
    was cut."""
    if (a_min is not None and min is not None) or (a_max is not None and max is not None):
        raise ArgumentError("clip: a bound is given twice; a_min and min (a_max and max) are one")
    low, high = a_min if min is None else min, a_max if max is None else max
    y = x.copy() if low is None and high is None else xp.clip(x, low, high)

    def vjp(g):
        g = g if low is None else g * (x >= low)
        return g if high is None else g * (x <= high)

    return y, vjp


@op(accepts=NUMBERS)
def where(xp, condition, x, y, /):
    """x where the boolean `condition` holds, else y."""
    if not hasattr(condition, "dtype") or condition.dtype != bool:
        raise DtypeError(
            f"where: the condition is {getattr(condition, 'dtype', type(condition).__name__)}, "
            "expected a boolean array, such as x > 0"
        )
    value = xp.where(condition, x, y)
    return value, lambda g: (None, xp.where(condition, g, 0), xp.where(condition, 0, g))
