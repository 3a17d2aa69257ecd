"""Answers to exercise 24."""

RIGHT = {
    "A": """
import numpy as np

def zero_shot(images, texts, scale):
    n, d = images.shape
    classes, prompts, _ = texts.shape
    p = np.zeros((n, classes))
    w = np.zeros((classes, d))
    for c in range(classes):
        for k in range(prompts):
            w[c] += texts[c, k] / np.linalg.norm(texts[c, k])
        w[c] = w[c] / prompts
        w[c] = w[c] / np.linalg.norm(w[c])
    for i in range(n):
        x = images[i] / np.linalg.norm(images[i])
        p[i] = scale * (w @ x)
    p = np.exp(p - p.max(axis=1)[:, None])
    return (p / p.sum(axis=1)[:, None]).astype(images.dtype)
""",
    "B": """
import numpy as np

def one(x, axis=-1):
    return x / (x**2).sum(axis, keepdims=True) ** 0.5

def zero_shot(images, texts, scale):
    each = one(texts)
    w = one(np.einsum("ckd->cd", each) / each.shape[1])
    z = np.einsum("nd,cd->nc", one(images), w) * scale
    z = z - np.max(z, 1, keepdims=True)
    return np.exp(z - np.log(np.exp(z).sum(1, keepdims=True)))
""",
    "logaddexp": """
import numpy as np
def zero_shot(images, texts, scale):
    n = lambda a: a / np.sqrt(np.einsum('...d,...d->...', a, a))[..., None]
    z = scale * n(images) @ n(n(texts).sum(1)).T
    return np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True)).astype(images.dtype)
""",
    "blind: einsum sum": """
import numpy as np
def u(x): return x / np.sqrt(np.einsum("...d,...d->...", x, x))[..., None]
def zero_shot(images, texts, scale):
    W = u(np.einsum("ckd->cd", u(texts)))
    z = np.einsum("nd,cd->nc", u(images), W) * images.dtype.type(scale)
    return np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
""",
}
UNIT = "texts[c, k] / np.linalg.norm(texts[c, k])"
AGAIN = "w[c] = w[c] / np.linalg.norm(w[c])"
# 10 points: one prompt a class 2; several prompts a class 5; a scale of 100 and more gives finite
# numbers 1; float32 stays float32, float64 stays float64 1; a call leaves nothing behind:
# arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("p", "the prompts' vectors are averaged before they are scaled to length 1"): (
        4, f"A: {UNIT} => texts[c, k]", "B: each = one(texts) => each = texts"),
    ("p", "the mean is not scaled to length 1 again"): (
        4, f"A: {AGAIN} => pass",
        'B: one(np.einsum("ckd->cd", each) / each.shape[1]) => each.mean(1)'),
    ("p", "nothing of the texts is scaled to length 1"): (
        2, f"A: {UNIT} => texts[c, k]\n{AGAIN} => pass",
        "B: each = one(texts) => each = texts\n"
        'one(np.einsum("ckd->cd", each) / each.shape[1]) => each.mean(1)'),
    ("p", "only the first prompt of each class is used"): (
        4, "A: for k in range(prompts): => for k in [0]:", "B: one(texts) => one(texts[:, :1])"),
    ("p", "the prompts are added, not averaged, and not scaled to length 1"): (
        4, f"A: w[c] = w[c] / prompts => pass\n{AGAIN} => pass",
        'B: one(np.einsum("ckd->cd", each) / each.shape[1]) => each.sum(1)'),
    ("p", "the images are not scaled to length 1"): (
        2, "A: x = images[i] / np.linalg.norm(images[i]) => x = images[i]",
        "B: one(images), w => images, w"),
    ("p", "the scale is missing"): (
        2, "A: scale * (w @ x) => w @ x", "B: , w) * scale => , w)"),
    ("p", "it is divided by the scale: the scale is one over the temperature"): (
        2, "A: scale * (w @ x) => (w @ x) / scale", "B: , w) * scale => , w) / scale"),
    ("p", "the scale's exponential is taken: it is exp(t) already"): (
        2, "A: scale * (w @ x) => np.exp(scale) * (w @ x)", "B: * scale => * float(np.exp(scale))"),
    ("p", "the softmax runs over the images, not over the classes"): (
        2, "A: np.exp(p - p.max(axis=1)[:, None]) => np.exp(p - p.max(axis=0))\n"
        "p.sum(axis=1)[:, None] => p.sum(axis=0)",
        "B: np.max(z, 1, keepdims=True) => np.max(z, 0)\nnp.exp(z).sum(1, keepdims=True) => "
        "np.exp(z).sum(0)"),
}  # fmt: skip
