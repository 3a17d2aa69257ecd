"""GPT-2: a decoder that predicts the next token (Radford et al. 2019).

Pre-LN layers with a causal mask, learned positions, tanh GELU, a final LayerNorm, and a head that
is the token embedding once more (tied).
"""

import math

import numpy as np

from minivit import functions, nn
from minivit.attention import KVCache
from minivit.engine import backend
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.modes import no_grad
from minivit.engine.record import function
from minivit.functions import IGNORED
from minivit.sampling import generation
from minivit.sampling.decoding import Decoder, linear
from minivit.text.batch import check_length, checked_ids, checked_mask, successors, token_ids
from minivit.transformer import TransformerLayer

# name: (layers, width, heads), as released
SIZES = {
    "gpt2": (12, 768, 12),
    "gpt2-medium": (24, 1024, 16),
    "gpt2-large": (36, 1280, 20),
    "gpt2-xl": (48, 1600, 25),
}


class GPT(nn.Module):
    """Token ids (B, N) to next-token logits (B, N, V); logits[:, i] has seen ids[:, :i + 1]."""

    def __init__(
        self, vocabulary, context, width=128, layers=4, heads=4, dropout=0.0, hidden=None,
        activation="gelu_tanh", eps=1e-5,
    ):  # fmt: skip
        nn.check_sizes(self, vocabulary=vocabulary, context=context, width=width, heads=heads)
        nn.check_sizes(self, layers=layers)
        self.vocabulary, self.context = vocabulary, context
        self.wte = nn.Embedding(vocabulary, width)
        self.wpe = nn.Embedding(context, width)
        self.drop = nn.Dropout(dropout)
        self.layers = [
            TransformerLayer(width, heads, hidden, "pre", activation, eps, dropout)
            for _ in range(layers)
        ]
        self.norm = nn.LayerNorm(width, eps)
        self._initialise()

    def _initialise(self):
        """N(0, 0.02^2); what ends in the residual path is scaled by 1 / sqrt(2 L)."""
        for name, p in self.named_parameters():
            if p.ndim == 2:
                into_the_path = name.endswith(("out_proj.weight", "fc2.weight"))
                scale = math.sqrt(2 * len(self.layers)) if into_the_path else 1
                p.assign(nn.normal(p.shape, 0.02 / scale))
            elif name.endswith("bias"):
                p.data[...] = 0

    def hidden(self, ids, caches=None):
        """The states after the final LayerNorm: (B, N) -> (B, N, D)."""
        start = caches[0].length if caches else 0
        ids = checked_ids("GPT", ids, self.context, start)
        x = self.wte(ids) + self.wpe(np.arange(start, start + ids.shape[1]))  # (B, N, D)
        x = self.drop(x)
        for i, layer in enumerate(self.layers):
            x = layer(x, causal=True, cache=caches[i] if caches else None)
        return self.norm(x)

    def forward(self, ids, caches=None):
        return functions.linear(self.hidden(ids, caches), self.wte.weight)

    @functions.mean_over(successors)
    def loss(self, ids, mask=None):
        """The mean of -log p(token | tokens before it) in nats; ids (B, N), N >= 2.

        mask (B, N): False = padding on the right, which is neither read nor predicted.
        """
        ids = checked_ids("GPT.loss", ids, self.context + 1)
        targets = ids[:, 1:]
        if mask is not None:
            targets = np.where(checked_mask("GPT.loss", mask, ids.shape)[:, 1:], targets, IGNORED)
        if not targets.size:
            raise ShapeError(f"GPT.loss: got ids of shape {ids.shape}: one token predicts nothing")
        return functions.cross_entropy_loss(self(ids[:, :-1]), targets)

    def generate(self, ids, steps, use_cache=True, **how):
        """Stream a continuation of ids (B, N): yields (tokens (B,), probabilities (B, V)).

        how: temperature, top_k, top_p, stop, seed (sampling.generation.generate). use_cache=False
        computes every step from scratch; the result is the same.
        """
        ids = checked_ids("generate", ids, self.context)
        check_length("generate", ids.shape[1] + generation.checked_steps(steps), self.context)
        caches = [KVCache(self.context) for _ in self.layers] if use_cache else None
        decode = Decoder(self.layers, self.norm, caches)
        E, P = self.wte.weight, self.wpe.weight

        @no_grad()
        def next_logits(tokens):
            nonlocal ids
            if use_cache and tokens is not None:
                here = backend.to_device(tokens, E.device)
                h = decode(E.data[here] + P.data[decode.length])  # (B, D)
                return backend.to_numpy(linear(h, E))
            ids = ids if tokens is None else np.concatenate([ids, tokens[:, None]], axis=1)
            with self.evaluating():
                return functions.linear(self.hidden(ids, caches)[:, -1], E).numpy()

        return generation.generate(next_logits, len(ids), steps, **how)

    def complete(self, ids, steps, **how):
        """The prompt and its continuation: (B, N) -> (B, N + at most `steps`)."""
        ids = token_ids("complete", ids)
        drawn = [tokens[:, None] for tokens, _ in self.generate(ids, steps, **how)]
        return np.concatenate([ids, *drawn], axis=1)


@function
def gpt2(name="gpt2"):
    """A released size: "gpt2" (124M), "gpt2-medium", "gpt2-large", "gpt2-xl"."""
    if name not in SIZES:
        raise OptionError(f"gpt2: got {name!r}, expected one of {list(SIZES)}")
    layers, width, heads = SIZES[name]
    return GPT(50257, 1024, width, layers, heads)
