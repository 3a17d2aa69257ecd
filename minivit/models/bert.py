"""BERT: an encoder that fills in masked tokens (Devlin et al. 2018).

Post-LN layers without a mask (each token sees all), embeddings of token, position and segment, and
a tied head. `<cls>` ([CLS]) collects the sequence for classification.
"""

import numpy as np

from minivit import functions, nn
from minivit.engine import ops
from minivit.engine.errors import OptionError, ShapeError, StateError
from minivit.engine.record import function
from minivit.functions import IGNORED
from minivit.text.batch import checked_ids, checked_mask, padding_mask, token_ids
from minivit.transformer import ACTIVATIONS, TransformerLayer, activate


class BERT(nn.Module):
    """Token ids (B, N) to logits over the vocabulary (B, N, V).

    mask (B, N): True = a real token, False = padding. segments (B, N): 0 or 1, which of two
    sentences. std: of the initialisation, a truncated normal; the paper's 0.02 is for its widths:
    0.02 sqrt(768 / D) gives sums over D terms the same spread. pooler, head, next_sentence: the
    layers behind `pooled`, `vocabulary_logits` and `next_logits`, which published models may lack.
    kinds: of segments: RoBERTa has one, DistilBERT none.
    """

    def __init__(
        self, vocabulary, context=512, width=128, layers=4, heads=4, hidden=None, dropout=0.1,
        eps=1e-12, activation="gelu", std=0.02, pooler=True, head=True, next_sentence=False,
        kinds=2,
    ):  # fmt: skip
        nn.check_sizes(self, vocabulary=vocabulary, context=context, width=width, heads=heads)
        nn.check_sizes(self, least=0, layers=layers)
        nn.check_choice(self, ACTIVATIONS, activation=activation)
        nn.check_eps(self, std=std)
        self.vocabulary, self.context, self.activation = vocabulary, context, activation
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.segments = nn.Embedding(kinds, width) if kinds else None
        self.norm = nn.LayerNorm(width, eps)
        self.drop = nn.Dropout(dropout)
        self.layers = [
            TransformerLayer(width, heads, hidden, "post", activation, eps, dropout)
            for _ in range(layers)
        ]
        self.pooler = nn.Linear(width, width) if pooler else None
        self.head = nn.Linear(width, width) if head else None
        self.head_norm = nn.LayerNorm(width, eps) if head else None
        self.head_bias = nn.Parameter(np.zeros(vocabulary, np.float32)) if head else None
        self.next = nn.Linear(width, 2) if next_sentence else None
        for name, p in self.named_parameters():
            if p.ndim == 2:
                p.assign(nn.truncated_normal(p.shape, std))
            elif name.endswith("bias"):
                p.data[...] = 0

    def hidden(self, ids, mask=None, segments=None):
        """The states after the last layer: (B, N) -> (B, N, D)."""
        ids = checked_ids("BERT", ids, self.context)
        x = self.tokens(ids) + self.positions(np.arange(ids.shape[1]))
        mask = padding_mask("BERT", mask, ids.shape)
        if segments is not None:
            x = x + self._part("segments")(_beside("segments", segments, ids.shape))
        elif self.segments is not None:
            x = x + self.segments.weight[0]
        x = self.drop(self.norm(x))
        for layer in self.layers:
            x = layer(x, mask=mask)
        return x

    def pooled(self, ids, mask=None, segments=None):
        """The sequence as one vector, tanh(W h_cls + b): (B, N) -> (B, D)."""
        return ops.tanh(self._part("pooler")(self.hidden(ids, mask, segments)[:, 0]))

    def next_logits(self, ids, mask=None, segments=None):
        """Does the second sentence follow the first: yes, no? (B, N) -> (B, 2)."""
        return self._part("next")(self.pooled(ids, mask, segments))

    def forward(self, ids, mask=None, segments=None):
        return self.vocabulary_logits(self.hidden(ids, mask, segments))

    def vocabulary_logits(self, h):
        """Scores of the token that stood where the output embedding is h: (..., D) -> (..., V)."""
        h = self.head_norm(activate(self.activation, self._part("head")(h)))
        return functions.linear(h, self.tokens.weight, self.head_bias)

    def _part(self, name):
        if getattr(self, name) is None:
            raise StateError(f"BERT: this model was made, or published, without its layer {name!r}")
        return getattr(self, name)

    @functions.mean_over(lambda inputs, labels, *rest: np.sum(labels != IGNORED))
    def loss(self, inputs, labels, mask=None, segments=None):
        """The mean of -log p(label) over the chosen tokens; `mask_tokens` makes inputs and labels.

        The head, the largest matrix, is applied to the chosen tokens only.
        """
        h = self.hidden(inputs, mask, segments)
        labels = _beside("labels", labels, h.shape[:2]).reshape(-1)
        chosen = np.flatnonzero(labels != IGNORED)  # places in (B N)
        h = functions.embedding(h.reshape(-1, h.shape[-1]), chosen)  # rows: (B N, D) -> (n, D)
        return functions.cross_entropy_loss(self.vocabulary_logits(h), labels[chosen])


def _beside(what, ids, shape):
    """One integer for each token: (B, N)."""
    ids = token_ids(f"BERT: {what}", ids)
    if ids.shape != tuple(shape):
        raise ShapeError(f"BERT: {what} has shape {ids.shape}, the ids {tuple(shape)}")
    return ids


@function
def mask_tokens(ids, rng, mask_id, vocabulary, special=(), share=0.15, mask=None):
    """Choose `share` of each row's tokens (at least one) and hide them: (inputs, labels).

    Of those chosen 80% become `mask_id`, 10% a random token and 10% stay; labels hold the original
    there and -100 elsewhere. Tokens in `special` and padding (mask False) are never chosen.
    """
    if not 0 < share <= 1:
        raise OptionError(f"mask_tokens: share is {share!r}, expected 0 < share <= 1")
    ids = token_ids("mask_tokens", ids)
    eligible = ~np.isin(ids, list(special))
    if mask is not None:
        eligible &= checked_mask("mask_tokens", mask, ids.shape)
    n = np.maximum(1, np.round(share * eligible.sum(axis=1)))[:, None]
    order = np.argsort(np.argsort(np.where(eligible, rng.random(ids.shape), 2.0), axis=1), axis=1)
    chosen = (order < n) & eligible
    how = rng.random(ids.shape)
    inputs = np.where(chosen & (how < 0.8), mask_id, ids)
    inputs = np.where(chosen & (how >= 0.9), rng.integers(0, vocabulary, ids.shape), inputs)
    return inputs, np.where(chosen, ids, IGNORED)
