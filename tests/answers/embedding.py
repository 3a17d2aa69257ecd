"""Answers to exercise 9."""

RIGHT = {
    "A": """
import numpy as np

def embedding(ids, table):
    out = np.take(table, ids, axis=0)
    def vjp(g):
        gtable = np.zeros(table.shape, table.dtype)
        for i, row in zip(ids.ravel(), g.reshape(-1, table.shape[1])):
            gtable[i] += row
        return (gtable,)
    return out, vjp
""",
    "B": """
import numpy as np

def embedding(ids, table):
    one_hot = (ids.reshape(-1, 1) == np.arange(len(table))).astype(table.dtype)
    out = (one_hot @ table).reshape(*ids.shape, -1)
    def vjp(g):
        flat = g.reshape(len(one_hot), -1)
        gtable = one_hot.T @ flat
        return [gtable]
    return out, vjp
""",
    "bincount": """
import numpy as np
def embedding(ids, table):
    V, D = table.shape
    def vjp(g):
        cols = [np.bincount(ids.ravel(), g[..., j].ravel(), V) for j in range(D)]
        return [np.stack(cols, 1).astype(table.dtype)]
    return np.take(table, ids, axis=0), vjp
""",
    "blind: bincount columns": """
import numpy as np
def embedding(ids, table):
    V, D = table.shape
    flat = np.ravel(ids)
    def vjp(g):
        cols = [np.bincount(flat, weights=c, minlength=V) for c in np.reshape(g, (-1, D)).T]
        return (np.stack(cols, axis=1).astype(table.dtype),)
    return np.take(table, ids, axis=0), vjp
""",
}
# 10 points: out is the rows of the table 2; gtable, where no id is there twice 1; gtable, where
# an id repeats: its gradients are added 4; ids with two axes 1; float32 stays float32, float64
# stays float64 1; a call leaves nothing behind: arguments as they were, new arrays, no memory of
# it 1
WRONG = {
    ("out", "the columns are taken, not the rows"): (
        8, "A: np.take(table, ids, axis=0) => table.T[ids % table.shape[1]]"),
    ("out", "each id is taken for the one after it"): (
        8, "A: np.take(table, ids, axis=0) => np.roll(table, -1, 0)[ids]",
        "B: one_hot @ table => one_hot @ np.roll(table, -1, 0)"),
    ("gtable", "of an id that is there twice only the last place counts: gradients are added"): (
        6, "A: gtable[i] += row => gtable[i] = row"),
    ("gtable", "it is the mean over the places of an id: their sum belongs there"): (
        6, "A: gtable[i] += row => gtable[i] += row / (ids == i).sum().astype(table.dtype)",
        "B: one_hot.T @ flat => one_hot.T @ flat / np.maximum(one_hot.sum(0), 1)[:, None]"),
    ("gtable", "it has a row for each place of ids; the table has one for each id"): (
        4, "B: gtable = one_hot.T @ flat => gtable = flat.copy()"),
    ("gtable", "g is forgotten: this is how often each id is there"): (
        4, "A: gtable[i] += row => gtable[i] += 1", "B: one_hot.T @ flat => "
        "one_hot.T @ np.ones_like(flat)"),
    ("gtable", "it is negated"): (
        4, "A: gtable[i] += row => gtable[i] -= row", "B: one_hot.T @ flat => -one_hot.T @ flat"),
    ("gtable", "it is divided by the number of ids: there is no mean in the forward pass"): (
        4, "A: gtable[i] += row => gtable[i] += row / table.dtype.type(ids.size)",
        "B: one_hot.T @ flat => one_hot.T @ flat / table.dtype.type(ids.size)"),
}  # fmt: skip
