"""The encoder-decoder Transformer (Vaswani et al. 2017): one sequence in, another out.

The decoder's layers have an extra stage, cross-attention: queries from the decoder, keys and values
from the encoder's output. Post-LN, as on the recap slide; one embedding for source, target and
head.
"""

import math
from numbers import Integral

import numpy as np

from minivit import functions, nn
from minivit.attention import KVCache
from minivit.engine.errors import OptionError, ShapeError
from minivit.engine.modes import no_grad
from minivit.engine.tensor import Tensor
from minivit.functions import IGNORED
from minivit.sampling import generation
from minivit.sampling.generation import checked_logits, checked_steps
from minivit.text.batch import checked_ids, checked_mask, host, padding_mask, successors
from minivit.transformer import TransformerLayer, sinusoids


class Seq2Seq(nn.Module):
    """Source ids (B, N) and target ids (B, M) to next-token logits (B, M, V).

    Masks (B, N), (B, M): True = a real token. `start` and `end` are the ids that bracket a target;
    `start` is never generated (Marian's is its padding, for which the logits mean nothing).
    positions: a variant of `sinusoids`. scaled: are token vectors multiplied by sqrt(D)?
    decoder_layers: as many as `layers` if not given. logit_bias: one fixed number a token (Marian).
    """

    def __init__(
        self, vocabulary, start, end, context=64, width=128, layers=2, heads=4, hidden=None,
        dropout=0.1, activation="relu", decoder_layers=None, positions="interleaved", scaled=True,
        logit_bias=False,
    ):  # fmt: skip
        decoder_layers = layers if decoder_layers is None else decoder_layers
        nn.check_sizes(self, vocabulary=vocabulary, context=context, width=width, heads=heads)
        nn.check_sizes(self, layers=layers, decoder_layers=decoder_layers)
        nn.check_sizes(self, least=0, start=start, end=end)
        if max(start, end) >= vocabulary:
            raise OptionError(
                f"Seq2Seq: start is {start}, end {end}, expected ids below vocabulary {vocabulary}"
            )
        self.vocabulary, self.context, self.start, self.end = vocabulary, context, start, end
        self.embedding = nn.Embedding(vocabulary, width)
        self.embedding.weight.assign(nn.normal((vocabulary, width), width**-0.5))
        self.table = sinusoids(context, width, positions)  # fixed, not learnt
        self.scale = math.sqrt(width) if scaled else 1.0
        self.logit_bias = nn.Buffer(np.zeros(vocabulary, np.float32)) if logit_bias else None
        self.drop = nn.Dropout(dropout)
        how = dict(hidden=hidden, norm="post", activation=activation, dropout=dropout)
        self.encoder = [TransformerLayer(width, heads, **how) for _ in range(layers)]
        self.decoder = [
            TransformerLayer(width, heads, **how, cross_attention=True)
            for _ in range(decoder_layers)
        ]

    def embed(self, ids, start=0):
        """Token vectors, scaled, plus positions: (B, N) -> (B, N, D)."""
        ids = checked_ids("Seq2Seq", ids, self.context, start)
        x = self.embedding(ids) * self.scale
        x = x + Tensor(self.table[start : start + ids.shape[1]], device=x.device)
        return self.drop(x)

    def encode(self, source, source_mask=None):
        """The memory that the decoder attends to: (B, N) -> (B, N, D)."""
        x = self.embed(source)
        mask = padding_mask("Seq2Seq: source", source_mask, x.shape[:2])
        for layer in self.encoder:
            x = layer(x, mask=mask)
        return x

    def decode(self, target, memory, source_mask=None, caches=None):
        """Logits of the token after each target token: (B, M) -> (B, M, V)."""
        x = self.embed(target, caches[0].length if caches else 0)
        if len(x) != len(memory):
            raise ShapeError(f"Seq2Seq: got {len(x)} targets for {len(memory)} sources")
        across = padding_mask("Seq2Seq: source", source_mask, memory.shape[:2])
        for i, layer in enumerate(self.decoder):
            cache = caches[i] if caches else None
            x = layer(x, causal=True, cache=cache, memory=memory, memory_mask=across)
        return functions.linear(x, self.embedding.weight, self.logit_bias)

    def forward(self, source, target, source_mask=None):
        return self.decode(target, self.encode(source, source_mask), source_mask)

    @functions.mean_over(lambda s, target, s_mask=None, mask=None: successors(target, mask))
    def loss(self, source, target, source_mask=None, target_mask=None, label_smoothing=0.1):
        """Teacher forcing: the decoder reads the true target and predicts each next token of it.

        target (B, M) is bracketed, start ... end, and padded on the right where target_mask is
        False: there is no loss.
        """
        target = checked_ids("Seq2Seq.loss", target, self.context + 1)
        labels = target[:, 1:]
        if target_mask is not None:
            real = checked_mask("Seq2Seq.loss: target", target_mask, target.shape)
            labels = np.where(real[:, 1:], labels, IGNORED)
        logits = self(source, target[:, :-1], source_mask)
        return functions.cross_entropy_loss(logits, labels, label_smoothing=label_smoothing)

    @no_grad()
    def alignment(self, source, target, source_mask=None):
        """Attention of each target token to the source, last layer, mean of heads: (B, M, N)."""
        with self.evaluating():
            memory = self.encode(source, source_mask)
            across = padding_mask("Seq2Seq: source", source_mask, memory.shape[:2])
            x = self.embed(target)
            for layer in self.decoder[:-1]:
                x = layer(x, causal=True, memory=memory, memory_mask=across)
            last = self.decoder[-1]
            x = last.ln_1(x + last.attn(x, causal=True))
            return last.cross.weights(x, memory, across).numpy().mean(axis=1)

    @no_grad()
    def greedy(self, source, source_mask=None, steps=None):
        """The likeliest next token, again and again, for a whole batch: (B, N) -> B lists of ids.

        The same as translate(row, beams=1) for every row, in one pass over the batch.
        """
        steps = self._longest(steps)
        with self.evaluating():
            memory = self.encode(source, source_mask)
            B, caches = len(memory), [KVCache(self.context) for _ in self.decoder]

            def next_logits(tokens):
                tokens = np.full(B, self.start) if tokens is None else tokens
                logits = self.decode(tokens[:, None], memory, source_mask, caches)[:, -1].numpy()
                logits[:, self.start] = -np.inf
                return logits

            how = dict(temperature=0, stop=(self.end,))
            drawn = [t.tolist() for t, _ in generation.generate(next_logits, B, steps, **how)]
        rows = [[tokens[b] for tokens in drawn] for b in range(B)]
        return [row[: row.index(self.end)] if self.end in row else row for row in rows]

    @no_grad()
    def translate(self, source, beams=1, steps=None, length_penalty=0.6):
        """The best target of one source sentence, ids (N,) -> list of ids without start and end.

        Beam search keeps the `beams` likeliest beginnings; finished ones are compared by
        log p / ((5 + length) / 6)^length_penalty (Wu et al. 2016, eq. 14). beams=1 is greedy.
        """
        source = host("translate", source)
        if source.ndim != 1 or not len(source):
            raise ShapeError(f"translate: got shape {source.shape}, expected one sentence (N,)")
        if not isinstance(beams, Integral) or beams < 1:
            raise OptionError(f"translate: beams is {beams!r}, expected 1 (greedy) or more")
        steps = self._longest(steps)
        with self.evaluating():
            return self._beam_search(self.encode(source[None]), beams, steps, length_penalty)

    def _longest(self, steps):
        """The most tokens a target may get: those that were asked for, if there are positions."""
        room = self.context - 1
        return room if steps is None else min(room, checked_steps(steps))

    def _beam_search(self, memory, beams, steps, length_penalty):
        tokens, scores = np.full((1, 1), self.start), np.zeros(1)
        caches, finished = [KVCache(self.context) for _ in self.decoder], []
        for length in range(1, steps + 1):
            wide = Tensor(np.repeat(memory.numpy(), len(tokens), axis=0), device=memory.device)
            logits = self.decode(tokens[:, -1:], wide, caches=caches)[:, -1]
            logits = checked_logits(logits)
            log_p = functions.log_softmax(logits).numpy()
            total = scores[:, None] + log_p  # (beams, V)
            total[:, self.start] = -np.inf
            best = np.argsort(-total, axis=None, kind="stable")[: 2 * beams]
            rows, ids = np.unravel_index(best, total.shape)
            keep = []
            for place, (row, id, score) in enumerate(zip(rows, ids, total[rows, ids])):
                if id == self.end:
                    if place < beams:  # an end is not better than the beginnings that go on
                        penalised = score / ((5 + length) / 6) ** length_penalty
                        finished.append((penalised, [int(t) for t in tokens[row, 1:]]))
                elif len(keep) < beams:
                    keep.append((row, id, score))
            if len(finished) >= beams:
                break
            rows = np.array([row for row, _, _ in keep])
            scores = np.array([score for _, _, score in keep])
            tokens = np.concatenate([tokens[rows], np.array([[id] for _, id, _ in keep])], axis=1)
            for cache in caches:
                cache.select(rows)
        return max(finished)[1] if finished else [int(t) for t in tokens[0, 1:]]
