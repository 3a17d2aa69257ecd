"""The two objectives that CLIP tried first (Radford et al. 2021, section 2.3 and Figure 2).

Predict the caption word by word, or predict which words it has in any order; with the same image
encoder as the contrastive loss, so that only the objective differs.
"""

import numpy as np

from minivit import functions, nn
from minivit.engine import ops
from minivit.engine.modes import no_grad
from minivit.engine.record import function
from minivit.engine.tensor import Tensor
from minivit.functions import IGNORED
from minivit.models.clip import eos_places
from minivit.transformer import TransformerLayer


class WordPredictor(nn.Module):
    """Which words has the caption? Images to logits over the vocabulary: (B, H, W, C) -> (B, V)."""

    def __init__(self, image_encoder, d_i, vocabulary):
        self.image_encoder = nn.build(image_encoder)
        self.head = nn.Linear(d_i, vocabulary)

    def forward(self, I):
        return self.head(self.image_encoder(I))

    def loss(self, I, T):
        """-log p(word | image), averaged over the words of each caption (B, L), then over B."""
        return -(functions.log_softmax(self(I)) * word_shares(T, self.head.weight)).sum() / len(T)

    @no_grad()
    def scores(self, I, T, others):
        """log p(text | image) - log p(text), a mean per word: (images, texts).

        p(word) is the mean of p(word | image) over the images `others`; without it, frequent words
        would win everywhere.
        """
        words = word_shares(T, self.head.weight).numpy()
        log_p = functions.log_softmax(self(I)).numpy()
        prior = functions.softmax(self(others)).numpy().mean(axis=0)
        return (log_p - np.log(prior)) @ words.T


@function
def word_shares(T, like):
    """Each caption's words as a distribution over the vocabulary: (B, L) -> (B, V).

    [SOS], [EOS] (the two largest ids) and padding (0) are no words.
    """
    V = like.shape[0]
    counts = np.zeros((len(T), V), np.float32)
    np.add.at(counts, (np.arange(len(T))[:, None], T), 1)
    counts[:, [0, V - 2, V - 1]] = 0
    counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return Tensor(counts, device=like.device)


class Captioner(nn.Module):
    """A decoder that says the caption, token by token; the image's vector stands where [SOS] was:
    images (B, H, W, C), texts (B, L) -> logits (B, L - 1, V)."""

    def __init__(self, image_encoder, d_i, vocabulary, context, width=64, layers=2, heads=2):
        self.image_encoder = nn.build(image_encoder)
        nn.check_sizes(self, least=2, context=context)
        nn.check_sizes(self, layers=layers)
        self.bridge = nn.Linear(d_i, width)
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.token_embedding.weight.assign(nn.normal((vocabulary, width), 0.02))
        self.positional_embedding = nn.Parameter(nn.normal((context - 1, width), 0.01))
        self.layers = [
            TransformerLayer(width, heads, activation="quick_gelu") for _ in range(layers)
        ]
        self.ln_final = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, I, T):
        return self.decode(self.bridge(self.image_encoder(I)), T)

    def decode(self, image_vectors, T):
        """(B, D) and (B, L) -> (B, L - 1, V): position i predicts token i + 1."""
        x = self.token_embedding(T[:, 1:-1])  # (B, L - 2, D)
        x = ops.concatenate([image_vectors[:, None], x], axis=1) + self.positional_embedding
        for layer in self.layers:
            x = layer(x, causal=True)
        return self.head(self.ln_final(x))

    def loss(self, I, T):
        """-log p(token | image, tokens before), the mean over all tokens up to [EOS]."""
        return functions.cross_entropy_loss(self(I, T), targets(T))

    @no_grad()
    def scores(self, I, T, others):
        """log p(text | image) - log p(text), a mean per token: (images, texts). p(text) is the
        mean of p(text | image) over the images `others`."""

        def log_p(images):
            """log p(text | image) in nats: (images, texts)."""
            rows = []
            for v in self.bridge(self.image_encoder(images)):
                vectors = ops.broadcast_to(v, (len(T), v.shape[0]))
                losses = functions.cross_entropy_loss(
                    self.decode(vectors, T), targets(T), reduction="none"
                )
                rows.append(-losses.numpy().sum(axis=1))
            return np.stack(rows)

        prior = log_p(others).astype(np.float64)
        prior = functions.logsumexp(prior, axis=0).numpy() - np.log(len(prior))
        return (log_p(I) - prior) / eos_places(T)


@function
def targets(T):
    """The targets of positions 0 ... L - 2; -100, which the loss ignores, after [EOS]."""
    after = np.arange(1, T.shape[1]) > eos_places(T)[:, None]
    return np.where(after, IGNORED, T[:, 1:])
