"""Answers to exercise 13."""

RIGHT = {
    "A": """
import numpy as np

def vit_input(images, W, b, cls, position, patch):
    B, H, width, C = images.shape
    P = patch
    out = []
    for image in images:
        rows = []
        for top in range(0, H, P):
            for left in range(0, width, P):
                x = image[top : top + P, left : left + P]
                rows.append(W @ x.reshape(-1) + b)
        z = np.stack([cls, *rows])
        out.append(z + position)
    return np.array(out)
""",
    "B": """
import numpy as np

def vit_input(images, W, b, cls, position, patch):
    B, H, width, C = images.shape
    P, h, w = patch, H // patch, width // patch
    x = images.reshape(B, h, P, w, P, C)
    kernel = W.reshape(-1, P, P, C)
    rows = np.einsum("bipjqc,dpqc->bijd", x, kernel)
    rows = rows.reshape(B, h * w, -1) + b
    z = np.empty((B, h * w + 1, len(cls)), images.dtype)
    z[:, 0] = cls
    z[:, 1:] = rows
    z += position
    return z
""",
    "einsum conv": """
import numpy as np
def vit_input(images, weight, bias, cls, position, patch):
    P = patch; B, H, W, C = images.shape
    k = weight.reshape(-1, P, P, C)
    cut = images.reshape(B, H // P, P, W // P, P, C)
    x = np.einsum('bhpwqc,dpqc->bhwd', cut, k).reshape(B, -1, len(cls)) + bias
    z = np.empty((B, x.shape[1] + 1, len(cls)), images.dtype)
    z[:, 0], z[:, 1:] = cls, x
    z += position
    return z
""",
    "strided": """
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
def vit_input(images, weight, bias, cls, position, patch):
    w = sliding_window_view(images, (patch, patch), axis=(1, 2))[:, ::patch, ::patch]  # B h w C P P
    B = len(w)
    x = np.moveaxis(w, 3, -1).reshape(B, -1, weight.shape[1])
    t = np.pad(x @ weight.T + bias, ((0, 0), (1, 0), (0, 0)))
    t[:, 0] += cls
    return t + position[None]
""",
    "blind: slicing loops": """
import numpy as np
def vit_input(images, weight, bias, cls, position, patch):
    B, H, W, C = images.shape
    out = []
    for img in images:
        tokens = [cls]
        for r in range(0, H, patch):
            for c in range(0, W, patch):
                tokens.append(weight @ img[r:r + patch, c:c + patch].flatten() + bias)
        out.append(np.array(tokens) + position)
    return np.array(out, dtype=images.dtype)
""",
}
# 10 points: one patch a row: one image 3; several images, patches in raster order 5; float32
# stays float32, float64 stays float64 1; a call leaves nothing behind: arguments as they were,
# new arrays, no memory of it 1
WRONG = {
    ("tokens", "the patches are in column order: the first row of patches comes first"): (
        5, "A: top in range(0, H, P) => FIRST\n"
        "left in range(0, width, P) => top in range(0, H, P)\n"
        "FIRST => left in range(0, width, P)",
        "B: ->bijd => ->bjid"),
    ("tokens", "inside of a patch the pixels are in column order"): (
        2, "A: x.reshape(-1) => x.swapaxes(0, 1).reshape(-1)", "B: dpqc-> => dqpc->"),
    ("tokens", "inside of a patch the channels come first: each pixel keeps its channels "
     "together"): (
        2, "A: x.reshape(-1) => x.transpose(2, 0, 1).reshape(-1)",
        "B: W.reshape(-1, P, P, C) => W.reshape(-1, C, P, P).transpose(0, 2, 3, 1)"),
    ("tokens", "the image is reshaped at once, which cuts rows of pixels, not patches"): (
        5, "B: x = images.reshape(B, h, P, w, P, C) => x = images.reshape(B, h, w, P, P, C)"
        ".swapaxes(2, 3)"),
    ("tokens", "the class token stands at the end; it belongs in front"): (
        2, "A: [cls, *rows] => [*rows, cls]", "B: z[:, 0] = cls => z[:, -1] = cls\n1:] => :-1]"),
    ("tokens", "the class token is missing"): (
        2, "A: [cls, *rows] => rows\nz + position => z + position[1:]",
        "B: return z => return z[:, 1:]"),
    ("tokens", "the class token has no position: there are N + 1 of them"): (
        2, "A: out.append(z + position) => z[1:] += position[1:]; out.append(z)",
        "B: z += position => z[:, 1:] += position[1:]"),
    ("tokens", "the positions are missing"): (
        2, "A: z + position => z", "B: z += position => pass"),
    ("tokens", "the bias is missing"): (
        2, "A: W @ x.reshape(-1) + b => W @ x.reshape(-1)", "B: h * w, -1) + b => h * w, -1)"),
    ("tokens", "the bias is added to the class token too: only the patches pass the linear "
     "layer"): (
        2, "A: [cls, *rows] => [cls + b, *rows]", "B: = cls => = cls + b"),
}  # fmt: skip
