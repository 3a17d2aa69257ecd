"""Answers to exercise 12."""

RIGHT = {
    "A": """
import numpy as np

def ridge_probe(train, labels, test, classes, strength):
    n, D = train.shape
    base = train
    mean = base.mean(0)
    std = base.std(0) + 1e-5
    X = np.full((n, D + 1), 100.0)
    X[:, :D] = (train - mean) / std
    Z = np.full((len(test), D + 1), 100.0)
    Z[:, :D] = (test - mean) / std
    Y = -np.ones((n, classes))
    Y[np.arange(n), labels] = 1
    penalty = strength * np.identity(D + 1)
    W = np.linalg.inv(X.T @ X + penalty) @ X.T @ Y
    return (Z @ W).astype(train.dtype)
""",
    "B": """
import numpy as np

def ridge_probe(train, labels, test, classes, strength):
    # least squares on a longer system: sqrt(strength) on the diagonal, zeros as its targets
    one = 100
    X, Z = standardise(train, test)
    X = np.hstack([X, one * np.ones((len(X), 1))])
    Z = np.hstack([Z, one * np.ones((len(Z), 1))])
    k = X.shape[1]
    root = np.sqrt(strength) * np.eye(k)
    scores = np.zeros((len(test), classes), train.dtype)
    for c in range(classes):
        y = 2.0 * (labels == c) - 1.0
        w = np.linalg.lstsq(np.vstack([X, root]), np.append(y, np.zeros(k)), rcond=None)[0]
        scores[:, c] = Z @ w
    return scores

def standardise(a, b):
    m = np.sum(a, 0) / len(a)
    s = np.sqrt(np.sum((a - m) ** 2, 0) / len(a))
    return (a - m) / (s + 1e-5), (b - m) / (s + 1e-5)
""",
    "dual": """
import numpy as np
def ridge_probe(train, labels, test, classes, strength):
    train64 = np.asarray(train, float)
    m = train64.mean(axis=0)
    s = np.sqrt(((train64 - m) ** 2).mean(axis=0)) + 1e-5
    X, Z = (np.hstack(((a - m) / s, np.full((a.shape[0], 1), 100.))) for a in (train64, test))
    Y = -np.ones((len(X), classes)); Y[np.arange(len(X)), labels] = 1
    a = np.linalg.solve(X @ X.T + strength * np.eye(len(X)), Y)
    return (Z @ X.T @ a).astype(train.dtype)
""",
    "blind: dual form inv": """
import numpy as np
def ridge_probe(train, labels, test, classes, strength):
    t = train.astype("f8")
    mu, sd = t.mean(0), t.std(0) + 1e-5
    f = lambda x: np.c_[(x - mu) / sd, 100 * np.ones(len(x))]
    X, Z = f(t), f(test.astype("f8"))
    Y = -np.ones((len(t), classes)); Y[range(len(t)), labels] = 1
    return (Z @ X.T @ np.linalg.solve(X @ X.T + strength * np.eye(len(X)), Y)).astype(train.dtype)
""",
}
# 10 points: the scores of the test rows 6; a class without training rows has scores too 1; a
# strong penalty 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind:
# arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("scores", "the test rows have a mean and deviation of their own: those of the training rows "
     "belong there"): (
        2, "A: Z[:, :D] = (test - mean) / std => "
        "Z[:, :D] = (test - test.mean(0)) / (test.std(0) + 1e-5)"),
    ("scores", "1e-5 is not added to the deviation"): (
        2, "A: base.std(0) + 1e-5 => base.std(0)"),
    ("scores", "the penalty leaves out the constant: it stands on the whole diagonal"): (
        2, "A: strength * np.identity(D + 1) => strength * np.diag(np.arange(D + 1) < D)"),
    ("scores", "the features are not standardised"): (
        2, "A: (train - mean) / std => train\n(test - mean) / std => test",
        "B: standardise(train, test) => train, test"),
    ("scores", "the mean is not subtracted"): (
        2, "A: (train - mean) => train\n(test - mean) => test",
        "B: return (a - m) / (s + 1e-5), (b - m) => return a / (s + 1e-5), b"),
    ("scores", "divided by the variance, not by the standard deviation"): (
        2, "A: base.std(0) => base.var(0)", "B: s = np.sqrt( => s = ("),
    ("scores", "mean and deviation are those of the test rows: nothing may be learnt from them"): (
        2, "A: base = train => base = test"),
    ("scores", "mean and deviation are those of all rows: nothing may be learnt from the test "
     "rows"): (
        2, "A: base = train => base = np.vstack([train, test])",
        "B: m = np.sum(a, 0) / len(a) => c = np.vstack([a, b]); m = c.mean(0)\n"
        "np.sqrt(np.sum((a - m) ** 2, 0) / len(a)) => c.std(0)"),
    ("scores", "the constant is 1, not 100"): (
        2, "A: np.full((n, D + 1), 100.0) => np.ones((n, D + 1))\n"
        "np.full((len(test), D + 1), 100.0) => np.ones((len(test), D + 1))",
        "B: one = 100 => one = 1"),
    ("scores", "the constant is missing: there is no bias"): (
        2, "A: np.full((n, D + 1), 100.0) => np.zeros((n, D + 1))\n"
        "np.full((len(test), D + 1), 100.0) => np.zeros((len(test), D + 1))",
        "B: X = np.hstack([X, one * np.ones((len(X), 1))]) => pass\n"
        "Z = np.hstack([Z, one * np.ones((len(Z), 1))]) => pass"),
    ("scores", "the targets are 0 and 1; they are -1 and +1"): (
        2, "A: -np.ones((n, classes)) => np.zeros((n, classes))",
        "B: 2.0 * (labels == c) - 1.0 => 1.0 * (labels == c)"),
    ("scores", "the penalty is missing"): (
        2, "A: + penalty) => + 0 * penalty)",
        "B: np.sqrt(strength) * np.eye(k) => np.zeros((k, k))"),
    ("scores", "the penalty is multiplied by the number of training rows"): (
        2, "A: strength * np.identity => n * strength * np.identity",
        "B: np.sqrt(strength) => np.sqrt(len(train) * strength)"),
    ("scores", "the penalty is added to every number, not to the diagonal"): (
        2, "A: strength * np.identity(D + 1) => strength"),
}  # fmt: skip
