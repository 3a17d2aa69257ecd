"""Rows of unequal length as one array, and the mask that tells what is text."""

import numpy as np

from minivit.engine.errors import DtypeError, ShapeError


def pad(batch, length=None, pad_id=0):
    """Ids of several texts -> ((B, N) int64, (B, N) boolean mask, True at a real token).

    N is `length`, or the longest row; shorter rows are filled up on the right with `pad_id`.
    """
    rows = [np.asarray(row) for row in batch]
    for i, row in enumerate(rows):
        if row.ndim != 1:
            raise ShapeError(f"batch[{i}]: got shape {row.shape}, expected a list of ids")
        if row.size and row.dtype.kind not in "iu":
            raise DtypeError(f"batch[{i}]: got dtype {row.dtype}, expected integers")
    lengths = np.array([len(row) for row in rows], dtype=np.int64)  # (B,)
    longest = int(lengths.max(initial=0))
    N = longest if length is None else length
    if longest > N:
        raise ShapeError(
            f"batch[{int(lengths.argmax())}]: {longest} tokens, more than the length {N}. "
            "Cut the row (row[:length]) or allow a greater length."
        )
    mask = np.arange(N) < lengths[:, None]  # (N,) and (B, 1) -> (B, N)
    ids = np.full((len(rows), N), pad_id, dtype=np.int64)
    if rows:
        ids[mask] = np.concatenate(rows)  # row by row, as the mask is read
    return ids, mask
