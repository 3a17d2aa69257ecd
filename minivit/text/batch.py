"""Token ids as a model takes them: one array, and the mask that tells what is text."""

import numpy as np

from minivit import nn
from minivit.engine import backend
from minivit.engine.errors import DtypeError, OptionError, ShapeError
from minivit.engine.record import function


@function
def pad(batch, length=None, pad_id=0):
    """Ids of several texts -> ((B, N) int64, (B, N) boolean mask, True at a real token).

    N is `length`, or the longest row; shorter rows are filled up on the right with `pad_id`.
    """
    try:
        rows = [host(f"batch[{i}]", row) for i, row in enumerate(batch)]
    except TypeError:
        raise DtypeError(
            f"batch: got {type(batch).__name__}, expected several lists of ids"
        ) from None
    for i, row in enumerate(rows):
        if row.ndim != 1:
            raise ShapeError(f"batch[{i}]: got shape {row.shape}, expected a list of ids")
        if row.size and row.dtype.kind not in "iu":
            raise DtypeError(f"batch[{i}]: got dtype {row.dtype}, expected integers")
    lengths = np.array([len(row) for row in rows], dtype=np.int64)  # (B,)
    longest = int(lengths.max(initial=0))
    N = longest if length is None else length
    if not nn.is_integer(N):
        raise OptionError(f"length: got {length!r}, expected an integer, 0 or more")
    if longest > N:
        raise ShapeError(
            f"batch[{int(lengths.argmax())}]: {longest} tokens, more than the length {N}. "
            "Cut the row (row[:length]) or allow a greater length."
        )
    mask = np.arange(N) < lengths[:, None]  # (N,) and (B, 1) -> (B, N)
    ids = np.full((len(rows), N), pad_id, dtype=np.int64)
    if longest:
        ids[mask] = np.concatenate([row for row in rows if row.size])  # as the mask is read
    return ids, mask


def host(where, ids):
    """Ids (a list, an array or a Tensor, on any device) as a NumPy array."""
    ids = ids.data if hasattr(ids, "requires_grad") else ids
    if isinstance(ids, (str, bytes)):
        raise DtypeError(f"{where}: got the text {ids!r:.40}, expected ids: tokenizer.encode(text)")
    if hasattr(ids, "get") and hasattr(ids, "shape"):
        return backend.to_numpy(ids)
    try:
        return np.asarray(ids)
    except ValueError:
        raise ShapeError(
            f"{where}: the rows of ids have unequal lengths; tokenizer.pad makes one array of them "
            "and a mask that hides the padding"
        ) from None


def successors(ids, mask=None):
    """How many tokens follow another: all but the first of each row, and no padding."""
    ids = host("successors", ids)
    if ids.ndim != 2:
        raise ShapeError(f"successors: got ids of shape {ids.shape}, expected (B, N)")
    if mask is None:
        return ids[:, 1:].size
    return int(checked_mask("successors", mask, ids.shape)[:, 1:].sum())


def token_ids(where, ids, least=1):
    """`ids` as int64 (B, N) on the host, N >= `least`."""
    array = host(where, ids)
    if array.ndim != 2 or array.shape[1] < least:
        raise ShapeError(
            f"{where}: got ids of shape {array.shape}, expected (B, N) with N >= {least}"
            + " (a text without tokens needs one to begin with, such as [CLS])" * bool(least)
        )
    if array.size and array.dtype.kind not in "iu":
        raise DtypeError(f"{where}: got ids of dtype {array.dtype}, expected integers")
    return array.astype(np.int64, copy=False)


def checked_ids(where, ids, context, start=0, least=1):
    """`token_ids`, for which there are positions from `start` on."""
    ids = token_ids(where, ids, least)
    check_length(where, start + ids.shape[1], context)
    return ids


def check_length(where, N, context):
    """Refuse a sequence longer than the table of positions."""
    if N > context:
        raise ShapeError(
            f"{where}: got a sequence of {N} tokens, the context is {context}. Cut it, or build "
            "the model with a larger context."
        )


def checked_mask(where, mask, shape):
    """A mask of the ids' shape (B, N), booleans; True = a real token. On the host."""
    mask = host(f"{where}: the mask", mask)
    if mask.dtype != bool:
        raise DtypeError(
            f"{where}: the mask is {mask.dtype}; expected booleans, True = a real token "
            "(of 0 and 1: mask == 1)"
        )
    if mask.shape != tuple(shape):
        raise ShapeError(
            f"{where}: the padding mask has shape {mask.shape}, the ids {tuple(shape)}"
        )
    return mask


def padding_mask(where, mask, shape):
    """(B, N), True = a real token -> (B, 1, 1, N), which keys may be attended to; None: all."""
    return None if mask is None else checked_mask(where, mask, shape)[:, None, None, :]
