"""Answers to exercise 19."""

RIGHT = {
    "A": """
import math
import numpy as np

def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    new = np.empty((3, *w.shape), w.dtype)
    for place in np.ndindex(w.shape):
        slope = float(g[place])
        first = beta1 * float(m[place]) + (1 - beta1) * slope
        second = beta2 * float(v[place]) + (1 - beta2) * slope ** 2
        top = first / (1 - beta1 ** t)
        below = second / (1 - beta2 ** t)
        kept = float(w[place]) * (1 - lr * decay)
        after = kept - lr * top / (math.sqrt(below) + eps)
        new[:, *place] = after, first, second
    return new
""",
    "B": """
import numpy as np

def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    m = m + (1 - beta1) * (g - m)
    square = g * g
    v = v + (1 - beta2) * (square - v)
    rate = lr / (1 - beta1 ** t)
    root = np.sqrt(v) / np.sqrt(1 - beta2 ** t).astype(w.dtype) + eps
    step = rate * m / root
    shrunk = w - lr * decay * w
    return np.array([shrunk - step, m, v])
""",
    "scalars": """
import numpy as np
def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    def one(w, g, m, v):
        m = m * beta1 + g * (1 - beta1); v = v * beta2 + g * g * (1 - beta2)
        mh, vh = m / (1 - beta1 ** t), v / (1 - beta2 ** t)
        return w * (1 - lr * decay) - lr * mh / (vh ** 0.5 + eps), m, v
    out = np.vectorize(one, otypes=[w.dtype] * 3)(w, g, m, v)
    return np.array(out)
""",
    "efficient": """
import numpy as np
def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    new = np.empty((3, *w.shape), w.dtype)
    W, M, V = new
    np.copyto(M, beta1 * m + (1 - beta1) * g); np.copyto(V, beta2 * v + (1 - beta2) * np.square(g))
    a = lr * (1 - beta2 ** t) ** .5 / (1 - beta1 ** t)
    np.copyto(W, w - lr * decay * w - a * M / (np.sqrt(V) + eps * (1 - beta2 ** t) ** .5))
    return new
""",
    "blind: loop over ndindex scalars": """
import numpy as np
def adamw_step(w, g, m, v, t, lr, beta1, beta2, eps, decay):
    new = np.zeros((3,) + w.shape, dtype=w.dtype)
    for i in np.ndindex(w.shape):
        wi, gi = float(w[i]), float(g[i])
        mi = beta1 * float(m[i]) + (1 - beta1) * gi
        vi = beta2 * float(v[i]) + (1 - beta2) * gi ** 2
        step = (mi / (1 - beta1 ** t)) / ((vi / (1 - beta2 ** t)) ** 0.5 + eps)
        new[(slice(None), *i)] = wi * (1 - lr * decay) - lr * step, mi, vi
    return new
""",
}
# 10 points: m: a moving mean of the gradients 1; v: one of their squares 1; the first step: as
# long as lr, whatever the gradient 2; later steps 2; the decay shrinks w and touches no mean 1;
# no gradient, no step 1; float32 stays float32, float64 stays float64 1; a call leaves nothing
# behind: arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("new", "m and v are not corrected: both began at 0"): (
        5, "A: first / (1 - beta1 ** t) => first\nsecond / (1 - beta2 ** t) => second"),
    ("new", "the decay is added to the gradient: that is Adam with L2, not AdamW"): (
        9, "A: slope = float(g[place]) => slope = float(g[place]) + decay * float(w[place])\n"
        "float(w[place]) * (1 - lr * decay) => float(w[place])"),
    ("new", "the decay is not multiplied by the learning rate"): (
        9, "A: (1 - lr * decay) => (1 - decay)", "B: w - lr * decay * w => w - decay * w"),
    ("new", "eps stands under the root"): (
        8, "A: (math.sqrt(below) + eps) => math.sqrt(below + eps)"),
    ("new", "v is the mean of g, not of its square"): (
        4, "B: square = g * g => square = g"),
    ("new", "the root of v is missing"): (
        5, "A: math.sqrt(below) => below"),
    ("new", "the step goes up: a minus belongs there"): (
        5, "A: kept - lr * top => kept + lr * top", "B: shrunk - step => shrunk + step"),
    ("new", "the gradient takes the place of m in the step"): (
        5, "A: top = first => top = slope", "B: rate * m / root => rate * g / root"),
    ("new", "v is corrected as m is, with beta1"): (
        5, "A: second / (1 - beta2 ** t) => second / (1 - beta1 ** t)",
        "B: np.sqrt(1 - beta2 ** t) => np.sqrt(1 - beta1 ** t)"),
    ("new", "the two means have changed places in the result"): (
        3, "A: after, first, second => after, second, first",
        "B: [shrunk - step, m, v] => [shrunk - step, v, m]"),
}  # fmt: skip
