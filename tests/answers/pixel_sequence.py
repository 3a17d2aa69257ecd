"""Answers to exercise 11."""

RIGHT = {
    "A": """
import numpy as np

def pixel_sequence(image, palette, begin):
    H, W, C = image.shape
    out = np.zeros((2, H * W), dtype=int)
    place = 0
    before = begin
    for y in range(H):
        for x in range(W):
            best = 0
            for j in range(1, len(palette)):
                if far(image[y, x], palette[j]) < far(image[y, x], palette[best]):
                    best = j
            out[0, place] = before
            out[1, place] = before = best
            place += 1
    return out

def far(a, b):
    return sum((a[i] - b[i]) ** 2 for i in range(len(a)))
""",
    "B": """
import numpy as np

def pixel_sequence(image, palette, begin):
    x = image.reshape(-1, image.shape[-1]).astype(float)
    d = x[:, None, :] - palette[None]
    d = np.einsum("nkc,nkc->nk", d, d)
    ids = [int(np.argmin(row)) for row in d]
    read = [begin] + ids[:-1]
    return np.array([read, ids])
""",
    "roll": """
import numpy as np
def pixel_sequence(image, palette, begin):
    x = image.reshape(-1, image.shape[-1])
    p = np.array([np.square(palette - v).sum(-1).argmin() for v in x])
    r = np.roll(p, 1); r[0] = begin
    return np.stack((r, p)).astype(np.int32)
""",
    "blind: expanded square kept int32 roll": """
import numpy as np
def pixel_sequence(image, palette, begin):
    px = image.reshape(-1, image.shape[2]).astype(np.float64)
    d = ((px[:, :, None] - palette.T.astype(float)) ** 2).sum(1)
    t = d.argmin(1).astype(np.int32)
    r = np.roll(t, 1).astype(np.int64); r[0] = begin
    return np.vstack((r, t))
""",
}
PIXELS = "x = image.reshape"
# 10 points: one row of pixels: the nearest colours 3; several rows, in raster order 2; what is
# read is what was predicted, one place later 3; two colours at the same distance: the first 1; a
# call leaves nothing behind: arguments as they were, new arrays, no memory of it 1
WRONG = {
    ("ids", "the pixels are read column by column: raster order is row by row"): (
        7, f"B: {PIXELS} => x = image.swapaxes(0, 1).reshape",
        "A: y in range(H) => FIRST\nx in range(W) => y in range(H)\nFIRST => x in range(W)"),
    ("ids", "every second row is read from right to left: raster order starts each row on the "
     "left"): (
        7, f"B: {PIXELS} => image = image.copy(); image[1::2] = image[1::2, ::-1]; {PIXELS}",
        "A: for x in range(W): => for x in range(W)[:: -1 if y % 2 else 1]:"),
    ("ids", "the rows are read from the bottom to the top"): (
        7, f"B: {PIXELS} => x = image[::-1].reshape", "A: in range(H) => in range(H)[::-1]"),
    ("ids", "distances are not squared before they are summed: signs cancel"): (
        4, "A: sum((a[i] - b[i]) ** 2 for => abs(sum(a[i] - b[i] for\n"
        "in range(len(a))) => in range(len(a))))",
        'B: np.einsum("nkc,nkc->nk", d, d) => abs(d.sum(2))'),
    ("ids", "only the first channel is compared"): (
        4, "A: range(len(a)) => range(1)", 'B: np.einsum("nkc,nkc->nk", d, d) => d[..., 0] ** 2'),
    ("ids", "each pixel gets the farthest colour"): (
        4, "A: palette[j]) < far => palette[j]) > far", "B: np.argmin => np.argmax"),
    ("ids", "of two colours at the same distance the last is taken"): (
        9, "A: palette[j]) < far => palette[j]) <= far",
        "B: np.argmin(row) => len(row) - 1 - np.argmin(row[::-1])"),
    ("ids", "both rows are the same: the model would read what it has to predict"): (
        7, "A: out[0, place] = before => pass\n"
        "out[1, place] = before = best => out[0, place] = out[1, place] = best",
        "B: [begin] + ids[:-1] => ids"),
    ("ids", "it is shifted the other way: the model would read what comes after"): (
        7, "B: [begin] + ids[:-1] => ids[1:] + [begin]"),
    ("ids", "the ids go round: the last one stands in front, where `begin` belongs"): (
        7, "B: [begin] + ids[:-1] => ids[-1:] + ids[:-1]",
        "A: return out => out[0, 0] = out[1, -1]; return out"),
    ("ids", "the two rows have changed places"): (
        1, "A: return out => return out[::-1]", "B: [read, ids] => [ids, read]"),
    ("ids", "the row begins with the number of colours, not with `begin`"): (
        7, "A: before = begin => before = len(palette)", "B: [begin] + => [len(palette)] +"),
}  # fmt: skip
