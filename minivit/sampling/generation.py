"""Generation: feed the output back into the input.

A model gives a distribution over the next token; what is taken from it is a choice of its own:
the likeliest (greedy), a draw at some temperature, from the k likeliest (top-k), or from the fewest
that hold probability p (top-p, Holtzman et al. 2019).
"""

import numpy as np

from minivit.engine.errors import OptionError


def next_token_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    """The distribution that a next token is drawn from: logits (B, V) -> probabilities (B, V).

    temperature 0 puts everything on the likeliest. top_k, then top_p, drop the tail; what is left
    is scaled to sum 1.
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or not 0 < (top_p or 1) <= 1:
        raise OptionError(
            f"next_token_distribution: got temperature {temperature}, top_k {top_k}, top_p {top_p};"
            " expected temperature >= 0, top_k >= 1, 0 < top_p <= 1"
        )
    logits = np.asarray(logits, np.float64)
    B, V = logits.shape
    if temperature == 0:
        p = np.zeros((B, V))
        p[np.arange(B), logits.argmax(axis=1)] = 1
        return p
    p = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
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


def draw(p, rng):
    """One token for each row of probabilities (B, V), by inversion: (B,)."""
    u = rng.random((len(p), 1))
    return (np.cumsum(p, axis=1) < u * p.sum(axis=1, keepdims=True)).sum(axis=1)


def generate(next_logits, B, steps, temperature=1.0, top_k=None, top_p=None, stop=(), seed=0):
    """Yield (tokens (B,), probabilities (B, V)), up to `steps` times.

    next_logits(tokens): the logits (B, V) after `tokens` were fed in; the first call gets None.
    A row that drew a token of `stop` goes on with that token; when all have, the generator ends.
    """
    rng = np.random.default_rng(seed)
    tokens, stopped = None, np.zeros(B, bool)
    for _ in range(steps):
        p = next_token_distribution(next_logits(tokens), temperature, top_k, top_p)
        drawn = draw(p, rng)
        tokens = drawn if tokens is None else np.where(stopped, tokens, drawn)
        yield tokens, p
        if len(stop):
            stopped |= np.isin(tokens, stop)
            if stopped.all():
                return
