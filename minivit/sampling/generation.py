"""Generation: feed the output back into the input.

A model gives a distribution over the next token; what is taken from it is a choice of its own:
the likeliest (greedy), a draw at some temperature, from the k likeliest (top-k), or from the fewest
that hold probability p (top-p, Holtzman et al. 2019).
"""

import math
from numbers import Integral, Real

import numpy as np

from minivit.engine.errors import DtypeError, NonFiniteError, OptionError, ShapeError
from minivit.engine.record import function
from minivit.functions import softmax
from minivit.text.batch import host


def next_token_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution that a next token is drawn from: logits (B, V) -> probabilities (B, V).

    temperature 0 puts everything on the likeliest. top_k, then top_p, drop the tail; what is left
    is scaled to sum 1. A logit of -inf forbids its token; NaN, +inf, or nothing that is allowed:
    NonFiniteError.
    """
    check_settings(temperature, top_k, top_p)
    logits = checked_logits(logits)
    B, V = logits.shape
    if temperature == 0:
        p = np.zeros((B, V))
        p[np.arange(B), logits.argmax(axis=1)] = 1
        return p
    logits -= logits.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # far below the likeliest, at a temperature near 0
        p = softmax.on_arrays(np, logits / temperature)[0]
    if top_k is not None and top_k < V:
        p[p < np.sort(p, axis=1)[:, [-top_k]]] = 0
        p /= p.sum(axis=1, keepdims=True)
    if top_p is not None:
        order = np.argsort(-p, axis=1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=1)
        ranked[np.cumsum(ranked, axis=1) - ranked >= top_p] = 0  # keep the one that crosses p
        np.put_along_axis(p, order, ranked, axis=1)
        p /= p.sum(axis=1, keepdims=True)
    return p


def check_settings(temperature=1.0, top_k=None, top_p=None):
    """Refuse what means nothing: expected temperature >= 0, top_k >= 1, 0 < top_p <= 1."""
    if not (_is(temperature, Real) and 0 <= temperature < math.inf):
        raise OptionError(f"temperature is {temperature!r}, expected a number, 0 (greedy) or more")
    if top_k is not None and not (_is(top_k, Integral) and top_k >= 1):
        raise OptionError(f"top_k is {top_k!r}, expected an integer, 1 or more, or None")
    if top_p is not None and not (_is(top_p, Real) and 0 < top_p <= 1):
        raise OptionError(f"top_p is {top_p!r}, expected 0 < top_p <= 1, or None")


def checked_steps(steps):
    """The number of tokens that are wanted: an integer, 0 or more."""
    if not (_is(steps, Integral) and steps >= 0):
        raise OptionError(f"steps is {steps!r}, expected an integer, 0 or more")
    return int(steps)


def _is(x, kind):
    return isinstance(x, kind) and not isinstance(x, bool)


def checked_logits(logits):
    """Logits (B, V) as float64 on the host, with a largest one in each row."""
    logits = host("logits", logits)
    if logits.ndim != 2 or not logits.shape[1] or logits.dtype.kind not in "fiu":
        raise ShapeError(
            f"logits: got {logits.dtype} of shape {logits.shape}, expected numbers (B, V), V >= 1"
        )
    logits = logits.astype(np.float64)
    largest = logits.max(axis=1)  # NaN if there is one
    if not np.isfinite(largest).all():
        row = int(np.argmin(np.isfinite(largest)))
        raise NonFiniteError(
            f"logits: the largest of row {row} is {largest[row]}: there is nothing to draw from. "
            "Has the model diverged? Look at its weights, or run it under detect_anomaly."
        )
    return logits


@function
def draw(p, rng):
    """One token for each row of probabilities (B, V), by inversion: (B,)."""
    below = np.cumsum(p, axis=1)
    u = rng.random((len(p), 1)) * below[:, -1:]
    last = (below < below[:, -1:]).sum(axis=1)  # the last token that is possible at all
    return np.minimum((below <= u).sum(axis=1), last)


@function
def generate(next_logits, B, steps, temperature=1.0, top_k=None, top_p=None, stop=(), seed=0):
    """Yield (tokens (B,), probabilities (B, V)), up to `steps` times.

    next_logits(tokens): the logits (B, V) after `tokens` were fed in; the first call gets None.
    A row that drew a token of `stop` goes on with that token; when all have, the generator ends.
    """
    check_settings(temperature, top_k, top_p)
    stop = np.ravel(host("stop", stop))  # one token, or several
    if stop.size and stop.dtype.kind not in "iu":
        raise DtypeError(f"stop is {stop.dtype}, expected token ids")
    try:
        rng = np.random.default_rng(seed)
    except (TypeError, ValueError) as reason:
        raise OptionError(f"seed is {seed!r}: {reason}") from None
    if not (_is(B, Integral) and B >= 0):
        raise OptionError(f"B is {B!r}, expected the number of sequences, 0 or more")
    return _generate(next_logits, B, checked_steps(steps), (temperature, top_k, top_p), stop, rng)


def _generate(next_logits, B, steps, how, stop, rng):
    tokens, stopped = None, np.zeros(B, bool)
    for _ in range(steps):
        p = next_token_distribution(next_logits(tokens), *how)
        if len(p) != B:
            raise ShapeError(f"next_logits: gave {len(p)} rows for {B} sequences")
        drawn = draw(p, rng)
        tokens = drawn if tokens is None else np.where(stopped, tokens, drawn)
        yield tokens, p
        if len(stop):
            stopped |= np.isin(tokens, stop)
            if stopped.all():
                return
