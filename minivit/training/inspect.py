"""Looking inside a ViT: its forward pass, array by array, and the paper's section 4.5.

Filters of the first matrix, similarity of positions, distance of each head's attention, and the
patches that a class token was made of: functions of arrays. `plot` draws their results.
"""

import numpy as np

from minivit.engine.errors import RangeError, ShapeError
from minivit.engine.modes import no_grad
from minivit.functions import softmax
from minivit.images.patches import patchify


# -- the forward pass ------------------------------------------------------------------------------
@no_grad()
def trace(model, images):
    """Every array on the way through a ViT with pre-LN layers: {name: array}, in order.

    "image", "patches", "tokens"; for layer i "i.ln_1", "i.attention" (B, H, N + 1, N + 1), "i.attn"
    (what is added), "i.middle", "i.ln_2", "i.mlp" (what is added), "i.out"; "class", "logits",
    "probabilities".
    """
    kept = {}
    model(images, keep=kept)
    arrays = {"image": images, "patches": patchify(images, model.patch)} | kept
    arrays["class"] = arrays.pop("features")
    arrays["logits"] = arrays.pop("logits")  # after "class"
    arrays["probabilities"] = softmax(arrays["logits"])
    return {name: array.numpy() for name, array in arrays.items()}


# -- the first matrix ------------------------------------------------------------------------------
def principal_components(rows):
    """The principal components of `rows` (n, F), and the share of the variance that each explains.

    Returns (components (k, F), share (k,)), k = min(n, F), largest share first. A component is a
    direction of length 1; its sign means nothing.
    """
    if rows.ndim != 2 or rows.shape[0] < 2:
        raise ShapeError(f"principal_components: got {rows.shape}, expected (n, F) with n > 1")
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, s, components = np.linalg.svd(centred, full_matrices=False)
    total = (s**2).sum()
    return components, s**2 / total if total > 0 else np.zeros_like(s)


def filter_components(weight, patch, channels):
    """The principal components of a patch projection's filters, as pictures.

    weight: (D, P P C), a filter a row. Returns (pictures (k, P, P, C), share (k,)).
    """
    if weight.ndim != 2 or weight.shape[1] != patch * patch * channels:
        raise ShapeError(
            f"filter_components: weight has shape {weight.shape}, expected (D, {patch} * {patch} * "
            f"{channels})"
        )
    components, share = principal_components(weight)
    return components.reshape(-1, patch, patch, channels), share


# -- the positions ---------------------------------------------------------------------------------
def cosine_similarity(vectors):
    """The cosine of the angle between each two of `vectors`: (n, D) -> (n, n), in [-1, 1]."""
    v = vectors.astype(np.float64)
    length = np.linalg.norm(v, axis=1, keepdims=True)
    v = v / np.where(length == 0, 1, length)  # a zero vector is similar to nothing
    return np.clip(v @ v.T, -1, 1)


def position_similarity(position, grid):
    """Tile [r, c] compares the position of the patch in row r, column c with all others.

    position: `model.position` as an array, (1, N + 1, D), the class token's in front; it is left
    out. grid: (rows, columns) of patches. Returns (rows, columns, rows, columns).
    """
    rows, columns = grid
    if position.ndim != 3 or position.shape[:2] != (1, rows * columns + 1):
        raise ShapeError(
            f"position_similarity: got {position.shape}, expected (1, {rows} * {columns} + 1, D)"
        )
    return cosine_similarity(position[0, 1:]).reshape(rows, columns, rows, columns)


def patch_distances(grid, patch=1):
    """The distance in pixels between the centres of each two patches: (N, N)."""
    r, c = np.divmod(np.arange(grid[0] * grid[1]), grid[1])  # raster order
    return patch * np.hypot(r[:, None] - r, c[:, None] - c)


# -- the attention ---------------------------------------------------------------------------------
def mean_attention_distance(attention, grid, patch):
    """The mean distance of each head's attention in pixels, the paper's Figure 7:
    (B, H, N + 1, N + 1) -> (H,).

    The distance from a patch to the patches it attends to, weighted by the attention, averaged over
    patches and images. The class token has no place in the image: its row and column are left out,
    and what remains of each row is scaled to sum to 1 again.
    """
    _check_attention(attention, "mean_attention_distance")
    N = grid[0] * grid[1]
    if attention.shape[-1] != N + 1:
        raise ShapeError(
            f"mean_attention_distance: {attention.shape[-1]} tokens, but a grid of {grid} has "
            f"{N} patches and a class token"
        )
    between = attention[:, :, 1:, 1:].astype(np.float64)  # patches looking at patches
    weight = between.sum(axis=-1)
    distance = (between * patch_distances(grid, patch)).sum(axis=-1) / np.maximum(weight, 1e-12)
    return distance.mean(axis=(0, 2))


def uniform_distance(grid, patch):
    """`mean_attention_distance` of a head that attends everywhere alike, in pixels."""
    return float(patch_distances(grid, patch).mean())


def attention_rollout(maps):
    """The share of each token in each output token: a list of (B, H, N, N) -> (B, N, N).

    The product over the layers of (mean over the heads + identity) / 2: the identity is the
    residual connection (Abnar & Zuidema 2020, section 3). Rows sum to 1. It is a summary of the
    weights, not an explanation: values and MLPs play no part in it.
    """
    result = None
    for attention in maps:
        _check_attention(attention, "attention_rollout")
        step = (attention.mean(axis=1, dtype=np.float64) + np.eye(attention.shape[-1])) / 2
        step /= step.sum(axis=-1, keepdims=True)
        result = step if result is None else step @ result
    if result is None:
        raise ShapeError("attention_rollout: got no layers")
    return result


def _check_attention(attention, where):
    if attention.ndim != 4 or attention.shape[2] != attention.shape[3]:
        raise ShapeError(f"{where}: got {attention.shape}, expected attention (B, H, N, N)")
    if not np.allclose(attention.sum(axis=-1), 1, atol=1e-3):
        raise RangeError(f"{where}: the rows do not sum to 1: are these scores, before softmax?")


# -- more than chance? -----------------------------------------------------------------------------
def mantel(a, b, permutations=999, seed=0):
    """Do two symmetric (N, N) tables of pairs agree more than if one were shuffled (Mantel 1967)?

    Returns (r, p): r the correlation of a with b over all pairs of two, p the share of shuffles of
    the N things (this order counted as one) whose r is at least as large. p <= 0.05: they agree
    more than chance; p >= 0.95: they disagree more than chance.
    """
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise ShapeError(f"mantel: got {a.shape} and {b.shape}, expected twice (N, N)")
    upper = np.triu_indices(len(a), 1)
    other = _standardized(b[upper].astype(np.float64))

    def r(order):
        return float((_standardized(a[np.ix_(order, order)][upper]) * other).mean())

    shuffle, n = np.random.default_rng(seed).permutation, len(a)
    here = r(np.arange(n))
    return here, _share_at_least(here, (r(shuffle(n)) for _ in range(permutations)), permutations)


def depth_trend(distances, permutations=999, seed=0):
    """Do the heads look farther with depth more than if heads were dealt to layers by chance?

    distances: (layers, heads), in pixels. Returns (slope, p): pixels a layer, by least squares, and
    the share of shuffles (this order counted as one) whose slope is at least as large.
    """
    if distances.ndim != 2 or len(distances) < 2:
        raise ShapeError(f"depth_trend: got {distances.shape}, expected (layers > 1, heads)")
    layers = np.arange(len(distances)) - (len(distances) - 1) / 2

    def slope(values):
        return float(layers @ values.mean(axis=1) / (layers @ layers))

    rng, flat = np.random.default_rng(seed), distances.reshape(-1)
    here = slope(distances)
    shuffled = (slope(rng.permutation(flat).reshape(distances.shape)) for _ in range(permutations))
    return here, _share_at_least(here, shuffled, permutations)


def _standardized(x):
    spread = x.std()
    return (x - x.mean()) / (spread if spread > 0 else 1)


def _share_at_least(here, others, n):
    return (1 + sum(x >= here - 1e-12 for x in others)) / (1 + n)
