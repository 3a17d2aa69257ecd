"""Answers to exercise 20."""

RIGHT = {
    "A": """
import numpy as np

def resize_positions(position, old, new):
    (h, w), (h2, w2) = old, new
    token, table = position[:1], position[1:]
    grid = table.reshape(h, w, -1)
    out = np.empty((h2, w2, grid.shape[-1]), position.dtype)
    for i in range(h2):
        for j in range(w2):
            y = place(i, h, h2)
            x = place(j, w, w2)
            a, b = min(int(y), h - 2), min(int(x), w - 2)
            y, x = y - a, x - b
            top = grid[a, b] * (1 - x) + grid[a, b + 1] * x
            bottom = grid[a + 1, b] * (1 - x) + grid[a + 1, b + 1] * x
            out[i, j] = top * (1 - y) + bottom * y
    out = out.reshape(h2 * w2, -1)
    return np.vstack([token, out])

def place(i, n, m):
    return i * (n - 1) / (m - 1)
""",
    "B": """
import numpy as np

def stretch(a, m, axis):
    n = a.shape[axis]
    at = np.linspace(0, n - 1, m)
    line = lambda v: np.interp(at, np.arange(n), v)
    return np.apply_along_axis(line, axis, a)

def resize_positions(position, old, new):
    grid = np.reshape(position[1:], (*old, -1))
    grid = stretch(grid, new[0], 0)
    grid = stretch(grid, new[1], 1)
    rest = grid.reshape(-1, position.shape[1])
    return np.concatenate([position[0:1], rest], axis=0).astype(position.dtype)
""",
    "interp": """
import numpy as np
def resize_positions(position, old, new):
    grid = position[1:].reshape(*old, -1)
    for axis in (0, 1):
        at = np.linspace(0, old[axis] - 1, new[axis])
        grid = np.apply_along_axis(lambda c: np.interp(at, np.arange(len(c)), c), axis, grid)
    return np.vstack([position[:1], grid.reshape(-1, grid.shape[-1])]).astype(position.dtype)
""",
    "blind: kron": """
import numpy as np
def hat(n, m):
    i, a = np.ogrid[:m, :n]
    return np.clip(1 - np.abs(i * (n - 1) / (m - 1) - a), 0, None)
def resize_positions(position, old, new):
    K = np.kron(hat(old[0], new[0]), hat(old[1], new[1]))
    return np.concatenate([position[:1], K.astype(position.dtype) @ position[1:]])
""",
}
# 10 points: the positions of another grid, larger or smaller 6; the same grid gives the same
# positions, as a copy 2; float32 stays float32, float64 stays float64 1; a call leaves nothing
# behind: arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("positions", "the middles of pixels are laid on each other, not the corners"): (
        4, "A: i * (n - 1) / (m - 1) => min(max((i + 0.5) * n / m - 0.5, 0), n - 1)",
        "B: np.linspace(0, n - 1, m) => (np.arange(m) + 0.5) * n / m - 0.5"),
    ("positions", "the nearest old position is taken: interpolate between them"): (
        4, "A: i * (n - 1) / (m - 1) => int(i * (n - 1) / (m - 1) + 0.5)",
        "B: at = np.linspace(0, n - 1, m) => at = np.floor(np.linspace(0, n - 1, m) + 0.5)"),
    ("positions", "new place i reads old place i h/h', so that the last one never reads "
     "the last"): (
        4, "A: i * (n - 1) / (m - 1) => min(i * n / m, n - 1)",
        "B: np.linspace(0, n - 1, m) => np.arange(m) * n / m"),
    ("positions", "the table is read column by column: places are in raster order"): (
        2, "A: table.reshape(h, w, -1) => table.reshape(w, h, -1).swapaxes(0, 1)",
        "B: np.reshape(position[1:], (*old, -1)) => "
        "np.reshape(position[1:], (old[1], old[0], -1)).swapaxes(0, 1)"),
    ("positions", "the new places are written column by column: they are in raster order"): (
        2, "A: out.reshape(h2 * w2, -1) => out.swapaxes(0, 1).reshape(h2 * w2, -1)",
        "B: rest = grid.reshape => rest = grid.swapaxes(0, 1).reshape"),
    ("positions", "the class token's position is taken for the first place of the grid"): (
        2, "A: position[:1], position[1:] => position[:1], position[:-1]",
        "B: np.reshape(position[1:], => np.reshape(position[:-1],"),
    ("positions", "the class token's position is missing"): (
        2, "A: np.vstack([token, out]) => out",
        "B: np.concatenate([position[0:1], rest], axis=0) => rest"),
    ("positions", "the places are stretched as one line: rows and columns are two axes"): (
        4, "B: grid = np.reshape(position[1:], (*old, -1)) => grid = position[1:]\n"
        "grid = stretch(grid, new[0], 0) => grid = stretch(grid, new[0] * new[1], 0)\n"
        "grid = stretch(grid, new[1], 1) => pass"),
}  # fmt: skip
