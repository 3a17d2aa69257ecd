"""Answers to exercise 22."""

RIGHT = {
    "A": """
import numpy as np

def cross_entropy(z, labels):
    N, C = z.shape
    at = labels[:, None]
    top = z.max(1)[:, None]
    log_p = z - top - np.log(np.exp(z - top).sum(1))[:, None]
    loss = -np.take_along_axis(log_p, at, 1).mean()

    def vjp(g):
        p = np.exp(log_p)
        hot = (np.arange(C) == at).astype(z.dtype)
        gz = (p - hot) * np.asarray(g, z.dtype) / N
        return (gz,)

    return loss, vjp
""",
    "B": """
from math import log
import numpy

def cross_entropy(z, labels):
    total, rows = 0.0, []
    for row, label in zip(z, labels):
        shifted = row - max(row)
        e = numpy.exp(shifted)
        total += log(sum(e)) - shifted[label]
        one = numpy.zeros_like(row)
        one[label] = 1
        rows.append(e / sum(e) - one)
    loss = total / len(z)
    def vjp(g):
        return [numpy.asarray(float(g) * numpy.stack(rows) / len(z), dtype=z.dtype)]
    return z.dtype.type(loss), vjp
""",
    "take_along": """
import numpy as np
def cross_entropy(z, labels):
    l = labels[:, None]
    s = z - z.max(1, keepdims=True)
    logp = s - np.log(np.exp(s).sum(1, keepdims=True))
    def vjp(g):
        d = np.exp(logp)
        np.put_along_axis(d, l, np.take_along_axis(d, l, 1) - 1, 1)
        return (d * np.asarray(g / len(z), z.dtype)).astype(z.dtype)
    return -np.take_along_axis(logp, l, 1).mean(), vjp
""",
    "blind: loops and dict": """
import numpy as np, math
def cross_entropy(z, labels):
    N, C = z.shape; P = np.zeros(z.shape); total = 0.0
    for i in range(N):
        m = max(z[i].tolist()); e = [math.exp(x - m) for x in z[i].tolist()]; s = sum(e)
        P[i] = [x / s for x in e]; total += math.log(s) + m - float(z[i, labels[i]])
    def vjp(g):
        d = P.copy(); d[range(N), labels] -= 1
        return (float(g) * d / N).astype(z.dtype)
    return total / N, vjp
""",
}
MEAN = "loss = -np.take_along_axis(log_p, at, 1).mean()"
ROWS = "z - z.max(0) - np.log(np.exp(z - z.max(0)).sum(0))"
WHOLE = "z - z.max() - np.log(np.exp(z - z.max()).sum())"
GZ = "gz = (p - hot) * np.asarray(g, z.dtype) / N"
WRONG = {
    ("loss", "it is the sum over the rows, not their mean"): (
        6, "A: 1).mean() => 1).sum()", "B: total / len(z) => total"),
    ("loss", "the sign is missing: a log-probability is negative"): (
        6, "A: loss = - => loss = ", "B: loss = total => loss = -total"),
    ("loss", "the softmax runs over the rows (axis 0), not over the classes"): (
        6, f"A: {MEAN} => loss = -np.take_along_axis({ROWS}, at, 1).mean()"),
    ("loss", "the softmax runs over the whole array"): (
        6, f"A: {MEAN} => loss = -np.take_along_axis({WHOLE}, at, 1).mean()"),
    ("loss", "the log is missing: this is the mean probability of the labels, negated"): (
        6, f"A: {MEAN} => loss = -np.take_along_axis(np.exp(log_p), at, 1).mean()",
        "B: total += log(sum(e)) - shifted[label] => total -= e[label] / sum(e)"),
    ("loss", "the softmax is missing: this is the mean logit of the labels, negated"): (
        6, f"A: {MEAN} => loss = -np.take_along_axis(z, at, 1).mean()",
        "B: total += log(sum(e)) - shifted[label] => total -= row[label]"),
    ("loss", "the logit of the label is not subtracted"): (
        6, f"A: {MEAN} => loss = np.log(np.exp(z).sum(1)).mean()"),
    ("loss", "it is divided by all numbers of z, not by its rows"): (
        6, "A: 1).mean() => 1).sum() / z.size", "B: total / len(z) => total / z.size"),
    ("loss", "the softmax is taken twice"): (
        6, f"A: {MEAN} => q = np.exp(log_p); r = np.exp(q); "
        "loss = -np.log(np.take_along_axis(r / r.sum(1)[:, None], at, 1)).mean()"),
    ("gz", "1/N is missing: the loss is a mean"): (
        6, "A: np.asarray(g, z.dtype) / N => np.asarray(g, z.dtype)",
        "B: numpy.stack(rows) / len(z) => numpy.stack(rows)"),
    ("gz", "g is missing: the loss may be multiplied later on"): (
        6, "A: * np.asarray(g, z.dtype) / N => / N",
        "B: float(g) * numpy.stack(rows) => numpy.stack(rows)"),
    ("gz", "the one-hot rows are missing"): (
        6, "A: (p - hot) => p", "B: e / sum(e) - one => e / sum(e)"),
    ("gz", "the softmax is missing"): (
        6, "A: (p - hot) => -hot", "B: e / sum(e) - one => -one"),
    ("gz", "it is negated"): (
        6, "A: (p - hot) => (hot - p)", "B: e / sum(e) - one => one - e / sum(e)"),
    ("gz", "the softmax runs over the rows (axis 0), not over the classes"): (
        6, f"A: p = np.exp(log_p) => p = np.exp({ROWS})"),
    ("gz", "it is divided by all numbers of z, not by its rows"): (
        6, "A: z.dtype) / N => z.dtype) / z.size",
        "B: numpy.stack(rows) / len(z) => numpy.stack(rows) / z.size"),
    ("gz", "z stands where its softmax belongs"): (
        6, "A: (p - hot) => (z - hot)", "B: e / sum(e) - one => row - one"),
    ("gz", "the derivative of softmax is multiplied in once more"): (
        6, "A: (p - hot) => (p - hot) * p * (1 - p)"),
}  # fmt: skip
