"""Answers to exercise 17."""

ANSWER = """
import numpy as np

def layer_norm(x, gamma, beta, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    var = x.var(-1, keepdims=True)
    c, D = x - mean, x.shape[-1]
    s = 1 / np.sqrt(var + eps)
    n = c * s
    y = Y
    def vjp(g):
        h, rest = g * gamma, tuple(range(x.ndim - 1))
        M = lambda a, axis=-1: a.mean(axis, keepdims=True)
        gx = GX
        ggamma = GGAMMA
        gbeta = GBETA
        return gx, ggamma, gbeta
    return y, vjp
"""
EXPRESSIONS = {
    "y": "n * gamma + beta",
    "gx": "s * (h - M(h) - n * M(h * n))",
    "ggamma": "(g * n).sum(rest)",
    "gbeta": "g.sum(rest)",
}


def answer(**wrong):
    """The right answer with some expressions replaced."""
    text = ANSWER
    for name, expression in (EXPRESSIONS | wrong).items():
        text = text.replace(f"    {name} = {name.upper()}\n", f"    {name} = {expression}\n")
    return text


RIGHT = {
    "short": answer(),
    "stages": """
import numpy as np
def layer_norm(x, gamma, beta, eps=1e-5):
    D = x.shape[-1]
    mu = np.sum(x, axis=-1, keepdims=True) / D
    var = np.sum((x - mu) ** 2, axis=-1, keepdims=True) / D
    std = np.sqrt(var + eps)
    y = (x - mu) / std * gamma + beta
    def vjp(g):
        dn = g * gamma
        dvar = np.sum(dn * (x - mu), axis=-1, keepdims=True) * -0.5 / std ** 3
        dmu = -np.sum(dn / std, axis=-1, keepdims=True)
        dx = dn / std + dvar * 2 * (x - mu) / D + dmu / D
        flat = g.reshape(-1, D)
        return dx, (flat * ((x - mu) / std).reshape(-1, D)).sum(0), flat.sum(0)
    return y, vjp
""",
    "one pass, loops": """
from numpy import sqrt, zeros_like, einsum, asarray
EPSILON_IS_INSIDE = True
def layer_norm(x, gamma, beta, eps=1e-5):
    var = (x * x).mean(-1, keepdims=True) - x.mean(-1, keepdims=True) ** 2
    n = (x - x.mean(-1, keepdims=True)) / sqrt(var + eps)
    D = x.shape[-1]
    def vjp(g):
        gx, ggamma, gbeta = zeros_like(x), zeros_like(gamma), zeros_like(beta)
        rows = zip(g.reshape(-1, D), n.reshape(-1, D), asarray(var).reshape(-1),
                   gx.reshape(-1, D))
        for gr, nr, v, out in rows:
            J = (D * _eye(D) - 1 - nr[:, None] * nr[None, :]) / D / sqrt(v + eps)
            out[:] = (J * (gr * gamma)[:, None]).sum(0)
            ggamma += gr * nr
            gbeta += gr
        return [gx, ggamma, gbeta]
    return n * gamma + beta, vjp
def _eye(n):
    import numpy
    return numpy.eye(n)
""",
}


# Written anew, as a student would, and not by the functions that are to recognise them.
PLANTED = {
    "y": {
        "eps stands outside of the square root": "c / (np.sqrt(var) + eps) * gamma + beta",
        "the variance is divided by D - 1, not by D":
            "c / np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps) * gamma + beta",
        "eps is forgotten": "c / x.std(-1, keepdims=True) * gamma + beta",
        "gamma is forgotten": "n + beta",
        "beta is forgotten": "gamma * n",
        "gamma and beta have changed places": "beta * n + gamma",
        "divided by the variance, not by its square root": "c / (var + eps) * gamma + beta",
        "the mean is not subtracted": "x / np.sqrt(var + eps) * gamma + beta",
        "mean and variance are taken over the first axis, not the last":
            "(x - x.mean(0)) / np.sqrt(x.var(0) + eps) * gamma + beta",
        "mean and variance are taken over the tokens, not over the width":
            "(x - x.mean(-2, keepdims=True)) / np.sqrt(x.var(-2, keepdims=True) + eps)"
            " * gamma + beta",
        "mean and variance are taken over the whole array":
            "(x - x.mean()) / np.sqrt(x.var() + eps) * gamma + beta",
    },
    "gx": {
        "the statistics are treated as constants: the mean and the variance depend on x as well":
            "g * gamma / np.sqrt(var + eps)",
        "the variance is treated as a constant: it depends on x as well":
            "s * h - (s * h).mean(-1, keepdims=True)",
        "the mean is treated as a constant: it depends on x as well":
            "h / np.sqrt(var + eps) - c * (h * c).sum(-1, keepdims=True) / D / (var + eps) ** 1.5",
        "gamma is forgotten: n is multiplied by it on its way to y":
            "s * (g - M(g) - n * M(g * n))",
        "gamma is multiplied in after the means: it belongs inside of them":
            "gamma * s * (g - M(g) - n * M(g * n))",
        "eps stands outside of the square root":
            "(h - M(h) - c * M(h * c) / (np.sqrt(var) + eps) ** 2) / (np.sqrt(var) + eps)",
        "eps stands outside of the square root, as in such a forward pass":
            "(h - M(h)) / (np.sqrt(var) + eps)"
            " - c * M(h * c) / (np.sqrt(var) + eps) ** 2 / np.sqrt(var)",
        "eps is forgotten": "(h - M(h) - c * M(h * c) / var) / np.sqrt(var)",
        "the variance is divided by D - 1, not by D":
            "(lambda v: (h - M(h) - c * M(h * c) / v) / np.sqrt(v))"
            "(x.var(-1, ddof=1, keepdims=True) + eps)",
        "the variance is divided by D - 1, not by D, as in such a forward pass":
            "(lambda v: (h - M(h) - c * (h * c).sum(-1, keepdims=True) / (D - 1) / v) / np.sqrt(v))"
            "(x.var(-1, ddof=1, keepdims=True) + eps)",
        "the sums over the width are divided by D - 1, not by D":
            "s * (h - (h.sum(-1, keepdims=True) + n * (h * n).sum(-1, keepdims=True)) / (D - 1))",
        "there are sums where means belong: 1/D is missing":
            "s * (h - h.sum(-1, keepdims=True) - n * (h * n).sum(-1, keepdims=True))",
        "the term of the variance has the wrong sign": "s * (h - M(h) + n * M(h * n))",
        "the factor 1/sqrt(var + eps) is missing": "h - M(h) - n * M(h * n)",
        "divided by the variance, not by its square root":
            "(h - M(h) - n * M(h * n)) / (var + eps)",
        "multiplied by sqrt(var + eps), not divided by it":
            "(h - M(h) - n * M(h * n)) * np.sqrt(var + eps)",
        "the means are taken over the tokens, not over the width":
            "s * (h - M(h, -2) - n * M(h * n, -2))",
        "x - mean stands where the normalised x belongs": "s * (h - M(h) - c * M(h * c))",
        "it is negated": "s * (M(h) + n * M(h * n) - h)",
    },
    "ggamma": {
        "the sum over the tokens is missing": "n * g",
        "the sum runs over the width, not over the tokens": "(n * g).sum(axis=x.ndim - 1)",
        "only the first axis is summed: all but the last belong in the sum": "(g * n).sum(axis=0)",
        "everything is summed: the last axis stays": "np.sum(g * n)",
        "it is a mean where a sum belongs": "np.mean(g * n, axis=rest)",
        "the summed axes are kept: keepdims": "np.sum(g * n, axis=rest, keepdims=True)",
        "x stands where the normalised x belongs": "(x * g).sum(rest)",
        "y stands where the normalised x belongs": "(y * g).sum(rest)",
        "x - mean stands where the normalised x belongs": "(g * (x - mean)).sum(rest)",
        "it is multiplied by gamma: y is linear in gamma": "gamma * (g * n).sum(rest)",
        "the normalised x is forgotten: this is the gradient of beta": "g.sum(rest)",
        "eps is forgotten": "(g * c / np.sqrt(var)).sum(rest)",
        "eps stands outside of the square root": "(g * c / (np.sqrt(var) + eps)).sum(rest)",
        "the variance is divided by D - 1, not by D":
            "(g * c / np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps)).sum(rest)",
        "it is negated": "-(g * n).sum(rest)",
    },
    "gbeta": {
        "the sum over the tokens is missing": "g",
        "the sum runs over the width, not over the tokens": "g.sum(axis=-1)",
        "only the first axis is summed: all but the last belong in the sum": "np.sum(g, 0)",
        "everything is summed: the last axis stays": "g.sum()",
        "it is a mean where a sum belongs": "g.mean(rest)",
        "the summed axes are kept: keepdims": "g.sum(rest, keepdims=True)",
        "it is multiplied by gamma: beta is added after that": "(gamma * g).sum(rest)",
        "it is multiplied by beta: y is linear in beta": "beta * g.sum(rest)",
        "this is the gradient of gamma": "(g * n).sum(rest)",
        "it is negated": "-g.sum(rest)",
    },
}  # fmt: skip

# 10 points: y 1, gx 3, ggamma 1, gbeta 1, the derivative of the own y 1, variance 0 1, dtype 1,
# inputs left alone 1. A wrong output costs its own points and those of the own derivative and of
# variance 0; some mistakes show nothing where n = 0, or where x has two axes.
POINTS = {"y": 7, "gx": 5, "ggamma": 8, "gbeta": 8}
OTHERS = {
    ("y", "eps stands outside of the square root"): 8,
    ("y", "the variance is divided by D - 1, not by D"): 8,
    ("y", "gamma is forgotten"): 8,
    ("gbeta", "the sum over the tokens is missing"): 7,  # and g itself comes back
    ("y", "divided by the variance, not by its square root"): 8,
    ("gx", "the variance is treated as a constant: it depends on x as well"): 6,
    ("gx", "the variance is divided by D - 1, not by D"): 6,
    ("gx", "the variance is divided by D - 1, not by D, as in such a forward pass"): 6,
    ("gx", "the term of the variance has the wrong sign"): 6,
    ("gx", "x - mean stands where the normalised x belongs"): 6,
    ("ggamma", "only the first axis is summed: all but the last belong in the sum"): 9,
    ("gbeta", "only the first axis is summed: all but the last belong in the sum"): 9,
}
WRONG = {
    (output, title): (
        OTHERS.get((output, title), POINTS[output]),
        f"short: {output} = {EXPRESSIONS[output]} => {output} = {expression}",
    )
    for output, named in PLANTED.items()
    for title, expression in named.items()
}
